"""Files that people keep are written whole or not at all, and what goes wrong is said in words that help."""

import dataclasses
import errno
import json
import os
import subprocess
import sys

import pytest

from tests.support.fakes import make_fake_run
from vimpo_core import cli, files
from vimpo_core.experiment import plan, report, results
from vimpo_core.formats import export
from vimpo_core.paths import ROOT, child_environment
from vimpo_core.runs.folder import RunsDir
from vimpo_core.service import kept_reports, second_reading

OLD = "the old one, whole"


@pytest.fixture
def full_disk(monkeypatch):
    """A disk that is full after eight more bytes."""
    real = open

    class Full:
        def __init__(self, file):
            self._file = file

        def __enter__(self):
            return self

        def __exit__(self, *error):
            self._file.close()

        def write(self, content):
            self._file.write(content[:8])
            self._file.flush()
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(
        files,
        "open",
        lambda path, mode: Full(real(path, mode)) if "x" in mode else real(path, mode),
        raising=False,
    )


@pytest.mark.parametrize("content", ["the new one", b"the new one"])
def test_a_file_is_replaced_in_one_move_and_keeps_its_permissions(tmp_path, content):
    path = tmp_path / "deep" / "report.md"
    files.write_whole(path, OLD, make_folder=True)
    path.chmod(0o640)
    files.write_whole(path, content)
    assert path.read_bytes() == b"the new one" and path.stat().st_mode & 0o777 == 0o640
    assert [p.name for p in path.parent.iterdir()] == ["report.md"]


def test_a_full_disk_leaves_the_old_file_and_nothing_beside_it(tmp_path, full_disk):
    path = tmp_path / "report.md"
    path.write_text(OLD)
    with pytest.raises(OSError, match="No space left") as error:
        files.write_whole(path, "a new one that is longer than eight bytes")
    assert path.read_text() == OLD and [p.name for p in tmp_path.iterdir()] == ["report.md"]
    assert files.in_words(error.value) == f"{path}: the disk is full. Free some space, then try again."


def test_a_link_is_written_through_and_a_pipe_written_to(tmp_path):
    (tmp_path / "real.txt").write_text(OLD)
    (tmp_path / "link.txt").symlink_to(tmp_path / "real.txt")
    files.write_whole(tmp_path / "link.txt", "new")
    assert (tmp_path / "link.txt").is_symlink() and (tmp_path / "real.txt").read_text() == "new"
    script = "from pathlib import Path; from vimpo_core.files import write_whole; write_whole(Path('/dev/stdout'), 'x')"
    if os.path.exists("/dev/stdout"):
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, cwd=ROOT)
        assert done.stdout == b"x"


@pytest.mark.parametrize("format", sorted(export.FORMATS))
def test_export_on_a_full_disk_keeps_the_file_that_was_there_and_says_so(tmp_path, full_disk, capsys, format):
    out = tmp_path / f"solution.{format}"
    out.write_text(OLD)
    asked = ["export", "grpo", "--format", format, "--out", str(out), "--runs-dir", str(tmp_path / "runs"), "--force"]
    assert cli.main(asked) == 2
    assert capsys.readouterr().err == f"error: {out}: the disk is full. Free some space, then try again.\n"
    assert out.read_text() == OLD


def test_everything_that_writes_a_file_of_the_users_writes_it_whole():
    """Their writers are one and the same function."""
    for module in (export, report, results, kept_reports, second_reading):
        assert module.write_whole is files.write_whole


WORDS = [
    (errno.ENOSPC, "the disk is full. Free some space"),
    (errno.EDQUOT, "the disk is full. Free some space"),
    (errno.EROFS, "the disk is read-only. Choose another folder"),
    (errno.EACCES, "you have no permission"),
    (errno.ENOENT, "there is no such file or folder. Check the path"),
    (errno.EISDIR, "that is a folder, not a file"),
    (errno.ENAMETOOLONG, "the name is too long"),
    (errno.ELOOP, os.strerror(errno.ELOOP)),
]


@pytest.mark.parametrize(("number", "said"), WORDS)
def test_an_error_of_the_system_is_told_in_words_with_its_path_and_without_a_number(number, said):
    told = files.in_words(OSError(number, os.strerror(number), "/somewhere/file"))
    assert told.startswith(f"/somewhere/file: {said}") and told.endswith(".") and "Errno" not in told
    assert "Errno" not in files.in_words(OSError(number, os.strerror(number)))


