"""The most instructive solutions of a scorecard: their tokens coloured by credit, who pointed where, and the way to
look closer.
"""

from __future__ import annotations

from collections.abc import Callable

from app.components.solutions import draw_list, scale_of
from app.words.findings import FIRST_WRONG, target_name
from vimpo_core.measure.instructive import KINDS
from vimpo_core.solutions.visible_text import visible_text
from vimpo_core.views.payload import shown_texts, shown_units, with_version


def instructive_list(kind: str, report: dict, link: Callable[[dict], str], key: str) -> None:
    """Draw the solutions of one of `KINDS` in a `truth_report.truth_report`; `link`: address of the page that opens
    one.
    """
    beta, entries = report["beta"], report["instructive"][kind]
    problems = [_problem(entry, report["algorithm"], link) for entry in entries]
    listed = {
        "heading": KINDS[kind].replace(FIRST_WRONG, target_name(report)),
        "scale": scale_of(beta, problems),
        "problems": problems,
    }
    draw_list(with_version(listed), key)


def _problem(entry: dict, algorithm: str, link) -> dict:
    implied = entry["found"]["implied_advantage"]
    return {
        "prompt": visible_text(entry["prompt"]),
        "gold": entry["gold"],
        "solutions": [
            {
                "name": "implied credit",
                "style": algorithm,
                "right": implied["place"] == 1,
                "verdict": _pointed(entry, "implied_advantage"),
                "reward": f"policy surprisal: {_pointed(entry, 'surprisal_policy')}",
                "group": f"reference surprisal: {_pointed(entry, 'surprisal_reference')}",
                "href": link(entry),
                "strip": {
                    "label": "implied credit",
                    "text": shown_texts(entry["tokens"]),
                    "units": shown_units(entry["tokens"]),
                    "lineStarts": entry["line_starts"],
                    "values": entry["credit"],
                    "firstWrong": entry.get("largest_drop", entry["first_wrong"]),
                    "mark": "drop" if "largest_drop" in entry else "wrong",
                    "note": "",
                    "layout": "flow",
                    "interactive": False,
                    "small": True,
                },
            }
        ],
    }


def _pointed(entry: dict, signal: str) -> str:
    """ "#16", or "#9, the first wrong one in place 2"."""
    found = entry["found"][signal]
    target, name = entry["first_wrong"], "first wrong"
    if "largest_drop" in entry:
        target, name = entry["largest_drop"], "largest true drop"
    if found["place"] == 1:
        return f"points at #{found['token']}, the {name}{' one' if name == 'first wrong' else ''}"
    return f"points at #{found['token']}; {name} #{target} in place {found['place']:g}"
