"""Measurements; each prints what it found and needs nothing but the project."""
