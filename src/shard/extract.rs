//! Cutting shards out of a projection, one or many, on one thread or many.
//!
//! A batch is turned round: regions are sorted to the tiles that they touch, and a task is the work
//! on a tile, so that a tile is read and hashed once however many regions touch it, and a large
//! region is spread over all threads.
//!
//! ```text
//! for each tile touched:
//!     one region, whole tile:        read it, hash that copy
//!     chain at hand, few groups:     read the groups, check each against the chain
//!     else:                          read it, hash it group by group, keep its chain
//!     take the wanted pages from the copy that was checked, and the proof beside them
//! ```

use super::{AtlasBoundaryRegion, AtlasShard, Proof, TileShape, region_residue, touched_pages};
use crate::buffer::{Buffer, try_vec};
use crate::chain::{Chain, cut_groups, page_bytes, pages_in, source_changed};
use crate::copy::copy_to_payload;
use crate::digest::{Digest, same};
use crate::error::{AtlasError, Result, check_range};
use crate::geometry::{GROUP_SIZE, TILE_BYTES, to_u64, to_usize};
use crate::hashing::Scratch;
use crate::layer2::Residue;
use crate::merkle::{Merkle, Sibling};
use crate::operation::Operation;
use crate::pool::{self, Executor, Order};
use crate::projection::{AtlasProjection, State};
use crate::sync::lock;
use crate::tree::TileAt;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

/// How a batch is spread over threads. The shards are the same, bit for bit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum ParallelStrategy {
    /// On the calling thread.
    Sequential,
    /// A tile a task, on the operation's pool.
    #[default]
    Default,
    /// So many regions a task, in their order. A tile that two tasks touch is hashed twice, so this
    /// is for regions that lie together and are to be done by one thread.
    Chunked(usize),
    /// A tile a task, those with the most work first.
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

/// What one region wants of one tile.
struct Want<'a> {
    region: usize,
    /// Of the region: the first of its tiles, or the last of several.
    first: bool,
    tiles: Range<u64>,
    pages: Range<u64>,
    /// Where the bytes go; None: into a payload of their own, as the region lies in this tile.
    out: Option<&'a mut [u8]>,
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
        let groups = |want: &Want<'_>| {
            let bytes = page_bytes(&want.pages, self.at.tile.len());
            bytes.end.div_ceil(GROUP_SIZE) - bytes.start / GROUP_SIZE
        };
        self.wants.iter().map(groups).sum()
    }

    fn bytes_wanted(&self) -> u64 {
        self.wants.iter().map(|want| to_u64(page_bytes(&want.pages, self.at.tile.len()).len())).sum()
    }
}

/// A part that was cut and checked.
struct Done {
    region: usize,
    first: bool,
    pages: Vec<Digest>,
    tree: Option<Vec<Sibling>>,
    residue: Residue,
    payload: Option<Buffer>,
}

/// A shard in the making.
#[derive(Default)]
struct Draft {
    first_pages: Vec<Digest>,
    last_pages: Vec<Digest>,
    tree: Vec<Sibling>,
    residue: Residue,
    payload: Option<Buffer>,
}

/// Where a region lies.
struct Span {
    tiles: Range<u64>,
    payload_offset: u64,
    payload_len: usize,
}

