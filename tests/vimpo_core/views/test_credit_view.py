"""Views: lenses agree with `credit`, shown digits recombine, missing arrays stay missing, text cannot hide."""

import json
import math
import unicodedata
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vimpo_core import credit
from vimpo_core.formats import export
from vimpo_core.solutions import ledger, lenses, picks
from vimpo_core.solutions.steps import mistake_note, step_starts
from vimpo_core.solutions.visible_text import visible_text
from vimpo_core.types import CreditTrace, StopReason, TopK, VerdictStatus
from vimpo_core.views import credit_view
from vimpo_core.views.payload import round_up

RIGHT, SLIP = "9+2+9+42;11+9+42,20+42;62.", "9+2+9+42;11+9+42;10+42;52."


def make_trace(text=SLIP, group_id=0, sample_idx=0, reward=0.0, mean=0.5, seed=0, first_wrong=None, **changes):
    """A trace with random log-probabilities; `first_wrong` gets a strongly negative log-ratio."""
    rng, length = np.random.default_rng(seed), len(text)
    logprob = -rng.exponential(0.3, length)
    ref_logprob = -rng.exponential(0.5, length)
    if first_wrong is not None:
        logprob[first_wrong], ref_logprob[first_wrong] = -6.0, -1.0
    values = {
        "step": 10,
        "group_id": group_id,
        "sample_idx": sample_idx,
        "prompt_text": "9+2+9+7*6=",
        "prompt_ids": (1, 2),
        "gold": "62",
        "reward": reward,
        "group_mean_reward": mean,
        "finish_reason": StopReason.EOS,
        "ids": np.arange(length, dtype=np.int32),
        "text": tuple(text),
        "mask": np.ones(length, dtype=bool),
        "logprob": logprob.astype(np.float32),
        "ref_logprob": ref_logprob.astype(np.float32),
        "kl": rng.exponential(0.05, length).astype(np.float32),
        "entropy": rng.exponential(0.3, length).astype(np.float32),
        "rewards": {"verifier": reward},
        "status": VerdictStatus.CORRECT if reward else VerdictStatus.INCORRECT,
        "answer": "62" if reward else "52",
        "first_wrong": first_wrong,
        "tool_advantage": 0.25,
    }
    return CreditTrace(**(values | changes))


@pytest.fixture
def step_traces():
    """Two groups of two: the slip and the right solution, then two right ones."""
    return [
        make_trace(SLIP, 0, 0, 0.0, 0.5, seed=1, first_wrong=17),
        make_trace(RIGHT, 0, 1, 1.0, 0.5, seed=2),
        make_trace(RIGHT, 1, 0, 1.0, 1.0, seed=3),
        make_trace(RIGHT[:9], 1, 1, 1.0, 1.0, seed=4),
    ]


# --- lenses ----------------------------------------------------------------------------------------------------------


def delta_by_hand(trace, beta):
    lp, ref, kl = (np.asarray(a, dtype=np.float64) for a in (trace.logprob, trace.ref_logprob, trace.kl))
    return beta * (lp - ref) - beta * kl


def test_lenses_agree_with_the_definitions(step_traces):
    trace, beta = step_traces[0], 0.2
    delta = delta_by_hand(trace, beta)

    def lens(name, gae_lambda=1.0):
        return lenses.lens_values(step_traces, 0, name, beta, gae_lambda)

    lp, ref = trace.logprob.astype(np.float64), trace.ref_logprob.astype(np.float64)
    expected = {
        "td_terms": delta,
        "advantages": np.cumsum(delta[::-1])[::-1],
        "values": 0.5 + np.cumsum(delta),
        "values_from_end": 0.0 - (delta.sum() - np.cumsum(delta)),
        "rho": beta * (lp - ref),
        "kappa": beta * trace.kl.astype(np.float64),
        "log_ratio": lp - ref,
        "logprob": lp,
        "ref_logprob": ref,
        "surprisal": -lp,
        "probability": np.exp(lp),
        "kl": trace.kl.astype(np.float64),
        "entropy": trace.entropy.astype(np.float64),
    }
    for name, values in expected.items():
        np.testing.assert_allclose(lens(name), values, rtol=0, atol=1e-12, err_msg=name, equal_nan=False)
    np.testing.assert_allclose(lens("advantages", 0.0), delta, rtol=0, atol=1e-12, equal_nan=False)
    # Group of rewards 0 and 1: mean 1/2, unbiased spread sqrt(1/2).
    np.testing.assert_allclose(lens("grpo"), -0.5 / (math.sqrt(0.5) + 1e-4), atol=1e-12, equal_nan=False)


