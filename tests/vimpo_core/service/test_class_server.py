"""Where a class is served, what it refuses to start with, and that one is started with safe settings alone."""

import os
import re
import socket
import sys
from pathlib import Path

import psutil
import pytest
from streamlit import config

from vimpo_core import cli, paths
from vimpo_core.mistake import Mistake
from vimpo_core.runs.locks import exclusive
from vimpo_core.service import class_server
from vimpo_core.service.class_server import LOCK_NAME, Place, find_place, refuse_dangerous
from vimpo_core.service.classroom import ENVIRONMENT, SHORTEST_CODE, Classroom

PLACE = Place("lab.local", "192.168.1.5", 8501)


def test_the_loopback_of_this_computer_can_be_tried_alone():
    place = find_place("127.0.0.1", 0)
    assert (place.name, place.address) == ("127.0.0.1", "127.0.0.1")


@pytest.mark.parametrize(
    ("name", "found", "words"),
    [
        ("*", None, "every address"),
        ("0.0.0.0", None, "every address"),
        ("lab.local", None, "not known as a name"),
        ("lab.local", "127.0.1.1", "other computers cannot reach"),
        ("lab.local", "93.184.215.14", "whole internet"),
        ("lab.local", "192.168.255.254", "no address of this computer"),
    ],
)
def test_an_address_that_is_none_too_wide_or_unreachable_is_refused(name, found, words, monkeypatch):
    def resolve(*_, **__):
        if found is None:
            raise socket.gaierror(-2, "unknown")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (found, 8501))]

    monkeypatch.setattr(class_server.socket, "getaddrinfo", resolve)
    with pytest.raises(Mistake, match=words):
        find_place(name, 8501)


def test_a_port_that_is_taken_is_named_and_what_to_do():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(Mistake, match=f"port {port} of 127.0.0.1 is taken.*--port"):
            find_place("127.0.0.1", port)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("STREAMLIT_SERVER_ENABLE_XSRF_PROTECTION", "false"),
        ("STREAMLIT_SERVER_ENABLE_CORS", "false"),
        ("STREAMLIT_SERVER_ALLOWED_HOSTS", "*"),
        ("STREAMLIT_CLIENT_SHOW_ERROR_DETAILS", "full"),
        ("STREAMLIT_SERVER_MAX_UPLOAD_SIZE", "2000"),
    ],
)
def test_settings_that_are_not_safe_for_a_class_are_refused_wherever_they_stand(variable, value, tmp_path):
    with pytest.raises(Mistake, match=f"{variable} sets .*Remove that line"):
        refuse_dangerous({variable: value}, ())
    name = next(name for name in class_server._DANGEROUS if class_server._variable(name) == variable)
    section, option = name.split(".")
    (tmp_path / ".streamlit").mkdir()
    (tmp_path / ".streamlit" / "config.toml").write_text(f'[{section}]\n{option} = "{value}"\n')
    with pytest.raises(Mistake, match=re.escape(f"config.toml sets {name}")):
        refuse_dangerous({}, (tmp_path,))


def test_every_setting_that_is_looked_for_is_one_of_streamlits_under_the_variable_that_it_reads():
    known = config.get_config_options()
    for name in class_server._DANGEROUS:
        assert class_server._variable(name) == known[name].env_var, name


def test_ordinary_settings_and_the_labs_own_are_no_danger():
    refuse_dangerous({"STREAMLIT_SERVER_PORT": "8600", "PATH": "/bin"}, (Path("nowhere"),))
    refuse_dangerous({}, (Path(__file__).parents[3] / "app",))


def test_the_server_listens_on_the_one_address_and_answers_to_its_name(tmp_path):
    said = class_server.command(PLACE)
    assert "--server.address=192.168.1.5" in said and "--server.enableXsrfProtection=true" in said
    assert [one for one in said if "allowedHosts" in one] == [
        "--server.allowedHosts=lab.local",
        "--server.allowedHosts=192.168.1.5",
    ]
    environment = class_server.environment_of(PLACE, tmp_path)
    assert environment[ENVIRONMENT] == "http://lab.local:8501" and environment["VIMPO_RUNS_DIR"] == str(tmp_path)


def test_serving_tells_code_and_key_and_the_same_command_goes_on_with_the_class(tmp_path, monkeypatch):
    told, started = [], []
    monkeypatch.setattr(class_server, "command", lambda place: started.append(place) or [sys.executable, "-c", ""])

    def serve(code, **more):
        assert class_server.serve(PLACE, tmp_path, code, 3, lambda *said: told.append(said), **more) == 0
        return told[-1]

    room = Classroom(tmp_path)
    code, key = serve(None)
    token = room.join(code, "10.0.0.2")
    assert room.member(room.join_as_teacher(key)).is_teacher
    again, new_key = serve(None)
    assert (again, room.member(token).number) == (code, 1) and new_key != key
    assert serve("lantern")[0] == "lantern" and room.member(token)
    assert serve(None, is_new=True)[0] not in (code, "lantern") and room.member(token) is None
    with exclusive(tmp_path / LOCK_NAME, "taken"), pytest.raises(Mistake, match="another class is being served"):
        serve(None)
    assert len(started) == 4


@pytest.mark.skipif(os.name != "posix", reason="elsewhere a process that is ended is asked nothing")
def test_a_class_that_is_asked_to_end_takes_its_web_server_along(tmp_path, monkeypatch):
    file = tmp_path / "pid"
    script = f"""import os, pathlib, signal
pathlib.Path({str(file)!r}).write_text(str(os.getpid()))
os.kill(os.getppid(), signal.SIGTERM)
while True: signal.pause()"""
    monkeypatch.setattr(class_server, "command", lambda place: [sys.executable, "-c", script])
    with pytest.raises(SystemExit, match="143"):
        class_server.serve(PLACE, tmp_path / "runs", "lantern", 3, lambda *said: None)
    assert not psutil.pid_exists(int(file.read_text()))


def test_a_user_without_a_home_has_no_settings_there_and_the_server_gets_one_that_streamlit_can_look_into(monkeypatch):
    def nowhere():
        raise RuntimeError("Could not determine home directory.")

    assert "HOME" not in paths.home_environment()
    monkeypatch.setattr(Path, "home", nowhere)
    assert class_server._folders_with_settings() == (paths.ROOT,)
    assert class_server.environment_of(PLACE, Path("runs"))["HOME"] == str(paths.default_runs_dir())


def test_the_command_says_a_mistake_in_one_sentence_and_a_new_code_is_long_enough(capsys, tmp_path):
    assert cli.main(["class", "--name", "*", "--runs-dir", str(tmp_path)]) == 2
    assert capsys.readouterr().err.startswith("error: --name must be the name or address")
    assert len(class_server.new_code()) >= 2 * SHORTEST_CODE and class_server.new_code() != class_server.new_code()
