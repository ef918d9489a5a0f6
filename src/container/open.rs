//! Creating and opening container files (docs/container.md, "Open").

use super::file::ContainerFile;
use super::log::{self, Located, Until};
use super::planted::{Planted, planted};
use super::records::{self, Slot};
use super::seal::{CHAINS, Ident, KEYED, STRICT, Seals};
use super::unfinished::Unfinished;
use super::{Container, ContainerCreateOptions, ContainerMode, ContainerOptions, Log, batch};
use crate::base::buffer::{Buffer, is_zero};
use crate::base::descriptor;
use crate::base::error::{AtlasError, ErrorKind, Result};
use crate::base::file_lock::{self, Locked};
use crate::base::out_bytes::OutBytes;
use crate::base::process::Process;
use crate::base::storage::{FileStorage, Storage};
use crate::base::sync::lock;
use crate::base::units::{PAGE_BYTES, PAGE_SIZE, TILE_BYTES, to_u64, to_usize};
use crate::exec::operation::Operation;
use crate::hash::digest::{hex, same};
use crate::shard::VerifyOptions;
use crate::source::{Source, SourceStorage};
use crate::tile::context::Context;
use crate::tile::options::{ConservationPolicy, ProjectionOptions, ProjectionType};
use crate::tile::outboards::OutboardCache;
use crate::tile::tree::NodeCache;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Returns a handle's caches for tree nodes and for chaining values of tiles, each with half of `cache_size` bytes.
pub(super) fn caches(cache_size: u64) -> (NodeCache, OutboardCache) {
    (NodeCache::new(cache_size / 2), OutboardCache::within(cache_size / 2))
}

/// Begins the container file `path`, without a generation, with the type, K and flags of `like`. Returns its log, and the
/// file that is still to be named.
pub(super) fn new_log(
    path: &Path,
    create: &ContainerCreateOptions,
    like: &Ident,
    seals: Seals,
) -> Result<(Log, Unfinished)> {
    // Refuse unusable options before the file is made.
    if let Some(config) = &create.handle.compression {
        super::Encoder::new(config)?;
    }
    let block_code = create.block_log2.map(block_code).transpose()?;
    let failed = |what: &str, error| AtlasError::io(format_args!("{what} {}", path.display()), error);
    let unfinished = Unfinished::create(path)?;
    let block_code = match block_code {
        Some(code) => code,
        None => block_for(unfinished.writer().file())
            .map_err(|error| failed("reading the block size of", error))?,
    };
    // A given id makes the salt and so the whole file reproducible.
    let (id, salt) = match create.id {
        Some(id) => (id, Ident::derived_salt(&id)),
        None => (random()?, random()?),
    };
    let file = write_empty(unfinished.storage(), path, like.of_file(id, salt, block_code), seals)?;
    let writer = Arc::clone(unfinished.writer());
    // The log of an empty container.
    let log = Log {
        file: Arc::new(file),
        located: Located { is_confirmed: true, ..Located::default() },
        writer: Some(writer),
        slot_is_unsynced: false,
        is_broken: false,
    };
    Ok((log, unfinished))
}

/// Returns true if a file has only zeros, and at most the 192 KiB of an empty container: the process that created it
/// died before it wrote the header.
pub(super) fn is_blank(storage: &dyn Storage) -> bool {
    const EMPTY_CONTAINER: u64 = 3 << 16;
    // The largest header and slots are 3 blocks of 64 KiB; a longer file is not read.
    let Some(len) = storage.len().ok().filter(|len| *len <= EMPTY_CONTAINER) else { return false };
    let (mut block, mut at) = ([1; PAGE_SIZE], 0);
    while at < len {
        let bytes = &mut block[..to_usize((len - at).min(PAGE_BYTES))];
        if storage.read_at(at, OutBytes::new(bytes)).is_err() || !is_zero(bytes) {
            return false;
        }
        at += to_u64(bytes.len());
    }
    true
}

pub(super) fn is_blank_file(path: &Path) -> bool {
    open_file(path, ContainerMode::Read).is_ok_and(|(file, _)| is_blank(&*file))
}

