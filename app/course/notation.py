"""The Notation page: the glossary drawn, a heading with an anchor for every symbol; claims, differences, citation."""

from __future__ import annotations

import re

import streamlit as st

from app.components.cards import cards
from app.course import bundled
from app.course.chapters import blame
from app.course.lesson import TEXT_WIDTH, filled
from app.text import as_plain
from app.words import verdicts
from app.words.citation import BIBTEX, VIMPO
from app.words.differences import differences
from app.words.glossary import CLAIMS, SYMBOLS, TERMS, Symbol


def notation() -> None:
    st.title("Notation", anchor=False)
    st.markdown(
        "Log-probabilities are natural logarithms at temperature 1. A solution has T tokens, the end token included, "
        "and its reward comes only at its end. No symbol has two meanings: r is only the reward of one token, λ only "
        "the reach of credit, Â only GRPO's advantage, Ã only VIMPO's. Below each meaning stand the unit "
        "and where you see it.",
        width=TEXT_WIDTH,
    )
    for symbol in SYMBOLS.values():
        _row(symbol)
    st.header("Words", anchor="words")
    for term in TERMS.values():
        left, right = st.container(width=1000).columns([1, 3], gap="medium")
        left.subheader(as_plain(term.name), anchor=term.anchor)
        right.markdown(as_plain(term.meaning[0].upper() + term.meaning[1:] + "."))
    st.header("The paper and this lab", anchor="claims")
    _claims()
    st.header("What differs from the paper and its authors' code", anchor="differences")
    _differences()
    st.header("Cite", anchor="cite")
    st.markdown(f"[{as_plain(VIMPO.in_words())}]({VIMPO.url})", width=TEXT_WIDTH)
    st.code(BIBTEX, language="bibtex")


def _row(symbol: Symbol) -> None:
    left, right = st.container(width=1000, key=f"symbol-{symbol.anchor}").columns([1, 3], gap="medium")
    left.subheader(f"${symbol.latex}$", anchor=symbol.anchor)
    code = ", ".join(f"`{name}`" for name in symbol.code)
    right.markdown(
        f"**{as_plain(symbol.paper)}**, in code {code}: {as_plain(symbol.meaning)}.  \n"
        f":gray[{as_plain(symbol.unit)} · {as_plain(symbol.where)}]"
    )


def _claims() -> None:
    numbers = _numbers()
    unread = "There are no bundled runs to read it from."
    rows = [(claim.paper, filled(claim.lab, **numbers) if numbers else unread) for claim in CLAIMS]
    cards("claims", ("The paper says", "This lab measures"), rows)


def _numbers() -> dict[str, str]:
    """What the bundled runs and the experiments say; {} without bundled runs."""
    runs = bundled.runs()
    vimpo = [run for run in runs.values() if run.algorithm == "vimpo"]
    grpo = next((run for run in runs.values() if run.algorithm == "grpo"), None)
    if not vimpo or grpo is None:
        return {}
    counts = blame.counts(vimpo[0])
    accuracy = [f"{bundled.sampled_accuracy(run):.3f} (beta {run.config.beta:g})" for run in reversed(vimpo)]
    clean, *noisy = verdicts.short_answer()
    return {
        "clean": as_plain(clean),
        "noisy": as_plain(" ".join(noisy)),
        "problems": str(grpo.config.eval_prompts),
        "steps": str(grpo.steps),
        "vimpo": " and ".join(accuracy),
        "grpo": f"{bundled.sampled_accuracy(grpo):.3f}",
        "wrong": counts["wrong"],
        "step": counts["step"],
        "hits": counts["delta"],
        "surprising": counts["surprisal"],
    }


def _differences() -> None:
    found = differences()
    if not found:
        st.info("docs/differences.md is not here, so there is no table to show.")
    st.caption(
        "From docs/differences.md; the authors' code is backprop07/VIMPO, read at commit 2aa83bc.",
        width=TEXT_WIDTH,
    )
    for row in found:
        option = "" if row.option == "none" else f"  \n:gray[Option: {row.option}]"
        st.markdown(
            f"**{row.what}.** Paper and authors: {row.theirs}. Here: {row.ours}.  \nConsequence: "
            f"{_without_links(row.consequence)}.{option}",
            width=TEXT_WIDTH,
        )


def _without_links(markdown: str) -> str:
    """Links of the document lead to other documents, which the app does not serve: their words stay."""
    return re.sub(r"\[([^\]]+)\]\(([^)]+)\)", r"docs/\2", markdown)
