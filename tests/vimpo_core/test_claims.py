"""What the lab says about a rule or a paper is so here: words checked against settings, formulas and results."""

import dataclasses
import json
import math
import re
import struct

import numpy as np
import pytest

from app.course import notation
from app.course.chapters import goes_wrong, worth
from app.scorecard import scorecards
from app.words import findings, glossary, verdicts
from app.words.findings import NAMES
from app.words.same_findings import same_findings
from vimpo_core import config as configs
from vimpo_core import credit, reports
from vimpo_core.config import TrainConfig, safe_text, setting
from vimpo_core.labs.failures import FAILURES
from vimpo_core.measure.metrics import METRICS
from vimpo_core.measure.scorecard import SIGNALS
from vimpo_core.paths import BUNDLED_MODEL, DEMOS, ROOT
from vimpo_core.rules import RULES, Sampled
from vimpo_core.runs.folder import RunsDir
from vimpo_core.service import kept_reports


def test_grpo_says_where_it_differs_from_its_paper():
    said, config = RULES["grpo"].differs, TrainConfig(algorithm="grpo")
    assert f"{config.clip_low:g} and {config.clip_high:g}" in said and config.loss_average == "tokens"
    assert "without its KL term" in said and "all tokens of the batch" in said


def test_the_help_of_algorithm_names_the_page_that_shows_all_rules():
    said = setting("algorithm")["help"]
    assert "Every rule, on the Inspect page" in said and "Compare" not in said


def test_the_readme_names_the_problems_of_the_accuracies_that_the_app_shows():
    shown = []
    for run_id in ("vimpo-beta-0.1", "vimpo-beta-0.3", "grpo"):
        with RunsDir(DEMOS, read_only=True).open(run_id) as store:
            measured = [row["sampled_accuracy"] for row in store.metrics() if row.get("sampled_accuracy") is not None]
            shown.append(f"{measured[-1]:.3f}".lstrip("0"))
            problems = store.config().eval_prompts
    readme = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    assert f"{problems} validation problems: sampled {shown[0]}, {shown[1]} and {shown[2]} in this order" in readme
    assert f"sampled accuracy on {problems} validation problems climbs" in readme


def test_the_readmes_numbers_of_credit_are_those_kept_with_the_bundled_runs():
    def signal(run_id, which, name="implied_advantage"):
        return kept_reports.kept(DEMOS / run_id, 100, which, 256, 64)["signals"][name]

    def text(value, digits=3):
        return f"{value:.{digits}f}".lstrip("0")

    fixed, grpo = signal("vimpo-beta-0.1", "fixed"), signal("grpo", "fixed")
    rival = signal("vimpo-beta-0.1", "fixed", "surprisal_policy")
    own = {run_id: text(signal(run_id, "own")["auc"], 2) for run_id in ("vimpo-beta-0.1", "vimpo-beta-0.3", "grpo")}
    readme = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    assert f"first wrong token in {100 * fixed['top1']:.0f} % of them" in readme
    assert f"(AUC {text(fixed['auc'])} against {text(rival['auc'])})" in readme
    assert f"as good there ({100 * grpo['top1']:.0f} %, {text(grpo['auc'])})" in readme
    assert (
        f"its AUC is {own['vimpo-beta-0.1']}, with beta 0.3 {own['vimpo-beta-0.3']}, against {own['grpo']} off the "
        f"GRPO run" in readme
    )


def test_the_readmes_numbers_of_the_same_mistakes_are_those_kept_with_the_bundled_runs():
    runs = ("vimpo-beta-0.1", "vimpo-beta-0.3", "grpo")

    def auc(found, digits):
        return [f"{found[f'auc{end}']:.{digits}f}".lstrip("0").replace("-0", "-") for end in ("", "_low", "_high")]

    kept = kept_reports.kept_same([(DEMOS / run, 100) for run in ("vimpo-beta-0.3", "grpo", "vimpo-beta-0.1")], 256)
    of = {name: auc(kept["readings"][f"delta/{name}"], 2)[0] for name in runs}
    gaps = {(one["of"], one["minus"]): one["pool"] for one in kept["differences"]}
    ahead = auc(gaps["delta/vimpo-beta-0.3", "delta/grpo"], 3)
    readme = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    assert f"{kept['n_solutions']} mistakes of all three policies" in readme
    assert f"it is {of[runs[0]]}, {of[runs[1]]} and {of[runs[2]]}: read off one policy" in readme
    assert "ahead of GRPO by {} ({} to {})".format(*ahead) in readme
    assert "moves by 0.30 from one run's mistakes" in same_findings(kept)[0].text and "by .30 with whose" in readme


def test_dapo_and_vineppo_say_what_of_their_papers_is_not_here():
    assert "resample_rounds" in RULES["dapo"].differs and "overlong" in RULES["dapo"].differs
    assert "from every token" in RULES["vineppo"].differs and "reasoning steps" in RULES["vineppo"].differs


