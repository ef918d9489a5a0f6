//! Golden files of an independent implementation (tests/vectors/container): each is opened, read and verified, and
//! those that a writer can make are made again, byte for byte.

use super::*;
use crate::ErrorKind;
use crate::base::split_mix::SplitMix64;
use crate::base::units::{ByteOffset, TileIndex};
use crate::shard::VerifyOptions;
use crate::tile::Tile;
use crate::tile::extent::{Extent, GroupResidues, Trust, WrittenRun};
use crate::tile::options::ProjectionOptions;
use crate::tile::piece::{Piece, cut_pieces};
use crate::tile::rehash::CheckedReader;
use crate::tile::scheme::Workspace;
use crate::tile::stored::{Span, SpanKind};
use crate::tile::tree::Node;
use serde_json::Value;
use std::path::{Path, PathBuf};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/container")
}

struct Vector {
    name: String,
    json: Value,
}

fn vectors() -> Vec<Vector> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "json") {
            let json: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
            found.push(Vector { name: json["name"].as_str().unwrap().to_owned(), json });
        }
    }
    assert!(found.len() > 100, "{} vectors", found.len());
    found.sort_by(|a, b| a.name.cmp(&b.name));
    found
}

fn unhex(value: &Value) -> Vec<u8> {
    let text = value.as_str().unwrap_or_default();
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

fn unhex_array<const N: usize>(value: &Value) -> [u8; N] {
    unhex(value).try_into().unwrap()
}

fn kind_of(status: &Value) -> Option<ErrorKind> {
    Some(match status.as_str().unwrap() {
        "OK" => return None,
        "FORMAT" => ErrorKind::Format,
        "WITNESS" => ErrorKind::Witness,
        "UNSUPPORTED" => ErrorKind::Unsupported,
        "CONSERVATION" => ErrorKind::Conservation,
        "INCOMPLETE" => ErrorKind::Incomplete,
        "LIMIT" => ErrorKind::Limit,
        other => panic!("status {other}"),
    })
}

/// Returns the bytes that a formula of a vector describes.
fn data(formula: &Value) -> Vec<u8> {
    let number = |name: &str| formula[name].as_u64().unwrap_or_else(|| panic!("{name} of {formula}"));
    let size = || usize::try_from(number("size")).unwrap();
    match formula["kind"].as_str().unwrap() {
        "byte" => vec![u8::try_from(number("value")).unwrap(); size()],
        "hex" => unhex(&formula["hex"]),
        "splitmix64" => SplitMix64(number("seed")).bytes(size()),
        "mib" => (0..size())
            .map(|at| {
                let i = (at >> 20) as u64;
                (((31 * i * i + 7 * i) >> 3) & 255) as u8
            })
            .collect(),
        "u32" => {
            let step = number("step");
            let numbers = (0..size().div_ceil(4) as u64).map(|i| (i.wrapping_mul(step) & 0xffff_ffff) as u32);
            let mut bytes: Vec<u8> = numbers.flat_map(u32::to_le_bytes).collect();
            bytes.truncate(size());
            bytes
        }
        "concat" => formula["of"].as_array().unwrap().iter().flat_map(data).collect(),
        "slice" => {
            let range = usize::try_from(number("from")).unwrap()..usize::try_from(number("to")).unwrap();
            data(&formula["of"][0])[range].to_vec()
        }
        other => panic!("formula {other}"),
    }
}

fn base_of(vector: &Vector) -> Option<Source> {
    let formula = &vector.json["base"];
    (!formula.is_null()).then(|| Source::from_vec(data(formula)))
}

fn verify_options(vector: &Vector) -> VerifyOptions {
    match &vector.json["key"] {
        Value::Null => VerifyOptions::new(),
        key => VerifyOptions::new().with_key(&unhex_array(key)),
    }
}

fn open(vector: &Vector, options: &ContainerOptions) -> Result<Container> {
    let path = folder().join(vector.json["file"].as_str().unwrap());
    Container::open(path, ContainerMode::Read, &verify_options(vector), options, &mut Operation::new())
}

#[test]
fn every_golden_file_opens_as_it_must_and_its_good_generations_read() {
    for vector in vectors() {
        let (name, expect) = (&vector.name, &vector.json["expect"]);
        let options = ContainerOptions { base: base_of(&vector), ..ContainerOptions::default() };
        let container = match (open(&vector, &options), kind_of(&expect["open"])) {
            (Ok(container), None) => container,
            (Err(error), Some(kind)) => {
                assert_eq!(error.kind(), kind, "{name}: {error}");
                check_recovered(&vector, &options);
                continue;
            }
            (opened, kind) => panic!("{name}: {kind:?} is expected: {opened:?}"),
        };
        let info = container.info().unwrap();
        assert_eq!(info.newest, expect["newest"].as_u64().unwrap_or(info.newest), "{name}");
        // A library without codecs refuses encoded payload, and no other.
        let refused = container.find_damage(0, &mut |_| true, &mut Operation::new());
        let refused = refused.is_err_and(|error| error.kind() == ErrorKind::Unsupported);
        if refused && kind_of(&expect["verify"]) != Some(ErrorKind::Unsupported) {
            assert!(cfg!(not(feature = "compression")) && name.contains("encoded"), "{name}");
            continue;
        }
        for generation in expect["generations"].as_array().unwrap() {
            check_generation(&vector, &container, generation);
        }
        for probe in expect["probe"].as_array().into_iter().flatten() {
            let snapshot = container.snapshot(0, true, &mut Operation::new()).unwrap();
            let want = unhex(&probe["hex"]);
            let mut found = vec![0; want.len()];
            snapshot.read(probe["offset"].as_u64().unwrap(), &mut found).unwrap();
            assert_eq!(found, want, "{name}");
        }
        check_recovered(&vector, &options);
        let mut damages = Vec::new();
        let mut note = |damage: &crate::Damage| {
            damages.push(*damage);
            true
        };
        // A domain of 2^62 bytes in a few nodes: shared nodes are walked once.
        let found = container.find_damage(0, &mut note, &mut Operation::new());
        let found = found.map_err(|error| error.kind()).err();
        assert_eq!(found, kind_of(&expect["verify"]), "{name}: {damages:?}");
        assert_eq!(found.is_none(), damages.is_empty(), "{name}: {damages:?}");
        // Every place has bytes.
        assert!(damages.iter().all(|damage| damage.length > 0), "{name}: {damages:?}");
        if options.base.is_some() && found.is_none() {
            container.set_base(None).unwrap();
            let found = container.find_damage(0, &mut |_| true, &mut Operation::new());
            assert_eq!(found.unwrap_err().kind(), ErrorKind::Incomplete, "{name}");
        }
    }
}

fn check_recovered(vector: &Vector, options: &ContainerOptions) {
    let expect = &vector.json["expect"]["recover"];
    if expect.is_null() {
        return;
    }
    let options = ContainerOptions { recover: true, ..options.clone() };
    let info = open(vector, &options).unwrap().info().unwrap();
    assert_eq!(info.newest, expect["newest"].as_u64().unwrap_or(0), "{}", vector.name);
    assert!(info.lost == 0 || info.lost > info.newest, "{}", vector.name);
}

fn check_generation(vector: &Vector, container: &Container, expect: &Value) {
    let number = expect["generation"].as_u64().unwrap();
    let what = format!("{}, generation {number}", vector.name);
    let status = kind_of(&expect["status"]);
    if status.is_some() {
        return;
    }
    let info = container.generation(number).unwrap();
    assert_eq!(info.domain_size, expect["size"].as_u64().unwrap(), "{what}");
    assert_eq!(info.tile_count, expect["tiles"].as_u64().unwrap(), "{what}");
    assert_eq!(u64::from(info.residue.value()), expect["residue"].as_u64().unwrap(), "{what}");
    assert_eq!(info.root.to_vec(), unhex(&expect["root"]), "{what}");
    assert_eq!(info.history.to_vec(), unhex(&expect["history"]), "{what}");
    assert_eq!(info.time, expect["time"].as_i64().unwrap(), "{what}");
    assert_eq!(container.note(number).unwrap(), unhex(&expect["note"]), "{what}");
    let snapshot = container.snapshot(number, true, &mut Operation::new()).unwrap();
    if info.domain_size > 1 << 30 {
        return;
    }
    let bytes = bytes_of(&snapshot).unwrap_or_else(|error| panic!("{what}: {error}"));
    if !expect["blake3"].is_null() {
        assert_eq!(blake3::hash(&bytes).as_bytes().to_vec(), unhex(&expect["blake3"]), "{what}");
    }
    assert_eq!(Residue::of(&bytes), info.residue, "{what}");
    snapshot.verify(&mut Operation::new()).unwrap();
    assert_eq!(snapshot.root(&mut Operation::new()).unwrap(), info.root, "{what}");
    for (index, tile) in expect["table"].as_array().into_iter().flatten().enumerate() {
        let found = snapshot.tile(index as u64).unwrap();
        let (length, residue) = (tile[0].as_u64().unwrap(), tile[1].as_u64().unwrap());
        assert_eq!((found.length, u64::from(found.residue.value())), (length, residue), "{what}");
        assert_eq!(found.witness.to_vec(), unhex(&tile[2]), "{what}");
    }
    // The root computed from all leaves, independent of the top of the stored tree.
    let state = snapshot.state();
    let scheme = &state.context.scheme;
    let mut folder = crate::hash::tile_tree::RootFolder::new(scheme.digests());
    for at in state.tree.all() {
        folder.push(&crate::projection::state::leaf(&at).unwrap());
    }
    assert_eq!(folder.finish(scheme.root_kind()), info.root, "{what}");
}

/// The chunks of a projection that a vector describes are made of the generations of its container.
struct Maker<'m> {
    container: &'m Container,
    base: Option<&'m Source>,
}

