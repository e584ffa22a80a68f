"""Resume from an earlier step with other settings: a fork.

A fork begins with the records 0..N of its parent, copied as they are, and makes the update that follows record N, and
everything after it, with its own settings. Only the newest optimizer state of a run is kept, so it has to come from
somewhere:

    replay   the parent's steps are made again from the start, unkept, and each is compared with what the parent
    recorded;
             costs their time, and a fork that changes nothing then goes on exactly as its parent did
    fresh    Adam starts anew on the snapshot of step N: at once, but its first updates differ from the parent's even
             where no setting does

`header["fork"]` names parent, step and which of the two; its `phases` say which settings made which steps, over all
ancestors, so a fork is replayed without them. No torch here.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable
from typing import Literal

from vimpo_core.config import TrainConfig
from vimpo_core.mistake import Mistake
from vimpo_core.runs import bases
from vimpo_core.runs.store import RunStore
from vimpo_core.types import StepRecord, known

Optimizer = Literal["replay", "fresh"]
OPTIMIZERS: dict[str, str] = {
    "replay": "make the parent's steps again first; with the same settings it goes on exactly as the parent did",
    "fresh": "start at once with a new optimizer; its first updates differ even with the same settings",
}
FIXED = {
    "seed": "it decides the samples of the steps before",
    "model": "the steps before were made with the other one",
    "lora_rank": "the adapter of the step has the other one",
    "lora_layers": "the adapter of the step sits on the other ones",
    "task": "the steps before solved other problems",
    "operands": "the steps before solved other problems",
    "prompt_style": "the steps before read other prompts",
    "device": "the steps before were computed on the other one",
    "threads": "it can change the last digit of the steps before",
}
"""Settings that a fork shares with its parent, and why."""


def fork_header(parent: RunStore, step: int, config: TrainConfig, optimizer: Optimizer) -> dict:
    """What a fork's header says about where it comes from, once the wish was found to be possible.

    Raises:
        Mistake: no such step or, for a fresh optimizer, no intact snapshot of it; a setting that must not change; too
            few steps. The sentence names it.
    """
    if optimizer not in OPTIMIZERS:
        raise Mistake(f"unknown optimizer {optimizer!r}. Known: {', '.join(OPTIMIZERS)}.")
    before, last = parent.config(), parent.last_step()
    if last is None:
        raise Mistake(f"run {parent.run_id} has no step yet, so there is nothing to fork. Train it first.")
    if not 0 <= step <= last:
        raise Mistake(f"run {parent.run_id} has no step {step}. Choose one from 0 to {last}.")
    for name, why in FIXED.items():
        if getattr(config, name) != getattr(before, name):
            raise Mistake(f"{name} cannot change on a fork: {why}. Keep {getattr(before, name)}, or train a new run.")
    if config.steps <= step:
        raise Mistake(f"steps must be more than the fork's step {step}, got {config.steps}. Raise steps.")
    if optimizer == "fresh":
        parent.snapshot(step)
    phases = [phase for phase in phases_of(parent) if phase["start"] < step]
    phases.append({"start": step, "optimizer": optimizer, "config": config.to_dict()})
    return {
        "run_id": parent.run_id,
        "name": parent.header()["name"],
        "step": step,
        "optimizer": optimizer,
        "phases": phases,
    }


def base_of(parent: RunStore) -> dict:
    """What the header of a fork takes over: the model that the steps before were made with."""
    header = parent.header()
    weights = bases.recorded(header, parent.config()).weights
    model = header["model"] | {"sha256": weights, "is_base": weights is not None}
    taken = {name: header[name] for name in ("tokenizer_sha256", "tokenization_sha256", "problems") if name in header}
    return {"model": model, "ref": header["ref"], **taken}


def phases_of(store: RunStore) -> list[dict]:
    """Which settings made which steps, oldest first: start (the first update), config, and optimizer: "new" or a
    fork's.
    """
    fork = store.header().get("fork")
    return fork["phases"] if fork else [{"start": 0, "optimizer": "new", "config": store.config().to_dict()}]


def changed_settings(before: TrainConfig, after: TrainConfig) -> dict:
    """The settings in which a fork differs from its parent."""
    own, old = after.to_dict(), before.to_dict()
    return {name: value for name, value in own.items() if value != old[name]}


class Deviates(Mistake):
    """A step made again is not what the parent recorded."""


class ForkTrainer:
    """The trainer of a fork that has no step of its own yet: leads `make_trainer`'s through the past.

    Steps up to the fork's are made again; the caller does not keep their records. Raises Deviates from `step()` when
    one of them is not what the store holds.
    """

    def __init__(self, store: RunStore, make_trainer: Callable):
        phases = phases_of(store)
        first = max((i for i, phase in enumerate(phases) if phase["optimizer"] == "fresh"), default=0)
        self._phases = {phase["start"]: TrainConfig.from_dict(phase["config"]) for phase in phases[first:]}
        self._forked_at = {phase["start"] for phase in phases if phase["optimizer"] != "new"}
        self._store, self._until = store, known(store.last_step())
        self._recorded = {row.pop("step"): row for row in store.metrics(timings=False)}
        self._snapshots = set(store.snapshot_steps())
        start = phases[first]["start"]
        is_fresh, config = phases[first]["optimizer"] == "fresh", self._phases[start]
        here = bases.on_this_machine(config)
        if here != config and not (is_fresh and self._until == start):
            raise Mistake(
                f"the parent's steps were computed on {config.device}, which this computer lacks, so that they cannot "
                "be made again exactly. Fork with a fresh optimizer (--optimizer fresh)."
            )
        self._trainer = make_trainer(here, None)
        if is_fresh:
            self._trainer.start_at(start, store.snapshot(start))

    @property
    def next_step(self) -> int:
        return self._trainer.next_step

    @property
    def header(self) -> dict:
        return self._trainer.header

    @property
    def done(self) -> bool:
        return self._trainer.done

    def step(self) -> StepRecord:
        step = self.next_step
        self._trainer.config = self._phases.get(step, self._trainer.config)
        record = self._trainer.step()
        if step <= self._until:
            self._compare(record)
        return record

    def _compare(self, record: StepRecord) -> None:
        """Where settings change, the stored record was made with the older ones, and only the policy has to be the
        same.
        """
        step = record.step
        is_same = step in self._forked_at or record.metrics == self._recorded[step]
        if record.snapshot is not None and step in self._snapshots:
            is_same = is_same and record.snapshot == self._store.snapshot(step)
        if not is_same:
            raise Deviates(
                f"step {step} came out otherwise than the parent recorded it, as happens on another computer or after "
                "an update. Fork again with a fresh optimizer."
            )


def first_replayed(header: dict) -> int:
    """The step with which a fork begins: 0, or where the last fresh optimizer of its ancestry and its own started."""
    phases = header["fork"]["phases"]
    return max((phase["start"] for phase in phases if phase["optimizer"] == "fresh"), default=0)


def steps_to_replay(header: dict, last_step: int | None, replayed: int | None) -> int:
    """How many steps a run has to make again before the next one of its own; 0 for all but a fork that begins.

    replayed: the last step that was made again, None before the first.
    """
    fork = header.get("fork")
    if not fork or last_step is None or last_step > fork["step"]:
        return 0
    return fork["step"] - (first_replayed(header) - 1 if replayed is None else replayed)


def describe(fork: dict) -> str:
    """Where a run comes from, in a sentence."""
    how = {
        "replay": "the optimizer was rebuilt by replaying the steps before",
        "fresh": "the optimizer started anew there",
    }[fork["optimizer"]]
    return f"a fork of {fork['name']} ({fork['run_id']}) at step {fork['step']}; {how}"


def command_line(parent_id: str, step: int, before: TrainConfig, after: TrainConfig, optimizer: str) -> str:
    """The command that makes the same fork."""
    words = ["python", "-m", "vimpo_core", "fork", parent_id, "--step", str(step)]
    words += [] if optimizer == "replay" else ["--optimizer", optimizer]
    for name, value in changed_settings(before, after).items():
        words += [f"--{name.replace('_', '-')}", str(value)]
    return shlex.join(words)


def default_name(parent_name: str, step: int, before: TrainConfig, after: TrainConfig) -> str:
    """What a fork is called until somebody names it: "VIMPO beta 0.1, seed 0 from step 50: beta 0.3"."""
    changes = ", ".join(
        f"{name} {value:g}" if isinstance(value, float) else f"{name} {value}"
        for name, value in changed_settings(before, after).items()
    )
    return f"{parent_name} from step {step}: {changes or 'nothing changed'}"
