"""The records that travel between the modules: frozen, checked nowhere else, no torch.

`CreditTrace` is schema version 1 of one completion: what was *measured*. Everything derived from it (rho, kappa, td
terms, values, advantages) is computed by `credit` when it is looked at, so a beta slider works.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, TypeVar

import numpy as np

T = TypeVar("T")

SCHEMA_VERSION = 1


@dataclass(frozen=True)
class Problem:
    """One prompt with its gold answer, as a task hands it out."""

    prompt: str
    gold: str


class StopReason(StrEnum):
    """Why a completion ended."""

    EOS = "eos"
    """The model sampled its end token; the token is part of the completion."""
    LENGTH = "length"
    """The token budget ran out first: there is no end token and no answer."""


class VerdictStatus(StrEnum):
    """What the verifier made of a response."""

    CORRECT = "correct"
    """The answer was understood and equals the gold answer."""
    INCORRECT = "incorrect"
    """The answer was understood and differs."""
    REJECTED = "rejected"
    """No answer, or one outside the grammar or over a limit; `reason` says which."""


@dataclass(frozen=True)
class Verdict:
    """The verifier's finding. `reward` is 1.0 when correct, else `partial`; `answer` is the text it judged ("" if
    none).

    partial: what an answer that is not correct earns all the same, 0 <= partial < 1. ValueError outside that.
    """

    status: VerdictStatus
    answer: str = ""
    reason: str = ""
    partial: float = 0.0

    def __post_init__(self):
        if not 0 <= self.partial < 1:
            raise ValueError(
                f"partial must be at least 0 and below 1, got {self.partial}. 1 is for the status correct."
            )

    @property
    def reward(self) -> float:
        return 1.0 if self.status == VerdictStatus.CORRECT else self.partial

    def exact(self) -> Verdict:
        """The same without partial credit."""
        return replace(self, partial=0.0) if self.partial else self


@dataclass(frozen=True)
class Rollout:
    """One sampled completion, before scoring. Token ids are int; `ids` includes the end token when sampled.

    `sampler_logprob` is log pi of each token at the moment it was sampled, float [T], nats. `states`: what a layer of
    the network read of the prompt [S, H] (shared by its group) and of each token but the last [T - 1, H], where kept.
    """

    prompt_ids: tuple[int, ...]
    ids: tuple[int, ...]
    sampler_logprob: np.ndarray
    finish_reason: StopReason
    states: Any = field(default=None, compare=False, repr=False)


@dataclass(frozen=True)
class TopK:
    """The k most probable tokens of policy and reference at each position (their union may exceed one list).

    ids: int32 [T, K], the policy's k best followed by the reference's k best (K = 2k, duplicates allowed);
    text: their readable text, list [T][K]; logprob, ref_logprob: float32 [T, K], nats.
    """

    ids: np.ndarray
    text: list[list[str]]
    logprob: np.ndarray
    ref_logprob: np.ndarray


@dataclass(frozen=True)
class Drop:
    """The largest true drop of a solution (`measure.drops`): after `token` the mean reward found by trying falls most.

    drop: how far, V(s_t) - V(s_{t+1}), from `before` to `after`, reward units; low, high: its 95% interval. All by
    `tries` fresh tries from each of the two prefixes; to choose the token `places` prefixes were tried. rollouts: tries
    in all, of which those that draw the solution's own next tokens were not sampled again.
    """

    token: int
    drop: float
    low: float
    high: float
    before: float
    after: float
    tries: int
    places: int
    rollouts: int

    @property
    def is_clear(self) -> bool:
        """Whether it is above the noise of trying: else no drop was found."""
        return self.low > 0


@dataclass(frozen=True)
class CreditTrace:
    """Everything measured about one completion (schema version 1). Arrays have length T; index t describes token t
    given everything before it. An array that was not recorded is None, never zeros. Of a solution that another tool
    recorded as text alone `text` has words and `ids` are all -1; a reward that it did not record is nan, a
    finish_reason None.

    Units: logprob, ref_logprob, kl, entropy, sampler_logprob in nats. `reward` is what the trainer saw (flips
    included); `rewards["verifier"]` is the verifier's own. `first_wrong` is the index of the first wrong token or None.
    """

    step: int
    group_id: int
    sample_idx: int
    prompt_text: str
    prompt_ids: tuple[int, ...]
    gold: str
    reward: float
    group_mean_reward: float
    finish_reason: StopReason | None
    ids: np.ndarray
    text: tuple[str, ...]
    mask: np.ndarray
    logprob: np.ndarray | None = None
    ref_logprob: np.ndarray | None = None
    kl: np.ndarray | None = None
    entropy: np.ndarray | None = None
    sampler_logprob: np.ndarray | None = None
    topk: TopK | None = None
    critic_values: np.ndarray | None = None
    """V(s_t) before each token by the run's learned critic, float32 [T], reward units."""
    mc_values: np.ndarray | None = None
    """Success rate from every prefix as the run's own rollouts found it (VinePPO), float32 [T+1]."""
    collision: np.ndarray | None = None
    """sum_v pi^2 where each token was drawn, float32 [T]: at snapshot steps, and at every step of a rule that reads
    it.
    """
    reference_rate: float | None = None
    """The reference's success rate on the prompt as the run's own rollouts found it (A*-PO), flips included; where some
    reward was neither 0 nor 1 the mean of `credit.tilted` rewards at the run's beta, and `reference_rewards` has them.
    """
    reference_rewards: tuple[float, ...] | None = None
    """Rewards of the reference's own solutions to the prompt, flips included, where some is neither 0 nor 1: V* at
    another beta is made of them.
    """
    top_k_kl: np.ndarray | None = None
    """KL with all but the policy's most probable tokens as one lump, nats, float32 [T]: of a run whose kappa uses
    it.
    """
    group_rewards: tuple[float, ...] = ()
    """Rewards of all solutions to the prompt at its step, its own included, as the trainer saw them; () where it stands
    alone.
    """
    config: Any = None
    """Settings of the run it belongs to: its loss says how credit and V_0 are read (`reading`). None: as VIMPO is
    published.
    """
    rewards: dict[str, float] = field(default_factory=dict)
    reward_reason: str = ""
    status: str = ""
    answer: str = ""
    first_wrong: int | None = None
    largest_drop: Drop | None = None
    """Measured on demand where the task does not verify steps, and kept in no file. None: not measured."""
    prompt_pieces: tuple[str, ...] = ()
    """The tokens of the prompt as the model saw it, its template included, on the first solution of a group; () where
    they are the prompt's own characters, or were not recorded.
    """
    prompt_messages: tuple[tuple[str, str], ...] = ()
    """(role, content) of a conversation that another tool recorded as one; `prompt_text` is what is shown of it."""
    tool_advantage: float | None = None
    """Of the whole solution, as the tool that recorded it had it."""
    tool_arrays: dict[str, np.ndarray] = field(default_factory=dict)
    """What another tool recorded beside, under its own names ("advantages", "values", "token_kl"), float32 [T]; nan
    where it wrote nothing. For looking at alone.
    """
    extras: dict[str, str | float] = field(default_factory=dict)
    """What else stood in the tool's row, by its own names."""
    provenance: dict[str, str] = field(default_factory=dict)
    """array name -> "recorded" | "recomputed (how)" | "approximate (how)" | "missing"."""

    @property
    def completion_text(self) -> str:
        return "".join(self.text)

    @property
    def has_ids(self) -> bool:
        """Whether `text` are tokens: of a solution that was recorded as text alone they are words."""
        return not len(self.ids) or bool((self.ids >= 0).all())

    def written(self, end: str) -> str:
        """The completion as a task reads it: the end token, whatever its own text, as the task's mark `end`."""
        has_ended = self.finish_reason == StopReason.EOS and bool(self.text)
        return "".join(self.text[:-1]) + end if has_ended else "".join(self.text)

    def with_(self, **changes) -> CreditTrace:
        """A copy with some fields replaced."""
        return replace(self, **changes)


