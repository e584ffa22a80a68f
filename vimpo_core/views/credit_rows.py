"""One solution in three rows on one scale: what GRPO pushes, what VIMPO pushes at a lambda, what is read off a trained
policy.

All three are credit in reward units, before a rule scales it into its push, as Inspect's *Every rule* has them under
"Credit in reward units":

    GRPO   R - group mean, on every token (it then divides by the group's spread)
    VIMPO  A_t = delta_t + lambda A_{t+1} (its actor then whitens it; the value loss pushes all tokens alike)
    read   delta_t = beta (log pi - log pi_ref - KL_t), the same at lambda 0; of the run's own policy or of another's

delta is linear in beta, so that a browser can work out all three at any lambda and beta from what is here. NumPy only.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from vimpo_core import credit
from vimpo_core.config import TrainConfig
from vimpo_core.rules import RULES
from vimpo_core.solutions import reading
from vimpo_core.solutions.steps import mark_note
from vimpo_core.types import CreditTrace, known
from vimpo_core.views.payload import round_up, tokens_of, with_version

DECIMALS = 2


def credit_rows(trace: CreditTrace, config: TrainConfig, others: Mapping[str, CreditTrace] | None = None) -> dict:
    """What `assets/components/credit_rows` draws of one solution, ready for JSON.

    Args:
        trace: the solution under the run's own policy, with log-probabilities and KL.
        config: the run's settings at the step of the solution.
        others: rule -> the same tokens under the policy of a run that this rule trained, to be read off instead.

    Returns:
        text, units, line_starts, first_wrong, largest_drop: as for every drawing of a solution (`payload.tokens_of`);
        note: what happened at the marked token, "" where nobody knows;
        counts: whether each token counts in the loss, bool [T];
        above_group: R - group mean, None where the rewards of the group were not recorded;
        rule: that trained the run; names: rule -> name, of the rules here;
        readings: [{"rule", "per_beta"}], the run's own policy first; per_beta: delta_t at beta 1, float [T], None
            inside where not finite; reward units over beta;
        beta, gae_lambda: of `config`; is_trained: whether the run trained with them (GRPO has neither);
        scale: {"max", "signed", "unit", "decimals"}, for all rows at all settings; what lies beyond has the colour of
            the end;
        version: of the content.
    """
    read_by = {config.algorithm: trace, **(others or {})}
    readings = {rule: known(reading.td_terms(one, 1.0)) for rule, one in read_by.items()}
    above = trace.reward - trace.group_mean_reward
    delta = config.beta * readings[config.algorithm]
    carried = credit.gae(delta[None], reading.mask_of(trace), config.gae_lambda)[0]
    payload = {
        **tokens_of(trace),
        "note": mark_note(trace),
        "counts": np.asarray(trace.mask, bool).tolist(),
        "above_group": _number(above),
        "rule": config.algorithm,
        "names": {rule: RULES[rule].name for rule in dict.fromkeys(("grpo", "vimpo", *read_by))},
        "readings": [{"rule": rule, "per_beta": [_number(v) for v in values]} for rule, values in readings.items()],
        "beta": config.beta,
        "gae_lambda": config.gae_lambda,
        "is_trained": bool(RULES[config.algorithm].value),
        "scale": scale_of(np.array([above]), delta, carried),
    }
    return with_version(payload)


def scale_of(*rows: np.ndarray) -> dict:
    """One symmetric colour scale for rows in reward units."""
    largest = max((abs(float(v)) for row in rows for v in row if math.isfinite(v)), default=0.0)
    return {"max": round_up(largest), "signed": True, "unit": "reward", "decimals": DECIMALS}


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