impl AtlasProjection {
    /// Cuts one region out: copies its bytes once and verifies the copy.
    ///
    /// WITNESS where the source changed since it was projected, OUT_OF_RANGE outside the domain. A
    /// region of length 0 proves the root alone.
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
        Batch { state: &state, merkle, regions }.extract(options, operation)
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

struct Batch<'b> {
    state: &'b State,
    merkle: &'b Merkle,
    regions: &'b [AtlasBoundaryRegion],
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
        self.run(tasks, memory, options, operation, &mut drafts)?;
        let finished = self.regions.iter().zip(spans).zip(shared.into_iter().zip(drafts));
        finished.map(|((region, span), (shared, draft))| self.finish(region, &span, shared, draft)).collect()
    }

    fn spans(&self) -> Result<Vec<Span>> {
        let tree = &self.state.tree;
        let mut spans = try_vec(self.regions.len())?;
        for (index, region) in (0..).zip(self.regions) {
            check_range(region.offset, region.length, tree.bytes(), "the region")
                .map_err(|error| error.at_index(index))?;
            let mut span = Span { tiles: 0..0, payload_offset: region.offset, payload_len: 0 };
            if region.length > 0 {
                let mut end = 0;
                for at in tree.iter_from_byte(region.offset).take_while(|at| at.offset < region.end()) {
                    let bytes = page_bytes(&touched_pages(region, at.offset, at.tile.len()), at.tile.len());
                    if span.payload_len == 0 {
                        span.tiles = at.index..at.index;
                        span.payload_offset = at.offset + to_u64(bytes.start);
                    }
                    span.payload_len = span.payload_len.checked_add(bytes.len()).ok_or_else(|| {
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
        let payloads = spans.iter().map(|span| to_u64(span.payload_len));
        payloads.fold(0u64, |sum, len| sum.saturating_add(len).saturating_add(each))
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
        for (index, ((region, span), slice)) in self.regions.iter().zip(spans).zip(slices).enumerate() {
            if index > 0 && index % per_chunk == 0 {
                tasks.extend(std::mem::take(&mut tiles).into_values());
                runs.push(to_u64(tasks.len()));
            }
            let mut rest = slice;
            for at in self.state.tree.iter_from_tile(span.tiles.start) {
                if at.index >= span.tiles.end {
                    break;
                }
                let pages = touched_pages(region, at.offset, at.tile.len());
                let len = page_bytes(&pages, at.tile.len()).len();
                let out = match rest.take() {
                    Some(slice) => {
                        let (out, later) = slice.split_at_mut(len);
                        rest = Some(later);
                        Some(out)
                    }
                    None => None,
                };
                let first = at.index == span.tiles.start;
                let want = Want { region: index, first, tiles: span.tiles.clone(), pages, out };
                tiles.entry(at.index).or_insert_with(|| TileWork { at, wants: Vec::new() }).wants.push(want);
            }
        }
        tasks.extend(tiles.into_values());
        if per_chunk < usize::MAX {
            runs.push(to_u64(tasks.len()));
        }
        if strategy == ParallelStrategy::WorkStealing {
            tasks.sort_by_cached_key(|task| std::cmp::Reverse(task.cost()));
        }
        Ok((tasks, runs))
    }

    fn run(
        &self,
        (tasks, runs): (Vec<TileWork<'_>>, Vec<u64>),
        memory: u64,
        options: &ExtractOptions,
        operation: &mut Operation<'_>,
        drafts: &mut [Draft],
    ) -> Result<()> {
        let count = to_u64(tasks.len());
        let bytes: u64 = tasks.iter().map(TileWork::bytes_wanted).sum();
        let cost: usize = tasks.iter().map(TileWork::cost).fold(0, usize::saturating_add);
        let cap = options.max_threads.unwrap_or(usize::MAX).min((cost / pool::TASK_BYTES).max(1));
        let workers = operation.workers(count, TILE_BYTES, memory)?.min(cap);
        let executor = match options.strategy {
            ParallelStrategy::Sequential => Executor::Inline,
            _ => operation.executor,
        };
        let mut tracker = operation.tracker(bytes, count);
        // The lowest region that failed: work on later ones is pointless, on earlier ones it is not,
        // since the first error in the order of the regions is the one to report.
        let lowest = AtomicU64::new(u64::MAX);
        let mut failure: Option<((u64, u64), AtlasError)> = None;
        let tasks: Vec<_> = tasks.into_iter().map(|task| Mutex::new(Some(task))).collect();
        pool::run_within(
            executor,
            workers,
            count,
            Order { window: None, runs: &runs },
            || Ok(Scratch::default()),
            |scratch, index| {
                let Some(work) = lock(&tasks[to_usize(index)]).take() else { return Ok(None) };
                let region = work.wants.iter().map(|want| to_u64(want.region)).min().unwrap_or(u64::MAX);
                if region > lowest.load(Ordering::Relaxed) {
                    return Ok(None);
                }
                let (tile, bytes) = (work.at.index, work.bytes_wanted());
                let result = self.cut(work, scratch);
                // Bytes that only one region wants fail for it alone, others for the first one.
                let failed = result.as_ref().err().and_then(AtlasError::index).unwrap_or(region);
                if result.is_err() {
                    lowest.fetch_min(failed, Ordering::Relaxed);
                }
                Ok(Some(((failed, tile), bytes, result)))
            },
            |_, done| {
                let Some((place, bytes, result)) = done else { return Ok(()) };
                match result {
                    Ok(parts) => parts.into_iter().for_each(|done| drafts[done.region].take(done)),
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

    /// Cuts all wanted parts out of one tile.
    fn cut(&self, work: TileWork<'_>, scratch: &mut Scratch) -> Result<Vec<Done>> {
        let config = &self.state.config;
        let (tile, len) = (work.at.tile, work.at.tile.len());
        let place = |error: AtlasError| error.at_range(work.at.offset, to_u64(len));
        let few = work.groups_wanted() * 2 <= len.div_ceil(GROUP_SIZE);
        let chain = if few { tile.chain() } else { None };
        let mut proofs = TreeProofs { merkle: self.merkle, last: None };
        if let [want] = &work.wants[..]
            && want.pages == (0..pages_in(len))
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
                let mut edges: Vec<usize> =
                    work.wants.iter().flat_map(|want| cut_groups(&want.pages, len)).collect();
                edges.sort_unstable();
                edges.dedup();
                let bytes = scratch.bytes(len)?;
                tile.read(0, bytes)?;
                let (chain, witness, edges) = Chain::of_tile(&config.digests, bytes, &edges);
                if tile.witness().is_none_or(|known| !same(known, &witness)) {
                    return Err(place(source_changed()));
                }
                let chain = Arc::new(chain);
                if len > GROUP_SIZE {
                    config.chains.keep(tile, Arc::clone(&chain));
                }
                Cutter::Checked { chain, edges, bytes }
            }
        };
        let cut = |want: Want<'_>| {
            let region = to_u64(want.region);
            cutter.cut(self, &work.at, want, &mut proofs).map_err(|error| place(error).at_index(region))
        };
        work.wants.into_iter().map(cut).collect()
    }

    fn finish(
        &self,
        region: &AtlasBoundaryRegion,
        span: &Span,
        shared: Option<Buffer>,
        draft: Draft,
    ) -> Result<AtlasShard> {
        let state = self.state;
        let payload = match shared.or(draft.payload) {
            Some(payload) => payload,
            None => Buffer::new(0)?,
        };
        let mut pages = draft.first_pages;
        pages.extend(draft.last_pages);
        let tree = if region.length == 0 { self.merkle.prove(&(0..0))? } else { draft.tree };
        let count = to_usize(span.tiles.end - span.tiles.start);
        let mut tiles = try_vec(count)?;
        tiles.extend(state.tree.iter_from_tile(span.tiles.start).take(count).map(|at| TileShape {
            // A tile has at most 1 MiB.
            len: u32::try_from(at.tile.len()).unwrap_or(u32::MAX),
            residue: at.tile.residue(),
        }));
        let residue = region_residue(draft.residue, &payload, span.payload_offset, region);
        let proof = Proof {
            root: *self.merkle.root(),
            head: state.head(),
            keyed: state.config.digests.keyed(),
            region: *region,
            first_tile: span.tiles.start,
            tiles,
            pages,
            tree,
        };
        let (proof, payload) = (Arc::new(proof), Arc::new(payload));
        Ok(AtlasShard { proof, payload, payload_offset: span.payload_offset, residue })
    }
}

impl Draft {
    fn take(&mut self, done: Done) {
        if done.first {
            self.first_pages = done.pages;
        } else if !done.pages.is_empty() {
            self.last_pages = done.pages;
        }
        if let Some(tree) = done.tree {
            self.tree = tree;
        }
        self.residue = self.residue + done.residue;
        self.payload = self.payload.take().or(done.payload);
    }
}

/// Proofs against the root. Regions in one tile have the same, so that the last one is kept.
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
        let within = page_bytes(&want.pages, len);
        let mut own = None;
        let out = match want.out {
            Some(out) => out,
            None => &mut own.insert(Buffer::new(within.len())?)[..],
        };
        let digests = &batch.state.config.digests;
        let (pages, residue) = match self {
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
                (chain.prove(digests, len, edges, &want.pages)?, Residue::of(part))
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
                (chain.prove(digests, len, &edges, &want.pages)?, Residue::of(out))
            }
        };
        let tree = if want.first { Some(proofs.prove(&want.tiles)?) } else { None };
        Ok(Done { region: want.region, first: want.first, pages, tree, residue, payload: own })
    }
}
