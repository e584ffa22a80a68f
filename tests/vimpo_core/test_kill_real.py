"""The real trainer, killed -9 at random moments: no committed step is lost, and every later bit is as if nothing had
been.
"""

import os

import pytest

from tests.support.kills import measure
from tests.support.real import small


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="kill -9 is a Unix word")
def test_the_real_trainer_survives_kills_at_random_moments_bit_for_bit(tmp_path):
    """A few kills only; `python -m vimpo_core bench kill` makes twenty."""
    pair = [small(algorithm=a, steps=8, prompts_per_step=8) for a in ("vimpo", "grpo")]
    result = measure(tmp_path, pair, kills=4, longest_life=0.3)
    assert (result["lost_steps"], result["difference"]) == (0, "")
    assert result["landed"] >= 1  # kills before the first step or after the last would show little
