//! Lanes in the registers of x86-64: 256 bits with AVX2, 512 with AVX-512.

use core::arch::x86_64::{
    __m128i, __m256i, __m512i, _mm_loadu_si128, _mm_or_si128, _mm_slli_si128, _mm_srli_si128,
    _mm_storeu_si128, _mm256_add_epi16, _mm256_and_si256, _mm256_castsi256_si128, _mm256_extracti128_si256,
    _mm256_loadu_si256, _mm256_madd_epi16, _mm256_max_epu16, _mm256_min_epu16, _mm256_mulhi_epi16,
    _mm256_mulhrs_epi16, _mm256_mullo_epi16, _mm256_or_si256, _mm256_permute2x128_si256, _mm256_set_m128i,
    _mm256_set1_epi16, _mm256_set1_epi32, _mm256_setr_epi8, _mm256_setr_epi16, _mm256_setr_epi32,
    _mm256_setr_epi64x, _mm256_shuffle_epi8, _mm256_slli_epi16, _mm256_sllv_epi32, _mm256_sllv_epi64,
    _mm256_srli_epi16, _mm256_srli_epi64, _mm256_storeu_si256, _mm256_sub_epi16, _mm256_unpackhi_epi16,
    _mm256_unpackhi_epi32, _mm256_unpackhi_epi64, _mm256_unpacklo_epi16, _mm256_unpacklo_epi32,
    _mm256_unpacklo_epi64, _mm512_add_epi16, _mm512_and_si512, _mm512_broadcast_i64x4,
    _mm512_castsi256_si512, _mm512_castsi512_si256, _mm512_extracti64x4_epi64, _mm512_inserti64x4,
    _mm512_madd_epi16, _mm512_max_epu16, _mm512_min_epu16, _mm512_mulhi_epi16, _mm512_mulhrs_epi16,
    _mm512_mullo_epi16, _mm512_or_si512, _mm512_permutex2var_epi64, _mm512_set1_epi16, _mm512_set1_epi32,
    _mm512_setr_epi64, _mm512_shuffle_epi8, _mm512_slli_epi16, _mm512_sllv_epi16, _mm512_sllv_epi32,
    _mm512_sllv_epi64, _mm512_srli_epi16, _mm512_srli_epi64, _mm512_srlv_epi16, _mm512_sub_epi16,
    _mm512_unpackhi_epi16, _mm512_unpackhi_epi32, _mm512_unpackhi_epi64, _mm512_unpacklo_epi16,
    _mm512_unpacklo_epi32, _mm512_unpacklo_epi64,
};

use super::super::SYMBOL_BYTES;
use super::super::field::P_LANE;
use super::{Job, LANE_BYTES, Lanes, Row};

/// Lanes in 256-bit registers. A value of this type is proof that the processor has AVX2.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Avx2(());

impl Avx2 {
    /// Returns a value of this type if the processor has AVX2.
    pub(in super::super) fn detect() -> Option<Self> {
        std::arch::is_x86_feature_detected!("avx2").then_some(Self(()))
    }

    /// Runs `job`, compiled as a whole for AVX2: code inlined into it may use AVX2 instructions.
    pub(super) fn run<J: Job>(self, job: J) -> J::Output {
        #[target_feature(enable = "avx2")]
        fn run<J: Job>(lanes: Avx2, job: J) -> J::Output {
            job.run(lanes)
        }
        // SAFETY: the token exists only if AVX2 was detected. The callee requires nothing else: it is safe
        // apart from its target feature.
        unsafe { run(self, job) }
    }
}

/// Lanes of two blocks in 512-bit registers. A value of this type is proof that the processor has AVX-512 with
/// instructions for words, and so AVX2 too.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Avx512(Avx2);

impl Avx512 {
    /// Returns a value of this type if the processor has AVX-512F, BW and VL.
    pub(in super::super) fn detect() -> Option<Self> {
        let found = std::arch::is_x86_feature_detected!("avx512f")
            && std::arch::is_x86_feature_detected!("avx512bw")
            && std::arch::is_x86_feature_detected!("avx512vl");
        Avx2::detect().filter(|_| found).map(Self)
    }

