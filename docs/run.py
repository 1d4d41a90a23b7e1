"""Runs the code of the documents, and compares what it prints with what the pages show.

Run from the repository's root, with the packages of requirements-dev.txt::

    python -m docs.run README.md docs/tutorial/first-study.md
    python -m docs.run --update docs/tutorial/first-study.md    # writes the outputs into the page

Each page gets a copy of the checkout, in which its commands run one after the other. Its Python
code runs in the kernel of a notebook. Figures, names of trials and run ids may differ from those
of the page; ``…`` stands for anything. ``docs/pages.py`` has the comments that steer a page.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from itertools import zip_longest
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from docs.pages import PAGES, ROOT, Block, blocks

# Only pages whose code a reader runs; the others have fragments, which are checked as they stand.
RUN = ("python", "console", "bash", "sh")
SECONDS = 1_500  # for one block


class DifferentOutputError(Exception):
    """A page shows another output than its code prints."""


def main() -> None:
    """Runs the pages that are named, or all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pages", nargs="*", default=PAGES)
    parser.add_argument("--update", action="store_true", help="write the outputs into the pages")
    options = parser.parse_args()
    failed = False
    for page in options.pages:
        try:
            run_page(page, update=options.update)
        except (DifferentOutputError, subprocess.CalledProcessError) as error:
            failed = True
            print(f"{page}: {error}", file=sys.stderr)
    sys.exit(failed)


def is_run(page: str) -> bool:
    """Whether a page has code that is run."""
    return any(_runs(block) for block in blocks((ROOT / page).read_text("utf-8")))


def _runs(block: Block) -> bool:
    return block.language in RUN and block.note("not run") is None


def run_page(page: str, *, update: bool = False) -> None:
    """Runs the code of a page in its order.

    Args:
        page: File, relative to the repository.
        update: Write the outputs into the page instead of comparing them.

    Raises:
        DifferentOutputError: An output differs from that of the page.
    """
    text = (ROOT / page).read_text("utf-8")
    with Reader() as reader:
        printed = ""
        every = blocks(text)
        for block, following in zip_longest(every, every[1:]):
            where = f"{page}:{block.line}"
            if block.language == "text" and printed:
                new = _shown(block.code, printed, where, update=update)
                text = text.replace(block.code, f"{new.rstrip()}\n")
            printed = ""
            if not _runs(block):
                if block.title and block.note("not run") is None:
                    reader.write(block)
                continue
            print(where, flush=True)
            if block.language != "python":
                for old, new in reader.session(block, where, update=update):
                    text = text.replace(old, new)
            elif block.title:
                reader.write(block)
                if following is not None and following.language == "text":
                    printed = reader.shell(f"python {block.title}")
            else:
                printed = reader.python(block.code)
    if update:
        (ROOT / page).write_text(text, "utf-8")


