"""Every rule on the same tokens: what strips, table and ranking say, and that the working recombines to the trained
weight.
"""

import re

import numpy as np
import pytest

from tests.support.fakes import make_fake_run
from vimpo_core import rules
from vimpo_core.config import TrainConfig
from vimpo_core.rules import RULES, SLOTS
from vimpo_core.runs.folder import RunsDir
from vimpo_core.solutions import ledger, lenses
from vimpo_core.tasks.chain import ChainTask
from vimpo_core.views import rule_diff, rules_view
from vimpo_core.views.rules_view import WHY_NOT, batch_of, judge

ALL_RULES = pytest.mark.parametrize("key", RULES)
STEP, TOKEN_BUDGET = 20, ChainTask(5).max_new_tokens


@pytest.fixture(scope="module")
def traces(tmp_path_factory):
    """A recorded step of 32 solutions, with values that a critic and rollouts might have found."""
    folder = tmp_path_factory.mktemp("runs")
    run_id = make_fake_run(folder, steps=STEP, prompts_per_step=4, group_size=8)
    random = np.random.default_rng(0)
    return [
        trace.with_(
            critic_values=random.random(len(trace.ids)).astype(np.float32),
            mc_values=np.append(random.random(len(trace.ids)), trace.reward).astype(np.float32),
            collision=np.exp(-trace.entropy),
            reference_rate=0.375,
        )
        for trace in RunsDir(folder).open(run_id).traces(STEP)
    ]


def made(traces, **settings):
    config = TrainConfig(**{"beta": 0.3, "actor_coef": 0.1, "gae_lambda": 0.9, **settings})
    batch = batch_of(traces, config, TOKEN_BUDGET)
    return batch, judge(batch)


def wrong_one(traces):
    """A wrong solution of a group that does not agree."""
    return next(i for i, t in enumerate(traces) if t.first_wrong is not None and 0 < t.group_mean_reward < 1)


# ---- credit and push


@ALL_RULES
def test_credit_and_weights_are_those_of_the_family(traces, key):
    batch, judged = made(traces)
    assert np.array_equal(judged[key].credit, RULES[key].credit(batch.sampled, batch.config))
    weights = rules.weights(key, batch.sampled, batch.config, TOKEN_BUDGET)
    assert np.array_equal(judged[key].weights, weights)
    tokens = weights[batch.sampled.completion_mask]
    assert judged[key].rms == pytest.approx(np.sqrt((tokens**2).mean()))
    assert np.sqrt((judged[key].push[batch.sampled.completion_mask] ** 2).mean()) == pytest.approx(1)


def test_the_value_loss_alone_pushes_every_token_alike_while_its_credit_tells_them_apart(traces):
    batch, judged = made(traces)
    row = next(
        r for r in rules_view.rules_payload(batch, judged, wrong_one(traces))["rows"] if r["key"] == "vimpo_value"
    )
    assert row["push"]["is_flat"] and not row["credit"]["is_flat"]


def test_implied_credit_has_the_digits_of_the_card(traces):
    batch, judged = made(traces)
    index = wrong_one(traces)
    book = ledger.ledger(traces[index], 0.3, 0.9)
    for key, name in (("vimpo", "advantages"), ("vimpo_value", "td_terms")):
        shown, decimals = rules_view.shown_credit(batch, judged[key], key, index)
        assert np.array_equal(shown, book.arrays[name]) and decimals == book.reward_decimals


def test_kappa_is_read_by_the_runs_own_estimator(traces):
    batch, _ = made(traces, kl_estimator="k2")
    ratio = batch.sampled.logprobs - batch.sampled.ref_logprobs
    assert batch.sampled.kl == pytest.approx(0.5 * ratio**2)


def test_what_was_not_measured_says_so_and_is_never_zero(traces):
    batch, judged = made([t.with_(critic_values=None, mc_values=None) for t in traces])
    for key, why in (("ppo", "critic"), ("vineppo", "monte_carlo")):
        assert judged[key].credit is None and judged[key].push is None
        assert (judged[key].no_credit, judged[key].no_push) == (why, why)
        row = next(r for r in rules_view.rules_payload(batch, judged, 0)["rows"] if r["key"] == key)
        assert row["push"]["values"] is None and row["push"]["why_not"] == WHY_NOT[why]


