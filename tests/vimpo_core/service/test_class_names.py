"""What browsers of a class are called: given names differ, and a typed one is nobody else's and harmless."""

import pytest

from tests.support.hostile import TEXTS
from vimpo_core.mistake import Mistake
from vimpo_core.service.class_names import LONGEST_NAME, checked_name, fresh_name, look_of


def test_given_names_are_two_words_that_differ_until_they_run_out_and_then_have_a_number():
    taken = set()
    for _ in range(300):
        name = fresh_name(taken)
        assert len(name) <= LONGEST_NAME and len(name.split()) == 2 and look_of(name) not in taken
        taken.add(look_of(name))

    class AllWords:
        def __contains__(self, look):
            return not look[-1].isdigit() and look[-1] not in "oles"

    assert len(fresh_name(AllWords()).split()) in (2, 3)


@pytest.mark.parametrize(
    "other",
    ["amber-heron", "AMBER  HERON", "Ámber Heron", "Аmbеr Неrоn", "Arnber Her0n", "Amber Heroṇ", "A.m.ber Heron"],
)
def test_names_that_look_alike_are_one(other):
    assert look_of(checked_name(other)) == look_of("Amber Heron")
    assert look_of("Amber Heron") != look_of("Amber Finch")


@pytest.mark.parametrize("typed", ["李小龙", "Zoë", "O'Neil", "Anna-Maria 2", "Дмитрий", "  Ada   L. "])
def test_a_name_of_any_alphabet_is_taken(typed):
    assert checked_name(typed) == " ".join(typed.split())


REFUSED = (
    *("x", "a" * 25, "", "a" * 10_000_000, "<b>hi</b>", "=cmd()", "-x", "a\u202eb", "a\u200bb", "\u3164\u3164"),
    *("z\u0337\u0327\u0322a", "![x](http://a)", "Your teаcher", "Command line", "a\nb|c"),
)


@pytest.mark.parametrize("typed", REFUSED, ids=range(len(REFUSED)))
def test_what_is_no_name_or_could_be_the_teachers_is_refused_in_a_sentence(typed):
    with pytest.raises(Mistake, match=r"^(a name has|a name begins|that name could).*Choose another one$"):
        checked_name(typed)


def test_nothing_hostile_is_a_name():
    for text in TEXTS:
        try:
            name = checked_name(text)
        except Mistake:
            continue
        assert all(c.isalnum() or c in " -'." for c in name)
