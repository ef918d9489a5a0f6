//! Crashes: every image that a device can be left with opens at the last acknowledged generation or a later
//! attempted one, with the bytes of all generations, and does so again after a crash of the recovery.

use super::device::{Device, Faults, Random};
use super::*;
use crate::base::out_bytes::OutBytes;
use crate::base::storage::Storage;
use crate::base::units::TileIndex;
use crate::container::planted::{self, Planted};
use crate::container::seal::{Ident, Seals};
use crate::tile::Tile;
use crate::tile::extent::Extent;
use crate::tile::piece::Piece;
use crate::tile::tree::Node;
use std::collections::BTreeMap;
use std::io;
use std::path::Path;

/// Batches of more bytes are large in these tests, so that both kinds are common and images are small.
const SMALL: u64 = 12 * 1024;
/// Maximum number of children of a node in these tests, so that small trees are high.
const FANOUT: usize = 4;

/// Generations that may be found.
#[derive(Default, Clone)]
struct Model {
    /// The bytes of each generation that was acknowledged or attempted. A number may be attempted twice.
    generations: BTreeMap<u64, Vec<Vec<u8>>>,
    /// The last generation that was acknowledged.
    acknowledged: u64,
}

impl Model {
    fn attempt(&mut self, generation: u64, bytes: &[u8]) {
        let known = self.generations.entry(generation).or_default();
        if !known.iter().any(|known| known == bytes) {
            known.push(bytes.to_vec());
        }
    }

    /// From now on only these bytes are right for the generation.
    fn acknowledge(&mut self, generation: u64, bytes: &[u8]) {
        self.acknowledged = generation;
        self.generations.insert(generation, vec![bytes.to_vec()]);
    }

    fn attempted(&self) -> u64 {
        self.generations.keys().next_back().copied().unwrap_or(0)
    }
}

/// Bytes after a crash, and the model at the moment of the crash.
struct Image {
    bytes: Vec<u8>,
    model: Model,
}

/// A device on which a crash may follow every step.
struct Watched {
    device: Device,
    watch: Mutex<Watch>,
}

struct Watch {
    model: Model,
    images: Vec<Image>,
    random: Random,
    /// Number of images per hundred steps.
    rate: u64,
}

impl Watched {
    fn new(device: Device, model: Model, random: Random, rate: u64) -> Arc<Watched> {
        Arc::new(Watched { device, watch: Mutex::new(Watch { model, images: Vec::new(), random, rate }) })
    }

    fn step(&self) {
        let mut watch = lock(&self.watch);
        let Watch { model, images, random, rate } = &mut *watch;
        if random.below(100) < *rate {
            images.push(Image { bytes: self.device.crash(random), model: model.clone() });
        }
    }

    fn model(&self) -> Model {
        lock(&self.watch).model.clone()
    }

    fn attempt(&self, generation: u64, bytes: &[u8]) {
        lock(&self.watch).model.attempt(generation, bytes);
    }

    fn acknowledge(&self, generation: u64, bytes: &[u8]) {
        lock(&self.watch).model.acknowledge(generation, bytes);
    }

    fn take_images(&self) -> Vec<Image> {
        std::mem::take(&mut lock(&self.watch).images)
    }
}

impl Storage for Watched {
    fn len(&self) -> io::Result<u64> {
        self.device.len()
    }

    fn read_at(&self, offset: u64, out: OutBytes<'_>) -> io::Result<()> {
        self.device.read_at(offset, out)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.step();
        self.device.write_at(offset, bytes)?;
        self.step();
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.step();
        self.device.set_len(len)
    }

    fn sync(&self) -> io::Result<()> {
        self.step();
        self.device.sync()?;
        self.step();
        Ok(())
    }

    fn drop_cache(&self) -> io::Result<bool> {
        self.device.drop_cache()
    }

    fn medium(&self) -> Option<Arc<dyn Storage>> {
        self.device.medium()
    }
}

fn memory_tile(bytes: &[u8]) -> Arc<Tile> {
    let extent = Extent::in_memory(Source::from_vec(bytes.to_vec()), 0, bytes).unwrap();
    Arc::new(Tile::of_pieces(vec![Piece::whole(extent)]).unwrap())
}

/// A tree with four children per node.
fn tree_of(tiles: Vec<Arc<Tile>>) -> Tree {
    let mut nodes: Vec<Arc<Node>> =
        tiles.chunks(FANOUT).map(|tiles| Node::of_tiles(tiles.to_vec())).collect();
    while nodes.len() > 1 {
        nodes = nodes.chunks(FANOUT).map(|nodes| Node::of_nodes(nodes.to_vec())).collect();
    }
    nodes.pop().map_or_else(Tree::default, Tree::of_node)
}

