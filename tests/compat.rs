//! Files of format version 1 are read for ever, and the same shards are written byte for byte.
//!
//! `vectors/shards_v1/README.md` says how the files are made. `ATLAS_VECTORS=write` writes the files that
//! are missing and fills in the fields that the manifest lacks; existing files and fields never change.

#![allow(clippy::cast_possible_truncation, reason = "test data are small numbers")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::print_stderr, reason = "a test that is left out says why")]

#[allow(dead_code)]
#[path = "../src/base/split_mix.rs"]
mod split_mix;

use atlas_manifold::{
    AtlasBoundaryRegion, AtlasProjection, AtlasShard, ClassSet, Digest, ErrorKind, Limits, Operation,
    ProjectionDelta, ProjectionOptions, ProjectionType, Result, Source, VerifyOptions, digest256,
};
#[cfg(feature = "compression")]
use atlas_manifold::{
    CompressedShard, CompressionAlgorithm, CompressionConfig, CompressionFilter, CompressionLevel,
};
use serde_json::Value;
use split_mix::SplitMix64;
use std::path::{Path, PathBuf};

/// Size of the digest at the end of every file.
const DIGEST: usize = 32;
/// Offset of the region in every file, and of the classes in an R96 one.
const REGION_OFFSET: std::ops::Range<usize> = 128..136;
const REGION_CLASSES: std::ops::Range<usize> = 144..156;

fn folder() -> PathBuf {
    // Cargo runs tests in the folder of the package.
    Path::new("tests/vectors/shards_v1").to_path_buf()
}

fn manifest() -> Value {
    serde_json::from_str(&std::fs::read_to_string(folder().join("manifest.json")).unwrap()).unwrap()
}

fn list<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    value[name].as_array().unwrap_or_else(|| panic!("{name} is not a list in {value}"))
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_else(|| panic!("{name} is not a text in {value}"))
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("{value} is not a number"))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Digest {
    std::array::from_fn(|i| u8::from_str_radix(&text[i * 2..i * 2 + 2], 16).unwrap())
}

fn is_compressed(file: &Value) -> bool {
    text(file, "file").ends_with(".compressed")
}

