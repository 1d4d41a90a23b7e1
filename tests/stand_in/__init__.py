"""The folder of the stand-in for Keras: first on the path of a worker, it is what it imports."""

from pathlib import Path

ROOT = Path(__file__).parents[2]
STAND_IN = Path(__file__).parent
