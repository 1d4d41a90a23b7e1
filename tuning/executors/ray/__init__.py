"""Executor on a Ray cluster."""
