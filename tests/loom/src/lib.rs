//! The code of the library that threads share, under loom, which runs the interleavings of a few threads and
//! every value that a load may see by the memory model. The sources are the library's own; the modules that they
//! use are replaced below by the least that does.
#![cfg(all(test, loom))]

mod base;
mod pool;