/// The next generation, by a random change of the newest one or of an older one, and its bytes.
fn change(container: &Container, random: &mut Random) -> Result<(Tree, Vec<u8>)> {
    let newest = container.info()?.newest;
    let from = if random.chance(15) { 1 + random.below(newest.max(1)) } else { newest };
    let snapshot = container.snapshot(from.min(newest), false, &mut Operation::new())?;
    let tree = snapshot.state().tree.clone();
    let mut tiles: Vec<Arc<Tile>> = tree.iter().map(|at| at.map(|at| at.tile)).collect::<Result<_>>()?;
    let new = |random: &mut Random| {
        let len = match random.below(10) {
            0 => 4_096 + random.below(5_000),
            1 => 1 + random.below(3),
            _ => 1 + random.below(300),
        };
        let bytes = if random.chance(10) { vec![0; len as usize] } else { random.bytes(len as usize) };
        memory_tile(&bytes)
    };
    let tree = match random.below(10) {
        // Changes in place, which share all nodes but one path.
        0..=4 if !tiles.is_empty() => {
            let mut tree = tree;
            for _ in 0..1 + random.below(3) {
                let index = random.below(tiles.len() as u64) as usize;
                let len = tiles[index].len();
                let tile = memory_tile(&random.bytes(len));
                tiles[index] = Arc::clone(&tile);
                tree.replace_tile(TileIndex(index as u64), tile)?;
            }
            tree
        }
        5 => tree,
        // Tiles are inserted and removed.
        _ => {
            for _ in 0..1 + random.below(4) {
                let at = random.below(tiles.len() as u64 + 1) as usize;
                if random.chance(30) && at < tiles.len() {
                    tiles.remove(at);
                } else {
                    tiles.insert(at, new(random));
                }
            }
            while tiles.len() < 20 && random.chance(80) {
                tiles.push(new(random));
            }
            if random.chance(8) {
                // More than four levels.
                while tiles.len() < 70 {
                    tiles.push(new(random));
                }
            }
            tree_of(tiles.clone())
        }
    };
    let mut bytes = Vec::new();
    for tile in &tiles {
        let start = bytes.len();
        bytes.resize(start + tile.len(), 0);
        tile.read(0, &mut bytes[start..])?;
    }
    Ok((tree, bytes))
}

/// One commit on `container`, recorded in the model before and after.
fn commit(container: &Container, watched: &Watched, random: &mut Random) -> Result<()> {
    let (tree, bytes) = change(container, random)?;
    let next = container.log().located.next_generation()?;
    let state = State::restore(Arc::clone(&container.context), Arc::default(), tree, None);
    let options =
        CommitOptions { note: random.bytes(random.clone().below(20) as usize), ..CommitOptions::default() };
    watched.attempt(next, &bytes);
    let done = container.commit(&AtlasProjection::from_state(state), &options, &mut Operation::sequential());
    match done {
        Ok(generation) => {
            assert_eq!(generation, next);
            watched.acknowledge(generation, &bytes);
            Ok(())
        }
        // An interrupted commit may be found or not.
        Err(error) => Err(error),
    }
}

fn faults(random: &mut Random) -> Faults {
    let below = |random: &mut Random, end| Some(random.below(end) as u32);
    match random.below(10) {
        0 | 1 => Faults { sync: below(random, 2), write: None, kills: random.chance(50) },
        2 => Faults { sync: None, write: below(random, 3), kills: random.chance(30) },
        _ => Faults::default(),
    }
}

pub(super) fn empty(widen: usize, seed: u64) -> Device {
    let device = Device::with(Vec::new(), widen, seed);
    let ident = Ident::new([7; 16], [9; 16], 0, ProjectionType::Linear, 0, 0);
    open::write_empty(device.storage(), Path::new("simulated"), ident, Seals::new(None)).unwrap();
    device
}

fn options() -> ContainerOptions {
    ContainerOptions { cache_size: 1 << 20, ..ContainerOptions::default() }
}

