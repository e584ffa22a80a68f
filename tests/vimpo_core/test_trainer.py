"""The training loop: nothing before learning, the same whatever the chunk; what a record says, and what ends a run."""

import functools
import math

import numpy as np
import pytest
import torch

from tests.support.real import SMALL, in_float64, moved, small
from tests.support.sweeps import sweep
from tests.support.trainings import train
from vimpo_core import credit, losses
from vimpo_core import trainer as trainer_module
from vimpo_core.config import ALGORITHMS
from vimpo_core.learning import objective
from vimpo_core.lm import models, scores
from vimpo_core.lm.seeds import derived_seed
from vimpo_core.runs import worker
from vimpo_core.runs.folder import RunsDir
from vimpo_core.trainer import Trainer, flipped, flips_of, learning_rate
from vimpo_core.types import Diverged, RunState

TOL = 1e-9
"""In float64: the project's bar."""

ADAM_BETA_1 = 0.9


def exact_trainer(config) -> Trainer:
    """In float64, and moved away from the reference, so that every term of the losses is at work."""
    trainer = Trainer(config)
    models.set_adapter(trainer.policy, models.adapter_state(moved(config)))
    in_float64(trainer.policy)
    return trainer


def gradient(record) -> dict[str, np.ndarray]:
    """The gradient of a run's first update, read off Adam's first moment m_1 = (1 - beta_1) g."""
    state = models.from_bytes(record.resume_state)
    moments = {k: v.double().numpy() / (1 - ADAM_BETA_1) for k, v in state.items() if k.endswith("exp_avg")}
    assert moments
    return moments


def assert_same_gradient(a, b, tolerance=TOL):
    assert a.keys() == b.keys()
    assert max(np.abs(g).max() for g in a.values()) > 1e-3  # two zeros would agree as well
    for name, g in a.items():
        np.testing.assert_allclose(g, b[name], rtol=0, atol=tolerance, err_msg=name)


# ---- what a record says


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_record_0_has_no_token_credit_at_all(algorithm):
    config = small(algorithm=algorithm)
    record = Trainer(config).step()
    for trace in record.traces:
        assert np.array_equal(trace.logprob, trace.ref_logprob)
        assert not trace.kl.any()
        mask, row = trace.mask[None], lambda a: a[None].astype(np.float64)
        args = row(trace.logprob), row(trace.ref_logprob)
        assert not credit.rho(*args, mask, config.beta).any()
        assert not credit.kappa(row(trace.kl), mask, config.beta).any()
        assert not credit.td_terms(*args, row(trace.kl), mask, config.beta).any()
    assert record.metrics["kl_mean"] == 0.0
    assert record.metrics["residual_ratio"] == 1.0  # nothing is explained, so the residual is the target


def test_a_record_describes_the_policy_before_its_update():
    """Record n's snapshot is the adapter its rollouts were sampled from; its resume state holds the next one."""
    config = small(snapshot_every=1)
    trainer = Trainer(config)
    for _ in range(3):
        before = models.to_bytes(models.adapter_state(trainer.policy))
        record = trainer.step()
        assert record.snapshot == before
        state = models.from_bytes(record.resume_state)
        after = {k.removeprefix("adapter/"): v for k, v in state.items() if k.startswith("adapter/")}
        assert models.to_bytes(after) == models.to_bytes(models.adapter_state(trainer.policy)) != before


def test_the_last_record_makes_no_update():
    *_, before_last, last = train(small())
    (a, b) = (
        {k: v for k, v in models.from_bytes(r.resume_state).items() if k != "next_step"} for r in (before_last, last)
    )
    assert a.keys() == b.keys()
    assert all(torch.equal(a[k], b[k]) for k in a)
    assert last.step == SMALL.steps


