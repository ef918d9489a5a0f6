//! Tests with any OpenCL device of the machine, such as pocl's. They pass without one, and say so.

use super::*;
use crate::base::error::ErrorKind;
use crate::base::units::TILE_SIZE;

/// Any device, or `None` if there is none.
fn accelerator() -> Option<Accelerator> {
    match Accelerator::open(&AcceleratorOptions::new().with_name("")) {
        Ok(accelerator) => Some(accelerator),
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
            // In the output of a test that fails, or with --nocapture.
            std::io::Write::write_fmt(&mut std::io::stderr(), format_args!("left out: {error}\n")).unwrap();
            None
        }
    }
}

fn bytes(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i * 31 + i / 253) as u8).collect()
}

#[test]
fn a_device_hashes_strings_of_every_length_around_a_border() {
    let Some(accelerator) = accelerator() else { return };
    let borders = [0, 64, 1_024, 2_048, 4_096, 16_384, 32_768, 49_152, 65_536, TILE_SIZE];
    let lengths: Vec<usize> = borders
        .iter()
        .flat_map(|border| border - 2.min(*border)..=border + 2)
        .filter(|len| (1..=TILE_SIZE).contains(len))
        .collect();
    let bytes = bytes(TILE_SIZE);
    for key in [None, Some([5; 32])] {
        for part in lengths.chunks(accelerator.batch().min(7)) {
            let strings: Vec<&[u8]> = part.iter().map(|len| &bytes[TILE_SIZE - len..]).collect();
            let batch = Batch { key: key.as_ref(), strings: Strings::Host(&strings), with_groups: true };
            let running = accelerator.start(&batch, true).unwrap().unwrap();
            let found = running.wait().unwrap();
            for (string, found) in strings.iter().zip(&found) {
                assert_eq!(*found, present::expected(key.as_ref(), string), "{} bytes", string.len());
            }
        }
    }
}
