//! `atlasm hash`: prints one root per file, in the format of b3sum.

use crate::context::{Colour, Ctx, Report};
use crate::names;
use crate::objects;
use crate::signals;
use crate::status::{Failure, Res, Status};
use crate::units;
use crate::walk::{self, Seals};
use atlas_manifold::{
    AtlasProjection, Operation, ProjectionInfo, ProjectionOptions, ProjectionType, StreamingConfig,
    StreamingContext, stream_projection,
};
use clap::{Args, ValueEnum};
use serde_json::{Map, Value};
use sha2::Digest as _;
use std::ffi::OsString;
use std::fs;
use std::io::{self, ErrorKind, Read};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

/// Prints the root of each file: the digest against which seals, shards and containers are verified.
///
/// The format is that of b3sum and sha256sum: the root, two spaces, the name. The root is not the BLAKE3
/// digest of the file; --also prints that digest too, in the same pass. A name with a line feed or a
/// backslash is escaped, and its line begins with a backslash.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  atlasm hash *.iso > ROOTS        the roots of some files
  atlasm hash -c ROOTS             are they still the same?
  tar c photos | atlasm hash -     reads a pipe, of any length
  atlasm hash --also sha256 x.iso  two digests, one pass")]
pub(crate) struct Options {
    /// Files to hash; - or none means standard input
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Checks the roots of a list that this command wrote
    #[arg(short, long, value_name = "LIST", conflicts_with_all = ["files", "recursive", "also", "no_names"])]
    check: Option<PathBuf>,
    /// Hashes the files in folders too
    #[arg(short, long)]
    recursive: bool,
    /// Ends lines with a NUL byte, and does not escape names
    #[arg(short, long)]
    zero: bool,
    /// Also prints these digests of the whole file, computed in the same pass
    #[arg(long, value_name = "DIGEST,...", value_delimiter = ',')]
    also: Vec<Also>,
    /// Type of the root: linear, or r96:K, of which any K of 96 classes rebuild the file
    #[arg(long = "type", value_name = "TYPE", default_value = "linear", value_parser = parse_type)]
    kind: RootType,
    /// Prints roots without names
    #[arg(long)]
    no_names: bool,
}

/// A digest of all bytes of a file, printed besides its root.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Also {
    Blake3,
    Sha256,
}

impl Also {
    /// Returns the name of the digest in the lines that b3sum --tag and sha256sum --tag write.
    fn tag(self) -> &'static str {
        match self {
            Also::Blake3 => "BLAKE3",
            Also::Sha256 => "SHA256",
        }
    }

    fn key(self) -> &'static str {
        match self {
            Also::Blake3 => "blake3",
            Also::Sha256 => "sha256",
        }
    }
}

/// Type of the projection whose root is printed: linear, or R96 with the number of classes that rebuild the
/// file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RootType {
    Linear,
    R96(u8),
}

impl RootType {
    pub(crate) fn projection(self, options: ProjectionOptions) -> (ProjectionType, ProjectionOptions) {
        match self {
            RootType::Linear => (ProjectionType::Linear, options),
            RootType::R96(classes) => (ProjectionType::R96Fourier, options.with_data_classes(classes)),
        }
    }

    pub(crate) fn name(self) -> String {
        match self {
            RootType::Linear => "linear".to_owned(),
            RootType::R96(classes) => format!("r96:{classes}"),
        }
    }
}

pub(crate) fn parse_type(text: &str) -> Result<RootType, String> {
    let wrong = || format!("'{text}' is not a type: linear, or r96:K with K from 1 to 96");
    match text.split_once(':') {
        None if text == "linear" => Ok(RootType::Linear),
        Some(("r96", classes)) => match classes.parse() {
            Ok(classes @ 1..=96) => Ok(RootType::R96(classes)),
            _ => Err(wrong()),
        },
        _ => Err(wrong()),
    }
}

/// Root, properties and other digests of one file.
struct Hashed {
    root: [u8; 32],
    info: ProjectionInfo,
    also: Vec<(Also, [u8; 32])>,
}

