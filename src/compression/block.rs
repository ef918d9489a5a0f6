//! One block: from bytes to the encoded form of docs/format.md and back.

use super::codec::{Codec, Decode, Encode};
use super::config::{CompressionConfig, Plan};
use super::filter::{self, Candidate, Filter, Histogram, Look, Numbers};
use super::method::{CompressionFilter, Filters, Method};
use crate::base::buffer::{Buffer, try_vec};
use crate::base::error::{AtlasError, ErrorKind, Result};
use crate::hash::digest::{Digest, digest256, digest256_in_steps};
use crate::layer2::Residue;

/// Number of bytes of a block's digest that the head of the block stores to detect accidental damage. There are few, so
/// that they do not noticeably enlarge a block, even if it is compressed to a tenth.
pub(crate) const CHECK_SIZE: usize = 8;

const PLANE_ENTRY: usize = 4;
/// Bit in the stored length of a byte plane which marks that the plane holds differences.
const DIFFERENCES: u32 = 1 << 31;

/// Head of a block in a compressed shard or record. It is stored apart from the encoded bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BlockHead {
    /// Number of encoded bytes.
    pub(crate) len: usize,
    pub(crate) filter: Filter,
    pub(crate) residue: Residue,
    /// First bytes of the digest of the uncompressed block.
    pub(crate) check: [u8; CHECK_SIZE],
}

impl BlockHead {
    /// Returns the head of a block that is stored uncompressed.
    pub(crate) fn stored(block: &[u8]) -> BlockHead {
        // The sum brings the bytes into the cache for the digest.
        let residue = Residue::of(block);
        BlockHead { len: block.len(), filter: Filter::NONE, residue, check: check_of(&digest256(block)) }
    }
}

fn check_of(digest: &Digest) -> [u8; CHECK_SIZE] {
    digest.first_chunk().copied().unwrap_or_default()
}

/// The encoded bytes of a block.
pub(crate) enum Encoded {
    Small(Vec<u8>),
    /// Copy in a recycled buffer, because fresh memory of this size would cost page faults.
    Large(Buffer),
}

impl Encoded {
    /// Returns a copy of the encoded bytes of a block. Fails with OUT_OF_MEMORY.
    pub(crate) fn copy_of(bytes: &[u8]) -> Result<Encoded> {
        // Smaller buffers would not be kept for reuse.
        const LARGE: usize = 64 * 1024;
        if bytes.len() >= LARGE {
            return Buffer::copy_of(bytes).map(Encoded::Large);
        }
        let mut copy = try_vec(bytes.len())?;
        copy.extend_from_slice(bytes);
        Ok(Encoded::Small(copy))
    }
}

impl std::ops::Deref for Encoded {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        match self {
            Encoded::Small(bytes) => bytes,
            Encoded::Large(bytes) => bytes,
        }
    }
}

/// Result of the attempt to make a block smaller.
pub(crate) enum Attempt {
    /// The block is stored uncompressed, and is not hashed yet.
    Stored,
    Done(BlockHead, Encoded),
}

/// Encoder of blocks for one worker: the encoders of one plan at a time, buffers, and a decoder if each result is to be
/// compared with its block.
pub(crate) struct BlockEncoder {
    config: CompressionConfig,
    /// Encoders of the plan that was used last.
    states: Option<States>,
    /// Buffer for the filtered block; below, for the encoded block and for the block decoded from it.
    filtered: Buffer,
    encoded: Buffer,
    decoded: Option<(Buffer, BlockDecoder)>,
}

/// Encoders of a plan's codec: at the plan's level, and at a lower level.
struct States {
    plan: Plan,
    /// Encoder at the plan's level.
    full: Box<dyn Encode>,
    /// Encoder at a lower level, for trials and for bytes without repeats. `None` if the plan's level is already that
    /// low, and `full` serves.
    quick: Option<Box<dyn Encode>>,
}

impl States {
    fn quick(&mut self) -> &mut dyn Encode {
        match &mut self.quick {
            Some(quick) => &mut **quick,
            None => &mut *self.full,
        }
    }
}

