"""The model card: what whoever finds a version in the registry should know before using it.

After Mitchell et al., Model Cards for Model Reporting (2019).
"""

from tuning.core.task import ServedModel
from tuning.evaluation.comparison import Comparison
from tuning.report.report import change_table, headline, markdown_table, model_table
from tuning.study.record import StudyRecord

_ASKING = """\
```python
import mlflow
import pandas as pd

model = mlflow.pyfunc.load_model("models:/{name}@champion")
model.predict(pd.DataFrame({{{column!r}: [{example!r}]}}))
```

Or over HTTP: `mlflow models serve -m models:/{name}@champion`. It needs the packages in its
`requirements.txt` and nothing of the project that trained it."""

_ROLLING_BACK = """\
`mlflow run . -e rollback` where the project is at hand. Anywhere else the tag `tuning.replaces` of
the champion names the version before it:
`MlflowClient().set_registered_model_alias("{name}", "champion", <that version>)`."""


def model_card(record: StudyRecord, comparison: Comparison, name: str, served: ServedModel) -> str:
    """Writes the card as Markdown.

    Args:
        record: The study.
        comparison: Made from it; it has a best.
        name: In the registry.
        served: The model of raw input.
    """
    data, best = record.data, comparison.best
    label = best.label if best is not None else ""
    sizes = ", ".join(f"{count:,} {part}" for part, count in data.sizes.items())
    answers = ", ".join(f"`{column}` ({kind})" for column, kind in served.outputs.items())
    parts = [
        f"# {name}",
        f"**{data.warning}**" if data.warning else "",
        f"Trial {label} of study {record.study.name}, run `{record.run_id}`. "
        f"Takes `{served.input_column}` (text), answers {answers}.",
        f"## Verdict\n\n{headline(comparison, record.study.compare.confidence)}",
        markdown_table(model_table(comparison)),
        markdown_table(change_table(comparison)) if comparison.changes else "",
        f"## Data\n\n{data.name}: {sizes}. Digest `{data.digest[:16]}`. "
        "The test part was read once, after every choice was made.",
        f"## Intended use\n\n{served.intended_use}" if served.intended_use else "",
        "## Limits\n\n" + "\n".join(f"- {limit}" for limit in served.limits)
        if served.limits
        else "",
        "## Asking it\n\n"
        + _ASKING.format(name=name, column=served.input_column, example=served.input_example[0]),
        f"## Going back\n\n{_ROLLING_BACK.format(name=name)}",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"
