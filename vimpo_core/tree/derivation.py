"""From the KL-regularised problem to VIMPO's identity, recurrence, loss and gradient, every step checked twice.

A step is an equation `before = after` in the symbols of `formulas`. sympy proves it for a small vocabulary, the
difference simplifying to exactly 0, and a tree that is enumerated gives both sides in float64. A break drops or flips
one term; it says what it then is off by, and both checks fail.

The derivation forks after the third step, at the question whose Q stands in pi ~ pi_ref exp(Q / beta):

    local   the plain values of pi itself: the identity has + beta KL; VIMPO's
    soft    values that count the KL later tokens cost: the identity has no KL term
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import count

import numpy as np
import sympy
from sympy.polys.rings import ring

from vimpo_core.tree import formulas as f
from vimpo_core.tree import worlds
from vimpo_core.tree.formulas import plus, times
from vimpo_core.tree.tabular import Levels, Tree

VOCABULARIES = (2, 3)
"""What sympy checks."""
TOLERANCE = 1e-9
"""Of the tree, reward units: float64 rounds near 1e-16, values are near 1 and log-probabilities reach Q / beta, at most
some thousands, times beta. A term that is missing is many orders larger."""


@dataclass(frozen=True)
class Break:
    """One term dropped or flipped. `term`: what is done to it, such as "Drop the KL term".

    off_by: what before - after is then, instead of 0.
    """

    key: str
    term: str
    before: sympy.Expr
    after: sympy.Expr
    off_by: sympy.Expr


@dataclass(frozen=True)
class Step:
    """before = after.

    statement: what it says, one or two sentences of markdown; rule: of algebra, or the definition that was used.
    branch: shared, local or soft; policy: of `worlds.POLICIES`, those for which it holds.
    given: a definition (symbol, formula) that the step needs, to be shown beside it.
    """

    key: str
    title: str
    statement: str
    rule: str
    branch: str
    policy: str
    before: sympy.Expr
    after: sympy.Expr
    breaks: tuple[Break, ...]
    given: tuple[tuple[sympy.Expr, sympy.Expr], ...] = ()

    def sides(self, broken: str | None = None) -> tuple[sympy.Expr, sympy.Expr]:
        """before and after, of the step or of one of its breaks.

        Raises:
            ValueError: the step has no such break.
        """
        chosen = self if broken is None else self.break_named(broken)
        return chosen.before, chosen.after

    def break_named(self, key: str) -> Break:
        for one in self.breaks:
            if one.key == key:
                return one
        raise ValueError(f"step {self.key!r} has the breaks {', '.join(b.key for b in self.breaks)}, got {key!r}.")


@dataclass(frozen=True)
class SymbolicCheck:
    """`passed`: every entry of before - after simplifies to 0; left: the first that does not, as a "
    "fraction, or None."""

    passed: bool
    left: sympy.Expr | None


@dataclass(frozen=True)
class NumericCheck:
    """gap: the largest |before - after| on the tree, reward units (nats where the step has no beta)."""

    passed: bool
    gap: float


def symbolic_check(step: Step, vocab: int, broken: str | None = None) -> SymbolicCheck:
    """Prove the step for a vocabulary of 2 or 3 tokens, or refute one of its breaks. Kept once found."""
    return _symbolic_check(step.key, vocab, broken)


@lru_cache(maxsize=512)
def _symbolic_check(key: str, vocab: int, broken: str | None) -> SymbolicCheck:
    for difference in _difference(step_named(key), worlds.written_world(vocab, step_named(key).policy), broken).flat:
        left = simplified(difference)
        if left != 0:
            return SymbolicCheck(False, left)
    return SymbolicCheck(True, None)


def numeric_check(step: Step, tree: Tree, reference: Levels, beta: float, broken: str | None = None) -> NumericCheck:
    """Compute both sides on a tree.

    Args:
        reference: of `tabular.random_policy`'s form; beta: reward per nat, > 0.
        broken: key of one of the step's breaks.
    """
    gap = float(np.abs(_difference(step, worlds.tree_world(tree, reference, beta, step.policy), broken)).max())
    return NumericCheck(gap <= TOLERANCE, gap)