/// The committed file.
fn golden(file: &Value) -> Vec<u8> {
    let path = folder().join(text(file, "file"));
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

// The domains.

/// Stretches of 4,096 bytes in turn: noise, letters, then words of 2, 4, 8 and 16 bytes whose lower half
/// is noise of five bits a byte and whose upper half is one of four numbers.
fn records(seed: u64, size: usize) -> Vec<u8> {
    const STRETCH: usize = 4_096;
    let (mut noise, mut bytes) = (SplitMix64(seed), Vec::new());
    for stretch in 0..size.div_ceil(STRETCH) {
        match stretch % 6 {
            0 => bytes.extend(noise.bytes(STRETCH)),
            1 => bytes.extend((0..STRETCH).map(|i| b'a' + (i % 37 % 26) as u8)),
            kind => {
                let width = 1 << (kind - 1);
                let half = 8 * width / 2;
                for _ in 0..STRETCH / width {
                    let low = u128::from(noise.next() & 0x1F1F_1F1F_1F1F_1F1F) & ((1 << half) - 1);
                    let high = 1_000 + u128::from(noise.next() % 4);
                    let word = high << half | low;
                    bytes.extend_from_slice(&word.to_le_bytes()[..width]);
                }
            }
        }
    }
    bytes.truncate(size);
    bytes
}

/// Stretches of 4,096 bytes in turn: rows of 3, 6 and 12 bytes, each of which grows by a fraction from row to
/// row.
fn ramps(size: usize) -> Vec<u8> {
    const STRETCH: usize = 4_096;
    let byte = |at: usize| {
        let width = [3, 6, 12][at / STRETCH % 3];
        let (row, place) = (at % STRETCH / width, at % STRETCH % width);
        (row * (place + 3) / 5 + 40 * place) as u8
    };
    (0..size).map(byte).collect()
}

fn original(domain: &Value) -> Vec<u8> {
    let (seed, size) = (number(&domain["seed"]), number(&domain["size"]) as usize);
    match text(domain, "formula") {
        "splitmix64" => SplitMix64(seed).bytes(size),
        "records" => records(seed, size),
        "period" => (0..size).map(|i| (i % 251 + i / 65_536) as u8).collect(),
        "ramps" => ramps(size),
        "words" => {
            let mut bytes: Vec<u8> = (0..size as u64 / 4 + 1)
                .flat_map(|i| ((37 * i + i * i / 4_096) as u32).to_le_bytes())
                .collect();
            bytes.truncate(size);
            bytes
        }
        "sparse" => (0..size).map(|i| u8::from(i % 208 == 0)).collect(),
        other => panic!("formula {other} is not known"),
    }
}

/// The changes of a domain, and its bytes after them by a plain vector.
fn edited(domain: &Value) -> (Vec<ProjectionDelta>, Vec<u8>) {
    let (mut deltas, mut bytes) = (Vec::new(), original(domain));
    for edit in domain["edits"].as_array().into_iter().flatten() {
        let at = |i: usize| number(&edit[i]);
        let range = at(1) as usize..at(2) as usize;
        match edit[0].as_str().unwrap() {
            "insert" => {
                let new = SplitMix64(at(3)).bytes(at(2) as usize);
                bytes.splice(at(1) as usize..at(1) as usize, new.clone());
                deltas.push(ProjectionDelta::insert(at(1), new));
            }
            "update" => {
                let new = SplitMix64(at(4)).bytes(at(3) as usize);
                bytes.splice(range, new.clone());
                deltas.push(ProjectionDelta::update(at(1), at(2), new));
            }
            "delete" => {
                bytes.drain(range);
                deltas.push(ProjectionDelta::delete(at(1), at(2)));
            }
            "move" => {
                assert!(at(3) < at(1), "a move to the front");
                let moved: Vec<u8> = bytes.drain(range).collect();
                bytes.splice(at(3) as usize..at(3) as usize, moved);
                deltas.push(ProjectionDelta::move_range(at(1), at(2), at(3)));
            }
            other => panic!("edit {other} is not known"),
        }
    }
    (deltas, bytes)
}

// Shards, made anew.

fn key(manifest: &Value) -> [u8; 32] {
    unhex(text(manifest, "key"))
}

fn region(file: &Value) -> AtlasBoundaryRegion {
    AtlasBoundaryRegion::new(number(&file["region"][0]), number(&file["region"][1]))
}

/// Returns the trust settings for `file`: the root of the manifest, and the key if the file is keyed.
fn trust(manifest: &Value, file: &Value) -> VerifyOptions {
    let options = VerifyOptions::new().with_root(unhex(text(file, "root")));
    if file["keyed"] == true { options.with_key(&key(manifest)) } else { options }
}

fn project(manifest: &Value, file: &Value, operation: &mut Operation<'_>) -> AtlasProjection {
    let domain = &manifest["domains"][text(file, "domain")];
    let mut options = ProjectionOptions::new();
    let kind = match text(file, "type") {
        "LINEAR" => ProjectionType::Linear,
        "R96_FOURIER" => {
            options = options.with_data_classes(u8::try_from(number(&file["data_classes"])).unwrap());
            ProjectionType::R96Fourier
        }
        other => panic!("type {other} is not known"),
    };
    if file["keyed"] == true {
        options = options.with_key(&key(manifest));
    }
    let source = Source::from_vec(original(domain));
    let projection = AtlasProjection::create(kind, &source, &options, operation).unwrap();
    for delta in edited(domain).0 {
        projection.apply_incremental_update(delta).unwrap();
    }
    projection
}

/// The classes that `file` carries; LINEAR has none.
fn classes(file: &Value) -> Vec<u8> {
    match &file["classes"] {
        Value::String(_) => (0..96).collect(),
        Value::Array(classes) => classes.iter().map(|class| number(class) as u8).collect(),
        _ => Vec::new(),
    }
}

/// The encoding of the shard that `file` describes, made from the formula.
fn make(manifest: &Value, file: &Value, operation: &mut Operation<'_>) -> Vec<u8> {
    let projection = project(manifest, file, operation);
    match classes(file)[..] {
        [class] => {
            let mut shards = projection.extract_classes(Some(&region(file)), &[class], operation).unwrap();
            shards.remove(0).serialize().unwrap()
        }
        [] => projection.extract_shard(&region(file), operation).unwrap().serialize().unwrap(),
        ref some => {
            let all = projection.extract_shard(&region(file), operation).unwrap().serialize().unwrap();
            if some.len() == 96 { all } else { with_some_classes(&all, some) }
        }
    }
}

/// Puts the digest of the file at its end.
fn renew_digest(bytes: &mut [u8]) {
    let (body, digest) = bytes.split_last_chunk_mut::<DIGEST>().unwrap();
    *digest = digest256(body);
}

/// N(bytes) of a projection without a key, as docs/design.md defines it.
fn tree_digest(bytes: &[u8]) -> Digest {
    blake3::derive_key("atlas_manifold 1 tree", bytes)
}

/// The records of an encoding, each as tag and value.
fn records_of(bytes: &[u8]) -> Vec<(u16, Vec<u8>)> {
    let (mut records, mut rest) = (Vec::new(), &bytes[24..bytes.len() - DIGEST]);
    while let Some((head, later)) = rest.split_first_chunk::<16>() {
        let len = u64::from_le_bytes(head[8..].try_into().unwrap()) as usize;
        records.push((u16::from_le_bytes([head[0], head[1]]), later[..len].to_vec()));
        rest = &later[len..];
    }
    records
}

/// The encoding of `records` with the header of `like`.
fn encode(like: &[u8], records: &[(u16, Vec<u8>)]) -> Vec<u8> {
    let mut bytes = like[..24].to_vec();
    for (tag, value) in records {
        bytes.extend_from_slice(&u64::from(*tag).to_le_bytes());
        bytes.extend_from_slice(&(value.len() as u64).to_le_bytes());
        bytes.extend_from_slice(value);
    }
    bytes.extend_from_slice(&[0; DIGEST]);
    let len = bytes.len() as u64;
    bytes[16..24].copy_from_slice(&len.to_le_bytes());
    renew_digest(&mut bytes);
    bytes
}

/// The top of the tree over `leaves`. `beside` gets the nodes that hold nothing of `wanted` and whose
/// parent holds something of it.
fn top(leaves: &[(u8, Digest)], wanted: &[u8], beside: &mut Vec<Digest>) -> Digest {
    if let [(_, leaf)] = leaves {
        return *leaf;
    }
    let touches = |leaves: &[(u8, Digest)]| leaves.iter().any(|(class, _)| wanted.contains(class));
    let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
    let both = [left, right].map(|half| {
        let digest = top(half, wanted, beside);
        if touches(leaves) && !touches(half) {
            beside.push(digest);
        }
        digest
    });
    tree_digest(&[&[4], &both[0][..], &both[1][..]].concat())
}

/// The shard of some of the classes, cut out of one tile's shard of all 96 without a key: the library
/// reads such shards and has no call that makes them.
fn with_some_classes(all: &[u8], wanted: &[u8]) -> Vec<u8> {
    let mut records = records_of(all);
    let payload = records.pop().unwrap().1;
    let payloads: Vec<&[u8]> = payload.chunks(payload.len() / 96).collect();
    let leaves: Vec<(u8, Digest)> = (0u8..)
        .zip(&payloads)
        .map(|(class, payload)| {
            (class, tree_digest(&[&[3, class], &blake3::hash(payload).as_bytes()[..]].concat()))
        })
        .collect();
    let mut beside = Vec::new();
    top(&leaves, wanted, &mut beside);
    let mut mask = [0; 12];
    wanted.iter().for_each(|class| mask[usize::from(class / 8)] |= 1 << (class % 8));
    records[2].1[16..].copy_from_slice(&mask);
    records[4].1 = beside.concat();
    records.push((7, wanted.iter().flat_map(|&class| payloads[usize::from(class)]).copied().collect()));
    encode(all, &records)
}

/// The shard of a domain of one tile with a wrong residue, under the root that follows from it: only
/// the sum of the bytes shows that.
fn with_residue(good: &[u8], residue: u8) -> Vec<u8> {
    let mut records = records_of(good);
    let payload = &records[6].1;
    let (len, witness) = (payload.len() as u64, *blake3::hash(payload).as_bytes());
    let leaf = tree_digest(&[&[0], &len.to_le_bytes()[..], &[residue], &witness].concat());
    let root = [&[2, 0, 0], &len.to_le_bytes()[..], &1u64.to_le_bytes(), &leaf].concat();
    records[0].1 = tree_digest(&root).to_vec();
    records[3].1[12] = residue;
    encode(good, &records)
}

fn read_shard(bytes: &[u8], trust: &VerifyOptions, operation: &mut Operation<'_>) -> Result<AtlasShard> {
    AtlasShard::deserialize(bytes, &Limits::default(), trust, operation)
}

#[cfg(feature = "compression")]
fn read_compressed(bytes: &[u8], trust: &VerifyOptions, operation: &mut Operation<'_>) -> Result<AtlasShard> {
    CompressedShard::deserialize(bytes, &Limits::default())?.decompress(trust, operation)
}

/// The shard of a file of either kind.
fn read(
    file: &Value,
    bytes: &[u8],
    trust: &VerifyOptions,
    operation: &mut Operation<'_>,
) -> Result<AtlasShard> {
    #[cfg(feature = "compression")]
    if is_compressed(file) {
        return read_compressed(bytes, trust, operation);
    }
    assert!(!is_compressed(file));
    read_shard(bytes, trust, operation)
}

/// The entries of the manifest that this build can read.
fn readable(manifest: &Value) -> impl Iterator<Item = &Value> {
    list(manifest, "files").iter().filter(|file| is_readable(file))
}

/// False if the file is compressed by a codec that this build lacks.
fn is_readable(file: &Value) -> bool {
    match file["algorithm"].as_str() {
        None => true,
        Some("ZSTD") => cfg!(feature = "zstd"),
        Some("LZ4") => cfg!(feature = "lz4"),
        Some(_) => cfg!(feature = "compression"),
    }
}

#[cfg(feature = "compression")]
fn algorithm(file: &Value) -> CompressionAlgorithm {
    match text(file, "algorithm") {
        "NONE" => CompressionAlgorithm::None,
        "DEFLATE" => CompressionAlgorithm::Deflate,
        "CONSERVATION_AWARE" => CompressionAlgorithm::ConservationAware,
        "ZSTD" => CompressionAlgorithm::Zstd,
        "LZ4" => CompressionAlgorithm::Lz4,
        other => panic!("algorithm {other} is not known"),
    }
}

#[cfg(feature = "compression")]
fn compress(file: &Value, shard: &AtlasShard, operation: &mut Operation<'_>) -> CompressedShard {
    let config = CompressionConfig {
        algorithm: algorithm(file),
        level: CompressionLevel::Custom(number(&file["level"]) as u8),
        block_size: number(&file["block_size"]),
        min_size_threshold: 0,
        max_compression_ratio: 1.0,
        filter: match file["filter"].as_str() {
            Some("PLANES") => CompressionFilter::Planes,
            _ => CompressionFilter::Auto,
        },
        ..CompressionConfig::default()
    };
    shard.compress_with(&config, operation).unwrap()
}

fn kind_of(name: &str) -> ErrorKind {
    match name {
        "CONSERVATION" => ErrorKind::Conservation,
        "FORMAT" => ErrorKind::Format,
        "UNSUPPORTED" => ErrorKind::Unsupported,
        "WITNESS" => ErrorKind::Witness,
        other => panic!("status {other} is not expected of any file"),
    }
}

/// The manifest; missing vectors were written before if `ATLAS_VECTORS` asks for them.
fn vectors() -> Value {
    #[cfg(feature = "compression")]
    if std::env::var("ATLAS_VECTORS").is_ok_and(|value| value == "write") {
        static ONCE: std::sync::Once = std::sync::Once::new();
        ONCE.call_once(missing::write);
    }
    manifest()
}

/// The damaged file that `file` describes.
fn damage(manifest: &Value, file: &Value) -> Vec<u8> {
    let good = list(manifest, "files").iter().find(|other| other["file"] == file["of"]).unwrap();
    let mut bytes = golden(good);
    if let Some(residue) = file["forged_residue"].as_u64() {
        bytes = with_residue(&bytes, residue as u8);
    }
    if let Some(len) = file["cut"].as_u64() {
        bytes.truncate(len as usize);
    }
    if let Some(count) = file["append"].as_u64() {
        bytes.resize(bytes.len() + count as usize, 0);
    }
    if let Some(at) = file["at"].as_u64() {
        bytes[at as usize] ^= number(&file["xor"]) as u8;
        if file["renew_digest"] == true {
            renew_digest(&mut bytes);
        }
    }
    bytes
}

/// Compressed files are written too.
#[cfg(feature = "compression")]
mod missing {
    use super::*;
    use serde_json::json;

    /// Writes the files that are missing, and the manifest with the fields that it lacks.
    pub(super) fn write() {
        let all = complete(&manifest());
        for file in list(&all, "damaged") {
            golden_or(file, || damage(&all, file));
        }
        write_manifest(&all);
    }

    /// The committed file; `made` becomes it if there is none.
    fn golden_or(file: &Value, made: impl FnOnce() -> Vec<u8>) -> Vec<u8> {
        let path = folder().join(text(file, "file"));
        if !path.exists() {
            std::fs::write(&path, made()).unwrap();
        }
        golden(file)
    }

    /// Fills in the fields that the manifest lacks of each file.
    fn complete(manifest: &Value) -> Value {
        let mut all = manifest.clone();
        for file in all["files"].as_array_mut().unwrap() {
            let made = make(manifest, file, &mut Operation::new());
            let shard = {
                let options = VerifyOptions::new();
                let options = if file["keyed"] == true { options.with_key(&key(manifest)) } else { options };
                read_shard(&made, &options, &mut Operation::new()).unwrap()
            };
            let bytes = golden_or(file, || match is_compressed(file) {
                true => compress(file, &shard, &mut Operation::new()).serialize().unwrap(),
                false => made.clone(),
            });
            let info = shard.info();
            let fields = [
                ("root", json!(hex(&info.root))),
                ("domain_size", json!(info.domain_size)),
                ("residue", json!(info.residue.value())),
                ("payload_size", json!(info.payload_size)),
                ("payload_digest", json!(hex(&digest256(shard.data())))),
                ("serialized_digest", json!(hex(&digest256(&made)))),
                ("file_digest", json!(hex(&digest256(&bytes)))),
            ];
            for (name, value) in fields {
                file.as_object_mut().unwrap().entry(name).or_insert(value);
            }
        }
        all
    }

    /// One entry of the manifest a line.
    fn write_manifest(manifest: &Value) {
        let lines = |value: &Value| -> String {
            let lines: Vec<String> = match value {
                Value::Array(list) => list.iter().map(Value::to_string).collect(),
                Value::Object(map) => {
                    map.iter().map(|(name, value)| format!("{}: {value}", json!(name))).collect()
                }
                other => vec![other.to_string()],
            };
            lines.join(",\n")
        };
        let text = format!(
            "{{\n\"key\": {},\n\"domains\": {{\n{}\n}},\n\"files\": [\n{}\n],\n\"damaged\": [\n{}\n]\n}}\n",
            manifest["key"],
            lines(&manifest["domains"]),
            lines(&manifest["files"]),
            lines(&manifest["damaged"])
        );
        std::fs::write(folder().join("manifest.json"), text).unwrap();
    }
}

#[test]
fn every_file_is_in_the_manifest_and_has_its_digest() {
    let manifest = vectors();
    let mut named: Vec<&str> = Vec::new();
    for file in list(&manifest, "files") {
        named.push(text(file, "file"));
        assert_eq!(hex(&digest256(&golden(file))), text(file, "file_digest"), "{file}");
    }
    named.extend(list(&manifest, "damaged").iter().map(|file| text(file, "file")));
    let mut found: Vec<String> = std::fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".shard") || name.ends_with(".compressed"))
        .collect();
    found.sort();
    named.sort_unstable();
    assert_eq!(found, named);
}

