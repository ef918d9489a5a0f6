//! `atlasm verify`: reports which bytes of a file are bad, and whether they can be repaired.

mod state;

use self::state::{Known, Place, State};
use crate::context::{Colour, Ctx, Report};
use crate::damage::{self, Findings, Guess, Missing, Outline};
use crate::map::{self, Fate};
use crate::names;
use crate::objects;
use crate::packed;
use crate::parity::{self, Checked};
use crate::status::{Failure, Res, Status};
use crate::units::{RangeText, count, hex, human};
use crate::walk::{self, Seals};
use atlas_manifold::{DamageKind, ParityVerdict};
use clap::Args;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Compares files with the seals that 'atlasm seal' wrote, and lists every range of bytes that is bad.
///
/// The outline is FILE.atlas, or the outline that --outline names. If there is none, an outline in the folder
/// that was made of as many bytes as the file has is used, and named. If the file is damaged, its parity file
/// shows if it can be repaired. A file with only a parity file is compared with the parity file. With -r, a
/// sealed file that does not exist is reported as missing, status 4. -q omits files that are intact. A
/// container that 'atlasm pack' made is verified by itself, with all its generations.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  atlasm verify big.iso
  atlasm verify -r photos              every sealed file in a folder
  atlasm verify --parity-too big.iso   is the parity file itself intact?
  atlasm verify -r --rate 50M --max-time 3h --resume STATE /archive
                                       a part every night, the oldest first")]
pub(crate) struct Options {
    /// Files to verify
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// The outline, or a folder of outlines
    #[arg(long, value_name = "PATH")]
    outline: Option<PathBuf>,
    /// The parity file, or a folder of parity files
    #[arg(long, value_name = "PATH")]
    parity: Option<PathBuf>,
    /// Compares only this range, with the outline of the range or of the whole file that --outline names
    #[arg(long, value_name = "RANGE", allow_hyphen_values = true, requires = "outline", conflicts_with_all = ["recursive", "parity", "parity_too", "resume"])]
    range: Option<RangeText>,
    /// Checks the parity file too, also if the file is intact
    #[arg(long)]
    parity_too: bool,
    /// The root that the outline must have
    #[arg(long, value_name = "ROOT", value_parser = crate::args::parse_root)]
    root: Option<[u8; 32]>,
    /// Verifies the files in folders that have seals
    #[arg(short, long)]
    recursive: bool,
    /// Draws a picture of the parts that are good and bad
    #[arg(long)]
    map: bool,
    /// Reads at most this number of bytes per second, such as 50M, on one thread
    #[arg(long, value_name = "SIZE", value_parser = parse_rate)]
    rate: Option<u64>,
    /// Ends after this time, such as 3h
    #[arg(long, value_name = "TIME", value_parser = crate::units::parse_duration)]
    max_time: Option<std::time::Duration>,
    /// A small file that records when each file was verified, how far an unfinished file was, and which bytes
    /// were bad; files that were not verified for the longest time come first
    #[arg(long, value_name = "STATE")]
    resume: Option<PathBuf>,
}

fn parse_rate(text: &str) -> Result<u64, String> {
    match crate::units::parse_size(text)? {
        0 => Err(format!("'{text}' is not a rate: it must be at least 1 byte a second")),
        rate => Ok(rate),
    }
}

