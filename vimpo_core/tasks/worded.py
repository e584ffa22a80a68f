"""What the tasks in words have in common: wording, where the answer stands, options; a kind adds its problems and its
judge.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

from vimpo_core.mistake import Mistake
from vimpo_core.tasks import Answer, Chat, WholeSolutions
from vimpo_core.tasks.spec import Spec
from vimpo_core.tasks.wording import EXAMPLES, LONGEST, READINGS, read_answer, render
from vimpo_core.types import Problem, StopReason, Verdict, VerdictStatus
from vimpo_core.verifier import printable


@dataclass(frozen=True)
class WordedTask(WholeSolutions):
    """A task in words. spec: its setting; style: how prompts are worded; budget: tokens of a solution, 0 for the
    task's own; is_exact: partial credit counts nothing.
    """

    spec: Spec
    style: str = "plain"
    budget: int = 0
    is_exact: bool = False

    usual_budget: ClassVar[int] = 128
    readings: ClassVar[tuple[str, ...]] = ()
    """Choices of the option `read`, the usual one first."""
    gives_partial_rewards: ClassVar[bool] = False
    end: ClassVar[str] = ""

    @property
    def name(self) -> str:
        return str(self.spec)

    @property
    def max_new_tokens(self) -> int:
        return self.budget or self.usual_budget

    @property
    def typical_length(self) -> float:
        """Nobody has measured it: half the budget."""
        return self.max_new_tokens / 2

    @property
    def prompt_style(self) -> str:
        return self.style

    @property
    def read(self) -> str:
        """Where the answer is looked for: a choice of `wording.READINGS`."""
        usual = "line" if self.style == "few-shot" else self.readings[0]
        return dict(self.spec.options).get("read", usual)

    @property
    def asks(self) -> str:
        """The sentence that asks for the answer, in the style "chat"."""
        return dict(self.spec.options).get("ask", READINGS[self.read].asks)

    def problem(self, rng: random.Random, split: str) -> Problem:
        return self.problems(str(rng.random()), split, 1)[0]

    def problems(self, seed: str, split: str, count: int) -> list[Problem]:
        raise NotImplementedError

    def everything(self, most: int) -> list[Problem]:
        """The first problems, of all splits; those too whose gold answer the judge refuses."""
        raise NotImplementedError

    def facts(self) -> dict[str, str]:
        """What there is to know of where the problems come from, in words."""
        raise NotImplementedError

    def judged(self, asked: Sequence[tuple[Problem, str]]) -> list[Verdict]:
        """What the judge makes of answers, or of whole solutions where `read` is "marked"."""
        raise NotImplementedError

    def render(self, problem: Problem, chat: Chat) -> str:
        examples = _examples(self) if self.style == "few-shot" else ()
        return render(self.style, problem, examples, self.asks, chat)

    def verify(self, problem: Problem, completion: str, finish_reason: StopReason) -> Verdict:
        return self.verify_all([Answer(problem, completion, finish_reason)])[0]

    def verify_all(self, answers: Sequence[Answer]) -> list[Verdict]:
        read = [self._read(answer) for answer in answers]
        asked = [(answer.problem, text) for answer, (text, why) in zip(answers, read, strict=True) if not why]
        verdicts = iter(self.judged(asked) if asked else ())
        found = [Verdict(VerdictStatus.REJECTED, printable(text), why) if why else next(verdicts) for text, why in read]
        return [verdict.exact() for verdict in found] if self.is_exact else found

    def _read(self, answer: Answer) -> tuple[str, str]:
        if self.read == "marked" and r"\boxed" in (end := answer.completion[-LONGEST:]):
            return end, ""
        how = "all" if self.read == "marked" else self.read
        return read_answer(how, answer.completion, answer.finish_reason, self.max_new_tokens)


@lru_cache(maxsize=8)
def _examples(task: WordedTask) -> tuple[Problem, ...]:
    """Solved problems of the training split; one more than are shown, for the problem that is one of them."""
    return tuple(p for p in task.problems("few-shot", "train", 2 * EXAMPLES) if p.gold)[: EXAMPLES + 1]


def check_options(spec: Spec, known: Mapping[str, Sequence[str]], others_are_fine: bool = False) -> None:
    """Raise Mistake for an option that is not known, or a value outside its choices (() for any)."""
    for name, value in spec.options:
        if name not in known:
            if others_are_fine:
                continue
            raise Mistake(f"task {spec.kind} has no option {name[:40]!r}. Known: {', '.join(known)}.")
        if known[name] and value not in known[name]:
            raise Mistake(f"task option {name} must be one of {', '.join(known[name])}, got {value[:40]!r}.")


def drawn(found: dict[str, Problem], seed: str, count: int) -> list[Problem]:
    """`count` of the problems, in an order that the seed text gives; fewer where there are fewer."""
    prompts = list(found)
    return [found[prompt] for prompt in random.Random(seed).sample(prompts, min(count, len(prompts)))]
