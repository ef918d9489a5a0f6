//! Promises about every parity file: damage up to the parity is repaired, more is refused, and updates give what creating
//! anew gives.

use super::*;
use crate::base::damage::{Damage, DamageKind, DamagePart};
use crate::base::storage::fakes::SparseStorage;
use crate::parity::code::Code;
use crate::parity::geometry::{Copies, Geometry};

/// Generator of pseudo-random numbers.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit.max(1)
    }

    /// `count` of the numbers below `limit`.
    fn some(&mut self, count: u64, limit: u64) -> Vec<u64> {
        let mut all: Vec<u64> = (0..limit).collect();
        for at in 0..count {
            let other = at + self.below(limit - at);
            all.swap(at as usize, other as usize);
        }
        all.truncate(count as usize);
        all
    }
}

fn pairs() -> Vec<Pair> {
    vec![
        pair(1, &options()),
        pair(12_000, &options().with_parity_columns(3)),
        pair(150_001, &options().with_rows(7).with_parity_columns(3)),
        pair(1_050_000, &options()),
        pair(300_000, &options().with_unit_size(12_288).with_rows(5).with_stored_root()),
    ]
}

#[test]
fn one_bad_sector_anywhere_makes_one_unit_or_one_copy_of_a_block_unusable() {
    for Pair { data, atp, geometry } in pairs() {
        let sectors = |len: usize| {
            let len = len as u64;
            (0..len).step_by(4_096).map(move |start| (start, (start + 4_096).min(len)))
        };
        let of_data = sectors(data.len()).map(|sector| (Some(sector), None));
        let of_atp = sectors(atp.len()).map(|sector| (None, Some(sector)));
        for lost in of_data.chain(of_atp) {
            let data_medium = Medium::new(&data, lost.0.as_slice());
            let atp_medium = Medium::new(&atp, lost.1.as_slice());
            let parity = open(&atp_medium, None).unwrap();
            let mut report = ParityReport::default();
            let result = parity.check(&data_medium.source(), None, &mut report, &mut Operation::sequential());
            assert_eq!(result.unwrap_err().kind(), ErrorKind::Witness, "{geometry:?} {lost:?}");
            assert_eq!(
                report.bad_units + report.bad_parity_units + report.bad_blocks,
                1,
                "{geometry:?} {lost:?}"
            );
            assert_eq!(report.unknown_units, 0);
            let (result, _) =
                repair_in_place(&parity, &data_medium, &mut |_| true, false, &mut Operation::sequential());
            result.unwrap();
            assert!(lock(&data_medium.unreadable).is_empty() && data_medium.all() == data);
            assert!(restored(&parity, &data_medium, &mut Operation::sequential()).unwrap() == atp);
        }
    }
}

/// Spoils a unit in one of several ways, so that it always changes.
fn spoil(random: &mut Random, bytes: &mut [u8], unreadable: &mut Vec<(u64, u64)>, start: u64, len: u64) {
    let range = start as usize..(start + len) as usize;
    match random.below(4) {
        0 => bytes[start as usize + random.below(len) as usize] ^= 1 << random.below(8),
        1 => bytes[range].iter_mut().for_each(|byte| *byte ^= 0xa5),
        2 => {
            let at = start + random.below(len);
            unreadable.push((at, at + 1));
        }
        _ => {
            bytes[range.clone()].fill(0);
            // If the unit consisted of zeros, one byte is set, so that it changes.
            bytes[range.start] = 1;
        }
    }
}

