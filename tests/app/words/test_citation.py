"""The citation file, the BibTeX entry and the README name the same paper by the same authors."""

import re

import yaml

from app.words.citation import BIBTEX, VIMPO
from vimpo_core.paths import ROOT


def test_the_paper_is_cited_with_its_authors_and_its_whole_title():
    assert VIMPO.names == ("Zhewei Kang", "Aosong Feng", "Sergey Levine", "Dawn Song", "Xuandong Zhao")
    assert VIMPO.title == "VIMPO: Value-Implicit Policy Optimization for LLMs"
    assert (VIMPO.arxiv, VIMPO.year) == ("2606.20008", 2026)


def test_the_citation_file_says_what_the_code_says():
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    (paper,) = cited["references"]
    assert paper["title"] == VIMPO.title and paper["url"] == VIMPO.url and paper["year"] == VIMPO.year
    assert [(one["given-names"], one["family-names"]) for one in paper["authors"]] == list(VIMPO.authors)
    assert paper["identifiers"][0]["value"] == f"arXiv:{VIMPO.arxiv}"
    assert cited["title"] in BIBTEX and cited["license"] in BIBTEX and cited["authors"][0]["name"] in BIBTEX


def test_bibtex_separates_authors_as_bibtex_wants_it():
    (authors,) = re.findall(r"author  = \{([^{].*)\},", BIBTEX)
    assert authors.split(" and ") == [f"{family}, {given}" for given, family in VIMPO.authors]
    assert VIMPO.title in BIBTEX and VIMPO.url in BIBTEX and BIBTEX.count("{") == BIBTEX.count("}")


def test_the_readme_cites_the_paper_as_the_code_does():
    assert VIMPO.in_words() in (ROOT / "README.md").read_text(encoding="utf-8")
