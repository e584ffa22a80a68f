"""Token-level credit read off a policy/reference pair, and the rules it is compared with.

Where PPO asks a critic for V(s), VIMPO (arXiv 2606.20008) reads it off the policy: at the fixed point
pi proportional to pi_ref exp(Q/beta) the identity

    beta log(pi/pi_ref)(a|s) - beta KL(pi, pi_ref)(s) = r + V(s') - V(s)

holds for the plain values of pi itself, so summing the left side along a solution gives V up to one anchor.
Symbols, units and the two anchors are those of README.md, "Symbols".

Every function takes NumPy arrays or torch tensors and returns the same kind and precision (Array API). kappa and the
reference are constants to the optimizer: gradients flow through `logprobs` alone. Rows are padded at the right;
a row without any sampled token is allowed and counts in means over B.
"""

from __future__ import annotations

import math

from array_api_compat import array_namespace


def exact_kl(logits, ref_logits, row_chunk: int = 4096):
    """KL(pi(.|s_t), pi_ref(.|s_t)) over the whole vocabulary, not estimated from the sampled token.

        KL = sum_v pi_v (log pi_v - log pi_ref_v)

    Args:
        logits, ref_logits: unnormalised log-probabilities, float [..., V]. Half precision is raised to float32: it
            would leave a noise floor of about 1.5e-3 nats a token.
        row_chunk: rows normalised at once; bounds memory at about 4 x row_chunk x V numbers, changes no result.

    Returns:
        float [...], nats, >= 0 (rounding below zero is cut off), float32 or better. A token that pi never takes
        (logit -inf) adds 0, so a state where pi takes none at all (every logit -inf) has 0. One that pi takes and the
        reference never does makes it inf.

    Raises:
        ValueError: shapes differ.
    """
    _same_shape(logits=logits, ref_logits=ref_logits)
    xp = array_namespace(logits, ref_logits)
    shape, vocab = logits.shape[:-1], logits.shape[-1]
    rows, ref_rows = xp.reshape(logits, (-1, vocab)), xp.reshape(ref_logits, (-1, vocab))
    chunks = [
        _kl_of_rows(xp, rows[i : i + row_chunk, :], ref_rows[i : i + row_chunk, :])
        for i in range(0, max(rows.shape[0], 1), row_chunk)
    ]
    return xp.reshape(xp.concat(chunks, axis=0), shape)


def sampled_kl(logprobs, ref_logprobs, estimator):
    """KL(pi, pi_ref) at a state as one sampled token estimates it (J. Schulman, "Approximating KL divergence", 2020).

        x = log pi - log pi_ref;   k2 = x^2 / 2 (biased, near 0 exact to second order);   k3 = e^{-x} - 1 + x (unbiased)

    k1 = x itself is refused: rho - beta x is 0 for every token, so no token would ever get credit.

    Args:
        logprobs, ref_logprobs: nats of the sampled tokens, float [...]; estimator: "k2" or "k3".

    Returns:
        float [...], nats, >= 0; no gradient flows through it.

    Raises:
        ValueError: shapes differ, or another estimator.
    """
    _same_shape(logprobs=logprobs, ref_logprobs=ref_logprobs)
    xp = array_namespace(logprobs)
    x = _constant(logprobs) - _constant(ref_logprobs)
    if estimator == "k2":
        return 0.5 * x**2
    if estimator == "k3":
        return xp.expm1(-x) + x
    reason = " It makes every credit identically 0." if estimator == "k1" else ""
    raise ValueError(f"the sampled token estimates KL by k2 or k3, got {estimator!r}.{reason}")


def rho(logprobs, ref_logprobs, completion_mask, beta):
    """rho_t = beta (log pi - log pi_ref), the sampled token's scaled log-ratio.

    Args:
        logprobs, ref_logprobs: nats, float [B, T]; the reference is held constant.
        completion_mask: bool [B, T], True on sampled tokens, EOS included.
        beta: reward per nat, scalar.

    Returns:
        float [B, T], reward units, 0 where masked.

    Raises:
        ValueError: shapes differ.
    """
    _same_shape(logprobs=logprobs, ref_logprobs=ref_logprobs, completion_mask=completion_mask)
    xp = array_namespace(logprobs, ref_logprobs)
    # Padding may hold -inf or nan: replace it before subtracting, or its gradient would be nan.
    log_ratio = _masked(xp, logprobs, completion_mask) - _masked(xp, _constant(ref_logprobs), completion_mask)
    return beta * log_ratio


