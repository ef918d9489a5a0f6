//! The golden vectors, the definition itself, hostile payloads, and the proof of the bounds.

#![expect(clippy::cast_possible_truncation, reason = "test data is cut to size on purpose")]

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::decode::{Columns, Erasure, unpack_rows};
use super::encode::EncodeJob;
use super::field::{self, P};
use super::lanes::{Job, Kernel, Lanes, Portable};
use super::*;
use crate::base::split_mix::SplitMix64;

mod intervals;

// ---- Inputs, and reference implementations in their plainest form ----

/// Returns `n` classes, none twice.
fn subset(random: &mut SplitMix64, n: usize) -> Vec<u8> {
    let mut classes: Vec<u8> = (0..96).collect();
    for i in 0..n {
        let j = i + random.below(96 - i);
        classes.swap(i, j);
    }
    classes.truncate(n);
    classes
}

fn numbers_of(bytes: &[u8], width: usize, count: usize) -> Vec<u16> {
    let bit = |n: usize| bytes.get(n / 8).map_or(0, |byte| u16::from(byte >> (n % 8) & 1));
    (0..count).map(|m| (0..width).fold(0, |value, b| value | bit(width * m + b) << b)).collect()
}

fn bytes_of(numbers: &[u16], width: usize) -> Vec<u8> {
    let mut bytes = vec![0; (numbers.len() * width).div_ceil(8)];
    for (m, number) in numbers.iter().enumerate() {
        for b in 0..width {
            let n = width * m + b;
            bytes[n / 8] |= ((number >> b & 1) as u8) << (n % 8);
        }
    }
    bytes
}

/// The spectrum by way of 96 × 128 sums of products, without any further splitting.
fn spectrum(symbols: &[u16]) -> Vec<u16> {
    let powers: Vec<u32> = (0..12_288).map(field::root).collect();
    let mut coefficients = vec![0; 12_288];
    for r in 0..96 {
        let rows: Vec<u32> = (0..128)
            .map(|s| {
                let column = symbols.iter().skip(s).step_by(128).enumerate();
                let sum: u32 =
                    column.map(|(q, &f)| u32::from(f) * powers[128 * q * r % 12_288] % 12_289).sum();
                sum % 12_289 * powers[r * s] % 12_289
            })
            .collect();
        for j in 0..128 {
            let sum: u32 =
                rows.iter().enumerate().map(|(s, row)| row * powers[96 * s * j % 12_288] % 12_289).sum();
            coefficients[r + 96 * j] = (sum % 12_289) as u16;
        }
    }
    coefficients
}

fn kernels() -> Vec<Kernel> {
    Kernel::all().collect()
}

/// The payload of each class.
fn encode(kernel: Kernel, k: usize, bytes: &[u8]) -> Vec<Vec<u8>> {
    let encoder = Encoder::new(k).unwrap().on(kernel);
    let len = encoder.payload_bytes(bytes.len());
    let mut payloads = vec![0xa5; 96 * len];
    encoder.encode(bytes, &mut payloads).unwrap();
    (0..96).map(|r| payloads[r * len..(r + 1) * len].to_vec()).collect()
}

fn decode(
    kernel: Kernel,
    k: usize,
    classes: &[u8],
    payloads: &[Vec<u8>],
    len: usize,
) -> Result<Vec<u8>, DecodeError> {
    let decoder = Decoder::new(k, classes).unwrap().on(kernel);
    let payloads: Vec<&[u8]> = classes.iter().map(|&r| &payloads[usize::from(r)][..]).collect();
    let mut bytes = vec![0x5a; len];
    decoder.decode(&payloads, &mut bytes).map(|()| bytes)
}

/// The 12,288 coefficients of one block, in k order.
fn coefficients(payloads: &[Vec<u8>], block: usize) -> Vec<u16> {
    let mut coefficients = vec![0; 12_288];
    for (r, payload) in payloads.iter().enumerate() {
        let at = block * CLASS_BLOCK_BYTES;
        for (j, value) in numbers_of(&payload[at..at + CLASS_BLOCK_BYTES], 14, 128).into_iter().enumerate() {
            coefficients[r + 96 * j] = value;
        }
    }
    coefficients
}