/// Commits, failures and crashes from one seed on. Gives the images.
fn script(seed: u64, rate: u64) -> Vec<Image> {
    let mut random = Random(seed);
    let widen = if random.chance(25) { 65_536 } else { 4_096 };
    let device = empty(widen, seed);
    // Other programs may read the file, and keep its pages in the cache.
    device.show_medium(true);
    let watched = Watched::new(device.clone(), Model::default(), Random(seed ^ 0xabcd), rate);
    let mut images = Vec::new();
    let mut container = None;
    for _ in 0..3 + random.below(5) {
        let open = match container.take() {
            Some(open) => open,
            None => {
                let storage: Arc<dyn Storage> = Arc::clone(&watched) as Arc<dyn Storage>;
                device.keep_cache(if random.chance(40) { u32::MAX } else { 0 });
                let open = Container::on_storage(storage, ContainerMode::Write, &options());
                device.keep_cache(0);
                open.unwrap_or_else(|error| panic!("seed {seed}: {error}"))
            }
        };
        let planned = faults(&mut random);
        device.set_faults(planned);
        let done = commit(&open, &watched, &mut random);
        let died = planned.kills && done.is_err();
        device.set_faults(Faults::default());
        images.extend(watched.take_images());
        if died {
            // A dead process does not close its handle.
            std::mem::forget(open);
            continue;
        }
        // A reader between a failed sync and the next writer.
        if done.is_err() && random.chance(50) {
            let storage: Arc<dyn Storage> = Arc::clone(&watched) as Arc<dyn Storage>;
            device.keep_cache(if random.chance(40) { u32::MAX } else { 0 });
            let reader = Container::on_storage(storage, ContainerMode::Read, &options());
            device.keep_cache(0);
            let reader = reader.unwrap_or_else(|error| panic!("seed {seed}, a reader: {error}"));
            check(&reader, &watched.model(), &format!("seed {seed}, a reader after a failure"));
        }
        let stays =
            done.is_ok() && random.chance(70) || done.is_err() && !open.log().is_broken && random.chance(50);
        if stays {
            container = Some(open);
        }
    }
    drop(container);
    images
}

/// Opens at a generation that was acknowledged last or attempted later, and all generations have their bytes.
fn check(container: &Container, model: &Model, what: &str) -> u64 {
    let newest = container.info().unwrap().newest;
    assert!(
        (model.acknowledged..=model.attempted()).contains(&newest),
        "{what}: generation {newest} is outside {}..={}",
        model.acknowledged,
        model.attempted()
    );
    let mut generation = newest;
    while generation > 0 {
        let info = container.generation(generation).unwrap_or_else(|error| panic!("{what}: {error}"));
        let snapshot = container.snapshot(generation, true, &mut Operation::new());
        let bytes = snapshot.and_then(|snapshot| bytes_of(&snapshot));
        let bytes = bytes.unwrap_or_else(|error| panic!("{what}, generation {generation}: {error}"));
        let known = &model.generations[&generation];
        assert!(known.contains(&bytes), "{what}: generation {generation} has other bytes");
        generation = info.previous;
    }
    newest
}

/// Checks an image: a writer opens it and crashes, and the resulting file opens too, and takes two commits.
fn check_image(image: &Image, seed: u64) {
    let what = format!("seed {seed}");
    let mut random = Random(seed ^ 0x5eed);
    let device = Device::with(image.bytes.clone(), 4_096, seed);
    if random.chance(20) {
        let reader = Container::on_storage(device.storage(), ContainerMode::Read, &options());
        let reader = reader.unwrap_or_else(|error| panic!("{what}, a reader: {error}"));
        check(&reader, &image.model, &format!("{what}, a reader"));
    }
    let watched = Watched::new(device.clone(), image.model.clone(), Random(seed), 40);
    let storage: Arc<dyn Storage> = Arc::clone(&watched) as Arc<dyn Storage>;
    let writer = Container::on_storage(storage, ContainerMode::Write, &options());
    let writer = writer.unwrap_or_else(|error| panic!("{what}: {error}"));
    let newest = check(&writer, &image.model, &what);
    // A generation opened for writing is acknowledged: the next crash must not lose it.
    let bytes = bytes_of(&writer.snapshot(0, true, &mut Operation::new()).unwrap()).unwrap();
    let second: Vec<Image> = watched.take_images().into_iter().take(2).collect();
    watched.acknowledge(newest, &bytes);
    lock(&watched.watch).model.generations.split_off(&(newest + 1));
    for _ in 0..2 {
        commit(&writer, &watched, &mut random).unwrap_or_else(|error| panic!("{what}: {error}"));
    }
    check(&writer, &watched.model(), &format!("{what}, two commits later"));
    drop(writer);
    let third = watched.take_images().into_iter().take(2);
    for (number, image) in second.into_iter().chain(third).enumerate() {
        let device = Device::with(image.bytes.clone(), 4_096, seed);
        let what = format!("{what}, second crash {number}");
        let again = Container::on_storage(device.storage(), ContainerMode::Write, &options());
        let again = again.unwrap_or_else(|error| panic!("{what}: {error}"));
        check(&again, &image.model, &what);
    }
}