pub(crate) fn run(ctx: &Ctx, options: &Options) -> Res<()> {
    let (outline, parity) = (options.outline.as_deref(), options.parity.as_deref());
    let named = walk::sealed(ctx, &options.files, options.recursive, outline, parity)?;
    let unsealed = if options.recursive {
        let all = walk::walk(ctx, &options.files, true, Seals::LeaveOut)?;
        (all.len() as u64).saturating_sub(named.len() as u64)
    } else {
        0
    };
    let missing = if options.recursive { missing(ctx, options)? } else { Vec::new() };
    if named.is_empty() && missing.is_empty() && ctx.status() == Status::Done {
        return Err(Failure::new(Status::Incomplete, "there is no sealed file in these folders")
            .with_hint("atlasm seal -r FOLDER seals the files in it"));
    }
    let mut state = match &options.resume {
        Some(path) => Some(State::load(path)?),
        None => None,
    };
    let mut named = named;
    if let Some(state) = &state {
        named.sort_by_key(|file| state.verified(file));
    }
    ctx.set_pace(options.rate, options.max_time);
    let (mut intact, mut looked_at, mut begun) = (0_u64, 0_u64, 0_usize);
    let total = named.len() as u64;
    ctx.each(&named, |file| {
        begun += 1;
        let mut part = state.as_ref().map(|state| Part {
            from: state.place(file),
            to: None,
            step: step(options),
            known: state.known(file),
        });
        let outcome = verify(ctx, options, file, part.as_mut());
        let is_unfinished = match (&outcome, &part) {
            // An unfinished file is the first file of the next run.
            (Err(failure), _) if failure.status == Status::Cancelled => return outcome,
            (Err(failure), _) => ctx.is_late() && failure.status == Status::Incomplete,
            (Ok(_), Some(part)) => part.to.is_some(),
            (Ok(_), None) => false,
        };
        if let Some(state) = &mut state {
            let to = part.as_ref().and_then(|part| part.to);
            if let (Ok(_), Some(part)) = (&outcome, part) {
                state.note_damage(file, part.known);
            }
            match to {
                Some(place) => state.note_place(file, place)?,
                None if is_unfinished => {}
                None => state.note(file)?,
            }
        }
        match outcome {
            Err(_) if is_unfinished => Ok(unfinished(ctx, file, state.as_ref())),
            Ok(report) if is_unfinished => Ok(report),
            outcome => {
                looked_at += 1;
                let report = outcome?;
                intact += u64::from(report.status == Status::Done);
                Ok(if ctx.global.quiet { without_intact(report) } else { report })
            }
        }
    })?;
    for (file, seals) in &missing {
        ctx.report(Some(file), is_missing(ctx, file, seals))?;
    }
    if let Some(state) = &mut state {
        state.save()?;
        // Bad files that this run did not reach are reported as bad again.
        for file in &named[begun.min(named.len())..] {
            if let Some(report) = bad_before(ctx, file, &state.known(file)) {
                ctx.report(Some(file), report)?;
            }
        }
    }
    if options.recursive || total > 1 {
        let mut parts = vec![format!("{intact} of {} intact", count(total + missing.len() as u64, "file"))];
        if !missing.is_empty() {
            parts.push(format!("{} missing", missing.len()));
        }
        if unsealed > 0 {
            parts.push(format!("{} without a seal", count(unsealed, "more file")));
        }
        ctx.warn(&parts.join(", "));
    }
    if looked_at < total && ctx.is_late() {
        ctx.warn(&format!("--max-time is over: {} not verified yet", count(total - looked_at, "file")));
        // Without a state the search of a file starts from the beginning.
        if state.is_none() {
            ctx.add_status(Status::Incomplete);
        }
    }
    Ok(())
}

/// Returns the missing files with their seals: files that have seals in the named folders, or in the folders of
/// `--outline` and `--parity`, but do not exist.
fn missing(ctx: &Ctx, options: &Options) -> Res<Vec<(PathBuf, Missing)>> {
    let mut found = BTreeMap::new();
    let mut folders = options.files.clone();
    folders.retain(|folder| fs::metadata(folder).is_ok_and(|metadata| metadata.is_dir()));
    let is_folder = |path: &&PathBuf| fs::metadata(path).is_ok_and(|metadata| metadata.is_dir());
    let elsewhere: Vec<PathBuf> =
        [&options.outline, &options.parity].into_iter().flatten().filter(is_folder).cloned().collect();
    let stem = |seal: &Path| {
        [names::ATLAS, names::PARITY].iter().find_map(|suffix| names::without_suffix(seal, suffix))
    };
    if elsewhere.is_empty() {
        for stem in walk::walk(ctx, &folders, true, Seals::Only)?.iter().filter_map(|seal| stem(seal)) {
            if !crate::output::exists(&stem)?
                && !found.contains_key(&stem)
                && let Some(missing) = damage::missing(ctx, &stem)?
            {
                found.insert(stem, missing);
            }
        }
        return Ok(found.into_iter().collect());
    }
    for stem in walk::walk(ctx, &elsewhere, true, Seals::Only)?.iter().filter_map(|seal| stem(seal)) {
        let below = walk::below(&elsewhere, &stem).unwrap_or(&stem);
        let is_there = folders.iter().any(|folder| fs::symlink_metadata(folder.join(below)).is_ok());
        // A name that no folder has is reported in the first folder.
        let Some(file) = folders.first().map(|folder| folder.join(below)).filter(|_| !is_there) else {
            continue;
        };
        if !found.contains_key(&file)
            && let Some(missing) = damage::missing(ctx, &stem)?
        {
            found.insert(file, missing);
        }
    }
    Ok(found.into_iter().collect())
}