pub(crate) fn run(ctx: &Ctx, options: &Options) -> Res<()> {
    if let Some(list) = &options.check {
        return check(ctx, options, list);
    }
    let dash = [PathBuf::from("-")];
    let named = if options.files.is_empty() && !options.recursive { &dash[..] } else { &options.files };
    let here = [PathBuf::from(".")];
    let named = if named.is_empty() { &here[..] } else { named };
    let files = walk::walk(ctx, named, options.recursive, Seals::Keep)?;
    // The lines are all that this command is for, so that nothing is read for a reader that has left.
    ctx.each(files.iter().take_while(|_| !ctx.is_closed()), |file| {
        let hashed = hash(ctx, file, options.kind, &options.also)?;
        let mut report = Report::new(Status::Done, "hashed");
        let mut text = Vec::new();
        let end = if options.zero { b'\0' } else { b'\n' };
        line(&mut text, &hashed.root, (!options.no_names).then_some(file), options.zero);
        text.push(end);
        let mut also = Map::new();
        for (which, digest) in &hashed.also {
            tagged_line(&mut text, which.tag(), digest, file, options.zero);
            text.push(end);
            also.insert(which.key().to_owned(), units::hex(digest).into());
        }
        report.text = text;
        report.put("root", units::hex(&hashed.root)).put("type", options.kind.name());
        report.put("size", hashed.info.domain_size).put("residue", hashed.info.residue.value());
        report.put("keyed", hashed.info.keyed);
        if !also.is_empty() {
            report.put("also", Value::from(also));
        }
        Ok(report)
    })
}

/// Appends `ROOT  NAME` to `out`. Unless `raw` is set, the name is escaped like by b3sum and sha256sum.
fn line(out: &mut Vec<u8>, digest: &[u8; 32], name: Option<&Path>, raw: bool) {
    let Some(name) = name else {
        out.extend(units::hex(digest).bytes());
        return;
    };
    let (escaped, name) = escape(name, raw);
    if escaped {
        out.push(b'\\');
    }
    out.extend(units::hex(digest).bytes());
    out.extend(b"  ");
    out.extend(name);
}

/// Appends `TAG (NAME) = DIGEST` to `out`, like b3sum --tag and sha256sum --tag.
fn tagged_line(out: &mut Vec<u8>, tag: &str, digest: &[u8; 32], name: &Path, raw: bool) {
    let (escaped, name) = escape(name, raw);
    if escaped {
        out.push(b'\\');
    }
    out.extend(tag.bytes());
    out.extend(b" (");
    out.extend(name);
    out.extend(b") = ");
    out.extend(units::hex(digest).bytes());
}

fn escape(name: &Path, raw: bool) -> (bool, Vec<u8>) {
    let bytes = name.as_os_str().as_bytes();
    if raw || !bytes.iter().any(|byte| b"\\\n\r".contains(byte)) {
        return (false, bytes.to_vec());
    }
    let mut escaped = Vec::new();
    for byte in bytes {
        match byte {
            b'\\' => escaped.extend(b"\\\\"),
            b'\n' => escaped.extend(b"\\n"),
            b'\r' => escaped.extend(b"\\r"),
            _ => escaped.push(*byte),
        }
    }
    (true, escaped)
}

fn unescape(name: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    let mut bytes = name.iter();
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'\\' => match bytes.next()? {
                b'\\' => b'\\',
                b'n' => b'\n',
                b'r' => b'\r',
                _ => return None,
            },
            _ => *byte,
        });
    }
    Some(out)
}

/// A line of a list to check: a file, and the digest that it must have.
struct Wanted {
    name: PathBuf,
    digest: [u8; 32],
    /// Kind of the digest. `None` means a root.
    also: Option<Also>,
}

fn parse_line(line: &[u8], raw: bool) -> Option<Wanted> {
    let (escaped, line) = match line.strip_prefix(b"\\") {
        Some(rest) if !raw => (true, rest),
        _ => (false, line),
    };
    let digest = |text: &[u8]| units::parse_digest(std::str::from_utf8(text).ok()?).ok();
    let name = |bytes: &[u8]| {
        let name = if escaped { unescape(bytes)? } else { bytes.to_vec() };
        (!name.is_empty() && !name.contains(&0)).then(|| PathBuf::from(OsString::from_vec(name)))
    };
    for also in [Also::Blake3, Also::Sha256] {
        let Some(rest) = line.strip_prefix(also.tag().as_bytes()).and_then(|rest| rest.strip_prefix(b" ("))
        else {
            continue;
        };
        let at = rest.len().checked_sub(64 + 4)?;
        let (bytes, rest) = rest.split_at(at);
        return Some(Wanted {
            name: name(bytes)?,
            digest: digest(rest.strip_prefix(b") = ")?)?,
            also: Some(also),
        });
    }
    let (first, rest) = line.split_at_checked(64)?;
    // sha256sum marks binary files with a star.
    let rest = rest.strip_prefix(b"  ").or_else(|| rest.strip_prefix(b" *"))?;
    Some(Wanted { name: name(rest)?, digest: digest(first)?, also: None })
}

