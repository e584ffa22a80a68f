"""What is compared: the batch of arrays, a row of the table, and how far two results are apart."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace

import torch

SAME = 1e-10
"""Largest difference that rounding in float64 explains here; rows computed in float32 by the peer say so."""
SEED, GROUPS, GROUP, LONGEST, VOCABULARY = 0, 6, 4, 12, 16


@dataclass(frozen=True)
class Row:
    """One comparison. difference: the largest absolute one over all entries; why: "" where it is rounding; follows: who
    does what the paper of the rule says, where they differ."""

    rule: str
    ours: str
    peer: str
    case: str
    difference: float
    why: str = ""
    follows: str = ""

    @property
    def is_explained(self) -> bool:
        return self.difference <= SAME or bool(self.why)


def arrays() -> SimpleNamespace:
    """A ragged batch in float64: 6 groups of 4, one of which agrees; ratios from .4 to 2.5, some beyond the dual
    clip.
    """
    generator = torch.Generator().manual_seed(SEED)
    rows = GROUPS * GROUP
    lengths = torch.randint(2, LONGEST + 1, (rows,), generator=generator)
    lengths[0] = LONGEST
    mask = torch.arange(LONGEST) < lengths[:, None]

    def normal(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    logits, ref_logits = normal(rows, LONGEST, VOCABULARY), normal(rows, LONGEST, VOCABULARY)
    tokens = torch.randint(0, VOCABULARY, (rows, LONGEST), generator=generator)
    logprobs = logits.log_softmax(-1).gather(-1, tokens[..., None])[..., 0]
    ref_logprobs = ref_logits.log_softmax(-1).gather(-1, tokens[..., None])[..., 0]
    old_logprobs = logprobs - 0.4 * normal(rows, LONGEST)
    old_logprobs[0, 0] = logprobs[0, 0] - 3.0  # a ratio of 20: the dual clip acts
    advantages = normal(rows, LONGEST) * mask
    advantages[0, 0] = -1.0  # where it only acts against a token
    rewards = (normal(rows) > 0).double()
    rewards[:GROUP] = torch.tensor([0.0, 1.0, 1.0, 0.0])
    rewards[GROUP : 2 * GROUP] = 1.0
    return SimpleNamespace(
        logits=logits,
        ref_logits=ref_logits,
        tokens=tokens,
        logprobs=logprobs.requires_grad_(),
        ref_logprobs=ref_logprobs,
        old_logprobs=old_logprobs,
        completion_mask=mask,
        rewards=rewards,
        graded=torch.rand(rows, generator=generator).double(),
        group_ids=torch.arange(rows) // GROUP,
        advantages=advantages,
        values=normal(rows, LONGEST) * mask,
        old_values=normal(rows, LONGEST) * mask,
        lengths=lengths,
    )


def gap(first, second) -> float:
    """The largest absolute difference; nan against a number counts as infinite."""
    first, second = (torch.as_tensor(a, dtype=torch.float64).detach() for a in (first, second))
    difference = (first - second).abs()
    return float(torch.where(difference.isnan(), torch.inf, difference).max())


def at_the_end(rewards, mask):
    """Rewards [B] on each row's last token: [B, T], as verl takes them."""
    paid = torch.zeros(mask.shape, dtype=rewards.dtype)
    paid[torch.arange(len(rewards)), mask.sum(1) - 1] = rewards
    return paid
