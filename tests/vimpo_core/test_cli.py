"""The command line as a script sees it: exit codes, one JSON object at the end of stdout, one sentence on a mistake."""

import json
import os
import re
import signal
import subprocess
import sys
from types import SimpleNamespace

import pytest

from tests.support.fakes import make_fake_run
from tests.support.kills import assert_same_run
from tests.support.waiting import eventually, never_returns
from vimpo_core import cli
from vimpo_core.config import TrainConfig
from vimpo_core.paths import ROOT
from vimpo_core.runs.folder import RunsDir
from vimpo_core.tasks.chain import ChainTask
from vimpo_core.types import RunState

COMMANDS = (
    "train",
    "resume",
    "fork",
    "eval",
    "score",
    "truth",
    "experiment",
    "import",
    "export",
    "export-adapter",
    "export-run",
    "import",
    "rescore",
    "runs",
    "backup",
    "restore",
    "class",
    "models",
    "tasks",
    "bench",
    "make-reference",
    "make-demos",
)
PROMISED = {
    "run_id",
    "status",
    "algorithm",
    "steps",
    "seed",
    "sampled_accuracy",
    "greedy_accuracy",
    "cpu_seconds",
}
"""Keys of `train --json` and `resume --json` that scripts may rely on."""

SETTINGS = {
    "--algorithm": "vimpo",
    "--steps": "6",
    "--seed": "3",
    "--beta": "0.2",
    "--actor-coef": "0.02",
    "--operands": "4",
    "--reward-noise": "0.25",
    "--learning-rate": "0.001",
    "--prompts-per-step": "8",
    "--group-size": "8",
    "--eval-prompts": "8",
    "--snapshot-every": "3",
}


def command(*arguments) -> list[str]:
    return [sys.executable, "-m", "vimpo_core", *map(str, arguments)]


def run(*arguments) -> subprocess.CompletedProcess:
    return subprocess.run(command(*arguments), cwd=ROOT, capture_output=True, text=True, check=False)


def train_arguments(runs_dir, **changes) -> list[str]:
    settings = SETTINGS | {f"--{k.replace('_', '-')}": str(v) for k, v in changes.items()}
    return [
        "train",
        *(word for pair in settings.items() for word in pair),
        "--runs-dir",
        str(runs_dir),
        "--json",
    ]


def last_line(stdout: str) -> dict:
    """stdout ends with one JSON object on a line of its own."""
    assert stdout.endswith("}\n")
    found = json.loads(stdout.splitlines()[-1])
    assert isinstance(found, dict)
    return found


