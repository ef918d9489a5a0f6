//! Records of a container file: their fields, and the conversion to and from bytes (docs/container.md, "Bytes").
//!
//! A record is written by [`frame`] around its contents. Reading has two steps: [`super::file`] finds a record with a
//! valid seal, and the functions here check its contents. Every broken rule fails with FORMAT.

use super::planted::{Planted, planted, small_batch};
use super::seal::{Ident, Seals, Tag};
use crate::base::error::{AtlasError, Result};
use crate::base::units::{GROUP_SIZE, TILE_BYTES, to_u64};
use crate::hash::digest::Digest;
use crate::layer2::Residue;
use crate::tile::stored::{
    CommitId, NODE_CHILD, NODE_HEAD, NodeRef, Span, SpanKind, TILE_CHILD, TileEntry, TilePlace, TileSpans,
};

pub(super) const MAGIC: [u8; 8] = [0x89, b'A', b'T', b'L', b'A', b'S', 0x0a, 0x1a];
/// Size in bytes of the file header, without the zeros that fill its block.
pub(super) const HEADER_SIZE: usize = 512;
/// Size in bytes of the head of every record: kind, size, offset and seal.
pub(super) const RECORD_HEAD: usize = 32;
pub(super) const SLOT_SIZE: u32 = 128;
/// Size in bytes of a commit record without a note.
pub(super) const COMMIT_SIZE: u32 = 368;
pub(super) const MAX_NOTE: usize = 1_024;
pub(super) const MAX_HEIGHT: u8 = 13;
pub(super) const MAX_CHILDREN: usize = 32;
pub(super) const MAX_SPANS: usize = 256;
/// Maximum number of tiles of a generation. Storing more fails with LIMIT, reading more with UNSUPPORTED.
pub(super) const MAX_TILES: u64 = 1 << 44;
/// Maximum size in bytes of a small batch, which is written in one piece with its commit record.
pub(super) const SMALL_BATCH: u64 = 1 << 20;
/// Maximum number of bytes to which the encoded (compressed) records of one tile decode together.
pub(super) const MAX_DECODED: u64 = 8 << 20;

/// Sizes in bytes: a tile record before its spans, a span, and the largest tile record (256 spans, 64 chaining values).
const TILE_HEAD: usize = 40;
const SPAN_SIZE: usize = 16;
pub(super) const MAX_TILE_RECORD: u32 = 40 + 16 * 256 + 32 * 64;

/// Kind of a record: the fourth byte of the record, a letter after "ATL".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RecordKind {
    Slot,
    Commit,
    Inner,
    Leaf,
    Tile,
    Encoded,
}

impl RecordKind {
    pub(super) fn magic(self) -> [u8; 4] {
        let letter = match self {
            RecordKind::Slot => b'S',
            RecordKind::Commit => b'C',
            RecordKind::Inner => b'I',
            RecordKind::Leaf => b'L',
            RecordKind::Tile => b'T',
            RecordKind::Encoded => b'E',
        };
        [b'A', b'T', b'L', letter]
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            RecordKind::Slot => "slot",
            RecordKind::Commit => "commit record",
            RecordKind::Inner | RecordKind::Leaf => "node",
            RecordKind::Tile => "tile record",
            RecordKind::Encoded => "encoded record",
        }
    }

    /// Returns the kind of record of a tree node: a leaf at height 0, an inner node above.
    pub(super) fn of_node(height: u8) -> RecordKind {
        if height == 0 { RecordKind::Leaf } else { RecordKind::Inner }
    }
}

/// Feature bits of a commit record. A reader refuses a generation with a bit that it does not know.
pub(super) mod features {
    pub(in crate::container) const DEFLATE: u32 = 1;
    pub(in crate::container) const PLANES: u32 = 1 << 1;
    pub(in crate::container) const ZSTD: u32 = 1 << 2;
    pub(in crate::container) const LZ4: u32 = 1 << 3;
    pub(in crate::container) const BASE: u32 = 1 << 4;
    pub(in crate::container) const CHAINS: u32 = 1 << 5;
    /// A compressed block stores a plane as differences of its bytes, or has a filter with stride 3, 6 or 12.
    pub(in crate::container) const DIFFERENCES: u32 = 1 << 7;
    pub(in crate::container) const KNOWN: u32 = DEFLATE | PLANES | ZSTD | LZ4 | BASE | CHAINS | DIFFERENCES;
}

