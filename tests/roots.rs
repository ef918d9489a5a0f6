//! Every case of the golden roots, through the public API.

#[allow(dead_code)]
#[path = "../src/base/split_mix.rs"]
mod split_mix;

use atlas_manifold::{AtlasProjection, Operation, ProjectionOptions, ProjectionType, Source};
#[cfg(feature = "streaming")]
use atlas_manifold::{StreamingConfig, stream_projection};
use serde_json::Value;
use split_mix::SplitMix64;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn every_case_has_its_residue_witnesses_and_root() {
    let file: Value = serde_json::from_str(include_str!("vectors/root/roots.json")).unwrap();
    let key_text = file["key"].as_str().unwrap();
    let key: Vec<u8> =
        (0..32).map(|i| u8::from_str_radix(&key_text[i * 2..i * 2 + 2], 16).unwrap()).collect();
    let mut cases = 0;
    for case in file["cases"].as_array().unwrap().iter() {
        let name = case["name"].as_str().unwrap();
        let size = usize::try_from(case["size"].as_u64().unwrap()).unwrap();
        let bytes = SplitMix64(case["seed"].as_u64().unwrap()).bytes(size);
        let (kind, mut options) = match case["type"].as_str().unwrap() {
            "LINEAR" => (ProjectionType::Linear, ProjectionOptions::new()),
            "R96_FOURIER" => {
                let k = u8::try_from(case["r96_data_classes"].as_u64().unwrap()).unwrap();
                (ProjectionType::R96Fourier, ProjectionOptions::new().with_data_classes(k))
            }
            other => panic!("type {other}"),
        };
        if case["keyed"].as_bool().unwrap() {
            options = options.with_key(key[..].try_into().unwrap());
        }
        for mut operation in [Operation::new(), Operation::sequential()] {
            let source = Source::copy(&bytes).unwrap();
            let projection = AtlasProjection::create(kind, &source, &options, &mut operation).unwrap();
            assert_eq!(u64::from(projection.info().residue.value()), case["residue"], "{name}");
            let witnesses = case["tile_witnesses"].as_array().unwrap();
            assert_eq!(projection.info().tile_count, witnesses.len() as u64, "{name}");
            for (tile, witness) in (0..).zip(witnesses) {
                assert_eq!(hex(&projection.tile(tile).unwrap().witness), *witness, "{name}, tile {tile}");
            }
            assert_eq!(hex(&projection.root(&mut operation).unwrap()), case["root"], "{name}");
            #[cfg(feature = "streaming")]
            {
                let config = StreamingConfig::new(100_000, 2).unwrap();
                let streamed = stream_projection(&source, kind, &options, config, &mut operation).unwrap();
                assert_eq!(hex(&streamed.root(&mut operation).unwrap()), case["root"], "{name}, streamed");
            }
        }
        cases += 1;
    }
    assert_eq!(cases, 17);
}
