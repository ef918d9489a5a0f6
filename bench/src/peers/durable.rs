//! 4 KiB changed durably within 1 GiB: a container beside databases that hold the same bytes, on one disk.

use crate::measure::{Report, case};
use crate::sys::{self, check};
use crate::{MIB, borrow, next, operation, peer_blosc_free, peer_blosc_open_frame, peer_blosc_update};
use redb::{Database, ReadableDatabase, TableDefinition};
use rusqlite::Connection;
use std::ffi::CString;
use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;
use std::ptr::{null, null_mut};

const PAGE: usize = 4_096;
/// Changes that one timed run makes.
const CHANGES: usize = 20;
const UPDATE: u32 = 1;
const WRITE: u32 = 1;
const TABLE: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("tiles");

/// A folder that is gone with this.
struct Folder(String);

impl Drop for Folder {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

/// The changes of one run: a tile, an offset in it, and the new bytes.
fn changes(state: &mut u64, tiles: usize) -> Vec<(usize, usize, Vec<u8>)> {
    let mut change = || {
        let tile = usize::try_from(next(state)).expect("64 bits") % tiles;
        let at = usize::try_from(next(state)).expect("64 bits") % (MIB / PAGE) * PAGE;
        let bytes = (0..PAGE / 8).flat_map(|_| next(state).to_le_bytes()).collect();
        (tile, at, bytes)
    };
    (0..CHANGES).map(|_| change()).collect()
}

fn container(path: &str, keeps_chains: bool, bytes: &[u8]) -> *mut sys::Container {
    let (path, two) = (CString::new(path).expect("a path"), operation(2));
    let source = borrow(bytes);
    let (mut container, mut create) = (null_mut(), unsafe { std::mem::zeroed() });
    unsafe {
        sys::atlas_container_create_options_init(&raw mut create);
        create.keep_chains = keeps_chains.into();
        let (create, two) = (&raw const create, &raw const two);
        check(sys::atlas_container_create(path.as_ptr(), 0, null(), create, two, &raw mut container));
        check(sys::atlas_container_import(container, source, null(), 0, null(), two, null_mut()));
        sys::atlas_source_destroy(source);
        sys::atlas_container_destroy(container);
        check(sys::atlas_container_open(path.as_ptr(), WRITE, null(), null(), null(), &raw mut container));
    }
    container
}

fn change_container(container: *mut sys::Container, offset: u64, data: &[u8]) {
    let length = data.len() as u64;
    let delta = sys::Delta {
        r#type: UPDATE,
        offset,
        length,
        destination: 0,
        data: data.as_ptr().cast(),
        data_size: data.len(),
    };
    let mut edited = null_mut();
    unsafe {
        check(sys::atlas_container_snapshot(container, 0, 0, null(), &raw mut edited));
        check(sys::atlas_projection_apply(edited, &raw const delta));
        check(sys::atlas_container_commit(container, edited, null(), null(), null_mut()));
        sys::atlas_projection_destroy(edited);
    }
}

fn sqlite(path: &str, bytes: &[u8]) -> Connection {
    let db = Connection::open(path).expect("a database");
    db.execute_batch(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; CREATE TABLE tiles (bytes BLOB); BEGIN",
    )
    .expect("a table");
    for tile in bytes.chunks(MIB) {
        db.execute("INSERT INTO tiles VALUES (?1)", [tile]).expect("a row");
    }
    db.execute_batch("COMMIT; PRAGMA wal_checkpoint(TRUNCATE)").expect("rows");
    db
}

fn redb(path: &str, bytes: &[u8]) -> Database {
    let db = Database::create(path).expect("a database");
    let writing = db.begin_write().expect("a transaction");
    {
        let mut table = writing.open_table(TABLE).expect("a table");
        for (number, tile) in bytes.chunks(MIB).enumerate() {
            table.insert(number as u64, tile).expect("a value");
        }
    }
    writing.commit().expect("values");
    db
}

fn change_redb(db: &Database, tile: usize, at: usize, data: &[u8]) {
    let before = {
        let reading = db.begin_read().expect("a transaction");
        let table = reading.open_table(TABLE).expect("the table");
        table.get(tile as u64).expect("a read").expect("a value").value().to_vec()
    };
    let mut bytes = before;
    bytes[at..at + data.len()].copy_from_slice(data);
    let writing = db.begin_write().expect("a transaction");
    writing.open_table(TABLE).expect("the table").insert(tile as u64, &bytes[..]).expect("a value");
    writing.commit().expect("a durable change");
}

pub(crate) fn durable(report: &mut Report, peers: &Path, random: &[u8]) {
    report.section(
        "4 KiB changed durably within 1 GiB, each of 20 changes synced on its own",
        "This library: a container with its payload, snapshot, edit and commit; without chaining values an \
         edit reads and hashes its whole tile. SQLite: WAL, synchronous FULL, rows of 1 MiB, read, changed \
         and put back by UPDATE, or written in place by its incremental blob interface. redb: values of 1 \
         MiB, read, changed and put back. c-blosc2: a frame on disk, its chunks of 1 MiB stored \
         uncompressed, and fdatasync. The last row is the lower bound: 16 KiB appended to a plain file and \
         fdatasync.",
    );
    let folder = Folder(format!("{}/durable-{}", peers.display(), std::process::id()));
    std::fs::create_dir(&folder.0).expect("a folder");
    let name = |name: &str| format!("{}/{name}", folder.0);
    let tiles = random.len() / MIB;
    let (ours, plain_ours) =
        (container(&name("chains.atlas"), true, random), container(&name("ours.atlas"), false, random));
    let db = sqlite(&name("sqlite"), random);
    let values = redb(&name("redb"), random);
    let frame_path = name("frame.b2frame");
    let c_path = CString::new(frame_path.clone()).expect("a path");
    let frame = unsafe { peer_blosc_open_frame(c_path.as_ptr(), random.as_ptr(), random.len(), MIB as i32) };
    assert!(!frame.is_null(), "a frame");
    let frame_file = File::options().read(true).write(true).open(&frame_path).expect("the frame");
    let mut plain = File::create(name("plain")).expect("a file");
    let mut scratch = vec![0; MIB];
    let states = [1, 2, 3, 4, 5, 6].map(std::cell::Cell::new);
    let run = |number: usize| {
        let mut state = states[number].get();
        let changes = changes(&mut state, tiles);
        states[number].set(state);
        changes
    };
    report.against(
        0,
        &mut [
            case("container, chaining values kept", || {
                for (tile, at, data) in run(0) {
                    change_container(ours, (tile * MIB + at) as u64, &data);
                }
            }),
            case("container without chaining values", || {
                for (tile, at, data) in run(5) {
                    change_container(plain_ours, (tile * MIB + at) as u64, &data);
                }
            }),
            case("SQLite, UPDATE", || {
                for (tile, at, data) in run(1) {
                    let row = tile as i64 + 1;
                    let mut bytes: Vec<u8> = db
                        .query_row("SELECT bytes FROM tiles WHERE rowid = ?1", [row], |row| row.get(0))
                        .expect("a row");
                    bytes[at..at + PAGE].copy_from_slice(&data);
                    db.execute("UPDATE tiles SET bytes = ?1 WHERE rowid = ?2", (bytes, row))
                        .expect("a change");
                }
            }),
            case("SQLite, blob write", || {
                for (tile, at, data) in run(2) {
                    let row = tile as i64 + 1;
                    let mut blob = db.blob_open("main", "tiles", "bytes", row, false).expect("a blob");
                    blob.seek(SeekFrom::Start(at as u64)).expect("within the blob");
                    blob.write_all(&data).expect("a change");
                    blob.close().expect("a durable change");
                }
            }),
            case("redb", || {
                for (tile, at, data) in run(3) {
                    change_redb(&values, tile, at, &data);
                }
            }),
            case("c-blosc2, frame on disk", || {
                for (tile, at, data) in run(4) {
                    let offset = (tile * MIB + at) as i64;
                    let done = unsafe {
                        peer_blosc_update(frame, scratch.as_mut_ptr(), offset, data.as_ptr(), PAGE as i32)
                    };
                    assert!(done, "an update");
                    frame_file.sync_data().expect("a flushed file");
                }
            }),
            case("plain append, fdatasync", || {
                for _ in 0..CHANGES {
                    plain.write_all(&random[..4 * PAGE]).expect("room");
                    plain.sync_data().expect("a flushed file");
                }
            }),
        ],
    );
    unsafe {
        sys::atlas_container_destroy(ours);
        sys::atlas_container_destroy(plain_ours);
        peer_blosc_free(frame);
    }
}