/// Loses `count` units of each row, of data and parity, and some blocks in one copy.
fn lose(random: &mut Random, pair: &Pair, count: u64) -> (Arc<Medium>, Arc<Medium>, u64) {
    let geometry = &pair.geometry;
    let (mut data, mut atp) = (pair.data.clone(), pair.atp.clone());
    let (mut holes, mut parity_holes) = (Vec::new(), Vec::new());
    let mut of_data = 0;
    for row in 0..geometry.rows {
        let mut units: Vec<u64> = geometry.data_of_row(row).map(|(_, unit)| unit).collect();
        units.extend(geometry.parity_of_row(row));
        for place in random.some(count.min(units.len() as u64), units.len() as u64) {
            let unit = units[place as usize];
            let offset = geometry.unit_offset(unit);
            if unit < geometry.units() {
                of_data += 1;
                spoil(random, &mut data, &mut holes, offset, geometry.data_len(unit));
            } else {
                spoil(random, &mut atp, &mut parity_holes, offset, geometry.unit);
            }
        }
    }
    for block in 0..geometry.blocks() {
        let copy = Copies::BOTH[random.below(2) as usize];
        if random.below(2) == 0 {
            spoil(random, &mut atp, &mut parity_holes, geometry.block_offset(copy, block), 4_096);
        }
    }
    (Medium::new(&data, &holes), Medium::new(&atp, &parity_holes), of_data)
}

#[test]
fn any_units_up_to_the_parity_of_a_row_come_back() {
    let mut random = Random(1);
    let mut all = pairs();
    all.push(pair(3_300_000, &options().with_parity_columns(16)));
    for pair in &all {
        for round in 0..6 {
            let count = if round < 3 { pair.geometry.parity } else { random.below(pair.geometry.parity + 1) };
            let (data, atp, of_data) = lose(&mut random, pair, count);
            let parity = open(&atp, None).unwrap();
            let name = format!("{:?} round {round}", pair.geometry);
            let restored =
                in_all_ways(|operation| restored(&parity, &data, operation).map_err(|e| e.to_string()));
            assert!(restored.as_ref() == Ok(&pair.atp), "{name}: {:?}", restored.err());
            let new =
                in_all_ways(|operation| repair_to_new(&parity, &data, operation).map_err(|e| e.to_string()));
            assert!(new.as_ref() == Ok(&pair.data), "{name}: {:?}", new.err());
            let (result, report) =
                repair_in_place(&parity, &data, &mut |_| true, false, &mut Operation::new());
            result.unwrap();
            assert_eq!((report.lost_rows, report.repaired_units), (0, of_data), "{name}");
            assert!(data.all() == pair.data, "{name}");
        }
    }
}

#[test]
fn one_unit_more_is_refused_and_nothing_is_written() {
    let mut random = Random(2);
    for pair in &pairs() {
        let (data, atp, of_data) = lose(&mut random, pair, pair.geometry.parity + 1);
        let before = (data.all(), lock(&data.unreadable).clone());
        let parity = open(&atp, None).unwrap();
        let mut asked = 0;
        let (result, report) = repair_in_place(
            &parity,
            &data,
            &mut |_| {
                asked += 1;
                true
            },
            false,
            &mut Operation::new(),
        );
        assert_eq!(report.lost_rows, pair.geometry.rows);
        assert_eq!(report.data, ParityVerdict::Incomplete, "{of_data}");
        assert_eq!((result.unwrap_err().kind(), asked, report.repaired_units), (ErrorKind::Incomplete, 0, 0));
        assert!((data.all(), lock(&data.unreadable).clone()) == before);
        assert_eq!(
            repair_to_new(&parity, &data, &mut Operation::new()).unwrap_err().kind(),
            ErrorKind::Incomplete
        );
        // The parity file may be undamaged.
        match restored(&parity, &data, &mut Operation::new()) {
            Ok(atp) => assert!(report.parity != ParityVerdict::Incomplete && atp == pair.atp),
            Err(error) => {
                assert_eq!((error.kind(), report.parity), (ErrorKind::Incomplete, ParityVerdict::Incomplete));
            }
        }
    }
}

