"""Counters of a task's callbacks go on after a resume."""

import json
from typing import Any

import numpy as np

from tuning.training import callback_states


class Patience:
    """Like a callback of Keras: plain counters among other things."""

    def __init__(self, **changes: Any) -> None:
        self.wait = 0
        self.best: Any = np.float32(np.inf)
        self.min_delta = 0.1
        self.monitor = "val_loss"
        self.weights = np.ones(3)
        self.model = object()
        self.restored: None = None
        vars(self).update(changes)


def test_plain_values_are_read_and_restored_and_nothing_else() -> None:
    before = Patience(wait=3, best=np.float32(0.5))
    (state,) = callback_states.read([before])
    assert state == {"wait": 3, "best": 0.5, "monitor": "val_loss", "restored": None}
    after = Patience()
    callback_states.restore([after], json.loads(json.dumps([state])))
    assert (after.wait, after.best) == (3, 0.5)
    assert after.weights.tolist() == [1, 1, 1] and after.model is not before.model


def test_without_the_states_of_the_same_callbacks_nothing_changes() -> None:
    for states in ([], [{"wait": 3}, {"wait": 4}]):
        callback = Patience()
        callback_states.restore([callback], states)
        assert callback.wait == 0
    callback = Patience()
    callback_states.restore([callback], [{"unknown": 3}])
    assert not hasattr(callback, "unknown")
