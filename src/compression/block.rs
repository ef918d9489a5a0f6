//! One block: from bytes to the encoded form of docs/format.md and back.

use super::codec::{Codec, Decode, Encode};
use super::config::CompressionConfig;
use super::filter::{self, Candidate, Filter, Histogram};
use super::method::{Filters, Method};
use crate::base::buffer::{Buffer, try_vec};
use crate::base::error::{AtlasError, ErrorKind, Result};
use crate::hash::digest::digest256;
use crate::layer2::Residue;

/// Bytes of the digest that a block carries: against accidents, and so few that they do not show in the
/// size of what becomes ten times smaller.
pub(crate) const CHECK_SIZE: usize = 8;

const PLANE_ENTRY: usize = 4;

/// What is kept about a block beside its encoded bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BlockHead {
    /// Of the encoded bytes.
    pub(crate) len: usize,
    pub(crate) filter: Filter,
    pub(crate) residue: Residue,
    /// The first bytes of the digest of the block's bytes.
    pub(crate) check: [u8; CHECK_SIZE],
}

impl BlockHead {
    /// The head of a block that is kept as it is.
    pub(crate) fn stored(block: &[u8]) -> BlockHead {
        // The sum brings the bytes into the cache for the digest.
        let residue = Residue::of(block);
        BlockHead { len: block.len(), filter: Filter::NONE, residue, check: check_of(block) }
    }
}

fn check_of(block: &[u8]) -> [u8; CHECK_SIZE] {
    let digest = digest256(block);
    digest.first_chunk().copied().unwrap_or_default()
}

/// The encoded bytes of a block.
pub(crate) enum Encoded {
    Packed(Vec<u8>),
    /// The block itself.
    Stored(Buffer),
}

impl Encoded {
    /// A copy of what a block is encoded as, of `block_len` bytes decoded.
    pub(crate) fn copy_of(bytes: &[u8], block_len: usize) -> Result<Encoded> {
        if bytes.len() == block_len {
            return Buffer::copy_of(bytes).map(Encoded::Stored);
        }
        let mut copy = try_vec(bytes.len())?;
        copy.extend_from_slice(bytes);
        Ok(Encoded::Packed(copy))
    }
}

impl std::ops::Deref for Encoded {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        match self {
            Encoded::Packed(bytes) => bytes,
            Encoded::Stored(bytes) => bytes,
        }
    }
}

/// A block after the attempt to make it smaller.
pub(crate) enum Attempt {
    /// It stays as it is, and nobody has hashed it yet.
    Stored,
    Done(BlockHead, Encoded),
}

/// What one worker needs to encode blocks.
pub(crate) struct BlockEncoder {
    config: CompressionConfig,
    method: Method,
    /// At the level of the configuration.
    full: Box<dyn Encode>,
    /// For trials, and for bytes in which nothing repeats.
    quick: Box<dyn Encode>,
    /// The filtered block, the encoded block, the block that it gives back.
    filtered: Buffer,
    encoded: Buffer,
    decoded: Option<(Buffer, BlockDecoder)>,
}

impl BlockEncoder {
    /// Bytes that one takes for blocks of this size.
    pub(crate) fn footprint(config: &CompressionConfig, method: Method, block_size: usize) -> Result<usize> {
        let (codec, level) = (method.codec.get()?, config.level.value());
        let states = codec.encoder_footprint(level, block_size)
            + codec.encoder_footprint(codec.quick_level(level), block_size);
        let decoded = match config.verify_integrity {
            true => footprint(block_size) + BlockDecoder::footprint(method.codec, block_size)?,
            false => 0,
        };
        Ok(states + footprint(block_size) + footprint(codec.room(block_size)) + decoded)
    }

    /// `method` is the one of `config`, which is valid.
    pub(crate) fn new(config: &CompressionConfig, method: Method, block_size: usize) -> Result<BlockEncoder> {
        let (codec, level) = (method.codec.get()?, config.level.value());
        let decoded = match config.verify_integrity {
            true => Some((Buffer::new(block_size)?, BlockDecoder::new(block_size))),
            false => None,
        };
        Ok(BlockEncoder {
            config: *config,
            method,
            full: codec.encoder(level)?,
            quick: codec.encoder(codec.quick_level(level))?,
            filtered: Buffer::new(block_size)?,
            encoded: Buffer::new(codec.room(block_size))?,
            decoded,
        })
    }