impl BlockEncoder {
    /// Returns the maximum size of the memory of an encoder for blocks of up to `block_size` bytes. The encoder may use
    /// each of `plans`, which follow from `config`, but only one of them at a time.
    pub(crate) fn footprint(config: &CompressionConfig, plans: &[Plan], block_size: usize) -> Result<usize> {
        let (mut states, mut room, mut decoder) = (0, 0, 0);
        // Only the states of one plan exist at a time, so that the memory is that of the largest plan.
        for plan in plans {
            let (codec, level) = (plan.codec().get()?, plan.own_level);
            let quick_level = codec.quick_level(level);
            let quick =
                if quick_level == level { 0 } else { codec.encoder_footprint(quick_level, block_size) };
            states = states.max(codec.encoder_footprint(level, block_size) + quick);
            room = room.max(codec.room(block_size));
            decoder = decoder.max(BlockDecoder::footprint(plan.codec(), block_size)?);
        }
        let decoded = if config.verify_integrity { footprint(block_size) + decoder } else { 0 };
        Ok(states + footprint(block_size) + footprint(room) + decoded)
    }

    /// Returns an encoder for blocks of up to `block_size` bytes, each of which may be encoded by any of `plans`.
    /// The plans follow from `config`, which the caller has checked.
    pub(crate) fn new(config: &CompressionConfig, plans: &[Plan], block_size: usize) -> Result<BlockEncoder> {
        let mut room = 0;
        for plan in plans {
            room = room.max(plan.codec().get()?.room(block_size));
        }
        // Decoding needs its own buffer only if every block is verified.
        let decoded = match config.verify_integrity {
            true => Some((Buffer::new(block_size)?, BlockDecoder::new(block_size))),
            false => None,
        };
        Ok(BlockEncoder {
            config: *config,
            states: None,
            filtered: Buffer::new(block_size)?,
            encoded: Buffer::new(room)?,
            decoded,
        })
    }

    /// Makes the encoders of `plan`, unless they are there already. The encoders of another plan are dropped
    /// first, because the footprint covers one plan.
    fn prepare(&mut self, plan: &Plan) -> Result<()> {
        if self.states.as_ref().is_some_and(|states| states.plan == *plan) {
            return Ok(());
        }
        // The old encoders are dropped before the new encoders are made.
        self.states = None;
        let (codec, level) = (plan.codec().get()?, plan.own_level);
        let (full, quick_level) = (codec.encoder(level)?, codec.quick_level(level));
        let quick = if quick_level == level { None } else { Some(codec.encoder(quick_level)?) };
        self.states = Some(States { plan: *plan, full, quick });
        Ok(())
    }

    /// Encodes a block by `plan`. The result is `Stored` if the block does not become smaller.
    pub(crate) fn encode(&mut self, plan: &Plan, block: &[u8]) -> Result<Attempt> {
        let Some((head, encoded)) = self.encode_in_place(plan, block)? else { return Ok(Attempt::Stored) };
        Ok(Attempt::Done(head, Encoded::copy_of(encoded)?))
    }

    /// Returns the length of the encoded block, or of the block if it is stored uncompressed.
    pub(crate) fn encoded_len(&mut self, plan: &Plan, block: &[u8]) -> Result<usize> {
        Ok(self.encode_in_place(plan, block)?.map_or(block.len(), |(head, _)| head.len))
    }

