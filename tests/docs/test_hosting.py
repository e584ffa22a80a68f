"""What deploy/ says is so: its files exist, its options are Streamlit's, and only the proxy is reachable."""

import re

from streamlit import config

from vimpo_core.paths import ROOT

DEPLOY = ROOT / "deploy"
DOCKERFILE = (DEPLOY / "Dockerfile").read_text("utf-8")
SERVICE = (DEPLOY / "vimpo-lab.service").read_text("utf-8")
NGINX = (DEPLOY / "nginx.conf").read_text("utf-8")


def test_every_file_that_the_image_copies_exists_and_all_that_the_app_reads_is_copied():
    copied = [name for line in re.findall(r"^COPY (.+) \S+$", DOCKERFILE, re.MULTILINE) for name in line.split()]
    assert all((ROOT / name).exists() for name in copied)
    sent = re.findall(r"^!(.+)$", (ROOT / ".dockerignore").read_text("utf-8"), re.MULTILINE)
    assert sorted(sent) == sorted(copied), "what is sent to the engine is what is copied"
    assert {"app", "pages", "vimpo_core", "assets", "docs", "requirements.txt"} <= set(copied)


def test_every_server_option_is_one_that_streamlit_knows():
    known = config.get_config_options()
    for text in (DOCKERFILE, SERVICE):
        options = re.findall(r"--((?:server|browser)\.\w+)", text)
        assert options and set(options) <= set(known)


def test_the_service_listens_on_loopback_and_the_image_is_not_root():
    assert "--server.address=127.0.0.1" in SERVICE and "User=vimpo-lab" in SERVICE
    assert re.search(r"^USER (?!0|root)\d+", DOCKERFILE, re.MULTILINE)
    compose = (DEPLOY / "compose.yaml").read_text("utf-8")
    lab, proxy = compose.split("  proxy:")
    assert "ports:" not in lab and "ports:" in proxy and "read_only: true" in lab


def test_the_proxy_takes_no_more_than_the_app_does_and_passes_on_web_sockets():
    allowed = int(re.search(r"client_max_body_size (\d+)m", NGINX)[1])
    settings = (ROOT / "app" / ".streamlit" / "config.toml").read_text("utf-8")
    assert allowed >= int(re.search(r"maxUploadSize = (\d+)", settings)[1]) and allowed <= 16
    assert "location = /_stcore/stream" in NGINX and "Upgrade $http_upgrade" in NGINX
    for header in ("Strict-Transport-Security", "Content-Security-Policy", "X-Content-Type-Options", "Referrer-Policy"):
        assert f"add_header {header} " in NGINX
