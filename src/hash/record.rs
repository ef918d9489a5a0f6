//! The frame of every serialised shard: magic, version, kind, records, digest (docs/format.md).

#![forbid(unsafe_code)]

use crate::base::buffer::try_vec;
use crate::base::error::{AtlasError, Result};
use crate::base::units::{TILE_BYTES, TILE_SIZE, to_u64};
use crate::hash::digest::{Digest, digest256, digest256_in_steps, same};
use blake3::Hasher;
use std::{fmt, io};

/// First bytes of every serialised shard and compressed shard.
pub(crate) const MAGIC: [u8; 8] = [0x89, b'A', b'T', b'L', b'A', b'S', 0x0a, 0x1a];
const VERSION: u16 = 1;
const HEADER_SIZE: usize = 24;
const RECORD_SIZE: usize = 16;
const DIGEST_SIZE: usize = size_of::<Digest>();

/// Kind of a serialised object, as its header states it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u16)]
pub(crate) enum Kind {
    Shard = 1,
    CompressedShard = 2,
}

impl Kind {
    /// Returns the tags of records that a reader of this kind knows. A known tag in a wrong place fails with
    /// FORMAT; any other tag fails with UNSUPPORTED, because a newer version may have it.
    const fn known_tags(self) -> &'static [u16] {
        match self {
            Kind::Shard => SHARD_TAGS,
            Kind::CompressedShard => SHARD_TAGS,
        }
    }
}

/// Tags of the records of shards and of compressed shards. A reader of either kind knows all these tags.
const SHARD_TAGS: &[u16] = &[1, 2, 3, 4, 5, 6, 7, 16, 17];

/// Returns the total number of bytes of an encoding whose records have values of these lengths. `None` if it
/// overflows.
pub(crate) fn encoded_size(lengths: &[usize]) -> Option<usize> {
    lengths
        .iter()
        .try_fold(HEADER_SIZE + DIGEST_SIZE, |sum, len| sum.checked_add(*len)?.checked_add(RECORD_SIZE))
}

/// Writes a serialised object: header, records, and at the end a digest of all bytes before it.
///
/// The bytes are hashed as they are written. Small pieces are gathered, so that hashing is as fast as over the
/// whole encoding, and `out` needs no buffer of its own; long pieces are not copied.
pub(crate) struct Writer<W> {
    out: W,
    kind: Kind,
    /// Bytes that were added and not yet passed to `out`.
    gathered: Vec<u8>,
    /// Hasher of the bytes passed to `out`, if there are any.
    hasher: Option<Box<Hasher>>,
    /// Number of bytes passed to `out`.
    written: u64,
    size: u64,
}

/// Number of bytes that are gathered before they are hashed and written: a power of two, so that BLAKE3 hashes the
/// following bytes in large subtrees.
const GATHERED: usize = 16 * 1024;

impl Writer<Vec<u8>> {
    /// Returns a writer to memory for records with values of these lengths. The memory is allocated once.
    pub(crate) fn to_vec(kind: Kind, lengths: &[usize]) -> Result<Self> {
        let size = announced_size(lengths)?;
        // A small encoding is gathered completely and needs no other buffer.
        Writer::new(kind, lengths, try_vec(if size < GATHERED { 0 } else { size })?)
    }

    /// Appends the digest, and returns the whole encoding.
    pub(crate) fn into_vec(mut self) -> Result<Vec<u8>> {
        if self.written > 0 {
            return self.finish();
        }
        // Nothing was passed on, so that the gathered bytes are the whole encoding.
        self.seal()?;
        Ok(self.gathered)
    }
}

impl<W: io::Write> Writer<W> {
    /// Begins an encoding in `out`, and writes the header. The encoding must get one record for each element of
    /// `lengths`, which is the length of the record's value.
    pub(crate) fn new(kind: Kind, lengths: &[usize], out: W) -> Result<Self> {
        let size = announced_size(lengths)?;
        // The gathered part has room for the digest too.
        let gathered = try_vec(size.min(GATHERED + DIGEST_SIZE))?;
        let mut writer = Writer { out, kind, gathered, hasher: None, written: 0, size: to_u64(size) };
        // The header of docs/format.md, section "File".
        writer.put(&MAGIC)?;
        writer.put(&VERSION.to_le_bytes())?;
        writer.put(&(kind as u16).to_le_bytes())?;
        writer.put(&0u32.to_le_bytes())?;
        writer.put(&to_u64(size).to_le_bytes())?;
        Ok(writer)
    }