/// Returns 16 random bytes from the operating system.
pub(super) fn random() -> Result<[u8; 16]> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| {
        AtlasError::io("asking the system for random bytes", std::io::Error::other(error.to_string()))
    })?;
    Ok(bytes)
}

/// Number of bytes of memory that locating the newest generation uses: the end of a batch, of which the digest is
/// computed, and records.
const LOCATING: u64 = TILE_BYTES + 64 * 1024;

impl Container {
    /// Creates a container file without a generation, durable on return, and returns a handle that may write.
    ///
    /// Fails with IO (EEXIST) if a file of that name exists, INVALID_ARGUMENT for options that do not fit, UNSUPPORTED
    /// if the file system keeps no lock.
    pub fn create(
        path: impl AsRef<Path>,
        projection_type: ProjectionType,
        options: &ProjectionOptions,
        create: &ContainerCreateOptions,
        operation: &mut Operation<'_>,
    ) -> Result<Container> {
        operation.executor.check()?;
        let path = path.as_ref();
        // Type, K and policy are checked with the context, before the file exists.
        let (cache, outboards) = caches(create.handle.cache_size);
        let context = Context::with_outboards(projection_type, options, outboards)?;
        if create.keep_chains && projection_type != ProjectionType::Linear {
            return Err(AtlasError::invalid_argument(
                "keep_chains is set, and only a container of a LINEAR projection can have chaining values",
            ));
        }
        // The flags of the header, which no later call changes.
        let flag = |is_set: bool, flag: u8| if is_set { flag } else { 0 };
        let flags = flag(options.key.is_some(), KEYED)
            | flag(options.policy == ConservationPolicy::Strict, STRICT)
            | flag(create.keep_chains, CHAINS);
        let classes = context.scheme.data_classes();
        // Id, salt and block size are zero here; they are chosen when the file is made.
        let like = Ident::new([0; 16], [0; 16], 0, projection_type, classes, flags);
        let (log, unfinished) = new_log(path, create, &like, Seals::new(options.key.as_deref()))?;
        unfinished.name_new()?;
        let path = Some(path.to_owned());
        Ok(Container::of(log, context, Arc::new(cache), path, create.handle.clone(), false))
    }

    /// Opens a container. `verify` has the key, and the root of the newest generation if it is known.
    ///
    /// Reads the header, the slots and the newest commit records, whatever the size of the file. Fails with FORMAT if
    /// the file is no container, WITNESS if key, root or history differ or durable data is missing, UNSUPPORTED for a
    /// newer version, LIMIT if the newest generation is too large, IO. In mode `Write` also fails with STATE if another
    /// handle writes (`os_error` EAGAIN), and UNSUPPORTED if the file system keeps no lock.
    pub fn open(
        path: impl AsRef<Path>,
        mode: ContainerMode,
        verify: &VerifyOptions,
        options: &ContainerOptions,
        operation: &mut Operation<'_>,
    ) -> Result<Container> {
        operation.executor.check()?;
        operation.reserve(LOCATING)?;
        let path = path.as_ref();
        // A writer takes the lock before it reads anything.
        let (file, writer) = open_file(path, mode)?;
        let key = verify.key.as_deref();
        // Locate the newest generation. A failure releases the lock.
        let opened = (|| {
            let storage: Arc<dyn Storage> = Arc::clone(&file) as Arc<dyn Storage>;
            let file = ContainerFile::open(storage, path, key)?;
            let located = match mode {
                ContainerMode::Read => locate_to_read(&file, options.recover)?,
                ContainerMode::Write => locate_to_write(&file, options.recover)?,
            };
            Ok((file, located))
        })();
        // The lock is released explicitly, because it stays after a close if another handle has the file
        // open.
        let unlock = |_: &AtlasError| {
            if let Some(writer) = &writer {
                file_lock::unlock(writer.file());
            }
        };
        let (file, located) = opened.inspect_err(unlock)?;
        let log = Log {
            file: Arc::new(file),
            located,
            writer: writer.clone(),
            slot_is_unsynced: false,
            is_broken: false,
        };
        // Type, K and flags come from the header.
        let (context, cache) = context_of(&log.file, key, options.cache_size)?;
        let is_proved = verify.expected_root.is_some() || options.expected_history.is_some();
        let container = Container::of(log, context, cache, Some(path.to_owned()), options.clone(), is_proved);
        // If the check fails, dropping the handle releases the lock.
        container.check_expected(verify, options, operation)?;
        Ok(container)
    }

