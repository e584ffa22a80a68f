"""truth: Monte Carlo against trees that can be enumerated, then the same lines on a real network.

Trees have 0/1 rewards, three tokens and depth 4, as in test_tabular; a solution is a leaf.
"""

import math

import numpy as np
import pytest

from tests.support import oracles
from tests.support.waiting import PATIENCE
from vimpo_core.intervals import wilson_bounds
from vimpo_core.lm import models
from vimpo_core.measure import truth
from vimpo_core.measure.truth import State, TokenProcess, monte_carlo_values
from vimpo_core.runs import snapshots
from vimpo_core.service import outcomes, scoring
from vimpo_core.tasks.chain import ChainTask, problem_from
from vimpo_core.tree import tabular

TOL = 1e-9
DRAWS = 1000
ROLLOUTS = 64
PROMPT = (0,)


@pytest.fixture(scope="module")
def tree():
    return tabular.random_tree(vocab=3, depth=4, rng=np.random.default_rng(0))


@pytest.fixture(scope="module")
def policy(tree):
    return tabular.random_policy(tree, np.random.default_rng(1))


def row(prefix, vocab):
    """A prefix read as a number in base vocab."""
    return sum(token * vocab**i for i, token in enumerate(reversed(prefix)))


def tree_process(tree, policy, end_ids=()):
    """A tree as a TokenProcess; nothing ends before the last token."""

    def chances(prefix):
        return np.exp(policy[len(prefix)][row(prefix, tree.vocab)])

    def complete(states, uniforms):
        return [_walk(tree, policy, s.prefix, u) for s, u in zip(states, uniforms, strict=True)]

    def draw_ranges(solutions):
        return [
            np.array(
                [
                    (chances(s.prefix[:t])[:y].sum(), chances(s.prefix[:t])[: y + 1].sum())
                    for t, y in enumerate(s.prefix)
                ]
            )
            for s in solutions
        ]

    return TokenProcess(
        end_ids=end_ids,
        max_new_tokens=tree.depth,
        complete=complete,
        draw_ranges=draw_ranges,
        next_logprobs=lambda states: np.stack([np.log(chances(s.prefix)) for s in states]),
        reward=lambda prompt, ids: tree.rewards[row(ids, tree.vocab)],
    )


def _walk(tree, policy, prefix, uniforms):
    rows, drawn = np.full(len(uniforms), row(prefix, tree.vocab)), []
    for d in range(len(prefix), tree.depth):
        cumulative = np.exp(policy[d][rows]).cumsum(axis=1)
        token = (cumulative <= uniforms[:, d - len(prefix), None]).sum(axis=1).clip(max=tree.vocab - 1)
        drawn.append(token)
        rows = rows * tree.vocab + token
    return [tuple(map(int, tokens)) for tokens in np.stack(drawn, axis=1)]


def exact_values_along(tree, policy, tokens):
    """V(s_0) .. V(s_T) of a leaf by backward induction."""
    values, _ = tabular.plain_values(tree, policy)
    along = [values[d][row(tokens[:d], tree.vocab)] for d in range(tree.depth)]
    return np.array([*along, tree.rewards[row(tokens, tree.vocab)]])


def counting(process):
    """The process, and a list to which every sampled (state, uniforms) is added."""
    asked = []

    def complete(states, uniforms):
        asked.extend(zip(states, uniforms, strict=True))
        return process.complete(states, uniforms)

    return TokenProcess(**{**vars(process), "complete": complete}), asked


def rows_of(asked):
    return sum(len(uniforms) for _, uniforms in asked)


# ---- agreement with the exact values


def coverage_of_wilson(p, n):
    """Exact probability that the Wilson interval of n tries holds p."""
    k = np.arange(n + 1)
    low, high = wilson_bounds(k, n)
    chance = np.array([math.comb(n, i) * p**i * (1 - p) ** (n - i) for i in k])
    return float(chance[(low <= p) & (p <= high)].sum())