def test_snapshots_alternatives_and_held_out_accuracy_come_when_due():
    records = train(small(steps=5, snapshot_every=2, eval_every=3))
    assert [r.step for r in records] == [0, 1, 2, 3, 4, 5]
    assert [r.step for r in records if r.snapshot is not None] == [0, 2, 4, 5]
    assert [r.step for r in records if r.traces[0].topk is not None] == [0, 2, 4, 5]
    assert [r.step for r in records if "greedy_accuracy" in r.metrics] == [0, 3, 5]
    assert [r.step for r in records if "sampled_accuracy" in r.metrics] == [0, 3, 5]


def test_traces_hold_the_groups_their_rewards_and_their_means():
    record = Trainer(SMALL).step()
    assert [(t.group_id, t.sample_idx) for t in record.traces] == [(g, s) for g in range(3) for s in range(4)]
    for g in range(3):
        group = [t for t in record.traces if t.group_id == g]
        assert len({t.prompt_text for t in group}) == 1
        assert {t.group_mean_reward for t in group} == {np.mean([t.reward for t in group])}
    assert record.metrics["reward_mean"] == pytest.approx(np.mean([t.reward for t in record.traces]))
    for t in record.traces:
        assert t.reward == t.rewards["verifier"] == float(t.status == "correct")
        assert len(t.ids) == len(t.text) == len(t.logprob) == len(t.kl) == len(t.entropy)
        np.testing.assert_allclose(t.logprob, t.sampler_logprob, rtol=0, atol=2e-5)  # see test_sampler


@pytest.mark.parametrize("algorithm", ["vimpo", "grpo"])
def test_both_algorithms_report_every_metric(algorithm):
    (record,) = [Trainer(small(algorithm=algorithm)).step()]
    expected = {
        "sampled_accuracy",
        "greedy_accuracy",
        "reward_mean",
        "value_loss",
        "residual_ratio",
        "value_range",
        "mistake_auc",
        "actor_loss",
        "kl_mean",
        "entropy_mean",
        "length_mean",
        "clip_fraction",
        "dead_group_share",
        "grad_norm",
        "learning_rate",
        "tokens_sampled",
    }
    assert set(record.metrics) == expected
    assert all(type(v) is float and math.isfinite(v) for v in record.metrics.values())
    assert set(record.timings) == {"cpu_seconds", "wall_seconds", "tokens_per_second", "measuring_cpu_seconds"}


def test_both_algorithms_see_the_same_first_batch():
    """Same seed, same prompts, same samples: the curves of the two start in the same point."""
    a, b = (Trainer(small(algorithm=name)).step() for name in ("vimpo", "grpo"))
    assert [t.text for t in a.traces] == [t.text for t in b.traces]
    assert a.metrics["value_loss"] == b.metrics["value_loss"]


# ---- gradients


@functools.cache
def exact_record(algorithm, rows):
    """The first record of a run whose micro-batches have so many rows; 0: all at once."""
    return exact_trainer(small(algorithm=algorithm, reward_noise=0.4, warmup_steps=0, micro_batch_size=rows)).step()


@pytest.mark.parametrize("algorithm", ["vimpo", "grpo"])
@pytest.mark.parametrize("rows", sweep([1, 4, 5, 7, 12], [5]))
def test_the_micro_batch_size_changes_neither_loss_nor_gradient(algorithm, rows):
    """12 rows in groups of 4: 5 and 7 leave a rest and split groups. Rewards are flipped, so that no group is dead."""
    whole, chunked = exact_record(algorithm, 0), exact_record(algorithm, rows)
    assert [t.text for t in whole.traces] == [t.text for t in chunked.traces]
    assert whole.metrics == pytest.approx(chunked.metrics, abs=TOL)
    assert_same_gradient(gradient(whole), gradient(chunked))


@pytest.mark.parametrize("rows", [0, 5])
def test_folding_the_adapter_in_changes_no_gradient(monkeypatch, rows):
    config = small(reward_noise=0.4, micro_batch_size=rows)
    folded = exact_trainer(config).step()
    monkeypatch.setattr(models, "FOLD_LIMIT", 0)
    unfolded = exact_trainer(config).step()
    assert_same_gradient(gradient(folded), gradient(unfolded))
    assert folded.metrics == pytest.approx(unfolded.metrics, abs=TOL)


