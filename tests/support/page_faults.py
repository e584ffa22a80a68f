"""What can be seen to be wrong on a page of the browser: `page_faults.js` says what it looks for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Page

_SCRIPT = Path(__file__).with_suffix(".js").read_text("utf-8")


@dataclass(frozen=True, order=True)
class Fault:
    """kind: sideways, silent, overlap, cut or faint; where: the element and two around it; text: what it says."""

    kind: str
    where: str
    text: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.text}\n    {self.where}"


def page_faults(page: Page) -> list[Fault]:
    """What is wrong on the page at its present width and theme. AssertionError when no word is seen on it."""
    if not page.evaluate("() => 'pageFaults' in window"):
        page.evaluate(_SCRIPT)
    found = page.evaluate("() => window.pageFaults()")
    assert found["words"] > 5, f"the page says next to nothing: {found['words']} pieces of text"
    return sorted({Fault(**fault) for fault in found["faults"]})
