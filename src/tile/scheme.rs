//! The witnessed payload of a tile: its bytes themselves, or 96 resonance classes.
//!
//! ```text
//! LINEAR         witness = T(bytes)
//! R96_FOURIER    96 payloads of the transformed bytes; witness = top of the tree over T(payload)
//! ```
//!
//! Apart from shards, the types of projections differ only here. Coefficients are computed on demand and not
//! kept; a tile of many blocks is transformed in slices, so that the memory of a worker does not depend on K,
//! the number of classes that rebuild a tile.

#![forbid(unsafe_code)]

use crate::base::buffer::{Buffer, try_collect, try_vec};
use crate::base::error::{AtlasError, Result};
use crate::base::units::{TILE_SIZE, to_u64};
use crate::exec::pool::{self, Executor};
use crate::hash::class_tree::{ClassSet, ClassTree};
use crate::hash::digest::{Digest, Digests};
use crate::hash::tile_tree::RootKind;
use crate::r96::{
    CLASS_BLOCK_BYTES, CLASSES, DecodeError, Decoder, Encoder, ParameterError, block_bytes, block_count,
};
use crate::tile::extent::GroupResidues;
use crate::tile::one_tile::{PART, sum_and_digest, sum_and_digest_of_parts};
use crate::tile::options::{ProjectionOptions, ProjectionType};
use blake3::Hasher;
use std::sync::OnceLock;
use zeroize::Zeroize;

/// Maximum number of R96 blocks that are transformed at a time: all blocks of a full tile if K is 64 or more.
const SLICE_BLOCKS: usize = 80;

/// Number of bytes of a worker's buffers for R96, besides the bytes of the tile: the payloads of up to 80 blocks, a
/// hasher per class, and the transform's own buffers.
const WORKSPACE: usize =
    SLICE_BLOCKS * CLASSES * CLASS_BLOCK_BYTES + CLASSES * size_of::<Hasher>() + 128 * 1024;

/// Type, K and key of a projection, and the computation of witnesses by them.
pub(crate) struct Scheme {
    digests: Digests,
    /// Transform and K of R96. `None` for LINEAR.
    r96: Option<R96>,
    /// Witness of a full tile of zeros, computed when it is first needed.
    zeros: OnceLock<Digest>,
}

struct R96 {
    encoder: Encoder,
    /// K, the number of classes that rebuild a tile.
    data_classes: u8,
}

impl R96 {
    fn new(data_classes: u8) -> Result<R96> {
        let encoder = Encoder::new(usize::from(data_classes))
            .map_err(|error: ParameterError| AtlasError::invalid_argument(error.to_string()))?;
        Ok(R96 { encoder, data_classes })
    }
}

/// The buffers of one worker for the R96 transform, allocated when they are first needed.
#[derive(Default)]
pub(crate) struct Workspace {
    payloads: Option<Buffer>,
    hashers: Vec<Hasher>,
}

impl Drop for Workspace {
    fn drop(&mut self) {
        // After an error the hashers still contain their key.
        self.hashers.iter_mut().for_each(Zeroize::zeroize);
    }
}

/// Returns the buffer for the payloads of all classes of up to 80 blocks, allocated at the first call.
fn room(payloads: &mut Option<Buffer>) -> Result<&mut Buffer> {
    Buffer::or_new(payloads, SLICE_BLOCKS * CLASSES * CLASS_BLOCK_BYTES)
}

impl Scheme {
    /// Returns the scheme of a projection of type `kind`. Fails with INVALID_ARGUMENT for R96 with a K outside
    /// 1..=96.
    pub(crate) fn new(kind: ProjectionType, options: &ProjectionOptions) -> Result<Scheme> {
        let r96 = match kind {
            ProjectionType::Linear => None,
            ProjectionType::R96Fourier => Some(R96::new(options.data_classes)?),
        };
        Ok(Scheme { digests: Digests::new(options.key.as_deref()), r96, zeros: OnceLock::new() })
    }

    /// Returns another scheme of the same type, K and key.
    pub(crate) fn duplicate(&self) -> Result<Scheme> {
        let r96 = self.r96.as_ref().map(|r96| R96::new(r96.data_classes)).transpose()?;
        Ok(Scheme { digests: self.digests.clone(), r96, zeros: self.zeros.clone() })
    }

    pub(crate) fn digests(&self) -> &Digests {
        &self.digests
    }

