//! Files that change while they are imported: the import fails and commits nothing, or it commits the bytes
//! it read. If the base changes afterwards, the damage is found.

use super::import::created;
use super::*;
use crate::ErrorKind;
use crate::base::units::{TILE_BYTES, TILE_SIZE};
use crate::source::ReadAt;
use std::fs::File;
use std::io;
use std::path::Path;

const TILES: u64 = 6;
const SIZE: usize = TILES as usize * TILE_SIZE - 5_000;

/// Bytes that change once, in the middle of a read.
struct Changing {
    bytes: Mutex<Vec<u8>>,
    /// Number of reads before the change, the offset of the change, and the new byte.
    change: Mutex<(u64, u64, u8)>,
}

#[derive(Clone)]
struct Reader(Arc<Changing>);

impl ReadAt for Reader {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let start = offset as usize;
        let (half, end) = (buffer.len() / 2, start + buffer.len());
        let mut bytes = lock(&self.0.bytes);
        buffer[..half].copy_from_slice(&bytes[start..start + half]);
        let mut change = lock(&self.0.change);
        if change.0 == 1 {
            let place = change.1 as usize;
            bytes[place..(place + TILE_SIZE).min(SIZE)].fill(change.2);
        }
        change.0 = change.0.saturating_sub(1);
        buffer[half..].copy_from_slice(&bytes[start + half..end]);
        Ok(())
    }
}

/// The tiles of a snapshot: their bytes if the read is right, else `None`.
fn tiles(container: &Container) -> Vec<Option<Vec<u8>>> {
    let snapshot = container.snapshot(0, true, &mut Operation::new()).unwrap();
    let tile = |index: u64| {
        let place = index * TILE_BYTES;
        let mut bytes = vec![0; TILE_SIZE.min(SIZE - place as usize)];
        match snapshot.read(place, &mut bytes) {
            Ok(()) => Some(bytes),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Witness, "{error}");
                None
            }
        }
    };
    (0..TILES).map(tile).collect()
}

#[test]
fn bytes_that_change_during_an_import_are_those_that_were_read_or_damage() {
    for is_outline in [false, true] {
        for keep_chains in [false, true] {
            for read in 1..=TILES {
                for changed in 0..TILES {
                    let dir = tempfile::tempdir().unwrap();
                    let container = created(dir.path(), "c", keep_chains);
                    let before: Vec<u8> = (0..SIZE).map(|at| (at / 777) as u8).collect();
                    let bytes = Mutex::new(before.clone());
                    let change = Mutex::new((read, changed * TILE_BYTES, 0xbb));
                    let reader = Reader(Arc::new(Changing { bytes, change }));
                    let source = Source::from_reader(SIZE as u64, reader.clone());
                    container.set_base(is_outline.then_some(&source)).unwrap();
                    container
                        .import(&source, &CommitOptions::default(), &mut Operation::sequential())
                        .unwrap();
                    let (found, now) = (tiles(&container), lock(&reader.0.bytes).clone());
                    let mut torn = 0;
                    for (index, found) in found.iter().enumerate() {
                        let start = index * TILE_SIZE;
                        let place = start..(start + TILE_SIZE).min(SIZE);
                        let (then, now) = (&before[place.clone()], &now[place]);
                        match found {
                            // The base still has the hashed bytes.
                            Some(found) if is_outline => assert!(found == now),
                            // The bytes that were read are stored, possibly some from before and some from
                            // after the change.
                            Some(found) => {
                                let half = now.len() / 2;
                                let is_torn = found[..half] == then[..half] && found[half..] == now[half..];
                                assert!(found == now || found == then || is_torn);
                                torn += u64::from(is_torn && found != now && found != then);
                            }
                            None => {
                                assert!(is_outline, "bytes of the file are what was hashed");
                                assert!(then != now);
                                torn += 1;
                            }
                        }
                    }
                    // A tile that was read before the change is damaged in an outline, and in a container is
                    // stored as it was.
                    let is_late = changed < read;
                    assert_eq!(torn > 0, is_late && (is_outline || changed + 1 == read), "{read} {changed}");
                    let damage = container.find_damage(0, &mut |_| true, &mut Operation::new());
                    match damage {
                        Ok(()) => assert!(found.iter().all(Option::is_some)),
                        Err(error) => {
                            assert_eq!((error.kind(), error.index()), (ErrorKind::Witness, Some(changed)));
                            assert!(found[changed as usize].is_none());
                        }
                    }
                    // Another import stores the present bytes.
                    container
                        .import(&source, &CommitOptions::default(), &mut Operation::sequential())
                        .unwrap();
                    assert!(tiles(&container).concat_all() == now);
                    container.find_damage(2, &mut |_| true, &mut Operation::new()).unwrap();
                }
            }
        }
    }
}

trait ConcatAll {
    fn concat_all(self) -> Vec<u8>;
}

impl ConcatAll for Vec<Option<Vec<u8>>> {
    fn concat_all(self) -> Vec<u8> {
        self.into_iter().flat_map(|tile| tile.expect("a tile that can be read")).collect()
    }
}

/// Imports a file whose length is set once the third tile is done.
fn import_resized(container: &Container, path: &Path, len: u64, is_outline: bool) -> Result<u64> {
    let source = Source::open_file(path)?;
    container.set_base(is_outline.then_some(&source))?;
    let file = File::options().write(true).open(path).unwrap();
    let mut resize = |progress: &crate::Progress| {
        if progress.chunks_done == 3 {
            file.set_len(len).unwrap();
        }
        true
    };
    let operation = &mut Operation::sequential().with_progress(&mut resize);
    container.import(&source, &CommitOptions::default(), operation)
}

#[test]
fn a_file_that_shrinks_or_grows_during_an_import() {
    for is_outline in [false, true] {
        for keep_chains in [false, true] {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("data.bin");
            let bytes: Vec<u8> = (0..SIZE).map(|at| (at / 777) as u8).collect();
            std::fs::write(&path, &bytes).unwrap();
            let container = created(dir.path(), "c", keep_chains);
            let imported = import_resized(&container, &path, SIZE as u64 + 9_999, is_outline).unwrap();
            assert_eq!((imported, container.generation(0).unwrap().domain_size), (1, SIZE as u64));
            assert!(tiles(&container).concat_all() == bytes);
            container.find_damage(0, &mut |_| true, &mut Operation::new()).unwrap();
            let size = container.info().unwrap().file_size;
            for len in [0, TILE_BYTES, 3 * TILE_BYTES, SIZE as u64 - 1] {
                std::fs::write(&path, &bytes).unwrap();
                let failed = import_resized(&container, &path, len, is_outline).unwrap_err();
                assert_eq!(failed.kind(), ErrorKind::Io, "{failed}");
                assert!(failed.to_string().contains("data.bin"), "{failed}");
                let info = container.info().unwrap();
                assert_eq!((info.newest, info.file_size), (1, size));
                assert_eq!(std::fs::metadata(dir.path().join("c")).unwrap().len(), size);
                // The earlier generation lacks the bytes of the base that were cut off, and reports that.
                if is_outline {
                    let error = container.find_damage(0, &mut |_| true, &mut Operation::new()).unwrap_err();
                    assert_eq!(error.kind(), ErrorKind::Io, "{error}");
                } else {
                    assert!(tiles(&container).concat_all() == bytes);
                }
            }
            std::fs::write(&path, &bytes[..TILE_SIZE]).unwrap();
            assert_eq!(import_resized(&container, &path, TILE_BYTES, is_outline).unwrap(), 2);
        }
    }
}
