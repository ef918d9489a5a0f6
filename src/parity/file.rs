//! Reading of an existing parity file: its head, its blocks of digests, and the state of each unit.

#![forbid(unsafe_code)]

use super::format::{Block, Head, Refusal, Seals, Short, entry, refusal, same_short, short};
use super::geometry::{BLOCK, Copies, DIGESTS_A_BLOCK, Geometry};
use crate::base::buffer::{Buffer, is_zero};
use crate::base::error::{AtlasError, ErrorKind, Result};
use crate::base::fallible::try_box;
use crate::base::units::{PAGE_SIZE, to_u64, to_usize};
use crate::exec::operation::Operation;
use crate::hash::digest::{Digest, Digests};
use crate::source::Source;
use std::io;
use std::ops::Range;

/// Number of bytes per read in the search of a whole parity file for a valid head.
const SEARCHED: usize = 1024 * 1024;
/// Number of bytes that are read at a time if units are smaller than this.
pub(super) const BATCH: usize = 128 * 1024;

/// Returns true if an error means that the storage medium cannot return the bytes. Any other error ends the
/// call.
fn is_unreadable(error: &AtlasError) -> bool {
    #[cfg(unix)]
    const CODES: &[i32] = &[
        libc::EIO,
        libc::EILSEQ,
        libc::EBADMSG,
        #[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple"))]
        libc::ENODATA,
        #[cfg(any(target_os = "linux", target_os = "android"))]
        libc::EUCLEAN,
    ];
    #[cfg(unix)]
    let codes = CODES;
    // The Windows errors `ERROR_CRC`, `ERROR_SECTOR_NOT_FOUND`, `ERROR_READ_FAULT`. An error without a source comes from
    // a callback of C, whose numbers are others.
    #[cfg(not(unix))]
    let codes: &[i32] = match std::error::Error::source(error) {
        Some(_) => &[23, 27, 30],
        None => &[libc::EIO, libc::EILSEQ],
    };
    error.kind() == ErrorKind::Io && codes.contains(&error.os_error())
}

/// Protected file or parity file, read as if it had its full length, even if it was cut.
#[derive(Clone)]
pub(super) struct Padded {
    pub(super) source: Source,
    /// Number of bytes that are present in the file. In a protected file, bytes after the protected length do
    /// not count.
    size: u64,
    /// Number of bytes that the file has lost at its beginning.
    shift: u64,
}

/// Outcome of reading bytes of a file that may be cut or damaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// The bytes were read. Bytes after the end of the file are zeros.
    Bytes,
    /// All requested bytes lie after the end of the file and count as zeros. Nothing was read, and the buffer
    /// is unchanged.
    Behind,
    /// Some requested bytes lie before the first byte of a file that has lost its beginning.
    Before,
    /// The system cannot read the bytes. The value is the error number of the system.
    Unreadable(i32),
}

impl Padded {
    /// Returns the protected bytes of `source` as a file of full length. Bytes after them are hidden.
    pub(super) fn data(source: &Source, geometry: &Geometry) -> Padded {
        // Bytes after n are hidden, so that the last unit ends with zeros as at creation.
        Padded { source: source.clone(), size: source.size().min(geometry.size), shift: 0 }
    }

    /// Returns the number of the `len` bytes from `offset` on that lie before the end of the file.
    fn present(&self, offset: u64, len: usize) -> usize {
        let end = self.shift + self.size;
        to_usize(end.saturating_sub(offset).min(to_u64(len)))
    }

    /// Reads bytes into all of `out`, from `offset` of the complete file on.
    pub(super) fn read(&self, offset: u64, out: &mut [u8]) -> Result<Found> {
        // Offsets refer to the complete file. If its beginning is lost, they are shifted.
        let Some(start) = offset.checked_sub(self.shift) else { return Ok(Found::Before) };
        // Bytes after the end count as zeros and need no read.
        let present = self.present(offset, out.len());
        if present == 0 && !out.is_empty() {
            return Ok(Found::Behind);
        }
        match self.source.read(start, &mut out[..present]) {
            Ok(()) => {
                out[present..].fill(0);
                Ok(Found::Bytes)
            }
            // A bad sector is damage; any other error ends the call.
            Err(error) if is_unreadable(&error) => Ok(Found::Unreadable(error.os_error())),
            Err(error) => Err(error),
        }
    }
}

/// State of a data unit or a parity unit, as a check finds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Good,
    /// The unit differs from its digest.
    Differs,
    /// The unit cannot be read.
    Unreadable,
    /// The digest of the unit is lost.
    Unknown,
}

