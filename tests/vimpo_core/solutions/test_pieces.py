"""Characters that are cut into byte tokens are read as what they are, and two ways to cut one text are told apart."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support import words
from vimpo_core.solutions import pieces
from vimpo_core.solutions.visible_text import visible_lines
from vimpo_core.views.credit_view import inspector_payload

SMILE = "\U0001f642"


def as_bytes(text):
    return [f"<0x{byte:02X}>" for byte in text.encode()]


def test_the_tokens_of_a_character_are_one_unit_and_a_space_may_stand_before_it():
    texts = ["a", *as_bytes(SMILE), "<0x20><0xE2>", "<0x82>", "<0xAC>", "b"]
    assert pieces.units(texts) == [(1, 5, SMILE), (5, 8, " \u20ac")]
    assert pieces.readable(texts) == f"a{SMILE} \u20acb"


def test_bytes_that_are_no_characters_stay_as_they_are_shown():
    cut_off = ["a", *as_bytes(SMILE)[:3]]
    assert pieces.units(cut_off) == [] and pieces.readable(cut_off) == "".join(cut_off)
    assert pieces.units(["<0xC3>", *as_bytes("\u00e9")]) == [(1, 3, "\u00e9")]
    assert pieces.units(["<0xFF>", "<0x41"]) == []


@given(st.text(max_size=40))
def test_a_text_is_read_as_it_was_however_it_was_cut(text):
    shown = [piece for character in text for piece in ([character] if character.isascii() else as_bytes_of(character))]
    assert pieces.readable(shown) == text
    counts = pieces.character_counts(shown)
    assert len(counts) == len(shown) and sum(counts) == len(text)


def as_bytes_of(character):
    try:
        return as_bytes(character)
    except UnicodeEncodeError:  # half a surrogate pair is no character, and never cut
        return [character]


def test_a_character_counts_where_it_begins():
    assert pieces.character_counts(["ab", *as_bytes(SMILE), "c", "<0xF0>", "<0x9F>", "d"]) == [
        2,
        1,
        0,
        0,
        0,
        1,
        1,
        0,
        1,
    ]


@pytest.mark.parametrize(
    ("one", "other", "found"),
    [
        (("a", "b"), ("a", "b"), None),
        (("4", " ap", "ples", "."), ("4", " apples", "."), (1, (" ap", "ples"), (" apples",))),
        (("ab", "cd"), ("a", "bc", "d"), (0, ("ab", "cd"), ("a", "bc", "d"))),
        (("x", *as_bytes("\u00e9")), ("x", "\u00e9"), (1, tuple(as_bytes("\u00e9")), ("\u00e9",))),
    ],
)
def test_two_ways_to_cut_one_text_part_and_meet_again(one, other, found):
    assert pieces.first_difference(one, other) == found


def test_different_texts_are_not_compared():
    with pytest.raises(ValueError, match="different texts"):
        pieces.first_difference(("a",), ("b",))


def test_a_prompt_keeps_its_lines_and_hides_nothing():
    assert visible_lines("one\r\ntwo\tthree\u202e", 80) == "one\ntwo⇥three⟨RLO⟩"
    assert visible_lines("abc", 2) == "ab…"


def test_the_payload_names_cut_characters_and_the_prompt_as_the_model_saw_it():
    trace = words.word_trace(words.pieces(words.CHARACTERS))
    other = trace.with_(sample_idx=1, prompt_pieces=())
    for index in (0, 1):
        payload = inspector_payload([trace, other], index, 0.1, 1.0)
        assert [3, 7, f" {SMILE}"] in payload["units"]
        assert any(unit[2] == " ⟨RLO⟩" for unit in payload["units"]), "what reorders its neighbours is a mark here too"
        assert payload["prompt"]["text"] == words.QUESTION
        assert payload["prompt"]["pieces"][:3] == ["<", "|", "im"]
        assert json.loads(json.dumps(payload)) == payload


def test_a_short_prompt_of_characters_is_not_told_again():
    trace = words.word_trace(["4"], prompt_text="2+2=", prompt_pieces=())
    assert inspector_payload([trace], 0, 0.1, 1.0)["prompt"] is None
    long = trace.with_(prompt_text="Count.\nThen answer.")
    assert inspector_payload([long], 0, 0.1, 1.0)["prompt"]["text"] == "Count.\nThen answer."


def test_of_prompts_that_begin_alike_what_differs_stands_first_and_the_whole_comes_along():
    solved = "Backwards: milk, plum\nplum, milk\n" * 4
    traces = [
        words.word_trace(["4"], prompt_text=f"{solved}{asked}", group_id=group, prompt_pieces=())
        for group, asked in enumerate(("Backwards: cherry, bread", "Backwards: pear, egg"))
    ]
    prompt = inspector_payload(traces, 1, 0.1, 1.0)["prompt"]
    assert (prompt["short"], prompt["text"]) == ("…Backwards: pear, egg", f"{solved}Backwards: pear, egg")
    assert inspector_payload(traces[:1], 0, 0.1, 1.0)["prompt"]["short"] is None
