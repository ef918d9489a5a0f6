//! Classes that verify against a root and are still not a codeword of any bytes. The maker of the root can
//! construct them, and they must never be returned as data.

use super::*;
use crate::base::units::TILE_SIZE;
use crate::hash::class_tree::ClassTree;
use crate::hash::digest::{Digest, Digests};
use crate::hash::tile_tree::{Leaf, RootHeader, root_from_tiles};
use crate::r96::{CLASS_BLOCK_BYTES, CLASSES};
use crate::shard::{AtlasBoundaryRegion, Limits, Proof, TileShape, VerifyOptions};
use crate::tile::options::{ProjectionOptions, ProjectionType};
use crate::tile::scheme::{Scheme, Workspace};
use crate::{AtlasProjection, ErrorKind, ReconstructionOptions, Source};

const K: u8 = 64;
/// Three blocks, the last one of them with padding.
const LEN: usize = 30_001;

fn data(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i * 57 + i / 253) as u8).collect()
}

/// The honest payload of each class.
fn encode(bytes: &[u8]) -> Vec<Vec<u8>> {
    let scheme = Scheme::new(ProjectionType::R96Fourier, &ProjectionOptions::new().with_data_classes(K));
    let mut payloads = vec![Vec::new(); CLASSES];
    let add = |class: u8, _: usize, part: &[u8]| payloads[usize::from(class)].extend_from_slice(part);
    scheme.unwrap().classes(bytes, &mut Workspace::default(), add).unwrap();
    payloads
}

/// Field `index` of a payload: 14 bits, little end first.
fn field(payload: &[u8], index: usize) -> u32 {
    (0..14)
        .map(|bit| 14 * index + bit)
        .fold(0, |value, at| value | u32::from(payload[at / 8] >> (at % 8) & 1) << (at - 14 * index))
}

fn set_field(payload: &mut [u8], index: usize, value: u32) {
    for bit in 0..14 {
        let at = 14 * index + bit;
        payload[at / 8] &= !(1 << (at % 8));
        payload[at / 8] |= u8::from(value >> bit & 1 == 1) << (at % 8);
    }
}

/// One shard per class of a domain of one tile, with a root that commits to these payloads.
fn forge(payloads: &[Vec<u8>], len: usize, residue: Residue) -> Vec<AtlasShard> {
    let digests = Digests::new(None);
    let each: [Digest; CLASSES] = std::array::from_fn(|class| digests.tile(&payloads[class]));
    let tree = ClassTree::new(&digests, &each).unwrap();
    let header =
        RootHeader { kind: ProjectionType::R96Fourier.code(), classes: K, size: to_u64(len), tiles: 1 };
    let leaf = Leaf { len: u32::try_from(len).unwrap(), residue, witness: tree.witness().unwrap() };
    let (root, _) = root_from_tiles(&digests, &header, &(0..1), &[leaf], &[]).unwrap();
    let shard = |class: u8| {
        let classes = ClassSet::of(class).unwrap();
        let mut payload = Buffer::new(payloads[usize::from(class)].len()).unwrap();
        payload.copy_from_slice(&payloads[usize::from(class)]);
        let proof = Proof {
            root,
            header,
            keyed: false,
            region: AtlasBoundaryRegion::new(0, to_u64(len)),
            classes,
            first_tile: 0,
            tiles: vec![TileShape { len: leaf.len, residue }],
            chaining_values: tree.prove(classes).unwrap(),
            siblings: Vec::new(),
        };
        let shard = AtlasShard {
            proof: Arc::new(proof),
            payload: Arc::new(payload),
            payload_offset: 0,
            residue: Residue::default(),
        };
        // To a receiver of the shards every class alone verifies against this root.
        let trust = VerifyOptions::new().with_root(root);
        let bytes = shard.serialize().unwrap();
        AtlasShard::deserialize(&bytes, &Limits::default(), &trust, &mut Operation::new()).unwrap()
    };
    (0..96).map(shard).collect()
}

/// Returns the result of adding `classes` in this order and finishing.
fn rebuild(shards: &[AtlasShard], classes: impl Iterator<Item = usize>) -> Result<Vec<u8>> {
    let rebuilt = AtlasReconstruction::new(&ReconstructionOptions::new())?;
    for class in classes {
        let before = rebuilt.classes_needed();
        if let Err(error) = rebuilt.add(&shards[class], &mut Operation::new()) {
            // The failed call changed nothing.
            assert_eq!(rebuilt.classes_needed(), before);
            assert!(!rebuilt.is_complete());
            return Err(error);
        }
    }
    assert!(rebuilt.is_complete());
    let projection = rebuilt.finish(&mut Operation::new())?;
    let mut bytes = vec![0; LEN];
    projection.read(0, &mut bytes)?;
    Ok(bytes)
}

