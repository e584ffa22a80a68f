"""What a class's server keeps in memory is bounded: every cache, and the sessions of tabs that were closed."""

import ast
import inspect
import tomllib

from streamlit.runtime.memory_session_storage import MemorySessionStorage

from vimpo_core.paths import ROOT

FILES = [file for folder in ("app", "pages", "vimpo_core") for file in (ROOT / folder).rglob("*.py")]
FOREVER = {"vimpo_core/formats/es_modules.py: _read", "vimpo_core/lm/models.py: _byte_letters"}
"""Kept without a bound: the few files of the project's own scripts, and one table."""


def caches(file):
    """(Name, decorator's name, its arguments by name) of every function of a file that is cached."""
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        for mark in getattr(node, "decorator_list", ()):
            name = ast.unparse(mark.func if isinstance(mark, ast.Call) else mark).rpartition(".")[2]
            if name in ("cache", "lru_cache", "cache_data", "cache_resource"):
                given = {k.arg: k.value for k in mark.keywords} if isinstance(mark, ast.Call) else {}
                yield f"{file.relative_to(ROOT).as_posix()}: {node.name}", name, given


def test_every_cache_has_a_bound():
    found = [cached for file in FILES for cached in caches(file)]
    bounds = {"cache_data": "max_entries", "cache_resource": "max_entries", "lru_cache": "maxsize"}
    without = {
        where
        for where, name, given in found
        if isinstance(bound := given.get(bounds.get(name)), ast.Constant | type(None))
        and not isinstance(getattr(bound, "value", None), int)
    }
    assert len(found) > 50 and without == FOREVER


def test_sessions_of_closed_tabs_are_let_go():
    settings = tomllib.loads((ROOT / "app" / ".streamlit" / "config.toml").read_text("utf-8"))["server"]
    assert settings["disconnectedSessionTTL"] <= 600
    assert inspect.signature(MemorySessionStorage).parameters["maxsize"].default <= 128
