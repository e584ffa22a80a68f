"""losses: worked examples, the enumerated expectation of the value loss, and where gradients may flow.

Float64 throughout; 1e-9 is the project's bar, and rounding here stays near 1e-15.
"""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.support import oracles
from vimpo_core import credit, losses
from vimpo_core.tree import tabular

TOL = 1e-9
NAN, INF = math.nan, math.inf


def close(a, b, tol=TOL):
    a, b = (x.detach().numpy() if isinstance(x, torch.Tensor) else x for x in (a, b))
    np.testing.assert_allclose(a, b, rtol=0, atol=tol, equal_nan=False)


def tensor(values, requires_grad=False):
    return torch.tensor(np.asarray(values, dtype=np.float64), requires_grad=requires_grad)


def make_batch(seed, rows=6, length=5, filler=0.0):
    """A ragged batch with a row of length 0; `filler` stands in the padding of every float array."""
    rng = np.random.default_rng(seed)
    lengths = np.append(rng.integers(1, length + 1, size=rows - 1), 0)
    mask = np.arange(length)[None, :] < lengths[:, None]

    def padded(x):
        return tensor(np.where(mask, x, filler))

    logprobs = -rng.exponential(1.0, size=(rows, length))
    return {
        "logprobs": padded(logprobs),
        "old_logprobs": padded(logprobs + rng.normal(scale=0.3, size=(rows, length))),
        "ref_logprobs": padded(logprobs + rng.normal(scale=0.5, size=(rows, length))),
        "kl": padded(rng.exponential(0.2, size=(rows, length))),
        "completion_mask": torch.tensor(mask),
        "rewards": tensor(rng.integers(0, 2, size=rows)),
        "group_ids": torch.tensor(np.arange(rows) % 2),
    }


def only(batch, *names):
    return [batch[name] for name in names]


def the_value_loss(b):
    return losses.value_loss(
        *only(b, "logprobs", "ref_logprobs", "kl", "completion_mask", "rewards", "group_ids"), beta=0.3
    )


def the_clip_loss(b):
    advantages = credit.gae(b["kl"] - 0.2, b["completion_mask"], 0.9)  # some advantages of either sign
    return losses.ppo_clip_loss(b["logprobs"], b["old_logprobs"], advantages, b["completion_mask"])


def the_vimpo_loss(b, actor_coef=0.7):
    names = ("logprobs", "old_logprobs", "ref_logprobs", "kl", "completion_mask", "rewards", "group_ids")
    return losses.vimpo_loss(*only(b, *names), beta=0.3, actor_coef=actor_coef, gae_lambda=0.9)[0]


def the_grpo_loss(b):
    return losses.grpo_loss(*only(b, "logprobs", "old_logprobs", "completion_mask", "rewards", "group_ids"))[0]


ALL = [the_value_loss, the_clip_loss, the_vimpo_loss, the_grpo_loss]
ALL_LOSSES = pytest.mark.parametrize("loss", ALL, ids=lambda f: f.__name__)


def value_and_gradient(loss, batch):
    logprobs = batch["logprobs"].clone().requires_grad_(True)
    value = loss({**batch, "logprobs": logprobs})
    value.backward()
    return value.detach(), logprobs.grad


# ---- worked by hand ----


def test_value_loss_worked_example():
    # One group, rewards 1, 0, 1, baseline 2/3; beta 0.5. Implied sums (see test_credit): -0.4, 0.7 and 0 (no token).
    # Residuals: -0.4 - 1/3, 0.7 + 2/3, 0 - 1/3. The empty row counts: the mean is over 3.
    logprobs = tensor([[-1.0, -2.0], [-1.0, -INF], [NAN, NAN]], requires_grad=True)
    ref_logprobs = tensor([[-1.5, -1.0], [-3.0, -INF], [INF, NAN]])
    kl = tensor([[0.2, 0.1], [0.6, NAN], [INF, -INF]])
    mask = torch.tensor([[True, True], [True, False], [False, False]])
    rewards, group_ids = tensor([1.0, 0.0, 1.0]), torch.tensor([4, 4, 4])
    residual = np.array([-0.4 - 1 / 3, 0.7 + 2 / 3, -1 / 3])
    loss = losses.value_loss(logprobs, ref_logprobs, kl, mask, rewards, group_ids, 0.5)
    loss.backward()
    close(loss, (0.5 * residual**2).mean())
    # d/d logprob = residual * beta / 3 on every sampled token of the row.
    close(logprobs.grad, 0.5 / 3 * np.array([[residual[0], residual[0]], [residual[1], 0], [0, 0]]))


