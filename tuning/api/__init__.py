"""Studies from Python code: functions instead of files, and results as objects."""
