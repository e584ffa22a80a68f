"""What the Train page asks for: the job it shows, its controls and words, starting and resuming."""

from __future__ import annotations

import dataclasses
import os
import time
from dataclasses import dataclass
from urllib.parse import urlencode

import streamlit as st

from app import cache, gate, live, routes, state
from app.components.address_bar import follow
from app.components.live_curves import ALGORITHM_NAMES
from app.components.solutions import StepSolutions
from app.live import Sight, wait_words
from app.settings import model_facts
from app.text import as_plain, as_sentence
from app.train import model_card, settings_form
from vimpo_core.config import TrainConfig, flips_text
from vimpo_core.files import in_words
from vimpo_core.labs.presets import PRESETS, Preset
from vimpo_core.measure.metrics import validation_problems
from vimpo_core.mistake import Mistake
from vimpo_core.numbers import rough_time
from vimpo_core.rules import RULES, is_read
from vimpo_core.runs.folder import ACTIVE, JobSummary, settled, unstarted
from vimpo_core.service.class_runs import LONGEST_PAUSE
from vimpo_core.tasks import Task
from vimpo_core.tasks.registry import said, task_of
from vimpo_core.types import RUN_STATE_ADVICE, CreditTrace, RunState

WHO = "VIMPO is Value-Implicit, GRPO Group Relative Policy Optimization."
"""The two algorithms that the form begins with, spelled out where they are first met."""
_PROBLEM, _NOTE, _PLAYED, _WAITS = "train.problem", "train.note", "train.played", "train.waits"
_BUSY = 1.5
"""Processes a core from which a machine is called busy."""


@dataclass(frozen=True)
class Job:
    """A job of the queue with what was seen of its runs. `waiting_for`: jobs before it in the queue; `is_waited_for`:
    whether any wait. `is_own`: whether who looks may change it, in a class."""

    job_id: str
    state: RunState
    sights: list[Sight]
    waiting_for: int
    is_waited_for: bool = False
    is_own: bool = True

    @property
    def is_active(self) -> bool:
        return self.state in ACTIVE

    @property
    def has_begun(self) -> bool:
        """Whether there is anything to draw: a first step of one of its runs."""
        return any(sight.rows for sight in self.sights)

    @property
    def stands(self) -> tuple[bool, bool, bool]:
        """What decides how often it is looked at: whether it is active, has begun, and has others before it."""
        return self.is_active, self.has_begun, self.state == RunState.QUEUED and self.waiting_for > 0

    @property
    def going_on(self) -> list[Sight]:
        """Its runs that are not over; all of them once it is over itself."""
        return [sight for sight in self.sights if sight.is_going_on] or self.sights

    @property
    def step(self) -> int | None:
        """The newest step that all runs that go on have reached, None before the first; once it is over, the
        furthest.
        """
        steps = [sight.last_step for sight in self.going_on]
        if any(sight.is_going_on for sight in self.sights):
            return None if None in steps else min(steps)
        return max((step for step in steps if step is not None), default=None)

    @property
    def steps(self) -> int:
        return max(sight.config.steps for sight in self.sights)

    @property
    def progress(self) -> float:
        done = sum(0 if s.reached is None else s.reached + 1 for s in self.going_on)
        return min(1.0, done / sum(s.config.steps + 1 for s in self.going_on))

    @property
    def algorithms(self) -> list[str]:
        """The choice of the form that makes such a job."""
        return list(dict.fromkeys(sight.config.algorithm for sight in self.sights))

    @property
    def resumable(self) -> list[str]:
        return [] if self.is_active else [s.run_id for s in self.sights if s.state in live.RESUMABLE]


@dataclass(frozen=True)
class Control:
    """One transport button."""

    command: str
    label: str
    icon: str
    help: str
    is_enabled: bool
    type: str = "secondary"


# --- which job -------------------------------------------------------------------------------------------------------


def selected_job() -> Job | None:
    """The job that Start asked for, that of the link, else the newest active one, else None. Its id then gets into the
    link."""
    if preset := PRESETS.get(routes.asked_to_play()):
        _play(preset)
    left = st.session_state.pop(_PLAYED, None)
    asked = st.query_params.get("job", left)
    if asked is None:
        job = newest_active()
    else:
        job = find_job(asked)
        if job is None:
            st.session_state[_NOTE] = (
                f"There is no job {asked!r} any more. Its runs may have been deleted; start a new one."
            )
            state.put(job=None)
    if job is not None:
        if "job" not in st.query_params:
            st.session_state[_PLAYED] = job.job_id  # until the address has it
        follow(job=job.job_id, preset=None, play=None)
    return job


