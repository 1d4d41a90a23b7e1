"""Metrics of predictions on the test split, per model and per example."""
