"""Take it along: a link, files, and code that gives the same numbers again."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from urllib.parse import urlencode

import streamlit as st

from app import cache, state
from app.inspector import inspection, whole_run
from vimpo_core.formats import adapter_folder, export
from vimpo_core.formats.export import FORMATS, Taken
from vimpo_core.formats.reproduce import Place
from vimpo_core.paths import ROOT
from vimpo_core.runs.store import RunStore
from vimpo_core.solutions.pieces import readable

_ICONS = {
    "html": ":material/web:",
    "json": ":material/data_object:",
    "csv": ":material/table:",
    "parquet": ":material/view_column:",
}


def show(scene: inspection.Scene, beta: float, gae_lambda: float) -> None:
    taken = _taken(scene, beta, gae_lambda)
    left, right = st.columns(2, gap="large")
    with left:
        st.markdown("**Link** to this token and lens")
        st.code(link(scene, beta, gae_lambda, taken.token, taken.lens), language=None, wrap_lines=True)
        st.markdown("**Files** of this solution")
        _files(taken)
        _adapter(scene)
        whole_run.show(scene.source.run_dir, _runs_dir(scene.source))
        st.caption("Pictures: *Save this picture as SVG or PNG* stands below the strips and below the value curve.")
    with right:
        st.markdown("**The same numbers again**")
        _code(taken)


def link(scene: inspection.Scene, beta: float, gae_lambda: float, token: int, lens: str) -> str:
    """The address of exactly this view: what the page would otherwise choose by itself is written out."""
    asked = {
        "run": scene.source.key,
        "step": scene.step,
        "token": token,
        "lens": lens,
        "beta": state.text_of(beta),
        "lambda": state.text_of(gae_lambda),
    }
    if scene.is_typed:
        asked |= {
            "mode": "typed",
            "problem": scene.trace.prompt_text,
            "solution": readable(scene.trace.text),
        }
    else:
        asked |= {"group": scene.trace.group_id, "sample": scene.trace.sample_idx}
    return f"{(st.context.url or '').split('?')[0]}?{urlencode(asked)}"


def _taken(scene: inspection.Scene, beta: float, gae_lambda: float) -> Taken:
    source = scene.source
    header = cache.export_header(source.folder, source.run.run_id, source.run.version, scene.step)
    is_kept = scene.step in source.snapshots
    place = Place(source.run.run_id, scene.step, not scene.is_typed, is_kept, _runs_dir(source))
    token, lens = inspection.selected_token(scene.trace, []), inspection.selected_lens(scene.trace, [])
    return Taken(header, scene.traces, scene.index, place, beta, gae_lambda, token, lens)


def _runs_dir(source: inspection.Source) -> str:
    """The folder to name in code, where the run's name alone would find one's own of the same name; "" elsewhere."""
    if source.key == source.run.run_id:
        return ""
    folder = source.folder
    return folder.relative_to(ROOT).as_posix() if folder.is_relative_to(ROOT) else str(folder)


def _files(taken: Taken) -> None:
    with st.container(horizontal=True):
        for name, format in FORMATS.items():
            st.download_button(
                format.label,
                _written(taken, name),
                export.file_name(taken, name),
                format.media_type,
                icon=_ICONS.get(name, ":material/download:"),
                help=format.help,
                on_click="ignore",
                key=f"take.{name}",
            )


def _adapter(scene: inspection.Scene) -> None:
    """The step's adapter as a PEFT folder, where it was kept."""
    source, step = scene.source, scene.step
    if step not in source.snapshots:
        return
    name = adapter_folder.folder_name(source.run.run_id, step)
    st.markdown(f"**Adapter** of step {step}, for `PeftModel.from_pretrained(base, folder)`")
    st.download_button(
        "PEFT folder",
        lambda: adapter_folder.zipped(RunStore.open(source.run_dir), step),
        f"{name}.zip",
        "application/zip",
        icon=":material/folder_zip:",
        help="adapter_config.json and adapter_model.safetensors. The base model's weights are not in it.",
        on_click="ignore",
        key="take.adapter",
    )
    runs_dir = f" --runs-dir {shlex.quote(_runs_dir(source))}" if _runs_dir(source) else ""
    st.code(f"python -m vimpo_core export-adapter {shlex.quote(source.run.run_id)} --step {step}{runs_dir}", "bash")


def _written(taken: Taken, name: str) -> Callable[[], bytes]:
    """Written when it is asked for, not at every run of the page."""
    return lambda: FORMATS[name].write(taken)


def _code(taken: Taken) -> None:
    code = export.code(taken)
    python, shell = st.tabs(["Python", "Command line"])
    python.code(code["Python"], language="python", wrap_lines=True)
    if not code["Command line"]:
        shell.caption("This text holds characters that a command line cannot take. Use Python, or export the file.")
        return
    shell.code(code["Command line"], language="bash", wrap_lines=True)
    if taken.place.is_recorded and taken.place.has_snapshot:
        shell.caption(
            "The first line scores the solution again, the second writes what was recorded. Both agree up to rounding "
            "in the sixth digit."
        )
