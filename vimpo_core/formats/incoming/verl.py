"""verl's `trainer.rollout_data_dir` and `trainer.validation_data_dir`: JSON Lines, one file a step, text alone.

Special tokens are skipped in both texts, so that the words of roles stay and the marks of the chat template vanish.
Since 0.9 a `uid` a row says which solutions answer one prompt; before, equal prompts have to.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from vimpo_core.formats.incoming import rows
from vimpo_core.formats.incoming.rows import Incoming, Refusal, Row, Sample

NAME = "verl rollouts"
TOOL = "verl"
IN_ONE_FOLDER = True
_NOT_THE_STEP = (
    "What stands under step is not the step that the files' names say: a reward function returned a value of that "
    "name, which took the column's place. The steps are the names'."
)
_OWN = ("input", "output", "gts", "score", "step", "uid")


def matches(sample: Sample) -> bool:
    return sample.kind == "jsonl" and {"input", "output", "score"} <= set(sample.first)


@dataclass(frozen=True)
class Looked:
    """is_step_taken: whether what stands under step is another thing, and the files' names say the steps."""

    is_step_taken: bool
    notes: tuple[str, ...] = ()


def look(files: Sequence[Incoming], beside: Sequence[Incoming] = (), before: Looked | None = None) -> Looked:
    """Of several files, each named after its step: whether a record says another one."""
    named = [(_step_of(file.sample), file.sample.records) for file in files] if len(files) > 1 else []
    is_taken = bool(named) and None not in dict(named)
    is_taken = is_taken and any(one.get("step") != step for step, records in named for one in records)
    return Looked(is_taken, (_NOT_THE_STEP,) if is_taken else ())


def _step_of(sample: Sample) -> int | None:
    name = re.fullmatch(r"(\d{1,9})\.\w+", sample.name.rpartition("/")[2])
    return int(name[1]) if name else None


def read(file: Incoming, looked: Looked) -> Iterator[Row | Refusal]:
    return rows.each(file, functools.partial(_row, _step_of(file.sample) if looked.is_step_taken else None))


def facts(sample: Sample) -> dict[str, Any]:
    return {"notes": ["verl leaves the marks of the chat template out: the prompt is not what the model read."]}


def _row(of_file: int | None, place: str, values: dict[str, Any]) -> Row:
    rows.needs(values, "input", "output", "score")
    own = _OWN if of_file is None else tuple(name for name in _OWN if name != "step")
    return Row(
        place=place,
        step=rows.whole(values.get("step"), "step") if of_file is None else of_file,
        prompt=rows.text(values["input"], "input"),
        completion=rows.text(values["output"], "output"),
        reward=rows.reward(values["score"], "score"),
        gold=rows.label(values.get("gts")),
        group=_group(values.get("uid")),
        extras={name: rows.shown(one) for name, one in values.items() if name not in own and one is not None},
    )


def _group(uid: Any) -> str | None:
    """{sample}_{rollout}_{output}: the sample; of a uid without these parts all of it."""
    return str(uid).rsplit("_", 2)[0][:200] if isinstance(uid, str | int) else None
