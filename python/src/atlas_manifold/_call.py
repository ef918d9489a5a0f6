"""How a call runs: progress, cancellation, exceptions of callbacks, Ctrl-C.

An exception that leaves a ctypes callback is printed and lost, and a signal's handler may raise one before the first
line of a Python function is reached. Two mechanisms keep all of them:

- A progress or damage callback is a generator that is suspended inside `try`: the library resumes it by its builtin
  `send`, and what a handler raises then is raised at the `yield`.
- Python runs handlers of signals in the main thread alone. A call that may read a source in Python (`CALLERS` below)
  is made by another thread while the main thread waits for it, as soon as there is such a source.
"""

from __future__ import annotations

import _thread
import ctypes
import errno
import os
import sys
import threading
import time
from collections.abc import Callable, Generator
from types import FrameType
from typing import NoReturn, Optional, Union

from . import _abi
from ._abi import Status
from ._errors import raised
from ._library import Handle, Object, carried, fail, last_failure, lib
from ._records import AcceleratorInfo, Damage, Progress, record

LONG = 32 << 20
"""Bytes from which on a call is worth a callback that looks for Ctrl-C; fewer take some milliseconds."""

_MAIN = threading.main_thread().ident


def _after_fork() -> None:
    # The thread that forked is the child's main thread.
    global _MAIN
    _MAIN = threading.get_ident()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)

ProgressCallback = Callable[[Progress], Optional[bool]]
DamageCallback = Callable[[Damage], Optional[bool]]

# The callbacks have a second parameter, user_data. By the calling conventions of C a function may leave out the last
# parameters, and `send` takes one.
_SEND_BOOL = ctypes.CFUNCTYPE(ctypes.c_bool, ctypes.c_void_p)


class _PoolHandle(Handle):
    DESTROY = "atlas_pool_destroy"


class Pool(Object):
    """Threads of your own for the calls that get them by an `Operation`.

    `threads` is their number, at most 1,024; 0 means one per core. With 1 all work runs on the calling thread.

    With `accelerator` an OpenCL device hashes tiles beside the threads: one with this text in its name or that of its
    platform, in any case, or any GPU if it is True. `index` selects one of several, and `memory_limit` bounds the
    device memory. `context` is a pair of numbers in its place, the program's own cl_context and cl_device_id, such as
    `int_ptr` of pyopencl's objects; buffers of it can be sources (`Source.from_cl_mem`).

    >>> import atlas_manifold as am
    >>> with am.Pool(2) as pool:
    ...     projection = am.project(b"abc", operation=am.Operation(pool=pool))
    ...     pool.threads
    2
    """

    __slots__ = ()

    def __init__(
        self,
        threads: int = 0,
        *,
        accelerator: Union[str, bool, None] = None,
        index: int = 0,
        memory_limit: int = 0,
        context: Optional[tuple[int, int]] = None,
    ) -> None:
        if accelerator is not None and not isinstance(accelerator, (str, bool)):
            raise TypeError(f"accelerator is a str, a bool or None, not {type(accelerator).__name__}")
        handle = _PoolHandle()
        if context is None and (accelerator is None or accelerator is False):
            if index or memory_limit:
                raise ValueError("index and memory_limit are those of a device: accelerator or context must be set")
            status = lib.atlas_pool_create(u32(threads, "threads"), ctypes.byref(handle))
        else:
            options = _abi.AcceleratorOptions()
            lib.atlas_accelerator_options_init(ctypes.byref(options))
            options.index = u32(index, "index")
            options.memory_limit = u64(memory_limit, "memory_limit")
            if isinstance(accelerator, str):
                options.name = accelerator.encode()
            if context is not None:
                options.cl_context, options.cl_device = context
            status = lib.atlas_pool_create_accelerated(
                u32(threads, "threads"), ctypes.byref(options), ctypes.byref(handle)
            )
        if status:
            fail(status)
        self._h = handle

    @property
    def accelerator(self) -> Optional[AcceleratorInfo]:
        """Properties of the OpenCL device; None if the pool has none."""
        info = _abi.AcceleratorInfo(struct_size=ctypes.sizeof(_abi.AcceleratorInfo))
        status = lib.atlas_pool_get_accelerator(self._h, ctypes.byref(info))
        # A pool that is closed has no threads.
        if status == Status.INVALID_ARGUMENT and lib.atlas_pool_threads(self._h):
            return None
        if status:
            fail(status)
        return record(AcceleratorInfo, info, name=info.name.decode(errors="replace"))

    @property
    def threads(self) -> int:
        """Number of tasks that can be at work at a time."""
        return lib.atlas_pool_threads(self._h)