def test_the_critic_is_said_to_be_a_head_of_the_policy():
    assert "value head on the policy's own trunk" in RULES["ppo"].differs
    assert not any("second network" in rule.differs for rule in RULES.values())


def test_reward_minus_group_mean_is_dr_grpos_advantage_and_grpo_divides_by_the_spread():
    rewards = np.array([1.0, 0.0, 0.0, 0.0])
    sampled = Sampled(*[np.zeros((4, 2))] * 3, np.ones((4, 2), bool), rewards, np.zeros(4, int))
    above = rewards - rewards.mean()
    config = TrainConfig()
    np.testing.assert_allclose(RULES["dr_grpo"].advantages(sampled, config)[:, 0], above, equal_nan=False)
    spread = rewards.std(ddof=1) + 1e-4
    np.testing.assert_allclose(RULES["grpo"].advantages(sampled, config)[:, 0], above / spread, equal_nan=False)
    assert "divides by the group's spread" in SIGNALS["grpo"][0] and "R − group mean" not in NAMES["grpo"]
    assert not np.allclose(credit.grpo_advantages(rewards, np.zeros(4)), above)


# ---- numbers in the text of pages


RESULTS = ROOT / "docs" / "results"


def results(experiment):
    return json.loads((RESULTS / experiment / "results.json").read_text(encoding="utf-8"))


def arms(experiment):
    return [arm for block in results(experiment)["blocks"] for arm in block["arms"]]


@pytest.fixture(scope="module")
def levers():
    """(beta, balance as the arm's name says it) -> share of test problems solved, sampled."""
    found = {}
    for arm in arms("levers"):
        beta, b = map(float, re.fullmatch(r"beta ([0-9.]+), b ([0-9.]+)", arm["name"]).groups())
        settings = TrainConfig(beta=beta, actor_coef=arm["settings"]["actor_coef"])
        assert configs.balance(settings, 23) == pytest.approx(b, rel=0.01)
        found[beta, b] = arm["sampled"]["mean"]
    return found


COLLAPSED = 0.3
"""Share of problems solved below the untrained model's."""


def test_up_to_the_stable_balance_nothing_broke_and_at_the_edges_runs_collapsed(levers):
    betas = {beta for beta, _ in levers}
    small = min(betas)
    for (beta, b), solved in levers.items():
        if b <= configs.STABLE_BALANCE:
            assert solved > levers[beta, 0] - 0.03
        if b >= configs.EDGE or (beta == small and b >= configs.SMALL_BETA_EDGE):
            assert solved < COLLAPSED
    assert any(b == configs.STABLE_BALANCE for _, b in levers)
    assert levers[max(betas), configs.SMALL_BETA_EDGE] > COLLAPSED


def test_the_safe_range_of_beta_was_trained_at_both_of_its_ends(levers):
    low, high = setting("beta")["safe"]
    assert levers[low, configs.STABLE_BALANCE] > 0.7
    learned = {}
    for run in RunsDir(DEMOS, read_only=True).list():
        if run.algorithm == "vimpo":
            with RunsDir(DEMOS, read_only=True).open(run.run_id) as store:
                solved = [row["sampled_accuracy"] for row in store.metrics() if row.get("sampled_accuracy") is not None]
            learned[run.config.beta] = solved[-1] - solved[0]
    assert learned[high] > 0.2
    assert (min(learned), max(learned)) == configs.READABLE_BETA


def test_chapter_6_and_the_failures_quote_the_settings_own_ranges():
    aim = next(aim for aim in goes_wrong.PLAN.aims if "safe ranges" in aim).format(**goes_wrong.numbers())
    assert f"beta {safe_text('beta')}, " in aim and f"at most {configs.STABLE_BALANCE:g}" in aim
    assert f"at {configs.STABLE_BALANCE:g} or below" in FAILURES["runaway"].way_out
    flat, healthy = FAILURES["flat_values"].configs
    assert f"{healthy.beta / flat.beta:g} times smaller" in FAILURES["flat_values"].question
    large, _ = FAILURES["no_learning"].configs
    assert f"{large.beta / healthy.beta:g} times larger" in FAILURES["no_learning"].question


def test_advice_on_the_learning_rate_holds_for_every_rate_that_tuning_chose():
    """Advice against a rate that won a contest would be wrong."""
    tried = {
        rate
        for file in RESULTS.glob("*/results.json")
        for arm in arms(file.parent.name)
        for rate in [
            *(t["settings"].get("learning_rate", 0) for t in arm["trials"]),
            arm["chosen"].get("learning_rate", 0),
        ]
    }
    assert max(tried) == configs.HIGHEST_TRIED_RATE
    assert not configs.advice(TrainConfig(learning_rate=configs.HIGHEST_TRIED_RATE), 14)
    (remark,) = configs.advice(TrainConfig(learning_rate=1e-2), 14)
    assert f"Use {safe_text('learning_rate')}." in remark.text


