"""What if? without a browser: what is asked for, drawn, listed and said; nothing is lost when something goes wrong."""

from concurrent.futures import Future

import numpy as np
import pytest

from app.inspector import sections
from tests.pages.opening import StubService, again, one, open_inspect, payload_with, press, widget
from tests.support.fakes import VOCABULARY, make_fake_run
from vimpo_core.measure import branches
from vimpo_core.measure.branches import Branch, Ending, Judged, Tries
from vimpo_core.mistake import Mistake
from vimpo_core.service import scoring as service
from vimpo_core.types import TopK


class FakeService(StubService):
    """Answers at once with believable branches, or with `error`; keeps what it was asked for."""

    def __init__(self, runs):
        self.runs, self.asked, self.scored, self.error, self.is_slow = runs, [], [], None, False

    def score_solution(self, run_dir, step, prompt, solution, ids=None):
        self.scored.append((run_dir.name, step, prompt, solution))
        return self._answer(lambda: [self._trace(run_dir, tuple(solution))])

    def branch_solution(self, run_dir, step, prompt, solution, position, forced, k, seed, parent):
        self.asked.append((step, prompt, solution, position, forced, k, seed, parent))
        return self._answer(lambda: self._branch(run_dir, step, solution, position, forced, k, seed, parent))

    def _branch(self, run_dir, step, solution, position, forced, k, seed, parent):
        if isinstance(forced, str):
            forced = ids_of(forced)
        ids = (*solution[:position], *forced, *solution[position + len(forced) :])
        right = np.arange(k) % 4 > 0
        endings = (Ending(ids, k, Judged(texts_of(ids), 1.0, "correct", "1", None)),)
        before = Tries(solution[: position + 1], ~right, False, endings)
        after = Tries(ids[: position + len(forced)], right, False, endings)
        traces = [self._trace(run_dir, texts_of(row)) for row in (solution, ids)]
        return Branch(parent, step, traces[0], position, forced, texts_of(forced), seed, before, after, traces[1])

    def _trace(self, run_dir, text):
        """A recorded trace with another text, its arrays stretched; first wrong at token 0, in no group."""
        trace = self.runs.open(run_dir.name).trace(10, 0, 0)
        rows = np.resize(np.arange(len(trace.text)), len(text))
        names = ("logprob", "ref_logprob", "kl", "entropy")
        top = trace.topk
        topk = TopK(top.ids[rows], [top.text[r] for r in rows], top.logprob[rows], top.ref_logprob[rows])
        return trace.with_(
            text=text,
            ids=np.array(ids_of(text), dtype=np.int32),
            mask=np.ones(len(text), dtype=bool),
            first_wrong=0,
            topk=topk,
            group_mean_reward=float("nan"),
            **{name: getattr(trace, name)[rows] for name in names},
        )

    def _answer(self, make):
        future = Future()
        if self.error:
            future.set_exception(self.error)
        elif not self.is_slow:
            future.set_result(make())
        return future


def ids_of(text):
    return tuple(VOCABULARY.index(c) for c in text)


def texts_of(ids):
    return tuple(VOCABULARY[i] for i in ids)


@pytest.fixture
def scoring(monkeypatch, runs):
    fake = FakeService(runs)
    monkeypatch.setattr(service, "scoring_service", lambda: fake)
    return fake


def drawn(at):
    return payload_with(at, "counterpart")


def open_branch(**query):
    return open_inspect(**{"more": "branch", "step": 10, "group": 0, "sample": 0, "token": 2, **query})


def chips(at):
    return [b for b in at.button if (b.key or "").startswith("branch.force.")]


def force(at, index=0):
    chips(at)[index].click()
    return again(at)


def said(elements):
    return [e.value.replace("\\", "") for e in elements]


def listed(at):
    return widget(at.radio, "Branches of this solution")


def type_and_force(at, text):
    widget(at.text_input, "Or type what to force").set_value(text)
    return press(at, "Force it")


def test_it_is_offered_below_the_credit_view_and_asks_for_nothing_until_it_is_opened(runs, scoring):
    make_fake_run(runs.path, steps=10)
    open_inspect()
    assert sections.SECTIONS["branch"] == "What if?" and not scoring.asked and not scoring.scored


