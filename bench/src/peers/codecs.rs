//! Zstandard and LZ4 beside c-blosc2 with the same codecs, and beside the codecs alone on the same blocks.

use super::measure::{Case, Report, case};
use super::{Blosc, MIB, Packed, Streams, borrow, check, operation, project, sys};
use std::cell::RefCell;
use std::hint::black_box;
use std::path::Path;
use zstd_safe::{CCtx, DCtx};

const ZSTD: u32 = 3;
const LZ4: u32 = 4;
const AUTO: u32 = 5;

/// A shard of all bytes, to be compressed in blocks of 1 MiB without `verify_integrity`.
fn packed(bytes: &[u8], algorithm: u32, own_level: Option<i32>, operation: &sys::Operation) -> Packed {
    let source = borrow(bytes);
    let (projection, mut shard) = (project(source, 0, 96, operation), std::ptr::null_mut());
    let region = sys::Region { offset: 0, length: bytes.len() as u64 };
    let mut config = unsafe { std::mem::zeroed() };
    unsafe {
        check(sys::atlas_shard_extract(projection, &raw const region, operation, &raw mut shard));
        sys::atlas_projection_destroy(projection);
        sys::atlas_source_destroy(source);
        sys::atlas_compression_config_init(&raw mut config);
    }
    let (has_codec_level, codec_level) = (u32::from(own_level.is_some()), own_level.unwrap_or(0));
    let block_size = MIB as u64;
    config = sys::CompressionConfig {
        algorithm,
        block_size,
        verify_integrity: 0,
        max_compression_ratio: 1.0,
        has_codec_level,
        codec_level,
        ..config
    };
    Packed::with(shard, config)
}

/// BLAKE3 of each block, as ours has it.
fn digests(bytes: &[u8]) {
    bytes.chunks(MIB).for_each(|block| _ = black_box(blake3::hash(block)));
}

/// A codec on blocks of 1 MiB, which unpacks into memory for all of them, as ours and c-blosc2 do.
struct Plain {
    level: Option<i32>,
    encoder: CCtx<'static>,
    decoder: DCtx<'static>,
    streams: Streams,
    out: Vec<u8>,
}

impl Plain {
    fn new(level: Option<i32>, len: usize) -> Plain {
        Plain {
            level,
            encoder: CCtx::create(),
            decoder: DCtx::create(),
            streams: Streams::of(len, MIB),
            out: vec![0; len],
        }
    }

    fn pack(&mut self, bytes: &[u8], hashes: bool) {
        let (level, encoder) = (self.level, &mut self.encoder);
        self.streams.pack(bytes, |block, packed| {
            packed.resize(lz4_flex::block::get_maximum_output_size(MIB), 0);
            let len = match level {
                Some(level) => encoder.compress(&mut packed[..], block, level).expect("room"),
                None => lz4_flex::block::compress_into(block, packed).expect("room"),
            };
            if hashes {
                digests(block);
            }
            len
        });
    }

    fn unpack(&mut self, hashes: bool) {
        for ((packed, size), out) in self.streams.packed.iter().zip(self.out.chunks_mut(MIB)) {
            let packed = &packed[..*size];
            let made = match self.level {
                Some(_) => self.decoder.decompress(&mut out[..], packed).expect("a stream"),
                None => lz4_flex::block::decompress_into(packed, out).expect("a stream"),
            };
            assert!(made == out.len());
            if hashes {
                digests(out);
            }
        }
    }
}

pub fn codecs(report: &mut Report, peers: &Path, random: &[u8]) {
    report.section(
        "Zstandard and LZ4, one thread, blocks of 1 MiB",
        "After each name follows the ratio of original to compressed size. This library uses the filter \
         AUTO, without `verify_integrity`; levels are Zstandard's own, and c-blosc2's clevel c is \
         Zstandard's 2c − 1. c-blosc2 gets the size of the numbers and uses the better one of shuffle and \
         bytedelta, its own block size or 1 MiB. This library has a BLAKE3 digest of each block, and \
         decompression verifies it and the root; no peer hashes, so that each is shown alone and with \
         BLAKE3 of the same blocks.",
    );
    let (one, two) = (operation(1), operation(2));
    for super::corpora::Corpus { name, bytes, type_size, .. } in super::corpora::all(peers, random) {
        for (algorithm, own, clevel) in
            [(ZSTD, Some(1), 1), (ZSTD, Some(3), 2), (ZSTD, Some(9), 5), (LZ4, None, 5)]
        {
            let what = match own {
                Some(level) => format!("{name}: Zstandard {level}"),
                None => format!("{name}: LZ4"),
            };
            row(report, &what, (&bytes, type_size), (algorithm, own, clevel), (&one, &two));
        }
    }
    choices(report, peers, random, &one);
}

