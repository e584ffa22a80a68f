"""The command that `pip install -e .` brings: `vimpo-lab` opens the app, `vimpo-lab train ...` is the command line.

It loads neither Streamlit nor the command line before it knows which of them is wanted.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

from vimpo_core import cli
from vimpo_core.paths import ASSETS, ROOT, home_environment

HELP = """usage: vimpo-lab [--help] [--version] [STREAMLIT OPTION ...]
       vimpo-lab COMMAND ...

Without a command: open the app in the browser, as `streamlit run app` does; options such as --server.port 8502 are
Streamlit's.
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
    return (run_app or _run_app)(["run", str(ROOT / "app"), *arguments])


def _run_app(arguments: list[str]) -> int:
    from streamlit.web import cli as streamlit

    os.environ.update(home_environment())
    return streamlit.main(arguments, prog_name="streamlit") or 0


if __name__ == "__main__":
    sys.exit(main())
