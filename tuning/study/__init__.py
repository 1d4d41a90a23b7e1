"""What the user writes: the study file and the search space."""
