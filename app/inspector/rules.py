"""Every rule on the same tokens: aligned strips, a table, where two rules disagree, and their formulas with this
token's numbers.
"""

from __future__ import annotations

import re
from functools import partial

import streamlit as st

from app import state, waiting
from app.components.cards import cards
from app.components.rule_diff import Slot, rule_diff
from app.components.rules_view import LENSES, rules_view
from app.inspector import about, inspection, truth
from app.sources import Source
from app.text import as_code, as_plain
from vimpo_core import rules
from vimpo_core.measure.scorecard import target_of
from vimpo_core.measure.truth import STAGES
from vimpo_core.numbers import real_minus, signed
from vimpo_core.rules import RULES, SLOTS
from vimpo_core.runs import recorded_settings
from vimpo_core.service import rule_needs, scoring
from vimpo_core.solutions.pieces import readable
from vimpo_core.tasks.registry import task_of
from vimpo_core.views import rule_diff as formula_diff
from vimpo_core.views import rules_view as rule_views
from vimpo_core.views.rules_view import Batch, Judgement, RuleRow

KEY = "rules"
LIMIT_SECONDS = 120
TRIES = STAGES[:2]
"""Tries a prefix, or a prompt, that are offered."""
MONTE_CARLO, V_STAR = "mc_values", "reference_rate"
"""What can be measured here, by the array of a trace that it takes the place of."""
_NAMES = {MONTE_CARLO: "Monte Carlo values", V_STAR: "V*"}
_WERE = {MONTE_CARLO: "were", V_STAR: "was"}
_REQUEST = "rules.trying"
_SHOWN = 5
_KEPT_STEPS = 16
_PAPER = re.compile(r"\d{4}\.\d{4,5}")
_SHORT = {
    "recorded": "not recorded",
    "reward": "no reward",
    "critic": "no critic in this run",
    "monte_carlo": "not measured yet",
    "collision": "not recorded",
    "reference": "V* not measured",
    "group": "needs a group",
    "step": "needs a step",
}
_WHOLE = {"solution": "This solution", "group": "Its whole prompt"}
_BETWEEN = {"pair": "the two rules", "all": "all rules"}
_OF_TWO = ("a", "b", "between")
"""What a link says that is about two rules."""


def show(scene: inspection.Scene, beta: float, gae_lambda: float) -> None:
    notes: list[str] = []
    strips = st.container()
    with st.container():
        measured = _measured(scene)
    values, tries = ({what: one[i] for what, one in measured.items()} for i in (0, 1))
    batch, judged = _judged_solutions(scene, beta, gae_lambda, values, tuple(tries.values()))
    token = inspection.selected_token(scene.trace, [])
    with strips:
        _strips(scene, batch, judged, token, notes)
    _table(batch, judged, scene, token)
    st.caption(_what_it_is(scene, batch, judged, any(tries.values())))
    is_asked = any(name in st.query_params for name in _OF_TWO)
    with st.expander("Two rules side by side: their formulas, and where they disagree", expanded=is_asked):
        pair = _two_rules(scene, notes)
        if not scene.is_typed:
            _disagreements(scene, batch, judged, pair, notes)
        _formulas(scene, batch, judged, pair, token)
    for note in notes:
        st.info(note)


# --- judging ---------------------------------------------------------------------------------------------------------


def _judged_solutions(scene, beta, gae_lambda, values, tries) -> tuple[Batch, dict[str, Judgement]]:
    if scene.is_typed:
        return _judge(scene.source.run.config, scene.traces, scene.step, beta, gae_lambda, values, is_typed=True)
    alone = values[MONTE_CARLO] is not None and any(one is None for one in values[MONTE_CARLO])
    key = (*_key(scene, "judged"), scene.index if alone else None)
    return _judged_step(key, beta, gae_lambda, tries, scene, values)


@st.cache_resource(max_entries=_KEPT_STEPS, show_spinner=False)
def _judged_step(
    key: tuple, beta: float, gae_lambda: float, tries: tuple[int, ...], _scene: inspection.Scene, _values
) -> tuple[Batch, dict[str, Judgement]]:
    """A step by every rule, once for all browsers; `tries` tells what was measured apart."""
    return _judge(_scene.source.run.config, _scene.traces, _scene.step, beta, gae_lambda, _values)


