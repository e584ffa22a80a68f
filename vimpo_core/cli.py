"""python -m vimpo_core train | resume | fork | eval | score | truth | experiment | export | export-run |
export-adapter | import | runs | backup | restore | class | models | tasks | bench | make-reference | make-demos

Progress goes to stderr, results to stdout; with --json stdout ends with one JSON object. A mistake is one sentence on
stderr and exit code 2, a bug a traceback and exit code 1; a run that did not finish is exit code 3. A command imports
what it needs when it is carried out: `--help` is there at once.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import functools
import json
import os
import subprocess
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from vimpo_core import __version__
from vimpo_core.mistake import Mistake
from vimpo_core.paths import (
    BUNDLED_MODEL,
    BUNDLED_RUNS,
    DEMOS,
    REAL,
    ROOT,
    as_path,
    child_environment,
    default_runs_dir,
)
from vimpo_core.solutions.visible_text import without_commands

if TYPE_CHECKING:
    from vimpo_core.config import TrainConfig
    from vimpo_core.runs.folder import RunsDir
    from vimpo_core.runs.run_bin import Deleted

_LOOK_SECONDS = 0.5
_AS_SAID = object()
UNFINISHED = 3
BROKEN_PIPE = 141
INTERRUPTED = 130
"""What a shell reports of a program that wrote to nobody, and of one that Ctrl-C ended."""
BUG = (
    f"This is a bug of VIMPO Lab {__version__}, not a mistake of yours. "
    "Report it with the command and all that stands above."
)


def main(arguments: list[str] | None = None, prog: str = "python -m vimpo_core") -> int:
    """Run one command; returns the exit code. prog: what the reader typed before it."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a name that the terminal cannot write does not end the list it stands in
            stream.reconfigure(errors="backslashreplace")
    with contextlib.redirect_stdout(_Shown(sys.stdout)), contextlib.redirect_stderr(_Shown(sys.stderr)):
        return _carry_out(arguments, prog)


