//! The search for damage.

use super::*;

#[test]
fn every_byte_of_a_small_file_is_found_in_its_group_or_tile() {
    for (len, chains) in [(40_000, true), (40_000, false), (16_384, true), (16_385, true), (1, true)] {
        let outline = Outline::new(random_bytes(len, 3), chains);
        let projection = outline.projection();
        assert!(found(&projection, None).1.is_ok());
        for byte in 0..len {
            outline.base.change(|bytes| bytes.data[byte] ^= 1 << (byte % 8));
            let (list, status) = found(&projection, None);
            assert_eq!(ranges(&list), model(len, chains, None, differs(&BTreeSet::from([byte]))), "{byte}");
            assert_eq!(status.unwrap_err().kind(), ErrorKind::Witness);
            outline.base.change(|bytes| bytes.data[byte] ^= 1 << (byte % 8));
        }
        assert!(found(&projection, None).1.is_ok());
    }
}

#[test]
fn random_damage_is_found_in_random_regions() {
    let len = 3 * TILE_SIZE + 20_001;
    for chains in [true, false] {
        let outline = Outline::new(random_bytes(len, 4), chains);
        let projection = outline.projection();
        let mut random = Random(11);
        for round in 0..25 {
            let damaged: BTreeSet<usize> =
                (0..random.below(12)).map(|_| random.below(len as u64) as usize).collect();
            let regions: Vec<_> = (0..random.below(4))
                .map(|_| {
                    let offset = random.below(len as u64 + 1);
                    AtlasBoundaryRegion::new(offset, random.below((len as u64 - offset).min(1 << 20) + 1))
                })
                .collect();
            let regions = (round % 3 > 0).then_some(&regions[..]);
            outline.base.change(|bytes| damaged.iter().for_each(|byte| bytes.data[*byte] ^= 0x55));
            let (list, status) = found(&projection, regions);
            let wanted = model(len, chains, regions, differs(&damaged));
            assert_eq!(ranges(&list), wanted, "{damaged:?} {regions:?}");
            assert_eq!(status.is_err(), !wanted.is_empty());
            assert!(list.iter().all(|found| {
                let index = found.offset / TILE_SIZE as u64;
                (found.part, found.index, found.generation) == (DamagePart::Data, index, 1)
            }));
            outline.base.change(|bytes| damaged.iter().for_each(|byte| bytes.data[*byte] ^= 0x55));
        }
    }
}

#[test]
fn what_cannot_be_read_and_what_is_cut_off_are_told_apart() {
    let len = 2 * TILE_SIZE + 50_000;
    for chains in [true, false] {
        let outline = Outline::new(random_bytes(len, 5), chains);
        let projection = outline.projection();
        let (broken, cut) = (300_000..350_000_u64, 2 * TILE_SIZE + 17_000);
        outline.base.change(|bytes| {
            bytes.broken = vec![(broken.clone(), libc::EIO)];
            bytes.data[TILE_SIZE] ^= 1;
            bytes.data.truncate(cut);
        });
        let kind = |unit: &Range<usize>| {
            if unit.end > cut {
                Some(DamageKind::Missing)
            } else if (unit.start as u64) < broken.end && broken.start < unit.end as u64 {
                Some(DamageKind::Unreadable)
            } else {
                unit.contains(&TILE_SIZE).then_some(DamageKind::Differs)
            }
        };
        let (list, status) = found(&projection, None);
        assert_eq!(ranges(&list), model(len, chains, None, kind));
        assert_eq!(status.unwrap_err().kind(), ErrorKind::Witness);
        for damage in &list {
            let unreadable = damage.kind == DamageKind::Unreadable;
            assert_eq!(damage.os_error, if unreadable { libc::EIO } else { 0 });
        }
        // A base that was too short when it was attached.
        outline.base.change(|bytes| bytes.broken.clear());
        outline.container.set_base(Some(&outline.base.source(cut))).unwrap();
        let (list, _) = found(&outline.projection(), None);
        let without = |unit: &Range<usize>| kind(unit).filter(|kind| *kind != DamageKind::Unreadable);
        assert_eq!(ranges(&list), model(len, chains, None, without));
        // Without a base, no byte is known to be damaged.
        outline.container.set_base(None).unwrap();
        let (list, status) = found(&outline.projection(), None);
        assert!(list.is_empty());
        assert_eq!(status.unwrap_err().kind(), ErrorKind::Incomplete);
    }
}

