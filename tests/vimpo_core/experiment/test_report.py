"""The report says what was done and found; no name in it is taken for markup."""

import json
import re

import pytest

from tests.support.experiments import SMALL, carried_out, deadly, result_files, written
from vimpo_core.experiment import command, document, figures, report, tables
from vimpo_core.experiment.document import Code, Figure, Folded, Heading, Paragraph, Table
from vimpo_core.views import rule_styles

HOSTILE = "</svg><script>alert(1)</script> $x_1$ | *a* `b`"


@pytest.fixture(scope="module")
def experiment(tmp_path_factory):
    """Plan and folder of a finished, reported experiment with a hostile arm."""
    folder = tmp_path_factory.mktemp("experiment")
    plan = written(folder, SMALL.replace('"VIMPO"', json.dumps(HOSTILE)))
    assert carried_out(plan, folder / "out") == {}
    report.write(plan, folder / "out", "python -m vimpo_core experiment small.toml")
    return plan, folder / "out"


def _read(out, name):
    return (out / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["report.md", "report.html"])
def test_it_names_question_command_commit_seeds_hardware_and_versions(experiment, name):
    _, out = experiment
    text = _read(out, name).replace("\\", "")
    place = json.loads(_read(out, "results.json"))["environments"][0]
    for expected in (
        "Which one?",
        "python -m vimpo_core experiment small.toml",
        place["commit"],
        "100, 101",
        "900",
        place["hardware"],
        f"torch {place['versions']['torch']}",
        "learning_rate 0.003",
        "None below 3 seeds",
    ):
        assert expected in text, expected


def test_every_trial_is_shown_and_the_chosen_one_marked(experiment):
    text = _read(experiment[1], "report.md")
    rows = re.findall(r"^\| (chosen|) \| (0.00\d) \|", text, re.MULTILINE)
    assert rows == [("", "0.001"), ("chosen", "0.003")]


def test_hostile_names_stay_text(experiment):
    _, out = experiment
    html, markdown = _read(out, "report.html"), _read(out, "report.md")
    assert "<script" not in html and "</svg><" not in html.replace("</svg><figcaption", "")
    assert "&lt;script&gt;alert(1)" in html
    assert "<script" not in markdown
    assert r"\$x\_1\$ \| \*a\* \`b\`" in markdown
    for file in (out / "figures").iterdir():
        svg = file.read_text(encoding="utf-8")
        assert "<script" not in svg and "$x_1$" in svg  # words, not a formula


def test_the_page_needs_no_network_and_its_pictures_are_apart(experiment):
    html = _read(experiment[1], "report.html")
    assert html.count("<svg") == 4 and "default-src 'none'" in html
    assert not re.search(r"(?:src|href)=\"(?!#)", html.replace("xlink:href", "href"))
    ids = re.findall(r'\bid="([^"]+)"', html)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'(?:url\(|href=")#([^")]+)', html)) <= set(ids)


def test_the_numbers_are_plain_json_and_agree_with_the_runs(experiment):
    _, out = experiment
    found = json.loads(_read(out, "results.json"), parse_constant=lambda name: pytest.fail(f"{name} in JSON"))
    (block,) = found["blocks"]
    grpo, vimpo = block["arms"]
    assert [arm["name"] for arm in block["arms"]] == ["GRPO", HOSTILE] and found["n_runs"] == 6
    raw = [json.loads(text) for name, text in result_files(out).items() if name.startswith("vimpo")]
    share = sum(sum(run["sampled"]) for run in raw) / sum(len(run["sampled"]) for run in raw)
    assert vimpo["sampled"]["mean"] == pytest.approx(share)
    assert vimpo["difference"]["sampled"]["mean"] == pytest.approx(share - grpo["sampled"]["mean"])
    assert grpo["difference"] is None and vimpo["tokens_sampled"]["mean"] > 0


def test_a_report_of_unfinished_runs_says_what_is_missing(tmp_path):
    plan, out = written(tmp_path), tmp_path / "out"
    assert len(carried_out(plan, out, measure=deadly)) == 1
    written_files = report.write(plan, out, "x")
    text = _read(out, "report.md")
    assert written_files["missing"] == 1
    assert "- **VIMPO**: no result for seed 101" in text and "not complete" in text
    assert re.search(r"\| VIMPO \| [+-]\S+ \| [01] of 1 \|", text)  # the seed both have, so no interval