    /// Opens a container whose bytes any source supplies, for reading only.
    pub fn open_source(
        source: &Source,
        verify: &VerifyOptions,
        options: &ContainerOptions,
        operation: &mut Operation<'_>,
    ) -> Result<Container> {
        operation.executor.check()?;
        operation.reserve(LOCATING)?;
        let storage: Arc<dyn Storage> = Arc::new(SourceStorage::new(source.clone()));
        let key = verify.key.as_deref();
        let file = ContainerFile::open(storage, Path::new(&source.name()), key)?;
        let located = locate_to_read(&file, options.recover)?;
        let log =
            Log { file: Arc::new(file), located, writer: None, slot_is_unsynced: false, is_broken: false };
        let (context, cache) = context_of(&log.file, key, options.cache_size)?;
        let is_proved = verify.expected_root.is_some() || options.expected_history.is_some();
        let container = Container::of(log, context, cache, None, options.clone(), is_proved);
        container.check_expected(verify, options, operation)?;
        Ok(container)
    }

    /// Opens a container whose bytes lie in any storage, for tests that simulate a disk.
    #[cfg(test)]
    pub(crate) fn on_storage(
        storage: Arc<dyn Storage>,
        mode: ContainerMode,
        options: &ContainerOptions,
    ) -> Result<Container> {
        let file = ContainerFile::open(storage, Path::new("simulated"), None)?;
        let located = match mode {
            ContainerMode::Read => locate_to_read(&file, options.recover)?,
            ContainerMode::Write => locate_to_write(&file, options.recover)?,
        };
        let writer = match mode {
            ContainerMode::Read => None,
            ContainerMode::Write => Some(Arc::new(FileStorage::new(
                tempfile::tempfile().map_err(|error| AtlasError::io("creating a temporary file", error))?,
            ))),
        };
        let log = Log { file: Arc::new(file), located, writer, slot_is_unsynced: false, is_broken: false };
        let (context, cache) = context_of(&log.file, None, options.cache_size)?;
        Ok(Container::of(log, context, cache, None, options.clone(), false))
    }

    pub(super) fn of(
        log: Log,
        context: Arc<Context>,
        cache: Arc<NodeCache>,
        path: Option<PathBuf>,
        options: ContainerOptions,
        is_proved: bool,
    ) -> Container {
        Container {
            context,
            cache,
            process: Process::current(),
            base: Mutex::new(options.base.clone()),
            options,
            is_proved,
            path,
            writing: Mutex::new(()),
            log: Mutex::new(log),
        }
    }

    /// Checks a container that was just opened: the compression settings, the maximum domain size (LIMIT), and the
    /// caller's expected root and history (WITNESS).
    fn check_expected(
        &self,
        verify: &VerifyOptions,
        options: &ContainerOptions,
        operation: &mut Operation<'_>,
    ) -> Result<()> {
        // A configuration that cannot be used is refused at opening, not at the first commit.
        if let Some(config) = &options.compression {
            super::Encoder::new(config)?;
        }
        let log = self.log();
        let tip = log.located.tip.as_ref();
        // The size of the newest generation is bounded before any tree is loaded.
        if let (Some(tip), Some(limit)) = (tip, options.max_domain_size)
            && tip.size > limit
        {
            return Err(AtlasError::limit(format!(
                "generation {} has {} bytes, more than the limit max_domain_size {limit}: set a larger limit",
                tip.generation, tip.size
            )));
        }
        // The root is compared with the root in the commit, without reading the tree.
        if let Some(expected) = &verify.expected_root {
            let found = match tip {
                Some(tip) => tip.root,
                // Without a generation the domain is empty, and its root is computed.
                None => self.snapshot(0, false, operation)?.root(operation)?,
            };
            if !same(expected, &found) {
                return Err(AtlasError::witness(format!(
                    "the newest generation has the root {} instead of the expected {}",
                    hex(&found),
                    hex(expected)
                )));
            }
        }
        // Search back for the expected history, then prove the chain from there on.
        if let Some(expected) = &options.expected_history {
            let mut at = tip.cloned();
            while let Some(commit) = &at {
                if same(&commit.history, expected) {
                    let is_proven = verify.expected_root.is_some() || log.file.seals.is_keyed();
                    return self.check_histories(&log.file, tip, commit, is_proven);
                }
                at = log::before(&log.file, commit)?;
            }
            return Err(AtlasError::witness(format!(
                "{}: no generation has the expected history {}: this is another container, or a \
                 compaction removed that generation",
                log.file.path.display(),
                hex(expected)
            )));
        }
        Ok(())
    }