// ---- Vectors ----

fn text(name: &str) -> String {
    let path = format!("{}/tests/vectors/r96/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("reading {path}: {error}"))
}

fn json(name: &str) -> Value {
    serde_json::from_str(&text(name)).unwrap()
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value[key].as_array().unwrap_or_else(|| panic!("no list {key}"))
}

/// The cases of a file, of which there must be `count`, so that no case is skipped unnoticed.
fn cases(name: &str, key: &str, count: usize) -> Vec<Value> {
    let cases = list(&json(name), key).to_vec();
    assert_eq!(cases.len(), count, "{key} of {name}");
    cases
}

fn number(value: &Value, key: &str) -> usize {
    value[key].as_u64().unwrap_or_else(|| panic!("no number {key}")) as usize
}

fn numbers(value: &Value, key: &str) -> Vec<u16> {
    list(value, key).iter().map(|n| n.as_u64().unwrap() as u16).collect()
}

fn classes_of(value: &Value) -> Vec<u8> {
    numbers(value, "have").into_iter().map(|r| r as u8).collect()
}

fn input(case: &Value) -> Vec<u8> {
    let input = &case["input"];
    let len = number(input, "bytes");
    match input["kind"].as_str().unwrap() {
        "zero" => vec![0; len],
        "ff" => vec![0xff; len],
        "squares" => (0..len).map(|i| (i * i + 7) as u8).collect(),
        "splitmix64" => SplitMix64(number(input, "seed") as u64).bytes(len),
        "hex" => {
            let hex = input["hex"].as_str().unwrap();
            (0..len).map(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).unwrap()).collect()
        }
        kind => panic!("unknown input {kind}"),
    }
}

#[track_caller]
fn assert_digest(bytes: &[u8], case: &Value, key: &str) {
    let digest: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(Some(&digest[..]), case[key].as_str(), "{key} of {}", case["name"]);
}

fn words(numbers: &[u16]) -> Vec<u8> {
    numbers.iter().flat_map(|n| n.to_le_bytes()).collect()
}

#[test]
fn vectors_of_the_roots_hold() {
    let roots = json("roots.json");
    let expect = |key: &str, value: u32| assert_eq!(number(&roots, key), value as usize, "{key}");
    expect("p", P.into());
    expect("omega", field::OMEGA);
    expect("points", (CLASSES * COEFFICIENTS_PER_CLASS) as u32);
    expect("classes", CLASSES as u32);
    expect("values_per_class", COEFFICIENTS_PER_CLASS as u32);
    expect("zeta_omega_pow_128", field::root(128));
    expect("eta_omega_pow_96", field::root(96));
    expect("inverse_omega", field::inverse(11));
    expect("inverse_12288", field::inverse(12_288));
    expect("inverse_96", field::inverse(96));
    expect("inverse_128", field::inverse(128));
    expect("cube_root_omega_pow_4096", field::root(4096));
    expect("fourth_root_omega_pow_3072", field::root(3072));
    // An element has order 12288 = 2^12 · 3 if its powers to half and to a third of that are not 1.
    let primitive = |g: &u32| [2, 3].iter().all(|prime| field::pow(*g, 12_288 / prime) != 1);
    expect("smallest_primitive_root", (2..).find(primitive).unwrap());
    let powers: Vec<u16> = (0..12_288).map(|e| field::root(e) as u16).collect();
    assert_eq!(powers[..32], numbers(&roots, "powers_of_omega_0_to_31"));
    assert_digest(&words(&powers), &roots, "powers_of_omega_u16_0_to_12287_sha256");
}