def kappa(kl, completion_mask, beta):
    """kappa_t = beta KL_t, held constant (no gradient): float [B, T], reward units, 0 where masked.

    Raises:
        ValueError: shapes differ.
    """
    _same_shape(kl=kl, completion_mask=completion_mask)
    return beta * _masked(array_namespace(kl), _constant(kl), completion_mask)


def td_terms(logprobs, ref_logprobs, kl, completion_mask, beta):
    """delta_t = rho_t - sg kappa_t: the one-step advantage Q - V that the policy implies (V(s') - V(s), reward aside).

    Args:
        logprobs, ref_logprobs: nats, float [B, T]; `kl`: exact KL(pi, pi_ref) at each state, nats, float [B, T].
            Do not pass the k1 estimate log pi - log pi_ref as `kl`: delta would be identically 0.
        completion_mask: bool [B, T], True on sampled tokens, EOS included.
        beta: reward per nat, scalar.

    Returns:
        float [B, T], reward units, 0 where masked; gradient only through `logprobs`.

    Raises:
        ValueError: shapes differ.
    """
    return rho(logprobs, ref_logprobs, completion_mask, beta) - kappa(kl, completion_mask, beta)


def group_mean(rewards, group_ids):
    """Baseline: mean reward of each row's prompt group, the row itself included.

    Where a group agrees it is that reward exactly, without rounding, so that R minus it is exactly 0.

    Args:
        rewards: float [B]; group_ids: int [B], equal for solutions of the same prompt.

    Returns:
        float [B], reward units.

    Raises:
        ValueError: shapes differ.
    """
    _same_shape(rewards=rewards, group_ids=group_ids)
    xp, same = _same_group(rewards, group_ids)
    mean = xp.sum(same * rewards[None, :], axis=1) / xp.sum(same, axis=1)
    return xp.where(agrees(rewards, group_ids), rewards, mean)


def agrees(rewards, group_ids):
    """Whether all solutions of a row's group earned the same number ("dead" group): bool [B]."""
    xp, same = _same_group(rewards, group_ids)
    return ~xp.any((same > 0) & (rewards[None, :] != rewards[:, None]), axis=1)


def leave_one_out_mean(rewards, group_ids):
    """Baseline of RLOO: mean reward of the other solutions of the group (arXiv 2402.14740).

    R minus it is G / (G - 1) times R minus `group_mean`. A solution alone in its group gets 0.

    Args:
        rewards: float [B]; group_ids: int [B].

    Returns:
        float [B], reward units.

    Raises:
        ValueError: shapes differ.
    """
    _same_shape(rewards=rewards, group_ids=group_ids)
    xp, same = _same_group(rewards, group_ids)
    others = xp.sum(same, axis=1) - 1
    mean = (xp.sum(same * rewards[None, :], axis=1) - rewards) / xp.where(others < 1, others * 0 + 1, others)
    return xp.where(agrees(rewards, group_ids) & (others > 0), rewards, mean)


def prompt_baseline(rewards, group_ids, kind="group_mean", cap=0.0):
    """What VIMPO's value loss subtracts from R, the value V_0 of the prompt: `group_mean` or `leave_one_out_mean`.

    The group mean holds the solution itself: R - mean is (G - 1) / G times R minus the mean of the others, so descent
    with groups of G ends at the local fixed point of beta G / (G - 1), where delta is (G - 1) / G times Q - V exactly.
    The leave-one-out mean ends at that of beta.

    Args:
        rewards: float [B]; group_ids: int [B]; kind: "group_mean" or "leave_one_out"; cap: as `capped`.

    Returns:
        float [B], reward units.

    Raises:
        ValueError: shapes differ, or another kind.
    """
    if kind not in ("group_mean", "leave_one_out"):
        raise ValueError(f"the baseline is group_mean or leave_one_out, got {kind!r}.")
    mean = leave_one_out_mean if kind == "leave_one_out" else group_mean
    return capped(mean(rewards, group_ids), cap)


def capped(baseline, cap):
    """min(baseline, cap), the authors' vimpo_cap_v0; cap 0 sets no limit. float [B], reward units."""
    return array_namespace(baseline).where(baseline > cap, 0 * baseline + cap, baseline) if cap else baseline


