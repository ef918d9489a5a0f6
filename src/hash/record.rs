//! The frame of everything serialised: magic, version, kind, records, digest (docs/format.md).

#![forbid(unsafe_code)]

use crate::base::buffer::try_vec;
use crate::base::error::{AtlasError, Result};
use crate::base::units::{TILE_BYTES, TILE_SIZE, to_u64};
use crate::hash::digest::{Digest, digest256, digest256_in_steps, same};
use std::fmt;

const MAGIC: [u8; 8] = [0x89, b'A', b'T', b'L', b'A', b'S', 0x0a, 0x1a];
const VERSION: u16 = 1;
const HEADER_SIZE: usize = 24;
const RECORD_SIZE: usize = 16;
const DIGEST_SIZE: usize = size_of::<Digest>();

/// What is serialised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u16)]
pub(crate) enum Kind {
    Shard = 1,
    CompressedShard = 2,
}

/// Bytes of the encoding of records with these lengths.
pub(crate) fn encoded_size(lengths: &[usize]) -> Option<usize> {
    lengths
        .iter()
        .try_fold(HEADER_SIZE + DIGEST_SIZE, |sum, len| sum.checked_add(*len)?.checked_add(RECORD_SIZE))
}

/// Writes the frame around records.
pub(crate) struct Writer {
    bytes: Vec<u8>,
    size: usize,
}

impl Writer {
    /// For records of these lengths, which are all that will be written.
    pub(crate) fn new(kind: Kind, lengths: &[usize]) -> Result<Writer> {
        let size =
            encoded_size(lengths).ok_or_else(|| AtlasError::out_of_memory("an encoding of 2^64 bytes"))?;
        let mut writer = Writer { bytes: try_vec(size)?, size };
        writer.put(&MAGIC);
        writer.put(&VERSION.to_le_bytes());
        writer.put(&(kind as u16).to_le_bytes());
        writer.put(&0u32.to_le_bytes());
        writer.put(&to_u64(size).to_le_bytes());
        Ok(writer)
    }

    pub(crate) fn record(&mut self, tag: u16, len: usize) {
        self.put(&tag.to_le_bytes());
        self.put(&[0; 6]);
        self.put(&to_u64(len).to_le_bytes());
    }

    pub(crate) fn put(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Appends the digest.
    pub(crate) fn finish(mut self) -> Result<Vec<u8>> {
        let digest = digest256(&self.bytes);
        self.put(&digest);
        if self.bytes.len() == self.size {
            Ok(self.bytes)
        } else {
            Err(AtlasError::internal("the records written are not those announced"))
        }
    }
}

/// Reads the frame: hostile bytes in, values out or FORMAT or UNSUPPORTED.
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    end: usize,
}

