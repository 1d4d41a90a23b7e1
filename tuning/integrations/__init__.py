"""Drop-ins for code that exists: scripts of KerasTuner and of Optuna."""
