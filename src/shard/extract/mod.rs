//! Extraction of shards from a projection, one or many, on one thread or many.
//!
//! Work is grouped by tile, not by shard, so that a tile is read and hashed once for many shards, and a
//! large region is spread over all threads. The 96 classes of a region are a batch of 96 shards. A task is
//! about one tile's worth of work: several tiles with small requests, or a part of the requests for one
//! tile, which is hashed again for each part.
//!
//! ```text
//! for each tile touched:
//!     R96:                           read it, transform and hash it slice by slice; each slice of a
//!                                    class goes to the shards that request it
//!     one region, whole tile:        read it, hash that copy
//!     outboard stored, few groups:   read the groups, check each against the outboard
//!     else:                          read it, hash it group by group, keep its outboard
//!     take the requested pages from the checked copy, and the proof beside them
//! ```

mod cut;
mod plan;

use self::cut::{Assembly, Outcome};
use self::plan::{Request, Task, TileRequests};
use super::layout::{Scope, Share};
use super::{AtlasBoundaryRegion, AtlasShard, TileShape};
use crate::base::buffer::{Buffer, try_vec};
use crate::base::error::{AtlasError, Result, check_range};
use crate::base::sync::lock;
use crate::base::units::{ByteOffset, TILE_BYTES, TileIndex, to_u64, to_usize};
use crate::exec::operation::Operation;
use crate::exec::pool::{self, Executor};
use crate::hash::class_tree::ClassSet;
use crate::hash::digest::Digest;
use crate::projection::AtlasProjection;
use crate::projection::state::{Levels, State};
use crate::tile::one_tile::Scratch;
use crate::tile::options::ProjectionType;
use crate::tile::outboards::OutboardBudget;
use crate::tile::scheme::Workspace;
use crate::tile::tree::TileAt;
use std::cmp::Reverse;
use std::num::NonZeroUsize;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

/// Distribution of a batch over threads. The shards are the same, bit for bit, with every strategy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum ParallelStrategy {
    /// All tasks run on the calling thread. For hosts that have no other thread to spare or run batches in
    /// parallel themselves.
    Sequential,
    /// A task has about one tile. The tasks run on the calling thread and on the operation's pool. Use this
    /// strategy unless there is a reason for another one. Work too small for a second thread runs on the
    /// calling thread, because waking another thread would take longer.
    #[default]
    Default,
    /// Like `Default`, but all tasks run on the operation's pool, even those of a small batch; the operation
    /// must have a pool. For hosts whose calling thread must not do such work. The calling thread waits, and
    /// assembles the shards.
    Pool,
    /// A task has this number of regions, in their order. For many small regions whose neighbours lie in the
    /// same tile, because each worker then stays in one part of the domain. A tile that two tasks touch is
    /// hashed twice. If a region is larger than a thread's share of the batch, its neighbours are not kept
    /// together with it, and it is split into its tiles.
    Chunked(usize),
    /// Like `Default`, but the largest tasks run first. This suits regions of very different sizes, because
    /// the last task should be small.
    WorkStealing,
}

/// Options of a batch.
///
/// ```
/// use atlas_manifold::{
///     AtlasBoundaryRegion, AtlasProjection, ExtractOptions, Operation, ParallelStrategy, Source,
/// };
///
/// let projection = AtlasProjection::linear(&Source::from_vec(vec![7; 3_000_000]))?;
/// let regions: Vec<_> = (0..30).map(|i| AtlasBoundaryRegion::new(i * 100_000, 100_000)).collect();
/// let options = ExtractOptions::new().with_strategy(ParallelStrategy::Chunked(10)).with_max_threads(2);
/// let shards = projection.extract_shards(&regions, &options, &mut Operation::new())?;
/// assert_eq!(shards.len(), 30);
/// # Ok::<(), atlas_manifold::AtlasError>(())
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct ExtractOptions {
    strategy: ParallelStrategy,
    max_threads: Option<NonZeroUsize>,
}

impl ExtractOptions {
    /// Returns the default strategy on all threads of the pool.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the distribution of the work.
    #[must_use]
    pub fn with_strategy(mut self, strategy: ParallelStrategy) -> Self {
        self.strategy = strategy;
        self
    }

