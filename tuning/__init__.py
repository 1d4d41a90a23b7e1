"""Tune Keras models honestly: search, repeat, compare on held-out data, promote what is better.

Importing the package is cheap on purpose: Keras, TensorFlow, JAX and MLflow are imported by the
functions that need them, after the arguments and the study are known to be good.
"""

__version__ = "0.1.0"
