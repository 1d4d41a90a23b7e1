"""Opens MLflow's pages on the local store: one worker, no job runner, links to start from."""

import argparse
import os
import sys
from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Prints the link to the leaderboard and becomes the MLflow server."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=5000)
    parser.add_argument("--host", default="127.0.0.1")
    options = parser.parse_args(argv)

    from pipelines.entry import STUDY
    from tuning.study import load_study
    from tuning.tracking.store import get_experiment, open_store, resolve_uri
    from tuning.tracking.view import leaderboard_link

    uri = resolve_uri()
    client = open_store(uri)
    # The experiment is made here, by a client: one that the server makes could be written through
    # the server only.
    experiment_id = get_experiment(client, load_study(STUDY).name)
    address = f"http://{options.host}:{options.port}"
    print(f"MLflow on {uri}; the leaderboard:\n{leaderboard_link(experiment_id, address)}")
    if options.host not in ("127.0.0.1", "::1", "localhost"):
        print(
            f"warning: who reaches {options.host} can change runs and registry (docs/security.md)"
        )
    sys.stdout.flush()
    os.environ["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] = "false"
    command = ["mlflow", "ui", "--backend-store-uri", uri, "--workers", "1"]
    command += ["--host", options.host, "--port", str(options.port)]
    os.execvp(command[0], command)


if __name__ == "__main__":
    sys.exit(main())
