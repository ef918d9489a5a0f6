//! The C boundary: arguments become references, one call to the core, one place for panic and status.
//!
//! No logic lives here. What every function owes to C is written once:
//!
//! - `boundary` holds the `catch_unwind` and records the outcome for `atlas_last_error_*`.
//! - `args` turns pointers into references, each against what the header asks of the caller: a live
//!   handle, so many readable or writable bytes, or NULL where that is allowed. That is the meaning of
//!   "as the header asks" in the SAFETY comments of this folder.
//! - `sized` reads and fills structs that begin with `struct_size`.
//! - Numbers from C stay numbers until they are checked.

#![allow(non_camel_case_types, reason = "the names are those of the C API")]
#![allow(unreachable_pub, dead_code, reason = "C reaches and uses what Rust does not")]

mod args;
mod benchmark;
mod boundary;
mod callback;
mod compression;
mod container;
mod damage;
mod incremental;
mod last_error;
mod operation;
mod outline;
mod parity;
mod projection;
mod reconstruction;
mod shard;
mod sized;
mod source;
mod status;
mod streaming;
mod transform;
mod version;