fn is_missing(ctx: &Ctx, file: &Path, seals: &Missing) -> Report {
    let mut report = Report::new(Status::Incomplete, "missing");
    if let Some(size) = seals.size {
        report.put("size", size);
    }
    let mut shown = Vec::new();
    if let Some(path) = &seals.outline {
        report.put_path("outline", path);
        shown.push(names::shown(path));
    }
    shown.extend(seals.parity.as_deref().map(names::shown));
    let word = ctx.coloured(Colour::Bad, "missing");
    let size = seals.size.map_or_else(String::new, |size| format!(", {}", human(size)));
    report.line_of(file, format!("{word}{size}"));
    let are = if shown.len() == 1 { "is" } else { "are" };
    let advice = format!(
        "{} {are} here; if the file was renamed or removed on purpose, do the same with {}",
        shown.join(" and "),
        if shown.len() == 1 { "it" } else { "them" }
    );
    report.put("advice", advice.as_str());
    report.line(format!("  {advice}"));
    report
}

/// Returns the report without its text if the file is intact, as `-q` requires.
fn without_intact(report: Report) -> Report {
    if report.status == Status::Done { Report { text: Vec::new(), ..report } } else { report }
}

/// Returns the report on a file whose search was cut off by `--max-time`: the damage that earlier runs found, or
/// else only that the file is unfinished.
fn unfinished(ctx: &Ctx, file: &Path, state: Option<&State>) -> Report {
    if let Some(report) = state.and_then(|state| bad_before(ctx, file, &state.known(file))) {
        return report;
    }
    // Without a state the search of a file starts from the beginning.
    let status = if state.is_some() { Status::Done } else { Status::Incomplete };
    let mut report = Report::new(status, "unfinished");
    report.line_of(file, "unfinished, --max-time is over");
    report
}

/// Returns the report on a file whose search this run did not begin or not finish, from the damage that earlier runs
/// found. `None` if they found no damage.
fn bad_before(ctx: &Ctx, file: &Path, known: &Known) -> Option<Report> {
    if known.bad.is_empty() {
        return None;
    }
    let bytes: u64 = known.bad.iter().map(|bad| bad.length).sum();
    let mut report = Report::new(Status::Differs, "damaged");
    report
        .put("earlier", true)
        .put("root", hex(&known.root))
        .put("bad_bytes", bytes)
        .put("damage", known.bad.iter().map(damage::Bad::json).collect::<Vec<_>>());
    let word = ctx.coloured(Colour::Bad, "damaged");
    let ranges = count(known.bad.len() as u64, "range");
    report.line_of(file, format!("{word}, {} in {ranges}, by an earlier run", human(bytes)));
    known.bad.iter().for_each(|bad| report.line(bad.line()));
    Some(report)
}

/// The search of one file in several runs with `--resume`.
struct Part {
    from: Place,
    /// Place at which the next run continues. `None` if the search has reached the end of the file.
    to: Option<Place>,
    step: u64,
    /// Damage that earlier runs found. After the search, also the damage that this run found.
    known: Known,
}

/// Returns the number of bytes that are searched between two checks of the clock: the bytes that `--rate` allows in
/// half a second, in whole tiles, from 1 to 256 MiB. Without `--rate` it is 256 MiB.
fn step(options: &Options) -> u64 {
    let tile = atlas_manifold::TILE_SIZE as u64;
    let bytes = options.rate.map_or(256 * tile, |rate| rate / 2);
    bytes.clamp(tile, 256 * tile) / tile * tile
}

