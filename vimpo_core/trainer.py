"""The training loop: sample, verify, score, loss, update; one record a step. No maths, no drawing, no files.

Record n describes the policy after n updates: its rollouts were sampled from it and scored under it, and then (but for
the last record) update n + 1 is made. All randomness is derived from (seed, step), so the resumable state is the
adapter and the optimizer alone, and a resumed run repeats the undisturbed one bit for bit. Imports torch.
"""

from __future__ import annotations

import dataclasses
import math
import random
import time
from dataclasses import dataclass

import numpy as np
import torch

from vimpo_core import credit
from vimpo_core.config import TrainConfig
from vimpo_core.learning import critic, objective, vine
from vimpo_core.learning.critic import CriticLearner
from vimpo_core.learning.objective import Experience
from vimpo_core.lm import llama, loading, model_trial, models, scores
from vimpo_core.lm.attempts import attempt
from vimpo_core.lm.seeds import derived_seed
from vimpo_core.lm.traces import make_traces
from vimpo_core.measure import evaluate, readout
from vimpo_core.rules import RULES, Extra
from vimpo_core.tasks.registry import check_enough, task_of
from vimpo_core.types import Diverged, Problem, Rollout, StepRecord, Verdict, known

TOP_K = 3
"""Alternatives of policy and of reference that are recorded with a snapshot step."""


_MEASURING = "measuring_cpu_seconds"
"""What a measurement took: the one thing that `_collect` tells which differs from run to run."""
LAST = ("clip_fraction", "grad_norm")
"""Metrics that are also recorded of the last of several updates."""


@dataclass(frozen=True)
class Group:
    """The solutions to one problem with their verdicts and the rewards that the trainer sees, flips included; flips:
    whose reward is flipped, which a reward of .5 does not show.
    """

    problem: Problem
    rollouts: list[Rollout]
    verdicts: list[Verdict]
    rewards: list[float]
    flips: list[bool]

    @property
    def tokens(self) -> int:
        return sum(len(rollout.ids) for rollout in self.rollouts)

    @property
    def is_flipped(self) -> bool:
        """Whether the first solution's reward is flipped: that of all of them where whole groups flip."""
        return self.flips[0]


@dataclass(frozen=True)
class _Rows:
    """The solutions of several groups, one a row."""

    problems: list[Problem]
    rollouts: list[Rollout]
    verdicts: list[Verdict]
    rewards: list[float]
    flips: list[bool]

    @classmethod
    def of(cls, groups: list[Group]) -> _Rows:
        return cls(
            [group.problem for group in groups for _ in group.rollouts],
            *(
                [one for group in groups for one in getattr(group, name)]
                for name in ("rollouts", "verdicts", "rewards", "flips")
            ),
        )


