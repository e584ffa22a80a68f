"""axe-core on a page of the browser: what it finds serious or critical, open shadow roots included.

The script is the one that the package axe-playwright-python carries (axe-core, MPL 2.0; used by tests alone).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from playwright.sync_api import Page

GRAVE = ("serious", "critical")
_RUN = """([rules, without]) => axe.run(document, {
    resultTypes: ['violations'],
    ...(rules.length ? {runOnly: rules} : {}),
    rules: Object.fromEntries(without.map((rule) => [rule, {enabled: false}])),
}).then((result) => result.violations)"""


@dataclass(frozen=True)
class Violation:
    """One element that breaks a rule. `target`: its selector, those of the shadow hosts around it before it."""

    rule: str
    impact: str
    target: str
    html: str
    why: str

    def __str__(self) -> str:
        return f"{self.rule} ({self.impact}) at {self.target}\n    {self.html}\n    {self.why}"


def grave_violations(page: Page, rules: Sequence[str] = (), without: Sequence[str] = ()) -> list[Violation]:
    """What axe-core finds serious or critical on the page as it is now, one entry an element.

    Args:
        rules: names of the only rules to apply; none for all.
        without: names of rules to leave out.
    """
    if not page.evaluate("() => 'axe' in window"):
        page.evaluate(_axe())
    return [
        Violation(
            rule=found["id"],
            impact=found["impact"],
            target=" >> ".join(_selectors(node["target"])),
            html=node["html"][:300],
            why=" ".join(node["failureSummary"].split()),
        )
        for found in page.evaluate(_RUN, [list(rules), list(without)])
        if found["impact"] in GRAVE
        for node in found["nodes"]
    ]


@cache
def _axe() -> str:
    return (files("axe_playwright_python") / "axe.min.js").read_text(encoding="utf-8")


def _selectors(target) -> list[str]:
    """axe gives a list of selectors, and a list in its place for an element inside shadow roots."""
    return [part for one in target for part in (_selectors(one) if isinstance(one, list) else [one])]