fn refused(shards: &[AtlasShard], classes: impl Iterator<Item = usize>) -> AtlasError {
    rebuild(shards, classes).expect_err("classes that stand for no bytes")
}

#[test]
fn honest_classes_pass() {
    let bytes = data(LEN);
    let shards = forge(&encode(&bytes), LEN, Residue::of(&bytes));
    assert_eq!(rebuild(&shards, 0..64).unwrap(), bytes);
    assert_eq!(rebuild(&shards, (32..96).rev()).unwrap(), bytes);
}

#[test]
fn classes_that_are_no_codeword_do_not_pass() {
    let bytes = data(LEN);
    for (class, index) in [(0, 0), (63, 127), (70, 5), (95, 3 * 128 - 1)] {
        let mut payloads = encode(&bytes);
        let value = (field(&payloads[class], index) + 1) % 12_289;
        set_field(&mut payloads[class], index, value);
        let shards = forge(&payloads, LEN, Residue::of(&bytes));
        // Without the wrong class the bytes are right, and still no bytes lead to the root.
        let without = (0..96).filter(|other| *other != class).take(64);
        assert_eq!(refused(&shards, without).kind(), ErrorKind::Witness);
        // With it the bytes are wrong, which shows in a symbol, a padding bit, the witness or the root.
        let with = std::iter::once(class).chain((0..96).filter(|other| *other != class)).take(64);
        let kind = refused(&shards, with).kind();
        assert!(matches!(kind, ErrorKind::Witness | ErrorKind::Format), "{kind:?}");
    }
}

/// If witness and sum are both wrong, the witness is reported.
#[test]
fn classes_of_other_bytes_are_no_witness_before_they_are_no_sum() {
    let (bytes, mut other) = (data(LEN), data(LEN));
    other[LEN / 2] ^= 1;
    let mut payloads = encode(&other);
    payloads.truncate(64);
    payloads.extend(encode(&bytes).drain(64..));
    let shards = forge(&payloads, LEN, Residue::of(&bytes));
    let error = refused(&shards, 0..64);
    assert_eq!((error.kind(), error.index()), (ErrorKind::Witness, Some(0)));
    // With the sum of the other bytes only the root shows the fault.
    let shards = forge(&payloads, LEN, Residue::of(&other));
    assert_eq!(refused(&shards, 0..64).kind(), ErrorKind::Witness);
}

#[test]
fn a_wrong_sum_does_not_pass() {
    let bytes = data(LEN);
    let wrong = Residue::of(&bytes) + Residue::of(&[1]);
    let error = refused(&forge(&encode(&bytes), LEN, wrong), 0..64);
    assert_eq!((error.kind(), error.index()), (ErrorKind::Conservation, Some(0)));
}

#[test]
fn fields_above_12288_do_not_pass() {
    let bytes = data(LEN);
    for (class, value) in [(3, 12_289), (40, 16_383), (63, 12_290)] {
        let mut payloads = encode(&bytes);
        set_field(&mut payloads[class], 200, value);
        let error = refused(&forge(&payloads, LEN, Residue::of(&bytes)), 0..64);
        assert_eq!(error.kind(), ErrorKind::Format);
        assert!(error.message().contains(&value.to_string()), "{}", error.message());
    }
}

#[test]
fn symbols_above_8191_do_not_pass() {
    // The transform is linear: the sum of two codewords is the codeword of the sum of their symbols.
    let (one, other) = (encode(&vec![0xff; LEN]), encode(&vec![0x0f; LEN]));
    let mut payloads = one;
    for (payload, other) in payloads.iter_mut().zip(&other) {
        for index in 0..payload.len() * 8 / 14 {
            let sum = (field(payload, index) + field(other, index)) % 12_289;
            set_field(payload, index, sum);
        }
    }
    let shards = forge(&payloads, LEN, Residue::default());
    for classes in [0..64, 32..96] {
        assert_eq!(refused(&shards, classes).kind(), ErrorKind::Format);
    }
}