    /// Sets the maximum number of tasks in flight. 0 means the number of threads of the pool.
    #[must_use]
    pub fn with_max_threads(mut self, threads: usize) -> Self {
        self.max_threads = NonZeroUsize::new(threads);
        self
    }

    /// Returns the executor on which a batch with this strategy runs, made from the executor of the operation.
    /// Fails with INVALID_ARGUMENT for `Pool` without a pool of the host, and for `Chunked(0)`.
    fn executor<'a>(&self, executor: Executor<'a>) -> Result<Executor<'a>> {
        match self.strategy {
            ParallelStrategy::Sequential => Ok(Executor::Inline),
            ParallelStrategy::Pool if !executor.is_hosts() => Err(AtlasError::invalid_argument(
                "strategy POOL needs a pool in the operation: set one, or choose another strategy",
            )),
            ParallelStrategy::Pool => Ok(executor.and_nowhere_else()),
            ParallelStrategy::Chunked(0) => {
                Err(AtlasError::invalid_argument("chunk_size is 0, and must be greater than 0"))
            }
            ParallelStrategy::Default | ParallelStrategy::Chunked(_) | ParallelStrategy::WorkStealing => {
                Ok(executor)
            }
        }
    }
}

/// Results of a task of a batch: the parts and shards that it cut, and its first failure.
struct Outcomes {
    done: Vec<Outcome>,
    /// Number of bytes that the task cut. `parts` is the number of parts.
    bytes: u64,
    parts: u64,
    /// Index of the first region that failed and of the tile in which it failed, with the error.
    failure: Option<((u64, TileIndex), AtlasError)>,
}

/// Tiles of a shard, and the place of its payload in the domain.
struct Span {
    tiles: Range<u64>,
    payload_offset: u64,
    payload_len: usize,
    /// The tile that contains the whole region. `None` if the region touches several tiles or none.
    only: Option<TileAt>,
}

impl Span {
    fn tile_count(&self) -> u64 {
        self.tiles.end - self.tiles.start
    }
}

impl AtlasProjection {
    /// Extracts one region: copies its bytes once and verifies the copy.
    ///
    /// A region of length 0 proves the root alone. R96: extracts all 96 classes of the tiles that the
    /// region touches, and the shard's region grows to these tiles. Fails with WITNESS if the source changed
    /// since it was projected, and with OUT_OF_RANGE outside the domain.
    pub fn extract_shard(
        &self,
        region: &AtlasBoundaryRegion,
        operation: &mut Operation<'_>,
    ) -> Result<AtlasShard> {
        let shards = self.extract_shards(std::slice::from_ref(region), &ExtractOptions::new(), operation)?;
        shards.into_iter().next().ok_or_else(|| {
            AtlasError::internal(
                "a defect of the library, please report it: a batch of one shard returned none",
            )
        })
    }

    /// Extracts many regions, in their order. Returns all shards, or an error and no shard.
    ///
    /// Regions in the same tile share one reading and hashing of the tile: with LINEAR up to 256 regions
    /// whose pages in the tile add up to at most its size, with R96 up to 4 regions. For more regions the
    /// tile is read again. With [`ParallelStrategy::Chunked`] only the regions of one task share. The error
    /// of the first region that fails is returned, with its index; an error while hashing earlier edits
    /// concerns all regions and has no index.
    pub fn extract_shards(
        &self,
        regions: &[AtlasBoundaryRegion],
        options: &ExtractOptions,
        operation: &mut Operation<'_>,
    ) -> Result<Vec<AtlasShard>> {
        let executor = options.executor(operation.executor)?;
        let state = self.state();
        check_count(regions.len(), operation)?;
        // Every region is checked before any work begins.
        let mut scopes = try_vec(regions.len())?;
        for (index, region) in (0..).zip(regions) {
            let scope = scope(&state, region, ClassSet::ALL).map_err(|error| error.at_index(index))?;
            scopes.push(scope);
        }
        operation.within(executor, options.max_threads, |operation| {
            extract(&state, &scopes, options.strategy, operation)
        })
    }