/// Returns `value` rounded up to a multiple of `to`, a power of two.
pub(super) fn up(value: u64, to: u64) -> u64 {
    // Saturation: a hostile value near 2^64 becomes an offset past any file instead of a small one.
    value.saturating_add(to - 1) & !(to - 1)
}

pub(super) fn malformed(offset: u64, size: usize, what: impl std::fmt::Display) -> AtlasError {
    AtlasError::format(format!("the container is malformed: {what}, in the record at byte {offset}"))
        .at_range(offset, to_u64(size))
}

/// Appends a record to `out`: the head with kind, size, `offset` in the file and seal, and then `contents`, a multiple
/// of 8 bytes. Returns the full seal, which covers kind, size, offset and the first `sealed` bytes of the contents.
pub(super) fn frame(
    seals: &Seals,
    ident: &Ident,
    kind: RecordKind,
    offset: u64,
    contents: &[u8],
    sealed: usize,
    out: &mut Vec<u8>,
) -> Digest {
    let mut head = [0; 16];
    head[..4].copy_from_slice(&kind.magic());
    // Records have at most some MiB.
    let size = u32::try_from(RECORD_HEAD + contents.len()).unwrap_or(u32::MAX);
    head[4..8].copy_from_slice(&size.to_le_bytes());
    head[8..].copy_from_slice(&offset.to_le_bytes());
    // The seal covers everything in the record but its own bytes ("Bytes", D with tag 1).
    let full = seals.digest(Tag::Seal, ident, &[&head, &contents[..sealed.min(contents.len())]]);
    out.extend_from_slice(&head);
    // The record has half of the full seal; slots and later commits store all 32 bytes of the seal of a
    // commit.
    out.extend_from_slice(&full[..16]);
    out.extend_from_slice(contents);
    full
}

/// Returns the little-endian number at byte `at` of a record, or 0 if the record ends before the end of the number.
pub(super) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |bytes| u32::from_le_bytes(*bytes))
}

pub(super) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

pub(super) fn digest_at(bytes: &[u8], at: usize) -> Digest {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).copied().unwrap_or_default()
}

/// Returns the 512 bytes of a header with this identity and its digest, without the zeros that fill its block.
pub(super) fn header(seals: &Seals, ident: &Ident) -> [u8; HEADER_SIZE] {
    let mut bytes = [0; HEADER_SIZE];
    bytes[..8].copy_from_slice(&MAGIC);
    bytes[8..16].copy_from_slice(&ident.head);
    bytes[16..32].copy_from_slice(&ident.id);
    bytes[32..48].copy_from_slice(&ident.salt);
    // The last 32 bytes are the digest of all bytes before, the zeros from byte 48 on included.
    let digest = seals.digest(Tag::Header, ident, &[&bytes[..480]]);
    bytes[480..].copy_from_slice(&digest);
    bytes
}

/// Contents of a slot, a hint near the beginning of the file that names a durable commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Slot {
    pub(super) generation: u64,
    /// Offset in the file of the commit record that the slot names.
    pub(super) commit: u64,
    /// Full seal of the commit record that the slot names.
    pub(super) seal: Digest,
}

impl Slot {
    pub(super) fn contents(&self) -> [u8; SLOT_SIZE as usize - RECORD_HEAD] {
        let mut bytes = [0; SLOT_SIZE as usize - RECORD_HEAD];
        bytes[..8].copy_from_slice(&self.generation.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.commit.to_le_bytes());
        bytes[16..48].copy_from_slice(&self.seal);
        bytes
    }

    pub(super) fn parse(offset: u64, record: &[u8]) -> Result<Slot> {
        // The zeros of the record are checked. The rest of the block may have any bytes.
        if record[80..].iter().any(|byte| *byte != 0) {
            return Err(malformed(
                offset,
                record.len(),
                "the bytes after the fields of a slot are not all zero",
            ));
        }
        let (generation, commit) = (u64_at(record, 32), u64_at(record, 40));
        Ok(Slot { generation, commit, seal: digest_at(record, 48) })
    }
}

