"""Rows of any format -> the run that they are: traces, groups, settings and a header that says where it came from.

The run is written while it is read, so that its size does not matter, and appears whole or not at all.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import math
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from vimpo_core.config import ALGORITHMS, TrainConfig
from vimpo_core.formats.incoming import rows
from vimpo_core.formats.incoming.adapters import Adapter
from vimpo_core.formats.incoming.opening import File
from vimpo_core.formats.incoming.recognise import NOT_FORESEEN, Recognised
from vimpo_core.formats.incoming.rows import TOKEN_ARRAYS, Refusal, Row
from vimpo_core.formats.incoming.survey import Survey
from vimpo_core.formats.incoming.tokenizing import Tokenizing
from vimpo_core.lm import sources
from vimpo_core.lm.known import KNOWN
from vimpo_core.mistake import Mistake
from vimpo_core.runs import labels, recorded_settings
from vimpo_core.runs.new_run import NewRun
from vimpo_core.runs.store import RunStore
from vimpo_core.tasks import registry
from vimpo_core.types import CreditTrace

MAX_ROWS = 200_000
LONGEST_NAME = 80
MAX_EXTRAS = 60
"""Named values of a row that are kept; a table of hundreds of columns is cut."""
HOPELESS = 2000
"""Rows of a file that are refused, none before them taken, after which it is not read on."""
MAX_NAMED = 100
"""Files that are named in a run's header, which every list of runs reads."""
MAX_STEP = 10**9
MISSING = "missing"
LACKING = "Adapters and the optimizer are", "The optimizer is"
"""What is not there without adapters, and with them."""
_TOLD_EVERY = 100
"""Rows after which it is told how far the reading is."""
_PIECE = re.compile(r"\n|[^\S\n]*\S{1,100}|[^\S\n]+")
Told = Callable[[int, int], None]


def pieces(completion: str) -> tuple[str, ...]:
    """A completion cut at spaces and line ends, where its tokens were not recorded: the pieces concatenate to it."""
    return tuple(_PIECE.findall(completion)) or ("",)


def to_trace(row: Row, step: int, group_id: int, sample_idx: int) -> CreditTrace:
    """A row as the lab keeps it; its group's mean reward is nan until all are there. Raises Mistake, one sentence,
    where its parts do not fit together.
    """
    paid = (row.reward, row.advantage, *row.rewards.values()) if row.trace is None else (row.trace.reward,)
    if any(value is not None and abs(value) > rows.LARGEST for value in paid):
        raise Mistake(f"a reward or advantage of it is beyond {rows.LARGEST:g}.")
    if row.trace is not None:
        return row.trace
    texts, length = _tokens(row)
    if len(row.arrays) > MAX_EXTRAS or len(row.rewards) > MAX_EXTRAS:
        raise Mistake(f"it has more than {MAX_EXTRAS} rewards or numbers a token.")
    for name, values in row.arrays.items():
        if len(values) != length:
            raise Mistake(f"it has {length} tokens and another number of entries in {name}.")
    if row.mask is not None and len(row.mask) != length:
        raise Mistake(f"it has {length} tokens and another number of entries in its mask.")
    if row.reward is None and row.advantage is None and not row.arrays:
        raise Mistake("it has no reward.")
    ours: dict[str, Any] = {n: np.asarray(v, np.float32) for n, v in row.arrays.items() if n in TOKEN_ARRAYS}
    says_something = bool(row.completion or row.texts is not None or row.ids is not None)
    is_spelt = (row.texts is None and row.ids is None) or "".join(texts) == row.completion or not row.completion
    extras = dict(itertools.islice(row.extras.items(), MAX_EXTRAS))
    return CreditTrace(
        step=step,
        group_id=group_id,
        sample_idx=sample_idx,
        prompt_text=rows.as_text(row.prompt),
        prompt_ids=row.prompt_ids or (),
        gold=row.gold,
        reward=math.nan if row.reward is None else row.reward,
        group_mean_reward=math.nan,
        finish_reason=row.finish,
        ids=np.asarray(row.ids, np.int32) if row.ids is not None else np.full(length, -1, np.int32),
        text=texts,
        mask=np.full(length, says_something) if row.mask is None else np.asarray(row.mask, bool),
        rewards={name: value for name, value in row.rewards.items() if value is not None},
        prompt_messages=() if isinstance(row.prompt, str) else tuple((m["role"], m["content"]) for m in row.prompt),
        tool_advantage=row.advantage,
        tool_arrays={n: np.asarray(v, np.float32) for n, v in row.arrays.items() if n not in TOKEN_ARRAYS},
        extras=extras if is_spelt else {**extras, "completion": row.completion},
        provenance=_provenance(row),
        **ours,
    )


