"""Our traces from any trainer like GRPO: class Traced(TraceMixin, GRPOTrainer), or (TraceMixin, VIMPOTrainer).

A completion is recorded when the loss first sees it, which costs no forward: its log-probabilities and entropies are
those of the loss. Its step is the number of updates that the policy had when it sampled. What a trainer does not know
(of plain GRPO the exact KL, without a penalty also the reference) is null, never zeros.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from transformers import TrainerCallback

from vimpo_core import __version__
from vimpo_core.engines import trace_writer
from vimpo_core.engines.trl import hooks
from vimpo_core.lm.models import LanguageModel, token_texts
from vimpo_core.types import StopReason

if TYPE_CHECKING:
    from trl import GRPOTrainer as Trainer
else:
    Trainer = object

GOLD_COLUMNS = ("gold", "answer", "solution", "ground_truth", "target")
"""Columns of a data set that may hold the gold answer, the first that is there."""
MEASURED = ("logprob", "ref_logprob", "kl", "entropy", "sampler_logprob")
FOLDER = "traces"
"""Below the trainer's output_dir."""


class TraceMixin(Trainer):
    """Stands before the trainer in the list of bases. `trace_every`: updates from one recorded step to the next."""

    trace_every = 1

    def __init__(self, *arguments, **options):
        hooks.check_methods(_trainer_below(type(self)), hooks.TRACES)
        super().__init__(*arguments, **options)
        hooks.check_state(self, hooks.TRACE_STATE)
        self._recorder = Recorder(self)
        self.add_callback(self._recorder)

    def _calculate_rewards(self, inputs, prompts, completions, completion_ids_list):
        table = super()._calculate_rewards(inputs, prompts, completions, completion_ids_list)
        self._recorder.generated = (prompts, completion_ids_list, table)
        return table

    def _generate_and_score_completions(self, inputs):
        out = super()._generate_and_score_completions(inputs)
        if self.model.training and self.state.global_step % self.trace_every == 0:
            out["trace_row"] = self._recorder.take_in(inputs, out)
        return out

    def _get_per_token_logps_and_entropies(self, *arguments, **options):
        self._recorder.scored = super()._get_per_token_logps_and_entropies(*arguments, **options)
        return self._recorder.scored

    def _compute_loss(self, model, inputs):
        loss = super()._compute_loss(model, inputs)
        if self.model.training and "trace_row" in inputs:
            self._recorder.look(inputs)
        self._recorder.scored = None
        return loss


