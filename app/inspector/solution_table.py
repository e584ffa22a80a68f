"""Every solution of the step, or of the run, in a table: sort it, filter it, open a row, walk to the next one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from functools import partial
from typing import NamedTuple

import streamlit as st

from app import cache, state, waiting
from app.components import solution_table as component
from app.inspector import drop, others
from app.inspector.inspection import Scene, sampled
from app.sources import Source
from app.text import as_plain
from vimpo_core.rules import RULES
from vimpo_core.service import scoring, second_reading
from vimpo_core.solutions import picks, reading
from vimpo_core.solutions.steps import verifies_steps
from vimpo_core.types import CreditTrace, Drop
from vimpo_core.views import solution_table as views

KEY = "table"
LIMIT_SECONDS = 120
MOST_ROWS = 5000
"""Solutions of a run that the table holds: of a longer one those of its newest steps."""
_SCOPES = {"step": "This step", "run": "The whole run"}
_REQUEST = "table.reading"
_KEPT_STEPS, _KEPT_TABLES = 512, 32
_WORTH_SAYING = 3
"""Steps that are read for the first time before the page says that it reads."""


class Other(NamedTuple):
    """The policy that reads the solutions a second time. steps: whose adapters it kept."""

    source: Source
    steps: list[int]
    name: str


class Step(NamedTuple):
    """What a step's rows are made of. key: tells it from all others; others: solutions under the other policy; drops:
    largest true drops that were measured.
    """

    key: tuple
    source: Source
    step: int
    others: Mapping[int, CreditTrace]
    drops: Mapping[int, Drop]


def show(scene: Scene, beta: float, gae_lambda: float) -> None:
    if scene.is_typed:
        st.info("A typed solution stands alone. The table lists those that the run sampled.")
        st.button("Look at sampled ones", on_click=state.put, kwargs={"mode": None, "token": None})
        return
    notes: list[str] = []
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        scope = state.pick("Solutions of", "rows", _SCOPES, "step", notes, width="content")
        other = _pick_other(scene, notes)
    for note in notes:
        st.info(note)
    steps = [_step(scene, step, other) for step in _steps_of(scene, scope)]
    payload = _payload(scene, scope, other, steps, beta)
    component.solution_table(
        payload,
        key=KEY,
        current=f"{scene.step}/{scene.trace.group_id}/{scene.trace.sample_idx}",
        only=state.chosen("only", list(component.FILTERS), "all", []),
        sort=_sort(),
        on_open=_open,
    )
    st.caption(_said(scene, payload, len(scene.source.steps[0]) - len(steps) if scope == "run" else 0))
    if other:
        _offer_reading(scene, other)


def _sort() -> dict | None:
    text = st.query_params.get("sort", "")
    return {"key": text.removeprefix("-"), "way": -1 if text.startswith("-") else 1} if text else None


def _open() -> None:
    """Open the solution in the address, and keep how the table was sorted with it: one entry of the history."""
    if said := component.opened(KEY):
        state.put(
            **{name: said[name] for name in ("step", "group", "sample")},
            only=None if said["only"] == "all" else said["only"],
            sort=said["sort"] or None,
            token=None,
            film=None,
        )


# --- rows ------------------------------------------------------------------------------------------------------------


def _steps_of(scene: Scene, scope: str) -> list[int]:
    if scope == "step":
        return [scene.step]
    return scene.source.steps[0][-max(1, MOST_ROWS // max(1, len(scene.traces))) :]


def _step(scene: Scene, step: int, other: Other | None) -> Step:
    source = scene.source
    found = _read_by(source, step, other) if other else {}
    drops = drop.every_drop(scene) if step == scene.step and not verifies_steps(scene.trace) else {}
    measured = tuple((index, one.token, one.tries) for index, one in drops.items())
    read = (*other.source.origin, others.nearest(other.steps, step), len(found)) if other and found else None
    return Step((*source.origin, step, read, measured), source, step, found, drops)


@st.cache_resource(max_entries=_KEPT_STEPS, show_spinner=False)
def _rows(key: tuple, beta: float, _step: Step) -> list[views.Row]:
    traces = sampled(_step.source, _step.step)
    marked = [t.with_(largest_drop=_step.drops[i]) if i in _step.drops else t for i, t in enumerate(traces)]
    return views.rows_of(marked, beta, _step.others)


def _payload(scene: Scene, scope: str, other: Other | None, steps: Sequence[Step], beta: float) -> dict:
    keys, name = tuple(step.key for step in steps), other.name if other else ""
    if len(steps) <= _WORTH_SAYING:
        return _table(keys, beta, scope, name, scene, steps)
    with st.spinner(f"Reading the solutions of {len(steps)} steps…"):
        return _table(keys, beta, scope, name, scene, steps)


@st.cache_resource(max_entries=_KEPT_TABLES, show_spinner=False)
def _table(keys: tuple, beta: float, scope: str, other: str, _scene: Scene, _steps: Sequence[Step]) -> dict:
    rows = [row for step in _steps for row in _rows(step.key, beta, step)]
    by = _scene.source.tool or RULES[_scene.source.run.algorithm].name
    return views.table_payload(
        rows,
        beta,
        is_run=scope == "run",
        is_judged=picks.is_judged(_scene.trace),
        label=f"Solutions of {'the run' if scope == 'run' else f'step {_scene.step}'}",
        heads={
            "own": f"{by} δ",
            "other": other and f"{other} δ",
            "surprisal": "Surprisal",
            "target": "First wrong" if verifies_steps(_scene.trace) or _scene.source.tool else "Largest true drop",
        },
        residual_name=f"Σ δ − (R − {reading.anchor_name(_scene.trace)})",
    )


# --- another policy's reading -----------------------------------------------------------------------------------------


def _pick_other(scene: Scene, notes: list[str]) -> Other | None:
    """The run whose policy reads the same solutions too; None where there is no other of the kind."""
    if scene.source.tool:
        return None
    among = {key: source for key, source in others.same_kind(scene).items() if key != scene.source.key}
    if not among:
        return None
    kept = _kept(scene.source)
    keys = {source.run.run_id: key for key, source in among.items() if source.folder == scene.source.folder}
    first = keys.get(kept.run_id) if kept else None
    picked = others.pick_run(
        "Read a second time off",
        "other",
        among,
        first or others.first_other(scene, among) or next(iter(among)),
        notes,
        "Token credit δ can be read off any policy and its reference, whatever trained it: here off that of another "
        "run, on these very tokens.",
    )
    return Other(picked, picked.snapshots, others.name_of(picked, scene.source))


def _kept(source: Source) -> second_reading.SecondReading | None:
    """What is kept beside a bundled run for the wrong solutions of its last step."""
    if not cache.is_bundled(source.folder):
        return None
    return cache.second_reading_of(source.folder, source.run, source.steps[0][-1])


def _read_by(source: Source, step: int, other: Other) -> Mapping[int, CreditTrace]:
    """The step's solutions under the other policy, as far as they were scored: by anybody here, or when the run was
    made.
    """
    if not other.steps:
        return {}
    if (scored := waiting.kept(_question(source, step, other))) is not None:
        return dict(enumerate(scored))
    kept = _kept(source) if step == source.run.last_step else None
    is_this = kept and source.folder == other.source.folder and kept.run_id == other.source.run.run_id
    return kept.traces if kept and is_this and kept.step == others.nearest(other.steps, step) else {}


def _question(source: Source, step: int, other: Other) -> waiting.Question:
    at = others.nearest(other.steps, step)
    return waiting.Question(
        _REQUEST,
        (*source.origin, step, *other.source.origin, at),
        partial(_ask, source, step, other.source, at),
        f"Reading the solutions of step {step} off {other.name}, step {at}",
        other.source.seconds(LIMIT_SECONDS),
        again="",
        tells_progress=True,
    )


def _ask(source: Source, step: int, other: Source, at: int, **how) -> Future:
    asked = [(t.prompt_text, t.completion_text, tuple(t.ids.tolist())) for t in sampled(source, step)]
    return scoring.scoring_service().ask(second_reading.read_now, other.run_dir, at, asked, **how)


def _offer_reading(scene: Scene, other: Other) -> None:
    """The way to the readings that are missing, and progress while they are made."""
    if not other.steps:
        st.caption(f"{as_plain(other.source.run.name)} kept no adapter, so nothing can be read off its policy.")
        return
    question = _question(scene.source, scene.step, other)
    at = others.nearest(other.steps, scene.step)
    where = f"{as_plain(other.source.run.name)}, step {at}"
    if at != scene.step:
        where += f" (no adapter of step {scene.step} was kept)"
    if waiting.kept(question) is not None:
        st.caption(f"Read a second time off {where}.")
        return
    asked = waiting.pending(_REQUEST)
    if asked is not None and asked.key == question.key:
        if waiting.answer(question) is not None:
            st.rerun()  # the table stands above
        if waiting.is_underway(question):
            return
    found = len(_read_by(scene.source, scene.step, other))
    with st.container(horizontal=True, vertical_alignment="center"):
        st.button(
            f"Read step {scene.step} off {other.name}",
            icon=":material/visibility:",
            help=f"Scores all {len(scene.traces)} solutions under that policy: a few seconds with the bundled model.",
            on_click=waiting.send,
            args=(question,),
        )
        has = f"Recorded for {found} wrong solutions" if found else "Not recorded"
        st.caption(f"{has}: δ read off {where}.")


# --- words -----------------------------------------------------------------------------------------------------------


def _said(scene: Scene, payload: dict, left_out: int) -> str:
    """How often each reading names the token to be found, and what the columns are."""
    columns = payload["columns"]
    parts = []
    known = [i for i, target in enumerate(columns["target"]) if target and columns["verdict"][i] != "right"]
    for name in views.READINGS:
        of = [i for i in known if columns[name][i] is not None]
        if of and (head := payload["heads"][name]):
            hits = sum(columns[name][i] == columns["target"][i] for i in of)
            parts.append(f"{as_plain(head)} {hits} of {len(of)}")
    said = []
    if parts:
        sought = "first wrong token" if verifies_steps(scene.trace) else "largest true drop"
        said.append(f"The {sought} gets the most blame (✓): {', '.join(parts)}.")
    elif scene.source.tool and not picks.is_judged(scene.trace):
        said.append("Nobody here judged these solutions, so no first wrong token is known.")
    if left_out:
        said.append(f"{left_out} earlier steps are left out: the table holds {MOST_ROWS:,} solutions.")
    said.append(
        f"Residual: {as_plain(payload['residual_name'])}. In the table J and K open the next and the previous row."
    )
    return " ".join(said)
