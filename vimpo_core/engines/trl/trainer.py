"""VIMPO's loss on TRL's loop: `GRPOTrainer` samples, scores, accumulates and steps; what a token is worth is ours.

    L = L_V + c_A L_A,    L_V = mean_B 1/2 (sum_t (rho_t - sg kappa_t) - (R - group mean))^2   (`losses.value_loss`)

L_A is GRPO's own surrogate, with whatever options it is given, on whitened token advantages (`credit.gae`,
`credit.whiten`) instead of one advantage a solution; with `VIMPOConfig`'s defaults it is `losses.ppo_clip_loss`.
The reference is the policy without its adapter, or TRL's reference model where all weights are trained.
"""

from __future__ import annotations

import contextlib
from typing import Any

import torch
from accelerate.utils import is_peft_model
from trl import GRPOTrainer
from trl.models.utils import disable_gradient_checkpointing
from trl.trainer.utils import use_adapter

from vimpo_core import credit, losses
from vimpo_core.engines.trl import hooks
from vimpo_core.engines.trl.config import VIMPOConfig
from vimpo_core.engines.trl.head_states import HeadStates


class VIMPOTrainer(GRPOTrainer):
    """Takes what `GRPOTrainer` takes; args: a `VIMPOConfig`.

    The batch of the loss is what one update sees on all ranks (of several generations that one update accumulates, each
    is a batch): the advantages are whitened over it, at the policy that the update begins with, so neither the
    micro-batch size nor the number of ranks changes the gradient. With one micro-batch an update the policy's own
    forward is enough for that; with several there is one more, without a gradient.

    `token_credit`: what the last loss saw of its rows, constant: ref_logprob, kl, advantages (whitened), [B, T].
    """

    def __init__(self, model, reward_funcs=None, args: VIMPOConfig | None = None, *more, **options):
        hooks.check_methods(GRPOTrainer, hooks.VIMPO)
        hooks.check_functions()
        args = args or VIMPOConfig("vimpo")
        penalty = args.beta
        # TRL loads a reference only for a penalty of its own, and VIMPO always reads one.
        args.beta = penalty or args.vimpo_beta
        try:
            super().__init__(model, reward_funcs, args, *more, **options)
        finally:
            args.beta = penalty
        self.beta = penalty
        hooks.check_state(self, hooks.VIMPO_STATE)
        policy = self.model.get_base_model() if is_peft_model(self.model) else self.model
        reference = policy if self.ref_model is None else self.accelerator.unwrap_model(self.ref_model)
        if reference is policy and any(p.requires_grad for p in policy.get_output_embeddings().parameters()):
            raise ValueError(
                "the head over the vocabulary is trained beside the adapter, and the reference needs it as it was. "
                "Leave it out of modules_to_save, or train all weights (no peft_config)."
            )
        self._head = HeadStates(policy, reference, self.temperature)
        self._scored: Any = None
        self._prepared: list[tuple[torch.Tensor, torch.Tensor]] = []
        self._in_update = 0
        self.token_credit: dict[str, torch.Tensor] = {}

    # --- a generated batch -------------------------------------------------------------------------------------------

    def _calculate_rewards(self, inputs, prompts, completions, completion_ids_list):
        self._reward_table = super()._calculate_rewards(inputs, prompts, completions, completion_ids_list)
        return self._reward_table

    def _generate_and_score_completions(self, inputs):
        penalty, self.beta = self.beta, 0.0  # its reference log-probabilities are made here, with the states
        try:
            out = super()._generate_and_score_completions(inputs)
        finally:
            self.beta = penalty
        if "pixel_values" in out:
            raise ValueError("VIMPO on TRL reads text alone, and a prompt holds an image. Leave images out.")
        rows = slice(self.accelerator.process_index * len(inputs), (self.accelerator.process_index + 1) * len(inputs))
        size = self.num_generations if self.model.training else self.num_generations_eval
        rewards, baseline, is_scored = rewards_of(self._reward_table, self.reward_weights, size)
        out["vimpo_target"], out["vimpo_is_scored"] = (rewards - baseline)[rows], is_scored[rows]
        out["ref_per_token_logps"], out["vimpo_ref_states"] = self._of_reference(out)
        return out

    def _of_reference(self, batch):
        model = self.accelerator.unwrap_model(self.model)
        adapter = contextlib.nullcontext()
        if self.ref_model is None:
            adapter = use_adapter(model, "ref" if "ref" in model.peft_config else None)
        rows = self.args.per_device_train_batch_size if model.training else self.args.per_device_eval_batch_size
        width = batch["completion_ids"].shape[1]
        with torch.no_grad(), disable_gradient_checkpointing(model, self.args.gradient_checkpointing_kwargs), adapter:
            (logps, _, _), states = self._head.of_reference(
                lambda: super(VIMPOTrainer, self)._get_per_token_logps_and_entropies(
                    self.model if self.ref_model is None else self.ref_model, *_ids(batch), width, batch_size=rows
                ),
                width,
            )
        return logps, states

    # --- the loss of a micro-batch ----------------------------------------------------------------------------------

    def _compute_loss(self, model, inputs):
        training = self.model.training
        if training and not self._prepared and (count := self._micro_batches()) > 1:
            first = self._step % self.args.steps_per_generation
            self._prepare(model, self._buffered_inputs[first : first + count])
        if self._prepared:
            scored = self._forward(model, inputs)
            kl, advantages = self._prepared.pop(0)
        else:
            scored, kl = self._with_kl(model, inputs)
            advantages = self._advantages([(inputs, scored[0], kl)])[0]
        self.token_credit = {"ref_logprob": inputs["ref_per_token_logps"], "kl": kl, "advantages": advantages}
        value = self._value_loss(inputs, scored[0], kl)
        # GRPO's surrogate is linear in the advantages; scaled here, c_A leaves its entropy bonus and penalty alone.
        self._scored = scored
        actor = super()._compute_loss(model, {**inputs, "advantages": self.args.actor_coef * advantages})
        if not training:
            return value + actor
        steps = self.current_gradient_accumulation_steps
        self._in_update = (self._in_update + 1) % steps
        return value / steps + actor

    def _value_loss(self, inputs, logps, kl):
        counted = _counted(inputs)
        terms = credit.td_terms(logps, inputs["ref_per_token_logps"], kl, counted, self.args.vimpo_beta)
        target = inputs["vimpo_target"]
        residual = credit.terminal_residual(terms, counted, target, torch.zeros_like(target))
        value = losses.residual_penalty(residual, target)
        tokens = _loss_mask(inputs)
        sums = torch.stack([value.detach(), kl.sum(), tokens.sum().to(kl.dtype)])
        over_ranks = self.accelerator.reduce(sums, reduction="sum").tolist()
        metrics = self._metrics["train" if self.model.training else "eval"]
        metrics["vimpo/value_loss"].append(over_ranks[0] / self.accelerator.num_processes)
        metrics["vimpo/kl"].append(over_ranks[1] / max(over_ranks[2], 1))
        return value

    def _micro_batches(self) -> int:
        """How many micro-batches of this update are in the generated batch from here on."""
        generated = self.args.steps_per_generation - self._step % self.args.steps_per_generation
        return min(generated, self.current_gradient_accumulation_steps - self._in_update)

    def _prepare(self, model, batches) -> None:
        """KL and advantages of all micro-batches of an update, at the policy that it begins with."""
        with torch.no_grad():
            scored = [(batch, *self._with_kl(model, batch)) for batch in batches]
            advantages = self._advantages([(batch, found[0], kl) for batch, found, kl in scored])
        self._prepared = [(kl, part) for (_, _, kl), part in zip(scored, advantages, strict=True)]

    def _advantages(self, parts) -> list[torch.Tensor]:
        """Whitened token advantages, float [B, T] each, of the parts (inputs, logps, kl) of one update's batch on this
        rank; whitened over all ranks.
        """
        raw, counted = [], []
        for inputs, logps, kl in parts:
            mask = _counted(inputs)
            terms = credit.td_terms(logps.detach(), inputs["ref_per_token_logps"], kl, mask, self.args.vimpo_beta)
            raw.append(credit.gae(terms, mask, self.args.gae_lambda))
            counted.append(mask)
        mine, mask = torch.cat(raw), torch.cat(counted)
        # Ranks whose rows are the longest pad nothing, and padding makes booleans into numbers: numbers everywhere.
        whitened = credit.whiten(self._gathered(mine), self._gathered(mask.int()).bool())
        start = self.accelerator.process_index * len(mine)
        own = whitened[start : start + len(mine), : mine.shape[1]]
        return list(own.split([len(part) for part in raw]))

    def _gathered(self, rows):
        """The rows of all ranks, in order, padded at the right to the longest."""
        return self.accelerator.gather(self.accelerator.pad_across_processes(rows, dim=1))

    def _with_kl(self, model, inputs):
        return self._head.kl_of(lambda: self._forward(model, inputs), inputs["vimpo_ref_states"], _loss_mask(inputs))

    def _forward(self, model, inputs):
        """(log pi, entropy, balance loss of experts) of the completions, as GRPO's loss asks for them."""
        return self._get_per_token_logps_and_entropies(
            model,
            *_ids(inputs),
            inputs["completion_ids"].shape[1],
            compute_entropy=True,
            compute_aux_loss=self.aux_loss_enabled,
        )

    def _get_per_token_logps_and_entropies(self, *arguments, **options):
        if self._scored is not None:  # GRPO's loss asks for what the value loss has
            found, self._scored = self._scored, None
            return found
        return super()._get_per_token_logps_and_entropies(*arguments, **options)


