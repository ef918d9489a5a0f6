//! GF(12289) in sixteen bits.
//!
//! A residue is represented by any `i16` congruent to it; nothing is reduced before it has to be. A product
//! with a known factor w uses Montgomery's method: with `value` = w·2^16 mod p, centred, and `quotient` =
//! `value`·p^-1 mod 2^16,
//!
//! ```text
//! t = low16(a * quotient)                so that t*p and a*value agree in their low 16 bits
//! a*w = (a*value - t*p) / 2^16 = high16(a*value) - high16(t*p)      mod p
//! ```
//!
//! These are three multiplications of 16-bit lanes and a subtraction. As |value| <= 6144 and
//! |t|*p <= 2^15 * p, the result is at most |a| * 6144/65536 + 6144.5 in size: at most 9216 for
//! every `i16` a, and never out of range.

#![forbid(unsafe_code)]

/// The prime p of the field: 12289 = 96 * 128 + 1.
pub(super) const P: u16 = 12_289;

/// The prime p as a signed 16-bit number, the type of a lane.
pub(super) const P_LANE: i16 = 12_289;

/// ω, the smallest generator of the multiplicative group, of order 12288.
pub(super) const OMEGA: u32 = 11;

const P_WIDE: u32 = 12_289;

/// p^-1 modulo 2^16. Each of three steps of Newton's method doubles the number of correct bits, from 3 to 24.
const P_INVERSE: i16 = {
    let p = P_LANE;
    let mut inverse = p;
    let mut step = 0;
    while step < 3 {
        inverse = inverse.wrapping_mul(2i16.wrapping_sub(p.wrapping_mul(inverse)));
        step += 1;
    }
    inverse
};

/// Returns a·b mod p, for a, b below 2^16.
pub(super) const fn mul(a: u32, b: u32) -> u32 {
    a * b % P_WIDE
}

/// Returns base^exponent mod p.
pub(super) const fn pow(base: u32, mut exponent: u32) -> u32 {
    // Square and multiply, from the lowest bit of the exponent.
    let mut square = base % P_WIDE;
    let mut power = 1;
    while exponent > 0 {
        if exponent & 1 == 1 {
            power = mul(power, square);
        }
        square = mul(square, square);
        exponent >>= 1;
    }
    power
}

/// Returns ω^exponent mod p.
#[expect(clippy::cast_possible_truncation, reason = "the exponent is reduced below 12288")]
pub(super) const fn root(exponent: usize) -> u32 {
    pow(OMEGA, (exponent % 12_288) as u32)
}

/// Returns 1/a mod p by Fermat's theorem, and 0 for 0.
pub(super) const fn inverse(a: u32) -> u32 {
    pow(a, P_WIDE - 2)
}

/// Returns a - b mod p, for a, b below p.
pub(super) const fn difference(a: u32, b: u32) -> u32 {
    (a + P_WIDE - b) % P_WIDE
}

/// A factor w that is known in advance, in the form that Montgomery's multiplication needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Factor {
    /// w·2^16 mod p for the factor w, between -6144 and 6144.
    pub(super) value: i16,
    /// `value`·p^-1 modulo 2^16.
    pub(super) quotient: i16,
}

impl Factor {
    /// Returns the form of the factor w for Montgomery's multiplication.
    #[expect(clippy::cast_possible_truncation, reason = "a centred residue is within +-6144")]
    #[expect(clippy::cast_possible_wrap, reason = "a residue is below 12289")]
    pub(super) const fn new(w: u32) -> Self {
        let scaled = mul(w % P_WIDE, 65_536 % P_WIDE);
        // Centred, because the size of a product grows with that of the factor.
        let value = if scaled > P_WIDE / 2 { (scaled as i32 - P_WIDE as i32) as i16 } else { scaled as i16 };
        // The quotient makes the low halves of both products equal.
        Self { value, quotient: value.wrapping_mul(P_INVERSE) }
    }

    /// Returns ω^exponent as a factor.
    pub(super) const fn root(exponent: usize) -> Self {
        Self::new(root(exponent))
    }
}

/// Returns the high 16 bits of the 32-bit product a·b.
#[inline(always)]
pub(super) const fn mul_high(a: i16, b: i16) -> i16 {
    ((a as i32 * b as i32) >> 16) as i16
}