#[test]
fn a_longer_source_is_no_damage_and_regions_outside_are_refused() {
    let outline = Outline::new(random_bytes(30_000, 6), true);
    outline.base.change(|bytes| bytes.data.extend([1; 5_000]));
    outline.container.set_base(Some(&outline.base.source(35_000))).unwrap();
    let projection = outline.projection();
    assert!(found(&projection, None).1.is_ok());
    outline.base.change(|bytes| bytes.data[7] ^= 1);
    assert!(found(&projection, Some(&[])).1.is_ok(), "no range");
    assert!(found(&projection, Some(&[AtlasBoundaryRegion::new(30_000, 0)])).1.is_ok());
    for (offset, length) in [(30_000, 1), (30_001, 0), (0, 30_001), (u64::MAX, 1)] {
        let regions = [AtlasBoundaryRegion::new(0, 1), AtlasBoundaryRegion::new(offset, length)];
        let (list, status) = found(&projection, Some(&regions));
        assert_eq!(status.unwrap_err().kind(), ErrorKind::OutOfRange);
        assert!(list.is_empty());
    }
}

#[test]
fn damage_under_an_edit_is_found_where_the_edit_is() {
    let base = Base::new(&random_bytes(2 * TILE_SIZE, 7));
    let projection = AtlasProjection::linear(&base.source(2 * TILE_SIZE)).unwrap();
    for (offset, hashed) in [(1_000, true), (TILE_SIZE as u64 + 1_000, false)] {
        let edit = crate::ProjectionDelta::update(offset, offset + 10, vec![9; 10]);
        projection.apply_incremental_update(edit).unwrap();
        if hashed {
            projection.root(&mut Operation::new()).unwrap();
        }
    }
    assert!(found(&projection, None).1.is_ok());
    // The bytes that the edits replaced do not matter, but the bytes beside them do.
    base.change(|bytes| bytes.data[1_005] ^= 1);
    assert!(found(&projection, Some(&[AtlasBoundaryRegion::new(0, 1)])).1.is_ok());
    base.change(|bytes| {
        bytes.data[2_000] ^= 1;
        bytes.data[TILE_SIZE + 2_000] ^= 1;
    });
    let (list, status) = found(&projection, None);
    assert_eq!(ranges(&list), [(0, 2 * TILE_SIZE as u64, DamageKind::Differs)]);
    assert_eq!((list[0].generation, status.unwrap_err().kind()), (0, ErrorKind::Witness));
}

#[test]
fn a_search_ends_when_it_is_told_to() {
    let len = 6 * TILE_SIZE;
    let outline = Outline::new(random_bytes(len, 8), false);
    outline.base.change(|bytes| (0..len).step_by(2 * TILE_SIZE).for_each(|byte| bytes.data[byte] ^= 1));
    let projection = outline.projection();
    let mut calls = 0;
    let mut stop = |_: &Damage| {
        calls += 1;
        calls < 2
    };
    let error = projection.find_damage(None, &mut stop, &mut Operation::new()).unwrap_err();
    assert_eq!((error.kind(), calls), (ErrorKind::Cancelled, 2));
    // Damage of tiles that progress counts was reported, although the next range could have extended it.
    let (mut done, mut reported) = (0, 0);
    let mut count = |damage: &Damage| {
        reported = damage.offset + damage.length;
        true
    };
    let mut progress = |progress: &Progress| {
        assert!(progress.bytes_done >= done && progress.bytes_total == len as u64);
        done = progress.bytes_done;
        progress.chunks_done < 3
    };
    let mut operation = Operation::sequential().with_progress(&mut progress);
    let error = projection.find_damage(None, &mut count, &mut operation).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Cancelled);
    assert_eq!((done, reported), (3 * TILE_SIZE as u64, 3 * TILE_SIZE as u64));
}