def _carry_out(arguments: list[str] | None, prog: str) -> int:
    debug = False
    try:
        parsed = _parser(prog).parse_args(arguments)
        debug = parsed.debug
        return parsed.run(parsed)
    except BrokenPipeError:  # who read our output has seen enough, as `head` has
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    except (Mistake, OSError) as error:
        from vimpo_core import files

        if debug:
            traceback.print_exc()
        print(f"error: {files.in_words(error)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:  # outside the steps, where the worker turns it into "stop"
        print("interrupted; every committed step is kept.", file=sys.stderr)
        return INTERRUPTED
    except Exception:
        traceback.print_exc()
        print(BUG, file=sys.stderr)
        return 1


class _Shown:
    """A stream to read: what somebody called a run tells no terminal what to do."""

    def __init__(self, stream):
        self._stream = stream

    def write(self, text: str) -> int:
        return self._stream.write(without_commands(text))

    def __getattr__(self, name: str):
        return getattr(self._stream, name)


class _Parser(argparse.ArgumentParser):
    """Says a mistake in one sentence, without the page of usage before it."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.color = False  # Python 3.14 would write commands to the terminal

    def error(self, message):
        self.exit(2, f"error: {message}. See {self.prog} --help.\n")


class _CommandParser(_Parser):
    """A command's parser: its options are declared once it is the chosen command."""

    declare: Callable[[argparse.ArgumentParser], None] | None = None

    def parse_known_args(self, args=None, namespace=None):
        if self.declare:
            declare, self.declare = self.declare, None
            declare(self)
        found, unknown = super().parse_known_args(args, namespace)
        if unknown:  # else the list of commands would say it, and point to its own help
            self.error(f"unrecognized arguments: {' '.join(unknown)}{self._meant(unknown[0])}")
        return found, unknown

    def _meant(self, typed: str) -> str:
        import difflib

        near = difflib.get_close_matches(typed.partition("=")[0], self._option_string_actions, 1)
        return f" (do you mean {near[0]}?)" if near and typed.startswith("-") else ""


_DEBUG = "Show where a mistake was noticed, as is always shown of a bug."


def _parser(prog: str) -> argparse.ArgumentParser:
    parser = _Parser(prog=prog, description="Train, score and inspect token-level credit.")
    parser.add_argument("--version", action="version", version=f"VIMPO Lab {__version__}")
    parser.add_argument("--debug", action="store_true", help=_DEBUG)
    commands = parser.add_subparsers(required=True, metavar="COMMAND", parser_class=_CommandParser)
    for name, (run, options, help) in _COMMANDS.items():
        added = commands.add_parser(name, help=help.replace("%", "%%"), description=help, allow_abbrev=False)
        added.set_defaults(run=run)
        added.add_argument("--debug", action="store_true", default=argparse.SUPPRESS, help=_DEBUG)
        added.add_argument("--json", action="store_true", help="End stdout with one JSON object.")
        added.declare = options
    return parser


def _add_runs_dir(parser) -> None:
    parser.add_argument("--runs-dir", type=_folder, default=default_runs_dir(), help="Folder of runs (default: runs/).")


def _add_final_problems(parser) -> None:
    from vimpo_core.reports import TEST_PROMPTS

    parser.add_argument(
        "--final-problems",
        type=_count,
        help=f"Test problems it is measured on at the end, 0 for none (default: {TEST_PROMPTS}, fewer for a run that "
        "itself samples few solutions).",
    )


def _path(typed: str) -> Path:
    try:
        return as_path(typed)
    except Mistake as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _count(typed: str) -> int:
    if not typed.isdecimal():
        raise argparse.ArgumentTypeError(f"must be a whole number from 0 on, got {typed!r}")
    return int(typed)


def _folder(typed: str) -> Path:
    path = _path(typed).absolute()
    if path.exists() and not path.is_dir():
        raise argparse.ArgumentTypeError(f"must be a folder, and {typed!r} is a file")
    return path


def _port(typed: str) -> int:
    if not typed.isdecimal() or not 1 <= int(typed) <= 65535:
        raise argparse.ArgumentTypeError(f"must be a whole number from 1 to 65535, got {typed!r}")
    return int(typed)


def _add_setting(parser, f, absent=_AS_SAID, **changes) -> None:
    """The option of a setting; with default=None it says the run's own value is kept. absent: what is parsed where the
    option is not given, in the place of the default that its help names."""
    from vimpo_core.config import setting

    known = setting(f.name) | changes
    default = "as in the run" if known["default"] is None else known["default"]
    limits = "" if known["low"] is None else f" {known['low']:g} to {known['high']:g}."
    parser.add_argument(
        f"--{f.name.replace('_', '-')}",
        type=known["type"],
        default=known["default"] if absent is _AS_SAID else absent,
        choices=known["choices"],
        help=f"{known['help']}{limits} Default: {default}.".replace("%", "%%"),
    )


def _train_options(parser) -> None:
    from vimpo_core.config import TrainConfig
    from vimpo_core.labs.presets import PRESETS

    parser.add_argument(
        "--preset",
        choices=tuple(PRESETS),
        help="One of the Train page's presets. "
        + " ".join(f"{key}: {preset.shows}" for key, preset in PRESETS.items()).replace("%", "%%")
        + " All its rules are trained side by side, as by Play on the page, one with --algorithm. What else is typed "
        "counts before it.",
    )
    for f in dataclasses.fields(TrainConfig):
        _add_setting(parser, f, absent=argparse.SUPPRESS)
    parser.add_argument("--name", default="", help="What to call the run.")
    _add_final_problems(parser)
    _add_runs_dir(parser)


def parsed(arguments: list[str]) -> argparse.Namespace:
    """What a command line says, as the commands get it."""
    return _parser("python -m vimpo_core").parse_args(arguments)


def configs_of(arguments: argparse.Namespace) -> list[TrainConfig]:
    """The settings of each run that the arguments of `train` ask for: those typed, the preset's, the defaults. A preset
    is all its rules side by side, as on the page; with a rule that is typed that one alone.
    """
    from vimpo_core.config import TrainConfig
    from vimpo_core.labs.presets import PRESETS
    from vimpo_core.rules import is_read

    typed = {f.name: getattr(arguments, f.name) for f in dataclasses.fields(TrainConfig) if hasattr(arguments, f.name)}
    if not arguments.preset:
        return [TrainConfig(**typed)]
    preset = PRESETS[arguments.preset]
    rules = [typed.pop("algorithm")] if "algorithm" in typed else preset.algorithms
    others = {rule: [name for name in typed if is_read(name, rules) and not is_read(name, [rule])] for rule in rules}
    return [preset.config(rule, **{n: v for n, v in typed.items() if n not in others[rule]}) for rule in rules]


def _train(arguments) -> int:
    from vimpo_core.runs import folder

    configs = [_checked(config) for config in configs_of(arguments)]
    runs = folder.RunsDir(arguments.runs_dir)
    job_id = runs.submit(configs, arguments.name)
    return _work_on(runs, job_id, arguments)


def _checked(config: TrainConfig) -> TrainConfig:
    """Settings that a run can be made with; what there is to say of them is said, before anything is written."""
    from vimpo_core.config import TrainConfig, advice
    from vimpo_core.runs import folder
    from vimpo_core.service import model_service
    from vimpo_core.tasks.registry import task_of

    config = folder.settled(dataclasses.replace(config, model=_got(config.model)))
    if (config.model, config.device, config.task) != ("bundled", "cpu", TrainConfig.task):  # before anything is written
        for note in model_service.try_run(config):
            print(f"note: {note}", file=sys.stderr)
    for remark in advice(config, task_of(config).typical_length):  # of a run that will be made, not of a refused one
        print(f"{remark.level}: {remark.text}", file=sys.stderr)
    return config


_SHARE_BAR = "{desc}: {percentage:3.0f}%|{bar}| {elapsed}<{remaining}"


@contextlib.contextmanager
def _bar(doing: str) -> Iterator[Callable[[int, int], None]]:
    """A bar that is told how much is done, of how much."""
    from tqdm import tqdm

    with tqdm(desc=doing, bar_format=_SHARE_BAR, file=sys.stderr, delay=0.5) as bar:
        yield functools.partial(_show_share, bar)


def _with_bar(get: Callable[[str, Callable[[int, int], None]], str], source: str) -> str:
    with _bar(source) as told:
        return get(source, told)


def _got(source: str) -> str:
    """A source that somebody typed, fetched or converted with a bar where that has to be done first."""
    from vimpo_core.lm import sources

    return source if sources.is_here(source) else _with_bar(sources.get, source)


def _models_options(parser) -> None:
    parser.add_argument(
        "what",
        nargs="?",
        choices=tuple(_ON_MODELS),
        default="list",
        help=" ".join(f"{name}: {what}." for name, (_, what) in _ON_MODELS.items()) + " Default: list.",
    )
    parser.add_argument(
        "source",
        nargs="?",
        default="",
        metavar="SOURCE",
        help="bundled, smollm2, a folder in transformers format or of a PEFT adapter, org/name[@revision] of the "
        "Hugging Face hub, or a .gguf file.",
    )
    _add_runs_dir(parser)


def _models(arguments) -> int:
    act, _ = _ON_MODELS[arguments.what]
    if bool(arguments.source) != (act is not _list_models):
        needs = f"takes no model, got {arguments.source!r}" if arguments.source else "needs a model, got none"
        raise Mistake(f"models {arguments.what} {needs}. Write: python -m vimpo_core models check SOURCE")
    return act(arguments)


def _get_model(arguments) -> int:
    from vimpo_core.lm import sources

    # Of the hub also where it is here already: its branch may have moved on.
    source = _with_bar(sources.get, arguments.source)
    sources.find(source)  # a folder is nothing to get, and need not be there
    _print({"model": source, "folder": str(sources.model_folder(source))}, arguments.json)
    return 0


def _check_model(arguments) -> int:
    from vimpo_core.lm import model_check

    found = model_check.check(arguments.source)
    if arguments.json:
        _print(found, True)
    else:
        for name, text in model_check.lines(found):
            print(f"{name:<18} {text}")
    return 2 if found["refused"] else 0


def _list_models(arguments) -> int:
    from vimpo_core.lm import gguf_files, sources
    from vimpo_core.lm.known import KNOWN
    from vimpo_core.runs.folder import RunsDir

    gguf_files.tidy()
    used = ["bundled", *KNOWN, *RunsDir(arguments.runs_dir).models(), *map(str, gguf_files.all_converted())]
    here = {model: sources.is_here(model) for model in used}
    if arguments.json:
        lines = [{"model": m, "name": sources.label(m), "is_here": is_here} for m, is_here in here.items()]
        _print({"models": lines}, True)
        return 0
    for model, is_here in here.items():
        print(model if is_here else f"{model}  (not on this machine)")
    return 0


_ON_MODELS = {
    "list": (
        _list_models,
        "those with a name, those of your runs, and those that were converted",
    ),
    "check": (_check_model, "what it is and needs, before any weight is loaded; exit code 2 if it is refused"),
    "get": (_get_model, "fetch one of the Hugging Face hub or with a short name (smollm2), or convert a .gguf file"),
}
"""What `models` does -> how, and in words."""


def _resume_options(parser) -> None:
    parser.add_argument("run_id", metavar="RUN_ID")
    _add_final_problems(parser)
    _add_runs_dir(parser)


def _resume(arguments) -> int:
    from vimpo_core.runs.folder import RunsDir

    runs = RunsDir(arguments.runs_dir)
    return _work_on(runs, runs.resume([arguments.run_id]), arguments)


def _fork_options(parser) -> None:
    from vimpo_core.config import TrainConfig
    from vimpo_core.runs.forks import OPTIMIZERS

    parser.add_argument("run_id", metavar="RUN_ID", help="A run of the folder, or a bundled demo.")
    parser.add_argument("--step", type=int, required=True, help="Last step that is taken over from the run.")
    parser.add_argument(
        "--optimizer",
        choices=tuple(OPTIMIZERS),
        default="replay",
        help=" ".join(f"{name}: {what}." for name, what in OPTIMIZERS.items()) + " Default: replay.",
    )
    for f in dataclasses.fields(TrainConfig):
        _add_setting(parser, f, default=None)
    parser.add_argument("--name", default="", help="What to call the fork.")
    _add_final_problems(parser)
    _add_runs_dir(parser)


def _fork(arguments) -> int:
    from vimpo_core import reports
    from vimpo_core.config import TrainConfig
    from vimpo_core.runs.folder import RunsDir

    runs, parent = RunsDir(arguments.runs_dir), reports.find_run(arguments.runs_dir, arguments.run_id)
    changes = {
        f.name: getattr(arguments, f.name)
        for f in dataclasses.fields(TrainConfig)
        if getattr(arguments, f.name) is not None
    }
    config = dataclasses.replace(parent.config(), **changes)
    source = RunsDir(parent.run_dir.parent, read_only=True)
    job_id = runs.fork(arguments.run_id, arguments.step, config, arguments.optimizer, arguments.name, source=source)
    return _work_on(runs, job_id, arguments)


def _work_on(runs: RunsDir, job_id: str, arguments) -> int:
    """Train a job here, or, when another worker is busy in this folder, wait for its turn; then report."""
    from tqdm import tqdm

    from vimpo_core import reports
    from vimpo_core.runs import worker

    run_ids = next(job.run_ids for job in runs.jobs() if job.job_id == job_id)
    stores = [runs.open(run_id) for run_id in run_ids]
    steps, reached = sum(store.config().steps for store in stores), sum(map(_reached, stores))
    with tqdm(total=steps, initial=reached, desc=", ".join(run_ids), file=sys.stderr) as bar:
        at = {store.run_id: _reached(store) for store in stores}

        def show(store, record):
            at[store.run_id] = record.step
            bar.set_postfix(reward=f"{record.metrics['reward_mean']:.2f}", refresh=False)
            bar.update(sum(at.values()) - bar.n)

        def train():
            return worker.main(runs.path, on_record=show, only_job=job_id)

        if not train():
            _follow(runs, stores, bar, train)
    found = []
    for store in stores:
        with tqdm(desc=f"final measurement of {store.run_id}", unit="solution", file=sys.stderr, delay=1) as bar:
            tell = functools.partial(_show_share, bar)
            found.append(reports.training_report(store, arguments.final_problems, tell))
    if len(found) > 1 and arguments.json:
        _print({"runs": found}, True)
    else:
        for number, report in enumerate(found):
            print(end="\n" * bool(number))
            _print(report, arguments.json)
    return max(map(_exit_code, stores))


def _show_share(bar, done: int, total: int) -> None:
    bar.total = total
    bar.update(done - bar.n)


def _follow(runs: RunsDir, stores, bar, train: Callable[[], bool]) -> None:
    """Wait for the worker that is at work; train here once it has died."""
    from vimpo_core.runs.folder import ACTIVE
    from vimpo_core.types import RunState

    waiting = ", ".join(store.run_id for store in stores)
    print(f"another run is training in this folder. Waiting for its turn: {waiting}.", file=sys.stderr)
    while active := [state for store in stores if (state := store.state()) in ACTIVE]:
        bar.update(sum(map(_reached, stores)) - bar.n)
        if RunState.QUEUED in active and not runs.has_worker() and train():
            return
        time.sleep(_LOOK_SECONDS)


def _reached(store) -> int:
    """The step that a run is at; of a fork that makes its parent's steps again, the last of those."""
    from vimpo_core.runs.forks import steps_to_replay

    seen = store.overview()
    made = seen.replayed and seen.replayed[0]
    return max(0, (seen.last_step or 0) - steps_to_replay(seen.header, seen.last_step, made))


def _exit_code(store) -> int:
    from vimpo_core.types import RUN_STATE_ADVICE, RunState

    state = store.state()
    if state == RunState.FINISHED:
        return 0
    print(f"{store.run_id} is {state}. {store.message() or RUN_STATE_ADVICE[state]}", file=sys.stderr)
    return UNFINISHED


def _eval_options(parser) -> None:
    from vimpo_core import reports

    parser.add_argument("run_id", metavar="RUN_ID", help="A run of the folder, or a bundled demo.")
    parser.add_argument("--step", type=int, help="Snapshot step (default: the newest).")
    parser.add_argument("--prompts", type=int, default=reports.TEST_PROMPTS, help="Test problems (default: 512).")
    parser.add_argument("--seed", type=int, default=0, help="Seed of the sampled solutions (default: 0).")
    _add_runs_dir(parser)


def _eval(arguments) -> int:
    from vimpo_core import reports

    store = reports.find_run(arguments.runs_dir, arguments.run_id)
    _print(reports.evaluate_run(store, arguments.step, arguments.prompts, arguments.seed), arguments.json)
    return 0


def _score_options(parser) -> None:
    parser.add_argument("run_id", metavar="RUN_ID", help="A run of the folder, or a bundled demo.")
    parser.add_argument("--prompt", required=True, help="The problem, such as 9+2+9+7*6=")
    parser.add_argument("--solution", required=True, help='The solution, such as "9+2+9+42;11+9+42;20+42;62."')
    parser.add_argument("--step", type=int, help="Snapshot step (default: the newest).")
    parser.add_argument("--beta", type=float, help="Reward per nat (default: the run's).")
    parser.add_argument(
        "--drop",
        type=int,
        metavar="TRIES",
        help="Also find the largest true drop, by so many fresh tries before and after it (64 or 256 are usual).",
    )
    _add_runs_dir(parser)


def _score(arguments) -> int:
    from vimpo_core import reports
    from vimpo_core.runs import snapshots
    from vimpo_core.service.scoring import score_solution
    from vimpo_core.solutions import steps

    store = reports.find_run(arguments.runs_dir, arguments.run_id)
    step = snapshots.newest_snapshot(store) if arguments.step is None else arguments.step
    config = store.config().at(step)
    beta = config.beta if arguments.beta is None else dataclasses.replace(config, beta=arguments.beta).beta
    (trace,) = score_solution(store.run_dir, step, arguments.prompt, arguments.solution)
    if arguments.drop is not None:
        trace = _with_drop(trace, store.run_dir, step, arguments)
    report = reports.solution_report(trace, beta, store.run_id)
    if arguments.json:
        _print(report, True)
        return 0
    if trace.largest_drop is not None:
        report["largest_drop"] = steps.drop_text(trace)
    tokens = report.pop("tokens")
    _print(report, False)
    print(f"{'#':>3} {'token':<8}{'log pi':>9}{'log ref':>9}{'KL':>8}{'delta':>9}{'V - V_0':>9}")
    for t in tokens:
        print(
            f"{t['index']:>3} {t['text']!r:<8}{t['logprob']:>9.3f}{t['ref_logprob']:>9.3f}{t['kl']:>8.3f}"
            f"{t['td_term']:>+9.4f}{t['value_after_minus_start']:>+9.4f}"
        )
    return 0


def _with_drop(trace, run_dir, step, arguments):
    from vimpo_core.service.largest_drop import largest_drop
    from vimpo_core.solutions import steps

    asked = (run_dir, step, arguments.prompt, arguments.solution, arguments.drop)
    return trace.with_(largest_drop=largest_drop(*asked, starts=tuple(steps.word_starts(trace))))


def _truth_options(parser) -> None:
    from vimpo_core.measure.scorecard import SETS
    from vimpo_core.service.same_report import SAME, WORDS

    parser.add_argument("run_id", metavar="RUN_ID", help="A run of the folder, or a bundled demo.")
    parser.add_argument("--step", type=int, help="Snapshot step (default: the newest).")
    parser.add_argument(
        "--set",
        dest="which",
        choices=(*SETS, SAME),
        default="fixed",
        help=" ".join(f"{name}: {what}" for name, what in (SETS | {SAME: WORDS}).items()),
    )
    parser.add_argument(
        "--with",
        dest="others",
        nargs="+",
        metavar="RUN_ID",
        default=(),
        help="Runs whose policies write and read the same solutions too, at this step or else their newest (only with "
        f"--set {SAME}).",
    )
    parser.add_argument("--solutions", type=int, default=64, help="Solutions of each kind (default: 64).")
    parser.add_argument("--rollouts", type=int, default=64, help="Tries from every prefix (default: 64).")
    parser.add_argument("--seed", type=int, default=0, help="Seed of solutions and tries (default: 0).")
    _add_runs_dir(parser)


def _truth(arguments) -> int:
    from tqdm import tqdm

    from vimpo_core import reports
    from vimpo_core.formats.reproduce import truth_command
    from vimpo_core.service import same_report, truth_report

    store = reports.find_run(arguments.runs_dir, arguments.run_id)
    if (arguments.which == same_report.SAME) != bool(arguments.others):
        raise Mistake(
            f"--with names the other runs of --set {same_report.SAME}, and that set needs them. Give both or neither."
        )
    if arguments.others:
        return _truth_of_same(arguments, store)
    options = {name: getattr(arguments, name) for name in ("which", "solutions", "rollouts", "seed")}
    with tqdm(desc="rollouts", file=sys.stderr, delay=0.1) as bar:

        def show(done, total):
            bar.total = total
            bar.update(done - bar.n)

        report = truth_report.truth_report(store, arguments.step, **options, on_progress=show)
    is_usual = arguments.runs_dir == default_runs_dir() or store.run_dir.parent in BUNDLED_RUNS
    report["command"] = truth_command(report, "" if is_usual else str(arguments.runs_dir))
    if arguments.json:
        _print(report, True)
        return 0
    signals, _, _ = (report.pop(name) for name in ("signals", "lead_of_implied", "instructive"))
    bounds = {name: report.pop(name) for name in list(report) if name.endswith(("_low", "_high"))}
    for name, value in report.items():
        if f"{name}_low" in bounds and value is not None:
            report[name] = f"{value:.4g} ({bounds[f'{name}_low']:.4g} to {bounds[f'{name}_high']:.4g})"
    _print(report, False)
    target = report.get("target", "first wrong token")
    print(f"{target:<28}{'top-1':>7}{'top-3':>7}{'AUC':>7}   95% interval of AUC   Gini   tokens in effect")
    for name, found in signals.items():
        shares = "".join(f"{found[key]:>7.3f}" for key in ("top1", "top3", "auc"))
        print(f"{name:<28}{shares}   {found['auc_low']:.3f} to {found['auc_high']:.3f}{_concentration(found)}")
    return 0


def _truth_of_same(arguments, store) -> int:
    from tqdm import tqdm

    from vimpo_core import reports
    from vimpo_core.formats.reproduce import same_command
    from vimpo_core.service import same_report

    runs = [(store, arguments.step)]
    for run_id in arguments.others:
        other = reports.find_run(arguments.runs_dir, run_id)
        runs.append((other, arguments.step if arguments.step in other.snapshot_steps() else None))
    with tqdm(desc="policies", file=sys.stderr, delay=0.1) as bar:

        def show(done, total):
            bar.total = total
            bar.update(done - bar.n)

        report = same_report.same_report(runs, arguments.solutions, arguments.seed, on_progress=show)
    is_usual = arguments.runs_dir == default_runs_dir() or store.run_dir.parent in BUNDLED_RUNS
    report["command"] = same_command(report, "" if is_usual else str(arguments.runs_dir))
    if arguments.json:
        _print(report, True)
        return 0
    print(
        f"{report['n_solutions']} wrong solutions to {report['n_problems']} problems, "
        + ", ".join(f"{run['n']} of {run['run_id']} at step {run['step']}" for run in report["runs"])
    )
    print(f"{'first wrong token, AUC':<34}{'all of them':>24}" + "".join(f"{by:>24}" for by in report["by_writer"]))
    for name, pooled in report["readings"].items():
        columns = [pooled, *(of[name] for of in report["by_writer"].values())]
        print(f"{name:<34}" + "".join(f"{_auc(found):>24}" for found in columns))
    print("\nDifferences on the same solutions")
    for one in report["differences"]:
        columns = [one["pool"], *one["by_writer"].values()]
        print(f"{one['of']} - {one['minus']}\n{'':<34}" + "".join(f"{_auc(found):>24}" for found in columns))
    print(report["command"])
    return 0


def _auc(found: dict) -> str:
    if found["auc"] is None:
        return "-"
    return f"{found['auc']:.3f} ({found['auc_low']:.3f}, {found['auc_high']:.3f})"


def _concentration(found: dict) -> str:
    """Gini and effective tokens of a signal in the columns of `_truth`; a dash where it is 0 everywhere."""
    if found["gini"] is None:
        return f"{'-':>13}{'-':>19}"
    return f"{found['gini']:>13.2f}{found['effective_tokens']:>19.1f}"


def _experiment_options(parser) -> None:
    parser.add_argument("file", type=_path, metavar="FILE", help="What to run, such as experiments/quick.toml.")
    parser.add_argument("--out", type=_path, help="Folder of its runs and report (default: FILE without .toml).")
    parser.add_argument("--jobs", type=int, help="Runs at a time on this machine (default: the number of cores).")
    parser.add_argument(
        "--on", choices=("ray",), help="Send the runs to a Ray cluster; needs requirements-ray.txt on every node."
    )
    parser.add_argument(
        "--ray-address",
        metavar="ADDR",
        help="Which cluster, such as HOST:6379 (default: RAY_ADDRESS, or the one of this machine).",
    )
    only = parser.add_mutually_exclusive_group()
    only.add_argument("--dry-run", action="store_true", help="Only count the runs and estimate their time.")
    only.add_argument("--report-only", action="store_true", help="Only write the report of what is done.")


def _experiment(arguments) -> int:
    from vimpo_core.experiment import command

    if arguments.ray_address and not arguments.on:
        raise Mistake("--ray-address names a cluster for --on ray. Add --on ray, or leave it out.")
    address = (arguments.ray_address or "auto") if arguments.on else None
    found = command.experiment(
        arguments.file, arguments.out, arguments.jobs, arguments.dry_run, arguments.report_only, address
    )
    failed = found.get("failed", {})
    if arguments.dry_run and not arguments.json:
        _print(found, False)
        if found["cpu_minutes"] is None:
            print("How long it takes is known once a run of each rule with this model is finished.")
        print("Nothing was run. Without --dry-run the same command carries it out.")
        return 0
    _print(found if arguments.json else {k: v for k, v in found.items() if k != "failed"}, arguments.json)
    for sentence, count in Counter(failed.values()).items():
        print(f"{count} of the runs came to no result. {sentence}", file=sys.stderr)
    if failed:
        print("Run the same command again: it repeats nothing that is done.", file=sys.stderr)
    return UNFINISHED if failed else 0


def _export_options(parser) -> None:
    from vimpo_core.formats.export import FORMATS

    parser.add_argument("run_id", metavar="RUN_ID", help="A run of the folder, or a bundled demo.")
    parser.add_argument("--step", type=int, help="Step whose solutions were recorded (default: the newest).")
    parser.add_argument("--group", type=int, default=0, help="Prompt of the step, counted from 0 (default: 0).")
    parser.add_argument("--sample", type=int, default=0, help="Solution of it, counted from 0 (default: 0).")
    parser.add_argument(
        "--format",
        choices=tuple(FORMATS),
        default="html",
        help=" ".join(f"{name}: {f.help}" for name, f in FORMATS.items()),
    )
    parser.add_argument("--out", type=_path, help="File to write (default: named after the solution, here).")
    parser.add_argument(
        "--film",
        type=_path,
        metavar="OUT.gif",
        help="Instead of --format: the solution under every saved policy as an animated GIF, 800 pixels wide.",
    )
    parser.add_argument("--lens", help="What a film is coloured by (default: td_terms, each token's credit).")
    parser.add_argument("--theme", choices=("light", "dark"), help="Of a film (default: light).")
    parser.add_argument("--beta", type=float, help="Reward per nat (default: the run's).")
    parser.add_argument("--gae-lambda", type=float, help="Reach of a token's credit (default: the run's).")
    _add_force(parser)
    _add_runs_dir(parser)


def _export(arguments) -> int:
    from vimpo_core import reports
    from vimpo_core.formats import export as exporting

    store = reports.find_run(arguments.runs_dir, arguments.run_id)
    asked = {"beta": arguments.beta, "gae_lambda": arguments.gae_lambda}
    recorded = store.trace_steps()
    if not recorded:
        raise Mistake(f"run {store.run_id} kept no solutions. Choose another run.")
    step = recorded[-1] if arguments.step is None else arguments.step
    config = dataclasses.replace(store.config().at(step), **{k: v for k, v in asked.items() if v is not None})
    taken = exporting.recorded(store, step, arguments.group, arguments.sample, config.beta, config.gae_lambda)
    if arguments.film:
        return _export_film(arguments, store.run_dir, taken)
    if arguments.lens or arguments.theme:
        raise Mistake("--lens and --theme are of a film. Add --film OUT.gif, or leave them out.")
    out = arguments.out or Path(exporting.file_name(taken, arguments.format))
    _refuse_to_replace(out, arguments)
    size = exporting.write(taken, arguments.format, out)
    report = {"run_id": store.run_id, "step": step, "group": arguments.group, "sample": arguments.sample}
    report |= {"beta": config.beta, "gae_lambda": config.gae_lambda, "format": arguments.format}
    _print(report | {"out": str(out), "bytes": size}, arguments.json)
    return 0


def _export_film(arguments, run_dir: Path, taken) -> int:
    from tqdm import tqdm

    from vimpo_core.files import write_whole
    from vimpo_core.formats import export as exporting
    from vimpo_core.formats.film_gif import film_gif
    from vimpo_core.service.film import film_solution

    if arguments.out:
        raise Mistake("--out is of the other formats. A film is written where --film says.")
    _refuse_to_replace(arguments.film, arguments)
    trace, lens = taken.trace, arguments.lens or "td_terms"
    film = film_solution(run_dir, trace.prompt_text, trace.completion_text, tuple(map(int, trace.ids)))
    for problem in film.problems.values():
        print(problem, file=sys.stderr)
    with tqdm(desc="frames", file=sys.stderr) as bar:
        about, theme = exporting.about(taken, is_film=True), arguments.theme or "light"
        tell = functools.partial(_show_share, bar)
        content = film_gif(film.frames, lens, taken.beta, taken.gae_lambda, about, theme, tell=tell)
    write_whole(arguments.film, content)
    report = {"run_id": taken.place.run_id, "group": arguments.group, "sample": arguments.sample, "lens": lens}
    report |= {"beta": taken.beta, "gae_lambda": taken.gae_lambda, "frames": len(film.frames)}
    _print(report | {"out": str(arguments.film), "bytes": len(content)}, arguments.json)
    return 0


def _export_run_options(parser) -> None:
    from vimpo_core.formats.outgoing.run_export import FORMATS

    parser.add_argument("run_id", metavar="RUN_ID", help="A run of the folder, or a bundled demo.")
    parser.add_argument(
        "--to",
        choices=tuple(FORMATS),
        default="jsonl",
        help=" ".join(f"{name}: {f.help}" for name, f in FORMATS.items()) + " Default: jsonl.",
    )
    parser.add_argument("--out", type=_path, help="File to write (default: named after the run, here).")
    parser.add_argument("--steps", help="Steps whose solutions to write, as 0,10,20-40 (default: all that were kept).")
    _add_force(parser)
    _add_runs_dir(parser)


def _export_run(arguments) -> int:
    from tqdm import tqdm

    from vimpo_core import reports
    from vimpo_core.formats.outgoing import run_export

    store = reports.find_run(arguments.runs_dir, arguments.run_id)
    steps = None if arguments.steps is None else run_export.steps_in(arguments.steps)
    out = arguments.out or Path(run_export.file_name(store.run_id, arguments.to))
    _refuse_to_replace(out, arguments)
    with tqdm(desc="steps", file=sys.stderr) as bar:
        found = run_export.write(store, arguments.to, out, steps, functools.partial(_show_share, bar))
    remarks = found.pop("remarks")
    for remark in remarks:
        print(remark, file=sys.stderr)
    report = {"run_id": store.run_id, "to": arguments.to, **found, "out": str(out)}
    _print(report | ({"remarks": remarks} if arguments.json else {}), arguments.json)
    return 0


def _export_adapter_options(parser) -> None:
    parser.add_argument("run_id", metavar="RUN_ID", help="A run of the folder, or a bundled demo.")
    parser.add_argument("--step", type=int, help="Snapshot step (default: the newest).")
    parser.add_argument("--out", type=_path, help="Folder to make (default: named after run and step, here).")
    _add_runs_dir(parser)


def _export_adapter(arguments) -> int:
    from vimpo_core import reports
    from vimpo_core.formats import adapter_folder
    from vimpo_core.runs.snapshots import newest_snapshot

    store = reports.find_run(arguments.runs_dir, arguments.run_id)
    step = newest_snapshot(store) if arguments.step is None else arguments.step
    out = arguments.out or Path(adapter_folder.folder_name(store.run_id, step))
    size = adapter_folder.write(store, step, out)
    report = {"run_id": store.run_id, "step": step, "base": store.config().model, "out": str(out), "bytes": size}
    _print(report, arguments.json)
    return 0


def _runs_options(parser) -> None:
    parser.add_argument(
        "what",
        nargs="?",
        choices=tuple(_ON_RUNS),
        default="list",
        help=" ".join(f"{name}: {what}." for name, (_, what) in _ON_RUNS.items()) + " Default: list.",
    )
    parser.add_argument("run_ids", nargs="*", metavar="RUN_ID", help="Runs to tag, delete or restore.")
    parser.add_argument("--add", metavar="TAGS", default="", help="tag: tags to give them, separated by commas.")
    parser.add_argument("--remove", metavar="TAGS", default="", help="tag: tags to take away.")
    parser.add_argument("--note", metavar="TEXT", help='tag: their note; "" for none.')
    _add_runs_dir(parser)


def _runs(arguments) -> int:
    from vimpo_core.runs.folder import RunsDir

    act, _ = _ON_RUNS[arguments.what]
    if bool(arguments.run_ids) != (act in (_tag, _delete, _restore)):
        needs = "takes no run" if arguments.run_ids else "needs at least one run, got none"
        raise Mistake(f"runs {arguments.what} {needs}. List them: python -m vimpo_core runs")
    return act(RunsDir(arguments.runs_dir), arguments)


def _list(runs: RunsDir, arguments) -> int:
    from vimpo_core import reports
    from vimpo_core.runs.folder import left_alone

    lines = [reports.run_line(run) for run in runs.list()]
    if arguments.json:
        _print({"runs": lines, "other_folders": runs.others()}, True)
        return 0
    for line in lines:
        done = "-" if line["last_step"] is None else line["last_step"]
        print(
            f"{line['run_id']:<12} {line['state']:<12} {done:>5}{_of_steps(line['steps']):<6} {line['name']}"
            f"{''.join(f' [{tag}]' for tag in line['tags'])}  {line['message']}".rstrip()
        )
        for note in line["note"].splitlines():
            print(f"{'':<13}{note}")
    if not lines:
        print("no runs yet. Start one: python -m vimpo_core train")
    for remark in (left_alone(runs.others()), _in_bin(runs)):
        if remark:
            print(remark, file=sys.stderr)
    return 0


def _of_steps(steps: int | None) -> str:
    """How many a run was to have: of a brought one that was not recorded."""
    return "" if steps is None else f"/{steps}"


def _in_bin(runs: RunsDir) -> str:
    count = len(runs.bin.entries())
    return f"{count} deleted in the last week: python -m vimpo_core runs bin" if count else ""


def _tag(runs: RunsDir, arguments) -> int:
    from vimpo_core.runs import labels

    add, remove = labels.tags_in(arguments.add), labels.tags_in(arguments.remove)
    if not (add or remove or arguments.note is not None):
        raise Mistake("runs tag needs --add, --remove or --note. Say what the runs are to have.")
    tagged = {run_id: runs.label(run_id, add, remove, arguments.note) for run_id in arguments.run_ids}
    _print({"tagged": tagged}, arguments.json)
    return 0


def _delete(runs: RunsDir, arguments) -> int:
    import shlex

    is_usual = arguments.runs_dir == default_runs_dir()
    place = "" if is_usual else f" --runs-dir {shlex.quote(str(arguments.runs_dir))}"
    for run_id in arguments.run_ids:
        deleted = runs.delete(run_id)
        print(
            f"{run_id} is in the bin until {deleted.gone_after:%Y-%m-%d}. Undo: python -m vimpo_core runs restore "
            f"{run_id}{place}",
            file=sys.stderr,
        )
    _print({"deleted": arguments.run_ids}, arguments.json)
    return 0


def _restore(runs: RunsDir, arguments) -> int:
    _print({"restored": [runs.restore(run_id) for run_id in arguments.run_ids]}, arguments.json)
    return 0


def _bin(runs: RunsDir, arguments) -> int:
    _print_deleted(runs.bin.entries(), "deleted", arguments.json)
    return 0


def _empty(runs: RunsDir, arguments) -> int:
    _print_deleted(runs.empty_bin(), "removed", arguments.json)
    return 0


def _print_deleted(found: list[Deleted], what: str, as_json: bool) -> None:
    lines = [{"run_id": e.run_id, "deleted": f"{e.deleted:%Y-%m-%dT%H:%M:%SZ}", "entry": e.entry} for e in found]
    if as_json:
        _print({what: lines}, True)
        return
    for line in lines:
        print(f"{line['run_id']:<12} deleted {line['deleted']}  {line['entry']}")
    if not lines:
        print("the bin is empty.")


_ON_RUNS = {
    "list": (_list, "the runs with their states"),
    "tag": (_tag, "give them tags and a note, see --add, --remove and --note"),
    "delete": (_delete, "move runs to the bin"),
    "restore": (_restore, "bring deleted runs back, by id or by entry of the bin"),
    "bin": (_bin, "what was deleted in the last week"),
    "empty": (_empty, "remove for good what is in the bin"),
}
"""What `runs` does -> how, and in words."""


def _backup_options(parser) -> None:
    parser.add_argument("out", nargs="?", type=_path, metavar="FILE", help="Default: vimpo-lab-DATE-TIME.zip here.")
    _add_force(parser)
    _add_runs_dir(parser)


def _backup(arguments) -> int:
    from datetime import datetime

    from vimpo_core.runs import backup
    from vimpo_core.runs.folder import RunsDir

    out = arguments.out or Path(backup.default_name(datetime.now()))
    _refuse_to_replace(out, arguments)
    with _bar("backup") as told:
        made = backup.backup(RunsDir(arguments.runs_dir), out, told)
    for run_id, why in made.left_out.items():
        print(f"left out {run_id}: {why}", file=sys.stderr)
    report = {"out": str(out), "bytes": made.size, "runs": made.runs, "left_out": made.left_out}
    _print(
        report | ({} if arguments.json else {"runs": len(made.runs), "left_out": len(made.left_out)}), arguments.json
    )
    return UNFINISHED if made.left_out else 0


def _restore_options(parser) -> None:
    parser.add_argument("file", type=_path, metavar="FILE", help="What `backup` wrote.")
    parser.add_argument(
        "--replace",
        action="store_true",
        help="Runs that are there already go to the bin and are replaced; without it they are left as they are.",
    )
    _add_runs_dir(parser)


def _restore_backup(arguments) -> int:
    from vimpo_core.runs import backup
    from vimpo_core.runs.folder import RunsDir

    with _bar("restore") as told:
        found = backup.restore(RunsDir(arguments.runs_dir), arguments.file, arguments.replace, told)
    if found.kept:
        print(
            f"left as they are: {', '.join(found.kept)}. Replace them with --replace; they go to the bin then.",
            file=sys.stderr,
        )
    report = {"restored": found.runs, "kept": found.kept, "waiting": found.waiting, "class": found.has_class}
    _print(report, arguments.json)
    return 0


def _class_options(parser) -> None:
    from vimpo_core.service.class_server import PORT

    parser.add_argument("--name", required=True, metavar="HOST", help="The name or address that students type.")
    parser.add_argument("--students", type=_count, default=50, help="How many there are (default: 50).")
    parser.add_argument("--code", help="The word that lets a browser in (default: as before, or a new one).")
    parser.add_argument("--new", action="store_true", help="Begin a new class: forget who joined and the hand-ins.")
    parser.add_argument("--port", type=_port, default=PORT, help=f"Default: {PORT}.")
    parser.add_argument("--even-public", action="store_true", help="Also where the whole internet may reach HOST.")
    _add_runs_dir(parser)


def _class(arguments) -> int:
    import segno

    from vimpo_core.service import class_server

    place = class_server.find_place(arguments.name, arguments.port, arguments.even_public)

    def told(code: str, key: str) -> None:
        if not arguments.json:
            segno.make(place.url, error="l").terminal(compact=True)
        said = {"students": place.url, "join_code": code, "teacher": place.teacher_url(key)}
        _print(said | {"runs": str(arguments.runs_dir)}, arguments.json)
        print("Stop with Ctrl-C. What was trained and handed in stays.", file=sys.stderr)
        sys.stdout.flush()

    return class_server.serve(place, arguments.runs_dir, arguments.code, arguments.students, told, arguments.new)


def _tasks_options(parser) -> None:
    from vimpo_core.config import TrainConfig
    from vimpo_core.tasks.look import FIRST

    parser.add_argument("what", choices=("check",))
    parser.add_argument("task", metavar="SPEC", help="As for train --task, such as file:problems.csv.")
    parser.add_argument("--first", type=_count, default=FIRST, help=f"Problems to show (default: {FIRST}).")
    fields = TrainConfig.__dataclass_fields__
    for name in ("operands", "prompt_style", "max_new_tokens", "partial_rewards"):
        _add_setting(parser, fields[name])
    parser.add_argument("--model", help="Measure the longest prompt with this model's tokenizer.")


def _tasks(arguments) -> int:
    from vimpo_core.config import TrainConfig
    from vimpo_core.tasks import look
    from vimpo_core.tasks.registry import whole

    names = ("operands", "prompt_style", "max_new_tokens", "partial_rewards")
    config = TrainConfig(
        task=whole(arguments.task),
        model=arguments.model or "bundled",
        **{name: getattr(arguments, name) for name in names},
    )
    length = None
    if arguments.model:
        from vimpo_core.lm.loading import longest_prompt

        length = functools.partial(longest_prompt, config.model)
    found = look.look(config, arguments.first, length)
    if arguments.json:
        _print(found.as_dict(), True)
    else:
        print("\n".join(look.lines(found)))
    return 0


def _bench_options(parser) -> None:
    parser.add_argument("what", choices=sorted(p.stem for p in (ROOT / "benchmarks").glob("[a-z]*.py")))
    parser.add_argument("options", nargs=argparse.REMAINDER, help="Its own: `bench WHAT --help` lists them.")


def _bench(arguments) -> int:
    options = ["--json"] * arguments.json + arguments.options
    return subprocess.run(
        [sys.executable, ROOT / "benchmarks" / f"{arguments.what}.py", *options],
        cwd=ROOT,
        env=child_environment(),
    ).returncode


def _import_options(parser) -> None:
    parser.add_argument("paths", nargs="+", metavar="PATH", help="Files of one run, or the folder that has them.")
    parser.add_argument("--as", dest="name", default="", metavar="NAME", help="What to call the run.")
    parser.add_argument("--dry-run", action="store_true", help="Say what is in it, and make no run.")
    parser.add_argument("--follow", action="store_true", help="Take in new steps of a folder until Ctrl-C.")
    _add_runs_dir(parser)


def _import(arguments) -> int:
    from vimpo_core.formats.incoming.survey import lines
    from vimpo_core.runs.folder import RunsDir
    from vimpo_core.service import import_service
    from vimpo_core.types import known

    paths = [_path(typed).absolute() for typed in arguments.paths]
    if missing := next((path for path in paths if not path.exists()), None):
        raise Mistake(f"there is no file or folder {str(missing)!r}. Check the path.")
    if arguments.follow:
        return _follow_folder(paths, arguments)
    brought = [(str(path), path.name) for path in paths]
    folder = paths[0] if paths[0].is_dir() else paths[0].parent
    if arguments.dry_run:
        found = import_service.outcome(import_service.ask_survey(brought, arguments.runs_dir))
        told = found
    else:
        future = import_service.ask_import(arguments.runs_dir, brought, arguments.name, folder)
        run_id = import_service.outcome(future)
        store = RunsDir(arguments.runs_dir).open(run_id)
        found = known(store.imported())["survey"]
        told = {"run_id": run_id, **found, "name": store.header()["name"]}
    if arguments.json:
        _print(told, True)
        return 0
    print("\n".join(lines(found)))
    if arguments.dry_run:
        print("No run was made. Without --dry-run the same command makes it.")
    else:
        print(f"{'run':<18} {told['run_id']}, {told['name']}")
    return 0


def _follow_folder(paths: list[Path], arguments) -> int:
    import signal

    from vimpo_core.formats.incoming import limits
    from vimpo_core.service.follow import follow

    if len(paths) > 1 or arguments.dry_run:
        raise Mistake("--follow takes one folder, and no --dry-run. Name the folder that the run writes into.")
    limits.apply(has_no_end=True)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    told = functools.partial(print, file=sys.stderr)
    _print({"run_id": follow(arguments.runs_dir, paths[0], arguments.name, told)}, arguments.json)
    return 0


def _make_reference_options(parser) -> None:
    parser.add_argument("--out", type=_path, default=BUNDLED_MODEL, help="Folder to write (default: the bundled one).")
    parser.add_argument("--steps", type=int, default=1600, help="Supervised updates (default: 1600).")
    parser.add_argument("--seed", type=int, default=0, help="Seed (default: 0).")
    parser.add_argument(
        "--operands",
        type=int,
        default=6,
        help="Largest number of operands that it learns, 3 to 8 (default: 6).",
    )
    parser.add_argument(
        "--slip-scale",
        type=float,
        default=1.0,
        help="How often its teacher slips, as a multiple of the bundled one's (default: 1; at 2 it is seldom right).",
    )


def _make_reference(arguments) -> int:
    from tqdm import tqdm

    from vimpo_core.lm import models
    from vimpo_core.make.reference import make_reference

    usual = _parser("").parse_args(["make-reference"])
    asked = ("steps", "seed", "operands", "slip_scale")
    changed = next((name for name in asked if getattr(arguments, name) != getattr(usual, name)), None)
    if changed and arguments.out.resolve() == BUNDLED_MODEL.resolve():
        raise Mistake(
            f"with another --{changed.replace('_', '-')} this is not the bundled model, on which the bundled runs and "
            "yours stand. Give it a folder of its own with --out FOLDER."
        )
    models.single_thread()
    with tqdm(total=arguments.steps, desc="reference", file=sys.stderr) as bar:

        def show(step, loss):
            bar.set_postfix(loss=f"{loss:.3f}", refresh=False)
            bar.update(step - bar.n)

        made = make_reference(
            arguments.out,
            arguments.seed,
            arguments.steps,
            on_step=show,
            operands=arguments.operands,
            slip_scale=arguments.slip_scale,
        )
    _print(made, arguments.json)
    return 0


def _make_demos_options(parser) -> None:
    parser.add_argument("--out", type=_path, help="Folder to write (default: the bundled one).")
    parser.add_argument("--steps", type=int, help="Steps of each run (default: as bundled).")
    parser.add_argument(
        "--real",
        action="store_true",
        help="The runs of a real language model instead, whose weights have to be there: models get smollm2 (about "
        "15 minutes on one core).",
    )
    parser.add_argument(
        "--reports-only",
        action="store_true",
        help="Keep the runs as they are and measure only what is kept beside them again: scorecards, and second "
        "readings (about 5 minutes).",
    )


def _make_demos(arguments) -> int:
    from tqdm import tqdm

    from vimpo_core.make.demos import keep_reports, keep_second_readings, make_demos
    from vimpo_core.make.real import keep_examples, make_real

    def with_bar(what: str, make):
        with tqdm(desc=what, file=sys.stderr) as bar:

            def show(done, total):
                bar.total = total
                bar.update(done - bar.n)

            return make(show)

    made = {}
    if arguments.real:
        if arguments.steps:
            raise Mistake(f"--real trains as many steps as bundled, got --steps {arguments.steps}. Leave it out.")
        out = arguments.out or REAL
        if not arguments.reports_only:
            made["runs"] = with_bar("real model", lambda show: make_real(out, show))
        keep_examples(out)
        _print(made, arguments.json)
        return 0
    out = arguments.out or DEMOS
    if not arguments.reports_only:
        made["runs"] = with_bar("demos", lambda show: make_demos(out, arguments.steps, show))
    keep_second_readings(out)
    made["scorecards"] = with_bar("scorecards", lambda show: keep_reports(out, show))
    _print(made, arguments.json)
    return 0


def _print(report: dict, as_json: bool) -> None:
    if as_json:
        print(json.dumps(report, allow_nan=False))
        return
    for name, value in report.items():
        print(f"{name:<18} {_in_words(value)}")


def _in_words(value) -> str:
    """A value of a report as people read it."""
    if value is None or value in ([], (), {}):
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, dict):
        return "; ".join(f"{name}: {_in_words(one)}" for name, one in value.items())
    return ", ".join(map(_in_words, value)) if isinstance(value, list | tuple) else str(value)


