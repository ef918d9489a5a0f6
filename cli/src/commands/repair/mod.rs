//! `atlasm repair`: repairs damaged files from their parity or from copies.

mod from_copies;
mod from_parity;

use super::verify;
use crate::context::{Colour, Ctx, Report};
use crate::damage::{self, Findings, Guess, Outline};
use crate::names;
use crate::objects;
use crate::output::{self, Staged};
use crate::parity;
use crate::status::{Failure, Res, Status};
use crate::units::{count, human};
use crate::walk;
use atlas_manifold::ParityVerdict;
use clap::Args;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Names of the options of which each names a copy.
const COPIES: [&str; 3] = ["from", "from_url", "from_command"];

/// Repairs files: from their parity file, or from copies.
///
/// From parity, the repaired file is written beside the damaged file and takes its name; the damaged file is
/// kept as FILE.damaged. With --from, only the bad bytes are taken from the copy, each range is verified
/// against the outline before it is written, and the file is repaired in place. The copy itself may be
/// damaged in other places.
///
/// Bytes that were changed on purpose look like damage, and a repair restores the old bytes.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  atlasm repair big.iso                        from big.iso.atp
  atlasm repair -n big.iso                     says what would be done
  atlasm repair --from /backup/big.iso big.iso only what is bad is read from the copy
  atlasm repair --from-url https://mirror/big.iso big.iso
  atlasm repair --from-command 'ssh host dd if=big.iso iflag=skip_bytes,count_bytes \\
      skip={first} count=$(({last}-{first}+1)) status=none' big.iso")]
pub(crate) struct Options {
    /// Files to repair
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// A copy of the file, a container with its bytes, or shards of the file; may be given several times
    #[arg(long, value_name = "COPY|SHARD")]
    from: Vec<PathBuf>,
    /// Address of the file on a web server that returns ranges (read with curl)
    #[arg(long, value_name = "URL")]
    from_url: Vec<String>,
    /// A command that prints the bytes {first} to {last}, both counted from 0
    #[arg(long, value_name = "COMMAND")]
    from_command: Vec<String>,
    /// Time without a byte after which a server or command counts as failed; 60s by default
    #[arg(long, value_name = "TIME", value_parser = crate::units::parse_duration)]
    patience: Option<std::time::Duration>,
    /// The outline, or a folder of outlines; FILE.atlas by default. Other outlines are never guessed
    #[arg(long, value_name = "PATH")]
    outline: Option<PathBuf>,
    /// The parity file, or a folder of parity files
    #[arg(long, value_name = "PATH", conflicts_with_all = COPIES)]
    parity: Option<PathBuf>,
    /// The root that the repaired file must have
    #[arg(long, value_name = "ROOT", value_parser = crate::args::parse_root)]
    root: Option<[u8; 32]>,
    /// Writes the repaired file to OUT, and does not change the damaged file (only without --from)
    #[arg(short, long, value_name = "OUT", conflicts_with_all = ["from", "from_url", "from_command", "discard"])]
    output: Option<PathBuf>,
    /// Replaces FILE.damaged, or OUT, if it exists
    #[arg(short, long)]
    force: bool,
    /// Lists the repairs, and writes nothing
    #[arg(short = 'n', long)]
    dry_run: bool,
    /// Keeps no FILE.damaged; with --from also cuts off bytes after the sealed end
    #[arg(long)]
    discard: bool,
    /// Draws a picture of the parts that were repaired
    #[arg(long)]
    map: bool,
    /// Repairs the files in folders that have seals
    #[arg(short, long)]
    recursive: bool,
    /// Repairs as much as possible if not everything can be repaired
    #[arg(long)]
    partial: bool,
    /// Checks the parity file too, and writes it again from the file if it is damaged
    #[arg(long, conflicts_with_all = COPIES)]
    parity_too: bool,
}

pub(crate) fn run(ctx: &Ctx, options: &Options) -> Res<()> {
    if options.output.is_some() && options.recursive {
        return Err(Failure::usage(
            "-o and -r exclude each other: -o names the output of one repaired file, and -r repairs the \
             files of folders",
        ));
    }
    if options.output.is_some() && options.files.len() > 1 {
        return Err(Failure::usage(format!(
            "-o names the output of one repaired file, and {} files are given: repair them one by one",
            options.files.len()
        )));
    }
    let (outline, parity) = (options.outline.as_deref(), options.parity.as_deref());
    let files = walk::sealed(ctx, &options.files, options.recursive, outline, parity)?;
    ctx.each(&files, |file| repair(ctx, options, file))
}

