"""Which projections of a network get an adapter. Imports torch, but not peft."""

from __future__ import annotations

import torch
from transformers.pytorch_utils import Conv1D

_PEFT_RENAMES = {"gate", "gate_proj", "up_proj", "down_proj", "w1", "w2", "w3"}
"""Leaf names that peft takes for experts wherever they stand in such a network, and then adapts what cannot be
folded.
"""


def adapts_attention_alone(model) -> bool:
    """Whether the network is a mixture of experts whose weights are fused: no adapter is put on its feed-forward
    part.
    """
    return any("Experts" in type(module).__name__ for module in model.modules())


def targets(model, layers: int = 0) -> str | list[str]:
    """What a fresh adapter sits on, for peft: `projections`."""
    is_whole = not adapts_attention_alone(model) and not _lowest(model, layers)
    return "all-linear" if is_whole else list(projections(model, layers))


def projections(model, layers: int = 0) -> dict[str, torch.nn.Module]:
    """The linear projections that a fresh adapter sits on, by name: all but the head; of a mixture of experts those of
    its attention alone. layers: of the top layers alone; 0: of all."""
    head, is_mixture, lowest = model.get_output_embeddings(), adapts_attention_alone(model), _lowest(model, layers)
    return {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear | Conv1D)
        and module is not head
        # Some routers are a kind of Linear that returns more.
        and not (is_mixture and (type(module) not in (torch.nn.Linear, Conv1D) or _last(name) in _PEFT_RENAMES))
        and (not lowest or _layer_number(name) >= lowest)
    }


def _lowest(model, layers: int) -> int:
    return max(model.config.get_text_config().num_hidden_layers - layers, 0) if layers else 0


def _last(name: str) -> str:
    return name.rpartition(".")[2]


def _layer_number(name: str) -> int:
    """The layer that a module belongs to: the first number in its name; -1 outside the layers."""
    return next((int(part) for part in name.split(".") if part.isdigit()), -1)