@pytest.mark.parametrize("common", [True, False])
def test_monte_carlo_covers_the_exact_values_at_the_stated_rate(tree, policy, common):
    process, solution = tree_process(tree, policy), State(PROMPT, (1, 0, 2, 1))
    exact = exact_values_along(tree, policy, solution.prefix)
    # A rate of 0 or 1 is always covered: such a prefix would only flatter the rate.
    uncertain = np.flatnonzero((exact > 0.05) & (exact < 0.95))
    assert len(uncertain) >= 3
    found, covered, advantages_covered = [], [], []
    for seed in range(DRAWS):
        (values,) = monte_carlo_values(process, [solution], ROLLOUTS, seed, common)
        low, high = values.bounds()
        found.append(values.value)
        covered.append((low <= exact + TOL) & (exact <= high + TOL))
        low, high = values.advantage_bounds()
        advantages_covered.append((low <= np.diff(exact) + TOL) & (np.diff(exact) <= high + TOL))
    rates = np.mean(covered, axis=0)
    assert 0.93 <= rates[uncertain].mean() <= 0.97
    for t in uncertain:
        nominal = coverage_of_wilson(exact[t], ROLLOUTS)
        assert abs(rates[t] - nominal) < 4 * math.sqrt(nominal * (1 - nominal) / DRAWS)
    assert 0.93 <= np.mean(advantages_covered) <= 0.97
    error = np.mean(found, axis=0) - exact
    assert np.all(np.abs(error) <= 4 * np.sqrt(exact * (1 - exact) / ROLLOUTS / DRAWS) + TOL)


def test_common_random_numbers_make_differences_quieter_not_values(tree, policy):
    process, solution = tree_process(tree, policy), State(PROMPT, (1, 0, 2, 1))

    def spread(common):
        runs = [monte_carlo_values(process, [solution], 32, seed, common)[0] for seed in range(300)]
        return np.std([v.value for v in runs], axis=0), np.std([v.advantages() for v in runs], axis=0)

    (values, differences), (values_alone, differences_alone) = spread(True), spread(False)
    np.testing.assert_allclose(values, values_alone, atol=0.03)  # 300 draws: 4% of spreads near 0.1, and slack
    assert differences.mean() < 0.9 * differences_alone.mean()


def test_a_rollout_that_follows_the_solution_has_the_outcome_of_the_next_prefix(tree, policy):
    process, solution = tree_process(tree, policy), State(PROMPT, (1, 0, 2, 1))
    never = TokenProcess(
        **{**vars(process), "draw_ranges": lambda solutions: [np.ones((len(s.prefix), 2)) for s in solutions]}
    )
    (saved, asked), (sampled, asked_all) = counting(process), counting(never)
    (a,), (b,) = (monte_carlo_values(p, [solution], 200) for p in (saved, sampled))
    np.testing.assert_array_equal(a.outcomes, b.outcomes)
    assert rows_of(asked) < rows_of(asked_all) == 4 * 200


# ---- stages, sharing, determinism


def test_stages_add_up(tree, policy):
    process, asked = counting(tree_process(tree, policy))
    solution, kept = State(PROMPT, (2, 2, 0, 1)), {}
    stages = [
        monte_carlo_values(process, [solution], k, common_random_numbers=False, outcomes=kept)[0] for k in truth.STAGES
    ]
    assert rows_of(asked) == 4 * truth.STAGES[-1]
    (at_once,) = monte_carlo_values(
        tree_process(tree, policy), [solution], truth.STAGES[-1], common_random_numbers=False
    )
    for k, stage in zip(truth.STAGES, stages, strict=True):
        assert stage.rollouts == k
        np.testing.assert_array_equal(stage.outcomes, at_once.outcomes[:, :k])
    asked.clear()
    (again,) = monte_carlo_values(process, [solution], truth.STAGES[0], common_random_numbers=False, outcomes=kept)
    assert not asked
    np.testing.assert_array_equal(again.outcomes, stages[0].outcomes)


@pytest.mark.parametrize("common", [True, False])
def test_a_shared_prefix_is_sampled_once(tree, policy, common):
    process, asked = counting(tree_process(tree, policy))
    solutions = [State(PROMPT, s) for s in [(0, 1, 2, 0), (0, 1, 0, 0), (0, 1, 2, 0), (2, 1, 2, 0)]]
    found = monte_carlo_values(process, solutions, 50, common_random_numbers=common)
    states = [state for state, _ in asked]
    assert len(states) == len(set(states))
    if not common:
        # The root, two first tokens, two pairs, three triples; whole solutions need no rollout.
        assert rows_of(asked) == (1 + 2 + 2 + 3) * 50
    for other in (1, 2):
        np.testing.assert_array_equal(found[0].outcomes[:3], found[other].outcomes[:3])


