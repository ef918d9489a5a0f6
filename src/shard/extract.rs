//! Cutting shards out of a projection, one or many, on one thread or many.
//!
//! A batch is turned round: what shards want is sorted by the tiles that they touch, so that a tile is
//! read and hashed once for many of them, and a large region is spread over all threads. The 96
//! classes of a region are a batch of 96 shards. A task is about a tile's worth of work: some tiles
//! of which little is wanted, or a part of what is wanted of one, which is hashed anew for each part.
//!
//! ```text
//! for each tile touched:
//!     R96:                           read it, transform and hash it slice by slice; each slice of a
//!                                    class goes to the shards that want it
//!     one region, whole tile:        read it, hash that copy
//!     chain at hand, few groups:     read the groups, check each against the chain
//!     else:                          read it, hash it group by group, keep its chain
//!     take the wanted pages from the copy that was checked, and the proof beside them
//! ```

use super::scope::{Scope, Share};
use super::{AtlasBoundaryRegion, AtlasShard, Proof, TileShape};
use crate::buffer::{Buffer, try_vec};
use crate::chain::{Chain, cut_groups, page_bytes, source_changed};
use crate::classes::ClassSet;
use crate::copy::copy_to_payload;
use crate::digest::{Digest, same};
use crate::error::{AtlasError, Result, check_range};
use crate::geometry::{GROUP_SIZE, TILE_BYTES, to_u64, to_usize};
use crate::hashing::Scratch;
use crate::layer2::Residue;
use crate::merkle::{Merkle, Sibling};
use crate::operation::Operation;
use crate::pool::{self, Executor, Order};
use crate::projection::{AtlasProjection, ProjectionType, State};
use crate::scheme::Workspace;
use crate::sync::lock;
use crate::tree::TileAt;
use std::cmp::Reverse;
use std::num::NonZeroUsize;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

/// So many shards are cut out of a tile before another task goes on with it.
const MOST_WANTS: usize = 256;

/// A worker's share of a batch is in about so many tasks, so that all end at about the same time.
const TASKS_A_WORKER: u64 = 8;

/// How a batch is spread over threads. The shards are the same, bit for bit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum ParallelStrategy {
    /// On the calling thread: where the host has no thread to spare, or runs batches in parallel itself.
    Sequential,
    /// About a tile a task, on the calling thread and the operation's pool: what to use without a reason
    /// for another one. What is too small to be worth a second thread is done on the calling one, which
    /// takes less time than to wake another.
    #[default]
    Default,
    /// As `Default`, on the operation's pool, which must be given, and nowhere else, however small the
    /// batch: where the calling thread must not do such work. It sleeps, and puts the shards together.
    Pool,
    /// So many regions a task, in their order: for many small regions whose neighbours lie in the same
    /// tile, since each worker then stays where it is in the domain. A tile that two tasks touch is
    /// hashed twice. Regions beside one that is larger than a thread's share of the batch are not kept
    /// together, and that one is cut into its tiles.
    Chunked(usize),
    /// As `Default`, the tasks with the most work first: for regions of very different sizes, where the
    /// last task should be a small one.
    WorkStealing,
}

/// Options of a batch.
#[derive(Debug, Clone, Copy, Default)]
pub struct ExtractOptions {
    strategy: ParallelStrategy,
    max_threads: Option<NonZeroUsize>,
}

impl ExtractOptions {
    /// The default strategy on all threads of the pool.
    pub fn new() -> Self {
        Self::default()
    }

    /// How the work is spread.
    #[must_use]
    pub fn with_strategy(mut self, strategy: ParallelStrategy) -> Self {
        self.strategy = strategy;
        self
    }

    /// At most so many tasks at work at a time; 0: as many as the pool has threads.
    #[must_use]
    pub fn with_max_threads(mut self, threads: usize) -> Self {
        self.max_threads = NonZeroUsize::new(threads);
        self
    }

    /// Where the work runs in an operation that names `executor`.
    fn executor<'a>(&self, executor: Executor<'a>) -> Result<Executor<'a>> {
        match self.strategy {
            ParallelStrategy::Sequential => Ok(Executor::Inline),
            ParallelStrategy::Pool if !executor.is_hosts() => {
                Err(AtlasError::invalid_argument("strategy POOL needs a pool in the operation"))
            }
            ParallelStrategy::Pool => Ok(executor.and_nowhere_else()),
            ParallelStrategy::Chunked(0) => {
                Err(AtlasError::invalid_argument("chunk_size 0 is not greater than 0"))
            }
            ParallelStrategy::Default | ParallelStrategy::Chunked(_) | ParallelStrategy::WorkStealing => {
                Ok(executor)
            }
        }
    }
}

