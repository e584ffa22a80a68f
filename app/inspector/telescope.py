"""Reward against telescope: do the token credits of this step's solutions add up to what was paid?"""

from __future__ import annotations

import math

import streamlit as st

from app import cache, state
from app.components.scatter import scatter
from app.components.words_explained import words_explained
from app.inspector import about, inspection
from app.sources import Source
from app.text import as_plain
from vimpo_core.measure.telescope import Telescope, trained_otherwise
from vimpo_core.numbers import percent
from vimpo_core.runs import recorded_settings
from vimpo_core.solutions import picks, reading

KEY = "telescope"


def show(scene: inspection.Scene, beta: float, gae_lambda: float) -> None:
    if scene.is_typed:
        st.info("A typed solution stands alone: there is no V₀ to compare its reward with. Choose a sampled one.")
        return
    run = scene.source.run
    found = cache.telescope(scene.source.folder, run.run_id, run.version, scene.step, beta)
    if not found.points:
        st.info(_nothing(scene))
        return
    left, right = st.columns([5, 4], gap="large")
    with left:
        scatter(
            found,
            scene.traces,
            scene.trace,
            key=KEY,
            version=f"{scene.source.key} {run.version} {scene.step} {beta}",
            about=about.of_step(scene, beta),
            on_open=_open,
        )
    with right:
        st.markdown(_reading(scene, found))
        words_explained("telescope", "nat")
        farthest = scene.traces[max(found.points, key=lambda point: abs(point.x - point.y)).index]
        st.button(
            "Open the one farthest from the line",
            icon=":material/straighten:",
            help="Where the credits and the reward disagree most.",
            on_click=state.put,
            kwargs={"group": farthest.group_id, "sample": farthest.sample_idx, "token": None},
            disabled=farthest is scene.trace,
        )


def _nothing(scene: inspection.Scene) -> str:
    reasons = [reading.why_no_anchor(trace) for trace in scene.traces if not reading.missing(trace)]
    if why := next(filter(None, reasons), ""):
        return f"The sum has nothing to be compared with at this step. {why[0].upper()}{why[1:]}."
    where = "" if scene.source.tool else " at this step"
    todo = f" {inspection.ADVICE}" if scene.source.tool else ""
    return f"Not recorded{where}: the sum needs log-probabilities of both models and KL.{todo}"


def _open() -> None:
    point = st.session_state[KEY].get("open") or {}
    if isinstance(point.get("group"), int) and isinstance(point.get("sample"), int):
        state.put(group=point["group"], sample=point["sample"], token=None)


def _reading(scene: inspection.Scene, found: Telescope) -> str:
    marks = (
        ":blue[○] right, :red[✕] wrong"
        if picks.is_judged(scene.trace)
        else ":blue[○] reward 1 or more, :red[✕] less (nobody here judged them)"
    )
    parts = [
        f"**{len(found.points)} solutions of step {scene.step}.** {marks}; large: this prompt's; "
        "ringed: the one above. Click a point, or press Enter on it, to open that solution.",
        f"Every reward enters {as_plain(reading.read_by(scene.source.run.config, 1.0)[0].name)} only through this "
        "picture: the value loss pulls each point sideways onto the line, where the credits add up to the reward "
        f"beyond the {as_plain(reading.anchor_name(scene.trace))} and no residual is left.",
        _how_far(found),
    ]
    if other := _trained_otherwise(scene.source):
        parts.append(as_plain(other))
    if found.missing:
        parts.append(f"{found.missing} solutions are left out: what credit needs was not recorded for them.")
    return "\n\n".join(parts)


def _trained_otherwise(source: Source) -> str:
    run = source.run
    if recorded_settings.is_known(run.imported, run.config, "algorithm"):
        return trained_otherwise(run.config)
    return f"By which rule {source.tool} trained was not recorded: the picture shows what could be read off its policy."


def _how_far(found: Telescope) -> str:
    loss = f"Value loss here: **{found.value_loss:.4f}**"
    if math.isnan(found.explained):
        return f"{loss}. Every group agrees, so there is nothing to explain."
    share = (
        f"the credits explain **{percent(found.explained)}** of it"
        if found.explained >= 0
        else "the credits are further off than none at all"
    )
    return f"{loss}; with no credit at all it would be {found.untouched_loss:.4f}: {share}."