def test_other_errors_say_what_they_say():
    assert files.in_words(ValueError("steps must be 1")) == "steps must be 1"


def test_the_command_line_tells_a_missing_file_in_words(tmp_path, capsys):
    assert cli.main(["experiment", str(tmp_path / "none.toml")]) == 2
    said = capsys.readouterr().err
    assert "Errno" not in said and "none.toml" in said


def test_a_byte_order_mark_is_no_part_of_an_experiment(tmp_path):
    text = (ROOT / "experiments" / "quick.toml").read_bytes()
    (tmp_path / "plain.toml").write_bytes(text)
    (tmp_path / "marked.toml").write_bytes(b"\xef\xbb\xbf" + text)
    plain = plan.read(tmp_path / "plain.toml")
    assert dataclasses.replace(plan.read(tmp_path / "marked.toml"), path=plain.path) == plain
    assert files.read_text(tmp_path / "marked.toml") == text.decode()


# --- what a terminal or a reader of our output cannot take -----------------------------------------------------------


def listed(runs_dir, **environment):
    return subprocess.run(
        [sys.executable, "-m", "vimpo_core", "runs", "--runs-dir", str(runs_dir)],
        cwd=ROOT,
        env=child_environment() | environment,
        capture_output=True,
    )


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8"])
def test_a_name_that_the_terminal_cannot_write_does_not_end_the_list(tmp_path, encoding):
    runs = RunsDir(tmp_path)
    for name in ("β → 0.3 信用", "plain"):
        runs.rename(make_fake_run(tmp_path, steps=1, prompts_per_step=1, group_size=2), name)
    done = listed(tmp_path, PYTHONIOENCODING=encoding, PYTHONUTF8="0")
    assert (done.returncode, done.stderr) == (0, b"")
    lines = done.stdout.decode(encoding).splitlines()
    assert [line.split()[0] for line in lines] == ["vimpo-2", "vimpo-1"]
    assert ("信用" if encoding == "utf-8" else r"\u4fe1\u7528") in lines[1]


def test_what_somebody_called_a_run_or_typed_tells_the_terminal_nothing(tmp_path, capsys):
    run_id = make_fake_run(tmp_path, steps=1, prompts_per_step=1, group_size=2)
    RunsDir(tmp_path).queue.set_name(run_id, "\x1b[31mred\u202e")  # as an earlier version kept it
    (tmp_path / run_id).rename(tmp_path / "\x1b[2Jvimpo")
    assert cli.main(["runs", "--runs-dir", str(tmp_path)]) == 0
    assert cli.main(["models", "check", "/none/\x1b]0;title\x07\u202e"]) == 2
    out, err = capsys.readouterr()
    assert not set("\x1b\x07\u202e") & set(out + err)
    assert "␛[2Jvimpo" in out and "␛]0;title␇⟨RLO⟩" in err


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1"])
def test_no_cell_of_a_csv_file_is_a_formula(text):
    assert files.as_cell(text) == f"'{text}" and files.as_cell(f"a{text}") == f"a{text}"


def test_a_reader_that_has_seen_enough_is_no_error(tmp_path):
    for _ in range(2):
        make_fake_run(tmp_path, steps=1, prompts_per_step=1, group_size=2)
    script = (
        "import os, sys; from vimpo_core import cli; r, w = os.pipe(); os.close(r); os.dup2(w, 1); "
        f"sys.exit(cli.main(['runs', '--json', '--runs-dir', {str(tmp_path)!r}]))"
    )
    done = subprocess.run([sys.executable, "-u", "-c", script], cwd=ROOT, capture_output=True)
    assert (done.returncode, done.stderr) == (cli.BROKEN_PIPE, b"")


def test_json_of_the_list_survives_the_narrowest_terminal(tmp_path):
    run_id = make_fake_run(tmp_path, steps=1, prompts_per_step=1, group_size=2)
    RunsDir(tmp_path).rename(run_id, "β")
    done = subprocess.run(
        [sys.executable, "-m", "vimpo_core", "runs", "--json", "--runs-dir", str(tmp_path)],
        cwd=ROOT,
        env=child_environment() | {"PYTHONIOENCODING": "ascii"},
        capture_output=True,
    )
    assert json.loads(done.stdout)["runs"][0]["name"] == "β"
