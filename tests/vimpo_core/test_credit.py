"""credit: the identities against the tree, worked examples, and what must not change a result.

Float64 sums of a few dozen terms of order 1 round at about 1e-15; 1e-9 leaves room and is the bar of the project.
"""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vimpo_core import credit
from vimpo_core.tree import tabular

TOL = 1e-9
BETAS = [0.05, 0.2, 1.0]


def close(a, b, tol=TOL):
    np.testing.assert_allclose(np.asarray(a), np.asarray(b), rtol=0, atol=tol, equal_nan=False)


def as_numpy(x):
    return np.asarray(x, dtype=np.float64)


def as_torch(x):
    return torch.as_tensor(np.asarray(x, dtype=np.float64))


KINDS = pytest.mark.parametrize("kind", [as_numpy, as_torch], ids=["numpy", "torch"])


def mask_like(x, rows):
    return x == x if rows is None else (torch.tensor(rows) if isinstance(x, torch.Tensor) else np.array(rows))


# ---- the tree: every solution of a small decision problem as one row ----


@pytest.fixture(scope="module")
def tree():
    return tabular.random_tree(vocab=3, depth=4, rng=np.random.default_rng(0))


@pytest.fixture(scope="module")
def reference(tree):
    return tabular.random_policy(tree, np.random.default_rng(1))


def tree_terms(tree, policy, reference, beta):
    """rho, kappa and td terms of all solutions, and the mask: [81, 4] each."""
    logprobs, ref_logprobs = tabular.along_paths(tree, policy), tabular.along_paths(tree, reference)
    kl = tabular.along_paths(tree, tabular.kl(policy, reference))
    mask = np.ones_like(kl, dtype=bool)
    return (
        credit.rho(logprobs, ref_logprobs, mask, beta),
        credit.kappa(kl, mask, beta),
        credit.td_terms(logprobs, ref_logprobs, kl, mask, beta),
        mask,
    )


@pytest.mark.parametrize("beta", BETAS)
def test_at_the_local_fixed_point_td_terms_are_the_plain_advantages(tree, reference, beta):
    policy = tabular.local_fixed_point(tree, reference, beta)
    values, q_values = tabular.plain_values(tree, policy)
    advantages = tabular.along_paths(tree, [q - v[:, None] for v, q in zip(values, q_values, strict=True)])
    rho, kappa, td_terms, _ = tree_terms(tree, policy, reference, beta)
    close(td_terms, advantages)
    # The identity needs its KL term: without it, or with its sign turned, it is off by kappa or twice kappa.
    assert np.abs(rho - advantages).max() > 0.08
    assert np.abs(rho + kappa - advantages).max() > 0.16


@pytest.mark.parametrize("beta", BETAS)
def test_at_the_soft_optimum_rho_alone_is_the_soft_advantage_and_a_kl_term_breaks_it(tree, reference, beta):
    policy, values, q_values = tabular.soft_optimum(tree, reference, beta)
    advantages = tabular.along_paths(tree, [q - v[:, None] for v, q in zip(values, q_values, strict=True)])
    rho, kappa, td_terms, _ = tree_terms(tree, policy, reference, beta)
    close(rho, advantages)
    # Adding + beta KL to the soft identity is wrong by 0.08 to 0.46 on such a tree.
    assert 0.08 < np.abs(rho - (advantages + kappa)).max() < 0.5
    close(td_terms, advantages - kappa)  # so VIMPO's delta is not the soft advantage


@pytest.mark.parametrize("beta", BETAS)
def test_at_the_local_fixed_point_implied_values_are_the_plain_values_at_both_anchors(tree, reference, beta):
    policy = tabular.local_fixed_point(tree, reference, beta)
    values, _ = tabular.plain_values(tree, policy)
    _, _, td_terms, mask = tree_terms(tree, policy, reference, beta)
    baseline = np.full(tree.rewards.size, values[0][0])
    truth = np.concatenate([tabular.along_paths(tree, values), tree.rewards[:, None]], axis=1)
    close(credit.implied_values(td_terms, mask, baseline), truth)
    close(tree.rewards[:, None] + credit.implied_values_from_end(td_terms, mask), truth)
    close(credit.terminal_residual(td_terms, mask, tree.rewards, baseline), 0)