fn verify(ctx: &Ctx, options: &Options, file: &Path, part: Option<&mut Part>) -> Res<Report> {
    if names::is_dash(file) {
        return Err(Failure::usage("standard input cannot be verified against an outline: name a file")
            .with_hint("atlasm hash - prints its root"));
    }
    if options.outline.is_none() && options.parity.is_none() && packed::is_named_itself(file)? {
        return packed::verify(ctx, file);
    }
    let size = objects::size_of(file)?;
    if let (Some(range), Some(path)) = (&options.range, &options.outline) {
        let range = range.resolve(size)?;
        let outline = damage::open_outline(ctx, path, file, false, None)?;
        // An outline with the size of the file covers the whole file. If the size of the file has changed, an
        // outline that is larger than the range must cover the whole file.
        let is_whole =
            outline.size == size || outline.size != range.end - range.start && outline.size >= range.end;
        let outline = if is_whole {
            Outline { part: Some(range), ..outline }
        } else {
            damage::open_outline(ctx, path, file, false, Some(range))?
        };
        return against_outline(ctx, options, file, &outline, None, None);
    }
    let below = walk::below(&options.files, file);
    let given = names::seal_of(options.outline.as_deref(), below, file, names::ATLAS);
    let outline = damage::find_outline(ctx, file, given.as_deref(), Guess::BySize)?;
    let parity = names::seal_of(options.parity.as_deref(), below, file, names::PARITY);
    let parity = parity::find(file, outline.as_ref().map(|outline| outline.path.as_path()), parity);
    match (outline, parity) {
        (Some(outline), parity) => against_outline(ctx, options, file, &outline, parity.as_deref(), part),
        (None, Some(parity)) => against_parity(ctx, options, file, &parity),
        (None, None) => Err(no_seals(file)),
    }
}

/// Returns the failure for a file that has neither an outline nor a parity file.
pub(crate) fn no_seals(file: &Path) -> Failure {
    let wanted = names::with_suffix(file, names::ATLAS);
    Failure::new(
        Status::Incomplete,
        format!("{} has no seal: {} is not there", names::shown(file), names::shown(&wanted)),
    )
    .with_hint(format!(
        "--outline PATH names an outline elsewhere; atlasm seal {} makes one of the file as it is now",
        names::quoted(file)
    ))
}

/// Fails if the root of the outline is not the expected `root`.
pub(crate) fn check_root(outline: &Outline, root: Option<&[u8; 32]>) -> Res<()> {
    match root {
        Some(root) if *root != outline.root => Err(Failure::new(
            Status::Differs,
            format!(
                "{} has the root {} instead of the expected {}",
                names::shown(&outline.path),
                hex(&outline.root),
                hex(root)
            ),
        )
        .with_hint("the outline is of other bytes, or of the file after a change")),
        _ => Ok(()),
    }
}

