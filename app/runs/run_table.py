"""What the Runs page lists: one entry a run, own, brought and bundled or those that a link names, and its line."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

import streamlit as st

from app import cache, live, state
from app.components.runs_list import LONGEST_SEARCH, SORTS
from app.settings import model_facts
from app.sources import BUNDLED, NOT_FOLLOWED
from app.text import as_plain
from app.words.arrays import NAMES
from vimpo_core.config import flips_text
from vimpo_core.measure.comparison import setting_text
from vimpo_core.measure.metrics import METRICS, validation_problems
from vimpo_core.rules import RULES
from vimpo_core.runs import folder as runs_folder
from vimpo_core.runs.folder import ACTIVE, RunsDir, RunSummary
from vimpo_core.runs.run_bin import Deleted
from vimpo_core.tasks.registry import said
from vimpo_core.types import RUN_STATE_ADVICE, RunState

ACTIONS = {"resume": "Resume", "unfollow": "Stop following", "delete": "Delete"}
"""What can be done to one's own runs, as the browser asks for it -> its words."""
PAGES = {"train": "Train", "inspect": "Inspect", "rescore": "Re-score"}
_HEADS = [["tick", "Tick", False], ["name", "Name", True], ["state", "State", True], ["step", "Step", True]]
_TAIL = [["tags", "Tags", False], ["made", "Made", True], ["links", "Open", False]]
_WORDS = {"yours": ("Sampled", "Greedy"), "brought": ("First", "Last")}
_TONES = {RunState.DIVERGED: "wrong", **dict.fromkeys(ACTIVE, "live")}


@dataclass(frozen=True)
class Entry:
    """One line of the list. `key` is the run in links, as on the Inspect page."""

    key: str
    folder: RunsDir
    run: RunSummary

    @property
    def is_readable(self) -> bool:
        return bool(self.run.algorithm)

    @property
    def group(self) -> str:
        """Under which heading it stands."""
        if cache.is_bundled(self.folder.path):
            return "bundled"
        if self.folder.path != cache.own_folder():
            return "experiments"
        if self.run.imported:
            return "brought"
        return "class" if self.run.read_only else "yours"

    @property
    def actions(self) -> list[str]:
        """What can be done to it; nothing to a bundled run."""
        if self.run.read_only:
            return []
        is_followed = self.run.imported and self.run.state == RunState.RUNNING
        is_resumable = not self.run.imported and self.is_readable and self.run.state in live.RESUMABLE
        return [*(["resume"] if is_resumable else []), *(["unfollow"] if is_followed else []), "delete"]

    @property
    def views(self) -> dict[str, dict[str, str]]:
        """Key of PAGES -> query parameters of the page that shows the run: Train one's own, Inspect from the first step
        on, and the same to score solutions again that another tool recorded."""
        found = {}
        if self.is_readable and self.run.last_step is not None:
            found["inspect"] = {"run": self.key}
        if self.is_readable and not self.run.read_only and self.run.job_id:
            found["train"] = {"job": self.run.job_id}
        if self.run.tool and "inspect" in found:
            found["rescore"] = found["inspect"] | {"more": "rescore"}
        return found

    @property
    def step(self) -> str:
        if not self.is_readable:
            return ""
        if self.run.tool:  # how many it was to have was not recorded
            return str(self.run.last_step)
        return f"{'–' if self.run.last_step is None else self.run.last_step}/{self.run.steps}"

    @property
    def numbers(self) -> tuple[float | None, float | None]:
        """Newest sampled and greedy accuracy; of a brought run, which nobody here judged, its first and last mean
        reward."""
        ends = self.run.ends
        if self.run.imported:
            return ends.get("reward_mean", (None, None))
        return tuple(ends[name][1] if name in ends else None for name in ("sampled_accuracy", "greedy_accuracy"))

    @property
    def settings(self) -> str:
        """The settings that usually tell runs apart; of a run that another tool recorded what is in it."""
        config = self.run.config
        if self.run.imported:
            return _contents(self.run.imported)
        read = RULES[config.algorithm].settings
        facts = [
            *(setting_text(name, getattr(config, name)) for name in ("beta", "actor_coef") if name in read),
            f"learning rate {config.learning_rate:g}",
            f"{config.prompts_per_step} × {config.group_size}",
            said(config),
            f"flips {flips_text(config.reward_noise, config.reward_noise_unit)}" if config.reward_noise else "",
            f"seed {config.seed}",
            *model_facts(config),
        ]
        return " · ".join(fact.replace(" ", "\u00a0") for fact in facts if fact)