    /// Extracts one shard for each of `classes`, in their order, of the tiles that `region` touches. `None` means
    /// all tiles. Returns all shards, or an error and no shard.
    ///
    /// Transforms every tile of the region once, whatever the number of classes. Fails with INVALID_ARGUMENT
    /// for a class given twice or above 95, or a LINEAR projection.
    pub fn extract_classes(
        &self,
        region: Option<&AtlasBoundaryRegion>,
        classes: &[u8],
        operation: &mut Operation<'_>,
    ) -> Result<Vec<AtlasShard>> {
        let state = self.state();
        if state.context.scheme.kind() == ProjectionType::Linear {
            return Err(AtlasError::invalid_argument(
                "a LINEAR projection has no classes: extract a region, or project with R96_FOURIER",
            ));
        }
        let domain = AtlasBoundaryRegion::new(0, state.tree.bytes());
        let all = scope(&state, region.unwrap_or(&domain), ClassSet::EMPTY)?;
        // One scope per class, all with the same tiles.
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

    /// Extracts shards like [`extract_shards`](Self::extract_shards) on the library's pool. Use this unless
    /// there is a reason for another strategy.
    pub fn extract_shards_parallel(&self, regions: &[AtlasBoundaryRegion]) -> Result<Vec<AtlasShard>> {
        self.extract_shards(regions, &ExtractOptions::new(), &mut Operation::new())
    }

    /// Extracts shards like [`extract_shards`](Self::extract_shards) on a pool of the host and nowhere
    /// else, however small the batch. For hosts with a rayon pool of their own, which determines the number
    /// of threads. The calling thread assembles the results. In a forked child the call hangs if the pool is
    /// from before the fork.
    #[cfg(feature = "parallel")]
    pub fn extract_shards_parallel_with_pool(
        &self,
        regions: &[AtlasBoundaryRegion],
        pool: &rayon::ThreadPool,
    ) -> Result<Vec<AtlasShard>> {
        let options = ExtractOptions::new().with_strategy(ParallelStrategy::Pool);
        self.extract_shards(regions, &options, &mut Operation::new().with_rayon_pool(pool))
    }

    /// Extracts shards like [`extract_shards`](Self::extract_shards) with `chunk` regions per task. For many
    /// small regions whose neighbours lie in the same tile. 0 fails with INVALID_ARGUMENT.
    pub fn extract_shards_chunked_parallel(
        &self,
        regions: &[AtlasBoundaryRegion],
        chunk: usize,
    ) -> Result<Vec<AtlasShard>> {
        let options = ExtractOptions::new().with_strategy(ParallelStrategy::Chunked(chunk));
        self.extract_shards(regions, &options, &mut Operation::new())
    }

    /// Extracts shards like [`extract_shards`](Self::extract_shards) with the largest work first, on at most
    /// `max_threads` threads; 0 means all threads of the pool. For regions of very different sizes, and to
    /// leave threads to other work.
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

/// Number of bytes of memory of a shard besides its payload: its proof of at most some 50 nodes, and the
/// bookkeeping.
const EACH: u64 = (size_of::<AtlasShard>() + size_of::<Span>() + size_of::<Assembly>() + 2_048) as u64;

/// Fails with LIMIT if `count` shards exceed the memory limit, before a list of them is made.
fn check_count(count: usize, operation: &Operation<'_>) -> Result<()> {
    operation.reserve(to_u64(count).saturating_mul(EACH))
}

/// Returns an empty list with room for `count` regions, if the memory limit allows it.
pub(crate) fn region_list(count: usize, operation: &Operation<'_>) -> Result<Vec<AtlasBoundaryRegion>> {
    check_count(count, operation)?;
    try_vec(count)
}

/// Returns the scope of a shard of `region`. LINEAR: the region as it is. R96: `classes` of all tiles that the
/// region touches. Fails with OUT_OF_RANGE outside the domain.
fn scope(state: &State, region: &AtlasBoundaryRegion, classes: ClassSet) -> Result<Scope> {
    let (tree, data_classes) = (&state.tree, state.context.scheme.data_classes());
    check_range(region.offset, region.length, tree.bytes(), "the region")?;
    // A LINEAR region stays as it is. Its payload is rounded to pages later.
    if data_classes == 0 {
        return Ok(Scope { region: *region, classes: ClassSet::EMPTY, data_classes });
    }
    // A class covers whole tiles, so that the region grows to their edges.
    let mut whole = *region;
    if region.length > 0 {
        let tile = |byte: u64| tree.tile_of_byte(ByteOffset(byte));
        let (Some(first), Some(last)) = (tile(region.offset)?, tile(region.end() - 1)?) else {
            return Err(AtlasError::internal(format!(
                "a defect of the library, please report it: no tile holds an end of the region at byte {}",
                region.offset
            )));
        };
        whole.offset = first.offset.0;
        whole.length = last.offset + to_u64(last.tile.len()) - first.offset;
    }
    Ok(Scope { region: whole, classes, data_classes })
}

/// Returns the tiles and the place of the payload of the shard of each scope.
fn spans(state: &State, scopes: &[Scope]) -> Result<Vec<Span>> {
    // Each region is walked tile by tile; the payload is the sum of its shares.
    let mut spans = try_vec(scopes.len())?;
    for (index, scope) in (0..).zip(scopes) {
        let region = &scope.region;
        let mut span = Span { tiles: 0..0, payload_offset: region.offset, payload_len: 0, only: None };
        let first =
            if region.length > 0 { state.tree.tile_of_byte(ByteOffset(region.offset))? } else { None };
        // A region in a single tile keeps the tile, which is then not looked up again.
        if let Some(at) = first.filter(|at| region.end() <= (at.offset + to_u64(at.tile.len())).0) {
            let share = scope.share(at.offset.0, at.tile.len());
            span.tiles = at.index.0..at.index.0 + 1;
            span.payload_offset = (at.offset + share.offset()).0;
            span.payload_len = share.payload_len(at.tile.len());
            span.only = Some(at);
        } else if region.length > 0 {
            let mut end = 0;
            // A region in several tiles gets a share of each.
            for at in state.tree.iter_from_byte(ByteOffset(region.offset)) {
                let at = at?;
                if at.offset >= ByteOffset(region.end()) {
                    break;
                }
                let share = scope.share(at.offset.0, at.tile.len());
                // The first tile determines the beginning of the payload.
                if span.payload_len == 0 {
                    span.tiles = at.index.0..at.index.0;
                    span.payload_offset = (at.offset + share.offset()).0;
                }
                let bytes = share.payload_len(at.tile.len());
                span.payload_len = span.payload_len.checked_add(bytes).ok_or_else(|| {
                    AtlasError::out_of_memory(format!(
                        "a region of {} bytes does not fit the address space of this machine",
                        region.length
                    ))
                    .at_index(index)
                })?;
                end = at.index.0 + 1;
            }
            span.tiles.end = end;
        }
        spans.push(span);
    }
    Ok(spans)
}

/// Returns the number of bytes of memory of the shards of `spans` and of the requests for them.
fn memory(state: &State, spans: &[Span]) -> u64 {
    // With R96 the shard has nodes for every tile: 7 for one class, and at most 48.
    let nodes = if state.context.scheme.data_classes() > 0 { 8 * size_of::<Digest>() } else { 0 };
    let task = size_of::<Request<'_>>() + size_of::<TileRequests>() + size_of::<Task<'_, '_>>();
    let a_tile = to_u64(task + size_of::<TileShape>() + nodes);
    spans.iter().fold(0u64, |sum, span| {
        let tiles = span.tile_count().saturating_mul(a_tile);
        let payload = to_u64(Buffer::footprint(span.payload_len));
        sum.saturating_add(payload).saturating_add(tiles).saturating_add(EACH)
    })
}

/// Extracts one shard for each of `scopes`, in their order, on the operation's executor.
fn extract(
    state: &State,
    scopes: &[Scope],
    strategy: ParallelStrategy,
    operation: &mut Operation<'_>,
) -> Result<Vec<AtlasShard>> {
    let spans = spans(state, scopes)?;
    let memory = memory(state, &spans);
    // One worker and the result must fit the memory limit before anything is allocated.
    operation.reserve((TILE_BYTES + state.context.reading()).saturating_add(memory))?;
    let bytes = spans.iter().map(|span| to_u64(span.payload_len)).fold(0, u64::saturating_add);
    let parts = spans.iter().map(Span::tile_count).fold(0, u64::saturating_add);
    // The proofs of an edited state need the witnesses of all its tiles, so that an error here has no index
    // of a region.
    let held = to_u64(size_of_val(scopes) + size_of_val(&*spans));
    let levels = operation.before(bytes, parts, |operation| state.levels(operation, held));
    let (levels, made) = levels.map_err(AtlasError::without_index)?;
    // Without chunks all regions are in chunk 0.
    let chunk = if let ParallelStrategy::Chunked(regions) = strategy { regions } else { usize::MAX };
    let batch = Batch { state, levels, scopes, spans: &spans, chunk };
    let amount = Amount { bytes, parts, memory };
    operation.beside(made, |operation| {
        // The digests are made, and the shards are not.
        operation.reserve(memory)?;
        batch.extract(amount, strategy, operation)
    })
}

/// The bytes and the parts of tiles in a batch, and the number of bytes of memory of its shards.
struct Amount {
    bytes: u64,
    parts: u64,
    memory: u64,
}

struct Batch<'b> {
    state: &'b State,
    levels: Levels<'b>,
    scopes: &'b [Scope],
    spans: &'b [Span],
    /// Number of regions per chunk, whose requests stay together. `usize::MAX` means that the batch is a single
    /// chunk.
    chunk: usize,
}

impl Batch<'_> {
    fn share(&self, want: &Request<'_>) -> Share {
        self.scopes[want.shard].share(want.at.offset.0, want.at.tile.len())
    }