def test_every_lens_has_values_on_a_complete_trace(step_traces):
    for name in lenses.LENSES:
        values = lenses.lens_values(step_traces, 1, name, 0.1, 0.95)
        assert values.shape == (len(RIGHT),) and values.dtype == np.float64, name


def test_whitening_is_over_all_tokens_of_the_step(step_traces):
    all_values = np.concatenate([lenses.lens_values(step_traces, i, "advantages_whitened", 0.1, 1.0) for i in range(4)])
    assert abs(all_values.mean()) < 1e-12
    # rsqrt(variance + 1e-8) leaves the spread just below 1.
    assert all_values.std(ddof=1) == pytest.approx(1.0, abs=1e-5)


def test_values_of_the_two_anchors_differ_by_the_terminal_residual(step_traces):
    for index, trace in enumerate(step_traces):
        start = lenses.lens_values(step_traces, index, "values", 0.1, 1.0)
        end = lenses.lens_values(step_traces, index, "values_from_end", 0.1, 1.0)
        delta, mask = delta_by_hand(trace, 0.1)[None], trace.mask[None]
        residual = credit.terminal_residual(delta, mask, np.array([trace.reward]), np.array([trace.group_mean_reward]))
        np.testing.assert_allclose(start - end, residual[0], atol=1e-12, equal_nan=False)


def test_masked_tokens_are_zero(step_traces):
    mask = np.ones(len(SLIP), dtype=bool)
    mask[3] = False
    step_traces[0] = step_traces[0].with_(mask=mask)
    for name in lenses.LENSES:
        if name not in lenses.VALUE_LENSES:
            assert lenses.lens_values(step_traces, 0, name, 0.1, 1.0)[3] == 0, name


@pytest.mark.parametrize("missing", ["logprob", "ref_logprob", "kl", "entropy"])
def test_a_missing_array_is_none_never_zero(step_traces, missing):
    step_traces[0] = step_traces[0].with_(**{missing: None})
    for name, lens in lenses.LENSES.items():
        values = lenses.lens_values(step_traces, 0, name, 0.1, 1.0)
        assert (values is None) == (missing in lens.needs), name
    payload = credit_view.inspector_payload(step_traces, 0, 0.1, 1.0)
    assert payload["arrays"][missing] is None
    assert (payload["arrays"]["td_terms"] is None) == (missing != "entropy")
    # Another solution of the step lacks nothing, but the whitening it shares is no longer defined.
    assert (lenses.lens_values(step_traces, 1, "advantages_whitened", 0.1, 1.0) is None) == (missing != "entropy")


def test_grpo_needs_a_group():
    assert lenses.lens_values([make_trace()], 0, "grpo", 0.1, 1.0) is None


def test_an_unknown_lens_is_refused_with_those_that_exist(step_traces):
    with pytest.raises(ValueError, match=r"unknown lens 'blame'\. Known: td_terms, "):
        lenses.lens_values(step_traces, 0, "blame", 0.1, 1.0)


# --- what is shown ---------------------------------------------------------------------------------------------------


def shown(units, decimals):
    """The text a page prints, as an exact decimal."""
    return Decimal(int(units)).scaleb(-decimals)


def rounded(value: Decimal, decimals: int) -> Decimal:
    return value.quantize(Decimal(1).scaleb(-decimals), rounding="ROUND_HALF_UP")