class Trainer:
    """One run in memory: `step()` until `done`. Raises Mistake if the model, its task or the resume state does not
    fit.
    """

    def __init__(self, config: TrainConfig, resume_state: bytes | None = None):
        models.single_thread(config.threads)
        self.config = config
        self.task = task_of(config)
        self._problems_from = self.task.source()
        self.policy = loading.load_policy(config)
        # Before anything else is put in: a refreshed reference takes the place of the base weights.
        self._base_sha256 = models.fingerprint(self.policy)
        check_enough(self.task, config.prompts_per_step)
        model_trial.check_task(self.policy, self.task)
        self.extras = RULES[config.algorithm].extras
        # What the lowest adapted layer reads is the same when a token is sampled and when it is scored.
        self.states_at = llama.lowest_adapted(self.policy) if llama.serves(self.policy) else 0
        self.parameters = [p for p in self.policy.model.parameters() if p.requires_grad]
        self.optimizer = torch.optim.Adam(self.parameters, lr=config.learning_rate, fused=True)
        self.learner = CriticLearner(self.policy, config) if Extra.CRITIC in self.extras else None
        self.refreshed: models.Adapter = {}  # the adapter that is the reference since the last refresh
        self.next_step = 0
        if resume_state is not None:
            self._restore(models.from_bytes(resume_state))

    @property
    def done(self) -> bool:
        return self.next_step > self.config.steps

    @property
    def header(self) -> dict:
        """What a reader needs to know of the models (schema version 1)."""
        reference = {"id": self.config.model, "sha256": self._base_sha256, "is_base": True}
        return {
            "model": {**reference, "lora_rank": self.config.lora_rank},
            "ref": {**reference, "adapter": "off"},
            "tokenizer_sha256": models.vocabulary_fingerprint(self.policy),
            "tokenization_sha256": models.tokenizer_fingerprint(self.policy),
            "begin_ids": list(models.begin_ids(self.policy, "0")),
            "end_ids": list(self.policy.end_ids),
            "temperature": 1.0,
            "kl_estimator": self.config.kl_estimator,
            "problems": self._problems_from,
        }

    def start_at(self, step: int, adapter: bytes) -> None:
        """Go on from the policy of a snapshot with a new optimizer; record `step` is the next. Mistake if it does not
        fit.
        """
        self._put(models.from_bytes(adapter))
        self.optimizer.state.clear()
        self.next_step = step

    def step(self) -> StepRecord:
        """Make record `next_step`, and the update that follows it unless it is the last. Raises Diverged."""
        step, cpu, wall = self.next_step, time.process_time(), time.monotonic()
        if self.config.refresh_every and step and step % self.config.refresh_every == 0:
            self._refresh()
        snapshot = models.to_bytes(self._tensors()) if self._keeps_snapshot(step) else None
        metrics, experience = self._collect(step)
        measuring = {name: metrics.pop(name) for name in (_MEASURING,) if name in metrics}
        learned = self._update(step, experience)
        metrics |= objective.describe(self.config.at(step), experience) | learned

        self.next_step = step + 1
        keeps_collision = Extra.COLLISION in self.extras or self._keeps_snapshot(step)
        traces = make_traces(
            self.policy,
            self.task,
            step,
            (experience.problems, experience.rollouts, experience.verdicts),
            experience.scores,
            experience.rewards,
            experience.group_ids,
            experience.reference_rate,
            experience.reference_rewards,
            {
                "critic_values": experience.critic_values,
                "mc_values": experience.mc_values,
                "collision": experience.scores.collision if keeps_collision else None,
                "top_k_kl": experience.scores.top_k_kl,
            },
            self.config,
        )
        metrics |= readout.of_step(traces, self.config.at(step).beta)
        resume_state = self._resume_state()
        tokens = int(experience.batch.completion_mask.sum())
        elapsed = time.monotonic() - wall
        return StepRecord(
            step=step,
            metrics=metrics,
            timings={
                "cpu_seconds": time.process_time() - cpu,
                "wall_seconds": elapsed,
                "tokens_per_second": tokens / elapsed,
                **measuring,
            },
            traces=traces,
            resume_state=resume_state,
            snapshot=snapshot,
        )

    def _collect(self, step) -> tuple[dict[str, float], Experience]:
        """Sample the step's rollouts, measure on held-out problems when it is time (what was found, and what it took),
        verify, flip, and score."""
        config, mc_values, of_reference = self.config, None, None
        metrics: dict[str, float] = {}
        with models.merged(self.policy) as model:
            first, groups, tokens = self._sample(model, step)
            if config.eval_prompts and (step % config.eval_every == 0 or step == config.steps):
                cpu, seed = time.process_time(), derived_seed(config.seed, step, "evaluation")
                metrics = evaluate.while_training(self.policy, model, self.task, config.eval_prompts, seed)
                metrics[_MEASURING] = time.process_time() - cpu
            if Extra.MONTE_CARLO in self.extras:
                mc_values, tried = self._tries(model, step, groups)
                tokens += tried
        if Extra.REFERENCE_RATE in self.extras:
            of_reference, tried = self._reference_rewards(step, groups)
            tokens += tried
        top_k = TOP_K if self._keeps_snapshot(step) else 0
        beta = config.at(step).beta
        experience = self._experience(groups, tokens, top_k, mc_values, of_reference, beta)
        if Extra.RESAMPLE in self.extras:
            as_drawn = (
                experience
                if all(a is b for a, b in zip(first, groups, strict=True))
                else self._experience(first, tokens, top_k=0, with_grad=False)
            )
            experience = dataclasses.replace(experience, first_drawn=as_drawn)
        return metrics, experience

    def _experience(
        self, groups, tokens, top_k, mc_values=None, of_reference=None, beta=None, with_grad=True
    ) -> Experience:
        """The groups' rollouts as one scored batch."""
        rows = _Rows.of(groups)
        batch = scores.make_batch(
            [r.prompt_ids for r in rows.rollouts],
            [r.ids for r in rows.rollouts],
            self.policy.pad_id,
            self.policy.device,
            [r.states for r in rows.rollouts],
        )
        old_logprobs = torch.zeros(batch.completion_mask.shape, device=self.policy.device)
        for row, rollout in enumerate(rows.rollouts):
            old_logprobs[row, : len(rollout.ids)] = torch.from_numpy(rollout.sampler_logprob)
        states = critic.states_of(self.policy, batch) if self.learner else None
        group_ids = np.repeat(np.arange(len(groups)), self.config.group_size)
        if of_reference is not None:
            of_reference = of_reference[group_ids]
            rates = torch.from_numpy(credit.tilted(of_reference, beta).mean(axis=1)).to(old_logprobs)
        return Experience(
            batch=batch,
            scores=self._score(batch, top_k, with_grad),
            old_logprobs=old_logprobs,
            rewards=torch.tensor(rows.rewards, dtype=old_logprobs.dtype, device=self.policy.device),
            group_ids=torch.from_numpy(group_ids).to(self.policy.device),
            problems=rows.problems,
            rollouts=rows.rollouts,
            verdicts=rows.verdicts,
            token_budget=self.task.max_new_tokens,
            tokens_sampled=tokens,
            critic_states=states,
            critic_values=None
            if self.learner is None or states is None
            else critic.values_of(self.learner.critic, states, batch.completion_mask),
            mc_values=None if mc_values is None else torch.from_numpy(mc_values).to(self.policy.device),
            reference_rate=None if of_reference is None else rates,
            reference_rewards=of_reference,
        )

    def _tries(self, model, step, groups) -> tuple[np.ndarray, int]:
        """Monte Carlo values of the rollouts' prefixes under this step's grader, and how many tokens were sampled for
        them.
        """
        config, rows = self.config, _Rows.of(groups)
        noise: float | list[float] = config.reward_noise
        if config.reward_noise_unit == "group":
            noise = [float(is_flipped) for is_flipped in rows.flips]
        return vine.prefix_values(
            self.policy,
            model,
            self.task,
            rows.problems,
            rows.rollouts,
            rows.rewards,
            config.vine_rollouts,
            noise,
            derived_seed(config.seed, step, "vine"),
        )

    def _sample(self, model, step) -> tuple[list[Group], list[Group], int]:
        """The step's groups as first drawn and as kept, and how many tokens were sampled for them. A rule that
        resamples has groups whose solutions all earned the same replaced by other problems', as often as the settings
        allow."""
        first = self._sample_groups(model, step, "", self.config.prompts_per_step)
        groups, tokens = list(first), sum(group.tokens for group in first)
        for again in range(1, self.config.resample_rounds + 1 if Extra.RESAMPLE in self.extras else 1):
            agreeing = [i for i, group in enumerate(groups) if len(set(group.rewards)) == 1]
            if not agreeing:
                break
            others = self._sample_groups(model, step, f"/{again}", len(agreeing))
            tokens += sum(group.tokens for group in others)
            for place, other in zip(agreeing, others, strict=True):
                groups[place] = other
        return first, groups, tokens

    def _sample_groups(self, model, step, again, count) -> list[Group]:
        config, size = self.config, self.config.group_size
        problems = self.task.problems(f"{config.seed}/train/{step}{again}", "train", count)
        rollouts, verdicts = attempt(
            self.policy,
            model,
            self.task,
            problems,
            size,
            derived_seed(config.seed, step, f"rollouts{again}"),
            states_at=self.states_at,
        )
        unit = size if config.reward_noise_unit == "group" else 1
        flips = flips_of(len(verdicts), config.reward_noise, f"{config.seed}/flips/{step}{again}", unit)
        rewards = flipped([v.reward for v in verdicts], flips)
        return [
            Group(
                problem,
                rollouts[at : at + size],
                verdicts[at : at + size],
                rewards[at : at + size],
                flips[at : at + size],
            )
            for problem, at in zip(problems, range(0, len(rollouts), size), strict=True)
        ]

    def _reference_rewards(self, step, groups) -> tuple[np.ndarray, int]:
        """Rewards of the reference's own solutions to each group's problem, [groups, n], and how many tokens were
        sampled for them.

        The same careless grader judges these solutions: the trainer never sees the truth. Where whole groups flip, a
        grader who is wrong about a problem is wrong about the reference's solutions to it too. Where each solution
        flips by itself, V* is that of the flipped rewards, whose spread lifts it (E exp(R/beta) is convex) above what
        fits their mean.
        """
        config, size = self.config, self.config.reference_rollouts
        rollouts, verdicts = attempt(
            self.policy,
            models.reference(self.policy),
            self.task,
            [group.problem for group in groups],
            size,
            derived_seed(config.seed, step, "reference"),
        )
        rewards = [v.reward for v in verdicts]
        if config.reward_noise_unit == "group":
            flips = [group.is_flipped for group in groups for _ in range(size)]
        else:
            flips = flips_of(len(rewards), config.reward_noise, f"{config.seed}/flips/{step}/reference")
        return np.reshape(flipped(rewards, flips), (-1, size)), sum(len(r.ids) for r in rollouts)

    def _update(self, step, experience) -> dict[str, float]:
        """Optimizer updates on the batch (none after the last record). Returns the metrics of their losses: each the
        mean over the updates, and where there are several those of the last one under the name with "_last" (LAST). The
        last record, which makes no update, then has only those that a batch has before any."""
        is_last, several = step == self.config.steps, self.config.updates_per_batch > 1
        seen, rate = [], learning_rate(self.config, step)
        for update in range(1 if is_last else self.config.updates_per_batch):
            self.optimizer.zero_grad()
            metrics = self._backward(self.config.at(step), experience, fresh=update > 0)
            limit = self.config.max_grad_norm or math.inf
            norm = torch.nn.utils.clip_grad_norm_(self.parameters, limit).item()
            if not np.isfinite([norm, *metrics.values()]).all():
                raise Diverged(self._why_not_finite(step, experience, norm))
            seen.append(metrics | {"grad_norm": norm})
            if not is_last:
                for group in self.optimizer.param_groups:
                    group["lr"] = rate
                self.optimizer.step()
        if is_last and several:
            return {"learning_rate": rate}
        found = {name: sum(one[name] for one in seen) / len(seen) for name in seen[0]}
        found |= {f"{name}_last": seen[-1][name] for name in LAST if several and name in found}
        if self.learner and not is_last:
            found |= self.learner.learn(
                experience.critic_states,
                experience.critic_values,
                experience.rewards,
                experience.batch.completion_mask,
            )
        return found | {"learning_rate": rate}

    def _why_not_finite(self, step, experience, norm) -> str:
        """What, where and what to do: of a reference that rules a sampled token out no learning rate is to blame."""
        if never := objective.never_by_reference(experience):
            token, prompt = never
            return (
                f"the reference gives the sampled token {token} probability 0 at step {step} (problem {prompt!r}), so "
                "that log(pi/pi_ref) is infinite; the last good step is kept. Use a reference that can say every token "
                "of the policy, or a rule that does not read it, such as grpo."
            )
        reads_coef = "actor_coef" in RULES[self.config.algorithm].settings
        return (
            f"the loss or its gradient was not finite at step {step} (gradient norm {norm:g}); the last good step is "
            f"kept. Lower learning_rate (now {self.config.learning_rate:g}){' or actor_coef' if reads_coef else ''}."
        )

    def _backward(self, config, experience, fresh) -> dict[str, float]:
        """Gradient of the loss into the adapter, `micro_batch_size` rows at a time.

        The loss sees the whole batch as [B, T] numbers; its gradient there is then pushed through the network chunk by
        chunk. So the chunk size changes neither loss nor gradient, whatever the loss averages over.
        """
        batch, measured = experience.batch, experience.scores
        if fresh:
            measured = self._score(batch)
        logprobs = measured.logprobs.detach().requires_grad_()
        loss, metrics = objective.loss(config, experience, measured, logprobs)
        loss.backward()
        known(measured.push)(logprobs.grad)
        return metrics

    def _score(self, batch, top_k=0, with_grad=True) -> scores.Scores:
        kl_top_k = self.config.kl_tokens
        rows = self.config.micro_batch_size or scores.rows_that_fit(self.policy, batch)
        if rows >= len(batch):
            return scores.score(self.policy, batch, with_grad=with_grad, top_k=top_k, kl_top_k=kl_top_k)
        return scores.score_in_chunks(self.policy, batch, rows, top_k=top_k, kl_top_k=kl_top_k, learns=with_grad)

    def _keeps_snapshot(self, step) -> bool:
        return step % self.config.snapshot_every == 0 or step == self.config.steps

    def _refresh(self) -> None:
        """The policy as it is now becomes the reference; the adapter goes on from where it is."""
        self.refreshed = models.adapter_state(self.policy)
        models.set_reference(self.policy, self.refreshed)

    def _tensors(self) -> dict[str, torch.Tensor]:
        """What a snapshot holds: the adapter, the refreshed reference and the critic's head where there is one."""
        reference = {models.REFERENCE + name: t for name, t in self.refreshed.items()}
        head = self.learner.state() if self.learner else {}
        return models.adapter_state(self.policy) | reference | head

    def _put(self, tensors) -> None:
        models.set_policy(self.policy, tensors)
        self.refreshed = models.part(tensors, models.REFERENCE)
        if self.learner:
            self.learner.load(tensors)

    def _resume_state(self) -> bytes:
        state = {f"adapter/{k}": v for k, v in self._tensors().items()}
        for name, optimizer in self._optimizers().items():
            for i, moments in optimizer.state_dict()["state"].items():
                state |= {f"{name}/{i}/{k}": v.detach().cpu().clone() for k, v in moments.items()}
        return models.to_bytes(state | {"next_step": torch.tensor(self.next_step)})

    def _restore(self, state) -> None:
        self._put(models.part(state, "adapter/"))
        for name, optimizer in self._optimizers().items():
            moments: dict[int, dict] = {}
            for key, value in models.part(state, f"{name}/").items():
                index, _, moment = key.partition("/")
                moments.setdefault(int(index), {})[moment] = value
            optimizer.load_state_dict({**optimizer.state_dict(), "state": moments})
        self.next_step = int(state["next_step"])

    def _optimizers(self) -> dict[str, torch.optim.Optimizer]:
        found: dict[str, torch.optim.Optimizer] = {"optimizer": self.optimizer}
        return found | ({"critic_optimizer": self.learner.optimizer} if self.learner else {})


def learning_rate(config: TrainConfig, step: int) -> float:
    """Rate of the update after record `step`: linear warm-up, then constant or linearly down to a tenth."""
    rate = config.learning_rate * min(1.0, (step + 1) / max(config.warmup_steps, 1))
    return rate * (1 - 0.9 * step / config.steps) if config.lr_schedule == "linear" else rate


def flips_of(count: int, share: float, seed: str, unit: int = 1) -> list[bool]:
    """Which of `count` rewards are flipped: each with probability `share`, one draw for every `unit` of them, the same
    for the same seed text.
    """
    rng = random.Random(seed)
    draws = [rng.random() < share for _ in range(0, count, unit)]
    return [draws[i // unit] for i in range(count)]


def flipped(rewards: list[float], flips: list[bool]) -> list[float]:
    """Rewards with some of them flipped: 1 - R, of partial credit too."""
    return [1 - r if is_flipped else r for r, is_flipped in zip(rewards, flips, strict=True)]
