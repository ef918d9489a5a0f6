//! Writing of a new parity file: its size, its digests, and its id.

#![forbid(unsafe_code)]

use super::format::{Head, Seals, Short};
use super::geometry::{BLOCK, Copies, Geometry};
use crate::base::atomic_file::AtomicFile;
use crate::base::buffer::{Buffer, try_vec};
use crate::base::error::{AtlasError, Result};
use crate::base::units::{PAGE_SIZE, to_u64, to_usize};
use std::path::Path;

/// Number of blocks of digests per write.
const BLOCKS_A_WRITE: u64 = 64;

/// Number of bytes of a digest in a [`Table`].
const ENTRY: u64 = size_of::<Short>() as u64;

/// Digests of all data units and parity units of a parity file, by unit number.
pub(super) struct Table {
    digests: Vec<Short>,
}

impl Table {
    pub(super) fn new(geometry: &Geometry) -> Result<Table> {
        let len = usize::try_from(geometry.all_units()).unwrap_or(usize::MAX);
        let mut digests = try_vec(len)?;
        digests.resize(len, Short::default());
        Ok(Table { digests })
    }

    pub(super) fn footprint(geometry: &Geometry) -> u64 {
        geometry.all_units().saturating_mul(ENTRY)
    }

    pub(super) fn set(&mut self, index: u64, digest: Short) {
        self.digests[to_usize(index)] = digest;
    }

    pub(super) fn get(&self, index: u64) -> &Short {
        &self.digests[to_usize(index)]
    }
}

/// Gives a new file the size of the parity file of `geometry`, so that it is one hole. Returns the file.
pub(super) fn begin(file: AtomicFile, geometry: &Geometry) -> Result<AtomicFile> {
    // Units of zeros are never written and stay holes.
    file.set_len(geometry.file_size())?;
    Ok(file)
}

/// Writes all blocks of digests to both of their places in a new parity file.
pub(super) fn write_blocks(file: &AtomicFile, head: &Head, seals: &Seals, table: &Table) -> Result<()> {
    let geometry = &head.geometry;
    // A bounded number of blocks is written at a time, because a large file has hundreds of MiB of blocks.
    let mut buffer = Buffer::aligned(PAGE_SIZE * to_usize(BLOCKS_A_WRITE.min(geometry.blocks())))?;
    let mut first = 0;
    // Blocks are assembled and sealed, and written to both copies.
    while first < geometry.blocks() {
        let blocks = first..(first + BLOCKS_A_WRITE).min(geometry.blocks());
        let bytes = &mut buffer[..to_usize(BLOCK * (blocks.end - blocks.start))];
        for (number, place) in blocks.clone().zip(bytes.chunks_mut(PAGE_SIZE)) {
            let units = geometry.units_of_block(number);
            let digests = &table.digests[to_usize(units.start)..to_usize(units.end)];
            place.copy_from_slice(&head.block(number, digests, seals));
        }
        for copy in Copies::BOTH {
            file.write_at(geometry.block_offset(copy, first), bytes)?;
        }
        first = blocks.end;
    }
    debug_assert!(to_u64(buffer.len()) <= BLOCK * BLOCKS_A_WRITE);
    Ok(())
}

/// Returns a new random id for a parity file.
pub(super) fn random_id() -> Result<[u8; 16]> {
    let mut id = [0; 16];
    getrandom::fill(&mut id).map_err(|error| {
        // Without a number of the system the error is still IO.
        let code = error.raw_os_error().unwrap_or(0);
        AtlasError::io("asking the system for a random id", std::io::Error::from_raw_os_error(code))
    })?;
    Ok(id)
}

/// Fails with IO (EEXIST) if a file of this name exists.
pub(super) fn refuse_existing(path: &Path) -> Result<()> {
    // A link counts as a file, wherever it leads.
    match std::fs::symlink_metadata(path) {
        Ok(_) => Err(AtlasError::io(
            format_args!("creating {}", path.display()),
            std::io::Error::from_raw_os_error(EEXIST),
        )),
        Err(_) => Ok(()),
    }
}

#[cfg(unix)]
const EEXIST: i32 = libc::EEXIST;
/// The Windows error `ERROR_FILE_EXISTS`.
#[cfg(not(unix))]
const EEXIST: i32 = 80;
