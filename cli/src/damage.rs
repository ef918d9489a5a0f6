//! The search for bytes of a file that differ from the bytes of which its outline was made.

use crate::context::Ctx;
use crate::names;
use crate::objects;
use crate::status::{Failure, Res, Status};
use crate::units;
use atlas_manifold::{
    AtlasBoundaryRegion, AtlasProjection, Container, ContainerMode, ContainerOptions, Damage, DamageKind,
    DamagePart, ErrorKind, ProjectionType, StreamingConfig, stream_projection,
};
use serde_json::{Value, json};
use std::ffi::OsString;
use std::fs;
use std::ops::Range;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// A range of a file whose bytes are bad: they differ from the sealed bytes, are missing, cannot be read, or
/// cannot be verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bad {
    pub(crate) kind: DamageKind,
    pub(crate) offset: u64,
    pub(crate) length: u64,
    /// Error number (errno) of the read that failed, or 0.
    pub(crate) os_error: i32,
}

impl From<&Damage> for Bad {
    fn from(damage: &Damage) -> Bad {
        let Damage { kind, offset, length, os_error, .. } = *damage;
        Bad { kind, offset, length, os_error }
    }
}

impl Bad {
    pub(crate) fn end(&self) -> u64 {
        self.offset + self.length
    }

    /// Returns the word for the kind of damage in the output.
    pub(crate) fn word(&self) -> &'static str {
        match self.kind {
            DamageKind::Differs => "differs",
            DamageKind::Unreadable => "unreadable",
            DamageKind::Missing => "missing",
            _ => "unknown",
        }
    }

    pub(crate) fn json(&self) -> Value {
        let mut object = json!({ "kind": self.word(), "offset": self.offset, "length": self.length });
        if self.os_error != 0 {
            object["os_error"] = self.os_error.into();
        }
        object
    }

    /// Parses the JSON object that `json` returns. `None` if it is malformed.
    pub(crate) fn from_json(value: &Value) -> Option<Bad> {
        let number = |key: &str| value.get(key).and_then(Value::as_u64);
        let kind = match value.get("kind")?.as_str()? {
            "differs" => DamageKind::Differs,
            "unreadable" => DamageKind::Unreadable,
            "missing" => DamageKind::Missing,
            _ => DamageKind::Unknown,
        };
        let (offset, length) = (number("offset")?, number("length")?);
        offset.checked_add(length)?;
        let os_error = value.get("os_error").map_or(Some(0), Value::as_i64)?;
        Some(Bad { kind, offset, length, os_error: i32::try_from(os_error).ok()? })
    }

    /// Returns a line for people: the range, its size, and `word`.
    pub(crate) fn line_as(&self, word: &str) -> String {
        format!("  {}..{}  {}, {word}", self.offset, self.end(), units::human(self.length))
    }

    /// Returns a line for people: the range, its size, the kind of damage, and the system's error if a read
    /// failed.
    pub(crate) fn line(&self) -> String {
        let reason = match self.os_error {
            0 => String::new(),
            code => format!(" ({})", std::io::Error::from_raw_os_error(code)),
        };
        format!("{}{reason}", self.line_as(self.word()))
    }
}

/// An open outline, and the file that is verified against it.
pub(crate) struct Outline {
    pub(crate) path: PathBuf,
    /// True if the outline was chosen only because it was made of as many bytes as the file has.
    pub(crate) is_guess: bool,
    /// Name of the file when it was sealed, from the note of the oldest generation. `None` if the note does not
    /// have it.
    pub(crate) made_of: Option<PathBuf>,
    pub(crate) container: Container,
    pub(crate) generation: u64,
    pub(crate) root: [u8; 32],
    /// Number of bytes of the newest generation: the size of the file, or of the range, at the last sealing or update.
    pub(crate) size: u64,
    /// Time at which the last sealing or update began, in nanoseconds since 1970. 0 means unknown.
    pub(crate) time: i64,
    /// True if the outline has a digest for each part of 16 KiB, and not only for each tile.
    pub(crate) keeps_chains: bool,
    /// The range of the file that the outline covers. `None` means the whole file.
    pub(crate) range: Option<Range<u64>>,
    /// The only part of the file that is searched. `None` means the whole file.
    pub(crate) part: Option<Range<u64>>,
}

