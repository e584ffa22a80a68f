"""The short trainings behind `failures`: each tells its points one by one as they are measured. Imports torch."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import torch

from vimpo_core import credit, losses
from vimpo_core.labs.failures import FAILURES, HEALTHY, Point
from vimpo_core.lm import loading, models, scores
from vimpo_core.mistake import Mistake
from vimpo_core.solutions.batch import padded
from vimpo_core.trainer import Trainer
from vimpo_core.types import CreditTrace, StepRecord, known

Tell = Callable[[Point], None]


def reproduce(key: str, seed: int, tell: Tell) -> None:
    """Run a demonstration to its end.

    Args:
        key: of FAILURES; seed: of its trainings; tell: gets every point as soon as it is measured.

    Raises:
        Mistake: there is no such failure; the bundled model is missing.
        Diverged: a loss was not finite.
    """
    if key not in FAILURES:
        raise Mistake(f"there is no failure {key!r}. Choose one of {', '.join(FAILURES)}.")
    configs = tuple(replace(config, seed=seed) for config in FAILURES[key].configs)
    _RUNS[key](configs, tell)


def warm_up() -> None:
    """Load what every demonstration needs."""
    models.single_thread()
    loading.load_policy(HEALTHY)


def _records(configs) -> Iterator[tuple[StepRecord, ...]]:
    """The trainings side by side, a record of each at a time."""
    trainers = [Trainer(config) for config in configs]
    while not trainers[0].done:
        yield tuple(trainer.step() for trainer in trainers)


def _point(plot: int, x: int, ill: float | None, well: float | None) -> Point:
    y = {"ill": ill, "well": well}
    return {
        "plot": plot,
        "x": x,
        "y": {k: None if v is None or not np.isfinite(v) else float(v) for k, v in y.items()},
    }


def _compare(configs, tell: Tell, *measures: Callable) -> None:
    """Tell each measure(config, record) of the ill and the well training, one plot a measure."""
    for records in _records(configs):
        for plot, measure in enumerate(measures):
            found = [measure(config, record) for config, record in zip(configs, records, strict=True)]
            if any(value is not None for value in found):  # accuracy is measured now and then only
                tell(_point(plot, records[0].step, *found))


def _metric(name: str) -> Callable:
    return lambda config, record: record.metrics.get(name)


def _value_range(config, record: StepRecord) -> float:
    """How far V_t moves within a solution, largest minus smallest, mean over the solutions: reward units."""
    return float(np.mean([np.ptp(_values(config, trace)) for trace in record.traces]))


def _values(config, trace: CreditTrace) -> np.ndarray:
    delta, mask = _delta(config, trace, known(trace.kl)), np.ones((1, len(trace.ids)), dtype=bool)
    return credit.implied_values(delta, mask, np.array([trace.group_mean_reward], dtype=np.float32))[0]


def _delta(config, trace: CreditTrace, kl: np.ndarray) -> np.ndarray:
    """delta of one solution with this KL, float32 [1, T]."""
    mask = np.ones((1, len(trace.ids)), dtype=bool)
    logprob, ref_logprob = known(trace.logprob), known(trace.ref_logprob)
    return credit.td_terms(logprob[None], ref_logprob[None], kl[None], mask, config.beta)


def _k1_cancels(configs, tell: Tell) -> None:
    (config,) = configs
    for (record,) in _records(configs):
        k1, exact = (
            [_delta(config, trace, kl_of(trace))[0] for trace in record.traces]
            for kl_of in (lambda trace: trace.logprob - trace.ref_logprob, lambda trace: trace.kl)
        )
        tell(_point(0, record.step, *(np.abs(np.concatenate(each)).mean() for each in (k1, exact))))
    longest = max(range(len(exact)), key=lambda row: np.abs(exact[row]).max())
    for t, (with_k1, with_exact) in enumerate(zip(k1[longest], exact[longest], strict=True)):
        tell(_point(1, t, with_k1, with_exact))


def _dead_groups(configs, tell: Tell) -> None:
    for records in _records(configs):
        tell(_point(0, records[0].step, *(record.metrics["dead_group_share"] for record in records)))
        tell(_point(1, records[0].step, *_gradient_of_dead_groups(configs[0], records[0])))


def _gradient_of_dead_groups(config, record: StepRecord) -> tuple[float, float]:
    """Length of the gradient in log pi that the value loss and GRPO's loss take from groups that agree."""
    logprobs, batch = _tensors(record.traces)
    ref_logprobs, kl, mask, rewards, group_ids = batch
    value = losses.value_loss(logprobs, ref_logprobs, kl, mask, rewards, group_ids, config.beta)
    grpo, _ = losses.grpo_loss(logprobs, logprobs.detach(), mask, rewards, group_ids)
    agree = credit.grpo_advantages(rewards, group_ids, scale_by_std=False) == 0
    return tuple(torch.autograd.grad(loss, logprobs)[0][agree].norm().item() for loss in (value, grpo))


