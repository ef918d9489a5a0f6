//! Holes of sparse files: bytes that are known to be zeros without a read.
//!
//! Every call that could use holes asks the file system again, because a verification must also find sources
//! that were changed against their contract. A file with as many blocks as bytes is not searched.

#![forbid(unsafe_code)]

use super::{Source, SourceKind};
use crate::base::buffer::try_grow;
use crate::base::storage::Storage;
use crate::base::sync::lock;
use crate::base::units::TILE_BYTES;
use std::ops::Range;
use std::sync::{Arc, Mutex};

/// Maximum number of ranges of data that are recorded per source, which use 16 MiB. The bytes after the last
/// range count as data.
const MOST_RANGES: usize = 1 << 20;
/// Maximum number of sources in which one call searches for holes.
const MOST_SOURCES: usize = 64;

/// The ranges of a source's bytes that may contain other bytes than zeros.
pub(crate) struct DataMap {
    /// The ranges, ascending, with gaps between them. Each consists of whole tiles of 1 MiB, except at the end
    /// of the source.
    ranges: Vec<Range<u64>>,
    /// Number of bytes of the source. There is no hole after them.
    size: u64,
}

impl DataMap {
    /// Searches a file for holes. `None` if the system does not report that there may be holes, or if there are too
    /// many to record.
    pub(crate) fn of_storage(storage: &dyn Storage) -> Option<DataMap> {
        // Without a size nothing is known about holes.
        let size = storage.len().ok()?;
        let mut map = DataMap { ranges: Vec::new(), size };
        if !storage.may_have_holes()
            || !(Place { start: 0, within: 0, len: size, size }).search(storage, &mut map)
        {
            return None;
        }
        Some(map)
    }

    /// Returns true if all `len` bytes at `offset` lie in a hole, and so are zeros.
    pub(crate) fn is_hole(&self, offset: u64, len: u64) -> bool {
        if offset.checked_add(len).is_none_or(|end| end > self.size) {
            return false;
        }
        // The first data that ends after the offset decides: it begins inside the range, or the range is a
        // hole.
        let after = self.ranges.partition_point(|data| data.end <= offset);
        self.ranges.get(after).is_none_or(|data| data.start >= offset.saturating_add(len))
    }

    /// Returns the tiles of 1 MiB in `tiles` that have data, as ascending ranges of tile numbers.
    pub(crate) fn tiles_within(&self, tiles: &Range<u64>) -> impl Iterator<Item = Range<u64>> {
        let numbers = |data: &Range<u64>| data.start / TILE_BYTES..data.end.div_ceil(TILE_BYTES);
        // Ranges are whole tiles that do not touch, so that a tile lies in a single range.
        let first = self.ranges.partition_point(|data| numbers(data).end <= tiles.start);
        let (start, end) = (tiles.start, tiles.end);
        self.ranges[first..]
            .iter()
            .map(numbers)
            .take_while(move |data| data.start < end)
            .map(move |data| data.start.max(start)..data.end.min(end))
    }

    /// Adds a range of data that does not begin before the last range. Returns false if there is no room.
    fn add(&mut self, data: Range<u64>) -> bool {
        match self.ranges.last_mut() {
            // After rounding to tiles, neighbours touch or overlap.
            Some(last) if last.end >= data.start => last.end = last.end.max(data.end),
            _ => {
                // Beyond the bound, or without memory, the caller counts the remaining bytes as data.
                if self.ranges.len() >= MOST_RANGES || try_grow(&mut self.ranges, 1).is_err() {
                    return false;
                }
                self.ranges.push(data);
            }
        }
        true
    }
}

impl Source {
    /// Returns the file that the source reads or maps, in which holes can be searched. `None` for a source of parts,
    /// for other sources than files, and for a mapping of a file without holes.
    fn sparse_storage(&self) -> Option<&dyn Storage> {
        match &self.inner.kind {
            SourceKind::File(file) => Some(file.storage()),
            #[cfg(feature = "streaming")]
            SourceKind::Memory(memory) => memory.sparse_file().map(|file| file as &dyn Storage),
            _ => None,
        }
    }

    /// Searches the files of the source for holes. Returns the ranges whose bytes are not known to be zeros, or
    /// `None` if no hole is known.
    pub(crate) fn data_map(&self) -> Option<DataMap> {
        let size = self.size();
        let mut map = DataMap { ranges: Vec::new(), size };
        let mut start = 0;
        // Runs come in the order of the source, so that new data never lies before the last range.
        for run in self.runs(0, size) {
            let storage = run.source.sparse_storage().filter(|storage| {
                // In a file that was cut, the bytes after its end are no hole.
                storage.may_have_holes() && storage.len().is_ok_and(|len| len >= run.source.size())
            });
            let place = Place { start, within: run.offset, len: run.len, size };
            // Memory and callbacks have no holes, so that all their bytes count as data.
            let is_known = match storage {
                Some(storage) => place.search(storage, &mut map),
                None => map.add(place.whole_tiles(start, start + run.len)),
            };
            if !is_known {
                // There are too many parts: the remaining bytes count as data.
                let rest = map.ranges.last_mut()?;
                rest.end = size;
                break;
            }
            start += run.len;
        }
        // A single range over all bytes means that no hole was found.
        let is_dense = map.ranges.first() == Some(&(0..size));
        (size > 0 && !is_dense).then_some(map)
    }

