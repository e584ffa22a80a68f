"""`python -m tests.support.patient_app run app ...`: `streamlit` whose helper processes get all the time they need.

What is asked of a helper process is killed when it takes longer than a reader would wait; on a busy machine a test has
to wait longer.
"""

from vimpo_core.service.helper_process import HelperProcess

_schedule = HelperProcess._schedule


def _without_end(self, work, timeout):
    return _schedule(self, work, None)


if __name__ == "__main__":  # a helper process imports this module too, under another name
    from streamlit.web.cli import main

    HelperProcess._schedule = _without_end
    main()