#[test]
fn an_update_gives_what_create_gives() {
    let mut random = Random(3);
    for round in 0..40 {
        let rows = 1 + random.below(7);
        let size = 40_000 + random.below(200_000) as usize;
        let shape = options().with_rows(rows).with_parity_columns(1 + random.below(2) as u32);
        let old = pair(size, &shape);
        let mut new = old.data.clone();
        match random.below(3) {
            0 => new.truncate(size - random.below(size as u64 / 4) as usize),
            1 => new.extend(stream(round, random.below(150_000) as usize)),
            _ => {}
        }
        let mut regions = Vec::new();
        for _ in 0..random.below(4) {
            let start = random.below(new.len() as u64);
            let len = random.below(20_000).min(new.len() as u64 - start);
            let bytes = stream(random.below(1_000), len as usize);
            new[start as usize..][..len as usize].copy_from_slice(&bytes);
            regions.push(AtlasBoundaryRegion::new(start, len));
        }
        // A parity unit may be lost, in a row that is then encoded again.
        let mut atp = old.atp.clone();
        if random.below(2) == 0 {
            let unit = old.geometry.units() + random.below(old.geometry.parity_units());
            atp[old.geometry.unit_offset(unit) as usize] ^= 1;
        }
        let root = random.below(2) == 0;
        let (shape, wish) =
            if root { (shape.with_stored_root(), options().with_stored_root()) } else { (shape, options()) };
        let wanted = created(&new, &shape, &mut Operation::sequential()).unwrap();
        let parity = open(&Medium::new(&atp, &[]), None).unwrap();
        let updated = in_all_ways(|operation| {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("new.atp");
            let source = Source::copy(&new).unwrap();
            let result = parity.update(&source, &regions, &path, &wish, operation);
            result.map(|()| std::fs::read(&path).unwrap()).map_err(|error| error.to_string())
        });
        assert!(updated.as_ref() == Ok(&wanted), "round {round}: {:?}", updated.err());
    }
}

#[test]
fn an_update_with_a_root_finds_a_changed_unit_that_was_not_named_in_any_task() {
    // The units are verified in tasks of 1 MiB, so that there are several.
    let size = (3 << 20) + 5_000;
    let old = pair(size, &options().with_stored_root());
    let parity = open(&Medium::new(&old.atp, &[]), None).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("new.atp");
    let named = [AtlasBoundaryRegion::new(0, 100)];
    for offset in [500_000, (1 << 20) + 9, (2 << 20) + 70_000, size - 1] {
        let mut new = old.data.clone();
        new[offset] ^= 1;
        let source = Source::copy(&new).unwrap();
        let error = parity.update(
            &source,
            &named,
            &path,
            &options().with_stored_root(),
            &mut Operation::sequential(),
        );
        let error = error.expect_err("a byte that changed unnoticed");
        let unit = offset as u64 / old.geometry.unit;
        assert_eq!((error.kind(), error.index()), (ErrorKind::Witness, Some(unit)), "{offset}: {error}");
        assert!(!path.exists());
    }
}