def test_vimpo_without_an_actor_follows_the_value_loss_alone():
    """The gradient through the whole network, against the definition put together by hand from the traces."""
    config = small(actor_coef=0.0, beta=0.3, reward_noise=0.4, max_grad_norm=1e6)
    trainer = exact_trainer(config)
    policy = in_float64(moved(config))
    record = trainer.step()
    traces = record.traces
    batch = scores.make_batch([t.prompt_ids for t in traces], [t.ids.tolist() for t in traces], policy.pad_id)
    measured = scores.score(policy, batch, with_grad=True)
    rewards = torch.tensor([t.reward for t in traces], dtype=torch.float64)
    group_ids = torch.tensor([t.group_id for t in traces])
    loss = losses.value_loss(
        measured.logprobs,
        measured.ref_logprobs,
        measured.kl,
        batch.completion_mask,
        rewards,
        group_ids,
        config.beta,
    )
    loss.backward()
    parameters = [p for p in policy.model.parameters() if p.requires_grad]
    by_hand = {f"optimizer/{i}/exp_avg": p.grad.numpy() for i, p in enumerate(parameters)}
    assert_same_gradient(gradient(record), by_hand)
    assert record.metrics["value_loss"] == pytest.approx(loss.item(), abs=TOL)
    norm = math.sqrt(sum((g**2).sum() for g in by_hand.values()))
    assert record.metrics["grad_norm"] == pytest.approx(norm, abs=TOL)


def test_a_gradient_longer_than_the_limit_is_shortened_to_it():
    limit = 1e-3
    config = small(reward_noise=0.4, max_grad_norm=limit)
    record = exact_trainer(config).step()
    assert record.metrics["grad_norm"] > limit  # reported as it was
    shortened = math.sqrt(sum((g**2).sum() for g in gradient(record).values()))
    assert shortened == pytest.approx(limit, rel=1e-3)  # torch adds 1e-6 to the norm it divides by


def test_the_actor_loss_joins_in_proportion_to_its_weight():
    """Linear in c_A: the gradient at 0.2 is as far beyond that at 0.1 as that is beyond the value loss alone."""
    none, some, twice = (
        gradient(exact_trainer(small(actor_coef=c, reward_noise=0.4, max_grad_norm=1e6)).step())
        for c in (0.0, 0.1, 0.2)
    )
    for name in none:  # 1e-7: three different gradients, each rounded to float32 inside the RMS norm
        np.testing.assert_allclose(twice[name] - some[name], some[name] - none[name], rtol=0, atol=1e-7)
    assert max(np.abs(some[name] - none[name]).max() for name in none) > 1e-3


def ratio_distances(config, monkeypatch) -> list[float]:
    """max |log ratio| of each update of one step."""
    seen, real = [], objective.loss

    def spy(config, experience, measured, logprobs):
        mask = experience.batch.completion_mask
        seen.append((logprobs.detach() - experience.old_logprobs)[mask].abs().max().item())
        return real(config, experience, measured, logprobs)

    monkeypatch.setattr(objective, "loss", spy)
    Trainer(config).step()
    return seen


@pytest.mark.parametrize("rows", [0, 5])
def test_further_updates_on_a_batch_move_the_ratio_away_from_1(monkeypatch, rows):
    config = small(updates_per_batch=3, reward_noise=0.4, warmup_steps=0, micro_batch_size=rows)
    first, second, third = ratio_distances(config, monkeypatch)
    assert first < 2e-5  # rounding between sampler and scores, see test_sampler
    assert min(second, third) > 1e-3


def test_a_step_on_the_value_loss_lowers_it_on_the_same_batch():
    config = small(actor_coef=0.0, learning_rate=1e-4, warmup_steps=0, reward_noise=0.4)
    trainer = Trainer(config)
    record = trainer.step()
    traces = record.traces
    batch = scores.make_batch([t.prompt_ids for t in traces], [t.ids.tolist() for t in traces], trainer.policy.pad_id)
    measured = scores.score(trainer.policy, batch)
    after = losses.value_loss(
        measured.logprobs,
        measured.ref_logprobs,
        measured.kl,
        batch.completion_mask,
        torch.tensor([t.reward for t in traces]),
        torch.tensor([t.group_id for t in traces]),
        config.beta,
    )
    assert after.item() < record.metrics["value_loss"] * 0.999