impl Outline {
    /// Returns true if `file` was written to after it was sealed. A difference may then be a deliberate change,
    /// because damage by a disk does not change the time of the file.
    pub(crate) fn is_older(&self, file: &Path) -> bool {
        let written = fs::metadata(file)
            .map(|metadata| metadata.mtime().checked_mul(1_000_000_000)?.checked_add(metadata.mtime_nsec()));
        self.time != 0 && written.is_ok_and(|written| written.is_some_and(|written| written > self.time))
    }

    /// Returns a sentence for people if the file of which the outline was made had another name than `file`.
    pub(crate) fn other_name(&self, file: &Path) -> Option<String> {
        let name = self.made_of.as_deref().filter(|name| name.as_os_str() != names::last(file))?;
        Some(format!("{} was made of a file that is called {}", names::shown(&self.path), names::shown(name)))
    }
}

/// Search for an outline if the user names none and FILE.atlas does not exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Guess {
    /// Takes the only outline in the folder whose own file does not exist, if it was made of as many bytes as
    /// this file has.
    BySize,
    /// No search, because a command that writes must never take the outline of another file.
    Never,
}

/// Beginning of the note of an outline's first generation. The name of the file follows.
const SEAL_OF: &[u8] = b"seal of ";

/// Beginning of the note of an outline that covers only a range of a file. The range follows.
pub(crate) const RANGE_OF: &[u8] = b"range of ";

/// Returns the note of a new outline of `file`: the name of the file after `SEAL_OF`. Empty if the name is too
/// long for a note.
pub(crate) fn note_of(file: &Path) -> Vec<u8> {
    let name = names::last(file).as_bytes();
    if name.len() > 1_000 { Vec::new() } else { [SEAL_OF, name].concat() }
}

/// Outline and parity file of a file that does not exist.
pub(crate) struct Missing {
    pub(crate) outline: Option<PathBuf>,
    pub(crate) parity: Option<PathBuf>,
    /// Size of the file when it was sealed, from the outline. `None` if there is no outline or it does not
    /// open.
    pub(crate) size: Option<u64>,
}

/// Returns the outline and the parity file of the file `stem`, which does not exist. `None` if it has no seal,
/// or if the only seal is a container or the outline of a range, for which no file needs to exist.
pub(crate) fn missing(ctx: &Ctx, stem: &Path) -> Res<Option<Missing>> {
    let seal = |suffix| {
        let path = names::with_suffix(stem, suffix);
        fs::metadata(&path).is_ok().then_some(path)
    };
    let (outline, parity) = (seal(names::ATLAS), seal(names::PARITY));
    let is_kind = |path: &PathBuf, kind| objects::kind_of(path).is_ok_and(|found| found == kind);
    let parity = parity.filter(|path| is_kind(path, objects::Kind::Parity));
    let outline = outline.filter(|path| is_kind(path, objects::Kind::Container));
    let mut size = None;
    if let Some(path) = &outline {
        match objects::open_container(ctx, path, ContainerMode::Read, None, ContainerOptions::default()) {
            Ok(opened) => {
                let newest = opened.container.generation(0)?;
                let first = opened.container.note(opened.info.oldest)?;
                // An empty file has an outline without a base.
                let is_outline = opened.is_outline() || newest.domain_size == 0 && first.starts_with(SEAL_OF);
                if parity.is_none() && (!is_outline || first.starts_with(RANGE_OF)) {
                    return Ok(None);
                }
                size = Some(newest.domain_size);
            }
            Err(failure) if failure.status == Status::Cancelled => return Err(failure),
            // A container that does not open counts as a damaged outline.
            Err(_) => {}
        }
    }
    Ok((outline.is_some() || parity.is_some()).then_some(Missing { outline, parity, size }))
}

/// Result of a search for damage in a file.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    /// Bad ranges, ascending. Adjacent ranges of one kind are merged.
    pub(crate) bad: Vec<Bad>,
    /// Number of bytes of the file after the sealed bytes.
    pub(crate) surplus: u64,
    /// Number of damaged records of the outline itself.
    pub(crate) bad_records: u64,
}

