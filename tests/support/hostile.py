"""A solution whose texts try everything: markup, script ends, line separators, direction marks, half characters,
formulas.
"""

from __future__ import annotations

import numpy as np

from vimpo_core.types import CreditTrace, StopReason, TopK

TEXTS = (
    "<img src=x onerror=alert(1)>",
    "</script><script>window.hacked=1</script>",
    "<!--<script>",
    "\u2028",
    "\u202e",
    "\ud800",
    "=1+1",
    '"',
    "\n",
    "\x00",
    "&lt;",
    "{{policy}}",
)


def hostile_trace(**changes) -> CreditTrace:
    """One of a group of two, every array filled; nan and both infinities among the numbers."""
    length = len(TEXTS)
    chance = np.random.default_rng(0)
    logprob = -chance.exponential(1.0, length).astype(np.float32)
    ref_logprob = -chance.exponential(1.0, length).astype(np.float32)
    ref_logprob[3], ref_logprob[4] = np.nan, -np.inf
    ids = np.arange(length, dtype=np.int32)
    topk = TopK(
        ids=np.stack([ids, ids[::-1]], axis=1),
        text=[[TEXTS[i], TEXTS[length - 1 - i]] for i in range(length)],
        logprob=np.stack([logprob, logprob - 1], axis=1).astype(np.float32),
        ref_logprob=np.stack([ref_logprob, logprob - 2], axis=1).astype(np.float32),
    )
    trace = CreditTrace(
        step=3,
        group_id=1,
        sample_idx=0,
        prompt_text="</script><b>1+1=",
        prompt_ids=(1, 2, 3),
        gold="2",
        reward=1 / 3,
        group_mean_reward=0.1,
        finish_reason=StopReason.EOS,
        ids=ids,
        text=TEXTS,
        mask=np.arange(length) != 2,
        logprob=logprob,
        ref_logprob=ref_logprob,
        kl=chance.exponential(0.1, length).astype(np.float32),
        entropy=chance.exponential(0.5, length).astype(np.float32),
        sampler_logprob=logprob.copy(),
        topk=topk,
        rewards={"verifier": 0.0},
        reward_reason="<i>no</i>",
        status="incorrect",
        answer="</script>\u202e",
        first_wrong=5,
        provenance={"logprob": "recorded", "kl": "recomputed"},
    )
    return trace.with_(**changes)


HEADER = {
    "schema_version": 1,
    "run_id": "run-1",
    "algorithm": "vimpo",
    "name": "</script><u>mine</u>",
    "model": {"id": "bundled", "sha256": "0" * 64},
    "ref": {"id": "bundled"},
    "tokenizer_sha256": "1" * 64,
    "beta": 0.1,
    "gae_lambda": 1.0,
    "temperature": 1.0,
    "kl_estimator": "exact",
}
