//! `atlasm seal`: writes the outline and the parity file of a file that stays in its place.

use super::merge::PartRange;
use crate::context::{Ctx, Report};
use crate::damage::{self, Guess};
use crate::names;
use crate::objects;
use crate::output::{self, Staged};
use crate::parity;
use crate::status::{Failure, Res, Status};
use crate::units::{self, RangeText, hex, human};
use crate::walk::{self, Seals};
use atlas_manifold::{
    AtlasParity, CommitOptions, Container, ContainerCreateOptions, ContainerOptions, ParityVerdict,
    ProjectionType, Source,
};
use clap::Args;
use std::fs::{self, File, Metadata};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// Writes FILE.atlas beside each file: its outline, which has a digest for each part of 16 KiB. The file
/// itself is not changed.
///
/// 'atlasm verify FILE' then finds damage, and with --parity 'atlasm repair FILE' repairs it. The outline has
/// 0.2 % of the size of the file, at least 16 KiB. The parity file has the share given by --parity, at least
/// 12 KiB, or 1.6 % of a large file.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  atlasm seal --parity 10% big.iso     up to 10 % of it may be lost then
  atlasm seal -r --parity 5% photos    each file in the folder
  atlasm seal -r --new photos          those that are not sealed yet
  atlasm seal -o /backup big.iso       into another folder")]
pub(crate) struct Options {
    /// Files to seal
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// Writes a parity file too, FILE.atp, of this share of the file, such as 10%
    #[arg(long, value_name = "SHARE", value_parser = units::parse_share)]
    parity: Option<u32>,
    /// Seals the files in folders, each with seals of its own
    #[arg(short, long)]
    recursive: bool,
    /// Existing folder for the seals, or, for a single file, name of the outline. With -r the seals lie in
    /// subfolders like those of the files
    #[arg(short, long, value_name = "OUT")]
    output: Option<PathBuf>,
    /// Replaces existing seals, if the file still verifies against them
    #[arg(short, long)]
    force: bool,
    /// Skips files that have an outline already
    #[arg(long, conflicts_with = "force")]
    new: bool,
    /// Text stored in the outline, at most 1,024 bytes
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,
    /// Seals only this range, for 'atlasm merge'; -o names the outline
    #[arg(long, value_name = "RANGE", allow_hyphen_values = true, requires = "output", conflicts_with_all = ["parity", "recursive"])]
    range: Option<RangeText>,
    /// Stores digests only for whole tiles of 1 MiB: the outline is smaller, and damage is found less exactly
    #[arg(long)]
    coarse: bool,
}

pub(crate) fn run(ctx: &Ctx, options: &Options) -> Res<()> {
    let mut files = walk::walk(ctx, &options.files, options.recursive, Seals::LeaveOut)?;
    if options.new {
        files.retain(|file| fs::symlink_metadata(places(options, file).0).is_err());
    }
    if let Some(output) = options.output.as_deref().filter(|output| !is_folder(output))
        && files.len() > 1
    {
        return Err(Failure::usage(format!(
            "-o {} is not a folder, and must be one for {} to seal",
            names::shown(output),
            units::count(files.len() as u64, "file")
        )));
    }
    ctx.each(&files, |file| seal(ctx, options, file))
}

fn is_folder(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|metadata| metadata.is_dir())
}

/// Returns the present time in nanoseconds since 1970, which a commit stores.
pub(crate) fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(0)
}

/// Returns the properties of a file that change when it is written to: its size and its times.
fn stamp(metadata: &Metadata) -> (u64, i64, i64, i64, i64) {
    (metadata.len(), metadata.mtime(), metadata.mtime_nsec(), metadata.ctime(), metadata.ctime_nsec())
}

