"""The scorecard's sentences follow from its numbers, and the instructive solutions are what their headings say."""

import copy

import numpy as np
import pytest

from app.words.findings import Finding, findings, over_seeds, seeds_finding
from tests.vimpo_core.views.test_truth_curves import trace
from vimpo_core.formats.reproduce import truth_command
from vimpo_core.measure.instructive import KINDS, instructive
from vimpo_core.measure.scorecard import SIGNALS, lead_of_implied, localisation


def numbers(value, low, high, *names):
    return {f"{n}{end}": v for n in names for end, v in (("", value), ("_low", low), ("_high", high))}


def report(**changes):
    """Implied credit ahead of everything, on enough solutions."""
    measures = ("top1", "top3", "auc")
    made = {
        "run_id": "vimpo-1",
        "algorithm": "vimpo",
        "step": 50,
        "set": "fixed",
        "beta": 0.1,
        "gae_lambda": 1.0,
        "n_solutions": 256,
        "solutions": 256,
        "n_compared": 256,
        "rollouts": 64,
        "seed": 0,
        "reward_noise": 0.0,
        "signals": {name: numbers(0.9, 0.85, 0.95, *measures) for name in SIGNALS},
        "lead_of_implied": {
            name: numbers(0.1, 0.05, 0.15, *measures) for name in SIGNALS if name != "implied_advantage"
        },
        "instructive": {kind: [] for kind in KINDS},
        **numbers(0.5, 0.4, 0.6, "pearson_advantage"),
        **numbers(0.3, 0.2, 0.4, "value_rmse", "rmse_reduction"),
        **numbers(0.4, 0.3, 0.5, "constant_rmse", "start_rmse"),
        "monte_carlo_rmse": 0.03,
    }
    return made | changes


def said(made, kind):
    return " ".join(f.text for f in findings(made) if f.kind == kind)


def test_a_loss_to_surprisal_is_said_with_its_numbers():
    made = report()
    made["lead_of_implied"]["surprisal_policy"] = numbers(-0.06, -0.09, -0.03, "top1", "top3", "auc")
    lost = said(made, "loses")
    assert "less well than surprisal of the policy" in lost and "−0.060, 95% −0.090 to −0.030" in lost
    assert "better than surprisal of the reference" in said(made, "wins")


def test_a_finding_states_all_its_numbers_with_their_intervals():
    made = report()
    wins = [f.text for f in findings(made) if f.kind == "wins"]
    assert wins == [
        *(
            f"Implied credit finds the first wrong token better than surprisal of the {whose}: AUC 0.900 against 0.900 "
            "(difference +0.100, 95% +0.050 to +0.150), top-1 0.900 against 0.900 (+0.100, 95% +0.050 to +0.150)."
            for whose in ("policy", "reference")
        ),
        "Implied δ follows Monte Carlo's Q − V: Pearson 0.500, 95% 0.400 to 0.600 over 256 solutions; 1 would be "
        "perfect.",
        "Implied V tells more about what the policy earns from there than any constant: it is off by 0.300, the best "
        "constant by 0.400, a gain of 30 % (20 % to 40 %); Monte Carlo's own noise is 0.030.",
    ]


def test_where_nobody_knows_the_first_wrong_token_the_report_says_what_it_is_measured_against():
    made = report(target="largest true drop", n_wrong=40, n_solutions=30, solutions=40)
    made |= {"drop_tries": 64, "drop_rollouts": 12345, "mean_drop": 0.5}
    assert findings(made)[0].text == (
        "This task judges answers, not steps, so nobody knows a first wrong token. Signals are measured against the "
        "largest true drop instead: the token after which this policy's own mean reward, found by trying, falls most. "
        "Of 40 wrong solutions 30 have one above the noise of 64 fresh tries before and after it (by 0.50 on average); "
        "the others are left out. This took 12,345 tries. Where another token's drop is really larger, every signal is "
        "pulled towards guessing."
    )


def test_a_run_whose_own_loss_sums_another_kl_is_told_so_first():
    note = "Here δ has the exact KL, for every run alike; this run's own value loss subtracts no KL."
    assert findings(report(credit_note=note))[0] == Finding("warning", note)
    assert not said(report(), "warning")