    /// Encodes a block by `plan`. Returns its head and its bytes in the encoder's buffer, or `None` if the block
    /// does not become smaller and is therefore stored uncompressed.
    fn encode_in_place(&mut self, plan: &Plan, block: &[u8]) -> Result<Option<(BlockHead, &[u8])>> {
        // A block of noise is not encoded, unless the differences of its bytes may be small.
        let mut histogram = Histogram::of(block);
        let may_differ = plan.method.filters.has_differences() && plan.filter != CompressionFilter::None;
        if histogram.is_noise(block) && !(may_differ && filter::is_smooth(block)) {
            return Ok(None);
        }
        self.prepare(plan)?;
        let Some(states) = &mut self.states else {
            return Err(AtlasError::internal(
                "a defect of the library, please report it: the encoder of a block was not prepared",
            ));
        };
        // Choose a filter by a trial on a part of the block.
        let residue = Residue::of(block);
        let filter = {
            let mut trial =
                Trial { quick: states.quick(), filtered: &mut self.filtered, out: &mut self.encoded };
            match (plan.method.filters, plan.filter) {
                (Filters::None, _) | (Filters::All, CompressionFilter::None) => Filter::NONE,
                (Filters::Planes, _) => match histogram.candidate() {
                    Some(candidate) => trial.choose(&candidate, block)?,
                    None => Filter::NONE,
                },
                (Filters::All, wanted) => match Numbers::of(block) {
                    Some(numbers) => trial.choose_numbers(&numbers, block, wanted)?,
                    None => Filter::NONE,
                },
            }
        };
        // Encode the block, or its planes.
        let out = &mut self.encoded[..];
        let len = if filter == Filter::NONE {
            states.full.encode(block, out)?
        } else {
            let filtered = &mut self.filtered[..block.len()];
            filter.split(block, filtered);
            if self.config.preserve_conservation && Residue::of(filtered) != residue {
                return Err(AtlasError::conservation(
                    "a defect of the library, please report it: a compression filter changed the sum mod \
                     96 of a block",
                ));
            }
            encode_planes(states, filter, filtered, out)?
        };
        // A block that does not become smaller is stored.
        let Some(len) = len.filter(|len| *len < block.len()) else { return Ok(None) };
        let encoded = &self.encoded[..len];
        // The digest covers the original bytes, which the reader gets in the end.
        let head = BlockHead { len, filter, residue, check: check_of(&digest256(block)) };
        // Verify: decode the result and compare it.
        if let Some((decoded, decoder)) = &mut self.decoded {
            let decoded = &mut decoded[..block.len()];
            // An error at this point is a defect of the library, not of the caller's bytes.
            let wrong = |why: &str| {
                AtlasError::internal(format!(
                    "a defect of the library, please report it: a block does not survive compression and \
                     decompression: {why}"
                ))
            };
            match decoder.decode(plan.method, &head, encoded, decoded) {
                Ok(Decoded { unconserved: None, .. }) if decoded == block => {}
                Ok(Decoded { unconserved: None, .. }) => return Err(wrong("the decoded bytes differ")),
                Err(error) if error.kind() == ErrorKind::OutOfMemory => return Err(error),
                Ok(Decoded { unconserved: Some(error), .. }) | Err(error) => {
                    return Err(wrong(error.message()));
                }
            }
        }
        Ok(Some((head, encoded)))
    }
}

/// Parts of a [`BlockEncoder`] that are used to try a filter on a part of a block.
struct Trial<'a> {
    quick: &'a mut dyn Encode,
    filtered: &'a mut [u8],
    out: &'a mut [u8],
}

impl Trial<'_> {
    /// Chooses the filter of a block for DEFLATE: encodes a part of the block with and without the candidate.
    fn choose(&mut self, candidate: &Candidate, block: &[u8]) -> Result<Filter> {
        const TRIAL: usize = 8 * 1024;
        // The middle of a block is more typical than its beginning, which may be a header.
        let part = middle(block, TRIAL, 16);
        let plain = self.plain(part)?;
        if candidate.is_hopeless(plain, part.len()) {
            return Ok(Filter::NONE);
        }
        let candidate = candidate.filter;
        let split = self.split(candidate, part, false)?;
        // A long block may have repeats that the part does not show and that planes would lose, so that a
        // clear gain is required.
        Ok(if split + split / 32 < plain { candidate } else { Filter::NONE })
    }

    /// Chooses the filter of a block for Zstandard or LZ4, by estimates and by a trial. `wanted` is `Auto` or
    /// `Planes`.
    fn choose_numbers(
        &mut self,
        numbers: &Numbers,
        block: &[u8],
        wanted: CompressionFilter,
    ) -> Result<Filter> {
        /// Number of bytes that a trial encodes; below, the maximum size of a block that is tried in one part.
        const TRIAL: usize = 16 * 1024;
        const ONE_PART: usize = 128 * 1024;
        // Cheap estimates first: many blocks are decided without a trial.
        let always = wanted == CompressionFilter::Planes;
        if !always && !numbers.could_pay() {
            return Ok(Filter::NONE);
        }
        match filter::repeats(block) {
            // Planes lose repeats, so that a small saving is not enough.
            true if !always && !numbers.saves_much() => return Ok(Filter::NONE),
            false if numbers.surely_pays() => return Ok(numbers.filter),
            _ => {}
        }
        // A large block may have more than one kind of data.
        let halves = if block.len() <= ONE_PART { 1 } else { 2 };
        let (mut plain, mut split, mut tried) = (0, 0, 0);
        for half in block.chunks(block.len().div_ceil(halves)) {
            let part = middle(half, TRIAL / halves, 48);
            plain += self.plain(part)?;
            tried += part.len();
        }
        // Encoded without planes, the part may already be smaller than planes could make it.
        if !always && numbers.is_hopeless(plain, tried) {
            return Ok(Filter::NONE);
        }
        for half in block.chunks(block.len().div_ceil(halves)) {
            split += self.split(numbers.filter, middle(half, TRIAL / halves, 48), true)?;
        }
        // A clear win is required, because planes cost time.
        let pays = if always { split <= plain } else { split + split / 32 < plain };
        Ok(if pays { numbers.filter } else { Filter::NONE })
    }

    /// Returns the number of bytes to which a part of a block encodes without byte planes.
    fn plain(&mut self, part: &[u8]) -> Result<usize> {
        // A part that does not fit the output counts as stored.
        Ok(self.quick.encode(part, self.out)?.unwrap_or(part.len()))
    }

    /// Returns the number of bytes to which a part of a block encodes after a split into byte planes, with or
    /// without differences.
    fn split(&mut self, filter: Filter, part: &[u8], differences: bool) -> Result<usize> {
        // These are the steps of `encode_planes`, at the quick level.
        let filtered = &mut self.filtered[..part.len()];
        filter.split(part, filtered);
        let mut split = 0;
        for plane in filter.planes(part.len()) {
            let plane = &mut filtered[plane];
            if differences && Look::at(plane).prefers_differences {
                filter::to_differences(plane);
            }
            // A plane of noise is stored without an attempt.
            split += match filter::incompressible(plane) {
                true => plane.len(),
                false => self.quick.encode(plane, self.out)?.unwrap_or(plane.len()).min(plane.len()),
            };
        }
        Ok(split)
    }
}