/// Commit record, which describes one generation, with its offset in the file and its full seal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Commit {
    pub(super) offset: u64,
    /// Full seal of the record, 32 bytes. The record itself has the first 16 of them.
    pub(super) seal: Digest,
    pub(super) generation: u64,
    pub(super) ordinal: u64,
    /// Offset in the file at which the batch of this commit ends.
    pub(super) end: u64,
    pub(super) batch: Digest,
    pub(super) features: u32,
    pub(super) read_only_features: u32,
    pub(super) previous: u64,
    pub(super) previous_seal: Digest,
    pub(super) previous_generation: u64,
    pub(super) jump: u64,
    pub(super) jump_generation: u64,
    pub(super) time: i64,
    pub(super) base_size: u64,
    pub(super) size: u64,
    pub(super) tiles: u64,
    pub(super) root: Digest,
    pub(super) history: Digest,
    /// Entry of the top node of the tile tree. `None` for a generation without tiles.
    pub(super) top: Option<NodeRef>,
    pub(super) note: Vec<u8>,
}

/// Returns the size in bytes of a commit record whose note has `note` bytes.
pub(super) fn commit_size(note: usize) -> u64 {
    up(u64::from(COMMIT_SIZE) + to_u64(note), 8)
}

/// Returns the offset at which the body of the batch `offset..end` begins: after the commit record of `record` bytes if
/// the batch is small, else after the block of `block` bytes that the commit record has to itself.
pub(super) fn body_start(offset: u64, end: u64, record: u64, block: u64) -> u64 {
    let is_large = end.saturating_sub(offset) > small_batch() && !planted(Planted::SharedBlock);
    offset.saturating_add(if is_large { block } else { record })
}

impl Commit {
    pub(super) fn id(&self) -> CommitId {
        CommitId { generation: self.generation, offset: self.offset, seal: self.seal }
    }

    pub(super) fn record_size(&self) -> u64 {
        commit_size(self.note.len())
    }

