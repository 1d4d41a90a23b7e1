"""This repository's defaults over the library's command line."""

import sys
from collections.abc import Sequence
from pathlib import Path

STUDY = Path(__file__).with_name("imdb") / "study.yaml"


def run(command: str, argv: Sequence[str] | None) -> int:
    """Runs a command of the library on the flagship study, unless another is given.

    Args:
        command: The command.
        argv: Its arguments; None takes the process's own.

    Returns:
        The exit code.
    """
    from tuning.cli import main

    arguments = list(sys.argv[1:] if argv is None else argv)
    named = any(argument.split("=")[0] == "--study" for argument in arguments)
    return main([command, *([] if named else ["--study", str(STUDY)]), *arguments])