    /// Makes a block smaller, or says that it stays.
    pub(crate) fn encode(&mut self, block: &[u8]) -> Result<Attempt> {
        let histogram = Histogram::of(block);
        if histogram.is_noise(block) {
            return Ok(Attempt::Stored);
        }
        let residue = Residue::of(block);
        let candidate = match self.method.filters {
            Filters::Planes => histogram.candidate(),
            Filters::None => None,
        };
        let filter = match candidate {
            Some(candidate) => self.choose(&candidate, block)?,
            None => Filter::NONE,
        };
        let (from, planes) = if filter == Filter::NONE {
            (block, false)
        } else {
            let filtered = &mut self.filtered[..block.len()];
            filter.split(block, filtered);
            if self.config.preserve_conservation && Residue::of(filtered) != residue {
                return Err(AtlasError::conservation("the filter changed the residue of a block"));
            }
            (&*filtered, true)
        };
        let out = &mut self.encoded[..];
        let len = if planes {
            encode_planes(&mut *self.full, &mut *self.quick, filter, from, out)?
        } else {
            self.full.encode(from, out)?
        };
        // What is not smaller is stored.
        let Some(len) = len.filter(|len| *len < block.len()) else { return Ok(Attempt::Stored) };
        let encoded = &self.encoded[..len];
        let head = BlockHead { len, filter, residue, check: check_of(block) };
        if let Some((decoded, decoder)) = &mut self.decoded {
            let decoded = &mut decoded[..block.len()];
            // Whatever is wrong then is ours, and not the caller's bytes.
            let wrong = |why: &str| {
                AtlasError::internal(format!("a compressed block does not give back its bytes: {why}"))
            };
            match decoder.decode(self.method.codec, &head, encoded, decoded) {
                Ok(None) if decoded == block => {}
                Ok(None) => return Err(wrong("others come out")),
                Err(error) if error.kind() == ErrorKind::OutOfMemory => return Err(error),
                Ok(Some(error)) | Err(error) => return Err(wrong(error.message())),
            }
        }
        Ok(Attempt::Done(head, Encoded::copy_of(encoded, block.len())?))
    }

    /// The filter for a block: a part of it is encoded both ways.
    fn choose(&mut self, candidate: &Candidate, block: &[u8]) -> Result<Filter> {
        const TRIAL: usize = 8 * 1024;
        let start = (block.len().saturating_sub(TRIAL) / 2) / 16 * 16;
        let part = &block[start..][..block.len().min(TRIAL)];
        let (filtered, out) = (&mut self.filtered[..part.len()], &mut self.encoded[..]);
        let plain = self.quick.encode(part, out)?.unwrap_or(part.len());
        if candidate.is_hopeless(plain, part.len()) {
            return Ok(Filter::NONE);
        }
        let candidate = candidate.filter;
        candidate.split(part, filtered);
        let mut split = 0;
        for plane in candidate.planes(part.len()) {
            let plane = &filtered[plane];
            split += match filter::incompressible(plane) {
                true => plane.len(),
                false => self.quick.encode(plane, out)?.unwrap_or(plane.len()).min(plane.len()),
            };
        }
        // A long block has repeats that a part does not show; they are lost to planes.
        Ok(if split + split / 32 < plain { candidate } else { Filter::NONE })
    }
}

/// The planes, each stored or encoded, behind their lengths; None where they do not fit. `out` has
/// the codec's room for the block: behind the planes before, none of them longer than it was, there is
/// room for the next one.
fn encode_planes(
    full: &mut dyn Encode,
    quick: &mut dyn Encode,
    filter: Filter,
    filtered: &[u8],
    out: &mut [u8],
) -> Result<Option<usize>> {
    let Some((lengths, mut rest)) = out.split_at_mut_checked(filter.stride() * PLANE_ENTRY) else {
        return Ok(None);
    };
    let mut used = lengths.len();
    for (plane, entry) in filter.planes(filtered.len()).zip(lengths.as_chunks_mut::<PLANE_ENTRY>().0) {
        let plane = &filtered[plane];
        let encoded = match plane.is_empty() || filter::incompressible(plane) {
            true => None,
            // Long searches for what does not repeat find nothing, and take most of the time.
            false if !filter::repeats(plane) => quick.encode(plane, rest)?,
            false => full.encode(plane, rest)?,
        };
        let len = match encoded {
            Some(len) if len < plane.len() => len,
            _ => {
                let Some(target) = rest.get_mut(..plane.len()) else { return Ok(None) };
                target.copy_from_slice(plane);
                plane.len()
            }
        };
        let Ok(length) = u32::try_from(len) else { return Ok(None) };
        entry.copy_from_slice(&length.to_le_bytes());
        rest = &mut rest[len..];
        used += len;
    }
    Ok(Some(used))
}

