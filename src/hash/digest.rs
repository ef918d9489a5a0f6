//! The two digests of the library: T of bytes and N of the tree (docs/design.md, "The root").
//!
//! Unkeyed, T is plain BLAKE3 and N is BLAKE3 in derive-key mode, so that no bytes of a domain can
//! pass for a node of the tree. Keyed, both are keyed BLAKE3 with keys derived from the caller's key.

#![forbid(unsafe_code)]

use crate::base::error::Result;
use crate::base::units::to_u64;
use crate::hash::key::Key;
use blake3::Hasher;
use blake3::hazmat::{ContextKey, HasherExt, Mode};

/// A 32-byte BLAKE3 digest of a tile, of a node, or of a whole projection.
pub type Digest = [u8; 32];

/// BLAKE3's context key of the digest N, for the context string `atlas_manifold 1 tree`. A constant, because a lock
/// around a computation at first use could be held by another thread at a fork.
const TREE_CONTEXT_KEY: ContextKey = [
    195, 47, 8, 243, 72, 219, 91, 126, 246, 248, 146, 164, 178, 57, 15, 33, 119, 49, 183, 245, 46, 146, 71,
    250, 172, 216, 233, 30, 70, 151, 104, 231,
];
const TILE_KEY_CONTEXT: &str = "atlas_manifold 1 tile key";
const TREE_KEY_CONTEXT: &str = "atlas_manifold 1 tree key";

/// Returns BLAKE3-256 of `bytes`.
///
/// ```
/// let digest = atlas_manifold::digest256(b"");
/// assert_eq!(digest[..4], [0xaf, 0x13, 0x49, 0xb9]);
/// ```
pub fn digest256(bytes: &[u8]) -> Digest {
    *blake3::hash(bytes).as_bytes()
}

/// Returns BLAKE3-256 of `bytes`, hashed in steps of at most `step` bytes. Calls `done` after each step with the number
/// of bytes of this step; an error of `done` ends the hashing.
pub(crate) fn digest256_in_steps(
    bytes: &[u8],
    step: usize,
    mut done: impl FnMut(u64) -> Result<()>,
) -> Result<Digest> {
    let mut hasher = Hasher::new();
    for part in bytes.chunks(step) {
        hasher.update(part);
        done(to_u64(part.len()))?;
    }
    Ok(*hasher.finalize().as_bytes())
}

/// Returns true if two digests are equal, in constant time.
pub(crate) fn same(a: &Digest, b: &Digest) -> bool {
    // The comparison of this type takes constant time.
    blake3::Hash::from_bytes(*a) == blake3::Hash::from_bytes(*b)
}

/// The keys of the digests T and N, derived from the caller's key.
#[derive(Clone)]
struct Keys {
    tile: Key,
    tree: Key,
}

/// The digests T (of bytes) and N (of tree nodes), with or without a key.
#[derive(Clone)]
pub(crate) struct Digests {
    keys: Option<Keys>,
}

impl Digests {
    pub(crate) fn new(key: Option<&[u8; 32]>) -> Self {
        // Two keys, so that no bytes of a tile pass for a node of the tree.
        let keys = key.map(|key| Keys {
            tile: Key::derived(TILE_KEY_CONTEXT, key),
            tree: Key::derived(TREE_KEY_CONTEXT, key),
        });
        Digests { keys }
    }

    /// Returns true if both compute the same digests: with the same key, or without one. In constant time.
    pub(crate) fn is_same(&self, other: &Digests) -> bool {
        match (&self.keys, &other.keys) {
            (None, None) => true,
            // Both are derived from the caller's key, so that equal tile keys mean equal keys.
            (Some(keys), Some(other)) => same(&keys.tile, &other.tile),
            _ => false,
        }
    }

    pub(crate) fn keyed(&self) -> bool {
        self.keys.is_some()
    }

