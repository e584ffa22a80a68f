"""Imports point one way, pages -> app -> vimpo_core, and the web process never loads torch. Both can fail: see the
end.
"""

import ast
import functools
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HEAVY = ("torch", "transformers", "peft", "streamlit")
WEB = (
    "types",
    "config",
    "credit",
    "verifier",
    "runs.store",
    "runs.folder",
    "views.credit_view",
    "metrics",
    "service.scoring",
    "tree.tabular",
    "measure.truth",
    "measure.scorecard",
)
"""Modules of vimpo_core that are made for the web process, next to tasks/ and whatever app and pages import."""


def module_names(root: Path, package: str) -> list[str]:
    """Every module below root/package by its import name, the package's own `__init__` as the package."""
    files = sorted((root / package).rglob("*.py"))
    return [".".join(f.relative_to(root).with_suffix("").parts).removesuffix(".__init__") for f in files]


def web_modules(root: Path) -> list[str]:
    """Modules of vimpo_core that the web process imports, or is meant to, as far as they exist."""
    used = {name for package in ("app", "pages") for f in (root / package).rglob("*.py") for name in imports_of(f)}
    made_for_it = {f"vimpo_core.{name}" for name in WEB}
    core = module_names(root, "vimpo_core")
    return [m for m in core if m in used | made_for_it or m.startswith("vimpo_core.tasks")]


def heavy_loads(modules: list[str], root: Path, heavy: tuple[str, ...] = HEAVY) -> list[str]:
    """Import the modules one after another in a fresh interpreter; what each one loads first, as `module loads
    package`.
    """
    program = f"""
import importlib, sys
sys.path.insert(0, {str(root)!r})
for module in {modules!r}:
    before = set(sys.modules)
    importlib.import_module(module)
    for package in {heavy!r}:
        if package in set(sys.modules) - before:
            print(module, "loads", package)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, cwd=root)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def _run(node: ast.AST):
    """Every node that is ever carried out: all but what stands under TYPE_CHECKING."""
    waiting = [node]
    while waiting:
        yield (node := waiting.pop())
        waiting += [
            child
            for child in ast.iter_child_nodes(node)
            if not (isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING")
        ]


def imports_of(file: Path) -> set[str]:
    """Dotted names of everything a file imports, anywhere in it but for types alone; `from a import b` counts as a and
    a.b.
    """
    return set(_imports_in(file.read_text(encoding="utf-8")))


@functools.cache
def _imports_in(text: str) -> frozenset[str]:
    names = set()
    for node in _run(ast.parse(text)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            names |= {module} | {f"{module}.{alias.name}" for alias in node.names}
    return frozenset(names)


def forbidden_imports(root: Path) -> list[str]:
    """Every import below root that goes against the direction, as `file imports name`."""
    never = {
        "vimpo_core": ("app", "pages", "streamlit"),
        "app": ("pages", "torch", "transformers", "peft"),
        "pages": ("torch", "transformers", "peft"),
    }
    found = []
    for package, packages in never.items():
        for file in sorted((root / package).rglob("*.py")):
            for name in sorted(imports_of(file)):
                if name.lstrip(".").split(".")[0] in packages:
                    found.append(f"{file.relative_to(root).as_posix()} imports {name}")
    return found


def test_what_the_web_imports_of_the_library_loads_no_torch_and_no_streamlit():
    modules = web_modules(ROOT)
    assert {"vimpo_core.types", "vimpo_core.credit", "vimpo_core.verifier", "vimpo_core.tasks.chain"} <= set(modules)
    assert heavy_loads(modules, ROOT) == []


def test_the_app_loads_no_torch():
    starts_the_app = "app.streamlit_app"  # not to be imported; what it imports is read by the tests beside this one
    modules = [m for m in module_names(ROOT, "app") if m != starts_the_app]
    assert heavy_loads(modules, ROOT, heavy=("torch", "transformers", "peft")) == []


def test_the_help_of_the_command_line_loads_nothing_heavy():
    program = """
import runpy, sys
sys.argv = ["vimpo_core", "--help"]
try:
    runpy.run_module("vimpo_core", run_name="__main__", alter_sys=True)
except SystemExit as ended:
    assert ended.code == 0
heavy = {"torch", "transformers", "peft", "streamlit", "plotly", "pandas", "numpy", "tqdm"}
print(sorted(heavy & set(sys.modules)), file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, cwd=ROOT)
    assert "make-demos" in done.stdout
    assert done.stderr == "[]\n"


