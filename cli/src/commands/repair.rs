//! `atlasm repair`: repairs damaged files from their parity or from copies.

use super::info;
use super::verify::{self, Checked};
use crate::context::{Colour, Ctx, Report};
use crate::damage::{self, Bad, Findings, Guess, Outline};
use crate::donor::Donor;
use crate::fetch::Fetched;
use crate::map::{self, Fate};
use crate::names;
use crate::objects;
use crate::output::{self, Staged, same_file};
use crate::status::{FULL, Failure, Res, Status};
use crate::units::{count, human};
use crate::walk;
use atlas_manifold::{AtlasProjection, ParityReport, ParityVerdict, RepairMode, RepairOptions, TILE_SIZE};
use clap::Args;
use std::fs::{self, File};
use std::os::unix::fs::{FileExt, MetadataExt};
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
    let parity = verify::parity_of(file, Some(&beside), parity);
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
        return from_copies(ctx, options, file, file, &outline);
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
        (Some(parity), known) => from_parity(ctx, options, file, &parity, known.as_ref()),
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
    let mut report = from_copies(ctx, options, file, staged.path(), &outline)?;
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
    let mut report = from_parity(ctx, options, file, parity, Some(&Known { outline, findings }))?;
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
    let checked = verify::check_parity(ctx, file, parity, options.root.as_ref())?;
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
    let mut report = from_parity(ctx, options, file, parity, None)?;
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

// From parity.