def _tokens(row: Row) -> tuple[tuple[str, ...], int]:
    """The texts of a row's tokens, or what stands for them, and how many there are."""
    if row.ids is not None and row.texts is not None and len(row.ids) != len(row.texts):
        raise Mistake(f"it has {len(row.ids)} token ids and {len(row.texts)} texts of tokens.")
    if row.texts is not None:
        return row.texts, len(row.texts)
    if row.ids is None:
        if row.arrays:
            raise Mistake("it has numbers a token and no tokens.")
        found = pieces(row.completion)
        return found, len(found)
    return tuple(f"[{token}]" for token in row.ids), len(row.ids)


def _provenance(row: Row) -> dict[str, str]:
    found = {
        name: f"approximate ({row.approximate[name]})" if name in row.approximate else "recorded"
        for name in row.arrays
        if name in TOKEN_ARRAYS
    }
    if row.ids is None:
        found["ids"] = MISSING
    if row.ids is not None and row.texts is None:
        found["text"] = MISSING
    return found


@dataclass
class Builder:
    """Gives rows their step, group and place in it, and keeps the little that the end needs of each."""

    survey: Survey = field(default_factory=Survey)
    groups: dict[int, dict[Any, list[int]]] = field(default_factory=dict)
    """step -> key -> number of the group and how many it has."""
    places: set[tuple[int, int, int]] = field(default_factory=set)
    prints: dict[int, Any] = field(default_factory=dict)
    texts: dict[int, set] = field(default_factory=dict)
    tokenizing: Tokenizing | None = None
    looked: Any = None
    """What a reader made of all files together (`rows`)."""

    def trace(self, row: Row) -> CreditTrace | None:
        """The row as a trace; None where it is refused, which is counted."""
        step = row.trace.step if row.trace is not None else row.step or 0
        groups, key = self.groups.get(step, {}), self._key(row)
        number, size = groups.get(key, (len(groups), 0))
        try:
            if step > MAX_STEP:
                raise Mistake(f"its step is beyond {MAX_STEP}.")
            trace = to_trace(row, step, number, size)
            place = trace.step, trace.group_id, trace.sample_idx
            if place in self.places:
                raise Mistake("another record has its step, group and number.")
        except Mistake as error:
            self.survey.refuse(Refusal(row.place, str(error)))
            return None
        self.places.add(place)
        groups[key] = [number, size + 1]
        self.groups[step] = groups
        self.survey.take(row, trace)
        self._print(row, step)
        return trace

    @staticmethod
    def _key(row: Row) -> Any:
        if row.trace is not None:
            return row.trace.group_id
        said = row.prompt if row.prompt or row.prompt_ids is None else row.prompt_ids
        marks = ["group", row.group] if row.group is not None else ["prompt", said]
        return hashlib.blake2b(json.dumps(marks).encode(), digest_size=16).digest()  # of long prompts, kept for all

    def _print(self, row: Row, step: int) -> None:
        if row.trace is not None:
            return
        said = [row.prompt, row.completion, row.rewards, row.reward, row.advantage, row.ids]
        self.prints.setdefault(step, hashlib.sha256()).update(json.dumps(said).encode())
        self.texts.setdefault(step, set()).add(row.completion if len(self.texts.get(step, ())) < 2 else None)

    def repeats(self) -> list[int]:
        """Steps that hold the very rows of the step before: a batch that its tool wrote again."""
        found, before = [], None
        for step in sorted(self.prints):
            mark = self.prints[step].digest()
            if mark == before and len(self.texts[step]) > 1:
                found.append(step)
            before = mark
        return found

    def forget(self, step: int) -> None:
        """A step whose rows are those of the one before; it may be said again."""
        if self.groups.pop(step, None) is not None:
            self.survey.forget(step)

    def sizes(self) -> dict[int, list[int]]:
        """step -> the sizes of its groups."""
        return {step: [size for _, size in groups.values()] for step, groups in self.groups.items()}


