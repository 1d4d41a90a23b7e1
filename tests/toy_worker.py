"""A worker that speaks the protocol without Keras: its trials misbehave as their params say."""

import os
import signal
import time
from multiprocessing.connection import Connection

from tests.factories import make_measurement
from tuning.core.trial import Trial, TrialResult, TrialState
from tuning.training.messages import Done, Epoch, Reply, Train


def main(connection: Connection, spec: object, core: int | None) -> None:
    try:
        while isinstance(message := connection.recv(), Train | Reply):
            if isinstance(message, Train):
                connection.send(_train(connection, message.trial))
    except (EOFError, OSError):
        pass


def _train(connection: Connection, trial: Trial) -> Done:
    how = trial.params.get("how", "well")
    done: list[float] = []
    stopped = False
    for step in range(1, trial.epochs + 1):
        if how == "killed" and step == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        if how == "exits" and step == 2:
            os._exit(3)
        if how == "grows" and step == 2:
            hoard = bytearray(300_000_000)
            time.sleep(600 + len(hoard))
        if how == "hangs" and step == 2:
            time.sleep(600)
        done.append(0.1 * step)
        connection.send(Epoch(trial.name, trial.attempt, make_measurement(step, done[-1])))
        while connection.poll(10):
            reply = connection.recv()
            if isinstance(reply, Reply) and reply.name == trial.name:
                stopped = reply.decision.stop
                break
        if stopped:
            break
    result = TrialResult(
        state=TrialState.PRUNED if stopped else TrialState.COMPLETED,
        value=max(done),
        best_step=len(done),
        measurements=tuple(make_measurement(step, v) for step, v in enumerate(done, 1)),
    )
    return Done(trial.name, trial.attempt, result, float(trial.params.get("memory_mb", 1)))
