"""One outline, and one root, of a folder of arrays, made and checked by many processes.

    python outline.py FOLDER OUTLINE [WORKERS]

Every worker imports its part of the files into an outline of its own; one merge, which reads nothing of the files,
joins them. Then every worker verifies a part that another one made. The root depends neither on the number of workers
nor on how often one of them is killed: Dask gives its part to another. Needs `distributed` from PyPI; a cluster of many
machines works in the same way if all of them see the folder.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import atlas_manifold as am
from dask.distributed import Client, LocalCluster, as_completed

TILE = 1 << 20


def whole(files: list[str]) -> am.Source:
    """The files, one after the other. Nothing is read."""
    return am.Source.concat(files)


def ranges(size: int, parts: int) -> list[am.Region]:
    """At most so many parts of whole MiB, as a merge needs them; the last one has the rest."""
    tiles = -(-size // TILE)
    edges = [min(size, tiles * part // parts * TILE) for part in range(parts + 1)]
    return [am.Region(start, end - start) for start, end in zip(edges, edges[1:]) if end > start]


def import_part(files: list[str], part: am.Region) -> bytes:
    """The outline of one part: 51 bytes per MiB. It may be made any number of times."""
    source = whole(files).range(*part)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "part.atlas")
        am.outline(source, path).close()
        return path.read_bytes()


def verify_part(files: list[str], outline: str, root: bytes, part: am.Region) -> list[am.Damage]:
    """What is damaged of one part, against the root."""
    with am.Container.open(outline, base=whole(files), root=root) as container:
        return container.snapshot().find_damage([part])


def run(client: Client, files: list[str], outline: str, parts: int) -> bytes:
    """Makes and checks the outline; returns the root."""
    source = whole(files)
    regions = ranges(source.size, parts)
    futures = {client.submit(import_part, files, part, pure=False): part for part in regions}
    made = {futures[future]: blob for future, blob in as_completed(futures, with_results=True)}
    with am.Container.merge(
        [am.Container.open_source(made[part]) for part in regions], outline, base=source
    ) as container:
        root = container.root
    checks = [client.submit(verify_part, files, outline, root, part, pure=False) for part in regions]
    damage = [found for check in client.gather(checks) for found in check]
    if damage:
        raise SystemExit("\n".join(map(str, damage)))
    return root


def main() -> None:
    if len(sys.argv) not in (3, 4):
        raise SystemExit(__doc__)
    folder, outline, workers = sys.argv[1], sys.argv[2], int(sys.argv[3]) if len(sys.argv) == 4 else 4
    files = sorted(map(str, Path(folder).glob("*.npy")))
    # More parts than workers: a worker that is killed costs one of them.
    with LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address=None) as cluster:
        with Client(cluster) as client:
            root = run(client, files, outline, 8 * workers)
    print(f"{root.hex()}  {len(files)} files")


if __name__ == "__main__":
    main()
