//! R96_FOURIER: the transform itself against a floating-point one of the same length, and projections,
//! classes and recovery through the C API.

use super::sys::{self, ProjectionOptions};
use super::{MIB, borrow, check, compare, incremental, median, operation, pool, random_bytes, time};
use realfft::RealFftPlanner;
use std::hint::black_box;
use std::ptr::{null, null_mut};

/// The library's own, which uses nothing else of it.
#[path = "../../src/r96/mod.rs"]
#[allow(dead_code, clippy::module_inception)]
mod transform;

use transform::{CLASSES, Decoder, Encoder};

/// Tiles of a run, more than the caches of a core hold.
const TILES: usize = 16;

pub(crate) fn run() {
    kernel();
    through_the_library();
}

/// All classes of some tiles, tile by tile.
struct Spectrum {
    tiles: Vec<Vec<u8>>,
    decoder: Decoder,
}

impl Spectrum {
    fn of(bytes: &[u8], k: usize, classes: &[u8]) -> Self {
        let encoder = Encoder::new(k).expect("K");
        let encode = |tile: &[u8]| {
            let len = encoder.payload_bytes(tile.len());
            let mut payloads = vec![0; CLASSES * len];
            encoder.encode(tile, &mut payloads).expect("memory for the work");
            classes.iter().flat_map(|&class| payloads[usize::from(class) * len..][..len].to_vec()).collect()
        };
        let tiles = bytes.chunks(MIB).map(encode).collect();
        Self { tiles, decoder: Decoder::new(k, classes).expect("K") }
    }

    fn decode(&self, out: &mut [u8]) {
        for (tile, out) in self.tiles.iter().zip(out.chunks_mut(MIB)) {
            let classes = self.decoder.classes().len();
            let payloads: Vec<&[u8]> = tile.chunks_exact(tile.len() / classes).collect();
            self.decoder.decode(&payloads, out).expect("a spectrum");
        }
    }
}

/// One thread, tile by tile, as the library works; the rate is that of the bytes that the symbols are.
/// The code is the library's, compiled into this program.
fn kernel() {
    let bytes = random_bytes(TILES * MIB);
    let symbols: Vec<f32> = (0..bytes.len() * 8 / 13)
        .map(|m| {
            let (byte, bit) = (13 * m / 8, 13 * m % 8);
            let window: u32 = (0..3).map(|i| u32::from(*bytes.get(byte + i).unwrap_or(&0)) << (8 * i)).sum();
            (window >> bit & 0x1fff) as f32
        })
        .collect();
    let plan = RealFftPlanner::<f32>::new().plan_fft_forward(12_288);
    let (mut input, mut output, mut scratch) =
        (plan.make_input_vec(), plan.make_output_vec(), plan.make_scratch_vec());
    let float = || {
        for block in symbols.chunks(12_288) {
            input[..block.len()].copy_from_slice(block);
            input[block.len()..].fill(0.0);
            plan.process_with_scratch(&mut input, &mut output, &mut scratch).expect("a plan of this length");
            black_box(&output);
        }
    };
    let forward = |k: usize| {
        let encoder = Encoder::new(k).expect("K");
        let mut payloads = vec![0; CLASSES * encoder.payload_bytes(MIB)];
        let bytes = &bytes;
        move || {
            for tile in bytes.chunks(MIB) {
                encoder.encode(tile, &mut payloads).expect("memory for the work");
                black_box(&payloads);
            }
        }
    };
    let all: Vec<u8> = (0..96).collect();
    let some: Vec<u8> = all.iter().copied().filter(|class| class % 3 != 2).collect();
    let inverse = |k: usize, classes: &[u8]| {
        let spectrum = Spectrum::of(&bytes, k, classes);
        let mut out = vec![0; bytes.len()];
        move || spectrum.decode(&mut out)
    };
    compare(
        "the transform alone, compiled in, K = 96, one thread",
        bytes.len(),
        &mut [
            ("realfft, f32, length 12,288", Box::new(float)),
            ("forward", Box::new(forward(96))),
            ("inverse", Box::new(inverse(96, &all))),
        ],
    );
    compare(
        "forward, compiled in",
        bytes.len(),
        &mut [("K = 96", Box::new(forward(96))), ("K = 64", Box::new(forward(64)))],
    );
    compare(
        "inverse, compiled in, K = 64",
        bytes.len(),
        &mut [
            ("from all 96 classes", Box::new(inverse(64, &all))),
            ("with 32 classes missing", Box::new(inverse(64, &some))),
        ],
    );
}