fn row(
    report: &mut Report,
    what: &str,
    (bytes, type_size): (&[u8], i32),
    (algorithm, own, clevel): (u32, Option<i32>, u8),
    (one, two): (&sys::Operation, &sys::Operation),
) {
    let len = bytes.len();
    let ours = packed(bytes, algorithm, own, one);
    let plain = RefCell::new(Plain::new(own, len));
    let codec = if own.is_some() { 5 } else { 1 };
    let filters: &[i32] = if type_size > 1 { &[1, 2] } else { &[0] };
    // The filter and the block size that make it smallest, of its own size and of ours.
    let best = |block: i32| {
        let tried = filters.iter().map(|&filter| {
            let mut blosc = Blosc::new(codec, clevel, type_size, len);
            (blosc.filter, blosc.block) = (filter, block);
            blosc.pack(bytes);
            blosc
        });
        RefCell::new(tried.min_by_key(|blosc| blosc.size).expect("a filter"))
    };
    let (own_block, same_block) = (best(0), best(MIB as i32));
    ours.pack(one);
    plain.borrow_mut().pack(bytes, false);
    let note = |size: f64| format!(" [{:.4}]", len as f64 / size);
    let sizes = [ours.size() as f64, plain.borrow().streams.size() as f64];
    let blosc = [&own_block, &same_block].map(|blosc| blosc.borrow().size as f64);
    let notes =
        [note(sizes[0]), note(sizes[1]), note(sizes[1]), note(blosc[0]), note(blosc[0]), note(blosc[1])];
    let with_digests = |blosc: &RefCell<Blosc>| {
        blosc.borrow_mut().pack(bytes);
        digests(bytes);
    };
    report.against_with(
        len,
        &mut [
            case(what, || ours.pack(one)),
            case("the codec alone", || plain.borrow_mut().pack(bytes, false)),
            case("the codec and BLAKE3", || plain.borrow_mut().pack(bytes, true)),
            case("c-blosc2", || own_block.borrow_mut().pack(bytes)),
            case("c-blosc2 and BLAKE3", || with_digests(&own_block)),
            case("c-blosc2, 1 MiB, and BLAKE3", || with_digests(&same_block)),
            case("the same on two threads", || ours.pack(two)),
        ],
        &[&notes[..], &[note(sizes[0])]].concat(),
    );
    let unpack_with_digests = |blosc: &RefCell<Blosc>| {
        blosc.borrow_mut().unpack();
        digests(&blosc.borrow().out);
    };
    let title = format!("{what}, unpack");
    report.against(
        len,
        &mut [
            case(&title, || ours.unpack(one)),
            case("the codec alone", || plain.borrow_mut().unpack(false)),
            case("the codec and BLAKE3", || plain.borrow_mut().unpack(true)),
            case("c-blosc2", || own_block.borrow_mut().unpack()),
            case("c-blosc2 and BLAKE3", || unpack_with_digests(&own_block)),
            case("c-blosc2, 1 MiB, and BLAKE3", || unpack_with_digests(&same_block)),
            case("the same on two threads", || ours.unpack(two)),
        ],
    );
}

/// The algorithm chosen by AUTO, beside every fixed choice at the same level.
fn choices(report: &mut Report, peers: &Path, random: &[u8], one: &sys::Operation) {
    report.line("\n### The choice of the algorithm, level 3, blocks of 128 KiB\n");
    report.line("Ratio, and MB/s of decompression, of each fixed choice and of AUTO for each target; in brackets what it chose.\n");
    report.line("| data | DEFLATE | conservation-aware | Zstandard, none | Zstandard, planes | Zstandard | LZ4, none | LZ4, planes | LZ4 | balanced | fastest read | smallest |");
    report.line("|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|");
    for super::corpora::Corpus { name, bytes, .. } in super::corpora::all(peers, random) {
        let choices = [
            (1, 0, 0),
            (2, 0, 0),
            (ZSTD, 1, 0),
            (ZSTD, 2, 0),
            (ZSTD, 0, 0),
            (LZ4, 1, 0),
            (LZ4, 2, 0),
            (LZ4, 0, 0),
            (AUTO, 0, 0),
            (AUTO, 0, 1),
            (AUTO, 0, 2),
        ];
        let all: Vec<Packed> = choices
            .into_iter()
            .map(|(algorithm, filter, target)| {
                let mut packed = packed(&bytes, algorithm, None, one);
                packed.config = sys::CompressionConfig {
                    filter,
                    target,
                    level: 3,
                    block_size: super::BLOCK as u64,
                    max_compression_ratio: 0.9,
                    ..packed.config
                };
                packed.pack(one);
                packed
            })
            .collect();
        let mut cases: Vec<Case<'_>> = all.iter().map(|packed| case("", || packed.unpack(one))).collect();
        let seconds = super::measure::medians(&mut cases);
        let cells: Vec<String> = all
            .iter()
            .zip(seconds)
            .map(|(packed, seconds)| {
                let len = bytes.len() as f64;
                let chosen = ["none", "DEFLATE", "aware", "Zstandard", "LZ4"][packed.algorithm() as usize];
                format!("{:.3}, {:.0} ({chosen})", len / packed.size() as f64, len / seconds / 1e6)
            })
            .collect();
        report.line(&format!("| {name} | {} |", cells.join(" | ")));
    }
}
