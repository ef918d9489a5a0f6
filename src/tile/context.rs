//! The context that all states of a projection share.

#![forbid(unsafe_code)]

use super::options::{ConservationPolicy, ProjectionOptions, ProjectionType};
use super::outboards::OutboardCache;
use super::scheme::Scheme;
use crate::base::error::Result;
use std::sync::Arc;

/// Scheme, policy and outboard cache, shared by all states of a projection and by its snapshots.
pub(crate) struct Context {
    pub(crate) scheme: Scheme,
    pub(crate) policy: ConservationPolicy,
    pub(crate) outboards: OutboardCache,
}

impl Context {
    /// Fails with INVALID_ARGUMENT if K is outside 1..=96.
    pub(crate) fn new(kind: ProjectionType, options: &ProjectionOptions) -> Result<Arc<Context>> {
        Self::with_outboards(kind, options, OutboardCache::default())
    }

    /// Returns a context like [`new`](Self::new), with the given cache.
    pub(crate) fn with_outboards(
        kind: ProjectionType,
        options: &ProjectionOptions,
        outboards: OutboardCache,
    ) -> Result<Arc<Context>> {
        Ok(Arc::new(Context { scheme: Scheme::new(kind, options)?, policy: options.policy, outboards }))
    }

    /// Returns a context with the same scheme and policy and another cache.
    pub(crate) fn beside(&self, outboards: OutboardCache) -> Result<Arc<Context>> {
        Ok(Arc::new(Context { scheme: self.scheme.duplicate()?, policy: self.policy, outboards }))
    }
}
