"""What forked processes do: ``tune`` with the stand-in for Keras, and a tracking server.

The fork server imports this module, and with it all that these processes import; no test does
more than name its functions. Nothing here may start a thread.
"""

import os
import sys
from collections.abc import Callable, Sequence
from types import ModuleType

from tests.stand_in import STAND_IN

_DRIVER = (
    "mlflow.data.pandas_dataset",
    "mlflow.keras",
    "mlflow.pyfunc",
    "mlflow.store.db_migrations",
    "mlflow.store.model_registry.sqlalchemy_store",
    "mlflow.store.tracking.sqlalchemy_store",
    "matplotlib.backends.backend_svg",
    "matplotlib.figure",
    "optuna.importance",
    "scipy.stats",
    "tuning.cli.commands",
    "tuning.report.report",
    "tuning.workflow.phases",
)
_SERVER = ("mlflow.server.fastapi_app", "uvicorn")


def _preload() -> None:
    import importlib

    sys.path.insert(0, str(STAND_IN))
    for name in (*_DRIVER, *_SERVER):
        importlib.import_module(name)


if sys.argv[:1] == ["-c"] and "forkserver" in " ".join(sys.orig_argv):
    _preload()


def main(
    run: Callable[..., None],
    arguments: Sequence[object],
    folder: str,
    env: dict[str, str],
    log: str,
) -> None:
    """Becomes the leader of a session in a folder, with its own environment and output."""
    os.setsid()
    with open(log, "ab") as stream:
        os.dup2(stream.fileno(), 1)
        os.dup2(stream.fileno(), 2)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(env)
    # Its workers get this path, and must not import the main module of the tests.
    sys.path.insert(0, str(STAND_IN))
    sys.modules["__main__"] = ModuleType("__main__")
    run(*arguments)


def tune(options: Sequence[str]) -> None:
    """``tuning tune`` without its pictures, which take half of its time."""
    from tuning.cli.main import main
    from tuning.report import report
    from tuning.tracking import tracker

    vars(report)["draw_figures"] = lambda *arguments: []
    vars(tracker)["draw_curves"] = lambda *arguments: None
    sys.argv = ["tuning", "tune", *options]
    sys.exit(main())


def serve(port: int) -> None:
    import uvicorn
    from mlflow.server.fastapi_app import app

    uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning")