/// Hashes the files of a list that `atlasm hash` wrote, and compares them with the digests in the list.
fn check(ctx: &Ctx, options: &Options, list: &Path) -> Res<()> {
    let failed = |error| Failure::io("reading the list", list, &error);
    let mut text = Vec::new();
    if names::is_dash(list) {
        signals::read_to_end(&mut io::stdin().lock(), &mut text).map_err(failed)?;
    } else {
        objects::open_regular(list)?.read_to_end(&mut text).map_err(failed)?;
    }
    let end = if options.zero { b'\0' } else { b'\n' };
    let mut lines: Vec<&[u8]> = text.split(|byte| *byte == end).collect();
    if lines.last().is_some_and(|line| line.is_empty()) {
        lines.pop();
    }
    let mut wanted = Vec::new();
    for (number, line) in (1..).zip(lines) {
        let line = if options.zero { line } else { line.strip_suffix(b"\r").unwrap_or(line) };
        match parse_line(line, options.zero) {
            Some(one) => wanted.push(one),
            None => {
                let text = format!("line {number} of {} is not 'ROOT  NAME'", names::shown(list));
                let failure = Failure::new(Status::Foreign, text)
                    .with_hint("a list is what atlasm hash printed; one with NUL bytes needs -z");
                ctx.fail(None, &failure)?;
            }
        }
    }
    if wanted.is_empty() && ctx.status() == Status::Done {
        return Err(Failure::new(
            Status::Foreign,
            format!("{} is empty, and a list must have one line per file", names::shown(list)),
        ));
    }
    let (total, mut differing, mut unread) = (wanted.len(), 0_u64, 0_u64);
    for one in &wanted {
        if signals::cancelled() {
            ctx.add_status(Status::Cancelled);
            break;
        }
        let also: Vec<Also> = one.also.into_iter().collect();
        let hashed = match hash(ctx, &one.name, options.kind, &also) {
            Ok(hashed) => hashed,
            Err(failure) => {
                unread += 1;
                if !ctx.json() && failure.status != Status::Cancelled {
                    let mut text = names::text(&one.name);
                    text.extend(format!(": {}\n", ctx.coloured(Colour::Bad, "FAILED to read")).bytes());
                    ctx.write(&text)?;
                }
                ctx.fail(Some(&one.name), &failure)?;
                continue;
            }
        };
        let found = hashed.also.first().map_or(hashed.root, |also| also.1);
        let is_same = found == one.digest;
        // With a list of another program all files would seem bad, so that the first file that differs is
        // examined again.
        if !is_same && one.also.is_none() && differing == 0 && ctx.key().is_none() {
            let both = hash(ctx, &one.name, options.kind, &[Also::Sha256, Also::Blake3]);
            let also = both.map(|both| both.also).unwrap_or_default();
            if let Some((which, _)) = also.iter().find(|(_, digest)| *digest == one.digest) {
                let text = format!(
                    "{} lists {} digests of files instead of roots, and that of {} matches",
                    names::shown(list),
                    which.tag(),
                    names::shown(&one.name)
                );
                let program = if *which == Also::Sha256 { "sha256sum" } else { "b3sum" };
                return Err(Failure::new(Status::Foreign, text)
                    .with_hint(format!("{program} -c {} checks it", names::quoted(list))));
            }
        }
        let status = if is_same { Status::Done } else { Status::Differs };
        let mut report = Report::new(status, if is_same { "match" } else { "differs" });
        match one.also {
            None => report.put("root", units::hex(&found)).put("type", options.kind.name()),
            Some(also) => report.put("digest", units::hex(&found)).put("algorithm", also.key()),
        };
        report.put("expected", units::hex(&one.digest)).put("size", hashed.info.domain_size);
        if !is_same {
            differing += 1;
            report.line_of(&one.name, ctx.coloured(Colour::Bad, "FAILED"));
        } else if !ctx.global.quiet {
            report.line_of(&one.name, ctx.coloured(Colour::Good, "OK"));
        }
        ctx.report(Some(&one.name), report)?;
    }
    if differing > 0 {
        let verb = if total == 1 { "does" } else { "do" };
        ctx.warn(&format!("{differing} of {} {verb} not match", units::count(total as u64, "file")));
        if options.kind == RootType::Linear && differing == total as u64 {
            ctx.warn("if the list was made with --type r96:K, it is checked with the same --type");
        }
    }
    if unread > 0 {
        ctx.warn(&format!("{unread} of {} could not be read", units::count(total as u64, "file")));
    }
    Ok(())
}