def _refuse_to_replace(out: Path, arguments) -> None:
    if out.is_file() and not arguments.force:
        raise Mistake(f"{str(out)!r} is there already. Add --force to write over it, or name another file with --out.")


def _add_force(parser) -> None:
    parser.add_argument("--force", action="store_true", help="Write over a file that is there already.")


def _rescore_options(parser) -> None:
    from vimpo_core.service.rescore import SPREAD, TEMPERATURES

    parser.add_argument("run_id", metavar="RUN", help="A run that was brought from another tool.")
    parser.add_argument(
        "--model",
        default="",
        metavar="SOURCE",
        help="What wrote the solutions: a checkpoint of the training, a PEFT adapter's folder, or any other model. "
        "Left out, the models beside the run's files are listed.",
    )
    parser.add_argument(
        "--reference", default="", metavar="SOURCE", help="Of the same tokenizer. Default: an adapter's own base."
    )
    parser.add_argument("--step", type=_count, help="Step of the solutions. Default: the last one.")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--rows", default="", metavar="GROUP:SAMPLE,...", help="These solutions of the step alone.")
    which.add_argument(
        "--spread", action="store_true", help=f"The {SPREAD} of the step whose rewards lie furthest apart."
    )
    which.add_argument("--all", action="store_true", help="Those of every step, or of the step that is named.")
    parser.add_argument(
        "--temperature",
        type=_temperature,
        help="auto, or {:g} to {:g}. Default: auto, the one that fits what was recorded.".format(*TEMPERATURES),
    )
    parser.add_argument(
        "--as-ended",
        action="store_true",
        help="Score an end token behind texts of which it was not recorded how they ended.",
    )
    parser.add_argument("--check", action="store_true", help="Say what was found, and score nothing.")
    parser.add_argument("--undo", action="store_true", help="Take the last re-scoring back.")
    _add_runs_dir(parser)


