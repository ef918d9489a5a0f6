//! Threads of pools: started with signals blocked, joined at the end, and not used after a fork.

use super::ticket::Lent;
use super::{Executor, check_threads, cores};
use crate::accelerator::{Accelerator, AcceleratorInfo, AcceleratorOptions};
use crate::base::cpu;
use crate::base::error::{AtlasError, Result};
use crate::base::process::Process;
use crate::base::slot::Slot;
use crate::base::sync::lock;
use std::cell::Cell;
use std::io;
use std::mem::ManuallyDrop;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Maximum time that [`on_idle_threads`] waits for the threads of the library's pool.
const IDLE_WAIT: Duration = Duration::from_millis(200);

/// Maximum number of waiting tickets per thread of a pool. A ticket asks a thread to work for a call, and waits
/// until a thread takes it.
const WAITING_PER_THREAD: usize = 4;

/// Stack size of a worker in bytes. The deepest recursion is over the height of a tree, so that this is ample.
const STACK_SIZE: usize = 2 * 1024 * 1024;

/// Threads for the calls that name this pool, joined when it is dropped.
///
/// A pool of one thread starts none: its work runs on the calling thread. Started threads are named
/// `atlas-0`, `atlas-1` and so on, block asynchronous signals, and have a stack of 2 MiB.
///
/// ```
/// use atlas_manifold::{AtlasProjection, Operation, Pool, ProjectionOptions, ProjectionType, Source};
///
/// let pool = Pool::new(2)?;
/// assert_eq!(pool.threads(), 2);
/// let mut operation = Operation::new().with_pool(&pool);
/// let source = Source::from_vec(vec![7; 3_000_000]);
/// AtlasProjection::create(ProjectionType::Linear, &source, &ProjectionOptions::new(), &mut operation)?;
/// # Ok::<(), atlas_manifold::AtlasError>(())
/// ```
#[derive(Debug)]
pub struct Pool {
    started: Option<Started>,
    /// The OpenCL device that hashes tiles beside the threads. `None` if there is none.
    accelerator: Option<Arc<Accelerator>>,
    /// Process that made the pool. Its threads exist only there.
    process: Process,
}

#[derive(Debug)]
struct Started {
    pool: ManuallyDrop<rayon::ThreadPool>,
    joins: ManuallyDrop<Arc<Mutex<Vec<JoinHandle<()>>>>>,
    /// Number of calls that use the threads of the pool now.
    calls: AtomicUsize,
    /// Number of tickets that no thread has taken yet. A ticket asks a thread to work for a call.
    waiting: Arc<AtomicUsize>,
    /// Process that made the pool. Its threads exist only there.
    process: Process,
}

impl Pool {
    /// Starts `threads` threads, at most 1,024. 0 means one per core.
    pub fn new(threads: u32) -> Result<Pool> {
        Self::start(threads, false)
    }

    /// Starts `threads` threads, and opens an OpenCL device that hashes tiles beside them.
    ///
    /// Every result is the same as with other pools. Fails with UNSUPPORTED if there is no OpenCL loader, no such
    /// device, or if the device fails its self-test; without the feature `opencl` always.
    pub fn accelerated(threads: u32, options: &AcceleratorOptions<'_>) -> Result<Pool> {
        check_threads(threads)?;
        // A driver may start threads of its own.
        let accelerator = Some(Arc::new(with_signals_blocked(|| Accelerator::open(options))?));
        Ok(Pool { accelerator, ..Self::start(threads, false)? })
    }

    /// Returns the properties of the OpenCL device, if the pool has one.
    pub fn accelerator(&self) -> Option<AcceleratorInfo> {
        self.accelerator.as_ref().map(|accelerator| accelerator.info())
    }

    pub(crate) fn device(&self) -> Option<&Arc<Accelerator>> {
        self.accelerator.as_ref()
    }