/// Returns at most `len` bytes around the middle of `block`, from a multiple of `unit` on.
fn middle(block: &[u8], len: usize, unit: usize) -> &[u8] {
    // The part begins with a whole number, so that its planes are parts of the planes of the block.
    let start = (block.len().saturating_sub(len) / 2) / unit * unit;
    &block[start..][..block.len().min(len)]
}

/// Writes the byte planes of the block `filtered` to `out`: their lengths, then each plane, stored or encoded.
/// Returns the number of bytes, or `None` if they do not fit. `out` has the codec's room for the block. No
/// encoded plane is longer than the plane itself, so that the next one has room.
fn encode_planes(
    states: &mut States,
    filter: Filter,
    filtered: &mut [u8],
    out: &mut [u8],
) -> Result<Option<usize>> {
    // The lengths come first, the planes follow.
    let Some((lengths, mut rest)) = out.split_at_mut_checked(filter.stride() * PLANE_ENTRY) else {
        return Ok(None);
    };
    // Conservation-aware has no differences: its planes keep the residue of the block.
    let may_differ = states.plan.method.filters.has_differences();
    let mut used = lengths.len();
    for (plane, entry) in filter.planes(filtered.len()).zip(lengths.as_chunks_mut::<PLANE_ENTRY>().0) {
        let plane = &mut filtered[plane];
        let mut encoded = None;
        let mut mark = 0;
        let is_noise = if may_differ {
            // Differences are tried first, because the differences of noisy bytes may be small.
            let look = Look::at(plane);
            if look.prefers_differences && becomes_differences(states, plane, rest)? {
                filter::to_differences(plane);
                mark = DIFFERENCES;
            }
            look.is_flat(mark == DIFFERENCES) && !filter::repeats(plane)
        } else {
            filter::incompressible(plane)
        };
        if !plane.is_empty() && !is_noise {
            // Long searches in bytes without repeats find nothing and dominate the time.
            let quick = states.quick.is_some() && !filter::repeats(plane);
            let encoder = if quick { states.quick() } else { &mut *states.full };
            encoded = encoder.encode_plane(plane, rest)?;
        }
        // A plane that did not become smaller is stored.
        let len = match encoded {
            Some(len) if len < plane.len() => len,
            _ => {
                if mark == DIFFERENCES {
                    // A stored plane holds no differences.
                    filter::from_differences(plane);
                    mark = 0;
                }
                let Some(target) = rest.get_mut(..plane.len()) else { return Ok(None) };
                target.copy_from_slice(plane);
                plane.len()
            }
        };
        // The length and the mark share one number.
        let Ok(length) = u32::try_from(len) else { return Ok(None) };
        entry.copy_from_slice(&(length | mark).to_le_bytes());
        rest = &mut rest[len..];
        used += len;
    }
    Ok(Some(used))
}

