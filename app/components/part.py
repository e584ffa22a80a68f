"""A part of a page that runs again by itself. A mistake in it is a sentence in its place, as it is on a whole page:
Streamlit shows what leaves a fragment as an error of the program."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import streamlit as st

from app.text import BUG, as_sentence
from vimpo_core.files import is_of_the_system
from vimpo_core.mistake import Mistake


def part(draw: Callable, run_every: float | None = None) -> Callable:
    """`st.fragment(draw)`, every `run_every` seconds again, with mistakes said in a sentence."""

    @functools.wraps(draw)
    def guarded(*arguments, **options):
        with mistakes_said():
            draw(*arguments, **options)

    return st.fragment(guarded, run_every=run_every)


@contextmanager
def mistakes_said() -> Iterator[None]:
    """A mistake, or what the machine cannot do (a full disk, a busy file), ends what is drawn here, with its sentence;
    a bug is called one, and goes on to Streamlit's log.
    """
    try:
        yield
    except Exception as error:
        if isinstance(error, Mistake) or is_of_the_system(error):
            st.error(as_sentence(error), icon=":material/error:")
            return
        told = (error, error.__cause__, error.__context__)
        if not any(BUG in getattr(one, "__notes__", ()) for one in told):  # in the part that it left before the page
            error.add_note(BUG)
            st.error(BUG, icon=":material/bug_report:")
        raise  # Streamlit shows it below, and logs it