@pytest.mark.parametrize("beta", BETAS)
@pytest.mark.parametrize("seed", range(3))
def test_td_terms_have_mean_zero_under_the_policy_at_every_prefix_and_rho_has_mean_kappa(tree, reference, beta, seed):
    policy = tabular.random_policy(tree, np.random.default_rng(seed), scale=2.0)
    for logp, ref_logp, kl in zip(policy, reference, tabular.kl(policy, reference), strict=True):
        kl_rows = np.broadcast_to(kl[:, None], logp.shape)  # one row a prefix, one column a token of the vocabulary
        everything = np.ones_like(logp, dtype=bool)
        p = np.exp(logp)
        td_terms = credit.td_terms(logp, ref_logp, kl_rows, everything, beta)
        rho, kappa = credit.rho(logp, ref_logp, everything, beta), credit.kappa(kl_rows, everything, beta)
        close((p * td_terms).sum(axis=1), 0)
        close((p * rho).sum(axis=1), beta * kl)
        # The sign matters: rho + kappa has mean 2 beta KL, which is far from zero here.
        close((p * (rho + kappa)).sum(axis=1), 2 * beta * kl)
        assert (kl > 0.01).all()


# ---- worked by hand ----

# beta 0.5. rho = 0.5 ([-1, -2] - [-1.5, -1]) = [0.25, -0.5]; kappa = 0.5 [0.2, 0.1] = [0.1, 0.05].
# delta = [0.15, -0.55]. Row 2 has one token: rho = 0.5 (-1 + 3) = 1, kappa = 0.5 * 0.6 = 0.3, delta = 0.7.
# Row 3 has none. What stands in the padding must not matter.
NAN, INF = math.nan, math.inf
LOGPROBS = [[-1.0, -2.0], [-1.0, -INF], [NAN, NAN]]
REF_LOGPROBS = [[-1.5, -1.0], [-3.0, -INF], [INF, NAN]]
KL = [[0.2, 0.1], [0.6, NAN], [INF, -INF]]
MASK = [[True, True], [True, False], [False, False]]
REWARDS, BASELINE = [1.0, 0.0, 1.0], [0.5, 0.5, 0.5]
DELTA = [[0.15, -0.55], [0.7, 0.0], [0.0, 0.0]]


@KINDS
def test_td_terms_worked_example(kind):
    logprobs, ref_logprobs, kl = kind(LOGPROBS), kind(REF_LOGPROBS), kind(KL)
    mask = mask_like(kl, MASK)
    close(credit.rho(logprobs, ref_logprobs, mask, 0.5), [[0.25, -0.5], [1.0, 0.0], [0.0, 0.0]])
    close(credit.kappa(kl, mask, 0.5), [[0.1, 0.05], [0.3, 0.0], [0.0, 0.0]])
    close(credit.td_terms(logprobs, ref_logprobs, kl, mask, 0.5), DELTA)


@KINDS
def test_values_and_residual_worked_example(kind):
    td_terms = kind(DELTA)
    mask = mask_like(td_terms, MASK)
    # Start: 0.5, + 0.15, - 0.55; row 2 stays where its last token left it; row 3 never leaves the baseline.
    start = [[0.5, 0.65, 0.1], [0.5, 1.2, 1.2], [0.5, 0.5, 0.5]]
    # End: minus the sum of what is still to come, 0 at and after the last token.
    end = [[0.4, 0.55, 0.0], [-0.7, 0.0, 0.0], [0.0, 0.0, 0.0]]
    # Residual: -0.4 - (1 - 0.5), 0.7 - (0 - 0.5), 0 - (1 - 0.5).
    residual = [-0.9, 1.2, -0.5]
    close(credit.implied_values(td_terms, mask, kind(BASELINE)), start)
    close(credit.implied_values_from_end(td_terms, mask), end)
    close(credit.terminal_residual(td_terms, mask, kind(REWARDS), kind(BASELINE)), residual)


