"""The root is that of the files in one piece, with workers that are killed too; damage is found.

python test_outline.py, with distributed, numpy and atlas_manifold
"""

from __future__ import annotations

import os
import signal
import tempfile
import threading
import time
from pathlib import Path

import atlas_manifold as am
import numpy as np
import outline
from dask.distributed import Client, LocalCluster


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        rng = np.random.default_rng(1)
        for number in range(5):
            # Sizes that end in the middle of a tile.
            np.save(Path(folder, f"{number}.npy"), rng.integers(0, 255, (12_345_678 + number) * 4, np.uint8))
        files = sorted(map(str, Path(folder).glob("*.npy")))
        expected = am.project(outline.whole(files)).root
        with LocalCluster(n_workers=4, threads_per_worker=1, dashboard_address=None) as cluster, Client(cluster) as client:
            assert outline.run(client, files, f"{folder}/plain.atlas", 32) == expected
            print("four workers: the root is the same")

            killed: list[int] = []
            done = threading.Event()

            def kill() -> None:
                """Kills a worker that is at work, again and again."""
                while not done.wait(0.2) and len(killed) < 4:
                    busy = [
                        worker for worker, tasks in client.processing().items()
                        if tasks and cluster.scheduler.workers.get(worker) is not None
                    ]  # fmt: skip
                    for worker in busy[:1]:
                        pid = cluster.scheduler.workers[worker].metrics.get("pid") or pids.get(worker)
                        if pid and pid not in killed:
                            os.kill(pid, signal.SIGKILL)
                            killed.append(pid)

            # A worker takes a moment for each part, so that some are killed in the middle of one.
            def slowly(*arguments: object) -> bytes:
                time.sleep(0.3)
                return plain(*arguments)  # type: ignore[arg-type]

            plain, outline.import_part = outline.import_part, slowly
            pids = client.run(os.getpid)
            thread = threading.Thread(target=kill)
            thread.start()
            try:
                assert outline.run(client, files, f"{folder}/killed.atlas", 32) == expected
            finally:
                done.set()
                thread.join()
                outline.import_part = plain
            assert killed
            alive = set(client.run(os.getpid).values())
            assert len(alive) == 4 and not alive & set(killed)
            print(f"{len(killed)} workers killed and replaced: the root is the same")

            with open(files[2], "r+b") as file:
                file.seek(20_000_000)
                file.write(b"damage")
            at = sum(map(os.path.getsize, files[:2])) + 20_000_000
            found = client.submit(
                outline.verify_part, files, f"{folder}/killed.atlas", expected, am.Region(0, outline.whole(files).size)
            ).result()
            assert [each.offset <= at < each.offset + each.length for each in found] == [True]
            print("damage is found where it is")


if __name__ == "__main__":
    main()
