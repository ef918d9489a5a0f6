//! Containers: one file with the generations of a projection. A committed generation survives a crash of the process or
//! the machine.
//!
//! ```text
//! header   slot   slot   batch   batch   …          a batch: a commit record, payload, and the new nodes
//! ```
//!
//! Each commit appends a batch, which never changes. The commit record that begins it names the top node of a
//! stored tile tree, whose other nodes lie in this batch or in earlier batches, so that the cost of a commit
//! depends on the changes and on one path from the top. The chain of commit records is the log (`log`); a slot is
//! a hint to its newest commit. A generation that is read (`store`) begins as a tree without loaded nodes, and
//! each node is checked against its parent when it is loaded. The payload of a tile lies in the file, or in a
//! *base*, which is a source of the caller.
//!
//! docs/container.md has every byte, the order of writes and syncs, and the consequences of each failure.

#![forbid(unsafe_code)]

mod batch;
mod body;
mod compact;
mod damage;
mod encoded;
mod file;
mod filler;
mod import;
mod log;
mod merge;
mod open;
mod planted;
mod records;
mod room;
mod seal;
mod store;
mod tree_writer;
mod unfinished;

#[cfg(test)]
mod tests;

use crate::base::buffer::{try_push, try_vec};
use crate::base::error::{AtlasError, Result};
use crate::base::file_lock;
use crate::base::process::Process;
use crate::base::storage::FileStorage;
use crate::base::sync::lock;
use crate::base::units::{GROUP_SIZE, TILE_BYTES, to_u64, to_usize};
use crate::compression::CompressionConfig;
use crate::exec::operation::Operation;
use crate::hash::digest::{Digest, same};
use crate::layer2::Residue;
use crate::projection::AtlasProjection;
use crate::projection::state::State;
use crate::source::Source;
use crate::tile::context::Context;
use crate::tile::options::{ConservationPolicy, ProjectionType};
use crate::tile::stored::Store;
use crate::tile::tree::{NodeCache, Tree};
use batch::{NewCommit, Unwritten};
use body::BODY_MEMORY;
use encoded::Encoder;
use file::ContainerFile;
use log::Located;
use records::{Commit, MAX_NOTE, MAX_TILES, features};
use seal::{CHAINS, STRICT};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use store::GenerationStore;
use tree_writer::{Chain, TreeWriter};

/// Access of a container handle: reading only, or also writing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ContainerMode {
    /// Reading only. Any number of handles at a time, also beside a handle that writes.
    #[default]
    Read,
    /// Reading and writing. At most one handle per container at a time, in all processes together.
    Write,
}

/// Options of a new container.
#[derive(Clone, Default)]
pub struct ContainerCreateOptions {
    /// Base-2 logarithm of the block size in bytes, 12 to 16; every commit extends the file by a multiple of the block
    /// size. `None` means the block size that the file system reports, at least the page size and at most 64 KiB.
    pub block_log2: Option<u32>,
    /// Stores the inner BLAKE3 digest ("chaining value") of each group of 16 KiB of a tile, 0.2 % of the domain, so
    /// that at most 16 KiB are read to verify a byte. LINEAR only.
    pub keep_chains: bool,
    /// Id of the container. The same calls with the same id write the same bytes. `None` means a random id.
    pub id: Option<[u8; 16]>,
    /// Options of the handle to the new container.
    pub handle: ContainerOptions,
}

/// Options of one handle to a container, given when it is created or opened.
#[derive(Clone)]
pub struct ContainerOptions {
    /// Source of the caller in which bytes of tiles stay. The container refers to them and does not store them.
    pub base: Option<Source>,
    /// Compression of the payload that this handle stores. `None` means that it is stored uncompressed.
    pub compression: Option<CompressionConfig>,
    /// Maximum bytes of memory for cached tree nodes and chaining values, half of it for each. Default 64 MiB.
    pub cache_size: u64,
    /// Opens the newest complete generation if a newer generation is damaged, instead of failing with WITNESS. In mode
    /// `Write`, the newer generations are cut off.
    pub recover: bool,
    /// Expected history digest of the newest generation or of an earlier generation. Opening fails with WITNESS if no
    /// generation has this history, or if only the oldest generation of a compacted container has it and neither a root
    /// nor a key proves that generation.
    pub expected_history: Option<Digest>,
    /// Maximum domain size, in bytes, of a generation that a call reads. A larger generation fails with LIMIT. `None`
    /// means no maximum.
    pub max_domain_size: Option<u64>,
}

