//! Bits to numbers and back: 13-bit symbols of a tile, and 14-bit fields, the packed coefficients of a class.
//!
//! Both are one stream of bits, least significant first: bit n of the stream is bit n mod 8 of byte n / 8,
//! and number m of w bits is bits w·m .. w·m + w of the stream. This module has the plain form, which the
//! portable path uses for symbols and the error paths use for fields; `lanes` has the fast form.
//!
//! `lanes` packs fields in another way. Sixteen classes lie side by side in the lanes, so that eight
//! consecutive fields of each class are eight vectors. Shifts of whole vectors make seven vectors of words
//! from them, and no byte is shuffled until the words are transposed into their classes.

#![forbid(unsafe_code)]

use super::SYMBOL_BYTES;
use super::field::P;
use super::{CLASS_BLOCK_BYTES, COEFFICIENTS_PER_CLASS};

/// The largest 13-bit symbol.
pub(super) const SYMBOL_MAX: u16 = 8191;

/// Unpacks the sixteen 13-bit symbols in 26 bytes.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "13 bits are kept")]
pub(super) fn unpack_symbols(bytes: &[u8; SYMBOL_BYTES]) -> [i16; 16] {
    let mut symbols = [0; 16];
    for (half, eight) in symbols.as_chunks_mut::<8>().0.iter_mut().enumerate() {
        // Eight symbols are 13 bytes, which fit an integer of 128 bits.
        let mut window = [0; 16];
        window[..13].copy_from_slice(&bytes[13 * half..13 * half + 13]);
        let stream = u128::from_le_bytes(window);
        for (m, symbol) in eight.iter_mut().enumerate() {
            *symbol = (stream >> (13 * m)) as i16 & 0x1fff;
        }
    }
    symbols
}

/// Packs sixteen symbols into 26 bytes. Only the low 13 bits of larger numbers are kept.
#[inline(always)]
pub(super) fn pack_symbols(symbols: &[i16; 16]) -> [u8; SYMBOL_BYTES] {
    let mut bytes = [0; SYMBOL_BYTES];
    for (half, eight) in symbols.as_chunks::<8>().0.iter().enumerate() {
        // Eight symbols at a time, as in `unpack_symbols`.
        let mut stream = 0u128;
        for (m, symbol) in eight.iter().enumerate() {
            stream |= u128::from((symbol & 0x1fff).cast_unsigned()) << (13 * m);
        }
        bytes[13 * half..13 * half + 13].copy_from_slice(&stream.to_le_bytes()[..13]);
    }
    bytes
}

/// Returns the 14-bit field number `j` in the 224 bytes of a block in one class.
fn field(bytes: &[u8], j: usize) -> u16 {
    let at = 14 * j;
    // A field touches up to three bytes, of which the third may be after the end.
    let byte = |i: usize| u32::from(bytes.get(at / 8 + i).copied().unwrap_or(0));
    let window = byte(0) | byte(1) << 8 | byte(2) << 16;
    #[expect(clippy::cast_possible_truncation, reason = "14 bits are kept")]
    let field = (window >> (at % 8)) as u16 & 0x3fff;
    field
}

/// Returns index and value of the first field above 12288 in the 224 bytes of a block in one class.
pub(super) fn first_bad_field(bytes: &[u8]) -> Option<(usize, u16)> {
    debug_assert_eq!(bytes.len(), CLASS_BLOCK_BYTES);
    (0..COEFFICIENTS_PER_CLASS).map(|j| (j, field(bytes, j))).find(|&(_, value)| value >= P)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn symbols_are_the_bits_of_the_stream_in_order() {
        for bit in 0..208 {
            let mut bytes = [0; SYMBOL_BYTES];
            bytes[bit / 8] = 1 << (bit % 8);
            let symbols = unpack_symbols(&bytes);
            for (m, &symbol) in symbols.iter().enumerate() {
                let expected = if bit / 13 == m { 1 << (bit % 13) } else { 0 };
                assert_eq!(symbol, expected, "bit {bit}, symbol {m}");
            }
            assert_eq!(pack_symbols(&symbols), bytes);
        }
    }

    #[test]
    fn fields_are_the_bits_of_the_stream_in_order() {
        for bit in 0..14 * COEFFICIENTS_PER_CLASS {
            let mut bytes = [0; CLASS_BLOCK_BYTES];
            bytes[bit / 8] = 1 << (bit % 8);
            assert_eq!(field(&bytes, bit / 14), 1 << (bit % 14));
        }
    }

    #[test]
    fn the_first_field_above_12288_is_found() {
        let mut bytes = [0; CLASS_BLOCK_BYTES];
        assert_eq!(first_bad_field(&bytes), None);
        bytes[222..].copy_from_slice(&[0, 0xc0]); // field 127 = 12288
        assert_eq!(first_bad_field(&bytes), None);
        bytes[222] = 4; // field 127 = 12289
        assert_eq!(first_bad_field(&bytes), Some((127, 12_289)));
        bytes[0] = 0xff;
        bytes[1] = 0x3f;
        assert_eq!(first_bad_field(&bytes), Some((0, 16_383)));
    }
}
