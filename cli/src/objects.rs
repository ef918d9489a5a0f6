//! Kinds of files, and the opening of containers together with the file that has the bytes of an outline.

use crate::context::Ctx;
use crate::names;
use crate::status::{Failure, Res, Status};
use atlas_manifold::{Container, ContainerInfo, ContainerMode, ContainerOptions, ErrorKind, ReadAt, Source};
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Kind of a file, by its first 12 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Shard,
    CompressedShard,
    Container,
    Parity,
    /// Any other file.
    Plain,
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::Shard => "shard",
            Kind::CompressedShard => "compressed shard",
            Kind::Container => "container",
            Kind::Parity => "parity file",
            Kind::Plain => "file",
        }
    }
}

const MAGIC: [u8; 8] = *b"\x89ATLAS\n\x1a";

/// Returns the kind of a regular file, from its first 12 bytes.
pub(crate) fn kind_of(path: &Path) -> Res<Kind> {
    let failed = |error| Failure::io("reading", path, &error);
    let mut file = open_regular(path)?;
    let mut head = [0; 12];
    let mut filled = 0;
    while filled < head.len() {
        match file.read(&mut head[filled..]).map_err(failed)? {
            0 => break,
            read => filled += read,
        }
    }
    if head[..8] != MAGIC {
        return Ok(Kind::Plain);
    }
    Ok(match u16::from_le_bytes([head[10], head[11]]) {
        1 => Kind::Shard,
        2 => Kind::CompressedShard,
        3 => Kind::Container,
        4 => Kind::Parity,
        _ => Kind::Plain,
    })
}

/// Fails if `path` is `-`, because standard input cannot be read by position.
fn refuse_stdin(path: &Path) -> Res<()> {
    if !names::is_dash(path) {
        return Ok(());
    }
    Err(Failure::usage("this command reads files by position, which standard input does not support")
        .with_hint("save the bytes to a file first; write ./- for a file with the name -"))
}

/// Opens a regular file to read it by position. Refuses standard input, folders, devices and pipes.
pub(crate) fn open_regular(path: &Path) -> Res<File> {
    refuse_stdin(path)?;
    let failed = |error| Failure::io("opening", path, &error);
    let metadata = fs::metadata(path).map_err(failed)?;
    if metadata.is_dir() {
        return Err(Failure::usage(format!(
            "{} is a folder, and this command reads a file: name a file in it",
            names::shown(path)
        )));
    }
    if !metadata.is_file() {
        return Err(Failure::usage(format!(
            "{} is not a regular file (a device, pipe or socket): save its bytes to a file first",
            names::shown(path)
        )));
    }
    File::open(path).map_err(failed)
}

/// Returns the size of a regular file in bytes.
pub(crate) fn size_of(path: &Path) -> Res<u64> {
    let file = open_regular(path)?;
    Ok(file.metadata().map_err(|error| Failure::io("looking at", path, &error))?.len())
}

/// An open container and, for an outline, the file that has its bytes.
pub(crate) struct Opened {
    pub(crate) container: Container,
    pub(crate) info: ContainerInfo,
    /// Path of the file that has the bytes of an outline. `None` if no such file is attached.
    pub(crate) base: Option<PathBuf>,
}

impl Opened {
    /// Returns true for an outline, whose bytes lie in another file.
    pub(crate) fn is_outline(&self) -> bool {
        self.info.base_size > 0
    }
}

/// Opens a container and attaches the file that has the bytes of an outline: `base`, or else the file with the
/// container's name without `.atlas`, if it exists.
pub(crate) fn open_container(
    ctx: &Ctx,
    path: &Path,
    mode: ContainerMode,
    base: Option<&Path>,
    options: ContainerOptions,
) -> Res<Opened> {
    refuse_stdin(path)?;
    let verify = ctx.verify_options(None);
    let opened = ctx.operate(path, 0, |operation| Container::open(path, mode, &verify, &options, operation));
    let container = opened.map_err(|failure| explain_container(path, failure))?;
    let info = container.info()?;
    if info.newest == 0 {
        let text = format!("{} is a container without any content: it has no generation", names::shown(path));
        return Err(Failure::new(Status::Incomplete, text)
            .with_hint("the program that made it committed nothing: let it commit, or pack the file again"));
    }
    let base = match base {
        Some(base) => Some(base.to_owned()),
        None if info.base_size > 0 => {
            names::without_suffix(path, names::ATLAS).filter(|base| fs::metadata(base).is_ok())
        }
        None => None,
    };
    if let Some(base) = &base {
        container.set_base(Some(&base_source(ctx, base, info.base_size)?))?;
    }
    Ok(Opened { container, info, base })
}

/// Returns the failure of opening the container `path`, with its name and with advice.
fn explain_container(path: &Path, failure: Failure) -> Failure {
    let shown = names::shown(path);
    let mut failure = if failure.message.contains(&shown) { failure } else { failure.while_doing(&shown) };
    // The text suggests an option of the library that the command line does not have, so that this part is
    // cut off.
    if let Some(end) = failure.message.find("; open with recover") {
        failure.message.truncate(end);
    }
    match failure.status {
        Status::Foreign => {
            failure.with_hint(format!("{shown} is no outline or container; atlasm info says what it is"))
        }
        Status::Io => failure,
        Status::Differs => {
            failure.with_hint("the container itself is damaged, or it was made with another key: --key-file")
        }
        _ => failure,
    }
}

/// Opens the file `path`, which has the `wanted` bytes of an outline. If the file has become shorter, only
/// reads of the lost bytes fail.
pub(crate) fn base_source(ctx: &Ctx, path: &Path, wanted: u64) -> Res<Source> {
    let size = size_of(path)?;
    if size >= wanted {
        return ctx.source(path);
    }
    let file = open_regular(path)?;
    Ok(Source::from_reader(wanted, Shortened { file }))
}

/// A file that is shorter than its outline requires. Reads past its end fail.
struct Shortened {
    file: File,
}

impl ReadAt for Shortened {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(buffer, offset)
    }
}

/// Returns true for a kind of error whose cause may be changed, missing or unreadable bytes.
pub(crate) fn is_damage(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::Witness
            | ErrorKind::Conservation
            | ErrorKind::Io
            | ErrorKind::Incomplete
            | ErrorKind::Format
    )
}
