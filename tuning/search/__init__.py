"""The searchers: Optuna, KerasTuner, random search and fixed lists."""