def _difference(step: Step, world: f.World, broken: str | None) -> np.ndarray:
    before, after = step.sides(broken)
    return f.evaluate(before, world) - f.evaluate(after, world)


def simplified(expression: sympy.Expr) -> sympy.Expr:
    """The expression over one denominator with logarithms expanded; exactly 0 if it is 0 for every value of its
    symbols.

    Logarithms and exponentials that remain count as unknowns of their own, so that the numerator is a polynomial: it is
    expanded by sparse arithmetic, some twenty times faster than `sympy.simplify`.
    """
    expression = sympy.expand_log(sympy.sympify(expression, strict=True), force=True)
    names = (sympy.Symbol(f"x{i}") for i in count())
    # Longest first: what stands inside another one goes with it.
    functions = sorted(expression.atoms(sympy.log, sympy.exp), key=sympy.count_ops, reverse=True)
    unknowns = {function: next(names) for function in functions}
    numerator, denominator = _polynomials(expression.xreplace(unknowns))
    if numerator == 0:
        return sympy.Integer(0)
    back = {unknown: function for function, unknown in unknowns.items()}
    return numerator.xreplace(back) / denominator.xreplace(back)


def _polynomials(fraction: sympy.Expr) -> tuple[sympy.Expr, sympy.Expr]:
    numerator, denominator = sympy.fraction(sympy.together(fraction))
    unknowns = sorted(numerator.free_symbols, key=str)
    if not unknowns:
        return numerator, denominator
    return ring(unknowns, sympy.QQ)[0].from_expr(numerator).as_expr(), denominator


def step_named(key: str) -> Step:
    """Raises KeyError for a key that no step has."""
    return {step.key: step for step in steps()}[key]


@lru_cache(maxsize=1)
def steps() -> tuple[Step, ...]:
    """The derivation in reading order: shared; the fork, local and then soft; on from the local branch."""
    fork = (*_local_identity(), _recurrence(), *_soft())
    return (*_shared(), *fork, _anchors(), *_local_loss(), *_local_limits())


# --- the steps -------------------------------------------------------------------------------------------------------

_LOG_RATIO = sympy.log(f.PI / f.REF)
_LOG_RATIO_SOFT = sympy.log(f.PI_SOFT / f.REF)
_LOG_Z = sympy.log(f.SumOverActions(f.REF * sympy.exp(f.Q / f.BETA)))
_LOG_Z_SOFT = sympy.log(f.SumOverActions(f.REF * sympy.exp(f.Q_SOFT / f.BETA)))


def _tilted(q: sympy.Expr) -> sympy.Expr:
    weight = f.REF * sympy.exp(q / f.BETA)
    return weight / f.SumOverActions(weight)


_DELTA = plus(f.RHO, -f.KAPPA)
_HALF = sympy.Rational(1, 2)


