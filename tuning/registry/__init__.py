"""Versions in MLflow's model registry: the gate, promotion, rollback and serving."""
