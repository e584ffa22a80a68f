"""CPU seconds and peak memory of one step on a model of your own: ours against plain peft and against TRL.

    python -m vimpo_core bench real_model SOURCE --json        (TRL, if wanted: pip install -r requirements-bench.txt)

SOURCE is a local folder in transformers format. Every contestant runs in a process of its own on one thread, one after
the other, with the same prompts, group size, tokens a solution (none ends early), LoRA rank, Adam and rewards:

    ours      a VIMPO step of the trainer, adapter on the top --layers layers (0: all); and the step of short answers
    plain     the same step in a page of peft and transformers: generate, two whole forwards, exact KL, our loss
    trl       GRPOTrainer without a reference (beta 0), so it does less than a VIMPO step
    head      log pi and exact KL of 512 tokens over the model's vocabulary: memory beside weights and hidden states
    held_out  32 held-out problems, sampled and greedy, 64 tokens each
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import resource
import statistics
import subprocess
import sys
import threading
import time
import warnings
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch

from benchmarks import _trl
from vimpo_core import credit, losses
from vimpo_core.config import TrainConfig
from vimpo_core.lm import head, loading, models
from vimpo_core.lm.prompts import prompt_ids_of
from vimpo_core.measure.evaluate import outcomes
from vimpo_core.tasks.chain import ChainTask
from vimpo_core.trainer import Trainer
from vimpo_core.types import Verdict, VerdictStatus

STEP, SHORT = (1, 8, 64), (16, 8, 6)
"""Prompts, solutions to each, tokens of each: of the step that is compared, and of one with short answers."""
RANK = 8
EXAMPLES = """Work out the value, one operation at a time.

2+3*4=2+12;14.
9-2*3+1=9-6+1;3+1;4.
7*2-5=14-5;9.
8+1*6=8+6;14.
"""


class Asked(ChainTask):
    """The chain's problems behind a few worked ones; a solution earns 1 by a draw of its own text, so that groups are
    never dead."""

    prompt_style = "few-shot"

    def render(self, problem, chat):
        return EXAMPLES + problem.prompt

    def verify(self, problem, completion, finish_reason):
        return Verdict(VerdictStatus.CORRECT if len(completion) % 2 else VerdictStatus.INCORRECT)

    def first_wrong(self, problem, completion):
        return None

    def verify_all(self, answers):
        return [self.verify(*answer) for answer in answers]


class Endless(models.LanguageModel):
    """A model whose solutions go on to the limit of tokens."""

    end_ids = ()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("source", help="Local folder in transformers format.")
    parser.add_argument("--repeats", type=int, default=3, help="Measured steps of each (default: 3).")
    parser.add_argument("--layers", type=int, default=8, help="Top layers that our adapter sits on (default: 8).")
    parser.add_argument("--json", action="store_true", help="End stdout with one JSON object.")
    parser.add_argument("--only", choices=CONTESTANTS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.only:
        print(json.dumps(measured(arguments)))
        return
    found = {name: _in_a_process(name, arguments) for name in CONTESTANTS}
    report = {f"{name}_{what}": value for name, one in found.items() for what, value in one.items()}
    for peer in ("plain", "trl"):
        if found[peer]:
            report[f"ratio_to_{peer}"] = found["ours"]["cpu_s"] / found[peer]["cpu_s"]
    report |= {"layers": arguments.layers, "threads": 1, "repeats": arguments.repeats}
    if arguments.json:
        print(json.dumps(report))
        return
    for name, value in report.items():
        print(f"{name:<24} {value:.4g}")


def _in_a_process(name, arguments) -> dict[str, float]:
    """What a contestant measured; {} where it is not installed."""
    options = ["--repeats", str(arguments.repeats), "--layers", str(arguments.layers), "--only", name]
    done = subprocess.run(
        [sys.executable, __file__, arguments.source, *options],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"},
    )
    if done.returncode:
        sys.exit(f"error: {name} failed, see above.")
    return json.loads(done.stdout.splitlines()[-1])


def measured(arguments) -> dict[str, float]:
    warnings.simplefilter("ignore")
    models.single_thread()
    try:
        found = CONTESTANTS[arguments.only](arguments)
    except ImportError as error:
        print(f"{arguments.only} is left out: it is not installed ({error}).", file=sys.stderr)
        return {}
    return found | ({} if "peak_mb" in found else {"peak_mb": _peak_mb()})


def _peak_mb() -> float:
    """The most memory that this process ever held, loading included."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _config(arguments, shape, **more) -> TrainConfig:
    prompts, group, _ = shape
    return TrainConfig(
        model=arguments.source,
        prompts_per_step=prompts,
        group_size=group,
        lora_rank=RANK,
        lora_layers=arguments.layers,
        steps=10_000,
        eval_every=10_000,
        eval_prompts=8,
        snapshot_every=10_000,
        **more,
    )


def ours(arguments, shape=STEP) -> dict[str, float]:
    trainer = Trainer(_config(arguments, shape))
    trainer.task = Asked(budget=shape[2])
    trainer.policy = Endless(**{f.name: getattr(trainer.policy, f.name) for f in dataclasses.fields(trainer.policy)})
    trainer.next_step = 1  # record 0 measures held-out accuracy
    steps = [trainer.step() for _ in range(arguments.repeats + 1)][1:]
    return {
        "cpu_s": statistics.median(step.timings["cpu_seconds"] for step in steps),
        "resume_mb": len(steps[-1].resume_state) / 1e6,
    }