impl Findings {
    pub(crate) fn bytes(&self) -> u64 {
        self.bad.iter().map(|bad| bad.length).sum()
    }

    /// Adds a bad range that lies after all earlier ranges. An adjacent range of the same kind is extended.
    fn push(&mut self, bad: Bad) {
        if bad.length == 0 {
            return;
        }
        if let Some(last) = self.bad.last_mut()
            && (last.kind, last.os_error, last.end()) == (bad.kind, bad.os_error, bad.offset)
        {
            last.length += bad.length;
            return;
        }
        self.bad.push(bad);
    }
}

/// Opens the outline of `file`: `given`, or else FILE.atlas, or else the outline that `guess` finds. `None` if
/// there is none.
pub(crate) fn find_outline(
    ctx: &Ctx,
    file: &Path,
    given: Option<&Path>,
    guess: Guess,
) -> Res<Option<Outline>> {
    let beside = given.map_or_else(|| names::with_suffix(file, names::ATLAS), Path::to_owned);
    if given.is_some() || fs::metadata(&beside).is_ok() {
        return match open_outline(ctx, &beside, file, false, None) {
            Err(failure) if is_damaged(&beside, &failure) => {
                let cause = failure.cause;
                Err(Failure { cause, ..outline_damaged(file, &beside, &failure.message) })
            }
            other => other.map(Some),
        };
    }
    if guess == Guess::Never {
        return Ok(None);
    }
    let size = objects::size_of(file)?;
    let mut found: Option<Outline> = None;
    for candidate in outlines_in(names::folder(file)) {
        // An outline that does not open, or has another key, belongs to another file.
        let Ok(outline) = open_outline(ctx, &candidate, file, true, None) else { continue };
        if outline.size != size {
            continue;
        }
        if let Some(other) = &found {
            return Err(Failure::usage(format!(
                "{} does not exist, and both {} and {} are outlines of a file of {size} bytes",
                names::shown(&beside),
                names::shown(&other.path),
                names::shown(&candidate)
            ))
            .with_hint("name the outline to use with --outline PATH"));
        }
        found = Some(outline);
    }
    Ok(found)
}

/// Returns true if a failure to open the container `path` suggests that the container is damaged. A wrong key
/// causes some of these failures too.
pub(crate) fn is_damaged(path: &Path, failure: &Failure) -> bool {
    let is_ours = || objects::kind_of(path).is_ok_and(|kind| kind == objects::Kind::Container);
    let is_unsupported = failure.cause.is_some_and(|cause| cause.kind == ErrorKind::Unsupported);
    matches!(failure.status, Status::Differs | Status::Foreign) && !is_unsupported && is_ours()
}

/// Returns true if a container did not open because the digest of its header is wrong: the header is damaged, or the key
/// is wrong.
pub(crate) fn may_have_another_key(failure: &Failure) -> bool {
    // The header is at the offset 0, and no other records are.
    failure.cause.is_some_and(|cause| cause.kind == ErrorKind::Witness && cause.offset == Some(0))
}

/// Returns the failure for an outline that is itself damaged. `why` is the reason for people.
pub(crate) fn outline_damaged(file: &Path, outline: &Path, why: &str) -> Failure {
    let name = names::quoted(file);
    Failure::new(
        Status::Differs,
        format!(
            "{} is itself damaged, so that {} cannot be verified: {why}",
            names::shown(outline),
            names::shown(file)
        ),
    )
    .with_hint(format!(
        "atlasm repair {name} makes the outline anew if its root or a parity file proves the bytes of the \
         file; else remove the outline, and seal the file anew once you are sure of the file"
    ))
}

/// Returns true if the bytes of the whole `file` have the root of the outline. Then the file is intact, even if
/// the outline has lost digests.
pub(crate) fn has_root(ctx: &Ctx, file: &Path, outline: &Outline) -> Res<bool> {
    if objects::size_of(file)? != outline.size {
        return Ok(false);
    }
    let (source, options) = (ctx.source(file)?, ctx.projection_options());
    let root = ctx.operate(file, outline.size, |operation| {
        let config = StreamingConfig::default();
        stream_projection(&source, ProjectionType::Linear, &options, config, operation)?.root(operation)
    })?;
    Ok(root == outline.root)
}

