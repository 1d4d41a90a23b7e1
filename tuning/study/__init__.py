"""The study file and its search space, which users write."""
