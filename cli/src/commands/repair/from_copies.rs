//! Repairs from copies, in place.

use super::{Options, intact};
use crate::commands::{info, seal, verify};
use crate::context::{Colour, Ctx, Report};
use crate::damage::{self, Bad, Findings, Outline};
use crate::donor::Donor;
use crate::fetch::Fetched;
use crate::map::{self, Fate};
use crate::names;
use crate::objects;
use crate::output::same_file;
use crate::parity;
use crate::status::{Failure, Res, Status};
use crate::units::human;
use atlas_manifold::{AtlasProjection, TILE_SIZE};
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;

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
pub(super) fn repair(ctx: &Ctx, options: &Options, file: &Path, at: &Path, outline: &Outline) -> Res<Report> {
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
        let parity = parity::find(file, Some(&outline.path), None).filter(|_| at == file);
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
                    seal::sync(target, file)?;
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
        seal::sync(target, file)?;
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