    /// Recomputes the history digests from the newest generation back to `known`, whose history the caller knows. This
    /// proves the root of `known`, and that the newest generation grew from it.
    ///
    /// If `known` is the oldest generation of a compacted file, its history depends on commits that were dropped,
    /// cannot be recomputed and proves nothing. The call then fails with WITNESS, unless `is_proven` is set: an
    /// expected root, or the key of the container, proves that generation instead.
    fn check_histories(
        &self,
        file: &ContainerFile,
        tip: Option<&records::Commit>,
        known: &records::Commit,
        is_proven: bool,
    ) -> Result<()> {
        // The walk goes from the newest commit back to the known commit, which is checked too.
        let mut at = tip.cloned();
        while let Some(commit) = at.filter(|commit| commit.ordinal >= known.ordinal) {
            let generation = commit.generation;
            // Full seals prove the links between commits, so that only the histories are compared.
            let before = log::before(file, &commit)?;
            // The history before the oldest kept generation is unknown, so that nothing can be compared.
            if before.is_none() && generation != 1 {
                if is_proven {
                    break;
                }
                return Err(AtlasError::witness(format!(
                    "expected_history is the history of generation {generation}, the oldest after a \
                     compaction, and cannot prove the bytes of this generation: give expected_root too, or \
                     the history of a later generation"
                )));
            }
            // The first generation has no history before it.
            let history = before.as_ref().map(|before| before.history);
            let found = records::history_of(&file.seals, &file.ident, history.as_ref(), &commit);
            if !same(&found, &commit.history) {
                return Err(AtlasError::witness(format!(
                    "the container is damaged: the history of generation {generation} does not follow from \
                     that of the previous generation"
                )));
            }
            at = before;
        }
        Ok(())
    }

    /// Looks for newer generations, in the file that the path names now. Returns the number of the newest generation.
    ///
    /// Fails with STATE if that file lacks the generation that was the newest for this handle: open the container
    /// again. A handle that writes knows all generations, so that the call does not read the file.
    pub fn refresh(&self, operation: &mut Operation<'_>) -> Result<u64> {
        operation.executor.check()?;
        // A refresh changes the log of the handle, like a commit.
        let _one = lock(&self.writing);
        let mut log = self.usable()?;
        let newest = |log: &Log| log.located.tip.as_ref().map_or(0, |tip| tip.generation);
        // A writer has the newest generation already.
        if log.writer.is_some() {
            return Ok(newest(&log));
        }
        operation.reserve(LOCATING)?;
        // The path may name another file after a compaction.
        let is_another = match &self.path {
            Some(path) => {
                let (file, _) = open_file(path, ContainerMode::Read)?;
                (file.identity() != log.file.storage.identity()).then_some(file)
            }
            None => None,
        };
        if let Some(storage) = &is_another {
            let storage: Arc<dyn Storage> = Arc::clone(storage) as Arc<dyn Storage>;
            let file = ContainerFile::open_like(storage, &log.file)?;
            log.file = Arc::new(file);
        }
        // Locate again. An older result from the disk does not replace a newer generation that is known
        // already.
        let mut located = locate_to_read(&log.file, self.options.recover)?;
        if is_another.is_none() && self.is_ahead(&log, &located)? {
            located = log.located.clone();
        }
        if let Some(before) = &log.located.tip {
            // In another file the generation is identified by number and history, in the same file by number
            // and seal.
            let is_there = match log::find(&log.file, located.tip.as_ref(), before.generation) {
                Ok(found) if is_another.is_some() => same(&found.history, &before.history),
                Ok(found) => same(&found.seal, &before.seal),
                // These say nothing of the file.
                Err(error) if matches!(error.kind(), ErrorKind::OutOfMemory | ErrorKind::Io) => {
                    return Err(error);
                }
                Err(_) => false,
            };
            if !is_there {
                return Err(AtlasError::state(format!(
                    "{}: generation {}, to which this handle refers, is no longer in the file; open it again",
                    log.file.path.display(),
                    before.generation
                )));
            }
        }
        // The handle changes only if everything succeeded.
        log.located = located;
        let generation = newest(&log);
        // Existing snapshots keep the file from which they were taken.
        *lock(&self.log) = log;
        Ok(generation)
    }

