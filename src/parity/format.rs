//! Encoding of a parity file's blocks: their heads, digests and seals (docs/parity.md, "File").

#![forbid(unsafe_code)]

use super::geometry::{DIGESTS_A_BLOCK, Geometry};
use crate::base::units::{PAGE_SIZE, to_usize};
use crate::hash::digest::Digest;
use crate::hash::key::Key;
use crate::hash::record::MAGIC;
use blake3::Hasher;
use blake3::hazmat::{ContextKey, HasherExt};

const VERSION: u16 = 1;
/// Number that marks a parity file among the kinds of files of the library.
const KIND: u16 = 4;
const FLAG_KEYED: u32 = 1;
/// Number of bytes of a block's head that the seal of the head covers.
const SEALED_HEAD: usize = 112;
/// Number of bytes of a block before its digests: the head and the head's seal.
const HEAD: usize = 128;
/// Number of bytes of a block that the seal of the block, its last 16 bytes, covers.
const SEALED_BLOCK: usize = PAGE_SIZE - SHORT;
/// Number of bytes of the digests and seals in a parity file, which are the first bytes of BLAKE3 digests.
const SHORT: usize = 16;
/// Byte range of the block's number in a head, the only field that differs from block to block.
const BLOCK_NUMBER: std::ops::Range<usize> = 72..80;

const _: () = assert!((SEALED_BLOCK - HEAD) as u64 == SHORT as u64 * DIGESTS_A_BLOCK);

/// The first 16 bytes of a BLAKE3 digest.
pub(super) type Short = [u8; SHORT];
/// Block of a parity file: a head with a seal, 247 digests of units, and a seal of the whole block.
pub(super) type Block = [u8; PAGE_SIZE];

/// Returns the first 16 bytes of a BLAKE3 digest, as a parity file stores it.
pub(super) fn short(digest: &Digest) -> Short {
    std::array::from_fn(|at| digest[at])
}

/// Returns true if the two digests are equal, in constant time.
pub(super) fn same_short(a: &Short, b: &Short) -> bool {
    a.iter().zip(b).fold(0, |any, (a, b)| any | (a ^ b)) == 0
}

/// Key that BLAKE3 derives from the context `atlas_manifold 1 parity`.
const CONTEXT_KEY: ContextKey = [
    19, 20, 145, 98, 171, 132, 247, 238, 249, 175, 211, 170, 119, 152, 115, 203, 73, 45, 165, 14, 148, 76,
    63, 194, 250, 80, 173, 34, 74, 82, 86, 169,
];
const KEY_CONTEXT: &str = "atlas_manifold 1 parity key";

/// Maker of the seals of heads and blocks: the digest C of docs/parity.md, with the key of a keyed parity file.
pub(super) struct Seals {
    key: Option<Key>,
}

impl Seals {
    pub(super) fn new(key: Option<&[u8; 32]>) -> Seals {
        Seals { key: key.map(|key| Key::derived(KEY_CONTEXT, key)) }
    }

    fn seal(&self, bytes: &[u8]) -> Short {
        let digest = match &self.key {
            // Both modes follow the definition of C in "The format, version 1".
            None => Hasher::new_from_context_key(&CONTEXT_KEY).update(bytes).finalize(),
            Some(key) => blake3::keyed_hash(key, bytes),
        };
        short(digest.as_bytes())
    }

    /// Returns true if the first `sealed` bytes of `block` have the seal that follows them.
    fn hold(&self, block: &Block, sealed: usize) -> bool {
        // The seal lies right after the bytes that it covers.
        same_short(&self.seal(&block[..sealed]), &take(block, sealed))
    }
}

/// Returns the `N` bytes at the offset `at` of a block.
fn take<const N: usize>(bytes: &Block, at: usize) -> [u8; N] {
    std::array::from_fn(|index| bytes[at + index])
}

/// Fields of the head that are the same in all blocks of a parity file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) geometry: Geometry,
    pub(super) keyed: bool,
    pub(super) id: [u8; 16],
    /// LINEAR root of the protected bytes. Zeros mean that it was not computed.
    pub(super) root: Digest,
}

impl Head {
    /// Returns the encoded head of the block `number`, without the head's seal.
    fn encode(&self, number: u64) -> [u8; SEALED_HEAD] {
        let Geometry { size, unit, columns, parity, rows } = self.geometry;
        let mut bytes = [0; SEALED_HEAD];
        let mut at = 0;
        let mut put = |field: &[u8]| {
            bytes[at..at + field.len()].copy_from_slice(field);
            at += field.len();
        };
        // The geometry keeps these within 32 bits.
        let short = |value: u64| u32::try_from(value).unwrap_or(u32::MAX).to_le_bytes();
        put(&MAGIC);
        put(&VERSION.to_le_bytes());
        put(&KIND.to_le_bytes());
        // Byte 12 is reserved.
        put(&0_u32.to_le_bytes());
        // S follows from the geometry, so that a reader compares it and uses the computed value.
        put(&self.geometry.file_size().to_le_bytes());
        put(&self.id);
        put(&size.to_le_bytes());
        put(&short(unit));
        put(&(if self.keyed { FLAG_KEYED } else { 0 }).to_le_bytes());
        put(&short(columns));
        put(&short(parity));
        put(&rows.to_le_bytes());
        // The number of the block is the only field that differs between blocks.
        put(&number.to_le_bytes());
        put(&self.root);
        bytes
    }

