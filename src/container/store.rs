//! Reads a generation of a container file for a tile tree: loads and checks nodes and tiles on demand.

use super::encoded;
use super::file::ContainerFile;
use super::records::{
    self, Commit, MAX_DECODED, MAX_TILE_RECORD, ParsedChildren, RawTile, RecordKind, features, malformed,
};
use super::seal::CHAINS;
use crate::base::buffer::{Buffer, try_push, try_vec};
use crate::base::error::{AtlasError, Result};
use crate::base::out_bytes::OutBytes;
use crate::base::storage::FileId;
use crate::base::units::{GROUP_SIZE, to_u64, to_usize};
use crate::hash::digest::same;
use crate::hash::outboard::Outboard;
use crate::hash::tile_tree::{fold, leaf_digest};
use crate::source::Source;
use crate::tile::Tile;
use crate::tile::context::Context;
use crate::tile::extent::Extent;
use crate::tile::stored::{
    CommitId, NodeRef, Span, SpanKind, Store, StoredChildren, StoredTile, TilePlace, TileSpans,
};
use crate::tile::tree::NodeCache;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Generation of a container file, and the base that was attached when this store was made.
pub(super) struct GenerationStore {
    pub(super) file: Arc<ContainerFile>,
    pub(super) id: Arc<CommitId>,
    pub(super) features: u32,
    /// Size in bytes of the base to which this generation may refer.
    pub(super) base_size: u64,
    pub(super) base: Option<Source>,
    /// The container file as a source, for payload that is stored without encoding.
    pub(super) payload: Source,
    pub(super) context: Arc<Context>,
    pub(super) cache: Arc<NodeCache>,
}

impl GenerationStore {
    pub(super) fn new(
        file: &Arc<ContainerFile>,
        commit: &Commit,
        base: Option<Source>,
        context: &Arc<Context>,
        cache: &Arc<NodeCache>,
    ) -> Result<GenerationStore> {
        context.raise_reading(encoded::reading(commit.features));
        Ok(GenerationStore {
            payload: Source::from_storage(Arc::clone(&file.storage), &file.path)?,
            file: Arc::clone(file),
            id: Arc::new(commit.id()),
            features: commit.features,
            base_size: commit.base_size,
            base,
            context: Arc::clone(context),
            cache: Arc::clone(cache),
        })
    }

    /// Returns true if the container must have chaining values for a tile of `len` bytes.
    fn is_chained(&self, len: u32) -> bool {
        self.file.ident.has(CHAINS) && to_usize(u64::from(len)) > GROUP_SIZE
    }

    /// Fails with FORMAT if the place of `span` is not allowed in the record at offset `record`, which names it, or if
    /// the generation lacks the feature bit that the span needs.
    pub(super) fn check_span(&self, span: &Span, record: u64) -> Result<()> {
        let wrong = |what: String| Err(malformed(record, 0, what));
        let (start, place) = (self.file.start(), span.place);
        // Each place is a claim of the file, which is checked before anything is read there.
        let end = span.place.checked_add(u64::from(span.len));
        let needed = match span.kind {
            SpanKind::Raw => {
                // RAW bytes must lie before the record that names them ("Limits").
                if span.place < self.file.start() || end.is_none_or(|end| end > record) {
                    return wrong(format!(
                        "a span of {} bytes at byte {place} of the file must lie in {start}..{record}, \
                         before the record that names it",
                        span.len
                    ));
                }
                0
            }
            SpanKind::Base => {
                // BASE bytes must lie in the base's address space, whatever base is attached.
                if end.is_none_or(|end| end > self.base_size) {
                    return wrong(format!(
                        "a span of {} bytes at byte {place} of the base is outside the base's {} bytes",
                        span.len, self.base_size
                    ));
                }
                features::BASE
            }
            SpanKind::Encoded => {
                // Algorithm and filters are checked when the record is decoded.
                if !span.place.is_multiple_of(8) || span.place < self.file.start() || span.place >= record {
                    return wrong(format!(
                        "a span names an encoded record at byte {place}: this must be a multiple of 8 in \
                         {start}..{record}"
                    ));
                }
                0
            }
            SpanKind::Zeros => {
                if span.place != 0 {
                    return wrong(format!("a span of zeros has the offset {place} instead of 0"));
                }
                0
            }
        };
        // The generation must name the feature, because a reader decides by the feature bits alone if it can
        // read a generation.
        if needed & !self.features != 0 {
            return wrong(format!(
                "the record needs the feature bits {needed:#x}, and its generation names only {:#x}",
                self.features
            ));
        }
        Ok(())
    }