def rewards_of(table: torch.Tensor, weights: torch.Tensor, group_size: int):
    """(rewards, group means, which rows have a reward), [B] each, of the reward functions' table [B, F], nan where one
    said nothing.

    A row that no function scored has reward and mean 0 and is in no other row's mean. Groups are consecutive rows.
    """
    is_scored = ~torch.isnan(table).all(dim=1)
    rewards = (table * weights.to(table.device)).nansum(dim=1)
    group_ids = torch.arange(len(table), device=table.device) // group_size
    # Rows without a reward are a group of their own each, below all others.
    group_ids = torch.where(is_scored, group_ids, -1 - torch.arange(len(table), device=table.device))
    return rewards, credit.group_mean(rewards, group_ids), is_scored


def _ids(batch) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids and attention mask of prompts and completions together."""
    return (
        torch.cat([batch["prompt_ids"], batch["completion_ids"]], dim=1),
        torch.cat([batch["prompt_mask"], batch["completion_mask"]], dim=1),
    )


def _loss_mask(batch) -> torch.Tensor:
    """bool [B, T], True on the tokens that the policy sampled: padding, cut rows and tools' answers are out."""
    mask = batch["completion_mask"]
    return (mask * batch["tool_mask"] if "tool_mask" in batch else mask).bool()


def _counted(batch) -> torch.Tensor:
    """The same without rows that have no reward."""
    return _loss_mask(batch) & batch["vimpo_is_scored"][:, None]