#[test]
fn every_file_is_read_for_ever() {
    let manifest = vectors();
    for file in readable(&manifest) {
        let name = text(file, "file");
        let bytes = golden(file);
        for mut operation in [Operation::new(), Operation::sequential()] {
            let shard = read(file, &bytes, &trust(&manifest, file), &mut operation)
                .unwrap_or_else(|error| panic!("{name}: {error}"));
            shard.verify(&trust(&manifest, file), &mut operation).unwrap();
            let info = shard.info();
            assert_eq!(hex(&info.root), file["root"], "{name}");
            assert_eq!(u64::from(info.data_classes), number(&file["data_classes"]), "{name}");
            assert_eq!(info.projection_type == ProjectionType::Linear, file["type"] == "LINEAR", "{name}");
            assert_eq!(info.keyed, file["keyed"] == true, "{name}");
            assert_eq!(info.region, region(file), "{name}");
            assert_eq!(info.classes.iter().collect::<Vec<_>>(), classes(file), "{name}");
            assert_eq!(info.domain_size, number(&file["domain_size"]), "{name}");
            assert_eq!(info.payload_size, number(&file["payload_size"]), "{name}");
            assert_eq!(u64::from(info.residue.value()), number(&file["residue"]), "{name}");
            assert_eq!(hex(&digest256(shard.data())), file["payload_digest"], "{name}");

            // One shard has one encoding: that of the file, or that of the file it is compressed from.
            let serialized = shard.serialize().unwrap();
            assert_eq!(hex(&digest256(&serialized)), file["serialized_digest"], "{name}");
            let plain = if is_compressed(file) { &file["of"] } else { &file["file"] };
            if let Some(plain) = plain.as_str() {
                assert!(serialized == std::fs::read(folder().join(plain)).unwrap(), "{name}");
            }
        }
    }
}

