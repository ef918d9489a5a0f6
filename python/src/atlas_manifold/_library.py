"""Finds and loads the shared library, and declares its functions.

`ATLAS_MANIFOLD_LIBRARY` in the environment names the library to load. Otherwise it is the one in the wheel, and then
the one that the system finds under its soname.
"""

from __future__ import annotations

import ctypes
import os
import sys
import threading
from functools import partial
from operator import attrgetter
from pathlib import Path
from types import MethodType
from typing import TYPE_CHECKING, ClassVar, NoReturn, TypeVar

from . import _abi
from ._errors import ERROR_INFO_SIZE, Failure

Self = TypeVar("Self", bound="Object")

FOLDER = Path(__file__).resolve().parent


def soname() -> str:
    if sys.platform == "darwin":
        return f"libatlas_manifold.{_abi.ABI}.dylib"
    if sys.platform == "win32":
        return "atlas_manifold.dll"
    return f"libatlas_manifold.so.{_abi.ABI}"


def _load() -> ctypes.CDLL:
    named = os.environ.get("ATLAS_MANIFOLD_LIBRARY")
    packaged = FOLDER / "lib" / soname()
    path = named or (str(packaged) if packaged.exists() else soname())
    try:
        # CDLL releases the GIL in every call.
        return ctypes.CDLL(path)
    except OSError as error:
        raise ImportError(
            f"the shared library {path} cannot be loaded ({error}): install the wheel, or set "
            "ATLAS_MANIFOLD_LIBRARY to the path of the library"
        ) from error


def _declare(library: ctypes.CDLL) -> _abi.Functions:
    functions = _abi.Functions()
    for name, (result, arguments) in _abi.PROTOTYPES.items():
        function = getattr(library, name)
        function.restype = result
        function.argtypes = arguments
        setattr(functions, name, function)
    return functions


library = _load()
lib = _declare(library)

version: str = lib.atlas_manifold_version_string().decode()
# The layouts here are those of one ABI. A library with a newer patch, or a newer minor version from 1.0 on, has them too.
if version.split(".")[: _abi.ABI.count(".") + 1] != _abi.ABI.split("."):
    raise ImportError(f"the library has version {version}, and this package needs {_abi.ABI}: install both anew")


def last_failure() -> Failure:
    """Text and numbers of this thread's last failure."""
    text = lib.atlas_last_error_message()
    info = _abi.ErrorInfo(ERROR_INFO_SIZE)
    lib.atlas_last_error_get(ctypes.byref(info))
    return Failure(text, info)


# Failures of calls that another thread made for the thread in the key.
carried: dict[int, Failure] = {}


def fail(status: int) -> NoReturn:
    """Raises the library's error of this thread's last failed call."""
    failure = carried.pop(threading.get_ident(), None) or last_failure()
    # Nothing of the frames that report a failure says anything about it.
    raise failure.exception(status)


# Finalisers without a step in Python. A handler of a signal raises between two such steps, and an exception raised in a
# finaliser is printed and lost: a Ctrl-C that came while a large object was freed would have ended nothing. So `__del__` is
# a property, of which C makes the callable that C calls.
finaliser = property(attrgetter("_destroy"))


class Handle(ctypes.c_void_p):
    """An object of the library, given back when no Python object and no call refers to it any more.

    A call holds on to its arguments. So a handle that one thread closes is given back after the last call on it.
    """

    DESTROY: ClassVar[str]

    def __init_subclass__(cls) -> None:
        # MethodType(function, handle) is function bound to the handle. NULL is given back too, which does nothing.
        cls.__del__ = property(partial(MethodType, getattr(lib, cls.DESTROY)))  # type: ignore[attr-defined]


class Object:
    """Base of the classes that own a handle: `close()`, `with`, and an error for a closed object.

    The object closes itself when it is garbage; `close()` and `with` say when.
    """

    __slots__ = ("__weakref__", "_h")

    _h: Handle

    @classmethod
    def _adopt(cls: type[Self], handle: Handle) -> Self:
        """The object of a handle that the library made."""
        adopted = cls.__new__(cls)
        adopted._h = handle
        return adopted

    def close(self) -> None:
        """Gives the object back to the library; calls at work end first. A second call does nothing."""
        try:
            del self._h
        except (AttributeError, ValueError):
            pass

    if not TYPE_CHECKING:

        def __getattr__(self, name):
            # Reached only for attributes that are not there: open objects never pay for it.
            if name == "_h":
                raise ValueError(f"this {type(self).__name__} is closed")
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def __enter__(self: Self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    @property
    def closed(self) -> bool:
        """True after `close()`."""
        try:
            self._h  # noqa: B018
        except ValueError:
            return True
        return False