    /// Returns the attached base, and the offset `place` in it of a span of `len` bytes. `None` if no base is attached,
    /// or it is too short.
    fn base_place(&self, place: u64, len: u32) -> Option<(Source, u64)> {
        // If the base is not attached or too short, reading the bytes fails with INCOMPLETE.
        let base = self.base.as_ref()?;
        let end = place.checked_add(u64::from(len))?;
        (end <= base.size()).then(|| (base.clone(), place))
    }

    /// Returns the tile of the entry `raw` in the leaf at offset `leaf`. If the place in the entry is invalid, this
    /// call succeeds, and reads of the tile's bytes fail.
    fn tile(self: &Arc<Self>, leaf: u64, raw: &RawTile) -> Result<Arc<Tile>> {
        let entry = &raw.entry;
        // A tile that lies in one place is read from there directly, without the store.
        let place = match entry.place {
            TilePlace::Span(kind, place, _) if self.one_span(leaf, raw).is_ok() => match kind {
                SpanKind::Raw => Some((self.payload.clone(), place)),
                SpanKind::Base => self.base_place(place, entry.len),
                // Encoded bytes and zeros exist nowhere in plain form, so that the store makes them.
                SpanKind::Encoded | SpanKind::Zeros => None,
            },
            _ => None,
        };
        let store: Arc<dyn Store> = Arc::clone(self) as Arc<dyn Store>;
        let stored = StoredTile::new(store, *entry, leaf, raw.first);
        Ok(Arc::new(Tile::whole_of(Extent::stored(stored, place)?)))
    }

    /// Returns the only span of a tile without a tile record, from the tile's entry `raw` in the leaf at offset `leaf`.
    /// Fails with FORMAT if the span is not valid.
    fn one_span(&self, leaf: u64, raw: &RawTile) -> Result<Span> {
        let entry = &raw.entry;
        let TilePlace::Span(kind, place, start) = entry.place else {
            return Err(AtlasError::internal(
                "a defect of the library, please report it: a tile with a record of its own is read as one \
                 span",
            ));
        };
        // With chaining values a tile needs a record, in which they lie.
        if self.is_chained(entry.len) {
            return Err(malformed(leaf, 0, "chaining values of a tile are missing"));
        }
        if start != 0 && kind != SpanKind::Encoded {
            return Err(malformed(leaf, 0, "a tile that is not encoded has an offset within a record"));
        }
        let span = Span { kind, place, start, len: entry.len };
        self.check_span(&span, leaf)?;
        Ok(span)
    }

    /// Loads the record of a tree node, checks it against the digest in its parent, and returns its children.
    pub(super) fn parse(&self, node: &NodeRef) -> Result<ParsedChildren> {
        // Check the claims of the parent that need no read.
        records::check_child(&self.file.ident, node)?;
        let kind = RecordKind::of_node(node.height);
        let Some(record) = self.file.sealed(kind, node.offset, node.size..=node.size)? else {
            return Err(damaged(&self.file, kind, node.offset, u64::from(node.size)));
        };
        // The record is sealed; its entries may still differ from the digest in the parent.
        let parsed = records::parse_node(node, &record.bytes)?;
        let digests = self.context.scheme.digests();
        let items = match &parsed {
            ParsedChildren::Nodes(nodes) => nodes.iter().map(|child| (child.bytes, child.top)).collect(),
            ParsedChildren::Tiles(tiles) => tiles
                .iter()
                .map(|tile| {
                    let (entry, len) = (&tile.entry, u64::from(tile.entry.len));
                    (len, leaf_digest(digests, len, entry.residue, &entry.witness))
                })
                .collect(),
        };
        // The fold of the children must equal the digest in the parent.
        if !same(&fold(digests, items).1, &node.top) {
            return Err(AtlasError::witness(format!(
                "{}: the container is damaged: the node at byte {} differs from its digest in the parent \
                 node",
                self.file.path.display(),
                node.offset
            ))
            .at_range(node.offset, u64::from(node.size)));
        }
        Ok(parsed)
    }