#[test]
fn the_bytes_of_a_file_are_those_of_its_domain() {
    let manifest = vectors();
    let mut decoded = 0;
    for file in readable(&manifest) {
        let name = text(file, "file");
        let (_, domain) = edited(&manifest["domains"][text(file, "domain")]);
        let shard = read(file, &golden(file), &trust(&manifest, file), &mut Operation::new()).unwrap();
        assert_eq!(domain.len() as u64, shard.info().domain_size, "{name}");
        let region = region(file);
        let mut bytes = vec![0; region.length as usize];
        match shard.read(region.offset, &mut bytes) {
            Ok(()) => {
                assert!(bytes == domain[region.offset as usize..region.end() as usize], "{name}");
                decoded += 1;
            }
            // Fewer than K classes decode to nothing.
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Incomplete, "{name}: {error}");
                assert!((classes(file).len() as u64) < number(&file["data_classes"]), "{name}");
            }
        }
    }
    assert!(decoded >= 20, "{decoded} files were decoded");
}

#[test]
fn the_same_shards_are_written_byte_for_byte() {
    let manifest = vectors();
    for file in list(&manifest, "files") {
        for mut operation in [Operation::new(), Operation::sequential()] {
            let made = make(&manifest, file, &mut operation);
            assert_eq!(hex(&digest256(&made)), file["serialized_digest"], "{file}");
            if !is_compressed(file) {
                assert!(made == golden(file), "{file}");
            }
        }
    }
}