#[test]
fn vectors_of_the_transform_hold() {
    for kernel in kernels() {
        for case in &cases("transform.json", "cases", 23) {
            let k = number(case, "k");
            let mut bytes = input(case);
            assert_digest(&bytes, case, "input_sha256");
            let len = bytes.len();
            if bytes.is_empty() {
                bytes = vec![0; block_bytes(k)]; // in these vectors, an empty input is one block of zeros
            }
            let payloads = encode(kernel, k, &bytes);
            let blocks = list(case, "blocks");
            assert_eq!(block_count(bytes.len(), k), blocks.len());
            for (b, block) in blocks.iter().enumerate() {
                let symbols = numbers_of(&bytes[b * block_bytes(k)..], 13, 128 * k);
                assert_digest(&words(&symbols), block, "symbols_sha256");
                let coefficients = coefficients(&payloads, b);
                assert_eq!(coefficients[..16], numbers(block, "coefficients_first16"));
                assert_eq!(coefficients[12_272..], numbers(block, "coefficients_last16"));
                assert_digest(&words(&coefficients), block, "coefficients_sha256");
                assert_digest(&bytes_of(&coefficients, 14), block, "packed14_k_order_sha256");
                let at = b * CLASS_BLOCK_BYTES;
                let packed: Vec<u8> =
                    payloads.iter().flat_map(|p| &p[at..at + CLASS_BLOCK_BYTES]).copied().collect();
                assert_digest(&packed, block, "packed14_class_order_sha256");
            }
            bytes.truncate(len);
            let all: Vec<u8> = (0..96).collect();
            if len > 0 {
                assert_eq!(decode(kernel, k, &all, &payloads, len).unwrap(), bytes, "{}", case["name"]);
            }
        }
    }
}

#[test]
fn vectors_of_single_symbols_hold() {
    for kernel in kernels() {
        for case in &cases("units.json", "cases", 9) {
            let m = number(case, "m");
            let mut symbols = vec![0; 12_288];
            symbols[m] = 1;
            let coefficients = coefficients(&encode(kernel, 96, &bytes_of(&symbols, 13)), 0);
            assert_eq!(coefficients[..16], numbers(case, "coefficients_first16"), "m = {m}");
            assert_digest(&words(&coefficients), case, "coefficients_sha256");
        }
    }
}

#[test]
fn vectors_of_the_classes_hold() {
    for kernel in kernels() {
        for case in &cases("classes_k64.json", "cases", 2) {
            let bytes = input(case);
            assert_digest(&bytes, case, "input_sha256");
            let payloads = encode(kernel, number(case, "k"), &bytes);
            assert_eq!(list(case, "classes").len(), CLASSES);
            for class in list(case, "classes") {
                let payload = &payloads[number(class, "r")];
                let values = numbers_of(payload, 14, 128);
                assert_eq!(values[..4], numbers(class, "first4"));
                assert_digest(&words(&values), class, "values_sha256");
                assert_digest(payload, class, "packed14_sha256");
            }
        }
    }
}

#[test]
fn vectors_of_all_coefficients_hold() {
    let bytes = SplitMix64(12_385).bytes(block_bytes(96));
    let coefficients = coefficients(&encode(Kernel::detect(), 96, &bytes), 0);
    let expected: Vec<u16> = text("splitmix64_k96_coefficients.txt")
        .split_ascii_whitespace()
        .map(|number| number.parse().unwrap())
        .collect();
    assert_eq!(coefficients, expected);
}

#[test]
fn vectors_of_the_erasure_patterns_hold() {
    for kernel in kernels() {
        for case in &cases("erasure.json", "patterns", 24) {
            let k = number(case, "k");
            let bytes = input(case);
            let payloads = encode(kernel, k, &bytes);
            let have = classes_of(case);
            let packed: Vec<u8> = have.iter().flat_map(|&r| payloads[usize::from(r)].clone()).collect();
            assert_digest(&packed, case, "have_packed14_sha256");
            let rebuilt = decode(kernel, k, &have, &payloads, bytes.len()).unwrap();
            assert_digest(&rebuilt, case, "output_sha256");
        }
    }
}