def _judge(config, traces, step, beta, gae_lambda, values, is_typed=False) -> tuple[Batch, dict[str, Judgement]]:
    read = rule_views.settings_at(config, step, beta, gae_lambda)
    budget = task_of(config).max_new_tokens
    batch = rule_views.batch_of(traces, read, budget, is_typed, values[MONTE_CARLO], values[V_STAR])
    return batch, rule_views.judge(batch)


# --- what is measured on demand ---------------------------------------------------------------------------------------


def _key(scene: inspection.Scene, what: str) -> tuple:
    typed = (scene.trace.prompt_text, scene.trace.completion_text) if scene.is_typed else ()
    return (*scene.source.origin, scene.step, what, *typed)


def _measured(scene: inspection.Scene) -> dict[str, tuple[list | None, int]]:
    """MONTE_CARLO and V_STAR -> what was found for each solution and by how many tries; None where the run's own are to
    be read, or none were measured. Draws the way to them."""
    # V* compares a solution's whole log-ratio with others' in its step, so a typed one has no use for it.
    wanted = (MONTE_CARLO,) if scene.is_typed else (MONTE_CARLO, V_STAR)
    found = dict.fromkeys((MONTE_CARLO, V_STAR), (None, 0))
    is_waiting = [_take(scene, what) for what in wanted]
    for what in wanted:
        if all(getattr(trace, what) is not None for trace in scene.traces):
            st.caption(_recorded(scene, what))
            continue
        found[what] = _found(scene, what)
        by_trying = _by_is_it_right(scene) if what == MONTE_CARLO and found[what][0] is None else (None, 0)
        if not any(is_waiting):
            _offer(scene, what, max(found[what][1], by_trying[1] if scene.is_typed else 0))
        if by_trying[1]:
            found[what] = by_trying
    return found


def _by_is_it_right(scene: inspection.Scene) -> tuple[list | None, int]:
    """As `_found`: of the solution looked at alone, where *Is it right?* has tried every prefix of it."""
    values, tries = truth.measured(scene)
    if values is None:
        return None, 0
    if not scene.is_typed:
        st.caption(f"Of this solution alone Is it right? has found Monte Carlo values, by {tries} tries.")
    return [values if i == scene.index else None for i in range(len(scene.traces))], tries


def _recorded(scene: inspection.Scene, what: str) -> str:
    config = scene.source.run.config
    if what == V_STAR:
        return (
            f"V* is from the success rates that the run recorded: {config.reference_rollouts} solutions of the "
            "reference to every prompt, judged by the trainer's own grader."
        )
    return f"Monte Carlo values are those that the run recorded: {config.vine_rollouts} tries from every prefix."


def _take(scene: inspection.Scene, what: str) -> bool:
    """Take what is done; True while it is still being measured, with progress and Cancel on the page."""
    asked = waiting.pending(_REQUEST)
    if asked is None or asked.key[:-1] != _key(scene, what):
        return False
    waiting.answer(asked)
    if waiting.is_underway(asked):
        return True
    waiting.forget(_REQUEST)
    return False


def _found(scene: inspection.Scene, what: str) -> tuple[list | None, int]:
    """What was found for each solution, by anybody's most tries, and how many those are; None and 0 before."""
    for tries in reversed(TRIES):
        if (found := waiting.kept(_question(scene, what, tries))) is not None:
            return [found.policy.value] if scene.is_typed else found, tries
    return None, 0


def _offer(scene: inspection.Scene, what: str, done: int) -> None:
    snapshots = scene.source.snapshots
    solutions = "this solution" if scene.is_typed else f"each of the {len(scene.traces)} solutions of this step"
    if scene.step not in snapshots:
        kept = ", ".join(map(str, snapshots)) or "none"
        if scene.source.tool:
            st.caption(f"For {_NAMES[what]} the run's own adapters are needed, which a brought run does not hold.")
            return
        who, needs = ("Monte Carlo credit", "the policy") if what == MONTE_CARLO else ("V*", "the model as it was then")
        st.caption(f"{who} needs {needs}, but no adapter of step {scene.step} was kept (kept: {kept}).")
        return
    doing, found = (
        (
            f"The policy of step {scene.step} finishes every prefix of {solutions}",
            f"tries from every prefix of {solutions}",
        )
        if what == MONTE_CARLO
        else ("The reference answers every prompt of this step", "solutions of the reference to every prompt")
    )
    coming = next((tries for tries in TRIES if tries > done), None)
    with st.container(horizontal=True, vertical_alignment="center"):
        if coming is not None:
            st.button(
                f"Refine {_NAMES[what]} to {coming} tries" if done else f"Measure {_NAMES[what]}",
                help=f"{doing} {coming} times: a few seconds.",
                icon=":material/casino:",
                on_click=waiting.send,
                args=(_question(scene, what, coming),),
            )
        if done:
            st.caption(f"{as_plain(_NAMES[what])}: {done} {found}, by the verifier's own verdicts.")


