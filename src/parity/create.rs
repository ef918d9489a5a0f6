//! Creation of a parity file.

#![forbid(unsafe_code)]

use super::call::Call;
use super::code::Code;
use super::columns::{Columns, Encoding, Made};
use super::format::{Head, Seals, Short, short};
use super::geometry::Geometry;
use super::options::ParityOptions;
use super::write::{Table, begin, random_id, refuse_existing, write_blocks};
use crate::base::atomic_file::AtomicFile;
use crate::base::buffer::{Buffer, is_zero, try_grow};
use crate::base::error::Result;
use crate::base::units::{to_u64, to_usize};
use crate::exec::operation::Operation;
use crate::hash::digest::{Digest, Digests};
use crate::hash::scattered::{ScatteredRoot, add_parts};
use crate::projection::{AtlasProjection, ProjectionOptions, ProjectionType};
use crate::source::{DataMap, Source};
use std::ops::Range;
use std::path::Path;

/// Writes the parity file of `source` to `path`. `make` creates the temporary file that gets this name at the
/// end.
pub(super) fn create(
    source: &Source,
    path: &Path,
    options: &ParityOptions,
    operation: &mut Operation<'_>,
    make: impl FnOnce(&Path) -> Result<AtomicFile>,
) -> Result<()> {
    // An existing parity file is not replaced, because a new file would accept damaged bytes as correct.
    refuse_existing(path)?;
    let geometry = Geometry::choose(source.size(), &options.wanted)?;
    let key = options.key.as_deref();
    let id = options.id.map_or_else(random_id, Ok)?;
    // The file and the table exist before any byte is read.
    let (digests, seals) = (Digests::new(key), Seals::new(key));
    let mut table = Table::new(&geometry)?;
    let file = begin(make(path)?, &geometry)?;
    let code = if geometry.size > 0 { Some(Code::new(&geometry)?) } else { None };
    // The totals of progress are set once the plan exists.
    let mut call = Call::new(operation, 0, 0);
    let mut root = if options.store_root { Some(ScatteredRoot::new(geometry.size)?) } else { None };
    // An empty source has no units to encode.
    if let Some(code) = &code {
        // All units of zeros share a digest, so that holes need no hashing.
        let zeros = short(&digests.tile(&Buffer::zeros(geometry.unit_len())?));
        let rooted = root.is_some();
        let io = Fresh {
            source,
            data: source.data_map(),
            geometry: &geometry,
            digests: &digests,
            file: &file,
            zeros,
            rooted,
        };
        let rows = 0..geometry.rows;
        // The encoding covers all rows and columns, so that each byte of the source is read once.
        let encoding = Encoding {
            code,
            geometry: &geometry,
            rows: std::slice::from_ref(&rows),
            columns: 0..geometry.columns,
            near: source.is_near(),
            io: &io,
        };
        let mut fixed = Table::footprint(&geometry) + Code::footprint(&geometry);
        // Nodes of tiles that lie in several columns wait until their tile is complete.
        if rooted {
            fixed = fixed.saturating_add(ScatteredRoot::footprint(geometry.size, geometry.columns));
        }
        // Plan within the memory limit, then read and encode every byte once.
        let plan = encoding.plan(fixed, &call)?;
        call.expect(encoding.bytes(), plan.tasks());
        encoding.run(&plan, &mut call, |made| {
            // Results arrive in the order of the tasks, on this thread.
            made.digests.into_iter().for_each(|(unit, digest)| table.set(unit, digest));
            if let Some(root) = &mut root {
                made.parts.into_iter().for_each(|part| root.add(&digests, part));
            }
            Ok(())
        })?;
    }
    // The blocks of digests come last, and then the name of the file.
    let root = root.map_or(Ok(Digest::default()), |root| root.root(&digests))?;
    call.finish()?;
    let head = Head { geometry, keyed: digests.keyed(), id, root };
    write_blocks(&file, &head, &seals, &table)?;
    file.persist_new().map_err(|failed| failed.1)
}