    /// Extracts the shards of the batch, in its order.
    fn extract(
        &self,
        amount: Amount,
        strategy: ParallelStrategy,
        operation: &mut Operation<'_>,
    ) -> Result<Vec<AtlasShard>> {
        // Payloads that several tasks fill. All other payloads are allocated by the worker that fills them.
        let mut shared = try_vec(self.spans.len())?;
        for span in self.spans {
            shared.push(if span.tile_count() > 1 { Some(Buffer::new(span.payload_len)?) } else { None });
        }
        let mut assemblies: Vec<Assembly> = try_vec(self.spans.len())?;
        assemblies.resize_with(self.spans.len(), Assembly::default);
        // Turn the regions into requests by tile, and run them.
        let mut wants = try_vec(usize::try_from(amount.parts).unwrap_or(usize::MAX))?;
        self.wants(shared.iter_mut().map(|payload| payload.as_deref_mut()), &mut wants)?;
        let most_first = strategy == ParallelStrategy::WorkStealing;
        self.run(&mut wants, &amount, most_first, operation, &mut assemblies)?;
        // The requests borrow the shared payloads, which go into the shards below.
        drop(wants);
        // A shard of one tile is finished already; a shard of several tiles is assembled from its parts.
        let mut shards = try_vec(assemblies.len())?;
        for (index, (shared, mut assembly)) in shared.into_iter().zip(assemblies).enumerate() {
            shards.push(match assembly.finished.take() {
                Some(shard) => shard,
                None => self.finish(index, shared, assembly)?,
            });
        }
        Ok(shards)
    }

