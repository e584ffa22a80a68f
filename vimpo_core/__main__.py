"""python -m vimpo_core ..."""

import sys

from vimpo_core.cli import main

if __name__ == "__main__":
    sys.exit(main())
