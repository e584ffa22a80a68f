"""ES modules of assets/components, joined into one script.

A relative import is resolved against its module's address, and ours has none: Streamlit takes a component's script as
text, or as a file of an *installed* package that declares it, and `pip install -r requirements.txt` installs no package
of ours; a solution's page is one file. So imports are resolved here, without a build step: every module once, after
those that it imports, in a scope of its own, without its comments, since Streamlit sends a script again with every
rerun. The few forms that our modules use are known, any other is refused, never guessed:

    import { element, shape } from "../shared/elements.js";         export function name(...)        export const NAME =
    ... import mountCreditView from "../credit_view/credit_view.js";    export default ...
"""

from __future__ import annotations

import re
from functools import cache
from posixpath import dirname, join, normpath
from typing import NamedTuple

from vimpo_core.paths import ASSETS

_IMPORT = re.compile(r'^import (?:\{(\s*\w+(?:,\s*\w+)*,?\s*)\}|(\w+)) from "(\.{1,2}/[\w./]+\.js)";\n', re.M)
_EXPORT = re.compile(r"^export (?=(?:async function|function|const) (\w+))", re.M)
_DEFAULT = re.compile(r"^export default ", re.M)
_COMMENT = re.compile(r"^[ \t]*//.*\n", re.M)
_UNKNOWN = re.compile(r"^\s*(?:import|export)\b.*|\bimport\s*[(.].*", re.M)


class _Module(NamedTuple):
    """body: its text without its imports and the word `export`; imports: a module and what is taken from it, exported
    name -> name here."""

    body: str
    imports: list[tuple[str, dict[str, str]]]
    exports: list[str]


def read_asset(name: str) -> str:
    """Text of a file in assets/components. Raises FileNotFoundError naming the file and what to do."""
    path = ASSETS / "components" / name
    if not path.is_file():
        raise FileNotFoundError(
            f"the page needs assets/components/{name}, which is missing. Restore it from the repository."
        )
    return path.read_text(encoding="utf-8")


def join_modules(text: str, folder: str = "") -> str:
    """A module's text, as it would stand in a folder of assets/components, behind all that it imports; it keeps its
    default export.

    Raises ValueError for an import or export of another form, a name that is not exported, or a circle of imports.
    """
    scopes: dict[str, str] = {}

    def lines_for(imports, above: tuple[str, ...]) -> str:
        for name, _ in imports:
            if name in above:
                raise ValueError(f"{' imports '.join((*above, name))}: a circle. Move what both need elsewhere.")
            if name not in scopes:
                module = _read(name)
                inner = lines_for(module.imports, (*above, name)) + module.body
                exports = ", ".join(each.replace("default", "default: defaultExport") for each in module.exports)
                scopes[name] = f"(() => {{ // {name}\n{inner}\nreturn {{ {exports} }};\n}})();\n"
        return "".join(_line(list(scopes).index(name), name, names) for name, names in imports)

    module = _parse(text, folder)
    lines = lines_for(module.imports, ())
    script = "".join(f"const module{number} = {scope}" for number, scope in enumerate(scopes.values()))
    export = "\nexport default defaultExport;\n" if "default" in module.exports else ""
    return script + lines + module.body + export


def _line(number: int, module: str, names: dict[str, str]) -> str:
    if missing := names.keys() - _read(module).exports:
        raise ValueError(f"{module} exports no {', '.join(sorted(missing))}. Export it or import what there is.")
    return (
        f"const {{ {', '.join(f'{name}: {here}' if name != here else name for name, here in names.items())} }} = "
        f"module{number};\n"
    )


@cache
def _read(name: str) -> _Module:
    return _parse(read_asset(name), dirname(name))


def _parse(text: str, folder: str) -> _Module:
    imports = []
    for names, default, path in _IMPORT.findall(text):
        taken = {"default": default} if default else {name: name for name in re.findall(r"\w+", names)}
        imports.append((normpath(join(folder, path)), taken))
    if torn := next((line for line in text.splitlines() if line.count("`") % 2), None):
        raise ValueError(f"`{torn.strip()}` begins or ends a text of several lines, which may look like code.")
    body = _COMMENT.sub("", _IMPORT.sub("", text))
    exports = [*_EXPORT.findall(body), *("default" for _ in _DEFAULT.findall(body))]
    body = _EXPORT.sub("", _DEFAULT.sub("const defaultExport = ", body))
    if unknown := _UNKNOWN.search(body):
        forms = "`import { a, b } from`, `import a from`, `export function`, `export const`, `export default`"
        raise ValueError(f"`{unknown[0].strip()}` is not resolved. Known: {forms}.")
    return _Module(body, imports, exports)