def test_a_button_forces_an_alternative_of_the_selected_token(runs, scoring):
    run_id = make_fake_run(runs.path, steps=10)
    trace = runs.open(run_id).trace(10, 0, 0)
    at = open_branch()
    assert any(f"#2** `{trace.text[2]}`" in m for m in said(at.markdown))
    other = branches.alternatives(trace, 2)[0]
    assert chips(at)[0].label.startswith(f"`{other.text}`") and drawn(at) is None
    force(at)
    assert scoring.asked == [(10, trace.prompt_text, tuple(trace.ids.tolist()), 2, (other.id,), 32, 0, "")]
    payload = drawn(at)
    assert (payload["fork"], payload["tries"][1]["label"], payload["tries"][1]["successes"]) == (
        2,
        other.text,
        24,
    )
    assert payload["sides"][0]["text"] == list(trace.text) and payload["baseline"] is not None
    assert any("success changes by **+0.50**" in m and "it helps" in m for m in said(at.markdown))


def test_text_tries_and_seed_are_those_of_the_form(runs, scoring):
    make_fake_run(runs.path, steps=10)
    at = open_branch()
    at.button_group(key="branch.k").set_value(128).run()
    at.number_input(key="branch.seed").set_value(7).run()
    type_and_force(at, "42")
    assert scoring.asked[0][4:7] == ("42", 128, 7)
    assert drawn(at)["tries"][1]["n"] == 128


def test_branches_form_a_tree_that_is_listed_named_and_removed(runs, scoring):
    make_fake_run(runs.path, steps=10)
    at = force(open_branch())
    (first,) = listed(at).options
    assert "24 of 32 right" in first
    type_and_force(at, "42")
    assert len(listed(at).options) == 2
    widget(at.text_input, "Name").set_value("my *branch*").run()
    assert any(r"my \*branch\*" in option for option in listed(at).options)
    press(at, "Remove it")
    assert len(listed(at).options) == 1


def test_a_branch_of_a_branch_knows_its_parent(runs, scoring):
    make_fake_run(runs.path, steps=10)
    at = force(open_branch())
    grove = next(iter(at.session_state["branch.groves"].values()))
    parent = grove.tree[0]
    grove.place = (parent.id, 4, 2)  # what a click on token #4 of the branch's strip does
    at.run()
    assert any("#4**" in m and "of the branch" in m for m in said(at.markdown))
    type_and_force(at, "7")
    assert scoring.asked[1][2:4] == (tuple(parent.trace.ids.tolist()), 4) and scoring.asked[1][7] == parent.id
    assert "└" in listed(at).options[1]
    listed(at).set_value(parent.id).run()
    press(at, "Remove it and 1 more")
    assert not at.radio or all(r.label != "Branches of this solution" for r in at.radio)


def test_two_branches_are_compared(runs, scoring):
    make_fake_run(runs.path, steps=10)
    at = type_and_force(force(open_branch()), "42")
    select = widget(at.selectbox, "Compare with")
    assert select.options[0] == "what it grew from" and len(select.options) == 2
    select.select_index(1).run()
    payload = drawn(at)
    assert payload["sides"][1]["name"].endswith("42")
    assert any("success differs by **0.00**" in m for m in said(at.markdown))


def test_a_tree_is_there_again_after_looking_at_another_solution(runs, scoring):
    make_fake_run(runs.path, steps=10)
    at = force(open_branch())
    widget(at.selectbox, "Solution").select_index(1).run()
    assert drawn(at) is None
    widget(at.selectbox, "Solution").select_index(0).run()
    assert len(listed(at).options) == 1 and len(scoring.asked) == 1


def test_the_end_token_offers_nothing_to_force_and_says_why(runs, scoring):
    run_id = make_fake_run(runs.path, steps=10)
    last = len(runs.open(run_id).trace(10, 0, 0).text) - 1
    at = open_branch(token=last)
    assert not chips(at) and any(f"Token #{last} is the end of the solution" in i for i in said(at.info))


def test_a_refusal_is_a_sentence_and_loses_nothing(runs, scoring):
    make_fake_run(runs.path, steps=10)
    at = force(open_branch())
    scoring.error = Mistake(
        "the text to force has '<b>', which is outside the model's vocabulary. Remove or replace it."
    )
    type_and_force(at, "<b>")
    assert said(at.warning) == [
        "The text to force has '<b>', which is outside the model's vocabulary. Remove or replace it."
    ]
    assert len(listed(at).options) == 1 and drawn(at)
    assert widget(at.text_input, "Or type what to force").value == "<b>"


