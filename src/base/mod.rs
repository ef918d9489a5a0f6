//! The lowest layer: errors, units, locks, buffers and files. It does not depend on domains.

pub(crate) mod atomic_file;
#[cfg(unix)]
pub(crate) mod attributes;
mod block;
pub(crate) mod buffer;
pub(crate) mod copy;
pub(crate) mod cpu;
pub(crate) mod damage;
pub(crate) mod descriptor;
#[cfg(target_os = "linux")]
pub(crate) mod direct_file;
pub(crate) mod error;
pub(crate) mod fallible;
#[cfg_attr(not(unix), allow(dead_code))]
pub(crate) mod file_lock;
#[cfg(target_os = "linux")]
mod file_system;
pub(crate) mod folder;
pub(crate) mod heap;
pub(crate) mod in_place;
pub(crate) mod out_bytes;
#[cfg(target_os = "linux")]
mod page_cache;
mod positioned;
pub(crate) mod process;
pub(crate) mod ranges;
pub(crate) mod recycle;
mod reserve;
pub(crate) mod shrinkable;
#[cfg(any(feature = "parallel", feature = "opencl"))]
pub(crate) mod slot;
pub(crate) mod split_mix;
pub(crate) mod stack;
pub(crate) mod storage;
pub(crate) mod sync;
pub(crate) mod units;