    /// Returns true if [`data_map`](Self::data_map) may find holes, because the source reads files. Makes no
    /// system call.
    fn is_of_files(&self) -> bool {
        matches!(self.inner.kind, SourceKind::Parts(_)) || self.sparse_storage().is_some()
    }
}

/// A run of bytes of a source that lies in one file: `start` is its offset in the whole source, `within` that in
/// the file.
struct Place {
    start: u64,
    within: u64,
    len: u64,
    /// Size of the whole source.
    size: u64,
}

impl Place {
    /// Returns the range of whole tiles that contains the bytes `start`..`end` of the whole source.
    fn whole_tiles(&self, start: u64, end: u64) -> Range<u64> {
        // The last tile below 2^64 ends with the source.
        let end = end.checked_next_multiple_of(TILE_BYTES).unwrap_or(u64::MAX);
        start / TILE_BYTES * TILE_BYTES..end.min(self.size)
    }

    /// Searches the run's file and adds its ranges of data to `map`. Returns false if there is no room for all
    /// of them.
    fn search(&self, storage: &dyn Storage, map: &mut DataMap) -> bool {
        let end = self.start + self.len;
        // `at` is an offset in the whole source, `from` the same place in the file of the run.
        let mut at = self.start;
        while at < end {
            let from = self.within + (at - self.start);
            let data = match storage.data_after(from) {
                Ok(None) => return true,
                Ok(Some(data)) if data.start >= self.within + self.len => return true,
                Ok(Some(data)) => {
                    // The data may begin before this place, and end after the run.
                    let outside = |place: u64| self.start + (place - self.within);
                    outside(data.start.max(from))..outside(data.end.min(self.within + self.len))
                }
                // The file system does not report holes, so that the remaining bytes count as data.
                Err(_) => at..end,
            };
            // A tile with any data is read as a whole, so that the search continues after it.
            let tiles = self.whole_tiles(data.start, data.end);
            at = tiles.end.max(data.end);
            if !map.add(tiles) {
                return false;
            }
        }
        true
    }
}

/// The holes of the sources that one call reads. Each source is searched once.
#[derive(Default)]
pub(crate) struct Holes {
    known: Mutex<Vec<(Source, Option<Arc<DataMap>>)>>,
}

impl Holes {
    /// Returns true if all `len` bytes at `offset` of `source` are known to lie in a hole.
    pub(crate) fn have(&self, source: &Source, offset: u64, len: u64) -> bool {
        source.is_of_files() && self.map_of(source).is_some_and(|map| map.is_hole(offset, len))
    }

    fn map_of(&self, source: &Source) -> Option<Arc<DataMap>> {
        // The lock is held during a search, so that other workers wait for it and do not repeat it.
        let mut known = lock(&self.known);
        if let Some((_, map)) = known.iter().find(|(known, _)| Arc::ptr_eq(&known.inner, &source.inner)) {
            return map.clone();
        }
        // Further sources count as data, because the list is searched for every tile.
        if known.len() >= MOST_SOURCES {
            return None;
        }
        let map = source.data_map().map(Arc::new);
        known.push((source.clone(), map.clone()));
        map
    }
}

#[cfg(test)]
#[allow(clippy::single_range_in_vec_init, reason = "lists of ranges, of one too")]
mod tests {
    use super::*;
    use crate::base::storage::fakes::SparseStorage;
    use std::path::Path;
    use std::sync::atomic::Ordering;

    const M: u64 = TILE_BYTES;

    fn of(storage: SparseStorage) -> (Source, Arc<SparseStorage>) {
        let storage = Arc::new(storage);
        (
            Source::from_storage(Arc::clone(&storage) as Arc<dyn Storage>, Path::new("sparse.bin")).unwrap(),
            storage,
        )
    }

    fn sparse(len: u64, data: &[Range<u64>]) -> (Source, Arc<SparseStorage>) {
        let bytes = |data: &Range<u64>| (data.start, vec![1; (data.end - data.start) as usize]);
        of(SparseStorage::new(len, data.iter().map(bytes).collect()))
    }

    fn ranges(source: &Source) -> Option<Vec<Range<u64>>> {
        source.data_map().map(|map| map.ranges)
    }

