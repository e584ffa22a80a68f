"""What the Runs page asks for: one entry a run, own and bundled or those that a link names, and which are ticked."""

from __future__ import annotations

from dataclasses import dataclass

import streamlit as st

from app import cache, live, state
from app.live import Sight
from app.settings import model_facts
from app.sources import BUNDLED, NOT_FOLLOWED
from app.text import as_plain
from app.words.arrays import NAMES
from vimpo_core.config import flips_text
from vimpo_core.files import in_words
from vimpo_core.measure.comparison import setting_text
from vimpo_core.measure.metrics import METRICS, last_value, validation_problems
from vimpo_core.mistake import Mistake
from vimpo_core.rules import RULES
from vimpo_core.runs import folder as runs_folder
from vimpo_core.runs.folder import ACTIVE, RunsDir, RunSummary
from vimpo_core.runs.run_bin import Deleted
from vimpo_core.service import follow
from vimpo_core.tasks.registry import said
from vimpo_core.types import RunState

RESUME, UNFOLLOW, RENAME, DELETE = "Resume", "Stop following", "Rename", "Delete"
_PROBLEM = "runs.problem"


@dataclass(frozen=True)
class Entry:
    """One line of the list. `key` is the run in links, as on the Inspect page; `sight` is None where the run cannot be
    read.
    """

    key: str
    folder: RunsDir
    run: RunSummary
    sight: Sight | None

    @property
    def is_readable(self) -> bool:
        return self.sight is not None

    @property
    def actions(self) -> list[str]:
        """What can be done to it; nothing to a bundled run."""
        if self.run.read_only:
            return []
        if self.run.imported:
            return [*([UNFOLLOW] if self.run.state == RunState.RUNNING else []), RENAME, DELETE]
        return [*([RESUME] if self.is_readable and self.run.state in live.RESUMABLE else []), RENAME, DELETE]

    @property
    def train_view(self) -> dict[str, str] | None:
        """Query parameters of the Train page; None for bundled and unreadable runs."""
        is_shown = self.is_readable and not self.run.read_only and self.run.job_id
        return {"job": self.run.job_id} if is_shown else None

    @property
    def inspect_view(self) -> dict[str, str] | None:
        """Query parameters of the Inspect page; None before the first step."""
        return {"run": self.key} if self.is_readable and self.run.last_step is not None else None

    @property
    def rescore_view(self) -> dict[str, str] | None:
        """Query parameters of Inspect where solutions that another tool recorded are scored again."""
        return self.inspect_view | {"more": "rescore"} if self.run.tool and self.inspect_view else None

    @property
    def step(self) -> str:
        if not self.is_readable:
            return ""
        if self.run.tool:  # how many it was to have was not recorded
            return f"step {self.run.last_step}"
        return f"step {'–' if self.run.last_step is None else self.run.last_step}/{self.run.steps}"

    @property
    def accuracies(self) -> str:
        """Newest sampled and greedy accuracy in words, and of which problems; "" before the first measurement."""
        rows = self.sight.rows if self.sight else []
        if self.run.imported:
            return _rewards(rows)
        values = [(word, last_value(rows, f"{word}_accuracy")) for word in ("sampled", "greedy")]
        lines = [f"{word} **{METRICS[f'{word}_accuracy'].text(v)}**" for word, v in values if v is not None]
        if lines:
            lines.append(f":gray[:small[of {validation_problems(self.run.config, rows)} validation problems]]")
        return "  \n".join(lines).replace(" %", "\u00a0%")

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


def _rewards(rows: list[dict]) -> str:
    """First and last mean reward of a run that nobody here judged."""
    means = [row["reward_mean"] for row in rows if row.get("reward_mean") is not None]
    if not means:
        return ":gray[no reward recorded]"
    said = f"mean reward **{means[0]:.3g}**" + (f" to **{means[-1]:.3g}**" if len(means) > 1 else "")
    return f"{said}  \n:gray[:small[as its tool paid it]]"


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
    return [_entry(run.run_id, own, run) for run in runs] + [
        _entry(BUNDLED + run.run_id if run.run_id in taken else run.run_id, RunsDir(folder, read_only=True), run)
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
            by_key |= {key: _entry(key, runs, named[key]) for key in keys if key in named}
    return [by_key[key] for key in keys if key in by_key]


def show_all() -> None:
    """Button callback: forget which runs the link names."""
    state.put(show=None)


def _entry(key: str, folder: RunsDir, run: RunSummary) -> Entry:
    try:
        sight = live.live_run(str(folder.path), run.run_id).look() if run.algorithm else None
    except (Mistake, OSError):  # gone since it was listed
        sight = None
    return Entry(key, folder, run, sight)


def name_text(entry: Entry) -> str:
    """Name with what tells it apart below."""
    name, run = as_plain(entry.run.name), entry.run
    if not entry.is_readable:
        return f"**{name}**"
    return f"**{name}**{as_plain(_place(entry))}  \n:small[{run.run_id} · {as_plain(entry.settings)}]"


def _place(entry: Entry) -> str:
    folder = entry.folder.path
    if entry.run.tool and folder == cache.own_folder():
        return f" (from {entry.run.tool})"
    if cache.is_bundled(folder):
        return " (bundled)"
    return "" if folder == cache.own_folder() else f" (experiment {folder.parent.name})"


def state_text(entry: Entry) -> str:
    """State and what to do next; for a folder that cannot be read, what is wrong with it."""
    run = entry.run
    if entry.is_readable and run.imported:
        return _state_of_brought(run)
    return live.state_line(run.state, run.message) if entry.is_readable else f"**Unreadable.** {as_plain(run.message)}"


def _state_of_brought(run: RunSummary) -> str:
    if run.state == RunState.RUNNING:
        return "**Followed.** New steps appear as they are written."
    if run.state == RunState.INTERRUPTED:
        return f"**No longer followed.** {as_plain(NOT_FOLLOWED)}"
    said = as_plain(run.message) if run.message else "Read-only: look closer in Inspect."
    return f"**Brought.** {said}"


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


# --- acting ----------------------------------------------------------------------------------------------------------


def resume(entry: Entry) -> None:
    """Queue a run again and wake the worker; a refusal is kept for `take_problem`."""
    try:
        entry.folder.resume([entry.run.run_id])
        entry.folder.ensure_worker()
    except (Mistake, OSError) as error:
        st.session_state[_PROBLEM] = in_words(error)


def unfollow(entry: Entry) -> None:
    """Ask whoever follows a run to end; a refusal is kept for `take_problem`."""
    try:
        with entry.folder.open_writable(entry.run.run_id) as store:
            follow.stop(store)
    except (Mistake, OSError) as error:
        st.session_state[_PROBLEM] = in_words(error)


def restore(entry: str) -> None:
    """Button callback: bring a deleted run back; a refusal is kept for `take_problem`."""
    try:
        cache.runs_dir().restore(entry)
    except (Mistake, OSError) as error:
        st.session_state[_PROBLEM] = in_words(error)


def take_problem() -> str:
    """The sentence of the last action that was refused, once."""
    return st.session_state.pop(_PROBLEM, "")


# --- ticking ---------------------------------------------------------------------------------------------------------


def chosen_from_link() -> list[str]:
    """Keys in the link (?runs=a,b)."""
    return [key for key in st.query_params.get("runs", "").split(",") if key]


def _put_in_link(keys: list[str]) -> None:
    state.put(runs=",".join(keys) or None)


def toggle(key: str) -> None:
    """Checkbox callback: add a run to what is compared, or take it out."""
    chosen = chosen_from_link()
    _put_in_link([k for k in chosen if k != key] if key in chosen else [*chosen, key])
