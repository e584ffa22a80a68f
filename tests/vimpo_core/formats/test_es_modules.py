"""Modules joined into one script: every module once and before its importers, and what is not known refused."""

import json
import shutil
import subprocess

import pytest

from tests.support.needs import missing
from tests.support.waiting import PATIENCE
from vimpo_core.formats import es_modules
from vimpo_core.formats.es_modules import join_modules


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """assets/components in a folder of the test, written by a dict of name -> text."""
    monkeypatch.setattr(es_modules, "ASSETS", tmp_path)
    es_modules._read.cache_clear()
    yield lambda files: [_write(tmp_path / "components" / name, text) for name, text in files.items()]
    es_modules._read.cache_clear()


def _write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def run(script):
    """What a script says on the console, a JSON value a line."""
    node = shutil.which("node")
    if node is None:
        missing("there is no node on this machine", "VIMPO_NEED_NODE")
    done = subprocess.run(
        [node, "--input-type=module", "-"], input=script, capture_output=True, text=True, timeout=PATIENCE
    )
    assert not done.returncode, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_what_a_module_says_is_what_it_says_when_joined(folder):
    folder(
        {
            "shared/base.js": 'console.log(JSON.stringify("base"));\nexport const RATE = 3;\nconst hidden = 1;\n'
            "export function times(u) {\n  return u * RATE * hidden;\n}\n",
            "shared/twice.js": 'import { times } from "./base.js";\n\nconst hidden = 2;\n'
            "export async function later(u) {\n  return hidden * times(u);\n}\n",
            "one/one.js": 'import {\n  RATE,\n  times,\n} from "../shared/base.js";\nimport { later } from '
            '"../shared/twice.js";\n\n'
            "export default function () {\n  return { RATE, times, later };\n}\n",
        }
    )
    entry = (
        'import make from "../one/one.js";\nimport { RATE } from "../shared/base.js";\n'
        "const made = make();\nconsole.log(JSON.stringify([RATE, made.RATE, made.times(5), await made.later(5)]));\n"
    )
    assert run(join_modules(entry, "entry")) == ["base", [3, 3, 15, 30]]


def test_a_module_keeps_its_default_export_and_a_script_without_one_has_none(folder):
    folder({"a/a.js": "export const A = 1;\n"})
    joined = join_modules('import { A } from "./a/a.js";\nexport default (u) => u + A;\n')
    assert run(joined.replace("export default ", "const it = ") + "console.log(it(4));")[-1] == 5
    assert "export" not in join_modules('import { A } from "./a/a.js";\nconsole.log(A);\n')


@pytest.mark.parametrize(
    "statement",
    [
        'import * as all from "./a/a.js";',
        'import { A as B } from "./a/a.js";',
        'import "./a/a.js";',
        'import { A } from "streamlit";',
        'import { A } from "https://example.org/a.js";',
        "import { A } from './a/a.js';",
        'const a = await import("./a/a.js");',
        "const here = import.meta.url;",
        "export let count = 0;",
        "export { A };",
        'export * from "./a/a.js";',
    ],
)
def test_a_form_that_is_not_known_is_refused(folder, statement):
    folder({"a/a.js": "export const A = 1;\n"})
    with pytest.raises(ValueError, match=r"is not resolved\. Known: "):
        join_modules(statement + "\n")


def test_a_name_that_is_not_exported_is_refused(folder):
    folder({"a/a.js": "export const A = 1;\nconst B = 2;\n"})
    with pytest.raises(ValueError, match=r"a/a\.js exports no B"):
        join_modules('import { A, B } from "./a/a.js";\n')
    with pytest.raises(ValueError, match=r"a/a\.js exports no default"):
        join_modules('import A from "./a/a.js";\n')


def test_a_circle_is_refused(folder):
    folder(
        {
            "a/a.js": 'import { B } from "../b/b.js";\nexport const A = 1;\n',
            "b/b.js": 'import { A } from "../a/a.js";\nexport const B = 1;\n',
        }
    )
    with pytest.raises(ValueError, match=r"a/a\.js imports b/b\.js imports a/a\.js: a circle"):
        join_modules('import { A } from "./a/a.js";\n')


def test_a_missing_module_is_named(folder):
    with pytest.raises(FileNotFoundError, match=r"assets/components/a/gone\.js, which is missing"):
        join_modules('import { A } from "./gone.js";\n', "a")


def test_comments_stay_behind_and_texts_do_not(folder):
    folder(
        {
            "a/a.js": '// About it.\nexport const A = "http://a"; // kept\n  // import nothing\nexport const B = '
            "`//${A}`;\n"
        }
    )
    script = join_modules('import { A, B } from "./a/a.js";\nconsole.log(JSON.stringify([A, B]));\n')
    assert "About it" not in script and run(script) == [["http://a", "//http://a"]]


def test_a_text_of_several_lines_is_refused(folder):
    with pytest.raises(ValueError, match="a text of several lines"):
        join_modules("const words = `one\n// import two\n`;\n")
