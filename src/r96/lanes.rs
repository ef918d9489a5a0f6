//! Sixteen 16-bit lanes: the one vector type that the transform is written for.
//!
//! Everything above this file is generic over [`Lanes`] and safe. There are two implementations,
//! [`Portable`] and, on x86-64, [`Avx2`]; the tests add a third that carries intervals instead of
//! numbers and so proves that no lazy sum can leave its lane. An implementation is a token: a value
//! of type [`Avx2`] exists only where the processor was seen to have AVX2, and that is the whole
//! argument for the `unsafe` blocks here that call its instructions.

use super::field::{self, Factor};

/// Sixteen lanes at rest, aligned for one load.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(32))]
pub(super) struct Row(pub(super) [i16; 16]);

/// Sixteen factors at rest, in one cache line.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub(super) struct FactorRow {
    /// `Factor::value` of each lane.
    pub(super) value: Row,
    /// `Factor::quotient` of each lane.
    pub(super) quotient: Row,
}

impl FactorRow {
    /// The row of `factors`.
    pub(super) fn new(factors: [Factor; 16]) -> Self {
        Self { value: Row(factors.map(|f| f.value)), quotient: Row(factors.map(|f| f.quotient)) }
    }
}

/// Bytes that sixteen 13-bit symbols take.
pub(super) const SYMBOL_BYTES: usize = 26;

/// Bytes that sixteen lanes take.
pub(super) const LANE_BYTES: usize = 32;

/// What the transform asks of a vector of sixteen lanes. `field` says what the arithmetic means;
/// sums and differences are for the caller to keep in range.
pub(super) trait Lanes: Copy {
    /// Sixteen lanes.
    type V: Copy;

    /// The same value in every lane.
    fn splat(self, value: i16) -> Self::V;
    /// The lanes of `row`.
    fn load(self, row: &Row) -> Self::V;
    /// The lanes as an array.
    fn lanes(self, a: Self::V) -> [i16; 16];
    /// a + b.
    fn add(self, a: Self::V, b: Self::V) -> Self::V;
    /// a - b.
    fn sub(self, a: Self::V, b: Self::V) -> Self::V;
    /// a times the factor (value, quotient) of each lane: `field::mul_factor`.
    fn mul(self, a: Self::V, factor: (Self::V, Self::V)) -> Self::V;
    /// `field::reduce` of each lane.
    fn reduce(self, a: Self::V) -> Self::V;
    /// `field::canonical` of each lane.
    fn canonical(self, a: Self::V) -> Self::V;
    /// The bits of a or b.
    fn or(self, a: Self::V, b: Self::V) -> Self::V;
    /// The larger lanes, unsigned.
    fn max(self, a: Self::V, b: Self::V) -> Self::V;
    /// Turns rows to columns: lane j of vector i becomes lane i of vector j.
    fn transpose(self, rows: &[Self::V; 16], columns: &mut [Self::V; 16]);
    /// Sixteen little-endian words.
    fn load_words(self, bytes: &[u8; LANE_BYTES]) -> Self::V;
    /// The lanes as little-endian words.
    fn store_words(self, a: Self::V, bytes: &mut [u8; LANE_BYTES]);
    /// Sixteen 13-bit symbols, least significant bit first.
    fn load_symbols(self, bytes: &[u8; SYMBOL_BYTES]) -> Self::V;
    /// The reverse of `load_symbols`. What it writes is unspecified if a lane is above 8191.
    fn store_symbols(self, a: Self::V, bytes: &mut [u8; SYMBOL_BYTES]);
    /// Eight vectors of 14-bit values as seven of words: in each lane a stream of bits.
    fn pack_fields(self, fields: [Self::V; 8]) -> [Self::V; 7];
    /// The reverse of `pack_fields`.
    fn unpack_fields(self, words: [Self::V; 7]) -> [Self::V; 8];

    /// `factor` in every lane.
    #[inline(always)]
    fn factor(self, factor: Factor) -> (Self::V, Self::V) {
        (self.splat(factor.value), self.splat(factor.quotient))
    }

    /// The factors of `row`.
    #[inline(always)]
    fn factors(self, row: &FactorRow) -> (Self::V, Self::V) {
        (self.load(&row.value), self.load(&row.quotient))
    }
}

