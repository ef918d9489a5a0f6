//! Tests of outlines, compared with plain models.

mod diff;
mod find;
mod repair;
mod sparse;

use crate::base::damage::{Damage, DamageKind, DamagePart};
use crate::base::error::{AtlasError, ErrorKind, Result};
use crate::base::out_bytes::OutBytes;
use crate::base::storage::Storage;
use crate::base::storage::fakes::{FailingStorage, MemoryStorage};
use crate::base::sync::lock;
use crate::base::units::{GROUP_SIZE, TILE_SIZE};
use crate::container::{CommitOptions, Container, ContainerCreateOptions, ContainerOptions};
use crate::exec::operation::Operation;
use crate::exec::pool::Pool;
use crate::exec::progress::Progress;
use crate::incremental::tests::Random;
use crate::projection::{AtlasProjection, ProjectionOptions, ProjectionType};
use crate::shard::AtlasBoundaryRegion;
use crate::source::{ReadAt, Source};
use std::collections::BTreeSet;
use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, LazyLock, Mutex};

/// More threads than there are cores.
static POOL: LazyLock<Pool> = LazyLock::new(|| Pool::new(3).unwrap());

/// Bytes that a test damages, and the ranges that were read.
#[derive(Default)]
struct Bytes {
    data: Vec<u8>,
    /// Ranges that cannot be read.
    broken: Vec<(Range<u64>, i32)>,
    asked: Vec<Range<u64>>,
}

#[derive(Clone, Default)]
struct Base(Arc<Mutex<Bytes>>);

impl Base {
    fn new(data: &[u8]) -> Base {
        Base(Arc::new(Mutex::new(Bytes { data: data.to_vec(), ..Bytes::default() })))
    }

    fn source(&self, size: usize) -> Source {
        Source::from_reader(size as u64, self.clone())
    }

    fn change(&self, change: impl FnOnce(&mut Bytes)) {
        change(&mut lock(&self.0));
    }
}

impl ReadAt for Base {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let mut bytes = lock(&self.0);
        let (start, end) = (offset as usize, offset as usize + buffer.len());
        bytes.asked.push(offset..end as u64);
        if let Some((_, code)) =
            bytes.broken.iter().find(|(range, _)| range.start < end as u64 && offset < range.end)
        {
            return Err(io::Error::from_raw_os_error(*code));
        }
        let found = bytes.data.get(start..end).ok_or(io::ErrorKind::UnexpectedEof)?;
        buffer.copy_from_slice(found);
        Ok(())
    }
}

fn random_bytes(len: usize, salt: u64) -> Vec<u8> {
    let mut random = Random(salt);
    (0..len).map(|_| random.below(256) as u8).collect()
}

fn container(path: &Path, base: Option<&Source>, keep_chains: bool) -> Container {
    let create = ContainerCreateOptions {
        keep_chains,
        id: Some([7; 16]),
        handle: ContainerOptions { base: base.cloned(), ..ContainerOptions::default() },
        ..ContainerCreateOptions::default()
    };
    let options = ProjectionOptions::new();
    Container::create(path, ProjectionType::Linear, &options, &create, &mut Operation::sequential()).unwrap()
}

/// An outline of `data`, with the base that it reads.
struct Outline {
    _dir: tempfile::TempDir,
    path: std::path::PathBuf,
    container: Container,
    base: Base,
    data: Vec<u8>,
}

impl Outline {
    fn new(data: Vec<u8>, keep_chains: bool) -> Outline {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("o.atlas");
        let base = Base::new(&data);
        let source = base.source(data.len());
        let container = container(&path, Some(&source), keep_chains);
        container.import(&source, &CommitOptions::default(), &mut Operation::sequential()).unwrap();
        Outline { _dir: dir, path, container, base, data }
    }

    fn projection(&self) -> AtlasProjection {
        self.container.snapshot(0, false, &mut Operation::sequential()).unwrap()
    }
}

/// Returns offset, length and kind of each range, and the result of the call.
fn found(projection: &AtlasProjection, regions: Option<&[AtlasBoundaryRegion]>) -> (Vec<Damage>, Result<()>) {
    let mut list = Vec::new();
    let mut each = |damage: &Damage| {
        list.push(*damage);
        true
    };
    let status = projection.find_damage(regions, &mut each, &mut Operation::new().with_pool(&POOL));
    (list, status)
}

fn ranges(list: &[Damage]) -> Vec<(u64, u64, DamageKind)> {
    assert!(list.windows(2).all(|pair| pair[0].offset + pair[0].length <= pair[1].offset), "{list:?}");
    list.iter().map(|damage| (damage.offset, damage.length, damage.kind)).collect()
}

/// Returns the units of a domain of full tiles: groups if chaining values are stored, else tiles.
fn units(len: usize, chains: bool) -> Vec<Range<usize>> {
    let step = if chains { GROUP_SIZE } else { TILE_SIZE };
    (0..len.div_ceil(step)).map(|unit| unit * step..((unit + 1) * step).min(len)).collect()
}

/// Expected findings: units with the kind of their damage, of the tiles that regions touch.
fn model(
    len: usize,
    chains: bool,
    regions: Option<&[AtlasBoundaryRegion]>,
    kind: impl Fn(&Range<usize>) -> Option<DamageKind>,
) -> Vec<(u64, u64, DamageKind)> {
    let mut list: Vec<(u64, u64, DamageKind)> = Vec::new();
    for unit in units(len, chains) {
        let tile = unit.start / TILE_SIZE * TILE_SIZE..(unit.start / TILE_SIZE + 1) * TILE_SIZE;
        let touched = regions.is_none_or(|regions| {
            regions.iter().any(|region| {
                region.length > 0 && (region.offset as usize) < tile.end && tile.start < region.end() as usize
            })
        });
        let Some(kind) = kind(&unit).filter(|_| touched) else { continue };
        match list.last_mut() {
            Some(last) if last.0 + last.1 == unit.start as u64 && last.2 == kind => {
                last.1 += unit.len() as u64
            }
            _ => list.push((unit.start as u64, unit.len() as u64, kind)),
        }
    }
    list
}

fn differs(damaged: &BTreeSet<usize>) -> impl Fn(&Range<usize>) -> Option<DamageKind> + '_ {
    |unit| damaged.range(unit.clone()).next().map(|_| DamageKind::Differs)
}
