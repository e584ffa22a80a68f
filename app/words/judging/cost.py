"""What to make of tokens sampled, time and speed."""

from __future__ import annotations

from vimpo_core.measure.metrics import last_value, measuring_share
from vimpo_core.numbers import percent, significant

MOST_MEASURING = 0.15
"""Share of a run's time above which measuring is worth a word."""


def measuring_cpu_seconds(value, config, history):
    del value
    share = measuring_share(history)
    if share is None:
        return "What measuring took was not recorded at every step, so nothing says its share."
    lower = " Lower eval_prompts, or raise eval_every." if share > MOST_MEASURING else ""
    return f"So far {percent(share)} of this run's CPU time went to measurements on validation problems.{lower}"


def tokens_sampled(value, config, history):
    total = sum(row.get("tokens_sampled") or 0 for row in history)
    usual = config.batch_size * (last_value(history, "length_mean") or 0)
    if value > 1.2 * usual > 0:
        return (
            f"{value / usual:.1f} times what is trained on: the rest was drawn to measure values or to replace "
            f"groups that agree."
        )
    return f"{total:,.0f} since the start; compare algorithms by this number where they sample differently."


def tokens_per_second(value, config, history):
    del value, history
    threads = "one thread" if config.threads == 1 else f"{config.threads} threads"
    return f"Speed of this machine with {threads}; other work beside it lowers it. It changes nothing in the result."


def cpu_seconds(value, config, history):
    steps = config.steps - (history[-1]["step"] if history else 0)
    if steps <= 0:
        return "The last step: nothing remains to be trained."
    return f"At this pace the remaining {steps:.0f} steps cost about {significant(steps * value)} CPU seconds."


def wall_seconds(value, config, history):
    cpu = last_value(history, "cpu_seconds")
    if cpu is None:
        return "Its CPU time was not measured, so nothing says what it waited for."
    if value > 2 * cpu:
        return "Much longer than its CPU time: the machine is busy with something else."
    if value < 0.7 * cpu:
        return "Shorter than its CPU time: several threads share the work."
    return "Close to its CPU time: the worker has a core to itself."
