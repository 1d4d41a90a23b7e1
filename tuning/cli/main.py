"""Runs a command, and turns errors into messages and exit codes."""

import atexit
import gc
import logging
import os
import sys
from collections.abc import Sequence

from tuning.cli.parser import parse
from tuning.core.errors import EXIT_ERROR, EXIT_INTERRUPTED, TuningError, redact


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command.

    Args:
        argv: Arguments without the program's name; None takes the process's own.

    Returns:
        The exit code.
    """
    # Else Python looks through all of Keras and MLflow for garbage before it ends: two seconds.
    atexit.register(gc.freeze)
    # TensorFlow, which Keras or MLflow may import, tells of the machine; it is not asked.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    options = parse(argv)
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    try:
        code: int = options.run(options)
        return code
    except TuningError as error:
        print(f"error: {redact(str(error))}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except Exception as error:
        # What MLflow refuses is no fault in this program, which a traceback would suggest.
        if not type(error).__module__.startswith("mlflow."):
            raise
        print(f"error: MLflow: {redact(str(error))}", file=sys.stderr)
        return EXIT_ERROR
