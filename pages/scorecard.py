"""Scorecard: how well each signal finds the first wrong token or the largest true drop, and where implied credit loses,
for a step of a run.
"""

import streamlit as st

from app import routes
from app.components.words_explained import words_explained
from app.scorecard import same, scorecards
from app.scorecard.instructive_list import instructive_list
from app.scorecard.scorecard_figure import scorecard_figure, table
from app.sources import pick_source, pick_step, problem_of, sources
from app.text import as_sentence
from app.words.glossary import TERMS
from vimpo_core.measure.instructive import KINDS
from vimpo_core.service.same_report import SAME

FIGURE_WIDTH, WORDS_WIDTH = 620, 560
"""Pixels; on a narrow window the words go below the figure."""


def main():
    st.markdown("### Scorecard")
    st.markdown(
        "GRPO pushes all tokens of a solution alike, VIMPO at λ 1 each by its own credit and all that follow. Credit δ "
        "is what can be read off the trained policy, whichever rule trained it: does it point at the token that went "
        "wrong, and is the implied value the true one?"
    )
    found = sources()
    if not found:
        nothing_yet()
        return
    notes = []
    asked = choose(found, notes)
    for note in notes:
        st.info(as_sentence(note))
    if asked is None:
        return
    st.caption(scorecards.what_the_set_is(asked.which))
    if asked.which == SAME:
        of_same(asked)
        return
    reports = scorecards.measured(asked)
    if reports is not None:
        show(asked, reports)


def nothing_yet():
    st.info(
        "There is no run to measure yet. Train one, or make the bundled runs with `python -m vimpo_core make-demos`."
    )
    if st.button("Train a run", type="primary"):
        st.switch_page(routes.TRAIN)


def choose(found, notes):
    """The pickers. Returns what to measure, None after a sentence that says why there is nothing."""
    with st.container(horizontal=True, gap="medium", vertical_alignment="bottom"):
        source = pick_source(found, notes)
        if problem := problem_of(source):
            st.warning(as_sentence(problem), icon=":material/error:")
            return None
        snapshots = source.snapshots
        if not snapshots:
            none = "This run kept no adapter, so there is no policy to measure. Choose another run."
            st.info(as_sentence(source.no_policy(none, "to measure")))
            return None
        step = pick_step(
            snapshots, "Adapter of step", f"Steps whose adapter was saved: {TERMS['adapter'].meaning}.", notes
        )
        which = scorecards.pick_set(source, notes)
        solutions = scorecards.pick_size(
            "solutions",
            256,  # 64 are quicker, and may miss the rare complete misses that decide an AUC
            "How many",
            "Wrong solutions to look at, and solutions to compare with Monte Carlo.",
            notes,
        )
        if which == SAME:
            others = same.pick_others(source, found, notes)
            return scorecards.Asked((source, *others), step, which, solutions, 0)
        rollouts = scorecards.pick_size("rollouts", 64, "Tries a prefix", "More tries, narrower Monte Carlo.", notes)
        runs = scorecards.pick_seeds(source, step, notes)
    return scorecards.Asked(runs, step, which, solutions, rollouts)


def of_same(asked):
    source, *others = asked.sources
    if not others:
        st.info("Nothing stands beside this run. Choose another one of the same model and task, or train one.")
        return
    report = same.measured(source, asked.step, others, asked.solutions)
    if report is not None:
        same.show(source, report)


def show(asked, reports):
    said = scorecards.sentences(reports)
    for warning in said.get("warning", ()):
        st.info(warning, icon=":material/info:")
    with st.container(horizontal=True, gap="large"):
        with st.container(width=FIGURE_WIDTH):
            scorecard_figure(reports, key="scorecard")
            st.caption(scorecards.what_was_measured(reports))
            words_explained("adapter", "auc", "nat", "whitened")
        with st.container(width=WORDS_WIDTH):
            for kind in (kind for kind in ("loses", "wins", "spread", "open") if kind in said):
                st.markdown(scorecards.as_markdown(said, kind))
    with st.expander("The same in numbers"):
        st.table(table(reports))
        st.caption(scorecards.CONCENTRATION)
    st.markdown("**Reproduce** these numbers")
    st.code(scorecards.commands(reports, asked), language="bash", wrap_lines=True)
    st.markdown("#### The most instructive solutions")
    if len(reports) > 1:
        st.caption(scorecards.whose(asked.sources[0]))
    instructive(asked, reports[0])


def instructive(asked, report):
    kinds = [kind for kind in KINDS if report["instructive"][kind]]
    if not kinds:
        st.caption("None: there is no wrong solution whose credit could be compared.")
    for kind in kinds:
        instructive_list(
            kind,
            report,
            link=lambda entry: scorecards.look_closer(asked.sources[0], asked.step, entry),
            key=f"instructive.{kind}",
        )


main()
