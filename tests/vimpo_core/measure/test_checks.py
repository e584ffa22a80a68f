"""Does it add up? Every check passes on sound solutions, and goes red when the array it watches is broken."""

import dataclasses

import numpy as np
import pytest

from tests.support.fakes import FakeTrainer
from vimpo_core import credit
from vimpo_core.config import TrainConfig
from vimpo_core.lm import models, scores
from vimpo_core.lm.traces import trace_of_text
from vimpo_core.measure import checks
from vimpo_core.measure.checks import CLAIMS, ExpectedDeltas
from vimpo_core.paths import DEMOS
from vimpo_core.runs.folder import RunsDir
from vimpo_core.runs.store import RunStore
from vimpo_core.service import scoring
from vimpo_core.solutions import ledger, lenses
from vimpo_core.tasks.chain import ChainTask, problem_from
from vimpo_core.types import StopReason

BETA, LAMBDA = 0.3, 0.95


@pytest.fixture(scope="module")
def sound(moved_policy):
    """Four solutions of a problem under a policy far from its reference, with alternatives; the index of one that was
    wrong; and what the vocabulary says about it."""
    problem = problem_from("9+2+9+7*6=")
    prompt = models.encode(moved_policy, problem.prompt, "problem")
    solutions = (
        "9+2+9+42;11+9+42;20+42;62.",
        "9+2+9+42;11+9+42;10+42;52.",
        "9+2+9+42;11+9+42,20+42;62.",
        "9+2+9+49,11+9+49;20+49;69.",
    )
    traces = []
    for sample_idx, solution in enumerate(solutions):
        batch = batch_of(moved_policy, prompt, solution)
        measured = scores.score(moved_policy, batch, top_k=3)
        trace = trace_of_text(moved_policy, ChainTask(5), 7, problem, batch, measured)
        traces.append(trace.with_(sample_idx=sample_idx, sampler_logprob=trace.logprob.copy()))
    mean = float(np.mean([t.reward for t in traces]))
    traces = [t.with_(group_mean_reward=mean) for t in traces]
    batch = batch_of(moved_policy, prompt, solutions[1])
    log_ratio = scores.expected_log_ratio(moved_policy, batch)[0].numpy()
    return traces, 1, ExpectedDeltas(log_ratio, traces[1].kl.astype(np.float64))


def batch_of(policy, prompt_ids, solution):
    ids = models.encode_completion(policy, solution, ChainTask.end)
    return scores.make_batch([prompt_ids], [list(ids)], policy.pad_id)


def findings(traces, index, expected=None) -> dict:
    return {c.name: c for c in checks.solution_checks(traces, index, BETA, LAMBDA, expected)}


def failed(traces, index, expected=None) -> set:
    return {name for name, c in findings(traces, index, expected).items() if c.passed is False}


def with_change(sound, **changes):
    traces, index, expected = sound
    return [t.with_(**changes) if i == index else t for i, t in enumerate(traces)], index, expected


def bumped(array, token, by):
    changed = np.array(array)
    changed[token] += by
    return changed


def test_every_claim_has_one_check_in_the_order_of_the_page(sound):
    assert list(findings(*sound)) == list(CLAIMS)


def test_sound_solutions_pass_and_the_rest_says_why_not(sound):
    found = findings(*sound)
    assert {name for name, c in found.items() if c.passed is None} == {"untrained"}
    assert all(c.passed for name, c in found.items() if name != "untrained")
    assert "step 7" in found["untrained"].explanation


@pytest.mark.parametrize("run_id", ["vimpo-beta-0.1", "vimpo-beta-0.3", "grpo"])
def test_nothing_fails_on_the_bundled_runs(run_id):
    store = RunsDir(DEMOS, read_only=True).open(run_id)
    recorded = store.trace_steps()
    for step in (recorded[0], recorded[1], recorded[-1]):
        assert not any(checks.step_checks(store.traces(step), store.config().beta, LAMBDA).values()), step


def test_nothing_is_passed_that_was_not_recorded(sound):
    names = dict.fromkeys((*checks.TOKEN_ARRAYS, "topk"))
    found = findings(*with_change(sound, **names))
    assert {name for name, c in found.items() if c.passed} == {"shapes", "group", "end"}
    for c in found.values():
        assert c.passed is not None or (c.value is None and "not recorded" in c.explanation) or c.name == "untrained"


