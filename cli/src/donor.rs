//! Origins of good bytes for a repair: a copy, a container, a shard, a command or a web server. Their bytes are
//! verified against an outline.

use crate::context::Ctx;
use crate::damage::Outline;
use crate::fetch::Fetched;
use crate::names;
use crate::objects;
use crate::status::{Failure, Res, Status};
use crate::units;
use atlas_manifold::{
    AtlasError, AtlasProjection, AtlasShard, Container, ContainerMode, ContainerOptions, ErrorKind, ReadAt,
    Source,
};
use serde_json::Value;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// An origin of good bytes for the repair of a file, such as a copy. Each read is verified against the outline
/// of the file.
pub(crate) struct Donor {
    path: PathBuf,
    /// The sealed bytes of the damaged file, read from the donor. Every read is verified.
    verified: AtlasProjection,
    counted: Arc<AtomicU64>,
    /// Reasons why the donor did not provide ranges, each with the number of ranges.
    refusals: RefCell<BTreeMap<String, u64>>,
    /// The command or server that is asked once for each whole range. `None` if the donor is read directly.
    fetched: Option<Arc<Fetched>>,
    _container: Container,
}

/// A reader that counts the bytes read from `inner`.
struct Counted<R> {
    inner: R,
    count: Arc<AtomicU64>,
}

impl<R: ReadAt> ReadAt for Counted<R> {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.inner.read_at(offset, buffer)?;
        self.count.fetch_add(buffer.len() as u64, Ordering::Relaxed);
        Ok(())
    }
}

struct FetchedBytes(Arc<Fetched>);

impl ReadAt for FetchedBytes {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.0.read_at(offset, buffer)
    }
}

struct FileBytes(std::fs::File);

impl ReadAt for FileBytes {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        std::os::unix::fs::FileExt::read_exact_at(&self.0, buffer, offset)
    }
}

struct ProjectionBytes(AtlasProjection);

impl ReadAt for ProjectionBytes {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.0.read(offset, buffer).map_err(io::Error::other)
    }
}

struct ShardBytes(AtlasShard);

impl ReadAt for ShardBytes {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.0.read(offset, buffer).map_err(io::Error::other)
    }
}

/// Returns the reason, as a text for people, why a donor did not provide a range.
fn reason(error: &AtlasError) -> String {
    match error.kind() {
        ErrorKind::Witness | ErrorKind::Conservation => "the bytes differ from the sealed bytes".to_owned(),
        _ => error.message().to_owned(),
    }
}

impl Donor {
    /// Returns a donor that reads a copy of the file, which may itself be damaged or shortened.
    pub(crate) fn file(ctx: &Ctx, path: &Path, outline: &Outline) -> Res<Donor> {
        Self::new(ctx, path, FileBytes(objects::open_regular(path)?), outline)
    }

    /// Returns a donor that reads the newest generation of a container with the root of `outline`. The
    /// container has its bytes inside, or is an outline whose file exists.
    pub(crate) fn container(ctx: &Ctx, path: &Path, outline: &Outline) -> Res<Donor> {
        let options = ContainerOptions::default();
        let opened = objects::open_container(ctx, path, ContainerMode::Read, None, options)?;
        let info = opened.container.info()?;
        // Find the newest generation that has the root of the outline.
        for generation in (info.oldest..=info.newest).rev() {
            let Ok(found) = opened.container.generation(generation) else { continue };
            if found.root == outline.root {
                let snapshot = ctx
                    .operate(path, 0, |operation| opened.container.snapshot(generation, false, operation))?;
                return Self::new(ctx, path, ProjectionBytes(snapshot), outline);
            }
        }
        let text = format!(
            "{} cannot serve as a copy: none of its generations has the root of the file's outline",
            names::shown(path)
        );
        Err(Failure::new(Status::Differs, text))
    }

    /// Returns a donor that reads a verified shard.
    pub(crate) fn shard(ctx: &Ctx, path: &Path, shard: AtlasShard, outline: &Outline) -> Res<Donor> {
        Self::new(ctx, path, ShardBytes(shard), outline)
    }

    /// Returns a donor that reads the output of a command or of curl. `name` is the command or the address.
    pub(crate) fn fetched(ctx: &Ctx, name: &str, fetched: Fetched, outline: &Outline) -> Res<Donor> {
        let fetched = Arc::new(fetched);
        let donor = Self::new(ctx, Path::new(name), FetchedBytes(Arc::clone(&fetched)), outline)?;
        Ok(Donor { fetched: Some(fetched), ..donor })
    }

    /// Returns a donor that reads `bytes` and verifies them against `outline`. `path` names the donor in
    /// messages.
    fn new(ctx: &Ctx, path: &Path, bytes: impl ReadAt + 'static, outline: &Outline) -> Res<Donor> {
        let counted = Arc::new(AtomicU64::new(0));
        let reader = Counted { inner: bytes, count: Arc::clone(&counted) };
        let source = Source::from_reader(outline.size, reader);
        let options = ContainerOptions { base: Some(source), ..ContainerOptions::default() };
        let verify = ctx.verify_options(None);
        let container = ctx.operate(&outline.path, 0, |operation| {
            Container::open(&outline.path, ContainerMode::Read, &verify, &options, operation)
        })?;
        let verified = ctx
            .operate(&outline.path, 0, |operation| container.snapshot(outline.generation, true, operation))?;
        let refusals = RefCell::default();
        Ok(Donor { path: path.to_owned(), verified, counted, refusals, fetched: None, _container: container })
    }

    /// Fills `buffer` with the donor's bytes at `offset`. Returns false, and notes the reason, if the donor
    /// lacks these bytes or they do not verify.
    pub(crate) fn read(&self, ctx: &Ctx, offset: u64, buffer: &mut [u8]) -> bool {
        let fetched = match &self.fetched {
            Some(fetched) => fetched.ahead(offset, buffer.len()).map_err(|error| error.to_string()),
            None => Ok(()),
        };
        let read = fetched.and_then(|()| self.verified.read(offset, buffer).map_err(|error| reason(&error)));
        if let Err(why) = &read {
            ctx.detail(&format!("{}: at {offset}: {why}", self.name()));
            *self.refusals.borrow_mut().entry(why.clone()).or_default() += 1;
        }
        read.is_ok()
    }

    /// Returns the reasons why the donor did not provide ranges, each with the number of ranges.
    pub(crate) fn refusals(&self) -> Vec<String> {
        let reasons = self.refusals.borrow();
        reasons.iter().map(|(why, ranges)| format!("{why} ({})", units::count(*ranges, "range"))).collect()
    }

    /// Returns the number of bytes that were read from the donor.
    pub(crate) fn read_bytes(&self) -> u64 {
        self.counted.load(Ordering::Relaxed)
    }

    pub(crate) fn name(&self) -> String {
        names::shown(&self.path)
    }

    pub(crate) fn json(&self) -> Value {
        names::object(&self.path)
    }
}
