//! Serialised compressed shards (docs/format.md).

use super::block::Encoded;
use super::coding::{Coding, FIXED_SIZE, HEAD_SIZE, malformed, sizes};
use super::{Body, CompressedShard, available, flags};
use crate::base::buffer::{Buffer, try_vec};
use crate::base::error::Result;
use crate::base::units::to_u64;
use crate::hash::record::{Kind, Reader, Writer, encoded_size};
use crate::shard::{Limits, PROOF_RECORDS, proof_lengths, read_proof, within, write_proof};
use std::sync::Arc;

const COMPRESSION: u16 = 16;
const DATA: u16 = 17;

impl CompressedShard {
    fn lengths(&self) -> [usize; PROOF_RECORDS + 2] {
        let [root, domain, region, tiles, parts, tree] = proof_lengths(&self.proof);
        // The records of the proof are the same as in an uncompressed shard.
        let heads = FIXED_SIZE + HEAD_SIZE * self.heads.len();
        [root, domain, region, tiles, parts, tree, heads, self.data_len()]
    }

    /// Returns the number of bytes of [`serialize`](Self::serialize).
    pub fn serialized_size(&self) -> usize {
        // All parts are in memory, and their sum is little more than their size there.
        encoded_size(&self.lengths()).unwrap_or(usize::MAX)
    }

    /// Returns the one encoding of this compressed shard (docs/format.md).
    ///
    /// A reader with the default [`Limits`] refuses a shard with a payload of more than 1 GiB with LIMIT, however small
    /// the encoding is.
    pub fn serialize(&self) -> Result<Vec<u8>> {
        // All lengths are known before the first byte, because the frame states them.
        let lengths = self.lengths();
        let [.., heads, data] = lengths;
        let mut writer = Writer::to_vec(Kind::CompressedShard, &lengths)?;
        write_proof(&mut writer, &self.proof)?;
        writer.record(COMPRESSION, heads)?;
        self.how().write(&self.heads, |bytes| writer.put(bytes))?;
        writer.record(DATA, data)?;
        // A stored shard writes its payload, any other shard its blocks.
        match &self.data {
            Body::Shared(payload) => writer.put(payload)?,
            Body::Blocks(blocks) => blocks.iter().try_for_each(|block| writer.put(block))?,
        }
        writer.into_vec()
    }

    /// Reads the compressed shard that `bytes` encode. Decompresses nothing, and checks only the form and the digest at
    /// the end of `bytes`. Fails with FORMAT, UNSUPPORTED or LIMIT.
    pub fn deserialize(bytes: &[u8], limits: &Limits) -> Result<CompressedShard> {
        available()?;
        let mut reader = Reader::new(bytes, Kind::CompressedShard)?;
        // Accidental damage is found first. The digest does not protect against an attacker.
        reader.check_digest(|_| Ok(()))?;
        // Limits are checked as soon as the sizes are known, before the lists are read.
        let records = [(COMPRESSION, "COMPRESSION"), (DATA, "DATA")];
        let mut fixed = [0; FIXED_SIZE];
        let (proof, [how, data]) = read_proof(&mut reader, limits, records, |tiles, lists, [how, _]| {
            let Some((first, heads)) = how.split_first_chunk() else {
                return malformed(format!(
                    "malformed compressed data: its record COMPRESSION has {} bytes, fewer than \
                     {FIXED_SIZE}",
                    how.len()
                ));
            };
            fixed = *first;
            let (_, size) = sizes(&fixed);
            within("max_proof_size", lists + to_u64(heads.len()), limits.max_proof_size)?;
            within("max_payload_size", size, limits.max_payload_size)?;
            // Every tile has at least one byte.
            if tiles > size {
                return malformed(format!(
                    "the shard claims {tiles} tiles and has only {size} bytes of payload"
                ));
            }
            Ok(())
        })?;
        // The lengths of the blocks must add up to the length of DATA, so that the splits below cannot fail.
        let (how, heads) = Coding::read(how, data.len())?;
        // The layout is refused here if the payload cannot have the claimed length.
        let (_, payload_offset) = proof.layout(how.len)?;
        let stored = how.algorithm.method().is_none();
        // Each block is a copy, so that the shard does not keep the whole encoding.
        let mut blocks = try_vec(if stored { 0 } else { heads.len() })?;
        let mut left = data;
        for head in heads.iter().filter(|_| !stored) {
            let (block, later) = left.split_at(head.len);
            blocks.push(Encoded::copy_of(block)?);
            left = later;
        }
        let data = match stored {
            true => Body::Shared(Arc::new(Buffer::copy_of(data)?)),
            false => Body::Blocks(blocks),
        };
        let proof = Arc::new(proof);
        Ok(CompressedShard {
            proof,
            payload_offset,
            payload_len: how.len,
            residue: how.residue,
            algorithm: how.algorithm,
            level: how.level,
            block_size: how.block_size,
            checked: flags(heads.len(), false)?,
            heads,
            data,
        })
    }

    /// Returns the properties of all blocks together, as the record COMPRESSION stores them.
    fn how(&self) -> Coding {
        Coding {
            algorithm: self.algorithm,
            level: self.level,
            residue: self.residue,
            block_size: self.block_size,
            len: self.payload_len,
        }
    }
}
