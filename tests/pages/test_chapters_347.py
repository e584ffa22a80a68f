"""Chapters 3, 4 and 7 without a browser: their numbers, what a link hides, a point that is opened, the live pair."""

import json
from functools import partial
from urllib.parse import parse_qsl

import numpy as np
import pytest

from app import cache
from app.course import bundled
from app.course.chapters import anchored, identity, worth
from app.words import verdicts
from tests.pages.opening import again, open_page, payload_with, payloads, press, widget, words
from vimpo_core.runs.folder import RunsDir
from vimpo_core.tree import derivation, tree_lab
from vimpo_core.tree.two_optima import example, two_optima
from vimpo_core.views import lessons


def learn(number, **query):
    return open_page("learn", chapter=number, **query)


def commit(at, choice):
    widget(at.radio, "Your prediction").set_value(choice)
    return press(again(at), "Commit and see")


def labels(widgets):
    return [w.label for w in widgets]


# --- chapter 3 -------------------------------------------------------------------------------------------------------


def test_chapter_3_shows_no_derivation_before_the_prediction():
    at = learn(3)
    assert not at.select_slider and "sympy" not in words(at) and "fixed point" not in words(at)


def test_chapter_3_says_where_each_loss_goes_on_the_tree_of_the_link():
    at = commit(learn(3, d_beta=0.5, d_vocab=2, d_depth=4, d_seed=7), "same")
    tree, reference = example(2, 4, 7)
    ends, optima = lessons.descents(tree, reference, 0.5), two_optima(tree, reference, 0.5)
    said = words(at)
    assert f"with κ (VIMPO) | **{ends.with_kappa['local']:.3f}** | {ends.with_kappa['soft']:.3f}" in said
    assert f"ρ only | {ends.rho_only['local']:.3f} | **{ends.rho_only['soft']:.3f}**" in said
    assert f"comes to {ends.kappa:.3f} on average" in said and f", {optima.apart:.3f} apart" in said


def test_chapter_3_folds_its_proofs_and_computes_nothing_of_them_before_they_are_opened(monkeypatch):
    asked = {"d_beta": 0.5, "d_vocab": 2, "d_depth": 4, "d_seed": 7}
    with monkeypatch.context() as refusing:
        for module, name in ((derivation, "symbolic_check"), (derivation, "numeric_check"), (lessons, "group_end")):
            refusing.setattr(module, name, None)
        said = words(commit(learn(3, **asked), "same"))
    assert "sympy" not in said and "Reward less cost" not in said and "G | ends where" not in said
    said = words(commit(learn(3, more="proof,fork", proof="all", **asked), "same"))
    found = two_optima(*example(2, 4, 7), 0.5)
    assert "All 15 steps hold" in said
    assert f"V^{{pi}}(s_0) = {found.local.value:.3f}" in said and f"(s_0) = {found.soft.value:.3f}" in said
    assert f"Total variation between the two: {found.apart:.3f}" in said


def test_a_link_of_before_to_a_broken_step_opens_the_proof_at_it():
    said = words(commit(learn(3, d_identity="kl"), "same"))
    assert "**Drop the KL term**: left minus right is then $" in said


def test_chapter_3_computes_what_groups_do_to_the_credit_on_its_own_tree():
    said = words(commit(learn(3, more="groups", d_beta=0.5, d_vocab=2, d_depth=4, d_seed=7), "same"))
    for size in identity.GROUP_SIZES:
        end = lessons.group_end(*example(2, 4, 7), 0.5, size)
        assert f"| {size} | {end.beta:.3f} | **{end.slope:.3f}** | {end.floor:.3f} |" in said
    assert "the mean of the **other** solutions" in said


def test_chapter_3_keeps_what_a_link_hides():
    at = commit(learn(3, hide="d_beta:0.05,d_seed:3", d_beta=1, d_seed=9), "other")
    assert not {"β, reward per nat", "Tree"} & set(labels(at.select_slider))
    assert "β = 0.05" in words(at)
    assert f"{two_optima(*example(3, 3, 3), 0.05).apart:.3f}" in words(at)