def told(capsys, *arguments) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a command in this process, where torch is loaded already."""
    try:
        code = cli.main(list(map(str, arguments)))
    except SystemExit as end:
        code = end.code
    return code, *capsys.readouterr()


def report_of(capsys, *arguments) -> dict:
    code, out, err = told(capsys, *arguments)
    assert code == 0, err
    return last_line(out)


def without_time(report: dict) -> dict:
    return {k: v for k, v in report.items() if k not in ("cpu_seconds", "measuring_cpu_seconds", "measuring_share")}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """(runs folder, report) of a run trained by the command line, in a process of its own."""
    runs_dir = tmp_path_factory.mktemp("undisturbed")
    done = run(*train_arguments(runs_dir))
    assert done.returncode == 0, done.stderr
    return runs_dir, last_line(done.stdout)


# ---- help


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(name, capsys):
    code, out, err = told(capsys, name, "--help")
    assert (code, err) == (0, "")
    assert out.startswith(f"usage: python -m vimpo_core {name}") and "--json" in out


def test_help_names_every_command():
    done = run("--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("usage: python -m vimpo_core")
    assert set(re.findall(r"^    ([a-z][\w-]*)", done.stdout, re.MULTILINE)) == set(COMMANDS)


def test_every_setting_has_an_option_with_help(capsys):
    text = " ".join(told(capsys, "train", "--help")[1].split())
    for name, field in TrainConfig.__dataclass_fields__.items():
        assert f"--{name.replace('_', '-')} " in text
        assert " ".join(field.metadata["help"].split())[:40] in text.replace("- ", "-")


# ---- train


def test_train_reports_what_scripts_rely_on(undisturbed):
    _, report = undisturbed
    assert set(report) >= PROMISED
    assert (report["run_id"], report["status"], report["message"]) == ("vimpo-1", "finished", "")
    assert (report["algorithm"], report["steps"], report["last_step"], report["seed"]) == ("vimpo", 6, 6, 3)
    assert 0 < report["sampled_accuracy"] < report["greedy_accuracy"] < 1
    assert report["sampled_low"] < report["sampled_accuracy"] < report["sampled_high"]
    assert report["split"] == "test"
    assert report["cpu_seconds"] > 0


def test_every_option_reaches_the_run(undisturbed):
    runs_dir, _ = undisturbed
    config = RunsDir(runs_dir).open("vimpo-1").config().to_dict()
    for option, value in SETTINGS.items():
        assert str(config[option.removeprefix("--").replace("-", "_")]) == value, option


def test_operands_and_reward_noise_shape_the_problems_and_rewards(undisturbed):
    store = RunsDir(undisturbed[0]).open("vimpo-1")
    traces = [t for step in range(7) for t in store.traces(step)]
    assert {len(re.findall(r"\d+", t.prompt_text)) for t in traces} == {4}
    flips = sum(t.reward != t.rewards["verifier"] for t in traces) / len(traces)
    # 448 rewards: a standard deviation is 0.02, the seed is fixed.
    assert flips == pytest.approx(0.25, abs=0.05)


def test_the_same_seed_gives_the_same_result_twice(undisturbed, tmp_path, capsys):
    """In this process instead of one of its own, too."""
    runs_dir, report = undisturbed
    assert cli.main(train_arguments(tmp_path)) == 0
    assert without_time(last_line(capsys.readouterr().out)) == without_time(report)
    assert_same_run(RunsDir(tmp_path).open("vimpo-1"), RunsDir(runs_dir).open("vimpo-1"))


def test_another_seed_and_grpo_give_another_run(undisturbed, tmp_path, capsys):
    assert cli.main(train_arguments(tmp_path, seed=4, algorithm="grpo", steps=1, reward_noise=0)) == 0
    report = last_line(capsys.readouterr().out)
    assert (report["run_id"], report["algorithm"], report["seed"]) == ("grpo-1", "grpo", 4)
    store = RunsDir(tmp_path).open("grpo-1")
    assert all(t.reward == t.rewards["verifier"] for t in store.traces(0))
    assert [t.prompt_text for t in store.traces(0)] != [
        t.prompt_text for t in RunsDir(undisturbed[0]).open("vimpo-1").traces(0)
    ]


def test_advice_is_given_on_settings_known_to_fail(tmp_path, capsys):
    assert cli.main(train_arguments(tmp_path, steps=1, learning_rate=0.01, actor_coef=1.0)) == 0
    said = capsys.readouterr().err
    assert "danger: Learning rate 0.01" in said
    assert re.search(r"danger: c_A 1 at beta 0\.2 and 14 tokens gives balance", said)


# ---- Ctrl-C and resume


@pytest.fixture
def listening_to_ctrl_c():
    """As in a terminal, here and in processes started here: a shell that runs tests in the background has them ignore
    it.
    """
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


HELD_IN_STEP_3 = """
import pathlib, sys
from tests.support.waiting import never_returns
from vimpo_core import cli, trainer

def step(self, real=trainer.Trainer.step):
    if self.next_step == 3:
        pathlib.Path(sys.argv[1]).touch()
        never_returns()
    return real(self)

