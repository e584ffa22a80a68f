"""Formulas that are shown, checked by sympy and computed on a tree, all from one sympy expression.

A formula is written once, for any vocabulary and any length: `sum_over_actions(PI * Q)`. `latex` prints it, and
`evaluate` puts arrays in the place of its symbols. Arrays of float64 give its numbers on a tree; arrays of sympy
expressions write it out for a small vocabulary, ready to be simplified. What a reader sees is therefore what is
checked.

Arrays have one of two frames, and a formula stays within one:

    choice   pi(a|s), Q(s,a) [S, A], a row a state; V(s), KL(s) [S, 1]
    path     pi(y_t|s_t), rho_t, kappa_t [Y, T], a row a solution; R [Y, 1]; V(s_t) [Y, T+1], V(s_T) = R
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import reduce

import numpy as np
import sympy

_NAMES: dict[sympy.Symbol, str] = {}
"""symbol -> its LaTeX."""


def _symbol(latex: str) -> sympy.Symbol:
    # Factors are printed in the order of these names, that of their definition, as long as all assume the same.
    symbol = sympy.Symbol(f"s{len(_NAMES):02}", real=True)
    _NAMES[symbol] = latex
    return symbol


BETA = _symbol(r"\beta")
MULTIPLIER = _symbol(r"\mu")
"""Lagrange's, of the sum of probabilities. λ is the reach of credit and stands nowhere here."""

# A choice: action a in state s.
PI = _symbol(r"\pi(a|s)")
REF = _symbol(r"\pi_{\mathrm{ref}}(a|s)")
Q = _symbol(r"Q^{\pi}(s,a)")
V = _symbol(r"V^{\pi}(s)")
KL = _symbol(r"\mathrm{KL}(s)")
PI_SOFT = _symbol(r"\pi^{*}(a|s)")
Q_SOFT = _symbol(r"Q_{\mathrm{soft}}(s,a)")
V_SOFT = _symbol(r"V_{\mathrm{soft}}(s)")
KL_SOFT = _symbol(r"\mathrm{KL}^{*}(s)")
REWARD_NOW = _symbol("r")
V_NEXT = _symbol(r"V^{\pi}(s')")
V_SOFT_NEXT = _symbol(r"V_{\mathrm{soft}}(s')")

# A whole solution y, its tokens y_t after s_t.
PI_Y = _symbol(r"\pi(y)")
REF_Y = _symbol(r"\pi_{\mathrm{ref}}(y)")
PI_T = _symbol(r"\pi(y_t|s_t)")
REF_T = _symbol(r"\pi_{\mathrm{ref}}(y_t|s_t)")
RHO = _symbol(r"\rho_t")
KAPPA = _symbol(r"\kappa_t")
KL_T = _symbol(r"\mathrm{KL}(\pi,\pi_{\mathrm{ref}})(s_t)")
KL_REVERSED = _symbol(r"\mathrm{KL}(\pi_{\mathrm{ref}},\pi)(s_t)")
V_AT_T = _symbol(r"V^{\pi}(s_t)")
V_SOFT_START = _symbol(r"V_{\mathrm{soft}}(s_0)")
R = _symbol("R")
BASELINE = _symbol(r"\bar R")


class _Operator(sympy.Function):
    """Of one formula. `opens` stands before it in LaTeX; brackets go around what is inside where it has terms."""

    nargs = 1
    opens = ""
    always_brackets = False

    def _latex(self, printer, exp=None):
        inside = self._inside(printer)
        if self.always_brackets or self.args[0].is_Add:
            inside = rf"\left({inside}\right)"
        printed = rf"{self.opens} {inside}"
        return printed if exp is None else rf"\left({printed}\right)^{{{exp}}}"

    def _inside(self, printer) -> str:
        return printer.doprint(self.args[0])


class SumOverActions(_Operator):
    opens = r"\sum_{a}"


class SumOverTokens(_Operator):
    opens = r"\sum_{t}"


class SumBefore(_Operator):
    """Over the tokens k < t, for every t from 0 to T: [Y, T] -> [Y, T+1]."""

    opens = r"\sum_{k<t}"

    def _inside(self, printer):
        return super()._inside(printer).replace("_t", "_k")


class SumFrom(SumBefore):
    """Over the tokens k >= t, for every t from 0 to T: [Y, T] -> [Y, T+1]."""

    opens = r"\sum_{k \geq t}"


class Mean(_Operator):
    """Over solutions that the policy samples; the sampling is held constant when something is differentiated."""

    opens = r"\mathbb{E}_{\pi}"
    always_brackets = True


class Variance(Mean):
    opens = r"\mathrm{Var}_{\pi}"


class Held(_Operator):
    """Stop-gradient: a constant to whoever differentiates."""

    opens = r"\mathrm{sg}"
    always_brackets = True


