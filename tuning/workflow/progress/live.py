"""A live view of a study in the terminal: running trials, best values and remaining time."""

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from tuning.workflow.progress.printers import Progress
from tuning.workflow.progress.status import Best, Status, duration

REFRESHES = 2  # per second
STATES = {"completed": "green", "reused": "green", "pruned": "yellow", "failed": "red"}


class LiveProgress(Progress):
    """Draws the status at the bottom of the terminal; finished trials are printed above it.

    Args:
        status: Status of the study.
        console: Console of the terminal.
    """

    def __init__(self, status: Status, console: Console) -> None:
        super().__init__(status)
        self._console = console
        self._live: Live | None = None

    def phase(self, title: str, expected: int, done: int = 0) -> None:
        """Begins a phase and starts to draw."""
        super().phase(title, expected, done)
        if self._live is None:
            self._live = Live(
                console=self._console,
                get_renderable=self.draw,
                refresh_per_second=REFRESHES,
                transient=True,
            )
            self._live.start()

    def close(self) -> None:
        """Stops drawing and clears the drawing."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def draw(self) -> RenderableType:
        """Returns the present status."""
        with self.status.lock:
            return Group(self._head(), self._running(), self._best(), self._states())

    def _head(self) -> RenderableType:
        status = self.status
        row = Table.grid(padding=(0, 2))
        row.add_row(
            ProgressBar(total=max(status.expected, 1), completed=status.ended, width=30),
            f"{status.ended}/{status.expected} trials",
            status.times(),
        )
        return row

    def _running(self) -> RenderableType:
        rows = Table.grid(padding=(0, 2))
        for running in self.status.running.values():
            value = "" if running.value is None else f"{running.value:.4f}"
            rows.add_row(
                Text(running.name, style="bold"),
                ProgressBar(total=running.epochs, completed=running.epoch, width=10),
                # The first epoch of a new shape is compiled, which takes seconds.
                f"epoch {running.epoch}/{running.epochs}" if running.epoch else "compiling",
                f"{self.status.objective.metric} {value or '–'}",
                duration(self.status.seconds_of(running)),
            )
        return rows

    def _best(self) -> RenderableType:
        status, parts = self.status, []
        baseline = sum(status.baseline) / len(status.baseline) if status.baseline else None
        if baseline is not None:
            parts.append(f"baseline {baseline:.4f}")
        parts += [_compared(name, best, baseline) for name, best in status.best.items()]
        return Text("best so far: " + " · ".join(parts) if parts else "")

    def _states(self) -> RenderableType:
        text = Text()
        for state, count in self.status.states.items():
            text.append(" · " if text else "")
            text.append(f"{count} {state}", style=STATES.get(state, ""))
        return text

    def _times(self) -> str:
        return ""  # the table shows the times

    def _print(self, text: str) -> None:
        try:
            self._console.print(text, markup=False, highlight=False, soft_wrap=True)
        except OSError:
            return


def _compared(searcher: str, best: Best, baseline: float | None) -> str:
    difference = "" if baseline is None else f" ({best.value - baseline:+.4f})"
    return f"{searcher} {best.value:.4f}{difference} by {best.trial}"
