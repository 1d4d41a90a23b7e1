"""The model card: what users of a registered version should know before they use it.

It follows Mitchell et al., "Model Cards for Model Reporting" (2019).
"""

from tuning.core.task import ServedModel
from tuning.evaluation.comparison import Comparison
from tuning.report.tables import change_table, headline, markdown_table, model_table
from tuning.study.record import StudyRecord

_USAGE = """\
```python
import mlflow
import pandas as pd

model = mlflow.pyfunc.load_model("models:/{name}@champion")
model.predict(pd.DataFrame({{{column!r}: [{example!r}]}}))
```

To serve it over HTTP, run `mlflow models serve -m models:/{name}@champion`. The model needs the
packages in its `requirements.txt`, and no code of the project that trained it."""

_ROLLING_BACK = """\
Run `mlflow run . -e rollback` in the project. Without the project, read the previous version from
the champion's tag `tuning.replaces`, and set the alias:
`MlflowClient().set_registered_model_alias("{name}", "champion", <previous version>)`."""


def model_card(record: StudyRecord, comparison: Comparison, name: str, served: ServedModel) -> str:
    """Writes the card as Markdown.

    Args:
        record: Record of the study.
        comparison: Comparison made from the record, with a best configuration.
        name: Name of the registered model.
        served: Description of the model of raw input.
    """
    data, best = record.data, comparison.best
    label = best.label if best is not None else ""
    sizes = ", ".join(f"{count:,} {part}" for part, count in data.sizes.items())
    outputs = ", ".join(f"`{column}` ({kind})" for column, kind in served.outputs.items())
    parts = [
        f"# {name}",
        f"**{data.warning}**" if data.warning else "",
        f"Trial {label} of study {record.study.name}, run `{record.run_id}`. "
        f"Input: `{served.input_column}` (text). Output: {outputs}.",
        f"## Verdict\n\n{headline(comparison, record.study.compare)}",
        markdown_table(model_table(comparison, record.study.compare)),
        markdown_table(change_table(comparison)) if comparison.changes else "",
        f"## Data\n\n{data.name}: {sizes}. Digest `{data.digest[:16]}`. "
        "The test split was predicted only once. The best configuration was chosen on validation.",
        f"## Intended use\n\n{served.intended_use}" if served.intended_use else "",
        "## Limits\n\n" + "\n".join(f"- {limit}" for limit in served.limits)
        if served.limits
        else "",
        "## How to use it\n\n"
        + _USAGE.format(name=name, column=served.input_column, example=served.input_example[0]),
        f"## Rolling back\n\n{_ROLLING_BACK.format(name=name)}",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"