/// Coefficients to residues, which need not be symbols.
struct Interpolate<'a> {
    k: usize,
    classes: &'a [u8],
    payloads: &'a [&'a [u8]],
}

impl Job for Interpolate<'_> {
    type Output = Vec<u16>;

    #[inline(always)]
    fn run<L: Lanes>(self, l: L) -> Vec<u16> {
        let erasure = (self.classes.len() < CLASSES).then(|| Erasure::new(self.classes));
        let mut grid = vec![[l.splat(0); COEFFICIENTS_PER_CLASS]; self.classes.len().div_ceil(16)];
        for (payloads, x) in self.payloads.chunks(16).zip(&mut grid) {
            assert!(unpack_rows(l, payloads, (0, 0), &mut [l.splat(0); WORDS], x));
            transform::rows(l, x);
        }
        let mut columns = Columns::new(l).unwrap();
        let mut values = vec![0; 128 * self.k];
        columns.interpolate(l, self.classes, erasure.as_ref(), &grid);
        for (column, x) in columns.x.iter().enumerate() {
            for q in 0..96 {
                let row = l.lanes(l.canonical(x[(96 - q) % 96]), 0).map(i16::cast_unsigned);
                if q < self.k {
                    values[128 * q + 16 * column..][..16].copy_from_slice(&row);
                } else if q >= self.classes.len() {
                    assert_eq!(row, [0; 16], "n classes give a polynomial of degree below n");
                }
            }
        }
        values
    }
}

fn interpolate(kernel: Kernel, k: usize, classes: &[u8], values: &[Vec<u16>]) -> Vec<u16> {
    let payloads: Vec<Vec<u8>> = values.iter().map(|values| bytes_of(values, 14)).collect();
    let payloads: Vec<&[u8]> = payloads.iter().map(Vec::as_slice).collect();
    kernel.run(Interpolate { k, classes, payloads: &payloads })
}

#[test]
fn vectors_of_arbitrary_values_hold() {
    for kernel in kernels() {
        for case in &cases("erasure.json", "arbitrary_values", 3) {
            let k = number(case, "k");
            let have = classes_of(case);
            assert_eq!(have.len(), k);
            let stream = SplitMix64(number(case, "seed") as u64).bytes(256 * k);
            let values: Vec<Vec<u16>> = stream
                .chunks(256)
                .map(|class| class.chunks(2).map(|w| u16::from_le_bytes([w[0], w[1]]) % P).collect())
                .collect();
            let symbols = interpolate(kernel, k, &have, &values);
            assert_eq!(symbols[..16], numbers(case, "symbols_first16"));
            assert_eq!(symbols[128 * k - 16..], numbers(case, "symbols_last16"));
            assert_digest(&words(&symbols), case, "symbols_sha256");
            assert_digest(&words(&spectrum(&symbols)), case, "all_coefficients_sha256");
            assert_eq!(symbols.iter().filter(|&&f| f > 8191).count(), number(case, "symbols_above_8191"));

            // These values are no symbols, so that the decoder reports the first of them.
            let mut payloads = vec![Vec::new(); 96];
            for (&r, values) in have.iter().zip(&values) {
                payloads[usize::from(r)] = bytes_of(values, 14);
            }
            let index = symbols.iter().position(|&f| f > 8191).unwrap();
            let error = DecodeError::Symbol { block: 0, index, value: symbols[index] };
            assert_eq!(decode(kernel, k, &have, &payloads, block_bytes(k)), Err(error));
        }
    }
}

