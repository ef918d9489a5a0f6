//! Cutting shards out of a projection, one or many, on one thread or many.
//!
//! A batch is turned round: shards are sorted to the tiles that they touch, and a task is the work
//! on a tile, so that a tile is read and hashed once however many shards touch it, and a large
//! region is spread over all threads. The 96 classes of a region are a batch of 96 shards.
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
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

/// A region with more tiles is not left to one thread.
const RUN_TILES: u64 = 8;

/// How a batch is spread over threads. The shards are the same, bit for bit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum ParallelStrategy {
    /// On the calling thread: where the host has no thread to spare, or runs batches in parallel itself.
    Sequential,
    /// A tile a task, on the operation's pool: what to use without a reason for another one.
    #[default]
    Default,
    /// So many regions a task, in their order: for many small regions whose neighbours lie in the same
    /// tile, since each worker then stays where it is in the domain. A tile that two tasks touch is
    /// hashed twice. A task with a region of more than 8 tiles is cut into its tiles.
    Chunked(usize),
    /// A tile a task, those with the most work first: for regions of very different sizes, where the
    /// last task should be a small one.
    WorkStealing,
}

/// Options of a batch.
#[derive(Debug, Clone, Copy, Default)]
pub struct ExtractOptions {
    pub(crate) strategy: ParallelStrategy,
    pub(crate) max_threads: Option<usize>,
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

    /// At most so many tasks at work at a time.
    #[must_use]
    pub fn with_max_threads(mut self, threads: usize) -> Self {
        self.max_threads = Some(threads);
        self
    }
}

/// What one shard wants of one tile.
struct Want<'a> {
    /// The number of the shard in the batch.
    shard: usize,
    /// Of the shard: whether this is the first of its tiles, and all of them.
    first: bool,
    tiles: Range<u64>,
    share: Share,
    /// Where the bytes go; None: into a payload of their own, as the shard lies in this tile.
    out: Option<&'a mut [u8]>,
}

impl Want<'_> {
    /// The pages of a LINEAR tile.
    fn pages(&self) -> Result<&Range<u64>> {
        match &self.share {
            Share::Pages(pages) => Ok(pages),
            Share::Classes { .. } => Err(AtlasError::internal("classes are wanted of a LINEAR tile")),
        }
    }
}

/// The work on one tile.
struct TileWork<'a> {
    at: TileAt<'a>,
    wants: Vec<Want<'a>>,
}

impl TileWork<'_> {
    /// The bytes that this hashes, at the most.
    fn cost(&self) -> usize {
        let len = self.at.tile.len();
        if self.at.tile.chain().is_some() {
            self.groups_wanted().saturating_mul(GROUP_SIZE).min(len)
        } else {
            len
        }
    }

    fn groups_wanted(&self) -> usize {
        let groups = |want: &Want<'_>| match &want.share {
            Share::Pages(pages) => {
                let bytes = page_bytes(pages, self.at.tile.len());
                bytes.end.div_ceil(GROUP_SIZE) - bytes.start / GROUP_SIZE
            }
            Share::Classes { .. } => self.at.tile.len().div_ceil(GROUP_SIZE),
        };
        self.wants.iter().map(groups).sum()
    }

    fn bytes_wanted(&self) -> u64 {
        self.wants.iter().map(|want| to_u64(want.share.payload_len(self.at.tile.len()))).sum()
    }
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
    /// A tile is read and hashed once a batch (once a chunk with [`ParallelStrategy::Chunked`]),
    /// however many regions touch it. The error of the first region that fails is reported, with
    /// its index.
    pub fn extract_shards(
        &self,
        regions: &[AtlasBoundaryRegion],
        options: &ExtractOptions,
        operation: &mut Operation<'_>,
    ) -> Result<Vec<AtlasShard>> {
        let state = self.state();
        // Before anything else: an edited state's proofs need the witnesses of all its tiles.
        operation.executor.check()?;
        let merkle = state.merkle(operation)?;
        let mut scopes = try_vec(regions.len())?;
        for (index, region) in (0..).zip(regions) {
            let scope = scope(&state, region, ClassSet::ALL).map_err(|error| error.at_index(index))?;
            scopes.push(scope);
        }
        Batch { state: &state, merkle, scopes: &scopes }.extract(options, operation)
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
        operation.executor.check()?;
        let merkle = state.merkle(operation)?;
        Batch { state: &state, merkle, scopes: &scopes }.extract(&ExtractOptions::new(), operation)
    }

    /// [`extract_shards`](Self::extract_shards) on the library's pool.
    pub fn extract_shards_parallel(&self, regions: &[AtlasBoundaryRegion]) -> Result<Vec<AtlasShard>> {
        self.extract_shards(regions, &ExtractOptions::new(), &mut Operation::new())
    }

    /// [`extract_shards`](Self::extract_shards) on a pool of the host and nowhere else.
    #[cfg(feature = "parallel")]
    pub fn extract_shards_parallel_with_pool(
        &self,
        regions: &[AtlasBoundaryRegion],
        pool: &rayon::ThreadPool,
    ) -> Result<Vec<AtlasShard>> {
        self.extract_shards(regions, &ExtractOptions::new(), &mut Operation::new().with_rayon_pool(pool))
    }

    /// [`extract_shards`](Self::extract_shards) with `chunk` regions a task.
    pub fn extract_shards_chunked_parallel(
        &self,
        regions: &[AtlasBoundaryRegion],
        chunk: usize,
    ) -> Result<Vec<AtlasShard>> {
        let options = ExtractOptions::new().with_strategy(ParallelStrategy::Chunked(chunk));
        self.extract_shards(regions, &options, &mut Operation::new())
    }

    /// [`extract_shards`](Self::extract_shards) with the largest work first, on up to `max_threads`.
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

