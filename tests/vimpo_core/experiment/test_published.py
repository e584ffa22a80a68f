"""What docs/results.md and README.md say is what the results.json of the experiments say, by the intervals of today."""

import importlib.util
import json
import re

import pytest

from vimpo_core.experiment import document, estimates, report
from vimpo_core.paths import ROOT

spec = importlib.util.spec_from_file_location("make_results", ROOT / "docs" / "make_results.py")
make_results = importlib.util.module_from_spec(spec)
spec.loader.exec_module(make_results)

PUBLISHED = sorted(path.parent.name for path in (ROOT / "docs" / "results").glob("*/results.json"))


def test_results_md_is_what_the_results_say_now():
    assert (ROOT / "docs" / "results.md").read_text(encoding="utf-8") == make_results.page(), (
        "run python docs/make_results.py"
    )


def test_the_contests_of_the_readme_are_those_of_the_results():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert readme == make_results.with_contests(readme), "run python docs/make_results.py"


def test_every_number_of_the_readmes_contests_stands_in_a_results_json():
    # Without the functions of make_results: each row's two differences, worked out here from the file.
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    section = readme.split(make_results.BEGIN)[1].split(make_results.END)[0]
    rows = {
        cells[1].strip(): section_row
        for section_row in section.splitlines()
        if len(cells := section_row.split("|")) > 2
    }
    checked = 0
    for name, noise, what in make_results.CONTESTS:
        path = ROOT / "docs" / "results" / name / "results.json"
        if not path.is_file():
            assert what not in rows
            continue
        found = json.loads(path.read_text())
        usual = found["base"].get("reward_noise", 0.0)
        (block,) = (b for b in found["blocks"] if b["settings"].get("reward_noise", usual) == noise)
        arms = {arm["name"]: arm["runs"] for arm in block["arms"]}
        for how in ("sampled", "greedy"):
            gap = estimates.difference(arms["VIMPO"], arms["GRPO"], how)
            assert f"{100 * gap.mean:+.1f} ({100 * gap.low:+.1f} to {100 * gap.high:+.1f})" in rows[what]
            word = "above" if gap.low > 0 else "below" if gap.high < 0 else "open"
            assert re.search(rf"{re.escape(f'{100 * gap.high:+.1f})')} \| {word} \|", rows[what])
            checked += 1
    assert checked >= 12


@pytest.mark.parametrize("name", PUBLISHED)
def test_every_published_experiment_is_on_the_page(name):
    assert f"results/{name}/report.md" in make_results.page()


@pytest.mark.parametrize("name", PUBLISHED)
def test_every_published_report_has_the_intervals_of_today(name):
    folder = ROOT / "docs" / "results" / name
    found = estimates.with_intervals(json.loads((folder / "results.json").read_text(encoding="utf-8")))
    drawn = [file.stem for file in (folder / "figures").glob("*.svg")]
    text = (folder / "report.md").read_text(encoding="utf-8")
    assert text == document.markdown(report.report(found, drawn)), "run python docs/make_results.py"
    assert "bootstrap" not in text and "somewhat too narrow" not in text


def test_pearson_is_said_to_be_of_delta_and_auc_of_minus_delta():
    page = make_results.page()
    assert "AUC is that of minus delta_t" in page and "Pearson is that of delta_t itself" in page
    assert "somewhat too narrow" not in page and "bootstrap" not in page


def test_the_correlation_over_rules_stands_with_its_interval():
    found = make_results.over_rules()
    assert f"is {found.r:+.2f} ({found.low:+.2f} to {found.high:+.2f})" in make_results.page()
