"""Inside a worker process: one trial, from its build to its saved model."""