    /// Starts threads like [`new`](Self::new). If `free` is set, the threads may also use cores to which the
    /// calling thread is not bound.
    fn start(threads: u32, free: bool) -> Result<Pool> {
        check_threads(threads)?;
        let threads = if threads == 0 { cores() } else { threads as usize };
        let process = Process::current();
        // A pool of one thread is the calling thread.
        if threads == 1 {
            return Ok(Pool { started: None, accelerator: None, process });
        }
        // The handles are kept here, because rayon itself never joins its threads.
        let joins = Arc::new(Mutex::new(Vec::new()));
        let spawned = Arc::clone(&joins);
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .spawn_handler(move |worker| {
                let name = format!("atlas-{}", worker.index());
                let builder = thread::Builder::new().name(name).stack_size(STACK_SIZE);
                let run = move || {
                    // The library's pool works for all threads of the host, also for threads that are bound
                    // to other cores.
                    if free {
                        cpu::free_thread();
                    }
                    worker.run();
                    // glibc keeps the arena of a thread that has ended, so that its free memory is returned
                    // here.
                    if WORKED.get() {
                        crate::base::heap::return_arena();
                    }
                };
                let join = with_signals_blocked(|| builder.spawn(run))?;
                lock(&spawned).push(join);
                Ok(())
            })
            .build();
        match pool {
            Ok(pool) => Ok(Pool {
                started: Some(Started {
                    pool: ManuallyDrop::new(pool),
                    joins: ManuallyDrop::new(joins),
                    calls: AtomicUsize::new(0),
                    waiting: Arc::default(),
                    process,
                }),
                accelerator: None,
                process,
            }),
            Err(error) => {
                // Started threads are joined before the error returns.
                join_all(&joins);
                let os_error = std::error::Error::source(&error)
                    .and_then(|source| source.downcast_ref::<io::Error>())
                    .and_then(io::Error::raw_os_error)
                    .unwrap_or(0);
                Err(AtlasError::out_of_memory(format!("starting {threads} threads: {error}"))
                    .with_os_error(os_error))
            }
        }
    }

    /// Returns the number of tasks that can run at once.
    pub fn threads(&self) -> usize {
        self.started.as_ref().map_or(1, |started| started.pool.current_num_threads())
    }

    /// Returns the rayon pool of the started threads, and their counters. `None` for a pool of one thread,
    /// which is the calling thread.
    fn threads_to_wake(&self) -> Option<(&rayon::ThreadPool, Option<&Started>)> {
        self.started.as_ref().map(|started| (&*started.pool, Some(started)))
    }

    pub(crate) fn check_process(&self) -> Result<()> {
        if self.process.is_current() {
            return self.accelerator.as_ref().map_or(Ok(()), |accelerator| accelerator.check());
        }
        Err(AtlasError::state(
            "the pool was made before a fork, and its threads are in the parent process: make a new pool",
        ))
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        if !self.process.is_current() {
            // The threads are the parent's. They are not stopped, joined or even detached here, because their
            // ids may by now belong to threads of the child.
            return;
        }
        // SAFETY: the field is dropped only here, and not used again.
        unsafe { ManuallyDrop::drop(&mut self.pool) };
        join_all(&self.joins);
        // SAFETY: as above.
        unsafe { ManuallyDrop::drop(&mut self.joins) };
    }
}

/// Joins all threads of the list but the current one: a task may drop the pool on whose thread it runs.
fn join_all(joins: &Mutex<Vec<JoinHandle<()>>>) {
    // The list is taken out first, so that no thread is joined while the lock is held.
    let joins = std::mem::take(&mut *lock(joins));
    for join in joins {
        if join.thread().id() != thread::current().id() {
            // A worker's panic was delivered with the result of its task.
            drop(join.join());
        }
    }
}

/// Runs `spawn` with all asynchronous signals blocked, so that the new thread never handles a signal of the
/// program.
#[cfg(unix)]
fn with_signals_blocked<R>(spawn: impl FnOnce() -> R) -> R {
    let mut block = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
    let mut before = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: sigfillset initialises `block` before it is used; the signals taken out of it are
    // valid numbers; pthread_sigmask writes `before` and changes only the mask of this thread.
    let blocked = unsafe {
        libc::sigfillset(block.as_mut_ptr());
        for fault in [libc::SIGSEGV, libc::SIGBUS, libc::SIGFPE, libc::SIGILL, libc::SIGTRAP, libc::SIGSYS] {
            libc::sigdelset(block.as_mut_ptr(), fault);
        }
        libc::pthread_sigmask(libc::SIG_SETMASK, block.as_ptr(), before.as_mut_ptr()) == 0
    };
    // The new thread inherits the mask, which is restored for this thread, also after a panic.
    // SAFETY: `before` was written by the successful call above.
    let _restore = Restore(blocked.then(|| unsafe { before.assume_init() }));
    spawn()
}

/// Guard that restores the signal mask of this thread when it is dropped.
#[cfg(unix)]
struct Restore(Option<libc::sigset_t>);

#[cfg(unix)]
impl Drop for Restore {
    fn drop(&mut self) {
        if let Some(mask) = &self.0 {
            // SAFETY: a mask that pthread_sigmask has written.
            unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, mask, std::ptr::null_mut()) };
        }
    }
}

#[cfg(not(unix))]
fn with_signals_blocked<R>(spawn: impl FnOnce() -> R) -> R {
    spawn()
}

static LIBRARY: Slot<Pool> = Slot::new();