class Operation:
    """How a long call runs.

    - `progress` is called with a `Progress` on the thread that made the call. False cancels: the call raises
      `CancelledError`. An exception cancels too, and the call raises it.
    - `pool` has the threads that do the work. None means the library's own, one per core.
    - `memory_limit` bounds the bytes that the library allocates during the call; 0 means no limit.

    An operation may serve any number of calls.

    >>> import atlas_manifold as am
    >>> seen = []
    >>> operation = am.Operation(progress=lambda progress: seen.append(progress.bytes_done))
    >>> projection = am.project(bytes(3 << 20), operation=operation)
    >>> seen[-1]
    3145728
    """

    __slots__ = ("memory_limit", "pool", "progress")

    def __init__(
        self,
        *,
        progress: Optional[ProgressCallback] = None,
        pool: Optional[Pool] = None,
        memory_limit: int = 0,
    ) -> None:
        self.progress = progress
        self.pool = pool
        self.memory_limit = u64(memory_limit, "memory_limit")


class Watch:
    """The operation of one call, in C, and the exceptions of its callbacks."""

    __slots__ = ("_keep", "_struct", "caught", "pointer")

    def __init__(self, operation: Optional[Operation], long: bool = True) -> None:
        self.caught: list[BaseException] = []
        self._keep: list[object] = []
        # A pointer to C's atlas_operation; None means its defaults.
        self.pointer: object = None
        progress = operation.progress if operation is not None else None
        watched = progress is not None or (long and threading.get_ident() == _MAIN)
        if operation is None and not watched:
            return
        struct = _abi.Operation()
        lib.atlas_operation_init(ctypes.byref(struct))
        if watched:
            struct.progress = self.callback(_steps(progress, self.caught))
        if operation is not None:
            struct.memory_limit = operation.memory_limit
            if operation.pool is not None:
                pool = operation.pool._h
                struct.pool = pool.value
                self._keep.append(pool)
        self._struct = struct
        self.pointer = ctypes.byref(struct)

    def callback(self, steps: Generator[bool, int, None]) -> Optional[int]:
        """The address of a C function that resumes a generator, valid as long as this object."""
        next(steps)
        function = _SEND_BOOL(steps.send)
        self._keep.append(function)
        return ctypes.cast(function, ctypes.c_void_p).value

    def damage(self, receive: Optional[DamageCallback], verdict: bool = True) -> Optional[int]:
        """The address of an atlas_damage_fn."""
        return None if receive is None else self.callback(_damages(receive, self.caught, verdict))

    def check(self, status: int) -> None:
        """Raises what a callback raised, and then what the library reports."""
        if self.caught:
            self.rethrow()
        if status:
            fail(status)

    def rethrow(self) -> NoReturn:
        raise self.caught[0]


def _steps(progress: Optional[ProgressCallback], caught: list[BaseException]) -> Generator[bool, int, None]:
    going = True
    while True:
        try:
            while True:
                address = yield going
                if progress is not None:
                    now = _abi.Progress.from_address(address)
                    answer = progress(
                        Progress(now.bytes_done, now.bytes_total or None, now.chunks_done, now.chunks_total or None)
                    )
                    going = answer is not False
        except GeneratorExit:
            return
        except BaseException as error:
            caught.append(error)
            going = False


def _damages(
    receive: DamageCallback, caught: list[BaseException], verdict: bool
) -> Generator[bool, int, None]:
    going = True
    while True:
        try:
            while True:
                address = yield going
                if caught:
                    # A repair asks on after False; nothing more is allowed then.
                    going = False
                    continue
                answer = receive(Damage._of(_abi.Damage.from_address(address)))
                going = verdict if answer is None else bool(answer)
        except GeneratorExit:
            return
        except BaseException as error:
            caught.append(error)
            going = False


