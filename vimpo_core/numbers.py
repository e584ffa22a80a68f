"""How a number is written for people: its sign, its digits, its unit, its interval. The one place of Python; a leaf."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def real_minus(text: str) -> str:
    """A number that is written already, with the minus sign that is as wide as a plus."""
    return text.replace("-", "−")


def fixed(value: float, decimals: int = 2) -> str:
    """0.12, −0.61, 0.00: so many decimals, and no sign where all of them are 0."""
    digits = f"{abs(value):.{decimals}f}"
    return f"−{digits}" if value < 0 and float(digits) else digits


def signed(value: float, decimals: int = 2) -> str:
    """+0.12, −0.61, 0.00: the sign is there wherever a digit is."""
    digits = fixed(value, decimals)
    return f"+{digits}" if value > 0 and float(digits) else digits


def term(value: float, decimals: int = 2) -> str:
    """+ 0.12, − 0.61: what is added to or taken from what stands before it."""
    return f"{'−' if value < 0 else '+'} {abs(value):.{decimals}f}"


def percent(share: float, decimals: int = 0) -> str:
    """A share in percent: 71 %, −3.2 %."""
    return f"{fixed(100 * share, decimals)} %"


def points(share: float) -> str:
    """A difference of shares as signed percentage points: +1.3, −0.4, 0.0."""
    return signed(100 * share, 1)


def significant(value: float) -> str:
    """Three significant digits without an exponent where a reader can follow: 0.00123, 0.123, 12.3, 1,240."""
    if value < 0:
        digits = significant(-value)
        return digits if digits == "≈ 0" else f"−{digits}"
    if 0 < value < 1e-6:
        return "≈ 0"
    if value >= 1e6 or 0 < value < 1e-3:
        return f"{value:.1e}"
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}" if value >= 1 else f"{value:.3f}"


def ten_to(exponent: int) -> str:
    """10⁻⁵"""
    return f"10{str(exponent).translate(_SUPERSCRIPTS)}"


def short(value: float) -> str:
    """0, 0.19, 4.5·10⁻⁷ or "not finite": two digits, and the size is seen at once."""
    if value == 0:
        return "0"
    if not math.isfinite(value):
        return "not finite"
    if 0.01 <= abs(value) < 1000:
        return real_minus(f"{value:.2g}")
    mantissa, exponent = f"{value:.1e}".split("e")
    mantissa, power = real_minus(mantissa.removesuffix(".0")), ten_to(int(exponent))
    return power if mantissa == "1" else f"{mantissa}·{power}"


def with_bounds(estimate: Mapping[str, Any], written: Callable[[float], str]) -> str:
    """An estimate {"mean", "low", "high"}: "71.2 (69.8 to 72.5)", without bounds where there are too few seeds for
    them.
    """
    if estimate["low"] is None:
        return written(estimate["mean"])
    return f"{written(estimate['mean'])} ({written(estimate['low'])} to {written(estimate['high'])})"


def rough_time(seconds: float) -> str:
    """A time that is only about right: "a few seconds", "40 s", "1 min 40 s", "25 min", "1 h 10 min"."""
    if seconds < 8:
        return "a few seconds"
    if seconds < 57.5:
        return f"{5 * round(seconds / 5)} s"
    if seconds < 595:
        minutes, rest = divmod(10 * round(seconds / 10), 60)
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    minutes = round(seconds / 60) if seconds < 3570 else 10 * round(seconds / 600)
    hours, minutes = divmod(minutes, 60)
    return f"{minutes} min" if not hours else f"{hours} h {minutes} min" if minutes else f"{hours} h"
