//! Seals of a container file: digests that protect its records, and the identity of the file, which they cover.

use crate::base::error::{AtlasError, Result};
use crate::hash::digest::Digest;
use crate::hash::key::Key;
use crate::tile::options::ProjectionType;
use blake3::Hasher;
use blake3::hazmat::{ContextKey, HasherExt, hash_derive_key_context};

const SEAL_CONTEXT: &str = "atlas_manifold 1 container";
const SEAL_KEY_CONTEXT: &str = "atlas_manifold 1 container key";
const HISTORY_CONTEXT: &str = "atlas_manifold 1 history";
const HISTORY_KEY_CONTEXT: &str = "atlas_manifold 1 history key";

/// First byte of the input of each header, record and batch digest, so that digests of different contents differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Tag {
    Header = 0,
    Seal = 1,
    Batch = 2,
}

/// Digest functions of a container, plain or keyed: one for its records, one for its history.
#[derive(Clone)]
pub(super) struct Seals {
    mode: Mode,
}

#[derive(Clone)]
enum Mode {
    Plain { seal: ContextKey, history: ContextKey },
    Keyed { seal: Key, history: Key },
}

impl Seals {
    pub(super) fn new(key: Option<&[u8; 32]>) -> Seals {
        // The keys of the contexts are derived once, because each record needs a digest.
        let mode = match key {
            None => Mode::Plain {
                seal: hash_derive_key_context(SEAL_CONTEXT),
                history: hash_derive_key_context(HISTORY_CONTEXT),
            },
            Some(key) => Mode::Keyed {
                seal: Key::derived(SEAL_KEY_CONTEXT, key),
                history: Key::derived(HISTORY_KEY_CONTEXT, key),
            },
        };
        Seals { mode }
    }

    pub(super) fn is_keyed(&self) -> bool {
        matches!(self.mode, Mode::Keyed { .. })
    }

    /// Returns a hasher that has hashed `tag` and the salt and id of the container file `ident`.
    pub(super) fn hasher(&self, tag: Tag, ident: &Ident) -> Hasher {
        let mut hasher = match &self.mode {
            Mode::Plain { seal, .. } => Hasher::new_from_context_key(seal),
            Mode::Keyed { seal, .. } => Hasher::new_keyed(seal),
        };
        // Salt and id tie a record to its file: a record of another container does not seal itself here.
        hasher.update(&[tag as u8]).update(&ident.salt).update(&ident.id);
        hasher
    }

    /// Returns the digest of `tag`, salt and id of the container file `ident`, and `parts`, one after the other.
    pub(super) fn digest(&self, tag: Tag, ident: &Ident, parts: &[&[u8]]) -> Digest {
        let mut hasher = self.hasher(tag, ident);
        for part in parts {
            hasher.update(part);
        }
        *hasher.finalize().as_bytes()
    }

    /// Returns the history digest of `parts` and the file's id. A new salt, as after a compaction, does not change it.
    pub(super) fn history(&self, ident: &Ident, parts: &[&[u8]]) -> Digest {
        let mut hasher = match &self.mode {
            Mode::Plain { history, .. } => Hasher::new_from_context_key(history),
            Mode::Keyed { history, .. } => Hasher::new_keyed(history),
        };
        // Only the id enters the digest, because compaction renews the salt and keeps histories.
        hasher.update(&ident.id);
        for part in parts {
            hasher.update(part);
        }
        *hasher.finalize().as_bytes()
    }
}

pub(super) const KEYED: u8 = 1;
pub(super) const STRICT: u8 = 2;
pub(super) const CHAINS: u8 = 4;

const VERSION: u16 = 1;
const KIND: u16 = 3;

/// Identity of a container file: the fields of its header. The digests in the file cover its id and salt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ident {
    pub(super) id: [u8; 16],
    pub(super) salt: [u8; 16],
    /// Bytes 8..16 of the header: format version, kind of file, code of the block size, projection type, K, flags.
    pub(super) head: [u8; 8],
}

