//! Outlines: comparing, verifying and repairing bytes that stay in their file.
//!
//! A projection identifies its bytes without storing them. The calls of this module use this property: the
//! search for damage, the repair of a file with the same bytes from another source, and the difference of two
//! projections.

#![forbid(unsafe_code)]

mod diff;
mod find;
mod places;
mod repair;
mod select;
mod survey;

#[cfg(test)]
mod tests;