/// Plain arrays, on every machine.
#[derive(Clone, Copy, Debug)]
pub(super) struct Portable;

/// Applies `f` lane by lane.
#[inline(always)]
fn each(a: [i16; 16], b: [i16; 16], f: impl Fn(i16, i16) -> i16) -> [i16; 16] {
    core::array::from_fn(|lane| f(a[lane], b[lane]))
}

/// a << n | b >> m of each lane, both logical.
#[inline(always)]
#[expect(clippy::cast_sign_loss, clippy::cast_possible_wrap, reason = "lanes are bits here")]
fn funnel(high: [i16; 16], left: u32, low: [i16; 16], right: u32) -> [i16; 16] {
    each(high, low, |h, l| (((h as u16) << left) | ((l as u16) >> right)) as i16)
}

impl Lanes for Portable {
    type V = [i16; 16];

    #[inline(always)]
    fn splat(self, value: i16) -> Self::V {
        [value; 16]
    }

    #[inline(always)]
    fn load(self, row: &Row) -> Self::V {
        row.0
    }

    #[inline(always)]
    fn lanes(self, a: Self::V) -> [i16; 16] {
        a
    }

    #[inline(always)]
    fn add(self, a: Self::V, b: Self::V) -> Self::V {
        each(a, b, i16::wrapping_add)
    }

    #[inline(always)]
    fn sub(self, a: Self::V, b: Self::V) -> Self::V {
        each(a, b, i16::wrapping_sub)
    }

    #[inline(always)]
    fn mul(self, a: Self::V, (value, quotient): (Self::V, Self::V)) -> Self::V {
        core::array::from_fn(|lane| field::mul_factor(a[lane], value[lane], quotient[lane]))
    }

    #[inline(always)]
    fn reduce(self, a: Self::V) -> Self::V {
        a.map(field::reduce)
    }

    #[inline(always)]
    fn canonical(self, a: Self::V) -> Self::V {
        a.map(field::canonical)
    }

    #[inline(always)]
    fn or(self, a: Self::V, b: Self::V) -> Self::V {
        each(a, b, |a, b| a | b)
    }

    #[inline(always)]
    #[expect(clippy::cast_sign_loss, clippy::cast_possible_wrap, reason = "lanes are bits here")]
    fn max(self, a: Self::V, b: Self::V) -> Self::V {
        each(a, b, |a, b| (a as u16).max(b as u16) as i16)
    }

    #[inline(always)]
    fn transpose(self, rows: &[Self::V; 16], columns: &mut [Self::V; 16]) {
        for (i, column) in columns.iter_mut().enumerate() {
            *column = core::array::from_fn(|j| rows[j][i]);
        }
    }

    #[inline(always)]
    fn load_words(self, bytes: &[u8; LANE_BYTES]) -> Self::V {
        core::array::from_fn(|lane| i16::from_le_bytes([bytes[2 * lane], bytes[2 * lane + 1]]))
    }

    #[inline(always)]
    fn store_words(self, a: Self::V, bytes: &mut [u8; LANE_BYTES]) {
        for (lane, word) in a.iter().enumerate() {
            [bytes[2 * lane], bytes[2 * lane + 1]] = word.to_le_bytes();
        }
    }

    #[inline(always)]
    fn load_symbols(self, bytes: &[u8; SYMBOL_BYTES]) -> Self::V {
        super::pack::unpack_symbols(bytes)
    }

    #[inline(always)]
    fn store_symbols(self, a: Self::V, bytes: &mut [u8; SYMBOL_BYTES]) {
        *bytes = super::pack::pack_symbols(&a);
    }

    #[inline(always)]
    fn pack_fields(self, f: [Self::V; 8]) -> [Self::V; 7] {
        [
            funnel(f[1], 14, f[0], 0),
            funnel(f[2], 12, f[1], 2),
            funnel(f[3], 10, f[2], 4),
            funnel(f[4], 8, f[3], 6),
            funnel(f[5], 6, f[4], 8),
            funnel(f[6], 4, f[5], 10),
            funnel(f[7], 2, f[6], 12),
        ]
    }