    /// Returns true if the handle knows a newer generation than `located`, the result of a new search of the file, and
    /// the file still has it.
    ///
    /// This happens if no slot confirms the generation yet and the bytes on the disk cannot be read this time. The
    /// generation was on the disk before, and durable bytes are never overwritten.
    fn is_ahead(&self, log: &Log, located: &Located) -> Result<bool> {
        let Some(known) = &log.located.tip else { return Ok(false) };
        if located.tip.as_ref().is_some_and(|tip| tip.generation >= known.generation) {
            return Ok(false);
        }
        // If a recovery has cut the generation off, the handle is not ahead.
        Ok(log.file.commit_at(known.offset)?.is_some_and(|found| same(&found.seal, &known.seal)))
    }
}

/// Returns the projection context and the node cache for an opened container. The node cache and the context's cache
/// of chaining values use half of `cache_size` bytes each.
fn context_of(
    file: &ContainerFile,
    key: Option<&[u8; 32]>,
    cache_size: u64,
) -> Result<(Arc<Context>, Arc<NodeCache>)> {
    // The header determines everything except the key, which the caller passes.
    let policy = if file.ident.has(STRICT) { ConservationPolicy::Strict } else { ConservationPolicy::Track };
    let mut options = ProjectionOptions::new().with_conservation(policy);
    if let Some(key) = key {
        options = options.with_key(key);
    }
    if file.ident.data_classes() > 0 {
        options = options.with_data_classes(file.ident.data_classes());
    }
    let (cache, outboards) = caches(cache_size);
    Ok((Context::with_outboards(file.ident.kind(), &options, outboards)?, Arc::new(cache)))
}

fn block_code(log2: u32) -> Result<u8> {
    match log2 {
        // 0 to 4.
        12..=16 => Ok(u8::try_from(log2 - 12).unwrap_or(0)),
        _ => Err(AtlasError::invalid_argument(format!("block_log2 {log2} is outside 12..=16"))),
    }
}

/// Returns the code of the block size for a new file, 0 for 4 KiB to 4 for 64 KiB: the larger of the system's page and
/// the file system's block, at most 64 KiB.
fn block_for(file: &File) -> std::io::Result<u8> {
    let metadata = file.metadata()?;
    // Some network file systems report blocks of 1 MiB.
    #[cfg(unix)]
    let block = std::os::unix::fs::MetadataExt::blksize(&metadata)
        .min(64 * 1024)
        .max(crate::base::storage::page_size());
    #[cfg(not(unix))]
    let (_, block) = (metadata, 4_096_u64);
    // Rounded down to a power of two.
    Ok(u8::try_from(block.ilog2().clamp(12, 16) - 12).unwrap_or(0))
}

