"""Reads a pickled object array of numpy's without running what the pickle names.

Unpickling calls whatever callable a pickle names, with whatever arguments. Here every name
resolves to an inert stand-in: the pickle can describe one flat array of plain Python objects and
nothing else, and not even numpy sees what it says.
"""

import pickle
from typing import IO, NoReturn

from pipelines.imdb.errors import DataError


def load_object_row(stream: IO[bytes]) -> list[object]:
    """Reads the pickle that follows the header of an ``.npy`` file of objects.

    Args:
        stream: Binary stream that stands after the header.

    Returns:
        The objects in the array: numbers, texts, lists and the like, or a ``PickledArray``.

    Raises:
        DataError: The pickle names something that a flat array of objects does not need.
        Exception: The pickle is damaged; which exception is up to the ``pickle`` module.
    """
    array = _ArrayUnpickler(stream).load()
    if not isinstance(array, PickledArray) or array.rows is None:
        raise pickle.UnpicklingError(f"a {type(array).__name__} instead of an array")
    return array.rows


class _Inert:
    """Stand-in for a callable that a pickle of an object array names; it keeps no state."""

    __slots__ = ()

    def __setstate__(self, state: object) -> NoReturn:
        # Without it, the pickle could set attributes here and so outlive its own reading.
        raise pickle.UnpicklingError("refused to change a name of the reader")


class _ArrayType(_Inert):
    """Stands for ``numpy.ndarray``, which a pickle names only as an argument."""

    __slots__ = ()


class _PickledDtype:
    """Stands for the ``numpy.dtype`` of objects; any other is refused."""

    __slots__ = ()

    def __setstate__(self, state: object) -> None:
        """Ignores byte order and alignment, which objects do not have."""


class PickledArray:
    """What a pickle says about an array: the objects in it, or None before it has said so."""

    __slots__ = ("rows",)

    def __init__(self) -> None:
        """Starts without objects; the pickle gives them as the state."""
        self.rows: list[object] | None = None

    def __setstate__(self, state: object) -> None:
        """Takes the objects, once, where the state describes a flat list of them."""
        match state:
            case (int(), (int() as count,), _PickledDtype(), bool() | int(), list() as rows) if (
                self.rows is None and count == len(rows)
            ):
                self.rows = rows
            case _:
                raise pickle.UnpicklingError("an array that is not a flat list of objects")


class _MakeArray(_Inert):
    """Stands for ``numpy.core.multiarray._reconstruct``."""

    __slots__ = ()

    def __call__(self, array_type: object, shape: object, code: object) -> PickledArray:
        if not isinstance(array_type, _ArrayType) or shape != (0,) or code not in (b"b", "b"):
            raise pickle.UnpicklingError("an array made in an unusual way")
        return PickledArray()


class _MakeDtype(_Inert):
    """Stands for ``numpy.dtype``."""

    __slots__ = ()

    def __call__(self, code: object, *flags: object) -> _PickledDtype:
        if code not in ("O", "O4", "O8", "|O"):
            raise pickle.UnpicklingError(f"an array of {code!r} where objects are expected")
        return _PickledDtype()


class _MakeBytes(_Inert):
    """Stands for ``_codecs.encode``, by which pickles of protocol 2 write bytes."""

    __slots__ = ()

    def __call__(self, text: object, encoding: object) -> bytes:
        if not isinstance(text, str) or encoding != "latin1":
            raise pickle.UnpicklingError("bytes written in an unusual way")
        return text.encode("latin1")


_STAND_INS: dict[tuple[str, str], _Inert] = {
    ("numpy", "ndarray"): _ArrayType(),
    ("numpy", "dtype"): _MakeDtype(),
    ("numpy.core.multiarray", "_reconstruct"): _MakeArray(),
    ("numpy._core.multiarray", "_reconstruct"): _MakeArray(),
    ("_codecs", "encode"): _MakeBytes(),
}


class _ArrayUnpickler(pickle.Unpickler):
    """Reads one pickled object array and resolves names to stand-ins only."""

    def find_class(self, module: str, name: str) -> _Inert:
        try:
            return _STAND_INS[module, name]
        except KeyError:
            raise DataError(
                f"its pickle names {module}.{name}; refused, nothing was run"
            ) from None