    #[inline(always)]
    fn unpack_fields(self, w: [Self::V; 7]) -> [Self::V; 8] {
        let zero = [0; 16];
        [
            funnel(zero, 0, w[0], 0),
            funnel(w[1], 2, w[0], 14),
            funnel(w[2], 4, w[1], 12),
            funnel(w[3], 6, w[2], 10),
            funnel(w[4], 8, w[3], 8),
            funnel(w[5], 10, w[4], 6),
            funnel(w[6], 12, w[5], 4),
            funnel(zero, 0, w[6], 2),
        ]
        .map(|field| field.map(|bits| bits & 0x3fff))
    }
}

/// Work that is written once for all lanes.
pub(super) trait Job {
    /// What the work gives.
    type Output;
    /// Does it. An implementation is `#[inline(always)]`, so that it is compiled for the lanes.
    fn run<L: Lanes>(self, l: L) -> Self::Output;
}

/// Which lanes this machine has.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kernel {
    /// Plain arrays.
    Portable,
    /// 256-bit registers.
    #[cfg(target_arch = "x86_64")]
    Avx2(Avx2),
}

impl Kernel {
    /// The fastest lanes of this machine.
    pub(super) fn detect() -> Self {
        #[cfg(target_arch = "x86_64")]
        if let Some(lanes) = Avx2::detect() {
            return Self::Avx2(lanes);
        }
        Self::Portable
    }

    /// Runs `job` on these lanes.
    pub(super) fn run<J: Job>(self, job: J) -> J::Output {
        match self {
            Self::Portable => job.run(Portable),
            #[cfg(target_arch = "x86_64")]
            // SAFETY: the token exists only where AVX2 was detected, and that is all the callee,
            // a safe function but for its target feature, asks for.
            Self::Avx2(lanes) => unsafe { avx2::run(lanes, job) },
        }
    }
}

#[cfg(target_arch = "x86_64")]
pub(super) use avx2::Avx2;

#[cfg(target_arch = "x86_64")]
mod avx2 {
    use core::arch::x86_64::{
        __m128i, __m256i, _mm_loadu_si128, _mm_or_si128, _mm_slli_si128, _mm_srli_si128, _mm_storeu_si128,
        _mm256_add_epi16, _mm256_and_si256, _mm256_castsi256_si128, _mm256_extracti128_si256,
        _mm256_loadu_si256, _mm256_madd_epi16, _mm256_max_epu16, _mm256_min_epu16, _mm256_mulhi_epi16,
        _mm256_mulhrs_epi16, _mm256_mullo_epi16, _mm256_or_si256, _mm256_permute2x128_si256,
        _mm256_set_m128i, _mm256_set1_epi16, _mm256_set1_epi32, _mm256_setr_epi8, _mm256_setr_epi16,
        _mm256_setr_epi32, _mm256_setr_epi64x, _mm256_shuffle_epi8, _mm256_slli_epi16, _mm256_sllv_epi32,
        _mm256_sllv_epi64, _mm256_srli_epi16, _mm256_srli_epi64, _mm256_storeu_si256, _mm256_sub_epi16,
        _mm256_unpackhi_epi16, _mm256_unpackhi_epi32, _mm256_unpackhi_epi64, _mm256_unpacklo_epi16,
        _mm256_unpacklo_epi32, _mm256_unpacklo_epi64,
    };

    use super::super::field::P_LANE;
    use super::{LANE_BYTES, Lanes, Row, SYMBOL_BYTES};

    /// 256-bit registers. A value of this type is proof that the processor has AVX2.
    #[derive(Clone, Copy, Debug)]
    pub(in super::super) struct Avx2(());

    impl Avx2 {
        /// The token, where the processor has AVX2.
        pub(in super::super) fn detect() -> Option<Self> {
            std::arch::is_x86_feature_detected!("avx2").then_some(Self(()))
        }
    }

    /// Compiles the whole job for AVX2: what is inlined here may use its instructions.
    #[target_feature(enable = "avx2")]
    pub(in super::super) fn run<J: super::Job>(lanes: Avx2, job: J) -> J::Output {
        job.run(lanes)
    }

    /// Evaluates an expression of AVX2 instructions that touch registers only.
    macro_rules! avx2 {
        ($expression:expr) => {{
            // SAFETY: written only in methods of `Avx2`, whose values exist only after `detect` saw
            // AVX2; the instructions inside use no memory, so that is all they ask for.
            unsafe { $expression }
        }};
    }

