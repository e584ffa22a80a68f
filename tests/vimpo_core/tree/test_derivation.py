"""derivation: every step holds for sympy and on trees, every break fails by what it says, and descent goes where it
should.

float64 on at most 256 leaves: rounding stays near 1e-14 for the betas here, the bar is 1e-9.
"""

import subprocess
import sys

import numpy as np
import pytest
import sympy
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support import oracles
from vimpo_core.tree import derivation, tabular, worlds
from vimpo_core.tree import formulas as f
from vimpo_core.tree.derivation import (
    VOCABULARIES,
    numeric_check,
    simplified,
    step_named,
    steps,
    symbolic_check,
)
from vimpo_core.tree.two_optima import example, two_optima

BETAS = [0.05, 0.2, 1.0]
VISIBLE = 1e-3
STEPS = [step.key for step in steps()]
BREAKS = [(step.key, one.key) for step in steps() for one in step.breaks]


@pytest.fixture(scope="module")
def tree_and_reference():
    return example(vocab=3, depth=4, seed=0)


def difference_from_what_it_says(step, world, broken):
    """(before - after) of the break, minus what it says it is off by."""
    return derivation._difference(step, world, broken) - f.evaluate(step.break_named(broken).off_by, world)


# ---- every step ----


@pytest.mark.parametrize("vocab", VOCABULARIES)
@pytest.mark.parametrize("key", STEPS)
def test_sympy_proves_the_step(key, vocab):
    assert symbolic_check(step_named(key), vocab) == derivation.SymbolicCheck(True, None)


@pytest.mark.parametrize("beta", BETAS)
@pytest.mark.parametrize("key", STEPS)
def test_the_step_holds_on_a_tree(key, beta, tree_and_reference):
    check = numeric_check(step_named(key), *tree_and_reference, beta)
    assert check.passed and check.gap <= 1e-9


@settings(max_examples=200, deadline=None)
@given(vocab=st.integers(2, 4), depth=st.integers(2, 4), beta=st.sampled_from(BETAS), seed=st.integers(0, 10**6))
def test_every_step_holds_on_random_trees(vocab, depth, beta, seed):
    tree, reference = example(vocab, depth, seed)
    for step in steps():
        assert numeric_check(step, tree, reference, beta).gap <= 1e-9, step.key


@pytest.mark.parametrize("beta", [5e-4, 1e-3])
@pytest.mark.parametrize("key", STEPS)
def test_small_beta_neither_overflows_nor_leaves_the_tolerance(key, beta, tree_and_reference):
    # e^(1/beta) is no float here; warnings are errors in this suite, so an overflow would also raise.
    assert numeric_check(step_named(key), *tree_and_reference, beta).gap <= 1e-9


def test_definitions_that_are_shown_are_those_of_the_numbers(tree_and_reference):
    world = worlds.tree_world(*tree_and_reference, 0.2, "local")
    shown = [pair for step in steps() for pair in step.given]
    assert len(shown) >= 9 and {step.policy for step in steps() if step.given} == {"local"}
    for symbol, formula in shown:
        gap = np.abs(f.evaluate(symbol, world) - f.evaluate(formula, world)).max()
        assert gap <= 1e-9, f.latex(symbol)


# ---- every break ----


@pytest.mark.parametrize("vocab", VOCABULARIES)
@pytest.mark.parametrize(("key", "broken"), BREAKS)
def test_sympy_refutes_the_break_and_says_what_is_left(key, broken, vocab):
    check = symbolic_check(step_named(key), vocab, broken)
    assert not check.passed and check.left != 0
    # At probabilities and rewards that are nothing special, what is left is a number other than 0.
    numbers = {
        symbol: sympy.Rational(1, 5 + i) if symbol.name.startswith("p") else 1 + sympy.Rational(i * i % 13, 7)
        for i, symbol in enumerate(sorted(check.left.free_symbols, key=str))
    }
    assert abs(complex(check.left.xreplace(numbers))) > VISIBLE


@pytest.mark.parametrize("beta", BETAS)
@pytest.mark.parametrize(("key", "broken"), BREAKS)
def test_the_tree_refutes_the_break_by_a_visible_margin(key, broken, beta, tree_and_reference):
    check = numeric_check(step_named(key), *tree_and_reference, beta, broken)
    assert not check.passed and check.gap > VISIBLE


