//! Benchmark: the speed of the library on this machine.
//!
//! The suite generates its own data. It measures each part of the library, and beside it memcpy and BLAKE3,
//! which bound the speed of the parts.
//!
//! ```c
//! static atlas_status print_speed(void) {
//!   atlas_benchmark_report *report = NULL;
//!   atlas_buffer text = { NULL, 0 };
//!   atlas_status status = atlas_benchmark_run(NULL, NULL, &report); // takes minutes
//!   if (status == ATLAS_STATUS_OK)
//!     status = atlas_benchmark_report_format(report, ATLAS_REPORT_TEXT, &text);
//!   fwrite(text.data, 1, text.size, stdout);
//!   atlas_buffer_free(&text);
//!   atlas_benchmark_report_destroy(report);
//!   return status;
//! }
//! ```

use super::args::{c_enum, drop_handle, handle, items_in, out, out_handle};
use super::boundary::{boundary, infallible};
use super::operation::{atlas_operation, with_operation};
use super::sized::{OutStruct, SizedStruct, init_struct, own_size, read_struct, sized_struct};
use super::status::atlas_status;
use super::version::atlas_buffer;
use crate::base::error::{AtlasError, Result};
use crate::base::fallible::written;
use crate::base::units::to_u64;
use crate::benchmark::{BenchmarkConfig, BenchmarkReport, available, run};
use std::ffi::c_char;

/// Settings of a benchmark run. Fill it with atlas_benchmark_config_init().
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct atlas_benchmark_config {
    /// sizeof(atlas_benchmark_config).
    pub struct_size: u32,
    /// Iterations of a case before the measured iterations. Default 3.
    pub warmup_iterations: u32,
    /// Measured iterations of a case, at least 1. Default 10.
    pub iterations: u32,
    /// Seconds for the iterations of one case, finite and greater than 0. Default 5. After this time no
    /// iteration begins, except the first measured iteration; warm-up gets half of this time. A running
    /// iteration is not interrupted, and the preparation of the case does not count.
    pub max_seconds: f64,
    /// Sizes of the domains in bytes, each greater than 0. NULL means 1, 16 and 64 MiB. Borrowed
    /// for the call.
    pub data_sizes: *const u64,
    /// Number of sizes at data_sizes, at least 1. 0 if data_sizes is NULL.
    pub data_size_count: usize,
}

/// The default settings, without sizes.
static DEFAULT: BenchmarkConfig = BenchmarkConfig::with_sizes(Vec::new());

sized_struct!(
    atlas_benchmark_config,
    atlas_benchmark_config {
        struct_size: own_size::<atlas_benchmark_config>(),
        warmup_iterations: DEFAULT.warmup_iterations,
        iterations: DEFAULT.iterations,
        max_seconds: DEFAULT.max_seconds,
        data_sizes: std::ptr::null(),
        data_size_count: 0,
    },
    [struct_size, warmup_iterations, iterations, max_seconds, data_sizes, data_size_count]
);

/// Fills `config` with the defaults: 3 iterations of warm-up and 10 measured iterations, 5 seconds per case,
/// domains of 1, 16 and 64 MiB.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn atlas_benchmark_config_init(config: *mut atlas_benchmark_config) {
    // SAFETY: the header requires NULL or a whole struct.
    unsafe { init_struct(config) };
}

/// Converts the caller's configuration.
///
/// # Safety
///
/// `config` is NULL or a struct that meets the header's terms.
unsafe fn config_in(config: *const atlas_benchmark_config) -> Result<BenchmarkConfig> {
    // SAFETY: the caller meets this function's requirements.
    let config = unsafe { read_struct(config) }?;
    let mut taken = BenchmarkConfig {
        warmup_iterations: config.warmup_iterations,
        iterations: config.iterations,
        max_seconds: config.max_seconds,
        ..BenchmarkConfig::default()
    };
    // No list means the default sizes; an empty list is passed on, and refused by the core.
    if !config.data_sizes.is_null() || config.data_size_count > 0 {
        // SAFETY: the caller promises so many numbers.
        let sizes = unsafe { items_in(config.data_sizes, config.data_size_count, "data_sizes") }?;
        taken.data_sizes = crate::base::buffer::try_vec(sizes.len())?;
        taken.data_sizes.extend_from_slice(sizes);
    }
    Ok(taken)
}

