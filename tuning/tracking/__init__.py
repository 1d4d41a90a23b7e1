"""The record: writing it to MLflow while a study runs, and reading it back."""
