"""Predictions with registered Keras models, from files of every kind."""

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from tests.factories import make_study
from tuning.core.errors import BadInputError
from tuning.core.forms import KerasForm
from tuning.registry.inputs import as_tensors, as_texts, read_file
from tuning.registry.prediction import predict
from tuning.registry.registration import register
from tuning.registry.versions import version_of
from tuning.tracking import keys

if TYPE_CHECKING:
    from mlflow import MlflowClient


@dataclass(frozen=True)
class Tensor:
    """An input of a model, as MLflow's signature describes it."""

    type: Any
    shape: tuple[int, ...]
    name: str | None = None


@dataclass(frozen=True)
class Schema:
    inputs: list[Tensor]


TABLE = Schema([Tensor(np.dtype("float32"), (-1, 3))])
IMAGES = Schema([Tensor(np.dtype("float32"), (-1, 2, 2, 1))])
TWO = Schema(
    [Tensor(np.dtype("float32"), (-1, 2), "body"), Tensor(np.dtype("int64"), (-1, 1), "age")]
)
ROWS = [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]


def values_of(folder: Path, name: str, content: Any) -> Any:
    file = folder / name
    if name.endswith(".npz"):
        np.savez(file, **content)
    else:
        file.write_text(content if isinstance(content, str) else json.dumps(content))
    return read_file(str(file))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("rows.csv", "a,b,c\n1,2,3\n4,5,6\n"),
        ("rows.json", ROWS),
        ("rows.npz", {"x": np.array(ROWS)}),
    ],
)
def test_rows_of_a_table_come_in_every_form(tmp_path: Path, name: str, content: Any) -> None:
    array = as_tensors(values_of(tmp_path, name, content), TABLE)  # type: ignore[arg-type]
    assert array.dtype == np.float32
    assert array.tolist() == ROWS


def test_images_come_as_they_are_or_as_rows(tmp_path: Path) -> None:
    images = np.arange(8, dtype=float).reshape(2, 2, 2, 1)
    for name, content in (
        ("i.npz", {"images": images}),
        ("i.json", images.tolist()),
        ("i.csv", "a,b,c,d\n0,1,2,3\n4,5,6,7\n"),
    ):
        array = as_tensors(values_of(tmp_path, name, content), IMAGES)  # type: ignore[arg-type]
        assert np.array_equal(array, images)


def test_several_inputs_come_by_their_names(tmp_path: Path) -> None:
    for name, content in (
        ("two.npz", {"age": np.array([[3], [4]]), "body": np.ones((2, 2)), "other": np.ones(2)}),
        ("two.json", {"age": [3, 4], "body": [[1, 1], [1, 1]]}),
        ("rows.json", [{"age": 3, "body": [1, 1]}, {"age": 4, "body": [1, 1]}]),
    ):
        arrays = as_tensors(values_of(tmp_path, name, content), TWO)  # type: ignore[arg-type]
        assert arrays["age"].tolist() == [[3], [4]]
        assert arrays["body"].tolist() == [[1, 1], [1, 1]]


@pytest.mark.parametrize(
    ("schema", "values", "message"),
    [
        (TABLE, [[1.0, 2.0]], r"must have the shape \(examples, 3\); got \(1, 2\)"),
        (TABLE, [["a", "b", "c"]], "the inputs are not of type float32"),
        (TABLE, {"a": ROWS, "b": ROWS}, "the model has one input; got 2: a, b"),
        (TWO, ROWS, "the model needs the inputs body, age by name"),
        (TWO, {"age": [1]}, "the model needs the inputs body, age by name"),
    ],
)
def test_inputs_that_do_not_fit_are_refused_with_what_is_needed(
    schema: Any, values: Any, message: str
) -> None:
    with pytest.raises(BadInputError, match=message):
        as_tensors(values, schema)


