"""What we use of TRL that it does not promise, checked before a run begins: a sentence then, not a traceback at step 1.

TRL's public names are used as they are. Imports neither torch nor trl.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import inspect
from collections.abc import Iterable, Mapping

TESTED = (1, 16)
"""Major and minor version whose hooks these are."""
NEEDS = "Install what it was tested with: pip install -r requirements-trl.txt."

TRACES = {
    "_generate_and_score_completions": ("self", "inputs"),
    "_calculate_rewards": ("self", "inputs", "prompts", "completions", "completion_ids_list"),
    "_get_per_token_logps_and_entropies": ("self", "model", "input_ids", "attention_mask", "logits_to_keep"),
    "_compute_loss": ("self", "model", "inputs"),
}
"""Methods of `GRPOTrainer` that `TraceMixin` extends -> the parameters that they begin with."""
VIMPO = TRACES | {
    "_prepare_inputs": ("self", "generation_batch"),
    "training_step": ("self", "model", "inputs", "num_items_in_batch"),
}
"""Those that `VIMPOTrainer` extends, or whose bookkeeping it reads."""
FUNCTIONS = {
    "trl.trainer.utils.use_adapter": ("model", "adapter_name"),
    "trl.trainer.utils.maybe_gather_lm_head_ctx": ("params",),
    "trl.models.utils.disable_gradient_checkpointing": ("model", "gradient_checkpointing_kwargs"),
}
TRACE_STATE = ("_tokenizer", "eos_token_ids", "num_generations", "reward_func_names", "reward_weights", "temperature")
VIMPO_STATE = (
    *TRACE_STATE,
    "_step",
    "_buffered_inputs",
    "_metrics",
    "ref_model",
    "num_iterations",
    "num_generations_eval",
    "aux_loss_enabled",
)
"""Attributes of a trainer that was made."""


def check_version() -> None:
    """Raises ImportError, one sentence, unless the tested range of TRL is installed."""
    wanted = f"TRL >= {TESTED[0]}.{TESTED[1]}, < {TESTED[0]}.{TESTED[1] + 1}"
    try:
        found = importlib.metadata.version("trl")
    except importlib.metadata.PackageNotFoundError:
        raise ImportError(f"training on TRL needs {wanted}, and TRL is not installed.") from None
    if tuple(int(part) for part in found.split(".")[:2]) != TESTED:
        raise ImportError(f"training on TRL needs {wanted}, found {found}.")


def check_methods(owner: type, methods: Mapping[str, tuple[str, ...]]) -> None:
    """Raises RuntimeError naming the first method that is not there or begins with other parameters."""
    for name, wanted in methods.items():
        _check(getattr(owner, name, None), f"{owner.__name__}.{name}", wanted)


def check_functions() -> None:
    """The same of the functions beside the trainer."""
    for path, wanted in FUNCTIONS.items():
        module, _, name = path.rpartition(".")
        try:
            found = getattr(importlib.import_module(module), name, None)
        except ImportError:
            found = None
        _check(found, path, wanted)


def check_state(trainer, names: Iterable[str]) -> None:
    """Raises RuntimeError naming the attributes that a trainer lacks."""
    if missing := [name for name in names if not hasattr(trainer, name)]:
        raise RuntimeError(f"TRL moved: a {type(trainer).__name__} has no {', '.join(missing)} any more. {NEEDS}")


def check_fused_head(model) -> None:
    """TRL's own forward of the model, which scores tokens without logits."""
    code = getattr(getattr(model.forward, "__func__", model.forward), "__code__", None)
    if code is None or "fused_lm_head" not in code.co_varnames:
        raise RuntimeError(f"TRL moved: a model's forward takes no fused_lm_head any more. {NEEDS}")


def _check(found, name: str, wanted: tuple[str, ...]) -> None:
    if found is None:
        raise RuntimeError(f"TRL moved: {name} is not there any more. {NEEDS}")
    names = tuple(inspect.signature(found).parameters)
    if names[: len(wanted)] != wanted:
        raise RuntimeError(
            f"TRL moved: {name} takes ({', '.join(names[: len(wanted)])}), not ({', '.join(wanted)}). {NEEDS}"
        )
