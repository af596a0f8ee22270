"""``python -m skinensemble``: the command line."""

from __future__ import annotations

from skinensemble.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
