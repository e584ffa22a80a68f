#!/usr/bin/env bash
# accelerate 1.15.0, `accelerate launch --cpu --num_processes 2 script.py` starts one process, and says nothing of it: the script is
# process 0 of 1, exit status 0. The same without --cpu on a machine without a GPU. Whoever tests a distributed run this way tests a
# run of one process. Expected: two processes (as with --multi_gpu, which works on the CPU too), or a refusal.
#
# Seen with torch 2.13.0: --cpu: "process 0 of 1"; --multi_gpu and a script that asks for the CPU: "process 0 of 2", "process 1 of 2".
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"; . "$folder/venv/bin/activate"
pip install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6 accelerate==1.15.0
cd "$folder"
cat > which.py <<'PY'
from accelerate import Accelerator

accelerator = Accelerator(cpu=True)
print(f"process {accelerator.process_index} of {accelerator.num_processes}", flush=True)
PY
rest="--num_processes 2 --num_machines 1 --mixed_precision no --dynamo_backend no --main_process_port 0 which.py"
export OMP_NUM_THREADS=1
echo "--multi_gpu:"; accelerate launch --multi_gpu $rest 2> errors
echo "--cpu:"; accelerate launch --cpu $rest > log 2> errors; cat log
grep -q "process 0 of 1" log || { echo "no longer so"; exit 1; }
