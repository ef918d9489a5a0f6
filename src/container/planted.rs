//! Defects that the simulation of crashes must find. They exist only in tests.

/// A step that is left out or done wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Planted {
    /// The digest of a batch is not compared when it is followed.
    NoBatchDigest,
    /// No sync between the body of a large batch and its commit record.
    NoSyncBeforeCommit,
    /// The commit record of a large batch shares its block with the body.
    SharedBlock,
    /// The slot is written before the sync.
    SlotBeforeSync,
    /// Nothing is cut off when a writer opens.
    NothingCut,
    /// Pages in the page cache are treated as if they were on the disk.
    CacheTrusted,
    /// The search for commits after the tip is left out.
    NoSearch,
    /// The result of a search is not confirmed by a second search.
    NoSecondLook,
}

#[cfg(test)]
thread_local! {
    static DEFECT: std::cell::Cell<Option<Planted>> = const { std::cell::Cell::new(None) };
    static SMALL: std::cell::Cell<u64> = const { std::cell::Cell::new(super::records::SMALL_BATCH) };
}

/// Returns true if this thread's test planted the defect.
#[cfg(test)]
pub(super) fn planted(defect: Planted) -> bool {
    DEFECT.get() == Some(defect)
}

#[cfg(not(test))]
pub(super) const fn planted(_: Planted) -> bool {
    false
}

/// Returns the bytes of the largest small batch.
#[cfg(test)]
pub(super) fn small_batch() -> u64 {
    SMALL.get()
}

#[cfg(not(test))]
pub(super) const fn small_batch() -> u64 {
    super::records::SMALL_BATCH
}

/// Runs `test` with a defect, and with batches that are large from `small` bytes on.
#[cfg(test)]
pub(super) fn with<R>(defect: Option<Planted>, small: u64, test: impl FnOnce() -> R) -> R {
    // The former values are restored afterwards, so that calls may be nested.
    let before = (DEFECT.replace(defect), SMALL.replace(small));
    let result = test();
    DEFECT.set(before.0);
    SMALL.set(before.1);
    result
}