def test_the_papers_numbers_stand_in_one_place():
    numbers = re.compile(r"\b3\d\.\d\b")
    said = worth.numbers()
    assert said["paper"] == "35.9 against 32.2" and said["paper_size"] == "4 billion"
    for module in (worth, glossary):
        assert not numbers.findall((ROOT / module.__file__).read_text(encoding="utf-8"))
    differences = (ROOT / "docs" / "differences.md").read_text(encoding="utf-8")
    assert f"{said['paper']} in the paper" in differences


def test_the_size_of_the_bundled_model_is_that_of_its_file():
    content = (BUNDLED_MODEL / "model.safetensors").read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    size = sum(math.prod(tensor["shape"]) for name, tensor in header.items() if name != "__metadata__")
    said = f"{round(size, -3):,}"
    texts = [
        " ".join(belief for pair in worth.PLAN.misconceptions for belief in pair),
        (ROOT / "README.md").read_text(encoding="utf-8"),
        (ROOT / "docs" / "differences.md").read_text(encoding="utf-8"),
    ]
    assert all(said in text for text in texts)


def test_chapter_7_says_what_the_contests_were():
    for source in set(verdicts.SOURCES.values()):
        assert len(results(source)["seeds"]) >= 5  # "at least five fresh seeds"
    problems = results("clean")["test_prompts"]
    assert f"{problems:,} test problems" in dict(verdicts.AGAIN[0.0])["clean"]


def test_sizes_that_texts_name_are_those_of_the_code():
    assert f"{reports.TEST_PROMPTS} test problems" in setting("eval_prompts")["help"]
    assert f"Measure {max(scorecards.SIZES)} before" in (ROOT / findings.__file__).read_text(encoding="utf-8")


def test_the_commit_of_the_authors_code_is_the_one_that_was_read():
    document = (ROOT / "docs" / "differences.md").read_text(encoding="utf-8")
    (commit,) = re.findall(r"read at commit ([0-9a-f]+)", document)
    assert f"read at commit {commit}" in (ROOT / notation.__file__).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def default_run():
    """Metrics of the bundled run at the default settings: name -> its values in order, where there are any."""
    with RunsDir(DEMOS, read_only=True).open("vimpo-beta-0.1") as store:
        told = dataclasses.replace(
            store.config(), eval_every=TrainConfig().eval_every, snapshot_every=TrainConfig().snapshot_every
        )
        assert told == TrainConfig()
        rows = store.metrics()
    return {name: np.array([row[name] for row in rows if row.get(name) is not None]) for name in METRICS}


def expected(name):
    return METRICS[name].expected


def test_the_expected_accuracies_are_those_of_the_default_run(default_run):
    sampled, greedy = default_run["sampled_accuracy"], default_run["greedy_accuracy"]
    assert expected("sampled_accuracy") == "35 to 50 % before training; 70 % and more after 100 steps."
    assert 0.35 <= sampled[0] <= 0.5 and sampled[-1] >= 0.7
    assert expected("greedy_accuracy").startswith("About 80 % before training") and abs(greedy[0] - 0.8) < 0.05
    assert greedy.min() > greedy[0] - 0.05 and greedy[-1] > greedy[0]


def test_the_expected_loss_kl_and_entropy_are_those_of_the_default_run(default_run):
    loss, kl, entropy = (default_run[name] for name in ("value_loss", "kl_mean", "entropy_mean"))
    assert expected("value_loss") == "About 0.09 at the start and never above 0.125 there, then falling."
    assert round(loss[0], 2) == 0.09 and np.median(loss[-20:]) < loss[0]
    assert "below 0.1 over the first 100 steps" in expected("kl_mean") and kl[0] == 0 and kl.max() < 0.1
    assert "About 0.23 before" in expected("entropy_mean") and "above 0.1." in expected("entropy_mean")
    assert round(entropy[0], 2) == 0.23 and entropy.min() > 0.1


def test_the_expected_residual_gradient_and_groups_are_those_of_the_default_run(default_run):
    ratio, norm, dead = (default_run[name] for name in ("residual_ratio", "grad_norm", "dead_group_share"))
    assert "mostly 0.9 to 1.05" in expected("residual_ratio") and ratio[0] == 1
    assert np.mean((ratio >= 0.9) & (ratio <= 1.05)) > 0.5
    assert expected("grad_norm").startswith("Mostly 0.1 to 0.4")
    assert np.mean((norm >= 0.095) & (norm <= 0.4)) > 0.8
    assert expected("dead_group_share").startswith("Small at first, rising") and dead[0] < 0.1 < dead[-1]