@pytest.mark.parametrize("common", [True, False])
def test_a_seed_decides_and_chunks_and_neighbours_do_not(tree, policy, common):
    process = tree_process(tree, policy)
    solutions = [State(PROMPT, (1, 1, 2, 0)), State((1,), (0, 2, 2, 1))]
    options = {"common_random_numbers": common}
    first = monte_carlo_values(process, solutions, 70, 3, **options)
    for chunk_rows in (1, 7, 64, 10_000):
        again = monte_carlo_values(process, solutions, 70, 3, chunk_rows=chunk_rows, **options)
        for a, b in zip(first, again, strict=True):
            np.testing.assert_array_equal(a.outcomes, b.outcomes)
    (alone,) = monte_carlo_values(process, solutions[1:], 70, 3, **options)
    np.testing.assert_array_equal(alone.outcomes, first[1].outcomes)
    other = monte_carlo_values(process, solutions, 70, 4, **options)
    assert (other[0].outcomes != first[0].outcomes).any()


def test_no_chunk_is_larger_than_asked_and_progress_reaches_the_total(tree, policy):
    process, sizes, told = tree_process(tree, policy), [], []

    def complete(states, uniforms):
        sizes.append(sum(map(len, uniforms)))
        return process.complete(states, uniforms)

    monte_carlo_values(
        TokenProcess(**{**vars(process), "complete": complete}),
        [State(PROMPT, (1, 1, 2, 0))],
        100,
        chunk_rows=30,
        on_progress=lambda done, total: told.append((done, total)),
    )
    assert max(sizes) <= 30
    assert [done for done, _ in told] == list(np.cumsum(sizes))
    assert {total for _, total in told} == {sum(sizes)}


def test_cancelling_stops_between_chunks_and_keeps_nothing_of_the_stage(tree, policy):
    process, asked = counting(tree_process(tree, policy))
    solution, kept = State(PROMPT, (1, 1, 2, 0)), {}
    monte_carlo_values(process, [solution], 16, outcomes=kept)
    before = {state: o.copy() for state, o in kept.items()}
    asked.clear()
    with pytest.raises(truth.Cancelled):
        monte_carlo_values(process, [solution], 256, outcomes=kept, chunk_rows=32, is_cancelled=lambda: bool(asked))
    assert 0 < rows_of(asked) <= 32
    assert kept.keys() == before.keys()
    assert all(np.array_equal(kept[s], before[s]) for s in kept)
    (later,) = monte_carlo_values(process, [solution], 256, outcomes=kept)
    (at_once,) = monte_carlo_values(process, [solution], 256)
    np.testing.assert_array_equal(later.outcomes, at_once.outcomes)


def test_fewer_than_one_rollout_is_refused(tree, policy):
    with pytest.raises(ValueError, match=r"rollouts must be >= 1, got 0\."):
        monte_carlo_values(tree_process(tree, policy), [State(PROMPT, (0,))], 0)


# ---- what is exact


def test_nothing_is_sampled_at_and_after_the_end_token_or_the_budget():
    # Tokens 0 and 1, token 1 ends; reward 1 for exactly "0 1". Budget 3.
    def complete(states, uniforms):
        return [[(1,)] * len(u) for u in uniforms]

    process, asked = counting(
        TokenProcess(
            end_ids=(1,),
            max_new_tokens=3,
            complete=complete,
            draw_ranges=lambda solutions: [np.zeros((len(s.prefix), 2)) for s in solutions],
            next_logprobs=lambda states: np.log(np.full((len(states), 2), 0.5)),
            reward=lambda prompt, ids: float(ids == (0, 1)),
        )
    )
    ended, after_the_end, cut_off, too_long = (
        State(PROMPT, ids) for ids in [(0, 1), (0, 1, 0, 0, 0), (0, 0, 0), (0, 0, 0, 1)]
    )
    found = monte_carlo_values(process, [ended, after_the_end, cut_off, too_long], 8)
    assert {state.prefix for state, _ in asked} == {(), (0,), (0, 0)}
    assert [v.is_exact.tolist() for v in found] == [
        [False, False, True],
        [False, False, True, True, True, True],
        [False, False, False, True],
        [False, False, False, True, True],
    ]
    assert [v.value[v.is_exact].tolist() for v in found] == [[1], [1, 1, 1, 1], [0], [0, 0]]
    for values in found:
        low, high = values.bounds()
        np.testing.assert_array_equal(low[values.is_exact], values.value[values.is_exact])
        np.testing.assert_array_equal(high[values.is_exact], values.value[values.is_exact])
        assert (low < high)[~values.is_exact].all()
        assert values.advantages().sum() == values.value[-1] - values.value[0]
    assert oracles.exact_value(process, ended) == (1.0, 0.0)
    assert oracles.exact_value(process, too_long) == (0.0, 0.0)
    # From "0": "0 1" at 1/2, else wrong.
    assert oracles.exact_value(process, State(PROMPT, (0,)), left_out=0.0) == (0.5, 0.0)