def test_a_solution_on_its_own_has_no_group_to_check(sound):
    traces, index, expected = sound
    found = findings([traces[index].with_(group_mean_reward=float("nan"))], 0, expected)
    assert {n for n in ("telescope", "anchors", "group") if found[n].passed is None} == {
        "telescope",
        "anchors",
        "group",
    }
    assert "stands alone" in found["telescope"].explanation
    assert found["digits"].passed


def test_the_line_that_adds_up_adds_up_in_its_own_digits(sound):
    for index, trace in enumerate(sound[0]):
        line = checks.telescope(trace.with_(group_mean_reward=1 / 3), BETA).explanation
        total, _, reward, *rest = line.replace("−", "-").split()
        mean, residual = (float("".join(pair)) for pair in (rest[:2], rest[2:]))
        assert float(total) == pytest.approx(float(reward) + mean + residual, abs=1e-9), (index, line)


# --- red when broken -------------------------------------------------------------------------------------------------


def breakages(trace):
    token = int(np.argmax(np.abs(lenses.credit_of(trace, BETA))))
    topk = trace.topk
    return {
        "log-probability above 0": ({"logprob": bumped(trace.logprob, token, 9)}, "logprob"),
        "log-probability of another token": (
            {"logprob": bumped(trace.logprob, token, -0.01)},
            "alternatives",
        ),
        "reference of another model": (
            {"ref_logprob": bumped(trace.ref_logprob, token, -0.01)},
            "alternatives",
        ),
        "reference above 0": ({"ref_logprob": bumped(trace.ref_logprob, token, 9)}, "logprob"),
        "log-probability not a number": ({"logprob": bumped(trace.logprob, token, np.nan)}, "telescope"),
        "log-probability minus infinity": ({"logprob": bumped(trace.logprob, token, -np.inf)}, "telescope"),
        "KL below 0": ({"kl": bumped(trace.kl, token, -2 * trace.kl[token] - 0.01)}, "kl"),
        "KL too small": ({"kl": bumped(trace.kl, token, -0.5 * trace.kl[token])}, "kl_bound"),
        "KL too large": ({"kl": bumped(trace.kl, token, 1e-4)}, "expectation"),
        "KL estimated by k1": ({"kl": trace.logprob - trace.ref_logprob}, "kl_exact"),
        "entropy below 0": ({"entropy": bumped(trace.entropy, token, -9), "topk": None}, "entropy"),
        "entropy in bits": ({"entropy": trace.entropy / np.float32(np.log(2)) ** -1}, "entropy"),
        "sampled at another temperature": ({"sampler_logprob": trace.sampler_logprob * 0.5}, "sampler"),
        "sampler's number above 0": (
            {"sampler_logprob": bumped(trace.sampler_logprob, token, 9)},
            "logprob",
        ),
        "alternatives of another position": (
            {"topk": dataclasses.replace(topk, logprob=np.roll(topk.logprob, 1, axis=0))},
            "alternatives",
        ),
        "alternatives that sum to more than 1": (
            {"topk": dataclasses.replace(topk, ref_logprob=topk.ref_logprob * 0)},
            "alternatives",
        ),
        "end token left out": ({"mask": np.append(trace.mask[:-1], False)}, "end"),
        "one number short": ({"kl": trace.kl[:-1]}, "shapes"),
        "reward changed": ({"reward": trace.reward + 1}, "group"),
        "group mean of another group": ({"group_mean_reward": trace.group_mean_reward + 0.1}, "group"),
        "credit before learning": ({"step": 0}, "untrained"),
    }


def test_the_right_check_goes_red_for_every_broken_array(sound):
    traces, index, _ = sound
    for what, (changes, name) in breakages(traces[index]).items():
        broken = with_change(sound, **changes)
        found = findings(*broken)[name]
        assert found.passed is False, what
        assert not found.value <= found.tolerance and found.explanation, what


def test_a_broken_array_leaves_unconcerned_checks_green(sound):
    traces, index, _ = sound
    trace = traces[index]
    assert failed(*with_change(sound, sampler_logprob=trace.sampler_logprob * 0.5)) == {"sampler"}
    assert failed(*with_change(sound, kl=bumped(trace.kl, 0, 1e-4))) == {"expectation"}
    assert failed(*with_change(sound, mask=np.append(trace.mask[:-1], False))) == {"end"}
    assert failed(*with_change(sound, step=0)) == {"untrained"}


def test_a_failure_names_the_worst_token(sound):
    trace = sound[0][sound[1]]
    found = findings(*with_change(sound, kl=bumped(trace.kl, 5, 1e-3)))["expectation"]
    assert "token #5" in found.explanation
    assert found.value == pytest.approx(BETA * 1e-3, rel=1e-3)