/// Returns a number congruent to a·w mod p, at most 9216 in size; `value` and `quotient` are the [`Factor`] of
/// w.
#[inline(always)]
pub(super) const fn mul_factor(a: i16, value: i16, quotient: i16) -> i16 {
    // Both products have the same low half, so that the difference of the high halves is exact.
    mul_high(a, value).wrapping_sub(mul_high(a.wrapping_mul(quotient), P_LANE))
}

/// Returns a smaller number congruent to a: a - p·round(3a / 2^15).
///
/// 3/2^15 is 1/p up to an eighth, so the rounded quotient changes a little early and the result is
/// not fully reduced: at most 6828 in size for |a| < 16384, 8194 for |a| < 27307, and 9560 always.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "the rounded quotient is between -3 and 3")]
pub(super) const fn reduce(a: i16) -> i16 {
    // Rounded to the nearest integer, so that the result lies around zero.
    let quotient = ((a as i32 * 3 + (1 << 14)) >> 15) as i16;
    a.wrapping_sub(quotient.wrapping_mul(P_LANE))
}

/// Returns the residue of a in 0..p. With r = `reduce(a)`, which is less than p in size, it is the smaller of r
/// and r + p when both are read as unsigned.
#[inline(always)]
#[expect(clippy::cast_sign_loss, reason = "negative lanes are meant to become large")]
#[expect(clippy::cast_possible_wrap, reason = "the smaller of the two is below p")]
pub(super) const fn canonical(a: i16) -> i16 {
    // A negative number is large when it is read as unsigned.
    let r = reduce(a);
    let (low, high) = (r as u16, r.wrapping_add(P_LANE) as u16);
    (if low < high { low } else { high }) as i16
}

#[cfg(test)]
mod tests {
    use super::*;

    fn congruent(a: i64, b: i64) -> bool {
        (a - b).rem_euclid(i64::from(P)) == 0
    }

    #[test]
    fn constants_are_what_their_names_say() {
        assert_eq!(P_LANE.wrapping_mul(P_INVERSE), 1);
        assert_eq!(u32::from(P), P_WIDE);
        assert_eq!(inverse(12_288), 12_288);
        assert_eq!(inverse(96), 12_161);
        assert_eq!(inverse(128), 12_193);
        assert_eq!(mul(7, inverse(7)), 1);
        assert_eq!(root(12_288), 1);
        assert_eq!(difference(3, 5), P_WIDE - 2);
    }

    #[test]
    fn every_lane_value_is_reduced_within_its_bound() {
        for a in i16::MIN..=i16::MAX {
            let r = reduce(a);
            assert!(congruent(i64::from(r), i64::from(a)));
            let size = i32::from(a).abs();
            let bound = match size {
                0..16_384 => 6828,
                16_384..27_307 => 8194,
                _ => 9560,
            };
            assert!(i32::from(r).abs() <= bound, "reduce({a}) = {r}");
            let c = canonical(a);
            assert!((0..P_LANE).contains(&c) && congruent(i64::from(c), i64::from(a)));
        }
    }

    #[test]
    fn every_factor_multiplies_within_its_bound() {
        // All 12,289 factors with lanes chosen for their edges, all lanes with some factors.
        let edges = [i16::MIN, i16::MIN + 1, -12_289, -6145, -1, 0, 1, 4097, 8191, 12_288, i16::MAX];
        let check = |w: u32, a: i16| {
            let factor = Factor::new(w);
            assert!(factor.value.abs() <= 6144);
            let r = mul_factor(a, factor.value, factor.quotient);
            assert!(congruent(i64::from(r), i64::from(a) * i64::from(w)), "{a} * {w}");
            let bound = i32::from(a).abs() * 6144 + (1 << 15) * i32::from(P);
            assert!(i32::from(r).abs() * 65_536 <= bound, "{a} * {w}");
        };
        for w in 0..P_WIDE {
            edges.iter().for_each(|&a| check(w, a));
        }
        for w in [0, 1, 2, 11, 1479, 5957, 6144, 6145, 12_149, 12_288] {
            (i16::MIN..=i16::MAX).for_each(|a| check(w, a));
        }
    }
}