@pytest.mark.parametrize(("key", "broken"), BREAKS)
def test_a_break_is_off_by_exactly_what_it_says(key, broken, tree_and_reference):
    step = step_named(key)
    on_tree = difference_from_what_it_says(step, worlds.tree_world(*tree_and_reference, 0.2, step.policy), broken)
    assert np.abs(on_tree).max() <= 1e-9
    written = difference_from_what_it_says(step, worlds.written_world(2, step.policy), broken)
    assert all(simplified(entry) == 0 for entry in written.flat)


def test_the_kl_in_the_soft_identity_is_wrong_by_the_margin_that_design_names():
    # 0.08 to 0.46 on a tree of 3 tokens and depth 4.
    tree = tabular.random_tree(3, 4, np.random.default_rng(0))
    reference = tabular.random_policy(tree, np.random.default_rng(1))
    for beta in BETAS:
        assert 0.08 < numeric_check(step_named("soft_identity"), tree, reference, beta, "kl").gap < 0.5


def test_an_unknown_break_is_refused_by_name():
    with pytest.raises(ValueError, match="step 'k1' has the breaks exact, got 'kl'"):
        step_named("k1").sides("kl")


# ---- how it is checked ----


def test_the_gradient_on_the_tree_is_that_of_the_tabular_value_loss(tree_and_reference):
    """The mean of the step's gradient over samples is `value_loss_gradient` along the same direction."""
    tree, reference = tree_and_reference
    world = worlds.tree_world(tree, reference, 0.2, "any")
    policy = tabular.random_policy(tree, np.random.default_rng(0))  # the policy of the world "any"
    rng = np.random.default_rng(1)  # its direction
    direction = [rng.normal(size=level.shape) for level in policy]
    expected = sum(
        (g * u).sum() for g, u in zip(oracles.value_loss_gradient(tree, policy, reference, 0.2), direction, strict=True)
    )
    for side in step_named("gradient").sides():
        assert abs(f.evaluate(f.Mean(side), world).item() - expected) <= 1e-9


def test_simplified_finds_zeros_that_need_logarithms_exponentials_and_fractions():
    a, b, q = sympy.symbols("a b q", positive=True)
    assert simplified(sympy.log(a * b) - sympy.log(a) - sympy.log(b)) == 0
    assert simplified(a / (a + b) + b / (a + b) - 1) == 0
    assert simplified(sympy.log(a * sympy.exp(q / b)) - sympy.log(a) - q / b) == 0
    assert simplified(a * sympy.exp(q) - a) != 0


def test_the_derivation_forks_into_both_branches_after_shared_steps():
    branches = [step.branch for step in steps()]
    assert set(branches) == {"shared", "local", "soft"} and branches[0] == "shared"
    assert len(set(STEPS)) == len(STEPS)
    for step in steps():
        assert step.policy in worlds.POLICIES and step.breaks
        assert all("s0" not in f.latex(side) and "s1" not in f.latex(side) for side in step.sides())


def test_sympy_stays_out_of_the_web_process_until_a_derivation_is_shown():
    program = "import sys, app.course.widgets.derivation; sys.exit('sympy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


# ---- where descent goes ----


@pytest.mark.parametrize("beta", [0.05, 0.2])
@pytest.mark.parametrize("with_kappa", [True, False])
def test_descent_reaches_its_own_optimum_and_stays_away_from_the_other(with_kappa, beta, tree_and_reference):
    tree, reference = tree_and_reference
    policy = tabular.descent(tree, reference, beta, steps=150, with_kappa=with_kappa)[-1]
    local = tabular.local_fixed_point(tree, reference, beta)
    soft = tabular.soft_optimum(tree, reference, beta)[0]
    own, other = (local, soft) if with_kappa else (soft, local)
    assert tabular.path_total_variation(policy, own) <= 0.01
    assert tabular.path_total_variation(policy, other) > 0.05


def test_the_fork_in_numbers_says_what_each_value_is(tree_and_reference):
    found = two_optima(*tree_and_reference, 0.2)
    assert abs(found.local.value - found.local.reward) <= 1e-9
    assert abs(found.soft.value - (found.soft.reward - found.soft.cost)) <= 1e-9
    assert found.soft.value > found.local.reward - found.local.cost + VISIBLE
    assert found.apart > VISIBLE and found.reference_reward < found.local.reward


def test_an_example_tree_has_rewarded_and_unrewarded_solutions():
    for seed in range(50):
        tree, reference = example(2, 2, seed)
        assert set(tree.rewards) == {0.0, 1.0}
        assert [level.shape for level in reference] == [(1, 2), (2, 2)]