@KINDS
def test_gae_worked_example(kind):
    # lambda 0.5: A_1 = -0.55, A_0 = 0.15 - 0.275. In the second row token 1 is masked: A_0 = 1 + 0.5 * 2, not 0.25 * 2.
    td_terms = kind([[0.15, -0.55, NAN], [1.0, NAN, 2.0], [NAN, NAN, NAN]])
    mask = mask_like(td_terms, [[True, True, False], [True, False, True], [False, False, False]])
    close(credit.gae(td_terms, mask, 0.5), [[-0.125, -0.55, 0.0], [2.0, 0.0, 2.0], [0.0, 0.0, 0.0]])


@KINDS
def test_whiten_divides_by_the_root_of_unbiased_variance_plus_1e_8(kind):
    # 1, 2, 3: mean 2, unbiased variance (1 + 0 + 1) / 2 = 1. The biased one, 2/3, would give 1.2247.
    values = kind([[1.0, 2.0, NAN], [3.0, INF, -INF]])
    mask = mask_like(values, [[True, True, False], [True, False, False]])
    close(credit.whiten(values, mask), [[-1 / math.sqrt(1 + 1e-8), 0, 0], [1 / math.sqrt(1 + 1e-8), 0, 0]])
    # Spread 1e-4: variance 1e-8, so the root of 2e-8 divides and +-1e-4 becomes +-0.70711. With 1e-8 added to the
    # standard deviation instead it would be +-0.9999; at small beta this is the difference between the rules.
    small = kind([[-1e-4, 0.0, 1e-4]])
    close(credit.whiten(small, mask_like(small, None)), [[-math.sqrt(0.5), 0, math.sqrt(0.5)]])


@KINDS
def test_whiten_of_one_value_or_none_is_zero(kind):
    values = kind([[5.0, 7.0]])
    close(credit.whiten(values, mask_like(values, [[True, False]])), [[0, 0]])
    close(credit.whiten(values, mask_like(values, [[False, False]])), [[0, 0]])


@KINDS
def test_group_mean_and_grpo_advantages_worked_example(kind):
    # Group 7 has rewards 1, 0, 0, 0: mean 0.25, unbiased variance (0.5625 + 3 * 0.0625) / 3 = 0.25, std 0.5.
    # Group 3 agrees, group 9 is alone: exactly 0 both. The groups are interleaved on purpose.
    rewards = kind([1.0, 1.0, 0.0, 0.0, 1.0, 0.0, 1.0])
    group_ids = np.array([7, 3, 7, 7, 3, 7, 9])
    group_ids = torch.as_tensor(group_ids) if isinstance(rewards, torch.Tensor) else group_ids
    close(credit.group_mean(rewards, group_ids), [0.25, 1, 0.25, 0.25, 1, 0.25, 1])
    close(credit.grpo_advantages(rewards, group_ids, scale_by_std=False), [0.75, 0, -0.25, -0.25, 0, -0.25, 0])
    scaled = [0.75 / 0.5001, 0, -0.25 / 0.5001, -0.25 / 0.5001, 0, -0.25 / 0.5001, 0]
    close(credit.grpo_advantages(rewards, group_ids), scaled)


# ---- exact KL ----


def brute_force_kl(logits, ref_logits):
    p = [math.exp(z) for z in logits]
    q = [math.exp(z) for z in ref_logits]
    p, q = [x / sum(p) for x in p], [x / sum(q) for x in q]
    return sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))


@KINDS
def test_exact_kl_equals_the_sum_over_the_vocabulary(kind):
    rng = np.random.default_rng(2)
    logits, ref_logits = rng.normal(size=(2, 3, 5)) * 3, rng.normal(size=(2, 3, 5)) * 3
    truth = [[brute_force_kl(logits[b, t], ref_logits[b, t]) for t in range(3)] for b in range(2)]
    close(credit.exact_kl(kind(logits), kind(ref_logits)), truth)
    close(credit.exact_kl(kind(logits + 1000), kind(ref_logits - 1000)), truth)  # only differences count


