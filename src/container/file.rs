//! Access to a container file: reads records at given offsets, and checks the seal of each, a digest of its bytes.

use super::open::is_blank;
use super::planted::small_batch;
use super::records::{
    COMMIT_SIZE, Commit, HEADER_SIZE, MAGIC, MAX_NOTE, RECORD_HEAD, RecordKind, SLOT_SIZE, Slot, commit_size,
    u32_at, u64_at,
};
use super::seal::{Ident, Seals, Tag};
use crate::base::buffer::try_vec;
use crate::base::error::{AtlasError, Result};
use crate::base::out_bytes::OutBytes;
use crate::base::process::Process;
use crate::base::storage::Storage;
use crate::base::units::{to_u64, to_usize};
use crate::hash::digest::{Digest, same};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Open container file: its storage, its identity from the header, and the digest functions for its seals.
pub(super) struct ContainerFile {
    pub(super) storage: Arc<dyn Storage>,
    /// Path of the container file, or name of its source, for error texts.
    pub(super) path: PathBuf,
    pub(super) ident: Ident,
    pub(super) seals: Seals,
    /// True if the header was damaged, and the fields of the first commit record stand in for it.
    pub(super) header_damaged: bool,
    /// True after a sync of a batch to this container file failed. The bytes on the disk are unknown then.
    pub(super) sync_failed: AtomicBool,
    /// Process that opened the file, and alone may change it.
    pub(super) process: Process,
}

/// Bytes of a record whose seal was checked, and its full seal of 32 bytes.
pub(super) struct Record {
    pub(super) bytes: Vec<u8>,
    pub(super) seal: Digest,
}

/// Reads `len` bytes of a storage from `offset` on. `None` if the storage ends before the last of them.
fn read_at(storage: &dyn Storage, path: &Path, offset: u64, len: usize) -> Result<Option<Vec<u8>>> {
    let mut bytes = try_vec(len)?;
    bytes.resize(len, 0);
    for is_again in [false, true] {
        match storage.read_at(offset, OutBytes::new(&mut bytes)) {
            Ok(()) => return Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                let size = storage.len();
                let size = size.map_err(|error| {
                    AtlasError::io(format_args!("reading the size of {}", path.display()), error)
                })?;
                // An early end of the file is returned as `None`, because the caller decides if durable bytes are
                // missing.
                if offset.checked_add(to_u64(len)).is_none_or(|end| end > size) {
                    return Ok(None);
                }
                // The file may have grown after the read. If the bytes are missing again, they are not absent but
                // cannot be read.
                if is_again {
                    let what = format_args!(
                        "reading {len} bytes at offset {offset} of {}, whose size is {size}",
                        path.display()
                    );
                    return Err(AtlasError::io(what, error).at_range(offset, to_u64(len)));
                }
            }
            Err(error) => {
                let what = format_args!("reading {len} bytes at offset {offset} of {}", path.display());
                return Err(AtlasError::io(what, error).at_range(offset, to_u64(len)));
            }
        }
    }
    Ok(None)
}

impl ContainerFile {
    /// Reads the header of the container file again. Returns true if it is damaged.
    pub(super) fn is_header_damaged(&self) -> Result<bool> {
        let header = read_at(&*self.storage, &self.path, 0, HEADER_SIZE)?.unwrap_or_default();
        Ok(header_ident(&self.seals, &header) != Some(self.ident))
    }

