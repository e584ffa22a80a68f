"""Stand-ins for what is slow: a trainer without torch, and runs made with it.

`FakeTrainer` keeps the contract of `trainer.Trainer` (record 0 is untrained, resume is bit for bit, EOS is kept) and
makes up believable numbers: solutions of chain arithmetic by the fallible student, credit that gathers at the first
wrong token while it "learns", top-k at the steps with a snapshot. Its state is a random generator, so a step lost or
made twice shows in all later ones.
"""

from __future__ import annotations

import atexit
import functools
import json
import random
import shutil
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from vimpo_core.config import TrainConfig
from vimpo_core.runs import worker
from vimpo_core.runs.folder import RunsDir
from vimpo_core.tasks.chain import ALPHABET, ChainTask, student_solution
from vimpo_core.types import CreditTrace, Diverged, Problem, StepRecord, StopReason, TopK

VOCABULARY = "_" + ALPHABET  # token 0 pads
TOP_K = 2


class FakeTrainer:
    """Trains nothing, convincingly. `diverge_at`: the step at which it says that it diverged."""

    diverge_at: int | None = None

    def __init__(self, config: TrainConfig, resume_state: bytes | None = None):
        self.config = config
        self.next_step = 0
        self._task = ChainTask(config.operands)
        self._random = np.random.default_rng(config.seed)
        self._adapter = None  # known only where it was given
        if resume_state is not None:
            state = json.loads(resume_state)
            self.next_step = state["next_step"]
            self._random.bit_generator.state = state["generator"]

    def start_at(self, step: int, adapter: bytes) -> None:
        self.next_step = step
        self._random = np.random.default_rng(list(adapter))
        self._adapter = adapter

    @property
    def header(self) -> dict:
        model = {"id": "fake", "revision": None, "sha256": "0" * 64}
        return {"model": model, "ref": model, "tokenizer_sha256": "0" * 64}

    @property
    def done(self) -> bool:
        return self.next_step > self.config.steps

    def step(self) -> StepRecord:
        step, config = self.next_step, self.config
        if step == self.diverge_at:
            raise Diverged(f"the loss was not finite at step {step}. Lower learning_rate.")
        learned = 1 - np.exp(-step / 30)
        is_snapshot = step % config.snapshot_every == 0 or step == config.steps
        traces = self._traces(step, learned, is_snapshot)
        metrics = self._metrics(step, learned, traces)
        snapshot = (self._adapter or self._random.bytes(256)) if is_snapshot else None
        self._adapter = None
        self.next_step += 1
        return StepRecord(
            step=step,
            metrics=metrics,
            timings={"cpu_seconds": 0.2, "wall_seconds": 0.21, "tokens_per_second": 9000.0},
            traces=traces,
            resume_state=self._resume_state(),
            snapshot=snapshot,
        )

    def _resume_state(self) -> bytes:
        return json.dumps({"next_step": self.next_step, "generator": self._random.bit_generator.state}).encode()

    def _traces(self, step: int, learned: float, with_topk: bool) -> list[CreditTrace]:
        choices = random.Random(int(self._random.integers(2**62)))
        problems = self._task.problems(f"{self.config.seed}/train/{step}", "train", self.config.prompts_per_step)
        traces = []
        for group_id, problem in enumerate(problems):
            solutions = [self._solution(problem, learned, choices) for _ in range(self.config.group_size)]
            verdicts = [self._task.verify(problem, s, StopReason.EOS) for s in solutions]
            mean = float(np.mean([v.reward for v in verdicts]))
            for sample_idx, (solution, verdict) in enumerate(zip(solutions, verdicts, strict=True)):
                trace = CreditTrace(
                    step=step,
                    group_id=group_id,
                    sample_idx=sample_idx,
                    prompt_text=problem.prompt,
                    prompt_ids=tuple(map(VOCABULARY.index, problem.prompt)),
                    gold=problem.gold,
                    reward=verdict.reward,
                    group_mean_reward=mean,
                    finish_reason=StopReason.EOS,
                    ids=np.array([VOCABULARY.index(c) for c in solution], dtype=np.int32),
                    text=tuple(solution),
                    mask=np.ones(len(solution), dtype=np.bool_),
                    rewards={"verifier": verdict.reward},
                    reward_reason=verdict.reason,
                    status=str(verdict.status),
                    answer=verdict.answer,
                    first_wrong=self._task.first_wrong(problem, solution),
                )
                traces.append(self._scored(trace, learned, with_topk))
        return traces

    def _solution(self, problem: Problem, learned: float, choices: random.Random) -> str:
        """A student's solution; the more was learned, the more often a second, better attempt."""
        solution = student_solution(problem.prompt, choices)
        if self._task.first_wrong(problem, solution) is not None and choices.random() < learned:
            return student_solution(problem.prompt, choices)
        return solution

    def _scored(self, trace: CreditTrace, learned: float, with_topk: bool) -> CreditTrace:
        length = len(trace.ids)
        log_ratio = self._random.normal(0.0, 0.05, length) + (trace.reward - trace.group_mean_reward) / length
        if trace.first_wrong is not None and trace.first_wrong < length:
            log_ratio[trace.first_wrong] -= 1.5
        log_ratio *= learned
        surprisal = np.maximum(-log_ratio, 0) + self._random.exponential(0.3, length)
        logprob = (-surprisal).astype(np.float32)
        ref_logprob = np.minimum(logprob - log_ratio.astype(np.float32), 0)
        names = ("logprob", "ref_logprob", "kl", "entropy", "sampler_logprob")
        return trace.with_(
            logprob=logprob,
            ref_logprob=ref_logprob,
            kl=(0.5 * log_ratio**2).astype(np.float32),
            entropy=(0.1 + 0.5 * surprisal).astype(np.float32),
            sampler_logprob=logprob.copy(),
            collision=np.exp(-0.1 - 0.5 * surprisal).astype(np.float32) if with_topk else None,
            topk=self._alternatives(trace, logprob, ref_logprob) if with_topk else None,
            provenance=dict.fromkeys(names, "recorded"),
        )

    def _alternatives(self, trace: CreditTrace, logprob: np.ndarray, ref_logprob: np.ndarray) -> TopK:
        """The sampled token and the character after it in the alphabet, under policy and reference."""
        other = (trace.ids % (len(VOCABULARY) - 1)) + 1
        ids = np.stack([trace.ids, other] * TOP_K, axis=1).astype(np.int32)

        def with_rest(chosen):
            rest = np.log(np.maximum(-np.expm1(chosen) * 0.9, 1e-6)).astype(np.float32)
            return np.stack([chosen, rest] * TOP_K, axis=1)

        text = [[VOCABULARY[i] for i in row] for row in ids]
        return TopK(ids=ids, text=text, logprob=with_rest(logprob), ref_logprob=with_rest(ref_logprob))

    def _metrics(self, step: int, learned: float, traces: list[CreditTrace]) -> dict[str, float]:
        noise = float(self._random.normal(0, 0.01))
        rewards = np.array([t.reward for t in traces]).reshape(-1, self.config.group_size)
        warmup = min(1.0, (step + 1) / max(self.config.warmup_steps, 1))
        metrics = {
            "reward_mean": float(rewards.mean()),
            "value_loss": 0.12 * (1 - 0.6 * learned) + noise / 10,
            "residual_ratio": 1 - 0.5 * learned + noise,
            "actor_loss": -0.01 * learned + noise / 10,
            "kl_mean": float(np.concatenate([t.kl for t in traces]).mean()),
            "entropy_mean": float(np.concatenate([t.entropy for t in traces]).mean()),
            "length_mean": float(np.mean([len(t.ids) for t in traces])),
            "clip_fraction": 0.0,
            "dead_group_share": float((rewards.min(1) == rewards.max(1)).mean()),
            "grad_norm": 0.5 + abs(noise),
            "learning_rate": self.config.learning_rate * warmup,
        }
        if step % self.config.eval_every == 0 or step == self.config.steps:
            metrics |= {
                "sampled_accuracy": 0.42 + 0.35 * learned + noise,
                "greedy_accuracy": 0.8 + 0.1 * learned + noise,
            }
        return metrics


