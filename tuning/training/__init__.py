"""Training of a trial inside a worker process, from the build to the saved model."""