@pytest.mark.parametrize(("decides", "leaves_open", "open_key"), [("AUC", "top-1", "top1"), ("top-1", "AUC", "auc")])
def test_a_lead_in_one_measure_alone_names_that_measure(decides, leaves_open, open_key):
    made = report()
    made["lead_of_implied"]["surprisal_reference"] |= numbers(-0.004, -0.029, 0.018, open_key)
    won = said(made, "wins")
    assert f"better than surprisal of the reference by {decides}, while {leaves_open} leaves it open" in won


@pytest.mark.parametrize(
    ("tokens", "gini", "verdict"),
    [
        (1.05, 0.95, "degenerates to a single token"),
        (4.2, 0.61, "neither degenerates"),
        (19.5, 0.04, "nearly flat"),
    ],
)
def test_whether_credit_degenerates_is_said_with_its_numbers(tokens, gini, verdict):
    made = report(mean_tokens=20.0)
    made["signals"]["implied_advantage"] |= {"gini": gini, "effective_tokens": tokens}
    made["signals"]["grpo"] |= {"gini": 0.0, "effective_tokens": 20.0}
    told = said(made, "spread")
    assert f"lies in effect on {tokens:.1f} of 20.0 tokens of a wrong solution (Gini {gini:.2f}" in told
    assert verdict in told and "every token alike (GRPO) on 20.0 (0.00)" in told


def test_credit_that_is_0_everywhere_is_not_said_to_degenerate():
    made = report(mean_tokens=20.0)
    made["signals"]["implied_advantage"] |= {"gini": None, "effective_tokens": None}
    assert not said(made, "spread")


def test_an_interval_that_holds_zero_decides_nothing():
    made = report()
    made["lead_of_implied"]["surprisal_policy"] = numbers(-0.01, -0.03, 0.01, "top1", "top3", "auc")
    assert "surprisal of the policy cannot be told apart on 256 solutions" in said(made, "open")


def test_measures_that_disagree_are_both_said():
    made = report()
    made["lead_of_implied"]["surprisal_reference"] |= numbers(-0.1, -0.2, -0.05, "auc")
    assert "better in top-1, worse in AUC" in said(made, "open")


def test_guessing_uncorrelated_and_no_better_than_a_constant_are_losses():
    made = report(**numbers(0.1, -0.1, 0.3, "pearson_advantage"), **numbers(0.05, -0.1, 0.2, "rmse_reduction"))
    made["signals"]["implied_advantage"] |= numbers(0.55, 0.45, 0.65, "auc")
    lost = said(made, "loses")
    assert "not clearly better than guessing" in lost and "does not clearly follow Monte Carlo" in lost
    assert "not clearly better than a constant" in lost


def test_the_share_of_the_anchor_in_the_gain_is_said():
    made = report(start_rmse=0.3)
    assert "Part of that is the anchor" in said(made, "wins") and "gains 25 % by itself" in said(made, "wins")
    assert "The anchor alone does better" in said(report(start_rmse=0.2), "open")
    assert "anchor" not in said(report(), "wins")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"n_solutions": 64, "solutions": 64}, "64 wrong solutions are few"),
        ({"n_solutions": 12}, "Only 12 wrong solutions were found, 256 were asked for"),
        ({"step": 0}, "Step 0 is untrained"),
        (
            {"n_solutions": 0, "signals": {}, "lead_of_implied": {}},
            "No wrong solution was found, so there is no first wrong token to look for.",
        ),
    ],
)
def test_what_weakens_the_numbers_is_a_warning(changes, words):
    assert words in said(report(**changes), "warning")


def test_numbers_that_are_not_defined_make_no_sentence():
    nothing = dict.fromkeys(("pearson_advantage", "rmse_reduction"))
    assert "Pearson" not in " ".join(f.text for f in findings(report(**nothing)))


def test_spearman_is_never_mentioned():
    assert all("pearman" not in f.text for f in findings(report()))


def test_over_seeds_gives_mean_lowest_and_highest():
    one, two = report(), copy.deepcopy(report())
    two["signals"]["implied_advantage"]["auc"] = 0.8
    assert over_seeds([one, two])["implied_advantage"]["auc"] == pytest.approx((0.85, 0.8, 0.9))
    finding = seeds_finding([one, two])
    assert "ahead in 0 of 2" in finding.text and "illustration" in finding.text
    assert finding.kind == "open", "two seeds decide nothing"