fn from_parity(ctx: &Ctx, options: &Options, file: &Path, path: &Path, known: Option<&Known>) -> Res<Report> {
    let root = options.root.or(known.map(|known| known.outline.root));
    let root = root.as_ref();
    let findings = known.map(|known| &known.findings).filter(|findings| !findings.bad.is_empty());
    warn_of_links(ctx, options, file);
    // Check for all errors that need no work first.
    let kept = names::with_suffix(file, names::DAMAGED);
    let target = options.output.as_deref().unwrap_or(file);
    if !options.dry_run {
        match &options.output {
            Some(output) => output::check_target(output, options.force, &[file])?,
            None if options.discard => output::check_target(file, true, &[])?,
            None => output::check_target(&kept, options.force, &[file])?,
        }
    }
    if options.dry_run {
        let checked = check(ctx, file, path, known)?;
        return Ok(dry(ctx, file, &checked));
    }
    if let Some(known) = known
        && verify::open_parity(ctx, path, None)?.info().protected_size != known.outline.size
    {
        return of_other_bytes(ctx, file, path, known);
    }
    // A parity file that was made of other bytes would treat the bytes of an intact file as damage.
    if let Some(known) = known
        && known.findings.bad.is_empty()
        && check(ctx, file, path, Some(known))?.is_stale
    {
        return of_other_bytes(ctx, file, path, known);
    }
    // A partial repair is made only if some rows can be rebuilt and other rows cannot. Otherwise the root
    // proves the whole file.
    let is_partial = options.partial && {
        let checked = check(ctx, file, path, known)?;
        // After a partial repair no root can show that other bytes were rebuilt, so that a stale parity file
        // is refused.
        if let Some(known) = known.filter(|_| checked.is_stale) {
            return of_other_bytes(ctx, file, path, known);
        }
        let is_lost = checked.report.data == ParityVerdict::Incomplete;
        if is_lost && !checked.has_repairable {
            return Err(nothing_to_rebuild(file, &checked));
        }
        is_lost
    };
    let parity = verify::open_parity(ctx, path, if is_partial { None } else { root })?;
    // Temporary names under which the library writes, so that nothing is replaced before everything is done.
    let new = Staged::new(target, true, &[])?;
    let aside = Staged::new(&kept, true, &[])?;
    let (mode, ends_as) = match &options.output {
        Some(_) => (RepairMode::NewFile(new.path().to_owned()), None),
        None if options.discard => (RepairMode::Keep(aside.path().to_owned()), None),
        None if options.force => (RepairMode::Keep(aside.path().to_owned()), Some(&kept)),
        None => (RepairMode::Keep(kept.clone()), Some(&kept)),
    };
    let repairs = RepairOptions::new(mode);
    let repairs = if is_partial { repairs.with_partial() } else { repairs };
    let mut report = ParityReport::default();
    let (mut bad, mut lost) = (Vec::new(), Vec::new());
    let mut owner = |damage: &atlas_manifold::Damage| {
        if damage.repairable { &mut bad } else { &mut lost }.push(Bad::from(damage));
        true
    };
    let found_size = objects::size_of(file)?;
    let outcome = ctx.operate(file, found_size.max(2 * TILE_SIZE as u64), |operation| {
        parity.repair(file, &repairs, Some(&mut owner), &mut report, operation)
    });
    // A partial repair ends as incomplete, although everything was written that could be repaired.
    let outcome = match outcome {
        Err(failure) if is_partial && failure.status == Status::Incomplete && !ctx.is_stopped() => Ok(()),
        other => other,
    };
    // The library linked the damaged file to the temporary name, which it keeps if the call failed later.
    if ends_as.is_some() && options.force && output::exists(aside.path())? {
        aside.rename_or_leave()?;
        output::sync_folder(&kept)?;
    }
    if let Err(failure) = outcome {
        // Nothing was written. A parity file that was made of other bytes treats good bytes as damage.
        if let Some(known) = known
            && matches!(failure.status, Status::Incomplete | Status::Differs)
            && !is_partial
            && (failure.status == Status::Differs || check(ctx, file, path, Some(known))?.is_stale)
        {
            return of_other_bytes(ctx, file, path, known);
        }
        return Err(explain(file, path, failure));
    }

    let is_whole = report.data != ParityVerdict::Incomplete;
    if report.data == ParityVerdict::Intact && options.output.is_none() {
        if findings.is_none() && report.parity != ParityVerdict::Intact {
            return restore(ctx, file, path, root);
        }
        if let (Some(_), Some(known)) = (findings, known) {
            return of_other_bytes(ctx, file, path, known);
        }
        return Ok(intact(ctx, file));
    }
    // The library keeps the bytes after the protected bytes.
    let protected = parity.info().protected_size;
    let repaired_as = if options.output.is_some() { new.path() } else { file };
    if objects::size_of(repaired_as)? > protected {
        let opened = File::options().write(true).open(repaired_as);
        let opened = opened.map_err(|error| Failure::io("opening", repaired_as, &error))?;
        opened
            .set_len(protected)
            .map_err(|error| Failure::io("cutting off the end of", repaired_as, &error))?;
        super::seal::sync(&opened, repaired_as)?;
    }
    if options.output.is_some() {
        new.finish()?;
    }
    let repaired: u64 = bad.iter().map(|bad| bad.length).sum();
    let (bad, lost) = (verify::merged(&bad), verify::merged(&lost));
    let (status, result) =
        if is_whole { (Status::Done, "repaired") } else { (Status::Incomplete, "incomplete") };
    let mut out = Report::new(status, result);
    let ranges = findings.map_or_else(|| bad.clone(), |findings| findings.bad.clone());
    let drawn = if is_whole { &ranges } else { &bad };
    out.put("repaired_bytes", repaired)
        .put("repaired_units", report.repaired_units)
        .put("lost_rows", report.lost_rows)
        .put("damage", ranges.iter().map(Bad::json).collect::<Vec<_>>())
        .put_path("parity", path);
    let word = if is_whole {
        ctx.coloured(Colour::Good, "repaired")
    } else {
        ctx.coloured(Colour::Note, "repaired in part")
    };
    out.line_of(file, format!("{word} from {}, {} rebuilt", names::shown(path), human(repaired)));
    if options.map {
        map::draw(ctx, protected, drawn, Fate::Repaired).iter().for_each(|line| out.line(line));
    }
    if let Some(output) = &options.output {
        out.put_path("output", output);
        out.line(format!("  the repaired file is {}", names::shown(output)));
    } else if let Some(kept) = ends_as {
        out.put_path("kept", kept);
        out.line(format!("  the damaged file is kept as {}", names::shown(kept)));
    }
    if !is_whole {
        out.put("rebuilt", bad.iter().map(Bad::json).collect::<Vec<_>>());
        out.put("left", lost.iter().map(Bad::json).collect::<Vec<_>>());
        bad.iter().for_each(|bad| out.line(bad.line_as("rebuilt")));
        lost.iter().for_each(|bad| out.line(bad.line_as("damaged still")));
        if found_size < protected {
            out.line("  the file has its full length again, with zeros where bytes are missing still");
        }
        out.line(format!("  a copy can repair the rest: atlasm repair --from COPY {}", names::quoted(file)));
    } else if report.parity != ParityVerdict::Intact && options.output.is_none() {
        restore(ctx, file, path, root)?;
        out.line(format!("  {} was damaged too, and is written anew", names::shown(path)));
    }
    Ok(out)
}

