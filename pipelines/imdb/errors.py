"""The error that every data reader of this package raises."""

from tuning.core.errors import BadInputError


class DataError(BadInputError, ValueError):
    """A data set cannot be found, is not in an accepted form, or is not safe to read."""
