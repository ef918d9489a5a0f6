//! The part of the C API that the programs here use, each some of it; the only declarations of it.
//!
//! Written by hand, as there is no crate of bindings. What the library fills by its own idea of a
//! struct's size goes through [`init`], which compares that with ours.
#![allow(dead_code)]

use std::ffi::{CStr, c_char, c_int, c_void};
use std::mem::MaybeUninit;

pub enum Container {}
pub enum Parity {}
pub enum Source {}
pub enum Projection {}
pub enum Shard {}
pub enum Pool {}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct Region {
    pub offset: u64,
    pub length: u64,
}

#[repr(C)]
pub struct Progress {
    pub struct_size: u32,
    pub reserved: u32,
    pub bytes_done: u64,
    pub bytes_total: u64,
    pub chunks_done: u64,
    pub chunks_total: u64,
}

#[repr(C)]
pub struct ContainerCreateOptions {
    pub struct_size: u32,
    pub block_log2: u32,
    pub keep_chains: u32,
    pub reserved: u32,
    pub id: *const u8,
    pub base: *const Source,
    pub compression: *const c_void,
    pub cache_size: u64,
}

#[repr(C)]
pub struct RepairOptions {
    pub struct_size: u32,
    pub mode: u32,
    pub other_path: *const c_char,
    pub partial: u32,
    pub reserved: u32,
}

#[repr(C)]
pub struct ContainerOpenOptions {
    pub struct_size: u32,
    pub recover: u32,
    pub base: *const Source,
    pub expected_history: *const u8,
    pub compression: *const CompressionConfig,
    pub cache_size: u64,
    pub max_domain_size: u64,
}

#[repr(C)]
pub struct Operation {
    pub struct_size: u32,
    pub pool: *const Pool,
    pub progress: Option<extern "C" fn(*const Progress, *mut c_void) -> bool>,
    pub user_data: *mut c_void,
    pub memory_limit: u64,
}

#[repr(C)]
pub struct ProjectionOptions {
    pub struct_size: u32,
    pub conservation: u32,
    pub r96_data_classes: u32,
    pub key: *const u8,
}

pub enum Reconstruction {}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct ExtractOptions {
    pub struct_size: u32,
    pub strategy: u32,
    pub max_threads: u32,
    pub chunk_size: u32,
}

#[repr(C)]
pub struct Delta {
    pub kind: u32,
    pub offset: u64,
    pub length: u64,
    pub destination: u64,
    pub data: *const c_void,
    pub data_size: usize,
}

pub enum Compressed {}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct CompressionConfig {
    pub struct_size: u32,
    pub algorithm: u32,
    pub level: u32,
    pub min_size_threshold: u64,
    pub max_compression_ratio: f64,
    pub preserve_conservation: u32,
    pub verify_integrity: u32,
    pub block_size: u64,
    pub filter: u32,
    pub target: u32,
    pub has_codec_level: u32,
    pub codec_level: i32,
}

#[repr(C)]
pub struct CompressedInfo {
    pub struct_size: u32,
    pub algorithm: u32,
    pub level: u32,
    pub residue: u32,
    pub original_size: u64,
    pub compressed_size: u64,
    pub filters: u32,
    pub reserved: u32,
}

pub enum Stream {}

#[repr(C)]
pub struct StreamConfig {
    pub struct_size: u32,
    pub chunk_size: u64,
    pub parallel_chunks: u32,
    pub prefetch_chunks: u32,
    pub chunk_overlap: u64,
    pub io_buffer_size: u64,
}

#[repr(C)]
pub struct Chunk {
    pub struct_size: u32,
    pub residue: u32,
    pub id: u64,
    pub offset: u64,
    pub data: *const u8,
    pub size: usize,
    pub overlap: *const u8,
    pub overlap_size: usize,
}

pub enum Report {}

#[repr(C)]
pub struct BenchmarkConfig {
    pub struct_size: u32,
    pub warmup_iterations: u32,
    pub iterations: u32,
    pub max_seconds: f64,
    pub data_sizes: *const u64,
    pub data_size_count: usize,
}

#[repr(C)]
pub struct Buffer {
    pub data: *mut u8,
    pub size: usize,
}

/// Ends the program if a call failed, with the place of the call.
#[track_caller]
pub fn check(status: c_int) {
    if status != 0 {
        let text = |text: *const c_char| unsafe { CStr::from_ptr(text) }.to_string_lossy();
        let (name, message) = unsafe { (atlas_status_name(status), atlas_last_error_message()) };
        eprintln!("{}: {} ({})", text(name), text(message), std::panic::Location::caller());
        std::process::exit(1);
    }
}

/// Lets the library fill a struct with room behind it. The struct begins with its size.
///
/// # Safety
/// `fill` is the function for this struct, and `out` a place for one.
unsafe fn init<T>(fill: unsafe extern "C" fn(*mut T), out: *mut T) {
    #[repr(C)]
    struct Room<T>(MaybeUninit<T>, [u64; 64]);
    let mut room = Room(MaybeUninit::<T>::zeroed(), [0; 64]);
    let size = unsafe {
        fill((&raw mut room).cast());
        (&raw const room).cast::<u32>().read() as usize
    };
    let name = std::any::type_name::<T>();
    assert!(size == size_of::<T>(), "{name} has {} bytes here and {size} in the library", size_of::<T>());
    unsafe { out.write(room.0.assume_init()) };
}

