"""Loaded models, a run and a scoring process that many tests share.

A session's policy is read, never changed: a test that trains or casts one loads its own (`load_policy` takes 0.1 s).
torch is imported by the fixtures that need it, so tests of the torch-free half start fast.
"""

import pytest

from tests.support.real import SMALL, moved, save_byte_level_model
from vimpo_core.runs import worker
from vimpo_core.runs.folder import RunsDir
from vimpo_core.service.scoring import ScoringService


@pytest.fixture(scope="session")
def fresh_policy():
    """The bundled model with an untrained adapter: pi = pi_ref."""
    from vimpo_core.lm import loading, models

    models.single_thread()
    return loading.load_policy(SMALL)


@pytest.fixture(scope="session")
def moved_policy():
    """The bundled model with a random adapter, some tenths of a nat a token away from the reference."""
    return moved(SMALL)


@pytest.fixture(scope="session")
def byte_level_model(tmp_path_factory):
    """A folder with a random tiny GPT-2 and a byte-level BPE tokenizer: tokens of several characters, and of half
    ones.
    """
    folder = tmp_path_factory.mktemp("byte-level")
    save_byte_level_model(folder)
    return folder


@pytest.fixture(scope="session")
def real_run(tmp_path_factory):
    """The folder of a finished VIMPO run of `SMALL`, made by the real trainer through the queue."""
    runs = RunsDir(tmp_path_factory.mktemp("runs"))
    runs.submit([SMALL])
    worker.main(runs.path)
    return runs.path / "vimpo-1"


@pytest.fixture(scope="session")
def scoring_process():
    """A scoring process that imports torch once for all tests that ask it."""
    service = ScoringService()
    yield service
    service.close()
