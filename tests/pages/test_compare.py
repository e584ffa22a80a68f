"""The Compare page without a browser: which runs, what is refused, what the figure is sent, and the table of
numbers.
"""

import csv
import io
import itertools
import json
import re
import shutil
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
import streamlit as st

from app import cache
from app.compare.figure import thinned
from app.components.compare_view import arm_styles
from app.components.hues import DASHES, MARKERS, SHADES
from tests.pages.opening import again, one, open_inspect, open_page, payload_with, press, widget, words
from tests.support.fakes import make_fake_run
from vimpo_core.rules import RULES
from vimpo_core.runs.store import RunStore

SMALL = {"prompts_per_step": 2, "group_size": 2}


def open_compare(**query):
    return open_page("compare", **query)


def fake(folder, seeds=1, algorithm="vimpo", steps=4, **config):
    """Runs of one arm; their ids."""
    return [
        make_fake_run(folder, algorithm, steps, seed, **{**SMALL, "eval_every": 2, **config}) for seed in range(seeds)
    ]


def figure(at):
    return payload_with(at, "panels")


def table(at):
    """Head and rows of the numbers as texts; a cell is the texts of its pieces."""
    sent = payload_with(at, "rows")
    return sent["head"], [["".join(piece["text"] for piece in cell) for cell in row] for row in sent["rows"]]


def is_nothing_drawn(at):
    return figure(at) is None and payload_with(at, "rows") is None


# --- which runs ------------------------------------------------------------------------------------------------------


def test_an_empty_store_says_the_next_step(runs):
    at = open_compare()
    assert "no run to compare yet" in at.info[0].value and widget(at.button, "Train a run")


def test_without_a_choice_the_bundled_runs_are_shown(runs):
    fake(cache.DEMOS)
    fake(cache.DEMOS, algorithm="grpo")
    fake(runs.path, beta=0.5)
    at = open_compare()
    assert [arm["label"] for arm in figure(at)["arms"]] == ["GRPO", "VIMPO"]
    assert re.search(r"Accuracies: of the \d+ validation problems", words(at)), "which problems they are of"


def test_thirty_runs_are_six_arms_with_their_seeds_and_bands(runs):
    algorithms = ("vimpo", "grpo", "ppo", "dapo", "rloo", "vimpo_soft")
    keys = [key for algorithm in algorithms for key in fake(runs.path, 5, algorithm, steps=3)]
    at = open_compare(runs=",".join(keys))
    sent = figure(at)
    assert [arm["label"] for arm in sent["arms"]] == [RULES[algorithm].name for algorithm in algorithms]
    assert {len(arm["seeds"]) for arm in sent["arms"]} == {5}
    for panel in sent["panels"]:
        assert len(panel["lines"]) == 6 and all(len(line["seeds"]) == 5 for line in panel["lines"])
    assert all(line["low"] for line in sent["panels"][0]["lines"])
    assert all("of 5 seeds" in row[4] or row[4] == "baseline" for row in table(at)[1])
    assert "95% t interval of that mean over the seeds" in words(at) and "All seeds are measured on the same" in words(
        at
    )
    assert "too few" not in words(at) and "bootstrap" not in words(at)


def test_the_picker_writes_the_runs_of_an_arm_to_the_link(runs):
    vimpo, grpo = fake(runs.path, 2), fake(runs.path, 2, "grpo")
    at = open_compare(runs=",".join(vimpo))
    at.multiselect(key="compare.arms").set_value([vimpo[0], grpo[0]])
    again(at)
    assert set(one(at.query_params["runs"]).split(",")) == {*vimpo, *grpo}


def test_a_link_to_some_seeds_keeps_to_them_and_says_so(runs):
    keys = fake(runs.path, 3)
    at = open_compare(runs=",".join(keys[:2]))
    assert len(figure(at)["arms"][0]["seeds"]) == 2
    assert "2 of 3 seeds" in at.multiselect(key="compare.arms").options[0]


def test_the_same_seed_twice_counts_once_and_is_said(runs):
    keys = [*fake(runs.path), *fake(runs.path)]
    at = open_compare(runs=",".join(keys))
    assert len(figure(at)["arms"][0]["seeds"]) == 1 and "counts no second time" in words(at)
    for key in keys:  # either of them alone is what the picker says is compared
        at = open_compare(runs=key)
        assert len(at.multiselect(key="compare.arms").value) == 1 and len(figure(at)["arms"]) == 1


def test_an_empty_choice_draws_nothing_and_asks_for_one(runs):
    fake(runs.path)
    at = open_compare(runs="")
    assert is_nothing_drawn(at) and "Choose runs above" in words(at)