def _contents(imported: dict) -> str:
    """What a run of another tool holds, in a line."""
    survey, arrays = imported["survey"], imported["sources"]
    groups = survey.get("groups", {})
    there = [NAMES[name] for name in NAMES if arrays.get(name, "missing") != "missing"]
    tokens = "tokens" if arrays.get("ids", "missing") != "missing" else "text alone"
    parts = [
        imported["format"],
        f"{survey['rows']:,} solution{'' if survey['rows'] == 1 else 's'}",
        f"{groups['count']:,} group{'' if groups['count'] == 1 else 's'} of {groups['size']}"
        if groups.get("count")
        else "",
        ", ".join([tokens, *there]),
    ]
    return " · ".join(part for part in parts if part)


def entries() -> list[Entry]:
    """Own runs, newest first, then the bundled ones."""
    own = cache.runs_dir()
    runs = own.list()
    taken = {run.run_id for run in runs}
    runs = [run if own.may_change(run.run_id) else dataclasses.replace(run, read_only=True) for run in runs]
    return [Entry(run.run_id, own, run) for run in runs] + [
        Entry(BUNDLED + run.run_id if run.run_id in taken else run.run_id, RunsDir(folder, read_only=True), run)
        for folder, run in cache.bundled_runs()
    ]


def shown(found: list[Entry]) -> list[Entry]:
    """Those of `found` that the link names (?show=a,b), and the runs of experiments among them; all of `found` if it
    names none.
    """
    wanted = st.query_params.get("show")
    if wanted is None:
        return found
    keys = wanted.split(",")
    by_key = {entry.key: entry for entry in found}
    for name, folder in cache.experiment_folders().items():
        if f"{name}/" in wanted:
            runs = RunsDir(folder, read_only=True)
            named = {f"{name}/{run.run_id}": run for run in cache.summaries(folder)}
            by_key |= {key: Entry(key, runs, named[key]) for key in keys if key in named}
    return [by_key[key] for key in keys if key in by_key]


def show_all() -> None:
    """Button callback: forget which runs the link names."""
    state.put(show=None)


# --- lines -----------------------------------------------------------------------------------------------------------

_TITLES = {
    "yours": ("Yours", ""),
    "class": ("Your class's", "Of other students and of your teacher."),
    "brought": ("Brought", "Mean reward of the first and the last step, as its tool paid it."),
    "bundled": ("Bundled", "Read-only."),
    "experiments": ("Experiments", "Read-only."),
}


def groups(found: Sequence[Entry]) -> list[dict[str, Any]]:
    """The lines under their headings, as `runs_list` draws them; groups without any are left out."""
    return [
        {
            "key": group,
            "title": title,
            "why": why,
            "labels": [word.lower() for word in _words(group)],
            "heads": [
                *_HEADS,
                *([name, words, True] for name, words in zip(("first", "last"), _words(group), strict=True)),
                *_TAIL,
            ],
            "rows": rows,
        }
        for group, (title, why) in _TITLES.items()
        if (rows := [row(entry) for entry in found if entry.group == group])
    ]


def payload(found: Sequence[Entry]) -> dict[str, Any]:
    """What `runs_list` draws of these runs: their lines, the tags in use, and which of them are one's own."""
    own = [entry for entry in found if not entry.run.read_only]
    tags = {tag.casefold(): tag for entry in found for tag in entry.run.tags}
    return {
        "groups": groups(found),
        "tags": [tags[tag] for tag in sorted(tags)],
        "own": [entry.key for entry in own],
        "actions": ACTIONS,
    }