@given(
    beta=st.sampled_from([0.0005, 0.01, 0.05, 0.1, 0.15, 0.2, 0.3, 1.0, 3.0]),
    gae_lambda=st.sampled_from([0.0, 0.5, 0.95, 1.0]),
    mean=st.integers(0, 8).map(lambda n: n / 8) | st.just(3 / 7),
    seed=st.integers(0, 2**20),
)
def test_shown_digits_recombine_to_the_shown_result(beta, gae_lambda, mean, seed):
    trace = make_trace(mean=mean, seed=seed, first_wrong=17)
    payload = credit_view.inspector_payload([trace, make_trace(RIGHT, sample_idx=1, reward=1.0)], 0, beta, gae_lambda)
    arrays, digits, nat_digits = payload["arrays"], payload["decimals"]["reward"], payload["decimals"]["nats"]
    b, lam = Decimal(str(beta)), Decimal(str(gae_lambda))
    next_advantage = Decimal(0)
    for t in reversed(range(len(SLIP))):
        lp, ref, kl = (shown(arrays[name][t], nat_digits) for name in ("logprob", "ref_logprob", "kl"))
        rho, kappa, delta = (shown(arrays[name][t], digits) for name in ("rho", "kappa", "td_terms"))
        assert rounded(b * (lp - ref), digits) == rho
        assert rounded(b * kl, digits) == kappa
        assert rho - kappa == delta
        before, after = (shown(arrays["values"][i], digits) for i in (t, t + 1))
        assert before + delta == after
        advantage = shown(arrays["advantages"][t], digits)
        assert rounded(delta + lam * next_advantage, digits) == advantage
        next_advantage = advantage
    residual = shown(payload["residual"], digits)
    assert shown(arrays["values"][-1], digits) - shown(payload["reward"], digits) == residual
    assert arrays["values_from_end"][-1] == payload["reward"]
    assert arrays["values"][0] == payload["baseline"]


def test_shown_values_stay_close_to_the_exact_ones(step_traces):
    book = ledger.ledger(step_traces[0], 0.1, 1.0)
    exact = lenses.lens_values(step_traces, 0, "values", 0.1, 1.0)
    off = np.abs(book.arrays["values"][1:] / 10**book.reward_decimals - exact)
    # Per token three roundings of half a 1e-3 nat, times beta, all one way at worst.
    assert off.max() <= 0.1 * 1.5e-3 * len(SLIP) and off.max() < 2e-3


@pytest.mark.parametrize(("beta", "decimals"), [(1.0, 3), (0.3, 4), (0.1, 4), (0.05, 5), (5e-4, 7), (10.0, 3)])
def test_small_betas_get_more_digits(beta, decimals):
    assert ledger.reward_decimals(beta) == decimals


def test_an_untrained_policy_shows_zero_credit_everywhere(step_traces):
    trace = step_traces[0]
    step_traces[0] = trace.with_(ref_logprob=trace.logprob, kl=np.zeros_like(trace.kl))
    payload = credit_view.inspector_payload(step_traces, 0, 0.1, 1.0)
    for name in ("rho", "kappa", "td_terms", "advantages"):
        assert set(payload["arrays"][name]) == {0}
    assert set(payload["arrays"]["values"]) == {payload["baseline"]}
    assert payload["scales"]["reward"] >= 0


def test_non_finite_numbers_are_null_and_the_payload_is_json(step_traces):
    logprob = step_traces[0].logprob.copy()
    logprob[5], logprob[7] = -np.inf, np.nan
    step_traces[0] = step_traces[0].with_(logprob=logprob)
    payload = credit_view.inspector_payload(step_traces, 0, 0.1, 1.0)
    assert payload["arrays"]["td_terms"][5] is None and payload["arrays"]["td_terms"][4] is not None
    assert payload["arrays"]["values"][5] is not None and payload["arrays"]["values"][6] is None
    json.dumps(payload, allow_nan=False)


def test_an_empty_solution_has_a_payload():
    payload = credit_view.inspector_payload([make_trace("")], 0, 0.1, 1.0)
    assert payload["text"] == [] and payload["line_starts"] == []
    json.dumps(payload, allow_nan=False)


