"""Metrics: one value, and one per example, of what models say of the test split."""