    pub(super) fn contents(&self, ident: &Ident) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(COMMIT_SIZE as usize + self.note.len() + 8);
        bytes.extend_from_slice(&ident.head);
        bytes.extend_from_slice(&ident.id);
        bytes.extend_from_slice(&ident.salt);
        // Byte 72: the position in the log, and the end of the batch.
        for number in [self.generation, self.ordinal, self.end] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        bytes.extend_from_slice(&self.batch);
        bytes.extend_from_slice(&self.features.to_le_bytes());
        bytes.extend_from_slice(&self.read_only_features.to_le_bytes());
        // Byte 136: the previous commit with its full seal, then the jump, which has no seal.
        bytes.extend_from_slice(&self.previous.to_le_bytes());
        bytes.extend_from_slice(&self.previous_seal);
        for number in [self.previous_generation, self.jump, self.jump_generation] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        // Byte 200: the contents of the generation.
        bytes.extend_from_slice(&self.time.to_le_bytes());
        for number in [self.base_size, self.size, self.tiles] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        bytes.extend_from_slice(&self.root);
        bytes.extend_from_slice(&self.history);
        match &self.top {
            Some(top) => put_child(top, &mut bytes),
            // A domain without tiles has no top node.
            None => bytes.extend_from_slice(&[0; NODE_CHILD as usize]),
        }
        // A note has at most 1,024 bytes.
        let note = u32::try_from(self.note.len()).unwrap_or(u32::MAX);
        bytes.extend_from_slice(&note.to_le_bytes());
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(&self.note);
        // Zeros up to a multiple of 8, as `commit_size` expects.
        bytes.resize(bytes.len().next_multiple_of(8), 0);
        bytes
    }

    /// Reads the commit record at `offset`, whose full seal is `seal`. Fails with FORMAT if a field breaks a rule.
    pub(super) fn parse(ident: &Ident, offset: u64, seal: Digest, record: &[u8]) -> Result<Commit> {
        let wrong = |what: String| Err(malformed(offset, record.len(), what));
        // The note has a length of its own, and zeros fill the record.
        let note_len = usize::try_from(u32_at(record, 360)).unwrap_or(usize::MAX);
        if note_len > MAX_NOTE || to_u64(record.len()) != commit_size(note_len) {
            return wrong(format!(
                "a note of {note_len} bytes (at most {MAX_NOTE} are allowed) does not fit a commit record of \
                 {} bytes",
                record.len()
            ));
        }
        // The padding after the note and bytes 364..368 are reserved.
        let (note, rest) = record[COMMIT_SIZE as usize..].split_at(note_len);
        if rest.iter().any(|byte| *byte != 0) || u32_at(record, 364) != 0 {
            return wrong("the reserved bytes of a commit record are not all zero".to_owned());
        }
        // All fields are at fixed offsets.
        let top = &record[296..360];
        let commit = Commit {
            offset,
            seal,
            generation: u64_at(record, 72),
            ordinal: u64_at(record, 80),
            end: u64_at(record, 88),
            batch: digest_at(record, 96),
            features: u32_at(record, 128),
            read_only_features: u32_at(record, 132),
            previous: u64_at(record, 136),
            previous_seal: digest_at(record, 144),
            previous_generation: u64_at(record, 176),
            jump: u64_at(record, 184),
            jump_generation: u64_at(record, 192),
            time: u64_at(record, 200).cast_signed(),
            base_size: u64_at(record, 208),
            size: u64_at(record, 216),
            tiles: u64_at(record, 224),
            root: digest_at(record, 232),
            history: digest_at(record, 264),
            // All zeros mean that there is no top node; a node must end within this batch.
            top: top.iter().any(|byte| *byte != 0).then(|| child_at(top, u64_at(record, 88))).transpose()?,
            note: note.to_vec(),
        };
        commit.check_form(ident, record)?;
        Ok(commit)
    }

    /// Fails with FORMAT if fields of a commit record break a rule that can be checked without other records.
    fn check_form(&self, ident: &Ident, record: &[u8]) -> Result<()> {
        let (block, offset) = (ident.block(), self.offset);
        let wrong = |what: String| Err(malformed(offset, record.len(), what));
        // Check the generation and the end of the batch.
        if self.generation == 0 {
            return wrong("the generation is 0".to_owned());
        }
        let body = body_start(offset, self.end, self.record_size(), block);
        if !self.end.is_multiple_of(block) || body > self.end {
            return wrong(format!(
                "the batch ends at byte {}: the end must be a multiple of {block} and not before byte {body}",
                self.end
            ));
        }
        // Only the first commit has neither a previous commit nor a jump.
        let first = self.ordinal == 0;
        let no_previous = (self.previous, self.previous_seal, self.previous_generation) == (0, [0; 32], 0);
        let no_jump = (self.jump, self.jump_generation) == (0, 0);
        let start = 3 * block;
        let ordinal = self.ordinal;
        if first != (offset == start) {
            return wrong(format!(
                "the ordinal is {ordinal}: it must be 0 in the commit at byte {start}, and not 0 in any other commit"
            ));
        }
        // Each commit begins a block, so that there is no room for more before this one.
        let most = offset.saturating_sub(start) / block;
        if ordinal > most {
            return wrong(format!("the ordinal is {ordinal}, and at most {most} commits fit before it"));
        }
        if first != no_previous {
            let verb = if first { "must not" } else { "must" };
            return wrong(format!("the commit of ordinal {ordinal} {verb} name a previous commit"));
        }
        if first != no_jump {
            let verb = if first { "must not" } else { "must" };
            return wrong(format!("the commit of ordinal {ordinal} {verb} have a jump"));
        }
        // The previous commit and the jump lie before this commit, in the right order.
        if !first {
            let places_fit = self.previous.is_multiple_of(block)
                && self.jump.is_multiple_of(block)
                && (start..offset).contains(&self.previous)
                && (start..=self.previous).contains(&self.jump);
            let numbers_fit = self.previous_generation < self.generation
                && self.jump_generation <= self.previous_generation;
            if !places_fit {
                return wrong(format!(
                    "the previous commit is at byte {} and the jump leads to byte {}: both must be multiples \
                     of {block}, with {start} <= jump <= previous < {offset}",
                    self.previous, self.jump
                ));
            }
            if !numbers_fit {
                return wrong(format!(
                    "generation {} names {} as the previous generation and {} as that of the jump: they must \
                     be ordered, jump <= previous < this generation",
                    self.generation, self.previous_generation, self.jump_generation
                ));
            }
        }
        // The top node and the commit must agree about size and tiles.
        if self.size >= 1 << 63 {
            return wrong(format!("the domain has {} bytes, more than the limit of 2^63 - 1", self.size));
        }
        let (bytes, tiles) = self.top.as_ref().map_or((0, 0), |top| (top.bytes, top.tiles));
        if (bytes, tiles) != (self.size, self.tiles) || self.top.is_some() != (self.tiles > 0) {
            return wrong(format!(
                "the commit states {} bytes in {} tiles, and its top node {bytes} bytes in {tiles} tiles",
                self.size, self.tiles
            ));
        }
        Ok(())
    }
}