fn seal(ctx: &Ctx, options: &Options, file: &Path) -> Res<Report> {
    if names::is_dash(file) {
        return Err(Failure::usage(
            "standard input cannot be sealed, since there is no file to verify later",
        )
        .with_hint("atlasm pack - -o X.atlas stores its bytes"));
    }
    let metadata = |path: &Path| fs::metadata(path).map_err(|error| Failure::io("looking at", path, &error));
    let size = objects::size_of(file)?;
    let before = stamp(&metadata(file)?);
    let (outline_path, parity_path) = places(options, file);
    if let Some(output) = options.output.as_deref().filter(|output| is_folder(output))
        && let Some(folder) = outline_path.parent().filter(|folder| *folder != output)
    {
        fs::create_dir_all(folder).map_err(|error| Failure::io("creating the folder", folder, &error))?;
    }

    // Check for all errors that need no work first.
    let outline = Staged::new(&outline_path, options.force, &[file])?;
    let parity = match options.parity {
        Some(share) => Some((Staged::new(&parity_path, options.force, &[file])?, share)),
        None => None,
    };
    if options.force && options.range.is_none() && output::exists(&outline_path)? {
        refuse_damaged(ctx, file, &outline_path)?;
        warn_of_log(ctx, file, &outline_path);
    }
    let stale = if options.parity.is_none() && options.range.is_none() {
        stale_parity(ctx, options, file, &parity_path)?
    } else {
        None
    };

    let mut source = ctx.source(file)?;
    let mut size = size;
    // The outline keeps the name of the file, even if both are renamed later.
    let given = options.note.as_deref().map(str::as_bytes);
    let mut note = given.map_or_else(|| damage::note_of(file), <[u8]>::to_vec);
    if let Some(range) = &options.range {
        let range = range.resolve(size)?;
        super::merge::check_range(file, &range, size)?;
        // For the outline of a range, the note has the range and the name of the file.
        let text = given.unwrap_or(names::last(file).as_bytes());
        note = PartRange { range: range.clone(), whole: size }.note(text);
        size = range.end - range.start;
        source = source.range(range.start, size)?;
    }
    let root = write_outline(ctx, file, &source, &outline, !options.coarse, note)?;
    if let Some((staged, share)) = &parity {
        let parity_options = ctx.parity_options().with_redundancy(*share);
        ctx.operate(file, size, |operation| {
            AtlasParity::create(&source, staged.path(), &parity_options, operation)
        })?;
    }
    if stamp(&metadata(file)?) != before {
        return Err(Failure::new(
            Status::Differs,
            format!("{} changed while it was sealed", names::shown(file)),
        )
        .with_hint("nothing was written; seal it again when no program writes to it"));
    }

    let mut report = Report::new(Status::Done, "sealed");
    report.put("size", size).put("root", hex(&root));
    let length = |path: &Path| fs::metadata(path).map_or(0, |metadata| metadata.len());
    let mut made = vec![("outline", outline.target().to_owned(), length(outline.path()))];
    let mut staged = vec![outline];
    if let Some((parity, _)) = parity {
        made.push(("parity", parity.target().to_owned(), length(parity.path())));
        staged.push(parity);
    }
    finish_all(staged)?;
    let mut texts = Vec::new();
    for (key, path, length) in &made {
        report.put_path(key, path).put(&format!("{key}_size"), *length);
        texts.push(format!("{} ({})", names::shown(path), human(*length)));
    }
    report.line_of(file, format!("sealed in {}", texts.join(" and ")));
    if let Some(stale) = stale {
        fs::remove_file(stale).map_err(|error| Failure::io("removing", stale, &error))?;
        output::sync_folder(stale)?;
        report.put_path("removed", stale);
        report.line(format!("  {} was made of other bytes, and is removed", names::shown(stale)));
    }
    Ok(report)
}

/// Writes the outline of `source` under a temporary name, and returns its root.
fn write_outline(
    ctx: &Ctx,
    file: &Path,
    source: &Source,
    outline: &Staged,
    keep_chains: bool,
    note: Vec<u8>,
) -> Res<[u8; 32]> {
    let create = ContainerCreateOptions {
        keep_chains,
        handle: ContainerOptions { base: Some(source.clone()), ..ContainerOptions::default() },
        ..ContainerCreateOptions::default()
    };
    let commit = CommitOptions { time: now(), note, ..CommitOptions::default() };
    ctx.operate(file, source.size(), |operation| {
        let projection = ctx.projection_options();
        let path = outline.path();
        let container = Container::create(path, ProjectionType::Linear, &projection, &create, operation)?;
        container.import(source, &commit, operation)?;
        Ok(container.generation(0)?.root)
    })
}