def newest_active() -> Job | None:
    """One's own: in a class everybody has a job."""
    runs = cache.runs_dir()
    active = [job for job in runs.jobs() if job.state in ACTIVE and runs.may_change(job.run_ids[0])]
    return find_job(active[-1].job_id) if active else None


def _play(preset: Preset) -> None:
    """Start a preset for somebody who pressed a button elsewhere; while something trains, show that instead."""
    if job := newest_active():
        st.session_state[_PLAYED] = job.job_id
        st.session_state[_NOTE] = "This run was under way already, so no other was started."
        return
    try:
        st.session_state[_PLAYED] = _submit(settings_form.configs_of(preset))
    except (Mistake, OSError) as error:
        st.session_state[_NOTE] = as_sentence(in_words(error))


def last_job() -> Job | None:
    """One's own newest job, whatever became of it; None before the first."""
    runs = cache.runs_dir()
    own = [job for job in runs.jobs() if runs.may_change(job.run_ids[0])]
    return find_job(own[-1].job_id) if own else None


def find_job(job_id: str) -> Job | None:
    """A job, or the newer one that resumed its runs. None when it never was, or its runs are gone.

    Whoever looks at a waiting job wakes the worker: the one that would have come to it may have been killed.
    """
    jobs = cache.runs_dir().jobs()
    found = next((job for job in jobs if job.job_id == job_id), None)
    if found is None:
        return None
    newest = next(job for job in reversed(jobs) if set(job.run_ids) & set(found.run_ids))
    sights = [sight for run_id in newest.run_ids if (sight := _sight(run_id, newest))]
    if not sights:
        return None
    if newest.state == RunState.QUEUED:
        cache.runs_dir().wake_worker()
    before = [job for job in jobs[: jobs.index(newest)] if job.state in ACTIVE]
    is_own = cache.runs_dir().may_change(newest.run_ids[0])
    is_waited_for = any(job.state == RunState.QUEUED for job in jobs)
    return Job(newest.job_id, _state(newest, sights), sights, len(before), is_waited_for, is_own)


def _state(job: JobSummary, sights: list[Sight]) -> RunState:
    """The job's state; a single run knows its own better (a queue entry is updated a moment later)."""
    return sights[0].state if len(sights) == 1 else job.state


def _sight(run_id: str, job: JobSummary) -> Sight | None:
    """What there is to see of a run of a job: at its end as it is this moment, for nobody looks again afterwards."""
    is_over = job.state not in ACTIVE
    try:
        sight = live.live_run(str(cache.own_folder()), run_id).look(fresh=is_over)
    except (Mistake, OSError):  # deleted or half-written: the Runs page says which
        return None
    is_left = is_over and sight.state == RunState.QUEUED
    return dataclasses.replace(sight, state=unstarted(job)) if is_left else sight


def demo_sights() -> list[Sight]:
    """The bundled VIMPO run nearest to the default beta, and the bundled GRPO run; empty when none are there."""
    demos = cache.summaries(cache.bundled_folder())
    vimpo = sorted((r for r in demos if r.algorithm == "vimpo"), key=lambda r: abs(r.config.beta - TrainConfig().beta))
    grpo = [r for r in demos if r.algorithm == "grpo"]
    return [live.live_run(str(cache.bundled_folder()), run.run_id).look() for run in vimpo[:1] + grpo[:1]]


def measured_lengths(sights: list[Sight]) -> dict[Task, float]:
    """Task -> measured mean solution length in tokens."""
    return {task_of(s.config): s.mean_length for s in sights if s.mean_length}


# --- acting ----------------------------------------------------------------------------------------------------------


def start(configs: list[TrainConfig], name: str) -> None:
    """Queue the runs, wake the worker and show the job. A model of one's own is tried before anything is written.

    Raises ValueError or OSError with one sentence.
    """
    state.put(job=_submit(configs, name), preset=None, play=None)
    st.rerun()


def _submit(configs: list[TrainConfig], name: str = "") -> str:
    runs, configs = cache.runs_dir(), [settled(config) for config in configs]
    model_card.require(configs)
    job_id = runs.submit(configs, name)
    runs.ensure_worker()
    return job_id


def act(job: Job, command: str) -> None:
    """Button callback: ask the job to play, pause, step or stop, or resume its runs."""
    runs = cache.runs_dir()
    try:
        if command == "resume":
            runs.resume(job.resumable)
            runs.ensure_worker()
        else:
            runs.command(job.job_id, command)
    except (Mistake, OSError) as error:
        st.session_state[_PROBLEM] = in_words(error)


