"""`python -m tests.support.patient_app run app ...`: `streamlit` whose waits are as long as a busy machine needs.

What is asked of a helper process is killed when it takes longer than a reader would wait, and a browser gets a moment
to take over a page's path: a test has to wait longer than a reader.
"""

from vimpo_core.service.helper_process import HelperProcess

_schedule = HelperProcess._schedule


def _without_end(self, work, timeout):
    return _schedule(self, work, None)


if __name__ == "__main__":  # a helper process imports this module too, under another name
    from streamlit.web.cli import main

    from app import state

    HelperProcess._schedule = _without_end
    state._SETTLED_SECONDS = 2.0
    main()