@pytest.mark.parametrize(
    ("aucs", "kind", "says"),
    [
        # Surprisal has .9 in each seed. Differences -.1, -.2, -.3: mean -.2, standard deviation .1, t_2 = 4.303, so -.2
        # -+ .25.
        ((0.8, 0.7, 0.6), "open", "−0.20, 95% −0.45 to +0.05"),
        ((0.8, 0.75, 0.7), "loses", "−0.15, 95% −0.27 to −0.03"),
        ((0.93, 0.94, 0.95), "wins", "+0.04, 95% +0.02 to +0.06"),
    ],
)
def test_over_seeds_the_interval_of_the_difference_decides(aucs, kind, says):
    reports = [copy.deepcopy(report()) for _ in aucs]
    for made, auc in zip(reports, aucs, strict=True):
        made["signals"]["implied_advantage"]["auc"] = auc
    finding = seeds_finding(reports)
    assert finding.kind == kind and says in finding.text
    assert "the same problems, so what others would change is not in it" in finding.text


def test_the_command_names_everything_that_was_asked():
    assert truth_command(report(), "my runs") == (
        "python -m vimpo_core truth vimpo-1 --step 50 --set fixed --solutions 256 --rollouts 64 --seed 0 "
        "--runs-dir 'my runs' --json"
    )


# ---- tables of cases, on both sides of every threshold


def kinds_about(made, words):
    return [f.kind for f in findings(made) if words in f.text]


@pytest.mark.parametrize(
    ("auc", "top1", "kind", "words"),
    [
        # (low, high) of each difference. An interval that ends at 0 holds it.
        ((0.01, 0.2), (0.01, 0.2), "wins", "better than surprisal of the policy: AUC"),
        ((0.0, 0.2), (0.0, 0.2), "open", "surprisal of the policy cannot be told apart on 256 solutions: AUC"),
        ((-0.2, 0.0), (-0.2, 0.0), "open", "surprisal of the policy cannot be told apart on 256 solutions: AUC"),
        ((-0.2, -0.01), (-0.2, -0.01), "loses", "less well than surprisal of the policy: AUC"),
        ((0.01, 0.2), (-0.1, 0.2), "wins", "better than surprisal of the policy by AUC, while top-1"),
        ((-0.1, 0.2), (0.01, 0.2), "wins", "better than surprisal of the policy by top-1, while AUC"),
        ((-0.2, -0.01), (-0.1, 0.2), "loses", "less well than surprisal of the policy by AUC, while top-1"),
        ((-0.1, 0.2), (-0.2, -0.01), "loses", "less well than surprisal of the policy by top-1, while AUC"),
        ((0.01, 0.2), (-0.2, -0.01), "open", "it depends on the measure: better in AUC, worse in top-1: AUC"),
        ((-0.2, -0.01), (0.01, 0.2), "open", "it depends on the measure: better in top-1, worse in AUC: AUC"),
    ],
)
def test_a_rival_is_told_apart_where_an_interval_leaves_0_out(auc, top1, kind, words):
    made = report()
    made["lead_of_implied"]["surprisal_policy"] |= numbers(0.0, *auc, "auc") | numbers(0.0, *top1, "top1")
    assert kinds_about(made, words) == [kind]


def test_a_rival_that_was_not_compared_gets_no_sentence():
    made = report()
    del made["lead_of_implied"]["surprisal_policy"]
    assert kinds_about(made, "surprisal of the policy") == []
    assert kinds_about(made, "surprisal of the reference") == ["wins"]


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [
        (0.6, 0.7, []),
        (0.501, 0.7, []),
        (
            0.5,
            0.7,
            ["By AUC implied credit is not clearly better than guessing (0.5) on this set: 0.500, 95% 0.500 to 0.700."],
        ),
        (
            0.4,
            0.6,
            ["By AUC implied credit is not clearly better than guessing (0.5) on this set: 0.500, 95% 0.400 to 0.600."],
        ),
        (
            0.4,
            0.5,
            ["By AUC implied credit is not clearly better than guessing (0.5) on this set: 0.500, 95% 0.400 to 0.500."],
        ),
        (0.4, 0.499, ["By AUC implied credit is worse than guessing (0.5) on this set: 0.500, 95% 0.400 to 0.499."]),
    ],
)
def test_implied_credit_is_judged_against_guessing(low, high, words):
    made = report()
    made["signals"]["implied_advantage"] |= numbers(0.5, low, high, "auc")
    assert [f.text for f in findings(made) if "guessing" in f.text] == words
    assert all(f.kind == "loses" for f in findings(made) if "guessing" in f.text)


