"""The largest true drop of the solution looked at, where its task does not say where it first goes wrong: measured at a
press, marked once it is known.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import streamlit as st

from app import waiting
from app.inspector.inspection import Scene
from vimpo_core.measure.drops import TRIES, most_rollouts
from vimpo_core.service import scoring
from vimpo_core.service.largest_drop import largest_drop
from vimpo_core.solutions.steps import verifies_steps, word_starts
from vimpo_core.types import CreditTrace, Drop

LIMIT_SECONDS = 1800
_REQUEST = "drop.measuring"


def with_drop(scene: Scene) -> Scene:
    """The scene with the largest true drop of its solution, where anybody has measured it."""
    if (drop := _kept(scene, scene.trace)) is None:
        return scene
    traces = [t.with_(largest_drop=drop) if i == scene.index else t for i, t in enumerate(scene.traces)]
    return replace(scene, traces=traces)


def every_drop(scene: Scene) -> dict[int, Drop]:
    """The largest true drops of the step's solutions that anybody has measured, by their place."""
    found = ((index, _kept(scene, trace)) for index, trace in enumerate(scene.traces))
    return {index: drop for index, drop in found if drop is not None}


def offer(scene: Scene) -> None:
    """The way to the drop, or progress while it is measured; nothing where the first wrong token can be known."""
    if verifies_steps(scene.trace) or not scene.trace.text:
        return
    asked = waiting.pending(_REQUEST)
    if asked is not None and asked.key[:-1] == _key(scene, scene.trace):
        if waiting.answer(asked) is not None:
            waiting.forget(_REQUEST)
            st.rerun()  # so that it is marked above and in what follows
        if waiting.is_underway(asked):
            return
        waiting.forget(_REQUEST)
    known = scene.trace.largest_drop
    coming = next((tries for tries in TRIES if known is None or tries > known.tries), None)
    if coming is None:
        return
    if scene.step not in scene.source.snapshots:
        st.caption(
            f"No step verifier knows where this solution goes wrong, and no adapter of step {scene.step} was kept to "
            f"find its largest true drop by trying."
        )
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        st.button(
            "Find the largest true drop" if known is None else f"Refine the drop to {coming} tries",
            icon=":material/trending_down:",
            help="No step verifier knows where it goes wrong. This finds after which token the policy's mean reward, "
            "by finishing the solution from there, falls most.",
            on_click=waiting.send,
            args=(_question(scene, scene.trace, coming),),
        )
        cost = f"at most {most_rollouts(len(scene.trace.text), coming):,} tries"
        if known is None:
            st.caption(f"{cost[0].upper()}{cost[1:]}.")
        else:
            st.caption(f"Measured by {known.tries} fresh tries before and after it. Refining takes {cost}.")


def _kept(scene: Scene, trace: CreditTrace) -> Drop | None:
    """By the most fresh tries that anybody has waited for."""
    if verifies_steps(trace) or not trace.text or scene.step not in scene.source.snapshots:
        return None
    found = (waiting.kept(_question(scene, trace, tries)) for tries in reversed(TRIES))
    return next((drop for drop in found if drop is not None), None)


def _key(scene: Scene, trace: CreditTrace) -> tuple:
    asked = (trace.prompt_text, trace.completion_text, tuple(trace.ids.tolist()))
    return (*scene.source.origin, scene.step, *asked)


def _question(scene: Scene, trace: CreditTrace, tries: int) -> waiting.Question:
    ids = tuple(trace.ids.tolist())
    asked = (scene.source.run_dir, scene.step, trace.prompt_text, trace.completion_text, tries)
    ask = partial(scoring.scoring_service().ask, largest_drop, *asked, ids=ids, starts=tuple(word_starts(trace)))
    return waiting.Question(
        _REQUEST,
        (*_key(scene, trace), tries),
        ask,
        "Finding the largest true drop",
        LIMIT_SECONDS,
        cancelled="Cancelled: the largest true drop was not measured.",
        if_long="Try a shorter solution.",
        again="",
        tells_progress=True,
    )
