//! A data race that ThreadSanitizer must report: `make tsan` runs it, and no other run of the tests does.
#![allow(missing_docs, clippy::unwrap_used)]

use atlas_manifold::{
    AtlasProjection, Operation, Pool, ProjectionOptions, ProjectionType, ReadAt, Source, TILE_SIZE,
};
use std::cell::UnsafeCell;
use std::io;

/// A source that counts its reads without a lock.
struct Racing(UnsafeCell<u64>);

// SAFETY: none, which is the race. A count that is too low harms nobody.
unsafe impl Sync for Racing {}

impl ReadAt for Racing {
    fn read_at(&self, _offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        // SAFETY: see above.
        unsafe { *self.0.get() += 1 };
        bytes.fill(7);
        Ok(())
    }
}

#[test]
fn reads_of_two_threads_race() {
    let source = Source::from_reader(64 * TILE_SIZE as u64, Racing(UnsafeCell::new(0)));
    let pool = Pool::new(4).unwrap();
    let mut operation = Operation::new().with_pool(&pool);
    AtlasProjection::create(ProjectionType::Linear, &source, &ProjectionOptions::default(), &mut operation)
        .unwrap();
}
