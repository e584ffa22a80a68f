"""The presets on the Train page: their cards, the one that is chosen, and what its run recorded."""

from __future__ import annotations

import dataclasses
import statistics

import streamlit as st

from app import state
from app.components.live_curves import run_payload
from app.components.preset_cards import Card, Curve, preset_cards
from app.train import settings_form
from vimpo_core.labs.presets import FIRST, PRESETS, Preset, on_how_many_seeds, recorded

_KEY, _FILLED, _PICKED = "train.presets", "train.preset", "train.picked"
_SMOOTHED = 10
"""Steps over which a picture of many is averaged."""


def chosen(notes: list[str]) -> Preset:
    """The preset that the address names, else the first. The form is filled with it when it is met first."""
    key = state.chosen("preset", list(PRESETS), FIRST, notes)
    if st.session_state.get(_FILLED, FIRST) != key:
        settings_form.fill(PRESETS[key])
    st.session_state[_FILLED] = key
    return PRESETS[key]


def cards(preset: Preset) -> None:
    """All presets as pictures of what their recorded runs show; the chosen one is marked."""
    preset_cards([_card(one) for one in PRESETS.values()], preset.key, key=_KEY, on_choose=_choose)


def said(preset: Preset) -> str:
    """What a preset shows, with the numbers of its recorded run."""
    rows = recorded().get(preset.key)
    return f"{preset.shows} Recorded: {preset.figure(rows)} {on_how_many_seeds(preset.key)}" if rows else preset.shows


def curves(preset: Preset) -> list[dict]:
    """Payloads of the recorded runs for the live curves; empty where nothing was recorded."""
    rows = recorded().get(preset.key, {})
    return [run_payload(f"{preset.key} {a}", preset.config(a), rows[a]) for a in preset.algorithms if a in rows]


def differing(preset: Preset, typed: settings_form.Typed) -> int:
    """How many settings of the form are not the preset's."""
    if {c.algorithm for c in typed.configs} != set(preset.algorithms):
        return 1
    pairs = zip(sorted(typed.configs, key=_rule), sorted(settings_form.configs_of(preset), key=_rule), strict=True)
    names = [f.name for f in dataclasses.fields(typed.configs[0])]
    return len({name for one, other in pairs for name in names if getattr(one, name) != getattr(other, name)})


def _rule(config) -> str:
    return config.algorithm


def pick() -> Preset:
    """The preset that the form of the next run is reset to: choosing one fills it."""
    st.pills("Begin with", list(PRESETS), format_func=lambda key: PRESETS[key].title, key=_PICKED, on_change=_pick)
    return PRESETS[st.session_state[_PICKED] or FIRST]


def _pick() -> None:
    if key := st.session_state[_PICKED]:
        settings_form.fill(PRESETS[key])


def _choose() -> None:
    key = st.session_state[_KEY]["choose"]
    if key in PRESETS:
        settings_form.fill(PRESETS[key])
        st.session_state[_FILLED] = key
        state.put(preset=None if key == FIRST else key)


def _card(preset: Preset) -> Card:
    drawn = [_curve(preset, preset, rule) for rule in reversed(preset.algorithms)]
    if preset.beside:
        other = PRESETS[preset.beside]
        drawn.insert(0, dataclasses.replace(_curve(preset, other, other.algorithms[0]), is_faint=True))
    return Card(preset.key, preset.title, said(preset), [curve for curve in drawn if curve.points])


def _curve(preset: Preset, of: Preset, rule: str) -> Curve:
    """The curve of a recorded run as the preset's picture has it: smoothed where it has many points."""
    metric = preset.curves[0]
    rows = [row for row in recorded().get(of.key, {}).get(rule, []) if metric in row]
    width = _SMOOTHED if len(rows) > 2 * _SMOOTHED else 1
    means = [statistics.fmean(row[metric] for row in rows[max(0, i - width + 1) : i + 1]) for i in range(len(rows))]
    points = [
        (row["step"] / of.config().steps, min(1.0, y / preset.ceiling)) for row, y in zip(rows, means, strict=True)
    ]
    return Curve(rule, points)