fn against_outline(
    ctx: &Ctx,
    options: &Options,
    file: &Path,
    outline: &Outline,
    parity: Option<&Path>,
    part: Option<&mut Part>,
) -> Res<Report> {
    check_root(outline, options.root.as_ref())?;
    if outline.is_guess {
        let other = outline.other_name(file).map_or_else(String::new, |other| format!("; {other}"));
        ctx.warn(&format!(
            "{}: using {}, an outline of {} bytes{other}",
            names::shown(file),
            names::shown(&outline.path),
            outline.size
        ));
    }
    let (mut from, mut to, mut is_proved) = (0, outline.size, false);
    let searched = outline.part.as_ref().map_or(outline.size, |part| part.end - part.start);
    let findings = match part {
        None => damage::find(ctx, file, outline)?,
        Some(part) => {
            // The place is valid only for the outline with which it was made.
            from = if part.from.root == outline.root { part.from.offset.min(outline.size) } else { 0 };
            let (mut findings, end) = damage::find_from(ctx, file, outline, from, part.step)?;
            to = end;
            if end < outline.size {
                part.to = Some(Place { offset: end, root: outline.root });
            }
            if part.known.root == outline.root {
                let known = part.known.outside(from..end);
                // The verdict on a whole file must be current, so that earlier damage is searched again: it
                // may be repaired by now.
                let again = if end == outline.size && !known.is_empty() {
                    damage::find_again(ctx, file, outline, &known)?
                } else {
                    known
                };
                findings.bad.extend(again);
                findings.bad.sort_by_key(|bad| bad.offset);
                findings.bad = parity::merged(&findings.bad);
            }
            part.known = Known { root: outline.root, bad: findings.bad.clone() };
            findings
        }
    };
    let is_unfinished = to < outline.size;
    let mut findings = findings;
    let is_unproved = |bad: &damage::Bad| bad.kind == DamageKind::Unknown;
    // Bytes without a digest are good if the whole file has the root.
    if findings.bad_records > 0
        && !is_unfinished
        && outline.range.is_none()
        && findings.bad.iter().all(is_unproved)
        && damage::has_root(ctx, file, outline)?
    {
        findings.bad.clear();
        is_proved = true;
    }
    let needs_parity = !findings.bad.is_empty() || findings.surplus > 0 || options.parity_too;
    if let Some(path) = parity.filter(|_| !needs_parity && !is_unfinished && outline.part.is_none()) {
        glance(ctx, path, outline);
    }
    // A parity file that does not open cannot repair anything, and does not change the verdict on the file.
    let checked = parity
        .filter(|_| needs_parity && !is_unfinished)
        .map(|path| parity::check(ctx, file, path, Some(&outline.root)).map_err(|failure| (path, failure)));
    let mut is_asked = !is_unfinished && outline.part.is_none();
    let mut checked = match checked {
        Some(Err((_, failure))) if failure.status == Status::Cancelled => return Err(failure),
        // The file was searched, but there was no time left for its parity.
        Some(Err((_, failure))) if failure.status == Status::Incomplete && ctx.is_late() => {
            is_asked = false;
            None
        }
        Some(Err((path, failure))) => {
            ctx.warn(&format!("the parity file cannot be used: {}", failure.message));
            Some(Err(path))
        }
        Some(Ok(checked)) => Some(Ok(checked)),
        None => None,
    };
    if let Some(Ok(checked)) = &mut checked {
        checked.compare(outline, &findings);
    }
    let usable = checked.as_ref().and_then(|checked| checked.as_ref().ok());

    let is_bad = !findings.bad.is_empty() || findings.surplus > 0;
    let (status, result) = match (is_bad, usable) {
        // Cutting off surplus bytes needs no parity.
        _ if findings.bad.is_empty() && findings.surplus > 0 => (Status::Repairable, "damaged"),
        (true, Some(checked)) if checked.can_repair() => (Status::Repairable, "damaged"),
        (true, Some(checked)) if checked.is_stale => (Status::Differs, "damaged"),
        (true, Some(_)) => (Status::Incomplete, "damaged"),
        (true, None) => (Status::Differs, "damaged"),
        (false, _) if findings.bad_records > 0 => {
            (if is_proved { Status::Repairable } else { Status::Differs }, "outline-damaged")
        }
        (false, Some(checked)) if checked.is_stale => (Status::Differs, "parity-of-other-bytes"),
        (false, Some(checked)) if !checked.is_whole() => (Status::Repairable, "parity-damaged"),
        (false, None) if matches!(checked, Some(Err(_))) => (Status::Differs, "parity-damaged"),
        (false, _) => (Status::Done, "intact"),
    };
    let mut report = Report::new(status, if is_unfinished && !is_bad { "unfinished" } else { result });
    if from > 0 || is_unfinished {
        report.put("verified_from", from).put("verified_to", to);
    }
    report
        .put_path("outline", &outline.path)
        .put("root", hex(&outline.root))
        .put("size", outline.size)
        .put("surplus", findings.surplus)
        .put("bad_bytes", findings.bytes())
        .put("damage", findings.bad.iter().map(damage::Bad::json).collect::<Vec<_>>())
        .put("bad_records", findings.bad_records);
    if let Some(checked) = usable {
        report.put("parity", checked.json());
    }
    if is_unfinished && !is_bad {
        report.line_of(file, format!("unfinished, {} of {}", human(to), human(outline.size)));
        return Ok(report);
    }
    if let Some(part) = &outline.part {
        report.put("verified_from", part.start).put("verified_to", part.end);
    }
    describe(ctx, options, file, searched, &findings, &mut report);
    if is_unfinished {
        report.line(format!("  {to}..  not verified yet; the next run goes on from there"));
    }
    if from > 0 {
        report.line(format!("  ..{from}  searched by earlier runs"));
    }
    if is_bad && !is_asked {
        let advice = format!("atlasm verify {} says whether it can be repaired", names::quoted(file));
        report.put("advice", advice.as_str());
        report.line(format!("  {advice}"));
    } else {
        let name = named_seals(file, Some(outline), parity);
        advise(&name, &findings, status, usable, parity, &mut report);
        if is_bad && outline.is_older(file) {
            let update = &name.from_parity;
            report.put("written_since", true);
            report.line(format!(
                "  it was written to after it was sealed; if that was meant: atlasm update {update}"
            ));
        }
        if let Some(other) = outline.other_name(file).filter(|_| is_bad) {
            report.line(format!("  {other}"));
        }
    }
    Ok(report)
}