/// Default of [`ContainerOptions::cache_size`]: 64 MiB.
pub(crate) const CACHE_SIZE: u64 = 64 << 20;

impl Default for ContainerOptions {
    fn default() -> Self {
        ContainerOptions {
            base: None,
            compression: None,
            cache_size: CACHE_SIZE,
            recover: false,
            expected_history: None,
            max_domain_size: None,
        }
    }
}

/// Options of a commit, an import or a merge: the expected newest generation, and a time and a note to store.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CommitOptions {
    /// Number that the newest generation must have; otherwise the call fails with CONFLICT. 0 allows every number.
    pub expected: u64,
    /// Time to store, in nanoseconds since 1970. 0 means no time. Readers do not interpret it.
    pub time: i64,
    /// Note to store with the generation: any bytes, at most 1,024.
    pub note: Vec<u8>,
}

/// Properties of a container, as [`Container::info`] returns them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ContainerInfo {
    /// Type of the projection, LINEAR or R96: the transformation from the bytes of a tile to its payload.
    pub projection_type: ProjectionType,
    /// K, the number of the 96 classes of an R96 projection that rebuild the data; 0 for LINEAR.
    pub data_classes: u8,
    /// True if the container was created with a key, on which all its digests depend.
    pub keyed: bool,
    /// Requirement on the sum of all bytes of a generation.
    pub conservation: ConservationPolicy,
    /// True if this handle may write.
    pub writable: bool,
    /// True if the container stores the chaining values (inner BLAKE3 digests) of the groups of 16 KiB.
    pub keeps_chains: bool,
    /// Block size in bytes. Every commit extends the file by a multiple of it.
    pub block_size: u64,
    /// Number of the newest generation. 0 means none.
    pub newest: u64,
    /// Number of the oldest kept generation. 0 means none.
    pub oldest: u64,
    /// Number of kept generations.
    pub generation_count: u64,
    /// Number of the newest generation known to have been durable that `recover` did not find. 0 means none.
    pub lost: u64,
    /// Size in bytes of the container file up to the end of the newest generation.
    pub file_size: u64,
    /// Size in bytes of the base to which the newest generation may refer. 0 means no base.
    pub base_size: u64,
    /// Id of the container, which compaction keeps.
    pub id: [u8; 16],
}

/// Properties of a generation, as [`Container::generation`] returns them.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct GenerationInfo {
    /// Number of the generation.
    pub generation: u64,
    /// Number of the previous kept generation. 0 means none.
    pub previous: u64,
    /// Time of the commit, in nanoseconds since 1970, as the committer set it. 0 means no time.
    pub time: i64,
    /// Size of the domain in bytes.
    pub domain_size: u64,
    /// Number of tiles, each of at most 1 MiB.
    pub tile_count: u64,
    /// Sum of all bytes of the domain mod 96, as the file states it. Verified only once all leaves are loaded.
    pub residue: Residue,
    /// Length of the note in bytes.
    pub note_size: u64,
    /// Root of the projection.
    pub root: Digest,
    /// Digest that commits to this generation and to all generations before it.
    pub history: Digest,
}

/// One file with the generations of one projection.
///
/// All methods take `&self` and may run at the same time; methods that change the file wait for one another.
/// After a fork the child may only drop its handle: other calls fail with STATE. Snapshots can still be read in the
/// child.
///
/// ```
/// use atlas_manifold::{
///     CommitOptions, Container, ContainerCreateOptions, Operation, ProjectionDelta, ProjectionOptions,
///     ProjectionType, Source,
/// };
///
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("data.atlas");
/// let operation = &mut Operation::new();
/// let (kind, options) = (ProjectionType::Linear, ProjectionOptions::new());
/// let container = Container::create(&path, kind, &options, &ContainerCreateOptions::default(), operation)?;
/// container.import(&Source::from_vec(vec![7; 3_000_000]), &CommitOptions::default(), operation)?;
///
/// let edited = container.snapshot(0, false, operation)?; // of the newest generation
/// edited.apply_incremental_update(ProjectionDelta::insert(100, b"more"))?;
/// assert_eq!(container.commit(&edited, &CommitOptions::default(), operation)?, 2);
/// assert_eq!(container.generation(1)?.domain_size, 3_000_000);
/// assert_eq!(container.generation(2)?.domain_size, 3_000_004);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Container {
    pub(super) context: Arc<Context>,
    cache: Arc<NodeCache>,
    process: Process,
    options: ContainerOptions,
    /// True if the container was opened with an expected root or history: its snapshots are verified against the root.
    is_proved: bool,
    /// Path of the container file. `None` for a container that was opened from a source.
    path: Option<PathBuf>,
    base: Mutex<Option<Source>>,
    /// Lock held by each call that changes the container file or `log`.
    writing: Mutex<()>,
    log: Mutex<Log>,
}

