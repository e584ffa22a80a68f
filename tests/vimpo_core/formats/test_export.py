"""A solution taken along: the files from the command line, and code that really gives the same numbers."""

import json
import shlex
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from tests.support.hostile import HEADER, TEXTS, hostile_trace
from vimpo_core import cli, reports
from vimpo_core.formats import export, html_page, reproduce, trace_files
from vimpo_core.formats.export import FORMATS, Taken
from vimpo_core.formats.incoming.assemble import import_run
from vimpo_core.formats.incoming.recognise import recognise
from vimpo_core.formats.reproduce import Place
from vimpo_core.paths import ROOT
from vimpo_core.runs.store import RunStore
from vimpo_core.solutions import lenses

RECORDED = Place("run-1", 3, is_recorded=True, has_snapshot=True)
TYPED = Place("run-1", 3, is_recorded=False, has_snapshot=True)


def hostile_taken(place=RECORDED) -> Taken:
    traces = [hostile_trace(), hostile_trace(sample_idx=1, reward=0.0)]
    return Taken(HEADER, traces, 0, place, beta=0.1, gae_lambda=0.9)


def command(runs_dir, *rest) -> list[str]:
    return ["export", "vimpo-1", "--runs-dir", str(runs_dir), "--json", *map(str, rest)]


def test_the_command_writes_a_film_and_refuses_what_a_film_has_not(real_run, tmp_path, capsys):
    out = tmp_path / "film.gif"
    asked = ("--step", 2, "--group", 1, "--sample", 3, "--film", out)
    assert cli.main(command(real_run.parent, *asked, "--lens", "entropy")) == 0
    assert out.read_bytes()[:6] == b"GIF89a" and "entropy" in capsys.readouterr().out
    assert cli.main(command(real_run.parent, *asked, "--lens", "grpo", "--force")) == 2
    assert "Choose from td_terms" in capsys.readouterr().err
    assert cli.main(command(real_run.parent, "--lens", "kl")) == 2
    assert "Add --film" in capsys.readouterr().err


@pytest.mark.parametrize("format", FORMATS)
def test_every_format_is_written_from_the_command_line(real_run, tmp_path, capsys, format):
    out = tmp_path / f"solution.{format}"
    asked = ("--step", 2, "--group", 1, "--sample", 3, "--format", format, "--out", out)
    assert cli.main(command(real_run.parent, *asked)) == 0
    said = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert said["bytes"] == out.stat().st_size > 500
    assert (said["step"], said["group"], said["sample"], said["format"]) == (2, 1, 3, format)


def test_the_json_of_the_command_line_is_the_recorded_trace(real_run, tmp_path):
    out = tmp_path / "solution.json"
    cli.main(command(real_run.parent, "--step", 2, "--group", 1, "--sample", 3, "--format", "json", "--out", out))
    file, trace = json.loads(out.read_text()), RunStore.open(real_run).trace(2, 1, 3)
    back = trace_files.trace_of(file["records"][0])
    assert all(getattr(back, n).tobytes() == getattr(trace, n).tobytes() for n in ("logprob", "ref_logprob", "kl"))
    assert file["header"]["run_id"] == "vimpo-1" and len(file["header"]["model"]["adapter_sha256"]) == 64


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (("--step", 99), "holds no solutions of step 99"),
        (("--group", 99), "It has prompts 0 to 2"),
        (("--beta", -1), "beta"),
        (("--out", "/nowhere/x.html"), "/nowhere"),
    ],
)
def test_a_mistake_is_one_sentence(real_run, capsys, tmp_path, monkeypatch, asked, said):
    monkeypatch.chdir(tmp_path)
    assert cli.main(command(real_run.parent, *asked)) == 2
    told = capsys.readouterr().err
    assert said in told and told.count("\n") == 1 and not list(tmp_path.iterdir())


def test_a_file_name_tells_solutions_apart_and_holds_no_surprises():
    taken = hostile_taken(Place("bundled/../my run", 3, True, True))
    assert export.file_name(taken, "csv") == "bundled-..-my-run-step3-prompt1-solution0.csv"
    assert export.file_name(hostile_taken(TYPED), "html") == "run-1-step3-typed.html"


# --- code that gives the numbers again --------------------------------------------------------------------------------