/// The functions that fill a struct, by the names that they have.
macro_rules! inits {
    ($($name:ident($struct:ty)),* $(,)?) => {$(
        pub unsafe fn $name(out: *mut $struct) {
            unsafe extern "C" {
                fn $name(out: *mut $struct);
            }
            unsafe { init($name, out) };
        }
    )*};
}

inits! {
    atlas_operation_init(Operation),
    atlas_projection_options_init(ProjectionOptions),
    atlas_extract_options_init(ExtractOptions),
    atlas_compression_config_init(CompressionConfig),
    atlas_stream_config_init(StreamConfig),
    atlas_benchmark_config_init(BenchmarkConfig),
    atlas_repair_options_init(RepairOptions),
    atlas_container_create_options_init(ContainerCreateOptions),
    atlas_container_open_options_init(ContainerOpenOptions),
}

unsafe extern "C" {
    pub fn atlas_container_create(
        path: *const c_char,
        kind: u32,
        options: *const ProjectionOptions,
        create: *const ContainerCreateOptions,
        operation: *const Operation,
        out: *mut *mut Container,
    ) -> c_int;
    pub fn atlas_container_open(
        path: *const c_char,
        mode: u32,
        verify: *const c_void,
        options: *const ContainerOpenOptions,
        operation: *const Operation,
        out: *mut *mut Container,
    ) -> c_int;
    pub fn atlas_container_destroy(container: *mut Container);
    pub fn atlas_container_import(
        container: *mut Container,
        source: *const Source,
        regions: *const Region,
        count: usize,
        options: *const c_void,
        operation: *const Operation,
        generation: *mut u64,
    ) -> c_int;
    pub fn atlas_container_commit(
        container: *mut Container,
        projection: *const Projection,
        options: *const c_void,
        operation: *const Operation,
        generation: *mut u64,
    ) -> c_int;
    pub fn atlas_container_set_base(container: *mut Container, base: *const Source) -> c_int;
    pub fn atlas_container_snapshot(
        container: *const Container,
        generation: u64,
        verify_reads: u32,
        operation: *const Operation,
        out: *mut *mut Projection,
    ) -> c_int;
    pub fn atlas_projection_find_damage(
        projection: *const Projection,
        regions: *const Region,
        region_count: usize,
        damage: Option<extern "C" fn(*const c_void, *mut c_void) -> bool>,
        user_data: *mut c_void,
        operation: *const Operation,
    ) -> c_int;
    pub fn atlas_projection_repair_file(
        projection: *const Projection,
        path: *const c_char,
        regions: *const Region,
        region_count: usize,
        damage: Option<extern "C" fn(*const c_void, *mut c_void) -> bool>,
        user_data: *mut c_void,
        operation: *const Operation,
    ) -> c_int;
    pub fn atlas_projection_diff(
        projection: *const Projection,
        other: *const Projection,
        operation: *const Operation,
        regions: *mut Region,
        count: *mut usize,
    ) -> c_int;
    pub fn atlas_parity_create(
        source: *const Source,
        path: *const c_char,
        options: *const c_void,
        operation: *const Operation,
    ) -> c_int;
    pub fn atlas_parity_open(
        path: *const c_char,
        verify: *const c_void,
        operation: *const Operation,
        out: *mut *mut Parity,
    ) -> c_int;
    pub fn atlas_parity_check(
        parity: *const Parity,
        source: *const Source,
        damage: Option<extern "C" fn(*const c_void, *mut c_void) -> bool>,
        user_data: *mut c_void,
        operation: *const Operation,
        report: *mut c_void,
    ) -> c_int;
    pub fn atlas_parity_repair(
        parity: *const Parity,
        path: *const c_char,
        options: *const RepairOptions,
        damage: Option<extern "C" fn(*const c_void, *mut c_void) -> bool>,
        user_data: *mut c_void,
        operation: *const Operation,
        report: *mut c_void,
    ) -> c_int;
    pub fn atlas_parity_destroy(parity: *mut Parity);
    pub fn atlas_source_copy(data: *const c_void, size: usize, out: *mut *mut Source) -> c_int;
    pub fn atlas_projection_write_file(
        projection: *const Projection,
        path: *const c_char,
        operation: *const Operation,
    ) -> c_int;
    pub fn atlas_projection_verify(projection: *const Projection, operation: *const Operation) -> c_int;
    pub fn atlas_shard_compress(
        shard: *const Shard,
        config: *const CompressionConfig,
        operation: *const Operation,
        out: *mut *mut Compressed,
    ) -> c_int;
    pub fn atlas_shard_decompress(
        compressed: *const Compressed,
        verify: *const c_void,
        operation: *const Operation,
        out: *mut *mut Shard,
    ) -> c_int;
    pub fn atlas_compressed_shard_read(
        compressed: *const Compressed,
        offset: u64,
        buffer: *mut c_void,
        size: usize,
    ) -> c_int;
    pub fn atlas_compressed_shard_get_info(compressed: *const Compressed, info: *mut CompressedInfo)
    -> c_int;
    pub fn atlas_compressed_shard_destroy(compressed: *mut Compressed);
    pub fn atlas_shard_extract_classes(
        projection: *const Projection,
        region: *const Region,
        classes: *const u8,
        class_count: usize,
        operation: *const Operation,
        out: *mut *mut Shard,
    ) -> c_int;
    pub fn atlas_reconstruction_create(options: *const c_void, out: *mut *mut Reconstruction) -> c_int;
    pub fn atlas_reconstruction_add(
        reconstruction: *mut Reconstruction,
        shard: *const Shard,
        operation: *const Operation,
    ) -> c_int;
    pub fn atlas_reconstruction_finish(
        reconstruction: *mut Reconstruction,
        operation: *const Operation,
        out: *mut *mut Projection,
    ) -> c_int;
    pub fn atlas_reconstruction_destroy(reconstruction: *mut Reconstruction);
    pub fn atlas_source_from_callback(
        size: u64,
        read_at: extern "C" fn(*mut c_void, u64, *mut c_void, usize) -> c_int,
        release: *const c_void,
        user_data: *mut c_void,
        out: *mut *mut Source,
    ) -> c_int;
    pub fn atlas_projection_apply(projection: *mut Projection, delta: *const Delta) -> c_int;
    pub fn atlas_projection_rollback(projection: *mut Projection, count: u64) -> c_int;
    pub fn atlas_projection_optimize(projection: *mut Projection, operation: *const Operation) -> c_int;
    pub fn atlas_projection_read(
        projection: *const Projection,
        offset: u64,
        buffer: *mut c_void,
        size: usize,
    ) -> c_int;
    pub fn atlas_last_error_message() -> *const c_char;
    pub fn atlas_status_name(status: i32) -> *const c_char;
    pub fn atlas_pool_create(threads: u32, out: *mut *mut Pool) -> c_int;
    pub fn atlas_source_borrow(
        data: *const c_void,
        size: usize,
        release: *const c_void,
        user_data: *mut c_void,
        out: *mut *mut Source,
    ) -> c_int;
    pub fn atlas_source_open_file(path: *const c_char, io: u32, out: *mut *mut Source) -> c_int;
    pub fn atlas_source_destroy(source: *mut Source);
    pub fn atlas_projection_create(
        kind: u32,
        source: *const Source,
        options: *const c_void,
        operation: *const Operation,
        out: *mut *mut Projection,
    ) -> c_int;
    pub fn atlas_projection_root(
        projection: *const Projection,
        operation: *const Operation,
        root: *mut u8,
    ) -> c_int;
    pub fn atlas_projection_destroy(projection: *mut Projection);
    pub fn atlas_shard_extract(
        projection: *const Projection,
        region: *const Region,
        operation: *const Operation,
        out: *mut *mut Shard,
    ) -> c_int;
    pub fn atlas_shard_extract_batch(
        projection: *const Projection,
        regions: *const Region,
        count: usize,
        options: *const ExtractOptions,
        operation: *const Operation,
        out: *mut *mut Shard,
    ) -> c_int;
    pub fn atlas_shard_verify(
        shard: *const Shard,
        options: *const c_void,
        operation: *const Operation,
    ) -> c_int;
    pub fn atlas_shard_destroy(shard: *mut Shard);
    pub fn atlas_stream_project(
        kind: u32,
        source: *const Source,
        options: *const c_void,
        config: *const StreamConfig,
        operation: *const Operation,
        out: *mut *mut Projection,
    ) -> c_int;
    pub fn atlas_stream_open(
        kind: u32,
        source: *const Source,
        options: *const c_void,
        config: *const StreamConfig,
        operation: *const Operation,
        out: *mut *mut Stream,
    ) -> c_int;
    pub fn atlas_stream_open_push(
        kind: u32,
        spool: *const c_char,
        options: *const c_void,
        config: *const StreamConfig,
        operation: *const Operation,
        out: *mut *mut Stream,
    ) -> c_int;
    pub fn atlas_stream_push(stream: *mut Stream, data: *const c_void, size: usize) -> c_int;
    pub fn atlas_stream_next(stream: *mut Stream, chunk: *mut Chunk, has_chunk: *mut bool) -> c_int;
    pub fn atlas_stream_finish(stream: *mut Stream, out: *mut *mut Projection) -> c_int;
    pub fn atlas_stream_destroy(stream: *mut Stream);
    pub fn atlas_buffer_free(buffer: *mut Buffer);
    pub fn atlas_benchmark_run(
        config: *const BenchmarkConfig,
        operation: *const Operation,
        out: *mut *mut Report,
    ) -> c_int;
    pub fn atlas_benchmark_report_format(report: *const Report, format: u32, out: *mut Buffer) -> c_int;
    pub fn atlas_benchmark_report_destroy(report: *mut Report);
}