    /// Returns the head of a block and the block's number. `None` if the seal of the head is not valid, its
    /// fields are not consistent, or only one of the file and `seals` is keyed.
    pub(super) fn decode(block: &Block, seals: &Seals) -> Option<(Head, u64)> {
        // Most blocks of a search have no head; the magic rules them out without a digest.
        if !block.starts_with(&MAGIC) || !seals.hold(block, SEALED_HEAD) {
            return None;
        }
        let half = |at| u64::from(u32::from_le_bytes(take(block, at)));
        let whole = |at| u64::from_le_bytes(take(block, at));
        let geometry = Geometry {
            size: whole(40),
            unit: half(48),
            columns: half(56),
            parity: half(60),
            rows: whole(64),
        };
        let number = whole(BLOCK_NUMBER.start);
        // All sizes follow from these numbers, so that they are checked before anything is computed.
        if !geometry.is_valid() || number >= geometry.blocks() {
            return None;
        }
        let head = Head { geometry, keyed: seals.key.is_some(), id: take(block, 24), root: take(block, 80) };
        // Version, kind, reserved bytes, sizes and flags must equal the encoded values.
        (head.encode(number)[..] == block[..SEALED_HEAD]).then_some((head, number))
    }

    /// Returns true if `block` is valid: it has the head of this parity file with the block number `number`,
    /// and the seal of the block is right.
    pub(super) fn accepts(&self, block: &Block, number: u64, seals: &Seals) -> bool {
        // The head must equal the head of the opened file, because a block of an older version has another
        // id.
        block[..SEALED_HEAD] == self.encode(number)[..] && seals.hold(block, SEALED_BLOCK)
    }

    /// Returns the encoded block `number` with this head, these digests of its units, and both seals.
    pub(super) fn block(&self, number: u64, digests: &[Short], seals: &Seals) -> Block {
        let mut block = [0; PAGE_SIZE];
        block[..SEALED_HEAD].copy_from_slice(&self.encode(number));
        // The head has a seal of its own, so that the geometry can be read from a block that is only partly
        // written.
        let seal = seals.seal(&block[..SEALED_HEAD]);
        block[SEALED_HEAD..HEAD].copy_from_slice(&seal);
        for (place, digest) in block[HEAD..SEALED_BLOCK].chunks_mut(SHORT).zip(digests) {
            place.copy_from_slice(digest);
        }
        // The second seal covers the head, its seal and the digests.
        let seal = seals.seal(&block[..SEALED_BLOCK]);
        block[SEALED_BLOCK..].copy_from_slice(&seal);
        block
    }
}

/// Reason to refuse a parity file that has no valid head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The block has another version or kind than this library reads, or an unknown flag.
    Unsupported { version: u16, kind: u16, flags: u32 },
    /// The key may be missing, wrong or superfluous: the block states that it is keyed, or a key was given.
    Key,
}

/// Returns the reason to refuse a parity file without a valid head, from its first or last block. `None` if the
/// block has no magic number or shows no reason.
pub(super) fn refusal(block: &Block, seals: &Seals) -> Option<Refusal> {
    if !block.starts_with(&MAGIC) {
        return None;
    }
    // A newer version may seal in another way, so that version and kind are compared without the seal.
    let (version, kind) = (u16::from_le_bytes(take(block, 8)), u16::from_le_bytes(take(block, 10)));
    let flags = u32::from_le_bytes(take(block, 52));
    if (version, kind) != (VERSION, KIND) || seals.hold(block, SEALED_HEAD) && flags > FLAG_KEYED {
        return Some(Refusal::Unsupported { version, kind, flags });
    }
    // If a key was given, the key may be the reason; if not, the flag in the block is a hint.
    (seals.key.is_some() || flags & FLAG_KEYED != 0).then_some(Refusal::Key)
}

/// Returns the digest of the unit `index` from the block that has it.
pub(super) fn entry(block: &Block, index: u64) -> Short {
    take(block, HEAD + SHORT * to_usize(index % DIGESTS_A_BLOCK))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_seal_is_derive_key_mode_of_the_documented_context() {
        let expected = blake3::derive_key("atlas_manifold 1 parity", b"bytes");
        assert_eq!(Seals::new(None).seal(b"bytes"), short(&expected));
        let key = blake3::derive_key("atlas_manifold 1 parity key", &[7; 32]);
        let expected = blake3::keyed_hash(&key, b"bytes");
        assert_eq!(Seals::new(Some(&[7; 32])).seal(b"bytes"), short(expected.as_bytes()));
    }
}
