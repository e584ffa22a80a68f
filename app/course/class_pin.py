"""What the teacher of a class pinned for all: offered at the top of the students' pages, one tap from Inspect."""

from __future__ import annotations

import streamlit as st

from app import cache, gate, routes
from app.sources import Source, sources
from app.text import as_plain, as_sentence
from vimpo_core.files import in_words
from vimpo_core.mistake import Mistake
from vimpo_core.service.classroom import Pin

_KEPT = ("token", "lens", "beta", "lambda", "more")
"""What else of an address of Inspect is pinned with the solution."""
_PROBLEM = "class.pin.problem"


def offer() -> None:
    """For students: what is pinned, as a link; nothing where nothing is, or its run is gone."""
    pin = gate.room().pinned()
    place = st.empty()  # is there also where nothing is: a part that draws nothing at all leaves what it drew before
    if pin is not None and (said := words(pin)):
        with place.container(border=True, horizontal=True, vertical_alignment="center", key="class-pinned"):
            st.markdown(f":material/keep: Pinned by your teacher: {said}", width="content")
            st.page_link(routes.INSPECT, label="Look at it", icon=":material/search:", query_params=pin.view)


def words(pin: Pin) -> str:
    """The run, and where in it, as markdown; "" where the run is gone."""
    found = _source(pin.run)
    if found is None:
        return ""
    step = f", step {as_plain(pin.view['step'])}" if "step" in pin.view else ""
    return f"**{as_plain(found.run.name)}**{step}{', one solution' if 'sample' in pin.view else ''}"


def of_solution(source: Source, step: int, group: int, sample: int) -> dict[str, str]:
    """The address of what Inspect shows, with what is selected in it."""
    chosen = {name: text for name in _KEPT if (text := st.query_params.get(name)) is not None}
    return {"run": source.key, "step": str(step), "group": str(group), "sample": str(sample)} | chosen


def button(view: dict[str, str]) -> None:
    """On Inspect: the teacher pins what is shown, or takes it back; a student reads that it is pinned."""
    if (member := gate.member()) is None:
        return
    pin = gate.room().pinned()
    is_pinned = pin is not None and all(view.get(name) == text for name, text in pin.view.items())
    if not member.is_teacher:
        if is_pinned:
            st.markdown(":material/keep: Pinned by your teacher", width="content")
        return
    is_pinned &= pin is not None and "sample" in pin.view  # of a run that is pinned, a solution can be pinned instead
    st.button(
        "Unpin" if is_pinned else "Pin for the class",
        icon=":material/keep_off:" if is_pinned else ":material/keep:",
        help="No longer offered to your students."
        if is_pinned
        else "All students are offered this at the top of Start and Class, in place of what was pinned before.",
        on_click=put,
        args=(None if is_pinned else view,),
        key="class.pin",
    )
    say_problem()


def choose() -> None:
    """On the teacher's board: what is pinned, and another run to pin."""
    pin = gate.room().pinned()
    with st.container(horizontal=True, vertical_alignment="center"):
        if pin is None:
            st.markdown("Nothing is pinned.", width="content")
        else:
            said = words(pin)
            st.markdown(f":material/keep: {said}" if said else "The pinned run is gone.", width="content")
            if said:
                st.page_link(routes.INSPECT, label="Look at it", query_params=pin.view)
            st.button("Unpin", key="class.unpin", icon=":material/keep_off:", on_click=put, args=(None,))
    there = {source.key: source for source in sources() if source.run.algorithm and source.run.last_step is not None}
    with st.container(horizontal=True, vertical_alignment="bottom"):
        run = st.selectbox(
            "Run to pin",
            list(there),
            index=None,
            format_func=lambda key: there[key].label,
            placeholder="Choose a run",
            help="A step or a solution of a run is pinned on Inspect.",
            width=400,
            key="class.pin.run",
        )
        st.button(
            "Pin for the class",
            icon=":material/keep:",
            disabled=run is None,
            on_click=put,
            args=({"run": run},),
            key="class.pin.put",
        )
    say_problem()


def put(view: dict[str, str] | None) -> None:
    """Button callback: pin an address of Inspect, or nothing."""
    try:
        if (member := gate.member()) is not None:
            gate.room().unpin(member) if view is None else gate.room().pin(view, member)
    except (Mistake, OSError) as error:
        st.session_state[_PROBLEM] = in_words(error)


def say_problem() -> None:
    if problem := st.session_state.pop(_PROBLEM, ""):
        st.warning(as_sentence(problem), icon=":material/error:")


def _source(key: str) -> Source | None:
    """The run of that key; of an experiment, which has too many to list them, looked for there."""
    name, _, run_id = key.partition("/")
    if folder := cache.experiment_folders().get(name) if run_id else None:
        return next((Source(key, folder, run) for run in cache.summaries(folder) if run.run_id == run_id), None)
    return next((source for source in sources() if source.key == key), None)