    fn is_linear(&self) -> bool {
        self.state.context.scheme.kind() == ProjectionType::Linear
    }

    fn run(
        &self,
        wants: &mut [Request<'_>],
        &Amount { bytes, parts, memory }: &Amount,
        most_first: bool,
        operation: &mut Operation<'_>,
        assemblies: &mut [Assembly],
    ) -> Result<()> {
        let (mut tasks, cost, runs) = self.tasks(wants, to_u64(operation.threads()), bytes)?;
        // The largest tasks first; equal tasks in the order of the batch.
        if most_first {
            tasks.sort_unstable_by_key(|task| {
                let first = lock(&task.wants).first().map(|want| (want.at.index, want.shard));
                (Reverse(task.cost), first)
            });
        }
        // As many workers as the tasks, the memory limit and the amount of work allow.
        let count = to_u64(tasks.len());
        // A second thread is worth waking from 64 KiB of work on.
        let worth = usize::try_from(cost).unwrap_or(usize::MAX) / pool::TASK_BYTES;
        let context = &self.state.context;
        let per_worker = TILE_BYTES + context.scheme.workspace() + context.reading();
        let workers = operation.workers(count, per_worker, memory)?.at_most(worth);
        let taken = per_worker.saturating_mul(to_u64(workers.count())).saturating_add(memory);
        // Outboards outlive the call, and get the part of the memory limit that is left.
        let outboards = OutboardBudget::new(operation.memory_left(taken));
        let mut tracker = operation.tracker(bytes, parts);
        // Lowest shard that failed. Later shards are skipped and earlier shards continue, because the first
        // error in the order of the batch is reported.
        let lowest = AtomicU64::new(u64::MAX);
        let mut failure: Option<((u64, TileIndex), AtlasError)> = None;
        workers.in_parts_of_runs(&runs).run(
            count,
            || Ok((Scratch::default(), Workspace::default())),
            |(scratch, workspace), index| {
                // A task is taken once; its requests move to the worker.
                let wants = std::mem::take(&mut *lock(&tasks[to_usize(index)].wants));
                self.see_to(wants, &lowest, &outboards, scratch, workspace)
            },
            |_, outcomes| {
                // The sink collects parts by shard, in any order of tasks.
                for outcome in outcomes.done {
                    match outcome {
                        Outcome::Part(done) => assemblies[done.shard].take(done)?,
                        Outcome::Whole(shard, finished) => assemblies[shard].finished = Some(finished),
                    }
                }
                // The first failure in the order of the batch is kept, whatever the order of the tasks.
                if let Some((place, error)) = outcomes.failure
                    && failure.as_ref().is_none_or(|(first, _)| place < *first)
                {
                    failure = Some((place, error));
                }
                // Progress is reported also after a failure, because earlier tasks may take long and can be
                // cancelled.
                tracker.advance(outcomes.bytes, outcomes.parts)
            },
        )?;
        match failure {
            Some((_, error)) => Err(error),
            None => tracker.finish(),
        }
    }

    /// Performs the requests of one task, tile by tile. Skips shards after `lowest`, the first shard that has
    /// failed. A failure is part of the result, and lowers `lowest`.
    fn see_to(
        &self,
        wants: &mut [Request<'_>],
        lowest: &AtomicU64,
        outboards: &OutboardBudget,
        scratch: &mut Scratch,
        workspace: &mut Workspace,
    ) -> Result<Outcomes> {
        let mut all = Outcomes { done: try_vec(wants.len())?, bytes: 0, parts: 0, failure: None };
        let mut rest = wants;
        while !rest.is_empty() {
            // One tile per round, with all requests of the task for it.
            let (group, later) = rest.split_at_mut(self.group_len(rest));
            rest = later;
            let (first, tile) = (to_u64(group[0].shard), group[0].at.clone());
            // An earlier shard failed already, so that an error of this shard would not be reported.
            if first > lowest.load(Ordering::Relaxed) {
                continue;
            }
            let bytes =
                group.iter().map(|want| to_u64(self.share(want).payload_len(tile.tile.len()))).sum::<u64>();
            let result = if self.is_linear() {
                self.cut_pages(&tile, group, scratch, outboards, &mut all.done)
            } else {
                self.cut_classes(&tile, group, scratch, workspace, &mut all.done)
            };
            match result {
                Ok(()) => {
                    all.bytes += bytes;
                    all.parts += to_u64(group.len());
                }
                Err(error) => {
                    // An error in bytes that one shard requests belongs to this shard, an error in shared
                    // bytes to the first shard.
                    let error = error.at_range(tile.offset.0, to_u64(tile.tile.len())).at_index(first);
                    let place = (error.index().unwrap_or(first), tile.index);
                    // Relaxed, because a task that sees the number late only does a little unused work.
                    lowest.fetch_min(place.0, Ordering::Relaxed);
                    if all.failure.as_ref().is_none_or(|(first, _)| place < *first) {
                        all.failure = Some((place, error));
                    }
                }
            }
        }
        Ok(all)
    }
}

#[cfg(test)]
mod tests;