def address(notes: list[str]) -> dict[str, str]:
    """What the address says of the list: q, sort, tag and runs. A sort that is none is left out, with a note."""
    return {
        "q": st.query_params.get("q", "")[:LONGEST_SEARCH],
        "sort": state.chosen("sort", SORTS, SORTS[0], notes),
        "tag": st.query_params.get("tag", ""),
        "runs": ",".join(chosen_from_link()),
    }


def chosen_from_link() -> list[str]:
    """Keys of the ticked runs in the link (?runs=a,b), each once."""
    return list(dict.fromkeys(key for key in st.query_params.get("runs", "").split(",") if key))


def _words(group: str) -> tuple[str, str]:
    return _WORDS.get(group, _WORDS["yours"])


def row(entry: Entry) -> dict[str, Any]:
    """One line and what stands below it once it is opened. All of it is plain text."""
    run = entry.run
    word, sentence = _state(entry)
    first, last = entry.numbers
    settings = entry.settings if entry.is_readable else ""
    place = entry.folder.path.parent.name if entry.group == "experiments" else ""
    return {
        "key": entry.key,
        "id": run.run_id,
        "name": run.name,
        "given": run.given_name,
        "readable": entry.is_readable,
        "own": not run.read_only,
        "state": word,
        "tone": "wrong" if not entry.is_readable else _TONES.get(run.state, ""),
        "sentence": sentence,
        "settings": " · ".join(part for part in (place, settings, _measured_on(run)) if part),
        "steps": entry.step,
        "step": -1 if run.last_step is None else run.last_step,
        "first": first,
        "last": last,
        "firstText": _number(run, first),
        "lastText": _number(run, last),
        "tags": list(run.tags),
        "note": run.note,
        "made": run.created,
        "madeText": _day(run.created),
        "links": [
            {"words": PAGES[to], "href": f"{'train' if to == 'train' else 'inspect'}?{urlencode(query)}"}
            for to, query in entry.views.items()
        ],
        "actions": entry.actions,
    }


def _state(entry: Entry) -> tuple[str, str]:
    """State in a word; what happened and what to do next; for a folder that cannot be read, what is wrong with it."""
    run = entry.run
    if not entry.is_readable:
        return "Unreadable", run.message
    if not run.imported:
        return run.state.capitalize(), " ".join(filter(None, [run.message, RUN_STATE_ADVICE[run.state]]))
    if run.state == RunState.RUNNING:
        return "Followed", "New steps appear as they are written."
    if run.state == RunState.INTERRUPTED:
        return "Left", f"No longer followed. {NOT_FOLLOWED}"
    return "Brought", run.message or "Look closer in Inspect."


def _measured_on(run: RunSummary) -> str:
    if run.imported or "sampled_accuracy" not in run.ends:
        return ""
    known = [{"validation_problems": run.ends["validation_problems"][1]}] if "validation_problems" in run.ends else []
    return f"accuracy on {validation_problems(run.config, known)} validation problems"


def _number(run: RunSummary, value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.3g}" if run.imported else METRICS["sampled_accuracy"].text(value).replace(" %", "\u00a0%")


def _day(created: str) -> str:
    try:
        at = datetime.fromisoformat(created)
    except ValueError:
        return ""
    return f"{at:%d %b}" if at.year == datetime.now(UTC).year else f"{at:%b %Y}"


def left_alone() -> str:
    """What to say of folders beside one's own runs that the lab did not make."""
    return as_plain(runs_folder.left_alone(cache.runs_dir().others()))


def deleted() -> list[Deleted]:
    """One's own runs in the bin, the newest deletion first."""
    return cache.runs_dir().bin.entries()


def deleted_text(run: Deleted) -> str:
    """Its name, and until when it can come back."""
    name = cache.runs_dir().deleted_name(run)
    return f"**{as_plain(name)}**  :small[{as_plain(run.run_id)} · deleted {run.deleted:%d %B, %H:%M} UTC]"


def has_active(found: list[Entry]) -> bool:
    return any(entry.is_readable and entry.run.state in ACTIVE for entry in found)


def has_followed(found: list[Entry]) -> bool:
    return any(entry.run.imported and entry.run.state == RunState.RUNNING for entry in found)