/// Writes a header and two empty slots to `storage`, durable on return. Returns the new container file.
pub(super) fn write_empty(
    storage: Arc<dyn Storage>,
    path: &Path,
    ident: Ident,
    seals: Seals,
) -> Result<ContainerFile> {
    // Slots that were never written are all zero.
    let mut bytes = Buffer::zeros(to_usize(3 * ident.block()))?;
    bytes[..records::HEADER_SIZE].copy_from_slice(&records::header(&seals, &ident));
    let failed = |what: &str, error| AtlasError::io(format_args!("{what} {}", path.display()), error);
    storage.write_at(0, &bytes).map_err(|error| failed("writing the header of", error))?;
    // The header must be durable before the first commit, which depends on it.
    storage.sync().map_err(|error| failed("flushing", error))?;
    Ok(ContainerFile {
        storage,
        path: path.to_owned(),
        ident,
        seals,
        header_damaged: false,
        sync_failed: AtomicBool::default(),
        process: Process::current(),
    })
}

/// Takes the writer's lock on `file`, which is open for writing and `again` opens a second time. Returns false, and takes
/// no lock, if `again` opens another file. Fails with STATE if another handle has the lock, UNSUPPORTED if the file system
/// keeps no lock.
pub(super) fn lock_writer(
    file: &File,
    path: &Path,
    again: impl FnOnce() -> std::io::Result<File>,
) -> Result<bool> {
    let failed = |error| AtlasError::io(format_args!("locking {}", path.display()), error);
    match file_lock::lock(file, again).map_err(failed)? {
        Locked::Yes => Ok(true),
        Locked::Replaced => Ok(false),
        Locked::ByAnother => Err(AtlasError::state(format!(
            "{}: another handle is open for writing; close that handle, or open the container for reading",
            path.display()
        ))
        .with_os_error(libc::EAGAIN)),
        // A lock that a second description does not notice would let two writers destroy the file.
        Locked::NotKept => Err(AtlasError::unsupported(format!(
            "{}: the file system has no locks, so that two writers could not detect each other; open the \
             container for reading, or copy it to another file system",
            path.display()
        ))),
    }
}

/// Opens the container file at `path`. In mode `Write` also locks it, and returns the locked file a second time.
fn open_file(path: &Path, mode: ContainerMode) -> Result<(Arc<FileStorage>, Option<Arc<FileStorage>>)> {
    let failed = |error| AtlasError::io(format_args!("opening {}", path.display()), error);
    loop {
        let mut options = File::options();
        options.read(true).write(mode == ContainerMode::Write);
        // A pipe or a device must not block the call before it is refused.
        let file = descriptor::open_now(&options, path).map_err(failed)?;
        if !file.metadata().map_err(failed)?.is_file() {
            return Err(AtlasError::invalid_argument(format!(
                "{} is not a regular file, and a container must be one",
                path.display()
            )));
        }
        // Readers need no lock, because a generation never changes.
        if mode == ContainerMode::Read {
            return Ok((Arc::new(FileStorage::new(file)), None));
        }
        // A compaction may replace the file at any moment.
        if !lock_writer(&file, path, || descriptor::open(&options, path))? {
            continue;
        }
        let writer = Arc::new(FileStorage::new(file));
        let now = std::fs::metadata(path).map_err(failed)?;
        if writer.identity() == crate::base::storage::FileId::of(&now) {
            return Ok((Arc::clone(&writer), Some(writer)));
        }
        // The file under this name changed meanwhile: the lock is on the old file.
        file_lock::unlock(writer.file());
    }
}

/// Finds the newest commit of a file for a handle that reads. Ignores commits that a crashed writer may have left in
/// the page cache and not on the disk. With `recover`, they count if the disk cannot be read directly.
fn locate_to_read(file: &ContainerFile, recover: bool) -> Result<Located> {
    let until = if recover { Until::Recovered } else { Until::Tip };
    // A generation that a slot names was durable before the slot was written.
    let located = log::locate(file, until)?;
    if located.is_confirmed || planted(Planted::CacheTrusted) {
        return Ok(located);
    }
    // Later commits may exist only in the page cache, left by a dead writer.
    match seen_on_medium(file, 4) {
        Ok(Seen::Cached) => log::locate(file, until),
        Ok(Seen::Past(medium)) => log::locate(&medium, until),
        // A recovery takes whatever can be read.
        Ok(Seen::Nothing) | Err(_) if recover => Ok(located),
        // If the disk cannot be read directly, only the confirmed generation is certain to be durable.
        Ok(Seen::Nothing) | Err(_) => log::locate(file, Until::Confirmed),
    }
}

