"""Tune Keras models: search, repeat with fresh seeds, compare on test data, promote the winner.

Importing the package is cheap. Functions import Keras, TensorFlow, JAX and MLflow only when they
need them, after the arguments and the study file have been checked.
"""

__version__ = "0.2.0.dev0"
