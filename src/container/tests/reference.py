"""Reads images of crashes by the reference of the vectors: reference.py REFERENCE IMAGES SMALL

A line per image: its name, and for each generation from the newest back its number and the BLAKE3 of its bytes. SMALL is the
size of the largest small batch, which also takes the place of the largest tile.
"""

import pathlib
import sys

sys.path.insert(0, sys.argv[1])

try:
    import container_ref
    import digests_ref
    import records_ref
    from blake3 import blake3
except ModuleNotFoundError as missing:
    print(f"skipped: no module {missing.name}")
    sys.exit(0)

records_ref.MIB = container_ref.MIB = int(sys.argv[3])

for path in sorted(pathlib.Path(sys.argv[2]).iterdir()):
    words = [path.name]
    container = container_ref.Container(digests_ref.File(str(path)))
    commit = container.tip
    while commit:
        words += [str(commit.generation), blake3(container.read(commit.generation, 0, commit.size)).hexdigest()]
        commit = container.before(commit)
    print(*words)