def _shared() -> tuple[Step, ...]:
    cost = times(f.BETA, f.Mean(sympy.log(f.PI_Y / f.REF_Y)))
    summed = f.Mean(f.SumOverTokens(f.BETA * f.KL_T))
    reversed_sum = f.Mean(f.SumOverTokens(f.BETA * f.KL_REVERSED))
    lagrangian = _lagrangian(_LOG_RATIO)
    slope = plus(f.Q, -f.BETA * plus(_LOG_RATIO, 1), -f.MULTIPLIER)
    stationary = plus(f.Q, -f.BETA * _LOG_RATIO, -f.BETA * _LOG_Z)
    return (
        Step(
            key="cost",
            title="What drifting from the reference costs",
            statement="Training wants reward and pays β for every nat by which whole solutions drift from "
            "the "
            "reference. That cost is a sum over tokens: one exact KL at each state on the way.",
            rule="The probability of a solution is the product of those of its tokens, and the logarithm of "
            "a product is a sum. "
            "Averaged over the token, the log-ratio at a state is the KL there.",
            branch="shared",
            policy="any",
            before=cost,
            after=summed,
            breaks=(
                Break("reversed", "Turn the KL around", cost, reversed_sum, plus(summed, -reversed_sum)),
                Break("sign", "Flip the sign of the KL", cost, -summed, 2 * summed),
            ),
        ),
        Step(
            key="slope",
            title="One choice: the slope",
            statement="At one state, hold what the later tokens are worth. The best probabilities are where "
            "the slope of reward minus "
            "cost vanishes; μ sees to it that they add up to 1.",
            rule="Product rule: the derivative of π log π is log π + 1.",
            branch="shared",
            policy="any",
            before=f.PartialPi(lagrangian),
            after=slope,
            breaks=(
                Break(
                    "one",
                    "Forget the + 1 of the product rule",
                    f.PartialPi(lagrangian),
                    plus(f.Q, -f.BETA * _LOG_RATIO, -f.MULTIPLIER),
                    -f.BETA,
                ),
                Break(
                    "sign",
                    "Flip the sign of the KL",
                    f.PartialPi(lagrangian),
                    plus(f.Q, f.BETA * plus(_LOG_RATIO, 1), -f.MULTIPLIER),
                    -2 * f.BETA * plus(_LOG_RATIO, 1),
                ),
            ),
        ),
        Step(
            key="tilt",
            title="The reference, tilted",
            statement="The slope is zero where each action is as likely as under the reference, times "
            "$e^{Q/\\beta}$, "
            "divided by what makes the sum 1.",
            rule="Solve for log π. That probabilities add up to 1 fixes $\\mu = \\beta \\log Z - "
            "\\beta$, where Z is the sum.",
            branch="shared",
            policy="local",
            before=stationary,
            after=sympy.Integer(0),
            given=((f.PI, _tilted(f.Q)),),
            breaks=(
                Break(
                    "normaliser",
                    "Forget to make the sum 1",
                    plus(f.Q, -f.BETA * _LOG_RATIO),
                    sympy.Integer(0),
                    f.BETA * _LOG_Z,
                ),
                Break(
                    "reference",
                    "Forget the reference",
                    plus(f.Q, -f.BETA * sympy.log(f.PI), -f.BETA * _LOG_Z),
                    sympy.Integer(0),
                    -f.BETA * sympy.log(f.REF),
                ),
            ),
        ),
    )


def _lagrangian(log_ratio):
    return plus(
        f.SumOverActions(f.PI * f.Q),
        -f.BETA * f.SumOverActions(f.PI * log_ratio),
        -f.MULTIPLIER * plus(f.SumOverActions(f.PI), -1),
    )


def _local_identity() -> tuple[Step, ...]:
    log_z = f.BETA * _LOG_Z
    left = f.BETA * _LOG_RATIO
    cost = f.BETA * f.KL
    return (
        Step(
            key="normaliser",
            title="What the normaliser is worth",
            statement="Take Q as the plain expected reward of π itself, without any KL in it. Then β log Z "
            "is the value of the state, less "
            "what the choice there pays for its KL.",
            rule="Average the tilted policy's $\\beta \\log(\\pi/\\pi_{\\mathrm{ref}}) = Q - \\beta \\log Z$ "
            "over its own actions: the left side becomes β KL, "
            "Q becomes V.",
            branch="local",
            policy="local",
            before=log_z,
            after=plus(f.V, -cost),
            given=((f.V, f.SumOverActions(f.PI * f.Q)), (f.KL, f.SumOverActions(f.PI * _LOG_RATIO))),
            breaks=(
                Break("kl", "Drop the KL term", log_z, f.V, -cost),
                Break("sign", "Flip the sign of the KL", log_z, plus(f.V, cost), -2 * cost),
            ),
        ),
        Step(
            key="identity",
            title="The identity",
            statement="How much likelier than under the reference a token became says how much better than "
            "average it is: "
            "the log-ratio is the advantage plus the KL of the state. This is what VIMPO reads credit from.",
            rule="Put the normaliser into the logarithm of the tilted policy. "
            "With the reward at the end, Q is the value of the next prefix, and the reward itself after the "
            "last token.",
            branch="local",
            policy="local",
            before=left,
            after=plus(f.Q, -f.V, cost),
            given=((f.Q, plus(f.REWARD_NOW, f.V_NEXT)),),
            breaks=(
                Break("kl", "Drop the KL term", left, plus(f.Q, -f.V), cost),
                Break("sign", "Flip the sign of the KL", left, plus(f.Q, -f.V, -cost), 2 * cost),
                Break("soft", "Use the soft value for V", left, plus(f.Q, -f.V_SOFT, cost), plus(f.V_SOFT, -f.V)),
                Break(
                    "k1",
                    "Estimate the KL by k1",
                    left,
                    plus(f.Q, -f.V, left),
                    plus(f.V, -f.Q),
                ),
            ),
        ),
    )