/// Container file, and the end of its log of commits, as this handle knows them.
#[derive(Clone)]
struct Log {
    file: Arc<ContainerFile>,
    located: Located,
    /// Open file that has the writer's lock. `None` if the handle only reads.
    writer: Option<Arc<FileStorage>>,
    /// True if the slot (the hint to the newest commit) that was written last is not synced yet.
    slot_is_unsynced: bool,
    /// True after a failed commit that left the bytes on the disk unknown, such as after a failed sync.
    is_broken: bool,
}

impl Container {
    fn log(&self) -> Log {
        // Returns a copy, so that no lock is held during the call; two calls may see different tips.
        lock(&self.log).clone()
    }

    fn check_process(&self) -> Result<()> {
        if self.process.is_current() {
            return Ok(());
        }
        // Parent and child share the open file and its lock, so that both could write.
        Err(AtlasError::state(
            "the container was opened in another process: after a fork, open it again in the child",
        ))
    }

    /// Returns a copy of the log. Fails with STATE in a forked child, or after a commit with an unknown outcome.
    fn usable(&self) -> Result<Log> {
        self.check_process()?;
        let log = self.log();
        // After a failed sync the page cache is not trusted. Opening the container again reads the disk.
        if log.is_broken {
            return Err(AtlasError::state(format!(
                "{}: an earlier flush failed, so that nothing more can be committed; open the container \
                 again",
                log.file.path.display()
            )));
        }
        Ok(log)
    }

    /// Returns a copy of the log for a call that changes the file. Fails as [`usable`](Self::usable) does, with STATE
    /// if the handle only reads, and with UNSUPPORTED if the newest generation has features that this version cannot
    /// write.
    fn writable(&self) -> Result<Log> {
        let log = self.usable()?;
        let path = log.file.path.display();
        if log.writer.is_none() {
            return Err(AtlasError::state(format!(
                "{path}: the container was opened only to read; open it with the mode WRITE"
            )));
        }
        // A new commit keeps the features of the tip, so that this library must know all these features.
        if let Some(tip) = &log.located.tip
            && (tip.read_only_features != 0 || tip.features & !features::KNOWN != 0)
        {
            return Err(AtlasError::unsupported(format!(
                "{path}: generation {} has features {:#x} and read-only features {:#x}, some of a newer \
                 version: the container cannot be changed",
                tip.generation, tip.features, tip.read_only_features
            )));
        }
        Ok(log)
    }

    /// Returns the properties of the container.
    pub fn info(&self) -> Result<ContainerInfo> {
        self.check_process()?;
        let log = self.log();
        let (file, tip) = (&log.file, log.located.tip.as_ref());
        // The oldest commit lies at the beginning of the file; if it is damaged, 0 is reported.
        let oldest = match tip {
            Some(_) => log::oldest(file).map_or(0, |oldest| oldest.generation),
            None => 0,
        };
        Ok(ContainerInfo {
            projection_type: file.ident.kind(),
            data_classes: file.ident.data_classes(),
            keyed: file.seals.is_keyed(),
            conservation: self.context.policy,
            writable: log.writer.is_some(),
            keeps_chains: file.ident.has(CHAINS),
            block_size: file.block(),
            newest: tip.map_or(0, |tip| tip.generation),
            oldest,
            generation_count: tip.map_or(0, |tip| tip.ordinal + 1),
            lost: log.located.lost,
            file_size: log.located.end(file),
            base_size: tip.map_or(0, |tip| tip.base_size),
            id: file.ident.id,
        })
    }

    /// Returns the properties of a generation; 0 means the newest. Fails with OUT_OF_RANGE if it is not kept.
    pub fn generation(&self, generation: u64) -> Result<GenerationInfo> {
        self.check_process()?;
        let log = self.log();
        let commit = log::find(&log.file, log.located.tip.as_ref(), generation)?;
        Ok(GenerationInfo {
            generation: commit.generation,
            previous: commit.previous_generation,
            time: commit.time,
            domain_size: commit.size,
            tile_count: commit.tiles,
            residue: commit.top.as_ref().map_or(Residue::ZERO, |top| top.residue),
            note_size: to_u64(commit.note.len()),
            root: commit.root,
            history: commit.history,
        })
    }