@pytest.mark.parametrize(("low", "high", "kinds"), [(0.01, 0.2, ["loses"]), (0.0, 0.2, []), (-0.2, -0.1, [])])
def test_the_whitened_advantage_is_named_only_where_it_points_less_well(low, high, kinds):
    made = report()
    made["lead_of_implied"]["implied_advantage_whitened"] = numbers(0.0, low, high, "top1", "top3", "auc")
    made["signals"]["implied_advantage_whitened"] = numbers(0.25, 0.2, 0.3, "top1", "top3", "auc")
    assert kinds_about(made, "A whitened at lambda 1, points far less well") == kinds
    assert kinds_about(made, "top-1 0.250 against 0.900. Accumulated") == kinds


@pytest.mark.parametrize(
    ("tokens", "length", "verdict"),
    [
        (1.0, 20.0, "It degenerates to a single token: of the others it says nothing."),
        (1.09, 20.0, "It degenerates to a single token: of the others it says nothing."),
        (1.1, 20.0, "It neither degenerates to one token nor is it flat."),
        (1.5, 20.0, "It neither degenerates to one token nor is it flat."),
        # Nearly flat: a tenth more would be more than all tokens.
        (15.0, 20.0, "It neither degenerates to one token nor is it flat."),
        (5.0, 5.5, "It neither degenerates to one token nor is it flat."),
        (5.1, 5.5, "It is nearly flat: it hardly tells tokens apart."),
    ],
)
def test_credit_on_one_token_and_on_all_alike_is_named(tokens, length, verdict):
    made = report(mean_tokens=length)
    made["signals"]["implied_advantage"] |= {"gini": 0.5, "effective_tokens": tokens}
    assert said(made, "spread") == (
        f"Implied credit δ lies in effect on {tokens:.1f} of {length:.1f} tokens of a wrong solution (Gini 0.50; 0 "
        f"would be all tokens alike, 1 all on one). {verdict}"
    )


@pytest.mark.parametrize(
    ("beside", "words"),
    [
        ((), "1 all on one). It"),
        (("grpo",), "1 all on one), flat: every token alike (GRPO) on 7.0 (0.25). It"),
        (
            ("grpo", "surprisal_policy"),
            "1 all on one), surprisal of the policy on 7.0 (0.25) and flat: every token alike (GRPO) on 7.0 (0.25). It",
        ),
    ],
)
def test_the_spread_of_the_rivals_stands_beside_where_it_is_known(beside, words):
    made = report(mean_tokens=20.0)
    made["signals"]["implied_advantage"] |= {"gini": 0.5, "effective_tokens": 4.0}
    made["signals"]["grpo"]["effective_tokens"] = None
    del made["signals"]["surprisal_policy"]
    for name in beside:
        made["signals"][name] = made["signals"].get(name, {}) | {"gini": 0.25, "effective_tokens": 7.0}
    del made["lead_of_implied"]["surprisal_policy"]
    assert words in said(made, "spread")


def test_reports_from_before_the_spread_was_measured_have_no_sentence_on_it():
    made = report()
    made["signals"]["implied_advantage"] |= {"gini": 0.5, "effective_tokens": 4.0}
    assert said(made, "spread") == "" and said(report(mean_tokens=20.0), "spread") == ""


def test_without_recorded_kl_no_sentence_speaks_of_implied_credit():
    made = report(**dict.fromkeys(("pearson_advantage", "rmse_reduction")), mean_tokens=20.0)
    del made["signals"]["implied_advantage"]
    assert findings(made) == []


@pytest.mark.parametrize(("low", "kind"), [(0.001, "wins"), (0.0, "loses"), (-0.001, "loses")])
def test_a_lower_bound_of_0_shows_neither_correlation_nor_gain(low, kind):
    made = report(**numbers(0.5, low, 0.6, "pearson_advantage"), **numbers(-0.3, low, 0.4, "rmse_reduction"))
    assert kinds_about(made, "Monte Carlo's Q − V") == [kind] == kinds_about(made, "Implied V ")
    assert f"Pearson 0.500, 95% {f'{low:.3f}'.replace('-', '−')} to 0.600 over 256 solutions" in said(made, kind)
    assert "it is off by 0.300, the best constant by 0.400, a gain of −30 % (" in said(made, kind)