    pub(crate) fn record(&mut self, tag: u16, len: usize) -> Result<()> {
        debug_assert!(self.kind.known_tags().contains(&tag), "tag {tag} is missing in known_tags");
        self.put(&tag.to_le_bytes())?;
        // Put both reserved fields, of 2 and of 4 bytes.
        self.put(&[0; 6])?;
        self.put(&to_u64(len).to_le_bytes())
    }

    /// Adds bytes to the encoding. Inlined, so that a number is a store instead of a call of memcpy.
    #[inline(always)]
    pub(crate) fn put(&mut self, bytes: &[u8]) -> Result<()> {
        // Fewer bytes than the room, because a full buffer is passed on at once.
        if bytes.len() < GATHERED - self.gathered.len() {
            self.gathered.extend_from_slice(bytes);
            return Ok(());
        }
        self.put_over(bytes)
    }

    /// Adds `bytes`, with which the gathered bytes reach or exceed [`GATHERED`] bytes. Writes all full parts of this
    /// size, and gathers the rest.
    #[cold]
    #[inline(never)]
    fn put_over(&mut self, bytes: &[u8]) -> Result<()> {
        // The gathered part is filled first, because BLAKE3 is fast on parts of a power of two.
        let (first, rest) = bytes.split_at(bytes.len().min(GATHERED - self.gathered.len()));
        self.gathered.extend_from_slice(first);
        let mut gathered = std::mem::take(&mut self.gathered);
        self.write_hashed(&gathered)?;
        // Whole parts go out without a copy. The rest begins the next part.
        let (whole, rest) = rest.split_at(rest.len() / GATHERED * GATHERED);
        self.write_hashed(whole)?;
        gathered.clear();
        gathered.extend_from_slice(rest);
        self.gathered = gathered;
        Ok(())
    }

    fn write_hashed(&mut self, bytes: &[u8]) -> Result<()> {
        // Each part is still in the cache when it is written.
        for part in bytes.chunks(TILE_SIZE) {
            self.hasher.get_or_insert_default().update(part);
            self.write(part)?;
        }
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let (at, len) = (self.written, to_u64(bytes.len()));
        // Errors name the place in the encoding, because the output may be of any kind.
        self.out.write_all(bytes).map_err(|error| {
            AtlasError::io(format_args!("writing {len} bytes of an encoding at byte {at}"), error)
                .at_range(at, len)
        })?;
        self.written += len;
        Ok(())
    }

    /// Appends the digest, writes all bytes that were gathered, and returns the output.
    pub(crate) fn finish(mut self) -> Result<W> {
        self.seal()?;
        // The digest covers all bytes before itself, so that it is written without being hashed.
        let rest = std::mem::take(&mut self.gathered);
        self.write(&rest)?;
        Ok(self.out)
    }

    /// Appends the digest to the gathered bytes. Fails with INTERNAL if the written size differs from the
    /// announced size.
    fn seal(&mut self) -> Result<()> {
        // A small encoding was never passed on, and is hashed at once.
        let digest = match &mut self.hasher {
            None => digest256(&self.gathered),
            Some(hasher) => *hasher.update(&self.gathered).finalize().as_bytes(),
        };
        self.gathered.extend_from_slice(&digest);
        if self.written + to_u64(self.gathered.len()) == self.size {
            Ok(())
        } else {
            Err(AtlasError::internal(
                "a defect of the library, please report it: the size of the written records differs from \
                 the announced size",
            ))
        }
    }
}

fn announced_size(lengths: &[usize]) -> Result<usize> {
    encoded_size(lengths)
        .ok_or_else(|| AtlasError::out_of_memory("a shard of 2^64 bytes or more does not fit memory"))
}

/// Reads a serialised object, or the value of a record of it, from hostile bytes. Each call returns a value or
/// fails with FORMAT or UNSUPPORTED.
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    kind: Kind,
    at: usize,
    end: usize,
}

