"""What a user got wrong, told apart from what the program gets wrong."""


class Mistake(ValueError):
    """Something that a user asked for or brought cannot be: one sentence of what it is, what was given and what to do.

    The command line and the pages show the sentence. Any other ValueError is a bug and is shown as one.
    """