    #[test]
    fn data_are_whole_tiles_and_what_is_dense_is_not_searched() {
        let (source, storage) =
            sparse(10 * M + 5, &[3..4, M + 7..2 * M, 5 * M - 1..5 * M + 1, 10 * M + 2..10 * M + 3]);
        assert_eq!(ranges(&source).unwrap(), [0..2 * M, 4 * M..6 * M, 10 * M..10 * M + 5]);
        assert!(storage.asked.load(Ordering::Relaxed) <= 6);
        let map = source.data_map().unwrap();
        assert!(map.is_hole(2 * M, 2 * M) && map.is_hole(2 * M, 0) && map.is_hole(9 * M, M));
        assert!(!map.is_hole(2 * M, 2 * M + 1) && !map.is_hole(2 * M - 1, 2) && !map.is_hole(9 * M, M + 1));
        let tiles = |range| map.tiles_within(&range).collect::<Vec<_>>();
        assert_eq!(tiles(0..11), [0..2, 4..6, 10..11]);
        assert_eq!(tiles(1..5), [1..2, 4..5]);
        assert!(tiles(2..4).is_empty() && tiles(6..10).is_empty());
        let (dense, storage) = sparse(3 * M, &[0..3 * M]);
        assert_eq!((ranges(&dense), storage.asked.load(Ordering::Relaxed)), (None, 0));
        let (empty, _) = sparse(3 * M, &[]);
        assert_eq!(ranges(&empty).unwrap(), [0_u64..0; 0]);
        // A hole shorter than a tile is not recorded.
        let (small, _) = sparse(2 * M, &[0..5, M + 1..M + 2]);
        assert_eq!(ranges(&small), None);
        assert_eq!(ranges(&sparse(0, &[]).0), None);
    }

    #[test]
    fn the_last_bytes_below_2_to_the_64_are_data() {
        let (size, data) = (u64::MAX - 5, u64::MAX - 10..u64::MAX - 6);
        let (source, _) = sparse(size, std::slice::from_ref(&data));
        assert_eq!(ranges(&source).unwrap(), [data.start / M * M..size]);
    }

    #[test]
    fn a_file_system_that_does_not_tell_has_data_everywhere() {
        let (source, storage) = of(SparseStorage { tells: false, ..SparseStorage::new(9 * M, Vec::new()) });
        assert_eq!((ranges(&source), storage.asked.load(Ordering::Relaxed)), (None, 1));
        assert_eq!(ranges(&Source::from_vec(vec![0; 3 << 20])), None);
    }

    #[test]
    fn parts_have_the_holes_of_what_they_are_made_of() {
        let (source, _) = sparse(10 * M, &[3 * M..4 * M]);
        assert_eq!(ranges(&source.range(M, 9 * M).unwrap()).unwrap(), [2 * M..3 * M]);
        // If the range does not begin at a tile of the file, the data touch two tiles of the source.
        assert_eq!(ranges(&source.range(M + 5, 6 * M).unwrap()).unwrap(), [M..3 * M]);
        assert_eq!(ranges(&source.range(4 * M, 6 * M).unwrap()).unwrap(), [0_u64..0; 0]);
        assert_eq!(ranges(&source.range(3 * M, M).unwrap()), None);
        let bytes = Source::from_vec(vec![1; (M + 9) as usize]);
        let mixed = Source::concat([&source, &bytes, &source]).unwrap();
        assert_eq!(ranges(&mixed).unwrap(), [3 * M..4 * M, 10 * M..12 * M, 14 * M..16 * M]);
        let holes = Holes::default();
        assert!(holes.have(&mixed, 12 * M, 2 * M) && !holes.have(&mixed, 12 * M - 1, 2));
        assert!(holes.have(&source, 0, 3 * M) && !holes.have(&bytes, 0, 1));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_file_with_holes_says_where_they_are_and_a_cut_one_nothing() {
        use std::os::unix::fs::FileExt;
        let dir = tempfile::tempdir_in("target").or_else(|_| tempfile::tempdir()).unwrap();
        let path = dir.path().join("holes.bin");
        let file = std::fs::File::create(&path).unwrap();
        file.set_len(100 * M).unwrap();
        file.write_all_at(&[1; 9_000], 50 * M + 500_000).unwrap();
        file.sync_all().unwrap();
        let sources = [
            Source::open_file(&path).unwrap(),
            #[cfg(feature = "streaming")]
            crate::source::tests::mapped(&path),
        ];
        for source in &sources {
            // On a file system without holes, no hole is found.
            if let Some(found) = ranges(source) {
                assert_eq!(found, [50 * M..51 * M]);
            }
        }
        file.set_len(60 * M).unwrap();
        assert_eq!(ranges(&sources[0]), None);
    }
}