    /// The transpose of an 8 by 8 square of words in each half of the registers.
    #[inline(always)]
    fn transpose_halves(_: Avx2, r: &[__m256i; 8]) -> [__m256i; 8] {
        avx2!({
            let a: [__m256i; 8] = [
                _mm256_unpacklo_epi16(r[0], r[1]),
                _mm256_unpackhi_epi16(r[0], r[1]),
                _mm256_unpacklo_epi16(r[2], r[3]),
                _mm256_unpackhi_epi16(r[2], r[3]),
                _mm256_unpacklo_epi16(r[4], r[5]),
                _mm256_unpackhi_epi16(r[4], r[5]),
                _mm256_unpacklo_epi16(r[6], r[7]),
                _mm256_unpackhi_epi16(r[6], r[7]),
            ];
            let b: [__m256i; 8] = [
                _mm256_unpacklo_epi32(a[0], a[2]),
                _mm256_unpackhi_epi32(a[0], a[2]),
                _mm256_unpacklo_epi32(a[1], a[3]),
                _mm256_unpackhi_epi32(a[1], a[3]),
                _mm256_unpacklo_epi32(a[4], a[6]),
                _mm256_unpackhi_epi32(a[4], a[6]),
                _mm256_unpacklo_epi32(a[5], a[7]),
                _mm256_unpackhi_epi32(a[5], a[7]),
            ];
            [
                _mm256_unpacklo_epi64(b[0], b[4]),
                _mm256_unpackhi_epi64(b[0], b[4]),
                _mm256_unpacklo_epi64(b[1], b[5]),
                _mm256_unpackhi_epi64(b[1], b[5]),
                _mm256_unpacklo_epi64(b[2], b[6]),
                _mm256_unpackhi_epi64(b[2], b[6]),
                _mm256_unpacklo_epi64(b[3], b[7]),
                _mm256_unpackhi_epi64(b[3], b[7]),
            ]
        })
    }

    impl Lanes for Avx2 {
        type V = __m256i;

        #[inline(always)]
        fn splat(self, value: i16) -> __m256i {
            avx2!(_mm256_set1_epi16(value))
        }

        #[inline(always)]
        fn load(self, row: &Row) -> __m256i {
            // SAFETY: AVX2 is there (see `Avx2`), and a `Row` is 32 bytes.
            unsafe { _mm256_loadu_si256(core::ptr::from_ref(row).cast::<__m256i>()) }
        }

        #[inline(always)]
        fn lanes(self, a: __m256i) -> [i16; 16] {
            let mut lanes = [0i16; 16];
            // SAFETY: AVX2 is there (see `Avx2`), and sixteen `i16` are 32 bytes.
            unsafe { _mm256_storeu_si256(lanes.as_mut_ptr().cast::<__m256i>(), a) };
            lanes
        }

        #[inline(always)]
        fn add(self, a: __m256i, b: __m256i) -> __m256i {
            avx2!(_mm256_add_epi16(a, b))
        }

        #[inline(always)]
        fn sub(self, a: __m256i, b: __m256i) -> __m256i {
            avx2!(_mm256_sub_epi16(a, b))
        }

        #[inline(always)]
        fn mul(self, a: __m256i, (value, quotient): (__m256i, __m256i)) -> __m256i {
            avx2!({
                let t = _mm256_mullo_epi16(a, quotient);
                let high = _mm256_mulhi_epi16(a, value);
                _mm256_sub_epi16(high, _mm256_mulhi_epi16(t, _mm256_set1_epi16(P_LANE)))
            })
        }

        #[inline(always)]
        fn reduce(self, a: __m256i) -> __m256i {
            avx2!({
                let quotient = _mm256_mulhrs_epi16(a, _mm256_set1_epi16(3));
                _mm256_sub_epi16(a, _mm256_mullo_epi16(quotient, _mm256_set1_epi16(P_LANE)))
            })
        }

        #[inline(always)]
        fn canonical(self, a: __m256i) -> __m256i {
            let r = self.reduce(a);
            avx2!(_mm256_min_epu16(r, _mm256_add_epi16(r, _mm256_set1_epi16(P_LANE))))
        }

        #[inline(always)]
        fn or(self, a: __m256i, b: __m256i) -> __m256i {
            avx2!(_mm256_or_si256(a, b))
        }