def test_the_version_changes_with_what_is_drawn_only(step_traces):
    version = credit_view.inspector_payload(step_traces, 0, 0.1, 1.0)["version"]
    assert credit_view.inspector_payload(step_traces, 0, 0.1, 1.0)["version"] == version
    assert credit_view.inspector_payload(step_traces, 0, 0.2, 1.0)["version"] != version
    assert credit_view.inspector_payload(step_traces, 1, 0.1, 1.0)["version"] != version


def test_one_symmetric_scale_covers_everything_in_reward_units(step_traces):
    payload = credit_view.inspector_payload(step_traces, 0, 0.1, 1.0)
    unit, top = 10 ** payload["decimals"]["reward"], payload["scales"]["reward"]
    for name in ("td_terms", "advantages", "rho", "kappa"):
        assert max(abs(v) for v in payload["arrays"][name]) / unit <= top
    assert max(abs(v - payload["baseline"]) for v in payload["arrays"]["values"]) / unit <= top


@pytest.mark.parametrize(
    ("largest", "rounded_up"), [(0, 0), (0.61, 0.8), (0.8, 0.8), (1.01, 1.5), (2.1e-5, 3e-5), (97, 100)]
)
def test_scales_end_at_readable_numbers(largest, rounded_up):
    assert round_up(largest) == pytest.approx(rounded_up, rel=1e-12)


def test_alternatives_are_merged_sorted_and_know_the_sampled_token():
    top = TopK(
        ids=np.array([[7, 8, 9, 7], [1, 2, 3, 4]], dtype=np.int32),
        text=[["a", "b", "c", "a"], ["a", "x", "y", "z"]],
        logprob=np.log(np.array([[0.6, 0.3, 0.05, 0.6], [0.1, 0.2, 0.4, 0.3]], dtype=np.float32)),
        ref_logprob=np.log(np.array([[0.5, 0.1, 0.3, 0.5], [0.25, 0.25, 0.25, 0.25]], dtype=np.float32)),
    )
    trace = make_trace("ab", topk=top, ids=np.array([8, 50], dtype=np.int32))
    topk = credit_view.inspector_payload([trace], 0, 0.1, 1.0)["topk"]
    assert [topk["texts"][i] for i in topk["token"][0]] == ["a", "b", "c"]
    assert [topk["texts"][i] for i in topk["token"][1]] == ["y", "z", "x", "a"]
    assert topk["chosen"] == [1, -1]
    assert topk["logprob"][0] == [-511, -1204, -2996]  # log of 0.6, 0.3, 0.05 in thousandths of a nat


# --- which solution --------------------------------------------------------------------------------------------------


def test_the_most_negative_and_most_positive_tokens_are_found(step_traces):
    assert picks.most_negative(step_traces, 0.1) == picks.Pick(0, 17)
    deltas = [delta_by_hand(t, 0.1) for t in step_traces]
    best = max(range(4), key=lambda i: deltas[i].max())
    assert picks.most_positive(step_traces, 0.1) == picks.Pick(best, int(deltas[best].argmax()))


def test_the_first_wrong_solution_is_found_at_its_first_wrong_token(step_traces):
    assert picks.first_wrong(step_traces) == picks.Pick(0, 17)
    assert picks.first_wrong(step_traces[1:]) is None
    # A wrong solution without a known wrong token is still better than none.
    assert picks.first_wrong([make_trace(RIGHT[:9])]) == picks.Pick(0, 0)


def test_no_credit_gives_no_pick(step_traces):
    untrained = [t.with_(ref_logprob=t.logprob, kl=np.zeros_like(t.kl)) for t in step_traces]
    assert picks.most_negative(untrained, 0.1) is None and picks.most_positive(untrained, 0.1) is None
    assert picks.most_negative([t.with_(kl=None) for t in step_traces], 0.1) is None