/// The output of a compressor may change; its meaning may not.
#[cfg(feature = "compression")]
#[test]
fn a_compressed_file_says_what_it_is_and_a_new_one_gives_the_same_shard() {
    let manifest = vectors();
    let mut count = 0;
    for file in readable(&manifest).filter(|file| is_compressed(file)) {
        let name = text(file, "file");
        let bytes = golden(file);
        let compressed = CompressedShard::deserialize(&bytes, &Limits::default()).unwrap();
        assert!(compressed.serialize().unwrap() == bytes, "{name}: its encoding is what was read");
        let info = compressed.info();
        assert_eq!(info.algorithm, algorithm(file), "{name}");
        assert_eq!(u64::from(info.level), number(&file["level"]), "{name}");
        assert_eq!(info.original_size, number(&file["payload_size"]), "{name}");

        let shard = read(file, &bytes, &trust(&manifest, file), &mut Operation::new()).unwrap();
        let mut part = vec![0; shard.data().len() / 3];
        compressed.read(part.len() as u64, &mut part).unwrap();
        assert!(part == shard.data()[part.len()..2 * part.len()], "{name}");

        let again = compress(file, &shard, &mut Operation::new()).serialize().unwrap();
        let again = read(file, &again, &trust(&manifest, file), &mut Operation::new()).unwrap();
        assert!(again.serialize().unwrap() == shard.serialize().unwrap(), "{name}");
        count += 1;
    }
    assert_eq!(
        count,
        13 + if cfg!(feature = "zstd") { 4 } else { 0 } + if cfg!(feature = "lz4") { 3 } else { 0 }
    );
}

