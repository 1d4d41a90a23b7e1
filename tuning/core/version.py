"""The version of this library, and the folder of its code."""

from pathlib import Path

VERSION = "0.2.0.dev0"
FOLDER = Path(__file__).parents[1]