def _question(scene: inspection.Scene, what: str, tries: int) -> waiting.Question:
    ask, run_dir, trace = scoring.scoring_service().ask, scene.source.run_dir, scene.trace
    if scene.is_typed:
        asked, ids = (scene.step, trace.prompt_text, trace.completion_text, tries), tuple(trace.ids.tolist())
        ask = partial(ask, scoring.solution_truth, run_dir, *asked, ids=ids)
    else:
        measure = rule_needs.step_values if what == MONTE_CARLO else rule_needs.reference_rewards
        ask = partial(ask, measure, run_dir, scene.step, tries)
    doing = "Finishing every prefix" if what == MONTE_CARLO else "The reference answers every prompt"
    return waiting.Question(
        _REQUEST,
        (*_key(scene, what), tries),
        ask,
        f"{doing} {tries} times",
        scene.source.seconds(LIMIT_SECONDS),
        cancelled=f"Cancelled: {_NAMES[what]} {_WERE[what]} not measured.",
        again="",
        tells_progress=not scene.is_typed,
    )


# --- strips ----------------------------------------------------------------------------------------------------------


def _strips(scene, batch, judged, token, notes) -> None:
    group_rule = None
    if not scene.is_typed:
        with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
            look = {"label_visibility": "collapsed", "width": "content"}
            whole = state.pick("Show", "whole", _WHOLE, "solution", notes, **look)
            if whole == "group":
                group_rule = state.chosen("rule", list(RULES), _own_rule(scene), notes)
                st.selectbox(
                    "Rule for the whole prompt",
                    list(RULES),
                    format_func=lambda key: RULES[key].name,
                    width=260,
                    **state.bound("rule", group_rule),
                )
    rules_view(
        rule_views.rules_payload(batch, judged, scene.index, group_rule),
        key=KEY,
        token=token,
        about=about.of_solution(scene, batch.config.beta, batch.config.gae_lambda),
        lens=state.chosen("reading", [lens["key"] for lens in LENSES], _default_lens(), notes),
        on_change=_remember,
    )
    st.markdown(_honest_note(scene, judged))


def _default_lens() -> str:
    """A typed solution has no push: what a rule pushes is scaled over the solutions of a step."""
    return "credit" if st.query_params.get("mode") == "typed" else "push"


def _remember() -> None:
    """Write to the address what was chosen in the browser."""
    chosen = st.session_state[KEY].get("view") or {}
    token, lens, sample = (chosen.get(name) for name in ("token", "lens", "sample"))
    if isinstance(token, int):
        state.put(token=token)
    if lens in [one["key"] for one in LENSES]:
        state.put(reading=None if lens == _default_lens() else lens)
    if isinstance(sample, int):
        state.put(sample=sample)


def _honest_note(scene, judged) -> str:
    said = (
        "**VIMPO's value loss alone pushes every token of a solution alike**: its row is flat under “Push on log π”, "
        "like GRPO's. Its token credit δ is real all the same, but only read off the policy, under “Credit in reward "
        "units”; it becomes a push through the actor branch, weighted by c\\_A."
    )
    silent = [as_plain(RULES[key].name) for key, one in judged.items() if one.push is not None and one.rms == 0]
    if silent:
        said += f" Pushing no token of this step: {', '.join(silent)}, because every group agrees."
    return said


def _own_rule(scene: inspection.Scene) -> str:
    return scene.source.run.algorithm if scene.source.run.algorithm in RULES else "vimpo"


def _of_settings(source: Source) -> str:
    if source.tool:
        return "Settings that were not recorded are this lab's defaults."
    return "Settings that this run did not use are read as its configuration has them."


