"""The exact KL over the vocabulary beside TRL's fused head, which holds no logits. Imports torch and trl.

TRL scores tokens inside a model's forward, where the weights of the head are whole even if they are sharded elsewhere.
There the hidden states that the head reads are taken too: of the reference once a batch, kept; of the policy at every
update, whose KL against them is added up in row chunks (`credit.exact_kl`).
"""

from __future__ import annotations

import contextlib
import functools
import types
from collections.abc import Callable
from typing import Any

import torch
from torch.distributed.tensor import DTensor
from trl.trainer.utils import maybe_gather_lm_head_ctx

from vimpo_core import credit
from vimpo_core.engines.trl import hooks

ROOM, GPU_ROOM = 2**28, 2**31
"""Bytes for all that is as wide as the vocabulary: on the CPU, and elsewhere, where few rows leave the device idle."""
_COPIES = 8
"""Such arrays that live at once, float32: logits of both, their log-probabilities and what reduces them."""


class HeadStates:
    """Watches the forwards of policy and reference that go through TRL's fused head.

    policy, reference: causal models (no PeftModel around them) after TRL has given them the fused head; the same one
    twice where the reference is the policy without its adapter. temperature: what TRL divides logits by.
    """

    def __init__(self, policy, reference, temperature: float):
        self.policy, self.reference, self.temperature = policy, reference, temperature
        self._read: Callable[[torch.Tensor], object] | None = None
        self._hidden: Any = None
        for model in {id(m): m for m in (policy, reference)}.values():
            self._watch(model)

    def of_reference(self, score, width: int):
        """(what `score()` returns, float [B, width, H]): the states that predict the last `width` tokens of each row,
        from the forwards that `score` makes.
        """
        kept: list[torch.Tensor] = []
        with self._reading(lambda hidden: kept.append(hidden[:, -width:])):
            found = score()
        return found, torch.cat(kept)

    def kl_of(self, score, ref_states: torch.Tensor, completion_mask: torch.Tensor):
        """(what `score()` returns, KL(pi, pi_ref) in nats, float [B, T], constant, 0 where masked).

        score: makes one forward of the policy over rows that end in T completion tokens; ref_states: [B, T, H].
        """
        found: list[torch.Tensor] = []
        width = completion_mask.shape[1]
        with self._reading(lambda hidden: found.append(self._kl(hidden[:, -width:], ref_states, completion_mask))):
            scored = score()
        return scored, found[0]

    @torch.no_grad()
    def _kl(self, states, ref_states, mask):
        with contextlib.ExitStack() as stack:
            head, ref_head = (_Head(model, self.temperature, stack) for model in (self.policy, self.reference))
            rows, ref_rows = states[mask], ref_states[mask]
            room = ROOM if states.device.type == "cpu" else GPU_ROOM
            chunk = max(1, room // (_COPIES * 4 * head.weight.shape[0]))
            parts = [
                credit.exact_kl(head.logits(rows[i : i + chunk]), ref_head.logits(ref_rows[i : i + chunk]))
                for i in range(0, len(rows), chunk)
            ]
        kl = torch.zeros(mask.shape, dtype=parts[0].dtype if parts else torch.float32, device=mask.device)
        return kl.masked_scatter(mask, torch.cat(parts)) if parts else kl

    @contextlib.contextmanager
    def _reading(self, read):
        self._read = read
        try:
            yield
        finally:
            self._read = self._hidden = None

    def _watch(self, model):
        hooks.check_fused_head(model)
        model.base_model.register_forward_hook(self._see)
        scored = model.forward

        # The signature of before: `generate` looks at it.
        @functools.wraps(scored)
        def forward(_, *args, fused_lm_head=False, **kwargs):
            out = scored(*args, fused_lm_head=fused_lm_head, **kwargs)
            if fused_lm_head and self._read:
                # The last position predicts nothing.
                self._read(self._hidden[:, :-1].detach())
            return out

        model.forward = types.MethodType(forward, model)

    def _see(self, _module, _inputs, output):
        if self._read:
            self._hidden = output.last_hidden_state


class _Head:
    """Logits as TRL's fused head makes them: the head's product, scaled, soft-capped, over the temperature."""

    def __init__(self, model, temperature: float, stack: contextlib.ExitStack):
        layer, text = model.get_output_embeddings(), model.config.get_text_config()
        self.weight, self.bias = whole(layer.weight), None if layer.bias is None else whole(layer.bias)
        stack.enter_context(maybe_gather_lm_head_ctx(*(p for p in (self.weight, self.bias) if p is not None)))
        if self.weight.dim() != 2:
            raise RuntimeError(
                f"the head of {type(model).__name__} is sharded into {tuple(self.weight.shape)} where its reference is "
                "read. Train an adapter (peft_config), whose reference is the policy without it, or shard with FSDP 2."
            )
        self.cap = getattr(text, "final_logit_softcapping", None)
        self.scale = _logit_scale(text)
        self.temperature = temperature

    def logits(self, states):
        found = torch.nn.functional.linear(states.to(self.weight.dtype), self.weight, self.bias)
        if self.scale != 1:
            found = found * self.scale
        if self.cap:
            found = torch.tanh(found / self.cap) * self.cap
        return found / self.temperature if self.temperature != 1 else found


def whole(parameter):
    return parameter.full_tensor() if isinstance(parameter, DTensor) else parameter


def _logit_scale(text) -> float:
    """What an architecture multiplies its logits by, read where TRL reads it."""
    for name in ("logit_scale", "output_multiplier", "lm_head_multiplier"):
        if (found := getattr(text, name, None)) is not None:
            return found
    divisor = getattr(text, "logits_scaling", None)
    if divisor is None:
        return 1.0
    return divisor if text.model_type == "hyperclovax" else 1 / divisor
