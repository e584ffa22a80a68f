"""VIMPO on TRL's GRPOTrainer, and our traces from any GRPO-like trainer. Needs requirements-trl.txt.

VIMPOConfig, VIMPOTrainer    the value loss and token advantages of `losses` and `credit` on TRL's loop
TraceMixin                   class Traced(TraceMixin, GRPOTrainer): the same run, which also leaves traces
"""

from vimpo_core.engines.trl.hooks import NEEDS, check_version

try:
    check_version()
except ImportError as error:
    raise ImportError(f"{error} {NEEDS}") from None

from vimpo_core.engines.trl.config import VIMPOConfig
from vimpo_core.engines.trl.traces import TraceMixin
from vimpo_core.engines.trl.trainer import VIMPOTrainer

__all__ = ["TraceMixin", "VIMPOConfig", "VIMPOTrainer"]