    /// Runs `job`, compiled as a whole for AVX-512.
    pub(super) fn run<J: Job>(self, job: J) -> J::Output {
        #[target_feature(enable = "avx2,avx512f,avx512bw,avx512vl")]
        fn run<J: Job>(lanes: Avx512, job: J) -> J::Output {
            job.run(lanes)
        }
        // SAFETY: the token exists only if all of these features were detected. The callee requires nothing
        // else: it is safe apart from its target features.
        unsafe { run(self, job) }
    }
}

/// Evaluates an expression of vector instructions that access registers only, and no memory.
macro_rules! registers {
    ($expression:expr) => {{
        // SAFETY: the macro is used only in functions that have a token, and a token exists only after
        // `detect` found its instructions. The instructions inside access no memory, so that they require
        // nothing else.
        unsafe { $expression }
    }};
}

/// Transposes the 8 by 8 square of 16-bit words that eight registers have in each 128 bits.
macro_rules! transpose_squares {
    ($r:expr, _mm256) => {
        transpose_squares!(
            $r,
            _mm256_unpacklo_epi16,
            _mm256_unpackhi_epi16,
            _mm256_unpacklo_epi32,
            _mm256_unpackhi_epi32,
            _mm256_unpacklo_epi64,
            _mm256_unpackhi_epi64
        )
    };
    ($r:expr, _mm512) => {
        transpose_squares!(
            $r,
            _mm512_unpacklo_epi16,
            _mm512_unpackhi_epi16,
            _mm512_unpacklo_epi32,
            _mm512_unpackhi_epi32,
            _mm512_unpacklo_epi64,
            _mm512_unpackhi_epi64
        )
    };
    ($r:expr, $lo16:ident, $hi16:ident, $lo32:ident, $hi32:ident, $lo64:ident, $hi64:ident) => {{
        let r = $r;
        registers!({
            let a = [
                $lo16(r[0], r[1]),
                $hi16(r[0], r[1]),
                $lo16(r[2], r[3]),
                $hi16(r[2], r[3]),
                $lo16(r[4], r[5]),
                $hi16(r[4], r[5]),
                $lo16(r[6], r[7]),
                $hi16(r[6], r[7]),
            ];
            let b = [
                $lo32(a[0], a[2]),
                $hi32(a[0], a[2]),
                $lo32(a[1], a[3]),
                $hi32(a[1], a[3]),
                $lo32(a[4], a[6]),
                $hi32(a[4], a[6]),
                $lo32(a[5], a[7]),
                $hi32(a[5], a[7]),
            ];
            [
                $lo64(b[0], b[4]),
                $hi64(b[0], b[4]),
                $lo64(b[1], b[5]),
                $hi64(b[1], b[5]),
                $lo64(b[2], b[6]),
                $hi64(b[2], b[6]),
                $lo64(b[3], b[7]),
                $hi64(b[3], b[7]),
            ]
        })
    }};
}

