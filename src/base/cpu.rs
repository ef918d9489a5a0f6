//! Features of the processor, other than those that BLAKE3, the transform and Layer 2 detect themselves, and the
//! number of cores that this process may use.

#[cfg(feature = "parallel")]
use crate::base::descriptor::beside_standard_streams;

/// Returns true if BLAKE3 hashes 16 chunks at a time on this processor, with AVX-512.
pub(crate) fn hashes_16_chunks() -> bool {
    #[cfg(target_arch = "x86_64")]
    return is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512vl");
    #[cfg(not(target_arch = "x86_64"))]
    return false;
}

/// Returns the number of cores that the calling thread or the main thread may use, or fewer if a quota limits
/// the process.
#[cfg(feature = "parallel")]
pub(crate) fn cores() -> usize {
    // The standard library reads the quota from files in /proc.
    let available = beside_standard_streams(std::thread::available_parallelism);
    let available = available.map_or(1, std::num::NonZero::get);
    #[cfg(target_os = "linux")]
    if let Some((own, both)) = affinity::of_this_thread().zip(affinity::of_both()) {
        // A number below the cores of this thread means that a quota limits the process.
        let (own, both) = (affinity::count(&own), affinity::count(&both));
        return if available < own { available } else { both.max(1) };
    }
    available
}

/// Lets the calling thread, which has just started, use all cores that [`cores`] counts, instead of the cores
/// that it inherited. No effect on failure.
#[cfg(feature = "parallel")]
pub(crate) fn free_thread() {
    #[cfg(target_os = "linux")]
    if let Some(both) = affinity::of_both() {
        affinity::bind(&both);
    }
}

#[cfg(all(target_os = "linux", feature = "parallel"))]
mod affinity {
    /// A set of cores with a bit for each, in the layout of the system call sched_getaffinity.
    pub(super) type Cores = [u64; 16];

    const SIZE: usize = size_of::<Cores>();

    /// Returns the cores that a thread may use; thread 0 means the calling thread. `None` if the machine has
    /// more cores than the set has bits.
    fn of(thread: libc::pid_t) -> Option<Cores> {
        let mut cores: Cores = [0; 16];
        // SAFETY: the set has SIZE bytes, and the struct of the call is an array of bits.
        let found = unsafe { libc::sched_getaffinity(thread, SIZE, (&raw mut cores).cast()) };
        (found == 0).then_some(cores)
    }

    pub(super) fn of_this_thread() -> Option<Cores> {
        of(0)
    }

    /// Returns the cores that the calling thread or the main thread may use. `None` if the machine has more
    /// cores than the set has bits.
    pub(super) fn of_both() -> Option<Cores> {
        let mut cores = of(0)?;
        // On Linux the main thread has the id of the process.
        if let Some(main) = libc::pid_t::try_from(std::process::id()).ok().and_then(of) {
            cores.iter_mut().zip(main).for_each(|(core, main)| *core |= main);
        }
        Some(cores)
    }

    pub(super) fn count(cores: &Cores) -> usize {
        cores.iter().map(|bits| bits.count_ones() as usize).sum()
    }

    pub(super) fn bind(cores: &Cores) {
        // SAFETY: as above; the call changes only the calling thread.
        unsafe { libc::sched_setaffinity(0, SIZE, std::ptr::from_ref(cores).cast()) };
    }
}
