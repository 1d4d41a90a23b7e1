"""Removes models of trials that are no longer worth their disk."""

import sys
from collections.abc import Sequence

from pipelines.entry import run


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command and returns its exit code."""
    return run("clean", argv)


if __name__ == "__main__":
    sys.exit(main())