/// An open parity file.
pub(super) struct ParityFile {
    pub(super) bytes: Padded,
    pub(super) head: Head,
    pub(super) digests: Digests,
    pub(super) seals: Seals,
    /// Digest of a unit of zeros.
    pub(super) zeros: Short,
}

impl ParityFile {
    /// Opens the parity file `source` by its first valid head, searched at the beginning, at the end, and then
    /// block by block.
    pub(super) fn open(
        source: Source,
        key: Option<&[u8; 32]>,
        operation: &mut Operation<'_>,
    ) -> Result<ParityFile> {
        // The key is needed for every head, because the seals are keyed.
        let (digests, seals) = (Digests::new(key), Seals::new(key));
        let size = source.size();
        let file = Padded { source, size, shift: 0 };
        let mut tracker = operation.tracker(size, 1);
        let mut found = None;
        // Try the two ends first, which suffices for most files.
        let end = size.checked_sub(BLOCK);
        for at in end.map(|end| [0, end]).into_iter().flatten() {
            let mut block = [0; PAGE_SIZE];
            if found.is_none() && file.read(at, &mut block)? == Found::Bytes {
                found = candidate(&block, at, size, &seals);
            }
        }
        // Otherwise the whole file is searched, with progress.
        let mut unreadable = None;
        if found.is_none() {
            let mut buffer = Buffer::aligned(SEARCHED)?;
            let mut at = 0;
            while found.is_none() && at < size {
                // A head may be anywhere if the front was cut off.
                let len = to_usize(to_u64(SEARCHED).min(size - at));
                found = search(&file, at, &mut buffer[..len], size, &seals, &mut unreadable)?;
                at += to_u64(len);
                if found.is_none() && at < size {
                    tracker.advance(to_u64(len), 0)?;
                }
            }
        }
        // If no head was found, the error explains the first or last block.
        let Some((head, shift)) = found else { return Err(refused(&file, &seals, unreadable)?) };
        tracker.finish()?;
        // A file too short for its digests is refused before anything depends on them.
        let needed = BLOCK * head.geometry.blocks();
        if size < needed {
            let name = file.source.name();
            return Err(AtlasError::format(format!(
                "{name} is too short to be used: it has {size} bytes, and its digests alone take {needed}"
            )));
        }
        // The digest of a unit of zeros is computed once, for holes and for missing ends.
        let zeros = short(&digests.tile(&Buffer::zeros(head.geometry.unit_len())?));
        let bytes = Padded { shift, ..file };
        Ok(ParityFile { bytes, head, digests, seals, zeros })
    }

    pub(super) fn geometry(&self) -> &Geometry {
        &self.head.geometry
    }

    /// Returns the number of bytes that the parity file has now, which may be cut or too long.
    pub(super) fn present(&self) -> u64 {
        self.bytes.size
    }

    /// Returns true if `offset`, of a parity unit or a block, lies after the end of the parity file or in a
    /// lost beginning.
    pub(super) fn is_missing(&self, offset: u64) -> bool {
        offset < self.bytes.shift || offset >= self.bytes.shift + self.bytes.size
    }

    /// Reads block `number` of the digests into `block`, from the copy at the head or at the tail of the parity file.
    /// Returns the outcome of the read, and true if the bytes are that block of this file, with a valid seal.
    pub(super) fn read_block(&self, copy: Copies, number: u64, block: &mut Block) -> Result<(Found, bool)> {
        let found = self.bytes.read(self.geometry().block_offset(copy, number), block)?;
        Ok((found, found == Found::Bytes && self.head.accepts(block, number, &self.seals)))
    }
}

/// Returns the head in `block`, which was read at the offset `at`, and the number of bytes that the parity file
/// lost at its beginning. `None` if the head is not valid, or cannot lie there in a file of `size` bytes.
fn candidate(block: &Block, at: u64, size: u64, seals: &Seals) -> Option<(Head, u64)> {
    let (head, number) = Head::decode(block, seals)?;
    let geometry = &head.geometry;
    // In the normal case the block lies at its own place. A block that was copied to another place does not
    // count.
    if Copies::BOTH.iter().any(|copy| geometry.block_offset(*copy, number) == at) {
        return Some((head, 0));
    }
    // Only the last block of the tail can show that the front was cut off.
    let lost = geometry.file_size().checked_sub(size).filter(|lost| *lost > 0)?;
    (at == size - BLOCK && number == geometry.blocks() - 1).then_some((head, lost))
}

