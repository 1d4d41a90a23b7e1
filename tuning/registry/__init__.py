"""Models in MLflow's model registry: registration, gate, promotion, rollback and serving."""