def test_a_damaged_snapshot_is_said_at_once(runs, scoring):
    make_fake_run(runs.path, steps=10)
    scoring.error = Mistake("the adapter of step 10 does not match its checksum. Use another step.")
    at = open_branch()
    assert said(at.warning) == ["The adapter of step 10 does not match its checksum. Use another step."]
    scoring.error = None
    press(at, "Try again")
    assert chips(at) and not at.warning


def test_a_run_without_snapshots_says_so_and_asks_for_nothing(runs, scoring):
    run_id = make_fake_run(runs.path, steps=4)
    with runs.open_writable(run_id) as store:
        store.compact(None, True, keep_snapshot_steps=set())
    at = open_inspect(more="branch")
    assert any("kept no adapter" in i for i in said(at.info)) and not scoring.scored


def test_where_no_adapter_was_kept_the_nearest_earlier_policy_is_asked_and_named(runs, scoring):
    make_fake_run(runs.path, steps=10)
    at = open_branch(step=7)
    assert any("the policy of step 5" in c for c in said(at.caption))
    assert scoring.scored[0][1] == 5
    type_and_force(at, "4")
    assert scoring.asked[0][0] == 5


def test_a_slow_branch_shows_progress_and_can_be_cancelled(runs, scoring):
    make_fake_run(runs.path, steps=10)
    at = force(open_branch())
    scoring.is_slow = True
    type_and_force(at, "42")
    press(at, "Cancel")
    at.run()
    assert any("Cancelled" in i for i in said(at.info)) and len(listed(at).options) == 1


def test_a_full_tree_says_so_and_asks_for_nothing(runs, scoring, monkeypatch):
    make_fake_run(runs.path, steps=10)
    at = force(open_branch())
    monkeypatch.setattr(branches, "MOST_BRANCHES", 1)
    type_and_force(at, "42")
    assert len(scoring.asked) == 1 and any("A tree holds" in w for w in said(at.warning))


# --- editing ---------------------------------------------------------------------------------------------------------


def edit(at, change):
    field = widget(at.text_area, "Edit the solution")
    field.set_value(change(field.value))
    return press(at, "Compare with the original")


def test_an_edit_is_scored_and_compared_with_the_original(runs, scoring):
    run_id = make_fake_run(runs.path, steps=10)
    trace = runs.open(run_id).trace(10, 0, 0)
    at = open_branch(what="edit")
    assert widget(at.text_area, "Edit the solution").value == trace.completion_text and drawn(at) is None
    edit(at, lambda text: text[:3] + "5" + text[3:])
    assert scoring.scored[-1][3] == trace.completion_text[:3] + "5" + trace.completion_text[3:]
    payload = drawn(at)
    assert payload["kind"] == "edit" and payload["tries"] is None
    assert payload["counterpart"].count(-1) == 1
    text = " ".join(said(at.markdown))
    assert "from the end after it, since the edit is 1 token longer" in text and "first wrong token #0" in text


def test_an_unchanged_text_and_a_refused_one_say_so_and_the_text_stays(runs, scoring):
    make_fake_run(runs.path, steps=10)
    at = edit(open_branch(what="edit"), lambda text: text)
    assert any("Nothing is different yet" in i for i in said(at.info))
    scoring.error = Mistake("the solution has 'x', which is outside the model's vocabulary. Remove or replace it.")
    edit(at, lambda text: "x" + text)
    assert any("outside the model's vocabulary" in w for w in said(at.warning))
    assert widget(at.text_area, "Edit the solution").value.startswith("x")


def test_an_edit_is_handed_over_to_typed_mode(runs, scoring):
    run_id = make_fake_run(runs.path, steps=10)
    trace = runs.open(run_id).trace(10, 0, 0)
    at = edit(open_branch(what="edit"), lambda text: text[:-1] + "5.")
    press(at, "Look closer")
    assert one(at.query_params["mode"]) == "typed" and "more" not in at.query_params
    assert one(at.query_params["solution"]) == trace.completion_text[:-1] + "5."
    assert widget(at.text_area, "Solution").value == trace.completion_text[:-1] + "5."
    assert scoring.scored[-1][1:] == (10, trace.prompt_text, trace.completion_text[:-1] + "5.")
