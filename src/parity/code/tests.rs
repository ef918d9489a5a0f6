//! The code compared with golden code words, and with the formula.

use super::*;
use crate::parity::geometry::Geometry;
use crate::parity::test_data::{golden, hex, number as json_number, stream};
use reed_solomon_simd::engine::{CANTOR_BASIS, GF_POLYNOMIAL};

fn shape(columns: usize, parity: usize, len: usize) -> Geometry {
    let unit = len as u64;
    Geometry { size: columns as u64 * unit, unit, columns: columns as u64, parity: parity as u64, rows: 1 }
}

/// Parity of one row by the transforms.
fn encode(code: &Code, data: &[Vec<u8>], len: usize) -> Vec<Vec<u8>> {
    let padded = len.next_multiple_of(MAX_SLICE);
    let mut encoder = Encoder::new(code, padded).unwrap();
    encoder.begin();
    for (column, unit) in data.iter().enumerate() {
        let mut unit = unit.clone();
        unit.resize(padded, 0);
        encoder.put(column, 0, &unit);
        if column % code.points() == code.points() - 1 || column == data.len() - 1 {
            encoder.fold(code, column, 0..padded);
        }
    }
    encoder.finish(code, 0..padded);
    let parity = |row| {
        let mut out = vec![0xee; padded];
        encoder.parity(row, 0, &mut out);
        assert!(out[len..].iter().all(|byte| *byte == 0));
        out.truncate(len);
        out
    };
    (0..code.parity()).map(parity).collect()
}

/// Parity of one row, computed by the matrix.
fn products(code: &Code, data: &[Vec<u8>], rows: &[usize], len: usize) -> Vec<Buffer> {
    let mut sums: Vec<Buffer> = rows.iter().map(|_| Buffer::copy_of(&vec![0; len]).unwrap()).collect();
    for (column, unit) in data.iter().enumerate() {
        code.add_product(column, &mut unit.clone(), rows, &mut sums);
    }
    sums
}

#[test]
fn memory_for_the_transforms_is_counted_if_and_only_if_they_rebuild() {
    for (columns, parity) in [(1, 1), (40, 4), (200, 200), (300, 16), (256, 100), (1_000, 300)] {
        let geometry = shape(columns, parity, 64);
        let code = Code::new(&geometry).unwrap();
        let mut long = 0;
        for lost in 1..=parity {
            let counted = Code::solving_footprint(&geometry, lost as u64);
            assert_eq!(counted > 0, code.is_long(lost), "{lost} lost of {columns} columns");
            long += u32::from(counted > 0);
        }
        // Few losses are rebuilt by a matrix, many by the transforms.
        assert_eq!(long > 0, parity >= 100, "{columns} columns");
    }
}

#[test]
fn elements_and_products_are_those_of_the_definition() {
    let engine = Engine::new().unwrap();
    let element = |v: u64| {
        (0..16).filter(|bit| v >> bit & 1 == 1).fold(0, |sum, bit| sum ^ u64::from(CANTOR_BASIS[bit]))
    };
    let field = golden("field.json");
    for pair in field["elements"].as_array().unwrap() {
        assert_eq!(element(json_number(&pair[0])), json_number(&pair[1]), "{pair}");
    }
    assert_eq!(GF_POLYNOMIAL, 0x1_002d);
    let number = |value: &serde_json::Value| json_number(value) as u16;
    for product in field["products"].as_array().unwrap() {
        let sum = u64::from(engine.log(number(&product[0]))) + u64::from(engine.log(number(&product[1])));
        assert_eq!(engine.exp(reduced(sum)), number(&product[2]), "{product}");
    }
}

#[test]
fn code_words_are_the_golden_ones() {
    let code_words = golden("code.json");
    let len = json_number(&code_words["unit"]) as usize;
    for word in code_words["words"].as_array().unwrap() {
        let (columns, parity) = (json_number(&word["K"]) as usize, json_number(&word["M"]) as usize);
        let bytes = stream(json_number(&word["seed"]), columns * len);
        let data: Vec<Vec<u8>> = bytes.chunks(len).map(<[u8]>::to_vec).collect();
        let code = Code::new(&shape(columns, parity, len)).unwrap();
        let all = encode(&code, &data, len).concat();
        assert_eq!(
            hex(&crate::digest256(&all)),
            word["parity_blake3"].as_str().unwrap(),
            "K {columns} M {parity}"
        );
        if let Some(units) = word["parity"].as_str() {
            assert_eq!(hex(&all), units, "K {columns} M {parity}");
        }
        // Some rows are computed directly by the matrix.
        let rows: Vec<usize> = [0, parity / 2, parity - 1].into_iter().take(parity).collect();
        for (row, sum) in rows.iter().zip(products(&code, &data, &rows, len)) {
            assert_eq!(sum[..], all[row * len..(row + 1) * len], "K {columns} M {parity} row {row}");
        }
    }
}