/// Returns the history digest of a generation: it covers the history `previous` of the generation before, if any, and
/// generation, size, root, time and note of `commit`.
pub(super) fn history_of(seals: &Seals, ident: &Ident, previous: Option<&Digest>, commit: &Commit) -> Digest {
    let note = u32::try_from(commit.note.len()).unwrap_or(u32::MAX);
    seals.history(
        ident,
        &[
            // For the first generation, 32 zeros stand for the history before.
            previous.unwrap_or(&[0; 32]),
            &commit.generation.to_le_bytes(),
            &commit.size.to_le_bytes(),
            &commit.root,
            &commit.time.to_le_bytes(),
            &note.to_le_bytes(),
            &commit.note,
        ],
    )
}

/// Appends the entry of a tree node (CHILD, 64 bytes), as its parent or a commit record stores it.
pub(super) fn put_child(node: &NodeRef, out: &mut Vec<u8>) {
    out.extend_from_slice(&node.offset.to_le_bytes());
    out.extend_from_slice(&node.size.to_le_bytes());
    out.extend_from_slice(&[node.residue.value(), node.height, 0, 0]);
    out.extend_from_slice(&node.bytes.to_le_bytes());
    out.extend_from_slice(&node.tiles.to_le_bytes());
    out.extend_from_slice(&node.top);
}

/// Reads the entry of a tree node (CHILD, 64 bytes). The node's record must end at or before `limit`, which
/// [`check_child`] checks later, together with the other fields.
fn child_at(bytes: &[u8], limit: u64) -> Result<NodeRef> {
    let [residue, height, z0, z1] = u32_at(bytes, 12).to_le_bytes();
    // If an entry has an impossible value, its height is set to an invalid height, and a later check refuses
    // the entry.
    let height = if (z0, z1) == (0, 0) && residue < 96 && height <= MAX_HEIGHT { height } else { u8::MAX };
    Ok(NodeRef {
        // These values are not verified yet: `check_child` bounds place and size before the node is read.
        offset: u64_at(bytes, 0),
        size: u32_at(bytes, 8),
        residue: Residue::new(residue).unwrap_or(Residue::ZERO),
        height,
        bytes: u64_at(bytes, 16),
        tiles: u64_at(bytes, 24),
        top: digest_at(bytes, 32),
        limit,
    })
}

/// Fails with FORMAT if the entry of a tree node has a height, a size or an offset that no node has.
pub(super) fn check_child(ident: &Ident, node: &NodeRef) -> Result<()> {
    let wrong = |what: String| Err(malformed(node.offset, 0, what));
    if node.height > MAX_HEIGHT {
        return wrong(format!(
            "the entry of a node has a height above {MAX_HEIGHT}, a residue above 95 or a reserved byte that \
             is not 0"
        ));
    }
    // The size of a node follows from the number of its children.
    let each = if node.height == 0 { TILE_CHILD } else { NODE_CHILD };
    let list = node.size.wrapping_sub(NODE_HEAD);
    if !list.is_multiple_of(each) || !(1..=MAX_CHILDREN).contains(&node.count()) || node.size < NODE_HEAD {
        return wrong(format!("a node cannot have {} bytes", node.size));
    }
    // A node ends before the record that names it, so that no cycle is possible.
    let end = node.offset.checked_add(u64::from(node.size));
    if !node.offset.is_multiple_of(8)
        || node.offset < 3 * ident.block()
        || end.is_none_or(|end| end > node.limit)
    {
        return wrong(format!(
            "a node of {} bytes must begin at a multiple of 8 from byte {} on and end at or before byte {}",
            node.size,
            3 * ident.block(),
            node.limit
        ));
    }
    Ok(())
}

/// Returns the contents of an inner node's record: the number of children and their entries.
pub(super) fn inner_contents(children: &[NodeRef]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(8 + NODE_CHILD as usize * children.len());
    bytes.extend_from_slice(&u32::try_from(children.len()).unwrap_or(u32::MAX).to_le_bytes());
    bytes.extend_from_slice(&[0; 4]);
    children.iter().for_each(|child| put_child(child, &mut bytes));
    bytes
}

