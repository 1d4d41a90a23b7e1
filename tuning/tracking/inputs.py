"""Describes data sets as inputs of MLflow's runs."""

import json
from typing import Any

from tuning.protocols import DataInfo

DIGEST_LENGTH = 36


def dataset_inputs(data: DataInfo, context: str) -> list[Any]:
    """Describes the data set for MLflow, by our digest of all of it.

    MLflow's own digest covers the first rows only.
    """
    from mlflow.entities import Dataset, DatasetInput, InputTag

    dataset = Dataset(
        name=data.name,
        digest=data.digest[:DIGEST_LENGTH],
        source_type="local",
        source=json.dumps({"uri": data.source}),
        profile=json.dumps(dict(data.sizes)),
    )
    return [DatasetInput(dataset, [InputTag("mlflow.data.context", context)])]
