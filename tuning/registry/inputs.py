"""Reads inputs for a registered model from a text, CSV, JSON or npz file."""

import json
import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tuning.core.errors import BadInputError

if TYPE_CHECKING:
    from mlflow.types import Schema

KINDS = (".csv", ".json", ".npz")


def read_file(file: str) -> Any:
    """Reads a file of inputs.

    Args:
        file: Path of the file, or ``-`` for standard input. Its ending tells its kind; without one
            of ``KINDS``, it has one text per line.

    Returns:
        Texts, a data frame (CSV), the value of a JSON document, or arrays by name (npz).

    Raises:
        BadInputError: The file cannot be read, or it has no inputs.
    """
    kind = Path(file).suffix.lower() if file != "-" else ""
    try:
        if kind == ".csv":
            import pandas as pd

            # As texts: "NA" may be a word, and 007 a name.
            values: Any = pd.read_csv(file, dtype=str, keep_default_na=False)
        elif kind == ".json":
            values = json.loads(Path(file).read_text("utf-8"))
        elif kind == ".npz":
            with np.load(file, allow_pickle=False) as arrays:
                values = {name: arrays[name] for name in arrays.files}
        else:
            stream = sys.stdin.read() if file == "-" else Path(file).read_text("utf-8", "replace")
            values = [line for line in stream.splitlines() if line.strip()]
    except (OSError, ValueError) as error:
        raise BadInputError(f"file: {file!r} cannot be read ({error})") from error
    if not len(values):
        raise BadInputError(f"file: {file!r} holds no {'input' if kind in KINDS else 'text'}")
    return values


def as_texts(values: Any, column: str) -> list[str]:
    """Returns the values as texts, for a model with one column of raw input.

    Raises:
        BadInputError: There is no such column, or the values are no texts.
    """
    if hasattr(values, "columns"):  # a data frame
        names = list(values.columns)
        if column not in names and len(names) > 1:
            raise BadInputError(
                f"file: the model reads the column {column!r}; got {', '.join(map(str, names))}"
            )
        return [str(value) for value in values[column if column in names else names[0]]]
    if isinstance(values, Mapping):
        values = values.get(column, next(iter(values.values())) if len(values) == 1 else None)
    if isinstance(values, Sequence | np.ndarray) and not isinstance(values, str):
        texts = [value.get(column) if isinstance(value, Mapping) else value for value in values]
        if all(isinstance(text, str) for text in texts):
            return [str(text) for text in texts]
    raise BadInputError(
        f"file: the model reads texts; give a list of them, or a list of {{{column!r}: text}}"
    )


def as_table(values: Any, schema: "Schema") -> Any:
    """Returns the values as a data frame with the columns of a schema, for a model of tables.

    Args:
        values: What ``read_file`` has returned: a data frame of texts, a mapping of columns, or a
            list of rows.
        schema: Input schema of the model, of named columns.

    Raises:
        BadInputError: A column is missing, or a value has the wrong type.
    """
    import pandas as pd

    try:
        table = pd.DataFrame(values)
    except (TypeError, ValueError) as error:
        raise BadInputError(f"file: it holds no table ({error})") from error
    types: dict[str, Any] = {str(column.name): column.type for column in schema.inputs}
    missing = [name for name in types if name not in table.columns]
    if missing:
        raise BadInputError(
            f"file: the model reads the columns {', '.join(types)}; {missing[0]!r} is missing"
        )
    for name, kind in types.items():
        if is_text_type(kind):
            continue
        if str(kind) == "DataType.boolean":
            table[name] = _as_booleans(name, table[name])
            continue
        given = table[name].replace("", None)  # an empty cell is a missing value
        numbers = pd.to_numeric(given, errors="coerce")
        bad = table.index[numbers.isna() & given.notna()]
        if len(bad):
            raise BadInputError(
                f"file: the column {name!r} needs numbers; row {bad[0] + 1} has "
                f"{table[name][bad[0]]!r}"
            )
        table[name] = numbers.astype(kind.to_numpy() if given.notna().all() else float)
    return table[[*types]]


def _as_booleans(name: str, column: Any) -> Any:
    words = {"true": True, "1": True, "1.0": True, "false": False, "0": False, "0.0": False}
    found = column.astype(str).str.strip().str.lower().map(words)
    bad = column.index[found.isna()]
    if len(bad):
        raise BadInputError(
            f"file: the column {name!r} needs true or false; row {bad[0] + 1} has "
            f"{column[bad[0]]!r}"
        )
    return found.astype(bool)


def is_text_type(kind: Any) -> bool:
    """Returns whether the type of a column in MLflow is text."""
    return str(kind) == "DataType.string"


def as_tensors(values: Any, schema: "Schema") -> Any:
    """Returns the values in the form in which a Keras model takes them.

    Args:
        values: What ``read_file`` has returned.
        schema: Input schema of the model, of tensors.

    Returns:
        An array of shape (examples, …), or arrays by name.

    Raises:
        BadInputError: The values do not fit the schema; the message says what it takes.
    """
    tensors = schema.inputs
    if len(tensors) == 1 and tensors[0].name is None:
        if isinstance(values, Mapping):
            if len(values) != 1:
                raise BadInputError(
                    f"file: the model has one input; got {len(values)}: {', '.join(values)}"
                )
            values = next(iter(values.values()))
        return _array(values, tensors[0])
    names = [str(tensor.name) for tensor in tensors]
    if hasattr(values, "columns"):
        values = {name: values[name] for name in names if name in values.columns}
    elif isinstance(values, Sequence) and all(isinstance(each, Mapping) for each in values):
        values = {name: [each.get(name) for each in values] for name in names}
    if not isinstance(values, Mapping) or set(names) - set(values):
        raise BadInputError(f"file: the model needs the inputs {', '.join(names)} by name")
    arrays = {
        name: _array(values[name], tensor) for name, tensor in zip(names, tensors, strict=True)
    }
    # A model whose inputs have no names takes them in their order.
    return list(arrays.values()) if names == [str(i) for i in range(len(names))] else arrays


def _array(values: Any, tensor: Any) -> Any:
    """Returns values as an array of the type and the shape of a tensor; -1 stands for any size."""
    if hasattr(values, "to_numpy"):
        values = values.to_numpy()
    try:
        array = np.asarray(values, dtype=tensor.type)
    except (TypeError, ValueError) as error:
        raise BadInputError(f"file: the inputs are not of type {tensor.type} ({error})") from error
    inner = tuple(int(size) for size in tensor.shape[1:])
    if array.ndim == 2 and len(inner) != 1 and array.shape[1] == math.prod(inner):
        array = array.reshape(len(array), *inner)  # rows of a table
    if array.ndim == 1 and inner == (1,):
        array = array[:, None]
    fits = array.ndim == len(inner) + 1 and all(
        wanted in (-1, size) for wanted, size in zip(inner, array.shape[1:], strict=False)
    )
    if not fits:
        shape = ", ".join("any" if size == -1 else str(size) for size in inner)
        raise BadInputError(
            f"file: an input{f' {tensor.name!r}' if tensor.name else ''} must have the shape "
            f"(examples, {shape}); got {array.shape}"
        )
    return array