def _loss_zero(configs, tell: Tell) -> None:
    (config,) = configs
    for (record,) in _records(configs):
        logprobs, batch = _tensors(record.traces)
        ref_logprobs, kl, mask, rewards, group_ids = batch
        delta = credit.td_terms(logprobs.detach(), ref_logprobs, kl, mask, config.beta)
        whitened = credit.whiten(credit.gae(delta, mask, config.gae_lambda), mask)
        both = (
            losses.ppo_clip_loss(logprobs, logprobs.detach(), whitened, mask),
            losses.value_loss(logprobs, ref_logprobs, kl, mask, rewards, group_ids, config.beta),
        )
        tell(_point(0, record.step, *(loss.item() for loss in both)))
        gradients = (torch.autograd.grad(loss, logprobs)[0] for loss in both)
        tell(_point(1, record.step, *(gradient.norm().item() for gradient in gradients)))


def _tensors(traces: list[CreditTrace]):
    """Leaf log pi [B, T], and what follows it in `losses.value_loss`: log pi_ref, kl, mask, rewards, group ids."""

    def tensor(name):
        rows = [getattr(trace, name) for trace in traces]
        return torch.from_numpy(padded(rows, dtype=rows[0].dtype))

    batch = (
        tensor("ref_logprob"),
        tensor("kl"),
        tensor("mask"),
        torch.tensor([trace.reward for trace in traces]),
        torch.tensor([trace.group_id for trace in traces]),
    )
    return tensor("logprob").requires_grad_(), batch


def _bf16_noise(configs, tell: Tell) -> None:
    trainer = Trainer(configs[0])
    coarse = copy.deepcopy(trainer.policy.bare).to(torch.bfloat16)
    while trainer.next_step < trainer.config.steps:
        traces = trainer.step().traces  # and the update after it: the policy is one further than its traces
        batch = scores.make_batch(
            [trace.prompt_ids for trace in traces],
            [trace.ids.tolist() for trace in traces],
            trainer.policy.pad_id,
        )
        fine = scores.score(trainer.policy, batch)
        signal = fine.logprobs - fine.ref_logprobs
        noise = _ratio_in_bf16(trainer.policy, coarse, batch) - signal
        mask = batch.completion_mask
        tell(_point(0, trainer.next_step, *(each[mask].abs().mean().item() for each in (noise, signal))))


@torch.no_grad()
def _ratio_in_bf16(policy, coarse, batch) -> torch.Tensor:
    """log pi - log pi_ref with weights, activations and logits of both in bf16, as a mixed-precision scorer has
    them.
    """
    reference = scores.token_logprobs(scores.completion_logits(coarse, batch), batch)
    weights = {name: weight.to(torch.bfloat16) for name, weight in models.folded_weights(policy).items()}

    def network(**inputs):
        return torch.func.functional_call(coarse, weights, args=(), kwargs=inputs)

    return scores.token_logprobs(scores.completion_logits(network, batch), batch) - reference


_RUNS = {
    "flat_values": lambda configs, tell: _compare(configs, tell, _value_range, _metric("sampled_accuracy")),
    "no_learning": lambda configs, tell: _compare(
        configs, tell, *map(_metric, ("sampled_accuracy", "kl_mean", "residual_ratio"))
    ),
    "runaway": lambda configs, tell: _compare(configs, tell, _metric("reward_mean"), _metric("kl_mean")),
    "k1_cancels": _k1_cancels,
    "dead_groups": _dead_groups,
    "loss_zero": _loss_zero,
    "bf16_noise": _bf16_noise,
}
"""key -> its demonstration: (configs, tell)."""
