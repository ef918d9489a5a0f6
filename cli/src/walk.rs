//! The files to work on: those that the user named, and those in folders that the user named.

use crate::args;
use crate::context::Ctx;
use crate::names;
use crate::status::{Failure, Res};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Treatment of outlines and parity files in the folders that `walk` lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Seals {
    /// Outlines and parity files are taken like other files.
    Keep,
    /// Outlines, parity files, and leftovers of this program are left out.
    LeaveOut,
    /// Only outlines and parity files are taken.
    Only,
}

impl Seals {
    fn takes(self, name: &Path) -> bool {
        match self {
            Seals::Keep => true,
            Seals::LeaveOut => !args::is_seal(name) && !is_leftover(name),
            Seals::Only => args::is_seal(name),
        }
    }
}

/// Returns true for a leftover of this program: the damaged file that a repair keeps beside the repaired file,
/// or a temporary file.
fn is_leftover(name: &Path) -> bool {
    let is_kept = names::without_suffix(name, names::DAMAGED).is_some_and(|file| fs::metadata(file).is_ok());
    let last = names::last(name).as_encoded_bytes();
    is_kept || last.starts_with(b".atlas-") && last.ends_with(b".tmp")
}

/// Returns the files to verify, repair or update: the named files and, with `recursive`, the files in named
/// folders that have seals. A seal is left out if its file is taken too, as with a pattern such as `*`.
pub(crate) fn sealed(
    ctx: &Ctx,
    named: &[PathBuf],
    recursive: bool,
    outline: Option<&Path>,
    parity: Option<&Path>,
) -> Res<Vec<PathBuf>> {
    let mut files = walk(ctx, named, recursive, Seals::LeaveOut)?;
    let all: BTreeSet<PathBuf> = files.iter().cloned().collect();
    let stem = |file: &Path| {
        [names::ATLAS, names::PARITY].iter().find_map(|suffix| names::without_suffix(file, suffix))
    };
    files.retain(|file| stem(file).is_none_or(|stem| !all.contains(&stem)));
    files.retain(|file| {
        // A file that was named itself is always taken.
        let Some(below) = below(named, file) else { return true };
        [(outline, names::ATLAS), (parity, names::PARITY)].iter().any(|(given, suffix)| {
            let elsewhere = names::seal_of(*given, Some(below), file, suffix);
            fs::metadata(elsewhere.unwrap_or_else(|| names::with_suffix(file, suffix))).is_ok()
        })
    });
    Ok(files)
}

/// Returns the files that `paths` name and, with `recursive`, the regular files in the folders that they name. Named
/// files keep their order, and the content of a folder is sorted by name. Links inside folders are not followed. A
/// folder that cannot be listed, or that is named without `recursive`, is reported as a failure, and the walk
/// continues.
pub(crate) fn walk(ctx: &Ctx, paths: &[PathBuf], recursive: bool, seals: Seals) -> Res<Vec<PathBuf>> {
    let mut files = Vec::new();
    for path in paths {
        let is_folder = !names::is_dash(path) && fs::metadata(path).is_ok_and(|metadata| metadata.is_dir());
        if !is_folder {
            files.push(path.clone());
        } else if recursive {
            folder(ctx, path, seals, &mut files)?;
        } else {
            let failure = Failure::usage(format!("{} is a folder", names::shown(path)))
                .with_hint("give -r to take the files in it");
            ctx.fail(Some(path), &failure)?;
        }
    }
    Ok(files)
}

/// Returns the name of `file` below the folder of `named` in which it was found. `None` if the user named the
/// file itself.
pub(crate) fn below<'f>(named: &[PathBuf], file: &'f Path) -> Option<&'f Path> {
    if named.iter().any(|named| named == file) {
        return None;
    }
    // `walk` leaves out the prefix of the current folder.
    let here = named.iter().any(|named| named == Path::new(".")).then_some(file);
    named.iter().find_map(|named| file.strip_prefix(named).ok()).or(here)
}

fn folder(ctx: &Ctx, path: &Path, seals: Seals, files: &mut Vec<PathBuf>) -> Res<()> {
    let listed = fs::read_dir(path).and_then(Iterator::collect::<std::io::Result<Vec<_>>>);
    let mut entries = match listed {
        Ok(entries) => entries,
        Err(error) => return ctx.fail(Some(path), &Failure::io("listing", path, &error)),
    };
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        if ctx.is_stopped() {
            break;
        }
        // In the current folder the name has no prefix, as in shells.
        let name = if path == Path::new(".") { entry.file_name().into() } else { entry.path() };
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => folder(ctx, &name, seals, files)?,
            Ok(kind) if kind.is_file() && seals.takes(&name) => files.push(name),
            Ok(_) => {}
            Err(error) => ctx.fail(Some(&name), &Failure::io("looking at", &name, &error))?,
        }
    }
    Ok(())
}