/// Checks `file` with the parity file `path`. If `known` is given, also checks if the parity file and the
/// outline were made of the same bytes.
fn check(ctx: &Ctx, file: &Path, path: &Path, known: Option<&Known>) -> Res<Checked> {
    let mut checked = verify::check_parity(ctx, file, path, None)?;
    if let Some(known) = known {
        checked.compare(&known.outline, &known.findings);
    }
    Ok(checked)
}

/// Ends a repair whose parity file was made of other bytes than the outline. If the file is intact, a new
/// parity file is written; otherwise the repair fails.
fn of_other_bytes(ctx: &Ctx, file: &Path, path: &Path, known: &Known) -> Res<Report> {
    let name = names::quoted(file);
    // A file that its outline does not prove gets no new parity file.
    if known.findings.bad.is_empty() && known.findings.bad_records == 0 {
        let old = verify::open_parity(ctx, path, None)?.info();
        super::update::parity_anew(ctx, file, path, &old)?.finish()?;
        return Ok(parity_repaired(ctx, file, path));
    }
    let text = format!(
        "{} was made of other bytes than {}, so that it cannot repair the file",
        names::shown(path),
        names::shown(&known.outline.path)
    );
    Err(Failure::new(Status::Differs, text).with_hint(format!(
        "nothing was written; a copy can repair it, atlasm repair --from COPY {name}, or, if the change was \
         meant, atlasm update {name} makes both seals anew"
    )))
}

/// Repairs the damaged parity file `path` from the intact `file`.
fn restore(ctx: &Ctx, file: &Path, path: &Path, root: Option<&[u8; 32]>) -> Res<Report> {
    let parity = verify::open_parity(ctx, path, root)?;
    let source = ctx.source(file)?;
    let size = source.size().max(2 * TILE_SIZE as u64);
    ctx.operate(file, size, |operation| parity.restore(&source, path, operation))
        .map_err(|failure| failure.while_doing(names::shown(path)))?;
    Ok(parity_repaired(ctx, file, path))
}