/// Implements the operations of `Lanes` that are the same for both register widths, by the instructions of one width.
macro_rules! lanes_of_one_width {
    ($v:ident, $set1:ident, $add:ident, $sub:ident, $mullo:ident, $mulhi:ident, $mulhrs:ident, $min:ident,
     $max:ident, $or:ident, $and:ident, $shl:ident, $shr:ident) => {
        type V = $v;

        #[inline(always)]
        fn splat(self, value: i16) -> $v {
            registers!($set1(value))
        }

        #[inline(always)]
        fn add(self, a: $v, b: $v) -> $v {
            registers!($add(a, b))
        }

        #[inline(always)]
        fn sub(self, a: $v, b: $v) -> $v {
            registers!($sub(a, b))
        }

        #[inline(always)]
        fn mul(self, a: $v, (value, quotient): ($v, $v)) -> $v {
            registers!({
                // The formula in the text of `field`.
                let t = $mullo(a, quotient);
                let high = $mulhi(a, value);
                $sub(high, $mulhi(t, $set1(P_LANE)))
            })
        }

        #[inline(always)]
        fn reduce(self, a: $v) -> $v {
            registers!({
                // This instruction shifts the product by 15 and rounds, as `field::reduce` does.
                let quotient = $mulhrs(a, $set1(3));
                $sub(a, $mullo(quotient, $set1(P_LANE)))
            })
        }

        #[inline(always)]
        fn canonical(self, a: $v) -> $v {
            let r = self.reduce(a);
            // An unsigned minimum, for which a negative number is large.
            registers!($min(r, $add(r, $set1(P_LANE))))
        }

        #[inline(always)]
        fn or(self, a: $v, b: $v) -> $v {
            registers!($or(a, b))
        }

        #[inline(always)]
        fn max(self, a: $v, b: $v) -> $v {
            registers!($max(a, b))
        }

        #[inline(always)]
        fn pack_fields(self, f: [$v; 8]) -> [$v; 7] {
            // The stream of `Portable::pack_fields`, a register for each word.
            registers!([
                $or($shl::<14>(f[1]), f[0]),
                $or($shl::<12>(f[2]), $shr::<2>(f[1])),
                $or($shl::<10>(f[3]), $shr::<4>(f[2])),
                $or($shl::<8>(f[4]), $shr::<6>(f[3])),
                $or($shl::<6>(f[5]), $shr::<8>(f[4])),
                $or($shl::<4>(f[6]), $shr::<10>(f[5])),
                $or($shl::<2>(f[7]), $shr::<12>(f[6])),
            ])
        }

        #[inline(always)]
        fn unpack_fields(self, w: [$v; 7]) -> [$v; 8] {
            // The stream of `Portable::unpack_fields`. The last field has no bits above it to mask.
            registers!({
                let mask = $set1(0x3fff);
                [
                    $and(w[0], mask),
                    $and($or($shl::<2>(w[1]), $shr::<14>(w[0])), mask),
                    $and($or($shl::<4>(w[2]), $shr::<12>(w[1])), mask),
                    $and($or($shl::<6>(w[3]), $shr::<10>(w[2])), mask),
                    $and($or($shl::<8>(w[4]), $shr::<8>(w[3])), mask),
                    $and($or($shl::<10>(w[5]), $shr::<6>(w[4])), mask),
                    $and($or($shl::<12>(w[6]), $shr::<4>(w[5])), mask),
                    $shr::<2>(w[6]),
                ]
            })
        }
    };
}

impl Lanes for Avx2 {
    lanes_of_one_width!(
        __m256i,
        _mm256_set1_epi16,
        _mm256_add_epi16,
        _mm256_sub_epi16,
        _mm256_mullo_epi16,
        _mm256_mulhi_epi16,
        _mm256_mulhrs_epi16,
        _mm256_min_epu16,
        _mm256_max_epu16,
        _mm256_or_si256,
        _mm256_and_si256,
        _mm256_slli_epi16,
        _mm256_srli_epi16
    );

    const BLOCKS: usize = 1;

    #[inline(always)]
    fn load(self, row: &Row) -> __m256i {
        // SAFETY: the processor has AVX2 (see `Avx2`), and a `Row` is 32 bytes.
        unsafe { _mm256_loadu_si256(core::ptr::from_ref(row).cast::<__m256i>()) }
    }

    #[inline(always)]
    fn lanes(self, a: __m256i, _: usize) -> [i16; 16] {
        let mut lanes = [0i16; 16];
        // SAFETY: the processor has AVX2 (see `Avx2`), and sixteen `i16` are 32 bytes.
        unsafe { _mm256_storeu_si256(lanes.as_mut_ptr().cast::<__m256i>(), a) };
        lanes
    }

    #[inline(always)]
    fn transpose(self, r: &[__m256i; 16], columns: &mut [__m256i; 16]) {
        let (upper, lower) = r.split_at(8);
        // Squares of 8 by 8 are transposed inside the halves of the registers.
        let [upper, lower] = [transpose_squares!(upper, _mm256), transpose_squares!(lower, _mm256)];
        // Then low halves make the columns 0 to 7, and high halves the columns 8 to 15.
        for i in 0..8 {
            columns[i] = registers!(_mm256_permute2x128_si256::<0x20>(upper[i], lower[i]));
            columns[i + 8] = registers!(_mm256_permute2x128_si256::<0x31>(upper[i], lower[i]));
        }
    }

    #[inline(always)]
    fn load_words(self, words: &[[u8; LANE_BYTES]], at: usize, _: usize) -> __m256i {
        // SAFETY: the processor has AVX2 (see `Avx2`), and the array is 32 bytes.
        unsafe { _mm256_loadu_si256(words[at].as_ptr().cast::<__m256i>()) }
    }

