//! Defects of committing and opening that the simulation of crashes must find. They exist only in tests.

/// Step of a commit or of opening a container that is left out or done wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Planted {
    /// Opening accepts a commit record without comparing the digest of its batch.
    NoBatchDigest,
    /// A large batch is not synced between writing its body and writing its commit record.
    NoSyncBeforeCommit,
    /// The commit record of a large batch shares its block with the beginning of the body.
    SharedBlock,
    /// The slot, which names the new commit as durable, is written before the sync of the commit.
    SlotBeforeSync,
    /// Opening for writing does not cut off the bytes of an unfinished commit.
    NothingCut,
    /// Opening treats pages in the page cache as if they were on the disk.
    CacheTrusted,
    /// Opening does not search the bytes after the newest commit for later commits, which prove a loss.
    NoSearch,
    /// Opening reports a loss after one search, without a second search to confirm it.
    NoSecondLook,
}

#[cfg(test)]
thread_local! {
    static DEFECT: std::cell::Cell<Option<Planted>> = const { std::cell::Cell::new(None) };
    static SMALL: std::cell::Cell<u64> = const { std::cell::Cell::new(super::records::SMALL_BATCH) };
}

/// Returns true if the test that runs on this thread planted `defect`.
#[cfg(test)]
pub(super) fn planted(defect: Planted) -> bool {
    DEFECT.get() == Some(defect)
}

#[cfg(not(test))]
pub(super) const fn planted(_: Planted) -> bool {
    false
}

/// Returns the maximum size of a small batch in bytes, which a test may lower.
#[cfg(test)]
pub(super) fn small_batch() -> u64 {
    SMALL.get()
}

#[cfg(not(test))]
pub(super) const fn small_batch() -> u64 {
    super::records::SMALL_BATCH
}

/// Runs `test` with `defect` planted, and with a maximum of `small` bytes for a small batch.
#[cfg(test)]
pub(super) fn with<R>(defect: Option<Planted>, small: u64, test: impl FnOnce() -> R) -> R {
    // The former values are restored afterwards, so that calls may be nested.
    let before = (DEFECT.replace(defect), SMALL.replace(small));
    let result = test();
    DEFECT.set(before.0);
    SMALL.set(before.1);
    result
}
