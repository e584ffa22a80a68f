"""Canaries: texts that would show if anything took them for more than text, runs and files whose every string is one,
and how to see on a page or in a file whether one has come to life. They are harmless: the host that they name can
exist nowhere.
"""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path

from playwright.sync_api import BrowserContext, Page

from tests.support.fakes import FakeTrainer
from vimpo_core.config import TrainConfig
from vimpo_core.formats.incoming.assemble import import_run
from vimpo_core.formats.incoming.recognise import recognise
from vimpo_core.runs import worker
from vimpo_core.runs.folder import RunsDir
from vimpo_core.types import CreditTrace, StepRecord

HOST = "canary.invalid"
TEXTS = (
    "<b id=canary>Zb</b>",
    f"<img src=//{HOST}/i onerror=canary=1>",
    "</script><script>canary=1</script>",
    f"![Zp](//{HOST}/p)[Zl](http://{HOST}/l)",
    "# Zu **Zs** $Zm$ `Zc` :red[Zr] ~~Zt~~",
    ":material/home:Zo :streamlit:Zx &lt;Zn",
    "a -> b :smile:Zq <!--Zv-->",
    f"http://{HOST}/a www.{HOST} z@{HOST}",
    f'=HYPERLINK("http://{HOST}","Zf")',
    "Z\u202e\x1b[31m\u2028\x07",
    f'<a href="http://{HOST}/a">Zd</a><br>Ze',
)
ALL = " ".join(TEXTS)
_NAMES = (TEXTS[9] + TEXTS[2], TEXTS[8])
_TAGS = tuple(text for text in TEXTS if len(text) <= 30)

_BEFORE = {
    "Zb": "<b id=canary>",
    "Zp": "![",
    "Zl": "[",
    "Zu": "# ",
    "Zs": "**",
    "Zm": "$",
    "Zr": ":red[",
    "Zt": "~~",
    "Zo": "home:",
    "Zx": ":streamlit:",
    "Zn": "&lt;",
    "Zq": ":smile:",
    "Zv": "<!--",
    "Zd": '">',
    "Ze": "<br>",
}
"""A mark in a text -> what stands before it: that is gone where somebody took the text for markup."""
_LOST = re.compile("|".join(f"(?<!{re.escape(before)}){mark}" for mark, before in _BEFORE.items()) + "|a → b")
_UNSEEN = re.compile("[\x07\x1b\u2028\u202e]")


def come_to_life(text: str) -> list[str]:
    """Where a text that is shown to a reader is not what was written: what stands around it."""
    found = [*_LOST.finditer(text), *_UNSEEN.finditer(text)]
    return [repr(text[max(0, at.start() - 60) : at.end() + 20]) for at in found[:4]]


def unseen(text: str) -> bool:
    """Whether a control or a mark of direction stands in it."""
    return _UNSEEN.search(text) is not None


def expect_inert(page: Page) -> None:
    """AssertionError where a canary on the page has become an element, a link, an icon, a formula or a script."""
    elements, texts = page.evaluate(_LOOK, HOST)
    lost = [place for text in texts for place in come_to_life(text)]
    assert not elements + lost, (page.url, [element[:160] for element in elements[:4]], lost)


_LOOK = """(host) => {
    const elements = window.canary ? ['window.canary'] : [], texts = [], roots = [document];
    const leads = ({ name, value }) => name !== 'value' && !value.startsWith('data:')
        && (new RegExp(`^(mailto:z@|(https?:)?//(www\\\\.)?${host})`).test(value) || value.includes(`url(//${host}`));
    while (roots.length) {
        const root = roots.pop();
        for (const node of root.querySelectorAll('*')) {
            roots.push(...[node.shadowRoot, node.contentDocument].filter(Boolean));
            if (node.id.startsWith('canary') || [...node.attributes].some(leads)) elements.push(node.outerHTML);
        }
        const words = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
        let text = '';
        while (words.nextNode()) {
            const parent = words.currentNode.parentNode;
            const isShown = !/^(SCRIPT|STYLE|TEXTAREA)$/.test(parent.tagName) && !parent.closest?.('.katex');
            if (isShown) text += words.currentNode.data;
        }
        texts.push(text);
    }
    return [elements, texts];
}"""


def watch(context: BrowserContext, address: str) -> list[str]:
    """A list to which everything goes that its pages ask of anybody but `address`, none of which is let out, and what
    a page says in a dialog."""
    away: list[str] = []

    def let(route):
        if route.request.url.startswith((f"{address}/", "data:", "blob:", "file:")):
            route.continue_()
        else:
            away.append(route.request.url)
            route.abort()

    context.route("**/*", let)
    context.on("dialog", lambda dialog: (away.append(dialog.message), dialog.dismiss()))
    return away


class CanaryTrainer(FakeTrainer):
    """Samples canaries, for problems that are some, judged in words that are some."""

    @property
    def header(self) -> dict:
        model = {"id": ALL, "revision": ALL, "sha256": "0" * 64}
        return super().header | {"model": model, "ref": model}

    def step(self) -> StepRecord:
        record = super().step()
        return dataclasses.replace(record, traces=[spoilt(trace) for trace in record.traces])


def spoilt(trace: CreditTrace) -> CreditTrace:
    """The same with canaries for words."""

    def canary(place: int) -> str:
        return TEXTS[place % len(TEXTS)]

    topk = trace.topk
    if topk is not None:
        text = [[canary(i + k) for k in range(len(row))] for i, row in enumerate(topk.text)]
        topk = dataclasses.replace(topk, text=text)
    return trace.with_(
        text=tuple(canary(i + trace.sample_idx) for i in range(len(trace.text))),
        topk=topk,
        prompt_text=ALL,
        gold=ALL,
        answer=ALL,
        reward_reason=ALL,
        rewards={"verifier": trace.reward, ALL: 0.5, **dict.fromkeys(TEXTS, 0.25)},
        first_wrong=1,
    )


def canary_runs(path: Path) -> tuple[RunsDir, str]:
    """A folder of runs whose words are canaries, with such names, tags and notes: two of two rules, and `brought`, of
    another tool. Returns it and the job."""
    runs = RunsDir(path)
    small = {"steps": 2, "prompts_per_step": 2, "group_size": 4, "eval_prompts": 8}
    job = runs.submit([TrainConfig(**small), TrainConfig(algorithm="grpo", **small)], name=TEXTS[5])
    worker.main(path, make_trainer=CanaryTrainer, only_job=job)
    for summary, name in zip(runs.list(), _NAMES, strict=True):
        runs.queue.set_name(summary.run_id, name)  # as somebody else's copy of the lab may have kept it
        runs.label(summary.run_id, add=_TAGS, note=ALL)
    file = canary_table(path.parent)
    import_run(recognise([(file, file.name)]), path / "brought", TEXTS[10])
    return runs, job


def canary_table(folder: Path) -> Path:
    """A run of another tool, as a table: every column, cell and file name a canary where it may be any text."""
    said = {"prompt": ALL, "gold": ALL, **dict.fromkeys(TEXTS, ALL)}
    rows = [said | {"completion": text + ALL, "reward": i % 2, "step": i // 4} for i, text in enumerate(TEXTS[:8])]
    file = folder / f"{TEXTS[4]}{TEXTS[0].replace('/', '')}.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return file