def known(value: T | None) -> T:
    """A value that is there by what was checked before, where a type checker cannot see it; TypeError where it is
    not.
    """
    if value is None:
        raise TypeError("a value is missing that was there when it was asked for.")
    return value


class RunState(StrEnum):
    """Where a run is in its life; `RUN_STATE_ADVICE` says what to do next in each."""

    QUEUED = "queued"
    RUNNING = "running"
    PAUSED = "paused"
    STOPPED = "stopped"
    FINISHED = "finished"
    DIVERGED = "diverged"
    INTERRUPTED = "interrupted"


RUN_STATE_ADVICE: dict[RunState, str] = {
    RunState.QUEUED: "Waiting for the running job to end. It starts by itself.",
    RunState.RUNNING: "Training now. Pause or stop it; closing the tab does not.",
    RunState.PAUSED: "Holding still after a step. Press Play to go on, or Step for a single step.",
    RunState.STOPPED: "It was stopped. Resume goes on from the last step, bit for bit.",
    RunState.FINISHED: "All steps are done. Look closer in Inspect, or lay it over others in Compare.",
    RunState.DIVERGED: "A loss or gradient stopped being finite; the last good step is kept. Lower the learning rate "
    "or c_A.",
    RunState.INTERRUPTED: "The process died. No committed step was lost: Resume goes on from there, bit for bit.",
}


class Diverged(RuntimeError):
    """A loss or gradient stopped being finite. The message says which, where, and what to do."""


@dataclass(frozen=True)
class StepRecord:
    """What one step leaves behind; record n describes the policy after n updates.

    metrics: deterministic floats, one a name; absent means not measured.
    timings: cpu_seconds, wall_seconds, tokens_per_second, measuring_cpu_seconds: they differ from run to run.
    traces: the solutions sampled at this step. resume_state: safetensors blob that step n+1 starts from; only the
    newest is kept, and b"" is none. snapshot: safetensors blob of the adapter, kept for ever, or None.
    """

    step: int
    metrics: dict[str, float]
    timings: dict[str, float]
    traces: list[CreditTrace]
    resume_state: bytes
    snapshot: bytes | None = None