/// What one shard wants of one tile.
struct Want<'a> {
    /// The number of the shard in the batch.
    shard: usize,
    at: TileAt<'a>,
    /// Where the bytes go; None: into a payload of their own, as the shard lies in this tile.
    out: Option<&'a mut [u8]>,
}

/// Wants that one worker sees to, one after the other.
struct Task<'w, 'a> {
    cost: u64,
    wants: Mutex<&'w mut [Want<'a>]>,
}

/// Neighbours in the sorted wants, of one tile.
#[derive(Clone, Copy)]
struct Group {
    wants: usize,
    cost: u64,
}

/// A part that was cut and checked.
struct Done {
    shard: usize,
    tile: u64,
    /// Beside the part, inside the tile.
    proof: Vec<Digest>,
    /// Beside the shard's tiles, from its first.
    tree: Option<Vec<Sibling>>,
    residue: Residue,
    payload: Option<Buffer>,
}

/// What comes of a want: a part of a shard, or all of one that lies in one tile.
enum Outcome {
    Part(Done),
    Whole(usize, AtlasShard),
}

/// What comes of a task.
struct Outcomes {
    done: Vec<Outcome>,
    /// Bytes and parts that were cut.
    bytes: u64,
    parts: u64,
    /// The first region that failed, and its tile.
    failure: Option<((u64, u64), AtlasError)>,
}

/// A shard in the making.
#[derive(Default)]
struct Draft {
    /// It is made: the rest means nothing.
    finished: Option<AtlasShard>,
    /// By tile, in any order.
    parts: Vec<(u64, Vec<Digest>)>,
    tree: Vec<Sibling>,
    residue: Residue,
    payload: Option<Buffer>,
}

/// Where a shard lies.
struct Span {
    tiles: Range<u64>,
    payload_offset: u64,
    payload_len: usize,
}

impl Span {
    fn tile_count(&self) -> u64 {
        self.tiles.end - self.tiles.start
    }
}

/// The pages that are wanted of a LINEAR tile.
fn pages(share: &Share) -> Result<Range<u64>> {
    match share {
        Share::Pages(pages) => Ok(pages.clone()),
        Share::Classes { .. } => Err(AtlasError::internal("classes are wanted of a LINEAR tile")),
    }
}

/// The groups of 16 KiB that a share touches, of a tile of `len` bytes.
fn groups_wanted(share: &Share, len: usize) -> usize {
    match share {
        Share::Pages(pages) => {
            let bytes = page_bytes(pages, len);
            bytes.end.div_ceil(GROUP_SIZE) - bytes.start / GROUP_SIZE
        }
        Share::Classes { .. } => len.div_ceil(GROUP_SIZE),
    }
}

impl AtlasProjection {
    /// Cuts one region out: copies its bytes once and verifies the copy.
    ///
    /// WITNESS where the source changed since it was projected, OUT_OF_RANGE outside the domain. A
    /// region of length 0 proves the root alone. R96: all 96 classes of the tiles that the region
    /// touches, which are the shard's region then.
    pub fn extract_shard(
        &self,
        region: &AtlasBoundaryRegion,
        operation: &mut Operation<'_>,
    ) -> Result<AtlasShard> {
        let shards = self.extract_shards(std::slice::from_ref(region), &ExtractOptions::new(), operation)?;
        shards.into_iter().next().ok_or_else(|| AtlasError::internal("a batch of one gave no shard"))
    }

    /// Cuts many regions out, in their order: all of them or none.
    ///
    /// A tile is read and hashed once for each MiB and each 256 shards that are cut out of it (and once a
    /// chunk with [`ParallelStrategy::Chunked`]), however many regions touch it. The error of the first
    /// region that fails is reported, with its index; one that comes of hashing what was edited before
    /// concerns them all and has none.
    pub fn extract_shards(
        &self,
        regions: &[AtlasBoundaryRegion],
        options: &ExtractOptions,
        operation: &mut Operation<'_>,
    ) -> Result<Vec<AtlasShard>> {
        let executor = options.executor(operation.executor)?;
        let state = self.state();
        let mut scopes = try_vec(regions.len())?;
        for (index, region) in (0..).zip(regions) {
            let scope = scope(&state, region, ClassSet::ALL).map_err(|error| error.at_index(index))?;
            scopes.push(scope);
        }
        operation.within(executor, options.max_threads, |operation| {
            extract(&state, &scopes, options.strategy, operation)
        })
    }