def soft_baseline(rewards, group_ids, beta):
    """Soft value of the prompt as its group estimates it: beta log mean exp(R / beta), by log-sum-exp. Ours, not a
    paper's.

    V_soft asks for solutions of pi_ref (`soft_value` has them, as A*-PO does); these come from pi, so while pi improves
    it overstates V_soft. A constant of the prompt would leave the expected gradient of the value loss as it is; this
    one holds the solution itself, and so moves the fixed point, as `group_mean` does. The soft baseline of VIMPO's
    authors is another: the group mean of R - beta sum_t KL_t.

    Args:
        rewards: float [B]; group_ids: int [B]; beta: reward per nat, > 0.

    Returns:
        float [B], reward units, between the group's mean and its largest reward.

    Raises:
        ValueError: shapes differ.
    """
    _same_shape(rewards=rewards, group_ids=group_ids)
    xp, same = _same_group(rewards, group_ids)
    is_same, every = same > 0, rewards[None, :] + 0 * same
    highest = xp.max(xp.where(is_same, every, -xp.inf + every), axis=1)  # of the group: exp sees no positive number
    relative = xp.where(is_same, (every - highest[:, None]) / beta, 0 * every)
    return highest + beta * xp.log(xp.sum(same * xp.exp(relative), axis=1) / xp.sum(same, axis=1))


def soft_value(success_rate, beta):
    """Value of the KL-regularised (soft) optimum where the reference succeeds with this probability (rewards 0 and 1).

        V_soft = beta log((1 - p) + p e^{1/beta}) = 1 + beta log(p + (1 - p) e^{-1/beta})

    The second form overflows at no beta. A*-PO (arXiv 2505.20686) regresses on it as V*. For rewards in [0, 1] take the
    mean of `tilted` rewards for p: then it is beta log E exp(R / beta).

    Args:
        success_rate: p in [0, 1], float array; beta: reward per nat, > 0.

    Returns:
        float of the same shape, reward units: p for large beta, 1 for small beta unless p is 0, where it is 0.
    """
    xp = array_namespace(success_rate)
    can_succeed = success_rate > 0
    failing = xp.where(can_succeed, 1 - success_rate, 0 * success_rate)
    return xp.where(can_succeed, 1 + beta * xp.log1p(failing * math.expm1(-1 / beta)), 0 * success_rate)


def tilted(rewards, beta):
    """(e^{R / beta} - 1) / (e^{1 / beta} - 1): what takes the place of success in `soft_value` where R is in [0, 1].

        beta log E exp(R / beta) = soft_value(E tilted(R))

    R itself where it is 0 or 1, exactly. By e^{(R - 1) / beta}, which overflows at no beta.

    Args:
        rewards: in [0, 1], float array; beta: reward per nat, > 0.
    """
    xp = array_namespace(rewards)
    return xp.exp((rewards - 1) / beta) * xp.expm1(-rewards / beta) / math.expm1(-1 / beta)


def optimal_token_baseline(rewards, group_ids, logprobs, collision, completion_mask):
    """Baseline of each place in a group that makes the policy gradient's variance small (arXiv 2602.07078).

        B_t = sum_i R_i W_t^i / (sum_i W_t^i + 1e-8),   W_t = sum_{k <= t} (1 - 2 pi_k + sum_v pi_kv^2)

    over the solutions of the group that reach t. A term of W is the squared length of the gradient of log pi_k in the
    logits, so W is how much a solution has stirred the gradient so far. As in verl 0.9.1, where a single solution is
    left B_t is 0; unlike there, a term that rounding makes negative counts as 0 (a near-certain token's W would divide
    by noise).

    Args:
        rewards: float [B]; group_ids: int [B]; logprobs: nats, float [B, T], of the sampled tokens;
        collision: sum_v pi^2 at each state, float [B, T]; completion_mask: bool [B, T].

    Returns:
        float [B, T], reward units; the same for all solutions of a group at a place; 0 where masked.

    Raises:
        ValueError: shapes differ.
    """
    xp = _check_terms(logprobs, completion_mask, rewards=rewards, group_ids=group_ids)
    _same_shape(logprobs=logprobs, collision=collision)
    _, same = _same_group(rewards, group_ids)
    squares = 1 - 2 * xp.exp(_constant(logprobs)) + _constant(collision)
    squares = _masked(xp, xp.where(squares < 0, 0 * squares, squares), completion_mask)
    stirred = _masked(xp, xp.cumulative_sum(squares, axis=1), completion_mask)
    baseline = xp.matmul(same, rewards[:, None] * stirred) / (xp.matmul(same, stirred) + 1e-8)
    reaching = xp.matmul(same, xp.astype(completion_mask, rewards.dtype))
    return _masked(xp, baseline, completion_mask & (reaching > 1))


