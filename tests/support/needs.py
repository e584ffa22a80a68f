"""Programs that a test needs and a machine may lack."""

import os

import pytest


def missing(what: str, variable: str) -> None:
    """Skip the test, or fail it where the environment says, as CI's does, that the program has to be there."""
    (pytest.fail if os.environ.get(variable) else pytest.skip)(what)