#[test]
fn a_file_of_a_codec_that_is_not_built_in_is_unsupported() {
    for file in list(&vectors(), "files").iter().filter(|file| !is_readable(file)) {
        let error = atlas_manifold::CompressedShard::deserialize(&golden(file), &Limits::default());
        assert_eq!(error.err().map(|error| error.kind()), Some(ErrorKind::Unsupported), "{file}");
    }
}

#[test]
fn a_file_is_refused_without_its_key_with_another_key_and_with_another_root() {
    let manifest = vectors();
    let mut other_key = key(&manifest);
    other_key[31] ^= 1;
    for file in readable(&manifest) {
        let name = text(file, "file");
        let mut root = unhex(text(file, "root"));
        let with_root = VerifyOptions::new().with_root(root);
        root[0] ^= 1;
        let mut wrong = vec![trust(&manifest, file).with_root(root), with_root.clone().with_key(&other_key)];
        if file["keyed"] == true {
            wrong.push(with_root);
        } else {
            wrong.push(with_root.with_key(&key(&manifest)));
        }
        for trust in wrong {
            let error = read(file, &golden(file), &trust, &mut Operation::new()).expect_err(name);
            assert_eq!(error.kind(), ErrorKind::Witness, "{name}: {error}");
        }
    }
}

#[test]
fn every_damaged_file_is_refused_with_its_status() {
    let manifest = vectors();
    let mut statuses = Vec::new();
    for file in list(&manifest, "damaged") {
        if is_compressed(file) && !cfg!(feature = "compression") {
            continue;
        }
        // A file with a codec that this build lacks is not examined any further.
        let name = text(file, "file");
        let unread = (name.contains("algorithm_3") || name.contains("_zstd_")) && !cfg!(feature = "zstd")
            || name.contains("_lz4_") && !cfg!(feature = "lz4");
        let status = if unread { "UNSUPPORTED" } else { text(file, "status") };
        let bytes = golden(file);
        assert!(bytes == damage(&manifest, file), "{name} is not the damage that the manifest describes");
        // Nothing is trusted, so that no status is owed to a root that does not match.
        let error = read(file, &bytes, &VerifyOptions::new(), &mut Operation::new()).expect_err(name);
        assert_eq!(error.kind(), kind_of(status), "{name}: {error}");
        statuses.push(status.to_owned());
    }
    statuses.sort();
    statuses.dedup();
    assert_eq!(statuses, ["CONSERVATION", "FORMAT", "UNSUPPORTED", "WITNESS"]);
}