struct Batch<'b> {
    state: &'b State,
    merkle: &'b Merkle,
    scopes: &'b [Scope],
}

impl Batch<'_> {
    fn extract(&self, options: &ExtractOptions, operation: &mut Operation<'_>) -> Result<Vec<AtlasShard>> {
        operation.executor.check()?;
        let spans = self.spans()?;
        // Payloads that several tasks fill. The others are made where they are filled.
        let mut shared = try_vec(spans.len())?;
        let memory = self.memory(&spans);
        operation.workers(1, TILE_BYTES, memory)?;
        for span in &spans {
            let several = span.tiles.end - span.tiles.start > 1;
            shared.push(if several { Some(Buffer::new(span.payload_len)?) } else { None });
        }
        let mut drafts: Vec<Draft> = try_vec(spans.len())?;
        drafts.resize_with(spans.len(), Draft::default);
        let slices = shared.iter_mut().map(|payload| payload.as_deref_mut());
        let tasks = self.tasks(&spans, slices, options.strategy)?;
        self.run(tasks, &spans, memory, options, operation, &mut drafts)?;
        let mut shards = try_vec(drafts.len())?;
        for (index, (shared, mut draft)) in shared.into_iter().zip(drafts).enumerate() {
            shards.push(match draft.finished.take() {
                Some(shard) => shard,
                None => self.finish(&self.scopes[index], &spans[index], shared, draft)?,
            });
        }
        Ok(shards)
    }

    fn spans(&self) -> Result<Vec<Span>> {
        let tree = &self.state.tree;
        let mut spans = try_vec(self.scopes.len())?;
        for (index, scope) in (0..).zip(self.scopes) {
            let region = &scope.region;
            let mut span = Span { tiles: 0..0, payload_offset: region.offset, payload_len: 0 };
            if region.length > 0 {
                let mut end = 0;
                for at in tree.iter_from_byte(region.offset).take_while(|at| at.offset < region.end()) {
                    let share = scope.share(at.offset, at.tile.len());
                    if span.payload_len == 0 {
                        span.tiles = at.index..at.index;
                        span.payload_offset = at.offset + share.offset();
                    }
                    let bytes = share.payload_len(at.tile.len());
                    span.payload_len = span.payload_len.checked_add(bytes).ok_or_else(|| {
                        AtlasError::out_of_memory(format!("a region of {} bytes", region.length))
                            .at_index(index)
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
    fn memory(&self, spans: &[Span]) -> u64 {
        // Beside the payload: the shard, its proof of at most some 50 nodes, and the bookkeeping.
        let each = to_u64(size_of::<AtlasShard>() + size_of::<Span>() + size_of::<Draft>() + 2_048);
        // Of classes every tile has nodes of its own, 7 for one class and at most 48.
        let nodes = if self.state.config.scheme.data_classes() > 0 { 8 * size_of::<Digest>() } else { 0 };
        let a_tile = to_u64(size_of::<Want<'_>>() + size_of::<TileShape>() + nodes);
        spans.iter().fold(0u64, |sum, span| {
            let tiles = (span.tiles.end - span.tiles.start).saturating_mul(a_tile);
            sum.saturating_add(to_u64(span.payload_len)).saturating_add(tiles).saturating_add(each)
        })
    }

    /// The work of the batch, tile by tile, and where the runs of tasks end that belong together.
    fn tasks<'a>(
        &'a self,
        spans: &[Span],
        slices: impl Iterator<Item = Option<&'a mut [u8]>>,
        strategy: ParallelStrategy,
    ) -> Result<(Vec<TileWork<'a>>, Vec<u64>)> {
        let per_chunk = match strategy {
            ParallelStrategy::Chunked(0) => {
                return Err(AtlasError::invalid_argument("chunk_size 0 is not greater than 0"));
            }
            ParallelStrategy::Chunked(regions) => regions,
            _ => usize::MAX,
        };
        let (mut tasks, mut runs) = (Vec::new(), Vec::new());
        let mut tiles: BTreeMap<u64, TileWork<'a>> = BTreeMap::new();
        let mut large = false;
        let mut close = |tiles: BTreeMap<u64, TileWork<'a>>, large| {
            let first = to_u64(tasks.len());
            tasks.extend(tiles.into_values());
            let end = to_u64(tasks.len());
            // Only CHUNKED has runs.
            match large {
                _ if per_chunk == usize::MAX => {}
                true => runs.extend(first + 1..=end),
                false => runs.push(end),
            }
        };
        for (index, ((scope, span), slice)) in self.scopes.iter().zip(spans).zip(slices).enumerate() {
            if index > 0 && index % per_chunk == 0 {
                close(std::mem::take(&mut tiles), large);
                large = false;
            }
            large |= span.tiles.end - span.tiles.start > RUN_TILES;
            let mut rest = slice;
            for at in self.state.tree.iter_from_tile(span.tiles.start) {
                if at.index >= span.tiles.end {
                    break;
                }
                let share = scope.share(at.offset, at.tile.len());
                let len = share.payload_len(at.tile.len());
                let out = match rest.take() {
                    Some(slice) => {
                        let (out, later) = slice.split_at_mut(len);
                        rest = Some(later);
                        Some(out)
                    }
                    None => None,
                };
                let first = at.index == span.tiles.start;
                let want = Want { shard: index, first, tiles: span.tiles.clone(), share, out };
                tiles.entry(at.index).or_insert_with(|| TileWork { at, wants: Vec::new() }).wants.push(want);
            }
        }
        close(tiles, large);
        if strategy == ParallelStrategy::WorkStealing {
            tasks.sort_by_cached_key(|task| std::cmp::Reverse(task.cost()));
        }
        Ok((tasks, runs))
    }

    fn run(
        &self,
        (tasks, runs): (Vec<TileWork<'_>>, Vec<u64>),
        spans: &[Span],
        memory: u64,
        options: &ExtractOptions,
        operation: &mut Operation<'_>,
        drafts: &mut [Draft],
    ) -> Result<()> {
        let count = to_u64(tasks.len());
        let bytes: u64 = tasks.iter().map(TileWork::bytes_wanted).sum();
        let cost: usize = tasks.iter().map(TileWork::cost).fold(0, usize::saturating_add);
        let cap = options.max_threads.unwrap_or(usize::MAX).min((cost / pool::TASK_BYTES).max(1));
        let per_worker = TILE_BYTES + self.state.config.scheme.workspace();
        let workers = operation.workers(count, per_worker, memory)?.min(cap);
        let taken = per_worker.saturating_mul(to_u64(workers)).saturating_add(memory);
        let chains = AtomicU64::new(operation.memory_left(taken) / Chain::FOOTPRINT);
        let executor = match options.strategy {
            ParallelStrategy::Sequential => Executor::Inline,
            _ => operation.executor,
        };
        let order = Order { window: None, runs: &runs, unwatched: operation.unwatched() };
        let mut tracker = operation.tracker(bytes, count);
        // The lowest shard that failed: work on later ones is pointless, on earlier ones it is not,
        // since the first error in the order of the batch is the one to report.
        let lowest = AtomicU64::new(u64::MAX);
        let mut failure: Option<((u64, u64), AtlasError)> = None;
        let tasks: Vec<_> = tasks.into_iter().map(|task| Mutex::new(Some(task))).collect();
        pool::run_within(
            executor,
            workers,
            count,
            order,
            || Ok((Scratch::default(), Workspace::default())),
            |(scratch, workspace), index| {
                let Some(work) = lock(&tasks[to_usize(index)]).take() else { return Ok(None) };
                let shard = work.wants.iter().map(|want| to_u64(want.shard)).min().unwrap_or(u64::MAX);
                if shard > lowest.load(Ordering::Relaxed) {
                    return Ok(None);
                }
                let (tile, bytes) = (work.at.index, work.bytes_wanted());
                let result = match self.state.config.scheme.kind() {
                    ProjectionType::Linear => self.cut_pages(work, scratch, &chains),
                    ProjectionType::R96Fourier => self.cut_classes(work, scratch, workspace),
                };
                // What lies in this tile alone is finished here, beside the other workers.
                let settled = |parts: Vec<Done>| {
                    parts.into_iter().map(|done| self.settle(done, spans)).collect::<Result<Vec<_>>>()
                };
                let result = result.and_then(settled);
                // Bytes that only one shard wants fail for it alone, others for the first one.
                let failed = result.as_ref().err().and_then(AtlasError::index).unwrap_or(shard);
                if result.is_err() {
                    lowest.fetch_min(failed, Ordering::Relaxed);
                }
                Ok(Some(((failed, tile), bytes, result)))
            },
            |_, done| {
                let Some((place, bytes, result)) = done else { return Ok(()) };
                match result {
                    Ok(outcomes) => outcomes.into_iter().for_each(|outcome| match outcome {
                        Outcome::Part(done) => drafts[done.shard].take(done),
                        Outcome::Whole(shard, finished) => drafts[shard].finished = Some(finished),
                    }),
                    Err(error) if failure.as_ref().is_none_or(|(at, _)| place < *at) => {
                        failure = Some((place, error.at_index(place.0)));
                    }
                    Err(_) => {}
                }
                if failure.is_none() { tracker.advance(bytes, 1) } else { Ok(()) }
            },
        )?;
        match failure {
            Some((_, error)) => Err(error),
            None => tracker.finish(),
        }
    }

    /// Makes the shard of which this is all there is.
    fn settle(&self, done: Done, spans: &[Span]) -> Result<Outcome> {
        let (shard, span) = (done.shard, &spans[done.shard]);
        if span.tiles.end - span.tiles.start > 1 {
            return Ok(Outcome::Part(done));
        }
        let mut draft = Draft::default();
        draft.take(done);
        let finished = self.finish(&self.scopes[shard], span, None, draft);
        Ok(Outcome::Whole(shard, finished.map_err(|error| error.at_index(to_u64(shard)))?))
    }

    /// Transforms one tile, and gives every shard the classes that it wants.
    fn cut_classes(
        &self,
        work: TileWork<'_>,
        scratch: &mut Scratch,
        workspace: &mut Workspace,
    ) -> Result<Vec<Done>> {
        let (TileWork { at, mut wants }, scheme) = (work, &self.state.config.scheme);
        let (tile, len) = (at.tile, at.tile.len());
        let place = |error: AtlasError| error.at_range(at.offset, to_u64(len));
        let mut own = try_vec(wants.len())?;
        for want in &wants {
            let fresh = want.out.is_none().then(|| Buffer::new(want.share.payload_len(len)));
            own.push(fresh.transpose()?);
        }
        // What is hashed is what is handed out, so that the bytes need no copy.
        let bytes = match tile.slice() {
            Some(bytes) => bytes,
            None => {
                let bytes = scratch.bytes(len)?;
                tile.read(0, bytes).map_err(place)?;
                bytes
            }
        };
        let tree = scheme.classes(bytes, workspace, |class, start, payload| {
            for (want, own) in wants.iter_mut().zip(&mut own) {
                let out = want.out.as_deref_mut().or(own.as_deref_mut());
                if let (Some(range), Some(out)) = (want.share.class_range(class), out) {
                    out[range][start..start + payload.len()].copy_from_slice(payload);
                }
            }
        })?;
        let witness = tree.witness()?;
        if tile.witness().is_none_or(|known| !same(known, &witness)) {
            return Err(place(source_changed()));
        }
        let mut proofs = TreeProofs { merkle: self.merkle, last: None };
        let mut done = try_vec(wants.len())?;
        for (want, own) in wants.into_iter().zip(own) {
            let Share::Classes { classes, .. } = want.share else {
                return Err(AtlasError::internal("pages are wanted of a transformed tile"));
            };
            let residue = Residue::of(want.out.as_deref().or(own.as_deref()).unwrap_or_default());
            let tree_proof = if want.first { Some(proofs.prove(&want.tiles)?) } else { None };
            let (shard, proof) = (want.shard, tree.prove(classes)?);
            done.push(Done { shard, tile: at.index, proof, tree: tree_proof, residue, payload: own });
        }
        Ok(done)
    }

    /// Cuts all wanted pages out of one tile. So many chains may be kept as `chains` says.
    fn cut_pages(&self, work: TileWork<'_>, scratch: &mut Scratch, chains: &AtomicU64) -> Result<Vec<Done>> {
        let config = &self.state.config;
        let (tile, len) = (work.at.tile, work.at.tile.len());
        let place = |error: AtlasError| error.at_range(work.at.offset, to_u64(len));
        let few = work.groups_wanted() * 2 <= len.div_ceil(GROUP_SIZE);
        let chain = if few { tile.chain() } else { None };
        let mut proofs = TreeProofs { merkle: self.merkle, last: None };
        if let [want] = &work.wants[..]
            && want.share.is_whole(len)
        {
            let mut cutter = Cutter::Whole { scratch };
            return work
                .wants
                .into_iter()
                .map(|want| cutter.cut(self, &work.at, want, &mut proofs))
                .collect();
        }
        let mut cutter = match &chain {
            Some(chain) if len > GROUP_SIZE => Cutter::Groups { chain, scratch },
            _ => {
                let mut edges: Vec<usize> = Vec::new();
                for want in &work.wants {
                    edges.extend(cut_groups(want.pages()?, len));
                }
                edges.sort_unstable();
                edges.dedup();
                let bytes = scratch.bytes(len)?;
                tile.read(0, bytes)?;
                let (chain, witness, edges) = Chain::of_tile(config.scheme.digests(), bytes, &edges)?;
                if tile.witness().is_none_or(|known| !same(known, &witness)) {
                    return Err(place(source_changed()));
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
        let cut = |want: Want<'_>| {
            let shard = to_u64(want.shard);
            cutter.cut(self, &work.at, want, &mut proofs).map_err(|error| place(error).at_index(shard))
        };
        work.wants.into_iter().map(cut).collect()
    }

    fn finish(
        &self,
        scope: &Scope,
        span: &Span,
        shared: Option<Buffer>,
        mut draft: Draft,
    ) -> Result<AtlasShard> {
        let state = self.state;
        let payload = match shared.or(draft.payload) {
            Some(payload) => payload,
            None => Buffer::new(0)?,
        };
        draft.parts.sort_unstable_by_key(|(tile, _)| *tile);
        let mut parts = try_vec(draft.parts.iter().map(|(_, proof)| proof.len()).sum())?;
        parts.extend(draft.parts.into_iter().flat_map(|(_, proof)| proof));
        let tree = if scope.region.length == 0 { self.merkle.prove(&(0..0))? } else { draft.tree };
        let count = to_usize(span.tiles.end - span.tiles.start);
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
    fn take(&mut self, done: Done) {
        if !done.proof.is_empty() {
            self.parts.push((done.tile, done.proof));
        }
        if let Some(tree) = done.tree {
            self.tree = tree;
        }
        self.residue = self.residue + done.residue;
        self.payload = self.payload.take().or(done.payload);
    }
}

/// Proofs against the root. Shards in one tile have the same, so that the last one is kept.
struct TreeProofs<'a> {
    merkle: &'a Merkle,
    last: Option<(Range<u64>, Vec<Sibling>)>,
}

impl TreeProofs<'_> {
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
    fn cut(
        &mut self,
        batch: &Batch<'_>,
        at: &TileAt<'_>,
        want: Want<'_>,
        proofs: &mut TreeProofs<'_>,
    ) -> Result<Done> {
        let len = at.tile.len();
        let wanted = want.pages()?.clone();
        let within = page_bytes(&wanted, len);
        let mut own = None;
        let out = match want.out {
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
                    return Err(source_changed().at_range(at.offset, to_u64(len)));
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
        let tree = if want.first { Some(proofs.prove(&want.tiles)?) } else { None };
        Ok(Done { shard: want.shard, tile: at.index, proof, tree, residue, payload: own })
    }
}