# ---- rewards and learning rate


@pytest.mark.parametrize("share", [0.0, 0.1, 0.25, 0.5])
def test_rewards_are_flipped_at_the_stated_share(share):
    n = 20_000
    rewards = [float(i % 2) for i in range(n)]
    seen = flipped(rewards, flips_of(len(rewards), share, "7/flips/3"))
    assert flips_of(n, share, "7/flips/3") == flips_of(n, share, "7/flips/3")
    flips = np.not_equal(seen, rewards)
    assert set(seen) == {0.0, 1.0}
    # Binomial; a fixed seed, five standard deviations.
    assert flips.mean() == pytest.approx(share, abs=5 * math.sqrt(share * (1 - share) / n))
    assert flips[::2].mean() == pytest.approx(flips[1::2].mean(), abs=0.03)  # right and wrong alike


def test_flips_reach_the_traces_which_keep_the_verifiers_word():
    clean = Trainer(small(prompts_per_step=20)).step()
    noisy = Trainer(small(prompts_per_step=20, reward_noise=0.25)).step()
    other = Trainer(small(prompts_per_step=20, reward_noise=0.25, algorithm="grpo")).step()
    assert [t.rewards for t in noisy.traces] == [t.rewards for t in clean.traces]
    assert [t.reward for t in noisy.traces] == [t.reward for t in other.traces]
    flips = [t.reward != t.rewards["verifier"] for t in noisy.traces]
    # 80 rewards: a standard deviation is 0.048, the seed is fixed.
    assert np.mean(flips) == pytest.approx(0.25, abs=0.15)
    assert not any(t.reward != t.rewards["verifier"] for t in clean.traces)


SCHEDULES = [  # (schedule, warm-up, steps, the rate after each record in units of learning_rate)
    ("constant", 0, 4, [1, 1, 1, 1]),
    ("constant", 4, 6, [0.25, 0.5, 0.75, 1, 1, 1]),
    # 1 - 0.9 step / steps, times the warm-up: 0.5 * 1, then 1 - 0.9/5, ...
    ("linear", 2, 5, [0.5, 0.82, 0.64, 0.46, 0.28]),
    ("linear", 0, 2, [1, 0.55]),
]


@pytest.mark.parametrize(("schedule", "warmup", "steps", "shares"), SCHEDULES)
def test_the_learning_rate_warms_up_and_falls_as_scheduled(schedule, warmup, steps, shares):
    config = small(lr_schedule=schedule, warmup_steps=warmup, steps=steps, learning_rate=2e-3)
    assert [learning_rate(config, s) for s in range(steps)] == pytest.approx([2e-3 * x for x in shares])


def test_the_update_is_made_at_the_reported_rate():
    """Adam's first update moves each entry by the rate, up to its epsilon: so the largest move is the rate."""
    config = small(warmup_steps=4, learning_rate=2e-3, reward_noise=0.4)
    trainer = Trainer(config)
    before = models.adapter_state(trainer.policy)
    record = trainer.step()
    moves = [(models.adapter_state(trainer.policy)[k] - v).abs().max().item() for k, v in before.items()]
    assert record.metrics["learning_rate"] == pytest.approx(5e-4)
    assert max(moves) == pytest.approx(5e-4, rel=0.01)


def test_seeds_of_different_steps_and_purposes_differ():
    seeds = {derived_seed(s, n, p) for s in range(5) for n in range(50) for p in ("rollouts", "evaluation")}
    assert len(seeds) == 500
    assert all(0 <= s < 2**63 for s in seeds)


# ---- divergence


def poison(monkeypatch, at_call: int):
    """The loss turns nan at the given update."""
    calls, real = [], objective.loss

    def loss(*arguments):
        calls.append(1)
        value, metrics = real(*arguments)
        return (value * math.nan, metrics) if len(calls) == at_call else (value, metrics)

    monkeypatch.setattr(trainer_module.objective, "loss", loss)


