"""How what is bundled was made: the reference model and the demo runs."""
