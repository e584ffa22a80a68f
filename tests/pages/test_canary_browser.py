"""Every page and section, every address and every export, on runs whose every string is a canary: nothing of it is
taken for more than text, and the browser asks nobody but the lab. Pages and sections are taken from the app: a new one
is tested by itself.
"""

import csv
import io
import json
import re
from urllib.parse import urlencode
from xml.etree import ElementTree

import pyarrow.parquet as pq
import pytest

from app.course.chapters import ALL as CHAPTERS
from app.inspector.sections import SECTIONS
from tests.pages.in_browser import pages_by_address
from tests.pages.test_every_page_browser import go
from tests.support.browser import serving, settle, visiting
from tests.support.canary import ALL, HOST, TEXTS, canary_runs, expect_inert, unseen, watch
from vimpo_core.config import TrainConfig
from vimpo_core.formats import export
from vimpo_core.formats.film_gif import film_gif
from vimpo_core.service.classroom import ENVIRONMENT, Classroom

pytestmark = [pytest.mark.browser, pytest.mark.slow]

OWN, BROUGHT = "vimpo-1", "brought"
IN_ADDRESSES = re.findall(
    r"\w+",
    "run group sample step token lens mode more beta lambda rule reading prefixes at film runs baseline number show q "
    "tag sort only preset job seeds tour chapter hide lock presses vocab depth policy values open part chapters large",
)
EVERYWHERE = urlencode(dict.fromkeys(IN_ADDRESSES, ALL))
ON_A_RUN = urlencode({name: ALL for name in IN_ADDRESSES if name != "run"})
NEVER_DRAWN = {"a", "b", "foreignObject", "iframe", "image", "img", "script"}
OF_BROUGHT = ("", "table", "take", "rescore")
VIEWS = [
    *(f"inspect?run={OWN}&step=2&more={more}" for more in ("", *SECTIONS) if more != "rescore"),
    *(f"inspect?run={BROUGHT}&step=1&more={more}" for more in OF_BROUGHT),
    f"inspect?{urlencode({'mode': 'typed', 'problem': ALL, 'solution': ALL})}",
    f"inspect?run={OWN}&{ON_A_RUN}",
    "runs",
    f"runs?{urlencode({'q': 'canary', 'sort': ALL})}",
    f"compare?runs={OWN},grpo-1",
    f"scorecard?run={OWN}",
    "train?job={job}",
    *(f"{page}?{EVERYWHERE}" for page in pages_by_address()),
]


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """The runs folder, the job that is in it, and a server of it."""
    runs, job = canary_runs(tmp_path_factory.mktemp("canary") / "runs")
    with serving(runs.path, program="tests.support.patient_app") as server:
        yield runs, job, server.address


@pytest.fixture(scope="module")
def reader(browser, kept):
    """A tab whose every request is seen; what went astray is told at the end of each test."""
    with visiting(browser) as context:
        away = watch(context, kept[2])
        yield context.new_page(), away


def test_on_every_page_and_section_and_in_every_address_a_canary_is_text(reader, kept):
    (page, away), (_, job, address) = reader, kept
    for view in VIEWS:
        go(page, f"{address}/{view.replace('{job}', job)}", None)
        expect_inert(page)
        assert page.get_by_test_id("stException").count() == 0, view
        assert not away, (view, away)


def test_every_file_of_a_solution_holds_its_canaries_as_text(reader, kept, tmp_path):
    (page, away), (runs, _, address) = reader, kept
    store = runs.open(OWN)
    trace = store.trace(2, 0, 0)
    taken = export.recorded(store, 2, 0, 0, 0.1, 1.0)
    files = {name: format.write(taken) for name, format in export.FORMATS.items()}
    assert json.loads(files["json"])["records"][0]["text"] == list(trace.text)
    assert pq.read_table(io.BytesIO(files["parquet"]))["text"].to_pylist() == list(trace.text)
    rows = list(csv.DictReader(io.StringIO(files["csv"].decode())))
    assert [json.loads(row["text"]) for row in rows] == list(trace.text)
    assert not [cell for row in rows for cell in row.values() if cell.startswith(("=", "@", "+"))]
    film = film_gif([trace, trace.with_(step=3)], "rho", 0.1, 1.0, export.about(taken, is_film=True))
    assert film.startswith(b"GIF89a") and not any(text.encode() in film for text in TEXTS)
    (tmp_path / "solution.html").write_bytes(files["html"])
    page.goto((tmp_path / "solution.html").as_uri())
    page.locator(".token").first.wait_for()
    expect_inert(page)
    for run in (OWN, BROUGHT):
        page.goto(f"{address}/inspect?run={run}&step={2 if run == OWN else 1}")
        settle(page)
        with page.expect_download() as waited:
            page.get_by_role("button", name="SVG", exact=True).first.click()
        waited.value.save_as(tmp_path / "picture.svg")
        drawn = ElementTree.parse(tmp_path / "picture.svg").getroot()
        assert "Zs" in "".join(drawn.itertext()) and not unseen("".join(drawn.itertext()))
        assert not {node.tag.rpartition("}")[2] for node in drawn.iter()} & NEVER_DRAWN
        assert not [value for node in drawn.iter() for value in node.attrib.values() if HOST in value]
    assert not away


def test_what_a_class_types_and_hands_in_is_text_at_its_door_and_on_the_teachers_board(browser, kept, monkeypatch):
    runs, _, _ = kept
    room = Classroom(runs.path)
    key = room.open_up("lantern", 3)
    member = room.member(room.join("lantern", "10.0.0.2"))
    for question in CHAPTERS[0].questions:
        room.hand_in(CHAPTERS[0].key, question.key, ALL[:60], member)
    runs.submit([TrainConfig(steps=1)], name=TEXTS[10])
    runs.pause_queue(True)
    monkeypatch.setenv(ENVIRONMENT, "http://127.0.0.1")
    with serving(runs.path, program="tests.support.patient_app") as server, visiting(browser) as context:
        away, page = watch(context, server.address), context.new_page()
        page.goto(f"{server.address}/runs?{EVERYWHERE}&key={ALL}")
        page.get_by_label("Join code").fill(ALL[:30])
        page.get_by_role("button", name="Come in").click()
        page.get_by_text("not the join code").wait_for()
        expect_inert(page)
        page.goto(f"{server.address}/teach?key={key}")
        page.get_by_text("Nothing is being trained.").or_(page.get_by_role("button", name="Cancel")).first.wait_for()
        settle(page)
        expect_inert(page)
        page.goto(f"{server.address}/runs")
        settle(page)
        expect_inert(page)
        assert not away