def test_a_loss_that_is_not_finite_raises_diverged_and_moves_nothing(monkeypatch):
    poison(monkeypatch, at_call=2)
    trainer = Trainer(SMALL)
    trainer.step()
    before = models.to_bytes(models.adapter_state(trainer.policy))
    with pytest.raises(Diverged) as caught:
        trainer.step()
    assert str(caught.value) == (
        "the loss or its gradient was not finite at step 1 (gradient norm nan); the last good step is kept. "
        "Lower learning_rate (now 0.001) or actor_coef."
    )
    assert trainer.next_step == 1
    assert models.to_bytes(models.adapter_state(trainer.policy)) == before


def test_a_diverged_run_keeps_its_last_good_step_and_can_go_on(monkeypatch, tmp_path):
    runs = RunsDir(tmp_path)
    runs.submit([SMALL])
    with monkeypatch.context() as patch:
        poison(patch, at_call=3)
        worker.main(tmp_path)
    store = runs.open("vimpo-1")
    assert store.state() == RunState.DIVERGED
    assert store.message().startswith("the loss or its gradient was not finite at step 2")
    assert store.last_step() == 1
    runs.resume(["vimpo-1"])
    worker.main(tmp_path)
    assert store.state() == RunState.FINISHED
    undisturbed = [record.metrics for record in train(SMALL)]
    for row, metrics in zip(store.metrics(timings=False), undisturbed, strict=True):
        assert {k: row[k] for k in metrics} == metrics


@pytest.mark.parametrize("algorithm", ["vimpo", "grpo"])
def test_an_absurd_learning_rate_ends_finished_or_diverged_but_never_crashes(algorithm):
    config = small(algorithm=algorithm, learning_rate=1.0, warmup_steps=0, steps=3)
    try:
        records = train(config)
    except Diverged as error:
        assert "not finite" in str(error)
    else:
        assert all(math.isfinite(v) for r in records for v in r.metrics.values())


# ---- a record describes all updates of its step, and all that was sampled for it


def watched_losses(monkeypatch) -> list[dict]:
    """The metrics of every loss, in order."""
    seen, real = [], objective.loss

    def spy(*arguments):
        value, metrics = real(*arguments)
        seen.append(metrics)
        return value, metrics

    monkeypatch.setattr(objective, "loss", spy)
    return seen


@pytest.mark.parametrize("algorithm", ["grpo", "vimpo", "vimpo_soft", "reinforce"])
def test_a_steps_metrics_are_the_mean_over_its_updates_and_the_last_is_kept_beside(monkeypatch, algorithm):
    seen = watched_losses(monkeypatch)
    config = small(
        algorithm=algorithm,
        updates_per_batch=4,
        reward_noise=0.3,
        warmup_steps=0,
        learning_rate=1e-2,
        prompts_per_step=6,
        actor_coef=0.5,
    )
    record = Trainer(config).step()
    assert len(seen) == 4
    for name in seen[0]:
        assert record.metrics[name] == pytest.approx(np.mean([one[name] for one in seen]), rel=1e-12)
        assert len({one[name] for one in seen}) > 1
    assert record.metrics["grad_norm_last"] != record.metrics["grad_norm"]
    if algorithm == "reinforce":
        assert not {"clip_fraction", "clip_fraction_last"} & set(record.metrics)
    else:
        assert seen[0]["clip_fraction"] == 0 < record.metrics["clip_fraction"] < 1
        assert record.metrics["clip_fraction_last"] == seen[-1]["clip_fraction"]


def test_the_last_record_makes_no_update_and_so_claims_no_clip_fraction(monkeypatch):
    *_, before, last = train(small(updates_per_batch=3, steps=2))
    assert {"clip_fraction", "clip_fraction_last", "actor_loss"} <= set(before.metrics)
    assert not {"clip_fraction", "clip_fraction_last", "actor_loss", "grad_norm"} & set(last.metrics)
    assert {"value_loss", "kl_mean", "learning_rate"} <= set(last.metrics)
    seen = watched_losses(monkeypatch)
    train(small(updates_per_batch=3, steps=1))
    assert len(seen) == 3 + 1


