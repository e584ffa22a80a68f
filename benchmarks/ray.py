"""An experiment of 16 runs on a Ray cluster of two local nodes, one CPU each, against one process of this machine.

    python -m vimpo_core bench ray --json

Both are the whole command `python -m vimpo_core experiment`, from an empty folder to the report; the cluster stands
already. The same runs must come out, bit for bit. The nodes share this machine: it needs two idle cores, and the load
beside each figure says whether it had them.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[0] = str(ROOT)  # in place of this folder, where this file is called like the library

BAR, AIM = 0.65, 0.55
OBJECT_STORE = 100 * 2**20

EXPERIMENT = """
name = "bench"
question = "How long do 16 runs take?"
steps = {steps}
test_prompts = 128
seeds = [100, 101, 102, 103, 104, 105, 106, 107]
[[arm]]
name = "GRPO"
algorithm = "grpo"
[[arm]]
name = "VIMPO"
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--steps", type=int, default=100, help="Of each run (default: 100).")
    parser.add_argument("--json", action="store_true", help="End stdout with one JSON object.")
    arguments = parser.parse_args()
    report = measured(arguments.steps)
    if arguments.json:
        print(json.dumps(report))
        return
    for name, value in report.items():
        print(f"{name:<24} {value}")


def measured(steps: int) -> dict:
    """Seconds on the clock of both, their ratio, and what the runs took in CPU seconds."""
    with tempfile.TemporaryDirectory() as folder, _Cluster() as address:
        file = Path(folder) / "bench.toml"
        file.write_text(EXPERIMENT.format(steps=steps), encoding="utf-8")
        cluster = _carried_out(file, Path(folder) / "cluster", "--on", "ray", "--ray-address", address)
        alone = _carried_out(file, Path(folder) / "alone", "--jobs", "1")
    if cluster.pop("accuracies") != alone.pop("accuracies"):
        raise AssertionError("the cluster's runs came to other results than those of one process.")
    ratio = cluster["wall_seconds"] / alone["wall_seconds"]
    return {"ratio": round(ratio, 3), "bar": BAR, "aim": AIM, "cluster": cluster, "one_process": alone}


def _carried_out(file: Path, out: Path, *options: str) -> dict:
    load, start = os.getloadavg()[0], time.perf_counter()
    command = [sys.executable, "-m", "vimpo_core", "experiment", str(file), "--out", str(out), *options]
    subprocess.run(command, check=True, cwd=ROOT, stdout=subprocess.DEVNULL)
    wall = time.perf_counter() - start
    found = json.loads((out / "results.json").read_text(encoding="utf-8"))
    runs = [run for block in found["blocks"] for arm in block["arms"] for run in arm["runs"]]
    return {
        "wall_seconds": round(wall, 1),
        "runs": len(runs),
        "cpu_seconds_a_run": round(found["cpu_seconds"] / len(runs), 1),
        "nodes": found.get("nodes", {}),
        "load_before": round(load, 2),
        "accuracies": {run["run_id"]: (run["sampled"], run["greedy"], run["kl"]) for run in runs},
    }


class _Cluster:
    """Two nodes of one CPU beside a head that computes nothing; gives the address."""

    def __enter__(self) -> str:
        # Ray's processes give way to every other one (nice 15); here both sides share a busy machine alike.
        os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "OMP_NUM_THREADS": "1", "RAY_worker_niceness": "0"}
        try:
            from ray.cluster_utils import Cluster
        except ImportError as error:
            sys.exit(f"error: Ray is not installed ({error}). Run `pip install -r requirements-ray.txt`.")
        memory = {"object_store_memory": OBJECT_STORE}
        head = {"num_cpus": 0, "include_dashboard": False, **memory}
        self._cluster = Cluster(initialize_head=True, head_node_args=head)
        for _ in range(2):
            self._cluster.add_node(num_cpus=1, **memory)
        return self._cluster.address

    def __exit__(self, *exc_info) -> None:
        self._cluster.shutdown()


if __name__ == "__main__":
    main()