/// What one worker needs to decode blocks.
pub(crate) struct BlockDecoder {
    streams: Streams,
    /// The largest block.
    block_size: usize,
    /// Taken at the first filter.
    filtered: Option<Buffer>,
}

impl BlockDecoder {
    /// Bytes that one takes for blocks of this size and codec. It holds the state of one codec at a time.
    pub(crate) fn footprint(codec: Codec, block_size: usize) -> Result<usize> {
        Ok(footprint(block_size) + codec.get()?.decoder_footprint(block_size))
    }

    pub(crate) fn new(block_size: usize) -> BlockDecoder {
        BlockDecoder { streams: Streams(None), block_size, filtered: None }
    }

    /// Fills `block` with the bytes of the block, checked. Everything is hostile but the lengths,
    /// which are those that [`BlockHead`] and the place of the block say. Gives what [`check`] gives.
    pub(crate) fn decode(
        &mut self,
        codec: Codec,
        head: &BlockHead,
        encoded: &[u8],
        block: &mut [u8],
    ) -> Result<Option<AtlasError>> {
        if head.filter == Filter::NONE {
            self.streams.fill(codec, encoded, block)?;
            return check(head, block, Residue::of(block) == head.residue);
        }
        let filtered = match self.filtered.take() {
            Some(filtered) => filtered,
            None => Buffer::new(self.block_size)?,
        };
        let filtered = self
            .filtered
            .insert(filtered)
            .get_mut(..block.len())
            .ok_or_else(|| AtlasError::internal("a block is larger than its decoder"))?;
        let entries = head.filter.stride() * PLANE_ENTRY;
        let Some((lengths, mut rest)) = encoded.split_at_checked(entries) else {
            return Err(AtlasError::format(format!(
                "{} encoded bytes where {entries} of lengths follow",
                encoded.len()
            )));
        };
        for (plane, length) in head.filter.planes(block.len()).zip(lengths.as_chunks::<PLANE_ENTRY>().0) {
            let plane = &mut filtered[plane];
            let length = u32::from_le_bytes(*length);
            let part = usize::try_from(length).ok().and_then(|len| rest.split_at_checked(len));
            let Some((part, later)) = part.filter(|(part, _)| part.len() <= plane.len()) else {
                return Err(AtlasError::format(format!(
                    "a plane of {} bytes is encoded in {length} of {}",
                    plane.len(),
                    rest.len()
                )));
            };
            if !plane.is_empty() {
                self.streams.fill(codec, part, plane)?;
            }
            rest = later;
        }
        if !rest.is_empty() {
            return Err(AtlasError::format(format!("{} bytes too many in a block", rest.len())));
        }
        let conserved = Residue::of(filtered) == head.residue;
        head.filter.merge(filtered, block);
        check(head, block, conserved)
    }
}

/// Reads streams of any codec: the state of the last one is kept, for as long as no other one is needed.
struct Streams(Option<(Codec, Box<dyn Decode>)>);

impl Streams {
    /// Fills `to` with what `from` encodes: itself where the lengths are equal, else a stream.
    fn fill(&mut self, codec: Codec, from: &[u8], to: &mut [u8]) -> Result<()> {
        if from.len() == to.len() {
            to.copy_from_slice(from);
            return Ok(());
        }
        let decoder = match &mut self.0 {
            Some((last, decoder)) if *last == codec => decoder,
            last => {
                // The other state goes first: the footprint is of one.
                *last = None;
                &mut last.insert((codec, codec.get()?.decoder()?)).1
            }
        };
        decoder.decode(from, to)
    }
}

/// WITNESS where the digest is another one. Gives what is to be said about a residue that is, CONSERVATION:
/// that comes after every WITNESS, also that of other blocks.
pub(crate) fn check(head: &BlockHead, block: &[u8], conserved: bool) -> Result<Option<AtlasError>> {
    if check_of(block) != head.check {
        return Err(AtlasError::witness("a block does not have its digest"));
    }
    let differs = || {
        AtlasError::conservation(format!("a block does not have the residue {} of its head", head.residue))
    };
    Ok((!conserved).then(differs))
}

/// What a buffer of `len` bytes takes, which may be a used one that is somewhat longer.
fn footprint(len: usize) -> usize {
    len + len / 4 + 16 * 1024
}