/// Checks at least `images` images.
fn simulate(first: u64, images: usize) {
    planted::with(None, SMALL, || {
        let (mut seed, mut checked) = (first, 0);
        while checked < images {
            for (number, image) in script(seed, 60).iter().enumerate() {
                check_image(image, seed.wrapping_mul(1_000_003) + number as u64);
                checked += 1;
            }
            seed += 1;
        }
    });
}

#[test]
fn images_of_crashes_open_with_all_that_was_acknowledged() {
    simulate(1, 5_000);
}

#[test]
fn images_of_crashes_open_with_all_that_was_acknowledged_too() {
    simulate(1 << 20, 5_000);
}

#[test]
fn images_of_other_crashes_open_with_all_that_was_acknowledged() {
    simulate(1 << 21, 5_000);
}

#[test]
fn images_of_other_crashes_open_with_all_that_was_acknowledged_too() {
    simulate(1 << 22, 5_000);
}

#[test]
#[ignore = "a million images: the long run"]
fn a_million_images_of_crashes_open_with_all_that_was_acknowledged() {
    std::thread::scope(|scope| {
        for part in 0..4 {
            scope.spawn(move || simulate((part + 1) << 32, 250_000));
        }
    });
}

/// The generations of an image from the newest back, and the digests of their bytes.
fn digests_of(image: &Image) -> Vec<String> {
    let device = Device::with(image.bytes.clone(), 4_096, 0);
    let reader = Container::on_storage(device.storage(), ContainerMode::Read, &options()).unwrap();
    check(&reader, &image.model, "an image for the reference");
    let (mut generation, mut list) = (reader.info().unwrap().newest, Vec::new());
    while generation > 0 {
        let snapshot = reader.snapshot(generation, true, &mut Operation::new()).unwrap();
        let digest = blake3::hash(&bytes_of(&snapshot).unwrap());
        list.extend([generation.to_string(), digest.to_hex().to_string()]);
        generation = reader.generation(generation).unwrap().previous;
    }
    list
}

/// The reference of the vectors, in Python, reads the same generations out of images as the library.
#[test]
#[ignore = "500 images in Python, which take half a minute"]
fn the_reference_reads_images_of_crashes_too() {
    const IMAGES: usize = 500;
    let folder = tempfile::tempdir().unwrap();
    let mut expected = BTreeMap::new();
    planted::with(None, SMALL, || {
        for seed in 1 << 24.. {
            for image in script(seed, 20) {
                if expected.len() == IMAGES {
                    return;
                }
                let name = format!("{:03}", expected.len());
                std::fs::write(folder.path().join(&name), &image.bytes).unwrap();
                expected.insert(name, digests_of(&image));
            }
        }
    });
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let output = std::process::Command::new("python3")
        .arg(root.join("src/container/tests/reference.py"))
        .arg(root.join("tests/vectors/container/reference"))
        .arg(folder.path())
        .arg(SMALL.to_string())
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .output();
    let text = match &output {
        Ok(output) => {
            let failed = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{failed}");
            String::from_utf8_lossy(&output.stdout)
        }
        Err(error) => format!("skipped: python3: {error}").into(),
    };
    if text.starts_with("skipped") {
        tell(&format!("{}; python3 -m pip install blake3 numpy", text.trim()));
        return;
    }
    let found = text.lines().map(|line| {
        let mut words = line.split(' ').map(str::to_owned);
        (words.next().unwrap_or_default(), words.collect::<Vec<_>>())
    });
    assert_eq!(found.collect::<BTreeMap<_, _>>(), expected);
    // Some images have several generations, and some have none.
    assert!(expected.values().any(|words| words.len() > 8) && expected.values().any(Vec::is_empty));
}

/// Checks images of crashes until one of them fails.
fn crashes(images: usize) {
    let (mut seed, mut checked) = (77, 0);
    while checked < images {
        for (number, image) in script(seed, 60).iter().enumerate() {
            check_image(image, seed.wrapping_mul(1_000_003) + number as u64);
            checked += 1;
        }
        seed += 1;
    }
}