KEPT = "V kept at the prompt's own Monte Carlo value, where these curves start, gains"


@pytest.mark.parametrize(
    ("start", "constant", "reduction", "ends"),
    [
        (0.5, 1.0, 0.75, f" is 0.030. Part of that is the anchor: {KEPT} 50 % by itself."),
        (0.5, 1.0, 0.5, f" is 0.030. All of that is the anchor: {KEPT} 50 % by itself."),
        (0.5, 1.0, 0.25, f" is 0.030. The anchor alone does better: {KEPT} 50 %."),
        (0.125, 0.25, 0.75, f" is 0.030. Part of that is the anchor: {KEPT} 50 % by itself."),
        (0.99, 1.0, 0.5, f" is 0.030. Part of that is the anchor: {KEPT} 1 % by itself."),
        (1.0, 1.0, 0.5, " is 0.030."),
        (1.5, 1.0, 0.5, " is 0.030."),
    ],
)
def test_what_the_anchor_alone_gains_is_told_from_the_credit(start, constant, reduction, ends):
    made = report(start_rmse=start, constant_rmse=constant, **numbers(reduction, 0.2, 0.8, "rmse_reduction"))
    (gain,) = (f.text for f in findings(made) if f.text.startswith("Implied V"))
    assert gain.endswith(ends)


@pytest.mark.parametrize(
    ("found", "asked", "step", "starts"),
    [
        (0, 256, 50, ["No wrong solution was found"]),
        (1, 1, 50, ["1 wrong solutions are few."]),
        (99, 99, 50, ["99 wrong solutions are few."]),
        (100, 100, 50, []),
        (255, 256, 50, ["Only 255 wrong solutions were found, 256 were asked for"]),
        (256, 256, 1, []),
        (256, 256, 0, ["Step 0 is untrained"]),
        (12, 256, 0, ["Only 12 wrong solutions", "12 wrong solutions are few.", "Step 0 is untrained"]),
    ],
)
def test_warnings_are_given_where_they_belong(found, asked, step, starts):
    told = [f.text for f in findings(report(n_solutions=found, solutions=asked, step=step)) if f.kind == "warning"]
    assert len(told) == len(starts) and all(text.startswith(start) for text, start in zip(told, starts, strict=True))


def seeds_with(*aucs, surprisal=0.5):
    """Reports that differ in the AUC of implied credit; surprisal has one AUC in each."""
    reports = [copy.deepcopy(report()) for _ in aucs]
    for made, auc in zip(reports, aucs, strict=True):
        made["signals"]["implied_advantage"]["auc"] = auc
        made["signals"]["surprisal_policy"]["auc"] = surprisal
    return reports


@pytest.mark.parametrize(
    ("aucs", "kind", "says"),
    [
        ((0.9,), "open", "Over 1 seed the AUC of implied credit is 0.90 (0.90 to 0.90,"),
        (
            (0.75, 0.5),
            "open",
            "0.62 (0.50 to 0.75, lowest and highest seed), that of the policy's own surprisal 0.50 (0.50 to 0.50): "
            "implied credit is ahead in 1 of 2. Two seeds are an illustration, not evidence.",
        ),
        ((0.9,), "open", "implied credit is ahead in 1 of 1. One seed is an illustration, not evidence."),
        # All alike: an interval from 0 to 0 holds 0, and a tie is no lead.
        ((0.5, 0.5, 0.5), "open", "ahead in 0 of 3. The difference is 0.00, 95% 0.00 to 0.00 over seeds;"),
        ((0.75, 0.75, 0.75), "wins", "ahead in 3 of 3. The difference is +0.25, 95% +0.25 to +0.25 over seeds;"),
        ((0.25, 0.25, 0.25), "loses", "ahead in 0 of 3. The difference is −0.25, 95% −0.25 to −0.25 over seeds;"),
        # A difference of two AUC lies within -1 and +1, and so does its interval.
        ((1.0, 0.0, 0.5), "open", "ahead in 1 of 3. The difference is 0.00, 95% −1.00 to +1.00 over seeds;"),
    ],
)
def test_over_seeds_every_number_is_said(aucs, kind, says):
    finding = seeds_finding(seeds_with(*aucs))
    assert finding.kind == kind and says in finding.text
    assert finding.text.startswith("Over 1 seed the" if len(aucs) == 1 else f"Over {len(aucs)} seeds the")


