//! The proof that no lazy sum overflows: the code of the transform, run on intervals.
//!
//! A lane here is the range of values that it can have. Symbols are 0..=8191 and fields anything of
//! 14 bits, every factor is any of -6144..=6144, and sums panic where a value of the range would
//! leave sixteen bits. Code that does not panic here cannot overflow on any input, for any erasure.

use super::super::SYMBOL_BYTES;
use super::super::decode::DecodeJob;
use super::super::lanes::{FactorRow, LANE_BYTES, Row};
use super::*;

#[derive(Clone, Copy)]
struct Intervals;

#[derive(Clone, Copy, Debug)]
struct Interval(i32, i32);

impl Interval {
    #[track_caller]
    fn checked(self) -> Self {
        let lane = i32::from(i16::MIN)..=i32::from(i16::MAX);
        assert!(lane.contains(&self.0) && lane.contains(&self.1), "{self:?} leaves its lane");
        self
    }

    fn hull(self, other: Self) -> Self {
        Self(self.0.min(other.0), self.1.max(other.1))
    }
}

const ANY_FACTOR: Interval = Interval(-6144, 6144);
const RESIDUE: Interval = Interval(0, 12_288);

impl Lanes for Intervals {
    type V = Interval;
    const BLOCKS: usize = 1;

    fn splat(self, value: i16) -> Interval {
        Interval(value.into(), value.into())
    }

    fn load(self, _: &Row) -> Interval {
        unreachable!("only factors are loaded as rows")
    }

    fn lanes(self, _: Interval, _: usize) -> [i16; 16] {
        [0; 16] // whatever is asked, nothing is wrong
    }

    fn add(self, a: Interval, b: Interval) -> Interval {
        Interval(a.0 + b.0, a.1 + b.1).checked()
    }

    fn sub(self, a: Interval, b: Interval) -> Interval {
        Interval(a.0 - b.1, a.1 - b.0).checked()
    }

    fn mul(self, a: Interval, (w, _): (Interval, Interval)) -> Interval {
        let products = [a.0 * w.0, a.0 * w.1, a.1 * w.0, a.1 * w.1];
        let half = f64::from(1 << 15) * f64::from(P);
        let low = f64::from(*products.iter().min().unwrap()) - half;
        let high = f64::from(*products.iter().max().unwrap()) + half;
        Interval((low / 65_536.0).ceil() as i32, (high / 65_536.0).floor() as i32).checked()
    }

    fn reduce(self, a: Interval) -> Interval {
        // The quotient jumps to q at the first lane with 3a >= 2^15 q - 2^14; in between it is even.
        let jumps = (-3..=3).map(|q: i32| (32_768 * q - 16_384 + 2).div_euclid(3));
        let edges = jumps.flat_map(|at| [at - 1, at]).filter(|at| (a.0..=a.1).contains(at));
        edges
            .chain([a.0, a.1])
            .map(|at| i32::from(field::reduce(at as i16)))
            .map(|r| Interval(r, r))
            .reduce(Interval::hull)
            .unwrap()
    }

    fn canonical(self, _: Interval) -> Interval {
        RESIDUE
    }

    fn or(self, a: Interval, b: Interval) -> Interval {
        a.hull(b)
    }

    fn max(self, a: Interval, b: Interval) -> Interval {
        a.hull(b)
    }

    fn transpose(self, rows: &[Interval; 16], columns: &mut [Interval; 16]) {
        *columns = [rows.iter().copied().reduce(Interval::hull).unwrap(); 16];
    }

    fn load_words(self, _: &[[u8; LANE_BYTES]], _: usize, _: usize) -> Interval {
        Interval(i16::MIN.into(), i16::MAX.into())
    }

    fn store_words(self, _: Interval, _: &mut [[u8; LANE_BYTES]], _: usize, _: usize) {}

    fn load_symbols(self, _: &[[u8; SYMBOL_BYTES]], _: usize, _: usize) -> Interval {
        Interval(0, 8191)
    }

    fn store_symbols(self, _: Interval, _: &mut [[u8; SYMBOL_BYTES]], _: usize, _: usize) {}

    fn pack_fields(self, fields: [Interval; 8]) -> [Interval; 7] {
        for field in fields {
            assert!(field.0 >= RESIDUE.0 && field.1 <= RESIDUE.1, "{field:?} is packed");
        }
        [self.load_words(&[], 0, 0); 7]
    }

    fn unpack_fields(self, _: [Interval; 7]) -> [Interval; 8] {
        [Interval(0, (1 << 14) - 1); 8]
    }

    fn factor(self, _: field::Factor) -> (Interval, Interval) {
        (ANY_FACTOR, ANY_FACTOR)
    }

    fn factors(self, _: &FactorRow) -> (Interval, Interval) {
        (ANY_FACTOR, ANY_FACTOR)
    }
}

#[test]
fn reduction_of_intervals_is_that_of_their_lanes() {
    let mut random = SplitMix64(10);
    for _ in 0..200 {
        let (a, b) = (random.next() as i16, random.next() as i16);
        let (a, b) = (a.min(b), a.max(b));
        let Interval(low, high) = Intervals.reduce(Interval(a.into(), b.into()));
        let lanes: Vec<i32> = (a..=b).map(|lane| field::reduce(lane).into()).collect();
        assert_eq!(lanes.iter().min(), Some(&low), "{a}..={b}");
        assert_eq!(lanes.iter().max(), Some(&high), "{a}..={b}");
    }
}

#[test]
fn no_sum_of_the_forward_transform_overflows() {
    for k in [1, 33, 64, 96] {
        let bytes = vec![0; block_bytes(k)];
        let mut payloads = vec![0; 96 * CLASS_BLOCK_BYTES];
        EncodeJob { k, bytes: &bytes, payloads: &mut payloads }.run(Intervals).unwrap();
    }
}

#[test]
fn no_sum_of_the_inverse_or_an_erasure_overflows() {
    for (k, n) in [(96, 96), (64, 96), (64, 70), (64, 64), (1, 1)] {
        let classes = subset(&mut SplitMix64(11), n);
        let erasure = (n < CLASSES).then(|| Erasure::new(&classes));
        let payload = vec![0; CLASS_BLOCK_BYTES];
        let payloads = vec![&payload[..]; n];
        let mut bytes = vec![0; block_bytes(k)];
        let job = DecodeJob {
            k,
            classes: &classes,
            erasure: erasure.as_ref(),
            payloads: &payloads,
            bytes: &mut bytes,
        };
        assert_eq!(job.run(Intervals), Ok(()));
    }
}

#[test]
#[should_panic(expected = "leaves its lane")]
fn a_sum_that_could_overflow_is_seen() {
    let field = Interval(0, 12_288);
    Intervals.add(Intervals.add(field, field), field);
}