def _what_it_is(scene, batch, judged, is_measured: bool) -> str:
    parts = [
        "Push is minus the gradient of the rule's loss in this token's log-probability, at the policy that sampled it "
        "(PPO's ratio is 1, nothing is clipped), over the rule's root mean square on all tokens of the step. "
        + _of_settings(scene.source)
    ]
    if (beta := batch.config.beta) != (own := scene.source.run.config.at(scene.step).beta):
        is_known = recorded_settings.is_known(scene.source.run.imported, scene.source.run.config, "beta")
        the_run = f"had {own:g} at this step" if is_known else "does not say which it had"
        parts.append(f"Read at beta {beta:g}; the run {the_run}.")
    if scene.source.run.config.reward_noise and is_measured:
        parts.append(
            "Rewards are as the trainer saw them, flips included; Monte Carlo values and V* that were measured here "
            "are without flips."
        )
    if partly := [RULES[key].name for key, one in judged.items() if one.push is not None and not one.pushed.all()]:
        parts.append(
            f"Scaled over those of the {len(scene.traces)} solutions of this step that have what the rule reads, and "
            f"so not quite on one scale with the others: {as_plain(', '.join(partly))}."
        )
    return " ".join(parts)


# --- the table -------------------------------------------------------------------------------------------------------


def _table(batch: Batch, judged, scene, token: int) -> None:
    has_wrong = target_of(scene.trace) is not None
    found = "First wrong token" if scene.trace.first_wrong is not None else "Largest true drop"
    heads = ["Rule", f"Credit on #{token}", f"Push on #{token}"]
    heads += [f"{found} ranks", "Lowest credit is on it"] if has_wrong else []
    heads += ["How it differs", "Paper"]
    count = len(scene.trace.text)
    rows = []
    for row in rule_views.rule_rows(batch, judged, scene.index, token):
        rule = RULES[row.key]
        cells = [f"**{as_plain(rule.name)}**", _credit(row), _push(row)]
        cells += list(_rank(row, count)) if has_wrong else []
        rows.append([*cells, as_plain(rule.differs), _paper(rule.paper)])
    with st.expander("What each rule credits, and how it differs"):
        cards("rules", heads, rows)


def _credit(row: RuleRow) -> str:
    if row.credit is None:
        return f":gray[{_SHORT[row.no_credit]}]"
    value, decimals = row.credit
    return signed(value / 10**decimals, decimals)


def _push(row: RuleRow) -> str:
    return f":gray[{_SHORT[row.no_push]}]" if row.push is None else signed(row.push)


def _rank(row: RuleRow, count: int) -> tuple[str, str]:
    """Rank of the token to be found by credit, 1 is most blamed, and whether it is the lowest alone."""
    if row.rank is None:
        return "", ""
    if row.tied == count:
        return "all alike", "no, all alike"
    if row.tied > 1:
        return f"{row.rank} to {row.rank + row.tied - 1} of {count}, tied", "tied" if row.rank == 1 else "no"
    return f"{row.rank} of {count}", "**yes**" if row.rank == 1 else "no"


def _paper(paper: str) -> str:
    return f"[{paper}](https://arxiv.org/abs/{paper})" if _PAPER.fullmatch(paper) else as_plain(paper)


# --- two rules -------------------------------------------------------------------------------------------------------


def _two_rules(scene: inspection.Scene, notes: list[str]) -> tuple[str, str]:
    own = _own_rule(scene)
    chosen = []
    with st.container(horizontal=True, gap="medium"):
        for name, label, default in (
            ("a", "First rule", own),
            ("b", "Second rule", "vimpo" if own == "grpo" else "grpo"),
        ):
            key = state.chosen(name, list(RULES), default, notes)
            st.selectbox(label, list(RULES), format_func=lambda k: RULES[k].name, width=260, **state.bound(name, key))
            chosen.append(key)
    return chosen[0], chosen[1]


def _disagreements(scene, batch, judged, pair, notes) -> None:
    left, right = st.columns(2, gap="large")
    with left:
        st.markdown("**Where do they disagree most in this solution?**")
        look = {"label_visibility": "collapsed", "width": "content"}
        between = state.pick("Between", "between", _BETWEEN, "pair", notes, **look)
        _disputed_tokens(scene, batch, judged, pair if between == "pair" else tuple(RULES))
    with right:
        names = " and ".join(RULES[key].name for key in pair)
        st.markdown(f"**Where do {as_plain(names)} disagree most in this step?**")
        _disputed_solutions(scene, judged, pair)


