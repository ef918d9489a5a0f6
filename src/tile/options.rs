//! Options of a new projection: its type, its conservation policy, K, and its key.

#![forbid(unsafe_code)]

use crate::hash::key::Key;

/// Type of a projection: the transformation from the bytes of a tile to the payload that its witness covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum ProjectionType {
    /// No transformation: the payload of a tile is its bytes.
    #[default]
    Linear,
    /// The exact Fourier transform over GF(12289), distributed over 96 resonance classes of which any K
    /// rebuild the domain ([`ProjectionOptions::with_data_classes`]).
    R96Fourier,
}

impl ProjectionType {
    /// Returns the number that stands for the type in roots, in shards and in the C API.
    pub(crate) fn code(self) -> u8 {
        match self {
            ProjectionType::Linear => 0,
            ProjectionType::R96Fourier => 1,
        }
    }

    /// Returns the type with this number, or `None` if there is none.
    pub(crate) fn from_code(code: u8) -> Option<ProjectionType> {
        match code {
            0 => Some(ProjectionType::Linear),
            1 => Some(ProjectionType::R96Fourier),
            _ => None,
        }
    }
}

/// Requirement on the sum of all bytes of the domain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ConservationPolicy {
    /// Any bytes; residue and correction are recorded.
    #[default]
    Track,
    /// The sum must be 0 mod 96, and stay so.
    Strict,
}

/// Options of a new projection.
///
/// ```
/// use atlas_manifold::{AtlasProjection, Operation, ProjectionOptions, ProjectionType, Source};
///
/// // 96 classes, of which any 64 rebuild the data.
/// let options = ProjectionOptions::new().with_data_classes(64);
/// let source = Source::from_vec(vec![7; 100_000]);
/// let projection =
///     AtlasProjection::create(ProjectionType::R96Fourier, &source, &options, &mut Operation::new())?;
/// assert_eq!(projection.info().data_classes, 64);
/// # Ok::<(), atlas_manifold::AtlasError>(())
/// ```
#[derive(Clone)]
pub struct ProjectionOptions {
    pub(crate) policy: ConservationPolicy,
    /// K of R96: the number of the 96 classes that suffice to rebuild the domain.
    pub(crate) data_classes: u8,
    pub(crate) key: Option<Key>,
}

impl Default for ProjectionOptions {
    fn default() -> Self {
        ProjectionOptions { policy: ConservationPolicy::Track, data_classes: 96, key: None }
    }
}

impl ProjectionOptions {
    /// Returns the defaults: TRACK, K = 96, no key.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the requirement on the sum of all bytes.
    #[must_use]
    pub fn with_conservation(mut self, policy: ConservationPolicy) -> Self {
        self.policy = policy;
        self
    }

    /// Sets K, 1 to 96, the number of the 96 classes that rebuild an R96 projection; 96 − K may be lost. All
    /// classes together have about 14/13 · 96/K of the domain's size. Ignored for LINEAR.
    #[must_use]
    pub fn with_data_classes(mut self, data_classes: u8) -> Self {
        self.data_classes = data_classes;
        self
    }

    /// Sets a key for the witnesses: only owners of the key can make or verify them.
    #[must_use]
    pub fn with_key(mut self, key: &[u8; 32]) -> Self {
        self.key = Some(Key::new(key));
        self
    }
}
