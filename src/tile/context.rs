//! The settings and the cache that all states of a projection share.

#![forbid(unsafe_code)]

use super::options::{ConservationPolicy, ProjectionOptions, ProjectionType};
use super::outboards::OutboardCache;
use super::scheme::Scheme;
use crate::base::error::Result;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Scheme (type, K and key), conservation policy and cache of chaining values. Shared by all states of a projection
/// and by its snapshots.
pub(crate) struct Context {
    pub(crate) scheme: Scheme,
    pub(crate) policy: ConservationPolicy,
    pub(crate) outboards: OutboardCache,
    /// See [`reading`](Self::reading).
    reading: AtomicU64,
}

impl Context {
    /// Returns the context of a new projection of type `kind`. Fails with INVALID_ARGUMENT for R96 with a K outside
    /// 1..=96.
    pub(crate) fn new(kind: ProjectionType, options: &ProjectionOptions) -> Result<Arc<Context>> {
        Self::with_outboards(kind, options, OutboardCache::default())
    }

    /// Returns a context like [`new`](Self::new), with `outboards` as its cache of chaining values.
    pub(crate) fn with_outboards(
        kind: ProjectionType,
        options: &ProjectionOptions,
        outboards: OutboardCache,
    ) -> Result<Arc<Context>> {
        let (scheme, policy, reading) = (Scheme::new(kind, options)?, options.policy, AtomicU64::new(0));
        Ok(Arc::new(Context { scheme, policy, outboards, reading }))
    }

    /// Returns a context with the same scheme and policy, and with `outboards` as its cache of chaining values.
    pub(crate) fn beside(&self, outboards: OutboardCache) -> Result<Arc<Context>> {
        let (scheme, reading) = (self.scheme.duplicate()?, AtomicU64::new(self.reading()));
        Ok(Arc::new(Context { scheme, policy: self.policy, outboards, reading }))
    }

    /// Returns the number of bytes of memory that reading a tile uses besides the buffer that gets its bytes. 0 unless
    /// a container of this projection has compressed tiles.
    pub(crate) fn reading(&self) -> u64 {
        self.reading.load(Ordering::Relaxed)
    }

    /// Raises [`reading`](Self::reading) to at least `bytes`.
    pub(crate) fn raise_reading(&self, bytes: u64) {
        self.reading.fetch_max(bytes, Ordering::Relaxed);
    }
}