impl Options {
    /// Returns true if --from, --from-url or --from-command names a copy.
    fn has_copies(&self) -> bool {
        !(self.from.is_empty() && self.from_url.is_empty() && self.from_command.is_empty())
    }
}

fn repair(ctx: &Ctx, options: &Options, file: &Path) -> Res<Report> {
    if names::is_dash(file) {
        return Err(Failure::usage("standard input cannot be repaired: name a file"));
    }
    if !output::exists(file)? {
        return absent(ctx, options, file);
    }
    objects::size_of(file)?;
    let given =
        names::seal_of(options.outline.as_deref(), walk::below(&options.files, file), file, names::ATLAS);
    let parity =
        names::seal_of(options.parity.as_deref(), walk::below(&options.files, file), file, names::PARITY);
    let beside = given.clone().unwrap_or_else(|| names::with_suffix(file, names::ATLAS));
    let parity = parity::find(file, Some(&beside), parity);
    let outline = match damage::find_outline(ctx, file, given.as_deref(), Guess::Never) {
        Err(failure) if damage::is_damaged(&beside, &failure) => {
            return without_outline(ctx, options, file, &beside, parity.as_deref(), failure);
        }
        found => found?,
    };
    let outline = match outline {
        Some(outline) => {
            match proved_outline(ctx, options, file, outline, given.as_deref(), parity.as_deref())? {
                Proved::Yes(outline) => Some(*outline),
                Proved::Ended(report) => return Ok(report),
            }
        }
        None => None,
    };
    if let Some(outline) = &outline {
        verify::check_root(outline, options.root.as_ref())?;
        if let Some(other) = outline.other_name(file) {
            ctx.warn(&other);
        }
    }
    if options.has_copies() {
        let outline = outline.ok_or_else(|| {
            verify::no_seals(file).with_hint(
                "without an outline, the good bytes of a copy cannot be told from bad bytes: name it \
                 with --outline PATH",
            )
        })?;
        return from_copies::repair(ctx, options, file, file, &outline);
    }
    let known = match outline {
        Some(outline) => {
            let findings = damage::find(ctx, file, &outline)?;
            if findings.bad.is_empty() && findings.surplus > 0 {
                return cut(ctx, options, file, &outline, findings.surplus);
            }
            if findings.bad.is_empty() && !options.parity_too {
                return Ok(intact(ctx, file));
            }
            Some(Known { outline, findings })
        }
        None => None,
    };
    match (parity, known) {
        (Some(parity), known) => from_parity::repair(ctx, options, file, &parity, known.as_ref()),
        (None, Some(Known { findings, .. })) if !findings.bad.is_empty() => {
            let text = format!(
                "{} is damaged, {} in {}, and there is nothing to repair it from",
                names::shown(file),
                human(findings.bytes()),
                count(findings.bad.len() as u64, "range")
            );
            let hint =
                format!("--from COPY takes a copy of it: atlasm repair --from COPY {}", names::quoted(file));
            Err(Failure::new(Status::Incomplete, text).with_hint(hint))
        }
        (None, Some(_)) => Ok(intact(ctx, file)),
        (None, None) => Err(verify::no_seals(file)),
    }
}

/// Writes a file that does not exist from copies of it, whole or not at all.
fn absent(ctx: &Ctx, options: &Options, file: &Path) -> Res<Report> {
    let given =
        names::seal_of(options.outline.as_deref(), walk::below(&options.files, file), file, names::ATLAS);
    let path = given.unwrap_or_else(|| names::with_suffix(file, names::ATLAS));
    if !output::exists(&path)? {
        objects::size_of(file)?;
    }
    if !options.has_copies() || options.dry_run {
        let text = format!("{} is missing, and its seal {} exists", names::shown(file), names::shown(&path));
        let hint = format!("a copy can bring it back: atlasm repair --from COPY {}", names::quoted(file));
        return Err(Failure::new(Status::Incomplete, text).with_hint(hint));
    }
    // Begin with an empty file, of which all bytes are missing.
    let staged = Staged::new(file, false, &[])?;
    drop(staged.create()?);
    let found = damage::find_outline(ctx, staged.path(), Some(&path), Guess::Never)?;
    let outline = found.ok_or_else(|| verify::no_seals(file))?;
    verify::check_root(&outline, options.root.as_ref())?;
    let mut report = from_copies::repair(ctx, options, file, staged.path(), &outline)?;
    if report.status == Status::Done {
        staged.finish()?;
    } else {
        report.line("  the file is still not there, because a missing file is written whole or not at all");
        report.put("repaired_bytes", 0);
    }
    Ok(report)
}

