"""The tree lab without a browser: links restore every control and refuse absurd ones, changes go to the address, locks
hold.
"""

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from app.tree import tree_lab, tree_link
from app.tree.tree_link import Lab
from tests.pages.opening import Address, again, one, open_page, payload_with, words
from vimpo_core.tree.tree_lab import TreeSettings

FULL = Lab(
    TreeSettings(
        vocab=4,
        depth=3,
        seed=12,
        share=55,
        beta=0.37,
        rewards=(1, 0, 1, 1) * 16,
        edited=(((), (20, 50, 20, 10)), ((0, 3), (1, 1, 1, 97))),
    ),
    policy="descent",
    values="implied",
    loss="rho",
    path="bad",
    at=17,
)


def link_of(lab):
    return {name: text for name, text in tree_link.write(lab).items() if text is not None}


def sent(at):
    return payload_with(at, "policies")


def remember(at, monkeypatch, asked, **address):
    """What `_change` writes to the address after the browser asked for something."""
    monkeypatch.setattr(st, "session_state", {tree_lab.KEY: {"view": asked}})
    written = Address(address)
    monkeypatch.setattr(st, "query_params", written)
    tree_lab._change(at)
    return written


# --- links -----------------------------------------------------------------------------------------------------------


def test_the_page_opens_on_both_optima_of_the_usual_tree():
    at = open_page("tree")
    payload = sent(at)
    assert payload["state"] == tree_link.plain_parts(Lab()) | {"path": payload["likeliest"]}
    assert payload["frames"] is None and payload["locked"] == []
    assert "Tree lab" in words(at) and not at.info


def test_a_link_restores_every_control():
    payload = sent(open_page("tree", **link_of(FULL)))
    assert payload["state"] == tree_link.plain_parts(FULL) | {"path": "bad"}
    assert payload["rewards"] == list(FULL.settings.rewards)
    assert payload["policies"]["reference"]["probability"][1:5] == [2000, 5000, 2000, 1000]
    assert payload["frames"], "a descent comes with its frames"


def test_every_lab_survives_its_own_link_and_the_usual_one_is_an_empty_link():
    assert tree_link.read(link_of(FULL)) == (FULL, "")
    assert link_of(Lab()) == {}
    for path in ("", "a", "abc"):
        assert tree_link.read(link_of(Lab(path=path)))[0].path == path


@pytest.mark.parametrize(
    "address, said",
    [
        ({"vocab": "4", "depth": "5"}, "has 1,024 leaves, more than the 256 that can be drawn: depth 4 is shown."),
        ({"beta": "1e9"}, "The link asks for beta '1e9', which this tree cannot have"),
        ({"beta": "nan"}, "beta 'nan'"),
        ({"depth": "999999999999"}, "depth '999999999999'"),
        ({"seed": "-1", "share": "400", "at": "61"}, "seed '-1', share '400' and at '61', which"),
        ({"rewards": "ff"}, "rewards 'ff'"),
        ({"rewards": "z" * 7}, "rewards 'zzzzzzz'"),
        ({"ref": ".20-50"}, "ref '.20-50'"),
        ({"ref": "abca.20-50-30"}, "ref 'abca.20-50-30'"),
        ({"ref": "~" * 5000}, "ref '~~~~~~~~~~~~~~~~~~~~…'"),
        ({"path": "abd"}, "path 'abd'"),
        ({"path": "aaaa"}, "path 'aaaa'"),
        ({"policy": "best"}, "policy 'best'"),
        ({"loss": "<b>"}, "loss '<b>'"),
    ],
)
def test_a_link_that_fits_no_tree_gets_one_sentence_and_the_usual(address, said):
    at = open_page("tree", **address)
    assert len(at.info) == 1 and said in words(at)
    payload = sent(at)
    assert len(payload["rewards"]) <= 256
    if "depth" not in address:
        assert payload["state"] == tree_link.plain_parts(Lab()) | {"path": payload["likeliest"]}
    again(at)
    assert not at.info, "what was refused has left the address"


# --- what the browser asks for ---------------------------------------------------------------------------------------