fn outlines_in(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut paths: Vec<PathBuf> = entries
        .flatten()
        .map(|entry| if folder == Path::new(".") { entry.file_name().into() } else { entry.path() })
        .filter(|path: &PathBuf| names::without_suffix(path, names::ATLAS).is_some())
        // An outline whose own file exists is no candidate.
        .filter(|path| {
            names::without_suffix(path, names::ATLAS).is_some_and(|file| fs::metadata(file).is_err())
        })
        .collect();
    paths.sort();
    paths
}

/// Opens the outline `path` and attaches `file`, or only the `range` of the file that the outline covers.
pub(crate) fn open_outline(
    ctx: &Ctx,
    path: &Path,
    file: &Path,
    is_guess: bool,
    range: Option<Range<u64>>,
) -> Res<Outline> {
    let options = ContainerOptions::default();
    let whole = if range.is_none() { Some(file) } else { None };
    let opened = objects::open_container(ctx, path, ContainerMode::Read, whole, options)?;
    if let Some(range) = &range {
        let base = ctx.source(file)?.range(range.start, range.end - range.start)?;
        opened.container.set_base(Some(&base))?;
    }
    let newest = opened.container.generation(0)?;
    if opened.info.base_size == 0 && newest.domain_size > 0 {
        return Err(Failure::usage(format!(
            "{} is a container that has its bytes inside, not an outline",
            names::shown(path)
        ))
        .with_hint("atlasm unpack writes them to a file"));
    }
    let first = opened.container.note(opened.info.oldest)?;
    let made_of = first.strip_prefix(SEAL_OF).map(|name| OsString::from_vec(name.to_vec()).into());
    Ok(Outline {
        path: path.to_owned(),
        is_guess,
        made_of,
        generation: newest.generation,
        root: newest.root,
        size: newest.domain_size,
        time: newest.time,
        keeps_chains: opened.info.keeps_chains,
        range,
        part: None,
        container: opened.container,
    })
}

/// Returns the sealed bytes as a projection that reads them from the file. Every read of it is verified.
pub(crate) fn snapshot(ctx: &Ctx, outline: &Outline) -> Res<AtlasProjection> {
    ctx.operate(&outline.path, 0, |operation| outline.container.snapshot(outline.generation, true, operation))
}

/// Finds the bad ranges of `file` by its outline: all of them, or those that overlap `outline.part`.
pub(crate) fn find(ctx: &Ctx, file: &Path, outline: &Outline) -> Res<Findings> {
    let mut findings = Findings { surplus: surplus(file, outline)?, ..Findings::default() };
    let projection = match snapshot(ctx, outline) {
        Err(failure) if is_damaged(&outline.path, &failure) => return Ok(unproved(outline, findings)),
        projection => projection?,
    };
    let part = outline.part.as_ref().map(|part| AtlasBoundaryRegion::new(part.start, part.end - part.start));
    search(ctx, file, outline, &projection, part, &mut findings)?;
    // The search examines whole tiles or groups, so that ranges outside of the part are dropped.
    if let Some(part) = &outline.part {
        findings.bad.retain(|bad| bad.offset < part.end && part.start < bad.end());
    }
    Ok(findings)
}

/// Returns the findings for an outline that has lost its digests: all bytes of the file are unknown.
fn unproved(outline: &Outline, mut findings: Findings) -> Findings {
    let first = outline.range.as_ref().map_or(0, |range| range.start);
    findings.push(Bad { kind: DamageKind::Unknown, offset: first, length: outline.size, os_error: 0 });
    findings.bad_records = 1;
    findings
}

/// Searches `file` for bad ranges from the offset `from` on, `step` bytes at a time, until the end of the file
/// or of `--max-time`. Also returns the offset up to which the file was searched.
pub(crate) fn find_from(
    ctx: &Ctx,
    file: &Path,
    outline: &Outline,
    from: u64,
    step: u64,
) -> Res<(Findings, u64)> {
    let mut findings = Findings { surplus: surplus(file, outline)?, ..Findings::default() };
    let projection = match snapshot(ctx, outline) {
        Err(failure) if is_damaged(&outline.path, &failure) => {
            return Ok((unproved(outline, findings), outline.size));
        }
        projection => projection?,
    };
    let mut at = from;
    while at < outline.size && !ctx.is_late() {
        let length = step.min(outline.size - at);
        let mut found = Findings::default();
        match search(ctx, file, outline, &projection, Some(AtlasBoundaryRegion::new(at, length)), &mut found)
        {
            // The step that the deadline cut off is searched again by the next run.
            Err(failure) if failure.status == Status::Incomplete && ctx.is_late() => break,
            Err(failure) => return Err(failure),
            Ok(()) => {}
        }
        found.bad.into_iter().for_each(|bad| findings.push(bad));
        findings.bad_records += found.bad_records;
        at += length;
    }
    Ok((findings, at))
}