def printed(code, runs_dir):
    """Last column (the credit) of what a pasted script prints, run as a person would."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env={"VIMPO_RUNS_DIR": str(runs_dir), "PATH": "", "HOME": str(runs_dir)},
    )
    assert done.returncode == 0, done.stderr
    return np.array([float(line.split()[-1]) for line in done.stdout.splitlines()])


@pytest.mark.parametrize("has_folder", [False, True])
def test_the_python_of_a_recorded_solution_prints_its_credit_exactly(real_run, has_folder):
    trace = RunStore.open(real_run).trace(4, 2, 1)
    place = Place("vimpo-1", 4, True, True, str(real_run.parent) if has_folder else "")
    code = reproduce.python_code(trace, place, 0.25)
    found = printed(code, real_run.parent if not has_folder else real_run / "nothing")
    assert found.tobytes() == lenses.credit_of(trace, 0.25).tobytes()


def test_the_python_of_a_typed_solution_scores_it_again(real_run, monkeypatch, capsys):
    from vimpo_core.service.scoring import score_solution

    (trace,) = score_solution(real_run, 2, "2+3*4=", "2+12;14.")
    code = reproduce.python_code(trace, Place("vimpo-1", 2, False, True), 0.25)
    monkeypatch.setenv("VIMPO_RUNS_DIR", str(real_run.parent))
    exec(code, {"__name__": "__main__"})  # in this process, where torch is loaded
    found = np.array([float(line.split()[-1]) for line in capsys.readouterr().out.splitlines()])
    assert found.tobytes() == lenses.credit_of(trace, 0.25).tobytes()


def test_the_command_line_scores_a_solution_again(real_run, capsys):
    trace = RunStore.open(real_run).trace(4, 2, 1)
    line = reproduce.score_command(trace, Place("vimpo-1", 4, True, True, str(real_run.parent)), 0.25)
    program, *arguments = shlex.split(line)[1:]
    assert (program, arguments[0]) == ("-m", "vimpo_core")
    assert cli.main(arguments[1:]) == 0
    said = json.loads(capsys.readouterr().out.splitlines()[-1])
    found = [t["td_term"] for t in said["tokens"]]
    # Recorded in a batch, scored again alone: float32 rounding of two forwards.
    assert found == pytest.approx(lenses.credit_of(trace, 0.25).tolist(), abs=0.25 * 2e-5)


def test_the_export_command_writes_the_recorded_solution(real_run, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    trace = RunStore.open(real_run).trace(4, 2, 1)
    line = reproduce.export_command(trace, Place("vimpo-1", 4, True, True, str(real_run.parent)), 0.25, 0.9, "json")
    assert cli.main(shlex.split(line)[3:]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["out"] == "vimpo-1-step4-prompt2-solution1.json"


def test_no_command_line_where_it_could_not_work():
    trace = hostile_trace()
    assert reproduce.score_command(trace, RECORDED, 0.1) is None  # control characters
    plain = trace.with_(text=("1",), prompt_text="1+1=")
    assert reproduce.score_command(plain, Place("run-1", 3, True, False), 0.1) is None
    assert reproduce.export_command(plain, TYPED, 0.1, 1.0, "json") is None
    dashes = plain.with_(text=("-3'; rm x",))
    assert "--solution=-3'; rm x" in shlex.split(reproduce.score_command(dashes, RECORDED, 0.1))


def test_python_is_quoted_whatever_the_text():
    code = reproduce.python_code(hostile_trace(), TYPED, 0.1)
    assert compile(code, "pasted", "exec") and code.isascii() is code.encode("ascii", "ignore").isascii()
    assert "\u202e" not in code and "\u2028" not in code


def test_missing_arrays_leave_the_python_without_credit(real_run):
    trace = RunStore.open(real_run).trace(4, 2, 1).with_(kl=None)
    code = reproduce.python_code(trace, Place("vimpo-1", 4, True, True), 0.25)
    assert "delta" not in code and "trace.logprob[t]" in code


def test_the_demo_of_the_readme_is_found_by_name():
    assert reports.find_run(ROOT / "nothing", "grpo").header()["algorithm"] == "grpo"


# --- the page --------------------------------------------------------------------------------------------------------


def page_of(taken) -> str:
    return FORMATS["html"].write(taken).decode()


def test_no_text_of_the_solution_is_markup_in_the_page():
    page = page_of(hostile_taken())
    head, data = page.split('<script type="application/json" id="solution">')
    data, rest = data.split("</script>", 1)
    assert "<img" not in page and "hacked" not in head + rest and "<u>" not in page
    assert data.isascii() and not set("<>&") & set(data)
    payload = json.loads(data)["payload"]
    assert payload["text"][0] == TEXTS[0] and payload["text"][-1] == "{{policy}}"
    assert rest.count("<script") == 1


def test_the_page_names_nothing_outside_itself():
    page = page_of(hostile_taken())
    for outside in ("src=", "href=", "@import", "url(h", "fetch(", "http://", "https://"):
        found = page.replace("http://www.w3.org/2000/svg", "").replace("src=x", "")
        assert outside not in found, outside
    assert "default-src 'none'" in page and "unsafe-inline" not in page


def test_line_separators_and_markup_are_escaped_in_json():
    assert html_page.safe_json("</script>\u2028&") == '"\\u003c/script\\u003e\\u2028\\u0026"'


def test_the_page_says_where_the_numbers_come_from(real_run):
    store = RunStore.open(real_run)
    taken = export.recorded(store, 4, 2, 1, 0.1, 1.0)
    facts = dict(export.facts(taken))
    assert "vimpo-1" in facts["run"] and "prompt 2, solution 1 of step 4" in facts["solution"]
    assert "sha256" in facts["policy"] and facts["arrays"].startswith("recorded: logprob")


def test_the_page_of_a_brought_solution_names_its_tool_and_the_model_that_scored_it_again(tmp_path):
    rows = "".join(json.dumps({"prompt": "2+3=", "completion": "5.", "reward": r}) + "\n" for r in (1.0, 0.0))
    (tmp_path / "rows.jsonl").write_text(rows)
    store = import_run(recognise([(tmp_path / "rows.jsonl", "rows.jsonl")]), tmp_path / "table-1", "mine")
    taken = export.recorded(store, 0, 0, 0, 0.1, 1.0)
    page, facts = page_of(taken), dict(export.facts(taken))
    assert "read off the policy of the run from a table" in page and "reward 1, not judged here" in page
    assert facts["run"] == "mine (table-1), brought from a table"
    assert facts["policy"] == "of step 0, adapter not recorded"
    assert facts["model"] == "policy: not recorded by a table; reference: not recorded by a table"
    assert facts["beta, lambda"].endswith("(to read by: the run's own beta and lambda not recorded)")
    assert "scored again" not in facts
    trace = store.trace(0, 0, 0)
    how = "recomputed (a model, temperature 0.7)"
    again = trace.with_(
        logprob=np.full(len(trace.text), -0.5, np.float32), provenance={**trace.provenance, "logprob": how}
    )
    assert dict(export.facts(replace(taken, traces=[again])))["scored again"] == f"policy {how}"
