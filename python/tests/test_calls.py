"""How calls run: progress, cancellation, exceptions of callbacks, Ctrl-C, threads, the GIL."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import atlas_manifold as am
import pytest

DATA = bytes(8 << 20)
BIG = 64 << 20


class Own(Exception):
    pass


def test_progress_never_decreases() -> None:
    seen: list[am.Progress] = []
    threads = set()

    def progress(now: am.Progress) -> None:
        seen.append(now)
        threads.add(threading.get_ident())

    am.project(DATA, operation=am.Operation(progress=progress))
    assert [each.bytes_done for each in seen] == sorted(each.bytes_done for each in seen)
    assert len(seen) >= 8 and seen[-1].bytes_done == seen[-1].bytes_total == len(DATA)
    assert seen[-1].chunks_done == seen[-1].chunks_total == 8
    assert threads == {threading.get_ident()}


def test_false_cancels_and_an_exception_is_raised() -> None:
    calls = []
    with pytest.raises(am.CancelledError):
        am.project(DATA, operation=am.Operation(progress=lambda now: calls.append(now) or False))  # type: ignore[func-returns-value]
    assert len(calls) == 1

    def progress(now: am.Progress) -> None:
        calls.append(now)
        raise Own("why")

    calls.clear()
    with pytest.raises(Own, match="why"):
        am.project(DATA, operation=am.Operation(progress=progress))
    assert len(calls) == 1
    # An operation serves again after a failure.
    p = am.project(DATA)
    with pytest.raises(Own):
        p.verify(operation=am.Operation(progress=progress))
    p.verify()


def test_progress_may_use_other_objects() -> None:
    roots = set()
    am.project(DATA, operation=am.Operation(progress=lambda now: roots.add(am.project(b"inner").root)))
    assert len(roots) == 1


def test_an_exception_in_damage_is_raised(tmp_path: Path) -> None:
    memory = bytearray(DATA)
    p = am.project(memory)
    memory[5] = 1

    def damage(found: am.Damage) -> bool:
        raise Own(found.offset)

    with pytest.raises(Own):
        p.find_damage(damage=damage)
    path = tmp_path / "file"
    path.write_bytes(b"x" * len(DATA))
    memory[5] = 0
    with pytest.raises(Own):
        p.repair_file(path, damage=damage)
    assert path.read_bytes() == b"x" * len(DATA)


def test_a_stream_raises_what_its_progress_raised() -> None:
    def progress(now: am.Progress) -> None:
        raise Own

    stream = am.Stream(DATA, config=am.StreamConfig(chunk_size=1 << 20), operation=am.Operation(progress=progress))
    with pytest.raises(Own):
        next(stream)


def test_memory_limit_and_pools() -> None:
    with pytest.raises(am.LimitError, match="memory_limit 1000"):
        am.project(DATA, operation=am.Operation(memory_limit=1000))
    with am.Pool(3) as pool:
        assert pool.threads == 3
        operation = am.Operation(pool=pool)
        assert am.project(DATA, operation=operation).root == am.project(DATA).root
    with pytest.raises(ValueError, match="this Pool is closed"):
        am.project(DATA, operation=operation)
    with pytest.raises(am.InvalidArgumentError):
        am.Pool(100_000)
    with pytest.raises(ValueError, match="threads -1 is outside"):
        am.Pool(-1)


needs_signals = pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no timers here")


def interrupted_after(seconds: float, call: object) -> float:
    """How long a call goes on after a KeyboardInterrupt, which it must raise."""
    at: list[float] = []

    def interrupt() -> None:
        at.append(time.perf_counter())
        os.kill(os.getpid(), signal.SIGINT)

    timer = threading.Timer(seconds, interrupt)
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        call()  # type: ignore[operator]
    timer.join()
    return time.perf_counter() - at[0]


def again(call: object) -> None:
    end = time.monotonic() + 20
    while time.monotonic() < end:
        call()  # type: ignore[operator]
    raise AssertionError("the interrupt was lost")


@needs_signals
@pytest.mark.parametrize("attempt", range(3))
def test_ctrl_c_cancels(attempt: int, capfd: pytest.CaptureFixture[str]) -> None:
    memory = bytes(BIG)
    assert interrupted_after(0.05 + attempt / 100, lambda: again(lambda: am.project(memory))) < 1
    p = am.project(memory)
    assert interrupted_after(0.05, lambda: again(p.verify)) < 1
    assert p.root == am.project(memory).root
    # An exception that was lost would be printed.
    assert capfd.readouterr().err == ""


@needs_signals
def test_ctrl_c_ends_the_call_and_not_only_the_loop() -> None:
    # The sparse file takes tens of seconds to hash if the call is not cancelled.
    read = am.Source.from_callable(1 << 40, lambda offset, length: bytes(length))
    assert interrupted_after(0.3, lambda: am.project(read)) < 2
    assert interrupted_after(0.3, lambda: am.stream_project(read)) < 2


@needs_signals
def test_a_handler_may_raise_anything() -> None:
    def handler(number: int, frame: object) -> None:
        raise Own(number)

    before = signal.signal(signal.SIGALRM, handler)
    memory = bytes(BIG)
    try:
        for wait in (0.03, 0.05, 0.07):
            signal.setitimer(signal.ITIMER_REAL, wait)
            with pytest.raises(Own):
                again(lambda: am.project(memory))
        for wait in (0.03, 0.05, 0.07):
            source = am.Source.from_readinto(BIG, lambda offset, into: None)
            signal.setitimer(signal.ITIMER_REAL, wait)
            with pytest.raises(Own):
                again(lambda: am.project(source))
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@needs_signals
def test_a_handler_may_use_the_library() -> None:
    roots = []
    before = signal.signal(signal.SIGALRM, lambda number, frame: roots.append(am.project(bytes(BIG)).root))
    memory = bytes(BIG)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.01)
        while not roots:
            root = am.project(memory).root
        assert roots == [root]
    finally:
        signal.signal(signal.SIGALRM, before)


def test_what_is_freed_is_freed_without_a_step_in_python() -> None:
    steps: list[object] = []
    source = am.Source(bytearray(1000))
    p = am.project(source)
    batch = p.shards([(0, 10)] * 3)
    blob = p.shard(0, 10).serialize()
    objects = [source, p, batch, blob, p.shard(0, 10), am.Reconstruction(), am.Pool(1), am.Compressor()]
    del source, p, batch, blob
    sys.setprofile(lambda frame, event, argument: steps.append((event, frame.f_code.co_name)))
    objects.clear()
    sys.setprofile(None)
    assert [name for event, name in steps if event == "call"] == []


def test_everything_is_given_back() -> None:
    def resident() -> int:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * 4096

    if not Path("/proc/self/statm").exists():
        pytest.skip("no /proc here")
    memory = os.urandom(4 << 20)
    sizes = []
    for _ in range(3):
        for _ in range(30):
            p = am.project(memory)
            p.shard(0, len(memory)).serialize()
            p.shards([(at, 1 << 20) for at in range(0, len(memory), 1 << 20)])
        am.trim()
        sizes.append(resident())
    # One of the rounds leaks 240 MiB and more if shards or buffers stay.
    assert sizes[2] - sizes[0] < 50 << 20


def test_calls_release_the_gil() -> None:
    memory = bytes(BIG)
    done = threading.Event()
    started = threading.Event()

    def project() -> None:
        started.set()
        with am.Pool(1) as pool:
            for _ in range(4):
                am.project(memory, operation=am.Operation(pool=pool))
        done.set()

    thread = threading.Thread(target=project)
    thread.start()
    started.wait()
    steps, longest, last = 0, 0.0, time.perf_counter()
    while not done.is_set():
        time.sleep(0)
        now = time.perf_counter()
        longest, last = max(longest, now - last), now
        steps += 1
    thread.join()
    # Each of the four calls takes longer than this; a call that held the GIL would stop the loop for all of it.
    assert steps > 100


def test_an_object_may_be_closed_while_calls_use_it() -> None:
    for _ in range(20):
        p = am.project(DATA)
        errors: list[BaseException] = []

        def work(p: am.Projection = p, errors: list[BaseException] = errors) -> None:
            try:
                while True:
                    assert p.shard(0, 1 << 20).data[:3] == bytes(3)
            except BaseException as error:
                errors.append(error)

        threads = [threading.Thread(target=work) for _ in range(3)]
        for thread in threads:
            thread.start()
        time.sleep(0.005)
        p.close()
        for thread in threads:
            thread.join()
        assert [str(error) for error in errors] == ["this Projection is closed"] * 3


def test_errors_belong_to_their_thread() -> None:
    p = am.project(DATA)
    wrong: list[object] = []

    def work(number: int) -> None:
        for _ in range(200):
            try:
                p.shard(len(DATA) + number, 1)
            except am.OutOfRangeError as error:
                if error.offset != len(DATA) + number:
                    wrong.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(1, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_forked_child_goes_on() -> None:
    p = am.project(DATA)
    source = am.Source.from_callable(len(DATA), lambda offset, length: DATA[offset : offset + length])
    results: list[int] = []

    def fork() -> None:
        child = os.fork()
        if child == 0:
            try:
                same = p.root == am.project(DATA).root == am.project(source).root
                interrupted_after(0.05, lambda: again(lambda: am.project(bytes(BIG))))
                os._exit(0 if same else 1)
            except BaseException:
                os._exit(2)
        results.append(os.waitpid(child, 0)[1])

    fork()
    thread = threading.Thread(target=fork)
    thread.start()
    thread.join()
    assert results == [0, 0]


ATEXIT = """
import atlas_manifold as am, threading
p = am.project(bytearray(1 << 20))
s = am.Source.from_callable(1 << 20, lambda offset, length: bytes(length))
q = am.project(s)
batch = p.shards([(0, 10)] * 1000)
view = batch[0].data
class Cycle: pass
c = Cycle(); c.me = c; c.p = p; c.s = s
"""


def test_nothing_is_said_at_the_end_of_a_program() -> None:
    done = subprocess.run([sys.executable, "-X", "dev", "-c", ATEXIT], capture_output=True, text=True, env=os.environ)
    assert (done.returncode, done.stderr) == (0, "")


def test_benchmark() -> None:
    report = am.benchmark([65536], warmup_iterations=0, iterations=1, max_seconds=0.1)
    assert report[-1].name == report[len(report) - 1].name and report[0].data_size == 65536
    assert "memcpy" in str(report) and report.format(am.ReportFormat.JSON).startswith("{")
    with pytest.raises(IndexError):
        report[len(report)]
    with pytest.raises(am.InvalidArgumentError, match="max_seconds"):
        am.benchmark(max_seconds=0.0)


def test_the_command_line() -> None:
    from atlas_manifold import __main__ as main

    if not (os.environ.get("ATLAS_MANIFOLD_COMMAND") or main.packaged().exists()):
        pytest.skip("atlasm is not built: make cli")
    run = [sys.executable, "-m", "atlas_manifold"]
    said = subprocess.run([*run, "--version"], capture_output=True, text=True, env=os.environ)
    assert said.returncode == 0 and am.__version__ in said.stdout
    assert subprocess.run([*run, "nonsense"], capture_output=True, env=os.environ).returncode == 2