def take_problem() -> str:
    """The sentence of the last action that failed, once."""
    return st.session_state.pop(_PROBLEM, "")


def take_note() -> str:
    """What to tell somebody whose link leads nowhere, once."""
    return st.session_state.pop(_NOTE, "")


# --- words -----------------------------------------------------------------------------------------------------------


def controls(job: Job) -> list[Control]:
    """The four transport buttons as they apply now."""
    state = job.state
    if job.resumable:
        play = Control("resume", "Resume", ":material/play_arrow:", "Go on from the last step.", True, "primary")
    else:
        paused = state == RunState.PAUSED
        play = Control(
            "play",
            "Play",
            ":material/play_arrow:",
            "Go on training.",
            paused,
            "primary" if paused else "secondary",
        )
    is_at_work = state in (RunState.RUNNING, RunState.PAUSED)
    stop = "Cancel" if state == RunState.QUEUED else "Stop"
    return [
        play,
        Control("pause", "Pause", ":material/pause:", "Hold still after this step.", state == RunState.RUNNING),
        Control("step", "Step", ":material/skip_next:", "Make one step, then hold still.", is_at_work),
        Control("stop", stop, ":material/stop:", "End it here. Every finished step is kept.", job.is_active),
    ]


def names(job: Job) -> str:
    """ "VIMPO + GRPO", as markdown: a rule's name may hold a star."""
    return " + ".join(dict.fromkeys(as_plain(ALGORITHM_NAMES[s.config.algorithm]) for s in job.sights))


def headline(job: Job) -> str:
    """The settings in one line."""
    config = job.sights[0].config
    facts = [f"beta {config.beta:g}"]
    if vimpo := next((s.config for s in job.sights if is_read("actor_coef", [s.config.algorithm])), None):
        facts += [f"c_A {vimpo.actor_coef:g}"] + ([f"lambda {vimpo.gae_lambda:g}"] if vimpo.gae_lambda != 1 else [])
    facts += [
        f"learning rate {config.learning_rate:g}",
        f"{config.prompts_per_step} × {config.group_size}",
        f"flips {flips_text(config.reward_noise, config.reward_noise_unit)}" if config.reward_noise else "no flips",
        as_plain(said(config)),
        f"seed {config.seed}",
        *model_facts(config),
    ]
    return f"**{names(job)}**  " + "  ·  ".join(facts).replace("_", r"\_")


def step_text(job: Job) -> str:
    """ "step 42", "no step yet" before the first one."""
    return "no step yet" if job.step is None else f"step {job.step}"


def progress_text(job: Job) -> str:
    """ "step 42/150, 0:07 left"."""
    step = f"**{step_text(job)}{' of ' if job.step is None else '/'}{job.steps}**"
    if job.state not in (RunState.RUNNING, RunState.PAUSED):
        return step
    left = live.seconds_left(job.sights)
    return (
        step
        if left is None
        else f"{step}  ·  {_clock(left)} left" + (" when playing" if job.state == RunState.PAUSED else "")
    )


def state_lines(job: Job) -> list[str]:
    """Where it stands and what to do next: one line, or one a run where they differ."""
    if job.state == RunState.QUEUED:
        return [f"**Queued.** {_queue_words(job)}"]
    if all(s.state == RunState.QUEUED for s in job.sights):  # its worker has it and has begun none of its runs yet
        return ["**Starting.** The training process has taken it."]
    if len({(s.state, s.message) for s in job.sights}) == 1:
        return [live.state_line(job.sights[0].state, " ".join(filter(None, (job.sights[0].message, _of_class(job)))))]
    return [f"{as_plain(ALGORITHM_NAMES[s.config.algorithm])}: {_line_beside(s)}" for s in job.sights]


def _line_beside(sight: Sight) -> str:
    if sight.state == RunState.QUEUED:  # beside one that is at work: it waits for no other job
        return "**Next.** The runs of a job start one after the other."
    return live.state_line(sight.state, sight.message)


def _of_class(job: Job) -> str:
    """For a student: whether the teacher cancelled it, and what becomes of one that holds still."""
    if not gate.is_student():
        return ""
    if job.state == RunState.PAUSED and job.is_waited_for:
        return f"Others wait for their turn, so it goes on by itself after {rough_time(LONGEST_PAUSE)}."
    is_cancelled = job.state == RunState.STOPPED and gate.room().stopped_by_teacher() & {s.run_id for s in job.sights}
    return "Your teacher cancelled it." if is_cancelled else ""


