"""The Notation page: the lab's numbers are those of the files they come from, what differs is listed, the paper is
cited.
"""

from app.words import verdicts
from app.words.citation import VIMPO
from app.words.differences import differences
from app.words.glossary import TERMS
from tests.pages.opening import open_page, words
from vimpo_core.paths import DEMOS
from vimpo_core.runs.folder import RunsDir


def test_the_labs_side_of_a_claim_is_what_the_results_say():
    said = words(open_page("notation"))
    for noise in verdicts.SOURCES:
        assert verdicts.difference(verdicts.match(noise)) in said
    assert "not settled" not in said.lower()


def test_accuracies_of_the_bundled_runs_name_their_problems():
    said = words(open_page("notation"))
    with RunsDir(DEMOS, read_only=True).open("grpo") as store:
        last = [row["sampled_accuracy"] for row in store.metrics() if row.get("sampled_accuracy") is not None][-1]
        problems = store.config().eval_prompts
    assert f"on the {problems} validation problems" in said and f"{last:.3f} for GRPO" in said


def test_the_words_of_the_field_are_explained():
    said = words(open_page("notation"))
    for term in TERMS.values():
        assert term.meaning[1:] in said, term.key


def test_every_row_of_the_table_of_differences_is_shown_and_the_paper_is_cited():
    said = words(open_page("notation"))
    for row in differences():
        assert row.what in said and row.ours in said
    assert VIMPO.in_words() in said