    /// Opens a container file by its header or, if the header is damaged, by the first commit record, which repeats the
    /// fields of the header. `key` is the key of a keyed container.
    pub(super) fn open(
        storage: Arc<dyn Storage>,
        path: &Path,
        key: Option<&[u8; 32]>,
    ) -> Result<ContainerFile> {
        // The key is needed before the identity, because the header's digest is keyed too.
        let seals = Seals::new(key);
        // A file shorter than a header reads as no header, and fails below with the matching status.
        let header = read_at(&*storage, path, 0, HEADER_SIZE)?.unwrap_or_default();
        // In the normal case the digest of the header matches, and its fields are checked.
        if let Some(ident) = header_ident(&seals, &header) {
            // The digest covers the magic, so that a wrong magic here was written on purpose.
            if header[..8] != MAGIC {
                return Err(foreign(path, &header));
            }
            ident.check(seals.is_keyed())?;
            if header[48..480].iter().any(|byte| *byte != 0) {
                return Err(AtlasError::format(
                    "the header of the container is malformed: its reserved bytes are not zero",
                )
                .at_range(48, 432));
            }
            return Ok(ContainerFile {
                storage,
                path: path.to_owned(),
                ident,
                seals,
                header_damaged: false,
                sync_failed: AtomicBool::default(),
                process: Process::current(),
            });
        }
        // The first commit record repeats the header's fields.
        // The block size is in the lost header, so that each of the five possible places of the first commit
        // is tried.
        for block in 0..5_u8 {
            let start = 3 * (4_096 << block);
            let Some(bytes) = read_at(&*storage, path, start, COMMIT_SIZE as usize)? else { continue };
            // Byte 36 is the block code in the copied header, which must agree with the place.
            if bytes[..4] != RecordKind::Commit.magic() || bytes[36] != block {
                continue;
            }
            let ident = ident_at(&bytes[32..72]);
            // The id and salt in the record are trusted only if the record seals itself with them.
            let file = ContainerFile {
                storage: Arc::clone(&storage),
                path: path.to_owned(),
                ident,
                seals: seals.clone(),
                header_damaged: true,
                sync_failed: AtomicBool::default(),
                process: Process::current(),
            };
            // Such a file opens only for reading, because a damaged header is never rewritten.
            if file.sealed_commit(start)?.is_some() {
                ident.check(file.seals.is_keyed())?;
                return Ok(file);
            }
        }
        // A file without the magic is no container (FORMAT). A file of zeros is left over from an interrupted
        // creation.
        if header.get(..8) != Some(&MAGIC) {
            if is_blank(&*storage) {
                return Err(AtlasError::format(format!(
                    "not an atlas container: {} has no bytes but zeros: a creation that was interrupted \
                     leaves such a file; remove it and create the container again",
                    path.display()
                ))
                .at_range(0, to_u64(header.len())));
            }
            return Err(foreign(path, &header));
        }
        // A newer version may compute the digest in another way, so that the version is checked first.
        let ident = ident_at(&header[8..48]);
        if !ident.is_known() {
            ident.check(seals.is_keyed())?;
        }
        // Damage and a wrong key cannot be distinguished: both fail with WITNESS.
        Err(AtlasError::witness(format!(
            "{}: the digest of the header is wrong: the header is damaged, or the key is wrong",
            path.display()
        ))
        .at_range(0, to_u64(HEADER_SIZE)))
    }

    /// Opens `storage` as another file of the container `like`, such as the result of a compaction. Fails with STATE if
    /// the two headers differ in more than the salt.
    pub(super) fn open_like(storage: Arc<dyn Storage>, like: &ContainerFile) -> Result<ContainerFile> {
        let seals = like.seals.clone();
        let header = read_at(&*storage, &like.path, 0, HEADER_SIZE)?.unwrap_or_default();
        // A compacted file has the same id and head, and a new salt.
        let ident = header_ident(&seals, &header);
        match ident.filter(|ident| (ident.id, ident.head) == (like.ident.id, like.ident.head)) {
            Some(ident) => {
                let path = like.path.clone();
                Ok(ContainerFile {
                    storage,
                    path,
                    ident,
                    seals,
                    header_damaged: false,
                    sync_failed: AtomicBool::default(),
                    process: Process::current(),
                })
            }
            None => Err(AtlasError::state(format!(
                "{}: the file that has the path now is not this container; open it again",
                like.path.display()
            ))),
        }
    }