def short(arguments) -> dict[str, float]:
    return ours(arguments, SHORT)


def plain(arguments) -> dict[str, float]:
    """What one writes first: peft, generate, and logits of policy and reference held whole."""
    from peft import LoraConfig, get_peft_model

    found = loading.load(arguments.source)
    lora = LoraConfig(r=RANK, lora_alpha=2 * RANK, target_modules="all-linear", task_type="CAUSAL_LM")
    model = get_peft_model(_as_loaded(arguments.source), lora)
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=1e-4)
    (_, group, tokens), config, seconds = STEP, TrainConfig(), []
    for step in range(arguments.repeats + 1):
        start = time.process_time()
        prompt = torch.tensor([_prompts(found, str(step))[0]] * group)
        ids = model.generate(
            input_ids=prompt, do_sample=True, top_k=0, top_p=1.0, min_new_tokens=tokens, max_new_tokens=tokens
        )
        completions, mask = ids[:, prompt.shape[1] :], torch.ones(group, tokens, dtype=torch.bool)
        with torch.no_grad(), model.disable_adapter():
            ref = torch.log_softmax(model(input_ids=ids).logits[:, prompt.shape[1] - 1 : -1], -1)
        logp = torch.log_softmax(model(input_ids=ids).logits[:, prompt.shape[1] - 1 : -1], -1)
        own, ref_own = (x.gather(-1, completions[..., None])[..., 0] for x in (logp, ref))
        kl = credit.exact_kl(logp.detach(), ref)
        rewards, groups = torch.arange(group) % 2 * 1.0, torch.zeros(group, dtype=torch.long)
        loss, _ = losses.vimpo_loss(
            own, own.detach(), ref_own, kl, mask, rewards, groups, config.beta, config.actor_coef
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        seconds.append(time.process_time() - start)
    return {"cpu_s": statistics.median(seconds[1:])}


def _as_loaded(source):
    """The model as transformers loads it, without what ours does to it."""
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(loading.find(source), dtype=torch.float32).eval()


def _prompts(found, seed):
    task = Asked()
    return [list(prompt_ids_of(found, task, p)) for p in task.problems(seed, "train", STEP[0])]


def trl(arguments) -> dict[str, float]:
    (prompts, group, tokens), task = STEP, Asked()
    problems = task.problems("bench", "train", prompts * (arguments.repeats + 2))
    seconds = _trl.step_seconds(
        _as_loaded(arguments.source),
        loading.load(arguments.source).tokenizer,
        lambda completions, **_: [float(len(c) % 2) for c in completions],
        [EXAMPLES + p.prompt for p in problems],
        RANK,
        per_device_train_batch_size=prompts * group,
        num_generations=group,
        max_completion_length=tokens,
        generation_kwargs={"min_new_tokens": tokens},
        max_steps=arguments.repeats + 2,
    )
    return {"cpu_s": statistics.median(seconds[1:])}


def of_head(arguments) -> dict[str, float]:
    """Memory of the process above what it held before, watched while it works; 0.1 MB of it is the watching."""
    weight = loading.load(arguments.source).bare.lm_head.weight
    hidden, ref_hidden = (torch.randn(512, weight.shape[1]) for _ in range(2))
    ids = torch.randint(len(weight), (512,))
    head.measure(hidden[:8], ref_hidden[:8], weight, ids[:8] * 0, ids[:8])  # the libraries' own first-time memory
    before, seconds = _held_mb(), time.process_time()
    with _Watch() as watch:
        head.measure(hidden, ref_hidden, weight, torch.arange(512), ids, with_directions=True)
    return {"cpu_s": time.process_time() - seconds, "extra_mb": watch.most - before}


def held_out(arguments) -> dict[str, float]:
    policy = loading.load_policy(_config(arguments, STEP))
    policy = Endless(**{f.name: getattr(policy, f.name) for f in dataclasses.fields(policy)})
    start = time.process_time()
    with models.merged(policy) as model:
        outcomes(policy, model, Asked(budget=STEP[2]), "validation", 32, 0)
    return {"cpu_s": time.process_time() - start}


def _held_mb() -> float:
    """What the process holds itself: pages of the mapped weight file come and go with the machine's memory."""
    anonymous = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("RssAnon"))
    return int(anonymous.split()[1]) / 1024


class _Watch:
    """The most memory that the process held meanwhile."""

    def __enter__(self):
        self.most, self._over = _held_mb(), threading.Event()
        self._thread = threading.Thread(target=self._look)
        self._thread.start()
        return self

    def _look(self):
        while not self._over.wait(0.002):
            self.most = max(self.most, _held_mb())

    def __exit__(self, *_):
        self._over.set()
        self._thread.join()


CONTESTANTS = {"ours": ours, "short": short, "plain": plain, "trl": trl, "head": of_head, "held_out": held_out}

if __name__ == "__main__":
    main()