/// The values of the systematic form become classes by the twist and rows of the definition.
#[test]
fn vectors_of_the_systematic_form_hold() {
    for case in &cases("systematic_k64.json", "cases", 4) {
        let symbols = numbers_of(&input(case), 13, 64 * 128);
        let data: Vec<u8> = (0..96).filter(|r| r % 3 != 2).collect();
        let classes: Vec<Vec<u16>> = data
            .iter()
            .zip(symbols.chunks(128))
            .map(|(&r, row)| {
                let term = |s: usize, j: usize| {
                    let exponent = s * (usize::from(r) + 96 * j);
                    u32::from(row[s]) * field::root(exponent) % 12_289
                };
                (0..128).map(|j| ((0..128).map(|s| term(s, j)).sum::<u32>() % 12_289) as u16).collect()
            })
            .collect();
        let polynomials = interpolate(Kernel::detect(), 64, &data, &classes);
        let value = |r: usize, s: usize| {
            let term = |q: usize| u32::from(polynomials[128 * q + s]) * field::root(128 * q * r) % 12_289;
            ((0..64).map(term).sum::<u32>() % 12_289) as u16
        };
        let mut parity = Vec::new();
        assert_eq!(list(case, "classes").len(), 32);
        for class in list(case, "classes") {
            let values: Vec<u16> = (0..128).map(|s| value(number(class, "r"), s)).collect();
            assert_eq!(values[..4], numbers(class, "first4"));
            parity.extend(values);
        }
        assert_eq!(parity[..8], numbers(case, "first_parity_first8"));
        assert_eq!(parity[parity.len() - 8..], numbers(case, "last_parity_last8"));
        assert_digest(&words(&parity), case, "parity_values_sha256");
        assert_digest(&bytes_of(&parity, 14), case, "parity_packed14_sha256");
        assert_digest(&words(&spectrum(&polynomials)), case, "spectrum_of_the_same_polynomial_sha256");
    }
}

// ---- Promises ----

/// `count` random subsets, over all sizes of blocks and tiles that end anywhere.
fn check_subsets(count: usize, seed: u64) {
    let mut random = SplitMix64(seed);
    let kernels = kernels();
    for i in 0..count {
        let k = [1, 2, 33, 64, 80, 95, 96][i % 7];
        let len = 1 + random.below(3 * block_bytes(k));
        let kernel = kernels[random.below(kernels.len())];
        let bytes = random.bytes(len);
        let payloads = encode(kernel, k, &bytes);
        let n = if i % 3 == 0 { k + random.below(97 - k) } else { k };
        let classes = subset(&mut random, n);
        let rebuilt = decode(kernel, k, &classes, &payloads, len);
        assert_eq!(rebuilt.as_ref(), Ok(&bytes), "K = {k}, {len} bytes, {classes:?}");
    }
}

#[test]
fn any_k_classes_rebuild_the_bytes() {
    check_subsets(140, 96);
}

#[test]
#[ignore = "the long run"]
fn any_k_classes_rebuild_the_bytes_ten_thousand_times() {
    check_subsets(10_000, 12_289);
}

#[test]
fn classes_are_those_of_the_definition() {
    let mut random = SplitMix64(1);
    for k in [1, 5, 32, 33, 95, 96] {
        let bytes = random.bytes(block_bytes(k));
        let expected = spectrum(&numbers_of(&bytes, 13, 128 * k));
        for kernel in kernels() {
            assert_eq!(coefficients(&encode(kernel, k, &bytes), 0), expected, "K = {k}");
        }
    }
}

#[test]
fn all_lanes_give_the_same_bits() {
    let mut random = SplitMix64(2);
    let tail = |len: usize| len * 2 + len / 3 + 1;
    for k in 1..=96 {
        let len = tail(block_bytes(k));
        for bytes in [random.bytes(len), vec![0xff; len]] {
            let portable = encode(Kernel::Portable, k, &bytes);
            let classes = subset(&mut random, k);
            for kernel in kernels() {
                assert!(encode(kernel, k, &bytes) == portable, "K = {k}");
                assert!(decode(kernel, k, &classes, &portable, len).as_ref() == Ok(&bytes), "K = {k}");
            }
        }
    }
}

#[test]
fn slices_of_a_tile_give_the_same_payloads() {
    let bytes = SplitMix64(4).bytes(10_001);
    for k in [1, 3, 7] {
        let whole = encode(Kernel::detect(), k, &bytes);
        let mut joined = vec![Vec::new(); 96];
        for slice in bytes.chunks(5 * block_bytes(k)) {
            let part = encode(Kernel::detect(), k, slice);
            joined.iter_mut().zip(part).for_each(|(class, part)| class.extend(part));
        }
        assert!(whole == joined);
    }
}