@KINDS
@pytest.mark.parametrize("row_chunk", [1, 2, 5, 6, 7])
def test_exact_kl_does_not_depend_on_the_chunk(kind, row_chunk):
    rng = np.random.default_rng(3)
    logits, ref_logits = kind(rng.normal(size=(2, 3, 11))), kind(rng.normal(size=(2, 3, 11)))
    whole = np.asarray(credit.exact_kl(logits, ref_logits))
    assert np.array_equal(np.asarray(credit.exact_kl(logits, ref_logits, row_chunk=row_chunk)), whole)


@KINDS
def test_exact_kl_of_equal_logits_is_exactly_zero_and_never_negative(kind):
    logits = np.random.default_rng(4).normal(size=(4, 50))
    assert np.all(np.asarray(credit.exact_kl(kind(logits), kind(logits))) == 0)
    nearly = credit.exact_kl(kind(logits), kind(logits + np.linspace(0, 1e-9, 50)))
    assert np.all(np.asarray(nearly) >= 0)


@KINDS
def test_exact_kl_is_accurate_where_policy_and_reference_nearly_agree(kind):
    # Logits e apart on two tokens: p = (1/2, 1/2), q ~ (1, exp(e)), KL = log((1 + e^e) / 2) - e/2 = log cosh(e/2).
    for e in (1e-1, 1e-2, 1e-4):
        kl = float(credit.exact_kl(kind([[0.0, 0.0]]), kind([[0.0, e]]))[0])
        close(kl, math.log(math.cosh(e / 2)), tol=1e-15)


@KINDS
def test_exact_kl_of_impossible_tokens_is_right_and_silent(kind):
    # pi = (1/2, 1/2, 0) against pi_ref = (1/4, 1/4, 1/2): log 2. Both without the third token: 0. Warnings are errors.
    two, quarter = [0.0, 0.0, -INF], [0.0, 0.0, math.log(2)]
    close(credit.exact_kl(kind([two, two]), kind([quarter, two])), [math.log(2), 0])
    # pi takes a token that the reference never does: infinitely far.
    assert float(credit.exact_kl(kind([quarter]), kind([two]))[0]) == INF


def test_exact_kl_is_finite_to_differentiate_with_impossible_tokens():
    logits = torch.tensor([[0.3, 0.1, -INF]], dtype=torch.float64, requires_grad=True)
    credit.exact_kl(logits, torch.tensor([[0.0, 0.5, -INF]], dtype=torch.float64)).sum().backward()
    assert torch.isfinite(logits.grad).all()


@pytest.mark.parametrize("half", [torch.bfloat16, torch.float16])
def test_exact_kl_raises_half_precision_of_either_side_to_float32(half):
    logits, ref_logits = torch.randn(4, 30, generator=torch.Generator().manual_seed(0)), torch.zeros(4, 30)
    for a, b in (
        (logits.to(half), ref_logits.to(half)),
        (logits.to(half), ref_logits),
        (ref_logits, logits.to(half)),
    ):
        kl = credit.exact_kl(a, b)
        assert kl.dtype == torch.float32
        close(kl, credit.exact_kl(a.double(), b.double()), tol=1e-5)  # float32 sums over 30 tokens


@KINDS
def test_exact_kl_of_no_tokens_is_empty(kind):
    assert tuple(credit.exact_kl(kind(np.zeros((2, 0, 5))), kind(np.zeros((2, 0, 5)))).shape) == (2, 0)


# ---- properties ----