/// Searches the bad ranges of earlier runs again, and returns those that are still bad. Ranges that were not
/// searched before the end of `--max-time` count as bad.
pub(crate) fn find_again(ctx: &Ctx, file: &Path, outline: &Outline, ranges: &[Bad]) -> Res<Vec<Bad>> {
    let projection = snapshot(ctx, outline)?;
    let mut findings = Findings::default();
    for (done, bad) in ranges.iter().enumerate() {
        let end = bad.end().min(outline.size);
        let region = AtlasBoundaryRegion::new(bad.offset, end.saturating_sub(bad.offset));
        let mut found = Findings::default();
        match search(ctx, file, outline, &projection, Some(region), &mut found) {
            Err(failure) if failure.status == Status::Incomplete && ctx.is_late() => {
                ranges[done..].iter().for_each(|bad| findings.push(*bad));
                break;
            }
            Err(failure) => return Err(failure),
            Ok(()) => found.bad.into_iter().for_each(|bad| findings.push(bad)),
        }
    }
    Ok(findings.bad)
}

/// Returns the number of bytes of `file` after the sealed bytes.
fn surplus(file: &Path, outline: &Outline) -> Res<u64> {
    let size = match outline.part.as_ref().or(outline.range.as_ref()) {
        Some(range) => range.end - range.start,
        None => objects::size_of(file)?,
    };
    Ok(size.saturating_sub(outline.size))
}

/// Adds the bad ranges of `region`, or of all sealed bytes, and the damaged records to `findings`. If the outline
/// covers only a range of the file, `region` counts from the start of the range, and `findings` from that of the file.
fn search(
    ctx: &Ctx,
    file: &Path,
    outline: &Outline,
    projection: &AtlasProjection,
    region: Option<AtlasBoundaryRegion>,
    findings: &mut Findings,
) -> Res<()> {
    let first = outline.range.as_ref().map_or(0, |range| range.start);
    let size = objects::size_of(file)?;
    let mut take = |damage: &Damage| {
        if damage.part == DamagePart::Data {
            let mut bad = Bad::from(damage);
            bad.offset += first;
            split_at_end(bad, size).into_iter().for_each(|part| findings.push(part));
        } else {
            findings.bad_records += 1;
        }
        true
    };
    let mut is_unproved = false;
    let length = region.map_or(outline.size, |region| region.length);
    let regions = region.as_ref().map(std::slice::from_ref);
    ctx.operate(file, length, |operation| match projection.find_damage(regions, &mut take, operation) {
        Err(error) if objects::is_damage(error.kind()) => {
            is_unproved = true;
            Ok(())
        }
        other => other,
    })?;
    // The root of the tiles differs from the root in the outline, and no range is known to be bad.
    if is_unproved && findings.bad.is_empty() && findings.bad_records == 0 {
        findings.bad_records = 1;
    }
    Ok(())
}

/// Splits a bad range at the end of the file, which has `size` bytes. The bytes after the end are missing, and
/// those before it become unknown. A range inside the file is not changed.
fn split_at_end(bad: Bad, size: u64) -> Vec<Bad> {
    let cut = size.clamp(bad.offset, bad.end());
    // The bytes before the end of the file exist, but cannot be verified without the missing bytes after it.
    let kind = if cut < bad.end() { DamageKind::Unknown } else { bad.kind };
    let before = Bad { kind, length: cut - bad.offset, ..bad };
    let behind = Bad { kind: DamageKind::Missing, offset: cut, length: bad.end() - cut, os_error: 0 };
    [before, behind].into_iter().filter(|part| part.length > 0).collect()
}
