"""Writes a new project: a study that others can run, with its environment and a test."""

import re
import sys
from importlib import metadata
from pathlib import Path

from tuning.core.errors import BadInputError
from tuning.core.version import FOLDER

_STUDY = '''"""{title}: replace ``data`` and ``build`` by yours, and run `tuning tune study.py`."""

import keras
from sklearn.datasets import load_diabetes

import tuning

study = tuning.Study(
    name="{name}",
    compare={{"metric": "rmse"}},
    budget={{"trials": 10, "epochs": 30}},
    confirm={{"seeds": 5}},
)


def data():
    """Returns inputs of shape (rows, 10) and targets of shape (rows,)."""
    return load_diabetes(return_X_y=True)


def build(hp):
    """Builds a compiled model; the defaults of the hyperparameters are the baseline."""
    model = keras.Sequential(
        [
            keras.layers.Input((10,)),
            keras.layers.Dense(hp.Int("units", 16, 128, step=16, default=32), activation="relu"),
            keras.layers.Dropout(hp.Float("rate", 0.0, 0.5, step=0.1, default=0.0)),
            keras.layers.Dense(1),
        ]
    )
    rate = hp.Float("learning_rate", 1e-3, 1e-1, sampling="log", default=1e-2)
    model.compile(keras.optimizers.Adam(rate), "mse")
    return model
'''

_PROJECT = """name: {name}

python_env: python_env.yaml

entry_points:
  tune:
    parameters:
      trials: {{type: string, default: ""}}
      seeds: {{type: string, default: ""}}
      resume: {{type: string, default: ""}}
      set: {{type: string, default: ""}}
    command: >-
      python -m tuning tune study.py --trials={{trials}} --seeds={{seeds}} --resume={{resume}}
      --set-all={{set}}
  check:
    command: "python -m tuning check study.py"
  report:
    parameters:
      run_id: {{type: string, default: last}}
    command: "python -m tuning report study.py --run-id={{run_id}}"
"""

_ENVIRONMENT = """python: "{python}"
dependencies:
  - -r requirements.txt
"""

_TEST = '''"""The study can be run: its model trains, is saved, and predicts the same."""

import subprocess
import sys
from pathlib import Path


def test_the_study_can_be_run():
    folder = Path(__file__).parent
    command = [sys.executable, "-m", "tuning", "check", "study.py"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
'''

_IGNORE = """.cache/
mlflow.db
mlruns/
__pycache__/
"""

_README = """# {title}

    mlflow run . -e tune --env-manager local      # or --env-manager uv
    mlflow run . -e tune -P trials=20 -P seeds=5
    python -m tuning ui                           # the runs in the browser

`study.py` has the model and the data. `requirements.txt` has the packages, exactly.
"""

# Packages whose versions a study depends on, besides this library.
_PACKAGES = ("keras", "jax", "tensorflow", "torch", "scikit-learn", "mlflow")


def write_project(folder: Path, source: str = "") -> list[Path]:
    """Writes a project into a folder.

    Args:
        folder: New or empty folder.
        source: Where others install this library from: the path of a wheel, or a reference such
            as ``git+https://…``; empty for where this installation came from.

    Returns:
        The files.

    Raises:
        BadInputError: A file exists already, or it is not known where others can install this
            library from.
    """
    name = re.sub(r"[^A-Za-z0-9_.-]+", "-", folder.absolute().name).strip("-._") or "study"
    texts = {
        "study.py": _STUDY.format(name=name, title=name),
        "MLproject": _PROJECT.format(name=name),
        "python_env.yaml": _ENVIRONMENT.format(python=".".join(map(str, sys.version_info[:3]))),
        "requirements.txt": _requirements(source),
        "test_study.py": _TEST,
        ".gitignore": _IGNORE,
        "README.md": _README.format(title=name),
    }
    present = [name for name in texts if (folder / name).exists()]
    if present:
        raise BadInputError(f"{folder / present[0]} exists already; choose another folder")
    folder.mkdir(parents=True, exist_ok=True)
    for file, text in texts.items():
        (folder / file).write_text(text, "utf-8")
    return [folder / file for file in texts]


def _requirements(source: str) -> str:
    lines = [_reference(source or _origin())]
    for package in sorted({*_PACKAGES, *_direct_dependencies()}):
        try:
            lines.append(f"{package}=={metadata.version(package)}")
        except metadata.PackageNotFoundError:
            continue
    return "\n".join([*lines, ""])


def _direct_dependencies() -> list[str]:
    """Returns the names of the packages that this library needs itself."""
    try:
        texts = metadata.requires("tuning-keras") or []
    except metadata.PackageNotFoundError:  # a checkout that is not installed
        return []
    return [re.split(r"[^A-Za-z0-9_.-]", text)[0] for text in texts if "extra ==" not in text]


def _reference(source: str) -> str:
    """Returns the line by which pip installs this library from a wheel, a folder or an address."""
    if "://" in source:
        return f"tuning-keras @ {source}"
    path = Path(source).expanduser().absolute()
    if not path.exists():
        raise BadInputError(
            f"source: there is no {source!r}; pass the path of a wheel or a checkout, or a "
            "reference such as git+https://host/project@tag"
        )
    return f"tuning-keras @ {path.as_uri()}"


def _origin() -> str:
    """Returns where this installation came from: an address, or the folder of the checkout."""
    checkout = FOLDER.parent
    if (checkout / "pyproject.toml").exists():
        return str(checkout)
    try:
        text = metadata.distribution("tuning-keras").read_text("direct_url.json")
    except metadata.PackageNotFoundError:
        text = None
    if text:
        import json

        return str(json.loads(text)["url"])
    raise BadInputError(
        "source: it is not known where this library was installed from; pass the path of a wheel, "
        "or a reference such as git+https://host/project@tag"
    )