/// Result of `proved_outline`.
enum Proved {
    /// The outline, which has no damage of its own, or was rebuilt.
    Yes(Box<Outline>),
    /// No further step is needed, and this is the report.
    Ended(Report),
}

/// Checks if the outline itself is damaged. A damaged outline is rebuilt from the file or from a copy, if that has
/// the root of the outline. Otherwise, unless `--from` is given, the file is first repaired from its parity, and the
/// outline is made again if the result has the root.
fn proved_outline(
    ctx: &Ctx,
    options: &Options,
    file: &Path,
    outline: Outline,
    given: Option<&Path>,
    parity: Option<&Path>,
) -> Res<Proved> {
    let findings = damage::find(ctx, file, &outline)?;
    if findings.bad_records == 0 {
        return Ok(Proved::Yes(Box::new(outline)));
    }
    let records = format!("{} of the outline cannot be read", count(findings.bad_records, "record"));
    let failed = || damage::outline_damaged(file, &outline.path, &records);
    let mut origins = vec![file];
    origins.extend(options.from.iter().map(PathBuf::as_path));
    for origin in origins {
        if objects::kind_of(origin)? != objects::Kind::Plain || !damage::has_root(ctx, origin, &outline)? {
            continue;
        }
        if options.dry_run {
            return Ok(Proved::Ended(outline_would_be_made(ctx, file, &outline.path)));
        }
        let (path, root) = (outline.path.clone(), outline.root);
        if !super::seal::outline_anew(ctx, file, origin, &path, outline.keeps_chains, Some(&root))? {
            return Err(failed());
        }
        if origin == file {
            return Ok(Proved::Ended(outline_repaired(ctx, file, &path)));
        }
        ctx.warn(&format!(
            "{} was itself damaged, and was rebuilt from {}",
            names::shown(&path),
            names::shown(origin)
        ));
        let again = damage::find_outline(ctx, file, given, Guess::Never)?;
        return again.map(|again| Proved::Yes(Box::new(again))).ok_or_else(failed);
    }
    let Some(parity) = parity.filter(|_| options.from.is_empty()) else { return Err(failed()) };
    let (path, root, keeps_chains) = (outline.path.clone(), outline.root, outline.keeps_chains);
    let mut report = from_parity::repair(ctx, options, file, parity, Some(&Known { outline, findings }))?;
    let is_whole = report.status == Status::Done && !options.dry_run && options.output.is_none();
    if is_whole && super::seal::outline_anew(ctx, file, file, &path, keeps_chains, Some(&root))? {
        report.line(format!("  {} was damaged too, and is made anew", names::shown(&path)));
    }
    Ok(Proved::Ended(report))
}

/// Repairs a file whose outline does not open. The parity file alone proves the bytes of the file, and the
/// outline is made again from these bytes.
fn without_outline(
    ctx: &Ctx,
    options: &Options,
    file: &Path,
    path: &Path,
    parity: Option<&Path>,
    failure: Failure,
) -> Res<Report> {
    // An outline with another key is not replaced.
    let Some(parity) = parity.filter(|_| !damage::may_have_another_key(&failure)) else {
        return Err(failure);
    };
    let checked = parity::check(ctx, file, parity, options.root.as_ref())?;
    let is_size = objects::size_of(file)? == checked.info.protected_size;
    if checked.report.data == ParityVerdict::Intact && is_size {
        if options.dry_run {
            return Ok(outline_would_be_made(ctx, file, path));
        }
        super::seal::outline_anew(ctx, file, file, path, true, options.root.as_ref())?;
        return Ok(outline_repaired(ctx, file, path));
    }
    if !checked.can_repair() {
        return Err(failure);
    }
    let mut report = from_parity::repair(ctx, options, file, parity, None)?;
    let is_whole = report.status == Status::Done && !options.dry_run && options.output.is_none();
    if is_whole && super::seal::outline_anew(ctx, file, file, path, true, options.root.as_ref())? {
        report.line(format!("  {} was damaged too, and is made anew", names::shown(path)));
    }
    Ok(report)
}