/// Adds the verdict, the bad ranges and the map of a file to the text of a report.
fn describe(ctx: &Ctx, options: &Options, file: &Path, size: u64, findings: &Findings, report: &mut Report) {
    if findings.bad.is_empty() && findings.surplus == 0 {
        let word = ctx.coloured(Colour::Good, "intact");
        report.line_of(file, format!("{word}, {}", human(size)));
    } else {
        let word = ctx.coloured(Colour::Bad, "damaged");
        let ranges = count(findings.bad.len() as u64, "range");
        let what = if findings.bad.is_empty() {
            format!("{} too long", human(findings.surplus))
        } else {
            format!("{} of {} in {ranges}", human(findings.bytes()), human(size))
        };
        report.line_of(file, format!("{word}, {what}"));
    }
    for bad in &findings.bad {
        report.line(bad.line());
    }
    if options.map {
        map::draw(ctx, size, &findings.bad, Fate::Bad).iter().for_each(|line| report.line(line));
    }
    if findings.surplus > 0 {
        report.line(format!("  {}..  {} behind the end that was sealed", size, human(findings.surplus)));
    }
    if findings.bad_records > 0 {
        report.line(format!("  the outline itself is damaged, in {}", count(findings.bad_records, "record")));
    }
}

/// Warns if the first block or the size of a parity file shows that it is useless. `--parity-too` reads the
/// whole parity file.
fn glance(ctx: &Ctx, path: &Path, outline: &Outline) {
    let found = match parity::open(ctx, path, Some(&outline.root)) {
        Err(failure) if failure.status == Status::Cancelled || ctx.is_late() => return,
        Err(failure) => failure.message,
        Ok(parity) => {
            let (info, shown) = (parity.info(), names::shown(path));
            let size = fs::metadata(path).map_or(0, |metadata| metadata.len());
            if info.protected_size != outline.size {
                let (old, new) = (info.protected_size, outline.size);
                format!("{shown} was made of other bytes: it protects {old} bytes instead of {new}")
            } else if size != info.parity_size {
                format!("{shown} has {size} bytes instead of {}", info.parity_size)
            } else {
                return;
            }
        }
    };
    ctx.warn(&format!("{found}; give --parity-too to verify the parity file too"));
}

/// Returns the arguments of a suggested command: the name of the file, after options for the seals that the
/// command would not find by itself.
pub(crate) fn named_seals(file: &Path, outline: Option<&Outline>, parity: Option<&Path>) -> Named {
    let name = names::quoted(file);
    let place = |option: &str, path: &Path| format!("{option} {} ", names::quoted(path));
    let outline = outline.map(|outline| outline.path.as_path());
    let given = outline.filter(|path| *path != names::with_suffix(file, names::ATLAS));
    let with_outline = given.map_or_else(String::new, |path| place("--outline", path));
    let other = parity.filter(|parity| parity::find(file, outline, None).as_deref() != Some(*parity));
    let with_parity = other.map_or_else(String::new, |path| place("--parity", path));
    Named {
        from_copy: format!("{with_outline}{name}"),
        from_parity: format!("{with_outline}{with_parity}{name}"),
    }
}

pub(crate) struct Named {
    /// Arguments for a repair with `--from`, which takes no parity file.
    from_copy: String,
    pub(crate) from_parity: String,
}