/// Returns the contents of a leaf's record: the number of tiles and their entries.
pub(super) fn leaf_contents(tiles: &[TileEntry]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(8 + TILE_CHILD as usize * tiles.len());
    bytes.extend_from_slice(&u32::try_from(tiles.len()).unwrap_or(u32::MAX).to_le_bytes());
    bytes.extend_from_slice(&[0; 4]);
    tiles.iter().for_each(|tile| put_tile(tile, &mut bytes));
    bytes
}

/// Entry of a tile, as read from a leaf. The place of its bytes is not checked yet; the other fields are valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RawTile {
    pub(super) entry: TileEntry,
    /// Bytes 4..8 of the entry: the offset of an encoded tile within its decoded record. 0 in other valid entries.
    pub(super) first: u32,
}

fn kind_code(kind: SpanKind) -> u32 {
    match kind {
        SpanKind::Base => 0,
        SpanKind::Raw => 1,
        SpanKind::Encoded => 2,
        SpanKind::Zeros => 3,
    }
}

fn kind_of(code: u32) -> Option<SpanKind> {
    match code {
        0 => Some(SpanKind::Base),
        1 => Some(SpanKind::Raw),
        2 => Some(SpanKind::Encoded),
        3 => Some(SpanKind::Zeros),
        _ => None,
    }
}

const RECORD_CODE: u32 = 4;

pub(super) fn put_tile(tile: &TileEntry, out: &mut Vec<u8>) {
    let (kind, first, place) = match tile.place {
        TilePlace::Span(kind, place, start) => (kind_code(kind), start, place),
        TilePlace::Record(place) => (RECORD_CODE, 0, place),
    };
    // Bits 0..21 length, 21..28 residue, 28..32 kind.
    let word = tile.len | u32::from(tile.residue.value()) << 21 | kind << 28;
    out.extend_from_slice(&word.to_le_bytes());
    out.extend_from_slice(&first.to_le_bytes());
    out.extend_from_slice(&place.to_le_bytes());
    out.extend_from_slice(&tile.witness);
}

/// Children of a tree node, read from its record.
pub(super) enum ParsedChildren {
    Nodes(Vec<NodeRef>),
    Tiles(Vec<RawTile>),
}

/// Reads the record of a tree node, whose seal was checked. Compares the number of its children and the sums of their
/// bytes, tiles and residues with the entry `node` that names the record. The digest in the entry is not compared.
pub(super) fn parse_node(node: &NodeRef, record: &[u8]) -> Result<ParsedChildren> {
    let wrong = |what: String| Err(malformed(node.offset, record.len(), what));
    // The number of children is known twice: from the CHILD's size and from the record.
    let count = node.count();
    let (stated, reserved) = (u32_at(record, 32), u32_at(record, 36));
    if usize::try_from(stated) != Ok(count) {
        return wrong(format!("the node states {stated} children, and its size has room for {count}"));
    }
    if reserved != 0 {
        return wrong(format!("the reserved bytes of a node are {reserved:#x} instead of 0"));
    }
    // The sums of the children must equal the sums in the CHILD, so that offsets can be found without loading
    // them.
    let (mut bytes, mut tiles, mut residue) = (0_u64, 0_u64, Residue::ZERO);
    let list = &record[NODE_HEAD as usize..];
    let parsed = if node.height > 0 {
        let mut children = Vec::with_capacity(count);
        for entry in list.as_chunks::<{ NODE_CHILD as usize }>().0 {
            // Children lie before their node.
            let child = child_at(entry, node.offset)?;
            // All leaves are equally deep, so that the height of a child is one less.
            if child.height != node.height - 1 {
                return wrong(format!(
                    "child {} has a height other than {}, a residue above 95 or a reserved byte that is not \
                     0",
                    children.len(),
                    node.height - 1
                ));
            }
            // Saturated sums of hostile numbers differ from the sums of the CHILD below 2^63.
            bytes = bytes.saturating_add(child.bytes);
            tiles = tiles.saturating_add(child.tiles);
            residue = residue + child.residue;
            children.push(child);
        }
        ParsedChildren::Nodes(children)
    } else {
        let mut children = Vec::with_capacity(count);
        for entry in list.as_chunks::<{ TILE_CHILD as usize }>().0 {
            // Offsets of a tile are checked when it is read, so that a fault in one tile leaves its
            // neighbours readable.
            let (word, first, place) = (u32_at(entry, 0), u32_at(entry, 4), u64_at(entry, 8));
            let len = word & 0x1f_ffff;
            // The residue has seven bits.
            let tile_residue = u8::try_from(word >> 21 & 0x7f).ok().and_then(Residue::new);
            let kind = word >> 28;
            // Length and residue are part of the sums, so that they must be valid now.
            let (Some(tile_residue), true) = (tile_residue, (1..=TILE_BYTES).contains(&u64::from(len)))
            else {
                return wrong(format!(
                    "tile {} has {len} bytes (1 to {TILE_BYTES} are allowed) and the residue {} (at most 95)",
                    children.len(),
                    word >> 21 & 0x7f
                ));
            };
            let place = match kind_of(kind) {
                Some(kind) => TilePlace::Span(kind, place, first),
                None if kind == RECORD_CODE => TilePlace::Record(place),
                None => return wrong(format!("tile {} has the unknown kind {kind}", children.len())),
            };
            bytes += u64::from(len);
            tiles += 1;
            residue = residue + tile_residue;
            let witness = digest_at(entry, 16);
            children.push(RawTile { entry: TileEntry { len, residue: tile_residue, place, witness }, first });
        }
        ParsedChildren::Tiles(children)
    };
    // If the sums differed, an index or an offset would lead to the wrong tile.
    if (bytes, tiles, residue) != (node.bytes, node.tiles, node.residue) {
        return wrong(format!(
            "the children have {bytes} bytes in {tiles} tiles and the residue {residue}, and the node's \
             entry states {} bytes in {} tiles and the residue {}",
            node.bytes, node.tiles, node.residue
        ));
    }
    Ok(parsed)
}

