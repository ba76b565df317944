"""``python -m smartsite``: the same as the ``smartsite`` command."""

from __future__ import annotations

import sys

from smartsite.cli import main

if __name__ == "__main__":
    sys.exit(main())