def _temperature(typed: str) -> float | None:
    try:
        return None if typed == "auto" else float(typed)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"must be auto or a number, got {typed!r}") from error


def _rescore(arguments) -> int:
    from vimpo_core.runs.folder import RunsDir
    from vimpo_core.service import models_beside, rescore

    store = RunsDir(arguments.runs_dir).open(arguments.run_id)
    if arguments.undo:
        note = rescore.undo(store.run_dir)
        _print({"run_id": store.run_id, "taken_back": note["rows"], "model": note["model"]}, arguments.json)
        return 0
    step = store.trace_steps()[-1] if arguments.step is None else arguments.step
    if not arguments.model:
        imported = store.header().get("imported") or {}
        found = models_beside.find(imported, step, store.run_dir)
        updates = models_beside.updates_of(imported, step)
        if not found:
            raise Mistake(f"no model lies beside the files of run {store.run_id}. Name one with --model.")
        lines = {one.source: one.said(step, updates) + (f". {one.problem}" if one.problem else "") for one in found}
        print(models_beside.sentence(imported, step), file=sys.stderr)
        _print({"models": lines} if arguments.json else lines, arguments.json)
        return 0
    model, reference = (source and _got(source) for source in (arguments.model, arguments.reference))
    if arguments.all and arguments.step is None:
        places = rescore.all_places(store)
    elif arguments.rows:
        places = rescore.read_places(step, arguments.rows)
    else:
        of_step = store.traces(step, as_recorded=True)
        places = rescore.places_of(rescore.spread(of_step) if arguments.spread else of_step)
    asked = rescore.Asked(model, places, reference, arguments.temperature, arguments.as_ended)
    look = rescore.look(store.run_dir, asked)
    for sentence in look.sentences:
        print(sentence, file=sys.stderr)
    if arguments.check:
        if arguments.json:
            _print({"run_id": store.run_id, **dataclasses.asdict(look)}, True)
        return 0
    try:
        with _bar("scoring") as told:
            note = rescore.rescore(store.run_dir, asked, told)
    except KeyboardInterrupt:
        print("interrupted; what was scored is kept, and the same command goes on from there.", file=sys.stderr)
        return INTERRUPTED
    if note["unmoved"]:
        print(rescore.UNMOVED, file=sys.stderr)
    shown = ("rows", "model", "reference", "temperature", "command")
    _print({"run_id": store.run_id} | (note if arguments.json else {k: note[k] for k in shown}), arguments.json)
    return 0


