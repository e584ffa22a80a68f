"""Entry point of `streamlit run app`: puts the repository root on the path and routes to the pages."""

import sys
from pathlib import Path

import streamlit as st

ROOT = Path(__file__).resolve().parents[1]


def main():
    # Streamlit puts this folder on the path, where its modules could hide others of the same name from the processes
    # that are started here; nobody else touches sys.path.
    sys.path[:] = [str(ROOT), *(place for place in sys.path if place not in (str(ROOT), str(ROOT / "app")))]
    from app import gate, state, waiting
    from app.components import address_bar, look
    from app.components.part import mistakes_said
    from app.routes import navigation
    from app.text import as_plain
    from vimpo_core.mistake import Mistake
    from vimpo_core.paths import default_runs_dir
    from vimpo_core.runs.folder import RunsDir

    gate.take_turns()
    st.set_page_config(page_title=look.LAB, layout="wide")
    st.html(ROOT / "assets" / "app.css")
    page = navigation(gate.is_class())
    try:
        gone = RunsDir(default_runs_dir()).gone()
    except Mistake as error:
        st.error(as_plain(f"VIMPO_RUNS_DIR: {error}."), icon=":material/error:")
        return
    if gone:
        st.error(as_plain(gone), icon=":material/error:")
        if gate.is_class() or page.url_path in ("runs", "train"):  # a door that knows nobody, a list of nothing
            return
    with mistakes_said():
        if not gate.come_in(page.url_path):
            return
        if query := state.arrive(page.url_path):
            address_bar.bring_back(page.url_path, query)
        look.begin(page.title)
        waiting.begin_page()
        page.run()
        waiting.end_page()
    if page.url_path != gate.BOARD:
        look.end(gate.who)


# Worker processes re-import the main module under another name: they must not run the page.
if __name__ == "__main__":
    main()
