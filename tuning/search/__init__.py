"""Who proposes: Optuna, KerasTuner, random search and fixed lists."""