impl<'a> Reader<'a> {
    /// Checks magic, version, kind and size; the digest is for [`check_digest`](Self::check_digest).
    pub(crate) fn new(bytes: &'a [u8], kind: Kind) -> Result<Reader<'a>> {
        let len = bytes.len();
        let beginning = &bytes[..len.min(MAGIC.len())];
        if beginning != &MAGIC[..beginning.len()] {
            let found: Vec<String> = beginning.iter().map(|byte| format!("{byte:02x}")).collect();
            return Err(AtlasError::format(format!(
                "not an atlas shard: the file begins with {}",
                found.join(" ")
            ))
            .at_range(0, to_u64(beginning.len())));
        }
        if len < HEADER_SIZE + DIGEST_SIZE {
            return Err(AtlasError::format(format!(
                "truncated: {len} bytes are fewer than the {} of the smallest encoding",
                HEADER_SIZE + DIGEST_SIZE
            ))
            .at_range(0, to_u64(len)));
        }
        let mut reader = Reader { bytes, at: 8, end: HEADER_SIZE };
        let version = reader.u16()?;
        if version != VERSION {
            return Err(
                AtlasError::unsupported(format!("version {version} where {VERSION} is known")).at_range(8, 2)
            );
        }
        let found = reader.u16()?;
        if found != kind as u16 {
            return Err(AtlasError::unsupported(format!(
                "kind {found} where {} ({kind:?}) is asked for",
                kind as u16
            ))
            .at_range(10, 2));
        }
        reader.zeros(4)?;
        let size = reader.u64()?;
        if size != to_u64(len) {
            let problem = if size > to_u64(len) { "truncated" } else { "too long" };
            return Err(AtlasError::format(format!(
                "{problem}: the header says {size} bytes and there are {len}"
            ))
            .at_range(16, 8));
        }
        reader.end = len - DIGEST_SIZE;
        Ok(reader)
    }

    /// The bytes and steps of [`check_digest`](Self::check_digest).
    pub(crate) fn digest_work(&self) -> (u64, u64) {
        let body = to_u64(self.bytes.len() - DIGEST_SIZE);
        (body, body.div_ceil(TILE_BYTES))
    }

    /// Checks the digest at the end, in steps of at most 1 MiB, each of which is reported.
    pub(crate) fn check_digest(&self, step: impl FnMut(u64) -> Result<()>) -> Result<()> {
        let (body, digest) = self.bytes.split_at(self.bytes.len() - DIGEST_SIZE);
        let found = digest256_in_steps(body, TILE_SIZE, step)?;
        if Digest::try_from(digest).is_ok_and(|digest| same(&digest, &found)) {
            return Ok(());
        }
        Err(AtlasError::format("damaged: the digest at the end is not that of the bytes before it")
            .at_range(to_u64(body.len()), to_u64(DIGEST_SIZE)))
    }

    /// The value of the next record, which must have this tag.
    pub(crate) fn record(&mut self, tag: u16, name: &str) -> Result<Reader<'a>> {
        let start = self.at;
        let found =
            self.u16().map_err(|_| self.malformed(start, format!("record {tag} ({name}) is missing")))?;
        if found != tag {
            return Err(misplaced(found, start, format_args!("{tag} ({name}) follows")));
        }
        self.zeros(6)?;
        let len = self.u64()?;
        let value = usize::try_from(len).ok().filter(|len| *len <= self.end - self.at);
        let Some(value) = value else {
            let rest = self.end - self.at;
            return Err(self.malformed(start, format!("{name} of {len} bytes where {rest} are left")));
        };
        let reader = Reader { bytes: self.bytes, at: self.at, end: self.at + value };
        self.at += value;
        Ok(reader)
    }

    /// Refuses a record behind the last one, and bytes that are none.
    pub(crate) fn end(&mut self) -> Result<()> {
        let start = self.at;
        match self.remaining() {
            0 | 1 => self.finish("the encoding"),
            _ => Err(misplaced(self.u16()?, start, format_args!("nothing follows"))),
        }
    }

    pub(crate) fn remaining(&self) -> usize {
        self.end - self.at
    }

    /// All bytes that are left.
    pub(crate) fn rest(&mut self) -> &'a [u8] {
        let rest = &self.bytes[self.at..self.end];
        self.at = self.end;
        rest
    }

    /// Refuses bytes behind the end.
    pub(crate) fn finish(&self, name: &str) -> Result<()> {
        match self.remaining() {
            0 => Ok(()),
            more => Err(self.malformed(self.at, format!("{more} bytes too many in {name}"))),
        }
    }

    pub(crate) fn take<const N: usize>(&mut self) -> Result<[u8; N]> {
        match self.bytes[self.at..self.end].first_chunk::<N>() {
            Some(bytes) => {
                self.at += N;
                Ok(*bytes)
            }
            None => {
                let rest = self.remaining();
                Err(self.malformed(self.at, format!("{rest} bytes are left where {N} follow")))
            }
        }
    }

    fn malformed(&self, at: usize, what: String) -> AtlasError {
        AtlasError::format(format!("{what}, at byte {at}")).at_range(to_u64(at), to_u64(self.end - at))
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

    /// Reserved bytes.
    pub(crate) fn zeros(&mut self, count: usize) -> Result<()> {
        for _ in 0..count {
            let at = self.at;
            if self.u8()? != 0 {
                return Err(self.malformed(at, "a reserved byte is not 0".to_owned()));
            }
        }
        Ok(())
    }
}

/// A tag at byte `at` where another one, or none, belongs.
fn misplaced(tag: u16, at: usize, belongs: fmt::Arguments<'_>) -> AtlasError {
    let what = format!("tag {tag} where {belongs}, at byte {at}");
    // The tags of all kinds of version 1: out of order, twice or missing. Others are newer.
    let known = (1..=7).contains(&tag) || (16..=17).contains(&tag);
    let error = if known { AtlasError::format(what) } else { AtlasError::unsupported(what) };
    error.at_range(to_u64(at), 2)
}