/// Replaces a damaged outline of `file` by a new outline of the bytes of `from`: `file` itself or a copy.
/// Returns false, and keeps the damaged outline, if these bytes do not have the root `known`. `None` allows any root.
pub(crate) fn outline_anew(
    ctx: &Ctx,
    file: &Path,
    from: &Path,
    path: &Path,
    keep_chains: bool,
    known: Option<&[u8; 32]>,
) -> Res<bool> {
    let source = ctx.source(from)?;
    let staged = Staged::new(path, true, &[file, from])?;
    let root = write_outline(ctx, from, &source, &staged, keep_chains, damage::note_of(file))?;
    if known.is_some_and(|known| *known != root) {
        return Ok(false);
    }
    staged.finish()?;
    Ok(true)
}

/// Returns the paths under which sealing writes the outline and the parity file of `file`.
fn places(options: &Options, file: &Path) -> (PathBuf, PathBuf) {
    match &options.output {
        Some(output) if !is_folder(output) => {
            let stem = names::without_suffix(output, names::ATLAS);
            let parity = names::with_suffix(stem.as_deref().unwrap_or(output), names::PARITY);
            (output.clone(), parity)
        }
        Some(folder) => {
            let below = walk::below(&options.files, file);
            let stem = folder.join(below.unwrap_or_else(|| Path::new(names::last(file))));
            (names::with_suffix(&stem, names::ATLAS), names::with_suffix(&stem, names::PARITY))
        }
        None => (names::with_suffix(file, names::ATLAS), names::with_suffix(file, names::PARITY)),
    }
}

/// Returns the parity file `path` if it exists and was made of other bytes than `file` has, so that sealing
/// removes it. Fails in that case without `-f`.
fn stale_parity<'p>(ctx: &Ctx, options: &Options, file: &Path, path: &'p Path) -> Res<Option<&'p Path>> {
    if !output::exists(path)? {
        return Ok(None);
    }
    // A parity file that does not open, or has another key, does not protect this file.
    let fits = parity::check(ctx, file, path, None).map(|checked| {
        let is_same = checked.report.data == ParityVerdict::Intact;
        is_same && objects::size_of(file).is_ok_and(|size| size == checked.info.protected_size)
    });
    match fits {
        Err(failure) if matches!(failure.status, Status::Cancelled | Status::Io | Status::Limit) => {
            Err(failure)
        }
        Ok(true) => Ok(None),
        _ if options.force => Ok(Some(path)),
        _ => {
            let (name, shown) = (names::quoted(file), names::shown(path));
            let text = format!("{shown} exists, and was made of other bytes than {} has", names::shown(file));
            let hint = format!(
                "--parity 10% -f replaces {shown}, -f alone removes it; if {} is damaged, atlasm repair \
                 {name} brings the old bytes back",
                names::shown(file)
            );
            Err(Failure::new(Status::Exists, text).with_hint(hint))
        }
    }
}

/// Fails if a file that is to be sealed again differs from its present outline, because the new outline could then
/// seal damaged bytes.
fn refuse_damaged(ctx: &Ctx, file: &Path, outline: &Path) -> Res<()> {
    let Ok(Some(known)) = damage::find_outline(ctx, file, Some(outline), Guess::Never) else {
        // An outline that does not open cannot show damage.
        return Ok(());
    };
    let findings = damage::find(ctx, file, &known)?;
    // If the outline has lost digests, the root shows if the file is intact.
    if findings.bad_records > 0 {
        return if damage::has_root(ctx, file, &known)? {
            Ok(())
        } else {
            Err(damage::outline_damaged(file, outline, "the file has another root"))
        };
    }
    if findings.bad.is_empty() && findings.surplus == 0 {
        return Ok(());
    }
    let name = names::quoted(file);
    Err(Failure::new(
        Status::Differs,
        format!(
            "{} differs from {} in {}: sealing it again could seal damaged bytes",
            names::shown(file),
            names::shown(outline),
            human(findings.bytes() + findings.surplus)
        ),
    )
    .with_hint(format!(
        "atlasm repair {name} repairs it; if the change was meant, atlasm update {name} brings the seals \
         up to date"
    )))
}

