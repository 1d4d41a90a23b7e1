"""MLflow: the store, the record of a study, its models."""
