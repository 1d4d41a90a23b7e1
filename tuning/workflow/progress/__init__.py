"""The progress of a study: its status, and the ways to show it."""

import sys
from typing import TextIO

from tuning.study.sections import Objective
from tuning.workflow.progress.printers import JsonProgress, Output, Progress, QuietProgress
from tuning.workflow.progress.status import Status

__all__ = ["Output", "Progress", "make_progress"]


def make_progress(output: Output, objective: Objective, stream: TextIO | None = None) -> Progress:
    """Makes the progress output that suits the option and the terminal.

    Args:
        output: Form of the output: ``quiet``, ``json``, or ``auto`` for a live table on a terminal
            and in a notebook, and lines elsewhere.
        objective: Objective of the search.
        stream: Stream to print to; the standard output if None.
    """
    status = Status(objective)
    if output == "quiet":
        return QuietProgress(status, stream)
    if output == "json":
        return JsonProgress(status, stream)
    if stream is None and _is_notebook():
        from tuning.workflow.progress.notebook import NotebookProgress

        return NotebookProgress(status)
    from rich.console import Console

    console = Console(file=stream or sys.stdout)
    if not console.is_terminal or console.is_dumb_terminal:
        return Progress(status, stream)
    from tuning.workflow.progress.live import LiveProgress

    return LiveProgress(status, console)


def _is_notebook() -> bool:
    """Whether this process is the kernel of a notebook."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return shell is not None and hasattr(shell, "kernel")
