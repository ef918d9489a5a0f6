"""Pools with an OpenCL device. Calls that need one are left out without it."""

from __future__ import annotations

import atlas_manifold as am
import pytest

DATA = bytes(range(256)) * 12_345


def test_a_device_hashes_tiles() -> None:
    assert am.Pool(1).accelerator is None
    try:
        pool = am.Pool(2, accelerator="", memory_limit=64 << 20)
    except am.UnsupportedError as error:
        pytest.skip(str(error))
    info = pool.accelerator
    assert info is not None and info.name and info.compute_units > 0 and info.memory_size > 0
    operation = am.Operation(pool=pool)
    assert am.project(DATA, operation=operation).root == am.project(DATA).root
    again = pool.accelerator
    assert again is not None and again.bytes_hashed > 0


def test_wrong_devices_and_buffers_are_refused() -> None:
    with pytest.raises(am.UnsupportedError):
        am.Pool(1, accelerator="no device has this name")
    if am.Feature.OPENCL in am.features():
        with pytest.raises(am.InvalidArgumentError, match="both or neither"):
            am.Pool(1, context=(1, 0))
    with pytest.raises(ValueError, match="index"):
        am.Pool(1, accelerator=True, index=-1)
    with pytest.raises(ValueError, match="must be set"):
        am.Pool(1, index=1)
    with pytest.raises(ValueError, match="must be set"):
        am.Pool(1, accelerator=False, memory_limit=1 << 20)
    with pytest.raises(TypeError, match="int"):
        am.Pool(1, accelerator=1)  # type: ignore[arg-type]
    closed = am.Pool(1)
    closed.close()
    with pytest.raises((am.Error, ValueError)):
        closed.accelerator  # noqa: B018
    with pytest.raises(am.InvalidArgumentError, match="accelerator"):
        am.Source.from_cl_mem(am.Pool(1), 0, 1)


def test_a_buffer_of_pyopencl_is_a_source() -> None:
    cl = pytest.importorskip("pyopencl")
    try:
        context = cl.Context(cl.get_platforms()[0].get_devices())
    except (cl.Error, IndexError) as error:
        pytest.skip(str(error))
    flags = cl.mem_flags.READ_ONLY | cl.mem_flags.COPY_HOST_PTR
    buffer = cl.Buffer(context, flags, hostbuf=bytearray(DATA))
    pool = am.Pool(1, context=(context.int_ptr, context.devices[0].int_ptr))
    source = am.Source.from_cl_mem(pool, buffer.int_ptr, len(DATA) - 3, 3)
    assert am.project(source, operation=am.Operation(pool=pool)).root == am.project(DATA[3:]).root
    info = pool.accelerator
    assert info is not None and info.bytes_hashed == len(DATA) - 3
