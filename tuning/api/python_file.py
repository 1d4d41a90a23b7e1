"""A study in a Python file that defines ``build`` and ``data``, without a line that starts it."""

import importlib.util
import os
import shlex
import sys
import traceback
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

from tuning.api.given_data import Split
from tuning.api.settings import settings_of
from tuning.api.tuner import plan_study
from tuning.core.errors import BadInputError, TuningError
from tuning.study.file import Study
from tuning.workflow.plan import Options, Plan, choose_backend

# Names that a file may define besides ``build`` and ``data``, with their meaning in ``tune``.
OPTIONAL = ("study", "metric", "space", "baseline", "fit", "callbacks", "groups", "times")


def read_settings(file: Path) -> Study:
    """Reads the settings of the study of a Python file, without its space.

    Raises:
        BadInputError: The file cannot be read, or a field is wrong.
    """
    # As in a study. It also keeps Keras from TensorFlow, which takes seconds to import.
    os.environ.setdefault("KERAS_BACKEND", choose_backend("auto", "auto"))
    module = _import(file)
    fields = settings_of(_study_of(module), {})
    fields.setdefault("name", _name_of(file))
    return Study.model_validate(fields)


def plan_file(options: Options) -> Plan:
    """Makes the plan of the study that a Python file defines.

    Args:
        options: Options of the run, with the path of the file as study.

    Raises:
        BadInputError: The file does not define what is needed, or something of it is wrong.
    """
    file = options.study
    assert isinstance(file, Path)
    if options.dataset != "auto":
        raise BadInputError(f"dataset: {file} defines its data itself; leave the option out")
    # Before the file is imported, because it imports Keras.
    os.environ["KERAS_BACKEND"] = choose_backend(options.backend, options.gpus)
    module = _import(file)
    for name in ("build", "data"):
        if not hasattr(module, name):
            raise BadInputError(
                f"{file}: it defines no {name}; add def build(hp), and data = (x, y) or a "
                "function data() that returns them"
            )
    given: dict[str, Any] = {name: getattr(module, name, None) for name in OPTIONAL}
    study = _study_of(module)
    fields: dict[str, Any] = {"baseline": given["baseline"]}
    if study is None or "name" not in study.model_fields_set:
        fields["name"] = _name_of(file)
    return plan_study(
        module.build,
        module.data,
        metric=given["metric"],
        space=given["space"],
        study=study,
        fit=given["fit"],
        callbacks=given["callbacks"],
        split=Split(groups=given["groups"], times=given["times"]),
        fields=fields,
        options=replace(options, resume_with=_resume_command(file, options.settings)),
    )


def _resume_command(file: Path, settings: Sequence[str]) -> str:
    words = ["tuning", "tune", str(file), "--resume", "{run_id}"]
    for setting in settings:
        words += ["--set", setting]
    return shlex.join(words).replace("'{run_id}'", "{run_id}")


def _study_of(module: ModuleType) -> Study | None:
    study = getattr(module, "study", None)
    if study is not None and not isinstance(study, Study):
        raise BadInputError(
            f"{module.__file__}: study must be a tuning.Study; got a {type(study).__name__}"
        )
    return study


def _name_of(file: Path) -> str:
    name = "".join(each if each.isalnum() or each in "_.-" else "-" for each in file.stem)
    return name.strip("-._") or "study"


def _import(file: Path) -> ModuleType:
    """Imports a file under its own name, so that ``if __name__ == "__main__"`` does not run."""
    if not file.is_file():
        raise BadInputError(
            f"there is no file {str(file)!r}; pass the path of a study.yaml or .py"
        )
    name = file.stem
    loaded = sys.modules.get(name)
    if loaded is not None and getattr(loaded, "__file__", "") == str(file.absolute()):
        return loaded
    if loaded is not None or importlib.util.find_spec(name.partition(".")[0]) is not None:
        name = f"study_{name}"  # a file wine.py must not hide a package wine
    folder = str(file.absolute().parent)
    if folder not in sys.path:
        sys.path.insert(0, folder)
    spec = importlib.util.spec_from_file_location(name, file.absolute())
    assert spec is not None and spec.loader is not None, "its suffix is .py"
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except TuningError:
        raise
    except Exception as error:
        del sys.modules[name]
        last = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{last.filename}:{last.lineno}"
        raise BadInputError(f"{file}: {type(error).__name__}: {error} ({place})") from error
    return module