/// Returns the library's own pool in this process. A forked child gets a pool of its own.
pub(super) fn library_pool() -> Result<&'static Pool> {
    let wanted = cores();
    // A pool that is too small for the cores that the process may use now is replaced.
    LIBRARY.get(|pool| pool.check_process().is_ok() && pool.threads() >= wanted, || Pool::start(0, true))
}

/// Runs `action` on each thread of the library's own pool. Does nothing if the pool was not made, if a call uses
/// it, or on a thread of the pool. Waits at most [`IDLE_WAIT`], because a new call may keep the threads busy.
pub(crate) fn on_idle_threads(action: fn()) {
    let pool = LIBRARY.get(|pool| pool.check_process().is_ok(), || Err::<Pool, ()>(()));
    let Some(started) = pool.ok().and_then(|pool| pool.started.as_ref()) else { return };
    // Busy threads would delay the broadcast, and a worker would wait for itself.
    if started.calls.load(Ordering::Relaxed) > 0 || started.pool.current_thread_index().is_some() {
        return;
    }
    let (left, caller) = (Arc::new(AtomicUsize::new(started.pool.current_num_threads())), thread::current());
    // The last thread to finish wakes the caller.
    let counted = Arc::clone(&left);
    started.pool.spawn_broadcast(move |_| {
        action();
        // The release here and the acquire below make the work of all threads visible to the caller.
        if counted.fetch_sub(1, Ordering::AcqRel) == 1 {
            caller.unpark();
        }
    });
    // After a spurious wake-up the wait continues for the remaining time.
    let until = Instant::now() + IDLE_WAIT;
    while left.load(Ordering::Acquire) > 0 {
        let rest = until.saturating_duration_since(Instant::now());
        if rest.is_zero() {
            return;
        }
        thread::park_timeout(rest);
    }
}

thread_local! {
    /// True once this thread has worked on a call. The thread then returns its free memory to the system when it
    /// ends.
    static WORKED: Cell<bool> = const { Cell::new(false) };
}

/// Notes that this thread has worked on a call.
fn note_work() {
    WORKED.set(true);
}

/// The threads that work on a call: those of a pool and, unless it is excluded, the calling thread.
pub(super) struct Team<'p> {
    pub(super) pool: &'p rayon::ThreadPool,
    /// True if the calling thread works too.
    pub(super) caller_works: bool,
    /// Counters of the calls and tickets of a [`Pool`]. `None` for a rayon pool of the caller.
    started: Option<&'p Started>,
}

impl Team<'_> {
    /// Returns the counter of the calls that use the pool now. `None` for a rayon pool of the caller, which has
    /// no counter.
    pub(super) fn calls(&self) -> Option<&AtomicUsize> {
        self.started.map(|started| &started.calls)
    }

    /// Asks a thread of the pool to take a ticket and work for the call. If enough tickets wait already and the
    /// calling thread works itself, asks no thread and returns false. Without this bound, tickets would pile up
    /// while all threads of the pool are inside callbacks.
    pub(super) fn start(&self, lent: &Lent<'_>) -> bool {
        let waiting = self.started.map(|started| &started.waiting);
        if let Some(waiting) = waiting {
            let most = WAITING_PER_THREAD * self.pool.current_num_threads();
            // The bound is approximate, so that the count needs no order.
            if self.caller_works && waiting.load(Ordering::Relaxed) >= most {
                return false;
            }
            waiting.fetch_add(1, Ordering::Relaxed);
        }
        let (ticket, waiting) = (lent.ticket(), waiting.cloned());
        self.pool.spawn(move || {
            // The ticket is taken now, also if its call has ended.
            if let Some(waiting) = waiting {
                waiting.fetch_sub(1, Ordering::Relaxed);
            }
            note_work();
            ticket.run();
        });
        true
    }
}

/// Returns the threads for a call with at most `workers` workers. `None` means that the calling thread does all
/// the work.
pub(super) fn team_for(executor: Executor<'_>, workers: usize) -> Option<Team<'_>> {
    let (pool, caller_works) = match executor {
        Executor::OnlyPool(pool) => (pool.threads_to_wake(), false),
        Executor::OnlyRayon(pool) => (Some((pool, None)), false),
        Executor::Inline => (None, true),
        // Waking a thread takes longer than many small tasks.
        _ if workers <= 1 => (None, true),
        // If no thread can be started, the calling thread does all the work.
        Executor::Library => (library_pool().ok().and_then(Pool::threads_to_wake), true),
        Executor::Pool(pool) => (pool.threads_to_wake(), true),
        Executor::Rayon(pool) => (Some((pool, None)), true),
    };
    // Inside a task of that pool, waiting for its threads could mean waiting for the thread of this task.
    let pool = pool.filter(|(pool, _)| pool.current_thread_index().is_none());
    pool.map(|(pool, started)| Team { pool, caller_works, started })
}
