//! Choice of the algorithm that suits a shard: [`CompressionAlgorithm::Auto`].
//!
//! Several parts, spread over the payload, are encoded as blocks by every candidate, and the resulting sizes
//! decide. The choice depends on the payload and the configuration alone.
//!
//! ```text
//! smallest:       the smallest result; of two that differ by less than a hundredth, the faster one
//! balanced:       the same, unless LZ4 needs at most a tenth more
//! fastest read:   LZ4 if it saves enough, else the smallest result
//! ```

use super::block::BlockEncoder;
use super::config::{CompressionConfig, Plan};
use super::method::{CompressionAlgorithm, CompressionFilter, CompressionTarget};
use crate::base::buffer::try_vec;
use crate::base::error::{AtlasError, Result};

/// Number of bytes of a part of a payload that every candidate encodes; below, the maximum number of parts.
const PART: usize = 64 * 1024;
const PARTS: usize = 6;

/// Candidates of the choice, the fastest to decompress first. Those that are not built in are skipped.
const CHOICES: [CompressionAlgorithm; 3] =
    [CompressionAlgorithm::Lz4, CompressionAlgorithm::Zstd, CompressionAlgorithm::ConservationAware];

/// Returns the plans by which shards may be compressed: one plan, several if the algorithm is chosen for each
/// shard, or none if all shards are stored.
pub(super) fn plans(config: &CompressionConfig) -> Result<Vec<Plan>> {
    let mut plans = try_vec(CHOICES.len())?;
    if !config.is_auto() {
        // A fixed algorithm gives one plan, or none if it only stores.
        plans.extend(config.plan());
        return Ok(plans);
    }
    // Conservation-aware chooses its filter itself.
    let any = config.filter == CompressionFilter::Auto;
    // Candidates whose codec is not built in are skipped.
    for algorithm in
        CHOICES.into_iter().filter(|choice| any || *choice != CompressionAlgorithm::ConservationAware)
    {
        let plan = CompressionConfig { algorithm, ..*config }.plan();
        plans.extend(plan.filter(|plan| plan.codec().get().is_ok()));
    }
    if plans.is_empty() {
        return Err(AtlasError::unsupported(
            "algorithm AUTO with a filter needs Zstandard or LZ4, and neither is built in",
        ));
    }
    Ok(plans)
}

/// Returns the plan that suits `payload`, of all `plans`, after encoding parts of the payload by each of them.
pub(super) fn choose(
    payload: &[u8],
    config: &CompressionConfig,
    plans: &[Plan],
    encoder: &mut BlockEncoder,
) -> Result<Plan> {
    // Encode the same parts with every plan.
    // A part is encoded like a block, so that it is not longer than a block.
    let part = PART.min(super::to_usize(config.block_size));
    let count = payload.len().div_ceil(part).clamp(1, PARTS);
    // A size for each possible plan. Sizes without a plan are ignored.
    let mut sizes = [usize::MAX; CHOICES.len()];
    let mut total = 0;
    for (plan, size) in plans.iter().zip(&mut sizes) {
        (*size, total) = (0, 0);
        for index in 0..count {
            // The parts are spread evenly from the beginning to the end.
            let room = payload.len().saturating_sub(part);
            // Numbers of every width begin at this offset.
            let start = room * index / count.max(2).saturating_sub(1) / 48 * 48;
            let bytes = &payload[start..][..part.min(payload.len() - start)];
            *size += encoder.encoded_len(plan, bytes)?;
            total += bytes.len();
        }
    }
    // The first candidate within a hundredth of the smallest is the fastest of them.
    let candidates = || plans.iter().zip(sizes);
    let is_lz4 = |plan: &Plan| plan.algorithm == CompressionAlgorithm::Lz4;
    let least = candidates().map(|(_, size)| size).min().unwrap_or(0);
    let smallest = candidates().find(|(_, size)| *size <= least + least / 100);
    // LZ4 is the fastest to read, which is worth a tenth of the size.
    let near = candidates().find(|(plan, size)| is_lz4(plan) && *size <= least + least / 10);
    let fast = candidates().find(|(plan, size)| is_lz4(plan) && config.is_worth(*size, total));
    let chosen = match config.target {
        CompressionTarget::Smallest => smallest,
        CompressionTarget::Balanced => near.or(smallest),
        CompressionTarget::FastestRead => fast.or(smallest),
    };
    chosen.map(|(plan, _)| *plan).ok_or_else(|| {
        AtlasError::internal(
            "a defect of the library, please report it: AUTO has no algorithm to choose from",
        )
    })
}