@pytest.mark.parametrize(("vocab", "depth", "seed"), [(3, 3, 0), (2, 4, 7), (4, 2, 19)])
def test_chapter_3_opens_its_own_tree_in_the_tree_lab(vocab, depth, seed):
    at = commit(learn(3, d_vocab=vocab, d_depth=depth, d_seed=seed), "other")
    links = [link.proto for link in at.get("page_link")]
    (link,) = [link for link in links if link.label == "Watch both descents in the Tree lab"]
    asked = dict(parse_qsl(link.query_string))
    query = {name: int(asked[name]) for name in ("vocab", "depth", "seed", "share")}
    tree, reference = example(vocab, depth, seed)
    opened, opened_reference = tree_lab.make_tree(tree_lab.TreeSettings(**query))
    assert np.array_equal(opened.rewards, tree.rewards)
    assert all(map(np.array_equal, opened_reference, reference))


# --- chapter 4 -------------------------------------------------------------------------------------------------------


def curves(at):
    """Payloads of the value curves: the example first, then the opened solution."""
    return [payload for payload in payloads(at) if {"anchor", "reward"} <= payload.keys()]


def run():
    return bundled.runs()[bundled.run_ids()[0]]


def test_chapter_4_shows_both_anchors_and_names_the_residual():
    at = learn(4)
    (shown,) = curves(at)
    assert shown["anchor"] == "both" and set(np.subtract(shown["start"], shown["end"])) == {shown["residual"]}
    residual = f"{shown['residual'] / 10 ** shown['decimals']:.{shown['decimals']}f}".replace("-", "−")
    assert f"**{residual}**" in words(at) and "terminal residual" in words(at)
    assert payload_with(at, "points") is None


def test_chapter_4_switches_the_anchor_and_keeps_a_hidden_one():
    at = learn(4, anchor="end")
    assert curves(at)[0]["anchor"] == "end"
    at = learn(4, hide="anchor:start", anchor="end")
    assert curves(at)[0]["anchor"] == "start" and "Count V" not in labels(at.get("button_group"))


def test_chapter_4_begins_with_all_points_on_the_upright_line_and_the_loss_that_it_asked_for():
    at = commit(learn(4), "diagonal")
    scatter = payload_with(at, "points")
    assert scatter["residuals"] and {point["x"] for point in scatter["points"]} == {0.0}
    loss = np.mean([0.5 * point["y"] ** 2 for point in scatter["points"]])
    assert anchored.numbers()["loss"] == f"{loss:.4f}"
    assert f"Value loss: **{loss:.4f}**" in words(at) and f"the loss is {loss:.4f}" in words(at)


def test_chapter_4_says_what_a_perfect_value_would_leave():
    last = bundled.steps(run())[0][-1]
    at = commit(learn(4, step=last), "upright")
    points = payload_with(at, "points")["points"]
    x, y = (np.array([point[axis] for point in points]) for axis in "xy")
    ratio = np.sqrt(np.mean((x - y) ** 2) / np.mean(y**2))
    floor = run().config.group_size ** -0.5
    assert f"residuals are **{ratio:.2f}** of" in words(at) and f"cannot be below {floor:.2f}" in words(at)


def test_chapter_4_slider_shows_the_loss_of_its_step():
    last = bundled.steps(run())[0][-1]
    at = commit(learn(4, step=last), "upright")
    points = payload_with(at, "points")["points"]
    loss = np.mean([0.5 * (point["x"] - point["y"]) ** 2 for point in points])
    assert f"Step {last}," in words(at) and f"Value loss: **{loss:.4f}**" in words(at)


