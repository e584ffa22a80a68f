"""A further task is one file and one entry: a made-up one trains, is measured and is read again with nothing else
changed.
"""

import random
from dataclasses import dataclass

import pytest

from vimpo_core.config import TrainConfig
from vimpo_core.mistake import Mistake
from vimpo_core.runs import bases
from vimpo_core.solutions import picks
from vimpo_core.solutions.steps import mistake_note, step_starts
from vimpo_core.tasks import WholeSolutions, chain, registry
from vimpo_core.tasks.spec import parse
from vimpo_core.trainer import Group, Trainer, flipped, flips_of
from vimpo_core.types import Problem, StopReason, Verdict, VerdictStatus


@dataclass(frozen=True)
class LastDigit(WholeSolutions):
    """Write the last digit of a number; one step. Half a reward for a digit one too large."""

    name = "last digit"
    end = "."
    max_new_tokens = 4
    typical_length = 2.0
    verifies_steps = True
    gives_partial_rewards = True
    prompt_style = "plain"

    def source(self):
        return {"digits": "ten of them"}

    def state(self, prompt):
        if not prompt.endswith("*="):
            raise Mistake("no digit to find.")
        return Problem(prompt, prompt[-3])

    def render(self, problem, chat):
        return problem.prompt

    def verify_all(self, answers):
        return [self.verify(*answer) for answer in answers]

    def problem(self, rng, split):
        prompt = f"{rng.randint(0, 9999)}*="
        return Problem(prompt, prompt[-3])

    def problems(self, seed, split, count):
        rng = random.Random(f"{seed}/{split}")
        return [self.problem(rng, split) for _ in range(count)]

    def verify(self, problem, completion, finish_reason):
        if finish_reason is StopReason.EOS and completion == problem.gold + self.end:
            return Verdict(VerdictStatus.CORRECT, completion[:1])
        is_near = completion[:1].isdecimal() and int(completion[0]) == int(problem.gold) + 1
        return Verdict(VerdictStatus.INCORRECT, completion[:1], partial=0.5 * is_near)

    def first_wrong(self, problem, completion):
        return None if completion.startswith(problem.gold) else 0

    def mistake(self, problem, completion):
        return "another digit" if self.first_wrong(problem, completion) == 0 else ""


def asks(prompt, config):
    return LastDigit() if prompt.endswith("*=") else None


@pytest.fixture
def with_last_digit(monkeypatch):
    """The registry with one more entry."""
    kind = registry.Kind("digit", "a digit", lambda spec, config: None, lambda spec, config: LastDigit(), asks)
    monkeypatch.setitem(registry.TASKS, "digit", kind)


def test_a_further_task_needs_one_entry_to_train_and_to_be_measured(with_last_digit):
    config = TrainConfig(task="digit", steps=1, prompts_per_step=2, group_size=2, eval_prompts=8, warmup_steps=1)
    records = []
    trainer = Trainer(config)
    while not trainer.done:
        records.append(trainer.step())
    assert {trace.prompt_text[-2:] for trace in records[0].traces} == {"*="}
    assert 0 <= records[0].metrics["greedy_accuracy"] <= 1
    assert trainer.header["problems"] == {"digits": "ten of them"}
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
    with pytest.raises(ValueError, match=r"^task must be one of chain.*, got 'poetry'"):
        TrainConfig(task="poetry")


@pytest.mark.parametrize(
    ("task", "words"),
    [
        ("chain?a=1", "task chain takes no argument and no options"),
        ("chain:x", "task chain takes no argument and no options"),
        ("chain?a", "options that are not name=value"),
        ("chain?a=1&a=2", "gives the option 'a' twice"),
        ("chain\n", "must be printable text"),
        ("c" * 2001, "at most 2000 characters"),
        ("", "must be one of chain"),
    ],
)
def test_a_task_that_cannot_be_read_is_refused_in_a_sentence(task, words):
    with pytest.raises(Mistake, match=r"^task ") as refused:
        TrainConfig(task=task)
    assert words in str(refused.value)


def test_a_spec_reads_as_it_is_written():
    for text in ("chain", "gym:chain_sum?min_terms=2&max_terms=3", "file:a?b.csv?prompt=the question&answer=x%3Dy"):
        assert str(parse(text)) == text


def test_partial_credit_is_a_reward_but_no_right_answer(with_last_digit):
    config = TrainConfig(task="digit", steps=1, prompts_per_step=4, group_size=8, eval_prompts=8, seed=3)
    (record,) = [Trainer(config).step()]
    half = [t for t in record.traces if t.reward == 0.5]
    assert half
    assert {t.status for t in half} == {"incorrect"}
    assert not any(picks.is_correct(t) for t in half)
    assert record.metrics["reward_mean"] == pytest.approx(sum(t.reward for t in record.traces) / 32)


def test_a_flip_of_half_a_reward_is_remembered():
    flips = flips_of(4, 1.0, "any")
    group = Group(Problem("1*=", "1"), [], [], flipped([0.5] * 4, flips), flips)
    assert (group.rewards, group.is_flipped) == ([0.5] * 4, True)


def test_problems_of_another_file_are_refused():
    bases.refuse_other_problems({}, {"problems": {"a.csv": "11"}}, "run x")
    bases.refuse_other_problems({"problems": {"a.csv": "11"}}, {"problems": {"a.csv": "11"}}, "run x")
    with pytest.raises(Mistake, match=r"^run x was begun with other problems: a.csv was 11, and is 22 now"):
        bases.refuse_other_problems({"problems": {"a.csv": "11"}}, {"problems": {"a.csv": "22"}}, "run x")


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