impl Ident {
    pub(super) fn new(
        id: [u8; 16],
        salt: [u8; 16],
        block_log2: u8,
        kind: ProjectionType,
        data_classes: u8,
        flags: u8,
    ) -> Ident {
        let [v0, v1] = VERSION.to_le_bytes();
        let [k0, k1] = KIND.to_le_bytes();
        Ident { id, salt, head: [v0, v1, k0, k1, block_log2, kind.code(), data_classes, flags] }
    }

    /// Returns the identity of another file: the same type, K and flags, and this id, salt and code of the block size.
    pub(super) fn of_file(&self, id: [u8; 16], salt: [u8; 16], block_log2: u8) -> Ident {
        let mut head = self.head;
        head[4] = block_log2;
        Ident { id, salt, head }
    }

    /// Returns the salt of a file whose creator chose the id: a digest of the id, so that equal calls make equal files.
    pub(super) fn derived_salt(id: &[u8; 16]) -> [u8; 16] {
        // With a given id the whole file is a function of its contents.
        let digest = blake3::hash(id);
        let mut salt = [0; 16];
        salt.copy_from_slice(&digest.as_bytes()[..16]);
        salt
    }

    /// Returns B, the block size that the header of the container file states, in bytes.
    pub(super) fn block(&self) -> u64 {
        // The bound keeps an unchecked header from overflowing the shift.
        4_096 << self.head[4].min(4)
    }

    pub(super) fn kind(&self) -> ProjectionType {
        // `check` refuses other codes before the type is used.
        ProjectionType::from_code(self.head[5]).unwrap_or_default()
    }

    /// Returns K, the number of data classes of R96, or 0 for LINEAR.
    pub(super) fn data_classes(&self) -> u8 {
        self.head[6]
    }

    pub(super) fn has(&self, flag: u8) -> bool {
        self.head[7] & flag != 0
    }

    /// Returns true if this library can read the format version and the kind of file in the header.
    pub(super) fn is_known(&self) -> bool {
        self.head[..4] == Ident::new([0; 16], [0; 16], 0, ProjectionType::Linear, 0, 0).head[..4]
    }

    /// Fails with UNSUPPORTED for a version or kind that this library does not know, and with FORMAT for fields that no
    /// header has. `keyed` is true if a key was used to check the header's digest.
    pub(super) fn check(&self, keyed: bool) -> Result<()> {
        // If the digest matches, a wrong value was written by a faulty program: FORMAT is reported, not
        // damage.
        let [v0, v1, k0, k1, block, kind, classes, flags] = self.head;
        // A newer version may give the other fields another meaning.
        if !self.is_known() {
            let (version, found) = (u16::from_le_bytes([v0, v1]), u16::from_le_bytes([k0, k1]));
            return Err(AtlasError::unsupported(format!(
                "the container has version {version} and kind {found}, and this library reads version \
                 {VERSION} and kind {KIND}: use a newer library"
            ))
            .at_range(8, 4));
        }
        // Check each field alone.
        let malformed = |what: String| {
            Err(AtlasError::format(format!("the header of the container is malformed: {what}"))
                .at_range(8, 8))
        };
        if block > 4 {
            return malformed(format!("the code of the block size at byte 12 is {block}, outside 0..=4"));
        }
        let Some(kind) = ProjectionType::from_code(kind) else {
            return malformed(format!("projection type {kind} is not known"));
        };
        let has_classes = kind == ProjectionType::R96Fourier;
        if !(if has_classes { 1..=96 } else { 0..=0 }).contains(&classes) {
            return malformed(format!("K {classes} is not allowed for {kind:?}"));
        }
        if flags & !(KEYED | STRICT | CHAINS) != 0 {
            return malformed(format!("flags {flags:#x}: only the bits 0 to 2 are defined"));
        }
        // Check for impossible combinations.
        if flags & CHAINS != 0 && has_classes {
            return malformed("the flag for chaining values is set for R96".to_owned());
        }
        if (flags & KEYED != 0) != keyed {
            return malformed(format!(
                "the flag for a key is {}, and the digest of the header shows the opposite",
                flags & KEYED
            ));
        }
        Ok(())
    }
}
