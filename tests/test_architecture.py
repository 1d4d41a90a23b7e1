"""The rules of the house: what may import what, what importing costs, how long a file may be."""

import ast
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MODULES = sorted(
    path for folder in ("tuning", "pipelines") for path in (ROOT / folder).rglob("*.py")
)
HEAVY = ("keras", "tensorflow", "jax", "mlflow", "optuna", "keras_tuner", "matplotlib", "pandas")

# Package to the packages that it may import, besides itself. Every import counts, also one inside
# a function or for type checking.
ALLOWED: dict[str, tuple[str, ...]] = {
    "core": (),
    "data": ("core",),
    "metrics": ("core",),
    "study": ("core", "metrics"),
    "training": ("core", "data", "metrics", "study"),
    "driver": ("core", "study"),
    "search": ("core", "study"),
    "executors": ("core", "study", "training"),
    "tracking": ("core", "study", "training"),
    "evaluation": ("core", "data", "metrics", "study", "training", "search", "tracking"),
    "registry": ("core", "data", "metrics", "study", "tracking", "evaluation"),
    "report": ("core", "metrics", "study", "tracking", "evaluation"),
    "workflow": (
        "core",
        "data",
        "metrics",
        "study",
        "training",
        "driver",
        "search",
        "executors",
        "tracking",
        "evaluation",
        "registry",
        "report",
    ),
    "api": (
        "core",
        "data",
        "metrics",
        "study",
        "training",
        "search",
        "tracking",
        "evaluation",
        "registry",
        "report",
        "workflow",
    ),
    "integrations": ("core", "data", "metrics", "study", "tracking", "workflow", "api"),
    "cli": ("core", "study", "tracking", "evaluation", "registry", "report", "workflow", "api"),
    "testing": ("core", "study"),
}
# Package to the libraries that it must not import.
WITHOUT: dict[str, tuple[str, ...]] = {
    "core": ("mlflow", "optuna", "keras_tuner", "ray", "jax"),
    "study": (*HEAVY, "ray"),
    "driver": (*HEAVY, "ray"),
    "search": ("mlflow", "keras", "ray"),
    "training": ("mlflow", "optuna", "keras_tuner", "ray"),
    "executors": ("mlflow", "optuna", "keras_tuner"),
    "evaluation": ("mlflow", "ray"),
    "report": ("mlflow", "ray"),
}


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts).removesuffix(".__init__")


NAMES = {name_of(path): path for path in MODULES}


def imports_of(path: Path) -> Iterator[str]:
    """The modules that a file imports, anywhere in it; of a package the module that is meant."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield inner if inner in NAMES else str(node.module)


def package_of(name: str) -> str:
    """The room of a module of ``tuning``; empty for the root."""
    parts = name.split(".")
    return parts[1] if len(parts) > 1 and (ROOT / "tuning" / parts[1]).is_dir() else ""


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_only_go_down(path: Path) -> None:
    name = name_of(path)
    for imported in imports_of(path):
        if name.startswith("tuning"):
            assert not imported.startswith("pipelines"), f"{name} imports {imported}"
            for library in WITHOUT.get(package_of(name), ()):
                assert imported.split(".")[0] != library, f"{name} imports {imported}"
        room = package_of(name)
        if not room or not imported.startswith("tuning.") or package_of(imported) in ("", room):
            continue
        assert package_of(imported) in ALLOWED[room], f"{name} imports {imported}"


def test_every_package_has_its_line_and_there_is_no_cycle_anywhere() -> None:
    rooms = {path.parent.name for path in (ROOT / "tuning").glob("*/__init__.py")}
    assert rooms == set(ALLOWED)
    try:
        TopologicalSorter(ALLOWED).prepare()
        TopologicalSorter(
            {name: set(imports_of(path)) & set(NAMES) for name, path in NAMES.items()}
        ).prepare()
    except CycleError as error:
        pytest.fail(f"a cycle: {' -> '.join(error.args[1])}")


def test_the_root_has_no_modules_but_its_entrances() -> None:
    assert {path.name for path in (ROOT / "tuning").glob("*.py")} == {"__init__.py", "__main__.py"}


def test_no_two_classes_share_a_name() -> None:
    classes = Counter(
        node.name
        for path in MODULES
        for node in ast.parse(path.read_text("utf-8")).body
        if isinstance(node, ast.ClassDef)
    )
    assert [name for name, count in classes.items() if count > 1] == []


def test_the_tests_mirror_the_packages() -> None:
    folders = {path.name for path in (ROOT / "tests").iterdir() if (path / "__init__.py").exists()}
    others = {"browser", "docs", "e2e", "fuzz", "kinds", "pipelines", "release", "stand_in"}
    assert folders - others <= set(ALLOWED)
    assert set(ALLOWED) - folders <= set(), "every package has a folder of tests"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_module_says_what_it_is_for_and_is_not_too_long(path: Path) -> None:
    text = path.read_text("utf-8")
    assert ast.get_docstring(ast.parse(text))
    assert text.count("\n") <= 380


def test_the_way_to_help_and_to_input_errors_is_light() -> None:
    code = (
        "import sys, contextlib\n"
        "from tuning.cli.main import main\n"
        "from tuning.cli.parser import build_parser\n"
        "from tuning.workflow.plan import Options, make_plan\n"
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
    names = [name for name in NAMES if name != "pipelines.imdb.serving_model"]
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r})\n" + "\n".join(
        f"import {name}" for name in names
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert not list(tmp_path.iterdir())
