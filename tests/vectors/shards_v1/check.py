#!/usr/bin/env python3
"""Reads every file of manifest.json by docs/format.md and docs/design.md alone.

A second implementation, which shares no code with the library. It compares the statuses of the damaged files too.
Needs `pip install blake3 zstandard`; exits with 77 if one of them is missing.
"""

import json
import pathlib
import struct
import sys
import zlib

try:
    import zstandard
    from blake3 import blake3
except ImportError as missing:
    print(f"{missing}: pip install blake3 zstandard")
    sys.exit(77)

FOLDER = pathlib.Path(__file__).parent
PAGE, TILE, DIGEST = 4096, 1 << 20, 32
IV = (0x6A09E667, 0xBB67AE85, 0x3C6EF372, 0xA54FF53A, 0x510E527F, 0x9B05688C, 0x1F83D9AB, 0x5BE0CD19)
ORDER = (2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8)
CHUNK_START, CHUNK_END, PARENT, ROOT, KEYED_HASH = 1, 2, 4, 8, 16


class Refused(ValueError):
    """A file that is refused with a status of docs/format.md."""

    def __init__(self, status, what):
        super().__init__(f"{status}: {what}")
        self.status = status


def require(holds, what, status="FORMAT"):
    if not holds:
        raise Refused(status, what)


def compress(value, block, counter, length, flags):
    """BLAKE3's compression function, its first eight words."""
    rotate = lambda x, n: (x >> n | x << (32 - n)) & 0xFFFFFFFF
    message = list(struct.unpack("<16I", block.ljust(64, b"\0")))
    v = list(value) + list(IV[:4]) + [counter & 0xFFFFFFFF, counter >> 32, length, flags]

    def mix(a, b, c, d, x, y):
        for first, n, m in ((x, 16, 12), (y, 8, 7)):
            v[a] = (v[a] + v[b] + first) & 0xFFFFFFFF
            v[d] = rotate(v[d] ^ v[a], n)
            v[c] = (v[c] + v[d]) & 0xFFFFFFFF
            v[b] = rotate(v[b] ^ v[c], m)

    for _ in range(7):
        for i in range(4):
            mix(i, 4 + i, 8 + i, 12 + i, message[2 * i], message[2 * i + 1])
        for i in range(4):
            mix(i, 4 + (i + 1) % 4, 8 + (i + 2) % 4, 12 + (i + 3) % 4, message[8 + 2 * i], message[9 + 2 * i])
        message = [message[i] for i in ORDER]
    return tuple(v[i] ^ v[i + 8] for i in range(8))


def split(count):
    """The leaves of the left subtree: the largest power of two below `count`."""
    return 1 << (count - 1).bit_length() - 1


