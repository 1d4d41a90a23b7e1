"""The rules of the house: who may import whom, what importing costs, how long a file may be."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MODULES = sorted(
    path for folder in ("tuning", "pipelines") for path in (ROOT / folder).rglob("*.py")
)
HEAVY = ("keras", "tensorflow", "jax", "mlflow", "optuna", "keras_tuner", "matplotlib", "pandas")

# Part of the package to what it must never import.
FORBIDDEN = {
    "tuning": ("pipelines",),
    "tuning/driver.py": (*HEAVY, "ray"),
    "tuning/search": ("mlflow", "keras", "tuning.executors", "tuning.tracking", "tuning.driver"),
    "tuning/executors": ("mlflow", "optuna", "keras_tuner", "tuning.search", "tuning.tracking"),
    "tuning/worker.py": ("mlflow", "optuna", "keras_tuner", "tuning.search", "tuning.tracking"),
    "tuning/training.py": ("mlflow", "optuna", "keras_tuner", "tuning.search", "tuning.tracking"),
    "tuning/compare": ("tuning.driver", "tuning.executors", "tuning.phases", "tuning.session"),
    "tuning/tracking": ("tuning.driver", "tuning.executors", "tuning.search", "tuning.compare"),
    "tuning/protocols.py": ("tuning.driver", "tuning.search", "tuning.executors"),
}


def imported(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return found


@pytest.mark.parametrize("part", FORBIDDEN)
def test_imports_point_one_way(part: str) -> None:
    paths = [p for p in MODULES if (ROOT / part) in (p, *p.parents)]
    assert paths
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in paths
        for name in imported(path)
        for banned in FORBIDDEN[part]
        if name == banned or name.startswith(f"{banned}.")
    ]
    assert not wrong


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_module_says_what_it_is_for_and_is_not_too_long(path: Path) -> None:
    text = path.read_text("utf-8")
    assert ast.get_docstring(ast.parse(text))
    assert text.count("\n") <= 400


def test_the_way_to_help_and_to_input_errors_is_light() -> None:
    code = (
        "import sys, contextlib\n"
        "from tuning.cli import build_parser, main\n"
        "from tuning.plan import Options, make_plan\n"
        "from pathlib import Path\n"
        "build_parser()\n"
        "make_plan(Options(study=Path('pipelines/imdb/study.yaml')))\n"
        "main(['tune', '--study', 'nowhere.yaml'])\n"
        f"loaded = [name for name in {HEAVY!r} if name in sys.modules]\n"
        "assert not loaded, loaded\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_importing_any_module_prints_nothing_and_leaves_no_file(tmp_path: Path) -> None:
    names = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for path in MODULES
        if path.name not in ("serving_model.py",) and path.parent.name != "compare"
    ]
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r})\n" + "\n".join(
        f"import {name.removesuffix('.__init__')}" for name in names
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert not list(tmp_path.iterdir())
