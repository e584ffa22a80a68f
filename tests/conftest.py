"""What all tests share: one thread a process, since pytest-xdist fills the cores; property tests with the same examples
every time and without a time limit, since the machine may be busy; no test touches the reader's own runs.
"""

import gc
import os
import sys

import psutil
import pytest
from hypothesis import settings

for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

# What one process has compiled the next one reads, also where the machine's setting is not to keep it.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

settings.register_profile("steady", deadline=None, derandomize=True)
settings.load_profile("steady")


LONGEST = (
    "test_every_page_browser.py",
    "test_trainer.py",
    "test_trainer_rules.py",
    "test_resuming.py",
    "test_browser.py",
    "test_cli.py",
    "test_live_browser.py",
    "test_scoring.py",
    "test_film_browser.py",
    "test_faults.py",
    "test_tours_browser.py",
    "test_bases.py",
    "test_tree_browser.py",
    "test_kept_reports.py",
    "test_accessibility.py",
    "test_inspect.py",
    "test_branch_browser.py",
    "test_architectures.py",
)
"""Files that take longest, those that wait for a browser between those that do not: they begin, so that no core is left
alone with one in the end."""


def pytest_xdist_auto_num_workers(config):
    """One more than there are cores, since tests with a browser also wait; `-n 2` takes two."""
    return (psutil.cpu_count() or 1) + 1


def pytest_collection_finish():
    """What was imported until now stays: no search for garbage walks through it again, which takes long."""
    gc.collect()
    gc.freeze()


def pytest_collection_modifyitems(items):
    place = {name: at for at, name in enumerate(LONGEST)}
    items.sort(key=lambda item: place.get(item.path.name, len(place)))


@pytest.fixture(scope="session", autouse=True)
def _own_runs_folder(tmp_path_factory):
    """The runs folder of whoever names none, here and in child processes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VIMPO_RUNS_DIR", str(tmp_path_factory.mktemp("own-runs")))
        yield


@pytest.fixture
def with_closeness(monkeypatch):
    """The registry with `partial.Closeness` first."""
    from tests.support.partial import add_closeness

    add_closeness(monkeypatch)