impl<'a> Reader<'a> {
    /// Checks magic, version, kind and size of a serialised object, and returns a reader of its records.
    /// [`check_digest`](Self::check_digest) checks the digest.
    pub(crate) fn new(bytes: &'a [u8], kind: Kind) -> Result<Reader<'a>> {
        let len = bytes.len();
        // The magic comes first: a short file of another kind is no truncated shard.
        let beginning = &bytes[..len.min(MAGIC.len())];
        if beginning != &MAGIC[..beginning.len()] {
            let found: Vec<String> = beginning.iter().map(|byte| format!("{byte:02x}")).collect();
            return Err(AtlasError::format(format!(
                "not an atlas shard: the file begins with {}",
                found.join(" ")
            ))
            .at_range(0, to_u64(beginning.len())));
        }
        // The length is checked before any field is read.
        if len < HEADER_SIZE + DIGEST_SIZE {
            return Err(AtlasError::format(format!(
                "truncated: the shard has {len} bytes, fewer than the {} bytes of the smallest shard",
                HEADER_SIZE + DIGEST_SIZE
            ))
            .at_range(0, to_u64(len)));
        }
        let mut reader = Reader { bytes, kind, at: 8, end: HEADER_SIZE };
        // Another version may have another header from here on.
        let version = reader.u16()?;
        if version != VERSION {
            return Err(AtlasError::unsupported(format!(
                "the shard has format version {version}, and this library reads only version {VERSION}: \
                 use a newer library"
            ))
            .at_range(8, 2));
        }
        let found = reader.u16()?;
        if found != kind as u16 {
            return Err(AtlasError::unsupported(format!(
                "the bytes are of kind {found}, and kind {} ({kind:?}) is expected: 1 is a shard, 2 a \
                 compressed shard, 3 a container, 4 a parity file",
                kind as u16
            ))
            .at_range(10, 2));
        }
        reader.zeros(4)?;
        // The announced size distinguishes a truncated file from a damaged file.
        let size = reader.u64()?;
        if size != to_u64(len) {
            let problem = if size > to_u64(len) { "truncated" } else { "too long" };
            return Err(AtlasError::format(format!(
                "{problem}: the header of the shard states {size} bytes, and there are {len}"
            ))
            .at_range(16, 8));
        }
        // No record reaches into the digest.
        reader.end = len - DIGEST_SIZE;
        Ok(reader)
    }

    /// Returns the number of bytes that [`check_digest`](Self::check_digest) hashes, and the number of its steps.
    pub(crate) fn digest_work(&self) -> (u64, u64) {
        let body = to_u64(self.bytes.len() - DIGEST_SIZE);
        (body, body.div_ceil(TILE_BYTES))
    }

    /// Checks the digest at the end of the encoding. Hashes in steps of at most 1 MiB, and calls `step` after each with
    /// the number of bytes that were hashed in it.
    pub(crate) fn check_digest(&self, step: impl FnMut(u64) -> Result<()>) -> Result<()> {
        let (body, digest) = self.bytes.split_at(self.bytes.len() - DIGEST_SIZE);
        // The encoding is hashed in steps, because hashing a large encoding takes long, and the call can be
        // cancelled between steps.
        let found = digest256_in_steps(body, TILE_SIZE, step)?;
        if Digest::try_from(digest).is_ok_and(|digest| same(&digest, &found)) {
            return Ok(());
        }
        Err(AtlasError::format(
            "damaged: the digest at the end of the shard does not match the bytes before it",
        )
        .at_range(to_u64(body.len()), to_u64(DIGEST_SIZE)))
    }

    /// Returns a reader of the value of the next record, which must have the tag `tag`. `name` names the record in
    /// errors.
    pub(crate) fn record(&mut self, tag: u16, name: &str) -> Result<Reader<'a>> {
        debug_assert!(self.kind.known_tags().contains(&tag), "tag {tag} is missing in known_tags");
        let start = self.at;
        // Tag, reserved bytes and length, each checked before the next one is read.
        let found =
            self.u16().map_err(|_| self.malformed(start, format!("its record {tag} ({name}) is missing")))?;
        if found != tag {
            return Err(self.misplaced(
                found,
                start,
                format_args!("record {tag} ({name}) must follow there"),
            ));
        }
        self.zeros(6)?;
        // A length beyond the end is refused before anything is allocated for it.
        let len = self.u64()?;
        let value = usize::try_from(len).ok().filter(|len| *len <= self.end - self.at);
        let Some(value) = value else {
            let rest = self.end - self.at;
            return Err(
                self.malformed(start, format!("record {name} has {len} bytes, and only {rest} are left"))
            );
        };
        let reader = Reader { bytes: self.bytes, kind: self.kind, at: self.at, end: self.at + value };
        self.at += value;
        Ok(reader)
    }