class Reader:
    """A reader who does what a page says, in a copy of the checkout."""

    def __init__(self) -> None:
        self._temporary = tempfile.TemporaryDirectory()
        self._base = Path(self._temporary.name).resolve()
        self._home = self._base / "tuning"
        self._state = self._base / "state"
        self._servers: list[subprocess.Popen[bytes]] = []
        self._kernel: Any = None

    def __enter__(self) -> Self:
        self._state.mkdir()
        listed = subprocess.run(
            ["git", "ls-files", "-co", "--exclude-standard", "-z"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for name in filter(None, listed.split("\0")):
            if (ROOT / name).exists():
                target = self._home / name
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, target)
        # Links, and not one link: whoever makes the environment anew removes these only.
        environment = self._home / ".venv"
        environment.mkdir()
        for name in os.listdir(sys.prefix):
            (environment / name).symlink_to(Path(sys.prefix, name))
        # Older than the environment, so that `make` takes it as it is.
        for name in ("requirements.txt", "requirements-dev.txt"):
            os.utime(self._home / name, (1e9, 1e9))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for server in self._servers:
            os.killpg(server.pid, 15)
            server.wait()
        if self._kernel is not None:
            manager, client = self._kernel
            client.stop_channels()
            manager.shutdown_kernel(now=True)
        self._temporary.cleanup()

    def write(self, block: Block) -> None:
        """Makes the file of a block with a title."""
        (self._cwd / block.title).write_text(block.code, "utf-8")

    def session(self, block: Block, where: str, *, update: bool) -> list[tuple[str, str]]:
        """Runs the commands of a block; returns the outputs that an update has to replace."""
        background, instead = block.note("background"), block.note("instead")
        wanted = int(block.note("exit") or 0)
        commands = [*block.commands()]
        changes = []
        if instead is not None:
            commands = [(instead, "")]
        for command, output in commands:
            last = (command, output) == commands[-1]
            if background is not None and last:
                self.serve(command, background)
                continue
            printed = self.shell(command, exit_code=wanted if last else 0)
            if output.strip():
                new = _shown(output, printed, where, update=update)
                changes.append((f"{command}\n{output}", f"{command}\n{new}"))
        return changes

    def shell(self, command: str, exit_code: int = 0) -> str:
        """Runs a command where the one before has ended, with its variables; returns its output.

        Raises:
            DifferentOutputError: It ends with another exit code.
        """
        kept = f"pwd > {self._state / 'cwd'}; export -p > {self._state / 'variables'}"
        done = subprocess.run(
            self._bash(f"{command}\ncode=$?\n{kept}\nexit $code"),
            cwd=self._cwd,
            env=self._variables(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        if done.returncode != exit_code:
            raise DifferentOutputError(
                f"{command!r} ends with {done.returncode} instead of {exit_code}\n{done.stdout}"
            )
        return done.stdout.replace(f"{self._home}", "/home/you/tuning")

    def serve(self, command: str, address: str) -> None:
        """Starts a command that goes on until the end, and waits until its address answers.

        Raises:
            DifferentOutputError: It ends, or does not answer for five minutes.
        """
        log = (self._state / f"server-{len(self._servers)}").open("wb")
        self._servers.append(
            subprocess.Popen(
                self._bash(command),
                cwd=self._cwd,
                env=self._variables(),
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        )
        end = time.monotonic() + 300
        while True:
            try:
                urllib.request.urlopen(address, timeout=2).close()
                return
            except urllib.error.HTTPError:
                return
            except OSError:
                if time.monotonic() > end or self._servers[-1].poll() is not None:
                    said = Path(log.name).read_text("utf-8")
                    raise DifferentOutputError(f"{command!r} does not answer\n{said}") from None
                time.sleep(0.5)

    def _bash(self, script: str) -> list[str]:
        """Returns the command of a script that has the variables of the commands before it."""
        file = self._state / "variables"
        return ["bash", "-c", f"[ -f {file} ] && . {file}\n{script}"]

    @property
    def _cwd(self) -> Path:
        file = self._state / "cwd"
        return Path(file.read_text("utf-8").strip()) if file.exists() else self._home

    def _variables(self) -> dict[str, str]:
        ours = ("MLFLOW_", "TUNING_", "KERAS_BACKEND", "PYTEST_", "COVERAGE_", "COV_", "RAY_")
        kept = {k: v for k, v in os.environ.items() if not k.startswith(ours)}
        bin_folder = f"{self._home / '.venv/bin'}{os.pathsep}{kept['PATH']}"
        return kept | {
            "PATH": bin_folder,
            "PYTHONPATH": str(self._home),  # before the checkout that is installed
            "COLUMNS": "100",
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # processes that outlive the server
            "KERAS_BACKEND": "jax",
        }

    def python(self, code: str) -> str:
        """Runs code in the page's notebook; returns what it prints and shows.

        Raises:
            DifferentOutputError: It raises an exception.
        """
        if self._kernel is None:
            from jupyter_client.manager import start_new_kernel

            self._kernel = start_new_kernel(cwd=str(self._cwd), env=self._variables())
        _, client = self._kernel
        shown: list[str] = []

        def note(message: dict[str, Any]) -> None:
            content = message["content"]
            if message["msg_type"] == "stream" and content["name"] == "stdout":
                shown.append(content["text"])
            elif message["msg_type"] == "execute_result":
                shown.append(content["data"]["text/plain"])

        reply = client.execute_interactive(
            code, output_hook=note, timeout=SECONDS, allow_stdin=False
        )
        content = reply["content"]
        if content["status"] != "ok":
            trace = "\n".join(content.get("traceback", []))
            raise DifferentOutputError(re.sub(r"\x1b\[[\d;]*m", "", trace))
        return "".join(shown)


def _shown(expected: str, printed: str, where: str, *, update: bool) -> str:
    """Compares an output with that of a page; returns the one that an update writes.

    Raises:
        DifferentOutputError: They differ.
    """
    if update:
        return _updated(expected, printed)
    if not matches(expected, printed):
        raise DifferentOutputError(f"{where} shows\n{expected}\nbut it prints\n{printed}")
    return expected


def _updated(expected: str, printed: str) -> str:
    """Returns the printed lines, cut where the page has cut its output by a line of ``…``."""
    ours = [line.rstrip() for line in printed.splitlines() if not _of_mlflow(line)]
    old = expected.strip("\n").splitlines()
    if "…" not in old:
        return "\n".join(ours).strip("\n")
    before, after = old.index("…"), len(old) - 1 - old.index("…")
    kept = [*ours[:before], "…", *(ours[-after:] if after else [])]
    return "\n".join(kept).strip("\n")


def matches(expected: str, printed: str) -> bool:
    """Whether an output is that of a page, but for figures, names and what ``…`` stands for."""
    pattern = re.escape(_normal(expected)).replace("…", ".*")
    return re.fullmatch(pattern.replace(r"\ .*\ ", ".*"), _normal(printed), re.DOTALL) is not None


def _of_mlflow(line: str) -> bool:
    return re.match(r"\d{4}/\d\d/\d\d .* (INFO|WARNING) ", line) is not None


def _normal(text: str) -> str:
    text = "\n".join(line for line in text.splitlines() if not _of_mlflow(line))
    text = re.sub(r"[─━]+", "─", text)
    text = re.sub(r"\b[0-9a-f]{12,}\b", "ID", text)  # also in pieces, and digests
    text = re.sub(r"((?<!\w)[-+−±])?\d[\d,.:]*(e[-+]?\d+)?", "#", text)
    text = re.sub(r"\b(optuna|keras_tuner|random)-#", "trial-#", text)
    return " ".join(text.split())


if __name__ == "__main__":
    main()