/// Returns the contents of a tile record (T): the tile's length, its spans, and its chaining values, if any.
pub(super) fn tile_contents(len: u32, spans: &[Span], chaining_values: &[Digest]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(8 + SPAN_SIZE * spans.len() + 32 * chaining_values.len());
    bytes.extend_from_slice(&u32::try_from(spans.len()).unwrap_or(u32::MAX).to_le_bytes());
    // Bit 31 of the length says that chaining values follow the spans.
    let chained = if chaining_values.is_empty() { 0 } else { 1 << 31 };
    bytes.extend_from_slice(&(len | chained).to_le_bytes());
    for span in spans {
        bytes.extend_from_slice(&span.place.to_le_bytes());
        // Bits 0..20 start, 28..32 kind.
        bytes.extend_from_slice(&(span.start | kind_code(span.kind) << 28).to_le_bytes());
        bytes.extend_from_slice(&span.len.to_le_bytes());
    }
    chaining_values.iter().for_each(|value| bytes.extend_from_slice(value));
    bytes
}

/// Reads the tile record (T) at `offset`, whose seal was checked, for a tile of `len` bytes. Chaining values are
/// required if `chained` is set, and forbidden otherwise. Fails with FORMAT if a field breaks a rule.
pub(super) fn parse_tile(offset: u64, len: u32, chained: bool, record: &[u8]) -> Result<TileSpans> {
    let wrong = |what: String| Err(malformed(offset, record.len(), what));
    // The head: number of spans, tile length, and the flag for chaining values.
    let (count, word) = (u32_at(record, 32), u32_at(record, 36));
    let stated = count;
    let Some(count) = usize::try_from(count).ok().filter(|count| (1..=MAX_SPANS).contains(count)) else {
        return wrong(format!("{stated} spans are outside 1..={MAX_SPANS}"));
    };
    if word & 0x7fff_ffff != len {
        return wrong(format!("the tile has {} bytes, and its leaf states {len}", word & 0x7fff_ffff));
    }
    if (word >> 31 != 0) != chained {
        let (found, wanted) = (word >> 31, u32::from(chained));
        return wrong(format!("the flag for chaining values is {found} instead of the container's {wanted}"));
    }
    if count == 1 && !chained {
        return wrong(
            "a tile record without chaining values has a single span, which belongs into the leaf".to_owned(),
        );
    }
    // The size follows from the head.
    let groups = if chained { to_u64(len as usize).div_ceil(to_u64(GROUP_SIZE)) } else { 0 };
    let size = to_u64(TILE_HEAD + SPAN_SIZE * count) + 32 * groups;
    if to_u64(record.len()) != size {
        return wrong(format!(
            "{count} spans and {groups} chaining values are {size} bytes, and the record has {}",
            record.len()
        ));
    }
    // Check each span alone, and against the span before it.
    let (list, values) = record[TILE_HEAD..].split_at(SPAN_SIZE * count);
    let mut spans: Vec<Span> = Vec::with_capacity(count);
    let mut total = 0_u64;
    for entry in list.as_chunks::<SPAN_SIZE>().0 {
        let (place, word, span_len) = (u64_at(entry, 0), u32_at(entry, 8), u32_at(entry, 12));
        let (start, kind) = (word & 0xf_ffff, kind_of(word >> 28));
        // Bits 20..28 are reserved.
        let Some(kind) = kind.filter(|_| word >> 20 & 0xff == 0) else {
            return wrong(format!(
                "span {} has an unknown kind or reserved bits that are not 0: {word:#x}",
                spans.len()
            ));
        };
        if !(1..=TILE_BYTES).contains(&u64::from(span_len)) {
            return wrong(format!(
                "span {} of the tile has {span_len} bytes: 1 to {TILE_BYTES} are allowed",
                spans.len()
            ));
        }
        // A start within a record has a meaning only for encoded spans.
        if start != 0 && kind != SpanKind::Encoded {
            return wrong(format!(
                "span {} of the tile states the start {start}, which must be 0 because its bytes are not compressed",
                spans.len()
            ));
        }
        let span = Span { kind, place, start, len: span_len };
        total += u64::from(span_len);
        // The form is canonical: spans that continue one another are a single span.
        if spans.last().is_some_and(|last| last.continues(&span)) {
            return wrong(format!(
                "span {} continues the span before it: both must be a single span",
                spans.len()
            ));
        }
        spans.push(span);
    }
    // The lengths of the spans must add up to the tile.
    if total != u64::from(len) {
        return wrong(format!("the spans have {total} bytes in total, and the tile has {len}"));
    }
    // Whether the values lead to the witness is checked by the caller, who has it.
    let values = values.as_chunks::<32>().0.to_vec();
    Ok(TileSpans {
        spans: spans.into_boxed_slice(),
        chaining_values: values.into_boxed_slice(),
        record: offset,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    /// Returns the entry of a leaf of two tiles that ends before `limit`, and the identity of its container.
    fn entry() -> (NodeRef, Ident) {
        let ident = Ident::new([1; 16], [2; 16], 12, crate::ProjectionType::Linear, 0, 0);
        let node = NodeRef {
            offset: 5 * ident.block(),
            size: NODE_HEAD + 2 * TILE_CHILD,
            residue: Residue::new(95).unwrap(),
            height: 0,
            bytes: 5_000,
            tiles: 2,
            top: [3; 32],
            limit: 6 * ident.block(),
        };
        (node, ident)
    }

    #[test]
    fn an_entry_of_a_node_comes_back_and_impossible_values_are_refused() {
        let (node, ident) = entry();
        let mut bytes = Vec::new();
        put_child(&node, &mut bytes);
        let read = child_at(&bytes, node.limit).unwrap();
        assert_eq!(
            (read.offset, read.size, read.residue, read.height),
            (node.offset, node.size, node.residue, 0)
        );
        assert_eq!((read.bytes, read.tiles, read.top, read.limit), (5_000, 2, [3; 32], node.limit));
        check_child(&ident, &read).unwrap();
        // Residue, height and the two reserved bytes.
        for (place, value) in [(12, 96), (13, MAX_HEIGHT + 1), (14, 1), (15, 1)] {
            let mut bytes = bytes.clone();
            bytes[place] = value;
            let read = child_at(&bytes, node.limit).unwrap();
            assert_eq!(check_child(&ident, &read).unwrap_err().kind(), ErrorKind::Format, "byte {place}");
        }
    }

    #[test]
    fn a_node_lies_between_the_heads_and_its_limit() {
        let (node, ident) = entry();
        let block = ident.block();
        let last = node.limit - u64::from(node.size) / 8 * 8 - 8;
        for offset in [3 * block, last] {
            check_child(&ident, &NodeRef { offset, ..node }).unwrap();
        }
        for offset in [0, 8, 3 * block - 8, node.offset + 4, last + 16, node.limit, u64::MAX - 7] {
            let error = check_child(&ident, &NodeRef { offset, ..node }).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Format, "{offset}");
        }
        for size in [0, NODE_HEAD, NODE_HEAD + 1, 8, NODE_HEAD + 33 * TILE_CHILD] {
            let error = check_child(&ident, &NodeRef { size, ..node }).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Format, "{size}");
        }
    }
}
