"""The glossary is whole, and the README's table of symbols says the same."""

import dataclasses
import re

import pytest

from vimpo_core.glossary import CLAIMS, SYMBOLS
from vimpo_core.paths import ROOT


def readme_rows():
    """(symbols, code names, meaning, unit) of each row of the README's table."""
    section = (ROOT / "README.md").read_text(encoding="utf-8").split("## Symbols")[1].split("\n## ")[0]
    rows = [line.strip("|").split("|") for line in section.splitlines() if line.startswith("|")][2:]
    assert len(rows) > 8, "the table was found"
    return [
        (s.strip(), re.findall(r"`(\w+)`", code), meaning.strip(), unit.strip())
        for s, code, meaning, unit in rows
    ]


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


def test_claims_name_both_sides():
    assert all(claim.paper and claim.lab for claim in CLAIMS)