    /// Returns the note of a generation; 0 means the newest. Fails with OUT_OF_RANGE if it is not kept.
    pub fn note(&self, generation: u64) -> Result<Vec<u8>> {
        self.check_process()?;
        let log = self.log();
        Ok(log::find(&log.file, log.located.tip.as_ref(), generation)?.note)
    }

    /// Returns a projection of a generation, in O(1). 0 means the newest, or the empty domain if there is
    /// none. Nodes are loaded on demand.
    ///
    /// With `verify_reads`, bytes of [`AtlasProjection::read`] are checked against their witnesses. The
    /// projection keeps the base that is attached now. Fails with OUT_OF_RANGE, UNSUPPORTED, LIMIT,
    /// CONSERVATION and the errors of loading.
    pub fn snapshot(
        &self,
        generation: u64,
        verify_reads: bool,
        operation: &mut Operation<'_>,
    ) -> Result<AtlasProjection> {
        operation.executor.check()?;
        let log = self.usable()?;
        // A new container has the empty domain, which no commit describes.
        if generation == 0 && log.located.tip.is_none() {
            return AtlasProjection::from_fresh(Arc::clone(&self.context), Tree::default());
        }
        let commit = log::find(&log.file, log.located.tip.as_ref(), generation)?;
        // Limits and features are checked before any node is loaded.
        self.check_commit(&log.file, &commit)?;
        let state = self.state(&log.file, &commit)?;
        // A tree whose top does not lead to the root is proved by all leaves.
        if self.is_proved && !state.tree.is_regular() {
            state.hash(operation, 0)?;
        }
        Ok(AtlasProjection::from_stored(state, verify_reads))
    }

    /// Returns the state of a generation, whose tree is loaded on demand, over the base that is attached now.
    fn state(&self, file: &Arc<ContainerFile>, commit: &Commit) -> Result<State> {
        let tree = match &commit.top {
            None => Tree::default(),
            Some(top) => {
                let base = lock(&self.base).clone();
                let store = GenerationStore::new(file, commit, base, &self.context, &self.cache)?;
                let store: Arc<dyn Store> = Arc::new(store);
                // Nothing is loaded here: the top is known from the commit.
                Tree::of_store(&store, *top, self.leads_to_root(commit))
            }
        };
        Ok(State::stored(Arc::clone(&self.context), tree, commit.root))
    }

    /// Returns true if a generation's root follows from the digest of its top node alone. The root then proves each
    /// node that is loaded.
    fn leads_to_root(&self, commit: &Commit) -> bool {
        let Some(top) = &commit.top else { return true };
        let scheme = &self.context.scheme;
        // If the equation holds, the root proves every node that is loaded ("top" in docs/container.md).
        let root = scheme.root_kind().header(commit.size, commit.tiles).root(scheme.digests(), &top.top);
        same(&root, &commit.root)
    }

    /// Fails for a generation that cannot be read: UNSUPPORTED for unknown features or too many tiles, LIMIT above
    /// `max_domain_size`, CONSERVATION for a sum other than 0 mod 96 in a STRICT container.
    fn check_commit(&self, file: &ContainerFile, commit: &Commit) -> Result<()> {
        let generation = commit.generation;
        // Features that this version does not know could change the meaning of the tree.
        if commit.features & !features::KNOWN != 0 {
            return Err(AtlasError::unsupported(format!(
                "{}: generation {generation} has features {:#x}, and this version of the library knows \
                 only {:#x}",
                file.path.display(),
                commit.features,
                features::KNOWN
            )));
        }
        // Limits of the format, then of the caller.
        if commit.tiles > MAX_TILES {
            return Err(AtlasError::unsupported(format!(
                "generation {generation} has {} tiles, more than the limit of 2^44 that this library \
                 supports",
                commit.tiles
            )));
        }
        if let Some(limit) = self.options.max_domain_size.filter(|limit| commit.size > *limit) {
            return Err(AtlasError::limit(format!(
                "generation {generation} has {} bytes, more than the limit max_domain_size {limit}: set a \
                 larger limit",
                commit.size
            )));
        }
        // The policy STRICT applies to every generation.
        let residue = commit.top.as_ref().map_or(Residue::ZERO, |top| top.residue);
        if file.ident.has(STRICT) && residue != Residue::ZERO {
            return Err(AtlasError::conservation(format!(
                "generation {generation} sums to {residue} mod 96, and the container is STRICT, which \
                 requires 0"
            )));
        }
        Ok(())
    }

