//! The C boundary: arguments become references, one call to the core, one place for panic and
//! status.
//!
//! No logic lives here. The obligations of every function towards C are written once:
//!
//! - `boundary` holds the `catch_unwind` and records the outcome for `atlas_last_error_*`.
//! - `args` turns pointers into references and checks each against the header's requirements on the caller: a
//!   live handle, a number of readable or writable bytes, or NULL if it is allowed. The SAFETY comments of
//!   this folder refer to these requirements.
//! - `sized` reads and fills structs that begin with `struct_size`.
//! - Numbers from C stay numbers until they are checked.
//!
//! The docs of each module open its part of the header: title, paragraph and example. build.rs has the
//! order of the parts; inside a part the order is that of the file.

#![allow(non_camel_case_types, reason = "the names are those of the C API")]
#![allow(unreachable_pub, dead_code, reason = "C reaches and uses what Rust does not")]

mod accelerator;
mod args;
mod benchmark;
mod boundary;
mod callback;
mod compression;
mod container;
mod container_options;
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
