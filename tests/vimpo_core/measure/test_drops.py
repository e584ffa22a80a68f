"""The largest true drop against trees whose values are known: the interval of what was picked, and false alarms."""

import numpy as np
import pytest

from tests.support.partial import partial_tree
from tests.vimpo_core.measure.test_truth import exact_values_along, tree_process
from vimpo_core.measure import drops, solution_sets
from vimpo_core.measure.truth import Cancelled, State, TokenProcess, monte_carlo_values
from vimpo_core.mistake import Mistake
from vimpo_core.tasks.chain import ChainTask
from vimpo_core.tree import tabular

PROMPT, DRAWS = (0,), 200


@pytest.fixture(scope="module", params=["success", "partial"])
def world(request):
    """A process, one of its solutions and the true values of its prefixes."""
    rng = np.random.default_rng(3)
    tree = tabular.random_tree(3, 6, rng) if request.param == "success" else partial_tree(3, 6)
    policy = tabular.random_policy(tree, np.random.default_rng(1))
    leaf = int(np.flatnonzero(tree.rewards == 0)[7])
    tokens = tuple(int(digit) for digit in np.base_repr(leaf, 3).zfill(6))
    return tree_process(tree, policy), State(PROMPT, tokens), exact_values_along(tree, policy, tokens)


@pytest.mark.slow
def test_the_interval_of_the_chosen_drop_holds_it_though_it_was_chosen_for_being_largest(world):
    process, solution, values = world
    true = values[:-1] - values[1:]
    held, best = [], []
    for seed in range(DRAWS):
        (found,) = drops.largest_drops(process, [solution], 64, seed)
        held.append(found.low - 1e-9 <= true[found.token] <= found.high + 1e-9)
        best.append(true[found.token])
    assert np.mean(held) >= 0.93, np.mean(held)
    assert np.mean(best) > 0.9 * true.max()  # what is chosen is nearly as large as the largest


def line_process(chance, length, drop_at=None, fall=0.0):
    """A solution of `length` tokens that the policy follows half the time; how it ends is luck: 1 with `chance`, less
    `fall` once the solution's own token at `drop_at` stands there.
    """

    def complete(states, uniforms):
        found = []
        for state, table in zip(states, uniforms, strict=True):
            tokens = (table[:, :-1] >= 0.5).astype(int)
            whole = np.hstack([np.tile(state.prefix, (len(table), 1)).astype(int), tokens])
            slipped = whole[:, drop_at] == 0 if drop_at is not None else np.zeros(len(whole), bool)
            luck = (table[:, -1] + whole @ np.sqrt(np.arange(2, 2 + whole.shape[1]))) % 1  # another on every way
            ends = (luck < chance - fall * slipped).astype(int) + 2
            found.append(
                [tuple(map(int, (*row_[len(state.prefix) :], end))) for row_, end in zip(whole, ends, strict=True)]
            )
        return found

    return TokenProcess(
        end_ids=(),
        max_new_tokens=length + 1,
        complete=complete,
        draw_ranges=lambda solutions: [np.tile([0.0, 0.5], (len(s.prefix), 1)) for s in solutions],
        next_logprobs=lambda states: np.log(np.full((len(states), 2), 0.5)),
        reward=lambda prompt, ids: float(ids[-1] == 3),
    )


@pytest.mark.slow
def test_where_no_token_changes_the_success_rate_a_clear_drop_is_seldom_claimed():
    process, solution = line_process(0.5, 20), State(PROMPT, (0,) * 20)
    claimed, by_the_same_tries = [], []
    for seed in range(DRAWS):
        claimed.append(drops.largest_drops(process, [solution], 64, seed)[0].is_clear)
        (curve,) = monte_carlo_values(process, [solution], 64, seed)
        by_the_same_tries.append(curve.advantage_bounds()[1].min() < 0)
    assert np.mean(claimed) <= 0.05, np.mean(claimed)
    assert np.mean(by_the_same_tries) > 0.15, np.mean(by_the_same_tries)  # why fresh ones measure it


@pytest.mark.parametrize("length", [20, 64, 65, 512])
def test_a_drop_is_found_in_short_and_long_solutions_within_the_budget_that_was_named(length):
    at = length * 2 // 3
    process, solution = line_process(0.9, length, at, 0.7), State(PROMPT, (0,) * length)
    told = []
    (found,) = drops.largest_drops(
        process, [solution], 64, starts=[range(0, length, 7)], on_progress=lambda *args: told.append(args)
    )
    assert found.token == at and found.is_clear
    assert found.low <= 0.35 <= found.high  # half of the tries would have slipped anyway
    assert found.rollouts <= drops.most_rollouts(length, 64)
    assert told == sorted(told) and told[-1] == (1000, 1000)


def test_many_solutions_at_once_give_what_each_gives_alone(world):
    process, solution, _ = world
    other = State(PROMPT, (2, 1, 0, 0, 1, 2))
    both = drops.largest_drops(process, [solution, other], 64, 5)
    alone = [drops.largest_drops(process, [one], 64, 5)[0] for one in (solution, other)]
    for together, one in zip(both, alone, strict=True):
        assert (together.token, together.drop, together.low) == (one.token, one.drop, one.low)


def test_tries_that_are_kept_are_not_made_again(world):
    process, solution, _ = world
    kept = {}
    first = drops.largest_drops(process, [solution], 64, kept=lambda seed: kept.setdefault(seed, {}))
    again = drops.largest_drops(process, [solution], 64, kept=lambda seed: kept.setdefault(seed, {}))
    assert again[0].rollouts == 0 and again[0].drop == first[0].drop


def test_a_drop_can_be_cancelled_and_refused(world):
    process, solution, _ = world
    with pytest.raises(Cancelled):
        drops.largest_drops(process, [solution], is_cancelled=lambda: True)
    with pytest.raises(Mistake, match="at least 16 tries, got 8"):
        drops.largest_drops(process, [solution], 8)
    with pytest.raises(Mistake, match="needs a token"):
        drops.largest_drops(process, [State(PROMPT, ())])


def test_a_long_solution_is_first_cut_where_words_begin():
    cuts = drops._first_cut(320, range(0, 320, 7))
    inner = [start for start, _ in cuts[1:]]
    assert cuts[0][0] == 0 and cuts[-1][1] == 320
    assert np.mean([start % 7 == 0 for start in inner]) > 0.9
    assert max(end - start for start, end in cuts) <= 2 * 320 // 32


def test_the_largest_true_drop_is_the_token_that_a_step_verifier_calls_the_first_wrong_one(fresh_policy):
    task = ChainTask(4)
    wrong = solution_sets.solution_set(fresh_policy, task, "fixed", 16).wrong
    found = [t for t in solution_sets.with_drops(fresh_policy, task, wrong, 64) if t.largest_drop.is_clear]
    assert len(found) >= 15 and sum(t.largest_drop.token == t.first_wrong for t in found) >= 15
