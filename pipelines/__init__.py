"""The studies that ship with the project: one package for each data set."""