/// Loses units, rebuilds them from parity units and compares.
fn rebuild(columns: usize, parity: usize, lost: &[usize], rows: &[usize], len: usize) {
    let code = Code::new(&shape(columns, parity, len)).unwrap();
    let bytes = stream(columns as u64 * 1_000 + parity as u64, columns * len);
    let data: Vec<Vec<u8>> = bytes.chunks(len).map(<[u8]>::to_vec).collect();
    let whole = encode(&code, &data, len);
    let mut holed = data.clone();
    lost.iter().for_each(|column| holed[*column].fill(0));
    let mut sums = products(&code, &holed, rows, len);
    let transformed = encode(&code, &holed, len);
    for (row, sum) in rows.iter().zip(&mut sums) {
        assert_eq!(sum[..], transformed[*row][..]);
        xor_into(sum, &whole[*row]);
    }
    let mut units: Vec<Buffer> = lost.iter().map(|_| Buffer::copy_of(&vec![0xee; len]).unwrap()).collect();
    code.solve(lost, rows, &mut sums, &mut units).unwrap();
    for (column, unit) in lost.iter().zip(&units) {
        assert_eq!(unit[..], data[*column][..], "K {columns} M {parity} lost {lost:?} rows {rows:?}");
    }
}

#[test]
fn every_choice_of_lost_units_and_parity_units_of_small_rows_comes_back() {
    for (columns, parity) in [(1, 1), (3, 2), (4, 4), (5, 3), (7, 4)] {
        let chosen = |set: u32, of: usize| (0..of).filter(|at| set >> at & 1 == 1).collect::<Vec<_>>();
        for set in 0..1 << columns {
            let lost = chosen(set, columns);
            if lost.len() > parity || lost.is_empty() {
                continue;
            }
            for rows in
                (0..1 << parity).map(|set| chosen(set, parity)).filter(|rows| rows.len() == lost.len())
            {
                rebuild(columns, parity, &lost, &rows, 64);
            }
        }
    }
}

#[test]
fn as_many_units_as_there_are_parity_units_come_back_from_long_rows() {
    // The shape (300, 128) goes through the crate's own decoder.
    for (columns, parity) in [(256, 16), (257, 26), (600, 20), (1_000, 60), (300, 128), (65_504, 32)] {
        let mut order: Vec<usize> = (0..columns).collect();
        let random = stream(parity as u64, 8 * parity);
        for (at, bytes) in random.chunks(8).enumerate() {
            let other = u64::from_le_bytes(bytes.try_into().unwrap()) % (columns - at) as u64;
            order.swap(at, at + other as usize);
        }
        let rows: Vec<usize> = (0..parity).collect();
        let mut lost = order[..parity].to_vec();
        lost.sort_unstable();
        rebuild(columns, parity, &lost, &rows, 64);
        rebuild(columns, parity, &order[..1], &[parity - 1], 64);
        assert_eq!(Code::new(&shape(columns, parity, 64)).unwrap().is_long(parity), parity == 128);
    }
}

#[test]
fn rows_that_have_lost_very_many_units_come_back_slice_by_slice() {
    let (columns, parity) = (16_384, 16_384);
    let geometry = shape(columns, parity, 4_096);
    assert!(
        Code::long_slice(columns, parity) == 512 && Code::solving_footprint(&geometry, 16_384) < 20 << 20
    );
    let lost: Vec<usize> = (0..columns).filter(|column| column % 5 != 0).collect();
    let rows: Vec<usize> = (0..lost.len()).collect();
    let code = Code::new(&geometry).unwrap();
    // All columns but two are zeros, so that the parity takes little time.
    let len = 1_024;
    let data: Vec<(usize, Vec<u8>)> = [3, 9_999].map(|column| (column, stream(column as u64, len))).to_vec();
    let mut sums: Vec<Buffer> = rows.iter().map(|_| Buffer::zeros(len).unwrap()).collect();
    for (column, unit) in &data {
        code.add_product(*column, &mut unit.clone(), &rows, &mut sums);
    }
    let mut units: Vec<Buffer> = lost.iter().map(|_| Buffer::zeros(len).unwrap()).collect();
    code.solve(&lost, &rows, &mut sums, &mut units).unwrap();
    for (column, unit) in lost.iter().zip(&units) {
        let wanted = data.iter().find(|(other, _)| other == column);
        assert!(
            wanted.map_or(unit.iter().all(|byte| *byte == 0), |(_, bytes)| unit[..] == bytes[..]),
            "{column}"
        );
    }
}

#[test]
fn pieces_of_any_length_and_order_give_one_parity() {
    let (columns, parity, len) = (37, 5, 5 * MAX_SLICE);
    let code = Code::new(&shape(columns, parity, len)).unwrap();
    let bytes = stream(9, columns * len);
    let mut data: Vec<Vec<u8>> = bytes.chunks(len).map(<[u8]>::to_vec).collect();
    // Zeros of every kind: a column, a place of all columns, a place of p columns.
    data[3].fill(0);
    data.iter_mut().for_each(|unit| unit[MAX_SLICE..2 * MAX_SLICE].fill(0));
    data[8..16].iter_mut().for_each(|unit| unit[3 * MAX_SLICE..].fill(0));
    let whole = encode(&code, &data, len);
    let mut encoder = Encoder::new(&code, len).unwrap();
    for round in 0..2 {
        encoder.begin();
        for (column, unit) in data.iter().enumerate() {
            for part in [2 * MAX_SLICE..len, 0..2 * MAX_SLICE] {
                if unit[part.clone()].iter().all(|byte| *byte == 0) {
                    encoder.put_zeros(column, part.start, part.len());
                } else {
                    encoder.put(column, part.start, &unit[part.clone()]);
                }
                if column % 8 == 7 || column == columns - 1 {
                    encoder.fold(&code, column, part);
                }
            }
        }
        encoder.finish(&code, 0..len);
        for (row, whole) in whole.iter().enumerate() {
            let mut out = vec![0xee; len];
            encoder.parity(row, 0, &mut out);
            assert!(out == *whole, "round {round} row {row}");
        }
    }
}
