"""Functions of a script or a notebook on their way to the workers, as one file."""

import hashlib
import inspect
import os
import pickle
import site
import sys
import sysconfig
import types
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np

from tuning.core.errors import BadInputError
from tuning.metrics.catalogue import offer_function

_PYTHON = tuple({sysconfig.get_paths()[name] for name in ("stdlib", "platstdlib")})
_INSTALLED = (*site.getsitepackages(), *_PYTHON, str(Path(__file__).parents[1]))
_MAX_DEPTH = 8  # of functions that call others


def pack(things: Mapping[str, Any], folder: Path) -> Path:
    """Writes functions and objects, by name, into a file that workers can read.

    Functions and classes of the user travel with their code, so that a worker need not import the
    script or the notebook in which they are defined.

    Args:
        things: Functions and objects by name.
        folder: Folder of such files; the same content always has the same name.

    Raises:
        BadInputError: Something cannot travel; the message names it.
    """
    with _by_value(things):
        try:
            content = cloudpickle.dumps(dict(things))
        except Exception as error:
            raise BadInputError(_explain(things, error)) from error
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    file = folder / f"{hashlib.sha256(content).hexdigest()[:32]}.pickle"
    if not file.exists():
        temporary = file.with_suffix(f".{os.getpid()}")
        temporary.write_bytes(content)
        temporary.replace(file)
    return file


def unpack(file: Path) -> dict[str, Any]:
    """Reads a file that ``pack`` has written.

    Raises:
        BadInputError: Its content is not the one of which it has its name.
    """
    content = file.read_bytes()
    # On other machines of a Ray cluster, its copy has another name.
    if file.suffix == ".pickle" and hashlib.sha256(content).hexdigest()[:32] != file.stem:
        raise BadInputError(f"the functions in {file} were changed; delete the file")
    things: dict[str, Any] = pickle.loads(content)
    return things


def offer(things: Mapping[str, Any]) -> None:
    """Makes the metric of a study known to this process, which may be a worker."""
    metric = things.get("metric")
    if metric is not None:
        offer_function(f"{metric.__module__}:{metric.__qualname__}", metric)


def code_of(things: Mapping[str, Any]) -> dict[str, str]:
    """Returns digests of functions and of the variables that they use, by name.

    Equal digests mean equal code, in another process too. A variable of a function ``build`` is
    called ``build: NAME``.
    """
    digests: dict[str, str] = {}
    for name, thing in things.items():
        digests |= _digests(name, thing, set(), 0)
    return digests


@contextmanager
def _by_value(things: Mapping[str, Any]) -> Iterator[None]:
    """Lets the code of the user's modules travel, instead of the modules' names."""
    modules = [
        sys.modules.get(getattr(_code_owner(each), "__module__", "")) for each in things.values()
    ]
    own = [module for module in {m.__name__: m for m in modules if m}.values() if _is_own(module)]
    for module in own:
        cloudpickle.register_pickle_by_value(module)
    try:
        yield
    finally:
        for module in own:
            cloudpickle.unregister_pickle_by_value(module)


def _code_owner(thing: Any) -> Any:
    while hasattr(thing, "func") and hasattr(thing, "args"):  # functools.partial
        thing = thing.func
    return thing if hasattr(thing, "__qualname__") else type(thing)


def _is_own(module: types.ModuleType) -> bool:
    """Whether a module is the user's: neither installed nor a part of Python."""
    file = getattr(module, "__file__", None)
    return module.__name__ != "__main__" and bool(file) and not _is_installed(str(file))


def _is_installed(file: str) -> bool:
    return any(Path(file).is_relative_to(folder) for folder in _INSTALLED)


def _explain(things: Mapping[str, Any], error: Exception) -> str:
    for name, thing in things.items():
        for variable, value in _variables(thing).items():
            if isinstance(value, types.ModuleType | types.FunctionType | type):
                continue
            try:
                cloudpickle.dumps(value)
            except Exception as reason:
                return (
                    f"{name}: it uses {variable}, a {type(value).__name__}, which cannot be sent "
                    f"to the workers ({reason}); make it inside the function"
                )
        try:
            cloudpickle.dumps(thing)
        except Exception as reason:
            return f"{name}: it cannot be sent to the workers ({reason}); make it in a function"
    return f"the functions cannot be sent to the workers: {error}"


def _variables(thing: Any) -> dict[str, Any]:
    """Returns the variables outside a function that it uses; the attributes of an object."""
    function = _function_of(thing)
    if function is None:
        return (
            dict(vars(thing)) if hasattr(thing, "__dict__") and not isinstance(thing, type) else {}
        )
    found: dict[str, Any] = {}
    cells = zip(function.__code__.co_freevars, function.__closure__ or (), strict=False)
    for name, cell in cells:
        try:
            found[name] = cell.cell_contents
        except ValueError:  # not assigned yet
            continue
    for name in _global_names(function.__code__):
        if name in function.__globals__:
            found[name] = function.__globals__[name]
    return found