/// Runs `call`, whose reports never pass their totals, and reach them by the last step and not by a jump.
fn counted(what: &str, call: impl FnOnce(&mut Operation<'_>) -> Result<()>) {
    let mut reports: Vec<[u64; 4]> = Vec::new();
    let mut note = |progress: &crate::exec::progress::Progress| {
        let &crate::exec::progress::Progress { bytes_done, bytes_total, chunks_done, chunks_total, .. } =
            progress;
        reports.push([bytes_done, bytes_total, chunks_done, chunks_total]);
        true
    };
    call(&mut Operation::sequential().with_progress(&mut note))
        .unwrap_or_else(|error| panic!("{what}: {error}"));
    for [bytes_done, bytes_total, chunks_done, chunks_total] in &reports {
        assert!(bytes_done <= bytes_total && chunks_done <= chunks_total, "{what}: {reports:?}");
    }
    let [.., before, last] = reports[..] else { panic!("{what}: {reports:?}") };
    assert_eq!((last[0], last[2]), (last[1], last[3]), "{what}: {reports:?}");
    // A step has a task and the bytes of one; a jump has bytes without a task, or more than one.
    assert_eq!(last[2], before[2] + 1, "{what}: {reports:?}");
    assert!(last[0] - before[0] <= 2 << 20, "{what}: {reports:?}");
}

#[test]
fn progress_is_counted_to_the_byte() {
    let shapes = [
        (1_050_000, options().with_rows(40)),
        (2_500_000, options().with_rows(3).with_parity_columns(2).with_stored_root()),
    ];
    for (size, shape) in shapes {
        let Pair { data, atp, geometry } = pair(size, &shape);
        let source = Source::copy(&data).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let (path, other) = (folder.path().join("data"), folder.path().join("other"));
        counted("create", |operation| AtlasParity::create(&source, &other, &shape, operation));
        // A bad data unit and a bad parity unit, in one row.
        let mut damaged = data.clone();
        damaged[5] ^= 1;
        std::fs::write(&path, &damaged).unwrap();
        let mut bad = atp.clone();
        bad[geometry.unit_offset(geometry.units()) as usize] ^= 1;
        for bytes in [&atp, &bad] {
            let parity = open(&Medium::new(bytes, &[]), None).unwrap();
            let report = &mut ParityReport::default();
            counted("check", |operation| match parity.check(&source, None, report, operation) {
                Err(error) if error.kind() == ErrorKind::Witness => Ok(()),
                other => other,
            });
            counted("restore", |operation| parity.restore(&source, &other, operation));
            std::fs::remove_file(&other).unwrap();
            let changed = [AtlasBoundaryRegion::new(size as u64 - 1, 1)];
            counted("update", |operation| parity.update(&source, &changed, &other, &options(), operation));
            std::fs::remove_file(&other).unwrap();
        }
        let parity = open(&Medium::new(&atp, &[]), None).unwrap();
        for mode in [RepairMode::NewFile(other.clone()), RepairMode::InPlace] {
            let report = &mut ParityReport::default();
            let options = RepairOptions::new(mode);
            counted("repair", |operation| {
                parity.repair(&path, &options, Some(&mut |_| true), report, operation)
            });
            assert_eq!(report.repaired_units, 1);
        }
    }
}

#[test]
fn refused_units_stay_and_a_cut_that_was_meant_stays() {
    let pair = pair(150_001, &options().with_rows(7).with_parity_columns(3));
    let mut damaged = pair.data.clone();
    damaged[4_096] ^= 1;
    damaged.truncate(140_000);
    let parity = open(&Medium::new(&pair.atp, &[]), None).unwrap();
    let data = Medium::new(&damaged, &[]);
    let mut owner = |damage: &Damage| damage.offset < 100_000;
    let (result, report) = repair_in_place(&parity, &data, &mut owner, false, &mut Operation::new());
    assert_eq!((result.unwrap_err().kind(), report.repaired_units), (ErrorKind::Witness, 1));
    assert!(data.all() == pair.data[..140_000], "the end comes back only if its owner wants it");
    let mut owner = |damage: &Damage| damage.offset > 100_000 && damage.offset < 142_000;
    let data = Medium::new(&damaged, &[]);
    let (result, report) = repair_in_place(&parity, &data, &mut owner, false, &mut Operation::new());
    assert_eq!((result.unwrap_err().kind(), report.repaired_units), (ErrorKind::Witness, 1));
    let mut wanted = damaged.clone();
    wanted.extend_from_slice(&pair.data[140_000..143_360]);
    assert!(data.all() == wanted);
}

#[test]
fn a_claim_is_not_allocated_for() {
    // A file of 2 MiB that claims rows of 32,768 units of 1 MiB, where all digests belong to other bytes.
    let geometry = Geometry { size: 32_768 << 20, unit: 1 << 20, columns: 32_768, parity: 32_768, rows: 1 };
    assert!(geometry.is_valid());
    let head = format::Head { geometry, keyed: false, id: [1; 16], root: [0; 32] };
    let (seals, mut table) = (format::Seals::new(None), write::Table::new(&geometry).unwrap());
    let zeros = format::short(&crate::digest256(&vec![0; 1 << 20]));
    for unit in 0..geometry.all_units() {
        table.set(unit, if unit < geometry.units() { [7; 16] } else { zeros });
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("claim.atp");
    let file = AtomicFile::create(&path).unwrap();
    write::write_blocks(&file, &head, &seals, &table).unwrap();
    file.set_len(4_096 * geometry.blocks()).unwrap();
    assert!(file.persist().is_ok());
    let parity = AtlasParity::open(&path, &VerifyOptions::new(), &mut Operation::new()).unwrap();
    let data = Medium::new(b"a byte", &[]);
    let mut report = ParityReport::default();
    let checked = parity.check(&data.source(), None, &mut report, &mut Operation::new());
    assert_eq!(checked.unwrap_err().kind(), ErrorKind::Witness);
    assert_eq!((report.bad_units, report.bad_parity_units, report.lost_rows), (32_768, 0, 0));
    for limit in [None, Some(64 << 20)] {
        let operation = &mut Operation::new();
        let mut limited = Operation::new().with_memory_limit(64 << 20);
        let operation = if limit.is_some() { &mut limited } else { operation };
        let (result, report) = repair_in_place(&parity, &data, &mut |_| true, false, operation);
        let error = result.unwrap_err();
        assert_eq!((error.kind(), report.repaired_units), (ErrorKind::Limit, 0), "{error}");
        assert!(data.all() == b"a byte");
    }
}

#[test]
fn the_source_is_read_once_and_in_order_if_memory_allows() {
    struct Counted(Vec<u8>, Arc<Mutex<Vec<(u64, usize)>>>);
    impl crate::source::ReadAt for Counted {
        fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
            lock(&self.1).push((offset, buffer.len()));
            buffer.copy_from_slice(&self.0[offset as usize..][..buffer.len()]);
            Ok(())
        }
    }
    let data = stream(8, 3_300_000);
    let reads = Arc::new(Mutex::new(Vec::new()));
    let source = Source::from_reader(data.len() as u64, Counted(data.clone(), reads.clone()));
    let folder = tempfile::tempdir().unwrap();
    AtlasParity::create(&source, folder.path().join("a.atp"), &options(), &mut Operation::sequential())
        .unwrap();
    let mut at = 0;
    for (offset, len) in lock(&reads).drain(..) {
        assert_eq!(offset, at);
        at += len as u64;
    }
    assert_eq!(at, data.len() as u64);
    // An update reads the touched rows.
    let parity =
        AtlasParity::open(folder.path().join("a.atp"), &VerifyOptions::new(), &mut Operation::new()).unwrap();
    let geometry = *parity.file.geometry();
    let region = AtlasBoundaryRegion::new(100_000, 10);
    parity
        .update(&source, &[region], folder.path().join("b.atp"), &options(), &mut Operation::new())
        .unwrap();
    let read: u64 = lock(&reads).drain(..).map(|(_, len)| len as u64).sum();
    assert!(read <= geometry.columns * geometry.unit && read > 0, "{read}");
    assert!(
        std::fs::read(folder.path().join("a.atp")).unwrap()
            == std::fs::read(folder.path().join("b.atp")).unwrap()
    );
    // Growth reads the appended bytes.
    let mut longer = data.clone();
    longer.extend(stream(9, 50_000));
    let size = longer.len() as u64;
    let source = Source::from_reader(size, Counted(longer.clone(), reads.clone()));
    parity.update(&source, &[], folder.path().join("c.atp"), &options(), &mut Operation::new()).unwrap();
    let read: u64 = lock(&reads).drain(..).map(|(_, len)| len as u64).sum();
    assert!(read <= 50_000 + geometry.unit, "{read}");
}

#[test]
fn holes_are_not_read_and_change_no_byte() {
    const M: usize = 1 << 20;
    let data = vec![(0, stream(1, 7)), (9 * M as u64 - 3, stream(2, M)), (20 * M as u64, stream(3, 5))];
    let mut dense = vec![0; 20 * M + 5];
    for (at, part) in &data {
        dense[*at as usize..*at as usize + part.len()].copy_from_slice(part);
    }
    for options in [options(), options().with_stored_root(), options().with_key(&[7; 32])] {
        let storage = Arc::new(SparseStorage::new(dense.len() as u64, data.clone()));
        let as_storage = Arc::clone(&storage) as Arc<dyn Storage>;
        let source = Source::from_storage(as_storage, std::path::Path::new("sparse.bin")).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.atp");
        AtlasParity::create(&source, &path, &options, &mut Operation::new()).unwrap();
        assert!(
            std::fs::read(&path).unwrap() == created(&dense, &options, &mut Operation::sequential()).unwrap()
        );
        let reads = std::mem::take(&mut *lock(&storage.reads));
        let tiles = [0, 8, 9, 20].map(|tile| tile * M as u64..(tile + 1) * M as u64);
        assert!(
            reads.iter().all(|(at, len)| tiles.iter().any(|tile| *at < tile.end && tile.start < at + len)),
            "{reads:?}"
        );
        let read: u64 = reads.iter().map(|(_, len)| len).sum();
        assert!(read > 0 && read <= 8 * M as u64, "{read}");
    }
}

#[test]
fn what_a_shortened_parity_file_still_has_is_damaged_and_not_missing() {
    let pair = pair(150_001, &options().with_rows(7).with_parity_columns(3));
    let geometry = pair.geometry;
    let kinds = |atp: &[u8]| {
        let parity = open(&Medium::new(atp, &[]), None).unwrap();
        let mut found = Vec::new();
        let mut note = |damage: &Damage| {
            found.push((damage.part, damage.index, damage.kind));
            true
        };
        let data = Medium::new(&pair.data, &[]).source();
        let mut report = ParityReport::default();
        parity.check(&data, Some(&mut note), &mut report, &mut Operation::sequential()).unwrap_err();
        found
    };
    // The file has its full length, and a bit of its first byte changed.
    let mut atp = pair.atp.clone();
    atp[0] ^= 1;
    assert_eq!(kinds(&atp), [(DamagePart::Digests, 0, DamageKind::Differs)]);
    // The file has lost its head and its first parity unit. The second one is the first that it has.
    let cut = geometry.unit_offset(geometry.units() + 1) as usize;
    let mut atp = pair.atp[cut..].to_vec();
    atp[0] ^= 1;
    assert_eq!(
        kinds(&atp),
        [
            (DamagePart::Digests, 0, DamageKind::Missing),
            (DamagePart::Parity, 0, DamageKind::Missing),
            (DamagePart::Parity, 1, DamageKind::Differs),
        ]
    );
    // The file has lost its tail and its last parity unit, at a byte of the unit before.
    let cut = geometry.unit_offset(geometry.all_units() - 2) as usize + 1;
    let last = geometry.parity_units() - 1;
    assert_eq!(
        kinds(&pair.atp[..cut]),
        [
            (DamagePart::Parity, last - 1, DamageKind::Differs),
            (DamagePart::Parity, last, DamageKind::Missing),
            (DamagePart::Digests, 0, DamageKind::Missing),
        ]
    );
}

#[test]
fn a_parity_file_that_was_cut_at_both_ends_is_refused_and_not_misread() {
    // Three blocks of digests, so that both copies keep a block.
    let pair = pair(2_500_000, &options());
    assert_eq!(pair.geometry.blocks(), 3);
    let block = 4_096;
    let opened = |atp: &[u8]| {
        let parity = open(&Medium::new(atp, &[]), None)?;
        let data = Medium::new(&pair.data, &[]).source();
        let mut report = ParityReport::default();
        let result = parity.check(&data, None, &mut report, &mut Operation::sequential());
        assert_eq!(result.unwrap_err().kind(), ErrorKind::Witness);
        Ok::<_, AtlasError>((report.bad_units, report.bad_parity_units))
    };
    // A cut at one end loses only bytes at that end.
    assert_eq!(opened(&pair.atp[block..]).unwrap(), (0, 0));
    assert_eq!(opened(&pair.atp[..pair.atp.len() - block]).unwrap(), (0, 0));
    // With cuts at both ends, no block shows how many bytes were lost at the beginning.
    for (front, back) in [(1, 1), (1, 2), (2, 1), (2, 3), (3, 2)] {
        let atp = &pair.atp[front * block..pair.atp.len() - back * block];
        assert_eq!(opened(atp).unwrap_err().kind(), ErrorKind::Format, "{front} and {back} blocks");
    }
}

#[test]
fn a_unit_that_is_right_is_not_written_if_only_its_digest_is_lost() {
    let pair = pair(150_001, &options().with_rows(7).with_parity_columns(3));
    let unit = 5;
    // The digest of the unit is damaged in both copies of its block.
    let mut atp = pair.atp.clone();
    for copy in Copies::BOTH {
        atp[pair.geometry.block_offset(copy, 0) as usize + 128 + 16 * unit] ^= 1;
    }
    let parity = open(&Medium::new(&atp, &[]), None).unwrap();
    for is_right in [true, false] {
        let mut bytes = pair.data.clone();
        bytes[4_096 * unit] ^= u8::from(!is_right);
        let data = Medium::new(&bytes, &[]);
        let (result, report) =
            repair_in_place(&parity, &data, &mut |_| true, false, &mut Operation::sequential());
        result.unwrap();
        assert_eq!((report.bad_units, report.unknown_units), (0, 1));
        assert_eq!(report.repaired_units, u64::from(!is_right));
        assert!(data.all() == pair.data);
        assert!(
            repair_to_new(&parity, &Medium::new(&bytes, &[]), &mut Operation::sequential()).unwrap()
                == pair.data
        );
    }
}

#[test]
fn an_update_to_zeros_leaves_nothing_of_the_old_parity() {
    let shape = options().with_rows(3).with_parity_columns(2);
    let old = pair(60_000, &shape);
    let parity = open(&Medium::new(&old.atp, &[]), None).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("new.atp");
    // All bytes of the first row, and all bytes of all rows.
    let unit = old.geometry.unit;
    let of_row: Vec<_> = old
        .geometry
        .data_of_row(0)
        .map(|(_, unit)| (old.geometry.unit_offset(unit), old.geometry.data_len(unit)))
        .collect();
    assert!(of_row.len() > 2 && of_row.iter().all(|(_, len)| *len == unit));
    for zeros in [of_row, vec![(0, 60_000)]] {
        let mut new = old.data.clone();
        let mut regions = Vec::new();
        for (offset, len) in zeros {
            new[offset as usize..][..len as usize].fill(0);
            regions.push(AtlasBoundaryRegion::new(offset, len));
        }
        let source = Source::copy(&new).unwrap();
        parity.update(&source, &regions, &path, &options(), &mut Operation::sequential()).unwrap();
        let wanted = created(&new, &shape, &mut Operation::sequential()).unwrap();
        assert!(std::fs::read(&path).unwrap() == wanted);
    }
}

#[test]
fn few_and_many_lost_units_take_the_same_way_to_the_same_bytes() {
    // With little memory every row is computed by the matrix, with more memory by the transforms.
    let pair = pair(3_300_000, &options().with_parity_columns(16));
    let mut random = Random(4);
    let (data, atp, _) = lose(&mut random, &pair, 16);
    let parity = open(&atp, None).unwrap();
    for limit in [10_500_000_u64, 64 << 20, 1 << 30] {
        let operation = &mut Operation::sequential().with_memory_limit(limit);
        assert!(repair_to_new(&parity, &data, operation).unwrap() == pair.data, "{limit}");
    }
    assert!(Code::footprint(&pair.geometry) > 8 << 20);
}
