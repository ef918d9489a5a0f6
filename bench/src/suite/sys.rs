//! The benchmark part of the C API, and what it needs.

use std::ffi::{c_char, c_int, c_void};

pub enum Report {}

#[repr(C)]
pub struct Config {
    pub struct_size: u32,
    pub warmup_iterations: u32,
    pub iterations: u32,
    pub max_seconds: f64,
    pub data_sizes: *const u64,
    pub data_size_count: usize,
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
pub struct Operation {
    pub struct_size: u32,
    pub pool: *const c_void,
    pub progress: Option<extern "C" fn(*const Progress, *mut c_void) -> bool>,
    pub user_data: *mut c_void,
    pub memory_limit: u64,
}

#[repr(C)]
pub struct Buffer {
    pub data: *mut u8,
    pub size: usize,
}

unsafe extern "C" {
    pub fn atlas_last_error_message() -> *const c_char;
    pub fn atlas_operation_init(operation: *mut Operation);
    pub fn atlas_buffer_free(buffer: *mut Buffer);
    pub fn atlas_benchmark_config_init(config: *mut Config);
    pub fn atlas_benchmark_run(
        config: *const Config,
        operation: *const Operation,
        out: *mut *mut Report,
    ) -> c_int;
    pub fn atlas_benchmark_report_format(report: *const Report, format: u32, out: *mut Buffer) -> c_int;
    pub fn atlas_benchmark_report_destroy(report: *mut Report);
}
