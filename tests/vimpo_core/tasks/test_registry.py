"""A further task is one file and one entry: a made-up one trains, is measured and is read again with nothing else
changed.
"""

import random
from dataclasses import dataclass

import pytest

from vimpo_core.config import TrainConfig
from vimpo_core.mistake import Mistake
from vimpo_core.solutions.steps import mistake_note, step_starts
from vimpo_core.tasks import chain, registry
from vimpo_core.trainer import Trainer
from vimpo_core.types import Problem, StopReason, Verdict, VerdictStatus


@dataclass(frozen=True)
class LastDigit:
    """Write the last digit of a number; one step."""

    name = "last digit"
    end = "."
    max_new_tokens = 4
    typical_length = 2.0

    def problem(self, rng, split):
        prompt = f"{rng.randint(0, 9999)}*="
        return Problem(prompt, prompt[-3])

    def problems(self, seed, split, count):
        rng = random.Random(f"{seed}/{split}")
        return [self.problem(rng, split) for _ in range(count)]

    def verify(self, problem, completion, finish_reason):
        is_right = finish_reason is StopReason.EOS and completion == problem.gold + self.end
        return Verdict(VerdictStatus.CORRECT if is_right else VerdictStatus.INCORRECT, completion[:1])

    def first_wrong(self, problem, completion):
        return None if completion.startswith(problem.gold) else 0

    def step_starts(self, completion):
        return []

    def mistake(self, problem, completion):
        return "another digit" if self.first_wrong(problem, completion) == 0 else ""

    def restyled(self, completion, rng):
        return completion


def asks(prompt):
    return LastDigit() if prompt.endswith("*=") else None


def states(prompt):
    if not prompt.endswith("*="):
        raise Mistake("no digit to find.")
    return Problem(prompt, prompt[-3])


@pytest.fixture
def with_last_digit(monkeypatch):
    """The registry with one more entry under a name that the settings know."""
    kind = registry.Kind(lambda config: LastDigit(), asks, states)
    monkeypatch.setitem(registry.TASKS, "digit", kind)
    field = TrainConfig.__dataclass_fields__["task"]
    metadata = {**field.metadata, "choices": tuple(registry.TASKS)}
    monkeypatch.setattr(field, "metadata", metadata)


def test_a_further_task_needs_one_entry_to_train_and_to_be_measured(with_last_digit):
    config = TrainConfig(task="digit", steps=1, prompts_per_step=2, group_size=2, eval_prompts=8, warmup_steps=1)
    records = []
    trainer = Trainer(config)
    while not trainer.done:
        records.append(trainer.step())
    assert {trace.prompt_text[-2:] for trace in records[0].traces} == {"*="}
    assert 0 <= records[0].metrics["greedy_accuracy"] <= 1
    wrong = next(t for t in records[0].traces if t.first_wrong == 0)
    assert mistake_note(wrong) == "another digit"
    assert step_starts(wrong) == [0]


def test_a_typed_prompt_is_read_by_the_first_task_that_understands_it(with_last_digit):
    assert registry.read_problem("123*=") == (LastDigit(), Problem("123*=", "3"))
    task, problem = registry.read_problem("9+2+9+7*6=")
    assert (task, problem.gold) == (chain.ChainTask(5), "62")


def test_a_prompt_that_no_task_understands_is_refused_in_the_first_one_s_words(with_last_digit):
    with pytest.raises(ValueError, match=r"^a problem is 2 to 8 numbers joined"):
        registry.read_problem("what?")


def test_an_unknown_task_is_refused_with_those_there_are():
    with pytest.raises(ValueError, match=r"task must be one of chain, got 'poetry'"):
        TrainConfig(task="poetry")


def test_a_run_made_before_tasks_had_names_is_chain_arithmetic():
    values = TrainConfig(operands=4).to_dict()
    del values["task"]
    assert registry.task_of(TrainConfig.from_dict(values)) == chain.ChainTask(4)


def test_nothing_outside_tasks_knows_a_task_by_name(pytestconfig):
    """But for what makes the bundled reference, which learns from its students."""
    root = pytestconfig.rootpath
    files = [f for package in ("vimpo_core", "app", "pages") for f in (root / package).rglob("*.py")]
    naming = [
        f.relative_to(root).as_posix()
        for f in files
        if "tasks.chain" in (text := f.read_text(encoding="utf-8")) or "ChainTask" in text
    ]
    allowed = {"vimpo_core/make/reference.py", "vimpo_core/tasks/chain.py", "vimpo_core/tasks/registry.py"}
    assert set(naming) <= allowed, sorted(set(naming) - allowed)