def test_a_solution_missing_from_its_group_is_noticed(sound):
    assert "group" in failed(sound[0][1:], 0)


@pytest.mark.parametrize("name", ["implied_values", "implied_values_from_end", "terminal_residual"])
def test_sums_go_red_when_the_code_that_adds_them_up_is_broken(sound, monkeypatch, name):
    right = getattr(credit, name)
    monkeypatch.setattr(credit, name, lambda td_terms, *rest: right(td_terms * 1.01, *rest))
    assert {"telescope", "anchors"} & failed(*sound)


@pytest.mark.parametrize("name", ["rho", "kappa", "td_terms", "advantages", "values", "values_from_end"])
def test_shown_digits_that_do_not_recombine_are_noticed(sound, name):
    traces, index, _ = sound
    book = ledger.ledger(traces[index], BETA, LAMBDA)
    assert checks.digits(book, traces[index].mask, BETA, LAMBDA).passed
    broken = dataclasses.replace(book, arrays=book.arrays | {name: bumped(book.arrays[name], 3, 1)})
    assert checks.digits(broken, traces[index].mask, BETA, LAMBDA).passed is False
    off = dataclasses.replace(book, residual=book.residual + 1)
    assert checks.digits(off, traces[index].mask, BETA, LAMBDA).passed is False


def test_a_solution_without_tokens_breaks_nothing(sound):
    empty = {n: np.zeros(0, np.float32) for n in checks.TOKEN_ARRAYS}
    trace = sound[0][sound[1]].with_(
        ids=np.zeros(0, np.int32),
        text=(),
        mask=np.zeros(0, bool),
        topk=None,
        finish_reason=StopReason.LENGTH,
        first_wrong=None,
        group_mean_reward=0.0,
        reward=0.0,
        **empty,
    )
    assert not failed([trace], 0)


def test_a_fake_trainer_is_caught_where_it_makes_numbers_up():
    # Its KL is not that of its alternatives: a check that could not see this would check nothing.
    trainer = FakeTrainer(TrainConfig(steps=5, prompts_per_step=2, group_size=4))
    for _ in range(6):
        record = trainer.step()
    wrong = checks.step_checks(record.traces, 0.1, 1.0)
    assert wrong["kl_bound"] and not wrong["telescope"] and not wrong["group"] and not wrong["digits"]


# --- over the vocabulary ---------------------------------------------------------------------------------------------


def test_expected_credit_is_zero_over_the_vocabulary_within_float32(real_run):
    for trace in RunStore.open(real_run).traces(4):
        ids = tuple(trace.ids.tolist())
        expected = scoring.expected_deltas(real_run, 4, trace.prompt_text, trace.completion_text, ids)
        assert expected.per_prefix.shape == trace.kl.shape
        assert expected.largest <= checks.FLOAT32_NATS / 5  # measured 5e-7
        assert checks.expectation(trace, expected, BETA).passed


def test_the_kl_of_another_step_is_not_that_of_this_policy(real_run):
    trace = RunStore.open(real_run).traces(4)[0]
    other = scoring.expected_deltas(real_run, 0, trace.prompt_text, trace.completion_text)
    assert checks.expectation(trace, other, BETA).passed is False


def test_the_expectation_is_the_sum_over_the_vocabulary_by_hand(moved_policy):
    import torch

    batch = batch_of(moved_policy, models.encode(moved_policy, "1+2=", "problem"), "3.")
    with torch.no_grad():
        logp, ref = (
            torch.log_softmax(scores.completion_logits(m, batch)[0].double(), -1)
            for m in (models.network(moved_policy), models.reference(moved_policy))
        )
    by_hand = [
        sum(float(p.exp() * (p - q)) for p, q in zip(row, ref_row, strict=True))
        for row, ref_row in zip(logp, ref, strict=True)
    ]
    found = scores.expected_log_ratio(moved_policy, batch, row_chunk=1)[0]
    assert found.tolist() == pytest.approx(by_hand, abs=1e-12)


def test_every_advantage_is_zero_at_step_0_of_a_real_policy(fresh_policy):
    problem = problem_from("2+3*4=")
    batch = batch_of(fresh_policy, models.encode(fresh_policy, problem.prompt, "problem"), "2+12;14.")
    measured = scores.score(fresh_policy, batch, top_k=3)
    found = checks.untrained(trace_of_text(fresh_policy, ChainTask(3), 0, problem, batch, measured), 1.0, 1.0)
    assert found.passed and found.value == 0.0