def test_chapter_4_opens_the_point_that_was_clicked():
    at = commit(learn(4), "upright")
    scatter = payload_with(at, "points")
    other = next(p for p in scatter["points"] if (p["group"], p["sample"]) != (scatter["group"], scatter["sample"]))
    at.session_state[anchored._OPENED] = (run().run_id, 0, other["group"], other["sample"])
    at = again(at)
    scatter = payload_with(at, "points")
    assert (scatter["group"], scatter["sample"]) == (other["group"], other["sample"])
    opened = curves(at)[1]
    assert opened["reward"] - opened["baseline"] == pytest.approx(other["y"] * 10 ** opened["decimals"], abs=1)


# --- chapter 7 -------------------------------------------------------------------------------------------------------


def test_chapter_7_shows_the_difference_of_the_share_that_was_chosen():
    measured = [share for share in verdicts.SOURCES if verdicts.match(share)]
    assert measured
    for share in measured:
        at = commit(learn(7, flips=f"{share:g}", more="price"), "open")
        found = verdicts.match(share)
        for how in (verdicts.HOW, verdicts.GREEDY):
            assert f"**{verdicts.difference(found, how)}**" in words(at)
        assert verdicts.price(found)[:30] in words(at)


def test_chapter_7_shows_both_measures_of_what_was_asked_again():
    at = commit(learn(7, flips="0.4", more="again"), "open")
    again_found = verdicts.matches_again(0.4)
    assert again_found
    for what, found in again_found:
        assert f"{what[1:]}.** {verdicts.difference(found)} {verdicts.difference(found, verdicts.GREEDY)}" in words(at)


def test_chapter_7_has_one_right_answer_and_it_is_what_was_measured():
    (right,) = [option.key for option in worth.AHEAD.options if option.is_right]
    assert {"vimpo": "first", "grpo": "second", "open": "open"}[right] == verdicts.who_leads(0.25)


def test_chapter_7_says_what_is_missing_and_tells_of_diverged_runs(monkeypatch, tmp_path):
    at = commit(learn(7, flips="0"), "open")
    found = json.loads((verdicts.RESULTS / "family" / "results.json").read_text())
    for arm in found["blocks"][0]["arms"]:
        arm["runs"][0]["state"] = "diverged"
    (tmp_path / "family").mkdir()
    (tmp_path / "family" / "results.json").write_text(json.dumps(found))
    monkeypatch.setattr(verdicts, "match", partial(verdicts.match, folder=tmp_path))
    at = again(at)
    assert "VIMPO diverged with seed" in words(at)
    assert "With 25 % flipped this is not measured yet, so neither was shown to be ahead." in words(at)


def test_chapter_7_trains_a_pair_with_flipped_rewards_and_shows_it(monkeypatch, tmp_path):
    runs = RunsDir(tmp_path)
    monkeypatch.setattr(RunsDir, "ensure_worker", lambda self: None)
    monkeypatch.setattr(cache, "runs_dir", lambda: runs)
    monkeypatch.setattr(cache, "own_folder", lambda: tmp_path)
    at = press(commit(learn(7), "open"), "Train both with flipped rewards")
    (job,) = runs.jobs()
    configs = [run.config for run in sorted(runs.list(), key=lambda run: job.run_ids.index(run.run_id))]
    assert [(c.algorithm, c.reward_noise, c.steps, c.seed) for c in configs] == [
        ("vimpo", 0.25, worth.LIVE_STEPS, 0),
        ("grpo", 0.25, worth.LIVE_STEPS, 0),
    ]
    assert not at.exception and "job" not in at.query_params  # Train shows the newest one by itself


def test_chapter_7_says_why_nothing_can_be_trained(monkeypatch):
    def refuse(self, configs, name=""):
        raise OSError("the disk is full. Delete a run.")

    monkeypatch.setattr(RunsDir, "submit", refuse)
    at = press(commit(learn(7), "open"), "Train both with flipped rewards")
    assert any("The disk is full" in warning.value for warning in at.warning)
