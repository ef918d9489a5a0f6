//! Containers that are changed and then sealed anew, so that a change gets as far as whoever writes a file can bring
//! it (docs/container.md). Written from the format alone: it shares no code with the library.

use std::collections::HashMap;

const HEADER: usize = 512;
const SMALL_BATCH: usize = 1 << 20;

/// Number of ways to [`Forgery::change`] a file.
pub const CHANGES: u8 = 10;

/// Extent of the seals and digests that are renewed after a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sealing {
    /// Nothing: an accident.
    None,
    /// Seals, digests of batches, and the chain of commits.
    Records,
    /// Also tops, roots and histories: another file that is consistent.
    Tree,
    /// Also witnesses and residues of tiles whose bytes are in one place.
    Tiles,
}

/// Place of a record in the file that was not changed yet.
#[derive(Debug, Clone, Copy)]
pub struct Record {
    offset: usize,
    size: usize,
    kind: u8,
}

/// A container without a key, before it is changed.
pub struct Original {
    pub bytes: Vec<u8>,
    records: Vec<Record>,
}

impl Original {
    pub fn new(bytes: Vec<u8>) -> Original {
        let records = (0..bytes.len() / 8).filter_map(|at| record_at(&bytes, at * 8)).collect();
        Original { bytes, records }
    }

    pub fn forge(&self) -> Forgery<'_> {
        Forgery { original: self, bytes: self.bytes.clone() }
    }
}

fn record_at(bytes: &[u8], offset: usize) -> Option<Record> {
    let head = bytes.get(offset..offset + 32)?;
    let (size, named) = (u32_at(head, 4) as usize, u64_at(head, 8));
    let is_one = head.starts_with(b"ATL")
        && b"SCILTE".contains(&head[3])
        && named == offset as u64
        && size >= 32
        && offset + size <= bytes.len();
    is_one.then(|| Record { offset, size, kind: head[3] })
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).map_or(0, |bytes| u32::from_le_bytes(bytes.try_into().unwrap()))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..at + 8).map_or(0, |bytes| u64::from_le_bytes(bytes.try_into().unwrap()))
}

/// A file that is being changed.
pub struct Forgery<'o> {
    original: &'o Original,
    pub bytes: Vec<u8>,
}