    /// Attaches another base, the source in which bytes of tiles stay, for later calls. `None` detaches it. Nothing is
    /// read, and existing snapshots keep their base.
    pub fn set_base(&self, base: Option<&Source>) -> Result<()> {
        self.usable()?;
        let before = std::mem::replace(&mut *lock(&self.base), base.cloned());
        // The old source is dropped after the lock is released, because dropping it may run the caller's
        // code.
        drop(before);
        Ok(())
    }

    /// Stores the parts of a projection that are not stored yet and makes it the newest generation, durable on
    /// return.
    ///
    /// Returns the generation's number. The projection may be edited during the call. Fails with
    /// INVALID_ARGUMENT if type, K, key or policy differ, CONFLICT if `options.expected` is not the newest
    /// generation, CONSERVATION if the policy is STRICT and the sum is not 0 mod 96, WITNESS if a source
    /// changed, IO. After these errors nothing is committed, except if a flush failed, or if a failed batch
    /// could not be cut off: the outcome is then unknown until the container is opened again, and calls on
    /// this handle other than [`info`](Self::info), [`generation`](Self::generation) and [`note`](Self::note)
    /// fail with STATE.
    pub fn commit(
        &self,
        projection: &AtlasProjection,
        options: &CommitOptions,
        operation: &mut Operation<'_>,
    ) -> Result<u64> {
        self.change(options, |log| {
            // A snapshot of the projection: edits during the call are not in the commit.
            let state = projection.state();
            // Cheap refusals come before the hashing.
            self.check_kind(&state.context)?;
            let bytes = state.tree.bytes();
            if bytes >= 1 << 63 || state.tree.tiles() > MAX_TILES {
                return Err(AtlasError::limit(format!(
                    "a domain of {bytes} bytes is too large: a container has at most 2^63 - 1 bytes in \
                     2^44 tiles"
                ))
                .into());
            }
            self.check_sum(state.tree.residue())?;
            // Step 1 of "Commit": all edited tiles get witnesses, and sources in them are checked.
            let root =
                operation.before(bytes, state.tree.tiles(), |operation| state.root_before(operation))?;
            // A tree that is too high for the format is rebuilt from the left.
            let tree = if state.tree.height() > records::MAX_HEIGHT {
                let mut tiles = try_vec(to_usize(state.tree.tiles()))?;
                for at in state.tree.iter() {
                    try_push(&mut tiles, at?.tile)?;
                }
                Tree::from_tiles(tiles)?
            } else {
                state.tree.clone()
            };
            // The base that is attached now is used for the whole commit.
            let base = lock(&self.base).clone();
            // The batch, a tile that is assembled, a reader with a checked tile, and an encoder with a record.
            let encoding = match &self.options.compression {
                Some(config) => Encoder::footprint(config)? + TILE_BYTES,
                None => 0,
            };
            let fixed = BODY_MEMORY
                + 2 * TILE_BYTES
                + 2 * to_u64(GROUP_SIZE)
                + self.context.scheme.workspace()
                + self.context.reading()
                + encoding;
            operation.reserve(fixed)?;
            let room = operation.memory_left(fixed);
            let mut encoder = self.encoder()?;
            let file = Arc::clone(&log.file);
            // Parts that an earlier commit in the chain stored keep their places ("Places").
            let chain = Chain::new(&file, log.located.tip.as_ref());
            let mut tracker = operation.tracker(bytes, state.tree.tiles());
            let laid = batch::lay_out(&file, &log.located, options.note.len(), |body, is_large| {
                // The records of a small batch that becomes too large are laid out again in a large batch.
                let mut quiet = |_| Ok(());
                let mut reported = |bytes| tracker.advance(bytes, 1);
                let progress: &mut dyn FnMut(u64) -> Result<()> =
                    if is_large { &mut reported } else { &mut quiet };
                let mut writer =
                    TreeWriter::new(&chain, &self.context, base.as_ref(), encoder.as_mut(), body, progress);
                writer.places.room = room;
                let top = writer.tree(&tree)?;
                let TreeWriter { body, places, base_size, .. } = writer;
                Ok((body, (top, places, base_size)))
            });
            let (body, (top, places, base_size)) =
                // A large body was written to the file, and is cut off after an error.
                laid.map_err(|error| batch::undo(&file, &log.located, error))?;
            // The chain is dropped now, because it borrows the tip, which the commit replaces.
            drop(chain);
            tracker.finish().map_err(|error| batch::undo(&file, &log.located, error))?;
            // The address space covers the attached base and the bases of all parts that were taken over.
            let base_size = base_size.max(base.as_ref().map_or(0, Source::size));
            let new = NewCommit { time: options.time, note: options.note.clone(), base_size, root, top };
            let commit = batch::commit(&file, &mut log.located, body, new, None)?;
            // The places are valid now, so that the next commit of this projection does not write them again.
            places.remember(&Arc::new(commit.id()), commit.end);
            Ok(commit.generation)
        })
    }