class Recorder(TrainerCallback):
    """Gathers what is known of each completion of this rank, and writes a step's once the loss has seen them all."""

    def __init__(self, trainer):
        self.trainer = trainer
        self.folder = Path(trainer.args.output_dir) / FOLDER
        self.generated: Any = None
        self.scored: Any = None
        self.waiting: dict[int, dict[str, Any]] = {}
        self.taken = 0
        self.groups: dict[int, int] = {}
        # Tokens become text without a model's weights.
        nothing = torch.nn.Identity()
        self.speller = LanguageModel(nothing, nothing, trainer._tokenizer, "")

    # --- what the trainer tells --------------------------------------------------------------------------------------

    def take_in(self, inputs, batch) -> torch.Tensor:
        """A freshly generated batch of this rank. Returns the number of each row in `waiting`, int [B]."""
        trainer, step = self.trainer, self.trainer.state.global_step
        prompts, completions, table = self.generated
        rewards = _total(table, trainer.reward_weights)
        size, first = trainer.num_generations, trainer.accelerator.process_index * len(inputs)
        groups_before = self.groups.get(step, 0)
        self.groups = {step: groups_before + len(table) // size}
        mask = batch["completion_mask"] * batch.get("tool_mask", 1)
        arrays = {"mask": mask.bool(), "sampler_logprob": batch.get("sampling_per_token_logps")}
        # Old log-probabilities are there where the policy may have moved before the loss sees the row.
        arrays["logprob"] = batch.get("old_per_token_logps")
        columns, named = _on_cpu(arrays), table.tolist()
        asked, kept = batch["prompt_ids"].cpu().numpy(), batch["prompt_mask"].bool().cpu().numpy()
        prompt_ids = [row[is_kept].tolist() for row, is_kept in zip(asked, kept, strict=True)]
        advantages = batch["advantages"].tolist()
        has_own = hasattr(trainer, "token_credit")  # then advantages are a matter of tokens
        start, self.taken = self.taken, self.taken + len(completions)
        for i, ids in enumerate(completions):
            ids, row = [int(token) for token in ids], first + i
            of_group = rewards[row // size * size : (row // size + 1) * size]
            scored = [r for r in of_group if r is not None]
            is_first = row % size == 0
            self.waiting[start + i] = {
                "step": step,
                "group_id": groups_before + row // size,
                "sample_idx": row % size,
                "prompt_text": _prompt_text(prompts[i]),
                "prompt_ids": prompt_ids[i],
                "gold": _gold(inputs[i]),
                "reward": rewards[row],
                "rewards": dict(zip(trainer.reward_func_names, named[row], strict=True)),
                "reward_reason": "",
                "group_mean_reward": sum(scored) / len(scored) if scored else None,
                "group_rewards": scored if len(scored) == size else None,
                "tool_advantage": None if has_own else advantages[i],
                "finish_reason": str(StopReason.EOS if ids and ids[-1] in trainer.eos_token_ids else StopReason.LENGTH),
                "ids": ids,
                "text": list(token_texts(self.speller, ids)),
                **{name: None if found is None else found[i, : len(ids)] for name, found in columns.items()},
                **({"prompt_pieces": list(token_texts(self.speller, prompt_ids[i]))} if is_first else {}),
                "_seen": False,
            }
        return torch.arange(start, self.taken, device=batch["completion_ids"].device)

    def look(self, inputs) -> None:
        """The rows of a loss, just computed: those not seen before get its arrays."""
        rows = [self.waiting.get(number) for number in inputs["trace_row"].tolist()]
        fresh = [(i, row) for i, row in enumerate(rows) if row is not None and not row["_seen"]]
        if not fresh:  # a batch that is used again
            return
        logps, entropies, _ = self.scored
        known: Mapping[str, Any] = getattr(self.trainer, "token_credit", None) or {
            "ref_logprob": inputs.get("ref_per_token_logps"),
            "kl": None,
        }
        columns = _on_cpu({"logprob": logps, "entropy": entropies, **known})
        of_tool = {name: a for name, a in columns.items() if a is not None and name not in MEASURED}
        for i, row in fresh:
            length = len(row["ids"])
            found = {name: None if a is None else a[i, :length] for name, a in columns.items() if name in MEASURED}
            if of_tool:
                row["tool_arrays"] = {name: a[i, :length] for name, a in of_tool.items()}
            if row["logprob"] is not None:
                del found["logprob"]
            row |= found | {"_seen": True}
            # What depends on the policy was measured after this many updates.
            later = self.trainer.state.global_step - row["step"]
            how = f"approximate (policy {later} update{'s' * (later > 1)} later)" if later else "recorded"
            moved = {"entropy", "kl"} | ({"logprob"} & found.keys())
            row["provenance"] = {
                name: "missing" if row.get(name) is None else how if name in moved else "recorded" for name in MEASURED
            }

    # --- when to write -----------------------------------------------------------------------------------------------

    def on_train_begin(self, args, state, control, **_):
        if self.trainer.accelerator.is_main_process:
            trace_writer.set_aside(self.folder, state.global_step)
            trace_writer.write_header(self.folder, header_of(self.trainer))
        self.trainer.accelerator.wait_for_everyone()

    def on_step_end(self, args, state, control, **_):
        if self.waiting and all(row["_seen"] for row in self.waiting.values()):
            self._write()

    def on_train_end(self, args, state, control, **_):
        if self.waiting:  # the last batch was not used to its end: what was sampled and judged is kept
            self._write()

    def _write(self):
        for step in dict.fromkeys(row["step"] for row in self.waiting.values()):
            rows = [row for row in self.waiting.values() if row["step"] == step]
            rank = self.trainer.accelerator.process_index
            trace_writer.write_step(self.folder, step, rank, [_record(row) for row in rows])
            self.trainer.accelerator.wait_for_everyone()
            if self.trainer.accelerator.is_main_process:
                trace_writer.mark_stable(self.folder, step)
        self.waiting = {}


def header_of(trainer) -> dict[str, Any]:
    """What holds for the whole run: which models, what the numbers are nats of, who wrote them."""
    config = trainer.args
    name = config.run_name or Path(config.output_dir).name
    is_ours = hasattr(trainer, "token_credit")
    has_adapter = hasattr(trainer.model, "peft_config")
    source = getattr(trainer.model.config, "_name_or_path", "")
    if is_ours:
        own = {"actor_coef": config.actor_coef, "gae_lambda": config.gae_lambda}
    else:
        own = {}
    algorithm, beta = ("vimpo", config.vimpo_beta) if is_ours else ("grpo", trainer.beta)
    return {
        "run_id": name,
        "name": name,
        "algorithm": algorithm,
        "model": {"id": source, "trains": "adapter" if has_adapter else "all weights"},
        "ref": {"id": source, "how": "adapter off" if has_adapter else "model as loaded"},
        "beta": beta,
        **own,
        "kl_estimator": "exact" if is_ours else "k3" if trainer.beta else None,
        "temperature": trainer.temperature,
        "config": {
            "algorithm": algorithm,
            "steps": max(trainer.state.max_steps, 1),
            "prompts_per_step": config.generation_batch_size // trainer.num_generations,
            "group_size": trainer.num_generations,
            "learning_rate": config.learning_rate,
            "seed": config.seed,
            **({"beta": beta} if beta else {}),
            **own,
        },
        "ranks": trainer.accelerator.num_processes,
        "writer": {"name": "vimpo-lab", "version": __version__},
        "engine": {"name": "trl", "version": importlib.metadata.version("trl"), "trainer": type(trainer).__name__},
    }


def _record(row: dict[str, Any]) -> dict[str, Any]:
    """A row without our notes and without optional fields that are not there."""
    return {
        name: value for name, value in row.items() if name != "_seen" and not (name == "group_rewards" and not value)
    }


def _trainer_below(kind: type) -> type:
    """The first base after the mixin that is not ours: the trainer whose methods are extended."""
    bases = kind.__mro__[kind.__mro__.index(TraceMixin) + 1 :]
    return next(base for base in bases if not base.__module__.startswith(f"{__package__}."))


def _total(table: torch.Tensor, weights: torch.Tensor) -> list[float | None]:
    """The weighted sum of each row's rewards; None where no function gave one."""
    is_scored = ~torch.isnan(table).all(dim=1)
    totals = (table * weights.to(table.device)).nansum(dim=1).tolist()
    return [total if known else None for total, known in zip(totals, is_scored.tolist(), strict=True)]


def _on_cpu(arrays: Mapping[str, Any]) -> dict[str, np.ndarray | None]:
    return {
        name: None if a is None else (a if a.dtype == torch.bool else a.detach().float()).cpu().numpy()
        for name, a in arrays.items()
    }


def _prompt_text(prompt) -> str:
    """What was asked: the text, or of a conversation what the last message says."""
    if isinstance(prompt, str):
        return prompt
    content = prompt[-1]["content"]
    return content if isinstance(content, str) else "".join(part.get("text", "") for part in content)


def _gold(columns: Mapping[str, Any]) -> str:
    found = next((columns[name] for name in GOLD_COLUMNS if columns.get(name) is not None), "")
    return found if isinstance(found, str) else str(found)