@st.composite
def batches(draw):
    """Ragged rows, length 0 included, as float64 arrays; a pair of groups at least now and then."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    rows, length = draw(st.integers(1, 6)), draw(st.integers(0, 7))
    lengths = rng.integers(0, length + 1, size=rows)
    mask = np.arange(length)[None, :] < lengths[:, None]
    return {
        "logprobs": -rng.exponential(2.0, size=(rows, length)),
        "ref_logprobs": -rng.exponential(2.0, size=(rows, length)),
        "kl": rng.exponential(0.3, size=(rows, length)),
        "mask": mask,
        "rewards": rng.integers(0, 2, size=rows).astype(np.float64),
        "group_ids": rng.integers(0, 3, size=rows),
        "beta": float(rng.uniform(0.01, 2.0)),
        "gae_lambda": float(rng.uniform()),
    }


def everything(batch):
    """All that `credit` derives from a batch, by name."""
    mask, rewards, group_ids = batch["mask"], batch["rewards"], batch["group_ids"]
    td_terms = credit.td_terms(batch["logprobs"], batch["ref_logprobs"], batch["kl"], mask, batch["beta"])
    baseline = credit.group_mean(rewards, group_ids)
    advantages = credit.gae(td_terms, mask, batch["gae_lambda"])
    return {
        "td_terms": td_terms,
        "baseline": baseline,
        "advantages": advantages,
        "whitened": credit.whiten(advantages, mask),
        "values": credit.implied_values(td_terms, mask, baseline),
        "values_from_end": credit.implied_values_from_end(td_terms, mask),
        "terminal_residual": credit.terminal_residual(td_terms, mask, rewards, baseline),
        "grpo": credit.grpo_advantages(rewards, group_ids),
    }


def on_torch(batch):
    return {k: torch.as_tensor(v) if isinstance(v, np.ndarray) else v for k, v in batch.items()}


@given(batches())
def test_torch_agrees_with_numpy(batch):
    ours, theirs = everything(batch), everything(on_torch(batch))
    for name, value in ours.items():
        assert isinstance(theirs[name], torch.Tensor), name
        close(value, theirs[name])


@given(batches(), st.sampled_from([NAN, INF, -INF, 1e300]), st.integers(1, 4))
def test_padding_and_what_it_holds_change_nothing(batch, filler, extra):
    rows, length = batch["mask"].shape
    padded = dict(batch)
    for name in ("logprobs", "ref_logprobs", "kl"):
        padded[name] = np.full((rows, length + extra), filler)
        padded[name][:, :length] = np.where(batch["mask"], batch[name], filler)
    padded["mask"] = np.pad(batch["mask"], ((0, 0), (0, extra)))
    plain, result = everything(batch), everything(padded)
    for name in ("td_terms", "advantages", "whitened"):
        close(result[name], np.pad(plain[name], ((0, 0), (0, extra))))
    for name in ("baseline", "terminal_residual", "grpo"):
        close(result[name], plain[name])
    for name in ("values", "values_from_end"):  # constant after a row's last token
        close(result[name], np.pad(plain[name], ((0, 0), (0, extra)), mode="edge"))


@given(batches(), st.randoms(use_true_random=False))
def test_the_order_of_rows_changes_nothing(batch, random):
    order = list(range(batch["mask"].shape[0]))
    random.shuffle(order)
    moved = {k: v[order] if isinstance(v, np.ndarray) else v for k, v in batch.items()}
    plain, result = everything(batch), everything(moved)
    for name, value in plain.items():
        close(result[name], value[order])


@given(batches())
def test_before_learning_there_is_no_token_credit(batch):
    same = {**batch, "logprobs": batch["ref_logprobs"], "kl": np.zeros_like(batch["kl"])}
    result = everything(same)
    for name in ("td_terms", "advantages", "whitened", "values_from_end"):
        assert np.all(result[name] == 0), name  # exactly
    assert np.all(result["values"] == result["baseline"][:, None])


@given(batches())
def test_values_telescope_and_the_two_anchors_differ_by_the_terminal_residual(batch):
    result = everything(batch)
    values, from_end = result["values"], result["values_from_end"]
    close(np.diff(values, axis=1), result["td_terms"])
    close(np.diff(from_end, axis=1), result["td_terms"])
    gap = values - (batch["rewards"][:, None] + from_end)
    close(gap, np.broadcast_to(result["terminal_residual"][:, None], gap.shape))


@given(batches(), st.floats(0.1, 10.0))
def test_scaling_rewards_and_beta_together_scales_every_quantity_in_reward_units(batch, factor):
    scaled = everything({**batch, "rewards": factor * batch["rewards"], "beta": factor * batch["beta"]})
    plain = everything(batch)
    for name in ("td_terms", "baseline", "advantages", "values", "values_from_end", "terminal_residual"):
        close(scaled[name], factor * plain[name])


@given(batches())
def test_gae_reduces_to_the_td_term_at_0_and_to_its_sum_to_the_end_at_1(batch):
    result, mask = everything(batch), batch["mask"]
    close(credit.gae(result["td_terms"], mask, 0.0), result["td_terms"])
    to_end = np.where(mask, -result["values_from_end"][:, :-1], 0)
    close(credit.gae(result["td_terms"], mask, 1.0), to_end)


@given(batches())
def test_whitened_values_have_mean_0_and_at_most_unit_variance(batch):
    whitened = everything(batch)["whitened"][batch["mask"]]
    if whitened.size > 1:
        close(whitened.mean(), 0)
        assert whitened.var(ddof=1) <= 1 + TOL  # 1e-8 inside the root only makes it smaller


@given(batches())
def test_group_advantages_have_mean_0_in_each_group_and_agreeing_groups_teach_nothing(batch):
    rewards, group_ids = batch["rewards"], batch["group_ids"]
    advantages = credit.grpo_advantages(rewards, group_ids)
    for group in set(group_ids):
        members = group_ids == group
        close(advantages[members].sum(), 0)
        assert np.ptp(rewards[members]) > 0 or np.all(advantages[members] == 0)


# ---- gradients, precision, shapes ----


def torch_batch(requires_grad=(), dtype=torch.float64):
    batch = {"logprobs": LOGPROBS, "ref_logprobs": REF_LOGPROBS, "kl": KL}
    batch = {k: torch.tensor(v, dtype=dtype) for k, v in batch.items()}
    for name in requires_grad:
        batch[name].requires_grad_(True)
    return batch, torch.tensor(MASK)


def test_gradient_flows_through_logprobs_only_and_is_beta_on_sampled_tokens():
    batch, mask = torch_batch(requires_grad=("logprobs", "ref_logprobs", "kl"))
    credit.td_terms(*batch.values(), mask, 0.5).sum().backward()
    close(batch["logprobs"].grad, 0.5 * mask.double())  # finite although the padding holds nan and inf
    assert batch["ref_logprobs"].grad is None
    assert batch["kl"].grad is None


def test_every_quantity_downstream_stays_finite_to_differentiate_with_nan_in_the_padding():
    batch, mask = torch_batch(requires_grad=("logprobs",))
    td_terms = credit.td_terms(*batch.values(), mask, 0.5)
    rewards, baseline = torch.tensor(REWARDS).double(), torch.tensor(BASELINE).double()
    total = (
        credit.implied_values(td_terms, mask, baseline).sum()
        + credit.implied_values_from_end(td_terms, mask).sum()
        + credit.terminal_residual(td_terms, mask, rewards, baseline).sum()
        + credit.gae(td_terms, mask, 0.9).sum()
        + (credit.whiten(td_terms, mask) ** 2).sum()
    )
    total.backward()
    assert torch.isfinite(total)
    assert torch.isfinite(batch["logprobs"].grad).all()


@given(batches(), st.sampled_from([np.float32, np.float64]))
def test_precision_is_kept(batch, dtype):
    batch = {k: v.astype(dtype) if getattr(v, "dtype", None) == np.float64 else v for k, v in batch.items()}
    for made in (batch, on_torch(batch)):
        for name, value in everything(made).items():
            assert str(value.dtype).removeprefix("torch.") == np.dtype(dtype).name, name
    kl = credit.exact_kl(np.zeros((2, 3), dtype), np.zeros((2, 3), dtype))
    assert kl.dtype == dtype


BT, BT1, B, B1 = np.zeros((2, 3)), np.zeros((2, 4)), np.zeros(2), np.zeros(5)
M = np.ones((2, 3), dtype=bool)
WRONG = [  # (call, the two shapes that the message must print)
    (lambda: credit.exact_kl(BT, BT1), "(2, 3)", "(2, 4)"),
    (lambda: credit.rho(BT, BT1, M, 1.0), "(2, 3)", "(2, 4)"),
    (lambda: credit.kappa(BT1, M, 1.0), "(2, 4)", "(2, 3)"),
    (lambda: credit.td_terms(BT, BT, BT1, M, 1.0), "(2, 4)", "(2, 3)"),
    (lambda: credit.td_terms(BT, BT, B, M, 1.0), "(2,)", "(2, 3)"),
    (lambda: credit.group_mean(B, np.zeros(5, dtype=int)), "(2,)", "(5,)"),
    (lambda: credit.grpo_advantages(B, np.zeros(5, dtype=int)), "(2,)", "(5,)"),
    (lambda: credit.implied_values(BT1, M, B), "(2, 4)", "(2, 3)"),
    (lambda: credit.implied_values(BT, M, B1), "(5,)", "[2]"),
    (lambda: credit.implied_values(BT, M, BT), "(2, 3)", "[2]"),
    (lambda: credit.implied_values_from_end(BT1, M), "(2, 4)", "(2, 3)"),
    (lambda: credit.terminal_residual(BT, M, B1, B), "(5,)", "[2]"),
    (lambda: credit.gae(BT1, M, 1.0), "(2, 4)", "(2, 3)"),
    (lambda: credit.whiten(BT1, M), "(2, 4)", "(2, 3)"),
]


@pytest.mark.parametrize(("call", "one", "other"), WRONG)
def test_unequal_shapes_are_refused_with_both_printed(call, one, other):
    with pytest.raises(ValueError) as error:
        call()
    assert one in str(error.value) and other in str(error.value)


# ---- rounding that must not become credit


@pytest.mark.parametrize("library", [np, torch], ids=["numpy", "torch"])
@pytest.mark.parametrize("reward", [0.3, 0.1, 0.7, 1e6 + 0.1])
def test_a_group_that_agrees_gets_exactly_0_in_float32_too(library, reward):
    rewards = library.asarray(np.array([reward] * 8 + [0.0, 1.0], dtype=np.float32))
    groups = library.asarray(np.array([0] * 8 + [1] * 2))
    for scale in (True, False):
        found = credit.grpo_advantages(rewards, groups, scale_by_std=scale)
        assert not found[:8].any() and found[8] < 0 < found[9]
    assert not (rewards - credit.leave_one_out_mean(rewards, groups))[:8].any()
    assert not (rewards - credit.prompt_baseline(rewards, groups))[:8].any()
    assert credit.agrees(rewards, groups).tolist() == [True] * 8 + [False] * 2


def test_a_normalised_residual_is_not_divided_by_rounding():
    rewards = torch.full((8,), 0.3)
    target = rewards - credit.group_mean(rewards, torch.zeros(8))
    assert credit.spread_or_one(target) == 1.0


@pytest.mark.parametrize("library", [np, torch], ids=["numpy", "torch"])
@pytest.mark.parametrize("constant", [1e6, 0.3, -1e6 / 3, 0.0])
def test_whitening_equal_entries_gives_0_and_no_rounding(library, constant):
    values = library.asarray(np.full((13, 7), constant, dtype=np.float32))
    mask = library.asarray(np.arange(91).reshape(13, 7) % 3 != 0)
    assert not credit.whiten(values, mask).any()


def test_a_state_where_no_token_can_be_taken_has_a_kl_of_0_and_one_that_the_reference_never_takes_inf():
    nothing, some = np.full((1, 4), -np.inf), np.array([[0.0, 1.0, 2.0, -np.inf]])
    assert credit.exact_kl(nothing, some).tolist() == [0.0]
    assert credit.exact_kl(nothing, nothing).tolist() == [0.0]
    assert credit.exact_kl(some, nothing).tolist() == [np.inf]
    assert credit.exact_kl(some, some).tolist() == [0.0]
    in_torch = credit.exact_kl(*(torch.from_numpy(x) for x in (nothing, some)))
    assert in_torch.tolist() == [0.0]