    /// Returns the decoded bytes of the encoded record at offset `place`, which must end at or before offset `record`,
    /// the offset of the record that names it.
    pub(super) fn decoded(&self, place: u64, record: u64) -> Result<Buffer> {
        encoded::read(&self.file, self.features, place, record)
    }
}

/// Returns the WITNESS error for a record of this kind that is missing or whose seal is not valid.
pub(super) fn damaged(file: &ContainerFile, kind: RecordKind, offset: u64, size: u64) -> AtlasError {
    let (name, path) = (kind.name(), file.path.display());
    AtlasError::witness(format!("{path}: the {name} of the container at byte {offset} is damaged"))
        .at_range(offset, size)
}

impl Store for GenerationStore {
    fn commit(&self) -> &Arc<CommitId> {
        &self.id
    }

    fn context(&self) -> &Arc<Context> {
        &self.context
    }

    fn cache(&self) -> &Arc<NodeCache> {
        &self.cache
    }

    fn base(&self) -> Option<&Source> {
        self.base.as_ref()
    }

    fn children(self: Arc<Self>, node: &NodeRef) -> Result<StoredChildren> {
        Ok(match self.parse(node)? {
            ParsedChildren::Nodes(nodes) => StoredChildren::Nodes(nodes),
            ParsedChildren::Tiles(raw) => {
                let mut tiles = try_vec(raw.len())?;
                for tile in &raw {
                    // The record of a tile, if it has a record, is loaded when its bytes are needed.
                    tiles.push(self.tile(node.offset, tile)?);
                }
                StoredChildren::Tiles(tiles)
            }
        })
    }

    fn spans(&self, tile: &StoredTile) -> Result<TileSpans> {
        // A tile of one span has no record.
        let raw = RawTile { entry: tile.entry, first: tile.first };
        let TilePlace::Record(place) = raw.entry.place else {
            let span = self.one_span(tile.leaf, &raw)?;
            return Ok(TileSpans {
                spans: Box::new([span]),
                chaining_values: Box::new([]),
                record: tile.leaf,
            });
        };
        // Check the place and size of the record before it is used.
        if raw.first != 0 {
            return Err(malformed(
                tile.leaf,
                0,
                "a tile with a record of its own has an offset within a record",
            ));
        }
        if !place.is_multiple_of(8) || place < self.file.start() {
            return Err(malformed(
                tile.leaf,
                0,
                format!(
                    "a tile record at byte {place}, which must be a multiple of 8 from byte {} on",
                    self.file.start()
                ),
            ));
        }
        let Some(record) = self.file.sealed(RecordKind::Tile, place, 56..=MAX_TILE_RECORD)? else {
            return Err(damaged(&self.file, RecordKind::Tile, place, 56));
        };
        if place + to_u64(record.bytes.len()) > tile.leaf {
            return Err(malformed(
                tile.leaf,
                0,
                format!("the tile record at byte {place} does not end before the leaf that names it"),
            ));
        }
        // Read the spans and chaining values, with the checks that need only the record.
        let chained = self.is_chained(raw.entry.len);
        let spans = records::parse_tile(place, raw.entry.len, chained, &record.bytes)?;
        if chained && features::CHAINS & !self.features != 0 {
            return Err(malformed(
                place,
                0,
                format!(
                    "the record has chaining values and needs the feature bit {:#x}, and its generation \
                     names only {:#x}",
                    features::CHAINS,
                    self.features
                ),
            ));
        }
        // Check each span against the limits of file and base.
        for span in &spans.spans {
            self.check_span(span, place)?;
        }
        // Stored chaining values must fold to the witness.
        if chained {
            let values = spans.chaining_values.to_vec();
            let (_, witness) = Outboard::of_groups(self.context.scheme.digests(), values, None)?;
            if !same(&witness, &raw.entry.witness) {
                return Err(AtlasError::witness(format!(
                    "{}: the container is damaged: the chaining values at byte {place} do not lead to the \
                     witness of their tile",
                    self.file.path.display()
                ))
                .at_range(place, to_u64(record.bytes.len())));
            }
        }
        Ok(spans)
    }

