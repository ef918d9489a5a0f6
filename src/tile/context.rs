//! The settings and the cache that all states of a projection share.

#![forbid(unsafe_code)]

use super::options::{ConservationPolicy, ProjectionOptions, ProjectionType};
use super::outboards::OutboardCache;
use super::scheme::Scheme;
use crate::base::error::Result;
use std::sync::Arc;

/// Scheme (type, K and key), conservation policy and cache of chaining values. Shared by all states of a projection
/// and by its snapshots.
pub(crate) struct Context {
    pub(crate) scheme: Scheme,
    pub(crate) policy: ConservationPolicy,
    pub(crate) outboards: OutboardCache,
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
        Ok(Arc::new(Context { scheme: Scheme::new(kind, options)?, policy: options.policy, outboards }))
    }

    /// Returns a context with the same scheme and policy, and with `outboards` as its cache of chaining values.
    pub(crate) fn beside(&self, outboards: OutboardCache) -> Result<Arc<Context>> {
        Ok(Arc::new(Context { scheme: self.scheme.duplicate()?, policy: self.policy, outboards }))
    }
}