/// Returns the root of a new LINEAR projection of `source` with the key `key`.
pub(super) fn linear_root(
    source: &Source,
    key: Option<&[u8; 32]>,
    operation: &mut Operation<'_>,
) -> Result<Digest> {
    // The root equals the root of a projection of the same bytes with the same key.
    let mut options = ProjectionOptions::new();
    if let Some(key) = key {
        options = options.with_key(key);
    }
    AtlasProjection::create(ProjectionType::Linear, source, &options, operation)?.root(operation)
}

/// Source of a new parity file. Its units are read and digested while they are encoded.
struct Fresh<'a> {
    source: &'a Source,
    /// Ranges of the source outside of its holes. `None` if no hole is known.
    data: Option<DataMap>,
    geometry: &'a Geometry,
    digests: &'a Digests,
    file: &'a AtomicFile,
    /// Digest of a unit of zeros.
    zeros: Short,
    /// True if the LINEAR root of the source is requested, which is computed from the bytes as they are read.
    rooted: bool,
}

impl Columns for Fresh<'_> {
    fn load<'b>(
        &'b self,
        units: Range<u64>,
        buffer: &'b mut [u8],
        made: &mut Made,
    ) -> Result<Option<&'b [u8]>> {
        // Bytes in memory are used in place; the end of the last unit is padded with zeros.
        let offset = self.geometry.unit_offset(units.start);
        let len = to_usize((self.geometry.size - offset).min(to_u64(buffer.len())));
        // A hole adds nothing to the parity and is not read.
        let is_hole = self.data.as_ref().is_some_and(|data| data.is_hole(offset, to_u64(len)));
        if is_hole && !self.rooted {
            try_grow(&mut made.digests, to_usize(units.end - units.start))?;
            made.digests.extend(units.map(|unit| (unit, self.zeros)));
            return Ok(None);
        }
        let bytes = match self.source.slice(offset, buffer.len()) {
            Some(bytes) => bytes,
            // The root needs the zeros of the hole, which are made instead of read.
            None if is_hole => {
                buffer.fill(0);
                &*buffer
            }
            None => {
                self.source.read(offset, &mut buffer[..len])?;
                buffer[len..].fill(0);
                &*buffer
            }
        };
        // The root is computed in the same pass.
        if self.rooted {
            add_parts(self.digests, self.geometry.size, offset, &bytes[..len], &mut made.parts)?;
        }
        // Bytes that are all zero add nothing to the parity either.
        Ok(digest_units(self.digests, &self.zeros, self.geometry, units, bytes, made)?.then_some(bytes))
    }

    fn store(&self, units: Range<u64>, bytes: &mut [u8], made: &mut Made) -> Result<()> {
        store(self.digests, &self.zeros, self.geometry, self.file, units, bytes, made)
    }
}

/// Writes the bytes of the parity units `units` to `file` and adds their digests to `made`. Zeros stay holes.
pub(super) fn store(
    digests: &Digests,
    zeros: &Short,
    geometry: &Geometry,
    file: &AtomicFile,
    units: Range<u64>,
    bytes: &[u8],
    made: &mut Made,
) -> Result<()> {
    let offset = geometry.unit_offset(units.start);
    // Parity units of zeros stay a hole of the new file.
    if digest_units(digests, zeros, geometry, units, bytes, made)? {
        file.write_sparse_at(offset, bytes)?;
    }
    Ok(())
}

/// Adds the digests of `units`, which have the contents `bytes`, to `made`. Returns false if all of `bytes` are
/// zeros.
fn digest_units(
    digests: &Digests,
    zeros: &Short,
    geometry: &Geometry,
    units: Range<u64>,
    bytes: &[u8],
    made: &mut Made,
) -> Result<bool> {
    try_grow(&mut made.digests, to_usize(units.end - units.start))?;
    let mut any = false;
    // Units of zeros have a digest that is computed once.
    for (unit, bytes) in units.zip(bytes.chunks(geometry.unit_len())) {
        let is_zero = is_zero(bytes);
        made.digests.push((unit, if is_zero { *zeros } else { short(&digests.tile(bytes)) }));
        // The comparison with zeros is much cheaper than a digest.
        any |= !is_zero;
    }
    Ok(any)
}
