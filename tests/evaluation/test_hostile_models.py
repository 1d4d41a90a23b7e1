"""Model files that carry code: nothing of it runs."""

import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytestmark = pytest.mark.slow


class Rows:
    """A test split of three rows."""

    def load(self, split: str) -> Mapping[str, tuple[Any, Any]]:
        return {split: (np.ones((3, 2), "f4"), np.array([0, 1, 1]))}


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


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda_model, r"deserialization of a .?Lambda.? layer"),
        (named_function, "Could not locate function 'system'"),
    ],
)
def test_a_keras_file_with_code_is_refused(tmp_path: Path, make: Any, reason: str) -> None:
    from tuning.evaluation.test_split import predict_test

    file, pwned = tmp_path / "model.keras", tmp_path / "pwned"
    make(file, pwned)
    pwned.unlink(missing_ok=True)  # building the model may run it
    with pytest.raises((ValueError, TypeError), match=reason):
        predict_test(Rows(), {"hostile": file}, None, [])  # type: ignore[arg-type]
    assert not pwned.exists()
