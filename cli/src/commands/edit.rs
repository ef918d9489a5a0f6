//! Common parts of the commands that change a container.

use super::seal;
use crate::context::{Ctx, Report};
use crate::names;
use crate::objects::{self, Opened};
use crate::spool::Spool;
use crate::status::{Failure, Res, Status};
use crate::units::{RangeText, exact, hex};
use atlas_manifold::{
    AtlasError, AtlasProjection, CommitOptions, ConservationPolicy, ContainerMode, ContainerOptions,
    Operation, ProjectionDelta, Source,
};
use clap::Args;
use std::path::Path;

/// Options of the commands that edit a container.
#[derive(Debug, Args)]
pub(crate) struct Edit {
    /// Prints the root that the new generation would have, and changes nothing
    #[arg(short = 'n', long)]
    dry_run: bool,
    /// Text stored with the generation, at most 1,024 bytes
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,
    /// Compresses newly stored bytes
    #[arg(long, value_name = "HOW")]
    compress: Option<super::pack::Compress>,
}

impl Edit {
    fn commit(&self, default_note: &str, expected: u64) -> CommitOptions {
        let note = self.note.as_deref().unwrap_or(default_note).as_bytes().to_vec();
        CommitOptions { expected, time: seal::now(), note }
    }
}

/// Opens a container to change it, or, for a dry run, to read it.
pub(crate) fn open(ctx: &Ctx, path: &Path, edit: Option<&Edit>) -> Res<Opened> {
    let compression = edit.and_then(|edit| edit.compress).map(super::pack::Compress::config);
    let options = ContainerOptions { compression, ..ContainerOptions::default() };
    let mode = if edit.is_some_and(|edit| edit.dry_run) { ContainerMode::Read } else { ContainerMode::Write };
    objects::open_container(ctx, path, mode, None, options)
}

/// Fails for an outline, which cannot be edited because its bytes lie in another file.
pub(crate) fn refuse_outline(path: &Path, opened: &Opened) -> Res<()> {
    if !opened.is_outline() {
        return Ok(());
    }
    let file = opened.base.clone().or_else(|| names::without_suffix(path, names::ATLAS));
    let shown = file.as_deref().map_or_else(|| "another file".to_owned(), names::shown);
    let name = file.as_deref().map_or_else(|| "FILE".to_owned(), names::quoted);
    Err(Failure::usage(format!(
        "{} is an outline and cannot be edited, because its bytes are in {shown}",
        names::shown(path)
    ))
    .with_hint(format!(
        "change the file with any program; atlasm update {name} then brings its seals up to date"
    )))
}

/// Parses an offset in a domain of `size` bytes: a number of bytes, `end`, or `-N`, which counts from the end.
pub(crate) fn offset(text: &str, size: u64) -> Res<u64> {
    let text = text.trim_start();
    let place = if text == "end" { "-0" } else { text };
    let range: RangeText = format!("{place}+0").parse().map_err(|_| {
        Failure::usage(format!("'{text}' is not an offset such as 4096, 1MiB, -64KiB or end"))
    })?;
    Ok(range.resolve(size)?.start)
}

/// New bytes for a container, from a file or from standard input.
pub(crate) struct NewBytes {
    /// A temporary file with the bytes of standard input, which is removed when it is dropped. `None` if the bytes are
    /// those of a file.
    _spool: Option<Spool>,
    pub(crate) source: Source,
}

impl NewBytes {
    pub(crate) fn open(ctx: &Ctx, file: &Path, container: &Path) -> Res<NewBytes> {
        let spool = if names::is_dash(file) { Some(Spool::stdin(ctx, container)?) } else { None };
        let path = spool.as_ref().map_or(file, Spool::path).to_owned();
        objects::size_of(&path)?;
        Ok(NewBytes { source: ctx.source(&path)?, _spool: spool })
    }
}

/// Applies `change` to the newest generation of a container, and commits the result as a new generation. A dry
/// run commits nothing. `work` is the number of new bytes.
pub(crate) fn apply(
    ctx: &Ctx,
    path: &Path,
    edit: &Edit,
    note: &str,
    work: u64,
    change: impl FnOnce(&AtlasProjection, &Opened, &mut Operation<'_>) -> Result<(), AtlasError>,
) -> Res<Report> {
    let opened = open(ctx, path, Some(edit))?;
    refuse_outline(path, &opened)?;
    let before = opened.container.generation(0)?;
    // A pool is used above one tile (`Ctx::operation`): a large change or a large domain is enough.
    let size = work.max(before.domain_size.min(2 << 20));
    let (root, generation, bytes) = ctx.operate(path, size, |operation| {
        let projection = opened.container.snapshot(0, false, operation)?;
        change(&projection, &opened, operation)?;
        if edit.dry_run {
            return Ok((projection.root(operation)?, 0, projection.info().domain_size));
        }
        let options = edit.commit(note, before.generation);
        let generation = opened.container.commit(&projection, &options, operation)?;
        let made = opened.container.generation(generation)?;
        Ok((made.root, generation, made.domain_size))
    })?;
    Ok(changed(path, edit.dry_run, generation, bytes, &root))
}

/// Returns the report on a new generation, or, for a dry run, on the generation that a commit would make.
pub(crate) fn changed(path: &Path, dry_run: bool, generation: u64, size: u64, root: &[u8; 32]) -> Report {
    let mut report = Report::new(Status::Done, if dry_run { "unchanged" } else { "committed" });
    report.put("dry_run", dry_run).put("size", size).put("root", hex(root));
    if dry_run {
        report.line_of(path, format!("would have {} and the root {}", exact(size), hex(root)));
    } else {
        report.put("generation", generation);
        report.line_of(path, format!("generation {generation}, {}, root {}", exact(size), hex(root)));
    }
    report
}

/// Replaces a range of the projection by the bytes of `new`, which may be more or fewer bytes.
pub(crate) fn splice(
    projection: &AtlasProjection,
    opened: &Opened,
    range: std::ops::Range<u64>,
    new: &NewBytes,
    operation: &mut Operation<'_>,
) -> Result<(), AtlasError> {
    if opened.info.conservation == ConservationPolicy::Strict {
        // The old and the new bytes must have equal sums. Only a single update checks that: a delete and an
        // insert would each be refused.
        let mut bytes = vec![0; usize::try_from(new.source.size()).unwrap_or(usize::MAX)];
        AtlasProjection::linear(&new.source)?.read(0, &mut bytes)?;
        return projection.apply_incremental_update(ProjectionDelta::update(range.start, range.end, bytes));
    }
    if range.start < range.end {
        projection.apply_incremental_update(ProjectionDelta::delete(range.start, range.end))?;
    }
    projection.insert_source(range.start, &new.source, operation)
}
