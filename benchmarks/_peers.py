"""TRL, verl and OpenRLHF as `parity` calls them: their own functions on arrays of ours, in one process without their
engines.

verl and OpenRLHF import engines (ray, vllm, deepspeed, flash_attn) beside functions that need none of them. Where such
an engine is not installed an empty module stands in for it; a compared function that used one would fail, not answer.
"""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import importlib.metadata
import importlib.util
import sys
import tempfile
import types
from collections import defaultdict
from types import SimpleNamespace
from unittest.mock import MagicMock

import torch

from vimpo_core.lm import loading
from vimpo_core.tasks.chain import ChainTask

PEERS = {"trl": "1.16.0", "verl": "0.9.1", "openrlhf": "0.11.2"}
"""Distribution -> the version whose functions are compared."""

_ENGINES = [
    "aiohttp",
    "bitsandbytes",
    "codetiming",
    "deepspeed",
    "flash_attn",
    "hdfs_io",
    "omegaconf",
    "orjson",
    "pylatexenc",
    "ray",
    "tensordict",
    "torchdata",
    "transfer_queue",
    "vllm",
    "wandb",
]


class _StandIn(types.ModuleType):
    __path__ = ()

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return MagicMock(name=name)


class _StandIns(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Asked last, so an engine that is installed is imported as it is."""

    def find_spec(self, name, path, target=None):
        # Its kernels are looked for inside functions, which have a way without them.
        is_engine = name.partition(".")[0] in _ENGINES and not name.startswith("flash_attn.ops")
        return importlib.machinery.ModuleSpec(name, self, is_package=True) if is_engine else None

    def create_module(self, spec):
        return _StandIn(spec.name)

    def exec_module(self, module):
        pass


def missing() -> str:
    """One sentence if a peer is not installed in its compared version, else ""."""
    for name, wanted in PEERS.items():
        try:
            found = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found = "none"
        if found != wanted:
            return (
                f"parity compares with {name} {wanted}, found {found}. Install the peers: pip install -r "
                "requirements-bench.txt, then pip install --no-deps -r requirements-parity.txt."
            )
    return ""


def modules() -> SimpleNamespace:
    """The peers' modules: verl's `core_algos` and `torch_functional`, OpenRLHF's `loss`, `utils` and `ExperienceMaker`,
    TRL's `GRPOTrainer` and `selective_log_softmax`."""
    from trl import GRPOTrainer
    from trl.trainer.utils import selective_log_softmax

    sys.meta_path.append(_StandIns())
    load = importlib.import_module
    maker = load("openrlhf.trainer.ppo_utils.experience_maker")
    return SimpleNamespace(
        verl=load("verl.trainer.ppo.core_algos"),
        verl_F=load("verl.utils.torch_functional"),
        openrlhf_loss=load("openrlhf.models.loss"),
        openrlhf_utils=load("openrlhf.models.utils"),
        ExperienceMaker=next(
            value for name, value in vars(maker).items() if name.endswith("ExperienceMaker") and isinstance(value, type)
        ),
        GRPOTrainer=GRPOTrainer,
        high_entropy_mask=lambda entropy, mask, quantile: GRPOTrainer.get_high_entropy_mask(
            SimpleNamespace(accelerator=_OneProcess()), entropy, mask, quantile
        ),
        selective_log_softmax=selective_log_softmax,
    )


class _OneProcess:
    """What TRL's loss asks of accelerate when there is one process."""

    num_processes = 1

    def reduce(self, value, reduction="sum"):
        return value

    def gather(self, value):
        return value

    def pad_across_processes(self, value, **_):
        return value


def trl_loss(
    trainer_class,
    batch,
    advantages,
    loss_type,
    entropies=None,
    beta=0.0,
    delta=None,
    clip=(0.2, 0.28),
    quantile=1.0,
    budget=1,
):
    """TRL's `GRPOTrainer._compute_loss` on our arrays: (loss, logged metrics). Nothing of the trainer but what the loss
    reads.

    Args:
        batch: logprobs (with gradient), old_logprobs, ref_logprobs, completion_mask: [B, T].
        advantages: [B] or [B, T]; delta: TRL's two-sided clip; quantile: share of tokens kept by entropy; budget: Dr.
            GRPO's.
    """
    zeros = torch.zeros_like(batch.logprobs.detach())
    fake = SimpleNamespace(
        _get_per_token_logps_and_entropies=lambda *_, **__: (
            batch.logprobs,
            zeros if entropies is None else entropies,
            None,
        ),
        top_entropy_quantile=quantile,
        off_policy_mask_threshold=None,
        importance_sampling_level="token",
        beta=beta,
        loss_type=loss_type,
        epsilon_low=clip[0],
        epsilon_high=clip[1],
        args=SimpleNamespace(delta=delta, use_bias_correction_kl=False, steps_per_generation=1),
        use_vllm=False,
        model=SimpleNamespace(training=True),
        current_gradient_accumulation_steps=1,
        max_completion_length=budget,
        accelerator=_OneProcess(),
        aux_loss_enabled=False,
        _entropy_bonus_enabled=False,
        _metrics={"train": defaultdict(list)},
    )
    fake.get_high_entropy_mask = types.MethodType(trainer_class.get_high_entropy_mask, fake)
    mask = batch.completion_mask.long()
    inputs = {
        "prompt_ids": mask[:, :0],
        "prompt_mask": mask[:, :0],
        "completion_ids": mask,
        "completion_mask": mask,
        "advantages": advantages,
        "old_per_token_logps": batch.old_logprobs,
        "ref_per_token_logps": batch.ref_logprobs,
        "num_items_in_batch": mask.sum(),
    }
    return trainer_class._compute_loss(fake, None, inputs), fake._metrics["train"]


def trl_advantages(trainer_class, scale_rewards: str, prompts: int = 8, group: int = 4):
    """Rewards [B] and advantages [B] of one real batch of a `GRPOTrainer` on the bundled model; rewards are thirds of a
    length.
    """
    from datasets import Dataset
    from trl import GRPOConfig

    seen = {}

    class Watched(trainer_class):
        def _generate_and_score_completions(self, inputs):
            found = super()._generate_and_score_completions(inputs)
            seen.setdefault("advantages", found["advantages"])
            seen.setdefault("rewards", torch.tensor(list(self._logs["rewards"]["reward"])))
            return found

    def reward(completion_ids, **_):
        return [float(len(ids) % 3) / 3 for ids in completion_ids]

    language_model, task = loading.load(), ChainTask(5)
    problems = task.problems("parity", "train", prompts)
    with tempfile.TemporaryDirectory() as folder:
        settings = GRPOConfig(
            output_dir=folder,
            per_device_train_batch_size=prompts * group,
            num_generations=group,
            max_steps=1,
            max_completion_length=task.max_new_tokens,
            temperature=1.0,
            beta=0.0,
            bf16=False,
            use_cpu=True,
            seed=0,
            gradient_checkpointing=False,
            logging_strategy="no",
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
            dataloader_pin_memory=False,
            scale_rewards=scale_rewards,
        )
        trainer = Watched(
            model=language_model.model,
            reward_funcs=reward,
            args=settings,
            train_dataset=Dataset.from_list([{"prompt": p.prompt} for p in problems]),
            processing_class=language_model.tokenizer,
        )
        trainer.train()
    return seen["rewards"], seen["advantages"]


def openrlhf_advantages(maker, estimator: str, batch, rewards, group: int, values=None, gae_lambda=1.0):
    """OpenRLHF's `compute_advantages_and_returns` on our arrays: advantages [B, T], float32 where it works in
    float32.
    """
    advantage = SimpleNamespace(estimator=estimator, gamma=1.0, lambd=gae_lambda, no_std_norm=False)
    args = SimpleNamespace(
        rollout=SimpleNamespace(n_samples_per_prompt=group),
        algo=SimpleNamespace(advantage=advantage),
        reward=SimpleNamespace(clip_range=None, overlong_buffer_len=None, stop_properly_penalty_coef=None),
    )
    fake = SimpleNamespace(
        strategy=SimpleNamespace(args=args), advantage_estimator=estimator, kl_ctl=SimpleNamespace(value=0.0)
    )
    fake.get_cumulative_returns = types.MethodType(maker.get_cumulative_returns, fake)
    fake.get_advantages_and_returns = types.MethodType(maker.get_advantages_and_returns, fake)
    experience = SimpleNamespace(
        index=list(range(len(rewards))),
        rewards=rewards.clone(),
        kl=torch.zeros_like(batch.logprobs.detach()),
        action_mask=batch.completion_mask,
        values=values,
        info={},
    )
    return maker.compute_advantages_and_returns(fake, [experience])[0].advantages
