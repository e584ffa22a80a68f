"""Two rules' formulas side by side, slot by slot, with one token's numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from app.components.assets import as_data, register
from vimpo_core.views.credit_view import with_version
from vimpo_core.views.rules_view import WHY_NOT

_mount = register("rule_diff")


@dataclass(frozen=True)
class Slot:
    """One slot of two rules: what stands there, and its lines of numbers as (symbol, written, result, says); one of
    each a rule.

    is_different: None where it is no choice of the rules but follows from the others.
    """

    title: str
    terms: Sequence[str]
    lines: Sequence[Sequence[tuple[str, str, str, str]]]
    is_different: bool | None


def rule_diff(slots: Sequence[Slot], names: tuple[str, str], why_not: tuple[str, str], *, key: str) -> None:
    """Draw two rules side by side, slot by slot.

    Args:
        names: of the rules; why_not: keys of WHY_NOT, "" where all numbers are there.
    """
    data = {
        "names": names,
        "slots": [asdict(slot) for slot in slots],
        "why_not": [WHY_NOT[why] if why else "" for why in why_not],
    }
    _mount(key=key, data=as_data(with_version(data)))