/// The second implementation, in Python, comes to the same results and the same statuses.
///
/// `ATLAS_PYTHON` names an interpreter with the packages blake3 and zstandard; the default is python3.
#[test]
fn the_second_reader_verifies_all_files_and_refuses_the_damaged_ones_with_the_same_statuses() {
    let python = std::env::var("ATLAS_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let output = match std::process::Command::new(&python).arg(folder().join("check.py")).output() {
        Ok(output) => output,
        Err(error) => return eprintln!("skipped: {python} does not run: {error}"),
    };
    let text = String::from_utf8_lossy(&output.stdout);
    if output.status.code() == Some(77) {
        return eprintln!("skipped: {text}");
    }
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    let manifest = vectors();
    let (files, damaged) = (list(&manifest, "files").len(), list(&manifest, "damaged").len());
    assert_eq!(text.trim(), format!("{files} files verified, {damaged} damaged ones refused"));
}

/// Places of flipped bytes: the header, its neighbourhood, the end, and some places between.
fn places(len: usize) -> impl Iterator<Item = usize> {
    let step = (len / 48).max(1);
    (0..len).filter(move |&at| at < 64 || at + 40 >= len || at % step == 0)
}

#[test]
fn a_flipped_byte_or_a_cut_is_refused() {
    let manifest = vectors();
    for file in readable(&manifest) {
        let (name, good) = (text(file, "file"), golden(file));
        let trust = trust(&manifest, file);
        for at in places(good.len()) {
            let mut bytes = good.clone();
            bytes[at] ^= 1 << (at % 8);
            let error = read(file, &bytes, &trust, &mut Operation::sequential());
            let kind = error.err().unwrap_or_else(|| panic!("{name}: byte {at} flipped")).kind();
            assert!(matches!(kind, ErrorKind::Format | ErrorKind::Unsupported), "{name}: {kind:?} at {at}");
            assert!(
                read(file, &good[..at], &trust, &mut Operation::sequential()).is_err(),
                "{name}: cut at {at}"
            );
        }
    }
}

