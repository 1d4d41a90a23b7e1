"""The model card: what users of a registered version should know before they use it.

It follows Mitchell et al., "Model Cards for Model Reporting" (2019).
"""

import json
from collections.abc import Mapping
from typing import Any

from tuning.core.forms import Form, ServedModel
from tuning.evaluation.comparison import Comparison
from tuning.report.tables import change_table, headline, looks_text, markdown_table, model_table
from tuning.study.record import StudyRecord

_USAGE = """\
```python
import mlflow
import pandas as pd

model = mlflow.pyfunc.load_model("models:/{name}@champion")
model.predict({example})
```

To serve it over HTTP, run `mlflow models serve -m models:/{name}@champion`. The model needs the
packages in its `requirements.txt`, and no code of the project that trained it."""

_KERAS_USAGE = """\
```python
import mlflow

model = mlflow.keras.load_model("models:/{name}@champion")
model.predict(inputs)
```

The inputs have the form in which the study loads them. If the model has layers of your own, Keras
needs their classes:

```python
with keras.saving.custom_object_scope({{"MyLayer": MyLayer}}):
    options = {{"compile": False}}
    model = mlflow.keras.load_model("models:/{name}@champion", load_model_kwargs=options)
```

With the study's file, `tuning predict FILE --file rows.npz` builds the model by its code and loads
the weights, also of one with a `Lambda`. Its hyperparameters are {params}."""

_ROLLING_BACK = """\
Run `mlflow run . -e rollback` in the project. Without the project, read the previous version from
the tag `tuning.champions` of the registered model, which lists all champions, oldest first, and
set the alias:
`MlflowClient().set_registered_model_alias("{name}", "champion", <previous version>)`."""


def model_card(record: StudyRecord, comparison: Comparison, name: str, form: Form) -> str:
    """Writes the card as Markdown.

    Args:
        record: Record of the study.
        comparison: Comparison made from the record, with a best configuration.
        name: Name of the registered model.
        form: Model of raw input, or the Keras model itself.
    """
    data, best = record.data, comparison.best
    label = best.label if best is not None else ""
    sizes = ", ".join(f"{count:,} {part}" for part, count in data.sizes.items())
    parts = [
        f"# {name}",
        f"**{data.warning}**" if data.warning else "",
        f"Trial {label} of study {record.study.name}, run `{record.run_id}`. {_inputs(form)}",
        f"## Verdict\n\n{headline(comparison, record.study.compare)}",
        markdown_table(model_table(comparison, record.study.compare)),
        markdown_table(change_table(comparison)) if comparison.changes else "",
        f"## Data\n\n{data.name}: {sizes}. Digest `{data.digest[:16]}`, test rows "
        f"`{data.test_digest[:16] or 'unknown'}`.\n\nTest split: {looks_text(record)}",
        *(_purpose(form) if isinstance(form, ServedModel) else ()),
        f"## How to use it\n\n{_usage(name, form)}",
        f"## Rolling back\n\n{_ROLLING_BACK.format(name=name)}",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _inputs(form: Form) -> str:
    """Describes the inputs and outputs of a model."""
    if isinstance(form, ServedModel):
        outputs = ", ".join(f"`{column}` ({kind})" for column, kind in form.outputs.items())
        columns = ", ".join(f"`{column}` ({kind})" for column, kind in form.inputs.items())
        return f"Input: {columns}. Output: {outputs}."
    spec = json.loads(form.spec_file.read_text("utf-8"))
    names = spec.get("input_names") or [""] * len(spec["inputs"])
    inputs = [
        f"{f'`{name}` ' if name else ''}{_tensor(tensor)}"
        for name, tensor in zip(names, spec["inputs"], strict=True)
    ]
    outputs = ", ".join(map(_tensor, spec["outputs"]))
    return f"Input: {', '.join(inputs)}. Output: {outputs}."


def _tensor(tensor: Mapping[str, Any]) -> str:
    shape = ", ".join("any" if size == -1 else str(size) for size in tensor["shape"][1:])
    return f"{tensor['dtype']} of shape (examples{f', {shape}' if shape else ''})"


def _purpose(served: ServedModel) -> tuple[str, str]:
    limits = "\n".join(f"- {limit}" for limit in served.limits)
    return (
        f"## Intended use\n\n{served.intended_use}" if served.intended_use else "",
        f"## Limits\n\n{limits}" if limits else "",
    )


def _usage(name: str, form: Form) -> str:
    if isinstance(form, ServedModel):
        example = {column: list(values) for column, values in form.input_example.items()}
        if form.rows_belong_together:
            return _USAGE.format(name=name, example="pd.read_csv(…)")
        first = {column: values[:1] for column, values in example.items()}
        return _USAGE.format(name=name, example=f"pd.DataFrame({first})")
    return _KERAS_USAGE.format(name=name, params=form.params)
