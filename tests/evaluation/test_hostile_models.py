"""Model files that carry code: nothing of it runs."""

import contextlib
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tuning.study.sections import Compare

pytestmark = pytest.mark.slow


def lambda_model(file: Path, pwned: Path) -> None:
    """A lambda's code is in the file; of a function with a name, only that is."""
    import keras

    path = str(pwned)
    attack = keras.layers.Lambda(
        lambda x: __import__("pathlib").Path(path).touch() or x[:, :1], output_shape=(1,)
    )
    layers = [keras.layers.Input((2,)), attack]
    keras.Sequential(layers).save(file)


def named_function(file: Path, pwned: Path) -> None:
    """A config that names a function of any module, as CVE-2025-1550 did."""
    import keras

    layers = [keras.layers.Input((2,)), keras.layers.Dense(1, activation="sigmoid")]
    plain = file.with_name("plain.keras")
    keras.Sequential(layers).save(plain)
    with zipfile.ZipFile(plain) as old, zipfile.ZipFile(file, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if name == "config.json":
                config = json.loads(content)
                config["config"]["layers"][1] = {
                    "module": "keras.layers",
                    "class_name": "Lambda",
                    "registered_name": None,
                    "config": {
                        "name": "x",
                        "arguments": {"cmd": f"touch {pwned}"},
                        "function": {
                            "module": "os",
                            "class_name": "function",
                            "config": "system",
                            "registered_name": "system",
                        },
                    },
                    "build_config": {"input_shape": [None, 2]},
                }
                content = json.dumps(config).encode()
            new.writestr(name, content)


class Rows:
    """A test split of three rows, and a model for it."""

    def load(self, split: str) -> Mapping[str, tuple[Any, Any]]:
        return {split: (np.ones((3, 2), "f4"), np.array([0, 1, 1]))}

    def build(self, params: Mapping[str, object]) -> Any:
        import keras

        layers = [keras.layers.Input((2,)), keras.layers.Dense(1, activation="sigmoid")]
        model = keras.Sequential(layers)
        model.compile(loss="binary_crossentropy")
        return model


@pytest.fixture
def hostile(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, Path]:
    """A model file, and the file that would exist if the code of the model had run."""
    file, pwned = tmp_path / "model.keras", tmp_path / "pwned"
    request.param(file, pwned)
    pwned.unlink(missing_ok=True)  # building the model may run it
    return file, pwned


@pytest.mark.parametrize("hostile", [lambda_model, named_function], indirect=True)
def test_the_code_of_a_keras_file_does_not_run_when_the_test_split_is_predicted(
    hostile: tuple[Path, Path],
) -> None:
    from tuning.data.loading import Loader
    from tuning.evaluation.test_split import TrainedModel, predict_test

    file, pwned = hostile
    task = Rows()
    models = {"hostile": TrainedModel({}, file)}
    # Only weights are read, into the model that the task builds. A file that has none fits no
    # model; that of the named function has those of a plain one.
    with contextlib.suppress(ValueError):
        predict_test(task, Loader(task), Compare(), models, None, [])
    assert not pwned.exists()


@pytest.mark.parametrize(
    ("hostile", "reason"),
    [
        (lambda_model, r"deserialization of a .?Lambda.? layer"),
        (named_function, "Could not locate function 'system'"),
    ],
    indirect=["hostile"],
)
def test_a_keras_file_with_code_is_not_loaded_as_a_model(
    hostile: tuple[Path, Path], reason: str
) -> None:
    from tuning.training.saved_model import load_model

    file, pwned = hostile
    with pytest.raises((ValueError, TypeError), match=reason):
        load_model(file)
    assert not pwned.exists()