CLIP_CASES = [  # (ratio, A, loss of the token, its derivative in log pi), with clips 0.8, 1.28 and dual clip 10
    (1.0, 2.0, -2.0, -2.0),
    (1.0, -2.0, 2.0, 2.0),
    (1.2, 1.0, -1.2, -1.2),
    (1.5, 1.0, -1.28, 0.0),  # good token, moved far enough: clipped above at 1.28, not 1.2
    (0.5, 1.0, -0.5, -0.5),  # good token that lost probability: never clipped
    (0.9, -1.0, 0.9, 0.9),
    (0.5, -1.0, 0.8, 0.0),  # bad token, moved far enough: clipped below at 0.8
    (2.0, -1.0, 2.0, 2.0),  # bad token that gained probability: not clipped yet
    (50.0, -1.0, 10.0, 0.0),  # dual clip: at most -A * 10
    (50.0, 1.0, -1.28, 0.0),
    (3.0, 0.0, 0.0, 0.0),
]


@pytest.mark.parametrize(("ratio", "advantage", "expected", "slope"), CLIP_CASES)
def test_clipped_surrogate_of_one_token(ratio, advantage, expected, slope):
    logprobs = tensor([[math.log(ratio) - 3]], requires_grad=True)
    loss = losses.ppo_clip_loss(logprobs, tensor([[-3.0]]), tensor([[advantage]]), torch.tensor([[True]]))
    loss.backward()
    close(loss, expected)
    close(logprobs.grad, [[slope]])


def test_clipped_surrogate_is_a_mean_over_tokens_not_over_rows():
    # Rows of 3 and 1 tokens at ratio 1: (1 + 2 + 3 + 6) / 4 = 3 with the sign turned. A mean of row means gives 4.
    advantages = tensor([[1.0, 2.0, 3.0], [6.0, NAN, INF]])
    mask = torch.tensor([[True, True, True], [True, False, False]])
    logprobs = tensor(np.zeros((2, 3)))
    close(losses.ppo_clip_loss(logprobs, logprobs, advantages, mask), -3.0)


def test_vimpo_loss_worked_example():
    # Two rows of one token, one group, rewards 1 and 0, beta 1, no KL. rho = 0.2, -0.2; residuals -0.3, 0.3:
    # L_V = 0.045. Advantages 0.2, -0.2: unbiased variance 0.08, whitened +-0.2 / sqrt(0.08 + 1e-8) = +-w.
    # Ratios e^0.2 = 1.221 (not clipped) and e^-0.4 = 0.670 (clipped at 0.8): L_A = (-w e^0.2 + 0.8 w) / 2.
    logprobs, old = tensor([[-1.0], [-2.0]]), tensor([[-1.2], [-1.6]])
    ref, kl, mask = tensor([[-1.2], [-1.8]]), tensor([[0.0], [0.0]]), torch.tensor([[True], [True]])
    loss, metrics = losses.vimpo_loss(
        logprobs, old, ref, kl, mask, tensor([1.0, 0.0]), torch.tensor([0, 0]), beta=1.0, actor_coef=0.5
    )
    w = 0.2 / math.sqrt(0.08 + 1e-8)
    actor = (-w * math.exp(0.2) + 0.8 * w) / 2
    close(loss, 0.045 + 0.5 * actor)
    close([metrics["value_loss"], metrics["actor_loss"], metrics["clip_fraction"]], [0.045, actor, 0.5])


def test_grpo_loss_worked_example():
    # Rewards 1, 0: mean 0.5, unbiased std sqrt(0.5); the lengths are 2 and 1. Ratio 1: -(2 a - a) / 3.
    logprobs, mask = tensor(np.full((2, 2), -1.0)), torch.tensor([[True, True], [True, False]])
    loss, metrics = losses.grpo_loss(logprobs, logprobs, mask, tensor([1.0, 0.0]), torch.tensor([0, 0]))
    a = 0.5 / (math.sqrt(0.5) + 1e-4)
    close(loss, -a / 3)
    close([metrics["actor_loss"], metrics["clip_fraction"]], [-a / 3, 0.0])


# ---- exact expectations ----


def dyadic_policy(tree, rng):
    """A policy whose path probabilities are multiples of 1/4^depth, so that repeated rows give exact expectations."""
    rows = [np.array([1, 3]), np.array([3, 1]), np.array([2, 2])]
    return [np.log(np.stack([rows[i] for i in rng.integers(0, 3, size=2**d)]) / 4) for d in range(tree.depth)]


