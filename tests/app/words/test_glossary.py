"""The glossary is whole, and the README's table of symbols says the same."""

import dataclasses
import re

import pytest

from app.course.widgets import derivation as derivation_view
from app.course.widgets import failures
from app.words.glossary import CLAIMS, SYMBOLS, TERMS
from vimpo_core.paths import ROOT
from vimpo_core.solutions import lenses
from vimpo_core.tree import derivation, formulas


def readme_rows():
    """(symbols, code names, meaning, unit) of each row of the README's table."""
    section = (ROOT / "README.md").read_text(encoding="utf-8").split("## Symbols")[1].split("\n## ")[0]
    rows = [line.strip("|").split("|") for line in section.splitlines() if line.startswith("|")][2:]
    assert len(rows) > 8, "the table was found"
    return [(s.strip(), re.findall(r"`(\w+)`", code), meaning.strip(), unit.strip()) for s, code, meaning, unit in rows]


@pytest.mark.parametrize("row", readme_rows(), ids=lambda row: row[1][0])
def test_the_readme_says_what_the_glossary_says(row):
    paper, codes, meaning, unit = row
    symbols = [SYMBOLS[code] for code in codes]
    assert paper == ", ".join(symbol.paper for symbol in symbols)
    assert meaning == "; ".join(symbol.meaning for symbol in symbols)
    assert {unit} == {symbol.unit for symbol in symbols}


def test_every_symbol_is_told_in_full_and_has_an_anchor_of_its_own():
    for key, symbol in SYMBOLS.items():
        assert symbol.key == key
        assert all(getattr(symbol, field.name) for field in dataclasses.fields(symbol)), key
        assert re.fullmatch(r"symbol-[a-z-]+", symbol.anchor)
    assert len({symbol.anchor for symbol in SYMBOLS.values()}) == len(SYMBOLS)


def test_every_word_is_told_in_one_sentence():
    assert list(TERMS) == sorted(TERMS)
    for key, term in TERMS.items():
        assert term.key == key and term.anchor == f"term-{key}" and len(term.meaning) > 30
        assert not re.search(r"[.!?]( |$)", term.meaning.replace("2.72", "")), "one sentence, its full stop is added"


def test_pages_explain_only_words_that_the_list_has():
    asked = [
        re.findall(r'words_explained\((".*?")\)', path.read_text(encoding="utf-8"))
        for folder in ("app", "pages")
        for path in (ROOT / folder).rglob("*.py")
    ]
    keys = {key for calls in asked for call in calls for key in re.findall(r'"([^"]+)"', call)}
    keys |= {*failures.WORDS, *derivation_view.WORDS}
    assert len(keys) > 6 and keys <= {*TERMS, *SYMBOLS}


def test_no_two_entries_share_a_symbol():
    for written in ("paper", "latex"):
        found = [getattr(symbol, written) for symbol in SYMBOLS.values()]
        assert len(set(found)) == len(found), written


def test_lenses_and_formulas_write_a_quantity_as_the_glossary_does():
    for name in ("td_terms", "advantages", "advantages_whitened", "grpo", "rho", "kappa"):
        key = "grpo_advantages" if name == "grpo" else name
        assert lenses.LENSES[name].symbol.removesuffix("ₜ") == SYMBOLS[key].paper, name
    names = {
        "beta": formulas.BETA,
        "baseline": formulas.BASELINE,
        "multiplier": formulas.MULTIPLIER,
        "rho": formulas.RHO,
        "kappa": formulas.KAPPA,
        "rewards": formulas.R,
        "reward_now": formulas.REWARD_NOW,
    }
    for key, formula in names.items():
        assert formulas.latex(formula) == SYMBOLS[key].latex, key


def test_the_derivation_leaves_lambda_to_the_reach_of_credit():
    for step in derivation.steps():
        words = [step.title, step.statement, step.rule, *map(formulas.latex, step.sides(None))]
        words += [word for one in step.breaks for word in (one.term, *map(formulas.latex, step.sides(one.key)))]
        assert not re.search(r"λ|lambda", " ".join(words)), step.key


def test_claims_name_both_sides_and_hold_no_typed_number_of_this_lab():
    for claim in CLAIMS:
        assert claim.paper and claim.lab
        own = claim.lab.replace("exactly 0", "")
        assert not re.search(r"\d", own), "numbers of this lab are computed by whoever shows the claim"
        assert "not settled" not in own
