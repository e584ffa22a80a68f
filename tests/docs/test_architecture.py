"""ARCHITECTURE.md says what is there."""

import importlib.util

import pytest


@pytest.fixture(scope="module")
def make_architecture(pytestconfig):
    path = pytestconfig.rootpath / "docs" / "make_architecture.py"
    spec = importlib.util.spec_from_file_location("make_architecture", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_tree_is_that_of_the_files(make_architecture):
    text = make_architecture.DOCUMENT.read_text(encoding="utf-8")
    assert make_architecture.document(text) == text, "run python docs/make_architecture.py"


def test_every_file_and_folder_has_a_sentence(make_architecture):
    bare = [line for line in make_architecture.tree().splitlines() if line.rstrip().endswith(("`", "/**"))]
    assert bare == ["- **pages/**"]  # no package: its sentence is the first one of the document