/// A device with `count` generations.
fn generations(count: u64, seed: u64) -> Device {
    let device = empty(4_096, seed);
    let watched = Watched::new(device.clone(), Model::default(), Random(seed), 0);
    let storage: Arc<dyn Storage> = Arc::clone(&watched) as Arc<dyn Storage>;
    let container = Container::on_storage(storage, ContainerMode::Write, &options()).unwrap();
    for _ in 0..count {
        commit(&container, &watched, &mut Random(seed)).unwrap();
    }
    device
}

/// Both slots are lost, and one bit of a commit record in the middle is damaged: the commit after it proves that it
/// was durable.
fn a_lost_middle() {
    for seed in 0..20 {
        let device = generations(4, seed);
        let container = Container::on_storage(device.storage(), ContainerMode::Read, &options()).unwrap();
        let log = container.log();
        let commit = log::find(&log.file, log.located.tip.as_ref(), 2).unwrap();
        let mut bytes = device.crash(&mut Random(seed));
        bytes[4_096..12_288].fill(0);
        bytes[usize::try_from(commit.offset).unwrap() + 100 + seed as usize] ^= 1;
        let device = Device::with(bytes, 4_096, seed);
        for mode in [ContainerMode::Read, ContainerMode::Write] {
            let error = Container::on_storage(device.storage(), mode, &options()).err().unwrap();
            assert_eq!(error.kind(), crate::ErrorKind::Witness, "{error}");
        }
        let recover = ContainerOptions { recover: true, ..options() };
        let recovered = Container::on_storage(device.storage(), ContainerMode::Read, &recover).unwrap();
        let info = recovered.info().unwrap();
        assert!(info.newest == 1 && info.lost >= 3, "{} and {}", info.newest, info.lost);
    }
}

type Event = Box<dyn FnOnce() + Send>;

/// A device that runs a function after a number of reads.
struct Interrupted {
    device: Device,
    event: Mutex<(u32, Option<Event>)>,
}

impl Storage for Interrupted {
    fn len(&self) -> io::Result<u64> {
        self.device.len()
    }

    fn read_at(&self, offset: u64, out: OutBytes<'_>) -> io::Result<()> {
        let event = {
            let mut event = lock(&self.event);
            event.0 = event.0.wrapping_sub(1);
            if event.0 == 0 { event.1.take() } else { None }
        };
        if let Some(event) = event {
            event();
        }
        self.device.read_at(offset, out)
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }
}

/// A reader opens while a writer commits between any two of its reads.
fn a_reader_beside_a_writer() {
    for at in 1..40 {
        for commits in 1..4 {
            let seed = u64::from(at) * 7 + commits;
            let device = empty(4_096, seed);
            let watched = Watched::new(device.clone(), Model::default(), Random(seed), 0);
            let storage: Arc<dyn Storage> = Arc::clone(&watched) as Arc<dyn Storage>;
            let writer = Container::on_storage(storage, ContainerMode::Write, &options()).unwrap();
            for _ in 0..seed % 3 {
                commit(&writer, &watched, &mut Random(seed)).unwrap();
            }
            let shared = Arc::clone(&watched);
            let event = move || {
                for _ in 0..commits {
                    commit(&writer, &shared, &mut Random(seed)).unwrap();
                }
            };
            let storage = Interrupted { device, event: Mutex::new((at, Some(Box::new(event)))) };
            let reader = Container::on_storage(Arc::new(storage), ContainerMode::Read, &options());
            let what = format!("read {at}, {commits} commits");
            let reader = reader.unwrap_or_else(|error| panic!("{what}: {error}"));
            check(&reader, &Model { acknowledged: 0, ..watched.model() }, &what);
        }
    }
}

/// A reader opens a file whose length is ahead of its bytes, and which grows by some generations between any two
/// of its reads, as beside the writer of a large batch.
fn a_reader_of_a_file_that_grows() {
    for at in 1..30 {
        for more in 1..4 {
            let seed = u64::from(at) * 11 + more;
            let image = |count| generations(count, seed).crash(&mut Random(0));
            let (mut before, after) = (image(2), image(2 + more));
            before.resize(after.len(), 0);
            let device = Device::with(before, 4_096, seed);
            let growing = device.clone();
            let event: Event = Box::new(move || growing.replace(after));
            let storage = Interrupted { device, event: Mutex::new((at, Some(event))) };
            let reader = Container::on_storage(Arc::new(storage), ContainerMode::Read, &options());
            let what = format!("read {at}, {more} more");
            let reader = reader.unwrap_or_else(|error| panic!("{what}: {error}"));
            let newest = reader.info().unwrap().newest;
            assert!((2..=2 + more).contains(&newest), "{what}: {newest}");
        }
    }
}

