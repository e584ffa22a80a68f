"""Take it along, the whole run: all its recorded solutions as one file, or the command that writes it."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path

import streamlit as st

from vimpo_core.formats.outgoing import run_export
from vimpo_core.formats.outgoing.run_export import FORMATS
from vimpo_core.runs.store import DB_NAME, RunStore

AT_ONCE = 20_000_000
"""Bytes of a run that the page writes itself, in about two seconds; of a larger one the command does."""
_ICONS = {"jsonl": ":material/data_object:", "parquet": ":material/view_column:", "unipo": ":material/hub:"}


def show(run_dir: Path, runs_dir: str) -> None:
    """runs_dir: the folder to name in the command, "" for one's own."""
    st.markdown("**The whole run**, every recorded solution in one file")
    if (run_dir / DB_NAME).stat().st_size <= AT_ONCE:
        with st.container(horizontal=True):
            for to, format in FORMATS.items():
                st.download_button(
                    f"Run as {format.label}",
                    _written(run_dir, to),
                    run_export.file_name(run_dir.name, to),
                    format.media_type,
                    icon=_ICONS.get(to, ":material/download:"),
                    help=format.help,
                    on_click="ignore",
                    key=f"take.run.{to}",
                )
    folder = f" --runs-dir {shlex.quote(runs_dir)}" if runs_dir else ""
    st.code(f"python -m vimpo_core export-run {shlex.quote(run_dir.name)} --to jsonl{folder}", "bash")


def _written(run_dir: Path, to: str) -> Callable[[], bytes]:
    """Written when it is asked for, not at every run of the page."""
    return lambda: run_export.content(RunStore.open(run_dir), to)