def _disputed_tokens(scene, batch, judged, keys) -> None:
    found = rule_views.disputed_tokens(batch, judged, scene.index, keys)
    if not found or not found[0].spread:
        st.caption(_nothing_to_compare(judged, keys) or "They push every token of it alike.")
        return
    st.caption("Spread of the relative push, in root mean squares of each rule.")
    for one in found[:_SHOWN]:
        low, high = (judged[key].push[scene.index, one.token] for key in (one.lowest, one.highest))
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            st.button(
                f"#{one.token}",
                key=f"rules.token.{one.token}",
                on_click=state.put,
                kwargs={"token": one.token},
            )
            st.markdown(
                f"{as_code(scene.trace.text[one.token])} **{one.spread:.2f}**: "
                f"{as_plain(RULES[one.lowest].name)} {signed(low)}, {as_plain(RULES[one.highest].name)} {signed(high)}"
                f"{_whether_to_be_found(scene.trace, one.token)}"
            )


def _whether_to_be_found(trace, token: int) -> str:
    if token != target_of(trace):
        return ""
    return ", the first wrong token" if trace.first_wrong is not None else ", the largest true drop"


def _disputed_solutions(scene, judged, pair) -> None:
    found, left_out = rule_views.disputed_solutions(judged, *pair)
    if not found:
        st.caption(_nothing_to_compare(judged, pair) or "One of the two pushes no token of this step.")
        return
    skipped = f"; {left_out} left out, where one of the two pushes no token" if left_out else ""
    st.caption(f"1 − cosine of the two pushes: 0 the same direction, 1 unrelated, 2 opposite{skipped}.")
    for one in found[:_SHOWN]:
        trace = scene.traces[one.index]
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            st.button(
                "Open",
                key=f"rules.open.{one.index}",
                on_click=_open,
                args=(trace,),
                disabled=one.index == scene.index,
            )
            here = ", shown above" if one.index == scene.index else ""
            st.markdown(
                f"**{one.distance:.2f}**  {as_code(trace.prompt_text + readable(trace.text))}  "
                f"solution {trace.sample_idx + 1}, {inspection.reward_text(trace)}{here}"
            )


def _nothing_to_compare(judged, keys) -> str:
    missing = [key for key in keys if judged[key].push is None]
    return " ".join(f"{as_plain(RULES[key].name)}: {rule_views.WHY_NOT[judged[key].no_push]}" for key in missing[:2])


def _open(trace) -> None:
    state.put(group=trace.group_id, sample=trace.sample_idx, token=None)


def _formulas(scene, batch, judged, pair, token: int) -> None:
    st.markdown(f"**Their formulas, with the numbers of token #{token}** {as_code(scene.trace.text[token])}")
    for column, key in zip(st.columns(2, gap="large"), pair, strict=True):
        with column:
            st.latex(RULES[key].latex)
    worked = [formula_diff.working(batch, judged, key, scene.index, token) for key in pair]
    differs = formula_diff.differing(*pair)
    slots = [
        Slot(
            title,
            [rules.terms_of(RULES[key], batch.config)[slot] for key in pair],
            [_lines(one, slot) for one in worked],
            differs[slot],
        )
        for slot, title in SLOTS.items()
    ]
    slots.append(Slot("Gradient weight on this token", ("", ""), [_lines(one, "weight") for one in worked], None))
    rule_diff(slots, tuple(RULES[key].name for key in pair), tuple(one.why_not for one in worked), key="rules.diff")
    weights = [
        f"{as_plain(RULES[key].name)} {real_minus(f'{one.weight:+.6e}')}"
        for key, one in zip(pair, worked, strict=True)
        if one.weight is not None
    ]
    unrounded = f" Unrounded weights: {'; '.join(weights)}." if weights else ""
    st.caption(
        f"≠ marks what differs. Each line is worked out from the digits that stand in it; log-probabilities have "
        f"three decimals.{unrounded}"
    )


def _lines(worked: formula_diff.Working, slot: str) -> list[tuple[str, str, str, str]]:
    return [line[1:] for line in worked.lines if line.slot == slot]