def _recurrence() -> Step:
    grown = plus(f.BASELINE, f.SumBefore(_DELTA))
    return Step(
        key="recurrence",
        title="Values, token by token",
        statement="Start at the expected reward $\\bar R$ of the prompt, which training estimates by the mean of a "
        "group, "
        "and add ρ − κ for every token: at each prefix that gives its value, and after the last token the reward "
        "itself.",
        rule="Sum the identity along a solution: V(s') − V(s) telescopes.",
        branch="local",
        policy="local",
        before=f.V_AT_T,
        after=grown,
        given=(
            (f.RHO, f.BETA * sympy.log(f.PI_T / f.REF_T)),
            (f.KAPPA, f.BETA * f.KL_T),
            (f.BASELINE, f.Mean(f.R)),
        ),
        breaks=(
            Break("kappa", "Drop κ", f.V_AT_T, plus(f.BASELINE, f.SumBefore(f.RHO)), -f.SumBefore(f.KAPPA)),
            Break(
                "sign",
                "Flip the sign of κ",
                f.V_AT_T,
                plus(f.BASELINE, f.SumBefore(plus(f.RHO, f.KAPPA))),
                -2 * f.SumBefore(f.KAPPA),
            ),
            Break(
                "soft",
                "Start at the soft value",
                f.V_AT_T,
                plus(f.V_SOFT_START, f.SumBefore(_DELTA)),
                plus(f.BASELINE, -f.V_SOFT_START),
            ),
        ),
    )


def _anchors() -> Step:
    from_start = plus(f.BASELINE, f.SumBefore(_DELTA))
    from_end = plus(f.R, -f.SumFrom(_DELTA))
    residual = _residual(_DELTA)
    return Step(
        key="anchors",
        title="Two anchors, one gap",
        statement="Before training is done the sum does not arrive at the reward. Counting from the start "
        "and counting back "
        "from the reward then differ, at every prefix by the same number: the terminal residual.",
        rule="What comes before t and what comes from t on make the whole sum. This holds for every policy.",
        branch="local",
        policy="any",
        before=plus(from_start, times(-1, from_end)),
        after=residual,
        breaks=(
            Break(
                "reward",
                "Leave the reward out of the end anchor",
                plus(from_start, f.SumFrom(_DELTA)),
                residual,
                f.R,
            ),
            Break(
                "baseline",
                "Forget the baseline in the residual",
                plus(from_start, times(-1, from_end)),
                plus(f.SumOverTokens(_DELTA), -f.R),
                f.BASELINE,
            ),
        ),
    )


def _residual(terms):
    return plus(f.SumOverTokens(terms), times(-1, plus(f.R, -f.BASELINE)))