impl Maker<'_> {
    fn snapshot(&self, generation: &Value) -> Arc<State> {
        let generation = generation.as_u64().unwrap();
        self.container.snapshot(generation, false, &mut Operation::new()).unwrap().state()
    }

    fn node(&self, tree: &Value) -> Arc<Node> {
        if let Some(items) = tree["leaf"].as_array() {
            return Node::of_tiles(items.iter().map(|item| self.tile(item)).collect());
        }
        if let Some(items) = tree["inner"].as_array() {
            return Node::of_nodes(items.iter().map(|item| self.node(item)).collect());
        }
        let named = &tree["node"];
        let mut node = Arc::clone(self.snapshot(&named["generation"]).tree.top_node().unwrap());
        for step in named["path"].as_array().unwrap() {
            let children = node.children().unwrap();
            let below = Arc::clone(&children.nodes()[step.as_u64().unwrap() as usize]);
            drop(children);
            node = below;
        }
        node
    }

    fn tile(&self, item: &Value) -> Arc<Tile> {
        let named = &item["tile"];
        if !named.is_null() {
            let index = TileIndex(named["index"].as_u64().unwrap());
            return self.snapshot(&named["generation"]).tree.tile(index).unwrap().unwrap().tile;
        }
        let pieces = item["parts"].as_array().unwrap().iter().flat_map(|part| self.pieces(part)).collect();
        Arc::new(Tile::of_pieces(pieces).unwrap())
    }

    fn pieces(&self, part: &Value) -> Vec<Piece> {
        if !part["new"].is_null() {
            let bytes = data(&part["new"]);
            return vec![Piece::whole(
                Extent::in_memory(Source::from_vec(bytes.clone()), 0, &bytes).unwrap(),
            )];
        }
        if let Some(len) = part["zeros"].as_u64() {
            let bytes = vec![0; len as usize];
            let piece = Piece::whole(Extent::in_memory(Source::from_vec(bytes.clone()), 0, &bytes).unwrap());
            let span = Span { kind: SpanKind::Zeros, place: 0, start: 0, len: len as u32 };
            let commit = Arc::new(self.container.log().located.tip.unwrap().id());
            piece.extent().set_written(WrittenRun { start: 0, span, commit });
            return vec![piece];
        }
        if let Some(place) = part["base"]["place"].as_u64() {
            let (base, len) = (self.base.unwrap(), part["base"]["length"].as_u64().unwrap() as usize);
            let mut bytes = vec![0; len];
            base.read(place, &mut bytes).unwrap();
            let scheme = &self.container.context.scheme;
            let (_, witness) = scheme.sum_and_witness(&bytes, &mut Workspace::default()).unwrap();
            let residues = GroupResidues::of(&bytes);
            let extent = Extent::new(base.clone(), place, len, residues, Trust::Witnessed(witness)).unwrap();
            return vec![Piece::whole(extent)];
        }
        let old = &part["old"];
        let tree = &self.snapshot(&old["generation"]).tree;
        let (mut offset, end) = (old["offset"].as_u64().unwrap(), old["length"].as_u64().unwrap());
        let end = offset + end;
        let mut pieces = Vec::new();
        while offset < end {
            let at = tree.tile_of_byte(ByteOffset(offset)).unwrap().unwrap();
            let start = usize::try_from(offset - at.offset.0).unwrap();
            let stop = usize::try_from(end.min(at.end().0) - at.offset.0).unwrap();
            let mut reader = CheckedReader::new(&self.container.context);
            let (_, rest) = cut_pieces(at.tile.pieces(), start, &mut reader).unwrap();
            let (middle, _) = cut_pieces(&rest, stop - start, &mut reader).unwrap();
            pieces.extend(middle);
            offset = at.end().0.min(end);
        }
        pieces
    }
}