class Gradient(_Operator):
    """In the parameters: the logits of every state at once, along one direction."""

    opens = r"\nabla_{\theta}"


class PartialPi(_Operator):
    """In pi(a|s), every other probability held: [S, 1] -> [S, A]."""

    opens = r"\frac{\partial}{\partial \pi(a|s)}"


class AtBetaZero(_Operator):
    """The limit for a fixed policy: rho and kappa are beta times something that does not depend on it."""

    opens = r"\lim_{\beta \to 0}"


def plus(*terms: sympy.Expr) -> sympy.Expr:
    """The sum, printed in this order."""
    return sympy.Add(*terms, evaluate=False)


def times(*factors: sympy.Expr) -> sympy.Expr:
    """The product, printed in this order."""
    return sympy.Mul(*factors, evaluate=False)


def latex(formula: sympy.Expr) -> str:
    """LaTeX of a formula in the symbols of this module."""
    return sympy.latex(formula, symbol_names=_NAMES, order="none", fold_short_frac=True)


# --- arrays in the place of symbols ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class World:
    """What the symbols stand for, as float64 or complex numbers or as sympy expressions in object arrays.

    arrays: symbol -> array; logs: the logarithm of those whose probability may be too small for a float.
    exp, log: elementwise; log_sum_exp: over the last axis, which stays.
    slope: how an array of a nudged world changes; held: the same array without the nudge.
    nudged: the world with its logits moved; nudged_pi(a): with pi(a|s) moved in every state; at_beta_zero: with beta 0.
    """

    arrays: Mapping[sympy.Symbol, np.ndarray]
    logs: Mapping[sympy.Symbol, np.ndarray]
    number: Callable
    exp: Callable
    log: Callable
    log_sum_exp: Callable
    slope: Callable = field(repr=False)
    held: Callable = field(repr=False)
    nudged: Callable[[], World] = field(repr=False)
    nudged_pi: Callable[[int], World] = field(repr=False)
    at_beta_zero: Callable[[], World] = field(repr=False)


def evaluate(formula: sympy.Expr, world: World) -> np.ndarray:
    """The formula with the world's arrays in the place of its symbols; axes of length 1 stand for every row or
    token.
    """
    if formula.is_number:
        return np.array([[world.number(formula)]])
    if formula.is_Symbol:
        return world.arrays[formula]
    if isinstance(formula, sympy.log):
        return _log(formula.args[0], world)
    inside = formula.args[0]
    if isinstance(formula, Gradient):
        return world.slope(evaluate(inside, world.nudged()))
    if isinstance(formula, PartialPi):
        actions = world.arrays[PI].shape[1]
        return np.concatenate([world.slope(evaluate(inside, world.nudged_pi(a))) for a in range(actions)], axis=1)
    if isinstance(formula, AtBetaZero):
        return evaluate(inside, world.at_beta_zero())
    values = [evaluate(part, world) for part in formula.args]
    if formula.is_Add:
        return reduce(np.add, values)
    if formula.is_Mul:
        return reduce(np.multiply, values)
    if formula.is_Pow:
        return values[0] ** int(formula.exp)
    return _OPERATIONS[type(formula)](values[0], world)


def _log(formula: sympy.Expr, world: World) -> np.ndarray:
    """log of a positive formula, without leaving log space: at small beta e^{Q / beta} is no float."""
    if formula in world.logs:
        return world.logs[formula]
    if formula.is_Mul:
        return reduce(np.add, [_log(factor, world) for factor in formula.args])
    if formula.is_Pow:
        return int(formula.exp) * _log(formula.base, world)
    if isinstance(formula, sympy.exp):
        return evaluate(formula.args[0], world)
    if isinstance(formula, SumOverActions):
        return world.log_sum_exp(_log(formula.args[0], world))
    return world.log(evaluate(formula, world))


def _sum_before(terms: np.ndarray, world: World) -> np.ndarray:
    return np.concatenate([0 * terms[:, :1], np.cumsum(terms, axis=1)], axis=1)


def _sum_from(terms: np.ndarray, world: World) -> np.ndarray:
    return terms.sum(axis=1, keepdims=True) - _sum_before(terms, world)


def _mean(values: np.ndarray, world: World) -> np.ndarray:
    return (world.held(world.arrays[PI_Y]) * values).sum(axis=0, keepdims=True)


_OPERATIONS = {
    sympy.exp: lambda x, world: world.exp(x),
    SumOverActions: lambda x, world: x.sum(axis=1, keepdims=True),
    SumOverTokens: lambda x, world: x.sum(axis=1, keepdims=True),
    SumBefore: _sum_before,
    SumFrom: _sum_from,
    Mean: _mean,
    Variance: lambda x, world: _mean(x**2, world) - _mean(x, world) ** 2,
    Held: lambda x, world: world.held(x),
}
