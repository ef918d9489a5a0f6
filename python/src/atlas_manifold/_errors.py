"""Exceptions: one class per status of the C API, all of them subclasses of `Error`."""

from __future__ import annotations

import ctypes
import itertools
import os
import threading
from typing import TYPE_CHECKING, Optional

from ._abi import ErrorInfo, Status

if TYPE_CHECKING:
    from ._records import Damage, ParityReport, Region


class Error(Exception):
    """Base of all exceptions that the library raises.

    >>> import atlas_manifold as am
    >>> try:
    ...     am.project(b"abc").shard(1, 5)
    ... except am.Error as error:
    ...     print(error.status.name, error.offset, error)
    OUT_OF_RANGE 1 the region of 5 bytes at offset 1 is outside 0..3
    """

    status: Status = Status.INTERNAL
    """Status that the C function returned."""
    index: Optional[int] = None
    """Batch item, tile, chunk or class that failed."""
    offset: Optional[int] = None
    """Place in the domain, or in the bytes that were read."""
    length: Optional[int] = None
    """Number of bytes from `offset` on."""
    os_error: int = 0
    """Error number of the operating system, or 0."""


class InvalidArgumentError(Error, ValueError):
    """An argument or a configuration is not allowed."""

    status = Status.INVALID_ARGUMENT


class OutOfMemoryError(Error, MemoryError):
    """A buffer could not be allocated, or a thread not be started."""

    status = Status.OUT_OF_MEMORY


class OutOfRangeError(Error, IndexError):
    """An offset, a length or a number is outside its range."""

    status = Status.OUT_OF_RANGE


class IoError(Error, OSError):
    """The operating system failed; `errno` has its number."""

    status = Status.IO

    def __str__(self) -> str:
        # OSError would print its arguments as "[Errno 2] ...", and the text of the library has the number already.
        return str(self.args[1] if len(self.args) > 1 else self.args[0])


class ConservationError(Error):
    """The sum of bytes mod 96 is not as it must be."""

    status = Status.CONSERVATION


class WitnessError(Error):
    """A digest, a proof or a key does not match: the bytes are not those that were projected."""

    status = Status.WITNESS


class FormatError(Error, ValueError):
    """Serialised data is malformed or cut."""

    status = Status.FORMAT


class UnsupportedError(Error, NotImplementedError):
    """A feature is not built in, or the data is of a newer version."""

    status = Status.UNSUPPORTED


class StateError(Error, RuntimeError):
    """The call is not valid in this state."""

    status = Status.STATE


class IncompleteError(Error):
    """Bytes are missing; `ranges` lists them."""

    status = Status.INCOMPLETE

    ranges: tuple[Region, ...] = ()
    """Byte ranges that are missing, ascending. Empty if the call does not know them."""


class ConflictError(Error):
    """Overlapping shards disagree, or another generation came first."""

    status = Status.CONFLICT


class CancelledError(Error):
    """A callback returned False."""

    status = Status.CANCELLED


class LimitError(Error):
    """A limit that the caller set would be exceeded."""

    status = Status.LIMIT


class InternalError(Error, RuntimeError):
    """A defect of the library."""


_CLASSES: dict[int, type[Error]] = {
    kind.status: kind
    for kind in (
        InvalidArgumentError, OutOfMemoryError, OutOfRangeError, IoError, ConservationError, WitnessError, FormatError,
        UnsupportedError, StateError, IncompleteError, ConflictError, CancelledError, LimitError, InternalError,
    )
}  # fmt: skip

_NONE = 2**64 - 1


class Raised:
    """Exceptions of read callbacks, each under a number that no operating system uses as its errno.

    The callback returns the number, the library hands it through as the error number of the call, and the call
    raises the exception. The last 64 are kept: an exception may belong to a range that a search only reports.
    """

    FIRST = 1 << 24
    KEPT = 64

    def __init__(self) -> None:
        self._numbers = itertools.count(self.FIRST)
        self._exceptions: dict[int, BaseException] = {}
        self._lock = threading.Lock()

    def put(self, exception: BaseException) -> int:
        with self._lock:
            number = next(self._numbers)
            self._exceptions[number] = exception
            while len(self._exceptions) > self.KEPT:
                del self._exceptions[next(iter(self._exceptions))]
        return number

    def take(self, number: int) -> Optional[BaseException]:
        return self._exceptions.pop(number, None) if number >= self.FIRST else None

    @staticmethod
    def plain(number: int) -> int:
        """`number`, or EIO if it stands for an exception."""
        return number if number < Raised.FIRST else 5


raised = Raised()


class Failure:
    """The last failure of a thread, which another thread can raise."""

    __slots__ = ("info", "text")

    def __init__(self, text: bytes, info: ErrorInfo) -> None:
        self.text = text
        self.info = info

    def exception(self, status: int) -> BaseException:
        info = self.info
        callback = raised.take(info.os_error)
        if callback is not None:
            return callback
        text = os.fsdecode(self.text) or f"status {status}"
        kind = _CLASSES.get(status)
        if kind is None:
            error: Error = Error(text)
        elif kind is IoError:
            error = IoError(info.os_error, text)
        else:
            error = kind(text)
        try:
            error.status = Status(status)
        except ValueError:  # a status of a newer library
            pass
        error.index = None if info.index == _NONE else info.index
        error.offset = None if info.offset == _NONE else info.offset
        error.length = None if info.length == _NONE else info.length
        error.os_error = info.os_error
        return error


ERROR_INFO_SIZE = ctypes.sizeof(ErrorInfo)
