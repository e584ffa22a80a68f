"""A run goes on after any step, and with a refreshed reference, bit for bit; what is not its own state is refused."""

from itertools import pairwise

import numpy as np
import pytest

from tests.support.real import moved, small
from tests.support.sweeps import sweep
from tests.support.trainings import assert_same_record, train
from vimpo_core.config import ALGORITHMS
from vimpo_core.lm import loading, models, scores
from vimpo_core.trainer import Trainer


@pytest.mark.parametrize("algorithm", sweep(ALGORITHMS, ["vimpo", "grpo", "ppo"]))
def test_resuming_after_any_step_repeats_the_run_bit_for_bit(algorithm):
    config = small(algorithm=algorithm, reward_noise=0.2, lr_schedule="linear")
    undisturbed = train(config)
    assert len({r.resume_state for r in undisturbed}) == len(undisturbed)
    for one, following in pairwise(undisturbed):  # whose own state is compared too, and so all that comes of it
        assert_same_record(following, Trainer(config, one.resume_state).step())


def test_resuming_is_bit_for_bit_with_several_updates_and_micro_batches():
    config = small(steps=3, updates_per_batch=2, micro_batch_size=5)
    undisturbed = train(config)
    for a, b in zip(undisturbed[2:], train(config, undisturbed[1].resume_state), strict=True):
        assert_same_record(a, b)


def test_the_same_seed_trains_the_same_run_and_another_seed_another():
    first, again = train(small(steps=1)), train(small(steps=1))
    for a, b in zip(first, again, strict=True):
        assert_same_record(a, b)
    other = train(small(steps=1, seed=1))
    assert [t.prompt_text for t in other[0].traces] != [t.prompt_text for t in first[0].traces]


def test_measuring_held_out_accuracy_changes_no_training():
    often, seldom = train(small(eval_every=1)), train(small(eval_every=1000))
    for a, b in zip(often, seldom, strict=True):
        assert a.resume_state == b.resume_state


def test_a_resume_state_of_another_rank_is_refused():
    state = Trainer(small(steps=1)).step().resume_state
    with pytest.raises(ValueError, match=r"the adapter does not fit the model: .* differs\. Use the model and rank"):
        Trainer(small(steps=1, lora_rank=4), state)


def test_a_damaged_resume_state_is_refused():
    state = Trainer(small(steps=1)).step().resume_state
    with pytest.raises(ValueError, match="saved tensors are damaged"):
        Trainer(small(steps=1), state[: len(state) // 2])


@pytest.mark.parametrize("algorithm", ["vimpo", "vimpo_soft", "a_star_po"])
def test_refreshing_makes_the_policy_the_reference_so_that_credit_starts_from_0_again(algorithm):
    records = train(small(algorithm=algorithm, steps=4, refresh_every=2, warmup_steps=0, snapshot_every=1))
    assert records[1].metrics["kl_mean"] > 0 and records[3].metrics["kl_mean"] > 0
    assert records[2].metrics["kl_mean"] < 1e-9 and records[4].metrics["kl_mean"] < 1e-9
    tensors = models.from_bytes(records[3].snapshot)
    assert models.part(tensors, models.REFERENCE).keys() == models.adapter_state(moved(small())).keys()


def test_a_run_with_a_refreshed_reference_resumes_bit_for_bit():
    config = small(
        steps=5,
        refresh_every=2,
        beta_end=0.3,
        actor_schedule="fall",
        value_loss="huber",
        kl_estimator="top-k",
    )
    whole = train(config)
    for cut in (2, 3):
        for a, b in zip(whole[cut:], train(config, whole[cut - 1].resume_state), strict=True):
            assert_same_record(a, b)


def test_a_snapshot_brings_its_refreshed_reference_along():
    config = small(steps=3, refresh_every=2, warmup_steps=0, snapshot_every=1)
    record = train(config)[3]
    policy = loading.load_policy(config)
    models.set_policy(policy, models.from_bytes(record.snapshot))
    trace = record.traces[0]
    batch = scores.make_batch([trace.prompt_ids], [trace.ids.tolist()], policy.pad_id)
    found = scores.score(policy, batch)
    np.testing.assert_allclose(found.ref_logprobs[0].numpy(), trace.ref_logprob, rtol=0, atol=1e-5)
    models.set_reference(policy, {})
    frozen = scores.score(policy, batch).ref_logprobs[0].numpy()
    assert np.abs(frozen - trace.ref_logprob).max() > 1e-4