fn parity_repaired(ctx: &Ctx, file: &Path, path: &Path) -> Report {
    let mut report = Report::new(Status::Done, "parity-repaired");
    report.put("repaired_bytes", 0).put_path("parity", path);
    report.line_of(
        path,
        format!("{}, written anew from {}", ctx.coloured(Colour::Good, "repaired"), names::shown(file)),
    );
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

/// Returns the failure for a repair with `--partial` that could rebuild nothing.
fn nothing_to_rebuild(file: &Path, checked: &Checked) -> Failure {
    let bytes: u64 = checked.bad.iter().map(|bad| bad.length).sum();
    let text = format!(
        "{} can rebuild nothing of the {} that {} has lost",
        names::shown(&checked.path),
        human(bytes),
        names::shown(file)
    );
    let hint = format!(
        "nothing was written; a copy can repair it: atlasm repair --from COPY {}",
        names::quoted(file)
    );
    Failure::new(Status::Incomplete, text).with_hint(hint)
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

fn explain(file: &Path, parity: &Path, failure: Failure) -> Failure {
    let name = names::quoted(file);
    match failure.status {
        Status::Incomplete => failure.while_doing(names::shown(parity)).with_hint(format!(
            "nothing was written; atlasm repair --from COPY {name} takes the rest from a copy, --partial \
             repairs what can be"
        )),
        Status::Differs => failure.while_doing(names::shown(parity)).with_hint("nothing was written"),
        Status::Io if failure.hint.as_deref() == Some(FULL) => failure.with_hint(format!(
            "nothing was written: the file system has no room for the repaired file beside the damaged one; \
             -o OUT writes it elsewhere, and --from COPY repairs {name} in place"
        )),
        _ => failure,
    }
}

/// Returns the report of a dry run, with the actions of a repair from parity.
fn dry(ctx: &Ctx, file: &Path, checked: &Checked) -> Report {
    let bytes: u64 = checked.bad.iter().map(|bad| bad.length).sum();
    let (status, result) = match checked.report.data {
        _ if checked.is_stale => (Status::Differs, "incomplete"),
        ParityVerdict::Intact => (Status::Done, "intact"),
        ParityVerdict::Repairable => (Status::Repairable, "repairable"),
        _ => (Status::Incomplete, "incomplete"),
    };
    let mut report = Report::new(status, result);
    report
        .put("dry_run", true)
        .put("bad_bytes", bytes)
        .put("damage", checked.bad.iter().map(Bad::json).collect::<Vec<_>>())
        .put("parity_check", checked.json());
    let parity = names::shown(&checked.path);
    let text = match status {
        Status::Done => "intact, nothing to repair".to_owned(),
        Status::Differs => {
            format!("{}: {parity} was made of other bytes", ctx.coloured(Colour::Bad, "cannot be repaired"))
        }
        Status::Repairable => {
            format!(
                "{}: {parity} can rebuild {}",
                ctx.coloured(Colour::Note, "would be repaired"),
                human(bytes)
            )
        }
        _ => format!(
            "{}: {} of {parity} have lost too much",
            ctx.coloured(Colour::Bad, "cannot be repaired"),
            count(checked.report.lost_rows, "row")
        ),
    };
    report.line_of(file, text);
    for bad in &checked.bad {
        report.line(bad.line());
    }
    report
}

// From copies.

/// Result of a repair from copies: the repaired ranges, the ranges that are still bad, and the number of bytes
/// written.
#[derive(Default)]
struct Mended {
    repaired: Vec<Bad>,
    left: Vec<Bad>,
    written: u64,
}

/// Repairs the file `at` from the copies that the user named. `at` is `file` itself, or the temporary file that
/// becomes `file`.
fn from_copies(ctx: &Ctx, options: &Options, file: &Path, at: &Path, outline: &Outline) -> Res<Report> {
    let donors = donors(ctx, options, at, outline)?;
    let findings = damage::find(ctx, at, outline)?;
    if findings.bad.is_empty() && findings.surplus == 0 {
        return Ok(intact(ctx, file));
    }
    if findings.surplus > 0 && !options.discard && !options.dry_run {
        let text = format!(
            "{} has {} behind the end that was sealed, at {}",
            names::shown(file),
            human(findings.surplus),
            outline.size
        );
        return Err(
            Failure::new(Status::Differs, text).with_hint("--discard cuts them off; nothing was written")
        );
    }
    let mut mended = mend(ctx, options, at, outline, &donors, &findings)?;
    // Count the fetched bytes of all donors.
    let (fetched, used): (u64, Vec<&Donor>) = (
        donors.iter().map(Donor::read_bytes).sum(),
        donors.iter().filter(|donor| donor.read_bytes() > 0).collect(),
    );
    mended.left.sort_by_key(|bad| bad.offset);
    let bytes = |list: &[Bad]| list.iter().map(|bad| bad.length).sum::<u64>();
    let is_whole = mended.left.is_empty();
    let status = match (is_whole, options.dry_run) {
        (true, true) => Status::Repairable,
        (true, false) => Status::Done,
        (false, _) => Status::Incomplete,
    };
    let result = match (is_whole, options.dry_run) {
        (true, true) => "repairable",
        (true, false) => "repaired",
        (false, _) => "incomplete",
    };
    let mut report = Report::new(status, result);
    report
        .put("dry_run", options.dry_run)
        .put("repaired_bytes", mended.written)
        .put("fetched_bytes", fetched)
        .put("damage", findings.bad.iter().map(Bad::json).collect::<Vec<_>>())
        .put("left", mended.left.iter().map(Bad::json).collect::<Vec<_>>())
        .put("from", used.iter().map(|donor| donor.json()).collect::<Vec<_>>());
    let sources = used.iter().map(|donor| donor.name()).collect::<Vec<_>>().join(", ");
    let sources = if sources.is_empty() { "the copy".to_owned() } else { sources };
    if options.dry_run {
        let word =
            ctx.coloured(Colour::Note, if is_whole { "would be repaired" } else { "cannot be repaired" });
        report.line_of(
            file,
            format!(
                "{word}: {sources} has {} of the {} of bad bytes",
                human(bytes(&mended.repaired)),
                human(findings.bytes())
            ),
        );
    } else if is_whole {
        let word = ctx.coloured(Colour::Good, "repaired");
        report.line_of(file, format!("{word} from {sources}, {} written", human(mended.written)));
    } else {
        let word = ctx.coloured(Colour::Bad, "damaged still");
        report.line_of(
            file,
            format!(
                "{word}: {} written, and {} are still bad and not in {sources}",
                human(mended.written),
                human(bytes(&mended.left))
            ),
        );
    }
    for bad in &mended.left {
        report.line(bad.line());
    }
    // Report for each copy why it did not provide bytes.
    let mut refusals = Vec::new();
    for donor in donors.iter().filter(|_| !is_whole) {
        for why in donor.refusals() {
            report.line(format!("  {}: {why}", donor.name()));
            let mut object = donor.json();
            object["why"] = why.into();
            refusals.push(object);
        }
    }
    if !is_whole {
        report.put("refusals", refusals);
        // A parity file may have the bytes that no copy has.
        let parity = verify::parity_of(file, Some(&outline.path), None).filter(|_| at == file);
        let advice = match &parity {
            Some(parity) => format!(
                "{} may have the rest: atlasm repair {}",
                names::shown(parity),
                verify::named_seals(file, Some(outline), Some(parity)).from_parity
            ),
            None => "another copy may have the rest; --from may be given several times".to_owned(),
        };
        report.line(format!("  {advice}"));
        report.put("advice", advice);
    }
    if options.map && !options.dry_run {
        map::draw(ctx, outline.size, &mended.repaired, Fate::Repaired)
            .iter()
            .for_each(|line| report.line(line));
    }
    Ok(report)
}

/// Opens the copies that `--from`, `--from-url` and `--from-command` name.
fn donors(ctx: &Ctx, options: &Options, file: &Path, outline: &Outline) -> Res<Vec<Donor>> {
    let own = fs::metadata(file).map_err(|error| Failure::io("looking at", file, &error))?;
    let mut donors = Vec::new();
    for path in &options.from {
        let metadata = fs::metadata(path).map_err(|error| Failure::io("opening", path, &error))?;
        if same_file(&own, &metadata) {
            return Err(Failure::usage(format!("{} is the damaged file itself", names::shown(path)))
                .with_hint("give --from another copy of the file"));
        }
        let kind = objects::kind_of(path)?;
        donors.push(match kind {
            objects::Kind::Plain => Donor::file(ctx, path, outline)?,
            objects::Kind::Container => Donor::container(ctx, path, outline)?,
            objects::Kind::Shard | objects::Kind::CompressedShard => {
                let (shard, _) = info::read_shard(ctx, path, kind, Some(&outline.root))?;
                Donor::shard(ctx, path, shard, outline)?
            }
            objects::Kind::Parity => {
                return Err(Failure::usage(format!("{} is a parity file", names::shown(path)))
                    .with_hint("name it with --parity PATH, or leave it out if it lies beside the file"));
            }
        });
    }
    for url in &options.from_url {
        donors.push(Donor::fetched(ctx, url, Fetched::by_url(url, options.patience), outline)?);
    }
    for command in &options.from_command {
        if !(command.contains("{first}") && command.contains("{last}")) {
            return Err(Failure::usage(format!("--from-command '{command}' has no {{first}} and {{last}}"))
                .with_hint(
                    "{first} and {last} become the offsets of the first and the last byte that the command \
                     must print",
                ));
        }
        donors.push(Donor::fetched(ctx, command, Fetched::by_command(command, options.patience), outline)?);
    }
    Ok(donors)
}

/// Fills each bad range of `file` with verified bytes of the first donor that has them. A dry run writes
/// nothing.
fn mend(
    ctx: &Ctx,
    options: &Options,
    file: &Path,
    outline: &Outline,
    donors: &[Donor],
    findings: &Findings,
) -> Res<Mended> {
    let target = if options.dry_run {
        None
    } else {
        let opened = File::options().read(true).write(true).open(file);
        Some(opened.map_err(|error| Failure::io("opening for repair", file, &error))?)
    };
    let mut mended = Mended::default();
    let mut buffer = vec![0; TILE_SIZE];
    for bad in &findings.bad {
        let mut at = bad.offset;
        while at < bad.end() {
            if ctx.is_stopped() {
                if let Some(target) = &target {
                    super::seal::sync(target, file)?;
                }
                return Err(Failure::new(
                    Status::Cancelled,
                    "stopped; what was written until then is verified, and the rest is as it was",
                ));
            }
            // A read stays within a tile, because without finer digests a tile is verified as a whole.
            let end = (at / TILE_SIZE as u64 + 1) * TILE_SIZE as u64;
            let end = end.min(bad.end());
            let piece = Bad { offset: at, length: end - at, ..*bad };
            let len = usize::try_from(end - at).unwrap_or(TILE_SIZE);
            let found = donors.iter().any(|donor| donor.read(ctx, at, &mut buffer[..len]));
            if !found {
                push(&mut mended.left, piece);
            } else {
                if let Some(target) = &target {
                    let written = target.write_all_at(&buffer[..len], at);
                    written.map_err(|error| Failure::io("writing to", file, &error))?;
                    mended.written += piece.length;
                }
                push(&mut mended.repaired, piece);
            }
            at = end;
        }
    }
    if let Some(target) = &target {
        if findings.surplus > 0 && options.discard && mended.left.is_empty() {
            target
                .set_len(outline.size)
                .map_err(|error| Failure::io("cutting off the end of", file, &error))?;
        }
        super::seal::sync(target, file)?;
        check_written(ctx, file, outline, &mended)?;
    }
    Ok(mended)
}

fn push(list: &mut Vec<Bad>, bad: Bad) {
    match list.last_mut() {
        Some(last) if (last.end(), last.kind) == (bad.offset, bad.kind) => last.length += bad.length,
        _ => list.push(bad),
    }
}

/// Reads the repaired ranges back and verifies them against the outline.
fn check_written(ctx: &Ctx, file: &Path, outline: &Outline, mended: &Mended) -> Res<()> {
    outline.container.set_base(Some(&objects::base_source(ctx, file, outline.size)?))?;
    let projection: AtlasProjection = damage::snapshot(ctx, outline)?;
    let mut buffer = vec![0; TILE_SIZE];
    for bad in &mended.repaired {
        let mut at = bad.offset;
        while at < bad.end() {
            let len = usize::try_from(bad.end() - at).unwrap_or(TILE_SIZE).min(TILE_SIZE);
            if let Err(error) = projection.read(at, &mut buffer[..len]) {
                let text = format!(
                    "{}: bytes read back from offset {at} differ from those that were written",
                    names::shown(file)
                );
                return Err(Failure::from(error).while_doing(text).with_hint("the disk may be failing"));
            }
            at += len as u64;
        }
    }
    Ok(())
}