def _function_of(thing: Any) -> types.FunctionType | None:
    thing = inspect.unwrap(thing) if callable(thing) else thing
    thing = getattr(thing, "__func__", thing)
    return thing if isinstance(thing, types.FunctionType) else None


def _global_names(code: types.CodeType) -> list[str]:
    names = list(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            names += _global_names(constant)
    return list(dict.fromkeys(names))


def _digests(name: str, thing: Any, seen: set[int], depth: int) -> dict[str, str]:
    if id(thing) in seen or depth > _MAX_DEPTH:
        return {}
    seen.add(id(thing))
    if isinstance(thing, type):
        methods = {key: each for key, each in vars(thing).items() if _function_of(each)}
        inner = {f"{name}.{key}": each for key, each in methods.items()}
        return {
            k: v
            for key, each in inner.items()
            for k, v in _digests(key, each, seen, depth + 1).items()
        }
    function = _function_of(thing)
    if function is None and hasattr(thing, "func"):
        inner = {
            name: thing.func,
            f"{name}: arguments": (thing.args, sorted(thing.keywords.items())),
        }
        return {
            k: v
            for key, each in inner.items()
            for k, v in _digests(key, each, seen, depth).items()
        }
    if function is None:
        own = _is_user_object(thing)
        digests = {name: _digest_of_value(thing)}
        return {**_digests(name, type(thing), seen, depth + 1), **digests} if own else digests
    digests = {name: _digest_of_code(function)}
    for variable, value in _variables(function).items():
        if isinstance(value, types.ModuleType) and _is_own(value):
            content = Path(str(value.__file__)).read_bytes()
            digests[f"{name}: {variable}"] = hashlib.sha256(content).hexdigest()
        if isinstance(value, types.ModuleType | types.BuiltinFunctionType):
            continue
        module = sys.modules.get(getattr(value, "__module__", None) or "")
        is_code = isinstance(value, type) or _function_of(value) is not None
        if (
            is_code
            and module is not None
            and module.__name__ != "__main__"
            and not _is_own(module)
        ):
            continue  # of an installed package, whose version is recorded
        digests |= _digests(f"{name}: {variable}", value, seen, depth + 1)
    return digests


def _is_user_object(thing: Any) -> bool:
    module = sys.modules.get(type(thing).__module__)
    return module is not None and (module.__name__ == "__main__" or _is_own(module))


def _digest_of_code(function: types.FunctionType) -> str:
    try:
        text = inspect.getsource(function)
    except (OSError, TypeError):
        text = repr((function.__code__.co_code, _constants(function.__code__)))
    defaults = repr((function.__defaults__, function.__kwdefaults__))
    return hashlib.sha256(f"{inspect.cleandoc(text)}\0{defaults}".encode()).hexdigest()


def _constants(code: types.CodeType) -> list[Any]:
    return [_constants(c) if isinstance(c, types.CodeType) else c for c in code.co_consts]


def _digest_of_value(value: Any) -> str:
    return hashlib.sha256(_stable(value, 0).encode()).hexdigest()


def _stable(value: Any, depth: int) -> str:
    """Describes a value by what is the same in every process; pickles are not.

    Of an object, its plain attributes are described, and those of objects in it.
    """
    if isinstance(value, bool | int | float | complex | str | bytes | type(None)):
        return repr(value)
    if isinstance(value, np.ndarray) and not value.dtype.hasobject:
        content = hashlib.sha256(np.ascontiguousarray(value).tobytes()).hexdigest()
        return f"array {value.dtype} {value.shape} {content}"
    kind = f"{type(value).__module__}.{type(value).__qualname__}"
    if depth > _MAX_DEPTH:
        return kind
    if _is_user_object(value):
        return f"{kind} {_stable(dict(getattr(value, '__dict__', {})), depth + 1)}"
    if callable(value):
        return str(getattr(value, "__qualname__", kind))
    if isinstance(value, Mapping):
        pairs = (f"{_stable(k, depth + 1)}: {_stable(v, depth + 1)}" for k, v in value.items())
        return f"{kind} {{{', '.join(pairs)}}}"
    if isinstance(value, set | frozenset):
        return f"{kind} {sorted(_stable(each, depth + 1) for each in value)}"
    if isinstance(value, list | tuple):
        return f"{kind} [{', '.join(_stable(each, depth + 1) for each in value)}]"
    return kind