def _queue_words(job: Job) -> str:
    if job.waiting_for == 0:
        return f"Next in the queue: {as_plain(cache.runs_dir().waking_words())}"
    wait = cache.waits(cache.own_folder()).get(job.job_id)
    whom = "you" if gate.is_student() and job.is_own else "it"
    if wait is None or wait.ahead == 0:  # its turn came, or it was cancelled, since the times were worked out
        others = f"{job.waiting_for} ahead of {whom}"
    else:
        others = wait_words(wait, whom)
    if cache.runs_dir().queue.is_paused():
        return f"{others}. It starts by itself once the queue goes on."
    return f"{others}. {RUN_STATE_ADVICE[RunState.QUEUED]}"


def waiting_words(job: Job) -> str:
    """What a job that has not made its first step is waiting for, how long already, and why that may take longer."""
    ends = "The curves begin with the first step."
    is_held = job.state == RunState.QUEUED and cache.runs_dir().queue.is_paused()
    if job.state not in (RunState.QUEUED, RunState.RUNNING) or job.waiting_for or is_held:
        return ends
    since, _ = st.session_state.setdefault(_WAITS, (time.monotonic(), job.job_id))
    if st.session_state[_WAITS][1] != job.job_id:
        since, _ = st.session_state[_WAITS] = (time.monotonic(), job.job_id)
    doing = (
        "A training process is starting."
        if job.state == RunState.QUEUED
        else "The training process loads the model and solves the validation problems once, untrained."
    )
    so_far = f"{time.monotonic() - since:.0f} s so far."
    return " ".join(filter(None, [doing, so_far, _busy_words(), ends]))


def _busy_words() -> str:
    """That this machine has more to do than it has cores; "" where it has not, or does not say."""
    cores = os.cpu_count() or 1
    wanted = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    if wanted < _BUSY * cores:
        return ""
    return f"This machine is busy: some {wanted:.0f} processes share {cores} cores, so it takes longer."


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


# --- solutions -------------------------------------------------------------------------------------------------------


def newest_solutions(job: Job) -> list[StepSolutions]:
    """The solutions of the newest step that all runs that go on have reached; empty before there is one."""
    if job.step is None:
        return []
    try:
        return [
            StepSolutions(
                s.run_id,
                s.config.at(job.step),
                job.step,
                live.live_run(str(cache.own_folder()), s.run_id).solutions(job.step),
            )
            for s in job.sights
            if s.last_step is not None and s.last_step >= job.step
        ]
    except (Mistake, OSError):  # a run that was deleted while it was looked at
        return []


def whose_problems(sights: list[Sight]) -> str:
    """Which problems the accuracies of the curves are of."""
    counts = " and ".join(str(n) for n in sorted({validation_problems(s.config, s.rows) for s in sights}))
    return f"Accuracy: of the {counts} validation problems that a run measures itself by; it never trains on them."


def whose_credit(steps: list[StepSolutions]) -> str:
    """Why the solutions of a rule without token credit have coloured tokens too; "" where none of them is such a
    rule's.
    """
    others = [
        as_plain(ALGORITHM_NAMES[s.config.algorithm]) for s in steps if "beta" not in RULES[s.config.algorithm].settings
    ]
    if not others:
        return ""
    names = " and ".join(dict.fromkeys(others))
    return (
        f"δ can be read off any policy and its frozen reference, so the tokens of {names} are coloured as well. It is "
        f"not what {names} {'trains' if len(set(others)) == 1 else 'train'} by: Every rule, on the Inspect page, "
        f"shows that."
    )


def inspect_view(job: Job) -> dict[str, str]:
    """Query parameters of the Inspect page for the job's newest solutions, VIMPO's where there are some."""
    sight = next((s for s in job.sights if s.config.algorithm == "vimpo"), job.sights[0])
    return {"run": sight.run_id, "step": str(sight.last_step)}


def facts(job: Job) -> dict:
    """What a tour of the page asks for. `held_at`: the step at which the job holds still."""
    is_held = job.state == RunState.PAUSED
    return {"job": job.job_id, "state": job.state, "held_at": job.step if is_held else None}


def compare_view(job: Job) -> dict[str, str]:
    """Query parameters of the Compare page with the job's runs chosen."""
    return {"runs": ",".join(s.run_id for s in job.sights)}


def inspect_link(step: StepSolutions, trace: CreditTrace) -> str:
    """Address of one solution on the Inspect page."""
    view = {"run": step.run_id, "step": step.step, "group": trace.group_id, "sample": trace.sample_idx}
    return f"inspect?{urlencode(view)}"
