"""Data that a task hands over: arrays or data sets, with labels and weights."""