def test_without_the_sum_of_squares_the_optimal_token_baseline_says_that_it_was_not_recorded(traces):
    batch, judged = made([t.with_(collision=None) for t in traces])
    assert (judged["otb"].credit, judged["otb"].no_credit, judged["otb"].no_push) == (
        None,
        "collision",
        "collision",
    )
    assert rule_diff.working(batch, judged, "otb", 0, 0).why_not == "collision"


def test_without_the_references_rate_a_star_po_shows_its_credit_and_says_why_it_has_no_push(traces):
    batch, judged = made([t.with_(reference_rate=None) for t in traces])
    found = judged["a_star_po"]
    assert found.push is None and (found.no_credit, found.no_push) == ("", "reference")
    assert np.array_equal(found.credit, RULES["a_star_po"].credit(batch.sampled, batch.config))
    assert rule_diff.working(batch, judged, "a_star_po", 0, 0).why_not == "reference"


def test_the_shown_credit_of_a_star_po_is_rho_alone(traces):
    batch, judged = made(traces)
    index = wrong_one(traces)
    shown, decimals = rules_view.shown_credit(batch, judged["a_star_po"], "a_star_po", index)
    trace = traces[index]
    exact = 0.3 * (trace.logprob.astype(np.float64) - trace.ref_logprob)
    np.testing.assert_allclose(shown / 10.0**decimals, exact, atol=0.3 * 1e-3)  # log-probabilities are shown to .001


def test_without_log_probabilities_the_rules_that_need_none_still_judge(traces):
    _, judged = made([t.with_(ref_logprob=None) for t in traces])
    assert {key for key in RULES if judged[key].no_credit} == {"vimpo", "vimpo_value", "vimpo_soft", "a_star_po"}
    assert judged["vimpo"].no_credit == "recorded" and np.isfinite(judged["grpo"].weights).all()


def test_measured_monte_carlo_values_take_the_place_of_recorded_ones(traces):
    bare = [t.with_(mc_values=None) for t in traces]
    batch = batch_of(bare, TrainConfig(), TOKEN_BUDGET, mc_values=[t.mc_values for t in traces])
    assert np.array_equal(judge(batch)["vineppo"].credit, made(traces)[1]["vineppo"].credit)


def test_a_typed_solution_has_no_push_and_rules_with_a_group_say_that_they_need_one(traces):
    alone = traces[0].with_(group_mean_reward=float("nan"))
    batch = batch_of([alone], TrainConfig(), TOKEN_BUDGET, is_typed=True)
    judged = judge(batch)
    assert all(one.push is None for one in judged.values())
    assert {key for key in RULES if judged[key].no_credit == "group"} == {
        "reinforce_baseline",
        "rloo",
        "otb",
        "grpo",
        "dr_grpo",
        "dapo",
        "grpo_entropy",
    }
    assert judged["vimpo"].credit is not None and judged["vimpo"].no_push == "group"
    assert judged["reinforce"].no_push == "step"
    assert [line.symbol for line in rule_diff.working(batch, judged, "vimpo", 0, 0).lines] == [
        "ρ",
        "κ",
        "δ",
        "A",
    ]


# ---- strips and table


def test_one_scale_covers_every_rule_and_the_group(traces):
    batch, judged = made(traces)
    payload = rules_view.rules_payload(batch, judged, 0, "vimpo")
    for lens, scale in payload["scales"].items():
        rows = payload["rows"] + payload["group"]
        largest = max(abs(v) / 10 ** row[lens]["decimals"] for row in rows for v in row[lens]["values"])
        assert largest <= scale * (1 + 1e-9) and scale <= 2 * largest
    assert [row["sample"] for row in payload["group"]] == list(range(8))
    assert [row["is_chosen"] for row in payload["group"]].index(True) == 0


