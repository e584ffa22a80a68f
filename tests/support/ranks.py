"""Two processes on the CPU, as `accelerate launch` starts them."""

import os
import subprocess
import sys
from pathlib import Path

from vimpo_core.paths import ROOT

LAUNCH = "-m accelerate.commands.launch --multi_gpu --num_processes 2 --num_machines 1 --mixed_precision no"
THREE_STEPS = (
    "--use_cpu --bf16 False --max_steps 3 --per_device_train_batch_size 8 --operands 3 --save_strategy no "
    "--report_to none"
)
"""Options of examples/trl_vimpo.py: 16 solutions a step, some seconds."""


def launch(script: Path, *arguments, cwd: Path) -> None:
    """Run a script on two ranks. Raises CalledProcessError where one of them fails."""
    more = ["--dynamo_backend", "no", "--main_process_port", "0", script, *arguments]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, *LAUNCH.split(), *more], check=True, cwd=cwd, env=environment)