/// Results of a benchmark run. They do not change.
pub struct atlas_benchmark_report {
    report: BenchmarkReport,
}

/// One case on a domain of one size. Times are nanoseconds per iteration. Filled by
/// atlas_benchmark_report_get().
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct atlas_benchmark_result {
    /// sizeof(atlas_benchmark_result), set by the caller.
    pub struct_size: u32,
    /// Always 0.
    pub reserved: u32,
    /// Name of the case, such as "linear projection". Borrowed until the report is destroyed.
    pub name: *const c_char,
    /// Number of bytes of the domain.
    pub data_size: u64,
    /// Number of measured iterations, fewer than requested if max_seconds ran out.
    pub iterations: u64,
    /// Time of the fastest iteration.
    pub min_ns: f64,
    /// Time of the slowest iteration.
    pub max_ns: f64,
    /// Mean time.
    pub mean_ns: f64,
    /// Median time.
    pub median_ns: f64,
    /// Standard deviation. 0 for one iteration.
    pub stddev_ns: f64,
    /// data_size divided by the median. Meaningless for transformations and incremental cases,
    /// whose time does not depend on the size of the domain.
    pub bytes_per_second: f64,
}

sized_struct!(
    atlas_benchmark_result,
    atlas_benchmark_result {
        struct_size: own_size::<atlas_benchmark_result>(),
        reserved: 0,
        name: std::ptr::null(),
        data_size: 0,
        iterations: 0,
        min_ns: 0.0,
        max_ns: 0.0,
        mean_ns: 0.0,
        median_ns: 0.0,
        stddev_ns: 0.0,
        bytes_per_second: 0.0,
    },
    [
        struct_size,
        reserved,
        name,
        data_size,
        iterations,
        min_ns,
        max_ns,
        mean_ns,
        median_ns,
        stddev_ns,
        bytes_per_second
    ]
);

/// Measures the library on this machine, case by case for each size, on data that the call generates.
///
/// Cases: "memcpy" and "BLAKE3" (bounds of the other cases), projections, streaming, verification, single and
/// many shards, reconstruction, transformation, updates, compression. Cases that are not built in are left
/// out. `config` and `operation` may be NULL. `*out` is owned by the caller:
/// atlas_benchmark_report_destroy(). Callable from any thread, but concurrent work slows the measured cases
/// down.
///
/// A case of one size takes at most max_seconds, plus the time of its preparation (the domain projected,
/// split into shards, compressed), of one warm-up iteration and of one measured iteration, which are never
/// interrupted. Progress is reported before a case is prepared, after each iteration and after the
/// case, and counts cases as chunks. If the callback returns false, the call ends after the present
/// preparation or iteration.
///
/// Needs memory for five times the largest size, plus 64 KiB per MiB of that size, plus 6 MiB. Fails with
/// INVALID_ARGUMENT, LIMIT (memory_limit is less than this memory), OUT_OF_MEMORY, CANCELLED, STATE (pool
/// from before a fork) or UNSUPPORTED (not built in). If one size is the cause, the index in atlas_error_info
/// is that of the size at data_sizes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn atlas_benchmark_run(
    config: *const atlas_benchmark_config,
    operation: *const atlas_operation,
    out: *mut *mut atlas_benchmark_report,
) -> atlas_status {
    boundary(|| {
        // SAFETY: the header requires NULL or a place for a pointer.
        let out = unsafe { out_handle(out) }?;
        available()?;
        // SAFETY: the header requires a struct of its struct_size.
        let config = unsafe { config_in(config) }?;
        // SAFETY: the caller meets the header's requirements.
        let report = unsafe { with_operation(operation, |operation| run(&config, operation)) }?;
        out.fill(atlas_benchmark_report { report });
        Ok(())
    })
}