    #[inline(always)]
    fn store_words(self, a: __m256i, words: &mut [[u8; LANE_BYTES]], at: usize, _: usize) {
        // SAFETY: the processor has AVX2 (see `Avx2`), and the array is 32 bytes.
        unsafe { _mm256_storeu_si256(words[at].as_mut_ptr().cast::<__m256i>(), a) }
    }

    /// Unpacks with a product in place of two shifts, because AVX2 has no shifts of single lanes. A symbol that
    /// begins at bit s of its byte needs shifts by s and 8-s: both are a product with 2^(8-s), the first shifted
    /// down by eight afterwards. (The high half of a product would give it at once, but the compiler recognises
    /// it as a shift and generates one, in lanes twice as wide.)
    #[inline(always)]
    fn load_symbols(self, symbols: &[[u8; SYMBOL_BYTES]], at: usize, _: usize) -> __m256i {
        let window = symbol_window(self, &symbols[at]);
        registers!({
            // Each symbol gets a lane with its first byte, and a lane with the bytes after it.
            let first = _mm256_shuffle_epi8(window, symbol_first(self));
            let rest = _mm256_shuffle_epi8(window, symbol_rest(self));
            // Factors 2^(8 - s) with s = 13 m mod 8, the bit at which symbol m begins.
            let shift = _mm256_setr_epi16(256, 8, 64, 2, 16, 128, 4, 32, 256, 8, 64, 2, 16, 128, 4, 32);
            // A product with 2^(8 - s), shifted down by 8, is a shift down by s.
            let low = _mm256_srli_epi16::<8>(_mm256_mullo_epi16(first, shift));
            let high = _mm256_mullo_epi16(rest, shift);
            // The bits above the 13 belong to the next symbol.
            _mm256_and_si256(_mm256_or_si256(low, high), _mm256_set1_epi16(0x1fff))
        })
    }

    /// Joins symbols in steps: two are 26 bits, four are 52, and eight are 104 bits = 13 bytes in each half of
    /// the register.
    #[inline(always)]
    fn store_symbols(self, a: __m256i, symbols: &mut [[u8; SYMBOL_BYTES]], at: usize, _: usize) {
        let packed = registers!({
            // The first symbol of a pair, plus 2^13 times the second.
            let pairs = _mm256_madd_epi16(a, _mm256_set1_epi32(1 | (1 << 29)));
            // Two pairs without a gap, six bits too high.
            let closed = _mm256_sllv_epi32(pairs, symbol_pairs(self));
            let fours = _mm256_srli_epi64::<6>(closed);
            // The second four symbols of each half begin inside a byte, so that they are shifted to their
            // first bit in it.
            let aligned = _mm256_sllv_epi64(fours, symbol_fours(self));
            // Byte 6 has bits of both groups of four symbols, and is the union of two shuffles.
            let [most, shared] = symbol_bytes(self);
            _mm256_or_si256(_mm256_shuffle_epi8(aligned, most), _mm256_shuffle_epi8(aligned, shared))
        });
        store_packed(self, packed, &mut symbols[at]);
    }
}

/// Loads bytes 0..16 and 10..26 of sixteen symbols: the second eight begin at byte 13, which is byte 3 of
/// the second half.
///
/// Symbol m of eight begins in byte 13m / 8 at bit s = 13m mod 8. The low bits of the symbol are this byte >>
/// s, the other bits are the next two bytes << (8 - s).
#[inline(always)]
fn symbol_window(_: Avx2, bytes: &[u8; SYMBOL_BYTES]) -> __m256i {
    // SAFETY: the processor has AVX2 (see `Avx2`); bytes 0..16 and 10..26 lie in the array of 26.
    unsafe {
        let low = _mm_loadu_si128(bytes.as_ptr().cast::<__m128i>());
        let high = _mm_loadu_si128(bytes.as_ptr().add(10).cast::<__m128i>());
        _mm256_set_m128i(high, low)
    }
}

/// Shuffle indices that give each lane the byte in which its symbol begins.
#[inline(always)]
fn symbol_first(_: Avx2) -> __m256i {
    registers!(_mm256_setr_epi8(
        0, -1, 1, -1, 3, -1, 4, -1, 6, -1, 8, -1, 9, -1, 11, -1, //
        3, -1, 4, -1, 6, -1, 7, -1, 9, -1, 11, -1, 12, -1, 14, -1,
    ))
}