#[test]
fn no_bytes_are_no_blocks() {
    assert_eq!(block_count(0, 96), 0);
    assert!(encode(Kernel::detect(), 96, &[]).iter().all(Vec::is_empty));
    assert_eq!(decode(Kernel::detect(), 1, &[7], &vec![Vec::new(); 96], 0), Ok(Vec::new()));
    assert_eq!(block_count(1 << 20, 96), 53);
    assert_eq!(block_count(1 << 20, 64), 79);
}

#[test]
fn impossible_parameters_are_refused() {
    assert_eq!(Encoder::new(0).err(), Some(ParameterError::DataClasses { k: 0 }));
    assert_eq!(Encoder::new(97).err(), Some(ParameterError::DataClasses { k: 97 }));
    assert_eq!(Decoder::new(0, &[1]).err(), Some(ParameterError::DataClasses { k: 0 }));
    assert_eq!(Decoder::new(1, &[3, 3]).err(), Some(ParameterError::Duplicate { class: 3 }));
    assert_eq!(Decoder::new(2, &[1, 255]).err(), Some(ParameterError::Class { class: 255 }));
    assert_eq!(Decoder::new(2, &[95]).err(), Some(ParameterError::TooFewClasses { have: 1, needed: 2 }));
    let text = ParameterError::TooFewClasses { have: 1, needed: 2 }.to_string();
    assert_eq!(text, "1 of 2 needed classes are available");
}

// ---- Hostile payloads ----

fn set_field(payload: &mut [u8], block: usize, index: usize, value: u16) {
    let bytes = &mut payload[block * CLASS_BLOCK_BYTES..(block + 1) * CLASS_BLOCK_BYTES];
    let mut fields = numbers_of(bytes, 14, 128);
    fields[index] = value;
    bytes.copy_from_slice(&bytes_of(&fields, 14));
}

#[test]
fn payloads_of_wrong_number_or_length_are_refused() {
    let mut bytes = vec![0; 300];
    let decoder = Decoder::new(1, &[4, 5]).unwrap();
    let payload = vec![0; 2 * CLASS_BLOCK_BYTES];
    assert_eq!(
        decoder.decode(&[&payload], &mut bytes),
        Err(DecodeError::Payloads { expected: 2, actual: 1 })
    );
    for wrong in [0, 447, 449, 672] {
        assert_eq!(
            decoder.decode(&[&payload, &vec![0; wrong]], &mut bytes),
            Err(DecodeError::Length { class: 5, expected: 448, actual: wrong })
        );
    }
    assert_eq!(decoder.decode(&[&payload, &payload], &mut bytes), Ok(()));
}

#[test]
fn fields_above_12288_are_refused_where_they_are() {
    let bytes = SplitMix64(5).bytes(3 * block_bytes(20) - 5);
    let classes: Vec<u8> = (40..62).collect();
    for kernel in kernels() {
        let payloads = encode(kernel, 20, &bytes);
        for (class, block, index, value) in
            [(40, 0, 0, 12_289), (55, 1, 77, 16_383), (56, 2, 127, 12_290), (61, 2, 15, 16_000)]
        {
            let mut bad = payloads.clone();
            set_field(&mut bad[usize::from(class)], block, index, value);
            // A later bad field does not change the error.
            set_field(&mut bad[61], 2, 127, 12_289);
            let error = DecodeError::Field { class, block, index, value };
            assert_eq!(decode(kernel, 20, &classes, &bad, bytes.len()), Err(error));
        }
    }
}