def exact_batch(tree, policy, reference):
    """Every solution as many times as it is likely: a batch whose mean is the expectation under the policy."""
    counts = np.rint(np.exp(tabular.path_logprobs(policy)) * 4**tree.depth).astype(int)
    repeat = np.repeat(np.arange(counts.size), counts)
    logits = [torch.tensor(level, requires_grad=True) for level in policy]
    # The rows of the batch, with the gradient kept: token t of solution y is entry (prefix, token) of level t.
    columns = []
    for d, level in enumerate(logits):
        flat = torch.log_softmax(level, dim=-1).reshape(-1)
        columns.append(flat[torch.tensor(repeat // tree.vocab ** (tree.depth - d - 1))])
    logprobs = torch.stack(columns, dim=1)
    return logits, {
        "logprobs": logprobs,
        "ref_logprobs": tensor(tabular.along_paths(tree, reference)[repeat]),
        "kl": tensor(tabular.along_paths(tree, tabular.kl(policy, reference))[repeat]),
        "completion_mask": torch.ones(logprobs.shape, dtype=torch.bool),
        "rewards": tensor(tree.rewards[repeat]),
        "group_ids": torch.zeros(len(repeat), dtype=torch.int64),
    }


def reinforce_gradient(tree, policy):
    """- grad E[R], by enumeration: what REINFORCE with any constant baseline estimates. Levels of [vocab^d, vocab]."""
    values, q_values = tabular.plain_values(tree, policy)
    reached = tabular.prefix_logprobs(policy)
    return [-np.exp(p) * (q - v[:, None]) for p, v, q in zip(reached, values, q_values, strict=True)]


@pytest.fixture(scope="module")
def tree():
    return tabular.Tree(2, 3, np.array([1.0, 0, 0, 1, 1, 1, 0, 0]))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("beta", [0.05, 0.5])
def test_value_loss_and_its_gradient_are_the_enumerated_expectations(tree, seed, beta):
    rng = np.random.default_rng(seed)
    policy, reference = dyadic_policy(tree, rng), tabular.random_policy(tree, rng)
    logits, batch = exact_batch(tree, policy, reference)
    loss = losses.value_loss(**batch, beta=beta)
    loss.backward()
    close(loss, tabular.value_loss(tree, policy, reference, beta))
    for level, expected in zip(logits, oracles.value_loss_gradient(tree, policy, reference, beta), strict=True):
        close(level.grad, expected)


def test_at_the_reference_the_value_gradient_is_beta_times_reinforce_with_baseline(tree):
    policy = dyadic_policy(tree, np.random.default_rng(0))
    for beta in (5e-4, 0.1, 1.0):
        logits, batch = exact_batch(tree, policy, policy)
        losses.value_loss(**batch, beta=beta).backward()
        for level, expected in zip(logits, reinforce_gradient(tree, policy), strict=True):
            close(level.grad / beta, expected)


def test_at_small_beta_the_value_gradient_tends_to_reinforce_with_baseline(tree):
    rng = np.random.default_rng(1)
    policy, reference = dyadic_policy(tree, rng), tabular.random_policy(tree, rng)

    def gap(beta):
        logits, batch = exact_batch(tree, policy, reference)
        losses.value_loss(**batch, beta=beta).backward()
        pairs = zip(logits, reinforce_gradient(tree, policy), strict=True)
        return max(np.abs(level.grad.numpy() / beta - expected).max() for level, expected in pairs)

    assert gap(1.0) > 0.05  # at large beta it is another rule
    close(gap(1e-3) / gap(1e-4), 10, tol=1e-6)  # the gap is beta times a few nats: linear, so it goes to 0
    assert gap(1e-6) < 1e-5


def test_descending_the_value_loss_raises_what_did_better_than_its_group():
    logprobs = tensor([[-1.0, -1.0], [-1.0, -1.0]], requires_grad=True)
    ref, kl = tensor(np.full((2, 2), -1.0)), tensor(np.zeros((2, 2)))
    mask = torch.ones(2, 2, dtype=torch.bool)
    losses.value_loss(logprobs, ref, kl, mask, tensor([1.0, 0.0]), torch.tensor([0, 0]), 0.1).backward()
    assert (logprobs.grad[0] < 0).all() and (logprobs.grad[1] > 0).all()


# ---- reductions ----


def test_without_actor_the_vimpo_loss_is_the_value_loss_alone():
    batch = make_batch(0)
    value, gradient = value_and_gradient(lambda b: the_vimpo_loss(b, actor_coef=0.0), batch)
    value_alone, gradient_alone = value_and_gradient(the_value_loss, batch)
    close(value, value_alone)
    close(gradient, gradient_alone)


def test_vimpo_loss_is_the_value_loss_plus_c_A_times_the_clip_loss_on_whitened_advantages():
    b = make_batch(1)
    mask = b["completion_mask"]
    td_terms = credit.td_terms(b["logprobs"], b["ref_logprobs"], b["kl"], mask, 0.3)
    advantages = credit.whiten(credit.gae(td_terms, mask, 0.9), mask)

    def by_parts(b):
        actor = losses.ppo_clip_loss(b["logprobs"], b["old_logprobs"], advantages, b["completion_mask"])
        return the_value_loss(b) + 0.7 * actor

    for whole, parts in zip(value_and_gradient(the_vimpo_loss, b), value_and_gradient(by_parts, b), strict=True):
        close(whole, parts)


def test_grpo_loss_is_the_clip_loss_with_one_advantage_a_solution():
    b = make_batch(2)
    advantages = credit.grpo_advantages(b["rewards"], b["group_ids"])[:, None] * torch.ones_like(b["logprobs"])
    expected = losses.ppo_clip_loss(b["logprobs"], b["old_logprobs"], advantages, b["completion_mask"])
    close(the_grpo_loss(b), expected)


def test_on_the_batch_it_was_sampled_from_the_clip_loss_is_the_policy_gradient():
    b = make_batch(3)
    advantages = tensor(np.random.default_rng(3).normal(size=b["logprobs"].shape))
    _, gradient = value_and_gradient(
        lambda x: losses.ppo_clip_loss(x["logprobs"], b["logprobs"], advantages, x["completion_mask"]), b
    )
    count = b["completion_mask"].sum()
    close(gradient, -advantages * b["completion_mask"] / count)


def test_before_learning_the_actor_is_silent_and_only_the_reward_moves_the_policy():
    b = make_batch(4)
    b |= {"ref_logprobs": b["logprobs"], "old_logprobs": b["logprobs"], "kl": torch.zeros_like(b["kl"])}
    value, gradient = value_and_gradient(the_vimpo_loss, b)
    value_alone, gradient_alone = value_and_gradient(the_value_loss, b)
    assert value == value_alone and torch.equal(gradient, gradient_alone)  # exactly: every advantage is 0
    assert gradient.abs().sum() > 0


def test_groups_that_agree_teach_grpo_nothing():
    b = make_batch(5) | {
        "rewards": tensor([1.0, 0, 1, 0, 1, 0]),
        "group_ids": torch.tensor([0, 1, 0, 1, 0, 1]),
    }
    value, gradient = value_and_gradient(the_grpo_loss, b)
    assert value == 0 and torch.all(gradient == 0)


# ---- gradients ----


# The VIMPO loss holds advantages that depend on logprobs, which differences cannot; it is tested as the sum of its
# parts.
@pytest.mark.parametrize("loss", [the_value_loss, the_clip_loss, the_grpo_loss], ids=lambda f: f.__name__)
@pytest.mark.parametrize("seed", range(3))
def test_autograd_equals_finite_differences(loss, seed):
    batch = make_batch(seed)
    _, gradient = value_and_gradient(loss, batch)
    step = 1e-5  # central differences err by step^2 and rounding / step: both about 1e-10
    numeric = torch.zeros_like(gradient)
    for index in np.ndindex(*gradient.shape):
        nudge = torch.zeros_like(gradient)
        nudge[index] = step
        up = loss({**batch, "logprobs": batch["logprobs"] + nudge})
        down = loss({**batch, "logprobs": batch["logprobs"] - nudge})
        numeric[index] = (up - down) / (2 * step)
    close(gradient, numeric, tol=1e-8)


@ALL_LOSSES
def test_no_gradient_reaches_reference_kl_or_sampling_logprobs(loss):
    held = ("old_logprobs", "ref_logprobs", "kl", "rewards")
    batch = make_batch(0)
    batch |= {name: batch[name].clone().requires_grad_(True) for name in (*held, "logprobs")}
    loss(batch).backward()
    assert batch["logprobs"].grad.abs().sum() > 0
    for name in ("old_logprobs", "ref_logprobs", "kl"):
        assert batch[name].grad is None, name


def test_no_gradient_flows_through_advantages():
    b = make_batch(0)
    advantages = tensor(np.ones(b["logprobs"].shape), requires_grad=True)
    logprobs = b["logprobs"].clone().requires_grad_(True)
    losses.ppo_clip_loss(logprobs, b["old_logprobs"], advantages, b["completion_mask"]).backward()
    assert advantages.grad is None


@pytest.mark.parametrize("log_ratio", [1e3, 1e6, -1e3, -1e6])
@pytest.mark.parametrize("advantage", [1.0, -1.0, 0.0])
def test_an_enormous_ratio_stays_finite_in_value_and_gradient(log_ratio, advantage):
    logprobs = tensor([[log_ratio]], requires_grad=True)
    loss = losses.ppo_clip_loss(logprobs, tensor([[0.0]]), tensor([[advantage]]), torch.tensor([[True]]))
    loss.backward()
    assert torch.isfinite(loss) and torch.isfinite(logprobs.grad).all()


# ---- what must not matter ----


@ALL_LOSSES
@given(seed=st.integers(0, 10**6), filler=st.sampled_from([NAN, INF, -INF, 1e300]), extra=st.integers(0, 3))
def test_padding_and_what_it_holds_change_neither_loss_nor_gradient(loss, seed, filler, extra):
    plain, padded = make_batch(seed), make_batch(seed, filler=filler)
    for name in ("logprobs", "old_logprobs", "ref_logprobs", "kl"):
        padded[name] = torch.nn.functional.pad(padded[name], (0, extra), value=filler)
    padded["completion_mask"] = torch.nn.functional.pad(padded["completion_mask"], (0, extra))
    value, gradient = value_and_gradient(loss, plain)
    padded_value, padded_gradient = value_and_gradient(loss, padded)
    close(padded_value, value)
    close(padded_gradient, torch.nn.functional.pad(gradient, (0, extra)))


@ALL_LOSSES
@given(seed=st.integers(0, 10**6), random=st.randoms(use_true_random=False))
def test_the_order_of_rows_changes_neither_loss_nor_gradient(loss, seed, random):
    batch = make_batch(seed)
    order = list(range(batch["rewards"].numel()))
    random.shuffle(order)
    value, gradient = value_and_gradient(loss, batch)
    moved_value, moved_gradient = value_and_gradient(loss, {k: v[order] for k, v in batch.items()})
    close(moved_value, value)
    close(moved_gradient, gradient[order])


@given(seed=st.integers(0, 10**6), factor=st.floats(0.1, 10.0))
def test_scaling_rewards_and_beta_together_scales_the_value_loss_by_the_square(seed, factor):
    b = make_batch(seed)
    arguments = only(b, "logprobs", "ref_logprobs", "kl", "completion_mask")
    plain = losses.value_loss(*arguments, b["rewards"], b["group_ids"], 0.3)
    scaled = losses.value_loss(*arguments, factor * b["rewards"], b["group_ids"], factor * 0.3)
    close(scaled, factor**2 * plain)


@ALL_LOSSES
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_precision_is_kept(loss, dtype):
    batch = {k: v.to(dtype) if v.is_floating_point() else v for k, v in make_batch(0).items()}
    value, gradient = value_and_gradient(loss, batch)
    assert value.dtype == gradient.dtype == dtype


@ALL_LOSSES
def test_a_batch_without_any_token_has_a_finite_loss(loss):
    batch = make_batch(0, filler=NAN)
    batch["completion_mask"] = torch.zeros_like(batch["completion_mask"])
    value, gradient = value_and_gradient(loss, batch)
    assert torch.isfinite(value)
    assert torch.all(gradient == 0)


TAKEN = [(f, name) for f in ALL for name in ("logprobs", "completion_mask", "rewards")]
TAKEN.remove((the_clip_loss, "rewards"))


@pytest.mark.parametrize(("loss", "name"), TAKEN)
def test_unequal_shapes_are_refused_with_both_printed(loss, name):
    batch = make_batch(0)
    was = tuple(batch[name].shape)
    batch[name] = batch[name][:-1]
    with pytest.raises(ValueError) as error:
        loss(batch)
    message = str(error.value)
    assert str(was) in message or f"[{was[0]}]" in message
    assert str(tuple(batch[name].shape)) in message


# ---- baselines of the value loss

GROUP_REWARDS = torch.tensor([1.0, 1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0], dtype=torch.float64)
GROUP_IDS = torch.tensor([0, 0, 0, 0, 1, 1, 1, 1])


def untrained_value_loss(**choice):
    """The value loss where policy and reference agree: half the mean square of baseline - R."""
    zeros, mask = torch.zeros(8, 2, dtype=torch.float64), torch.ones(8, 2, dtype=torch.bool)
    return losses.value_loss(zeros, zeros, zeros, mask, GROUP_REWARDS, GROUP_IDS, 0.1, **choice).item()


def test_the_value_loss_on_each_baseline_worked_by_hand():
    # Groups 1101 and 0001. Means 3/4 and 1/4: squares 3 (1/4)^2 + (3/4)^2 = 3/4 in each group, over 8, halved.
    assert untrained_value_loss() == pytest.approx(0.5 * 1.5 / 8, abs=1e-12)
    # Others' means: 2/3 for each 1 of the first group, 1 for its 0; 1/3 and 0 in the second: (4/3)^2 times as much.
    assert untrained_value_loss(baseline="leave_one_out") == pytest.approx(16 / 9 * 0.5 * 1.5 / 8, abs=1e-12)


def test_a_cap_lowers_the_baselines_above_it_and_no_other():
    # The first group's 3/4 becomes 1/2: squares 4 (1/2)^2 = 1 there, 3/4 as before in the second.
    assert untrained_value_loss(cap_v0=0.5) == pytest.approx(0.5 * 1.75 / 8, abs=1e-12)
    golden = torch.tensor([0.5, 0.5, 0.5, 0.5, 0.25, 0.25, 0.25, 0.25], dtype=torch.float64)
    assert torch.equal(credit.prompt_baseline(GROUP_REWARDS, GROUP_IDS, cap=0.5), golden)
    uncapped = credit.prompt_baseline(GROUP_REWARDS, GROUP_IDS)
    assert torch.equal(credit.prompt_baseline(GROUP_REWARDS, GROUP_IDS, cap=0.8), uncapped)
    assert torch.equal(credit.prompt_baseline(GROUP_REWARDS, GROUP_IDS, cap=0.0), uncapped)


def test_an_easy_problem_under_a_cap_still_pushes_right_solutions_up():
    """All of the group right: without a cap nothing is left to explain, with one every solution owes R - cap."""
    logprobs = torch.zeros(4, 1, dtype=torch.float64, requires_grad=True)
    ones, mask = torch.ones(4, dtype=torch.float64), torch.ones(4, 1, dtype=torch.bool)
    constant = torch.zeros(4, 1, dtype=torch.float64)
    for cap, pull in ((0.0, 0.0), (0.5, -0.1 * 0.5 / 4)):
        loss = losses.value_loss(logprobs, constant, constant, mask, ones, torch.zeros(4), 0.1, cap_v0=cap)
        (gradient,) = torch.autograd.grad(loss, logprobs)
        np.testing.assert_allclose(gradient.numpy(), pull, atol=1e-12)


def test_the_soft_baseline_is_capped_too():
    constant, mask = torch.zeros(8, 2, dtype=torch.float64), torch.ones(8, 2, dtype=torch.bool)
    found = losses.soft_value_loss(constant, constant, mask, GROUP_REWARDS, GROUP_IDS, 0.1, cap_v0=0.25)
    # Soft values .97 and .86 of both groups become 1/4: 4 ones leave 3/4, 4 zeros -1/4.
    assert found.item() == pytest.approx(0.5 * (4 * 9 / 16 + 4 / 16) / 8, abs=1e-12)


def test_an_unknown_baseline_is_refused():
    with pytest.raises(ValueError, match="the baseline is group_mean or leave_one_out, got 'median'"):
        untrained_value_loss(baseline="median")


def test_tokens_that_the_dual_clip_stops_count_as_clipped():
    """Ratios 1, 1.5, 12 and 12: with A < 0 the ordinary clip lets a rising ratio through, the dual clip at 10 stops
    it.
    """
    logprobs = torch.log(tensor([[1.0, 1.5, 12.0, 12.0]])).requires_grad_()
    advantages, mask = tensor([[-1.0, 1.0, -1.0, -1.0]]), torch.ones(1, 4, dtype=torch.bool)
    mask[0, 3] = False
    place = (logprobs, torch.zeros(1, 4, dtype=torch.float64), advantages, mask)
    loss, share = losses.ppo_clip(*place, dual_clip=10.0)
    assert share == pytest.approx(2 / 3) == losses.clip_fraction(*place)
    (gradient,) = torch.autograd.grad(loss, logprobs)
    assert (gradient == 0).tolist() == [[False, True, True, True]]
    assert losses.clip_fraction(*place, dual_clip=20.0) == pytest.approx(1 / 3)