    fn read(&self, spans: &TileSpans, start: u32, mut out: OutBytes<'_>) -> Result<()> {
        // The parts that lie in encoded records, by the record.
        let mut encoded: BTreeMap<u64, Vec<EncodedPart<'_>>> = BTreeMap::new();
        let mut skip = start;
        for span in &spans.spans {
            if out.is_empty() {
                break;
            }
            // Skip spans before the start of the read.
            if skip >= span.len {
                skip -= span.len;
                continue;
            }
            // The part of this span that the read covers.
            let len = to_usize(u64::from(span.len - skip)).min(out.len());
            let part = out.split_off_front(len);
            let from = span.place.saturating_add(u64::from(skip));
            match span.kind {
                SpanKind::Zeros => part.into_initialised().fill(0),
                SpanKind::Raw => self.payload.read_raw(from, part)?,
                SpanKind::Base => self.read_base(from, part)?,
                SpanKind::Encoded => try_push(encoded.entry(span.place).or_default(), (*span, skip, part))?,
            }
            // Only the first span that is read begins in its middle.
            skip = 0;
        }
        // The spans add up to the tile, so that bytes which are missing here mean a defect of the caller.
        if !out.is_empty() {
            return Err(AtlasError::internal(
                "a defect of the library, please report it: a read ends after the end of its tile",
            ));
        }
        // Each record is decoded once, and one at a time is in memory.
        let mut total = 0;
        for (place, parts) in encoded {
            let bytes = self.decoded(place, spans.record)?;
            // The format bounds the work for one tile ("Limits").
            total += to_u64(bytes.len());
            if total > MAX_DECODED {
                let what = "encoded records of one tile decode to more than 8 MiB";
                return Err(malformed(spans.record, 0, what));
            }
            for (span, skip, part) in parts {
                // The record must contain the whole span, even if only a part of it is read.
                let first = to_usize(u64::from(span.start));
                let whole = bytes.get(first..first + to_usize(u64::from(span.len)));
                let Some(whole) = whole else {
                    return Err(malformed(
                        place,
                        0,
                        format!(
                            "the record decodes to {} bytes, and a tile uses {} bytes from byte {first} on",
                            bytes.len(),
                            span.len
                        ),
                    ));
                };
                let skip = to_usize(u64::from(skip));
                let len = part.len();
                part.copy_from(&whole[skip..skip + len]);
            }
        }
        Ok(())
    }

    fn file(&self) -> Option<FileId> {
        self.file.storage.identity()
    }

    fn name(&self) -> String {
        format!("{}", self.file.path.display())
    }
}

/// Span in an encoded record, the number of its bytes before the part that is read, and the memory for that part.
type EncodedPart<'o> = (Span, u32, OutBytes<'o>);

impl GenerationStore {
    fn read_base(&self, offset: u64, out: OutBytes<'_>) -> Result<()> {
        let len = to_u64(out.len());
        let Some(base) = &self.base else {
            return Err(AtlasError::incomplete(format!(
                "{}: {len} bytes lie in the base, and no base is attached: attach it, and read again",
                self.file.path.display()
            )));
        };
        // If the base became shorter, the bytes cannot be read, but that does not prove damage.
        if offset.checked_add(len).is_none_or(|end| end > base.size()) {
            return Err(AtlasError::incomplete(format!(
                "{}: the base ends at {}, before the requested {len} bytes at offset {offset}",
                base.name(),
                base.size()
            )));
        }
        base.read_raw(offset, out)
    }
}