fn through_the_library() {
    let bytes = random_bytes(1024 * MIB);
    let source = borrow(&bytes);
    let (one, two) = (operation(pool(1)), operation(pool(2)));
    let options = |k: u32| {
        let mut options =
            ProjectionOptions { struct_size: 0, conservation: 0, r96_data_classes: k, key: null() };
        unsafe { sys::atlas_projection_options_init(&raw mut options) };
        options.r96_data_classes = k;
        options
    };
    let (k96, k64) = (options(96), options(64));
    let project = |source: *const sys::Source, options: &ProjectionOptions, operation: &sys::Operation| {
        let mut projection = null_mut();
        let mut root = [0; 32];
        unsafe {
            let options: *const ProjectionOptions = options;
            check(sys::atlas_projection_create(1, source, options.cast(), operation, &raw mut projection));
            check(sys::atlas_projection_root(projection, operation, root.as_mut_ptr()));
        }
        black_box(root);
        projection
    };
    let projected = |options: &ProjectionOptions, operation: &sys::Operation| unsafe {
        sys::atlas_projection_destroy(project(source, options, operation));
    };
    compare(
        "R96 projection of 1 GiB in memory, borrowed",
        bytes.len(),
        &mut [
            ("blake3::hash, one thread", Box::new(|| _ = black_box(blake3::hash(&bytes)))),
            ("project, K = 96, one thread", Box::new(|| projected(&k96, &one))),
            ("project, K = 96, two threads", Box::new(|| projected(&k96, &two))),
            ("project, K = 64, one thread", Box::new(|| projected(&k64, &one))),
        ],
    );

    let part = &bytes[..64 * MIB];
    let small = borrow(part);
    let projection = project(small, &k64, &two);
    let classes: Vec<u8> = (0..96).collect();
    let extract = |operation: &sys::Operation| {
        let mut shards = vec![null_mut(); 96];
        let out = shards.as_mut_ptr();
        check(unsafe {
            sys::atlas_shard_extract_classes(projection, null(), classes.as_ptr(), 96, operation, out)
        });
        shards
    };
    let free = |shards: Vec<*mut sys::Shard>| {
        shards.into_iter().for_each(|shard| unsafe { sys::atlas_shard_destroy(shard) });
    };
    let held = extract(&two);
    let rebuild = |operation: &sys::Operation| unsafe {
        let (mut context, mut rebuilt) = (null_mut(), null_mut());
        check(sys::atlas_reconstruction_create(null(), &raw mut context));
        for class in (0..96).filter(|class| class % 3 != 2) {
            check(sys::atlas_reconstruction_add(context, held[class], operation));
        }
        check(sys::atlas_reconstruction_finish(context, operation, &raw mut rebuilt));
        sys::atlas_projection_destroy(rebuilt);
        sys::atlas_reconstruction_destroy(context);
    };
    compare(
        "64 MiB, K = 64: all 96 classes in one pass, and the domain from 64 of them",
        part.len(),
        &mut [
            ("blake3::hash, one thread", Box::new(|| _ = black_box(blake3::hash(part)))),
            ("extract 96 classes, one thread", Box::new(|| free(extract(&one)))),
            ("extract 96 classes, two threads", Box::new(|| free(extract(&two)))),
            ("verify, decode, transform anew, one thread", Box::new(|| rebuild(&one))),
            ("verify, decode, transform anew, two threads", Box::new(|| rebuild(&two))),
        ],
    );
    free(held);
    unsafe { sys::atlas_projection_destroy(projection) };
    let projection = project(small, &k96, &two);
    let root = || {
        let mut root = [0; 32];
        check(unsafe { sys::atlas_projection_root(projection, &one, root.as_mut_ptr()) });
        black_box(root);
    };
    let (mut first, mut again) = (Vec::new(), Vec::new());
    for tile in 0..64u64 {
        for (times, place) in [(&mut first, 7_919), (&mut again, 104_729)] {
            let offset = (tile << 20) + tile * place % (MIB as u64 - 4_096);
            incremental::apply(projection, incremental::UPDATE, offset, 4_096, &bytes[..4_096]);
            times.push(time(&mut || root()) * 1e3);
        }
    }
    println!("\nroot after an update of 4 KiB in place, K = 96, one thread, median in milliseconds");
    println!("  first touch of a tile                        {:>8.3}", median(&mut first));
    println!("  touched before                               {:>8.3}", median(&mut again));
    unsafe {
        sys::atlas_projection_destroy(projection);
        sys::atlas_source_destroy(small);
        sys::atlas_source_destroy(source);
    }
}