# --- what is refused -------------------------------------------------------------------------------------------------


def test_a_deleted_run_in_the_link_is_named_and_nothing_is_half_drawn(runs):
    first, second, gone = fake(runs.path, 3)
    shutil.rmtree(runs.path / gone)
    at = open_compare(runs=f"{first},{gone},{second}")
    assert is_nothing_drawn(at) and len(at.warning) == 1
    assert at.warning[0].value.replace("\\", "").startswith(f"{gone} is not there or has no step yet")
    press(at, "Compare the 2 others")
    assert len(figure(at)["arms"][0]["seeds"]) == 2 and not at.warning


def test_mixed_tasks_are_named_in_one_sentence_and_one_of_them_can_be_kept(runs):
    five, six = fake(runs.path, 2), fake(runs.path, 1, "grpo", operands=6)
    at = open_compare(runs=",".join([*five, *six]))
    assert is_nothing_drawn(at) and len(at.warning) == 1
    said = at.warning[0].value.replace("\\", "")
    assert "5 numbers (VIMPO beta 0.1, seed 0; VIMPO beta 0.1, seed 1) and 6 numbers (GRPO, seed 0)" in said
    press(at, "Keep 5 numbers (2 runs)")
    assert one(at.query_params["runs"]) == ",".join(five) and figure(at) is not None


def test_noise_may_be_compared_and_is_named(runs):
    keys = [*fake(runs.path), *fake(runs.path, reward_noise=0.25)]
    labels = [arm["label"] for arm in figure(open_compare(runs=",".join(keys)))["arms"]]
    assert labels == ["VIMPO, no flips", "VIMPO, 25 % flips"]


def test_a_link_with_unknown_axis_figure_or_metric_falls_back_and_says_so(runs):
    (key,) = fake(runs.path)
    at = open_compare(runs=key, x="moon", show="kl_mean,<b>", number="nothing")
    assert [panel["title"] for panel in figure(at)["panels"]] == ["KL to the reference"]
    assert "moon" in words(at) and "no figure here" in words(at) and "nothing" in words(at)


# --- the figure ------------------------------------------------------------------------------------------------------


def test_a_single_seed_has_no_band_and_that_is_said(runs):
    (key,) = fake(runs.path)
    at = open_compare(runs=key)
    assert all(line["low"] is None for line in figure(at)["panels"][0]["lines"])
    assert "Fewer than 3 seeds say too little of how far others would fall, so no interval: VIMPO (1 seed)." in words(
        at
    )
    assert "(one seed)" in table(at)[1][0][2]


def test_two_seeds_are_drawn_without_a_band_and_read_without_an_interval(runs):
    keys = [*fake(runs.path, 2), *fake(runs.path, 2, "grpo")]
    at = open_compare(runs=",".join(keys))
    for line in figure(at)["panels"][0]["lines"]:
        assert line["low"] is None and line["high"] is None and line["mean"] and all(line["seeds"])
    assert "so no interval: VIMPO (2 seeds) and GRPO (2 seeds)." in words(at) and "Band:" not in words(at)
    (vimpo, grpo) = table(at)[1]
    assert "(2 seeds, too few for an interval)" in vimpo[2] and "(2 seeds, too few for an interval)" in grpo[2]
    assert any("(2 seeds, too few for an interval)" in row[3] for row in (vimpo, grpo))


def test_unequal_lengths_end_the_mean_early_and_name_who_ended(runs):
    keys = fake(runs.path, 2, eval_every=1)
    with RunStore.open(runs.path / keys[1], writable=True) as store, store._transaction("test") as connection:
        for name in ("metrics", "steps"):
            connection.execute(f"DELETE FROM {name} WHERE step > 2")
    st.cache_data.clear()
    at = open_compare(runs=",".join(keys), show="sampled_accuracy")
    (line,) = figure(at)["panels"][0]["lines"]
    assert line["x"] == [0, 1, 2] and [len(seed["y"]) for seed in line["seeds"]] == [5, 3]
    assert "Read at step 2, the last place that all runs reached (VIMPO beta 0.1, seed 1 ended there)" in words(at)
    later = open_compare(runs=",".join(keys), at=4)
    assert "Without a value there, and left out: VIMPO beta 0.1, seed 1" in words(later)
    assert "(one seed)" in table(later)[1][0][2]


