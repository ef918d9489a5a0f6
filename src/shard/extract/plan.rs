//! Grouping of a batch's requests by tile, and their division into tasks.

use super::{Batch, Scope, Share};
use crate::base::buffer::try_vec;
use crate::base::error::Result;
use crate::base::units::{GROUP_SIZE, TILE_BYTES, TileIndex, to_u64, to_usize};
use crate::exec::pool;
use crate::hash::class_tree::ClassSet;
use crate::hash::outboard::page_bytes;
use crate::tile::tree::TileAt;
use std::sync::Mutex;

/// Maximum number of requests for one tile that are performed together. Further requests read the tile again.
const MOST_WANTS: usize = 256;

/// Approximate number of tasks in a worker's share of a batch. More than one, so that all workers end at about
/// the same time.
const TASKS_A_WORKER: u64 = 8;

/// Request of one shard for the part of it that lies in one tile.
pub(super) struct Request<'a> {
    /// Index of the shard in the batch.
    pub(super) shard: usize,
    pub(super) at: TileAt,
    /// Destination of the bytes in the shard's payload. `None` means that the worker allocates the payload,
    /// because the whole shard lies in this tile.
    pub(super) out: Option<&'a mut [u8]>,
}

/// Requests that one worker performs in sequence.
pub(super) struct Task<'w, 'a> {
    pub(super) cost: u64,
    pub(super) wants: Mutex<&'w mut [Request<'a>]>,
}

/// Number and cost of consecutive requests for the same tile in the sorted list.
#[derive(Clone, Copy)]
pub(super) struct TileRequests {
    pub(super) wants: usize,
    pub(super) cost: u64,
}

/// Returns the number of groups of 16 KiB that a shard's share of a tile of `len` bytes touches.
pub(super) fn groups_wanted(share: &Share, len: usize) -> usize {
    match share {
        Share::Pages(pages) => {
            let bytes = page_bytes(pages, len);
            bytes.end.div_ceil(GROUP_SIZE) - bytes.start / GROUP_SIZE
        }
        Share::Classes { .. } => len.div_ceil(GROUP_SIZE),
    }
}

