"""Which faults would the tests miss? A module is changed in one place at a time, its tests run against each change, and
what they let pass is printed: `python -m tests.support.mutants app/words/verdicts.py tests/app/words/test_verdicts.py`
(several test files may follow; `--lines 360-440` keeps to a part of the module). Not part of the suite: minutes.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import copy
import importlib.util
import itertools
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

LIMIT_SECONDS = 120
"""A mutant that takes longer counts as found: it runs in a circle."""
ANOTHER = {
    ast.Lt: (ast.LtE, ast.Gt), ast.LtE: (ast.Lt,), ast.Gt: (ast.GtE, ast.Lt), ast.GtE: (ast.Gt,),
    ast.Eq: (ast.NotEq,), ast.NotEq: (ast.Eq,), ast.Is: (ast.IsNot,), ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,), ast.NotIn: (ast.In,), ast.And: (ast.Or,), ast.Or: (ast.And,),
    ast.Add: (ast.Sub,), ast.Sub: (ast.Add,), ast.Mult: (ast.Div,), ast.Div: (ast.Mult,), ast.Pow: (ast.Mult,),
    ast.USub: (ast.UAdd,), ast.BitOr: (ast.BitAnd,), ast.BitAnd: (ast.BitOr,), ast.FloorDiv: (ast.Mult,),
}  # fmt: skip
OPPOSITE = {"min": "max", "max": "min", "any": "all", "all": "any", "floor": "ceil", "ceil": "floor"}


def changes(node: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    """Each other node that could stand in a node's place, with a word for what is changed."""

    def changed(**fields) -> ast.AST:
        return ast.copy_location(type(node)(**(dict(ast.iter_fields(node)) | fields)), node)

    match node:
        case ast.Compare(ops=ops):
            for place, op in enumerate(ops):
                for other in ANOTHER.get(type(op), ()):
                    yield other.__name__, changed(ops=[*ops[:place], other(), *ops[place + 1 :]])
        case ast.BoolOp(op=op) | ast.BinOp(op=op):
            for other in ANOTHER.get(type(op), ()):
                yield other.__name__, changed(op=other())
        case ast.UnaryOp(op=ast.Not()):
            yield "without not", node.operand
        case ast.UnaryOp(op=ast.USub()):
            yield "without minus", node.operand
        case ast.Constant(value=bool(value)):
            yield str(not value), changed(value=not value)
        case ast.Constant(value=int(value) | float(value)):
            yield f"{value} + 1", changed(value=value + 1)
            if isinstance(value, float) and value:
                yield f"{value} x 1.1", changed(value=value * 1.1)
        case ast.Constant(value=str(value)):
            yield "other words", changed(value=value + "XX")
        case ast.If(test=test) | ast.IfExp(test=test):
            yield "the other branch", changed(test=ast.copy_location(ast.UnaryOp(ast.Not(), test), test))
        case ast.comprehension(ifs=[_, *_]):
            yield "without if", changed(ifs=[])
        case ast.Return(value=ast.expr() as value) if not (isinstance(value, ast.Constant) and value.value is None):
            yield "return None", changed(value=ast.copy_location(ast.Constant(None), node))
        case ast.Expr(value=ast.Call()):
            yield "not called", ast.copy_location(ast.Pass(), node)
        case ast.Continue():
            yield "break", ast.copy_location(ast.Break(), node)
        case ast.Name(id=name) if name in OPPOSITE:
            yield OPPOSITE[name], changed(id=OPPOSITE[name])
        case ast.Attribute(attr=name) if name in OPPOSITE:
            yield OPPOSITE[name], changed(attr=OPPOSITE[name])
        case ast.Call(keywords=[_, *_] as keywords):
            for place, keyword in enumerate(keywords):
                yield f"without {keyword.arg}=", changed(keywords=[*keywords[:place], *keywords[place + 1 :]])