/// Returns true if a byte plane, whose differences have less entropy, becomes smaller as differences. If bytes
/// repeat, or the codec has no code for frequent bytes, a part of the plane is encoded both ways.
fn becomes_differences(states: &mut States, plane: &mut [u8], out: &mut [u8]) -> Result<bool> {
    if states.plan.codec().get()?.codes_frequent_bytes() && !filter::repeats(plane) {
        return Ok(true);
    }
    // The trial uses a part from the middle of the plane.
    let len = (plane.len() / 32).clamp(2 * 1024, 8 * 1024).min(plane.len());
    let start = (plane.len() - len) / 2;
    let part = &mut plane[start..start + len];
    // The codec itself decides, because entropy says nothing about repeats.
    let raw = states.quick().encode(part, out)?.unwrap_or(len);
    filter::to_differences(part);
    let differences = states.quick().encode(part, out)?.unwrap_or(len);
    filter::from_differences(part);
    Ok(differences < raw)
}

/// Digest and residue of a decoded block whose digest matched its head, and the error if the residue did not.
pub(crate) struct Decoded {
    /// Digest of the block's bytes. The head has the first bytes of the digest.
    pub(crate) digest: Digest,
    pub(crate) residue: Residue,
    /// CONSERVATION error if the residue differs from the residue in the head. Reported only if no block
    /// fails with WITNESS.
    pub(crate) unconserved: Option<AtlasError>,
}

/// Returns true if a plane of an encoded block with this filter holds differences.
pub(crate) fn has_differences(filter: Filter, encoded: &[u8]) -> bool {
    let entries = encoded.as_chunks::<PLANE_ENTRY>().0.iter().take(filter.stride());
    entries.map(|entry| u32::from_le_bytes(*entry)).any(|entry| entry & DIFFERENCES != 0)
}

/// Decoder of blocks for one worker: the decoder of a codec, and a buffer.
pub(crate) struct BlockDecoder {
    streams: Streams,
    /// Size of the largest block that it decodes.
    block_size: usize,
    /// Buffer for a block in byte planes. Allocated for the first block with a filter.
    filtered: Option<Buffer>,
}

impl BlockDecoder {
    /// Returns the size of the memory of a decoder for blocks of up to `block_size` bytes in this codec. It
    /// holds the state of one codec at a time.
    pub(crate) fn footprint(codec: Codec, block_size: usize) -> Result<usize> {
        Ok(footprint(block_size) + codec.get()?.decoder_footprint(block_size))
    }

    /// Returns the largest [`footprint`](Self::footprint) of all codecs that were built in.
    pub(crate) fn most(block_size: usize) -> usize {
        let footprints = Codec::ALL.into_iter().map(|codec| Self::footprint(codec, block_size).unwrap_or(0));
        footprints.max().unwrap_or(0)
    }

    pub(crate) fn new(block_size: usize) -> BlockDecoder {
        BlockDecoder { streams: Streams(None), block_size, filtered: None }
    }