#[test]
fn padding_that_is_not_zero_does_not_pass() {
    let mut bytes = data(LEN);
    let residue = Residue::of(&bytes);
    bytes.push(1);
    assert_eq!(refused(&forge(&encode(&bytes), LEN, residue), 0..64).kind(), ErrorKind::Format);
}

#[test]
fn more_than_k_classes_contradict_a_wrong_one_at_once() {
    let bytes = data(LEN);
    let mut payloads = encode(&bytes);
    let value = (field(&payloads[80], 77) + 1) % 12_289;
    set_field(&mut payloads[80], 77, value);
    let shards = forge(&payloads, LEN, Residue::of(&bytes));
    // One shard with the classes 17 to 81 is more than K.
    let rebuilt = AtlasReconstruction::new(&ReconstructionOptions::new()).unwrap();
    for shard in &shards[17..80] {
        rebuilt.add(shard, &mut Operation::new()).unwrap();
    }
    assert_eq!(rebuilt.classes_needed(), 1);
    let classes = [80, 81].map(|class| ClassSet::of(class).unwrap());
    let classes = classes[0].union(classes[1]);
    let digests = Digests::new(None);
    let each: [Digest; CLASSES] = std::array::from_fn(|class| digests.tile(&payloads[class]));
    let honest = shards[80].proof();
    let proof = Proof {
        classes,
        chaining_values: ClassTree::new(&digests, &each).unwrap().prove(classes).unwrap(),
        tiles: honest.tiles.clone(),
        siblings: Vec::new(),
        ..*honest
    };
    let both = [&payloads[80][..], &payloads[81]].concat();
    let mut payload = Buffer::new(both.len()).unwrap();
    payload.copy_from_slice(&both);
    let shard = AtlasShard {
        proof: Arc::new(proof),
        payload: Arc::new(payload),
        payload_offset: 0,
        residue: Residue::default(),
    };
    shard.verify(&VerifyOptions::new(), &mut Operation::new()).unwrap();
    assert_eq!(rebuilt.add(&shard, &mut Operation::new()).unwrap_err().kind(), ErrorKind::Witness);
    assert_eq!(rebuilt.classes_needed(), 1);
}

#[test]
fn more_tiles_than_the_payload_has_blocks_for_are_refused_at_once() {
    let bytes = data(LEN);
    let shards = forge(&encode(&bytes), LEN, Residue::of(&bytes));
    let (honest, payload) = (shards[0].proof(), shards[0].payload().1);
    let tiles = payload.len() / CLASS_BLOCK_BYTES + 1;
    let proof = Proof {
        region: AtlasBoundaryRegion::new(0, to_u64(tiles)),
        header: RootHeader { size: to_u64(tiles), tiles: to_u64(tiles), ..honest.header },
        tiles: vec![TileShape { len: 1, residue: Residue::ZERO }; tiles],
        chaining_values: vec![[0; 32]; 7 * tiles],
        siblings: Vec::new(),
        ..*honest
    };
    let error = proof.layout(payload.len()).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Format);
    assert!(error.message().contains(&format!("1 classes of {tiles} tiles")), "{}", error.message());
}

#[test]
fn classes_of_some_tiles_wait_beside_a_tile_that_is_complete() {
    let bytes = data(2 * TILE_SIZE + 70_000);
    let operation = &mut Operation::sequential();
    let (source, options) = (Source::copy(&bytes).unwrap(), ProjectionOptions::new().with_data_classes(2));
    let projection =
        AtlasProjection::create(ProjectionType::R96Fourier, &source, &options, operation).unwrap();
    let cut = |start: usize, len: usize, class: u8| {
        let region = AtlasBoundaryRegion::new(to_u64(start), to_u64(len));
        projection.extract_classes(Some(&region), &[class], &mut Operation::sequential()).unwrap().remove(0)
    };
    // The second shard completes one tile. Its bytes for the two others are kept.
    for complete in 0..3 {
        let rebuilt = AtlasReconstruction::new(&ReconstructionOptions::new()).unwrap();
        for shard in [cut(complete * TILE_SIZE + 9, 100, 5), cut(0, bytes.len(), 9), cut(0, bytes.len(), 5)] {
            assert!(!rebuilt.is_complete());
            rebuilt.add(&shard, operation).unwrap();
        }
        assert!(rebuilt.is_complete());
        let whole = rebuilt.finish(operation).unwrap();
        let mut read = vec![0; bytes.len()];
        whole.read(0, &mut read).unwrap();
        assert!(read == bytes, "{complete}");
    }
}
