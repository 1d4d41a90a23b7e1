"""The trading days: read, checked, and cut into windows."""

import gzip
import hashlib
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd

from tuning.core.errors import BadInputError

FILE = Path(__file__).parent / "data" / "NYSE.csv.gz"
DIGEST = "4bb3e2e9872b2f7e6e8701afb8873cd9f4b7e66ee0b1ba62c116ff2b3a2eec60"
TARGET = "log_volume"
NUMBERS = ("log_volume", "DJ_return", "log_volatility")
DAY = "day_of_week"
# Days before the first forecast, whatever the window, so that all windows have the same targets.
MOST_DAYS = 30
# Share of the training days that are for validation: the last ones.
VALIDATION = 0.2


@cache
def trading_days() -> pd.DataFrame:
    """Reads the trading days in their order.

    Raises:
        BadInputError: The file is not the one that this project ships.
    """
    raw = gzip.decompress(FILE.read_bytes())
    digest = hashlib.sha256(raw).hexdigest()
    if digest != DIGEST:
        raise BadInputError(f"{FILE} has the digest {digest[:16]}; restore it from the repository")
    with gzip.open(FILE) as stream:
        return pd.read_csv(stream, parse_dates=["date"])


def targets_of(part: str) -> np.ndarray:
    """Returns the positions of the days that a part forecasts: search, or train, validation, test.

    The test days are those of the book; the last part of its training days is for validation.
    """
    days = trading_days()
    first_test = int(days["train"].sum())
    border = first_test - round(VALIDATION * first_test)
    begin, end = {
        "search": (MOST_DAYS, first_test),
        "train": (MOST_DAYS, border),
        "validation": (border, first_test),
        "test": (first_test, len(days)),
    }[part]
    return np.arange(begin, end)