def read_rows(recognised: Recognised, builder: Builder, told: Told | None = None) -> Iterator[CreditTrace]:
    """The traces of all files, in order; what is refused is counted in the builder's survey."""
    sizes = [file.size for file in recognised.files]
    builder.tokenizing = builder.tokenizing or Tokenizing(str(recognised.facts.get("model") or ""))
    reader = recognised.reader
    if hasattr(reader, "look"):
        builder.looked = reader.look(recognised.files, recognised.beside, builder.looked)
        for said in builder.looked.notes:
            builder.survey.note(said)
    for index, file in enumerate(recognised.files):
        taken = 0
        try:
            for number, found in enumerate(records_of(reader, file, builder.looked)):
                if told and number % _TOLD_EVERY == 0:
                    told(sum(sizes[:index]) + int(file.share * sizes[index]), max(1, sum(sizes)))
                if taken == 0 and number >= HOPELESS:
                    file.refuse(f"holds nothing that can be taken in its first {HOPELESS} rows")
                if isinstance(found, Refusal):
                    builder.survey.refuse(found)
                    continue
                if builder.survey.kept >= MAX_ROWS:
                    builder.survey.too_many = (
                        f"There are more than {MAX_ROWS:,} rows: the first {MAX_ROWS:,} were read, from "
                        f"{recognised.files[0].name} to {file.name}."
                    )
                    return
                trace = builder.trace(found)
                if trace is not None:
                    taken += 1
                    builder.tokenizing.take(trace)
                    yield trace
        except (Mistake, OSError) as error:  # the rest of this file: what was read of it before stays
            builder.survey.refuse(Refusal(file.name, str(error)))
        except NOT_FORESEEN as error:
            why = f"its reader did not foresee what it holds ({type(error).__name__}), so it was not read on."
            builder.survey.refuse(Refusal(file.name, why))
        file.forget()


def records_of(reader: ModuleType, file: File, looked: Any) -> Iterator[Row | Refusal]:
    return reader.read(file, looked) if hasattr(reader, "look") else reader.read(file)


def survey(recognised: Recognised, told: Told | None = None, adapters: Sequence[Adapter] = ()) -> dict[str, Any]:
    """The first table of what was brought; nothing is written. Raises Mistake where nothing can be taken of it."""
    builder = Builder()
    for _ in read_rows(recognised, builder, told):
        pass
    return described(recognised, builder, adapters)