    /// One shard for each of `classes`, in their order, of the tiles that `region` touches; None: of
    /// all. All of them or none.
    ///
    /// One pass over the region, whatever the number of classes: every tile is transformed once. A
    /// class twice or above 95, or a LINEAR projection, is INVALID_ARGUMENT.
    pub fn extract_classes(
        &self,
        region: Option<&AtlasBoundaryRegion>,
        classes: &[u8],
        operation: &mut Operation<'_>,
    ) -> Result<Vec<AtlasShard>> {
        let state = self.state();
        if state.config.scheme.kind() == ProjectionType::Linear {
            return Err(AtlasError::invalid_argument("a LINEAR projection has no classes"));
        }
        let domain = AtlasBoundaryRegion::new(0, state.tree.bytes());
        let all = scope(&state, region.unwrap_or(&domain), ClassSet::EMPTY)?;
        let (mut scopes, mut seen) = (try_vec(classes.len())?, ClassSet::EMPTY);
        for (index, &class) in (0..).zip(classes) {
            let refused = |what: &str| AtlasError::invalid_argument(format!("class {class} {what}"));
            let only = ClassSet::of(class).ok_or_else(|| refused("is outside 0..=95").at_index(index))?;
            if seen.contains(class) {
                return Err(refused("is named twice").at_index(index));
            }
            seen = seen.union(only);
            scopes.push(Scope { classes: only, ..all });
        }
        extract(&state, &scopes, ParallelStrategy::Default, operation)
    }

    /// [`extract_shards`](Self::extract_shards) on the library's pool: what to use without a reason for
    /// another one.
    pub fn extract_shards_parallel(&self, regions: &[AtlasBoundaryRegion]) -> Result<Vec<AtlasShard>> {
        self.extract_shards(regions, &ExtractOptions::new(), &mut Operation::new())
    }

    /// [`extract_shards`](Self::extract_shards) on a pool of the host and nowhere else, however small the
    /// batch: where the host has a pool of rayon's own, and says how many threads there are. The calling
    /// thread puts the results together. In a forked child it hangs if the pool is from before the fork.
    #[cfg(feature = "parallel")]
    pub fn extract_shards_parallel_with_pool(
        &self,
        regions: &[AtlasBoundaryRegion],
        pool: &rayon::ThreadPool,
    ) -> Result<Vec<AtlasShard>> {
        let options = ExtractOptions::new().with_strategy(ParallelStrategy::Pool);
        self.extract_shards(regions, &options, &mut Operation::new().with_rayon_pool(pool))
    }

    /// [`extract_shards`](Self::extract_shards) with `chunk` regions a task: for many small regions whose
    /// neighbours lie in the same tile. 0 is INVALID_ARGUMENT.
    pub fn extract_shards_chunked_parallel(
        &self,
        regions: &[AtlasBoundaryRegion],
        chunk: usize,
    ) -> Result<Vec<AtlasShard>> {
        let options = ExtractOptions::new().with_strategy(ParallelStrategy::Chunked(chunk));
        self.extract_shards(regions, &options, &mut Operation::new())
    }

    /// [`extract_shards`](Self::extract_shards) with the largest work first, on up to `max_threads`, 0 for
    /// all: for regions of very different sizes, and to leave threads to others.
    pub fn extract_shards_work_stealing(
        &self,
        regions: &[AtlasBoundaryRegion],
        max_threads: usize,
    ) -> Result<Vec<AtlasShard>> {
        let options =
            ExtractOptions::new().with_strategy(ParallelStrategy::WorkStealing).with_max_threads(max_threads);
        self.extract_shards(regions, &options, &mut Operation::new())
    }
}

/// What a shard of `region` is about: of R96 `classes` of whole tiles.
fn scope(state: &State, region: &AtlasBoundaryRegion, classes: ClassSet) -> Result<Scope> {
    let (tree, data_classes) = (&state.tree, state.config.scheme.data_classes());
    check_range(region.offset, region.length, tree.bytes(), "the region")?;
    if data_classes == 0 {
        return Ok(Scope { region: *region, classes: ClassSet::EMPTY, data_classes });
    }
    let mut whole = *region;
    if region.length > 0 {
        let tile = |byte: u64| tree.iter_from_byte(byte).next();
        let (Some(first), Some(last)) = (tile(region.offset), tile(region.end() - 1)) else {
            return Err(AtlasError::internal("a byte of the domain is in no tile"));
        };
        whole.offset = first.offset;
        whole.length = last.offset + to_u64(last.tile.len()) - first.offset;
    }
    Ok(Scope { region: whole, classes, data_classes })
}

/// Where the shards lie.
fn spans(state: &State, scopes: &[Scope]) -> Result<Vec<Span>> {
    let mut spans = try_vec(scopes.len())?;
    for (index, scope) in (0..).zip(scopes) {
        let region = &scope.region;
        let mut span = Span { tiles: 0..0, payload_offset: region.offset, payload_len: 0 };
        if region.length > 0 {
            let mut end = 0;
            for at in state.tree.iter_from_byte(region.offset).take_while(|at| at.offset < region.end()) {
                let share = scope.share(at.offset, at.tile.len());
                if span.payload_len == 0 {
                    span.tiles = at.index..at.index;
                    span.payload_offset = at.offset + share.offset();
                }
                let bytes = share.payload_len(at.tile.len());
                span.payload_len = span.payload_len.checked_add(bytes).ok_or_else(|| {
                    AtlasError::out_of_memory(format!("a region of {} bytes", region.length)).at_index(index)
                })?;
                end = at.index + 1;
            }
            span.tiles.end = end;
        }
        spans.push(span);
    }
    Ok(spans)
}