/// Hashes a file, or standard input, and returns its root and the digests that `also` names.
fn hash(ctx: &Ctx, path: &Path, kind: RootType, also: &[Also]) -> Res<Hashed> {
    let (projection_type, options) = kind.projection(ctx.projection_options());
    if names::is_dash(path) {
        return pump(ctx, path, io::stdin(), 0, (projection_type, &options), also);
    }
    let metadata = fs::metadata(path).map_err(|error| Failure::io("opening", path, &error))?;
    if metadata.is_dir() {
        return Err(Failure::usage(format!(
            "{} is a folder, and only files have a root",
            names::shown(path)
        )));
    }
    if !metadata.is_file() || !also.is_empty() {
        let file = signals::open(path).map_err(|error| Failure::io("opening", path, &error))?;
        let size = if metadata.is_file() { metadata.len() } else { 0 };
        return pump(ctx, path, file, size, (projection_type, &options), also);
    }
    let source = ctx.source(path)?;
    ctx.operate(path, source.size(), |operation| {
        let config = StreamingConfig::default();
        let projection = stream_projection(&source, projection_type, &options, config, operation)?;
        finished(&projection, Vec::new(), operation)
    })
}

fn finished(
    projection: &AtlasProjection,
    also: Vec<(Also, [u8; 32])>,
    operation: &mut Operation<'_>,
) -> Result<Hashed, atlas_manifold::AtlasError> {
    Ok(Hashed { root: projection.root(operation)?, info: projection.info(), also })
}

/// Maximum number of bytes of a piece of the input. One piece is read while another is hashed.
const PIECE: usize = 8 << 20;

/// Hashes the bytes of `reader` as they arrive. `size` is their number, or 0 if it is unknown.
fn pump(
    ctx: &Ctx,
    path: &Path,
    reader: impl Read + Send,
    size: u64,
    (projection_type, options): (ProjectionType, &ProjectionOptions),
    also: &[Also],
) -> Res<Hashed> {
    let failure = std::cell::RefCell::new(None);
    let mut digests = Digests::new(also);
    let result = std::thread::scope(|scope| {
        // Two pieces are used: one is hashed while the other is filled.
        let (full, pieces) = sync_channel(1);
        let (used, empty) = sync_channel(2);
        for _ in 0..2 {
            drop(used.send(Vec::new()));
        }
        let is_pipe = size == 0;
        scope.spawn(move || read_ahead(reader, &empty, &full, is_pipe));
        // The length of a pipe is unknown, and a pipe of a few bytes needs no pool, so that the first piece
        // decides.
        let first = match next(&pieces) {
            Ok(first) => first,
            Err(error) => {
                *failure.borrow_mut() = Some(error);
                None
            }
        };
        let length = first.as_ref().map_or(0, |first| first.len() as u64);
        ctx.operate(path, size.max(length), |operation| {
            let config = StreamingConfig::default();
            let mut stream = StreamingContext::open_hash(projection_type, options, config, operation)?;
            let mut piece = first;
            while let Some(bytes) = piece {
                std::thread::scope(|scope| {
                    digests.update(scope, &bytes);
                    stream.push(&bytes, operation)
                })?;
                drop(used.send(bytes));
                piece = match next(&pieces) {
                    Ok(piece) => piece,
                    Err(error) => {
                        *failure.borrow_mut() = Some(error);
                        None
                    }
                };
            }
            let projection = stream.finish(operation)?;
            finished(&projection, Vec::new(), operation)
        })
    });
    if signals::cancelled() {
        return Err(Failure::new(Status::Cancelled, "stopped by a signal; no incomplete output was left"));
    }
    if let Some(error) = failure.into_inner() {
        return Err(Failure::io("reading", path, &error));
    }
    Ok(Hashed { also: digests.finish(), ..result? })
}