def import_run(
    recognised: Recognised,
    run_dir: Path,
    name: str = "",
    told: Told | None = None,
    folder: Path | None = None,
    hidden: Path | None = None,
    adapters: Sequence[Adapter] = (),
) -> RunStore:
    """Make the run. folder: where its files lie on this machine, None where they were handed over; hidden: see
    `NewRun`; adapters: to keep with it.

    Raises Mistake where nothing can be taken, StoreError where it cannot be written: nothing is left then.
    """
    builder = Builder()
    with NewRun(run_dir, hidden) as new:
        for trace in read_rows(recognised, builder, told):
            new.add(trace)
        for step in builder.repeats():
            new.drop_step(step)
        found = described(recognised, builder, adapters)
        settings = settings_of(recognised, builder)
        header = header_of(recognised, found, settings, " ".join(name.split())[:LONGEST_NAME] or found["name"])
        header["imported"]["fingerprint"] = recognised.fingerprint
        header["imported"]["folder"] = folder and str(folder.absolute())
        for adapter in adapters:
            new.keep(adapter.name, adapter.files)
        return new.finish(settings.config, header, metrics_of(recognised, builder))


def metrics_of(recognised: Recognised, builder: Builder) -> dict[int, dict[str, float]]:
    """What was found of each step, under what the files themselves say of it and of steps without solutions."""
    found = builder.survey.metrics()
    if hasattr(recognised.reader, "metrics"):
        for file in recognised.files:
            for said in _metrics(recognised, file):
                numbers = {str(n)[:60]: rows.number(v, n) for n, v in said.items() if isinstance(v, int | float)}
                step = numbers.pop("step", None)
                if step is not None and 0 <= step <= MAX_STEP and step == int(step):
                    of_step = found.setdefault(int(step), {})
                    of_step |= {name: value for name, value in numbers.items() if value is not None}
    return found


def _metrics(recognised: Recognised, file: File) -> list[dict]:
    try:
        return recognised.reader.metrics(file)
    except (OSError, *NOT_FORESEEN):  # Mistake too: they are not worth the rows
        return []


def slug(recognised: Recognised) -> str:
    """What the ids of its runs begin with."""
    return recorded_settings.tool_mark(tool_of(recognised))


def tool_of(recognised: Recognised) -> str:
    """The tool that recorded the run, also where this lab wrote the file that was brought."""
    return str(recognised.facts.get("tool") or recognised.reader.TOOL)[:LONGEST_NAME]


def described(recognised: Recognised, builder: Builder, adapters: Sequence[Adapter] = ()) -> dict[str, Any]:
    """The first table. Raises Mistake where nothing could be taken."""
    for step in builder.repeats():
        builder.forget(step)
    if not builder.survey.kept:
        raise Mistake(_nothing(recognised, builder.survey))
    tool = tool_of(recognised)
    settings_of(recognised, builder)  # says what of the settings cannot be used
    found = builder.survey.as_dict(builder.sizes())
    found["notes"] = [*map(str, recognised.facts.get("notes", ())), *found["notes"]]
    if builder.tokenizing is not None:
        found["doubts"] += builder.tokenizing.doubts()
    if adapters:
        found["cannot"] = [said.replace(*LACKING) for said in found["cannot"]]
    if model := str(recognised.facts.get("model") or "")[:200]:
        is_here = (model == sources.BUNDLED or model in KNOWN) and sources.is_here(model)
        found["cannot"] += (
            []
            if is_here
            else [f"It names its model, {model}: a name is not followed, so choose the model yourself to re-score it."]
        )
    return {
        "tool": tool,
        "format": recognised.reader.NAME,
        **names_of([file.name for file in recognised.files]),
        "left_alone": _some(recognised.left_alone),
        "name": str(recognised.facts.get("name") or f"{tool} run")[:LONGEST_NAME],
        **found,
        "adapters": [adapter.name for adapter in adapters],
    }


def names_of(files: list[str]) -> dict[str, Any]:
    """The names of a run's files, as far as a header should hold them, and how many they are."""
    return {"files": files[:MAX_NAMED], "file_count": len(files)}


def _some(left_alone: dict[str, str]) -> dict[str, str]:
    if len(left_alone) <= MAX_NAMED:
        return left_alone
    more = f"{len(left_alone) - MAX_NAMED} more files are left alone."
    return {**dict(itertools.islice(left_alone.items(), MAX_NAMED)), "": more}


