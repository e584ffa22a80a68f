"""A student's place in the class: what they are called, what is pinned, where their run stands in the queue."""

from __future__ import annotations

import streamlit as st

from app import cache, gate, routes
from app.components.part import part
from app.course import class_pin
from app.live import wait_words
from app.text import as_plain, as_sentence
from vimpo_core.files import in_words
from vimpo_core.mistake import Mistake
from vimpo_core.runs.folder import ACTIVE
from vimpo_core.service.class_names import LONGEST_NAME
from vimpo_core.types import RunState

_LOOK_SECONDS = 2.0
_PINNED_SECONDS = 4.0
_TYPED, _SAID, _PROBLEM = "class.name", "class.name.said", "class.name.problem"


def pinned() -> None:
    """At the top of a page: what the teacher pinned, which comes and goes by itself; for a student."""
    if gate.is_student():
        part(class_pin.offer, run_every=_PINNED_SECONDS)()


def seed_words() -> str:
    """What a student is told of the seed of their runs; "" for everybody else."""
    if (seed := gate.own_seed()) is None:
        return ""
    return (
        f"You are **{as_plain(gate.name())}**. Unless you set another, your runs have seed {seed}, your own in this "
        "class: the class's runs of one setting are seeds of one arm on Compare."
    )


def place() -> None:
    """The page of a student."""
    pinned()
    st.markdown(f"### You are {as_plain(gate.name())}")
    st.caption("By this name your class sees who trains and whose run is whose. It stays at your next visit.")
    _rename()
    st.markdown("#### Training")
    part(_training, run_every=_LOOK_SECONDS)()


def _rename() -> None:
    form = st.form("class.rename", border=False, clear_on_submit=True, width=520)
    with form, st.container(horizontal=True, vertical_alignment="bottom"):
        st.text_input(
            "Another name",
            key=_TYPED,
            max_chars=LONGEST_NAME,
            width=260,
            help="Everybody in your class can read it. Your real name is not needed.",
        )
        st.form_submit_button("Change it", on_click=_change)
    if said := st.session_state.pop(_SAID, ""):
        st.success(as_plain(said), icon=":material/check:")
    if problem := st.session_state.pop(_PROBLEM, ""):
        st.warning(as_sentence(problem), icon=":material/error:")


def _change() -> None:
    member = gate.member()
    try:
        if member is not None:
            name = gate.room().rename(st.session_state[_TYPED], member)
            st.session_state[_SAID] = f"You are {name} from now on, also on the runs that you have."
    except (Mistake, OSError) as error:
        st.session_state[_PROBLEM] = in_words(error)


def _training() -> None:
    """One's own job and its place; how many others wait."""
    runs = cache.runs_dir()
    jobs = [job for job in runs.jobs() if job.state in ACTIVE]
    runs.wake_worker()
    mine = next((job for job in jobs if runs.may_change(job.run_ids[0])), None)
    if mine is None:
        waiting = sum(job.state == RunState.QUEUED for job in jobs)
        others = f" {waiting} of your class {'waits' if waiting == 1 else 'wait'}." if waiting else ""
        st.markdown(f"You train nothing now.{others}")
        st.page_link(routes.TRAIN, label="Train a run", icon=":material/play_arrow:")
        return
    wait = cache.waits(cache.own_folder()).get(mine.job_id)
    if mine.state == RunState.QUEUED and wait is not None:
        said = "You are next." if wait.ahead == 0 else f"Your run waits: {wait_words(wait, 'you')}."
    else:
        said = "Your run trains." if mine.state == RunState.RUNNING else "Your run waits."
    st.markdown(said)
    st.page_link(routes.TRAIN, label="Your run", icon=":material/show_chart:", query_params={"job": mine.job_id})