    pub(crate) fn kind(&self) -> ProjectionType {
        if self.r96.is_some() { ProjectionType::R96Fourier } else { ProjectionType::Linear }
    }

    /// Returns K, or 0 for LINEAR.
    pub(crate) fn data_classes(&self) -> u8 {
        self.r96.as_ref().map_or(0, |r96| r96.data_classes)
    }

    /// Returns type and K of the projection in the form in which its root contains them.
    pub(crate) fn root_kind(&self) -> RootKind {
        RootKind { kind: self.kind().code(), classes: self.data_classes() }
    }

    /// Returns the number of bytes of a [`Workspace`], 0 for LINEAR.
    pub(crate) fn workspace(&self) -> u64 {
        if self.r96.is_some() { to_u64(WORKSPACE) } else { 0 }
    }

    /// Computes the residues of the 16 KiB groups of a tile and its witness. For LINEAR the bytes are read from
    /// memory once.
    pub(crate) fn sum_and_witness(
        &self,
        bytes: &[u8],
        workspace: &mut Workspace,
    ) -> Result<(GroupResidues, Digest)> {
        match &self.r96 {
            None => Ok(sum_and_digest(&self.digests, bytes)),
            // Blocks of the transform do not match the groups of the residues, so that transform and sum both
            // read the bytes.
            Some(_) => Ok((GroupResidues::of(bytes), self.witness(bytes, workspace, Executor::Inline)?)),
        }
    }

    /// Computes the same as [`sum_and_witness`](Self::sum_and_witness) for a tile of `len` bytes, which `read`
    /// reads part by part into `buffer`. `None` for R96, which needs all bytes at once; nothing is read then.
    pub(crate) fn sum_and_witness_of_parts(
        &self,
        len: usize,
        buffer: &mut Option<Buffer>,
        read: impl FnMut(usize, &mut [u8]) -> Result<()>,
    ) -> Result<Option<(GroupResidues, Digest)>> {
        if self.r96.is_some() {
            return Ok(None);
        }
        let part = &mut Buffer::or_new(buffer, PART)?[..PART];
        sum_and_digest_of_parts(&self.digests, len, part, read).map(Some)
    }

    /// Returns the witness of a tile of `len` zeros, whose residues are 0. The witness of a full tile is
    /// computed once.
    pub(crate) fn witness_of_zeros(&self, len: usize, workspace: &mut Workspace) -> Result<Digest> {
        // Nearly all tiles of a hole are full, so that only their witness is kept.
        if let Some(witness) = self.zeros.get().filter(|_| len == TILE_SIZE) {
            return Ok(*witness);
        }
        let zeros = Buffer::zeros(len)?;
        let witness = self.witness(&zeros, workspace, Executor::Inline)?;
        if len == TILE_SIZE {
            self.zeros.get_or_init(|| witness);
        }
        Ok(witness)
    }

    /// Computes the witness of a tile of these bytes. `executor` may run some of the hashing on other threads.
    pub(crate) fn witness(
        &self,
        bytes: &[u8],
        workspace: &mut Workspace,
        executor: Executor<'_>,
    ) -> Result<Digest> {
        self.witness_beside(bytes, workspace, executor, |transform| {
            transform();
            Ok(())
        })
        .map(|(witness, ())| witness)
    }

    /// Computes the witness like [`witness`](Self::witness). `around` gets the transform as a function and must
    /// call it, possibly beside other work. Also returns the result of `around`.
    pub(crate) fn witness_beside<R>(
        &self,
        bytes: &[u8],
        workspace: &mut Workspace,
        executor: Executor<'_>,
        around: impl FnOnce(&mut (dyn FnMut() + Send)) -> Result<R>,
    ) -> Result<(Digest, R)> {
        // LINEAR has no transform, but the work beside it still has to run.
        let Some(R96 { encoder, .. }) = &self.r96 else {
            return Ok((self.digests.tile(bytes), around(&mut || ())?));
        };
        let len = encoder.payload_bytes(bytes.len());
        // More blocks than the buffer holds are transformed in slices, and hashed slice by slice.
        if len > SLICE_BLOCKS * CLASS_BLOCK_BYTES {
            let mut tree = None;
            let result = around(&mut || tree = Some(self.classes(bytes, workspace, |_, _, _| ())))?;
            let tree = tree.ok_or_else(|| {
                AtlasError::internal(
                    "a defect of the library, please report it: the transform of a tile did not run",
                )
            })??;
            return Ok((tree.witness()?, result));
        }
        // All payloads fit into the buffer: transform first, then hash each class at once.
        let payloads = &mut room(&mut workspace.payloads)?[..CLASSES * len];
        // `around` returns a result of its own, so that the error of the transform is kept in a variable.
        let mut encoded = Ok(());
        let result = around(&mut || encoded = encoder.encode(bytes, payloads))?;
        encoded?;
        Ok((self.witness_of(payloads, executor)?, result))
    }

