"""What it costs to bring a run: 2,000 completions of 512 tokens with ids, texts and four numbers a token.

    python -m vimpo_core bench import --json

CPU seconds and peak memory of the process that reads the files and writes the run, from its start, and the survey
alone; each kind of file in a process of its own.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

ROWS, TOKENS, GROUP, STEP = 2000, 512, 8, 64
BARS = {"cpu_seconds": 8.0, "megabytes": 600.0}


def write_rows(path: Path) -> None:
    """The documented table, with numbers as float32 in full, as tools write them."""
    import numpy as np

    rng = np.random.default_rng(0)
    with open(path, "w", encoding="utf-8") as file:
        for row in range(ROWS):
            ids = rng.integers(0, 50_000, TOKENS).tolist()
            numbers = -rng.exponential(size=(4, TOKENS)).astype(np.float32).astype(float)
            record = {
                "step": row // STEP,
                "group": row // GROUP,
                "prompt": f"What is {row // GROUP} + 1?",
                "completion": "",
                "reward": float(row % 2),
                "token_ids": ids,
                "tokens": [f" t{one % 1000}" for one in ids],
                "logprobs": numbers[0].tolist(),
                "ref_logprobs": numbers[1].tolist(),
                "kl": (-numbers[2]).tolist(),
                "entropy": (-numbers[3]).tolist(),
            }
            file.write(json.dumps({**record, "completion": "".join(record["tokens"])}) + "\n")


def as_parquet(lines: Path, path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    records = [json.loads(line) for line in lines.read_text(encoding="utf-8").splitlines()]
    pq.write_table(pa.Table.from_pylist(records), path)


def cost(path: Path, does_import: bool) -> dict[str, float]:
    """Carried out in a process of its own, which reports about itself."""
    program = ("--measure", str(path), "import" if does_import else "survey")
    done = subprocess.run([sys.executable, __file__, *program], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def measure(path: Path, does_import: bool) -> dict[str, float]:
    from vimpo_core.formats.incoming import assemble, limits
    from vimpo_core.formats.incoming.recognise import recognise

    limits.apply()
    with tempfile.TemporaryDirectory() as folder:
        recognised = recognise([(path, path.name)])
        if does_import:
            assemble.import_run(recognised, Path(folder) / "run")
        else:
            assemble.survey(recognised)
    used = resource.getrusage(resource.RUSAGE_SELF)
    return {"cpu_seconds": used.ru_utime + used.ru_stime, "megabytes": peak()}


def peak() -> float:
    """Most memory that this process had, MB. Linux counts that of its parent into ru_maxrss, and has its own."""
    status = Path("/proc/self/status")
    if status.exists():
        return next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("VmHWM")) / 1e3
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.measure:
        print(json.dumps(measure(Path(asked.measure[0]), asked.measure[1] == "import")))
        return
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        lines, table = Path(folder) / "rows.jsonl", Path(folder) / "rows.parquet"
        write_rows(lines)
        as_parquet(lines, table)
        for path in (lines, table):
            for does_import in (False, True):
                name = f"{path.suffix[1:]} {'import' if does_import else 'survey'}"
                tries = [cost(path, does_import) for _ in range(asked.repeats)]
                found[name] = min(tries, key=lambda one: one["cpu_seconds"])
    if asked.json:
        print(json.dumps({"rows": ROWS, "tokens": TOKENS, "bars": BARS, **found}))
        return
    for name, one in found.items():
        print(f"{name:<16} {one['cpu_seconds']:.2f} CPU s, {one['megabytes']:.0f} MB")


if __name__ == "__main__":
    main()
