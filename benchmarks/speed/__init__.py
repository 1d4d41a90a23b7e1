"""The same trainings by us and by the scripts that people write instead, in one run."""
