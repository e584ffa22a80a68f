"""The real trainer and all that a class does beside it, killed -9 at random moments: nothing that was done is lost,
each start is clean, and every later bit is as if nothing had been.
"""

import os

import pytest

from tests.support.kill_rounds import run_rounds


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="kill -9 is a Unix word")
def test_kills_of_web_process_worker_and_all_lose_nothing_and_change_no_bit(tmp_path):
    """Three rounds only; `python -m vimpo_core bench kill --rounds 100` makes a hundred."""
    tally = run_rounds(tmp_path / "killed", 3, ("training", "import"), seed=11)
    assert tally.faults == []
    assert sum(row.kills for row in tally.rows.values()) == 3 and tally.acts > 10
    assert tally.first_answers["trained"] >= 1