def high_entropy(entropy, completion_mask, share):
    """The sampled tokens whose entropy is in the highest `share` of the batch's (arXiv 2506.01939; TRL's
    top_entropy_quantile).

    Kept are those at or above the (1 - share) quantile over all sampled tokens, interpolated linearly.

    Args:
        entropy: of the policy at each state, nats, float [B, T]; completion_mask: bool [B, T]; share: in (0, 1], 1
            keeps all.

    Returns:
        bool [B, T], False where masked.

    Raises:
        ValueError: shapes differ.
    """
    _same_shape(entropy=entropy, completion_mask=completion_mask)
    xp = array_namespace(entropy)
    ascending = xp.sort(_constant(entropy)[completion_mask])
    if not ascending.shape[0]:
        return completion_mask
    place = (1 - share) * (ascending.shape[0] - 1)
    below = math.floor(place)
    above = min(below + 1, ascending.shape[0] - 1)
    threshold = ascending[below] + (place - below) * (ascending[above] - ascending[below])
    return completion_mask & (entropy >= threshold)


def implied_values(td_terms, completion_mask, baseline):
    """Value of each prefix implied by the policy alone, start-anchored (gamma = 1, reward at the end).

        V_0 = baseline,   V_{t+1} = V_t + delta_t

    The reward is compared at the end: `terminal_residual` is the gap left there.

    Args:
        td_terms: rho - kappa, float [B, T], reward units.
        completion_mask: bool [B, T], True on sampled tokens, EOS included.
        baseline: group mean reward, float [B].

    Returns:
        float [B, T+1]; column 0 is `baseline`; constant after a row's last True.

    Raises:
        ValueError: shapes differ.
    """
    xp = _check_terms(td_terms, completion_mask, baseline=baseline)
    start = baseline[:, None]
    steps = xp.cumulative_sum(_masked(xp, td_terms, completion_mask), axis=1)
    return xp.concat([start, start + steps], axis=1)


def implied_values_from_end(td_terms, completion_mask):
    """Value of each prefix less R, end-anchored: 0 at the end, as in the authors' code, which leaves the reward out.

        V_t - R = - sum_{k >= t} delta_k,   so that V_T = R

    Add R to compare with `implied_values`: start- minus end-anchored is then `terminal_residual` at every t.

    Args:
        td_terms: float [B, T], reward units; completion_mask: bool [B, T].

    Returns:
        float [B, T+1]; 0 from a row's last True on.

    Raises:
        ValueError: shapes differ.
    """
    xp = _check_terms(td_terms, completion_mask)
    terms = _masked(xp, td_terms, completion_mask)
    to_end = xp.flip(xp.cumulative_sum(xp.flip(terms, axis=1), axis=1), axis=1)
    end = xp.sum(terms[:, :0], axis=1, keepdims=True)  # zeros [B, 1] of the right kind
    return xp.concat([-to_end, end], axis=1)


def terminal_residual(td_terms, completion_mask, rewards, baseline):
    """What the policy's own values leave unexplained: sum_t delta_t - (R - baseline). The value loss squares it.

    Args:
        td_terms: float [B, T]; completion_mask: bool [B, T]; rewards, baseline: float [B]. Reward units.

    Returns:
        float [B], reward units. A row without tokens gives baseline - R.

    Raises:
        ValueError: shapes differ.
    """
    xp = _check_terms(td_terms, completion_mask, rewards=rewards, baseline=baseline)
    return xp.sum(_masked(xp, td_terms, completion_mask), axis=1) - (rewards - baseline)


