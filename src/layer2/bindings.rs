// Made by bindgen from layer2/include/atlas_conservation.h: `make generate` renews it.

impl atlas_error_t {
    pub const ATLAS_OK: atlas_error_t = atlas_error_t(0);
    pub const ATLAS_E_INVALID: atlas_error_t = atlas_error_t(1);
    pub const ATLAS_E_MEMORY: atlas_error_t = atlas_error_t(2);
    pub const ATLAS_E_STATE: atlas_error_t = atlas_error_t(3);
    pub const ATLAS_E_BUDGET: atlas_error_t = atlas_error_t(4);
    pub const ATLAS_E_CONSERVATION: atlas_error_t = atlas_error_t(5);
    pub const ATLAS_E_WITNESS: atlas_error_t = atlas_error_t(6);
    pub const ATLAS_E_DESTROYED: atlas_error_t = atlas_error_t(7);
}
#[repr(transparent)]
#[derive(Debug, Copy, Clone, Hash, PartialEq, Eq)]
pub struct atlas_error_t(pub ::core::ffi::c_uint);
unsafe extern "C" {
    pub fn atlas_get_last_error() -> atlas_error_t;
}
unsafe extern "C" {
    pub fn atlas_error_string(error: atlas_error_t) -> *const ::core::ffi::c_char;
}
unsafe extern "C" {
    pub fn atlas_runtime_is_thread_safe() -> bool;
}
unsafe extern "C" {
    pub fn atlas_conserved_sum(data: *const ::core::ffi::c_void, len: usize) -> u32;
}
unsafe extern "C" {
    pub fn atlas_conserved_sums(
        data: *const ::core::ffi::c_void,
        len: usize,
        group: usize,
        sums: *mut u8,
    ) -> atlas_error_t;
}
unsafe extern "C" {
    pub fn atlas_conserved_check(data: *const ::core::ffi::c_void, len: usize) -> bool;
}
unsafe extern "C" {
    pub fn atlas_conserved_window_check(data: *const ::core::ffi::c_void, len: usize) -> bool;
}
unsafe extern "C" {
    pub fn atlas_conserved_delta(
        before: *const ::core::ffi::c_void,
        after: *const ::core::ffi::c_void,
        len: usize,
    ) -> u8;
}
#[repr(C)]
#[derive(Debug)]
pub struct atlas_domain {
    _unused: [u8; 0],
}
pub type atlas_domain_t = atlas_domain;
unsafe extern "C" {
    pub fn atlas_domain_create(bytes: usize, budget_class: u8) -> *mut atlas_domain_t;
}
unsafe extern "C" {
    pub fn atlas_domain_attach(
        domain: *mut atlas_domain_t,
        base: *mut ::core::ffi::c_void,
        len: usize,
    ) -> ::core::ffi::c_int;
}
unsafe extern "C" {
    pub fn atlas_domain_verify(domain: *const atlas_domain_t) -> bool;
}
unsafe extern "C" {
    pub fn atlas_domain_commit(domain: *mut atlas_domain_t) -> ::core::ffi::c_int;
}
unsafe extern "C" {
    pub fn atlas_domain_destroy(domain: *mut atlas_domain_t);
}
unsafe extern "C" {
    pub fn atlas_budget_alloc(domain: *mut atlas_domain_t, amount: u8) -> bool;
}
unsafe extern "C" {
    pub fn atlas_budget_release(domain: *mut atlas_domain_t, amount: u8) -> bool;
}
pub type atlas_digest_fn = ::core::option::Option<
    unsafe extern "C" fn(data: *const ::core::ffi::c_void, size: usize, digest: *mut u8),
>;
unsafe extern "C" {
    pub fn atlas_conservation_set_digest(digest: atlas_digest_fn) -> atlas_error_t;
}
#[repr(C)]
#[derive(Debug)]
pub struct atlas_witness {
    _unused: [u8; 0],
}
pub type atlas_witness_t = atlas_witness;
unsafe extern "C" {
    pub fn atlas_witness_generate(base: *const ::core::ffi::c_void, len: usize) -> *mut atlas_witness_t;
}
unsafe extern "C" {
    pub fn atlas_witness_verify(
        witness: *const atlas_witness_t,
        base: *const ::core::ffi::c_void,
        len: usize,
    ) -> bool;
}
unsafe extern "C" {
    pub fn atlas_witness_destroy(witness: *mut atlas_witness_t);
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct atlas_batch_buffer_t {
    pub data: *mut ::core::ffi::c_void,
    pub size: usize,
    pub status: u8,
    pub reserved: [u8; 7usize],
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct atlas_batch_delta_t {
    pub before: *const ::core::ffi::c_void,
    pub after: *const ::core::ffi::c_void,
    pub size: usize,
    pub delta: u8,
    pub reserved: [u8; 7usize],
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct atlas_batch_witness_t {
    pub data: *const ::core::ffi::c_void,
    pub size: usize,
    pub witness: *mut atlas_witness_t,
    pub status: u32,
    pub reserved: [u8; 4usize],
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct atlas_batch_stats_t {
    pub conserved_calls: u64,
    pub delta_calls: u64,
    pub witness_calls: u64,
    pub total_buffers: u64,
}
unsafe extern "C" {
    pub fn atlas_batch_conserved_check(buffers: *const atlas_batch_buffer_t, count: usize) -> *mut u8;
}
unsafe extern "C" {
    pub fn atlas_batch_delta_compute(deltas: *mut atlas_batch_delta_t, count: usize) -> ::core::ffi::c_int;
}
unsafe extern "C" {
    pub fn atlas_batch_witness_generate(
        witnesses: *mut atlas_batch_witness_t,
        count: usize,
    ) -> ::core::ffi::c_int;
}
unsafe extern "C" {
    pub fn atlas_batch_get_statistics(stats: *mut atlas_batch_stats_t) -> bool;
}
unsafe extern "C" {
    pub fn atlas_batch_reset_statistics();
}
unsafe extern "C" {
    pub fn atlas_batch_get_optimal_size(buffer_size: usize) -> usize;
}