def test_imports_point_one_way():
    assert forbidden_imports(ROOT) == []


def room_of(module: str) -> str:
    """The folder or file at the top of its package that a module lies in."""
    return module.split(".")[1] if "." in module else ""


def rooms(root: Path, package: str) -> set[str]:
    """What lies at the top of a package; `__init__` and `__main__` are its doors."""
    return {room_of(m) for m in module_names(root, package)} - {"", "__main__"}


def graph(root: Path, package: str, name=lambda module: module) -> dict[str, set[str]]:
    """Which module imports which of the same package, at the top or late; `name` lays modules together."""
    known = set(module_names(root, package))
    found = {name(module): set() for module in known}
    for module in known:
        path = root.joinpath(*module.split("."))
        file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
        imported = imports_of(file) & known
        for one in imported:
            is_package_alone = any(other.startswith(f"{one}.") for other in imported)
            if name(one) != name(module) and not is_package_alone:
                found[name(module)].add(name(one))
    return found


def circles(edges: dict[str, set[str]]) -> list[str]:
    """Everything that imports itself by a detour."""
    found = []
    for start in sorted(edges):
        seen, waiting = set(), list(edges[start])
        while waiting:
            if (one := waiting.pop()) not in seen:
                seen.add(one)
                waiting += edges.get(one, ())
        found += [start] if start in seen else []
    return found


@pytest.mark.parametrize("package", ["vimpo_core", "app"])
def test_neither_rooms_nor_modules_import_in_a_circle(package):
    assert circles(graph(ROOT, package, room_of)) == []
    assert circles(graph(ROOT, package)) == []


PAGE_ROOMS = {"start", "train", "inspector", "scorecard", "compare", "runs", "tree", "course"}


def rooms_of_other_pages(root: Path) -> list[str]:
    """Every import of a page's room by another page's room or by the shell that they share, and every page that reaches
    into two rooms, as `file imports name`.

    The course may look into all of them, and its tours and symbols are shown on every page.
    """
    found = []
    for file in sorted([*(root / "app").rglob("*.py"), *(root / "pages").rglob("*.py")]):
        path = file.relative_to(root)
        reached = {name for name in imports_of(file) if name.startswith("app.") and room_of(name) in PAGE_ROOMS}
        if path.parts[0] == "pages":
            allowed = {"course", *sorted({room_of(name) for name in reached} - {"course"})[:1]}
        else:
            own = path.parts[1]
            allowed = PAGE_ROOMS if own == "course" else {own}
        found += [f"{path.as_posix()} imports {n}" for n in sorted(reached) if room_of(n) not in allowed]
    return found


def test_no_page_looks_into_the_room_of_another():
    assert {room for room in PAGE_ROOMS if not (ROOT / "app" / room).is_dir()} == set()
    assert rooms_of_other_pages(ROOT) == []


@pytest.mark.parametrize(("package", "most"), [("vimpo_core", 28), ("app", 20)])
def test_a_reader_finds_few_rooms_at_the_top(package, most):
    assert len(rooms(ROOT, package)) <= most


def test_no_room_of_the_app_can_hide_a_module_of_python():
    """Streamlit puts app/ on the path, and processes started from there would import it instead."""
    assert rooms(ROOT, "app") & set(sys.stdlib_module_names) == set()


_NOT_ON_WINDOWS = ("fcntl", "grp", "pty", "pwd", "resource", "termios", "tty")
_SOME_HAVE = {
    "os": ("fork", "geteuid", "getuid", "killpg", "mkfifo", "nice", "setpriority", "setsid", "statvfs", "uname"),
    "signal": ("SIGALRM", "SIGHUP", "SIGKILL", "SIGUSR1", "setitimer"),
}


def needs_unix(path: Path) -> list[str]:
    """What of a file does not work on Windows: modules that it loads at once, names that it uses without asking."""
    text = path.read_text(encoding="utf-8")
    tree = ast.parse(text)
    loaded = [name.name for node in tree.body if isinstance(node, ast.Import) for name in node.names]
    loaded += [node.module or "" for node in tree.body if isinstance(node, ast.ImportFrom)]
    used = [
        f"{node.value.id}.{node.attr}"
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)
        if node.attr in _SOME_HAVE.get(node.value.id, ()) and f"hasattr({node.value.id}, " not in text
    ]
    return [name for name in loaded if name in _NOT_ON_WINDOWS] + used


