"""The workflow of a study, from its options to its registered model."""
