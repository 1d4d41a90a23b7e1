"""The driver: it takes trials from sources, has them trained, and informs listeners."""
