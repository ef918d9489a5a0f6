"""Which functions of the C header the tests call is counted here; test_reach.py compares them with the header."""

from __future__ import annotations

import signal
from collections.abc import Callable

import atlas_manifold  # noqa: F401
import atlas_manifold._library as _library
import pytest

# Behind a shell's `&` SIGINT is ignored, and Python then raises no KeyboardInterrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)

called: set[str] = set()


def _counted(name: str, function: object) -> object:
    # What runs at the very end of the program finds no globals any more.
    def call(*arguments: object, add: Callable[[str], None] = called.add) -> object:
        add(name)
        return function(*arguments)  # type: ignore[operator]

    return call


# What gives objects back stays as it is: it must have no step in Python.
BACK = ("_destroy", "atlas_buffer_free")

for _name, _function in list(vars(_library.lib).items()):
    if not _name.endswith(BACK):
        setattr(_library.lib, _name, _counted(_name, _function))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What counts comes after what it counts."""
    items.sort(key=lambda item: "test_reach" in item.nodeid)