#[test]
fn files_that_a_writer_can_make_are_made_byte_for_byte() {
    let mut made = 0;
    for vector in vectors() {
        let steps = vector.json["made"].as_array().cloned().unwrap_or_default();
        if vector.json["writer"] != true {
            continue;
        }
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("made.atlas");
        make(&vector, &steps, &path);
        let want = std::fs::read(folder().join(vector.json["file"].as_str().unwrap())).unwrap();
        let found = std::fs::read(&path).unwrap();
        let differs = found.iter().zip(&want).position(|(found, want)| found != want);
        assert_eq!((found.len(), differs), (want.len(), None), "{}", vector.name);
        made += 1;
    }
    assert_eq!(made, 33, "files that are made");
}

fn make(vector: &Vector, steps: &[Value], path: &Path) {
    let operation = &mut Operation::new();
    let base = base_of(vector);
    let mut container: Option<Container> = None;
    // The inputs of a merge are no vectors of their own.
    let merges = steps.iter().any(|step| step["op"] == "merge");
    for step in steps.iter().filter(|step| !merges || step["op"] == "merge") {
        let what = format!("{}: {step}", vector.name);
        let time = step["time"].as_i64().unwrap_or(0);
        let options = CommitOptions { time, note: unhex(&step["note"]), expected: 0 };
        if step["op"] == "create" {
            let classes = step["k"].as_u64().unwrap_or(0);
            let kind = if step["type"] == "R96" || step["type"] == 1 {
                ProjectionType::R96Fourier
            } else {
                ProjectionType::Linear
            };
            let flags: Vec<&str> =
                step["flags"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
            let mut projection = ProjectionOptions::new();
            if flags.contains(&"STRICT") {
                projection = projection.with_conservation(ConservationPolicy::Strict);
            }
            if classes > 0 {
                projection = projection.with_data_classes(classes as u8);
            }
            if !vector.json["key"].is_null() {
                projection = projection.with_key(&unhex_array(&vector.json["key"]));
            }
            let create = ContainerCreateOptions {
                block_log2: Some(12 + step["b"].as_u64().unwrap_or(0) as u32),
                keep_chains: flags.contains(&"CHAINS"),
                id: Some(unhex_array(&step["id"])),
                handle: ContainerOptions { base: base.clone(), ..ContainerOptions::default() },
            };
            container = Some(Container::create(path, kind, &projection, &create, operation).expect(&what));
            continue;
        }
        if step["op"] == "merge" {
            let parts: Vec<Container> = step["parts"]
                .as_array()
                .unwrap()
                .iter()
                .map(|part| {
                    let path = folder().join(format!("{}.atlas", part.as_str().unwrap()));
                    let options = ContainerOptions::default();
                    Container::open(path, ContainerMode::Read, &verify_options(vector), &options, operation)
                        .expect(&what)
                })
                .collect();
            let create = ContainerCreateOptions {
                block_log2: Some(12 + step["b"].as_u64().unwrap() as u32),
                id: Some(unhex_array(&step["id"])),
                ..ContainerCreateOptions::default()
            };
            let parts: Vec<&Container> = parts.iter().collect();
            container = Some(Container::merge(&parts, path, &create, &options, operation).expect(&what));
            continue;
        }
        let container = container.as_ref().unwrap();
        let done = match step["op"].as_str().unwrap() {
            "import" if step["kind"] == "base" => {
                container.import(base.as_ref().unwrap(), &options, operation)
            }
            "import" => container.import(&Source::from_vec(data(&step["data"])), &options, operation),
            "rollback" => {
                let snapshot =
                    container.snapshot(step["generation"].as_u64().unwrap(), false, operation).unwrap();
                container.commit(&snapshot, &options, operation)
            }
            "commit" => {
                let maker = Maker { container, base: base.as_ref() };
                let tree = match &step["tree"] {
                    Value::Null => Tree::default(),
                    tree => Tree::of_node(maker.node(tree)),
                };
                let context = Arc::clone(&container.context);
                let state = State::restore(context, Arc::default(), tree, None);
                container.commit(&AtlasProjection::from_state(state), &options, operation)
            }
            other => panic!("{what}: operation {other}"),
        };
        match &step["fails"] {
            Value::Null => drop(done.unwrap_or_else(|error| panic!("{what}: {error}"))),
            status => assert_eq!(done.map_err(|error| error.kind()).err(), kind_of(status), "{what}"),
        }
    }
}
