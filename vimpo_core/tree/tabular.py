"""A tree small enough to enumerate: the exact answers that tests and lessons compare VIMPO with. NumPy float64.

Every solution has `depth` tokens out of `vocab`, and a reward waits at each leaf (gamma = 1, no early end token).
Anything over states comes as a list with one array a depth: entry d has one row for each of the vocab^d prefixes of d
tokens, ordered as numbers written in base `vocab`, so that the children of prefix s are rows s * vocab + a of entry d +
1. A policy is such a list of log-probabilities, [vocab^d, vocab]. Many policies at once (the steps of a descent) are
one list whose arrays have a leading axis; functions that say "each depth" or a shape then put that axis in front of it.

Two optima live here and must be kept apart:

    local fixed point   pi(a|s) ~ pi_ref(a|s) exp(Q^pi(s,a) / beta)        plain values of pi itself
                        beta log(pi/pi_ref) = Q^pi - V^pi + beta KL(s)     VIMPO's identity
    soft optimum        pi*(a|s) ~ pi_ref(a|s) exp(Q_soft(s,a) / beta)     values that include the cost of KL
                        beta log(pi*/pi_ref) = Q_soft - V_soft             no KL term
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

Levels = list[np.ndarray]
"""One float64 array a depth, 0 first; see the module docstring."""


@dataclass(frozen=True)
class Tree:
    """The decision problem: `rewards` [vocab^depth], one a leaf, in the order of the prefixes.

    Raises ValueError when the number of rewards does not fit.
    """

    vocab: int
    depth: int
    rewards: np.ndarray

    def __post_init__(self):
        if np.shape(self.rewards) != (self.vocab**self.depth,):
            raise ValueError(
                f"a tree of {self.vocab} tokens and depth {self.depth} needs {self.vocab**self.depth} rewards, "
                f"got shape {np.shape(self.rewards)}. Pass one reward a leaf."
            )


def random_tree(vocab: int, depth: int, rng: np.random.Generator, success_share: float = 0.5) -> Tree:
    """A tree with rewards 0 and 1; each leaf succeeds with probability `success_share`."""
    return Tree(vocab, depth, (rng.random(vocab**depth) < success_share).astype(np.float64))


def random_policy(tree: Tree, rng: np.random.Generator, scale: float = 1.0) -> Levels:
    """Log-probabilities of a softmax over normal logits with standard deviation `scale`; scale 0 is uniform."""
    return [log_softmax(scale * rng.normal(size=(tree.vocab**d, tree.vocab))) for d in range(tree.depth)]


def plain_values(tree: Tree, policy: Levels) -> tuple[Levels, Levels]:
    """Expected reward under the policy, without any KL cost, by backward induction.

        Q(s,a) = R at the last token, else V(sa);   V(s) = sum_a pi(a|s) Q(s,a)

    Returns:
        V: [vocab^d] each depth; Q: [vocab^d, vocab] each depth; reward units.
    """
    return _backward(tree, lambda d, q: np.sum(np.exp(policy[d]) * q, axis=-1))


def local_fixed_point(tree: Tree, reference: Levels, beta: float) -> Levels:
    """The policy that satisfies pi(a|s) ~ pi_ref(a|s) exp(Q^pi(s,a) / beta), Q^pi its own plain value.

    Q^pi depends on later choices alone, so one sweep from the leaves finds it exactly. Descent on the value loss goes
    here. Unlike the soft optimum it does not count the KL that later tokens will cost.
    """
    policy: Levels = [np.empty(0)] * tree.depth

    def value(d, q):
        policy[d] = log_softmax(reference[d] + q / beta)
        return np.sum(np.exp(policy[d]) * q, axis=-1)

    _backward(tree, value)
    return policy


def soft_optimum(tree: Tree, reference: Levels, beta: float) -> tuple[Levels, Levels, Levels]:
    """The policy that maximises E[R] - beta KL(path), and its values, KL cost included.

        V_soft(s) = beta log E_{a ~ pi_ref} exp(Q_soft(s,a) / beta),   pi* ~ pi_ref exp(Q_soft / beta)

    Returns:
        policy, V_soft [vocab^d], Q_soft [vocab^d, vocab]; values in reward units.
    """
    values, q_values = _backward(tree, lambda d, q: beta * np.logaddexp.reduce(reference[d] + q / beta, axis=-1))
    policy = [log_softmax(ref + q / beta) for ref, q in zip(reference, q_values, strict=True)]
    return policy, values, q_values


def kl(policy: Levels, reference: Levels) -> Levels:
    """KL(pi(.|s), pi_ref(.|s)) at every prefix: nats, [vocab^d] each depth."""
    return [np.sum(np.exp(p) * (p - r), axis=-1) for p, r in zip(policy, reference, strict=True)]


def prefix_logprobs(policy: Levels) -> Levels:
    """log pi of reaching a prefix and choosing a token there: nats, [vocab^d, vocab] each depth."""
    reached, so_far = [], np.zeros(1)
    for level in policy:
        reached.append(so_far[..., None] + level)
        so_far = _side_by_side(reached[-1])
    return reached


def path_logprobs(policy: Levels) -> np.ndarray:
    """log pi of every whole solution: nats, [vocab^depth]."""
    return _side_by_side(prefix_logprobs(policy)[-1])


def path_total_variation(p: Levels, q: Levels) -> np.floating | np.ndarray:
    """Largest difference in probability that two policies give any set of solutions: 1/2 sum_y |p(y) - q(y)|."""
    return 0.5 * np.abs(np.exp(path_logprobs(p)) - np.exp(path_logprobs(q))).sum(axis=-1)


def along_paths(tree: Tree, levels: Levels) -> np.ndarray:
    """What each solution meets token by token, in the shape `credit` takes: [vocab^depth, depth].

    `levels` holds a number a prefix ([vocab^d], such as KL or V) or a number a choice ([vocab^d, vocab], such as a
    log-probability or Q), of which the solution meets the one it chose.
    """
    return np.stack([np.repeat(level.reshape(-1), tree.rewards.size // level.size) for level in levels], axis=1)


def implied_values(tree: Tree, policy: Levels, reference: Levels, beta: float, with_kappa: bool = True) -> Levels:
    """Start-anchored value of every prefix, read off the policy alone: [vocab^d] for d = 0..depth, reward units.

        V_0 = E_pi[R],                  V(sa) = V(s) + rho(s,a) - kappa(s)     with_kappa: VIMPO's recurrence
        V_0 = E_pi[R] - beta KL(path),  V(sa) = V(s) + rho(s,a)                without: the soft recurrence

    rho = beta log(pi/pi_ref), kappa = beta KL. The first equals the plain values at the local fixed point, the second
    the soft values at the soft optimum. At a leaf, V less the reward is the residual.
    """
    rho = [beta * (p - r) for p, r in zip(policy, reference, strict=True)]
    if with_kappa:
        terms = [up - beta * k[..., None] for up, k in zip(rho, kl(policy, reference), strict=True)]
    else:
        terms = rho
    below = [np.zeros(policy[0].shape[:-1])]
    for term in terms:
        below.append(_side_by_side(below[-1][..., None] + term))
    start = np.sum(np.exp(path_logprobs(policy)) * (tree.rewards - below[-1]), axis=-1)[..., None]
    return [start + level for level in below]


def path_residuals(tree: Tree, policy: Levels, reference: Levels, beta: float, with_kappa: bool = True) -> np.ndarray:
    """What the terms of every solution leave open: reward units, [vocab^depth], mean zero under the policy.

    sum_t (rho_t - kappa_t) - (R - E_pi[R])                        with_kappa
    sum_t rho_t - (R - (E_pi[R] - beta KL(path)))                  without
    """
    return implied_values(tree, policy, reference, beta, with_kappa)[-1] - tree.rewards


def value_loss(
    tree: Tree, policy: Levels, reference: Levels, beta: float, with_kappa: bool = True
) -> np.floating | np.ndarray:
    """E_{y ~ pi} 1/2 residual(y)^2: squared reward units.

    With kappa the exact expectation of `losses.value_loss`. Without it the variance of R - sum_t rho_t, halved; it is 0
    only at the soft optimum, because there sum_t rho_t = R - V_soft(start). Anchored at E_pi[R] instead it would have
    the same expected gradient, but end at 1/2 (beta KL(path))^2.
    """
    residuals = path_residuals(tree, policy, reference, beta, with_kappa)
    return 0.5 * np.sum(np.exp(path_logprobs(policy)) * residuals**2, axis=-1)


def residual_advantages(tree: Tree, policy: Levels, reference: Levels, beta: float, with_kappa: bool = True) -> Levels:
    """How much choosing a changes the expected residual: E_pi[residual | sa] - E_pi[residual | s], [vocab^d, vocab].

    Zero everywhere only at the local fixed point; without kappa only at the soft optimum.
    """
    waiting = Tree(tree.vocab, tree.depth, path_residuals(tree, policy, reference, beta, with_kappa))
    return [q - v[:, None] for v, q in zip(*plain_values(waiting, policy), strict=True)]


def descent(
    tree: Tree,
    reference: Levels,
    beta: float,
    steps: int,
    learning_rate: float = 0.5,
    with_kappa: bool = True,
) -> list[Levels]:
    """The policies of an exact natural-gradient descent on the value loss, the reference first: steps + 1 of them.

        logit(s,a) <- logit(s,a) - learning_rate / beta (E_pi[residual | sa] - E_pi[residual | s])

    That is the gradient of the value loss, with the probability P_pi(sa) of each choice divided out: plain descent has
    the same fixed point and takes thousands of steps where choices are rare.

    With kappa it goes to the local fixed point, without (rho only) to the soft optimum: where the residual of all
    continuations of every prefix is the same on average, the last token has beta log(pi/pi_ref) = R - V_soft, so what
    lies below a prefix is worth V_soft to the token before, and so on up to the root.

    Args:
        learning_rate: above 0, at most 1; the share of the way to the fixed point that the last token goes in a step.
    """
    policies = [reference]
    for _ in range(steps):
        advantages = residual_advantages(tree, policies[-1], reference, beta, with_kappa)
        policies.append(
            [log_softmax(p - learning_rate / beta * a) for p, a in zip(policies[-1], advantages, strict=True)]
        )
    return policies


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """Normalised over the last axis, nats."""
    return logits - np.logaddexp.reduce(logits, axis=-1)[..., None]


def _side_by_side(level: np.ndarray) -> np.ndarray:
    """A number a choice, [..., vocab^d, vocab], as a number a prefix of the next depth, [..., vocab^(d+1)]."""
    return level.reshape(*level.shape[:-2], -1)


def _backward(tree: Tree, value) -> tuple[Levels, Levels]:
    """Sweep from the leaves: `value(d, Q of depth d)` says what a prefix is worth given its choices' worth."""
    values: Levels = [np.empty(0)] * tree.depth
    q_values: Levels = [np.empty(0)] * tree.depth
    below = tree.rewards
    for d in reversed(range(tree.depth)):
        q_values[d] = below.reshape(*below.shape[:-1], -1, tree.vocab)
        values[d] = below = value(d, q_values[d])
    return values, q_values