def test_enumeration_equals_backward_induction(tree, policy):
    process = tree_process(tree, policy)
    for tokens in [(1, 0, 2, 1), (2, 2, 2, 2)]:
        for t, exact in enumerate(exact_values_along(tree, policy, tokens)):
            value, left_out = oracles.exact_value(process, State(PROMPT, tokens[:t]), left_out=0.0)
            assert abs(value - exact) < TOL
            assert left_out < TOL


@pytest.mark.parametrize("bound", [0.3, 0.05])
def test_enumeration_stops_at_its_bound_and_the_bound_holds(tree, policy, bound):
    process = tree_process(tree, policy)
    exact = exact_values_along(tree, policy, (0, 0, 0, 0))[0]
    value, left_out = oracles.exact_value(process, State(PROMPT, ()), left_out=bound, batch=1)
    assert 0 < left_out <= bound
    assert value - TOL <= exact <= value + left_out + TOL
    value, left_out = oracles.exact_value(process, State(PROMPT, ()), left_out=0.0, max_expansions=5, batch=2)
    assert left_out > 0.05
    assert value - TOL <= exact <= value + left_out + TOL


# ---- the soft optimum


@pytest.mark.parametrize("beta", [0.05, 0.2, 1.0])
def test_soft_value_of_the_enumerated_success_rate_equals_backward_induction(tree, policy, beta):
    process = tree_process(tree, policy)
    _, soft, _ = tabular.soft_optimum(tree, policy, beta)
    for tokens in [(1, 0, 2, 1), (2, 2, 2, 2), (0, 1, 1, 0)]:
        for t in range(tree.depth):
            p_ref = oracles.exact_value(process, State(PROMPT, tokens[:t]), left_out=0.0).value
            assert abs(truth.soft_value(p_ref, beta) - soft[t][row(tokens[:t], tree.vocab)]) < TOL
    success, _ = tabular.plain_values(tree, policy)
    for p, v in zip(success, soft, strict=True):
        np.testing.assert_allclose(truth.soft_value(p, beta), v, rtol=0, atol=TOL, equal_nan=False)


def test_soft_value_at_tiny_and_large_beta_and_at_the_ends():
    p = np.array([0.0, 1e-12, 0.25, 1.0])
    # beta log p_ref is what remains below 1 once e^{1/beta} dwarfs everything.
    np.testing.assert_allclose(
        truth.soft_value(p, 1e-4), [0, 1 + 1e-4 * math.log(1e-12), 1 + 1e-4 * math.log(0.25), 1], atol=TOL
    )
    np.testing.assert_allclose(truth.soft_value(p, 1e6), p, atol=1e-6, equal_nan=False)
    assert (np.diff(truth.soft_value(np.linspace(0, 1, 50), 0.1)) > 0).all()
    for beta in (0.0, -1.0, float("nan")):
        with pytest.raises(ValueError, match="beta must be > 0"):
            truth.soft_value(0.5, beta)


def test_the_soft_curve_carries_the_interval_of_the_success_rate(tree, policy):
    (values,) = monte_carlo_values(tree_process(tree, policy), [State(PROMPT, (1, 0, 2, 1))], 64)
    value, low, high = truth.soft_curve(values, 0.2)
    np.testing.assert_allclose(value, truth.soft_value(values.value, 0.2), equal_nan=False)
    np.testing.assert_allclose(low, truth.soft_value(values.bounds()[0], 0.2), equal_nan=False)
    assert (low <= value).all() and (value <= high).all()
    assert low[-1] == value[-1] == high[-1]


# ---- a real network


QUESTION, ANSWER = "9+2*4-1=", "9+8-1;17-1;16."


@pytest.fixture(scope="module")
def network(moved_policy):
    """The moved policy with its adapter folded in: (process, solution)."""
    task, problem = ChainTask(4), problem_from(QUESTION)
    solution = State(models.encode(moved_policy, QUESTION), models.encode_completion(moved_policy, ANSWER, task.end))
    from vimpo_core.measure.policy_process import process_of

    with models.merged(moved_policy) as model:
        yield process_of(moved_policy, model, task, [problem]), solution


