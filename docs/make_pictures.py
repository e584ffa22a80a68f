"""Make the README's pictures again, of the real pages: python docs/make_pictures.py (needs requirements-dev.txt and
chromium).
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.support.browser import browsing, serving, visiting  # noqa: E402  (needs the path)

PICTURES = ROOT / "assets" / "pictures"


def main() -> None:
    PICTURES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as runs, serving(Path(runs)) as server, browsing() as browser:
        for theme in ("light", "dark"):
            with visiting(browser, 1280, 850, theme) as context:
                page = context.new_page()
                page.goto(server.address)
                page.get_by_role("listbox").first.wait_for()
                shoot(page, f"start-{theme}")
                page.get_by_role("link", name="Look closer").click()
                page.set_viewport_size({"width": 1280, "height": 1040})
                page.get_by_text("Alternatives here").wait_for()
                shoot(page, f"inspect-{theme}")
        with visiting(browser, 1280, 900) as context:
            page = context.new_page()
            page.goto(f"{server.address}/?example=real")
            page.get_by_text("by trying").first.wait_for()
            shoot(page, "words-light")
            page.goto(f"{server.address}/tree")
            page.get_by_text("Path", exact=False).first.wait_for()
            shoot(page, "tree-light")
            page.goto(f"{server.address}/learn?chapter=1")
            page.get_by_role("option").nth(5).click()
            page.get_by_role("button", name="Blame #5").click()
            page.get_by_role("listbox", name="The truth, Q").wait_for(timeout=60_000)
            page.set_viewport_size({"width": 1280, "height": 1060})
            shoot(page, "course-light")
            page.set_viewport_size({"width": 1280, "height": 900})
            page.goto(f"{server.address}/inspect?more=rules")
            page.get_by_text("Push on log π", exact=True).first.wait_for()
            page.get_by_text("Push on log π", exact=True).first.scroll_into_view_if_needed()
            page.mouse.move(640, 500)
            page.mouse.wheel(0, 500)
            shoot(page, "rules-light")
        with visiting(browser, 1280, 960) as context:
            page = context.new_page()
            page.goto(f"{server.address}/train")
            page.get_by_role("button", name="Play").click()
            page.get_by_text("step 60/100").wait_for(timeout=180_000)
            shoot(page, "train-light")
            page.get_by_role("button", name="Stop").click()


def shoot(page, name: str) -> None:
    page.wait_for_timeout(800)  # let fonts and fades settle
    page.screenshot(path=PICTURES / f"{name}.png")


if __name__ == "__main__":
    main()
