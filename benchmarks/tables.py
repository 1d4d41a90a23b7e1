"""Writes the tables of docs/background/benchmarks.md: ``python -m benchmarks.tables``.

Each benchmark is a process of its own. What it prints takes the place of what the page had between
its marks, with the day and the command. Names of benchmarks choose some of them; ``--`` passes
options to one::

    python -m benchmarks.tables startup scale
    python -m benchmarks.tables speed -- --rounds 3
"""

import argparse
import re
import subprocess
import sys
from datetime import date
from pathlib import Path

from docs import marks

PAGE = Path(__file__).parents[1] / "docs/background/benchmarks.md"
# Arguments by benchmark, in the order of the page: those that take minutes, not hours.
BENCHMARKS: dict[str, list[str]] = {
    "startup": [],
    "speed": ["--rounds", "2"],
    "scale": [],
    "simulated": [],
    "batches": [],
    "cluster": [],
    "memory": ["--figure", "docs/background/memory.svg"],
}


def main() -> None:
    """Measures the chosen benchmarks, and writes each table as soon as it is there."""
    own, _, passed = " ".join(sys.argv[1:]).partition("-- ")
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(BENCHMARKS))
    names = parser.parse_args(own.split()).names or [*BENCHMARKS]
    unknown = set(names) - set(BENCHMARKS)
    if unknown or (passed and len(names) != 1):
        parser.error(f"there is no {unknown}" if unknown else "options are for one benchmark")
    for name in names:
        arguments = passed.split() if passed else BENCHMARKS[name]
        command = ["python", "-m", f"benchmarks.{name}", *arguments]
        print("$", " ".join(command), flush=True)
        done = subprocess.run(
            [sys.executable, *command[1:]], stdout=subprocess.PIPE, text=True, check=True
        )
        print(done.stdout)
        heading = f"Measured on {date.today()} by `{' '.join(command)}`.\n"
        PAGE.write_text(replaced(PAGE.read_text("utf-8"), name, heading, done.stdout), "utf-8")


def replaced(page: str, name: str, heading: str, output: str) -> str:
    """Returns the page with another content between the marks of a benchmark.

    Raises:
        ValueError: The page has no such marks.
    """
    # A table needs an empty line before it.
    blocks = re.sub(r"(?m)^(?!\|)(.+)\n(?=\|)", r"\1\n\n", output.strip())
    return marks.replaced(page, name, f"{heading}\n{blocks}")


if __name__ == "__main__":
    main()