class Digests:
    """T and N of docs/design.md, and chaining values within a tile."""

    def __init__(self, key):
        derived = lambda name: blake3(key, derive_key_context=f"atlas_manifold 1 {name} key").digest()
        self.tile_key, self.tree_key = (derived("tile"), derived("tree")) if key else (None, None)
        self.words = struct.unpack("<8I", self.tile_key) if key else IV
        self.flags = KEYED_HASH if key else 0

    def tile(self, data):
        return (blake3(data, key=self.tile_key) if self.tile_key else blake3(data)).digest()

    def tree(self, data):
        if self.tree_key:
            return blake3(data, key=self.tree_key).digest()
        return blake3(data, derive_key_context="atlas_manifold 1 tree").digest()

    def parent(self, left, right, flags):
        return struct.pack("<8I", *compress(self.words, left + right, 0, 64, self.flags | PARENT | flags))

    def chaining(self, data, first_chunk):
        """The chaining value of a page, which is no root."""
        if len(data) <= 1024:
            value, blocks = self.words, [data[i : i + 64] for i in range(0, len(data), 64)]
            for i, block in enumerate(blocks):
                flags = self.flags | (CHUNK_START if i == 0 else 0) | (CHUNK_END if i + 1 == len(blocks) else 0)
                value = compress(value, block, first_chunk, len(block), flags)
            return struct.pack("<8I", *value)
        left = split(-(-len(data) // 1024))
        halves = data[: left * 1024], data[left * 1024 :]
        return self.parent(self.chaining(halves[0], first_chunk), self.chaining(halves[1], first_chunk + left), 0)


def fold(start, end, wanted, leaf, beside, join):
    """The top over leaves start..end: those in `wanted` by `leaf`, the rest from the proof."""
    if not any(start <= i < end for i in wanted):
        return beside(start, end)
    if end - start == 1:
        return leaf(start)
    middle = start + split(end - start)
    left = fold(start, middle, wanted, leaf, beside, join)
    return join(left, fold(middle, end, wanted, leaf, beside, join), start, end)


def records(data, kind):
    magic = b"\x89ATLAS\n\x1a"
    require(data[:8] == magic[: len(data)], "magic")
    require(len(data) >= 56, "fewer bytes than the smallest encoding")
    version, found, reserved, size = struct.unpack("<HHIQ", data[8:24])
    require((version, found) == (1, kind), "version and kind", "UNSUPPORTED")
    require((reserved, size) == (0, len(data)), "header")
    require(blake3(data[:-DIGEST]).digest() == data[-DIGEST:], "digest")
    at, end, values = 24, len(data) - DIGEST, {}
    for tag in [1, 2, 3, 4, 5, 6, 7] if kind == 1 else [1, 2, 3, 4, 5, 6, 16, 17]:
        place(tag, data[at:end])
        require(end - at >= 16, "the header of a record")
        _, zero, zeros, length = struct.unpack("<HHIQ", data[at : at + 16])
        require(zero == zeros == 0, "reserved bits of a record")
        require(length <= end - at - 16, "length of a record")
        values[tag] = data[at + 16 : at + 16 + length]
        at += 16 + length
        fields(tag, values)
    place(None, data[at:end])
    require(at == end, "bytes after the last record")
    return values


def place(expected, rest):
    """Checks the tag at the start of `rest`: a tag of version 1 in a wrong place is FORMAT, any other one UNSUPPORTED."""
    if len(rest) >= 2:
        tag = rest[0] | rest[1] << 8
        known = tag in (1, 2, 3, 4, 5, 6, 7, 16, 17)
        require(tag == expected, f"tag {tag} instead of {expected}", "FORMAT" if known else "UNSUPPORTED")


def fields(tag, values):
    """Checks the fields of ROOT, DOMAIN and REGION."""
    value = values[tag]
    if tag == 1:
        require(len(value) == 32, "ROOT")
    if tag == 2:
        require(len(value) == 24 and value[3:8] == bytes(5), "DOMAIN")
        require(value[0] <= 1, "type", "UNSUPPORTED")
        require(value[2] <= 1 and (1 <= value[1] <= 96 if value[0] else value[1] == 0), "K and flags")
    if tag == 3:
        require(len(value) == 16 + 12 * values[2][0] and (len(value) == 16 or any(value[16:])), "REGION")


def lz4(part, length):
    """One block of the LZ4 block format."""
    out, at = bytearray(), 0

    def extended(value):
        nonlocal at
        more = value == 15
        while more:
            value, more, at = value + part[at], part[at] == 255, at + 1
        return value

    while True:
        token, at = part[at], at + 1
        literals = extended(token >> 4)
        require(at + literals <= len(part), "literals")
        out += part[at : at + literals]
        at += literals
        if at == len(part):
            return bytes(out)
        offset, at = part[at] | part[at + 1] << 8, at + 2
        require(0 < offset <= len(out), "offset")
        for _ in range(extended(token & 15) + 4):
            out.append(out[-offset])
        require(len(out) <= length, "length of a stream")


def zstd(part, length):
    """Frames one after the other, each with its content size."""
    out = b""
    while part:
        head = zstandard.get_frame_parameters(part)
        require(part[:4] == b"\x28\xb5\x2f\xfd" and not part[4] & 15, "magic and flags of a frame")
        require(0 < head.content_size <= length - len(out) and head.window_size <= length - len(out), "sizes of a frame")
        frame = zstandard.ZstdDecompressor().decompressobj()
        out, part = out + frame.decompress(part), frame.unused_data
        require(frame.eof, "the end of a frame")
    return out


def undo_differences(plane):
    total, out = 0, bytearray()
    for byte in plane:
        total = total + byte & 255
        out.append(total)
    return bytes(out)


STRIDES = (1, 2, 4, 8, 16, 3, 6, 12)
DECODERS = (None, lambda part, _: zlib.decompress(part, -15), lambda part, _: zlib.decompress(part, -15), zstd, lz4)
FILTERS = (0, 0, 4, 7, 7)


def decompress(fixed, data):
    """The payload of COMPRESSION and DATA, and the residue that is claimed."""
    require(len(fixed) >= 16, "length of COMPRESSION")
    algorithm, level, residue, zero, block_size, size = struct.unpack("<BBBBIQ", fixed[:16])
    require(algorithm <= 4, "algorithm", "UNSUPPORTED")
    require(zero == 0 and level <= 9 and (level == 0) == (algorithm == 0) and residue < 96, "COMPRESSION")
    require((4096 if algorithm else TILE) <= block_size <= TILE, "block size")
    require(len(fixed) == 16 + 12 * -(-size // block_size), "number of blocks")
    require(not algorithm or len(data) < size, "no block is smaller")
    unconserved = None
    decode = lambda part, length: part if len(part) == length else DECODERS[algorithm](part, length)
    at, payload = 0, bytearray()
    for i in range(16, len(fixed), 12):
        word, check = struct.unpack("<I8s", fixed[i : i + 12])
        length, stride = word & 0x1FFFFF, STRIDES[word >> 21 & 7]
        require(word >> 21 & 7 <= FILTERS[algorithm] and word >> 24 < 96, "filter and residue")
        full = min(block_size, size - len(payload))
        block, at = data[at : at + length], at + length
        if stride > 1:
            entries, planes, left = struct.unpack(f"<{stride}I", block[: 4 * stride]), bytearray(full), 4 * stride
            for plane, entry in enumerate(entries):
                encoded, differs, size_of = entry & 0x7FFFFFFF, entry >> 31, len(range(plane, full, stride))
                require(1 <= encoded <= size_of, "length of a plane")
                require(not differs or algorithm > 2 and encoded < size_of, "differences")
                decoded = decode(block[left : left + encoded], size_of)
                planes[plane::stride] = undo_differences(decoded) if differs else decoded
                left += encoded
            require(left == len(block), "the end of a block")
            block = bytes(planes)
        else:
            block = decode(block, full)
        require(len(block) == full, "length of a block")
        require(blake3(block).digest()[:8] == check, "digest of a block", "WITNESS")
        if sum(block) % 96 != word >> 24:
            unconserved = "residue of a block"
        payload += block
    require((len(payload), at) == (size, len(data)), "DATA")
    return bytes(payload), residue, (algorithm, level), unconserved


def check(data, kind, key, expected_root):
    """Verifies a file. Returns content, type, K, region, classes, domain size, and algorithm and level."""
    values = records(data, kind)
    root, digests = values[1], Digests(key)
    shape, classes_k, flags, _, size, count = struct.unpack("<BBB5sQQ", values[2])
    for tag, head, entry in ((4, 8, 5), (5, 0, 32), (6, 0, 40)):
        require(len(values[tag]) >= head and (len(values[tag]) - head) % entry == 0, "length of a list")
    require(expected_root in (None, root) and flags == bool(key), "root and key", "WITNESS")
    offset, length = struct.unpack("<QQ", values[3][:16])
    classes = [r for r in range(96) if shape and values[3][16 + r // 8] >> r % 8 & 1]
    first = struct.unpack("<Q", values[4][:8])[0]
    tiles = [struct.unpack("<IB", values[4][i : i + 5]) for i in range(8, len(values[4]), 5)]
    parts = iter([values[5][i : i + 32] for i in range(0, len(values[5]), 32)])
    nodes = list(struct.iter_unpack("<Q32s", values[6]))
    require(all(residue < 96 for _, residue in tiles), "residue of a tile")
    require(offset + length <= size and bool(length) == bool(tiles), "region")
    payload, claimed, how, unconserved = (values[7], None, None, None) if kind == 1 else decompress(values[16], values[17])

    # Where the first tile begins: the bytes of the nodes to its left.
    wanted, ends, nothing = range(first, first + len(tiles)), [], lambda *_: None
    fold(0, count, wanted, nothing, lambda _, end: ends.append(end), nothing)
    before = sum(node[0] for node, end in zip(nodes, ends) if wanted and end <= first)
    siblings, at, used, content, leaves = iter(nodes), before, 0, b"", {}
    for index, (tile_len, residue) in zip(wanted, tiles):
        require(1 <= tile_len <= TILE and offset < at + tile_len and at < offset + length, "length of a tile")
        if shape:
            each = 224 * -(-tile_len // (208 * classes_k))
            one = lambda r: payload[used + each * classes.index(r) : used + each * (classes.index(r) + 1)]
            witness = fold(0, 96, classes, lambda r: digests.tree(bytes([3, r]) + digests.tile(one(r))),
                           lambda *_: next(parts), lambda a, b, *_: digests.tree(b"\4" + a + b))
            used += each * len(classes)
        else:
            begin = max(offset - at, 0) // PAGE * PAGE
            end = min(-(-(offset + length - at) // PAGE) * PAGE, tile_len)
            held, pages = payload[used : used + end - begin], -(-tile_len // PAGE)
            page = lambda i: held[i * PAGE - begin : (i + 1) * PAGE - begin]
            if pages == 1 or end - begin == tile_len:
                witness = digests.tile(held)
                if end - begin == tile_len and sum(held) % 96 != residue:
                    unconserved = unconserved or "residue of a tile"
            else:
                top = lambda start, stop: ROOT if (start, stop) == (0, pages) else 0
                witness = fold(0, pages, range(begin // PAGE, -(-end // PAGE)),
                               lambda i: digests.chaining(page(i), 4 * i), lambda *_: next(parts),
                               lambda a, b, start, stop: digests.parent(a, b, top(start, stop)))
            content += held[max(offset - at - begin, 0) : max(offset + length - at - begin, 0)]
            used += end - begin
        leaves[index] = tile_len, digests.tree(b"\0" + struct.pack("<QB", tile_len, residue) + witness)
        at += tile_len
    join = lambda a, b, *_: (a[0] + b[0], digests.tree(b"\1" + struct.pack("<QQ", a[0], b[0]) + a[1] + b[1]))
    if count:
        top = fold(0, count, wanted, leaves.get, lambda *_: next(siblings), join)
    else:
        top = 0, digests.tree(b"")
    require(not shape or not tiles or (before, at) == (offset, offset + length), "region of whole tiles")
    require(used == len(payload), "bytes of the payload")
    require(next(parts, None) is None and next(siblings, None) is None, "nodes that are left")
    head = bytes([2, shape, classes_k]) + struct.pack("<QQ", size, count)
    require(top[0] == size and digests.tree(head + top[1]) == root, "the proof does not lead to the root", "WITNESS")
    content = payload if shape else content
    require(unconserved is None, unconserved, "CONSERVATION")
    require(claimed in (None, sum(content) % 96), "residue of COMPRESSION", "CONSERVATION")
    return {"content": content, "type": shape, "data_classes": classes_k, "region": [offset, length],
            "classes": classes, "domain_size": size, "how": how}


def main():
    manifest = json.loads((FOLDER / "manifest.json").read_text())
    key, names = bytes.fromhex(manifest["key"]), {"NONE": 0, "DEFLATE": 1, "CONSERVATION_AWARE": 2, "ZSTD": 3, "LZ4": 4}
    for file in manifest["files"]:
        data = (FOLDER / file["file"]).read_bytes()
        kind = 2 if file["file"].endswith(".compressed") else 1
        found = check(data, kind, key if file["keyed"] else None, bytes.fromhex(file["root"]))
        content, how = found.pop("content"), found.pop("how")
        classes = file.get("classes", [])
        expected = {"type": int(file["type"] != "LINEAR"), "classes": list(range(96)) if classes == "all" else classes,
                    **{name: file[name] for name in ("data_classes", "region", "domain_size")}}
        require(found == expected, f"{file['file']}: {found}")
        require(how in (None, (names.get(file.get("algorithm")), file.get("level"))), f"{file['file']}: {how}")
        require(len(content) == file["payload_size"], file["file"])
        require(blake3(content).hexdigest() == file["payload_digest"], file["file"])
        require(found["type"] or sum(content) % 96 == file["residue"], file["file"])
    for file in manifest["damaged"]:
        kind = 2 if file["file"].endswith(".compressed") else 1
        status = "accepted"
        try:
            check((FOLDER / file["file"]).read_bytes(), kind, None, None)
        except Refused as refused:
            status = refused.status
        except (IndexError, StopIteration, zlib.error, zstandard.ZstdError):
            status = "FORMAT"
        if status != file["status"]:
            raise SystemExit(f"{file['file']}: {status} instead of {file['status']}")
    print(f"{len(manifest['files'])} files verified, {len(manifest['damaged'])} damaged ones refused")


if __name__ == "__main__":
    sys.exit(main())
