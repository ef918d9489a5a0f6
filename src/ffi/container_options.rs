//! Options of containers and of commits, as the core takes them.
//!
//! The structs are declared in `container`, in the order of the header; nothing of this module is in the
//! header.

use super::args::{bytes_in, optional_32};
use super::compression::{atlas_compression_config, config_in};
use super::container::{atlas_commit_options, atlas_container_create_options, atlas_container_open_options};
use super::sized::read_struct;
use super::source::atlas_source;
use crate::base::error::{AtlasError, Result};
use crate::compression::available;
use crate::container::{CommitOptions, ContainerCreateOptions, ContainerOptions};

/// Converts the caller's options.
///
/// # Safety
///
/// `options` is NULL or a struct that meets the header's terms, including its pointers.
pub(super) unsafe fn create_options(
    options: *const atlas_container_create_options,
) -> Result<ContainerCreateOptions> {
    // SAFETY: the caller meets this function's requirements.
    let options = unsafe { read_struct(options) }?;
    no_reserved(options.reserved, "atlas_container_create_options")?;
    // SAFETY: the caller promises NULL or 16 readable bytes.
    let id = unsafe { options.id.cast::<[u8; 16]>().as_ref() }.copied();
    Ok(ContainerCreateOptions {
        block_log2: Some(options.block_log2).filter(|log2| *log2 != 0),
        keep_chains: options.keep_chains != 0,
        id,
        // SAFETY: the caller meets this function's requirements.
        handle: unsafe { options_in(options.base, options.compression, options.cache_size) }?,
    })
}

/// Converts the caller's options.
///
/// # Safety
///
/// `options` is NULL or a struct that meets the header's terms, including its pointers.
pub(super) unsafe fn open_options(options: *const atlas_container_open_options) -> Result<ContainerOptions> {
    // SAFETY: the caller meets this function's requirements.
    let (options, history) = unsafe {
        let options = read_struct(options)?;
        (options, optional_32(options.expected_history))
    };
    // SAFETY: the caller meets this function's requirements.
    let common = unsafe { options_in(options.base, options.compression, options.cache_size) }?;
    Ok(ContainerOptions {
        recover: options.recover != 0,
        expected_history: history.copied(),
        max_domain_size: Some(options.max_domain_size).filter(|size| *size > 0),
        ..common
    })
}

/// Converts the caller's options.
///
/// # Safety
///
/// `options` is NULL or a struct that meets the header's terms, its note readable.
pub(super) unsafe fn commit_options(options: *const atlas_commit_options) -> Result<CommitOptions> {
    // SAFETY: the caller meets this function's requirements.
    let options = unsafe { read_struct(options) }?;
    no_reserved(options.reserved, "atlas_commit_options")?;
    if options.note_size > 1_024 {
        return Err(AtlasError::invalid_argument(format!(
            "note_size {} is more than 1024",
            options.note_size
        )));
    }
    // SAFETY: the caller meets this function's requirements.
    let note = unsafe { bytes_in(options.note, options.note_size, "note") }?.to_vec();
    Ok(CommitOptions { expected: options.expected, time: options.time, note })
}

/// Converts the options that both kinds of handles have.
///
/// # Safety
///
/// The pointers are NULL or live objects that meet the header's terms.
unsafe fn options_in(
    base: *const atlas_source,
    compression: *const atlas_compression_config,
    cache_size: u64,
) -> Result<ContainerOptions> {
    // Without codecs no setting is valid, as in the calls for shards.
    if !compression.is_null() {
        available()?;
    }
    // SAFETY: the caller meets this function's requirements.
    let (base, compression) = unsafe {
        let config = (!compression.is_null()).then(|| config_in(compression)).transpose()?;
        (base.as_ref().map(|base| base.0.clone()), config)
    };
    Ok(ContainerOptions { base, compression, cache_size, ..ContainerOptions::default() })
}

/// Fails unless the reserved field of a struct is 0.
fn no_reserved(value: u32, name: &str) -> Result<()> {
    match value {
        0 => Ok(()),
        _ => Err(AtlasError::invalid_argument(format!("reserved of {name} is {value} and must be 0"))),
    }
}