def test_the_clipped_surrogate_is_evaluated_once_an_update(monkeypatch):
    calls, real = [], losses.ppo_clip
    monkeypatch.setattr(losses, "ppo_clip", lambda *a, **k: calls.append(1) or real(*a, **k))
    Trainer(small(algorithm="grpo", updates_per_batch=2)).step()
    assert len(calls) == 2


def test_the_critics_loss_is_the_mean_over_its_updates(monkeypatch):
    calls, real = [], losses.critic_loss

    def spy(*arguments):
        calls.append(real(*arguments))
        return calls[-1]

    monkeypatch.setattr(losses, "critic_loss", spy)
    record = Trainer(small(algorithm="ppo", critic_updates=3)).step()
    assert len(calls) == 3
    assert record.metrics["critic_loss"] == pytest.approx(np.mean([c.item() for c in calls]), rel=1e-6)


def test_dapo_records_what_it_sampled_as_grpo_does_and_what_it_kept_apart():
    settings = {"prompts_per_step": 12, "group_size": 2, "seed": 3, "beta": 0.1, "snapshot_every": 1}
    grpo, dapo = (Trainer(small(algorithm=name, **settings)).step() for name in ("grpo", "dapo"))
    for name in (
        "reward_mean",
        "dead_group_share",
        "kl_mean",
        "entropy_mean",
        "length_mean",
        "value_loss",
        "residual_ratio",
        "sampled_accuracy",
    ):
        assert dapo.metrics[name] == pytest.approx(grpo.metrics[name], rel=1e-6), name
    kept = [t.reward for t in dapo.traces]
    assert dapo.metrics["reward_mean_kept"] == pytest.approx(np.mean(kept))
    dead = np.mean([len(set(pair)) == 1 for pair in zip(kept[::2], kept[1::2], strict=True)])
    assert dapo.metrics["dead_group_share_kept"] == pytest.approx(dead)
    assert dead < dapo.metrics["dead_group_share"]
    assert not any(name.endswith("_kept") for name in grpo.metrics)


def test_a_policy_away_from_the_reference_is_measured_on_all_that_dapo_drew():
    settings = {"prompts_per_step": 12, "group_size": 2, "seed": 3}
    found = {}
    for name in ("grpo", "dapo"):
        trainer = Trainer(small(algorithm=name, **settings))
        models.set_adapter(trainer.policy, models.adapter_state(moved(small())))
        found[name] = trainer.step().metrics
    assert found["grpo"]["kl_mean"] > 1e-3
    for name in ("kl_mean", "entropy_mean", "residual_ratio", "value_loss", "length_mean"):
        assert found["dapo"][name] == pytest.approx(found["grpo"][name], rel=1e-5), name


def test_a_reference_that_rules_a_sampled_token_out_is_named_and_not_the_learning_rate(monkeypatch):
    trainer = Trainer(SMALL)
    real = trainer._score

    def scored(*arguments, **named):
        found = real(*arguments, **named)
        found.ref_logprobs[1, 2] = -math.inf
        return found

    monkeypatch.setattr(trainer, "_score", scored)
    with pytest.raises(Diverged) as caught:
        trainer.step()
    said = str(caught.value)
    rollouts = Trainer(SMALL).step().traces
    assert said.startswith(
        f"the reference gives the sampled token {rollouts[1].ids[2]} probability 0 at step 0 (problem"
    )
    assert rollouts[1].prompt_text in said and "earning rate" not in said and "learning_rate" not in said


def test_a_rule_without_an_actor_weight_is_not_told_to_lower_it(monkeypatch):
    poison(monkeypatch, at_call=1)
    with pytest.raises(Diverged, match=r"Lower learning_rate \(now 0\.001\)\.$"):
        Trainer(small(algorithm="grpo")).step()