    /// Returns the witness of an R96 tile from `payloads`, the payloads of its 96 classes, one after the other and
    /// equally long.
    fn witness_of(&self, payloads: &[u8], executor: Executor<'_>) -> Result<Digest> {
        // All classes of a tile have payloads of the same length.
        let len = payloads.len() / CLASSES;
        let mut digests = [[0; 32]; CLASSES];
        // Two halves of 48 classes each, one for each thread.
        let (low, high) = digests.split_at_mut(CLASSES / 2);
        let (below, above) = payloads.split_at(CLASSES / 2 * len);
        let hash = |digests: &mut [Digest], payloads: &[u8]| {
            for (class, digest) in digests.iter_mut().enumerate() {
                *digest = self.digests.tile(&payloads[class * len..][..len]);
            }
            Ok(())
        };
        pool::both(executor, || hash(low, below), || hash(high, above))?;
        ClassTree::new(&self.digests, &digests)?.witness()
    }

    /// Computes the witness of a tile with the bytes `bytes`. `before` are the bytes of the tile that this
    /// workspace transformed last. If both have the same length, only the blocks that differ are transformed,
    /// because the workspace still has the others.
    pub(crate) fn witness_after(
        &self,
        before: &[u8],
        bytes: &[u8],
        workspace: &mut Workspace,
        executor: Executor<'_>,
    ) -> Result<Digest> {
        // LINEAR has no transform to reuse.
        let Some(R96 { encoder, data_classes }) = &self.r96 else {
            return Ok(self.digests.tile(bytes));
        };
        let (block, len) = (block_bytes(usize::from(*data_classes)), encoder.payload_bytes(bytes.len()));
        // If the payloads of the earlier bytes are not there, everything is transformed.
        let Some(payloads) = workspace.payloads.as_mut().and_then(|all| all.get_mut(..CLASSES * len)) else {
            return self.witness(bytes, workspace, executor);
        };
        // Only blocks of the same layout can be replaced one by one.
        if before.len() != bytes.len() || len > SLICE_BLOCKS * CLASS_BLOCK_BYTES {
            return self.witness(bytes, workspace, executor);
        }
        let mut one = [0; CLASSES * CLASS_BLOCK_BYTES];
        // Transform the changed blocks, and replace their part of each class.
        for (index, (before, bytes)) in before.chunks(block).zip(bytes.chunks(block)).enumerate() {
            // Coefficients depend on all bytes of their block, and on no other block.
            if before != bytes {
                encoder.encode(bytes, &mut one)?;
                let place = index * CLASS_BLOCK_BYTES..(index + 1) * CLASS_BLOCK_BYTES;
                for (payload, part) in
                    payloads.chunks_exact_mut(len).zip(one.as_chunks::<CLASS_BLOCK_BYTES>().0)
                {
                    payload[place.clone()].copy_from_slice(part);
                }
            }
        }
        self.witness_of(payloads, executor)
    }

