//! Configuration of a benchmark run.

use crate::base::error::{AtlasError, Result};
use crate::base::units::{to_u64, to_usize};

/// Settings of a benchmark run.
#[derive(Debug, Clone, PartialEq)]
pub struct BenchmarkConfig {
    /// Iterations of a case before the measured ones. Default 3.
    pub warmup_iterations: u32,
    /// Measured iterations of a case, at least 1. Default 10.
    pub iterations: u32,
    /// Seconds for the iterations of one case. After this time no iteration begins, except the first measured
    /// iteration; warm-up gets half of this time. A running iteration is not interrupted, and the preparation
    /// of the case does not count. Greater than 0. Default 5.
    pub max_seconds: f64,
    /// Sizes of the domains in bytes: at least one size, each greater than 0. Default 1, 16 and 64 MiB.
    pub data_sizes: Vec<u64>,
}

impl Default for BenchmarkConfig {
    fn default() -> Self {
        Self::with_sizes([1, 16, 64].map(|mib| mib << 20).to_vec())
    }
}

impl BenchmarkConfig {
    /// Returns the default settings, with other sizes of the domains.
    pub(crate) const fn with_sizes(data_sizes: Vec<u64>) -> Self {
        BenchmarkConfig { warmup_iterations: 3, iterations: 10, max_seconds: 5.0, data_sizes }
    }

    /// Checks all settings, and returns the sizes of the domains. Fails with INVALID_ARGUMENT if a setting is
    /// out of its range, and OUT_OF_MEMORY if a size is more than memory can ever have.
    pub(super) fn sizes(&self) -> Result<Vec<usize>> {
        // Without a measured iteration there are no times.
        if self.iterations == 0 {
            return Err(AtlasError::invalid_argument("iterations is 0, and must be greater than 0"));
        }
        // NaN is not finite, so that it is refused here too.
        if !(self.max_seconds.is_finite() && self.max_seconds > 0.0) {
            return Err(AtlasError::invalid_argument(format!(
                "max_seconds {} is not a finite number greater than 0",
                self.max_seconds
            )));
        }
        if self.data_sizes.is_empty() {
            return Err(AtlasError::invalid_argument(
                "data_sizes is empty, and must contain at least one size",
            ));
        }
        let mut sizes = crate::base::buffer::try_vec(self.data_sizes.len())?;
        // Every size must be possible before anything is measured.
        for (index, size) in (0..).zip(&self.data_sizes) {
            let size = match *size {
                0 => Err(AtlasError::invalid_argument(
                    "data_sizes contains 0, and each size must be greater than 0",
                )),
                // No allocation can be larger.
                size if size > to_u64(isize::MAX.unsigned_abs()) => {
                    Err(AtlasError::out_of_memory(format!("allocation of {size} bytes failed")))
                }
                size => Ok(to_usize(size)),
            };
            sizes.push(size.map_err(|error| error.at_index(index))?);
        }
        Ok(sizes)
    }
}