def test_the_clearest_example_has_the_widest_margin_and_honest_counts(step_traces):
    clearer = make_trace(SLIP, 2, 0, 0.0, 0.5, seed=5, first_wrong=17)
    lower = clearer.logprob.copy()
    lower[17] -= 3
    elsewhere = make_trace(SLIP, 2, 1, 0.0, 0.5, seed=6, first_wrong=17)
    moved = elsewhere.logprob.copy()
    moved[[2, 17]] = -9.0, -1.0  # its lowest credit is not on the wrong token
    traces = [*step_traces, clearer.with_(logprob=lower), elsewhere.with_(logprob=moved)]
    example = picks.clearest_example(traces, 0.1)
    assert (example.index, example.token, example.hits, example.wrong) == (4, 17, 2, 3)
    delta = np.sort(delta_by_hand(traces[4], 0.1))
    assert example.margin == pytest.approx(delta[1] - delta[0], abs=1e-12)
    assert picks.clearest_example(step_traces[1:], 0.1) is None


def test_a_flipped_reward_does_not_make_a_solution_right():
    assert not picks.is_correct(make_trace(reward=1.0, rewards={"verifier": 0.0}))
    assert picks.is_correct(make_trace(reward=0.0, rewards={"verifier": 1.0}))


def test_groups_count_the_right_solutions(step_traces):
    assert [(g.indices, g.correct, g.gold) for g in picks.groups(step_traces)] == [
        ((0, 1), 1, "62"),
        ((2, 3), 2, "62"),
    ]


# --- text ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("42", "42"),
        (" is", " is"),
        ("", "∅"),
        ("  ", "␣␣"),
        ("\n", "⏎"),
        ("\t", "⇥"),
        ("\x07", "␇"),
        ("\x9b", "⟨U+009B⟩"),
        ("a\u202eb", "a⟨RLO⟩b"),
        ("\u200b", "⟨ZWSP⟩"),
        ("\ufeff", "⟨BOM⟩"),
        ("\u0301", "◌\u0301"),
        ("e\u0301", "e\u0301"),
        ("e" + "\u0301" * 4, "e\u0301\u0301⟨U+0301⟩⟨U+0301⟩"),
        ("\u3164", "⟨U+3164⟩"),
        ("\U000e0041", "⟨U+E0041⟩"),
        ("\ud800", "⟨U+D800⟩"),
        ("<img src=x>", "<img src=x>"),
        ("x" * 100, "x" * 80 + "…"),
    ],
)
def test_everything_invisible_gets_a_mark(text, seen):
    assert visible_text(text) == seen


@given(st.text() | st.text(alphabet=st.characters(categories=["Cf", "Cc", "Mn", "Zs", "Co"])))
def test_visible_text_never_holds_what_could_hide_or_reorder(text):
    seen = visible_text(text)
    assert seen
    assert not [c for c in seen if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Co", "Zl", "Zp")]


def test_steps_start_after_separators_and_after_line_breaks():
    assert step_starts(make_trace(SLIP)) == [0, 9, 17, 23]
    prose = make_trace(text="ab", prompt_text="Why?", first_wrong=None).with_(text=("One, two;\n", "three.\n", "end"))
    assert step_starts(prose) == [0, 1, 2]
    assert step_starts(make_trace("a;b", prompt_text="Why?")) == [0]


def test_the_note_says_what_happened():
    assert mistake_note(make_trace(SLIP, first_wrong=17)) == "11+9 became 10: a forgotten carry"
    assert mistake_note(make_trace(RIGHT)) == ""
    assert mistake_note(make_trace("abc", prompt_text="Why?", first_wrong=1)) == "first wrong token"


@pytest.mark.parametrize(
    ("status", "first_wrong", "words"),
    [
        ("correct", None, "right"),
        ("correct", 3, "right answer, wrong step"),
        ("incorrect", 3, "wrong"),
        ("rejected", 3, "answer refused"),
        ("rejected", None, "answer refused"),
    ],
)
def test_one_judgement_says_what_answer_and_steps_are(status, first_wrong, words):
    """On Inspect, under What if?, beside a training's newest solutions and in an exported file."""
    reward = float(status == "correct")
    trace = make_trace(RIGHT).with_(status=status, first_wrong=first_wrong, reward=reward, rewards={"verifier": reward})
    assert picks.judgement(trace) == words
    assert export.verdict(trace).split(" · ")[0][2:] == words