        #[inline(always)]
        fn max(self, a: __m256i, b: __m256i) -> __m256i {
            avx2!(_mm256_max_epu16(a, b))
        }

        #[inline(always)]
        fn transpose(self, r: &[__m256i; 16], columns: &mut [__m256i; 16]) {
            let upper = transpose_halves(self, &[r[0], r[1], r[2], r[3], r[4], r[5], r[6], r[7]]);
            let lower = transpose_halves(self, &[r[8], r[9], r[10], r[11], r[12], r[13], r[14], r[15]]);
            for i in 0..8 {
                columns[i] = avx2!(_mm256_permute2x128_si256::<0x20>(upper[i], lower[i]));
                columns[i + 8] = avx2!(_mm256_permute2x128_si256::<0x31>(upper[i], lower[i]));
            }
        }

        #[inline(always)]
        fn load_words(self, bytes: &[u8; LANE_BYTES]) -> __m256i {
            // SAFETY: AVX2 is there (see `Avx2`), and the array is 32 bytes.
            unsafe { _mm256_loadu_si256(bytes.as_ptr().cast::<__m256i>()) }
        }

        #[inline(always)]
        fn store_words(self, a: __m256i, bytes: &mut [u8; LANE_BYTES]) {
            // SAFETY: AVX2 is there (see `Avx2`), and the array is 32 bytes.
            unsafe { _mm256_storeu_si256(bytes.as_mut_ptr().cast::<__m256i>(), a) }
        }

        /// Symbol m of eight begins in byte 13m / 8 at bit s = 13m mod 8. Its low bits are that
        /// byte >> s, the others the next two bytes << (8 - s). As lanes have no shifts of their
        /// own, both are a product with 2^(8-s), the first shifted down by eight after that. (The
        /// high half of a product would do it at once, but the compiler knows that for a shift and
        /// makes it one, in lanes twice as wide.)
        #[inline(always)]
        fn load_symbols(self, bytes: &[u8; SYMBOL_BYTES]) -> __m256i {
            // SAFETY: AVX2 is there (see `Avx2`); bytes 0..16 and 10..26 lie in the array of 26.
            let window = unsafe {
                let low = _mm_loadu_si128(bytes.as_ptr().cast::<__m128i>());
                let high = _mm_loadu_si128(bytes.as_ptr().add(10).cast::<__m128i>());
                _mm256_set_m128i(high, low)
            };
            // The second eight begin at byte 13, which is byte 3 of the second half.
            avx2!({
                let first = _mm256_shuffle_epi8(
                    window,
                    _mm256_setr_epi8(
                        0, -1, 1, -1, 3, -1, 4, -1, 6, -1, 8, -1, 9, -1, 11, -1, //
                        3, -1, 4, -1, 6, -1, 7, -1, 9, -1, 11, -1, 12, -1, 14, -1,
                    ),
                );
                let rest = _mm256_shuffle_epi8(
                    window,
                    _mm256_setr_epi8(
                        1, -1, 2, 3, 4, -1, 5, 6, 7, 8, 9, -1, 10, 11, 12, -1, //
                        4, -1, 5, 6, 7, -1, 8, 9, 10, 11, 12, -1, 13, 14, 15, -1,
                    ),
                );
                let shift = _mm256_setr_epi16(256, 8, 64, 2, 16, 128, 4, 32, 256, 8, 64, 2, 16, 128, 4, 32);
                let low = _mm256_srli_epi16::<8>(_mm256_mullo_epi16(first, shift));
                let high = _mm256_mullo_epi16(rest, shift);
                _mm256_and_si256(_mm256_or_si256(low, high), _mm256_set1_epi16(0x1fff))
            })
        }

