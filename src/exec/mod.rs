//! Execution of a call: its pool, its workers, its progress, and its memory limit.

pub(crate) mod operation;
pub(crate) mod pool;
pub(crate) mod progress;
pub(crate) mod workers;