/// An attacker computes the digest anew. A shard is refused then too, unless it proves the root alone:
/// offset and classes of an empty region are any. A compressed one can still be valid, since the level and the
/// unused bits of a stream prove nothing. Neither gives other bytes.
#[test]
fn a_flipped_byte_under_a_new_digest_never_gives_other_bytes() {
    let manifest = vectors();
    for file in readable(&manifest) {
        let (name, good) = (text(file, "file"), golden(file));
        let trust = trust(&manifest, file);
        for at in places(good.len() - DIGEST) {
            let mut bytes = good.clone();
            bytes[at] ^= 1 << (at % 8);
            renew_digest(&mut bytes);
            if let Ok(shard) = read(file, &bytes, &trust, &mut Operation::sequential()) {
                let is_free = REGION_OFFSET.contains(&at)
                    || (file["type"] == "R96_FOURIER" && REGION_CLASSES.contains(&at));
                if file["region"][1] == 0 && is_free {
                    assert!(shard.data().is_empty(), "{name}: byte {at}");
                    continue;
                }
                assert!(is_compressed(file), "{name}: byte {at} flipped under a new digest");
                let serialized = hex(&digest256(&shard.serialize().unwrap()));
                assert_eq!(serialized, file["serialized_digest"], "{name}: byte {at}");
            }
        }
    }
}

/// Every promise of the format has a file: both types, keyed and not, every algorithm and filter, empty
/// regions, whole and several tiles, a short last one.
#[test]
fn the_files_cover_the_format() {
    let manifest = vectors();
    let files = list(&manifest, "files");
    let some = |what: &str, holds: &dyn Fn(&Value) -> bool| assert!(files.iter().any(holds), "{what}");
    for kind in ["LINEAR", "R96_FOURIER"] {
        for keyed in [false, true] {
            for compressed in [false, true] {
                some(&format!("{kind}, keyed {keyed}, compressed {compressed}"), &|file| {
                    file["type"] == kind
                        && (file["keyed"] == true) == keyed
                        && is_compressed(file) == compressed
                });
            }
        }
        for algorithm in ["NONE", "DEFLATE", "CONSERVATION_AWARE", "ZSTD", "LZ4"] {
            some(&format!("{kind}, {algorithm}"), &|file| {
                file["type"] == kind && file["algorithm"] == algorithm
            });
        }
        some(&format!("{kind}, empty"), &|file| file["type"] == kind && file["region"][1] == 0);
    }
    for classes in [1, 33, 64, 96] {
        some(&format!("K = {classes}"), &|file| file["data_classes"] == classes);
    }

    let value = |file: &Value, tag: u16| {
        records_of(&golden(file)).into_iter().find(|record| record.0 == tag).unwrap().1
    };
    let mut filters = Vec::new();
    for file in files.iter().filter(|file| is_compressed(file)) {
        let heads = value(file, 16).split_off(16);
        // The number of a filter of 3 bits lies over bits 21 to 23.
        filters.extend(heads.chunks(12).map(|head| head[2] >> 5));
    }
    filters.sort_unstable();
    filters.dedup();
    assert_eq!(filters, [0, 1, 2, 3, 4, 5, 6, 7]);

    let tiles = |file: &Value| (value(file, 4).len() - 8) / 5;
    for kind in ["LINEAR", "R96_FOURIER"] {
        some(&format!("{kind}, several tiles"), &|file| file["type"] == kind && tiles(file) > 2);
        some(&format!("{kind}, edited, several tiles"), &|file| {
            let domain = &manifest["domains"][text(file, "domain")];
            file["type"] == kind && domain["edits"].is_array() && tiles(file) > 1
        });
    }
    let mut set = ClassSet::EMPTY;
    for file in files {
        set = classes(file).iter().fold(set, |set, &class| set.union(ClassSet::of(class).unwrap()));
    }
    assert_eq!(set, ClassSet::ALL);
}