def mutants(tree: ast.Module, lines: range) -> Iterator[tuple[int, str, ast.Module]]:
    """Line, what is changed, and the module with that change alone. Annotations, decorators and docstrings stay."""
    fixed = {id(part) for node in ast.walk(tree) for part in _fixed(node)}
    for node in ast.walk(tree):
        for name, value in ast.iter_fields(node):
            for place, child in enumerate(value) if isinstance(value, list) else [(None, value)]:
                line = getattr(child, "lineno", getattr(node, "lineno", 0))
                if not isinstance(child, ast.AST) or id(child) in fixed or line not in lines:
                    continue
                for what, other in changes(child):
                    whole = _with(node, name, place, other, tree)
                    yield line, what, whole


def _fixed(node: ast.AST) -> Iterator[ast.AST]:
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        yield node.value
    for annotation in (getattr(node, "annotation", None), getattr(node, "returns", None)):
        if annotation is not None:
            yield from ast.walk(annotation)
    for decorator in getattr(node, "decorator_list", ()):
        yield from ast.walk(decorator)


def _with(node: ast.AST, name: str, place: int | None, other: ast.AST, tree: ast.Module) -> ast.Module:
    kept = getattr(node, name)
    setattr(node, name, other if place is None else [*kept[:place], other, *kept[place + 1 :]])
    whole = ast.fix_missing_locations(copy.deepcopy(tree))
    setattr(node, name, kept)
    return whole


def is_found(module: str, file: Path, tree: ast.Module, tests: list[str]) -> bool:
    """Whether a test fails when the module is this tree instead; in a process of its own."""
    child = os.fork()
    if not child:
        signal.alarm(LIMIT_SECONDS)
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, 1)
        os.dup2(nothing, 2)
        try:
            _load(module, file, tree)
            code = pytest.main([*tests, "-x", "-q", "-n", "0", "-p", "no:cacheprovider", "--assert=plain"])
        except BaseException:
            code = 1
        os._exit(1 if code else 0)
    return os.waitpid(child, 0)[1] != 0


def _load(name: str, file: Path, tree: ast.Module) -> None:
    spec = importlib.util.spec_from_file_location(name, file)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    parent, _, last = name.rpartition(".")
    setattr(importlib.import_module(parent), last, module)
    exec(compile(tree, str(file), "exec"), module.__dict__)


def import_others(tests: list[str]) -> None:
    """Import what the tests need of other projects, once for all mutants."""
    look = f"import pytest, sys; pytest.main([*{tests!r}, '-q', '-n', '0', '--collect-only']); print('!', *sys.modules)"
    done = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True)
    for name in done.stdout.rpartition("!")[2].split():
        if name.split(".")[0] not in ("app", "pages", "tests", "vimpo_core", "__main__", "__mp_main__"):
            with contextlib.suppress(Exception):
                importlib.import_module(name)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("module", type=Path)
    parser.add_argument("tests", nargs="+")
    parser.add_argument("--lines", default="1-100000", help="first-last line that is changed")
    parser.add_argument("--every", type=int, default=1, help="one change in so many, for a first look")
    asked = parser.parse_args()
    text = asked.module.read_text("utf-8")
    first, last = map(int, asked.lines.split("-"))
    import_others(asked.tests)
    name = ".".join(asked.module.with_suffix("").parts)
    assert is_found(name, asked.module, ast.parse("raise ValueError"), asked.tests), "the tests do not read the module"
    assert not is_found(name, asked.module, ast.parse(text), asked.tests), "the tests fail without any change"
    count, left = 0, 0
    for line, what, tree in itertools.islice(mutants(ast.parse(text), range(first, last + 1)), 0, None, asked.every):
        count += 1
        if not is_found(name, asked.module, tree, asked.tests):
            left += 1
            print(f"{asked.module}:{line}: {what}: {text.splitlines()[line - 1].strip()}", flush=True)
    print(f"{count - left} of {count} changes are found, {left} are not")


if __name__ == "__main__":
    main()
