"""What the symbols of the derivation stand for: numbers on a tree, or a small vocabulary written out in sympy.

A world has one policy:

    local       the local fixed point, pi ~ pi_ref exp(Q^pi / beta)
    any         a policy that has nothing to do with reward or beta: what holds for it holds for every policy
    reference   pi = pi_ref

Beside it stand the soft optimum and its values, which depend on the reference, the rewards and beta alone.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import numpy as np
import sympy

from vimpo_core.tree import formulas as f
from vimpo_core.tree import tabular
from vimpo_core.tree.formulas import World
from vimpo_core.tree.tabular import Levels, Tree

POLICIES = ("local", "any", "reference")
_COMPLEX_STEP = 1e-30
"""Differentiates exactly to rounding: the imaginary part is the derivative, and nothing is subtracted to find it."""
_MULTIPLIER = 0.3
"""mu; any number will do."""


# --- numbers on a tree -----------------------------------------------------------------------------------------------


def tree_world(tree: Tree, reference: Levels, beta: float, policy: str) -> World:
    """Numbers from `tabular`; the states of all depths stand under each other. `policy`: one of POLICIES."""
    if policy == "local":
        log_pi = tabular.local_fixed_point(tree, reference, beta)
    elif policy == "any":
        log_pi = tabular.random_policy(tree, np.random.default_rng(0))
    else:
        log_pi = reference
    arrays, logs = _choice_numbers(tree, reference, beta, log_pi)
    path_arrays, path_logs = _path_numbers(tree, reference, beta, log_pi)
    soft_start = {f.V_SOFT_START: arrays[f.V_SOFT][:1]}
    world = World(
        arrays=arrays | path_arrays | soft_start,
        logs=logs | path_logs,
        number=float,
        exp=np.exp,
        log=np.log,
        log_sum_exp=lambda x: np.logaddexp.reduce(x, axis=1, keepdims=True),
        slope=lambda x: np.imag(x) / _COMPLEX_STEP,
        held=np.real,
        nudged=lambda: _with(world, *_path_numbers(tree, reference, beta, _nudged_levels(log_pi))),
        nudged_pi=lambda action: _with_pi(world, _nudged_column(world.arrays[f.PI], action, _COMPLEX_STEP * 1j)),
        at_beta_zero=lambda: _with(world, *_path_numbers(tree, reference, 0.0, log_pi)),
    )
    return world


def _choice_numbers(tree, reference, beta, log_pi):
    values, q_values = tabular.plain_values(tree, log_pi)
    soft, soft_values, soft_q_values = tabular.soft_optimum(tree, reference, beta)
    logs = {f.PI: _stacked(log_pi), f.REF: _stacked(reference), f.PI_SOFT: _stacked(soft)}
    arrays = {
        f.BETA: np.array([[beta]]),
        f.MULTIPLIER: np.array([[_MULTIPLIER]]),
        f.Q: _stacked(q_values),
        f.V: _stacked(values),
        f.REWARD_NOW: _stacked([*(0 * q for q in q_values[:-1]), q_values[-1]]),
        f.V_NEXT: _stacked([*q_values[:-1], 0 * q_values[-1]]),
        f.V_SOFT_NEXT: _stacked([*soft_q_values[:-1], 0 * soft_q_values[-1]]),
        f.KL: _stacked(tabular.kl(log_pi, reference)),
        f.Q_SOFT: _stacked(soft_q_values),
        f.V_SOFT: _stacked(soft_values),
        f.KL_SOFT: _stacked(tabular.kl(soft, reference)),
    }
    return arrays | {symbol: np.exp(log) for symbol, log in logs.items()}, logs


def _path_numbers(tree, reference, beta, log_pi):
    """`log_pi` may hold a complex step; the baseline does not move with it, as in training."""
    values, _ = tabular.plain_values(tree, [np.real(p) for p in log_pi])
    arrays, logs = _along(
        tree, beta, log_pi, reference, values, tabular.kl(log_pi, reference), tabular.kl(reference, log_pi)
    )
    logs |= {
        f.PI_Y: tabular.path_logprobs(log_pi)[:, None],
        f.REF_Y: tabular.path_logprobs(reference)[:, None],
    }
    return arrays | {symbol: np.exp(log) for symbol, log in logs.items()}, logs


def _nudged_levels(log_pi: Levels) -> Levels:
    """All logits moved at once along a random direction, so that an error in any of them shows."""
    rng = np.random.default_rng(1)
    moved = [p + _COMPLEX_STEP * 1j * rng.normal(size=p.shape) for p in log_pi]
    return [z - np.log(np.exp(z).sum(axis=1, keepdims=True)) for z in moved]


def _stacked(levels: Levels) -> np.ndarray:
    """[vocab^d, vocab] or [vocab^d] each depth -> [S, vocab] or [S, 1]."""
    return np.concatenate([level if level.ndim == 2 else level[:, None] for level in levels])


# --- a small vocabulary written out ----------------------------------------------------------------------------------

_beta, _epsilon = sympy.Symbol("beta", positive=True), sympy.Symbol("epsilon", real=True)
_NO_NUDGE = {_epsilon: sympy.Integer(0)}
_exp, _log = np.frompyfunc(sympy.exp, 1, 1), np.frompyfunc(sympy.log, 1, 1)
_held = np.frompyfunc(lambda x: sympy.sympify(x, strict=True).xreplace(_NO_NUDGE), 1, 1)
_slope = np.frompyfunc(lambda x: sympy.diff(x, _epsilon).xreplace(_NO_NUDGE), 1, 1)


@lru_cache(maxsize=len(POLICIES) * 2)
def written_world(vocab: int, policy: str) -> World:
    """sympy expressions: one state for choices, a tree of two tokens for paths. `policy`: one of POLICIES.

    In a choice the reference's probabilities are positive symbols r, Q is q and the soft optimum's Q is q with a star.
    A policy that is free has probabilities p, the last being what is missing to 1.
    On paths the policy's p come first, and the reference is p e^{-l} with log-ratios l, so that expressions stay short.
    For the local fixed point l is Q / beta: every reference is of this form but for a factor a state, and tilting it
    gives p back.
    """
    tree = Tree(vocab, 2, _symbols("R", vocab, 2).reshape(-1))
    log_reference, log_pi = _written_policies(tree, policy)
    arrays, logs = _written_choice(vocab, policy)
    path_arrays, path_logs = _written_path(tree, log_reference, _beta, log_pi)
    soft_start = {f.V_SOFT_START: _written_soft_start(tree, log_reference)}
    world = World(
        arrays=arrays | path_arrays | soft_start,
        logs=logs | path_logs,
        number=lambda x: x,
        exp=_exp,
        log=_log,
        log_sum_exp=_log_sum_exp,
        slope=_slope,
        held=_held,
        nudged=lambda: _with(world, *_written_path(tree, log_reference, _beta, _written_nudge(log_pi))),
        nudged_pi=lambda action: _with_pi(world, _nudged_column(world.arrays[f.PI], action, _epsilon)),
        at_beta_zero=lambda: _with(world, *_written_path(tree, log_reference, sympy.Integer(0), log_pi)),
    )
    return world


def _written_choice(vocab, policy):
    log_ref = _log(_symbols("r", vocab, 1, positive=True))
    q, q_soft = _symbols("q", vocab, 1), _symbols("q^{*}", vocab, 1)
    if policy == "local":
        log_pi = _tilted(log_ref, q)
    elif policy == "any":
        log_pi = _log(_free_probabilities(vocab, 1))
    else:
        log_pi = log_ref
    log_soft = _tilted(log_ref, q_soft)
    logs = {f.PI: log_pi, f.REF: log_ref, f.PI_SOFT: log_soft}
    arrays = {
        f.BETA: np.array([[_beta]]),
        f.MULTIPLIER: np.array([[sympy.Symbol("mu", real=True)]]),
        f.Q: q,
        f.V: _expected(log_pi, q),
        f.KL: _expected(log_pi, log_pi - log_ref),
        f.Q_SOFT: q_soft,
        f.V_SOFT: _beta * _log_sum_exp(log_ref + q_soft / _beta),
        f.KL_SOFT: _expected(log_soft, log_soft - log_ref),
    }
    return arrays | {symbol: _exp(log) for symbol, log in logs.items()}, logs


def _written_policies(tree, policy):
    """log-probabilities of the reference and the policy at both depths."""
    log_free = [_log(_free_probabilities(tree.vocab, depth)) for depth in (1, 2)]
    if policy == "reference":
        return log_free, log_free
    if policy == "any":
        log_ratios = [_symbols("\\ell", tree.vocab, depth) for depth in (1, 2)]
        return [p - ratio for p, ratio in zip(log_free, log_ratios, strict=True)], log_free
    last_q = tree.rewards.reshape(-1, tree.vocab)
    first_q = _expected(log_free[1], last_q).reshape(1, -1)
    tilts = [first_q / _beta, last_q / _beta]
    log_reference = [p - tilt for p, tilt in zip(log_free, tilts, strict=True)]
    return log_reference, [_tilted(r, q) for r, q in zip(log_reference, (first_q, last_q), strict=True)]


def _written_path(tree, log_reference, beta, log_pi):
    q_last = tree.rewards.reshape(-1, tree.vocab)
    v_last = _expected(_held(log_pi[1]), q_last)
    v_first = _expected(_held(log_pi[0]), v_last.reshape(1, -1))
    pairs = list(zip(log_pi, log_reference, strict=True))
    arrays, logs = _along(
        tree,
        beta,
        log_pi,
        log_reference,
        [v_first[:, 0], v_last[:, 0]],
        [_expected(p, p - r)[:, 0] for p, r in pairs],
        [_expected(r, r - p)[:, 0] for p, r in pairs],
    )
    logs |= {
        f.PI_Y: logs[f.PI_T].sum(axis=1, keepdims=True),
        f.REF_Y: logs[f.REF_T].sum(axis=1, keepdims=True),
    }
    return arrays | {symbol: _exp(log) for symbol, log in logs.items()}, logs


def _written_soft_start(tree, log_reference):
    first, last = (r - _log_sum_exp(r) for r in log_reference)
    after_first = _log_sum_exp(last + tree.rewards.reshape(-1, tree.vocab) / _beta)
    return _beta * _log_sum_exp(first + after_first.reshape(1, -1))


def _written_nudge(log_pi):
    directions = [_symbols("u", log_pi[0].size, depth) for depth in (1, 2)]
    moved = [p + _epsilon * u for p, u in zip(log_pi, directions, strict=True)]
    return [z - _log_sum_exp(z) for z in moved]


def _tilted(log_ref, q):
    return log_ref + q / _beta - _log_sum_exp(log_ref + q / _beta)


def _expected(log_pi, payoff):
    return (_exp(log_pi) * payoff).sum(axis=1, keepdims=True)


def _log_sum_exp(x):
    return _log(_exp(x).sum(axis=1, keepdims=True))


def _symbols(letter, vocab, depth, **assumptions):
    """One a choice at this depth (1 or 2) of the tree: [vocab^(depth - 1), vocab]."""
    assumptions = assumptions or {"real": True}
    indices = np.ndindex((vocab,) * depth)
    names = [f"{letter}_{{{''.join(str(i + 1) for i in index)}}}" for index in indices]
    symbols = np.array([sympy.Symbol(name, **assumptions) for name in names], dtype=object)
    return symbols.reshape(-1, vocab)


def _free_probabilities(vocab, depth):
    probabilities = _symbols("p", vocab, depth, positive=True)
    probabilities[:, -1] = 1 - probabilities[:, :-1].sum(axis=1)
    return probabilities


# --- both ------------------------------------------------------------------------------------------------------------


def _along(tree, beta, log_pi, reference, values, kl, kl_reversed):
    """The arrays of the path frame that are the same in both kinds of numbers, and the logs of its probabilities."""
    logs = {f.PI_T: tabular.along_paths(tree, log_pi), f.REF_T: tabular.along_paths(tree, reference)}
    rewards = tree.rewards[:, None]
    arrays = {
        f.RHO: beta * (logs[f.PI_T] - logs[f.REF_T]),
        f.KAPPA: beta * tabular.along_paths(tree, kl),
        f.KL_T: tabular.along_paths(tree, kl),
        f.KL_REVERSED: tabular.along_paths(tree, kl_reversed),
        f.V_AT_T: np.concatenate([tabular.along_paths(tree, values), rewards], axis=1),
        f.R: rewards,
        f.BASELINE: values[0][:, None],
    }
    return arrays, logs


def _with(world: World, arrays, logs) -> World:
    return replace(world, arrays={**world.arrays, **arrays}, logs={**world.logs, **logs})


def _with_pi(world: World, probabilities) -> World:
    return _with(world, {f.PI: probabilities}, {f.PI: world.log(probabilities)})


def _nudged_column(probabilities, action, nudge):
    column = np.arange(probabilities.shape[1]) == action
    return probabilities + np.where(column, nudge, 0 * nudge)
