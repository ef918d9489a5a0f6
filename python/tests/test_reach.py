"""Every function of the C header is called by the tests through the package, but for those named here."""

from __future__ import annotations

import pytest
from atlas_manifold import _abi
from atlas_manifold._library import Handle
from conftest import called

NOT_CALLED = {
    "atlas_manifold_version_string": "called once, when the package is loaded",
    "atlas_status_name": "the enumeration Status has the names",
}


def test_every_function_of_the_header_is_called(request: pytest.FixtureRequest) -> None:
    if len({item.path for item in request.session.items}) < 8:
        pytest.skip("only a part of the tests was chosen")
    # Those that give objects back are called without a step in Python, which could count.
    back = {handle.DESTROY for handle in Handle.__subclasses__()} | {"atlas_buffer_free"}
    assert set(_abi.PROTOTYPES) - called - back == set(NOT_CALLED)