_COMMANDS = {
    "train": (_train, _train_options, "Train one run and measure it on the test problems."),
    "resume": (_resume, _resume_options, "Go on with a stopped or interrupted run, bit for bit."),
    "fork": (_fork, _fork_options, "Go on from an earlier step of a run with other settings, as a new run."),
    "eval": (_eval, _eval_options, "Accuracy of a run's snapshot on the test problems, with 95% intervals."),
    "score": (_score, _score_options, "Token-level credit of a solution of your own under a run's snapshot."),
    "truth": (
        _truth,
        _truth_options,
        "How right a snapshot's token credit is: first wrong tokens or largest true drops, and Monte Carlo values.",
    ),
    "experiment": (
        _experiment,
        _experiment_options,
        "Carry out the experiment that a file declares, and report it.",
    ),
    "rescore": (
        _rescore,
        _rescore_options,
        "Score solutions that another tool recorded: log-probabilities, exact KL, alternatives.",
    ),
    "export": (_export, _export_options, "A recorded solution as a file: a page of its own, or its numbers."),
    "export-run": (
        _export_run,
        _export_run_options,
        "All recorded solutions of a run as one file: JSONL or Parquet, which come back bit for bit, or for UNIPO.",
    ),
    "export-adapter": (
        _export_adapter,
        _export_adapter_options,
        "The trained adapter of a step as a PEFT folder, which PeftModel.from_pretrained(base, FOLDER) loads.",
    ),
    "import": (
        _import,
        _import_options,
        "A run that another tool recorded (TRL, verl, prime-rl, ...), as a read-only run beside the others.",
    ),
    "tasks": (
        _tasks,
        _tasks_options,
        "Look at a task before training on it: splits, first problems, what its judge says of the gold answers.",
    ),
    "runs": (_runs, _runs_options, "List the runs of a folder; tag some; delete some, undo that for a week."),
    "backup": (_backup, _backup_options, "All runs of a folder as one file, also while they train."),
    "restore": (_restore_backup, _restore_options, "The runs of a backup, back in a folder."),
    "class": (_class, _class_options, "Serve the app to a class: a join code, a teacher's link, one job a student."),
    "models": (_models, _models_options, "Models of your own: look at one before it is loaded, fetch or convert one."),
    "bench": (
        _bench,
        _bench_options,
        "Measure: speed and memory against peers as ratios from one process; coverage of the intervals; parity with "
        "peers' functions.",
    ),
    "make-reference": (
        _make_reference,
        _make_reference_options,
        "Train the bundled reference model again (about 4 minutes).",
    ),
    "make-demos": (_make_demos, _make_demos_options, "Train the bundled demo runs again (about 3 minutes)."),
}
"""Command -> how it is carried out, what declares its options, and what it does. Only the chosen one's options are
declared, so the list of commands loads nothing for the others."""