def _local_loss() -> tuple[Step, ...]:
    squared = f.Mean(_HALF * _residual(_DELTA) ** 2)
    spread = _HALF * f.Variance(plus(f.SumOverTokens(_DELTA), -f.R))
    uncosted = plus(f.SumOverTokens(f.RHO), -f.R)
    held = plus(f.RHO, -f.Held(f.KAPPA))
    slope = f.Gradient(_HALF * _residual(held) ** 2)
    direction = f.SumOverTokens(f.Gradient(sympy.log(f.PI_T)))
    pulled = times(f.BETA, _residual(_DELTA), direction)
    limit = times(f.AtBetaZero(_residual(_DELTA)), direction)
    reinforce = times(-1, plus(f.R, -f.BASELINE), direction)
    return (
        Step(
            key="loss",
            title="The value loss",
            statement="VIMPO squares the residual. It has mean zero under the policy's own samples, so the "
            "loss is half its variance: "
            "what the credits leave unexplained of the reward. It is zero at the local fixed point, where "
            "every residual is.",
            rule="The mean of a square is the variance plus the square of the mean. Each ρ averages to its "
            "κ, and R to $\\bar R$.",
            branch="local",
            policy="any",
            before=squared,
            after=spread,
            breaks=(
                Break(
                    "baseline",
                    "Forget the baseline",
                    f.Mean(_HALF * plus(f.SumOverTokens(_DELTA), -f.R) ** 2),
                    spread,
                    _HALF * f.BASELINE**2,
                ),
                Break(
                    "kappa",
                    "Drop κ",
                    f.Mean(_HALF * _residual(f.RHO) ** 2),
                    _HALF * f.Variance(uncosted),
                    _HALF * f.Mean(f.SumOverTokens(f.KAPPA)) ** 2,
                ),
            ),
        ),
        Step(
            key="gradient",
            title="Its gradient",
            statement="With κ, the baseline and the sampling held, the gradient is β times the residual "
            "times the gradient of the solution's "
            "log-probability: solutions that were paid more than their credits say become likelier. If κ is "
            "not held, the "
            "loss can also shrink by changing the KL, and the extra term appears.",
            rule="Chain rule; ρ is β log π less a constant, and sg marks what is a constant to the optimizer.",
            branch="local",
            policy="any",
            before=slope,
            after=pulled,
            breaks=(
                Break(
                    "held",
                    "Do not hold κ",
                    f.Gradient(_HALF * _residual(_DELTA) ** 2),
                    pulled,
                    times(-1, _residual(_DELTA), f.SumOverTokens(f.Gradient(f.KAPPA))),
                ),
                Break(
                    "kappa",
                    "Drop κ from the residual",
                    slope,
                    times(f.BETA, _residual(f.RHO), direction),
                    times(-1, f.BETA, f.SumOverTokens(f.KAPPA), direction),
                ),
                Break(
                    "baseline",
                    "Forget the baseline",
                    slope,
                    times(f.BETA, plus(f.SumOverTokens(_DELTA), -f.R), direction),
                    times(f.BETA, f.BASELINE, direction),
                ),
            ),
        ),
        Step(
            key="reinforce",
            title="Small β: REINFORCE",
            statement="Divide the gradient by β and let β go to 0. The credits vanish from the residual, and "
            "what is left is REINFORCE with the mean "
            "reward as its baseline.",
            rule="ρ and κ are β times what does not depend on β.",
            branch="local",
            policy="any",
            before=limit,
            after=reinforce,
            breaks=(
                Break(
                    "baseline",
                    "Forget the baseline",
                    limit,
                    times(-1, f.R, direction),
                    times(f.BASELINE, direction),
                ),
                Break(
                    "sign",
                    "Flip the sign of the reward",
                    limit,
                    times(plus(f.R, -f.BASELINE), direction),
                    times(-2, plus(f.R, -f.BASELINE), direction),
                ),
            ),
        ),
    )