        /// Two symbols make 26 bits, four 52, eight 104 = 13 bytes in each half.
        #[inline(always)]
        fn store_symbols(self, a: __m256i, bytes: &mut [u8; SYMBOL_BYTES]) {
            let packed = avx2!({
                let pairs = _mm256_madd_epi16(a, _mm256_set1_epi32(1 | (1 << 29)));
                let closed = _mm256_sllv_epi32(pairs, _mm256_setr_epi32(6, 0, 6, 0, 6, 0, 6, 0));
                let fours = _mm256_srli_epi64::<6>(closed);
                // The second 52 bits begin at bit 4 of byte 6.
                let aligned = _mm256_sllv_epi64(fours, _mm256_setr_epi64x(0, 4, 0, 4));
                let most = _mm256_shuffle_epi8(
                    aligned,
                    _mm256_setr_epi8(
                        0, 1, 2, 3, 4, 5, 6, 9, 10, 11, 12, 13, 14, -1, -1, -1, //
                        0, 1, 2, 3, 4, 5, 6, 9, 10, 11, 12, 13, 14, -1, -1, -1,
                    ),
                );
                let shared = _mm256_shuffle_epi8(
                    aligned,
                    _mm256_setr_epi8(
                        -1, -1, -1, -1, -1, -1, 8, -1, -1, -1, -1, -1, -1, -1, -1, -1, //
                        -1, -1, -1, -1, -1, -1, 8, -1, -1, -1, -1, -1, -1, -1, -1, -1,
                    ),
                );
                _mm256_or_si256(most, shared)
            });
            let (low, high) = avx2!({
                let low = _mm256_castsi256_si128(packed);
                let high = _mm256_extracti128_si256::<1>(packed);
                // From byte 10 on: the last three of the first thirteen, then the second thirteen.
                (low, _mm_or_si128(_mm_srli_si128::<10>(low), _mm_slli_si128::<3>(high)))
            });
            // SAFETY: AVX2 is there (see `Avx2`); bytes 0..16 and 10..26 lie in the array of 26.
            unsafe {
                _mm_storeu_si128(bytes.as_mut_ptr().cast::<__m128i>(), low);
                _mm_storeu_si128(bytes.as_mut_ptr().add(10).cast::<__m128i>(), high);
            }
        }

        #[inline(always)]
        fn pack_fields(self, f: [__m256i; 8]) -> [__m256i; 7] {
            avx2!([
                _mm256_or_si256(_mm256_slli_epi16::<14>(f[1]), f[0]),
                _mm256_or_si256(_mm256_slli_epi16::<12>(f[2]), _mm256_srli_epi16::<2>(f[1])),
                _mm256_or_si256(_mm256_slli_epi16::<10>(f[3]), _mm256_srli_epi16::<4>(f[2])),
                _mm256_or_si256(_mm256_slli_epi16::<8>(f[4]), _mm256_srli_epi16::<6>(f[3])),
                _mm256_or_si256(_mm256_slli_epi16::<6>(f[5]), _mm256_srli_epi16::<8>(f[4])),
                _mm256_or_si256(_mm256_slli_epi16::<4>(f[6]), _mm256_srli_epi16::<10>(f[5])),
                _mm256_or_si256(_mm256_slli_epi16::<2>(f[7]), _mm256_srli_epi16::<12>(f[6])),
            ])
        }

        #[inline(always)]
        fn unpack_fields(self, w: [__m256i; 7]) -> [__m256i; 8] {
            avx2!({
                let mask = _mm256_set1_epi16(0x3fff);
                let bits = [
                    _mm256_or_si256(_mm256_slli_epi16::<2>(w[1]), _mm256_srli_epi16::<14>(w[0])),
                    _mm256_or_si256(_mm256_slli_epi16::<4>(w[2]), _mm256_srli_epi16::<12>(w[1])),
                    _mm256_or_si256(_mm256_slli_epi16::<6>(w[3]), _mm256_srli_epi16::<10>(w[2])),
                    _mm256_or_si256(_mm256_slli_epi16::<8>(w[4]), _mm256_srli_epi16::<8>(w[3])),
                    _mm256_or_si256(_mm256_slli_epi16::<10>(w[5]), _mm256_srli_epi16::<6>(w[4])),
                    _mm256_or_si256(_mm256_slli_epi16::<12>(w[6]), _mm256_srli_epi16::<4>(w[5])),
                ];
                [
                    _mm256_and_si256(w[0], mask),
                    _mm256_and_si256(bits[0], mask),
                    _mm256_and_si256(bits[1], mask),
                    _mm256_and_si256(bits[2], mask),
                    _mm256_and_si256(bits[3], mask),
                    _mm256_and_si256(bits[4], mask),
                    _mm256_and_si256(bits[5], mask),
                    _mm256_srli_epi16::<2>(w[6]),
                ]
            })
        }
    }
}
