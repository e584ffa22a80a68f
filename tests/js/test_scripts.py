"""The scripts of the components: their unit tests (node's own runner), lint, and what each module must have."""

import re
import shutil
import subprocess

import pytest

from app.components import tree_lab, truth_curves
from app.components.assets import component_script
from tests.support.needs import missing
from tests.support.waiting import PATIENCE
from vimpo_core.formats.es_modules import read_asset
from vimpo_core.paths import ASSETS, ROOT
from vimpo_core.rules import RULES
from vimpo_core.views import rule_styles

FOLDERS = sorted(path.name for path in (ASSETS / "components").iterdir() if path.is_dir())
COMPONENTS = [name for name in FOLDERS if name not in ("shared", "solution_page")]
NEED = "VIMPO_NEED_NODE"
ESLINT = ASSETS / "node_modules" / ".bin" / "eslint"


def said_by(*command):
    if shutil.which("node") is None:
        missing("there is no node on this machine", NEED)
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE)
    return done.returncode, done.stdout + done.stderr


def test_unit_tests_of_the_scripts_pass():
    files = sorted(map(str, (ROOT / "tests" / "js").glob("*.test.mjs")))
    code, text = said_by("node", "--test", *files)
    assert code == 0, text
    assert len(files) >= 6 and "# pass 0" not in text


def test_scripts_are_free_of_lint():
    if not ESLINT.exists():
        missing("eslint is not installed. Install it: `npm ci --prefix assets`.", NEED)
    code, text = said_by(ESLINT, "--config", "assets/eslint.config.js", "--max-warnings", "0", "assets", "tests/js")
    assert code == 0, text


def test_lint_finds_what_a_browser_would_only_tell_on_the_page(tmp_path):
    if not ESLINT.exists():
        missing("eslint is not installed. Install it: `npm ci --prefix assets`.", NEED)
    faulty = ASSETS / "components" / "shared" / "faulty_on_purpose.js"
    source = (
        'import { element } from "./elements.js";\nexport const a = (b) => b == undefinedName;\nnode.innerHTML = a;\n'
    )
    done = subprocess.run(
        [ESLINT, "--config", "assets/eslint.config.js", "--stdin", "--stdin-filename", faulty],
        cwd=ROOT,
        input=source,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    for rule in ("no-undef", "no-unused-vars", "eqeqeq", "no-restricted-properties"):
        assert rule in done.stdout, done.stdout


@pytest.mark.parametrize("name", COMPONENTS)
def test_every_component_is_one_module_with_one_default_export_and_is_guarded(name):
    script = component_script(name)
    assert script.count("export default") == 1 and script.rstrip().endswith("export default defaultExport;")
    assert "const defaultExport = guarded(draw);" in script
    assert read_asset(f"{name}/{name}.js").count("export default ") == 1


@pytest.mark.parametrize("name", COMPONENTS)
def test_a_component_has_the_name_of_its_folder_and_of_its_files_but_for_scripts_that_it_imports(name):
    assert (ROOT / "app" / "components" / f"{name}.py").is_file()
    others = {path.name for path in (ASSETS / "components" / name).iterdir() if path.stem != name}
    assert {other for other in others if f"// {name}/{other}\n" not in component_script(name)} == set()


def test_every_shared_file_is_used():
    texts = [path.read_text("utf-8") for path in (ASSETS / "components").rglob("*.js")]
    texts += [path.read_text("utf-8") for path in (ROOT / "app" / "components").glob("*.py")]
    for path in (ASSETS / "components" / "shared").iterdir():
        used = f'/{path.name}"' if path.suffix == ".js" else f'"{path.stem}"'
        assert any(used in text for text in texts), path.name


# --- the style of a rule comes from one place
# --------------------------------------------------------------------------


def test_no_hue_of_a_rule_is_written_anywhere_but_in_rule_styles():
    hues = {hue for styles in (rule_styles.LIGHT, rule_styles.DARK) for shades in styles.values() for hue in shades}
    for folder in ("app", "pages", "vimpo_core", "assets/components"):
        for path in (ROOT / folder).rglob("*"):
            if path.suffix in (".py", ".js", ".css", ".html") and path.name != "rule_styles.py":
                written = set(re.findall(r"#[0-9a-f]{6}\b", path.read_text("utf-8").lower())) & hues
                assert not written, (path, written)


def test_no_script_and_no_style_sheet_knows_a_rule_by_its_style():
    for path in (ASSETS / "components").rglob("*"):
        if path.suffix in (".js", ".css"):
            text = path.read_text("utf-8")
            known = [key for key in RULES if f"var(--{key})" in text or f'data-style="{key}"' in text]
            assert not known, (path, known)


def test_what_the_truth_is_compared_with_is_drawn_like_the_rules_own():
    assert truth_curves._STYLES["critic"]["dash"] == list(rule_styles.DASHES["ppo"])
    assert truth_curves._STYLES["flat"]["hues"]["dark"] == rule_styles.DARK["grpo"][0]
    assert tree_lab._STYLES["soft"]["hues"]["light"] == rule_styles.LIGHT["vimpo_soft"][0]


@pytest.mark.parametrize("rule", RULES)
def test_implied_values_are_drawn_like_the_rule_that_the_run_trained_with(rule, monkeypatch):
    sent = {}
    monkeypatch.setattr(truth_curves, "_mount", lambda **given: sent.update(given))
    truth_curves.truth_curves({"algorithm": rule}, key="truth", token=0, about={}, on_change=lambda: None)
    implied = sent["data"][0]["styles"]["implied"]
    assert implied["hues"] == {"light": rule_styles.LIGHT[rule][0], "dark": rule_styles.DARK[rule][0]}
    assert implied["dash"] == list(rule_styles.DASHES[rule])