/// Adds advice on the next step to the report on a file, if there is any.
fn advise(
    name: &Named,
    findings: &Findings,
    status: Status,
    checked: Option<&Checked>,
    parity: Option<&Path>,
    report: &mut Report,
) {
    let Named { from_copy, from_parity } = name;
    let advice = match (status, checked) {
        (Status::Differs, Some(checked)) if checked.is_stale => {
            let other = format!("{} was made of other bytes", names::shown(&checked.path));
            if findings.bad.is_empty() {
                format!("{other}, and repairs nothing: atlasm update {from_parity} makes it anew")
            } else {
                format!("{other}, and repairs nothing; a copy can: atlasm repair --from COPY {from_copy}")
            }
        }
        (Status::Repairable, _)
            if findings.bad_records > 0 && findings.bad.is_empty() && findings.surplus == 0 =>
        {
            format!(
                "the file has the root that was sealed: atlasm repair {from_parity} makes the outline anew"
            )
        }
        (Status::Differs, _) if findings.bad_records > 0 => {
            let way = "remove the outline, and seal the file anew once you are sure of the file";
            format!(
                "nothing else proves the lost parts of the outline; {way}, or atlasm repair --from COPY \
                 {from_copy}"
            )
        }
        (Status::Repairable, _) if findings.bad.is_empty() && findings.surplus > 0 => {
            format!("the bytes that were sealed are all there: atlasm repair {from_parity} cuts off the rest")
        }
        (Status::Repairable, Some(checked)) if !findings.bad.is_empty() || findings.surplus > 0 => {
            format!("{} can repair all of it: atlasm repair {from_parity}", names::shown(&checked.path))
        }
        (Status::Repairable, Some(checked)) => format!(
            "{} is itself damaged, and can be rebuilt from the file: atlasm repair --parity-too \
             {from_parity}",
            names::shown(&checked.path)
        ),
        (Status::Incomplete, Some(checked)) => format!(
            "{} cannot repair it alone, since {} too much: atlasm repair --from COPY {from_copy}",
            names::shown(&checked.path),
            if checked.report.lost_rows == 1 {
                "1 row has lost".to_owned()
            } else {
                format!("{} rows have lost", checked.report.lost_rows)
            }
        ),
        (Status::Differs, _) if findings.bad.is_empty() && findings.surplus == 0 => return,
        (Status::Differs, _) if parity.is_some() => {
            format!(
                "its parity file is of no use; a copy can repair it: atlasm repair --from COPY {from_copy}"
            )
        }
        (Status::Differs, _) => {
            format!("there is no parity file; a copy can repair it: atlasm repair --from COPY {from_copy}")
        }
        _ => return,
    };
    report.put("advice", advice.as_str());
    report.line(format!("  {advice}"));
}

fn against_parity(ctx: &Ctx, options: &Options, file: &Path, parity: &Path) -> Res<Report> {
    ctx.warn(&format!(
        "{} has no outline; it is compared with {} alone",
        names::shown(file),
        names::shown(parity)
    ));
    let size = objects::size_of(file)?;
    let checked = parity::check(ctx, file, parity, options.root.as_ref())?;
    let expected = parity::open(ctx, parity, options.root.as_ref())?.info().protected_size;
    let findings =
        Findings { bad: checked.bad.clone(), surplus: size.saturating_sub(expected), ..Findings::default() };
    let (status, result) = match (checked.report.data, checked.report.parity) {
        (ParityVerdict::Intact, _) if findings.surplus > 0 => (Status::Repairable, "damaged"),
        (ParityVerdict::Intact, ParityVerdict::Intact) => (Status::Done, "intact"),
        (ParityVerdict::Intact, _) => (Status::Repairable, "parity-damaged"),
        (ParityVerdict::Repairable, _) => (Status::Repairable, "damaged"),
        _ => (Status::Incomplete, "damaged"),
    };
    let mut report = Report::new(status, result);
    report
        .put("size", expected)
        .put("surplus", findings.surplus)
        .put("bad_bytes", findings.bytes())
        .put("damage", findings.bad.iter().map(damage::Bad::json).collect::<Vec<_>>())
        .put("parity", checked.json());
    describe(ctx, options, file, expected, &findings, &mut report);
    advise(
        &named_seals(file, None, Some(parity)),
        &findings,
        status,
        Some(&checked),
        Some(parity),
        &mut report,
    );
    Ok(report)
}