trainer.Trainer.step = step
sys.exit(cli.main(sys.argv[2:]))
"""
"""The command line in a process that never gets through step 3."""


@pytest.mark.skipif(os.name == "nt", reason="SIGINT is a Unix word")
def test_ctrl_c_stops_after_a_whole_step_and_resume_finishes_bit_for_bit(
    undisturbed, tmp_path, listening_to_ctrl_c, capsys
):
    in_step = tmp_path / "in step 3"
    process = subprocess.Popen(
        [sys.executable, "-c", HELD_IN_STEP_3, in_step, *train_arguments(tmp_path)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    eventually(lambda: in_step.exists() or process.poll() is not None)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate()
    store = RunsDir(tmp_path).open("vimpo-1")
    assert store.last_step() == 2
    assert (process.returncode, store.state()) == (cli.UNFINISHED, RunState.STOPPED)
    report = last_line(out)
    assert (report["status"], report["last_step"]) == ("stopped", store.last_step())
    assert err.splitlines()[-1] == "vimpo-1 is stopped. It was stopped. Resume goes on from the last step, bit for bit."
    assert "Traceback" not in err

    runs_dir, expected = undisturbed
    resumed = report_of(capsys, "resume", "vimpo-1", "--runs-dir", tmp_path, "--json")
    assert set(resumed) >= PROMISED
    assert without_time(resumed) == without_time(expected)
    assert_same_run(store, RunsDir(runs_dir).open("vimpo-1"))


@pytest.mark.skipif(os.name == "nt", reason="SIGINT is a Unix word")
def test_ctrl_c_while_the_model_loads_is_no_traceback_and_the_run_can_be_resumed(
    tmp_path, monkeypatch, capsys, listening_to_ctrl_c
):
    from vimpo_core import trainer

    def load(*_):
        os.kill(os.getpid(), signal.SIGINT)
        never_returns()

    with monkeypatch.context() as patch:
        patch.setattr(trainer.loading, "load_policy", load)
        assert cli.main(train_arguments(tmp_path, steps=1)) == cli.INTERRUPTED
    assert "interrupted; every committed step is kept." in capsys.readouterr().err
    store = RunsDir(tmp_path).open("vimpo-1")
    assert store.state() == RunState.INTERRUPTED
    assert cli.main(["resume", "vimpo-1", "--runs-dir", str(tmp_path), "--json"]) == 0
    assert last_line(capsys.readouterr().out)["status"] == "finished"


def test_a_finished_run_is_not_resumed(undisturbed, capsys):
    runs_dir, _ = undisturbed
    assert refused(capsys, "resume", "vimpo-1", "--runs-dir", runs_dir).startswith("run vimpo-1 is finished")
    assert RunsDir(runs_dir).open("vimpo-1").state() == RunState.FINISHED


# ---- eval, score, runs


def test_eval_gives_accuracies_with_their_intervals(undisturbed, capsys):
    runs_dir, trained = undisturbed
    assert cli.main(["eval", "vimpo-1", "--runs-dir", str(runs_dir), "--json"]) == 0
    report = last_line(capsys.readouterr().out)
    assert (report["step"], report["split"], report["n_prompts"]) == (6, "test", 512)
    few = str(trained["n_prompts"])  # a short run is measured on fewer at its end
    assert cli.main(["eval", "vimpo-1", "--runs-dir", str(runs_dir), "--prompts", few, "--json"]) == 0
    report = last_line(capsys.readouterr().out)
    for how in ("sampled", "greedy"):
        assert report[f"{how}_accuracy"] == trained[f"{how}_accuracy"]
        assert report[f"{how}_low"] < report[f"{how}_accuracy"] < report[f"{how}_high"]


def test_eval_measures_the_step_and_as_many_prompts_as_asked(undisturbed, capsys):
    runs_dir, _ = undisturbed
    arguments = ["eval", "vimpo-1", "--step", "0", "--prompts", "64", "--runs-dir", str(runs_dir), "--json"]
    assert cli.main(arguments) == 0
    first = last_line(capsys.readouterr().out)
    assert (first["step"], first["n_prompts"], first["eval_seed"]) == (0, 64, 0)
    assert cli.main([*arguments, "--seed", "1"]) == 0
    second = last_line(capsys.readouterr().out)
    assert second["greedy_accuracy"] == first["greedy_accuracy"]


def test_score_gives_every_token_of_a_typed_solution(undisturbed, capsys):
    runs_dir, _ = undisturbed
    solution = "9+2+9+42;11+9+42;10+42;52."
    report = report_of(
        capsys, "score", "vimpo-1", "--prompt", "9+2+9+7*6=", "--solution", solution, "--runs-dir", runs_dir, "--json"
    )
    assert (report["step"], report["beta"], report["first_wrong"]) == (6, 0.2, 17)
    assert (report["gold"], report["answer"], report["status"], report["reward"]) == (
        "62",
        "52",
        "incorrect",
        0.0,
    )
    assert "".join(t["text"] for t in report["tokens"]) == solution
    value = 0.0
    for t in report["tokens"]:
        assert t["rho"] == pytest.approx(0.2 * (t["logprob"] - t["ref_logprob"]), abs=1e-12)
        assert t["td_term"] == pytest.approx(t["rho"] - t["kappa"], abs=1e-12)
        value += t["td_term"]
        assert t["value_after_minus_start"] == pytest.approx(value, abs=1e-12)


def test_score_finds_the_largest_true_drop_when_it_is_asked_for(undisturbed, capsys):
    runs_dir, _ = undisturbed
    slip = ["--prompt", "9+2+9+7*6=", "--solution", "9+2+9+42;11+9+42;10+42;52."]
    asked = ["score", "vimpo-1", *slip, "--runs-dir", str(runs_dir), "--drop", "64"]
    found = report_of(capsys, *asked, "--json")["largest_drop"]
    assert (found["token"], found["is_clear"], found["tries"]) == (17, True, 64)
    assert found["low"] <= found["before"] - found["after"] == found["drop"] <= found["high"]
    assert cli.main(asked) == 0
    assert "mean reward" in capsys.readouterr().out
    assert cli.main([*asked[:-1], "2"]) == 2


def test_score_obeys_step_and_beta_and_prints_a_table_for_people(undisturbed, capsys):
    runs_dir, _ = undisturbed
    arguments = ["score", "vimpo-1", "--prompt", "1+1=", "--solution", "2.", "--runs-dir", str(runs_dir)]
    assert cli.main([*arguments, "--step", "0", "--beta", "1", "--json"]) == 0
    report = last_line(capsys.readouterr().out)
    assert (report["step"], report["beta"]) == (0, 1.0)
    assert [t["td_term"] for t in report["tokens"]] == [0.0, 0.0]  # untrained: no credit
    assert cli.main(arguments) == 0
    assert [line.split()[:2] for line in capsys.readouterr().out.splitlines()[-2:]] == [
        ["0", "'2'"],
        ["1", "'.'"],
    ]


def test_runs_lists_states(undisturbed, capsys):
    runs_dir, _ = undisturbed
    (line,) = report_of(capsys, "runs", "--runs-dir", runs_dir, "--json")["runs"]
    assert (line["run_id"], line["algorithm"], line["state"]) == ("vimpo-1", "vimpo", "finished")
    assert (line["steps"], line["last_step"]) == (6, 6)


def test_runs_of_a_folder_that_is_not_there_is_an_empty_list_and_makes_none(tmp_path, capsys):
    assert report_of(capsys, "runs", "--runs-dir", tmp_path / "none", "--json") == {"runs": [], "other_folders": []}
    assert "no runs yet" in told(capsys, "runs", "--runs-dir", tmp_path / "none")[1]
    assert not (tmp_path / "none").exists()


def test_a_report_is_in_words_and_an_import_says_the_name_that_it_gives(tmp_path, capsys):
    (tmp_path / "rows.jsonl").write_text('{"prompt": "1+1=", "completion": "2", "reward": 1}\n')
    asked = ["import", tmp_path / "rows.jsonl", "--as", "Mine", "--runs-dir", tmp_path / "runs"]
    code, out, _ = told(capsys, *asked, "--dry-run")
    assert code == 0 and out.endswith("No run was made. Without --dry-run the same command makes it.\n")
    assert json.loads(told(capsys, *asked, "--json")[1])["name"] == "Mine"
    found = {"restored": ["a", "b"], "kept": [], "class": False, "tagged": {"a": {"tags": ["x"]}}, "share": 0.5}
    cli._print(found, False)
    assert capsys.readouterr().out.splitlines() == [
        "restored           a, b",
        "kept               none",
        "class              no",
        "tagged             a: tags: x",
        "share              0.5",
    ]


# ---- mistakes


def refused(capsys, *arguments) -> str:
    """The one line of stderr, without its `error: `."""
    code, out, err = told(capsys, *arguments)
    assert (code, out) == (2, "")
    (line,) = [line for line in err.splitlines() if line.startswith("error: ")]
    return line.removeprefix("error: ")


MISTAKES = [  # (arguments, what the sentence says)
    ([], r"the following arguments are required: COMMAND\. See python -m vimpo_core --help\."),
    (["frobnicate"], r"invalid choice: 'frobnicate' \(choose from .*train.*\)"),
    (["train", "--frob", "1"], r"unrecognized arguments: --frob 1\. See python -m vimpo_core train --help"),
    (["runs", "--not=x"], r"unrecognized arguments: --not=x \(do you mean --note\?\)\. See .* runs --help"),
    (
        ["train", "--step", "5"],
        "unrecognized arguments: --step 5",
    ),  # no abbreviation that a new option could break
    (["train", "--steps", "many"], r"argument --steps: invalid int value: 'many'"),
    (
        ["train", "--algorithm", "sarsa"],
        r"argument --algorithm: invalid choice: 'sarsa' \(choose from .*grpo.*vimpo.*\)",
    ),
    (["train", "--steps", "0"], r"steps must be between 1 and 10000, got 0\. Default: 100\."),
    (["train", "--operands", "7"], r"the bundled reference knows 3 to 6 operands, got 7\."),
    (["train", "--beta", "nan"], r"beta must be a finite number, got nan\."),
    (["train", "--reward-noise", "0.9"], r"reward_noise must be between 0 and 0\.5, got 0\.9\."),
    (["train", "--group-size", "1"], r"group_size must be between 2 and 64, got 1\."),
    (
        ["train", "--micro-batch-size", "9", "--prompts-per-step", "2", "--group-size", "4"],
        r"micro_batch_size must be at most prompts_per_step x group_size = 8, got 9\.",
    ),
    (["resume"], "the following arguments are required: RUN_ID"),
    (["resume", "nope"], r"no run 'nope' in empty\."),
    (["eval", "nope"], r"no run 'nope' in empty\."),
    (["score", "nope", "--prompt", "1+1=", "--solution", "2."], r"no run 'nope' in empty\."),
    (["resume", "../etc"], r"no run '\.\./etc' in empty\."),
    (["runs", "--runs-dir", __file__], r"argument --runs-dir: must be a folder, and .* is a file\."),
    (["class", "--name", "localhost", "--port", "65536"], r"must be a whole number from 1 to 65535, got '65536'\."),
    (["models", "get", "/nowhere/at-all"], r"no model at /nowhere/at-all: config.json is missing\."),
    (["bench", "nothing"], r"invalid choice: 'nothing' \(choose from .*\)"),
]


@pytest.mark.parametrize(("arguments", "sentence"), MISTAKES, ids=lambda v: " ".join(v) if isinstance(v, list) else "")
def test_a_mistake_is_one_sentence_and_exit_code_2_and_leaves_nothing_behind(tmp_path, arguments, sentence, capsys):
    runs_dir = tmp_path / "empty"
    takes_runs_dir = arguments[:1] in (["train"], ["resume"], ["eval"], ["score"])
    code, out, err = told(capsys, *arguments, *(["--runs-dir", runs_dir] if takes_runs_dir else []))
    assert (code, out, len(err.splitlines())) == (2, "", 1)
    assert re.search(f"^error: .*{sentence}", err), err
    assert not runs_dir.exists()


def test_a_process_ends_with_the_exit_code_and_the_sentence_of_a_mistake():
    done = run("train", "--steps", "0")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: steps must be between 1 and 10000, got 0. Default: 100.\n"


def test_a_model_or_device_that_is_missing_is_said_before_a_run_is_made(tmp_path, capsys, monkeypatch):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    runs_dir = tmp_path / "runs"
    said = refused(capsys, "train", "--model", tmp_path / "nowhere", "--runs-dir", runs_dir)
    assert said.startswith(f"no model at {tmp_path / 'nowhere'}: config.json is missing.")
    said = refused(capsys, "train", "--device", "cuda", "--runs-dir", runs_dir)
    assert said.startswith("device cuda was asked for")
    assert not runs_dir.exists()


def test_mistakes_about_a_run_that_exists_are_said(undisturbed, capsys):
    runs_dir, _ = undisturbed
    where = ["--runs-dir", runs_dir, "--json"]
    assert "holds no adapter of step 7" in refused(capsys, "eval", "vimpo-1", "--step", 7, *where)
    assert (
        refused(capsys, "eval", "vimpo-1", "--prompts", 0, *where) == "prompts must be at least 1, got 0. Default: 512."
    )
    assert refused(capsys, "eval", "vimpo-2", *where).startswith("no run 'vimpo-2' in ")
    typed = ["score", "vimpo-1", "--prompt", "1+1=", "--solution"]
    assert refused(capsys, *typed, "", *where).startswith("the solution is empty")
    assert refused(capsys, *typed, "two", *where).startswith("the solution has 'o', 't', 'w', which is outside")
    assert "holds no adapter of step 99" in refused(capsys, *typed, "2.", "--step", 99, *where)
    assert refused(capsys, *typed, "2.", "--beta", "-1", *where).startswith(
        "beta must be between 1e-06 and 10, got -1."
    )
    assert refused(capsys, *typed, "2.", "--beta", "nan", *where).startswith("beta must be a finite number, got nan.")


def test_a_run_without_any_step_has_nothing_to_evaluate_or_score(tmp_path, capsys):
    RunsDir(tmp_path).submit([TrainConfig(steps=1)])
    for arguments in (["eval", "vimpo-1"], ["score", "vimpo-1", "--prompt", "1+1=", "--solution", "2."]):
        said = refused(capsys, *arguments, "--runs-dir", tmp_path)
        assert said == "run vimpo-1 has no adapter stored yet. Train it for at least one step."


def test_a_damaged_run_is_one_sentence_everywhere(tmp_path, capsys):
    run_id = make_fake_run(tmp_path, steps=1, prompts_per_step=1, group_size=2)
    os.truncate(tmp_path / run_id / "run.db", 9000)
    for arguments in (["resume", run_id], ["eval", run_id]):
        assert refused(capsys, *arguments, "--runs-dir", tmp_path).startswith("run vimpo-1 cannot be read")
    assert cli.main(["runs", "--runs-dir", str(tmp_path), "--json"]) == 0
    (line,) = last_line(capsys.readouterr().out)["runs"]
    assert (line["run_id"], line["state"]) == ("vimpo-1", "interrupted")


# ---- the final measurement


def test_the_final_measurement_can_be_turned_off_or_made_smaller(tmp_path, capsys):
    few = [
        "--runs-dir",
        str(tmp_path),
        "--steps",
        "1",
        "--prompts-per-step",
        "2",
        "--group-size",
        "2",
        "--eval-prompts",
        "8",
    ]
    assert cli.main(["train", *few, "--final-problems", "0", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["sampled_accuracy"] is None and "n_prompts" not in report
    assert cli.main(["train", *few, "--final-problems", "9", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["n_prompts"] == 9 and 0 <= report["sampled_accuracy"] <= 1
    with pytest.raises(SystemExit):
        cli.main(["train", *few, "--final-problems", "-1"])
    assert "must be a whole number from 0 on, got '-1'" in capsys.readouterr().err


def test_a_measurement_in_parts_is_the_measurement_and_says_how_far_it_is(moved_policy, monkeypatch):
    from vimpo_core.measure import evaluate

    def measured(told=None):
        return evaluate.outcomes(moved_policy, moved_policy.bare, ChainTask(4), "test", 40, 3, told)

    whole, told = measured(), []
    monkeypatch.setattr(evaluate, "_ROWS", 16)
    assert measured(lambda *share: told.append(share)) == whole
    assert told == [(16, 80), (32, 80), (40, 80), (56, 80), (72, 80), (80, 80)]


@pytest.mark.parametrize("option", [("--operands", "8"), ("--slip-scale", "2"), ("--seed", "1"), ("--steps", "10")])
def test_another_reference_never_takes_the_place_of_the_bundled_one(option, capsys):
    assert cli.main(["make-reference", *option]) == 2
    assert f"error: with another {option[0]} this is not the bundled model" in capsys.readouterr().err


# ---- mistakes and bugs


def test_a_bug_is_a_traceback_and_not_a_sentence_about_a_mistake(tmp_path, capsys, monkeypatch):
    def has_a_bug(*_):
        raise ValueError("not enough values to unpack")

    monkeypatch.setattr(RunsDir, "list", has_a_bug)
    assert cli.main(["runs", "--runs-dir", str(tmp_path)]) == 1
    said = capsys.readouterr().err
    assert "Traceback" in said and "in has_a_bug" in said
    assert "not enough values to unpack" in said and said.rstrip().endswith(cli.BUG)


@pytest.mark.parametrize("where", ["before", "after"])
def test_a_mistake_is_one_sentence_and_with_debug_a_traceback_too(tmp_path, capsys, where):
    asked = ["eval", "nowhere", "--runs-dir", str(tmp_path)]
    assert cli.main(asked) == 2
    sentence = capsys.readouterr().err
    assert sentence.startswith("error: no run 'nowhere'") and len(sentence.splitlines()) == 1
    assert cli.main(["--debug", *asked] if where == "before" else [*asked, "--debug"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("Traceback") and said.endswith(sentence)


def test_a_benchmark_gets_the_options_that_are_its_own(monkeypatch):
    """docs/hosting.md names commands that the command line did not take."""
    run = []
    monkeypatch.setattr(
        cli.subprocess, "run", lambda command, **_: run.append(command) or SimpleNamespace(returncode=0)
    )
    for typed in ("class --sessions 30 50 --truths 50 --json", "kill --rounds 100", "real_model folder --only head"):
        assert cli.main(["bench", *typed.split()]) == 0
    assert [" ".join(map(str, command[2:])) for command in run] == [
        "--sessions 30 50 --truths 50 --json",
        "--rounds 100",
        "folder --only head",
    ]