/// A device with two generations that no slot confirms.
fn unconfirmed() -> Device {
    let mut image = generations(2, 5).crash(&mut Random(0));
    image[4_096..3 * 4_096].fill(0);
    Device::with(image, 4_096, 5)
}

#[test]
fn pages_that_others_bring_back_are_dropped_again() {
    planted::with(None, SMALL, || {
        let newest = |device: &Device, mode| {
            let opened = Container::on_storage(device.storage(), mode, &options());
            opened.and_then(|container| container.info()).map(|info| info.newest)
        };
        let device = unconfirmed();
        device.keep_cache(3);
        assert_eq!(newest(&device, ContainerMode::Read).unwrap(), 2);
        device.keep_cache(u32::MAX);
        assert_eq!(newest(&device, ContainerMode::Read).unwrap(), 0);
        let refused = newest(&device, ContainerMode::Write).unwrap_err();
        assert_eq!(refused.kind(), crate::base::error::ErrorKind::Unsupported, "{refused}");
        device.show_medium(true);
        assert_eq!(newest(&device, ContainerMode::Read).unwrap(), 2);
        device.show_medium(false);
        device.keep_cache(3);
        assert_eq!(newest(&device, ContainerMode::Write).unwrap(), 2);
    });
}

#[test]
fn a_recovery_takes_what_can_be_read_if_the_medium_cannot_be_seen() {
    planted::with(None, SMALL, || {
        let device = unconfirmed();
        device.keep_cache(u32::MAX);
        let options = ContainerOptions { recover: true, ..options() };
        let reader = Container::on_storage(device.storage(), ContainerMode::Read, &options).unwrap();
        assert_eq!(reader.info().unwrap().newest, 2);
        let snapshot = reader.snapshot(2, true, &mut Operation::default()).unwrap();
        assert_eq!(bytes_of(&snapshot).unwrap().len() as u64, snapshot.info().domain_size);
    });
}

/// Commits that a reader saw on the medium stay known, even if the reader cannot read the medium a second
/// time.
#[test]
fn a_reader_keeps_a_generation_that_no_slot_confirms() {
    planted::with(None, SMALL, || {
        let device = unconfirmed();
        let reader = Container::on_storage(device.storage(), ContainerMode::Read, &options()).unwrap();
        device.keep_cache(u32::MAX);
        assert_eq!(reader.refresh(&mut Operation::default()).unwrap(), 2);
        assert_eq!(reader.info().unwrap().newest, 2);
        // A file without generation 2 counts as another container.
        device.replace(generations(1, 6).crash(&mut Random(0)));
        assert_eq!(
            reader.refresh(&mut Operation::default()).unwrap_err().kind(),
            crate::base::error::ErrorKind::State
        );
    });
}

#[test]
fn a_reader_opens_a_file_that_grows() {
    planted::with(None, SMALL, a_reader_of_a_file_that_grows);
}

#[test]
fn a_damaged_commit_in_the_middle_is_noticed_without_slots() {
    planted::with(None, SMALL, a_lost_middle);
}

#[test]
fn a_reader_opens_between_any_two_steps_of_a_writer() {
    planted::with(None, SMALL, a_reader_beside_a_writer);
}

#[test]
fn the_simulation_finds_planted_defects() {
    let crashes = || crashes(4_000);
    let defects: [(Planted, &(dyn Fn() + Sync)); 8] = [
        (Planted::NoBatchDigest, &crashes),
        (Planted::NoSyncBeforeCommit, &crashes),
        (Planted::SharedBlock, &crashes),
        (Planted::SlotBeforeSync, &crashes),
        (Planted::NothingCut, &crashes),
        (Planted::CacheTrusted, &crashes),
        (Planted::NoSearch, &a_lost_middle),
        (Planted::NoSecondLook, &a_reader_of_a_file_that_grows),
    ];
    let is_missed = |defect: Planted, test: &(dyn Fn() + Sync)| {
        std::thread::scope(|scope| scope.spawn(|| planted::with(Some(defect), SMALL, test)).join().is_ok())
    };
    let missed =
        defects.into_iter().filter(|(defect, test)| is_missed(*defect, *test)).map(|(defect, _)| defect);
    let missed: Vec<Planted> = missed.collect();
    assert!(missed.is_empty(), "not found: {missed:?}");
}
