"""What the live curves are sent: which metrics a tile draws, of which runs."""

from app.components import live_curves
from vimpo_core import trainer
from vimpo_core.config import TrainConfig
from vimpo_core.learning import objective


def payload(**columns):
    rows = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    return live_curves.run_payload("r", TrainConfig(), [{"step": i} | row for i, row in enumerate(rows)])


def drawn(title, *runs):
    chart = next(chart for chart in live_curves.CHARTS if chart.title == title)
    return [(m["name"], m["short"], m["open"]) for m in live_curves._chart(chart, runs)["metrics"]]


def test_every_metric_that_is_recorded_twice_stands_beside_its_first():
    beside = {chart.beside: chart.metrics for chart in live_curves.CHARTS if chart.beside}
    twice = [f"{name}_last" for name in trainer.LAST] + [f"{name}_kept" for name in objective.KEPT]
    assert beside == {name: (name.rpartition("_")[0],) for name in twice}


def test_the_last_update_is_drawn_only_where_it_differs_from_the_mean():
    alone = payload(clip_fraction=[0.0, 0.0])
    same = payload(clip_fraction=[0.0, 0.0], clip_fraction_last=[0.0, 0.0])
    differs = payload(clip_fraction=[0.0, 0.02], clip_fraction_last=[0.0, 0.06])
    for run in (alone, same):
        assert "clip_fraction_last" not in run["series"] and "clip_fraction_last" not in run["notes"]
        assert drawn("Clip fraction", run) == [("clip_fraction", "", False)]
    assert differs["series"]["clip_fraction_last"] == {"steps": [0, 1], "values": [0.0, 0.06]}
    assert differs["notes"]["clip_fraction_last"]["value"] == "6 %"
    both = [("clip_fraction", "mean", False), ("clip_fraction_last", "last", True)]
    assert drawn("Clip fraction", differs) == drawn("Clip fraction", alone, differs) == both


def test_a_value_that_is_not_finite_differs_from_one_that_is():
    assert "grad_norm_last" in payload(grad_norm=[0.1], grad_norm_last=[None])["series"]


def test_what_was_kept_stands_beside_what_was_sampled():
    run = payload(reward_mean=[0.8], reward_mean_kept=[0.7], dead_group_share=[0.5], dead_group_share_kept=[0.0])
    assert drawn("Mean reward", run) == [
        ("reward_mean", "sampled", False),
        ("reward_mean_kept", "kept", True),
    ]
    assert [name for name, *_ in drawn("Dead groups", run)] == ["dead_group_share", "dead_group_share_kept"]


def test_the_tile_of_held_out_rewards_is_there_where_one_run_measured_them(monkeypatch):
    sent = []
    monkeypatch.setattr(live_curves, "_mount", lambda key, data, height: sent.append(data))
    whole, parts = payload(sampled_accuracy=[0.5]), payload(sampled_reward=[0.6], greedy_reward=[0.7])
    for runs in ([whole], [whole, parts]):
        live_curves.live_curves(runs, 1, "k")
    ids = [[chart["id"] for chart in data["charts"]] for (data,) in sent]
    assert [*ids[0][:1], "sampled_reward", *ids[0][1:]] == ids[1]
    assert "sampled_reward" not in whole["series"] and "±" in parts["notes"]["greedy_reward"]["remark"]