/// The bytes that the result takes.
fn memory(state: &State, spans: &[Span]) -> u64 {
    // Beside the payload: the shard, its proof of at most some 50 nodes, and the bookkeeping.
    let each = to_u64(size_of::<AtlasShard>() + size_of::<Span>() + size_of::<Draft>() + 2_048);
    // Of classes every tile has nodes of its own, 7 for one class and at most 48.
    let nodes = if state.config.scheme.data_classes() > 0 { 8 * size_of::<Digest>() } else { 0 };
    let task = size_of::<Want<'_>>() + size_of::<Group>() + size_of::<Task<'_, '_>>();
    let a_tile = to_u64(task + size_of::<TileShape>() + nodes);
    spans.iter().fold(0u64, |sum, span| {
        let tiles = span.tile_count().saturating_mul(a_tile);
        sum.saturating_add(to_u64(span.payload_len)).saturating_add(tiles).saturating_add(each)
    })
}

/// Cuts out what `scopes` are about, on the operation's executor.
fn extract(
    state: &State,
    scopes: &[Scope],
    strategy: ParallelStrategy,
    operation: &mut Operation<'_>,
) -> Result<Vec<AtlasShard>> {
    let spans = spans(state, scopes)?;
    let memory = memory(state, &spans);
    operation.workers(1, TILE_BYTES, memory)?;
    let bytes = spans.iter().map(|span| to_u64(span.payload_len)).fold(0, u64::saturating_add);
    let parts = spans.iter().map(Span::tile_count).fold(0, u64::saturating_add);
    // An edited state's proofs need the witnesses of all its tiles, which are no region's.
    operation.announce(bytes, parts);
    let merkle = state.merkle(operation).map_err(AtlasError::without_index)?;
    let chunk = if let ParallelStrategy::Chunked(regions) = strategy { regions } else { usize::MAX };
    let batch = Batch { state, merkle, scopes, spans: &spans, chunk };

    // Payloads that several tasks fill. The others are made where they are filled.
    let mut shared = try_vec(spans.len())?;
    for span in &spans {
        shared.push(if span.tile_count() > 1 { Some(Buffer::new(span.payload_len)?) } else { None });
    }
    let mut drafts: Vec<Draft> = try_vec(spans.len())?;
    drafts.resize_with(spans.len(), Draft::default);
    let mut wants = try_vec(usize::try_from(parts).unwrap_or(usize::MAX))?;
    batch.wants(shared.iter_mut().map(|payload| payload.as_deref_mut()), &mut wants);
    let most_first = strategy == ParallelStrategy::WorkStealing;
    batch.run(&mut wants, (bytes, parts), most_first, memory, operation, &mut drafts)?;
    drop(wants);
    let mut shards = try_vec(drafts.len())?;
    for (index, (shared, mut draft)) in shared.into_iter().zip(drafts).enumerate() {
        shards.push(match draft.finished.take() {
            Some(shard) => shard,
            None => batch.finish(index, shared, draft)?,
        });
    }
    Ok(shards)
}

struct Batch<'b> {
    state: &'b State,
    merkle: &'b Merkle,
    scopes: &'b [Scope],
    spans: &'b [Span],
    /// Regions that stay together; the largest number there is: no matter.
    chunk: usize,
}