    /// Returns BLAKE3's mode for T, plain or keyed. The chaining values inside a tile are merged in this mode.
    pub(crate) fn tile_mode(&self) -> Mode<'_> {
        match &self.keys {
            None => Mode::Hash,
            Some(keys) => Mode::KeyedHash(&keys.tile),
        }
    }

    /// Returns the key of T, or `None` if T has no key.
    pub(crate) fn tile_key(&self) -> Option<&[u8; 32]> {
        self.keys.as_ref().map(|keys| &*keys.tile)
    }

    /// Returns a hasher that computes the digest T of the bytes it is given.
    pub(crate) fn tile_hasher(&self) -> Hasher {
        match &self.keys {
            None => Hasher::new(),
            Some(keys) => Hasher::new_keyed(&keys.tile),
        }
    }

    /// Computes T(bytes), the BLAKE3 digest of `bytes`, with the key of T if there is one.
    pub(crate) fn tile(&self, bytes: &[u8]) -> Digest {
        match &self.keys {
            None => digest256(bytes),
            Some(keys) => *blake3::keyed_hash(&keys.tile, bytes).as_bytes(),
        }
    }

    /// Computes N(bytes), the digest of leaves, nodes and roots. Every input of N fits one chunk of BLAKE3.
    pub(crate) fn tree(&self, bytes: &[u8]) -> Digest {
        match &self.keys {
            None => *Hasher::new_from_context_key(&TREE_CONTEXT_KEY).update(bytes).finalize().as_bytes(),
            Some(keys) => *blake3::keyed_hash(&keys.tree, bytes).as_bytes(),
        }
    }

    /// Computes the leaf of a tile in the tree over tiles = N(0x00 ‖ length ‖ residue ‖ witness).
    pub(crate) fn leaf(&self, length: u64, residue: u8, witness: &Digest) -> Digest {
        // Byte 0 stays 0x00, the mark of a leaf.
        let mut bytes = [0u8; 42];
        bytes[1..9].copy_from_slice(&length.to_le_bytes());
        bytes[9] = residue;
        bytes[10..].copy_from_slice(witness);
        self.tree(&bytes)
    }

    /// Computes a node of the tree over tiles = N(0x01 ‖ bytes under left ‖ bytes under right ‖ left ‖ right).
    pub(crate) fn node(&self, left_bytes: u64, right_bytes: u64, left: &Digest, right: &Digest) -> Digest {
        // The lengths are part of the digest, because a verifier takes offsets from them.
        let mut bytes = [0u8; 81];
        bytes[0] = 0x01;
        bytes[1..9].copy_from_slice(&left_bytes.to_le_bytes());
        bytes[9..17].copy_from_slice(&right_bytes.to_le_bytes());
        bytes[17..49].copy_from_slice(left);
        bytes[49..].copy_from_slice(right);
        self.tree(&bytes)
    }

    /// Computes the root of a projection = N(0x02 ‖ type ‖ K ‖ domain size ‖ tile count ‖ tree), from the top of
    /// the tree.
    pub(crate) fn root(&self, kind: u8, classes: u8, size: u64, tiles: u64, top: &Digest) -> Digest {
        // Type and K are part of the root, so that no projection passes for another type.
        let mut bytes = [0u8; 51];
        bytes[0] = 0x02;
        bytes[1] = kind;
        bytes[2] = classes;
        bytes[3..11].copy_from_slice(&size.to_le_bytes());
        bytes[11..19].copy_from_slice(&tiles.to_le_bytes());
        bytes[19..].copy_from_slice(top);
        self.tree(&bytes)
    }

    /// Computes the leaf of a class in the tree over a tile's classes = N(0x03 ‖ class ‖ T(payload)), from
    /// T(payload).
    pub(crate) fn class_leaf(&self, class: u8, payload: &Digest) -> Digest {
        // The class is part of its leaf, so that no two classes can change places.
        let mut bytes = [0u8; 34];
        bytes[0] = 0x03;
        bytes[1] = class;
        bytes[2..].copy_from_slice(payload);
        self.tree(&bytes)
    }

    /// Computes a node of the tree over a tile's classes = N(0x04 ‖ left ‖ right).
    pub(crate) fn class_node(&self, left: &Digest, right: &Digest) -> Digest {
        let mut bytes = [0u8; 65];
        bytes[0] = 0x04;
        bytes[1..33].copy_from_slice(left);
        bytes[33..].copy_from_slice(right);
        self.tree(&bytes)
    }

    /// Returns the digest of the tree over no leaves, N("").
    pub(crate) fn no_leaves(&self) -> Digest {
        self.tree(&[])
    }
}

/// Formats a digest as 64 hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tree_digest_is_derive_key_mode_of_the_documented_context() {
        let unkeyed = Digests::new(None);
        assert_eq!(unkeyed.tree(b"node"), blake3::derive_key("atlas_manifold 1 tree", b"node"));
        assert_eq!(unkeyed.tile(b"bytes"), *blake3::hash(b"bytes").as_bytes());
    }

    #[test]
    fn keyed_digests_use_two_different_derived_keys() {
        let key = [7u8; 32];
        let keyed = Digests::new(Some(&key));
        let tile_key = blake3::derive_key("atlas_manifold 1 tile key", &key);
        let tree_key = blake3::derive_key("atlas_manifold 1 tree key", &key);
        assert_eq!(keyed.tile(b"x"), *blake3::keyed_hash(&tile_key, b"x").as_bytes());
        assert_eq!(keyed.tree(b"x"), *blake3::keyed_hash(&tree_key, b"x").as_bytes());
        assert_eq!(keyed.tile_hasher().update(b"x").finalize().as_bytes(), &keyed.tile(b"x"));
    }
}