/// Fills `buffer` with blocks of the parity file, which has `size` bytes, from the offset `at` on. Returns the
/// result of [`candidate`] for the first of these blocks with a valid head. Writes the place of the first block that
/// cannot be read, and the error number of the system, to `unreadable`.
fn search(
    file: &Padded,
    at: u64,
    buffer: &mut [u8],
    size: u64,
    seals: &Seals,
    unreadable: &mut Option<(u64, i32)>,
) -> Result<Option<(Head, u64)>> {
    // If the whole buffer cannot be read, try block by block.
    let whole = file.read(at, buffer)? == Found::Bytes;
    for (number, bytes) in (0..).zip(buffer.as_chunks_mut::<PAGE_SIZE>().0) {
        let place = at + number * BLOCK;
        // A bad sector hides one block and not the blocks beside it.
        if !whole {
            match file.read(place, bytes)? {
                Found::Bytes => {}
                Found::Unreadable(code) => {
                    unreadable.get_or_insert((place, code));
                    continue;
                }
                Found::Behind | Found::Before => continue,
            }
        }
        if let Some(found) = candidate(bytes, place, size, seals) {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

/// Returns the error for a parity file without a valid head: UNSUPPORTED, WITNESS, IO if the head may lie in a block that
/// is `unreadable`, or FORMAT.
fn refused(file: &Padded, seals: &Seals, unreadable: Option<(u64, i32)>) -> Result<AtlasError> {
    let name = file.source.name();
    let mut first = None;
    // Look at the first and the last block for a reason.
    for at in [Some(0), file.size.checked_sub(BLOCK)].into_iter().flatten() {
        let mut block = [0; PAGE_SIZE];
        if file.read(at, &mut block)? != Found::Bytes {
            continue;
        }
        first.get_or_insert(block);
        match refusal(&block, seals) {
            Some(Refusal::Unsupported { version, kind, flags }) => {
                return Ok(AtlasError::unsupported(format!(
                    "{name} has version {version}, kind {kind} and flags {flags:#x}; this library reads \
                     parity files of version 1, kind 4, flags 0 and 0x1: use a newer version of it"
                )));
            }
            Some(Refusal::Key) => {
                return Ok(AtlasError::witness(format!(
                    "{name} does not match the key: it is keyed and the key is missing or wrong, or it is \
                     not keyed and a key was given"
                )));
            }
            None => {}
        }
    }
    if let Some((offset, code)) = unreadable {
        let text =
            format_args!("searching {name} for a block header: no usable one was found in what can be read");
        return Ok(AtlasError::io(text, io::Error::from_raw_os_error(code)).at_range(offset, BLOCK));
    }
    // The first bytes show which format the file has instead.
    let begins = first.map_or_else(String::new, |block| {
        format!(": it begins with {}", crate::hash::digest::hex(&block[..8]))
    });
    Ok(AtlasError::format(format!(
        "{name} is not a parity file, or is too damaged: no usable block header was found{begins}"
    )))
}

/// Reader of the digests of units in a parity file. Keeps the block that it read last, and both of its copies
/// if the first is not valid.
pub(super) struct Entries {
    number: Option<u64>,
    blocks: Box<[Block; 2]>,
    /// Index of a valid copy in `blocks`: 0 for the head, 1 for the tail. `None` means that no copy is valid.
    counts: Option<usize>,
    /// True for each copy of the block whose bytes are in `blocks`, valid or not.
    read: [bool; 2],
    /// Error number of the system, if a copy cannot be read and the other is not valid.
    unreadable: Option<i32>,
}

impl Entries {
    pub(super) fn new() -> Result<Entries> {
        let blocks = try_box([[0; PAGE_SIZE]; 2])
            .map_err(|_| AtlasError::out_of_memory("no memory for two blocks of digests"))?;
        Ok(Entries { number: None, blocks, counts: None, read: [false; 2], unreadable: None })
    }

    fn load(&mut self, file: &ParityFile, number: u64) -> Result<()> {
        // Neighbouring units have their digests in the same block, which is read once.
        if self.number == Some(number) {
            return Ok(());
        }
        // A failed read must not leave the number of a block that is not loaded.
        (self.number, self.counts, self.read, self.unreadable) = (None, None, [false; 2], None);
        for (place, copy) in Copies::BOTH.into_iter().enumerate() {
            let (found, counts) = file.read_block(copy, number, &mut self.blocks[place])?;
            // Bytes after the end of the file are zeros.
            if found == Found::Behind {
                self.blocks[place].fill(0);
            }
            self.read[place] = matches!(found, Found::Bytes | Found::Behind);
            if let Found::Unreadable(code) = found {
                self.unreadable = Some(code);
            }
            // The tail copy is read only if the head copy is not valid.
            if counts {
                (self.counts, self.unreadable) = (Some(place), None);
                break;
            }
        }
        self.number = Some(number);
        Ok(())
    }

    /// Returns the stored digest of the unit `index`. `None` if neither copy of its block is valid.
    pub(super) fn digest(&mut self, file: &ParityFile, index: u64) -> Result<Option<Short>> {
        self.load(file, index / DIGESTS_A_BLOCK)?;
        Ok(self.counts.map(|place| entry(&self.blocks[place], index)))
    }

    /// Returns the error number of the system, if the block that was asked for last has no valid copy and a copy of it
    /// cannot be read.
    pub(super) fn unreadable(&self) -> Option<i32> {
        self.unreadable
    }

    /// Compares `found`, the digest of the bytes that were read for the unit `index`, with the stored digest.
    /// Returns the state of the unit.
    pub(super) fn judge(&mut self, file: &ParityFile, index: u64, found: &Short) -> Result<State> {
        if let Some(wanted) = self.digest(file, index)? {
            return Ok(if same_short(&wanted, found) { State::Good } else { State::Differs });
        }
        // An entry without a valid seal can only confirm a unit, and only against accidental damage.
        // Both copies are tried, because each may be damaged elsewhere.
        let fits = |place: usize| self.read[place] && same_short(&entry(&self.blocks[place], index), found);
        Ok(if !file.head.keyed && (fits(0) || fits(1)) { State::Good } else { State::Unknown })
    }
}

/// Reads data units and parity units one after the other, and determines the state of each.
pub(super) struct UnitReader<'f> {
    file: &'f ParityFile,
    data: &'f Padded,
    entries: Entries,
    buffer: Buffer,
}

/// A unit as it was read, and its state.
pub(super) struct Unit<'b> {
    pub(super) index: u64,
    pub(super) state: State,
    pub(super) found: Found,
    /// Error number of the system, if the unit cannot be read, or its digest is unknown and cannot be read.
    pub(super) unreadable: Option<i32>,
    pub(super) digest: Short,
    /// All bytes of the unit, with zeros after the end of its file; unspecified if the unit could not be read.
    /// `None` means that all bytes are zeros and were not read.
    pub(super) bytes: Option<&'b mut [u8]>,
}

impl<'f> UnitReader<'f> {
    pub(super) fn new(file: &'f ParityFile, data: &'f Padded) -> Result<UnitReader<'f>> {
        let buffer = Buffer::aligned(batch_len(file.geometry()))?;
        Ok(UnitReader { file, data, entries: Entries::new()?, buffer })
    }

    /// Returns the number of bytes of memory of a reader of units.
    pub(super) fn footprint(geometry: &Geometry) -> u64 {
        to_u64(Buffer::aligned_footprint(batch_len(geometry))) + 2 * BLOCK
    }

    pub(super) fn entries(&mut self) -> &mut Entries {
        &mut self.entries
    }

    /// Reads each unit of `units`, which are all data units or all parity units, and passes it to `each` with its
    /// state.
    pub(super) fn visit(
        &mut self,
        units: Range<u64>,
        mut each: impl FnMut(Unit<'_>) -> Result<()>,
    ) -> Result<()> {
        let len = self.file.geometry().unit_len();
        let step = to_u64(self.buffer.len() / len);
        let mut first = units.start;
        while first < units.end {
            let batch = first..(first + step).min(units.end);
            self.batch(batch.clone(), &mut each)?;
            first = batch.end;
        }
        Ok(())
    }

    /// Reads the unit `index`, which was good at the check, and returns its digest and its bytes. `None`
    /// instead of bytes if the unit lies wholly after the end of its file and therefore consists of zeros.
    /// Fails with WITNESS or IO if the unit is no longer good.
    pub(super) fn good(&mut self, index: u64) -> Result<(Short, Option<&mut [u8]>)> {
        let (mut digest, mut read) = (Short::default(), false);
        self.batch(index..index + 1, &mut |unit| {
            // The check found the unit good; a change since then ends the call.
            if unit.state != State::Good {
                return Err(changed(self.file, index, unit.unreadable));
            }
            (digest, read) = (unit.digest, unit.bytes.is_some());
            Ok(())
        })?;
        let len = self.file.geometry().unit_len();
        // The unit is the first in the buffer of the batch.
        Ok((digest, read.then(|| &mut self.buffer[..len])))
    }

    fn batch(&mut self, units: Range<u64>, each: &mut impl FnMut(Unit<'_>) -> Result<()>) -> Result<()> {
        let Self { file, data, entries, buffer } = self;
        let geometry = file.geometry();
        let (is_data, len) = (units.start < geometry.units(), geometry.unit_len());
        let from = if is_data { *data } else { &file.bytes };
        let count = to_usize(units.end - units.start);
        // Data units come from the protected file, parity units from the parity file.
        let bytes = &mut buffer[..count * len];
        // Of the last unit only the protected part is read, and zeros follow it even if the file continues.
        let wanted = if is_data {
            to_usize(geometry.data_len(units.end - 1)) + (count - 1) * len
        } else {
            count * len
        };
        bytes[wanted..].fill(0);
        // One read for the whole batch.
        let all = from.read(geometry.unit_offset(units.start), &mut bytes[..wanted])?;
        for (index, unit) in units.zip(bytes.chunks_mut(len)) {
            let wanted = if is_data { to_usize(geometry.data_len(index)) } else { len };
            let offset = geometry.unit_offset(index);
            let found = match all {
                // The units are read one by one, because the next unit may be readable.
                Found::Before | Found::Unreadable(_) if count > 1 => {
                    from.read(offset, &mut unit[..wanted])?
                }
                // The batch reaches past the end of the file: this unit lies wholly after it.
                Found::Bytes if from.present(offset, wanted) == 0 => Found::Behind,
                found => found,
            };
            // Units of zeros have a digest that is computed once.
            let (digest, state) = match found {
                Found::Behind => (file.zeros, entries.judge(file, index, &file.zeros)?),
                Found::Bytes => {
                    let digest = if is_zero(unit) { file.zeros } else { short(&file.digests.tile(unit)) };
                    (digest, entries.judge(file, index, &digest)?)
                }
                // Bytes of a beginning that was cut off count as unreadable, without an error number.
                Found::Before | Found::Unreadable(_) => (Short::default(), State::Unreadable),
            };
            let bytes = (found != Found::Behind).then_some(unit);
            let unreadable = match (found, state) {
                (Found::Unreadable(code), _) => Some(code),
                (_, State::Unknown) => entries.unreadable(),
                _ => None,
            };
            each(Unit { index, state, found, unreadable, digest, bytes })?;
        }
        Ok(())
    }
}

/// Returns the number of bytes of whole units that are read at a time.
fn batch_len(geometry: &Geometry) -> usize {
    let unit = geometry.unit_len();
    // Small units are read many at a time, units of 128 KiB and more singly.
    (BATCH / unit).max(1) * unit
}

/// Returns the error for a unit that was good at the check and no longer is: IO with the error number `unreadable` if it
/// or its digest cannot be read any more, WITNESS if it has other bytes.
pub(super) fn changed(file: &ParityFile, index: u64, unreadable: Option<i32>) -> AtlasError {
    let geometry = file.geometry();
    let (offset, length) = (geometry.unit_offset(index), geometry.unit);
    let what = if index < geometry.units() { "data" } else { "parity" };
    let error = if let Some(code) = unreadable {
        let text = format_args!(
            "reading the {what} unit at offset {offset} and its digest again, which could be read at its check"
        );
        AtlasError::io(text, io::Error::from_raw_os_error(code))
    } else {
        AtlasError::witness(format!(
            "the {what} unit at offset {offset} changed after it was checked: another program writes to the file"
        ))
    };
    error.at_index(index).at_range(offset, length)
}

/// Fails with WITNESS if `known`, the root that the caller expects, differs from the root stored in the parity
/// file. Passes if one of them is absent.
pub(super) fn check_root(head: &Head, known: Option<&Digest>) -> Result<()> {
    // If no root is stored, nothing is compared here, and a repair compares its result with the known root.
    let (Some(known), true) = (known, head.root != Digest::default()) else { return Ok(()) };
    if crate::hash::digest::same(known, &head.root) {
        return Ok(());
    }
    Err(AtlasError::witness(format!(
        "the parity file was made of bytes with the root {} instead of the expected {}",
        crate::hash::digest::hex(&head.root),
        crate::hash::digest::hex(known)
    )))
}