    /// Fails with FORMAT or UNSUPPORTED if bytes are left after the last record.
    pub(crate) fn end(&mut self) -> Result<()> {
        let start = self.at;
        // A single byte is no tag.
        match self.remaining() {
            0 | 1 => self.finish("the encoding"),
            _ => {
                let found = self.u16()?;
                Err(self.misplaced(found, start, format_args!("no record may follow there")))
            }
        }
    }

    pub(crate) fn remaining(&self) -> usize {
        self.end - self.at
    }

    /// Returns all bytes of the value that were not read yet.
    pub(crate) fn rest(&mut self) -> &'a [u8] {
        let rest = &self.bytes[self.at..self.end];
        self.at = self.end;
        rest
    }

    /// Fails with FORMAT if bytes of the value were not read. `name` names the value.
    pub(crate) fn finish(&self, name: &str) -> Result<()> {
        match self.remaining() {
            0 => Ok(()),
            more => Err(self.malformed(self.at, format!("{name} has {more} bytes after its last field"))),
        }
    }

    pub(crate) fn take<const N: usize>(&mut self) -> Result<[u8; N]> {
        // A value never reaches beyond the record, although the encoding goes on after it.
        match self.bytes[self.at..self.end].first_chunk::<N>() {
            Some(bytes) => {
                self.at += N;
                Ok(*bytes)
            }
            None => {
                let rest = self.remaining();
                Err(self.malformed(self.at, format!("only {rest} of the {N} bytes of a field are left")))
            }
        }
    }

    /// Returns the error for a record with the tag `tag` at byte `at`, where another tag or no record belongs:
    /// FORMAT if the tag is known, else UNSUPPORTED.
    fn misplaced(&self, tag: u16, at: usize, belongs: fmt::Arguments<'_>) -> AtlasError {
        let what = format!("malformed shard: a record with tag {tag} begins at byte {at}, but {belongs}");
        // A known tag is out of its order; an unknown tag may come from a later version.
        let known = self.kind.known_tags().contains(&tag);
        let error = if known { AtlasError::format(what) } else { AtlasError::unsupported(what) };
        error.at_range(to_u64(at), 2)
    }

    fn malformed(&self, at: usize, what: String) -> AtlasError {
        AtlasError::format(format!("malformed shard: {what}, at byte {at}"))
            .at_range(to_u64(at), to_u64(self.end - at))
    }

    pub(crate) fn u8(&mut self) -> Result<u8> {
        Ok(self.take::<1>()?[0])
    }

    pub(crate) fn u16(&mut self) -> Result<u16> {
        Ok(u16::from_le_bytes(self.take()?))
    }

    pub(crate) fn u32(&mut self) -> Result<u32> {
        Ok(u32::from_le_bytes(self.take()?))
    }

    pub(crate) fn u64(&mut self) -> Result<u64> {
        Ok(u64::from_le_bytes(self.take()?))
    }

    pub(crate) fn digest(&mut self) -> Result<Digest> {
        self.take()
    }

    /// Reads `count` reserved bytes. Fails with FORMAT if any of them is not 0.
    pub(crate) fn zeros(&mut self, count: usize) -> Result<()> {
        // Byte by byte, so that an error names the first byte that is not 0.
        for _ in 0..count {
            let at = self.at;
            if self.u8()? != 0 {
                return Err(self.malformed(at, "a reserved byte is not 0".to_owned()));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    /// Takes at most 1,000 bytes at a time, and is full after `room` bytes.
    struct Narrow {
        bytes: Vec<u8>,
        room: usize,
    }

    impl io::Write for Narrow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let len = bytes.len().min(1_000).min(self.room - self.bytes.len());
            if len == 0 {
                return Err(io::Error::from_raw_os_error(libc::ENOSPC));
            }
            self.bytes.extend_from_slice(&bytes[..len]);
            Ok(len)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// Values around the sizes at which bytes are gathered and hashed.
    const LENGTHS: [usize; 6] = [0, 1, GATHERED - 73, GATHERED, 2 * GATHERED + 1, 2 * TILE_SIZE + 77];

    fn value(len: usize) -> Vec<u8> {
        (0..len).map(|i| (i * 7 + i / 251 + len) as u8).collect()
    }

    /// Writes the records in pieces of at most `step` bytes.
    fn write<W: io::Write>(mut writer: Writer<W>, step: usize) -> Result<W> {
        for (tag, len) in (1..).zip(LENGTHS) {
            writer.record(tag, len)?;
            for piece in value(len).chunks(step) {
                writer.put(piece)?;
            }
        }
        writer.finish()
    }

    #[test]
    fn memory_and_files_get_the_frame_whatever_the_pieces() {
        let mut expected = MAGIC.to_vec();
        expected.extend([1, 0, 1, 0, 0, 0, 0, 0]);
        expected.extend(to_u64(encoded_size(&LENGTHS).unwrap()).to_le_bytes());
        for (tag, len) in (1..).zip(LENGTHS) {
            expected.extend([tag, 0, 0, 0, 0, 0, 0, 0]);
            expected.extend(to_u64(len).to_le_bytes());
            expected.extend(value(len));
        }
        expected.extend(digest256(&expected));
        for step in [5, 1_000, GATHERED, 100_001, usize::MAX] {
            let memory = write(Writer::to_vec(Kind::Shard, &LENGTHS).unwrap(), step).unwrap();
            assert!(memory == expected, "pieces of {step} bytes");
            let file = Narrow { bytes: Vec::new(), room: usize::MAX };
            let file = write(Writer::new(Kind::Shard, &LENGTHS, file).unwrap(), step).unwrap();
            assert!(file.bytes == expected, "pieces of {step} bytes");
        }
    }

    #[test]
    fn a_write_that_fails_says_where() {
        let size = encoded_size(&LENGTHS).unwrap();
        for (room, at) in [(0, 0), (GATHERED + 5, GATHERED), (size - 1, size / GATHERED * GATHERED)] {
            let full = Narrow { bytes: Vec::new(), room };
            let error = Writer::new(Kind::Shard, &LENGTHS, full).and_then(|to| write(to, 100)).err().unwrap();
            assert_eq!((error.kind(), error.os_error()), (ErrorKind::Io, libc::ENOSPC));
            assert!(error.message().contains(&format!("of an encoding at byte {at}: ")), "{error}");
            assert_eq!(error.offset(), Some(to_u64(at)));
        }
        let mut short = Writer::to_vec(Kind::Shard, &[5]).unwrap();
        short.record(1, 5).unwrap();
        short.put(b"four").unwrap();
        assert_eq!(short.into_vec().unwrap_err().kind(), ErrorKind::Internal);
    }

    /// The status is a part of version 1: it must not follow the tags of kinds that come later.
    #[test]
    fn a_known_tag_in_a_wrong_place_is_malformed_and_another_one_is_newer() {
        for kind in [Kind::Shard, Kind::CompressedShard] {
            for tag in 0..=u16::MAX {
                let mut writer = Writer::to_vec(kind, &[0]).unwrap();
                writer.put(&tag.to_le_bytes()).unwrap();
                writer.put(&[0; 14]).unwrap();
                let bytes = writer.into_vec().unwrap();
                let status = match tag {
                    1..=7 | 16..=17 => ErrorKind::Format,
                    _ => ErrorKind::Unsupported,
                };
                let mut reader = Reader::new(&bytes, kind).unwrap();
                assert_eq!(reader.end().unwrap_err().kind(), status, "{kind:?}, tag {tag}");
                let mut reader = Reader::new(&bytes, kind).unwrap();
                let found = reader.record(3, "REGION").err().map(|error| error.kind());
                assert_eq!(found, (tag != 3).then_some(status), "{kind:?}, tag {tag}");
            }
        }
    }
}
