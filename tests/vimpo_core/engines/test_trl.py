"""VIMPO on TRL: its loss and gradient are those of `losses`, whatever the micro-batches and ranks; hooks that moved are
named before a run begins."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from trl import GRPOTrainer

from tests.support import trl_runs
from tests.support.ranks import THREE_STEPS, launch
from vimpo_core import credit, losses
from vimpo_core.engines.trl import TraceMixin, hooks
from vimpo_core.formats.incoming.assemble import import_run
from vimpo_core.formats.incoming.recognise import recognise
from vimpo_core.paths import ROOT

pytestmark = pytest.mark.filterwarnings("ignore")  # TRL's and transformers' own, of which there are many

EXACT = {"rtol": 0, "atol": 1e-6}
"""float32 through two other orders of the same sums."""


def records(folder, step=0) -> list[dict]:
    files = sorted((Path(folder) / "traces" / f"step_{step:06d}").glob("rank_*.jsonl"))
    return [json.loads(line) for file in files for line in file.read_text().splitlines()]


def own_loss(trainer, update, at=0, old=None):
    """(loss, gradient by name, scores) of `losses.vimpo_loss` on the same batch and weights, by two plain forwards."""
    model, tokenizer, config = trainer.model, trainer.processing_class, trainer.args
    model.load_state_dict(update.weights[at], strict=False)
    prompts = [trl_runs.PROMPTS[i // 4] for i in range(len(trl_runs.SAID))]
    asked = [tokenizer(p)["input_ids"] for p in prompts]
    said = [tokenizer(s)["input_ids"] for s in trl_runs.SAID]
    width = max(map(len, said))
    ids = torch.tensor([a + s + [0] * (width - len(s)) for a, s in zip(asked, said, strict=True)])
    mask = torch.tensor([[t < len(s) for t in range(width)] for s in said])
    is_judged = torch.tensor([r is not None for r in trl_runs.REWARDS])
    rewards = torch.tensor([r or 0.0 for r in trl_runs.REWARDS])
    group_ids = torch.where(is_judged, torch.arange(len(said)) // 4, -1)

    def logits(network):
        return network(input_ids=ids).logits[:, -width - 1 : -1] / config.temperature

    model.zero_grad()
    with torch.no_grad():
        if trainer.ref_model is None:
            with model.disable_adapter():
                ref_logits = logits(model)
        else:
            ref_logits = logits(trainer.ref_model)
    policy = logits(model)
    taken = ids[:, -width:, None]
    logprobs = policy.log_softmax(-1).gather(-1, taken)[..., 0]
    ref_logprobs = ref_logits.log_softmax(-1).gather(-1, taken)[..., 0]
    kl = credit.exact_kl(policy.detach(), ref_logits)
    tokens, mask = mask.sum(), mask & is_judged[:, None]
    loss, _ = losses.vimpo_loss(
        logprobs,
        logprobs.detach() if old is None else old,
        ref_logprobs,
        kl,
        mask,
        rewards,
        group_ids,
        config.vimpo_beta,
        # A row that nothing judged has no gradient; TRL counts its tokens in the mean all the same.
        config.actor_coef * mask.sum() / tokens,
        config.gae_lambda,
        config.epsilon,
        config.epsilon_high,
        config.delta,
    )
    loss.backward()
    gradient = {n: p.grad.clone() for n, p in model.named_parameters() if p.requires_grad}
    return loss.item(), gradient, logprobs.detach()


@pytest.mark.parametrize(
    ("settings", "adapter"),
    [
        ({}, True),
        ({"per_device_train_batch_size": 2, "gradient_accumulation_steps": 4, "actor_coef": 0.5}, True),
        ({"num_iterations": 2, "max_steps": 2, "temperature": 0.7, "actor_coef": 0.5}, True),
        (
            {"gradient_accumulation_steps": 2, "per_device_train_batch_size": 4, "num_iterations": 2, "max_steps": 2},
            True,
        ),
        ({}, False),
    ],
    ids=["one batch", "micro-batches", "used twice", "micro-batches used twice", "all weights"],
)
def test_loss_and_gradient_are_those_of_losses(tmp_path, settings, adapter):
    trainer, update = trl_runs.make(tmp_path, adapter, **settings)
    trainer.train()
    old, found = None, []
    for at, gradient in enumerate(update.gradients):
        loss, wanted, logprobs = own_loss(trainer, update, at, old)
        old = logprobs if old is None else old
        found.append(loss)
        assert gradient.keys() == wanted.keys()
        for name, value in wanted.items():
            torch.testing.assert_close(gradient[name], value, **EXACT)
    assert trainer.state.log_history[-1]["train_loss"] == pytest.approx(sum(found) / len(found), abs=1e-6)
    assert len(records(tmp_path)) == len(trl_runs.SAID) and max(g.abs().max() for g in gradient.values()) > 1e-3


def test_what_an_environment_said_is_no_token_of_the_policy(tmp_path):
    def with_others_words(prompts, trainer):
        out = trl_runs.given(prompts, trainer)
        return out | {"env_mask": [[i != 1 for i in range(len(ids))] for ids in out["completion_ids"]]}

    trainer, _ = trl_runs.make(tmp_path, rollout=with_others_words)
    trainer.train()
    for row in records(tmp_path):
        assert row["mask"] == [i != 1 for i in range(len(row["ids"]))]
        assert row["kl"][1:2] in ([], [0]) and row["tool_arrays"]["advantages"][1:2] in ([], [0])


def test_plain_grpo_leaves_what_it_knows_and_null_for_the_rest(tmp_path):
    class Traced(TraceMixin, GRPOTrainer):
        pass

    trainer, _ = trl_runs.make(tmp_path, kind=Traced, beta=0.05)
    trainer.train()
    row = records(tmp_path)[1]
    assert row["text"] == ["1", "+", "5", ",", "6", "."] and row["finish_reason"] == "eos" and row["gold"] == "6"
    assert (row["group_id"], row["sample_idx"], row["group_mean_reward"]) == (0, 1, 0.75)
    assert row["kl"] is None and row["provenance"]["kl"] == row["provenance"]["sampler_logprob"] == "missing"
    assert len(row["logprob"]) == len(row["ref_logprob"]) == len(row["entropy"]) == len(row["ids"])
    assert records(tmp_path)[6]["reward"] is None  # nothing judged it
    header = json.loads((tmp_path / "traces" / "header.json").read_text())
    assert header["algorithm"] == "grpo" and header["kl_estimator"] == "k3" and header["ranks"] == 1


def test_rows_that_wait_for_later_updates_are_written_once_and_say_so(tmp_path):
    """One generation feeds two updates, and is used twice over: the second half is seen when the policy has moved."""
    trainer, _ = trl_runs.make(
        tmp_path, per_device_train_batch_size=4, steps_per_generation=2, num_iterations=2, max_steps=4
    )
    trainer.train()
    rows = records(tmp_path)
    assert len(rows) == len(trl_runs.SAID) and not (tmp_path / "traces" / "step_000001").exists()
    assert (
        sorted(row["provenance"]["kl"] for row in rows)
        == ["approximate (policy 1 update later)"] * 4 + ["recorded"] * 4
    )
    assert all(row["provenance"]["logprob"] == "recorded" for row in rows)  # TRL keeps those of before


def test_a_hook_that_moved_is_named_before_a_run_begins(tmp_path, monkeypatch):
    def renamed(self, batch):
        pass

    monkeypatch.setattr(GRPOTrainer, "_compute_loss", renamed)
    with pytest.raises(
        RuntimeError, match=r"TRL moved: GRPOTrainer._compute_loss takes \(self, batch\), not \(self, mo"
    ):
        trl_runs.make(tmp_path)
    monkeypatch.delattr(GRPOTrainer, "_compute_loss")
    with pytest.raises(RuntimeError, match=r"GRPOTrainer._compute_loss is not there any more. Install what it was"):
        trl_runs.make(tmp_path)


def test_a_head_that_is_trained_beside_the_adapter_is_refused(tmp_path):
    with pytest.raises(ValueError, match="the reference needs it as it was"):
        trl_runs.make(tmp_path, lora={"modules_to_save": ["lm_head"], "ensure_weight_tying": True})


def test_another_version_is_refused_in_one_sentence(monkeypatch):
    monkeypatch.setattr(hooks.importlib.metadata, "version", lambda _: "1.17.0")
    with pytest.raises(ImportError, match=r"needs TRL >= 1.16, < 1.17, found 1.17.0."):
        hooks.check_version()


@pytest.mark.slow
def test_two_ranks_give_the_traces_and_the_gradient_of_one_and_the_example_runs_on_both(tmp_path):
    one, update = trl_runs.make(tmp_path / "one")
    one.train()
    launch(
        ROOT / "tests" / "support" / "trl_runs.py",
        *[tmp_path / "two", *THREE_STEPS.split(), "--output_dir", tmp_path / "example"],
        cwd=tmp_path,
    )
    for name, gradient in load_file(tmp_path / "two" / "gradient.safetensors").items():
        torch.testing.assert_close(gradient, update.gradients[0][name], **EXACT)
    for row, wanted in zip(records(tmp_path / "two"), records(tmp_path / "one"), strict=True):
        row, wanted = ({**r, **r["tool_arrays"], "tool_arrays": None, "rank": None} for r in (row, wanted))
        for name in ARRAYS:
            assert row.pop(name) == pytest.approx(wanted.pop(name), abs=1e-6)
        assert row == wanted
    assert [row["rank"] for row in records(tmp_path / "two")] == [0] * 4 + [1] * 4
    for step in range(3):
        rows = records(tmp_path / "example", step)
        assert len(rows) == 16 and {row["step"] for row in rows} == {step}
        assert (tmp_path / "example" / "traces" / f"step_{step:06d}" / "STABLE").exists()
    run = import_run(recognise([(tmp_path / "example", "example")]), tmp_path / "runs" / "example", "")
    config = run.config()
    assert config.algorithm == "vimpo" and (config.group_size, config.learning_rate) == (8, 1e-6)
    assert [len(run.traces(step)) for step in range(3)] == [16] * 3
    for trace, row in zip(run.traces(2), records(tmp_path / "example", 2), strict=True):  # those of rank 1 come last
        assert (trace.group_id, trace.sample_idx, list(trace.text)) == (row["group_id"], row["sample_idx"], row["text"])
        assert trace.kl.tolist() == pytest.approx(row["kl"])


ARRAYS = ("logprob", "ref_logprob", "kl", "entropy", "advantages")