/// Warns that a new outline has neither the log nor the note of the old outline.
fn warn_of_log(ctx: &Ctx, file: &Path, outline: &Path) {
    let Ok(Some(known)) = damage::find_outline(ctx, file, Some(outline), Guess::Never) else { return };
    let note = known.container.note(known.generation).unwrap_or_default();
    let generations = known.container.info().map_or(1, |info| info.generation_count);
    if generations > 1 || !(note.is_empty() || note == damage::note_of(file)) {
        ctx.warn(&format!(
            "the log of {} ({}, with their notes) is dropped; atlasm update keeps it",
            names::shown(outline),
            units::count(generations, "generation")
        ));
    }
}

/// Gives all temporary files their attributes, and then renames them to their targets. If a rename fails, removes the
/// new names. A target that was replaced keeps its new bytes, which are complete, because the old ones are gone.
fn finish_all(staged: Vec<Staged>) -> Res<()> {
    let mut targets: Vec<PathBuf> = Vec::new();
    let mut new: Vec<PathBuf> = Vec::new();
    staged.iter().try_for_each(Staged::prepare)?;
    let rename = || {
        for one in staged {
            let target = one.target().to_owned();
            let is_new = !output::exists(&target)?;
            one.rename()?;
            if is_new {
                new.push(target.clone());
            }
            targets.push(target);
        }
        targets.iter().try_for_each(|target| output::sync_folder(target))
    };
    let renamed = rename();
    if renamed.is_err() {
        new.iter().for_each(|path| drop(fs::remove_file(path)));
    }
    renamed
}

/// Flushes a file to the disk. `path` names it in messages.
pub(crate) fn sync(file: &File, path: &Path) -> Res<()> {
    file.sync_all().map_err(|error| Failure::io("flushing", path, &error))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two outputs. The second name is taken, by `take`, after both were checked.
    fn finish_two(
        is_replaced: bool,
        take: fn(&Path) -> std::io::Result<()>,
    ) -> (Status, Option<Vec<u8>>, usize) {
        let folder = tempfile::tempdir().unwrap();
        let [first, second] = ["first", "second"].map(|name| folder.path().join(name));
        if is_replaced {
            fs::write(&first, "old").unwrap();
        }
        let staged: Vec<Staged> = [(&first, true), (&second, false)]
            .into_iter()
            .map(|(target, force)| {
                let staged = Staged::new(target, force, &[]).unwrap();
                fs::write(staged.path(), "new").unwrap();
                staged
            })
            .collect();
        take(&second).unwrap();
        let status = finish_all(staged).unwrap_err().status;
        (status, fs::read(&first).ok(), fs::read_dir(folder.path()).unwrap().count())
    }

    #[test]
    fn a_failed_rename_removes_the_new_names_alone() {
        for is_replaced in [false, true] {
            let (status, first, names) = finish_two(is_replaced, |second| fs::write(second, "other"));
            assert_eq!(status, Status::Exists);
            assert_eq!(first, is_replaced.then(|| b"new".to_vec()));
            assert_eq!(names, 1 + usize::from(is_replaced), "a temporary file is left");
        }
    }

    #[test]
    fn an_output_that_cannot_be_replaced_leaves_the_others_too() {
        for is_replaced in [false, true] {
            let (status, first, names) = finish_two(is_replaced, |second| fs::create_dir(second));
            assert_eq!(status, Status::Usage);
            assert_eq!(first, is_replaced.then(|| b"old".to_vec()));
            assert_eq!(names, 1 + usize::from(is_replaced), "a temporary file is left");
        }
    }
}