/// Returns the next piece that the thread of `read_ahead` has filled. `None` at the end, or if a signal has
/// ended that thread. Ends the process if a signal arrives during the wait.
fn next(pieces: &Receiver<io::Result<Vec<u8>>>) -> io::Result<Option<Vec<u8>>> {
    loop {
        match pieces.recv_timeout(Duration::from_millis(50)) {
            Ok(piece) => return piece.map(Some),
            Err(RecvTimeoutError::Disconnected) => return Ok(None),
            Err(RecvTimeoutError::Timeout) if signals::cancelled() => {
                // The reader thread may wait for a pipe without end, so that the process ends here. No
                // temporary file is left.
                std::process::exit(Status::Cancelled.code().into());
            }
            Err(RecvTimeoutError::Timeout) => {}
        }
    }
}

/// Reads `reader` into the buffers from `empty` and sends them to `full`, until the end, an error or a signal.
fn read_ahead(
    mut reader: impl Read,
    empty: &Receiver<Vec<u8>>,
    full: &SyncSender<io::Result<Vec<u8>>>,
    is_pipe: bool,
) {
    while let Ok(mut piece) = empty.recv() {
        piece.clear();
        // The first piece is small, because most pipes are short.
        let mut wanted = if is_pipe { 1 << 16 } else { PIECE };
        while piece.len() < PIECE {
            if signals::cancelled() {
                return;
            }
            wanted = wanted.min(PIECE - piece.len());
            match reader.by_ref().take(wanted as u64).read_to_end(&mut piece) {
                Ok(read) if read < wanted => {
                    if !piece.is_empty() {
                        drop(full.send(Ok(piece)));
                    }
                    return;
                }
                Ok(_) => wanted *= 4,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => {
                    drop(full.send(Err(error)));
                    return;
                }
            }
        }
        if full.send(Ok(piece)).is_err() {
            return;
        }
    }
}

/// The digests of all bytes that are computed besides the root, each on a thread of its own.
struct Digests {
    blake3: Option<blake3::Hasher>,
    sha256: Option<sha2::Sha256>,
    order: Vec<Also>,
}

impl Digests {
    fn new(also: &[Also]) -> Digests {
        let mut order: Vec<Also> = Vec::new();
        for one in also {
            if !order.contains(one) {
                order.push(*one);
            }
        }
        Digests {
            blake3: order.contains(&Also::Blake3).then(blake3::Hasher::new),
            sha256: order.contains(&Also::Sha256).then(sha2::Sha256::new),
            order,
        }
    }

    fn update<'s>(&'s mut self, scope: &'s std::thread::Scope<'s, '_>, bytes: &'s [u8]) {
        if let Some(hasher) = &mut self.blake3 {
            scope.spawn(move || hasher.update(bytes));
        }
        if let Some(hasher) = &mut self.sha256 {
            scope.spawn(move || hasher.update(bytes));
        }
    }

    fn finish(self) -> Vec<(Also, [u8; 32])> {
        let blake3 = self.blake3.map(|hasher| *hasher.finalize().as_bytes());
        let sha256 = self.sha256.map(|hasher| hasher.finalize().into());
        let digest = |which: &Also| match which {
            Also::Blake3 => blake3,
            Also::Sha256 => sha256,
        };
        self.order.iter().filter_map(|which| digest(which).map(|digest| (*which, digest))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_was_written_is_read_back() {
        for name in ["a", "a b", "back\\slash", "line\nfeed\r", "ü", "-"] {
            for raw in [false, true] {
                let path = Path::new(name);
                let mut text = Vec::new();
                line(&mut text, &[0xa5; 32], Some(path), raw);
                let read = parse_line(&text, raw).unwrap();
                assert_eq!((read.name.as_path(), read.digest, read.also), (path, [0xa5; 32], None));
                let mut text = Vec::new();
                tagged_line(&mut text, "SHA256", &[7; 32], path, raw);
                let read = parse_line(&text, raw).unwrap();
                assert_eq!(
                    (read.name.as_path(), read.digest, read.also),
                    (path, [7; 32], Some(Also::Sha256))
                );
            }
        }
    }

    #[test]
    fn a_line_of_another_form_is_refused() {
        let digest = "0".repeat(64);
        for text in
            ["", "x", &digest, &format!("{digest} x"), &format!("{digest}  "), &format!("g{digest}  x")]
        {
            assert!(parse_line(text.as_bytes(), false).is_none(), "{text}");
        }
        assert!(parse_line(format!("\\{digest}  a\\x").as_bytes(), false).is_none());
        assert!(parse_line(b"SHA256 (x) = 00", false).is_none());
    }
}