def _nothing(recognised: Recognised, survey: Survey) -> str:
    if not survey.refused:
        return f"{recognised.files[0].name} holds no rows. There is nothing to bring."
    why, (count, places) = max(survey.refused.items(), key=lambda item: item[1][0])
    return f"none of the rows of {recognised.reader.NAME} can be taken. {places[0]}: {why}" + (
        f" So it is with {count} rows." if count > 1 else ""
    )


@dataclass(frozen=True)
class Settings:
    """What a run can be looked at with, and the names of what its files said of it: the rest is nobody's setting."""

    config: TrainConfig
    recorded: tuple[str, ...]


def settings_of(recognised: Recognised, builder: Builder) -> Settings:
    """Settings of the run. A recorded path is never opened: a model that is no part of the lab counts as not chosen."""
    sizes = Counter(size for of_step in builder.sizes().values() for size in of_step)
    counted: dict[str, Any] = {
        "task": registry.RECORDED,
        "model": sources.NOT_CHOSEN,
        "steps": max(1, *builder.groups),
        "group_size": max(2, sizes.most_common(1)[0][0]),
        "prompts_per_step": max(len(of_step) for of_step in builder.groups.values()),
    }
    facts, survey = recognised.facts, builder.survey
    said = {name: facts[name] for name in ("beta", "gae_lambda") if isinstance(facts.get(name), float)}
    if facts.get("algorithm") in ALGORITHMS:
        said["algorithm"] = facts["algorithm"]
    usual = {"algorithm": "grpo"}
    if isinstance(facts.get("config"), dict):
        told = said | _usable(facts["config"])
        try:
            return Settings(TrainConfig.from_dict(usual | counted | told), tuple(sorted(told)))
        except Mistake:
            survey.note("The settings that were recorded with it are none of this version, and are not used.")
    try:
        return Settings(TrainConfig(**usual | counted | said), tuple(sorted(said)))
    except Mistake as error:
        survey.note(f"A setting that was recorded is not used: {error}")
        said = {name: value for name, value in said.items() if name == "algorithm"}
        return Settings(TrainConfig(**usual | counted | said), tuple(said))


def _usable(told: dict[str, Any]) -> dict[str, Any]:
    """Recorded settings that this version has; not a model or task that would open a file."""
    own = {name: value for name, value in told.items() if name in TrainConfig.__dataclass_fields__}
    if own.get("model") != sources.BUNDLED and own.get("model") not in KNOWN:
        own.pop("model", None)
    if not _is_made_here(own.get("task")):
        own.pop("task", None)
    return own


def _is_made_here(task: Any) -> bool:
    """Whether a recorded task is one that opens no file."""
    kind = str(task).partition(":")[0].partition("?")[0]
    return kind in registry.TASKS and not registry.TASKS[kind].opens


def header_of(recognised: Recognised, found: dict[str, Any], settings: Settings, name: str) -> dict[str, Any]:
    facts = recognised.facts
    temperature = facts.get("temperature")
    has_temperature = isinstance(temperature, int | float) and 0 < temperature < 100
    return {
        "name": name,
        **labels.of_header(facts),
        "model": {"id": str(facts.get("model") or "")[:300], "revision": None},
        "ref": {"id": str(facts.get("reference") or "")[:300], "revision": None},
        "temperature": temperature if has_temperature else None,
        "kl_estimator": "exact" if found["arrays"]["kl"].startswith("recorded") else None,
        "imported": {
            "tool": found["tool"],
            "format": found["format"],
            "rule": settings.config.algorithm if "algorithm" in settings.recorded else "",
            "settings": list(settings.recorded),
            "files": found["files"],
            "survey": found,
            "sources": found["arrays"],
            "notes": found["notes"],
            "folder": None,
            "follows": False,
            "updates_behind": facts.get("updates_behind", getattr(recognised.reader, "UPDATES_BEHIND", 1)),
        },
    }