    /// Runs `change`, which adds a generation to the file, while no other change runs. Checks first `options`, and that
    /// no other program wrote to the file. Keeps the new end of the log and returns the generation's number.
    fn change(
        &self,
        options: &CommitOptions,
        change: impl FnOnce(&mut Log) -> std::result::Result<u64, Unwritten>,
    ) -> Result<u64> {
        // One change at a time; readers of the handle do not wait.
        let _one = lock(&self.writing);
        let mut log = self.writable()?;
        if options.note.len() > MAX_NOTE {
            return Err(AtlasError::invalid_argument(format!(
                "a note of {} bytes is longer than {MAX_NOTE}",
                options.note.len()
            )));
        }
        // The newest generation must be the expected generation.
        let newest = log.located.tip.as_ref().map_or(0, |tip| tip.generation);
        if options.expected != 0 && options.expected != newest {
            return Err(AtlasError::conflict(format!(
                "`expected` is generation {}, and the newest is {newest}: look at that generation, and \
                 commit again",
                options.expected
            )));
        }
        // No other process may have written since the last commit.
        batch::check_fence(&log.file, &log.located)?;
        // The change works on a copy of the log; `self.log` stays as it was if it fails.
        let result = change(&mut log);
        // The new tip is published. After an unknown outcome the handle refuses further changes.
        let mut now = lock(&self.log);
        match result {
            Ok(generation) => {
                now.located = log.located;
                now.slot_is_unsynced = true;
                Ok(generation)
            }
            Err(Unwritten { error, outcome_is_open }) => {
                now.is_broken |= outcome_is_open;
                Err(error)
            }
        }
    }

    /// Fails with INVALID_ARGUMENT if a projection has another type, K, key or policy than the container.
    fn check_kind(&self, other: &Context) -> Result<()> {
        let (own, other_scheme) = (&self.context.scheme, &other.scheme);
        let refused = |what: &str| {
            Err(AtlasError::invalid_argument(format!("the projection has another {what} than the container")))
        };
        // Type, K and key determine the witnesses and the root.
        if own.kind() != other_scheme.kind() {
            return refused("type");
        }
        if own.data_classes() != other_scheme.data_classes() {
            return refused("K");
        }
        if !own.digests().is_same(other_scheme.digests()) {
            return refused("key");
        }
        // The policy must agree, because the file has only one policy.
        if self.context.policy != other.policy {
            return refused("conservation policy");
        }
        Ok(())
    }

    fn check_sum(&self, residue: Residue) -> Result<()> {
        if self.context.policy == ConservationPolicy::Strict && residue != Residue::ZERO {
            return Err(AtlasError::conservation(format!(
                "the domain sums to {residue} mod 96, and the container is STRICT, which requires 0: add \
                 bytes that sum to {}",
                residue.correction()
            )));
        }
        Ok(())
    }

    fn encoder(&self) -> Result<Option<Encoder>> {
        self.options.compression.as_ref().map(Encoder::new).transpose()
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        // A forked child only closes the file and touches no lock.
        if !self.process.is_current() {
            return;
        }
        let log = self.log();
        // Only a handle that writes has a lock and a slot to sync.
        if let Some(writer) = &log.writer {
            if log.slot_is_unsynced && !log.is_broken {
                // The generation is durable in any case. A durable slot only saves the next opening a search.
                let _ = log.file.storage.sync_data();
            }
            // Snapshots share the open file, which would keep the lock.
            file_lock::unlock(writer.file());
        }
    }
}

impl std::fmt::Debug for Container {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let log = self.log();
        f.debug_struct("Container")
            .field("path", &log.file.path)
            .field("newest", &log.located.tip.as_ref().map_or(0, |tip| tip.generation))
            .finish()
    }
}