def test_a_metric_that_was_not_recorded_is_said_to_be_missing(runs, monkeypatch):
    keys = [*fake(runs.path), *fake(runs.path, algorithm="grpo")]
    read = RunStore.metrics

    def without_kl(store, *args, **options):
        drop = "kl_mean" if store.run_id == keys[1] else ""
        return [{name: value for name, value in row.items() if name != drop} for row in read(store, *args, **options)]

    monkeypatch.setattr(RunStore, "metrics", without_kl)
    at = open_compare(runs=",".join(keys))
    panels = {panel["title"]: panel for panel in figure(at)["panels"]}
    assert panels["KL to the reference"]["lines"][1]["seeds"] == [None]
    assert panels["Sampled accuracy"]["lines"][1]["seeds"] != [None]
    assert "KL to the reference: not recorded by GRPO, seed 0." in words(at)
    assert "Sampled accuracy against KL: not recorded by GRPO, seed 0." in words(at)


def test_the_axis_moves_every_curve_and_estimated_tokens_are_said(runs):
    (key,) = fake(runs.path)
    at = open_compare(runs=key, x="tokens", show="kl_mean")
    (panel,) = figure(at)["panels"]
    lengths = [row["length_mean"] for row in runs.open(key).metrics()]
    assert panel["x"]["title"] == "sampled tokens" and panel["lines"][0]["x"][1] == 4 * lengths[0]
    assert "prompts × group size × mean length" in words(at)
    assert "did not count" not in words(open_compare(runs=key))


def test_smoothing_is_off_unless_asked_for_and_then_said(runs):
    keys = fake(runs.path, steps=12)
    plain, smooth = (open_compare(runs=keys[0], show="reward_mean", **more) for more in ({}, {"smooth": 5}))
    assert "Smoothed" not in words(plain) and "mean of the 5 measurements" in words(smooth)
    values = [figure(at)["panels"][0]["lines"][0]["mean"] for at in (plain, smooth)]
    assert np.mean(values[0][:5]) == pytest.approx(values[1][4], abs=1e-4)
    assert table(plain)[1] == table(smooth)[1], "numbers are never smoothed"


def test_credit_against_accuracy_reads_the_runs_own_mistakes(runs):
    keys = [
        *fake(runs.path, steps=30, prompts_per_step=8),
        *fake(runs.path, algorithm="grpo", steps=30, prompts_per_step=8),
    ]
    at = open_compare(runs=",".join(keys), show="implied-credit,own-credit")
    implied, own = figure(at)["panels"]
    assert own["lines"][1]["x"] == [0.5], "GRPO's own credit is flat"
    assert implied["lines"][0]["seeds"][0]["x"] == own["lines"][0]["seeds"][0]["x"]
    assert implied["lines"][0]["seeds"][0]["n"] > 0 and "0.5 is guessing" in words(at)


def test_a_long_thin_curve_loses_points_but_not_its_extremes_and_ends():
    x, values = np.arange(1001.0), np.random.default_rng(0).normal(size=1001)
    few, kept = thinned(x, values)
    assert len(few) < 200 and {0.0, 1000.0, float(values.argmax()), float(values.argmin())} <= set(few.tolist())
    assert np.array_equal(values[few.astype(int)], kept)


# --- numbers ---------------------------------------------------------------------------------------------------------


def test_numbers_are_the_runs_last_values_and_lead_to_their_runs(runs):
    vimpo, grpo = fake(runs.path, 2), fake(runs.path, 2, "grpo")
    at = open_compare(runs=",".join([*vimpo, *grpo]))
    head, rows = table(at)
    assert head == ["Arm", "Seeds", "Sampled accuracy", "Minus GRPO, points", "Ahead in"]
    last = {key: runs.open(key).metrics()[-1]["sampled_accuracy"] for key in [*vimpo, *grpo]}
    mean = np.mean([last[key] for key in vimpo])
    assert rows[0][2].startswith(f"{100 * mean:.1f} %")
    ahead = sum(last[a] > last[b] for a, b in zip(vimpo, grpo, strict=True))
    assert rows[0][4].startswith(f"{ahead} of 2 seeds") and rows[1][4] == "baseline"
    cells = payload_with(at, "rows")["rows"][0]
    links = [piece["href"] for piece in cells[1] if piece.get("href")]
    assert [parse_qs(urlsplit(link).query)["run"] for link in links] == [[key] for key in vimpo]
    assert "".join(piece["text"] for piece in cells[1]) == "2 seeds: 0 1", "a bare 0 would read as none"
    assert parse_qs(urlsplit(cells[2][0]["href"]).query)["show"] == [",".join(vimpo)]
    assert parse_qs(urlsplit(cells[3][0]["href"]).query)["show"] == [",".join([*vimpo, *grpo])]