def test_auc_is_said_to_be_of_minus_delta_and_pearson_of_delta_itself(experiment):
    found = json.loads(_read(experiment[1], "results.json"))
    found["credit"] = {"set": "own", "solutions": 64, "rollouts": 32}
    found["blocks"][0]["arms"][0]["auc"] = {"mean": 0.6, "low": None, "high": None, "seeds": 2}
    text = document.markdown(report.report(found, []))
    assert "AUC: how well minus delta\\_t finds the first wrong token" in text
    assert "Pearson: of delta\\_t itself with Monte Carlo Q - V" in text
    assert "| GRPO | 0.600 |" in text, "without bounds, as two seeds have none"
    found["blocks"][0]["arms"][0]["runs"][0]["credit"] = {"target": "largest true drop"}
    text = document.markdown(report.report(found, []))
    assert "delta\\_t finds the largest true drop" in text and "first wrong token" not in text


@pytest.mark.parametrize(
    ("kept", "says"),
    [
        (True, "over seeds and problems"),
        (False, "by t over seeds alone, as outcomes problem by problem were not kept"),
    ],
)
def test_the_report_says_what_its_intervals_are_over_and_that_tuning_is_in_none(experiment, kept, says):
    found = json.loads(_read(experiment[1], "results.json"))
    for arm in found["blocks"][0]["arms"]:
        for run in arm["runs"]:
            run["outcomes"] = run["outcomes"] if kept else None
    text = document.markdown(report.report(found, []))
    assert says in text and "What another tuning would have chosen is in none of them." in text
    assert "too narrow" not in text


def test_without_any_result_there_is_a_sentence_and_no_file(tmp_path):
    plan = written(tmp_path)
    with pytest.raises(ValueError, match="no final run of small is finished"):
        command.experiment(plan.path, tmp_path / "out", 1, is_dry=False, report_only=True)
    assert not (tmp_path / "out").exists()


def test_report_only_writes_the_same_report_again(experiment):
    plan, out = experiment
    before = {name: _read(out, name) for name in ("report.md", "report.html", "results.json")}
    report.write(plan, out, "python -m vimpo_core experiment small.toml")
    assert {name: _read(out, name) for name in before} == before


def test_the_command_is_the_one_that_makes_it_again(tmp_path):
    file = tmp_path / "clean.toml"
    assert command.command_line(file, tmp_path / "clean") == f"python -m vimpo_core experiment {file}"
    assert command.command_line(file, tmp_path / "x y").endswith(f"--out '{tmp_path / 'x y'}'")


def test_a_chosen_value_at_the_end_of_its_range_is_said():
    from vimpo_core.experiment.plan import Arm

    arm = Arm(
        "A",
        {},
        {"learning_rate": (1e-3, 3e-3, 1e-2), "beta": (0.1, 0.2), "lr_schedule": ("constant", "linear")},
    )
    chosen = {"learning_rate": 1e-2, "beta": 0.2, "lr_schedule": "linear"}
    assert tables._at_edge(arm, chosen) == ["learning_rate"]
    assert tables._at_edge(arm, {**chosen, "learning_rate": 3e-3}) == []


def test_time_on_the_clock_counts_overlaps_once_and_pauses_not_at_all():
    assert tables.covered([(0, 10), (5, 12), (6, 7), (100, 101)]) == 13


def test_the_first_arm_of_every_rule_is_drawn_with_the_rules_own_hue_and_dash():
    arms = [{"algorithm": key} for key in rule_styles.DASHES]
    for arm in figures._styled(arms):
        lengths = rule_styles.DASHES[arm["algorithm"]]
        assert arm["hue"] == rule_styles.LIGHT[arm["algorithm"]][0]
        assert arm["dash"] == ((0, tuple(0.3 * n for n in lengths)) if lengths else "-")


def test_markdown_of_each_part():
    parts = [
        Heading(2, "A_b"),
        Paragraph("<i>"),
        Code("a | b"),
        Table(["arm", "n"], [["x|y", "1"]]),
        Figure("kl-0", "So."),
        Folded("More", [Paragraph("inside")]),
    ]
    assert document.markdown(parts) == (
        "## A\\_b\n\n&lt;i&gt;\n\n```\na | b\n```\n\n| arm | n |\n| --- | ---: |\n| x\\|y | 1 |\n\n"
        "![So.](figures/kl-0.svg)\n\n<details><summary>More</summary>\n\ninside\n\n</details>\n"
    )