#[test]
fn surplus_classes_find_any_wrong_coefficient() {
    let mut random = SplitMix64(6);
    for kernel in kernels() {
        for k in [1, 64, 95] {
            let bytes = random.bytes(2 * block_bytes(k));
            let mut payloads = encode(kernel, k, &bytes);
            for _ in 0..10 {
                let n = k + 1 + random.below(96 - k);
                let classes = subset(&mut random, n);
                let class = usize::from(classes[random.below(classes.len())]);
                let (block, index) = (random.below(2), random.below(128));
                let good = payloads[class].clone();
                let at = block * CLASS_BLOCK_BYTES;
                let value = numbers_of(&good[at..at + CLASS_BLOCK_BYTES], 14, 128)[index];
                set_field(&mut payloads[class], block, index, (value + 1 + random.below(12_288) as u16) % P);
                let result = decode(kernel, k, &classes, &payloads, bytes.len());
                assert_eq!(result, Err(DecodeError::Inconsistent { block }));
                payloads[class] = good;
            }
        }
    }
}

#[test]
fn symbols_above_8191_are_refused_where_they_are() {
    // 8192 at symbol m alone has the spectrum 8192 · ω^(m k).
    for kernel in kernels() {
        for m in [0, 127, 128, 4_711, 8_191] {
            let values = |r: usize| -> Vec<u16> {
                (0..128).map(|j| (8192 * field::root(m * (r + 96 * j)) % 12_289) as u16).collect()
            };
            let bad: Vec<Vec<u8>> = (0..96).map(|r| bytes_of(&values(r), 14)).collect();
            // Blocks of zeros before and after the bad block.
            for (blocks, block) in [(1, 0), (2, 1), (5, 2), (6, 3), (6, 5)] {
                let error = DecodeError::Symbol { block, index: m, value: 8192 };
                let payloads: Vec<Vec<u8>> = bad
                    .iter()
                    .map(|bad| {
                        let mut payload = vec![0; blocks * CLASS_BLOCK_BYTES];
                        payload[block * CLASS_BLOCK_BYTES..][..CLASS_BLOCK_BYTES].copy_from_slice(bad);
                        payload
                    })
                    .collect();
                for n in [64, 65, 96] {
                    let classes = subset(&mut SplitMix64(m as u64), n);
                    let result = decode(kernel, 64, &classes, &payloads, blocks * block_bytes(64));
                    assert_eq!(result, Err(error), "{kernel:?}");
                }
            }
        }
    }
}

#[test]
fn padding_must_be_zero() {
    let len = block_bytes(3) + 100;
    let mut bytes = SplitMix64(7).bytes(2 * block_bytes(3));
    bytes[len..].fill(0);
    for kernel in kernels() {
        for bad in [len, len + 1, 2 * block_bytes(3) - 1] {
            for bit in [1, 0x80] {
                bytes[bad] = bit;
                let payloads = encode(kernel, 3, &bytes);
                let result = decode(kernel, 3, &[90, 1, 44], &payloads, len);
                assert_eq!(result, Err(DecodeError::Padding { block: 1 }));
                assert_eq!(decode(kernel, 3, &[90, 1, 44], &payloads, bytes.len()).as_ref(), Ok(&bytes));
                bytes[bad] = 0;
            }
        }
    }
}

#[test]
fn any_payload_is_an_answer_and_no_panic() {
    let mut random = SplitMix64(8);
    for kernel in kernels() {
        for k in [1, 50, 96] {
            let classes = subset(&mut random, (k + 3).min(96));
            for _ in 0..20 {
                let mut payloads = vec![Vec::new(); 96];
                let wild = random.below(2) == 0;
                for &r in &classes {
                    let values: Vec<u16> =
                        (0..128).map(|_| random.next() as u16 % if wild { 1 << 14 } else { P }).collect();
                    payloads[usize::from(r)] = bytes_of(&values, 14);
                }
                assert!(decode(kernel, k, &classes, &payloads, block_bytes(k)).is_err());
            }
        }
    }
}

// ---- Lanes ----

/// Every operation on sixteen rows of words, with lanes at the edges of their range and random lanes.
struct Operations<'a>(&'a [[u8; 32]]);

