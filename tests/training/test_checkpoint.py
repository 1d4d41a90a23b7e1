"""How often a checkpoint is written, without Keras."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tuning.core.trial import Measurement
from tuning.training.checkpoint import Checkpointer, TrainingProgress


@pytest.mark.parametrize(("epoch_s", "save_s"), [(2.0, 1.0), (0.01, 0.5), (60.0, 1.0)])
def test_checkpoints_take_a_twentieth_of_the_training_at_most(
    monkeypatch: pytest.MonkeyPatch, epoch_s: float, save_s: float
) -> None:
    now = [0.0]
    written: list[int] = []

    def save(checkpointer: Checkpointer, model: Any, progress: TrainingProgress) -> None:
        now[0] += save_s
        written.append(progress.last_step)

    clock = SimpleNamespace(monotonic=lambda: now[0])
    monkeypatch.setattr("tuning.training.checkpoint.time", clock)
    monkeypatch.setattr(Checkpointer, "_save", save)
    checkpointer, progress = Checkpointer(Path()), TrainingProgress()
    model: Any = None
    for step in range(1, 2_001):
        now[0] += epoch_s
        progress.measurements.append(Measurement(step=step, metrics={}, elapsed_s=now[0]))
        checkpointer.write(model, progress)
    assert written[0] == 1
    # The first is written whatever it takes, and no fewer than a twentieth allows.
    allowed = 0.05 * now[0]
    assert (len(written) - 1) * save_s <= allowed
    assert len(written) == 2_000 or (len(written) + 1) * save_s > allowed
