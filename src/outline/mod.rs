//! Outlines: comparing, verifying and repairing bytes that stay in their file.
//!
//! A projection identifies its bytes without having them. These calls use that: the search for damage, the
//! repair of a file through any other way to the same bytes, and the difference of two projections.

#![forbid(unsafe_code)]

mod diff;
mod find;
mod places;
mod repair;
mod select;
mod survey;

#[cfg(test)]
mod tests;
