"""What the rules need beside a trace: the run's own critic on any solution, Monte Carlo values of a whole step."""

import numpy as np
import pytest

from tests.support.real import small
from vimpo_core import credit
from vimpo_core.runs import worker
from vimpo_core.runs.folder import RunsDir
from vimpo_core.runs.store import RunStore
from vimpo_core.service import rule_needs, scoring
from vimpo_core.views import rules_view


@pytest.fixture(scope="module")
def ppo_run(tmp_path_factory):
    runs = RunsDir(tmp_path_factory.mktemp("runs"))
    runs.submit([small(algorithm="ppo")])
    worker.main(runs.path)
    return runs.path / "ppo-1"


def test_a_scored_solution_has_the_values_of_the_runs_own_critic(ppo_run):
    (typed,) = scoring.score_solution(ppo_run, 4, "9+2+9-7=", "9+2+9-7;11+9-7,20-7;13.")
    assert typed.critic_values.shape == typed.ids.shape and np.ptp(typed.critic_values) > 0
    assert typed.provenance["critic_values"] == "recomputed"
    untrained = scoring.score_solution(ppo_run, 0, typed.prompt_text, typed.completion_text)[0]
    assert not np.array_equal(untrained.critic_values, typed.critic_values)


def test_a_snapshots_critic_is_the_one_that_judged_its_step(ppo_run):
    with RunStore.open(ppo_run) as store:
        recorded = store.traces(2)[0]
    asked = (recorded.prompt_text, recorded.completion_text)
    (again,) = scoring.score_solution(ppo_run, 2, *asked, ids=tuple(map(int, recorded.ids)))
    # The same networks on another batch shape: float32 rounding.
    np.testing.assert_allclose(again.critic_values, recorded.critic_values, atol=1e-4)
    np.testing.assert_allclose(again.logprob, recorded.logprob, atol=1e-4)


def test_a_run_without_a_critic_has_none(real_run):
    assert scoring.score_solution(real_run, 4, "9+2+9=", "11+9;20.")[0].critic_values is None


def test_a_steps_values_are_those_of_each_solution_and_share_their_rollouts(real_run):
    with RunStore.open(real_run) as store:
        traces = store.traces(2)
    told = []

    class Told:
        def tell(self, done, total):
            told.append((done, total))

    found = rule_needs.step_values(real_run, 2, 16, Told())
    assert [len(values) for values in found] == [len(t.ids) + 1 for t in traces] and told[-1][0] == told[-1][1]
    assert [values[-1] for values in found] == [t.rewards["verifier"] for t in traces]
    one = traces[0]
    alone = scoring.solution_truth(real_run, 2, one.prompt_text, one.completion_text, 16, ids=tuple(map(int, one.ids)))
    np.testing.assert_array_equal(found[0], alone.policy.value)
    told.clear()
    rule_needs.step_values(real_run, 2, 16, Told())
    assert not told, "nothing is tried twice"


def test_the_references_rewards_are_those_of_the_value_curves(real_run):
    traces = RunStore.open(real_run).traces(2)
    found = rule_needs.reference_rewards(real_run, 2, 16)
    for trace, rewards in zip(traces, found, strict=True):
        truth = scoring.solution_truth(
            real_run, 2, trace.prompt_text, trace.completion_text, 16, ids=tuple(map(int, trace.ids))
        )
        np.testing.assert_array_equal(rewards, truth.reference.outcomes[0])
    assert len({rewards.mean() for rewards in found}) > 1  # the prompts differ


def test_v_star_of_a_run_that_did_not_train_on_it_is_what_a_star_po_would_have(real_run):
    store = RunStore.open(real_run)
    traces, config = store.traces(2), store.config().at(2)
    rewards = rule_needs.reference_rewards(real_run, 2, 16)
    batch = rules_view.batch_of(traces, config, 40, reference_rewards=rewards)
    judged = rules_view.judge(batch, ["a_star_po"])["a_star_po"]
    assert not judged.no_push
    v_star = credit.soft_value(np.array([one.mean() for one in rewards]), config.beta)
    rho = np.array([config.beta * (t.logprob - t.ref_logprob).astype(np.float64).sum() for t in traces])
    residual = rho - (np.array([t.reward for t in traces]) - v_star)
    for row in range(len(traces)):
        np.testing.assert_allclose(judged.weights[row, 0], -config.beta * residual[row] / len(traces), rtol=1e-6)


def test_a_step_without_a_snapshot_is_one_sentence(real_run):
    with pytest.raises(ValueError, match="holds no adapter of step 3"):
        rule_needs.step_values(real_run, 3, 16)
