"""Kills studies at random instants until they are done, and counts what was lost.

``python -m tests.e2e.chaos --rounds 300 --jobs 2`` attacks 300 studies and prints one table by
target and phase. A round is one study: some of them write to a tracking server, which is killed
too. ``--seed N --rounds 1`` repeats a round, as far as the machine lets it. After Ctrl-C, the
table has the rounds so far.
"""

import argparse
import random
import re
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tests.e2e.losses import Losses, losses, make_folder
from tests.e2e.process import Tune
from tests.e2e.server import Server
from tests.stores import copy_store, empty_store

# The line with which each phase begins.
PHASES = {
    "start": "",
    "search": r"Baseline and search",
    "confirmation": r"Confirmation:",
    "upload": r"confirm-.*-seed2",
    "test split": r"Test split",
    "registry": r"Successfully registered|Created version|Registered toy",
}
SIGNALS: Mapping[str, tuple[signal.Signals, ...]] = {
    "driver, SIGKILL": (signal.SIGKILL,),
    "driver, SIGTERM": (signal.SIGTERM,),
    "driver, SIGINT": (signal.SIGINT,),
    "driver, SIGINT twice": (signal.SIGINT, signal.SIGINT),
}
WORKERS = {"one worker": 1, "all workers": 2}
SERVER = "tracking server"
MOST_ATTACKS = 3
OK, INTERRUPTED = 0, 130


@dataclass
class Round:
    """What happened to one study.

    Attributes:
        seed: Seed of its attacks.
        attacks: Target and phase of each attack.
        losses: What was lost.
        error: Why the study did not end well; empty if it did.
    """

    seed: int
    attacks: list[tuple[str, str]] = field(default_factory=list)
    losses: Losses = field(default_factory=Losses)
    error: str = ""

    @property
    def good(self) -> bool:
        return not self.error and not self.losses.count


def attack_study(folder: Path, seed: int, server: Server | None = None) -> Round:
    """Attacks a study at random instants, goes on with it until it is done, and counts."""
    instants = random.Random(seed)
    found = Round(seed)
    uri = server.address if server else ""
    options = {"rows": 1000, "servable": True, "epoch_seconds": 0.05}
    make_folder(folder, task_options=options)
    process = Tune(folder, uri=uri)
    for _ in range(instants.randint(1, MOST_ATTACKS)):
        targets = [*SIGNALS, *WORKERS, *([SERVER] * 4 if server else [])]
        target = instants.choice(["driver, SIGKILL", *targets])
        begin = instants.choice([*PHASES.values()])
        if not process.until(begin):
            break
        time.sleep(instants.uniform(0, 1.5))
        phase = phase_of(process.output)
        if process.over or not _attack(process, target, server, instants):
            continue
        found.attacks.append((target, phase))
        if target in SIGNALS:
            code = process.end()
            if code == OK:
                break
            if code not in (INTERRUPTED, -signal.SIGKILL, -signal.SIGTERM, -signal.SIGINT):
                found.error = f"exit code {code}:\n{process.output}"
            process = Tune(folder, *_resume(folder, uri), uri=uri)
    if process.end() != OK:
        process = Tune(folder, *_resume(folder, uri), uri=uri)
        if process.end() != OK:
            found.error = process.output
            return found
    found.losses = losses(process.uri)
    return found


def phase_of(output: str) -> str:
    """The last phase of which a line was printed."""
    return [name for name, line in PHASES.items() if re.search(line, output)][-1]


def _resume(folder: Path, uri: str) -> tuple[str, ...]:
    """Goes on with the study, or begins it if the driver was killed before it had a run."""
    import mlflow

    client = mlflow.MlflowClient(uri or f"sqlite:///{folder / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("toy")
    if experiment is None:
        return ()
    runs = client.search_runs([experiment.experiment_id], "tags.`tuning.study` != ''")
    return ("--resume", "last") if runs else ()


def _attack(process: Tune, target: str, server: Server | None, instants: random.Random) -> bool:
    """Returns whether there was something to attack."""
    if target in SIGNALS:
        with suppress(ProcessLookupError):
            for number in SIGNALS[target]:
                process.send(number)
                time.sleep(0.05)
        return True
    if target in WORKERS:
        workers = process.workers[: WORKERS[target]]
        for worker in workers:
            worker.kill()
        return bool(workers)
    assert server is not None
    server.kill()
    time.sleep(instants.uniform(0, 3))
    server.start()
    return True


def run_round(seed: int) -> Round:
    """Every third study writes to a tracking server."""
    with tempfile.TemporaryDirectory(prefix="tuning-chaos-") as folder:
        server = None
        if seed % 3 == 0:
            # MLflow itself does not survive a kill while it makes its tables.
            copy_store(empty_store(), Path(folder, "server.db"))
            server = Server(Path(folder))
        try:
            return attack_study(Path(folder, "study"), seed, server)
        except Exception as error:
            return Round(seed, error=f"{type(error).__name__}: {error}")
        finally:
            if server is not None:
                server.kill()


def table(rounds: list[Round]) -> str:
    """Attacks by target and phase as Markdown, and the losses of all rounds."""
    attacks = Counter(attack for done in rounds for attack in done.attacks)
    lines = [f"| target | {' | '.join(PHASES)} | all |", "|---|" + "--:|" * (len(PHASES) + 1)]
    for target in (*SIGNALS, *WORKERS, SERVER):
        numbers = [attacks[target, phase] for phase in PHASES]
        lines.append(f"| {target} | {' | '.join(map(str, numbers))} | {sum(numbers)} |")
    lost: Counter[str] = Counter()
    for done in rounds:
        lost.update(asdict(done.losses))
    lost["ended badly"] = sum(bool(done.error) for done in rounds)
    total = f"{len(rounds)} studies, {sum(attacks.values())} attacks"
    lines += ["", f"| lost in {total} | |", "|---|--:|"]
    lines += [f"| {name.replace('_', ' ')} | {number} |" for name, number in lost.items()]
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0, help="seed of the first round")
    parser.add_argument("--jobs", type=int, default=2, help="rounds at once")
    options = parser.parse_args()
    seeds = range(options.seed, options.seed + options.rounds)
    rounds: list[Round] = []
    pool = ProcessPoolExecutor(options.jobs)
    try:
        for running in as_completed([pool.submit(run_round, seed) for seed in seeds]):
            rounds.append(done := running.result())
            attacks = "; ".join(f"{target} in {phase}" for target, phase in done.attacks)
            found = "nothing lost" if done.good else f"{done.losses}\n{done.error}"
            print(
                f"{len(rounds)}: seed {done.seed}: {attacks or 'no attack'}: {found}", flush=True
            )
    except KeyboardInterrupt:
        pool.shutdown(wait=False, cancel_futures=True)
    print(table(rounds))
    return 0 if all(done.good for done in rounds) else 1


if __name__ == "__main__":
    sys.exit(main())