def test_the_baseline_is_chosen_and_arms_without_a_shared_seed_say_so(runs):
    (vimpo,) = fake(runs.path)
    grpo = make_fake_run(runs.path, "grpo", 4, 7, **SMALL)
    at = open_compare(runs=f"{vimpo},{grpo}", baseline=vimpo)
    _, rows = table(at)
    assert rows[0][4] == "baseline" and rows[1][3] == "no seed in common"


def test_each_runs_number_can_be_taken_along(runs, monkeypatch):
    keys = fake(runs.path, 2)
    written = []
    button = st.download_button

    def noted(label, data, *args, **options):
        written.append(data())
        return button(label, data, *args, **options)

    monkeypatch.setattr(st, "download_button", noted)
    open_compare(runs=",".join(keys))
    lines = list(csv.DictReader(io.StringIO(written[0])))
    assert [line["run"] for line in lines] == keys
    assert float(lines[1]["sampled_accuracy"]) == runs.open(keys[1]).metrics()[-1]["sampled_accuracy"]


# --- experiments -----------------------------------------------------------------------------------------------------


def test_runs_of_an_experiment_are_offered_and_its_tuning_runs_stay_apart(runs, tmp_path):
    folder = tmp_path / "experiments" / "quick" / "runs"
    final, tuning = fake(folder, 2, "grpo")
    with RunStore.open(folder / tuning, writable=True) as store:
        store.update_header({"name": "GRPO, tuning, seed 1"})
    shutil.rmtree(folder / "app.db", ignore_errors=True)
    (folder / "app.db").unlink(missing_ok=True)
    at = open_compare(runs=f"quick/{final},quick/{tuning}")
    assert [arm["label"] for arm in figure(at)["arms"]] == ["GRPO", "GRPO, tuning"]
    assert "quick" in at.multiselect(key="compare.arms").options[0]


def test_a_run_of_an_experiment_opens_in_inspect(runs, tmp_path):
    fake(runs.path)
    (key,) = fake(tmp_path / "experiments" / "quick" / "runs", algorithm="grpo")
    at = open_inspect(run=f"quick/{key}")
    assert "quick: GRPO, seed 0" in widget(at.selectbox, "Run").options[-1] and not at.info


def test_credit_that_an_experiment_measured_is_taken_from_there(runs, tmp_path):
    folder = tmp_path / "experiments" / "quick" / "runs"
    (key,) = fake(folder)
    report = {"set": "own", "n_solutions": 64, "signals": {"implied_advantage": {"auc": 0.8125}}}
    (folder / key / "result.json").write_text(json.dumps({"credit": report}))
    drawn = figure(open_compare(runs=f"quick/{key}", show="implied-credit"))
    (line,) = drawn["panels"][0]["lines"]
    assert line["seeds"] == [{"x": [0.8125], "y": line["mean"], "n": 64}]
    report["signals"]["implied_advantage"]["auc"] = 0.75
    (folder / key / "result.json").write_text(json.dumps({"credit": report}))
    again = figure(open_compare(runs=f"quick/{key}", show="implied-credit"))
    assert again["version"] != drawn["version"]  # the browser draws what has another version


# --- hues ------------------------------------------------------------------------------------------------------------


def luminance(hex_colour):
    parts = [int(hex_colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(first, second):
    low, high = sorted((luminance(first), luminance(second)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize(("theme", "paper"), [("light", "#ffffff"), ("dark", "#14171c")])
def test_every_algorithm_has_a_hue_that_can_be_read_and_shades_that_can_be_seen(theme, paper):
    assert set(SHADES[theme]) == set(RULES)
    for first, *others in SHADES[theme].values():
        assert contrast(first, paper) >= 4.5 and all(contrast(other, paper) >= 3 for other in others)
    firsts = [shades[0] for shades in SHADES[theme].values()]
    assert len(set(firsts)) == len(firsts)


def test_no_two_algorithms_share_dash_or_marker():
    assert set(DASHES) == set(MARKERS) == set(RULES)
    assert len(set(DASHES.values())) == len(set(MARKERS.values())) == len(RULES)
    assert DASHES["vimpo"] == ()


def test_arms_of_one_algorithm_differ_in_shade_and_marker():
    styles = arm_styles(["vimpo", "vimpo", "grpo", "vimpo"])
    for first, second in itertools.combinations(styles, 2):
        assert first["hues"] != second["hues"] and first["marker"] != second["marker"]
    assert styles[0]["dash"] == styles[1]["dash"]