impl Batch<'_> {
    fn share(&self, want: &Want<'_>) -> Share {
        self.scopes[want.shard].share(want.at.offset, want.at.tile.len())
    }

    fn is_linear(&self) -> bool {
        self.state.config.scheme.kind() == ProjectionType::Linear
    }

    /// All that is wanted: chunk by chunk, tile by tile, in the order of the regions.
    fn wants<'a>(&'a self, slices: impl Iterator<Item = Option<&'a mut [u8]>>, wants: &mut Vec<Want<'a>>) {
        for (shard, (span, slice)) in self.spans.iter().zip(slices).enumerate() {
            let mut rest = slice;
            let tiles = self.state.tree.iter_from_tile(span.tiles.start);
            for at in tiles.take(to_usize(span.tile_count())) {
                let len = self.scopes[shard].share(at.offset, at.tile.len()).payload_len(at.tile.len());
                let out = rest.take().map(|slice| {
                    let (out, later) = slice.split_at_mut(len);
                    rest = Some(later);
                    out
                });
                wants.push(Want { shard, at, out });
            }
        }
        wants.sort_unstable_by_key(|want| (want.shard / self.chunk, want.at.index, want.shard));
    }

    /// How many wants from the first on are of one tile, as far as they go into one task.
    fn group_len(&self, wants: &[Want<'_>]) -> usize {
        let Some(first) = wants.first() else { return 0 };
        let (tile, len) = (first.at.index, first.at.tile.len());
        let most = if self.is_linear() {
            len
        } else {
            // What a transform takes is worth some sets of classes.
            let all = Scope { classes: ClassSet::ALL, ..self.scopes[first.shard] };
            all.share(first.at.offset, len).payload_len(len).saturating_mul(4)
        };
        let mut bytes = 0usize;
        let fits = |want: &&Want<'_>| {
            bytes = bytes.saturating_add(self.share(want).payload_len(len));
            let together = want.at.index == tile && want.shard / self.chunk == first.shard / self.chunk;
            together && bytes <= most
        };
        wants.iter().take(MOST_WANTS).take_while(fits).count().max(1)
    }

    /// Bytes that a group hashes and hands out, at the most.
    fn cost(&self, group: &[Want<'_>]) -> u64 {
        let Some(first) = group.first() else { return 0 };
        let len = first.at.tile.len();
        let (mut groups, mut wanted) = (0usize, 0usize);
        for want in group {
            let share = self.share(want);
            groups += groups_wanted(&share, len);
            wanted += share.payload_len(len);
        }
        let hashed = if first.at.tile.chain().is_some() { (groups * GROUP_SIZE).min(len) } else { len };
        to_u64(hashed + wanted)
    }

    /// The sorted wants as tasks, what they cost, and where the tasks of a chunk end that one worker
    /// takes.
    fn tasks<'w, 'a>(
        &self,
        wants: &'w mut [Want<'a>],
        threads: u64,
        bytes: u64,
    ) -> Result<(Vec<Task<'w, 'a>>, u64, Vec<u64>)> {
        let mut groups = try_vec(wants.len())?;
        let (mut rest, mut total) = (&wants[..], 0u64);
        while !rest.is_empty() {
            let (group, later) = rest.split_at(self.group_len(rest));
            let cost = self.cost(group);
            groups.push(Group { wants: group.len(), cost });
            (rest, total) = (later, total.saturating_add(cost));
        }
        let target = (total / (threads * TASKS_A_WORKER)).clamp(to_u64(pool::TASK_BYTES), TILE_BYTES);
        let chunked = self.chunk != usize::MAX;
        let (mut tasks, mut runs) =
            (try_vec(groups.len())?, try_vec(if chunked { groups.len() } else { 0 })?);
        let (mut rest, mut large) = (wants, (usize::MAX, false));
        let mut groups = groups.into_iter().peekable();
        while let Some(Group { wants: mut count, mut cost }) = groups.next() {
            let chunk = rest[0].shard / self.chunk;
            let fits = |count: usize, cost| cost <= target && rest[count].shard / self.chunk == chunk;
            while let Some(next) = groups.next_if(|next| fits(count, cost + next.cost)) {
                (count, cost) = (count + next.wants, cost + next.cost);
            }
            let (wants, later) = rest.split_at_mut(count);
            rest = later;
            tasks.push(Task { cost, wants: Mutex::new(wants) });
            if chunked {
                if large.0 != chunk {
                    large = (chunk, self.is_large(chunk, bytes / threads));
                }
                let last = rest.first().is_none_or(|want| want.shard / self.chunk != chunk);
                if last || large.1 {
                    runs.push(to_u64(tasks.len()));
                }
            }
        }
        Ok((tasks, total, runs))
    }

    /// Whether a region of a chunk is larger than a thread's share, and could be cut up.
    fn is_large(&self, chunk: usize, share: u64) -> bool {
        let start = chunk * self.chunk;
        let end = start.saturating_add(self.chunk).min(self.spans.len());
        self.spans[start..end].iter().any(|span| span.tile_count() > 1 && to_u64(span.payload_len) > share)
    }

    fn run(
        &self,
        wants: &mut [Want<'_>],
        (bytes, parts): (u64, u64),
        most_first: bool,
        memory: u64,
        operation: &mut Operation<'_>,
        drafts: &mut [Draft],
    ) -> Result<()> {
        let (mut tasks, cost, runs) = self.tasks(wants, to_u64(operation.threads()), bytes)?;
        if most_first {
            tasks.sort_unstable_by_key(|task| {
                let first = lock(&task.wants).first().map(|want| (want.at.index, want.shard));
                (Reverse(task.cost), first)
            });
        }
        let count = to_u64(tasks.len());
        let worth = usize::try_from(cost).unwrap_or(usize::MAX) / pool::TASK_BYTES;
        let per_worker = TILE_BYTES + self.state.config.scheme.workspace();
        let workers = operation.workers(count, per_worker, memory)?.min(worth.max(1));
        let taken = per_worker.saturating_mul(to_u64(workers)).saturating_add(memory);
        let chains = AtomicU64::new(operation.memory_left(taken) / Chain::FOOTPRINT);
        let executor = operation.executor;
        let order = Order { window: None, runs: &runs, unwatched: operation.unwatched() };
        let mut tracker = operation.tracker(bytes, parts);
        // The lowest shard that failed: work on later ones is pointless, on earlier ones it is not,
        // since the first error in the order of the batch is the one to report.
        let lowest = AtomicU64::new(u64::MAX);
        let mut failure: Option<((u64, u64), AtlasError)> = None;
        pool::run_within(
            executor,
            workers,
            count,
            order,
            || Ok((Scratch::default(), Workspace::default())),
            |(scratch, workspace), index| {
                let wants = std::mem::take(&mut *lock(&tasks[to_usize(index)].wants));
                self.see_to(wants, &lowest, &chains, scratch, workspace)
            },
            |_, outcomes| {
                for outcome in outcomes.done {
                    match outcome {
                        Outcome::Part(done) => drafts[done.shard].take(done)?,
                        Outcome::Whole(shard, finished) => drafts[shard].finished = Some(finished),
                    }
                }
                if let Some((place, error)) = outcomes.failure
                    && failure.as_ref().is_none_or(|(first, _)| place < *first)
                {
                    failure = Some((place, error));
                }
                // After a failure too: the tasks before it may take their time, and can be cancelled.
                tracker.advance(outcomes.bytes, outcomes.parts)
            },
        )?;
        match failure {
            Some((_, error)) => Err(error),
            None => tracker.finish(),
        }
    }

    /// The work of one task. A failure is part of what comes of it.
    fn see_to(
        &self,
        wants: &mut [Want<'_>],
        lowest: &AtomicU64,
        chains: &AtomicU64,
        scratch: &mut Scratch,
        workspace: &mut Workspace,
    ) -> Result<Outcomes> {
        let mut all = Outcomes { done: try_vec(wants.len())?, bytes: 0, parts: 0, failure: None };
        let mut rest = wants;
        while !rest.is_empty() {
            let (group, later) = rest.split_at_mut(self.group_len(rest));
            rest = later;
            let (first, tile) = (to_u64(group[0].shard), group[0].at);
            if first > lowest.load(Ordering::Relaxed) {
                continue;
            }
            let bytes =
                group.iter().map(|want| to_u64(self.share(want).payload_len(tile.tile.len()))).sum::<u64>();
            let result = if self.is_linear() {
                self.cut_pages(tile, group, scratch, chains, &mut all.done)
            } else {
                self.cut_classes(tile, group, scratch, workspace, &mut all.done)
            };
            match result {
                Ok(()) => {
                    all.bytes += bytes;
                    all.parts += to_u64(group.len());
                }
                Err(error) => {
                    // Bytes that only one shard wants fail for it alone, others for the first one.
                    let error = error.at_range(tile.offset, to_u64(tile.tile.len())).at_index(first);
                    let place = (error.index().unwrap_or(first), tile.index);
                    lowest.fetch_min(place.0, Ordering::Relaxed);
                    if all.failure.as_ref().is_none_or(|(first, _)| place < *first) {
                        all.failure = Some((place, error));
                    }
                }
            }
        }
        Ok(all)
    }

    /// Makes the shard of which this is all there is, beside the other workers.
    fn settle(&self, done: Done) -> Result<Outcome> {
        let shard = done.shard;
        if self.spans[shard].tile_count() > 1 {
            return Ok(Outcome::Part(done));
        }
        let mut draft = Draft::default();
        draft.take(done)?;
        let finished = self.finish(shard, None, draft);
        Ok(Outcome::Whole(shard, finished.map_err(|error| error.at_index(to_u64(shard)))?))
    }

    /// Transforms one tile, and gives every shard the classes that it wants.
    fn cut_classes(
        &self,
        at: TileAt<'_>,
        wants: &mut [Want<'_>],
        scratch: &mut Scratch,
        workspace: &mut Workspace,
        all: &mut Vec<Outcome>,
    ) -> Result<()> {
        let (tile, len) = (at.tile, at.tile.len());
        let mut shares = try_vec(wants.len())?;
        let mut own = try_vec(wants.len())?;
        for want in &*wants {
            let share = self.share(want);
            let fresh = want.out.is_none().then(|| Buffer::new(share.payload_len(len)));
            own.push(fresh.transpose()?);
            shares.push(share);
        }
        // What is hashed is what is handed out, so that the bytes need no copy.
        let bytes = match tile.slice() {
            Some(bytes) => bytes,
            None => {
                let bytes = scratch.bytes(len)?;
                tile.read(0, bytes)?;
                bytes
            }
        };
        let tree = self.state.config.scheme.classes(bytes, workspace, |class, start, payload| {
            for ((want, share), own) in wants.iter_mut().zip(&shares).zip(&mut own) {
                let out = want.out.as_deref_mut().or(own.as_deref_mut());
                if let (Some(range), Some(out)) = (share.class_range(class), out) {
                    out[range][start..start + payload.len()].copy_from_slice(payload);
                }
            }
        })?;
        let witness = tree.witness()?;
        if tile.witness().is_none_or(|known| !same(known, &witness)) {
            return Err(source_changed());
        }
        let mut proofs = TreeProofs { merkle: self.merkle, last: None };
        for ((want, share), own) in wants.iter_mut().zip(shares).zip(own) {
            let Share::Classes { classes, .. } = share else {
                return Err(AtlasError::internal("pages are wanted of a transformed tile"));
            };
            let residue = Residue::of(want.out.as_deref().or(own.as_deref()).unwrap_or_default());
            let (shard, proof) = (want.shard, tree.prove(classes)?);
            let tree = proofs.first(at, &self.spans[shard].tiles)?;
            all.push(self.settle(Done { shard, tile: at.index, proof, tree, residue, payload: own })?);
        }
        Ok(())
    }

    /// Cuts all wanted pages out of one tile. So many chains may be kept as `chains` says.
    fn cut_pages(
        &self,
        at: TileAt<'_>,
        wants: &mut [Want<'_>],
        scratch: &mut Scratch,
        chains: &AtomicU64,
        all: &mut Vec<Outcome>,
    ) -> Result<()> {
        let config = &self.state.config;
        let (tile, len) = (at.tile, at.tile.len());
        let groups: usize = wants.iter().map(|want| groups_wanted(&self.share(want), len)).sum();
        let few = groups * 2 <= len.div_ceil(GROUP_SIZE);
        let chain = if few { tile.chain() } else { None };
        let mut cutter = match &chain {
            _ if matches!(&*wants, [want] if self.share(want).is_whole(len)) => Cutter::Whole { scratch },
            Some(chain) if len > GROUP_SIZE => Cutter::Groups { chain, scratch },
            _ => {
                let mut edges: Vec<usize> = try_vec(2 * wants.len())?;
                for want in &*wants {
                    edges.extend(cut_groups(&pages(&self.share(want))?, len));
                }
                edges.sort_unstable();
                edges.dedup();
                let bytes = scratch.bytes(len)?;
                tile.read(0, bytes)?;
                let (chain, witness, edges) = Chain::of_tile(config.scheme.digests(), bytes, &edges)?;
                if tile.witness().is_none_or(|known| !same(known, &witness)) {
                    return Err(source_changed());
                }
                let chain = Arc::new(chain);
                let one_less = |left: u64| left.checked_sub(1);
                if len > GROUP_SIZE
                    && chains.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less).is_ok()
                {
                    config.chains.keep(tile, Arc::clone(&chain));
                }
                Cutter::Checked { chain, edges, bytes }
            }
        };
        let mut proofs = TreeProofs { merkle: self.merkle, last: None };
        for want in wants {
            let done = cutter.cut(self, want, &mut proofs).and_then(|done| self.settle(done));
            all.push(done.map_err(|error| error.at_index(to_u64(want.shard)))?);
        }
        Ok(())
    }

    fn finish(&self, shard: usize, shared: Option<Buffer>, mut draft: Draft) -> Result<AtlasShard> {
        let (state, scope, span) = (self.state, &self.scopes[shard], &self.spans[shard]);
        let payload = match shared.or(draft.payload) {
            Some(payload) => payload,
            None => Buffer::new(0)?,
        };
        draft.parts.sort_unstable_by_key(|(tile, _)| *tile);
        let mut parts = try_vec(draft.parts.iter().map(|(_, proof)| proof.len()).sum())?;
        parts.extend(draft.parts.into_iter().flat_map(|(_, proof)| proof));
        let tree = if scope.region.length == 0 { self.merkle.prove(&(0..0))? } else { draft.tree };
        let count = to_usize(span.tile_count());
        let mut tiles = try_vec(count)?;
        tiles.extend(state.tree.iter_from_tile(span.tiles.start).take(count).map(|at| TileShape {
            // A tile has at most 1 MiB.
            len: u32::try_from(at.tile.len()).unwrap_or(u32::MAX),
            residue: at.tile.residue(),
        }));
        let residue = scope.content_residue(draft.residue, &payload, span.payload_offset);
        let proof = Proof {
            root: *self.merkle.root(),
            head: state.head(),
            keyed: state.config.scheme.digests().keyed(),
            region: scope.region,
            classes: scope.classes,
            first_tile: span.tiles.start,
            tiles,
            parts,
            tree,
        };
        let (proof, payload) = (Arc::new(proof), Arc::new(payload));
        Ok(AtlasShard { proof, payload, payload_offset: span.payload_offset, residue })
    }
}

impl Draft {
    fn take(&mut self, done: Done) -> Result<()> {
        if !done.proof.is_empty() {
            let failed = |_| AtlasError::out_of_memory("no memory for the proof of another tile");
            self.parts.try_reserve(1).map_err(failed)?;
            self.parts.push((done.tile, done.proof));
        }
        if let Some(tree) = done.tree {
            self.tree = tree;
        }
        self.residue = self.residue + done.residue;
        self.payload = self.payload.take().or(done.payload);
        Ok(())
    }
}

/// Proofs against the root. Shards in one tile have the same, so that the last one is kept.
struct TreeProofs<'a> {
    merkle: &'a Merkle,
    last: Option<(Range<u64>, Vec<Sibling>)>,
}

impl TreeProofs<'_> {
    /// The proof of `tiles` where `at` is the first of them.
    fn first(&mut self, at: TileAt<'_>, tiles: &Range<u64>) -> Result<Option<Vec<Sibling>>> {
        if at.index == tiles.start { self.prove(tiles).map(Some) } else { Ok(None) }
    }

    fn prove(&mut self, tiles: &Range<u64>) -> Result<Vec<Sibling>> {
        if let Some((range, proof)) = &self.last
            && range == tiles
        {
            return Ok(proof.clone());
        }
        let proof = self.merkle.prove(tiles)?;
        self.last = Some((tiles.clone(), proof.clone()));
        Ok(proof)
    }
}