    /// Transforms an R96 tile, up to 80 blocks at a time, and returns the tree over its classes. `sink` gets each
    /// part of a payload: the class, the offset of the part in the class's payload, and the bytes.
    pub(crate) fn classes(
        &self,
        bytes: &[u8],
        workspace: &mut Workspace,
        mut sink: impl FnMut(u8, usize, &[u8]),
    ) -> Result<ClassTree> {
        let Some(R96 { encoder, data_classes }) = &self.r96 else {
            return Err(AtlasError::internal(
                "a defect of the library, please report it: LINEAR tiles have no classes",
            ));
        };
        // Slices are whole blocks, so that no block is transformed in parts.
        let slice = SLICE_BLOCKS * block_bytes(usize::from(*data_classes));
        let Workspace { payloads, hashers } = workspace;
        let (buffer, sliced) = (room(payloads)?, bytes.len() > slice);
        // A payload in several slices needs a hasher that lasts from slice to slice.
        if sliced {
            hashers.clear();
            hashers
                .try_reserve(CLASSES)
                .map_err(|_| AtlasError::out_of_memory("no memory for the hashers of the 96 classes"))?;
            hashers.resize_with(CLASSES, || self.digests.tile_hasher());
        }
        let mut digests = [[0; 32]; CLASSES];
        // Bytes of each payload before the present slice.
        let mut start = 0;
        for part in bytes.chunks(slice) {
            let len = encoder.payload_bytes(part.len());
            // The last slice may be shorter.
            let payloads = &mut buffer[..CLASSES * len];
            encoder.encode(part, payloads)?;
            for (class, payload) in (0..=95).zip(payloads.chunks_exact(len)) {
                match hashers.get_mut(usize::from(class)).filter(|_| sliced) {
                    Some(hasher) => drop(hasher.update(payload)),
                    None => digests[usize::from(class)] = self.digests.tile(payload),
                }
                sink(class, start, payload);
            }
            start += len;
        }
        if sliced {
            for (digest, hasher) in digests.iter_mut().zip(hashers) {
                *digest = *hasher.finalize().as_bytes();
                // The payload hashers contain the key, and their memory is freed, so that they are wiped.
                if self.digests.keyed() {
                    hasher.zeroize();
                }
            }
        }
        ClassTree::new(&self.digests, &digests)
    }
}

/// Returns the decoder that rebuilds tiles from the payloads of `classes`. Fails with INCOMPLETE if these are fewer
/// than K (`data_classes`), the number of classes that rebuild a tile.
pub(crate) fn decoder(data_classes: u8, classes: ClassSet) -> Result<Decoder> {
    // K was checked before, and a set has no class twice, so that too few classes are the only possible
    // error.
    let list = try_collect(classes.iter())?;
    Decoder::new(usize::from(data_classes), &list).map_err(|error| match error {
        ParameterError::TooFewClasses { .. } => AtlasError::incomplete(format!("{error}")),
        _ => AtlasError::internal(format!("a defect of the library, please report it: {error}")),
    })
}

/// Rebuilds the bytes of a tile into `bytes`, from block `first` on. `payloads` are the payloads of the tile's
/// classes, in the order of the decoder's classes.
///
/// Fails with FORMAT if the payloads represent no bytes, with WITNESS if there are more than K and they contradict
/// one another.
pub(crate) fn decode_blocks(
    decoder: &Decoder,
    payloads: &[&[u8]],
    first: usize,
    bytes: &mut [u8],
) -> Result<()> {
    // A block has its coefficients at the same place in the payload of every class.
    let range = first * CLASS_BLOCK_BYTES..;
    // Payloads go on after the requested blocks if `bytes` ends before the tile.
    let len = block_count(bytes.len(), decoder.data_classes()) * CLASS_BLOCK_BYTES;
    let mut slices = try_vec(payloads.len())?;
    slices.extend(payloads.iter().map(|payload| {
        let rest = payload.get(range.clone()).unwrap_or_default();
        &rest[..len.min(rest.len())]
    }));
    decoder.decode(&slices, bytes).map_err(|error| match error {
        DecodeError::Inconsistent { .. } => AtlasError::witness(format!("{error}")),
        DecodeError::NoMemory => AtlasError::out_of_memory(format!("{error}")),
        _ => AtlasError::format(format!("{error}")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashers_of_slices_are_wiped_where_they_are_keyed() {
        // With K = 1 a slice is 16,640 bytes.
        let bytes: Vec<u8> = (0..40_000u32).map(|i| (i % 255) as u8).collect();
        for key in [None, Some([7; 32])] {
            let mut options = ProjectionOptions::new().with_data_classes(1);
            if let Some(key) = &key {
                options = options.with_key(key);
            }
            let scheme = Scheme::new(ProjectionType::R96Fourier, &options).unwrap();
            let (mut workspace, mut payloads) = (Workspace::default(), vec![Vec::new(); CLASSES]);
            let add = |class: u8, _: usize, part: &[u8]| payloads[usize::from(class)].extend_from_slice(part);
            scheme.classes(&bytes, &mut workspace, add).unwrap();
            assert_eq!(workspace.hashers.len(), CLASSES);
            for (hasher, payload) in workspace.hashers.iter().zip(&payloads) {
                let kept = *hasher.finalize().as_bytes() == scheme.digests().tile(payload);
                assert_eq!(kept, key.is_none());
            }
        }
    }
}