/// Shuffle indices that give each lane the second and third byte of its symbol; zero for the third if it holds
/// no bit of the symbol.
#[inline(always)]
fn symbol_rest(_: Avx2) -> __m256i {
    registers!(_mm256_setr_epi8(
        1, -1, 2, 3, 4, -1, 5, 6, 7, 8, 9, -1, 10, 11, 12, -1, //
        4, -1, 5, 6, 7, -1, 8, 9, 10, 11, 12, -1, 13, 14, 15, -1,
    ))
}

/// Left shifts of pairs of symbols, which close the gap between the two pairs of each four symbols. The bits of
/// the four then lie six bits too high.
#[inline(always)]
fn symbol_pairs(_: Avx2) -> __m256i {
    registers!(_mm256_setr_epi32(6, 0, 6, 0, 6, 0, 6, 0))
}

/// Left shifts of each four symbols in a half: the 52 bits of the second four begin at bit 4 of byte 6.
#[inline(always)]
fn symbol_fours(_: Avx2) -> __m256i {
    registers!(_mm256_setr_epi64x(0, 4, 0, 4))
}

/// Shuffle indices that move the bytes of two times four symbols to their 13 bytes. The first byte of the second
/// four has indices of its own, because it shares byte 6.
#[inline(always)]
fn symbol_bytes(_: Avx2) -> [__m256i; 2] {
    registers!([
        _mm256_setr_epi8(
            0, 1, 2, 3, 4, 5, 6, 9, 10, 11, 12, 13, 14, -1, -1, -1, //
            0, 1, 2, 3, 4, 5, 6, 9, 10, 11, 12, 13, 14, -1, -1, -1,
        ),
        _mm256_setr_epi8(
            -1, -1, -1, -1, -1, -1, 8, -1, -1, -1, -1, -1, -1, -1, -1, -1, //
            -1, -1, -1, -1, -1, -1, 8, -1, -1, -1, -1, -1, -1, -1, -1, -1,
        ),
    ])
}

/// Writes the first thirteen bytes of each half of `packed` to `bytes`, one after the other.
#[inline(always)]
fn store_packed(_: Avx2, packed: __m256i, bytes: &mut [u8; SYMBOL_BYTES]) {
    let (low, high) = registers!({
        let low = _mm256_castsi256_si128(packed);
        let high = _mm256_extracti128_si256::<1>(packed);
        // From byte 10 on, the second store has the last three of the first thirteen bytes, and then the
        // second thirteen bytes.
        (low, _mm_or_si128(_mm_srli_si128::<10>(low), _mm_slli_si128::<3>(high)))
    });
    // SAFETY: the processor has AVX2 (see `Avx2`); bytes 0..16 and 10..26 lie in the array of 26.
    unsafe {
        // The order of the stores matters: the first store writes zeros to the bytes 13 to 15, which the
        // second store overwrites.
        _mm_storeu_si128(bytes.as_mut_ptr().cast::<__m128i>(), low);
        _mm_storeu_si128(bytes.as_mut_ptr().add(10).cast::<__m128i>(), high);
    }
}

impl Avx512 {
    /// Returns a register with the lanes of two blocks.
    #[inline(always)]
    fn join(self, [first, second]: [__m256i; 2]) -> __m512i {
        registers!(_mm512_inserti64x4::<1>(_mm512_castsi256_si512(first), second))
    }

    /// Returns the lanes of each of the two blocks in a register.
    #[inline(always)]
    fn split(self, a: __m512i) -> [__m256i; 2] {
        registers!([_mm512_castsi512_si256(a), _mm512_extracti64x4_epi64::<1>(a)])
    }

    /// Returns a register with the same lanes for both blocks.
    #[inline(always)]
    fn both(self, a: __m256i) -> __m512i {
        registers!(_mm512_broadcast_i64x4(a))
    }
}

impl Lanes for Avx512 {
    lanes_of_one_width!(
        __m512i,
        _mm512_set1_epi16,
        _mm512_add_epi16,
        _mm512_sub_epi16,
        _mm512_mullo_epi16,
        _mm512_mulhi_epi16,
        _mm512_mulhrs_epi16,
        _mm512_min_epu16,
        _mm512_max_epu16,
        _mm512_or_si512,
        _mm512_and_si512,
        _mm512_slli_epi16,
        _mm512_srli_epi16
    );

