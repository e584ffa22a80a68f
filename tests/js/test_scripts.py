"""The scripts of the components: their unit tests (node's own runner), lint, and what each module must have."""

import os
import shutil
import subprocess

import pytest

from app.components.assets import component_script
from vimpo_core.formats.es_modules import read_asset
from vimpo_core.paths import ASSETS, ROOT

FOLDERS = sorted(path.name for path in (ASSETS / "components").iterdir() if path.is_dir())
COMPONENTS = [name for name in FOLDERS if name not in ("shared", "solution_page")]
ESLINT = ASSETS / "node_modules" / ".bin" / "eslint"


def missing(what):
    """Skips the test, or fails it where VIMPO_NEED_NODE is set, as in CI."""
    (pytest.fail if os.environ.get("VIMPO_NEED_NODE") else pytest.skip)(what)


def said_by(*command):
    if shutil.which("node") is None:
        missing("there is no node on this machine")
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    return done.returncode, done.stdout + done.stderr


def test_unit_tests_of_the_scripts_pass():
    files = sorted(map(str, (ROOT / "tests" / "js").glob("*.test.mjs")))
    code, text = said_by("node", "--test", *files)
    assert code == 0, text
    assert len(files) >= 6 and "# pass 0" not in text


def test_scripts_are_free_of_lint():
    if not ESLINT.exists():
        missing("eslint is not installed. Install it: `npm ci --prefix assets`.")
    code, text = said_by("npm", "run", "--silent", "lint", "--prefix", "assets")
    assert code == 0, text


def test_lint_finds_what_a_browser_would_only_tell_on_the_page(tmp_path):
    if not ESLINT.exists():
        missing("eslint is not installed. Install it: `npm ci --prefix assets`.")
    faulty = ASSETS / "components" / "shared" / "faulty_on_purpose.js"
    source = 'import { element } from "./elements.js";\nexport const a = (b) => b == undefinedName;\nnode.innerHTML = a;\n'
    done = subprocess.run(
        [ESLINT, "--config", "assets/eslint.config.js", "--stdin", "--stdin-filename", faulty],
        cwd=ROOT, input=source, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    for rule in ("no-undef", "no-unused-vars", "eqeqeq", "no-restricted-properties"):
        assert rule in done.stdout, done.stdout


@pytest.mark.parametrize("name", COMPONENTS)
def test_every_component_is_one_module_with_one_default_export_and_is_guarded(name):
    script = component_script(name)
    assert script.count("export default") == 1 and script.rstrip().endswith("export default defaultExport;")
    assert "const defaultExport = guarded(draw);" in script
    assert read_asset(f"{name}/{name}.js").count("export default ") == 1


@pytest.mark.parametrize("name", COMPONENTS)
def test_a_component_has_the_name_of_its_folder_and_of_its_files(name):
    assert (ROOT / "app" / "components" / f"{name}.py").is_file()
    assert {path.stem for path in (ASSETS / "components" / name).iterdir()} == {name}


def test_every_shared_file_is_used():
    texts = [path.read_text("utf-8") for path in (ASSETS / "components").rglob("*.js")]
    texts += [path.read_text("utf-8") for path in (ROOT / "app" / "components").glob("*.py")]
    for path in (ASSETS / "components" / "shared").iterdir():
        used = f'/{path.name}"' if path.suffix == ".js" else f'"{path.stem}"'
        assert any(used in text for text in texts), path.name
