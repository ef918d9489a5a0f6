//! R96_FOURIER: an exact Fourier transform whose 96 parts are a Reed–Solomon code.
//!
//! 12289 = 96 · 128 + 1 is prime, so the integers modulo 12289 have a Fourier transform of length 12,288
//! without rounding. A tile's bytes, read as 13-bit symbols, are divided into blocks of K · 128 of them,
//! and the spectrum of a block is distributed over 96 classes:
//!
//! ```text
//! for each block f of K·128 symbols, least significant bit first, the last one padded with zeros:
//!     for k in 0..12288:  F[k] = sum over m of f[m] · 11^(k m)  mod 12289
//!     for r in 0..96:     payload of class r += F[r], F[r + 96], …, F[r + 96·127], 14 bits each
//! ```
//!
//! For fixed s < 128 the symbols f[s], f[128 + s], … are the coefficients of a polynomial of degree
//! below K, and class r holds, disguised by a transform of its own 128 numbers, the values of these
//! 128 polynomials at the r-th 96th root of unity. Any K of its values determine a polynomial of degree
//! below K: so **any K classes rebuild the block**, and more than K check it.
//!
//! The real code does not follow the definition, at 12,288 products per coefficient, but splits the
//! transform as 96 × 128 (`transform`) over sixteen 16-bit lanes (`lanes`) with Montgomery products
//! and sums that are reduced only if they must be (`field`). All machines give the same bits.
//!
//! The names of the parts: `encode` and `decode` walk over the blocks, `pack` has the bit formats.

#![allow(clippy::needless_range_loop, reason = "indices are exponents here, not just places")]

mod decode;
mod encode;
mod field;
mod lanes;
mod pack;
mod transform;

#[cfg(test)]
mod tests;

pub(crate) use decode::Decoder;
pub(crate) use encode::Encoder;

use std::fmt;

/// Number of bytes of sixteen 13-bit symbols.
const SYMBOL_BYTES: usize = 26;
/// Number of resonance classes.
pub(crate) const CLASSES: usize = 96;

/// Number of coefficients of a block in one class.
pub(crate) const COEFFICIENTS_PER_CLASS: usize = 128;

/// Number of bytes of a block in one class: 128 coefficients of 14 bits.
pub(crate) const CLASS_BLOCK_BYTES: usize = 224;

/// Number of 16-bit words in the 224 bytes of a block in one class.
const WORDS: usize = CLASS_BLOCK_BYTES / 2;

/// Returns the number of bytes of a block for K = `k`: 128 k symbols of 13 bits.
pub(crate) const fn block_bytes(k: usize) -> usize {
    208 * k
}

/// Returns the number of blocks in a tile of `len` bytes for K = `k`, which must not be 0.
pub(crate) const fn block_count(len: usize, k: usize) -> usize {
    len.div_ceil(block_bytes(k))
}

/// Reason that there is no encoder or decoder for the given parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ParameterError {
    /// K, the number of needed classes, is not 1..=96.
    DataClasses {
        /// K, the number of needed classes.
        k: usize,
    },
    /// A class number is above 95.
    Class {
        /// Number of the class, 96 or more.
        class: u8,
    },
    /// A class is given twice.
    Duplicate {
        /// Number of the class.
        class: u8,
    },
    /// Fewer than K classes cannot rebuild anything.
    TooFewClasses {
        /// Number of available classes.
        have: usize,
        /// K, the number of needed classes.
        needed: usize,
    },
}

impl fmt::Display for ParameterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DataClasses { k } => write!(f, "r96_data_classes {k} is outside 1..=96"),
            Self::Class { class } => write!(f, "class {class} is outside 0..=95"),
            Self::Duplicate { class } => write!(f, "class {class} is named twice"),
            Self::TooFewClasses { have, needed } => {
                write!(f, "{have} of {needed} needed classes are available")
            }
        }
    }
}

impl std::error::Error for ParameterError {}

/// Fault that a decoder found in payloads. Block numbers count from the beginning of the given payloads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub(crate) enum DecodeError {
    /// The number of payloads differs from that of the classes.
    Payloads {
        /// Number of classes that the decoder was made for.
        expected: usize,
        /// Number of payloads given.
        actual: usize,
    },
    /// A payload has the wrong length for the requested bytes.
    Length {
        /// Number of the class whose payload it is.
        class: u8,
        /// Required length, 224 bytes per block.
        expected: usize,
        /// Length of the payload.
        actual: usize,
    },
    /// A 14-bit field is above 12288.
    Field {
        /// Number of the class whose payload has the field.
        class: u8,
        /// Number of the block that has the field.
        block: usize,
        /// Index of the field in the block, 0..=127.
        index: usize,
        /// Value of the field.
        value: u16,
    },
    /// The classes are not one codeword: the classes beyond the first K contradict the first K classes.
    Inconsistent {
        /// Number of the block.
        block: usize,
    },
    /// A symbol of the rebuilt block is above 8191.
    Symbol {
        /// Number of the block.
        block: usize,
        /// Number of the symbol in the block.
        index: usize,
        /// Value of the symbol.
        value: u16,
    },
    /// A bit after the tile's end, in the padding of the last block, is not zero.
    Padding {
        /// Number of the last block, which has the padding.
        block: usize,
    },
    /// There is no memory for the buffers of the transform.
    NoMemory,
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Payloads { expected, actual } => {
                write!(f, "{actual} payloads were given for {expected} classes")
            }
            Self::Length { class, expected, actual } => {
                write!(f, "payload of class {class} has {actual} bytes instead of {expected}")
            }
            Self::Field { class, block, index, value } => {
                write!(f, "coefficient {index} of class {class} in block {block} is {value}, above 12288")
            }
            Self::Inconsistent { block } => {
                write!(f, "the classes of block {block} contradict each other")
            }
            Self::Symbol { block, index, value } => {
                write!(f, "symbol {index} of block {block} decodes to {value}, above 8191")
            }
            Self::Padding { block } => {
                write!(f, "the padding of block {block} of the classes is not zero")
            }
            Self::NoMemory => f.write_str("no memory for a block of the transform"),
        }
    }
}

impl std::error::Error for DecodeError {}

/// Returns `k` if it is a valid K, the number of needed classes: 1 to 96.
fn check_data_classes(k: usize) -> Result<usize, ParameterError> {
    if (1..=CLASSES).contains(&k) { Ok(k) } else { Err(ParameterError::DataClasses { k }) }
}

/// List of different resonance classes, in the order of their payloads.
#[derive(Clone, Debug)]
struct ClassList(Vec<u8>);

impl ClassList {
    fn new(classes: &[u8]) -> Result<Self, ParameterError> {
        let mut seen = [false; CLASSES];
        for &class in classes {
            // A class above 95 has no place in the list.
            match seen.get_mut(usize::from(class)) {
                None => return Err(ParameterError::Class { class }),
                Some(true) => return Err(ParameterError::Duplicate { class }),
                Some(seen) => *seen = true,
            }
        }
        // The order is kept, because it is that of the payloads.
        Ok(Self(classes.to_vec()))
    }

    fn as_slice(&self) -> &[u8] {
        &self.0
    }
}
