"""The paper and the lab as data: whatever cites them is made from this; CITATION.cff is tested against it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Paper:
    """One article. authors: given and family name, in its own order; arxiv: its identifier."""

    title: str
    authors: tuple[tuple[str, str], ...]
    arxiv: str
    year: int

    @property
    def url(self) -> str:
        return f"https://arxiv.org/abs/{self.arxiv}"

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(f"{given} {family}" for given, family in self.authors)

    def in_words(self) -> str:
        """As a list of references writes it."""
        return f"{', '.join(self.names)}. {self.title}. arXiv {self.arxiv}, {self.year}."


VIMPO = Paper(
    "VIMPO: Value-Implicit Policy Optimization for LLMs",
    (("Zhewei", "Kang"), ("Aosong", "Feng"), ("Sergey", "Levine"), ("Dawn", "Song"), ("Xuandong", "Zhao")),
    "2606.20008",
    2026,
)
"""The paper whose method the lab teaches."""

PAPER_MODEL, PAPER_PARAMETERS = "Qwen3-4B", "4 billion"
PAPER_CLEAN = {"VIMPO": "39.5", "GRPO": "37.4", "naive GRPO": "36.6"}
PAPER_NOISY = {"VIMPO": "35.9", "GRPO": "32.2"}
"""What the paper reports on competition mathematics, in per cent: on clean rewards, and with those of whole groups
flipped.
"""

BIBTEX = f"""@article{{vimpo2026,
  title   = {{{VIMPO.title}}},
  author  = {{{" and ".join(f"{family}, {given}" for given, family in VIMPO.authors)}}},
  journal = {{arXiv preprint arXiv:{VIMPO.arxiv}}},
  year    = {{{VIMPO.year}}},
  url     = {{{VIMPO.url}}}
}}

@software{{vimpo_lab,
  title   = {{VIMPO Lab}},
  author  = {{{{VIMPO Lab developers}}}},
  license = {{MIT}}
}}
"""
"""The entries of CITATION.cff."""
