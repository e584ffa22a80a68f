"""What all tests share: one thread a process, since pytest-xdist fills the cores; property tests with the same examples
every time and without a time limit, since the machine may be busy; no test touches the reader's own runs.
"""

import os

import pytest
from hypothesis import settings

for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

settings.register_profile("steady", deadline=None, derandomize=True)
settings.load_profile("steady")


@pytest.fixture(scope="session", autouse=True)
def _own_runs_folder(tmp_path_factory):
    """The runs folder of whoever names none, here and in child processes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VIMPO_RUNS_DIR", str(tmp_path_factory.mktemp("own-runs")))
        yield