/// The three ways to get checked bytes of a tile.
enum Cutter<'c> {
    /// The whole tile, copied and hashed in one go.
    Whole { scratch: &'c mut Scratch },
    /// Group by group, each checked against the chain.
    Groups { chain: &'c Chain, scratch: &'c mut Scratch },
    /// Out of a copy of the tile that was hashed.
    Checked { chain: Arc<Chain>, edges: Vec<(usize, crate::chain::GroupPages)>, bytes: &'c [u8] },
}

impl Cutter<'_> {
    fn cut(&mut self, batch: &Batch<'_>, want: &mut Want<'_>, proofs: &mut TreeProofs<'_>) -> Result<Done> {
        let (at, len) = (want.at, want.at.tile.len());
        let wanted = pages(&batch.share(want))?;
        let within = page_bytes(&wanted, len);
        let mut own = None;
        let out = match want.out.as_deref_mut() {
            Some(out) => out,
            None => &mut own.insert(Buffer::new(within.len())?)[..],
        };
        let digests = batch.state.config.scheme.digests();
        let (proof, residue) = match self {
            Cutter::Whole { scratch } => {
                let copy = scratch.bytes(len)?;
                at.tile.read(0, copy)?;
                let witness = digests.tile(copy);
                if at.tile.witness().is_none_or(|known| !same(known, &witness)) {
                    return Err(source_changed());
                }
                copy_to_payload(copy, out);
                (Vec::new(), at.tile.residue())
            }
            Cutter::Checked { chain, edges, bytes } => {
                let part = &bytes[within];
                copy_to_payload(part, out);
                (chain.prove(digests, len, edges, &wanted)?, Residue::of(part))
            }
            Cutter::Groups { chain, scratch } => {
                let mut edges = Vec::new();
                for group in within.start / GROUP_SIZE..within.end.div_ceil(GROUP_SIZE) {
                    let bytes = group * GROUP_SIZE..((group + 1) * GROUP_SIZE).min(len);
                    let wanted = bytes.start.max(within.start)..bytes.end.min(within.end);
                    let target = &mut out[wanted.start - within.start..wanted.end - within.start];
                    if wanted == bytes {
                        at.tile.read(bytes.start, target)?;
                        chain.check_group(digests, len, group, target, false)?;
                    } else {
                        let copy = &mut scratch.bytes(GROUP_SIZE)?[..bytes.len()];
                        at.tile.read(bytes.start, copy)?;
                        let pages = chain.check_group(digests, len, group, copy, true)?;
                        edges.extend(pages.map(|pages| (group, pages)));
                        target.copy_from_slice(&copy[wanted.start - bytes.start..wanted.end - bytes.start]);
                    }
                }
                (chain.prove(digests, len, &edges, &wanted)?, Residue::of(out))
            }
        };
        let tree = proofs.first(at, &batch.spans[want.shard].tiles)?;
        Ok(Done { shard: want.shard, tile: at.index, proof, tree, residue, payload: own })
    }
}
