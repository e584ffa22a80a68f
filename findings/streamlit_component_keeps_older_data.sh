#!/usr/bin/env bash
# streamlit 1.67.0 with Chromium: a component made with st.components.v2.component may keep the data of an older run of the script and
# never show the newest. Streamlit calls import() on the same blob address whenever the data change; Chromium answers imports that wait
# for one script in no fixed order; and the component's function is called as they are answered, also for data that were overtaken. It
# happens where data change while the script is still being loaded: on a slow machine, or, as here, where it imports from a server that
# takes two seconds. Expected: the last call is for the newest data. What helps: what the function returned is run at once for a call that
# was overtaken, so a script can tell that it was taken back, and draw again what still stands.
#
# Seen with Chromium 156: of ten pages whose data went from 0 to 5 meanwhile, nine stood at an older number for good. Needs `chromium`.
set -euo pipefail
folder=$(mktemp -d); servers=()
trap '[ ${#servers[@]} = 0 ] || kill "${servers[@]}"; rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"; . "$folder/venv/bin/activate"
pip install --quiet --disable-pip-version-check streamlit==1.67.0 playwright==1.65.2
cd "$folder"
cat > slow.py <<'PY'
import http.server, sys, time

class Slow(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        time.sleep(2)
        self.send_response(200)
        self.send_header("Content-Type", "text/javascript")
        self.send_header("Access-Control-Allow-Origin", "*")
        self.end_headers()
        self.wfile.write(b"export const word = 'shows';")

    def log_message(self, *given):
        pass

http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Slow).serve_forever()
PY
cat > page.py <<'PY'
import os, time
import streamlit as st

SCRIPT = """
import { word } from "http://127.0.0.1:SLOW/word.js";
export default function ({ data, parentElement }) {
  parentElement.querySelector("p").textContent = `${word} ${data[0]}`;
}
"""
counted = st.components.v2.component("counted", html="<p></p>", js=SCRIPT.replace("SLOW", os.environ["SLOW"]))
n = st.session_state.setdefault("n", 0)
counted(data=[n], key="counted")
st.text(f"newest {n}")
if n < 5:
    time.sleep(0.15)
    st.session_state["n"] = n + 1
    st.rerun()
PY
free() { python -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
export SLOW; SLOW=$(free); port=$(free)
python slow.py "$SLOW" & servers+=($!)
streamlit run page.py --server.port "$port" --server.address 127.0.0.1 --server.headless true --browser.gatherUsageStats false \
  --server.fileWatcherType none > log 2>&1 & servers+=($!)
python - "$port" <<'PY'
import shutil, sys, time, urllib.request
from playwright.sync_api import sync_playwright

address = f"http://127.0.0.1:{sys.argv[1]}"
for _ in range(600):
    try:
        urllib.request.urlopen(address + "/_stcore/health")
        break
    except OSError:
        time.sleep(0.1)
with sync_playwright() as playwright:
    browser = playwright.chromium.launch(executable_path=shutil.which("chromium"))
    shown = []
    for _ in range(10):
        page = browser.new_page()
        page.goto(address)
        page.get_by_text("newest 5").wait_for()
        page.locator("p", has_text="shows").wait_for()
        page.wait_for_timeout(3000)
        shown.append(page.locator("p", has_text="shows").inner_text())
        page.close()
    print(f"streamlit 1.67.0, Chromium {browser.version}: newest 5; 3 s after the first drawing {shown}")
assert any(text != "shows 5" for text in shown), "no longer so"
PY
