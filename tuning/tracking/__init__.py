"""Access to MLflow: the store, the record of a study, and its models."""