/// Way to read the bytes of a file that are on the disk, without bytes that only the page cache has.
enum Seen {
    /// Reads of the file itself return the bytes on the disk.
    Cached,
    /// Reads through this object go past the page cache, which may differ from the disk.
    Past(ContainerFile),
    Nothing,
}

/// Finds a way to read the bytes of a container file that are on the disk.
///
/// Pages are dropped from the page cache, and then checked to be absent. Another process that reads the file may load
/// them again in between. The disk is then read past the cache; if that is not possible, dropping is tried `attempts`
/// more times, with pauses of 1 ms, 2 ms, 4 ms and so on.
fn seen_on_medium(file: &ContainerFile, attempts: u32) -> std::io::Result<Seen> {
    if file.storage.drop_cache()? {
        return Ok(Seen::Cached);
    }
    // Reads with O_DIRECT bypass the page cache.
    if let Some(medium) = file.storage.medium() {
        return Ok(Seen::Past(file.seen_on(medium)));
    }
    for attempt in 0..attempts {
        std::thread::sleep(Duration::from_millis(1 << attempt));
        if file.storage.drop_cache()? {
            return Ok(Seen::Cached);
        }
    }
    Ok(Seen::Nothing)
}

/// Finds the newest commit for a handle that writes, confirms it with a slot, and cuts off the bytes after its batch.
fn locate_to_write(file: &ContainerFile, recover: bool) -> Result<Located> {
    // A damaged header cannot be repaired in place.
    if file.header_damaged {
        return Err(AtlasError::witness(format!(
            "{}: the header is damaged; the container can be read, and compacted into a new file",
            file.path.display()
        )));
    }
    // Bytes of a dead writer may exist only in the page cache: flush them, then read the disk.
    let failed = |what: &str, error| file.failed(what, error);
    file.storage.sync().map_err(|error| failed("flushing", error))?;
    let until = if recover { Until::Recovered } else { Until::Tip };
    let first = log::locate(file, until)?;
    // If the tip is confirmed and ends the file, there is nothing that only the cache could have.
    let nothing_follows =
        first.is_confirmed && file.len()? == first.end(file) || planted(Planted::CacheTrusted);
    let seen = if nothing_follows { Ok(None) } else { seen_on_medium(file, 9).map(Some) };
    let mut located = match seen.map_err(|error| failed("dropping cached pages of", error))? {
        None => first,
        Some(Seen::Cached) => log::locate(file, until)?,
        // The cached slots may be newer: they name commits that were durable before the slots were written.
        Some(Seen::Past(medium)) => log::locate(&medium, until)?,
        Some(Seen::Nothing) => {
            return Err(AtlasError::unsupported(format!(
                "{}: a writer died, and the file system supports no reads past the page cache, which may \
                 have bytes that the disk lacks; restart the machine, or copy the file",
                file.path.display()
            )));
        }
    };
    // A slot confirms the tip before anything is cut.
    if let Some(tip) = &located.tip {
        // Recovery overwrites both slots, so that no slot names a lost generation.
        let slot = Slot { generation: tip.generation, commit: tip.offset, seal: tip.seal };
        let slots: &[u8] = match (recover && located.lost > 0, located.slots.contains(&Some(slot))) {
            (true, _) => &[0, 1],
            (false, true) => &[],
            (false, false) => &[located.next_slot()],
        };
        for number in slots.iter().copied() {
            batch::write_slot(file, number, &slot).map_err(|error| failed("writing a slot of", error))?;
            located.slots[usize::from(number)] = Some(slot);
        }
        if !slots.is_empty() {
            file.storage.sync_data().map_err(|error| failed("flushing", error))?;
        }
        located.is_confirmed = true;
    }
    // Cut the bytes of an unfinished commit.
    let end = located.end(file);
    if file.len()? != end && !planted(Planted::NothingCut) {
        file.storage.set_len(end).map_err(|error| failed("cutting", error))?;
        file.storage.sync().map_err(|error| failed("flushing", error))?;
    }
    Ok(located)
}