def _local_limits() -> tuple[Step, ...]:
    zero = sympy.Integer(0)
    k1 = f.BETA * sympy.log(f.PI_T / f.REF_T)
    return (
        Step(
            key="reference",
            title="Before training there is no credit",
            statement="At $\\pi = \\pi_{\\mathrm{ref}}$ every ρ and κ is zero, and so is every credit: V "
            "stays at the baseline along every solution.",
            rule="The logarithm of 1 is 0, and the KL of a distribution to itself is 0.",
            branch="local",
            policy="reference",
            before=_DELTA,
            after=zero,
            breaks=(
                Break(
                    "reference",
                    "Forget the reference",
                    plus(f.BETA * sympy.log(f.PI_T), -f.KAPPA),
                    zero,
                    f.BETA * sympy.log(f.REF_T),
                ),
            ),
        ),
        Step(
            key="k1",
            title="Why the KL must not be estimated by k1",
            statement="The k1 estimate of the KL is the log-ratio of the sampled token itself. With it every "
            "credit is zero, whatever the policy "
            "learned. VIMPO Lab computes the KL over the whole vocabulary instead.",
            rule="Definition of ρ: the two terms are the same.",
            branch="local",
            policy="any",
            before=plus(f.RHO, -k1),
            after=zero,
            breaks=(Break("exact", "Put the exact KL back", _DELTA, zero, _DELTA),),
        ),
    )


def _soft() -> tuple[Step, ...]:
    log_z = f.BETA * _LOG_Z_SOFT
    left = f.BETA * _LOG_RATIO_SOFT
    cost = f.BETA * f.KL_SOFT
    mean = f.SumOverActions(f.PI_SOFT * f.Q_SOFT)
    reference_mean = f.SumOverActions(f.REF * f.Q_SOFT)
    with_kl = plus(f.Q_SOFT, -f.V_SOFT, cost)
    return (
        Step(
            key="soft_value",
            title="Values that count the cost",
            statement="Now take Q as reward less all the KL that later tokens will cost. The best reward "
            "less cost at a state, its soft value, is "
            "β log Z: it needs only the reference.",
            rule="Put π* into reward less cost: $Q_{\\mathrm{soft}}$ cancels and β log Z stays.",
            branch="soft",
            policy="local",
            before=plus(mean, -cost),
            after=log_z,
            given=((f.PI_SOFT, _tilted(f.Q_SOFT)), (f.Q_SOFT, plus(f.REWARD_NOW, f.V_SOFT_NEXT))),
            breaks=(
                Break("kl", "Do not count the KL", mean, log_z, cost),
                Break(
                    "order",
                    "Average before the logarithm",
                    plus(mean, -cost),
                    reference_mean,
                    plus(log_z, -reference_mean),
                ),
            ),
        ),
        Step(
            key="soft_identity",
            title="The soft identity",
            statement="At the soft optimum the log-ratio is the soft advantage and nothing else. The KL is "
            "inside the soft value already.",
            rule="Take the logarithm of the tilted policy; β log Z is the soft value.",
            branch="soft",
            policy="local",
            before=left,
            after=plus(f.Q_SOFT, -f.V_SOFT),
            given=((f.V_SOFT, log_z),),
            breaks=(
                Break("kl", "Add β KL, as in the local identity", left, with_kl, -cost),
                Break("mean", "Use the mean of Q for its soft value", left, plus(f.Q_SOFT, -mean), cost),
            ),
        ),
        Step(
            key="soft_wrong",
            title="What β KL would do here",
            statement="Adding the KL term of the local identity to the soft one counts it twice. It is then "
            "wrong by exactly β KL at every state.",
            rule="Add β KL to both sides of the soft identity: the log-ratio no longer stands alone.",
            branch="soft",
            policy="local",
            before=with_kl,
            after=plus(left, cost),
            breaks=(
                Break("none", "Claim that it makes no difference", with_kl, left, cost),
                Break(
                    "sign",
                    "Subtract the KL instead",
                    plus(f.Q_SOFT, -f.V_SOFT, -cost),
                    plus(left, cost),
                    -2 * cost,
                ),
            ),
        ),
    )