def gae(td_terms, completion_mask, gae_lambda):
    """Advantage A_t = delta_t + lambda A_{t+1}, accumulated backwards (GAE, arXiv 1506.02438, at gamma = 1).

    lambda 0 is the td term itself, lambda 1 its sum to the end: then every token before a mistake carries it too.

    Args:
        td_terms: float [B, T], reward units; completion_mask: bool [B, T]; gae_lambda: scalar in [0, 1].

    Returns:
        float [B, T], reward units, 0 where masked. A masked token inside a row is passed over undiscounted.

    Raises:
        ValueError: shapes differ.
    """
    xp = _check_terms(td_terms, completion_mask)
    running = xp.sum(td_terms[:, :0], axis=1)  # A_T = 0: no reward remains at the end
    columns = []
    for t in reversed(range(td_terms.shape[1])):
        running = xp.where(completion_mask[:, t], td_terms[:, t] + gae_lambda * running, running)
        columns.append(running)
    if not columns:
        return td_terms
    return _masked(xp, xp.stack(columns[::-1], axis=1), completion_mask)


def whiten(values, mask):
    """(A - mean) * rsqrt(unbiased variance + 1e-8) over the True entries: the authors' single-process rule.

    Peers that divide by (biased std + eps) differ much where the spread is small, that is at small beta.

    Args:
        values: float [B, T]; mask: bool [B, T].

    Returns:
        float [B, T], no unit, 0 where masked and where all entries are the same number. With fewer than two entries the
        variance is taken as 0.

    Raises:
        ValueError: shapes differ.
    """
    _same_shape(values=values, mask=mask)
    xp = array_namespace(values)
    kept = _masked(xp, values, mask)
    if 0 in kept.shape:
        return kept
    count = xp.sum(xp.astype(mask, values.dtype))
    mean = xp.sum(kept) / xp.where(count < 1, count + 1, count)
    # Of equal entries the mean may round to another number, and that rounding would be blown up to one standard
    # deviation.
    largest = xp.max(xp.where(mask, kept, xp.min(kept)))
    centred = _masked(xp, kept - mean, mask & xp.any(mask & (kept != largest)))
    variance = xp.sum(centred**2) / xp.where(count < 2, count * 0 + 1, count - 1)
    return centred / xp.sqrt(variance + 1e-8)


def grpo_advantages(rewards, group_ids, scale_by_std=True):
    """GRPO's advantage of a whole solution: reward minus group mean, over the group's spread (arXiv 2402.03300).

    The spread is the unbiased standard deviation + 1e-4, as TRL computes it; a group that agrees gets exactly 0.

    Args:
        rewards: float [B]; group_ids: int [B]; scale_by_std: False leaves the difference in reward units.

    Returns:
        float [B]; every token of the solution shares it.

    Raises:
        ValueError: shapes differ.
    """
    centred = rewards - group_mean(rewards, group_ids)
    if not scale_by_std:
        return centred
    xp, same = _same_group(rewards, group_ids)
    others = xp.sum(same, axis=1) - 1
    variance = xp.sum(same * centred[None, :] ** 2, axis=1) / xp.where(others < 1, others * 0 + 1, others)
    return centred / (xp.sqrt(variance) + 1e-4)


def critic_td_terms(critic_values, completion_mask, rewards):
    """One-step advantages by a learned critic: what PPO hands to `gae` (gamma = 1, reward at the end).

        delta_t = V(s_{t+1}) - V(s_t),   and R - V(s_t) on the last token

    Args:
        critic_values: V(s_t) before each token, float [B, T], reward units, held constant.
        completion_mask: bool [B, T], sampled tokens first; rewards: float [B].

    Returns:
        float [B, T], reward units, 0 where masked. A row's terms add up to R - V(s_0).

    Raises:
        ValueError: shapes differ.
    """
    xp = _check_terms(critic_values, completion_mask, rewards=rewards)
    values = _masked(xp, _constant(critic_values), completion_mask)
    inside = completion_mask[:, 1:]
    after = xp.where(inside, values[:, 1:], rewards[:, None] + 0 * values[:, 1:])
    after = xp.concat([after, rewards[:, None] + 0 * values[:, :1]], axis=1)[:, : values.shape[1]]
    return _masked(xp, after - values, completion_mask)