def test_a_change_goes_to_the_address_and_the_usual_leaves_it(monkeypatch):
    none = frozenset()
    assert remember(none, monkeypatch, {"n": 1, "beta": 1.3}) == {"beta": "1.3"}
    assert remember(none, monkeypatch, {"n": 2, "beta": 0.2}, beta="1.3") == {}
    assert remember(none, monkeypatch, {"n": 3, "path": "start"}, run="kept") == {"path": "start", "run": "kept"}
    assert remember(none, monkeypatch, {"n": 4, "rewards": "8000000"}) == {"rewards": "8000000"}


def test_another_tree_forgets_what_belonged_to_the_old_one(monkeypatch):
    none = frozenset()
    old = {"rewards": "8000000", "ref": ".20-50-30", "path": "abc", "beta": "1.0"}
    assert remember(none, monkeypatch, {"n": 1, "seed": 7}, **old) == {"seed": "7", "beta": "1.0"}
    assert "rewards" not in remember(none, monkeypatch, {"n": 2, "share": 60}, **old)
    deep = remember(none, monkeypatch, {"n": 3, "vocab": 4}, depth="5", vocab="2")
    assert deep == {"vocab": "4", "depth": "4"}, "the deepest that can be drawn"


def test_an_edited_edge_is_written_as_percentages_and_a_strange_edit_changes_nothing(monkeypatch):
    none = frozenset()
    edit = {"prefix": "b", "weights": [5000, 3000, 2000], "token": 0, "percent": 80}
    assert remember(none, monkeypatch, {"n": 1, "edit": edit}) == {"ref": "b.80-12-8"}
    both = remember(none, monkeypatch, {"n": 2, "edit": edit}, ref=".20-50-30")
    assert both == {"ref": ".20-50-30~b.80-12-8"}
    for strange in (
        None,
        {},
        edit | {"prefix": "abc"},
        edit | {"prefix": "z"},
        edit | {"token": 3},
        edit | {"weights": [1]},
        edit | {"percent": float("inf")},
    ):
        assert remember(none, monkeypatch, {"n": 3, "edit": strange}) == {}


def test_reset_brings_back_the_usual_but_keeps_what_is_locked(monkeypatch):
    address = {"beta": "1.0", "seed": "7", "policy": "soft"}
    assert remember(frozenset(), monkeypatch, {"n": 1, "reset": True}, **address) == {}
    kept = remember(frozenset({"beta"}), monkeypatch, {"n": 1, "reset": True}, **address)
    assert kept == {"beta": "1.0"}


def test_a_locked_control_cannot_be_changed(monkeypatch):
    locked = frozenset({"beta", "ref", "rewards"})
    edit = {"prefix": "", "weights": [1, 1, 1], "token": 0, "percent": 80}
    asked = {"n": 1, "beta": 1.0, "rewards": "8000000", "edit": edit, "policy": "soft"}
    assert remember(locked, monkeypatch, asked, beta="0.5") == {"beta": "0.5", "policy": "soft"}


def test_frames_are_not_sent_again_to_a_browser_that_has_them():
    at = open_page("tree", policy="descent")
    first = sent(at)
    assert first["frames"]
    at.session_state[tree_lab.KEY] = {"view": {"n": 5, "has": first["version"]}}
    again(at)
    assert sent(at)["frames"] is None and sent(at)["n"] == 5
    at.session_state[tree_lab.KEY] = {"view": {"n": 6, "has": "another"}}
    assert sent(again(at))["frames"] == first["frames"]


def embedded():
    from app.tree import tree_lab

    tree_lab.show(locked=frozenset({"seed", "beta", "reset"}))


def test_a_chapter_embeds_it_with_controls_hidden_and_its_link_still_counts():
    at = AppTest.from_function(embedded)
    at.query_params["beta"] = "0.5"
    again(at)
    assert sent(at)["locked"] == ["beta", "reset", "seed"] and sent(at)["state"]["beta"] == 0.5
    assert one(at.query_params["beta"]) == "0.5"


def test_a_lock_that_does_not_exist_is_an_error_naming_the_others():
    with pytest.raises(ValueError, match=r"locked names \['colour'\], which are no controls. Choose from"):
        tree_lab.show(frozenset({"colour"}))
