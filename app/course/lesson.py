"""The toolkit of a chapter: text whose numbers come from code, one prediction before the reveal, controls a link can
fix.

A chapter is a module of chapters/ with `QUESTIONS`, `EFFORT`, `CONTROLS`, `PLAN`, `numbers()` and `show(lesson)`;
blame.py is the model. Everything in it that is text is data or stands in `show`, so the teacher's plan is made from the
same words.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import streamlit as st

from app import gate, routes, state
from app.components.part import part
from app.course import ending, progress
from app.course.link import CHAPTER, ONWARD, Link, is_lock, is_teacher_of, lock_of, unlock
from app.state import text_of
from app.text import as_sentence
from vimpo_core.files import in_words
from vimpo_core.mistake import Mistake

PROBLEM = "course.problem"
"""Where a session keeps why an answer was not taken."""
_LOOK_SECONDS = 2.0
TEXT_WIDTH = 780
"""Of the column of text, in pixels."""
_FORMULA = re.compile(r"(\$\$.+?\$\$|\$.+?\$)", re.DOTALL)
_BRACES = re.compile(r"\{([a-z][a-z0-9_]*)\}")


@dataclass(frozen=True)
class Option:
    """One possible answer. `reply`: what to say to somebody who chose it, specific to it; markdown with {numbers}."""

    key: str
    text: str
    reply: str
    is_right: bool = False


@dataclass(frozen=True)
class Question:
    """A prediction. `key` is unique in its chapter. A question whose answer is a marked token has options that sort the
    marks.
    """

    key: str
    ask: str
    options: tuple[Option, ...]

    def __post_init__(self):
        keys = [option.key for option in self.options]
        if len(set(keys)) < len(keys) or not any(option.is_right for option in self.options):
            raise ValueError(
                f"question {self.key!r} needs options with different keys, one of them right, got {keys}. "
                "Set is_right on the right one."
            )

    def option(self, key: str) -> Option:
        return next(option for option in self.options if option.key == key)


@dataclass(frozen=True)
class Control:
    """A control of a chapter that a teacher's link can fix and hide.

    options: what may be chosen, or a function that finds it (called when it is drawn); default: one of them, or a
    function of the options. kind: "slider", "buttons" (a few choices side by side), "list" (many), "switch" (options
    are False, True).
    """

    name: str
    label: str
    options: tuple | Callable[[], tuple]
    default: Any
    help: str
    kind: str = "slider"
    label_of: Callable[[Any], str] = field(default=lambda value: text_of(value))

    def found(self) -> tuple:
        return tuple(self.options() if callable(self.options) else self.options)

    def first(self) -> Any:
        return self.default(self.found()) if callable(self.default) else self.default


@dataclass(frozen=True)
class Plan:
    """A chapter in the teacher's plan. Markdown with {numbers}.

    aims: what a student can do afterwards; timings: (minutes, what happens); asks: (question for the class, expected
        answer);
    misconceptions: (what they say, what to answer).
    """

    aims: tuple[str, ...]
    timings: tuple[tuple[int, str], ...]
    asks: tuple[tuple[str, str], ...]
    misconceptions: tuple[tuple[str, str], ...]


def filled(words: str, **numbers: str | int) -> str:
    """`words` with every {name} replaced; LaTeX between dollars keeps its braces.

    Raises:
        ValueError: a name in braces outside of a formula has no value.
    """
    parts = _FORMULA.split(words)
    for i in range(0, len(parts), 2):  # the odd ones are formulas
        parts[i] = _BRACES.sub(lambda m: str(numbers.get(m[1], m[0])), parts[i])
        if left := _BRACES.search(parts[i]):
            raise ValueError(f"the text has no value for {left[0]}: {words[:60]!r}. Pass {left[1]}=...")
    return "".join(parts)


def unfilled(words: str) -> str:
    """`words` with "…" for every {name} outside of a formula."""
    parts = _FORMULA.split(words)
    return "".join(part if i % 2 else _BRACES.sub("…", part) for i, part in enumerate(parts))


def judged(question: Question, choice: str, is_revealed: bool, **numbers: str | int) -> str:
    """The options as a list once one was chosen: the right one is marked when it may be seen, the choice always."""
    lines = []
    for option in question.options:
        is_shown_right = is_revealed and option.is_right
        is_chosen = option.key == choice
        notes = ", ".join(["right"] * is_shown_right + ["your answer"] * is_chosen)
        said = filled(option.text, **numbers)
        said = f"**{said}** ({notes})" if notes else said
        if is_shown_right:
            icon = ":green[:material/check_circle:]"
        elif is_chosen:
            icon = ":red[:material/cancel:]" if is_revealed else ":material/radio_button_checked:"
        else:
            icon = ":material/radio_button_unchecked:"
        lines.append(f"{icon} {said}")
    return "  \n".join(lines)


def symbol(code_name: str, words: str = "") -> str:
    """A markdown link to a symbol's row on the Notation page: `symbol("rho")` is [ρ](...); `words` stand in its
    place. A tap on it says what it means (components/word_taps.py).
    """
    from app.words.glossary import SYMBOLS

    found = SYMBOLS[code_name]
    return f"[{words or found.paper}](notation#{found.anchor})"


def term(key: str, words: str = "") -> str:
    """A word of the field as such a link: `term("nat", "nats")` is [nats](...); a tap says what it means."""
    from app.words.glossary import TERMS

    found = TERMS[key]
    return f"[{words or found.name}](notation#{found.anchor})"


@dataclass
class Lesson:
    """A chapter being read: what `show(lesson)` builds its page with. chapter, following: of `chapters`; None after the
    last. is_last_of_part: a lesson ends with it.
    """

    chapter: Any
    following: Any | None
    link: Link
    is_last_of_part: bool = False
    notes: list[str] = field(default_factory=list)

    def text(self, words: str, **numbers: str | int) -> None:
        """A few sentences in the text column; {name} is filled with a number that was computed."""
        st.markdown(filled(words, **numbers), width=TEXT_WIDTH)

    def control(self, control: Control) -> Any:
        """Draw a control, tied to the address, and return its value; one that the link hides is not drawn and keeps its
        value.
        """
        options = control.found()
        if control.name in self.link.hidden:
            return self._fixed(control, options)
        by_text = {text_of(option): option for option in options}
        value = state.chosen(control.name, options, control.first(), self.notes, lambda text: by_text.get(text))
        return self._draw(control, options, value)

    def answer(self, question: Question) -> progress.Answer | None:
        """What the reader committed to; None before."""
        if progress.is_untold():
            st.rerun()
        return progress.answer(self.chapter.key, question.key)

    def predict(self, question: Question, **numbers: str | int) -> bool:
        """Ask, and wait for an answer. True once the reveal may be shown: `if not lesson.predict(Q): return`.

        After the reader committed, the answer stays and the reply to it is shown. Under a teacher's lock both the reply
        and the reveal wait for the word.
        """
        with st.container(border=True, width=TEXT_WIDTH):
            st.markdown(f"**Predict.** {filled(question.ask, **numbers)}")
            given = self.answer(question)
            if given is None:
                self._ask(question, numbers)
            else:
                st.markdown(judged(question, given.choice, self.link.is_unlocked, **numbers))
        return given is not None and self.replied(question, given.choice, **numbers)

    def _ask(self, question: Question, numbers: dict[str, str | int]) -> None:
        choice = st.radio(
            "Your prediction",
            [option.key for option in question.options],
            index=None,
            format_func=lambda key: filled(question.option(key).text, **numbers),
            label_visibility="collapsed",
            key=f"course.{self.chapter.key}.{question.key}.open",
        )
        st.button(
            "Commit and see",
            type="primary",
            disabled=choice is None or gate.is_closed(self.chapter.key),
            on_click=self.commit,
            args=(question, choice),
            key=f"course.{self.chapter.key}.{question.key}.commit",
        )

    def commit(self, question: Question, choice: str, details: tuple[int, ...] = ()) -> None:
        """Keep an answer that a widget of the chapter's own asked for, and hand it in to the class; use it as a
        callback."""
        try:
            gate.hand_in(self.chapter.key, question.key, choice)
        except (Mistake, OSError) as error:
            st.session_state[PROBLEM] = in_words(error)
            st.toast(as_sentence(error), icon=":material/error:")  # in sight, wherever the page is scrolled to
            return
        progress.keep(self.chapter.key, question.key, choice, details)

    def replied(self, question: Question, choice: str, **numbers: str | int) -> bool:
        """The reply to a choice, when it may be seen. True once the reveal may be shown; `predict` ends with it."""
        if not self.link.is_unlocked:
            self._ask_for_word()
            return False
        option = question.option(choice)
        sign = ":material/check_circle:" if option.is_right else ":material/cancel:"
        verdict = "Right." if option.is_right else "Not quite."
        self.text(f"{sign} **{verdict}** {option.reply}", **numbers)
        return True

    def onward(self, see: tuple[str, Path, dict[str, Any]] | None = None) -> None:
        """The end of a chapter: the next one, the same view on the page where one works with it, start again.

        see: (label, page of `app.routes`, query parameters).
        """
        if self.is_last_of_part and ONWARD not in self.link.hidden:
            ending.ways_on()
        st.divider()
        following = self.following
        with st.container(horizontal=True, key="onward"):
            if following and ONWARD not in self.link.hidden and st.button(f"Next: {following.title}", type="primary"):
                query = {CHAPTER: str(following.number)} | self.link.reader_query()
                st.switch_page(routes.LEARN, query_params=query)
            if see:  # a link: switch_page would leave this chapter's path with the other page's query in the history
                label, page, address = see
                st.page_link(page, label=label, query_params={name: text_of(value) for name, value in address.items()})
            st.button(
                "Start this chapter again",
                on_click=progress.reset,
                args=(self.chapter.key,),
                help="Forgets your answers of this chapter.",
            )

    # --- inside ------------------------------------------------------------------------------------------------------

    def _ask_for_word(self) -> None:
        if self.link.is_held:
            part(_wait_for_class, run_every=_LOOK_SECONDS)(self.chapter.key)
            return
        with st.container(border=True, width=TEXT_WIDTH):
            if is_teacher_of(self.link.lock):
                st.markdown("Your class goes on once you say the word. On this screen:")
                st.button("Reveal", type="primary", on_click=unlock, args=(self.link.lock,))
                return
            if not is_lock(self.link.lock):
                st.warning("The lock in this link is damaged, so no word opens it. Ask for the link again.")
                return
            st.markdown("Your answer is kept. **Type the word that your teacher says** to see what comes out.")
            word = st.text_input("Word", key=f"course.word.{self.link.lock}", width=240)
            if word and lock_of(word) == self.link.lock:
                unlock(self.link.lock)
                st.rerun()
            if word:
                st.caption("That is not the word. Check the spelling.")

    def _fixed(self, control: Control, options: tuple) -> Any:
        kept = self.link.hidden[control.name]
        for option in options:
            if text_of(option) == kept:
                return option
        first = control.first()
        self.notes.append(
            f"The link fixes {control.label} to {kept[:30]!r}, which is not there; it stays at {text_of(first)}."
        )
        return first

    def _draw(self, control: Control, options: tuple, value: Any) -> Any:
        asked = {"label": control.label, "help": control.help, **state.bound(control.name, value)}
        choices = {"options": list(options), "format_func": control.label_of}
        if control.kind == "switch":
            return st.toggle(**asked)
        if control.kind == "buttons":
            return st.segmented_control(**asked, **choices, required=True)
        if control.kind == "list":
            return st.selectbox(**asked, **choices, width=340)
        return st.select_slider(**asked, **choices, width=360)


def _wait_for_class(chapter: str) -> None:
    """Until the teacher goes on: this part looks again by itself."""
    if not gate.holds(chapter):
        st.rerun()
    with st.container(border=True, width=TEXT_WIDTH):
        st.markdown("Your answer is handed in. What comes out is shown here once your teacher goes on.")