def test_the_rank_of_the_first_wrong_token_counts_those_blamed_more(traces):
    index = wrong_one(traces)
    batch, judged = made(traces, gae_lambda=0.0)
    rows = {row.key: row for row in rules_view.rule_rows(batch, judged, index, 0)}
    delta, wrong = lenses.credit_of(traces[index], 0.3), traces[index].first_wrong
    assert rows["vimpo_value"].rank == 1 + (delta < delta[wrong]).sum() and rows["vimpo_value"].tied == 1
    assert (rows["grpo"].rank, rows["grpo"].tied) == (1, len(delta))


def test_a_right_solution_has_no_rank(traces):
    batch, judged = made(traces)
    right = next(i for i, t in enumerate(traces) if t.first_wrong is None)
    assert {row.rank for row in rules_view.rule_rows(batch, judged, right, 0)} == {None}


# ---- where they disagree


def test_the_most_disputed_token_has_the_largest_spread(traces):
    index = wrong_one(traces)
    batch, judged = made(traces)
    first, *rest = rules_view.disputed_tokens(batch, judged, index, ["grpo", "vimpo", "vineppo"])
    pushes = {key: judged[key].push[index, first.token] for key in ("grpo", "vimpo", "vineppo")}
    assert first.spread == pytest.approx(max(pushes.values()) - min(pushes.values()))
    assert pushes[first.highest] == max(pushes.values()) and pushes[first.lowest] == min(pushes.values())
    assert all(one.spread <= first.spread for one in rest)
    assert rules_view.disputed_tokens(batch, judged, index, ["grpo"]) == []


def test_rules_that_point_the_same_way_do_not_disagree_and_dead_groups_are_left_out(traces):
    _, judged = made(traces)
    found, left_out = rules_view.disputed_solutions(judged, "reinforce_baseline", "dr_grpo")
    assert max(one.distance for one in found) < 1e-12
    assert left_out == sum(t.group_mean_reward in (0, 1) for t in traces)
    assert len(found) + left_out == len(traces)


def test_solutions_are_ranked_by_the_angle_between_two_pushes(traces):
    _, judged = made(traces)
    found, _ = rules_view.disputed_solutions(judged, "vineppo", "vimpo")
    distances = [one.distance for one in found]
    assert distances == sorted(distances, reverse=True)
    a, b = (judged[key].push[found[0].index] for key in ("vineppo", "vimpo"))
    assert distances[0] == pytest.approx(1 - a @ b / np.linalg.norm(a) / np.linalg.norm(b))


# ---- the working


SWITCHES = [
    {},
    {"value_loss": "huber", "huber_delta": 0.1},
    {"value_loss": "normalised"},
    {"actor_coef_rule": "adaptive"},
    {"baseline": "leave_one_out"},
    {"cap_v0": 0.3},
    {"loss_average": "solutions"},
    {"kl_estimator": "k3"},
    {"beta": 5e-4},
    {"gae_lambda": 1.0},
]


@ALL_RULES
@pytest.mark.parametrize("settings", SWITCHES, ids=str)
def test_the_unrounded_working_ends_at_the_trained_weight(traces, key, settings):
    batch, judged = made(traces, **settings)
    for index in (0, wrong_one(traces)):
        for token in (0, 5, len(traces[index].ids) - 1):
            found = rule_diff.working(batch, judged, key, index, token)
            assert found.weight == pytest.approx(judged[key].weights[index, token], rel=1e-9, abs=1e-15)


