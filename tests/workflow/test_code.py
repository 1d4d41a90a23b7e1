"""Which files are a study's code, and how they are named."""

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tuning.workflow.code import changed_files, code_digests


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    for name, text in {
        "tasks/__init__.py": "",
        "tasks/wine.py": "import lib.a\n\nclass Wine:\n    pass\n",
        "lib/__init__.py": "",
        "lib/a/__init__.py": "A = 1\n",
        "lib/b/__init__.py": "B = 2\n",
        "metrics_of_mine.py": "def cost(truth, prediction):\n    return 0.0\n",
    }.items():
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    before = set(sys.modules)
    importlib.import_module("tasks.wine")
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


def test_files_are_named_by_their_place_in_the_project(project: Path) -> None:
    before = code_digests("tasks.wine:Wine")
    mine = {name for name in before if not name.startswith("..")}
    assert {"tasks/wine.py", "lib/a/__init__.py"} <= mine
    assert "metrics_of_mine.py" not in mine
    importlib.import_module("lib.b")  # perhaps only a second run needs it
    now = code_digests("tasks.wine:Wine")
    assert "lib/b/__init__.py" in now
    assert changed_files(before, now) == []


def test_a_module_of_a_metric_counts(project: Path) -> None:
    metrics = ["accuracy", "metrics_of_mine:cost"]
    before = code_digests("tasks.wine:Wine", metrics)
    (project / "metrics_of_mine.py").write_text("def cost(truth, prediction):\n    return 1.0\n")
    now = code_digests("tasks.wine:Wine", metrics)
    assert changed_files(before, now) == ["metrics_of_mine.py"]


def test_python_itself_packages_and_the_script_are_no_code_of_the_study(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir("/")
    names = code_digests("tasks.wine:Wine")
    assert not [
        name for name in names if "site-packages" in name or name.endswith("/json/decoder.py")
    ]
    main = getattr(sys.modules["__main__"], "__file__", None)
    assert main is None or not [name for name in names if name.endswith(Path(main).as_posix())]