    /// Decodes `encoded` to `block`, and checks the bytes against the digest and the residue in `head`. The contents of
    /// `encoded` and `head` may be hostile. The lengths of `encoded` and `block` may not: the caller checked them.
    pub(crate) fn decode(
        &mut self,
        method: Method,
        head: &BlockHead,
        encoded: &[u8],
        block: &mut [u8],
    ) -> Result<Decoded> {
        let codec = method.codec;
        // Without a filter the block is one stream.
        if head.filter == Filter::NONE {
            self.streams.fill(codec, encoded, block)?;
            return check(head, block);
        }
        // Blocks without a filter are decoded in place and need no second buffer.
        let filtered = match self.filtered.take() {
            Some(filtered) => filtered,
            None => Buffer::new(self.block_size)?,
        };
        // Otherwise the planes are decoded one after the other, each with its own length.
        let filtered = self.filtered.insert(filtered).get_mut(..block.len()).ok_or_else(|| {
            AtlasError::internal(
                "a defect of the library, please report it: a block is larger than the buffer of its \
                 decoder",
            )
        })?;
        let entries = head.filter.stride() * PLANE_ENTRY;
        let Some((lengths, mut rest)) = encoded.split_at_checked(entries) else {
            return Err(AtlasError::format(format!(
                "damaged compressed data: a block has {} encoded bytes, fewer than the {entries} bytes of \
                 its list of lengths",
                encoded.len()
            )));
        };
        for (plane, entry) in head.filter.planes(block.len()).zip(lengths.as_chunks::<PLANE_ENTRY>().0) {
            let plane = &mut filtered[plane];
            let entry = u32::from_le_bytes(*entry);
            let length = entry & !DIFFERENCES;
            let differs = entry & DIFFERENCES != 0;
            let part = usize::try_from(length).ok().and_then(|len| rest.split_at_checked(len));
            let Some((part, later)) = part.filter(|(part, _)| part.len() <= plane.len()) else {
                return Err(AtlasError::format(format!(
                    "damaged compressed data: a plane of {} bytes claims {length} encoded bytes, and {} \
                     are left",
                    plane.len(),
                    rest.len()
                )));
            };
            // A stored plane holds no differences, including an empty one.
            if differs && (!method.filters.has_differences() || part.len() == plane.len()) {
                return Err(AtlasError::format(format!(
                    "damaged compressed data: a plane of {} bytes in {length} encoded bytes must not be \
                     marked as differences",
                    plane.len()
                )));
            }
            if !plane.is_empty() {
                self.streams.fill(codec, part, plane)?;
            }
            // Undo the differences before the planes are merged.
            if differs {
                filter::from_differences(plane);
            }
            rest = later;
        }
        if !rest.is_empty() {
            return Err(AtlasError::format(format!(
                "damaged compressed data: a block has {} encoded bytes after its last plane",
                rest.len()
            )));
        }
        // Differences change the residue, so that the merged block is summed.
        if method.filters.has_differences() {
            head.filter.merge(filtered, block);
            return check(head, block);
        }
        // Without differences the planes are a permutation of the block and have its residue.
        let residue = Residue::of(filtered);
        head.filter.merge(filtered, block);
        Decoded::new(head, digest256(block), residue)
    }
}

/// Decoder of streams of any codec. The state of the last codec is kept until another codec is needed.
struct Streams(Option<(Codec, Box<dyn Decode>)>);

impl Streams {
    /// Fills `to` with the decoded bytes of `from`. If both have the same length, `from` is not encoded and is
    /// copied.
    fn fill(&mut self, codec: Codec, from: &[u8], to: &mut [u8]) -> Result<()> {
        // An encoded form is always shorter, so that equal lengths mean stored bytes.
        if from.len() == to.len() {
            to.copy_from_slice(from);
            return Ok(());
        }
        let decoder = match &mut self.0 {
            Some((last, decoder)) if *last == codec => decoder,
            last => {
                // The state of the other codec is dropped first, because the footprint covers one state.
                *last = None;
                &mut last.insert((codec, codec.get()?.decoder()?)).1
            }
        };
        decoder.decode(from, to)
    }
}

impl Decoded {
    /// Compares digest and residue of a decoded block with its head. Fails with WITNESS if the digest differs.
    fn new(head: &BlockHead, digest: Digest, residue: Residue) -> Result<Decoded> {
        if check_of(&digest) != head.check {
            return Err(AtlasError::witness(
                "damaged compressed data: the bytes of a block do not match the digest in its head",
            ));
        }
        // CONSERVATION is kept as a value: a later block may fail with WITNESS, which has precedence.
        let differs = || {
            AtlasError::conservation(format!(
                "damaged compressed data: a block sums to {residue} mod 96 instead of the {} in its head",
                head.residue
            ))
        };
        let unconserved = (residue != head.residue).then(differs);
        Ok(Decoded { digest, residue, unconserved })
    }
}

/// Checks a block against its head. Sums and hashes it part by part, because the sum brings a part into the
/// cache for the digest. Fails with WITNESS if the digest differs.
pub(crate) fn check(head: &BlockHead, block: &[u8]) -> Result<Decoded> {
    // A part fits the cache, so that memory is read once for both passes.
    const PART: usize = 64 * 1024;
    let mut parts = block.chunks(PART).map(Residue::of);
    let mut residue = parts.next().unwrap_or_default();
    let digest = digest256_in_steps(block, PART, |_| {
        residue = residue + parts.next().unwrap_or_default();
        Ok(())
    })?;
    Decoded::new(head, digest, residue)
}

/// Returns the maximum size of the memory of a buffer of `len` bytes, which may be a recycled buffer that is
/// somewhat longer.
fn footprint(len: usize) -> usize {
    len + len / 4 + 16 * 1024
}