impl Forgery<'_> {
    /// Makes one change. `which` selects a record, `place` a place in it or in the file.
    pub fn change(&mut self, what: u8, which: u8, place: u16, value: u8) {
        let records = &self.original.records;
        let len = self.bytes.len();
        let Some(record) = records.get(usize::from(which) % records.len().max(1)).copied() else { return };
        let other = records[usize::from(value) % records.len()];
        let within = |unit: usize| record.offset + usize::from(place) * unit % record.size.max(1);
        let anywhere = usize::from(which) << 16 | usize::from(place);
        match what % CHANGES {
            0 if len > 0 => self.bytes[anywhere % len] ^= value.max(1),
            1 => self.put(within(1), &[value]),
            2 => self.put(within(4), &self.number(value, within(4), other.offset as u64).to_le_bytes()[..4]),
            3 => self.put(within(8), &self.number(value, within(8), other.offset as u64).to_le_bytes()),
            4 => self.put(within(4), &other.offset.to_le_bytes()),
            // The contents of a record in the place of those of another one of its kind.
            5 => {
                let size = other.size.min(record.size);
                let contents = self.original.bytes[other.offset + 32..other.offset + size].to_vec();
                self.put(record.offset + 32, &contents);
            }
            6 => self.bytes.truncate(anywhere % (len + 1)),
            7 => {
                let start = anywhere % (len + 1);
                let end = (start + 64 * usize::from(value)).min(len);
                self.bytes[start..end].fill(0);
            }
            // Blocks that come again.
            8 => {
                let start = anywhere % (len + 1) / 4_096 * 4_096;
                let end = (start + 4_096 * usize::from(value % 8)).min(len);
                self.bytes.extend_from_within(start..end);
            }
            // A child, a tile or a span in the place of its neighbour.
            _ => {
                let size = [64, 48, 16][usize::from(value) % 3];
                let first = record.offset + 40 + usize::from(place) % 8 * size;
                if first + 2 * size <= (record.offset + record.size).min(len) {
                    self.bytes.copy_within(first..first + size, first + size);
                }
            }
        }
    }

    fn put(&mut self, at: usize, bytes: &[u8]) {
        for (to, from) in self.bytes.iter_mut().skip(at).zip(bytes) {
            *to = *from;
        }
    }

    /// A number that is likely to be on an edge.
    fn number(&self, value: u8, at: usize, other: u64) -> u64 {
        let now = u64_at(&self.bytes, at);
        match value % 16 {
            0 => 0,
            1 => u64::MAX,
            2 => 1 << 63,
            3 => 1 << 62,
            4 => self.bytes.len() as u64,
            5 => now.wrapping_add(1),
            6 => now.wrapping_sub(1),
            7 => now.wrapping_mul(2),
            8 => u64::from(u32::MAX),
            9 => 1 << 20,
            10 => (1 << 20) + 1,
            11 => other,
            12 => now ^ 1 << 31,
            13 => 3 * 4_096,
            14 => 32,
            _ => u64::from(value),
        }
    }

    /// Makes all fit again. `keeps_histories`: histories stay those of the original, of which somebody may know one.
    pub fn seal(&mut self, sealing: Sealing, keeps_histories: bool) {
        if sealing == Sealing::None || self.bytes.len() < HEADER {
            return;
        }
        let digest = self.digest(0, &[&self.bytes[..480]]);
        self.put(480, &digest);
        if sealing >= Sealing::Tree {
            self.fold(sealing);
        }
        let of_kind = |kinds: &[u8]| {
            let records = self.original.records.iter().copied();
            records.filter(|record| kinds.contains(&record.kind)).collect::<Vec<_>>()
        };
        for record in of_kind(b"ILTE") {
            self.seal_record(record);
        }
        let (mut before, mut seals) = (None, HashMap::new());
        for commit in of_kind(b"C") {
            self.seal_commit(commit, before, sealing >= Sealing::Tree && !keeps_histories);
            let seal = self.seal_record(commit);
            seals.insert(commit.offset as u64, seal);
            before =
                Some((seal, self.bytes.get(commit.offset + 264..commit.offset + 296).map(<[u8]>::to_vec)));
        }
        for slot in of_kind(b"S") {
            if let Some(seal) = seals.get(&u64_at(&self.bytes, slot.offset + 40)) {
                self.put(slot.offset + 48, seal);
            }
            self.seal_record(slot);
        }
    }

    /// D.
    fn digest(&self, tag: u8, parts: &[&[u8]]) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new_derive_key("atlas_manifold 1 container");
        hasher.update(&[tag]).update(&self.bytes[32..48]).update(&self.bytes[16..32]);
        parts.iter().for_each(|part| _ = hasher.update(part));
        *hasher.finalize().as_bytes()
    }

    fn seal_record(&mut self, record: Record) -> [u8; 32] {
        let at = record.offset;
        let Some(found) = self.bytes.get(at..).filter(|bytes| bytes.len() >= 32) else { return [0; 32] };
        let size = (u32_at(found, 4) as usize).clamp(32, found.len());
        let sealed = if record.kind == b'E' {
            let (block, decoded) = (u32_at(found, 36) as usize, u64_at(found, 40) as usize);
            (48 + 12 * decoded.div_ceil(block.max(1)).min(256)).min(size)
        } else {
            size
        };
        let full = self.digest(1, &[&found[..16], &found[32..sealed.max(32)]]);
        self.put(at + 16, &full[..16]);
        full
    }

    /// The chain, the digest of the batch, and a history that follows.
    fn seal_commit(
        &mut self,
        commit: Record,
        before: Option<([u8; 32], Option<Vec<u8>>)>,
        has_new_history: bool,
    ) {
        let at = commit.offset;
        if let Some((seal, _)) = before {
            self.put(at + 144, &seal);
        }
        let head = self.bytes[8..48].to_vec();
        self.put(at + 32, &head);
        let (end, size) = (u64_at(&self.bytes, at + 88) as usize, u32_at(&self.bytes, at + 4) as usize);
        let block = 4_096 << self.bytes[12].min(4);
        let body = if end.saturating_sub(at) > SMALL_BATCH { at + block } else { at.saturating_add(size) };
        let first = body.max(end.saturating_sub(SMALL_BATCH));
        if let Some(body) = self.bytes.get(first..end) {
            let digest = self.digest(2, &[body]);
            self.put(at + 96, &digest);
        }
        if has_new_history {
            let mut hasher = blake3::Hasher::new_derive_key("atlas_manifold 1 history");
            hasher.update(&self.bytes[16..32]);
            let of_before = before.and_then(|(_, history)| history).unwrap_or_else(|| vec![0; 32]);
            let note = u32_at(&self.bytes, at + 360).min(1_024) as usize;
            let fields = [(72, 8), (216, 8), (232, 32), (200, 8), (360, 4), (368, note)];
            hasher.update(&of_before);
            for (field, len) in fields {
                hasher.update(self.bytes.get(at + field..at + field + len).unwrap_or_default());
            }
            let history = *hasher.finalize().as_bytes();
            self.put(at + 264, &history);
        }
    }

    /// Tops and roots, from the leaves up.
    fn fold(&mut self, sealing: Sealing) {
        let mut tops: HashMap<u64, [u8; 32]> = HashMap::new();
        for record in self.original.records.clone() {
            let (at, size) = (record.offset, record.size);
            let unit = match record.kind {
                b'L' => 48,
                b'I' => 64,
                _ => continue,
            };
            let count = (u32_at(&self.bytes, at + 32) as usize).min((size - 40) / unit);
            let mut children = Vec::new();
            for child in (0..count).map(|number| at + 40 + number * unit) {
                if unit == 64 {
                    if let Some(top) = tops.get(&u64_at(&self.bytes, child)) {
                        self.put(child + 32, top);
                    }
                } else if sealing >= Sealing::Tiles {
                    self.witness(child);
                }
                let Some(child) = self.bytes.get(child..child + unit) else { return };
                children.push(if unit == 64 {
                    (u64_at(child, 16), child[32..64].try_into().unwrap())
                } else {
                    let (len, residue) =
                        (u64::from(u32_at(child, 0) & 0x1f_ffff), u32_at(child, 0) >> 21 & 0x7f);
                    (len, node(&[&[0], &len.to_le_bytes(), &[residue as u8], &child[16..48]]))
                });
            }
            if !children.is_empty() {
                tops.insert(at as u64, top(&children).1);
            }
        }
        for commit in self.original.records.iter().filter(|record| record.kind == b'C') {
            let at = commit.offset;
            let Some(top) = tops.get(&u64_at(&self.bytes, at + 296)) else { continue };
            self.put(at + 328, top);
            let (kind, size_and_tiles) = (self.bytes[13..15].to_vec(), self.bytes.get(at + 216..at + 232));
            let root = node(&[&[2], &kind, size_and_tiles.unwrap_or_default(), top]);
            self.put(at + 232, &root);
        }
    }

    /// The witness of a tile whose bytes are in one place of the file, or zeros.
    fn witness(&mut self, tile: usize) {
        let (word, place) = (u32_at(&self.bytes, tile), u64_at(&self.bytes, tile + 8) as usize);
        let len = (word & 0x1f_ffff) as usize;
        let zeros;
        let bytes = match word >> 28 {
            1 => self.bytes.get(place..place.saturating_add(len)),
            3 => {
                zeros = vec![0; len];
                Some(&zeros[..])
            }
            _ => None,
        };
        let Some(bytes) = bytes else { return };
        let residue = bytes.iter().map(|byte| u32::from(*byte)).sum::<u32>() % 96;
        let (word, witness) = (word & !(0x7f << 21) | residue << 21, blake3::hash(bytes));
        self.put(tile, &word.to_le_bytes());
        self.put(tile + 16, witness.as_bytes());
    }
}

/// N.
fn node(parts: &[&[u8]]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_derive_key("atlas_manifold 1 tree");
    parts.iter().for_each(|part| _ = hasher.update(part));
    *hasher.finalize().as_bytes()
}

/// The tree of RFC 6962 shape over children with their sizes.
fn top(children: &[(u64, [u8; 32])]) -> (u64, [u8; 32]) {
    if let [one] = children {
        return *one;
    }
    let (left, right) = children.split_at(children.len().next_power_of_two() / 2);
    let (left, right) = (top(left), top(right));
    let digest = node(&[&[1], &left.0.to_le_bytes(), &right.0.to_le_bytes(), &left.1, &right.1]);
    (left.0.wrapping_add(right.0), digest)
}