def test_nothing_that_windows_lacks_is_loaded_at_once_or_used_without_asking(tmp_path):
    files = [path for package in ("vimpo_core", "app", "pages") for path in (ROOT / package).rglob("*.py")]
    assert {str(path): found for path in files if (found := needs_unix(path))} == {}
    (tmp_path / "a.py").write_text("import os\nimport resource\nos.nice(5)\n")
    assert needs_unix(tmp_path / "a.py") == ["resource", "os.nice"]


@pytest.mark.parametrize("leaf", ["credit", "intervals", "files", "mistake", "numbers", "paths", "verifier"])
def test_leaves_of_the_library_import_nothing_of_it_but_records_and_mistakes(leaf):
    assert graph(ROOT, "vimpo_core")[f"vimpo_core.{leaf}"] <= {"vimpo_core.types", "vimpo_core.mistake"}


# ---- the checks can fail ----


@pytest.fixture
def small_project(tmp_path):
    """A project of empty packages, and a stand-in for torch."""
    for package in ("vimpo_core", "app", "pages"):
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").write_text("")
    (tmp_path / "torch.py").write_text("")
    return tmp_path


@pytest.mark.parametrize(
    ("file", "line", "name"),
    [
        ("vimpo_core/a.py", "import streamlit as st", "streamlit"),
        ("vimpo_core/a.py", "def f():\n    from app import cache", "app"),
        ("vimpo_core/a.py", "import pages.start", "pages.start"),
        ("app/a.py", "from pages import start", "pages"),
        ("app/a.py", "import torch.nn as nn", "torch.nn"),
        ("pages/a.py", "from transformers import AutoTokenizer", "transformers"),
    ],
)
def test_an_import_against_the_direction_is_found(small_project, file, line, name):
    assert forbidden_imports(small_project) == []
    (small_project / file).write_text(line)
    assert f"{file} imports {name}" in forbidden_imports(small_project)


def test_a_page_that_imports_a_torch_module_of_the_library_even_late_is_found(small_project):
    (small_project / "vimpo_core" / "trainer.py").write_text("import torch")
    (small_project / "vimpo_core" / "views.py").write_text("")
    (small_project / "pages" / "train.py").write_text("def f():\n    from vimpo_core import trainer, views")
    assert web_modules(small_project) == ["vimpo_core", "vimpo_core.trainer", "vimpo_core.views"]
    assert heavy_loads(web_modules(small_project), small_project) == ["vimpo_core.trainer loads torch"]


def test_torch_loaded_by_way_of_another_module_is_found(small_project):
    (small_project / "vimpo_core" / "innocent.py").write_text("from vimpo_core import behind")
    (small_project / "vimpo_core" / "behind.py").write_text("")
    assert heavy_loads(["vimpo_core.innocent"], small_project) == []
    (small_project / "vimpo_core" / "behind.py").write_text("import torch")
    assert heavy_loads(["vimpo_core.innocent"], small_project) == ["vimpo_core.innocent loads torch"]


def test_a_circle_of_rooms_is_found_even_when_one_import_is_late(small_project):
    texts = {"a": "from vimpo_core.b import part", "b": "def f():\n    from vimpo_core.a.part import one"}
    for room, text in texts.items():
        (small_project / "vimpo_core" / room).mkdir()
        (small_project / "vimpo_core" / room / "__init__.py").write_text("")
        (small_project / "vimpo_core" / room / "part.py").write_text(text)
    assert circles(graph(small_project, "vimpo_core", room_of)) == ["a", "b"]
    assert rooms(small_project, "vimpo_core") == {"a", "b"}


def test_a_page_that_looks_into_the_room_of_another_is_found(small_project):
    for room in ("runs", "train", "course"):
        (small_project / "app" / room).mkdir()
    (small_project / "app" / "runs" / "table.py").write_text("from app.train.form import start")
    (small_project / "app" / "live.py").write_text("def f():\n    from app.runs import table")
    (small_project / "app" / "course" / "worth.py").write_text("from app.train.form import start")
    (small_project / "pages" / "runs.py").write_text("from app.course import tours\nfrom app.runs import table")
    assert rooms_of_other_pages(small_project) == [
        "app/live.py imports app.runs",
        "app/live.py imports app.runs.table",
        "app/runs/table.py imports app.train.form",
        "app/runs/table.py imports app.train.form.start",
    ]
    (small_project / "pages" / "runs.py").write_text("from app.runs import table\nfrom app.train import form")
    assert "pages/runs.py imports app.train.form" in rooms_of_other_pages(small_project)