def test_over_seeds_mean_lowest_and_highest_are_said_of_surprisal_too():
    reports = seeds_with(0.5, 0.5, 0.5)
    for made, auc in zip(reports, (0.25, 0.5, 0.9), strict=True):
        made["signals"]["surprisal_policy"]["auc"] = auc
    assert "of the policy's own surprisal 0.55 (0.25 to 0.90): implied credit is ahead in 1 of 3." in (
        seeds_finding(reports).text
    )


@pytest.mark.parametrize("missing", ["implied_advantage", "surprisal_policy"])
def test_over_seeds_a_signal_that_one_run_lacks_is_left_out(missing):
    reports = seeds_with(0.9, 0.9, 0.9)
    del reports[1]["signals"][missing]
    assert missing not in over_seeds(reports) and "grpo" in over_seeds(reports)
    assert seeds_finding(reports).text == "These runs did not all find a wrong solution to look at."


def test_warnings_come_first_then_losses_wins_spread_and_what_is_open():
    made = report(step=0, mean_tokens=20.0)
    made["signals"]["implied_advantage"] |= {"gini": 0.5, "effective_tokens": 4.0}
    made["lead_of_implied"]["surprisal_policy"] = numbers(0.0, -0.1, 0.1, "top1", "top3", "auc")
    kinds = [f.kind for f in findings(made)]
    assert kinds == ["warning", "loses", "wins", "wins", "wins", "spread", "open"]


# ---- paired differences and instructive solutions


def solutions():
    """Implied credit right and surprisal wrong; the other way round; both wrong; both right."""
    found = (0.0, 0.0, -0.4, 0.0)
    lost = (-0.4, 0.0, 0.1, 0.0)
    loud, silent = np.array([-0.1, -0.1, -3.0, -0.1]), np.array([-3.0, -0.1, -1.0, -0.1])
    made = [(found, silent), (lost, loud), (lost, silent), (found, loud)]
    return [trace(delta=delta, logprob=logprob, ref_logprob=logprob - np.array(delta) / 0.1) for delta, logprob in made]


def test_the_lead_is_the_difference_of_the_means():
    found = localisation(solutions(), 0.1, 1.0)
    for name, lead in lead_of_implied(solutions(), 0.1, 1.0).items():
        assert lead.auc.mean == pytest.approx(found["implied_advantage"].auc.mean - found[name].auc.mean)
        assert lead.auc.low <= lead.auc.mean <= lead.auc.high
    assert lead_of_implied([trace(kl=None)], 0.1, 1.0) == {}


def test_each_solution_stands_under_the_kind_that_it_fits():
    four = solutions()
    four = [t.with_(prompt_text=f"{i}+1=") for i, t in enumerate(four)]
    kinds = instructive(four, 0.1, 1.0)
    prompts = {kind: [entry["prompt"] for entry in kinds[kind]] for kind in KINDS}
    assert prompts == {"disagreement": ["1+1=", "0+1="], "misses": ["2+1="], "hits": ["3+1="]}
    miss = kinds["misses"][0]
    assert miss["found"]["implied_advantage"] == {"token": 0, "place": 4.0}
    assert miss["credit"] == pytest.approx([-0.4, 0, 0.1, 0], abs=1e-6)


def test_without_recorded_kl_there_is_nothing_instructive():
    assert instructive([trace(kl=None)], 0.1, 1.0) == {kind: [] for kind in KINDS}


def test_a_scorecard_against_the_largest_true_drop_says_so_and_at_what_cost():
    of_drops = {
        "target": "largest true drop",
        "n_wrong": 256,
        "drop_tries": 64,
        "drop_rollouts": 98765,
        "mean_drop": 0.4,
    }
    said = [f.text for f in findings(report(n_solutions=200, **of_drops))]
    assert any("200 have one above the noise of 64 fresh tries" in text and "98,765 tries" in text for text in said)
    assert not any("first wrong token" in text.replace("nobody knows a first wrong token", "") for text in said)
    none = [f.text for f in findings(report(n_solutions=0, **{**of_drops, "mean_drop": None}))]
    assert any("256 wrong solutions 0 have one above the noise" in text for text in none)
