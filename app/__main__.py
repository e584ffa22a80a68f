"""The command that `pip install -e .` brings: `vimpo-lab` opens the app, `vimpo-lab train ...` is the command line.

It loads neither Streamlit nor the command line before it knows which of them is wanted.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

from vimpo_core import cli
from vimpo_core.mistake import Mistake
from vimpo_core.paths import ASSETS, ROOT, as_path, home_environment

HELP = """usage: vimpo-lab [--help] [--version] [--runs FOLDER] [STREAMLIT OPTION ...]
       vimpo-lab COMMAND ...

Without a command: open the app in the browser, as `streamlit run app` does, on the runs in FOLDER (default: what
VIMPO_RUNS_DIR names, else runs/ beside the code); options such as --server.port 8502 are Streamlit's.
With a command: the command line, as `python -m vimpo_core COMMAND ...` is.
"""


def main(arguments: list[str] | None = None, run_app: Callable[[list[str]], int] | None = None) -> int:
    """Open the app, or carry out a command; returns the exit code. run_app: takes Streamlit's arguments (default:
    Streamlit).
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    if not ASSETS.is_dir():
        print(
            f"error: the lab's files are missing: there is no {ASSETS}. "
            "Install it from its own folder with: pip install -e .",
            file=sys.stderr,
        )
        return 2
    if arguments[:1] in (["--help"], ["-h"]):
        print(HELP)
        return cli.main(["--help"], prog="vimpo-lab")
    if arguments[:1] == ["--version"] or (arguments and not arguments[0].startswith("-")):
        return cli.main(arguments, prog="vimpo-lab")
    try:
        arguments = _with_runs(arguments)
    except Mistake as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return (run_app or _run_app)(["run", str(ROOT / "app"), *arguments])


def _with_runs(arguments: list[str]) -> list[str]:
    """The arguments without `--runs FOLDER`, which becomes the folder of runs of this process and its children."""
    for index, argument in enumerate(arguments):
        name, is_given, folder = argument.partition("=")
        if name != "--runs":
            continue
        rest = arguments[index + 1 :]
        if not is_given:
            folder, rest = (rest or [""])[0], rest[1:]
        path = as_path(folder).absolute()
        if path.exists() and not path.is_dir():
            raise Mistake(f"{str(path)!r} is a file. --runs needs a folder.")
        os.environ["VIMPO_RUNS_DIR"] = str(path)
        return arguments[:index] + rest
    return arguments


def _run_app(arguments: list[str]) -> int:
    from streamlit.web import cli as streamlit

    os.environ.update(home_environment())
    return streamlit.main(arguments, prog_name="streamlit") or 0


if __name__ == "__main__":
    sys.exit(main())
