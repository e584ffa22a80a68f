"""This lab's functions beside those of TRL, verl and OpenRLHF on the same arrays: writes docs/parity.md.

    python -m vimpo_core bench parity --json

A row is one function of ours against one of a peer's. Where the numbers differ by more than rounding the row says why,
and the difference is measured again with the cause removed. A difference without a cause ends the command with an
error.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import _peers
from benchmarks._parity_advantages import group_advantages, newer_rules, token_advantages
from benchmarks._parity_losses import critic_losses, surrogates
from benchmarks._parity_numbers import likelihoods, statistics
from benchmarks._parity_rows import SAME, Row, arrays
from vimpo_core.files import write_whole
from vimpo_core.paths import ROOT

PAGE = ROOT / "docs" / "parity.md"
SECTIONS = (
    group_advantages,
    token_advantages,
    newer_rules,
    surrogates,
    critic_losses,
    likelihoods,
    statistics,
)


def rows() -> list[Row]:
    peers, batch = _peers.modules(), arrays()
    return [row for section in SECTIONS for row in section(peers, batch)]


def page(found: list[Row]) -> str:
    same = sum(row.difference <= SAME for row in found)
    head = ["rule", "this lab", "peer", "case", "largest difference", "why", "who follows the paper"]
    lines = [head, ["---"] * 4 + ["---:"] + ["---"] * 2]
    lines += [
        [
            row.rule,
            f"`{row.ours}`",
            row.peer,
            row.case,
            f"{row.difference:.1e}" if row.difference else "0",
            row.why if row.difference > SAME else "",
            row.follows,
        ]
        for row in found
    ]
    versions = ", ".join(f"{name} {version}" for name, version in _peers.PEERS.items())
    table = "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
    return (
        PROSE.format(versions=versions, rows=len(found), same=same, rest=len(found) - same, limit=SAME) + table + "\n"
    )


PROSE = """# Parity with peers

Made by `python -m vimpo_core bench parity`: this lab's functions and those of {versions} (and of torch, scipy, statsmodels and scikit-learn) on the same arrays in one process, float64 where the peer keeps it.
Of {rows} comparisons {same} agree to {limit:g}; the other {rest} differ for the reason in their row, most of them because the peer computes in float32. The batch is drawn (seed 0): 24 solutions of 2 to 12 tokens in
groups of 4, one group that agrees, ratios that the clip and the dual clip stop.

VIMPO itself is in none of the three; its losses are held by the exact tree, by finite differences and by arrays worked out by hand (`tests/vimpo_core/test_credit.py`, `test_losses.py`), and what differs from its
authors' code stands in [differences.md](differences.md).

To run it again: `pip install -r requirements-bench.txt`, then `pip install --no-deps -r requirements-parity.txt` (without their engines).

"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--json", action="store_true", help="End stdout with one JSON object.")
    parser.add_argument("--repeats", type=int, help="Taken by every benchmark; this one compares once.")
    arguments = parser.parse_args()
    if problem := _peers.missing():
        parser.exit(2, f"{problem}\n")
    found = rows()
    write_whole(PAGE, page(found))
    unexplained = [row for row in found if not row.is_explained]
    if arguments.json:
        print(json.dumps({"rows": [asdict(row) for row in found], "unexplained": len(unexplained)}))
    else:
        for row in found:
            why = f": {row.why}" if row.difference > SAME else ""
            print(f"{row.difference:8.1e}  {row.rule:<28} {row.peer}, {row.case}{why}")
        print(f"wrote {PAGE.relative_to(ROOT)}: {len(found)} comparisons, {len(unexplained)} without a reason")
    if unexplained:
        parser.exit(
            1,
            "".join(f"no reason for {row.difference:.1e}: {row.rule}, {row.peer}, {row.case}\n" for row in unexplained),
        )


if __name__ == "__main__":
    main()