impl Batch<'_> {
    /// Adds a request for each tile of each shard to `wants`, sorted by chunk, tile and shard. `slices` has an
    /// entry for each shard: the payload to fill if the shard has several tiles, else `None`.
    pub(super) fn wants<'a>(
        &'a self,
        slices: impl Iterator<Item = Option<&'a mut [u8]>>,
        wants: &mut Vec<Request<'a>>,
    ) -> Result<()> {
        for (shard, (span, slice)) in self.spans.iter().zip(slices).enumerate() {
            // A shard in a single tile gets its payload from its worker.
            if let Some(at) = &span.only {
                wants.push(Request { shard, at: at.clone(), out: slice });
                continue;
            }
            // The shared payload of a shard is divided among its tiles.
            let mut rest = slice;
            let tiles = self.state.tree.iter_from_tile(TileIndex(span.tiles.start));
            for at in tiles.take(to_usize(span.tile_count())) {
                let at = at?;
                let len = self.scopes[shard].share(at.offset.0, at.tile.len()).payload_len(at.tile.len());
                let out = rest.take().map(|slice| {
                    let (out, later) = slice.split_at_mut(len);
                    rest = Some(later);
                    out
                });
                wants.push(Request { shard, at, out });
            }
        }
        // Grouped by chunk and tile, so that neighbours share the hashing of a tile.
        wants.sort_unstable_by_key(|want| (want.shard / self.chunk, want.at.index, want.shard));
        Ok(())
    }

    /// Returns the number of requests, from the first on, that concern one tile and are performed together.
    pub(super) fn group_len(&self, wants: &[Request<'_>]) -> usize {
        let Some(first) = wants.first() else { return 0 };
        // A group may copy about as many bytes as hashing the tile costs. Beyond that, another worker can
        // hash the tile again at the same cost.
        let (tile, len) = (first.at.index, first.at.tile.len());
        let most = if self.is_linear() {
            len
        } else {
            // The transform of a tile costs about as much time as copying all its requested classes four
            // times.
            let all = Scope { classes: ClassSet::ALL, ..self.scopes[first.shard] };
            all.share(first.at.offset.0, len).payload_len(len).saturating_mul(4)
        };
        let mut bytes = 0usize;
        let fits = |want: &&Request<'_>| {
            bytes = bytes.saturating_add(self.share(want).payload_len(len));
            let together = want.at.index == tile && want.shard / self.chunk == first.shard / self.chunk;
            together && bytes <= most
        };
        // A task has at least one request, even if this request asks for more bytes than the limit.
        wants.iter().take(MOST_WANTS).take_while(fits).count().max(1)
    }

    /// Returns the maximum number of bytes that are hashed and copied for the requests `group`, all of which are for
    /// the same tile.
    fn cost(&self, group: &[Request<'_>]) -> u64 {
        let Some(first) = group.first() else { return 0 };
        let len = first.at.tile.len();
        let (mut groups, mut wanted) = (0usize, 0usize);
        for want in group {
            let share = self.share(want);
            groups += groups_wanted(&share, len);
            wanted += share.payload_len(len);
        }
        // With an outboard only the touched groups are hashed.
        let hashed = if first.at.tile.outboard().is_some() { (groups * GROUP_SIZE).min(len) } else { len };
        to_u64(hashed + wanted)
    }

    /// Divides the sorted requests into tasks. Returns the tasks, their total cost, and the ends of the runs of
    /// tasks. With chunks, a run has the tasks of one chunk, or a single task of a chunk with a large region;
    /// one worker takes a whole run.
    pub(super) fn tasks<'w, 'a>(
        &self,
        wants: &'w mut [Request<'a>],
        threads: u64,
        bytes: u64,
    ) -> Result<(Vec<Task<'w, 'a>>, u64, Vec<u64>)> {
        // Groups of one tile are the smallest parts of a task.
        let mut groups = try_vec(wants.len())?;
        let (mut rest, mut total) = (&wants[..], 0u64);
        while !rest.is_empty() {
            let (group, later) = rest.split_at(self.group_len(rest));
            let cost = self.cost(group);
            groups.push(TileRequests { wants: group.len(), cost });
            (rest, total) = (later, total.saturating_add(cost));
        }
        // A task should be large enough to wake a thread for it, and a fraction of each worker's share.
        let target = (total / (threads * TASKS_A_WORKER)).clamp(to_u64(pool::TASK_BYTES), TILE_BYTES);
        let chunked = self.chunk != usize::MAX;
        let (mut tasks, mut runs) =
            (try_vec(groups.len())?, try_vec(if chunked { groups.len() } else { 0 })?);
        let (mut rest, mut large) = (wants, (usize::MAX, false));
        let mut groups = groups.into_iter().peekable();
        while let Some(TileRequests { wants: mut count, mut cost }) = groups.next() {
            let chunk = rest[0].shard / self.chunk;
            // A task stays inside its chunk.
            let fits = |count: usize, cost| cost <= target && rest[count].shard / self.chunk == chunk;
            // Small neighbouring groups of the same chunk join a task.
            while let Some(next) = groups.next_if(|next| fits(count, cost + next.cost)) {
                (count, cost) = (count + next.wants, cost + next.cost);
            }
            let (wants, later) = rest.split_at_mut(count);
            rest = later;
            tasks.push(Task { cost, wants: Mutex::new(wants) });
            if chunked {
                if large.0 != chunk {
                    // With chunks, the tasks of a chunk form a run, unless it has a large region.
                    large = (chunk, self.is_large(chunk, bytes / threads));
                }
                // In a chunk with a large region every task is a run, so that several workers share it.
                let last = rest.first().is_none_or(|want| want.shard / self.chunk != chunk);
                if last || large.1 {
                    runs.push(to_u64(tasks.len()));
                }
            }
        }
        Ok((tasks, total, runs))
    }

    /// Returns true if any region in chunk number `chunk` of the batch (`self.chunk` successive regions) touches several
    /// tiles and has a payload of more than `share` bytes.
    fn is_large(&self, chunk: usize, share: u64) -> bool {
        let start = chunk * self.chunk;
        // The last chunk may have fewer regions.
        let end = start.saturating_add(self.chunk).min(self.spans.len());
        self.spans[start..end].iter().any(|span| span.tile_count() > 1 && to_u64(span.payload_len) > share)
    }
}
