"""What the lab says about a rule or a paper is so here: words checked against settings, formulas and results."""

import numpy as np

from app.words.findings import NAMES
from vimpo_core import credit
from vimpo_core.config import TrainConfig, setting
from vimpo_core.measure.scorecard import SIGNALS
from vimpo_core.paths import DEMOS, ROOT
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
            measured = [
                row["sampled_accuracy"] for row in store.metrics() if row.get("sampled_accuracy") is not None
            ]
            shown.append(f"{measured[-1]:.3f}".lstrip("0"))
            problems = store.config().eval_prompts
    readme = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    assert (
        f"{problems} validation problems: sampled {shown[0]}, {shown[1]} and {shown[2]} in this order"
        in readme
    )
    assert f"sampled accuracy on {problems} validation problems climbs" in readme


def test_the_readmes_numbers_of_credit_are_those_kept_with_the_bundled_runs():
    def signal(run_id, which, name="implied_advantage"):
        return kept_reports.kept(DEMOS / run_id, 100, which, 256, 64)["signals"][name]

    def text(value, digits=3):
        return f"{value:.{digits}f}".lstrip("0")

    fixed, grpo = signal("vimpo-beta-0.1", "fixed"), signal("grpo", "fixed")
    rival = signal("vimpo-beta-0.1", "fixed", "surprisal_policy")
    own = {
        run_id: text(signal(run_id, "own")["auc"], 2)
        for run_id in ("vimpo-beta-0.1", "vimpo-beta-0.3", "grpo")
    }
    readme = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    assert f"first wrong token in {100 * fixed['top1']:.0f} % of them" in readme
    assert f"(AUC {text(fixed['auc'])} against {text(rival['auc'])})" in readme
    assert f"as good there ({100 * grpo['top1']:.0f} %, {text(grpo['auc'])})" in readme
    assert (
        f"its AUC is {own['vimpo-beta-0.1']}, with beta 0.3 {own['vimpo-beta-0.3']}, against {own['grpo']} off the GRPO run"
        in readme
    )


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
    np.testing.assert_allclose(RULES["dr_grpo"].advantages(sampled, config)[:, 0], above)
    spread = rewards.std(ddof=1) + 1e-4
    np.testing.assert_allclose(RULES["grpo"].advantages(sampled, config)[:, 0], above / spread)
    assert "divides by the group's spread" in SIGNALS["grpo"][0] and "R − group mean" not in NAMES["grpo"]
    assert not np.allclose(credit.grpo_advantages(rewards, np.zeros(4)), above)
