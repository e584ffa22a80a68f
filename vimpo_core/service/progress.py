"""How far a request is: told by the service process, read by who waits."""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from pathlib import Path


class Progress:
    """How far a request is, told by the service process and read in this one: a small file, gone when closed."""

    def __init__(self):
        handle, self._path = tempfile.mkstemp(prefix="vimpo-progress-")
        os.close(handle)

    def tell(self, done: int, total: int) -> None:
        # "r+" makes no new file where nobody waits any more, and a reader never finds it empty.
        with suppress(OSError), open(self._path, "r+", encoding="ascii") as file:
            file.write(f"{done} {total}")
            file.truncate()

    def share(self) -> float:
        """Share done, 0 to 1; 0 before anything was told."""
        try:
            done, total = map(int, Path(self._path).read_text(encoding="ascii").split())
        except (OSError, ValueError):
            return 0.0
        return min(1.0, done / max(total, 1))

    def close(self) -> None:
        Path(self._path).unlink(missing_ok=True)