    /// Returns the same container file with its bytes read through `storage`, such as reads past the page cache.
    pub(super) fn seen_on(&self, storage: Arc<dyn Storage>) -> ContainerFile {
        let (path, ident, seals) = (self.path.clone(), self.ident, self.seals.clone());
        ContainerFile {
            storage,
            path,
            ident,
            seals,
            header_damaged: self.header_damaged,
            sync_failed: AtomicBool::default(),
            process: Process::current(),
        }
    }

    /// Returns B, the block size that the header of the container file states, in bytes: 4 to 64 KiB. Batches begin
    /// at multiples of it.
    pub(super) fn block(&self) -> u64 {
        self.ident.block()
    }

    /// Returns the offset of the first batch: the bytes before it are the header and the two slots.
    pub(super) fn start(&self) -> u64 {
        3 * self.block()
    }

    pub(super) fn len(&self) -> Result<u64> {
        self.storage.len().map_err(|error| self.failed("reading the size of", error))
    }

    /// Syncs written bytes of a batch to the disk. A failure sets `sync_failed`.
    pub(super) fn sync_data(&self) -> io::Result<()> {
        self.storage.sync_data().inspect_err(|_| self.sync_failed.store(true, Ordering::Relaxed))
    }

    /// Returns the IO error for a failed system call on the container file. `what` names the call in the text.
    pub(super) fn failed(&self, what: &str, error: io::Error) -> AtlasError {
        AtlasError::io(format_args!("{what} {}", self.path.display()), error)
    }

    /// Reads `len` bytes of the container file from `offset` on. `None` if the file ends before the last of them.
    pub(super) fn read(&self, offset: u64, len: usize) -> Result<Option<Vec<u8>>> {
        read_at(&*self.storage, &self.path, offset, len)
    }

    /// Reads the record of this kind at `offset`. `None` unless its seal (a digest) holds and its size is in `sizes`.
    pub(super) fn sealed(
        &self,
        kind: RecordKind,
        offset: u64,
        sizes: std::ops::RangeInclusive<u32>,
    ) -> Result<Option<Record>> {
        // A known size is read at once, an unknown size is guessed.
        let guess = if sizes.start() == sizes.end() { *sizes.start() } else { (*sizes.start()).max(512) };
        let first = guess.min(*sizes.end()) as usize;
        // A record near the end of the file may be shorter than the guess.
        let Some(mut bytes) = self.read_up_to(offset, first)? else { return Ok(None) };
        if bytes.len() < RECORD_HEAD || bytes[..4] != kind.magic() || u64_at(&bytes, 8) != offset {
            return Ok(None);
        }
        // The size is not verified yet; the kind of the record bounds it before anything is allocated.
        let size = u32_at(&bytes, 4);
        if !sizes.contains(&size) || !size.is_multiple_of(8) {
            return Ok(None);
        }
        let size = size as usize;
        // If the record is longer than the guess, a second read gets its remaining bytes.
        if size > bytes.len() {
            let Some(rest) = self.read(offset + to_u64(bytes.len()), size - bytes.len())? else {
                return Ok(None);
            };
            bytes.extend_from_slice(&rest);
        }
        // The seal covers everything but its own 16 bytes.
        bytes.truncate(size);
        let seal = self.seals.digest(Tag::Seal, &self.ident, &[&bytes[..16], &bytes[32..]]);
        Ok((seal[..16] == bytes[16..32]).then_some(Record { bytes, seal }))
    }

    /// Reads `len` bytes from `offset` on, or fewer if the file ends before. `None` if it ends at `offset` or before.
    pub(super) fn read_up_to(&self, offset: u64, len: usize) -> Result<Option<Vec<u8>>> {
        if let Some(bytes) = self.read(offset, len)? {
            return Ok(Some(bytes));
        }
        // The length of the file is requested only if the file ends within the range.
        let rest = self.len()?.saturating_sub(offset);
        let len = usize::try_from(rest).unwrap_or(usize::MAX).min(len);
        if len == 0 { Ok(None) } else { self.read(offset, len) }
    }