def monte_carlo_advantages(mc_values, completion_mask):
    """VinePPO's advantage: V(s_{t+1}) - V(s_t), both found by trying (arXiv 2410.01679), here from every token.

    Args:
        mc_values: success rate from every prefix, float [B, T+1]; past a row's end anything.
        completion_mask: bool [B, T].

    Returns:
        float [B, T], reward units, 0 where masked.

    Raises:
        ValueError: shapes do not fit.
    """
    _same_shape(mc_values_but_the_first=mc_values[:, 1:], completion_mask=completion_mask)
    xp = array_namespace(mc_values)
    return _masked(xp, mc_values[:, 1:] - mc_values[:, :-1], completion_mask)


def on_every_token(per_solution, completion_mask):
    """One number a solution on each of its tokens: [B] -> [B, T], 0 where masked."""
    xp = array_namespace(per_solution)
    return xp.where(completion_mask, per_solution[:, None], 0 * per_solution[:, None])


def average_weights(completion_mask, average, budget, dtype):
    """What each token counts in a loss's average; the weights of a batch add up to 1, but for "budget" and "sum".

        tokens: 1 / N;   solutions: 1 / (B T_b);   budget: 1 / (B budget);   sum: 1 / B

    N tokens in all, T_b of solution b, B solutions.

    Args:
        completion_mask: bool [B, T]; average: one of the four; budget: tokens, > 0; dtype: of the result.

    Returns:
        float [B, T], 0 where masked.

    Raises:
        ValueError: unknown average.
    """
    xp = array_namespace(completion_mask)
    mask = xp.astype(completion_mask, dtype)
    rows = max(mask.shape[0], 1)
    if average == "tokens":
        count = xp.sum(mask)
        return mask / xp.where(count < 1, count + 1, count)
    if average == "solutions":
        lengths = xp.sum(mask, axis=1, keepdims=True)
        return mask / xp.where(lengths < 1, lengths + 1, lengths) / rows
    if average == "budget":
        return mask / (rows * budget)
    if average == "sum":
        return mask / rows
    raise ValueError(f"a loss is averaged over tokens, solutions, budget or sum, got {average!r}.")


def spread_or_one(target):
    """Root mean square of the value loss's targets R - baseline, 1 where all are 0: scalar, reward units."""
    xp = array_namespace(target)
    spread = xp.sqrt(xp.mean(target**2))
    return xp.where(spread > 0, spread, spread + 1)


def _kl_of_rows(xp, logits, ref_logits):
    logp, ref_logp = _log_softmax(xp, logits), _log_softmax(xp, ref_logits)
    p = xp.exp(logp)
    # Masked before subtracting: a token that pi never takes may be -inf under both, and -inf - -inf is nan.
    kl = xp.sum(p * (_masked(xp, logp, p > 0) - _masked(xp, ref_logp, p > 0)), axis=-1)
    return xp.where(kl < 0, xp.zeros_like(kl), kl)


def _log_softmax(xp, logits):
    if logits.dtype not in (xp.float32, xp.float64):
        logits = xp.astype(logits, xp.float32)
    highest = xp.max(logits, axis=-1, keepdims=True)
    shifted = logits - xp.where(highest == -xp.inf, xp.zeros_like(highest), highest)
    total = xp.sum(xp.exp(shifted), axis=-1, keepdims=True)
    return shifted - xp.log(xp.where(total == 0, xp.ones_like(total), total))  # no token has any probability


def _same_group(rewards, group_ids):
    xp = array_namespace(rewards)
    return xp, xp.astype(group_ids[:, None] == group_ids[None, :], rewards.dtype)


def _constant(x):
    """Stop-gradient: a torch tensor leaves the graph, a NumPy array is already a constant."""
    return x.detach() if hasattr(x, "detach") else x


def _masked(xp, x, mask):
    return xp.where(mask, x, xp.zeros_like(x))


def _check_terms(td_terms, completion_mask, **per_row):
    _same_shape(td_terms=td_terms, completion_mask=completion_mask)
    for name, value in per_row.items():
        if tuple(value.shape) != tuple(td_terms.shape[:1]):
            raise ValueError(
                f"{name} must have one value a row, [B] = [{td_terms.shape[0]}], got shape {tuple(value.shape)}."
            )
    return array_namespace(td_terms)


def _same_shape(**arrays):
    shapes = {name: tuple(a.shape) for name, a in arrays.items()}
    if len(set(shapes.values())) > 1:
        raise ValueError(f"shapes differ: {', '.join(f'{n} {s}' for n, s in shapes.items())}. Pass equal shapes.")