def test_texts_come_in_every_form(tmp_path: Path) -> None:
    texts = ["A fine film.", "A dull, long one."]
    for name, content in (
        ("t.txt", "A fine film.\n\nA dull, long one.\n"),
        ("t.csv", 'stars,review\n9,A fine film.\n2,"A dull, long one."\n'),
        ("one.csv", 'words\nA fine film.\n"A dull, long one."\n'),
        ("t.json", texts),
        ("rows.json", [{"review": text} for text in texts]),
        ("t.npz", {"review": np.array(texts)}),
    ):
        assert as_texts(values_of(tmp_path, name, content), "review") == texts
    for values in ([1, 2], [{"other": "a"}]):
        with pytest.raises(BadInputError, match="the model reads texts"):
            as_texts(values, "review")
    with pytest.raises(BadInputError, match="the model reads the column 'review'; got a, b"):
        as_texts(values_of(tmp_path, "two.csv", "a,b\nx,y\n"), "review")


@pytest.mark.parametrize(
    ("name", "content"),
    [("x.json", "{"), ("x.npz", b"no"), ("x.csv", ""), ("x.json", b"\xff\xfe\x00")],
)
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, name: str, content: Any) -> None:
    file = tmp_path / name
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(BadInputError, match=f"file: '.*{name}' cannot be read"):
        read_file(str(file))


def test_a_pickle_in_an_npz_file_is_not_loaded(tmp_path: Path) -> None:
    np.savez(tmp_path / "evil.npz", x=np.array([print], dtype=object))
    with pytest.raises(BadInputError, match="cannot be read"):
        read_file(str(tmp_path / "evil.npz"))


@pytest.mark.slow
def test_a_registered_keras_model_predicts_a_file(
    client: "MlflowClient",
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    import keras

    from tuning.training.saved_model import save_model

    inputs = keras.Input((3,))
    model = keras.Model(inputs, keras.layers.Dense(2, activation="softmax")(inputs))
    example = np.array(ROWS, dtype="float32")
    saved = save_model(model, tmp_path, example[:1])
    form = KerasForm(
        model_file=Path(saved["model"]),
        spec_file=Path(saved["model_spec"]),
        example=example,
        step=1,
        params="{'units': 2}",
    )
    experiment = client.get_experiment_by_name("test")
    assert experiment is not None
    run_id = client.create_run(experiment.experiment_id).info.run_id
    version = register(
        client,
        name="toy",
        run_id=run_id,
        make=lambda folder: form,
        tags={keys.PARENT_RUN: run_id},
        card=lambda form: "# toy\n",
    )
    tags = client.get_model_version("toy", version).tags
    assert float(tags[keys.LATENCY]) > 0 and float(tags[keys.SIZE]) > 0
    values = values_of(tmp_path, "rows.csv", "a,b,c\n1,2,3\n4,5,6\n")
    assert "━" not in "".join(capfd.readouterr()), "no progress bar"
    monkeypatch.delenv("KERAS_BACKEND")
    address, *lines = predict(client, None, make_study(), values)
    assert address == "models:/toy@challenger"
    assert os.environ["KERAS_BACKEND"] == "jax", "the backend that trained it"
    expected = model.predict(example, verbose=0)
    found = [[float(number) for number in line.split()] for line in lines]
    assert np.allclose(found, expected, atol=1e-5)
    with pytest.raises(BadInputError, match=re.escape("must have the shape (examples, 3)")):
        predict(client, None, make_study(), [[1.0]])

    # Of a model with layers of the user, Keras reads the weights only.
    def refuse(address: str) -> Any:
        raise TypeError("Could not locate class 'AttentionPool'. Make sure " + "x" * 5_000)

    monkeypatch.setattr("tuning.registry.prediction.load_keras", refuse)
    with pytest.raises(
        BadInputError, match=r"needs? the code of its task.*AttentionPool"
    ) as caught:
        predict(client, None, make_study(), values)
    assert len(str(caught.value)) < 400
    asked: list[str] = []

    def rebuild(address: str) -> Any:
        asked.append(address)
        return model

    assert predict(client, None, make_study(), values, rebuild=rebuild)[1:] == lines
    assert asked == ["models:/toy@challenger"]
    assert str(version_of(client, "models:/toy@challenger").version) == version
    assert version_of(client, f"models:/toy/{version}").tags[keys.PARENT_RUN] == run_id
    for wrong in ("models:/toy@nobody", "models:/toy/77", "models:/m-123"):
        with pytest.raises(BadInputError):
            version_of(client, wrong)