impl Job for Operations<'_> {
    /// Results for each block in the lanes. The sixteen rows of a block follow those of the block before.
    type Output = Vec<Vec<[i16; 16]>>;

    #[inline(always)]
    fn run<L: Lanes>(self, l: L) -> Self::Output {
        let mut v = [l.splat(0); 16];
        for (i, v) in v.iter_mut().enumerate() {
            *v = l.load_words(self.0, i, 16);
        }
        let mut out = vec![l.add(v[0], v[1]), l.sub(v[0], v[1]), l.reduce(v[0]), l.canonical(v[0])];
        out.extend([l.or(v[0], v[1]), l.max(v[0], v[1]), l.mul(v[0], (v[1], v[2])), l.splat(-7)]);
        let mut columns = v;
        l.transpose(&v, &mut columns);
        out.extend(columns);
        let fields = l.unpack_fields([v[0], v[1], v[2], v[3], v[4], v[5], v[6]]);
        out.extend(fields);
        out.extend(l.pack_fields(fields));
        out.push(l.load(&super::lanes::Row(std::array::from_fn(|lane| lane as i16))));
        let symbols: Vec<[u8; 26]> = self.0.iter().map(|row| *row.first_chunk().unwrap()).collect();
        let step = 16 * (L::BLOCKS - 1);
        for i in 0..16 {
            let loaded = l.load_symbols(&symbols, i, 16);
            out.push(loaded);
            let mut packed = vec![[0; 26]; step + 1];
            l.store_symbols(loaded, &mut packed, 0, step);
            let mut words = vec![[0; 32]; step + 1];
            l.store_words(v[i], &mut words, 0, step);
            for block in 0..L::BLOCKS {
                assert_eq!(packed[16 * block], symbols[16 * block + i]);
                assert_eq!(words[16 * block], self.0[16 * block + i]);
            }
        }
        (0..L::BLOCKS).map(|block| out.iter().map(|&v| l.lanes(v, block)).collect()).collect()
    }
}

#[test]
fn all_lanes_compute_the_same() {
    let mut random = SplitMix64(9);
    let edges = [i16::MIN, -12_289, -1, 0, 1, 8191, 8192, 12_288, 16_383, i16::MAX];
    let mut lane = || {
        let bits = random.next();
        if bits.is_multiple_of(4) { edges[(bits >> 8) as usize % edges.len()] } else { (bits >> 16) as i16 }
    };
    let mut row = || -> [u8; 32] {
        let lanes: Vec<u8> = (0..16).flat_map(|_| lane().to_le_bytes()).collect();
        lanes.try_into().unwrap()
    };
    for _ in 0..200 {
        let rows: Vec<[u8; 32]> = (0..32).map(|_| row()).collect();
        let expected = [&rows[..16], &rows[16..]].map(|rows| Operations(rows).run(Portable).remove(0));
        for kernel in kernels() {
            let found = kernel.run(Operations(&rows));
            assert!(found.len() <= 2 && found[..] == expected[..found.len()], "{kernel:?}");
        }
    }
}

#[test]
fn an_error_is_that_of_the_first_block_however_many_are_side_by_side() {
    let mut random = SplitMix64(12);
    let bytes = random.bytes(5 * block_bytes(64) + 1);
    for kernel in kernels() {
        let honest = encode(kernel, 64, &bytes);
        let classes: Vec<u8> = (0..65).collect();
        for first in 0..6 {
            let mut payloads = honest.clone();
            let block = &mut payloads[3][first * CLASS_BLOCK_BYTES..][..CLASS_BLOCK_BYTES];
            let value = numbers_of(block, 14, 128)[9];
            set_field(&mut payloads[3], first, 9, (value + 1) % P);
            if first < 5 {
                // A later and worse error does not change the result.
                set_field(&mut payloads[0], first + 1, 0, 16_383);
            }
            let error = DecodeError::Inconsistent { block: first };
            assert_eq!(decode(kernel, 64, &classes, &payloads, bytes.len()), Err(error), "{kernel:?}");
        }
    }
}
