//! Tests with any OpenCL device of the machine, such as pocl's. They pass without one.

use super::*;
use crate::accelerator::AcceleratorOptions;
use crate::base::units::to_usize;
use crate::tile::options::ProjectionOptions;

/// Accelerator of any device, or `None` if there is none.
fn accelerator() -> Option<Arc<Accelerator>> {
    let opened = Accelerator::open(&AcceleratorOptions::new().with_name(""));
    match opened {
        Ok(accelerator) => Some(Arc::new(accelerator)),
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
            None
        }
    }
}

fn scheme() -> Scheme {
    Scheme::new(ProjectionType::Linear, &ProjectionOptions::new()).unwrap()
}

#[test]
fn every_nth_tile_of_the_device_is_checked() {
    let Some(accelerator) = accelerator() else { return };
    let (scheme, bytes) = (scheme(), [7u8; 1000]);
    for lie in 0..2 * CHECKED + 2 {
        let offload = Offload { accelerator: &accelerator, is_shared: true, hashed: AtomicU64::new(0) };
        let workspace = &mut Workspace::default();
        let hashed = |index: u64| {
            let mut residues = [0; RESIDUES];
            residues[0] = (7_000 % 96u64).to_le_bytes()[0];
            let mut hashed =
                Hashed { digest: *blake3::hash(&bytes).as_bytes(), residues, groups: Vec::new() };
            hashed.digest[5] ^= u8::from(index == lie);
            hashed
        };
        // Batches of two tiles.
        let first = (0..3 * CHECKED).step_by(2).find_map(|batch| {
            let read = |_: usize| Ok(&bytes[..]);
            let mut expected =
                offload.expected(&scheme, 2, false, read, workspace).unwrap().into_iter().peekable();
            (0..2).find_map(|place| {
                let expected = expected.next_if(|(checked, _)| *checked == place).map(|(_, hash)| hash);
                let index = batch + to_u64(place);
                offload.accept(index, hashed(index), expected).err()
            })
        });
        match first {
            Some(error) => {
                assert!(lie.is_multiple_of(CHECKED));
                assert_eq!((error.kind(), error.index()), (ErrorKind::Internal, Some(lie)), "{error}");
            }
            None => assert!(!lie.is_multiple_of(CHECKED), "the lie about tile {lie} goes unnoticed"),
        }
    }
}

#[test]
fn a_sum_that_is_none_is_noticed_on_any_tile() {
    let Some(accelerator) = accelerator() else { return };
    let offload = Offload { accelerator: &accelerator, is_shared: true, hashed: AtomicU64::new(1) };
    let hashed = Hashed { digest: [0; 32], residues: [96; RESIDUES], groups: Vec::new() };
    let found = offload.accept(9, hashed, None);
    assert_eq!(found.err().map(|error| (error.kind(), error.index())), Some((ErrorKind::Internal, Some(9))));
    assert_eq!(accelerator.check().unwrap_err().kind(), ErrorKind::State);
}

#[test]
fn tiles_of_any_lengths_have_the_hashes_of_the_processor() {
    let Some(accelerator) = accelerator() else { return };
    let bytes: Vec<u8> = (0..TILE_SIZE + 64).map(|i| (i * 31 + i / 253) as u8).collect();
    let mut seed = 12_345_u64;
    let mut random = |below: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        to_usize((seed >> 33) % to_u64(below))
    };
    let options = ProjectionOptions::new().with_key(&[9; 32]);
    for options in [ProjectionOptions::new(), options] {
        let scheme = Scheme::new(ProjectionType::Linear, &options).unwrap();
        let offload = Offload { accelerator: &accelerator, is_shared: true, hashed: AtomicU64::new(0) };
        for with_groups in [false, true] {
            // Short and long ones in one batch, some at the borders of pages, at any start.
            let tiles: Vec<BatchTile<'_>> = (0..24u64)
                .map(|index| {
                    let start = random(64);
                    let len = match index % 4 {
                        0 => 1 + random(200),
                        1 => 1 + random(TILE_SIZE),
                        2 => 4_096 * (1 + random(256)),
                        _ => (4_095 + 2 * random(2)) * (1 + random(250)),
                    };
                    BatchTile::host(index, &bytes[start..start + len.min(TILE_SIZE)])
                })
                .collect();
            let workspace = &mut Workspace::default();
            let found = offload.hash(&scheme, &tiles, with_groups, workspace).unwrap();
            for (tile, found) in tiles.iter().zip(&found) {
                let TileBytes::Host(bytes) = tile.bytes else { panic!("a tile on a device") };
                let expected = TileHash::of(&scheme, bytes, with_groups, workspace).unwrap();
                assert!(same(&found.witness, &expected.witness), "{} bytes", bytes.len());
                assert_eq!(found.groups, expected.groups, "{} bytes", bytes.len());
                assert_eq!(found.residues.total(), expected.residues.total(), "{} bytes", bytes.len());
            }
        }
    }
    // The device had its part.
    assert!(accelerator.info().bytes_hashed > 0);
}
