"""Computes the comparison of a study from its record and the predictions for the test split."""