def test_the_network_agrees_with_its_enumeration_on_a_short_tail(network):
    process, solution = network
    tail = State(solution.prompt, solution.prefix[:-3])
    exact = oracles.exact_value(process, tail, left_out=0.01, max_expansions=1000)
    assert exact.left_out <= 0.01
    (values,) = monte_carlo_values(process, [tail], 400)
    low, high = values.bounds()
    assert low[-1] <= exact.value + exact.left_out and exact.value <= high[-1]
    assert 0 < values.value[-1] < 1


def test_the_networks_rollouts_that_follow_need_no_sampling(network):
    process, solution = network
    ranges = {"draw_ranges": lambda solutions: [np.ones((len(s.prefix), 2)) for s in solutions]}
    (saved, asked), (sampled, asked_all) = counting(process), counting(TokenProcess(**vars(process) | ranges))
    (a,), (b,) = (monte_carlo_values(p, [solution], 48) for p in (saved, sampled))
    np.testing.assert_array_equal(a.outcomes, b.outcomes)
    assert rows_of(asked) < rows_of(asked_all) / 2
    assert a.is_exact.tolist() == [False] * len(ANSWER) + [True]
    assert a.value[-1] == 1


def test_ranges_of_the_uniform_are_the_networks_probabilities(network):
    process, solution = network
    (ranges,) = process.draw_ranges([solution])
    logprobs = process.next_logprobs(truth.prefixes_of(solution)[:-1])
    assert ranges.shape == (len(solution.prefix), 2)
    for t, token in enumerate(solution.prefix):
        chances = np.exp(logprobs[t])
        # float32 logits from two batches of other shape
        np.testing.assert_allclose(ranges[t], [chances[:token].sum(), chances[: token + 1].sum()], atol=2e-5, rtol=0)


# ---- the service


def test_a_later_stage_keeps_the_rollouts_of_the_earlier_one(real_run):
    asked = (real_run, 4, QUESTION, ANSWER)
    first, second = (scoring.solution_truth(*asked, rollouts) for rollouts in (16, 64))
    for name in ("policy", "reference"):
        early, late = getattr(first, name), getattr(second, name)
        assert (early.rollouts, late.rollouts) == (16, 64)
        np.testing.assert_array_equal(early.outcomes, late.outcomes[:, :16])
    kept = outcomes.kept_outcomes(snapshots.identity(real_run, 4), ChainTask(4), 0)
    assert {len(o) for o in kept.values()} == {64}
    assert len(kept) == len(ANSWER)
    branch = scoring.solution_truth(real_run, 4, QUESTION, ANSWER[:7] + "19", 64)
    np.testing.assert_array_equal(branch.policy.outcomes[:8], second.policy.outcomes[:8])
    assert len(kept) == len(ANSWER) + 2


def test_before_training_policy_and_reference_have_the_same_outcomes(real_run):
    found = scoring.solution_truth(real_run, 0, QUESTION, ANSWER, 32)
    np.testing.assert_array_equal(found.policy.outcomes, found.reference.outcomes)


def test_bad_requests_are_one_sentence(real_run):
    for prompt, solution, step, message in [
        (QUESTION, "", 4, "the solution is empty"),
        (QUESTION, "9+8-x;", 4, "'x', which is outside the model's vocabulary"),
        ("9+2*4-1", ANSWER, 4, "a problem is 2 to 8 numbers"),
        (QUESTION, ANSWER, 3, "holds no adapter of step 3"),
        (QUESTION, "1" * 500, 4, "the model reads 128"),
    ]:
        with pytest.raises(ValueError, match=message):
            scoring.solution_truth(real_run, step, prompt, solution, 16)


def test_a_solution_that_never_ends_is_worth_nothing_from_its_budget_on(real_run):
    found = scoring.solution_truth(real_run, 4, QUESTION, "9" * 60, 16).policy
    budget = ChainTask(4).max_new_tokens
    assert found.is_exact.tolist() == [False] * budget + [True] * (61 - budget)
    assert (found.value[budget:] == 0).all()


def test_the_child_process_answers_in_stages(real_run, scoring_process):
    first, second = (
        scoring_process.ask(scoring.solution_truth, real_run, 4, QUESTION, ANSWER, rollouts, timeout=PATIENCE).result(
            PATIENCE
        )
        for rollouts in (16, 64)
    )
    np.testing.assert_array_equal(first.policy.outcomes, second.policy.outcomes[:, :16])
    with pytest.raises(ValueError, match="rollouts must be >= 1"):
        scoring_process.ask(scoring.solution_truth, real_run, 4, QUESTION, ANSWER, 0, timeout=PATIENCE).result(PATIENCE)