    /// Reads the bytes of this file's commit record at `offset`. `None` if there is none with a valid seal.
    fn sealed_commit(&self, offset: u64) -> Result<Option<Record>> {
        let most = u32::try_from(commit_size(MAX_NOTE)).unwrap_or(u32::MAX);
        // A record that was copied from another container has another id or salt, so that its seal is not
        // valid here.
        let record = self.sealed(RecordKind::Commit, offset, COMMIT_SIZE..=most)?;
        Ok(record.filter(|record| ident_at(&record.bytes[32..72]) == self.ident))
    }

    /// Reads the commit record at `offset`. `None` if there is no commit record of this file with a valid seal. Fails
    /// with FORMAT if a field breaks a rule.
    pub(super) fn commit_at(&self, offset: u64) -> Result<Option<Commit>> {
        // An offset from a damaged record must not lead to a read outside of the batches.
        if !offset.is_multiple_of(self.block()) || offset < self.start() {
            return Ok(None);
        }
        let Some(record) = self.sealed_commit(offset)? else { return Ok(None) };
        Commit::parse(&self.ident, offset, record.seal, &record.bytes).map(Some)
    }

    /// Reads slot 0 or 1, a hint to the newest commit. `None` if it was never written, or is torn or damaged.
    pub(super) fn slot(&self, number: u8) -> Result<Option<Slot>> {
        let offset = self.slot_offset(number);
        let record = self.sealed(RecordKind::Slot, offset, SLOT_SIZE..=SLOT_SIZE)?;
        record.map(|record| Slot::parse(offset, &record.bytes)).transpose()
    }

    pub(super) fn slot_offset(&self, number: u8) -> u64 {
        self.block() * (1 + u64::from(number))
    }

    /// Returns the digest of the body `start..end` of a batch, or of its last 1 MiB if the body is longer. `None` if
    /// the file ends before `end`.
    pub(super) fn batch_digest(&self, start: u64, end: u64) -> Result<Option<Digest>> {
        // The digest covers the last 1 MiB at most, so that checking a batch costs one bounded read.
        let first = start.max(end.saturating_sub(small_batch()));
        let Some(bytes) = self.read(first, to_usize(end - first))? else { return Ok(None) };
        Ok(Some(self.seals.digest(Tag::Batch, &self.ident, &[&bytes])))
    }
}

/// Reads the identity of a container from 40 bytes: bytes 8..16 of the header, id, salt.
fn ident_at(bytes: &[u8]) -> Ident {
    // Bytes that are missing count as zeros, which no digest confirms.
    let part = |at: usize| bytes.get(at..).and_then(|rest| rest.first_chunk()).copied().unwrap_or_default();
    let head = bytes.first_chunk().copied().unwrap_or_default();
    Ident { id: part(8), salt: part(24), head }
}

/// Returns the identity in the bytes of a header. `None` if the digest at the end of the header does not match.
fn header_ident(seals: &Seals, header: &[u8]) -> Option<Ident> {
    let (body, digest) = header.split_at_checked(480)?;
    // The digest depends on the id and salt that the header itself states.
    let ident = ident_at(&header[8..48]);
    let found = seals.digest(Tag::Header, &ident, &[body]);
    Digest::try_from(digest).is_ok_and(|digest| same(&digest, &found)).then_some(ident)
}

fn foreign(path: &Path, header: &[u8]) -> AtlasError {
    // The first bytes show which format the file has instead.
    let beginning: Vec<String> = header.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    let begins = if beginning.is_empty() {
        "is shorter than a header".to_owned()
    } else {
        format!("begins with {}", beginning.join(" "))
    };
    AtlasError::format(format!("not an atlas container: {} {begins}", path.display()))
        .at_range(0, to_u64(beginning.len()))
}
