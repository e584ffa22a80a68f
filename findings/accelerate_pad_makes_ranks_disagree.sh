#!/usr/bin/env bash
# accelerate 1.15.0, Accelerator.pad_across_processes: a rank that has to pad a boolean tensor gets int64 back, a rank whose tensor is
# the longest already gets its boolean tensor back. A `gather` of the two then has another dtype on each rank: with gloo one rank
# aborts ("Received data size doesn't match expected size"), the other sees "Connection reset by peer", which names no cause. Where
# all rows happen to be equally long nothing goes wrong, so that a training run ends this way at some
# later step. Expected: the dtype that was given, on every rank.
#
# Seen with torch 2.13.0, two processes on the CPU: rank 0 torch.int64, rank 1 torch.bool.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"; . "$folder/venv/bin/activate"
pip install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6 accelerate==1.15.0
cd "$folder"
cat > pad.py <<'PY'
import torch
from accelerate import Accelerator

accelerator = Accelerator(cpu=True)
mask = torch.ones(2, 3 + accelerator.process_index, dtype=torch.bool)
padded = accelerator.pad_across_processes(mask, dim=1)
print(f"rank {accelerator.process_index}: {tuple(padded.shape)} {padded.dtype}", flush=True)
PY
OMP_NUM_THREADS=1 timeout 120 torchrun --standalone --nproc_per_node 2 pad.py > seen 2> errors || { cat errors; exit 1; }
cat seen
grep -q "rank 0.*torch.int64" seen && grep -q "rank 1.*torch.bool" seen || { echo "no longer so"; exit 1; }