    const BLOCKS: usize = 2;

    #[inline(always)]
    fn load(self, row: &Row) -> __m512i {
        self.both(self.0.load(row))
    }

    #[inline(always)]
    fn lanes(self, a: __m512i, block: usize) -> [i16; 16] {
        self.0.lanes(self.split(a)[block], 0)
    }

    #[inline(always)]
    fn transpose(self, r: &[__m512i; 16], columns: &mut [__m512i; 16]) {
        let (upper, lower) = r.split_at(8);
        // Squares of 8 by 8 are transposed inside each 128 bits.
        let [upper, lower] = [transpose_squares!(upper, _mm512), transpose_squares!(lower, _mm512)];
        // In each block, the low or the high halves of two registers become a column.
        let (low, high) = registers!((
            _mm512_setr_epi64(0, 1, 8, 9, 4, 5, 12, 13),
            _mm512_setr_epi64(2, 3, 10, 11, 6, 7, 14, 15)
        ));
        for i in 0..8 {
            columns[i] = registers!(_mm512_permutex2var_epi64(upper[i], low, lower[i]));
            columns[i + 8] = registers!(_mm512_permutex2var_epi64(upper[i], high, lower[i]));
        }
    }

    #[inline(always)]
    fn load_words(self, words: &[[u8; LANE_BYTES]], at: usize, step: usize) -> __m512i {
        self.join([self.0.load_words(words, at, 0), self.0.load_words(words, at + step, 0)])
    }

    #[inline(always)]
    fn store_words(self, a: __m512i, words: &mut [[u8; LANE_BYTES]], at: usize, step: usize) {
        let [first, second] = self.split(a);
        self.0.store_words(first, words, at, 0);
        self.0.store_words(second, words, at + step, 0);
    }

    /// Unpacks with shifts of single lanes, which AVX-512 has.
    #[inline(always)]
    fn load_symbols(self, symbols: &[[u8; SYMBOL_BYTES]], at: usize, step: usize) -> __m512i {
        // Load both blocks, each into a half of the register.
        let window =
            self.join([symbol_window(self.0, &symbols[at]), symbol_window(self.0, &symbols[at + step])]);
        registers!({
            let first = _mm512_shuffle_epi8(window, self.both(symbol_first(self.0)));
            let rest = _mm512_shuffle_epi8(window, self.both(symbol_rest(self.0)));
            // The shifts s and 8 - s with s = 13 m mod 8, the bit at which symbol m begins.
            let right = self.both(_mm256_setr_epi16(0, 5, 2, 7, 4, 1, 6, 3, 0, 5, 2, 7, 4, 1, 6, 3));
            let left = self.both(_mm256_setr_epi16(8, 3, 6, 1, 4, 7, 2, 5, 8, 3, 6, 1, 4, 7, 2, 5));
            // The low bits come from the first byte, the higher bits from the bytes after it.
            let bits = _mm512_or_si512(_mm512_srlv_epi16(first, right), _mm512_sllv_epi16(rest, left));
            _mm512_and_si512(bits, _mm512_set1_epi16(0x1fff))
        })
    }

    #[inline(always)]
    fn store_symbols(self, a: __m512i, symbols: &mut [[u8; SYMBOL_BYTES]], at: usize, step: usize) {
        let packed = registers!({
            // The steps of `Avx2::store_symbols`, for two blocks at once.
            let pairs = _mm512_madd_epi16(a, _mm512_set1_epi32(1 | (1 << 29)));
            let closed = _mm512_sllv_epi32(pairs, self.both(symbol_pairs(self.0)));
            let fours = _mm512_srli_epi64::<6>(closed);
            let aligned = _mm512_sllv_epi64(fours, self.both(symbol_fours(self.0)));
            let [most, shared] = symbol_bytes(self.0);
            _mm512_or_si512(
                _mm512_shuffle_epi8(aligned, self.both(most)),
                _mm512_shuffle_epi8(aligned, self.both(shared)),
            )
        });
        // With a distance of 0 both stores write the same bytes to the same place.
        let [first, second] = self.split(packed);
        store_packed(self.0, first, &mut symbols[at]);
        store_packed(self.0, second, &mut symbols[at + step]);
    }
}