#[test]
fn a_damaged_record_is_told_with_the_bytes_that_it_leaves_unknown() {
    // 40 tiles: two leaves under one node.
    let (tiles, small) = (40_usize, 40 * TILE_SIZE);
    let data: Vec<u8> = (0..small).map(|i| (i / 4_096) as u8).collect();
    for chains in [false, true] {
        let outline = Outline::new(data.clone(), chains);
        let container = std::fs::read(&outline.path).unwrap();
        let (mut seen_record, mut seen_tile) = (0, 0);
        let records: Vec<usize> = (12_288..container.len() - 4)
            .step_by(8)
            .filter(|at| [b"ATLL", b"ATLT", b"ATLI"].iter().any(|kind| container[*at..].starts_with(*kind)))
            .collect();
        assert_eq!(records.len(), if chains { 3 + tiles } else { 3 });
        for at in
            records.iter().copied().step_by(if chains { 11 } else { 1 }).chain([records[records.len() - 1]])
        {
            let mut broken = container.clone();
            broken[at + 40] ^= 1;
            std::fs::write(&outline.path, &broken).unwrap();
            let opened = Container::open(
                &outline.path,
                crate::ContainerMode::Read,
                &crate::VerifyOptions::new(),
                &ContainerOptions { base: Some(outline.base.source(small)), ..ContainerOptions::default() },
                &mut Operation::new(),
            );
            let projection = opened.unwrap().snapshot(0, false, &mut Operation::new()).unwrap();
            let (list, status) = found(&projection, None);
            if broken[at..].starts_with(b"ATLT") && list.is_empty() {
                unreachable!("a tile whose places are lost is read");
            }
            assert_eq!(status.unwrap_err().kind(), ErrorKind::Witness);
            let [record, unknown] = &list[..] else { panic!("{list:?}") };
            assert_eq!((record.part, record.kind), (DamagePart::Record, DamageKind::Differs));
            assert_eq!((record.offset, unknown.kind), (at as u64, DamageKind::Unknown));
            let tile = TILE_SIZE as u64;
            match &broken[at..at + 4] {
                b"ATLT" => {
                    assert_eq!(unknown.length, tile);
                    seen_tile += 1;
                }
                b"ATLL" => assert!(
                    [(0, 32 * tile), (32 * tile, 8 * tile)].contains(&(unknown.offset, unknown.length))
                ),
                _ => assert_eq!((unknown.offset, unknown.length), (0, small as u64)),
            }
            seen_record += 1;
            // A region inside the range returns the tile that it touches.
            let inside = AtlasBoundaryRegion::new(unknown.offset + tile / 2, tile.min(unknown.length) / 4);
            let (list, _) = found(&projection, Some(&[inside]));
            assert_eq!((list[1].offset, list[1].length), (unknown.offset, tile.min(unknown.length)));
        }
        assert!(seen_record >= 3 && (seen_tile > 0) == chains);
    }
}

#[test]
fn payload_in_the_container_is_found_too_and_without_its_base() {
    let len = 2 * TILE_SIZE + 30_000;
    for chains in [true, false] {
        let outline = Outline::new(random_bytes(len, 9), chains);
        let edited = outline.projection();
        let new = random_bytes(50_000, 10);
        let start = TILE_SIZE as u64 + 100_000;
        let edit = crate::ProjectionDelta::update(start, start + 50_000, new.clone());
        edited.apply_incremental_update(edit).unwrap();
        outline.container.commit(&edited, &CommitOptions::default(), &mut Operation::new()).unwrap();
        assert!(found(&outline.projection(), None).1.is_ok());
        // One byte of the edit, at its place in the container.
        let mut container = std::fs::read(&outline.path).unwrap();
        let place = container.windows(64).position(|part| part == &new[20_000..20_064]).unwrap();
        container[place] ^= 1;
        std::fs::write(&outline.path, &container).unwrap();
        let damaged = BTreeSet::from([start as usize + 20_000]);
        let wanted = model(len, chains, None, differs(&damaged));
        let (list, status) = found(&outline.projection(), None);
        assert_eq!((ranges(&list), status.unwrap_err().kind()), (wanted.clone(), ErrorKind::Witness));
        assert_eq!(list[0].generation, 2);
        // Without its base, only groups that lie completely in the container can be checked.
        outline.container.set_base(None).unwrap();
        let (list, status) = found(&outline.projection(), None);
        if chains {
            assert_eq!((ranges(&list), status.unwrap_err().kind()), (wanted, ErrorKind::Witness));
        } else {
            assert!(list.is_empty());
            assert_eq!(status.unwrap_err().kind(), ErrorKind::Incomplete);
        }
    }
}

#[test]
fn a_callback_that_sleeps_holds_the_search_up() {
    let tiles = 40;
    let outline = Outline::new((0..tiles * TILE_SIZE).map(|i| (i / 4_096) as u8).collect(), false);
    outline.base.change(|bytes| {
        bytes.data[0] ^= 1;
        bytes.broken = vec![(TILE_SIZE as u64..TILE_SIZE as u64 + 1, libc::EIO)];
        bytes.asked.clear();
    });
    let mut most = Vec::new();
    let mut sleep = |_: &Damage| {
        std::thread::sleep(std::time::Duration::from_millis(200));
        most.push(lock(&outline.base.0).asked.len());
        true
    };
    let mut operation = Operation::new().with_pool(&POOL);
    outline.projection().find_damage(None, &mut sleep, &mut operation).unwrap_err();
    // Three threads, two tiles a thread ahead of the last report: ranges of one tile and of three tiles, each
    // with the tile after it, which shows that the range is complete.
    assert!(most.len() == 2 && most[0] <= 8 && most[1] <= 10, "{most:?} of {tiles} tiles were read");
}
