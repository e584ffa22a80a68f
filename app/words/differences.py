"""What differs from the paper and its authors' code, read from docs/differences.md, so that pages and document say the
same.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from vimpo_core.paths import ROOT

PATH = ROOT / "docs" / "differences.md"


@dataclass(frozen=True)
class Difference:
    """One row, markdown as it stands there. options: settings of `TrainConfig` and keys of `rules.RULES` that it
    names.
    """

    what: str
    theirs: str
    ours: str
    option: str
    consequence: str

    @property
    def options(self) -> tuple[str, ...]:
        return tuple(re.findall(r"`(\w+)`", self.option))


def differences() -> tuple[Difference, ...]:
    """The rows of the document's one table; none where it is missing, as in an installation without docs/."""
    if not PATH.is_file():
        return ()
    lines = [line for line in PATH.read_text(encoding="utf-8").splitlines() if line.startswith("|")]
    return tuple(Difference(*(cell.strip() for cell in line.strip("|").split("|"))) for line in lines[2:])