class SlowTrainer(FakeTrainer):
    """Slow enough that a kill lands anywhere: in a step, in a commit, between them."""

    def step(self):
        time.sleep(0.004)
        return super().step()


def fake_worker(runs_dir: Path) -> list[str]:
    """The command of a worker process that trains with the fake."""
    script = (
        "import sys; from pathlib import Path; from vimpo_core.runs import worker; "
        "from tests.support.fakes import SlowTrainer; worker.main(Path(sys.argv[1]), SlowTrainer)"
    )
    return [sys.executable, "-c", script, str(runs_dir)]


def make_fake_run(runs_dir: Path, algorithm: str = "vimpo", steps: int = 20, seed: int = 0, **config) -> str:
    """Train one finished run with `FakeTrainer`, through the queue as the app does. Returns its run_id. The first run
    of a folder is a copy where this process has made the same one before.
    """
    asked = TrainConfig(algorithm=algorithm, steps=steps, seed=seed, **config)
    if runs_dir.is_dir() and any(runs_dir.iterdir()):
        return made_anew(runs_dir, asked)
    if asked not in _FIRST_RUNS:
        kept = _kept_folder() / str(len(_FIRST_RUNS))
        _FIRST_RUNS[asked] = kept, made_anew(kept, asked)
    kept, run_id = _FIRST_RUNS[asked]
    shutil.copytree(kept, runs_dir, dirs_exist_ok=True)
    return run_id


_FIRST_RUNS: dict[TrainConfig, tuple[Path, str]] = {}
"""Settings -> a folder whose only run has them, and the run's id."""


@functools.cache
def _kept_folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="vimpo-fake-runs-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def made_anew(runs_dir: Path, config: TrainConfig) -> str:
    """The same, always made here and now: for a test that has changed what it is made with."""
    runs = RunsDir(runs_dir)
    job_id = runs.submit([config])
    worker.main(runs_dir, make_trainer=FakeTrainer, only_job=job_id)
    return next(job.run_ids[0] for job in runs.jobs() if job.job_id == job_id)