fn outline_would_be_made(ctx: &Ctx, file: &Path, outline: &Path) -> Report {
    let mut report = Report::new(Status::Repairable, "repairable");
    report.put("dry_run", true).put("repaired_bytes", 0).put_path("outline", outline);
    let word = ctx.coloured(Colour::Good, "intact");
    report.line_of(file, format!("{word}; {} is damaged, and would be made anew", names::shown(outline)));
    report
}

fn outline_repaired(ctx: &Ctx, file: &Path, outline: &Path) -> Report {
    let mut report = Report::new(Status::Done, "outline-repaired");
    report.put("repaired_bytes", 0).put_path("outline", outline);
    report.line_of(
        outline,
        format!("{}, made anew from {}", ctx.coloured(Colour::Good, "repaired"), names::shown(file)),
    );
    report
}

/// The outline of a file, and the damage of the file that the outline shows.
struct Known {
    outline: Outline,
    findings: Findings,
}

fn intact(ctx: &Ctx, file: &Path) -> Report {
    let mut report = Report::new(Status::Done, "intact");
    report.put("repaired_bytes", 0).put("damage", Vec::<serde_json::Value>::new());
    report.line_of(file, format!("{}, nothing to repair", ctx.coloured(Colour::Good, "intact")));
    report
}

/// Repairs a file that is intact but too long: cuts off the `surplus` bytes after the sealed bytes.
fn cut(ctx: &Ctx, options: &Options, file: &Path, outline: &Outline, surplus: u64) -> Res<Report> {
    let status = if options.dry_run { Status::Repairable } else { Status::Done };
    let mut report = Report::new(status, if options.dry_run { "repairable" } else { "repaired" });
    report.put("dry_run", options.dry_run).put("surplus", surplus).put("repaired_bytes", 0);
    let text = format!("{} behind the end that was sealed", human(surplus));
    if options.dry_run {
        let word = ctx.coloured(Colour::Note, "would be repaired");
        report.line_of(file, format!("{word}: {text} would be cut off"));
        return Ok(report);
    }
    warn_of_links(ctx, options, file);
    let kept = names::with_suffix(file, names::DAMAGED);
    let target = options.output.as_deref().unwrap_or(file);
    if options.output.is_some() {
        output::check_target(target, options.force, &[file])?;
    } else if !options.discard {
        output::check_target(&kept, options.force, &[file])?;
    }
    // Copy the sealed bytes, each of which is verified.
    let new = Staged::new(target, true, &[])?;
    let projection = damage::snapshot(ctx, outline)?;
    ctx.operate(file, outline.size, |operation| projection.write_file(new.path(), operation))?;
    // Attributes that cannot be kept are refused while the file still has its name.
    new.prepare()?;
    if options.output.is_some() && !output::exists(target)? {
        let permissions =
            fs::metadata(file).map_err(|error| Failure::io("looking at", file, &error))?.permissions();
        fs::set_permissions(new.path(), permissions)
            .map_err(|error| Failure::io("setting the mode of", new.path(), &error))?;
    }
    if options.output.is_none() && !options.discard {
        let is_moved = output::keep(file, &kept, options.force)?;
        new.rename().inspect_err(|_| {
            // The damaged file gets its only name back, or loses the second one: unless a file system of a network reports
            // a failure of a rename that it has done.
            if is_moved {
                drop(output::rename_to_free(&kept, file));
            } else if output::is_same(file, &kept) {
                drop(fs::remove_file(&kept));
            }
        })?;
        report.put_path("kept", &kept);
    } else {
        new.rename()?;
    }
    output::sync_folder(target)?;
    report.line_of(file, format!("{}, {text} cut off", ctx.coloured(Colour::Good, "repaired")));
    if options.output.is_some() {
        report.put_path("output", target);
        report.line(format!("  the repaired file is {}", names::shown(target)));
    } else if !options.discard {
        report.line(format!("  the damaged file is kept as {}", names::shown(&kept)));
    }
    Ok(report)
}

/// Warns of the hard links of a file: they keep the damaged bytes, because the repaired file is a new file.
fn warn_of_links(ctx: &Ctx, options: &Options, file: &Path) {
    let links = fs::metadata(file).map_or(1, |metadata| metadata.nlink());
    if links > 1 && options.output.is_none() {
        ctx.warn(&format!(
            "{} has {} (hard links), which {} the damaged bytes; repair --from COPY works in place, for \
             all names",
            names::shown(file),
            count(links - 1, "other name"),
            if links == 2 { "keeps" } else { "keep" }
        ));
    }
}