# What may read a source, and so may call Python.
CALLERS = (
    "atlas_container_commit", "atlas_container_compact", "atlas_container_create", "atlas_container_find_damage",
    "atlas_container_get_generation", "atlas_container_get_note", "atlas_container_import", "atlas_container_merge",
    "atlas_container_open_source", "atlas_container_refresh", "atlas_container_snapshot", "atlas_parity_check",
    "atlas_parity_create", "atlas_parity_restore", "atlas_parity_update", "atlas_projection_apply",
    "atlas_projection_apply_batch", "atlas_projection_create", "atlas_projection_diff",
    "atlas_projection_find_damage", "atlas_projection_get_tile", "atlas_projection_insert_source",
    "atlas_projection_optimize", "atlas_projection_read", "atlas_projection_repair_file",
    "atlas_projection_rollback", "atlas_projection_root", "atlas_projection_verify", "atlas_projection_write_file",
    "atlas_reconstruction_finish", "atlas_shard_extract", "atlas_shard_extract_batch", "atlas_shard_extract_classes",
    "atlas_stream_finish", "atlas_stream_next", "atlas_stream_project",
)  # fmt: skip

_sources_in_python = False


def python_reads() -> None:
    """From now on calls of the main thread that may read a source are made by other threads."""
    global _sources_in_python
    if not _sources_in_python:
        _sources_in_python = True
        for name in CALLERS:
            setattr(lib, name, _elsewhere(getattr(lib, name)))


def _elsewhere(function: Callable[..., int]) -> Callable[..., int]:
    def call(*arguments: object) -> int:
        if threading.get_ident() != _MAIN:
            return function(*arguments)
        # An exception of a handler may come between any two steps here. Whoever takes the ticket decides whether the
        # call is made: the thread that would make it, or this one.
        ticket = [True]
        result: list[int] = []
        done = _thread.allocate_lock()
        done.acquire()
        # What the arguments point to belongs to these frames; it must not go before the call is over.
        frames = _frames(sys._getframe(1))

        def work() -> None:
            status = -1
            try:
                if not _take(ticket):
                    return
                status = function(*arguments)
                if status:
                    carried[_MAIN or 0] = last_failure()
            finally:
                frames.clear()
                result.append(status)
                done.release()

        try:
            _thread.start_new_thread(work, ())
            done.acquire()
        except BaseException:
            if not _take(ticket):
                interrupted.set()
                _wait_for(result)
                interrupted.clear()
                forget()
            raise
        return result[0]

    return call


def _take(ticket: list[bool]) -> bool:
    try:
        return ticket.pop()
    except IndexError:
        return False


def _wait_for(result: list[int]) -> None:
    """Waits, whatever else is raised meanwhile."""
    while not result:
        try:
            time.sleep(0.001)
        except BaseException:
            continue


def _frames(frame: Optional[FrameType]) -> list[FrameType]:
    """The frames of this package, from `frame` upwards."""
    frames = []
    while frame is not None and str(frame.f_globals.get("__name__", "")).startswith("atlas_manifold."):
        frames.append(frame)
        frame = frame.f_back
    return frames


def forget() -> None:
    """Drops a stored failure that is no error for the caller."""
    carried.pop(threading.get_ident(), None)


# Set while the main thread waits for a call that is to end: callbacks that read answer ECANCELED to all.
interrupted = threading.Event()


def read_status(error: Optional[BaseException]) -> int:
    """What a read callback returns."""
    if interrupted.is_set():
        return errno.ECANCELED
    return 0 if error is None else raised.put(error)


def u64(value: int, name: str) -> int:
    """ctypes would cut a larger number, or a negative one, without a word."""
    if not 0 <= value <= 0xFFFF_FFFF_FFFF_FFFF:
        raise ValueError(f"{name} {value} is outside 0..=2**64 - 1")
    return value


def u32(value: int, name: str) -> int:
    if not 0 <= value <= 0xFFFF_FFFF:
        raise ValueError(f"{name} {value} is outside 0..=2**32 - 1")
    return value