/// Returns the number of results. 0 for NULL. Callable from any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn atlas_benchmark_report_count(report: *const atlas_benchmark_report) -> usize {
    infallible(0, || {
        // SAFETY: the header requires NULL or a live report.
        unsafe { report.as_ref() }.map_or(0, |report| report.report.results().len())
    })
}

/// Fills `result` with result `index`, in the order of measurement: all cases of the first size
/// come first.
///
/// The caller sets result->struct_size. Callable from any thread. Fails with OUT_OF_RANGE,
/// INVALID_ARGUMENT or UNSUPPORTED (not built in).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn atlas_benchmark_report_get(
    report: *const atlas_benchmark_report,
    index: usize,
    result: *mut atlas_benchmark_result,
) -> atlas_status {
    boundary(|| {
        // SAFETY: the header requires a struct of its struct_size.
        let out = unsafe { OutStruct::new(result, "result") }?;
        available()?;
        // SAFETY: the header requires a live report.
        let results = unsafe { handle(report, "report") }?.report.results();
        let Some(result) = results.get(index) else {
            let count = results.len();
            return Err(AtlasError::out_of_range(format!("result {index} is outside 0..{count}"))
                .at_index(to_u64(index)));
        };
        // The name is borrowed from the report, and ends with a NUL there.
        out.fill(&atlas_benchmark_result {
            name: result.c_name.as_ptr(),
            data_size: result.data_size,
            iterations: result.iterations,
            min_ns: result.min_ns,
            max_ns: result.max_ns,
            mean_ns: result.mean_ns,
            median_ns: result.median_ns,
            stddev_ns: result.stddev_ns,
            bytes_per_second: result.bytes_per_second,
            ..atlas_benchmark_result::DEFAULT
        });
        Ok(())
    })
}

/// Format of a report. All are UTF-8.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub enum atlas_report_format {
    /// A table for people, at most 100 columns wide.
    ATLAS_REPORT_TEXT = 0,
    /// One JSON object, with the environment and an array of results.
    ATLAS_REPORT_JSON = 1,
    /// A line of names and a line per result, separated by commas.
    ATLAS_REPORT_CSV = 2,
}

/// Writes all results, each with its speed as a fraction of the speed of its bound, such as memcpy or BLAKE3.
///
/// `format` is an atlas_report_format. `*out` is owned by the caller: atlas_buffer_free(); it has
/// no terminating NUL byte. Callable from any thread. Fails with INVALID_ARGUMENT, OUT_OF_MEMORY or
/// UNSUPPORTED (not built in).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn atlas_benchmark_report_format(
    report: *const atlas_benchmark_report,
    format: u32,
    out: *mut atlas_buffer,
) -> atlas_status {
    boundary(|| {
        // SAFETY: the header requires a writable struct.
        let out = unsafe { self::out(out, atlas_buffer::EMPTY, "out") }?;
        available()?;
        // SAFETY: the header requires a live report.
        let report = &unsafe { handle(report, "report") }?.report;
        let text = c_enum!(format, "report format", atlas_report_format {
            ATLAS_REPORT_TEXT => written(|text| report.write_text(text)),
            ATLAS_REPORT_JSON => written(|text| report.write_json(text)),
            ATLAS_REPORT_CSV => written(|text| report.write_csv(text)),
        })?;
        let text = text.ok_or_else(|| AtlasError::out_of_memory("no memory for the text of the report"))?;
        out.set(atlas_buffer::from_vec(text.into_bytes())?);
        Ok(())
    })
}

/// Frees a report. NULL does nothing. No call may be using it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn atlas_benchmark_report_destroy(report: *mut atlas_benchmark_report) {
    // SAFETY: the header requires NULL or a report that is not used again.
    unsafe { drop_handle(report) };
}
