"""Tests of the data that a task hands over."""