def evaluated(written: str) -> float:
    """What a reader with a calculator gets."""
    plain = re.sub(
        r"·10([⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+)",
        lambda m: "e" + m[1].translate(str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789")),
        written,
    )
    plain = plain.replace("×", "*").replace("−", "-")
    assert re.fullmatch(r"[-+*/() .0-9e]+", plain), plain
    return eval(plain)  # only digits and operators, as the line above holds


def last_digit(number: str) -> float:
    """What one more in the last written digit is worth: 0.01 for 0.25, 10^-6 for 2.5·10⁻⁵."""
    mantissa, _, power = number.partition("·")
    return 10.0 ** -len(mantissa.partition(".")[2]) * (evaluated(f"1·{power}") if power else 1)


@ALL_RULES
@pytest.mark.parametrize("settings", SWITCHES, ids=str)
def test_shown_numbers_recombine_to_shown_numbers(traces, key, settings):
    batch, judged = made(traces, **settings)
    index = wrong_one(traces)
    for token in range(len(traces[index].ids)):
        for line in rule_diff.working(batch, judged, key, index, token).lines:
            off = abs(evaluated(line.written) - evaluated(line.result))
            assert off <= 0.5001 * last_digit(line.result), line  # rounded once; .0001 for binary near-halves


@ALL_RULES
def test_the_shown_weight_is_the_unrounded_one_within_its_digits(traces, key):
    batch, judged = made(traces)
    index = wrong_one(traces)
    found = rule_diff.working(batch, judged, key, index, 3)
    *_, weight, relative = [line for line in found.lines if line.slot == "weight"]
    assert evaluated(weight.result) == pytest.approx(found.weight, rel=5e-3, abs=1e-6)
    assert evaluated(relative.result) == pytest.approx(judged[key].push[index, 3], abs=0.02)


def test_every_number_in_a_line_is_the_result_of_one_before_or_given(traces):
    """The lines are one chain: what a line ends at is what the next one starts from."""
    batch, judged = made(traces)
    index = wrong_one(traces)
    lines = {line.symbol: line for line in rule_diff.working(batch, judged, "vimpo", index, 3).lines}
    assert lines["δ"].written.startswith(lines["ρ"].result) and lines["κ"].result in lines["δ"].written
    assert lines["A"].written.startswith(lines["δ"].result) and lines["A"].result in lines["Ã"].written
    assert lines["Ã"].result in lines["w actor"].written and lines["w actor"].result.strip("−") in lines["w"].written
    assert lines["w value"].result in lines["w"].written and lines["w"].result in lines["w / rms"].written


def test_worked_example_of_grpo(traces):
    # 4 solutions of one prompt, one right, 4 tokens each: mean .25, spread .5 + .0001, 16 tokens.
    four = [
        t.with_(
            group_id=0,
            sample_idx=i,
            reward=float(i == 0),
            group_mean_reward=0.25,
            ids=t.ids[:4],
            text=t.text[:4],
            mask=t.mask[:4],
            logprob=t.logprob[:4],
            ref_logprob=t.ref_logprob[:4],
            kl=t.kl[:4],
            critic_values=t.critic_values[:4],
            mc_values=t.mc_values[:5],
            entropy=t.entropy[:4],
            collision=t.collision[:4],
        )
        for i, t in enumerate(traces[:4])
    ]
    batch, judged = made(four)
    found = rule_diff.working(batch, judged, "grpo", 0, 0)
    assert [(line.symbol, line.written, line.result) for line in found.lines[:3]] == [
        ("A", "1 − 0.25", "0.75"),
        ("Â", "0.75 / 0.5001", "1.5"),
        ("w", "1.5 / 16", "0.09375"),
    ]


def test_slots_that_differ_are_marked():
    assert not any(rule_diff.differing("grpo", "grpo").values())
    found = rule_diff.differing("grpo", "dr_grpo")
    assert [slot for slot in SLOTS if found[slot]] == ["scale", "average"]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (-0.0312, "−0.0312"),
        (0.0003125, "0.0003125"),
        (3.125e-5, "3.125·10⁻⁵"),
        (-2e-5, "−2·10⁻⁵"),
        (2892.0, "2892"),
        (1.0, "1"),
    ],
)
def test_numbers_are_written_with_all_their_digits(value, text):
    assert rule_diff.digits(value) == text
    assert evaluated(text) == pytest.approx(value)


def test_settings_follow_the_schedule_of_the_step_and_the_sliders():
    config = TrainConfig(actor_coef=0.2, actor_schedule="fall", steps=100)
    found = rules_view.settings_at(config, 50, 0.5, 0.3)
    assert (found.actor_coef, found.beta, found.gae_lambda) == (0.1, 0.5, 0.3)
