//! Builds Layer 2, and checks or renews the generated files that are committed.
//!
//! Environment:
//! - `ATLAS_LAYER2_DIR=<prefix>`: link `libatlas_conservation.a` from `<prefix>/lib`, `lib64` or
//!   `lib/<triplet>` instead of building it.
//! - `ATLAS_GENERATED=check`: a stale committed file is an error (the tests do this).
//! - `ATLAS_GENERATED=update`: a stale committed file is renewed.
//!
//! The feature `cbindgen` compares the C header, `bindgen` the bindings of Layer 2. Nothing is written
//! outside `OUT_DIR` except by `update`.

use std::path::{Path, PathBuf};
use std::{env, fs};

const ARCHIVE: &str = "libatlas_conservation.a";

/// A function of Layer 2 that the library calls and that is not among its published names.
const ADDED: &str = "atlas_conserved_sums";

fn main() {
    let root = PathBuf::from(variable("CARGO_MANIFEST_DIR"));
    println!("cargo::rerun-if-env-changed=ATLAS_GENERATED");
    println!("cargo::rerun-if-changed=build.rs");
    layer2(&root);
    callbacks(&root);
    generated(&root);
    link_arguments(&root);
}

fn variable(name: &str) -> String {
    env::var(name).unwrap_or_else(|_| fail(&format!("{name} is not set")))
}

fn fail(message: &str) -> ! {
    println!("cargo::error={message}");
    std::process::exit(1)
}

/// Compiles Layer 2 into the crate, or links the archive that the environment names.
fn layer2(root: &Path) {
    println!("cargo::rerun-if-env-changed=ATLAS_LAYER2_DIR");
    if let Some(prefix) = env::var_os("ATLAS_LAYER2_DIR") {
        let lib = prebuilt_folder(Path::new(&prefix));
        println!("cargo::rustc-link-search=native={}", lib.display());
        println!("cargo::rustc-link-lib=static=atlas_conservation");
        return;
    }
    let folder = root.join("layer2");
    println!("cargo::rerun-if-changed={}", folder.display());
    let mut sources: Vec<PathBuf> = fs::read_dir(folder.join("src"))
        .unwrap_or_else(|error| fail(&format!("layer2/src: {error}")))
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "c"))
        .collect();
    sources.sort();
    cc::Build::new()
        .files(&sources)
        .include(folder.join("include"))
        .std("c17")
        .pic(true)
        // The sums are worth it in every profile.
        .opt_level(3)
        .flag_if_supported("-fvisibility=hidden")
        // Neither debug information nor `__FILE__` names a folder of this machine.
        .flag_if_supported(format!("-ffile-prefix-map={}=/atlas_manifold", root.display()))
        // Its names are hidden in the shared library.
        .define("ATLAS_CONSERVATION_API", "")
        .warnings(true)
        .extra_warnings(true)
        .compile("atlas_conservation");
}

/// Compiles the calls of the host's functions, on systems where those can unwind the stack.
fn callbacks(root: &Path) {
    let source = root.join("src/ffi/callback.c");
    println!("cargo::rerun-if-changed={}", source.display());
    if env::var_os("CARGO_CFG_UNIX").is_none() {
        return;
    }
    cc::Build::new()
        .file(&source)
        .std("c17")
        .pic(true)
        .flag_if_supported("-fvisibility=hidden")
        .flag_if_supported(format!("-ffile-prefix-map={}=/atlas_manifold", root.display()))
        .warnings(true)
        .extra_warnings(true)
        .compile("atlas_callback");
}

/// The folder below `prefix` that has a whole Layer 2.
fn prebuilt_folder(prefix: &Path) -> PathBuf {
    // As compilers name it: the vendor is left out.
    let triplet = variable("TARGET").replace("-unknown-", "-").replace("-pc-", "-");
    let folders = [prefix.join("lib"), prefix.join("lib64"), prefix.join("lib").join(triplet)];
    let Some(lib) = folders.iter().find(|lib| lib.join(ARCHIVE).is_file()) else {
        let [lib, lib64, multiarch] = folders.map(|folder| folder.join(ARCHIVE).display().to_string());
        fail(&format!("ATLAS_LAYER2_DIR: none of {lib}, {lib64} and {multiarch} exists"));
    };
    let archive = lib.join(ARCHIVE);
    println!("cargo::rerun-if-changed={}", archive.display());
    let bytes = fs::read(&archive).unwrap_or_else(|error| fail(&format!("{}: {error}", archive.display())));
    // An archive lists its names in its first member; a name of our own addition tells old ones.
    if !bytes.windows(ADDED.len()).any(|bytes| bytes == ADDED.as_bytes()) {
        fail(&format!(
            "ATLAS_LAYER2_DIR: {} has no {ADDED}: a Layer 2 built from layer2/ of this version is needed, \
             not one with the published names alone",
            archive.display()
        ));
    }
    lib.clone()
}

/// Compares each committed file that a feature renders with a fresh one.
#[cfg(any(feature = "bindgen", feature = "cbindgen"))]
fn generated(root: &Path) {
    let out = PathBuf::from(variable("OUT_DIR"));
    #[cfg(feature = "bindgen")]
    compare(&layer2_bindings(root, &out), &root.join("src/layer2/bindings.rs"));
    #[cfg(feature = "cbindgen")]
    compare(&header(root, &out), &root.join("include/atlas_manifold.h"));
}

/// Refuses to check or renew files that no feature renders.
#[cfg(not(any(feature = "bindgen", feature = "cbindgen")))]
fn generated(_root: &Path) {
    if let Some(mode) = env::var_os("ATLAS_GENERATED") {
        fail(&format!(
            "ATLAS_GENERATED is {} and nothing is rendered: `--features cbindgen` renders the header, \
             `--features bindgen` the bindings of Layer 2",
            mode.display()
        ));
    }
}

/// The bindings of Layer 2's header. Needs libclang, so that only renewing and checking call it.
#[cfg(feature = "bindgen")]
fn layer2_bindings(root: &Path, out: &Path) -> PathBuf {
    let header = root.join("layer2/include/atlas_conservation.h");
    let target = bindgen::RustTarget::stable(85, 0).unwrap_or_else(|_| fail("bindgen knows no Rust 1.85"));
    let bindings = bindgen::Builder::default()
        .header(header.display().to_string())
        .clang_arg("-std=c17")
        .rust_target(target)
        .rust_edition(bindgen::RustEdition::Edition2024)
        .use_core()
        // Of one pointer width; src/layer2/mod.rs has those of all.
        .layout_tests(false)
        .default_enum_style(bindgen::EnumVariation::NewType { is_bitfield: false, is_global: false })
        .allowlist_function("atlas_.*")
        .allowlist_type("atlas_.*")
        .raw_line("// Made by bindgen from layer2/include/atlas_conservation.h: `make generate` renews it.")
        .disable_header_comment()
        .formatter(bindgen::Formatter::Rustfmt)
        .rustfmt_configuration_file(Some(root.join("rustfmt.toml")))
        .generate()
        .unwrap_or_else(|error| fail(&format!("bindgen: {error}")));
    let path = out.join("layer2_bindings.rs");
    bindings.write_to_file(&path).unwrap_or_else(|error| fail(&format!("{}: {error}", path.display())));
    path
}

/// Renders `atlas_manifold.h` from the Rust source.
#[cfg(feature = "cbindgen")]
fn header(root: &Path, out: &Path) -> PathBuf {
    println!("cargo::rerun-if-changed={}", root.join("src").display());
    println!("cargo::rerun-if-changed={}", root.join("cbindgen.toml").display());
    println!("cargo::rerun-if-changed={}", root.join("include/atlas_manifold.h").display());
    let mut config = cbindgen::Config::from_file(root.join("cbindgen.toml"))
        .unwrap_or_else(|error| fail(&format!("cbindgen.toml: {error}")));
    config.after_includes.get_or_insert_default().push_str(&version_macros());
    let mut rendered = Vec::new();
    cbindgen::Builder::new()
        // The C API is the boundary and nothing else.
        .with_src(root.join("src/ffi/mod.rs"))
        .with_config(config)
        .generate()
        .unwrap_or_else(|error| fail(&format!("cbindgen: {error}")))
        .write(&mut rendered);
    let rendered = String::from_utf8(rendered).unwrap_or_else(|error| fail(&format!("cbindgen: {error}")));
    let path = out.join("atlas_manifold.h");
    fs::write(&path, arranged(root, &rendered))
        .unwrap_or_else(|error| fail(&format!("{}: {error}", path.display())));
    path
}

/// Parts of the header in the order of a reader, each with its modules of `src/ffi`. The docs of the first
/// module open the part.
#[cfg(feature = "cbindgen")]
const PARTS: &[&[&str]] = &[
    &["version", "status", "last_error"],
    &["operation"],
    &["source"],
    &["projection", "transform"],
    &["shard"],
    &["reconstruction"],
    &["streaming"],
    &["incremental"],
    &["compression"],
    &["damage"],
    &["container"],
    &["outline"],
    &["parity"],
    &["accelerator"],
    &["benchmark"],
];

#[cfg(feature = "cbindgen")]
const EXTERN_C: &str = "#ifdef __cplusplus\nextern \"C\" {\n#endif // __cplusplus\n";

/// Sorts the items of a rendered header into [`PARTS`]; within a part they keep the order of their modules.
/// cbindgen's own order is constants, types, functions, each over all modules.
#[cfg(feature = "cbindgen")]
fn arranged(root: &Path, rendered: &str) -> String {
    let lost = |what: &str| -> ! { fail(&format!("the header of cbindgen has no {what}")) };
    let Some(first) = rendered.find("\n/**\n") else { lost("item") };
    let Some(end) = rendered.rfind("#ifdef __cplusplus\n}") else { lost("end of extern \"C\"") };
    let Some(middle) = rendered.find(EXTERN_C) else { lost("extern \"C\"") };
    // An item begins with its comment; types come before the `extern "C"`, functions after it.
    let mut items: Vec<(&str, &str)> = [&rendered[first..middle], &rendered[middle + EXTERN_C.len()..end]]
        .into_iter()
        .flat_map(|half| half.split("\n/**\n").skip(1))
        .map(|item| (item_name(item), item.trim_end()))
        .collect();
    let mut header = format!("{}\n{EXTERN_C}", &rendered[..first]);
    for modules in PARTS {
        for (index, module) in modules.iter().enumerate() {
            let path = root.join(format!("src/ffi/{module}.rs"));
            let source = fs::read_to_string(&path)
                .unwrap_or_else(|error| fail(&format!("{}: {error}", path.display())));
            if index == 0 {
                header.push_str(&opening(&source));
            }
            for name in source.lines().filter_map(declared) {
                if let Some(at) = items.iter().position(|(item, _)| *item == name) {
                    header.push_str(&format!("\n/**\n{}\n", items.remove(at).1));
                }
            }
        }
    }
    if let Some((name, _)) = items.first() {
        fail(&format!("{name} is in no part of the header: add its module to PARTS in build.rs"));
    }
    format!("{header}\n{}", &rendered[end..])
}

/// The comment that opens a part: the docs of its module, whose example loses its fence.
#[cfg(feature = "cbindgen")]
fn opening(source: &str) -> String {
    let docs: Vec<&str> = source.lines().map_while(|line| line.strip_prefix("//!")).collect();
    let mut comment = format!("\n/* {}\n", "-".repeat(95));
    let mut example = false;
    for line in docs.iter().map(|line| line.strip_prefix(' ').unwrap_or(line)) {
        match (line.starts_with("```"), example) {
            (true, _) => example = !example,
            (false, true) => comment.push_str(format!(" *   {line}").trim_end()),
            (false, false) => comment.push_str(format!(" * {line}").trim_end()),
        }
        if !line.starts_with("```") {
            comment.push('\n');
        }
    }
    comment + " */\n"
}

/// The name that an item of the rendered header declares.
#[cfg(feature = "cbindgen")]
fn item_name(item: &str) -> &str {
    let code = item.split_once(" */\n").map_or(item, |(_, code)| code).trim();
    let before = |text: &'static str| code.split(text).next().unwrap_or(code);
    let name = match code.strip_prefix("#define ") {
        Some(constant) => constant.split(' ').next(),
        // A type of functions, a struct or an enum, a function.
        None if code.starts_with("typedef") && code.contains("(*") => {
            code.split("(*").nth(1).and_then(|rest| rest.split(')').next())
        }
        None if code.starts_with("typedef") => code.trim_end_matches(';').split([' ', '\n']).next_back(),
        None => before("(").split([' ', '*', '\n']).next_back(),
    };
    name.unwrap_or_else(|| fail(&format!("an item of cbindgen has no name: {code}")))
}

/// The name that a line of `src/ffi` declares for C.
#[cfg(feature = "cbindgen")]
fn declared(line: &str) -> Option<&str> {
    let rest = line.strip_prefix("pub ")?;
    let kinds = ["const ", "struct ", "enum ", "type ", "extern \"C\" fn ", "unsafe extern \"C\" fn "];
    let name = kinds.iter().find_map(|kind| rest.strip_prefix(kind))?;
    name.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next()
}

/// The version that a program is compiled with, from the package's.
#[cfg(feature = "cbindgen")]
fn version_macros() -> String {
    let [major, minor, patch] =
        ["MAJOR", "MINOR", "PATCH"].map(|part| variable(&format!("CARGO_PKG_VERSION_{part}")));
    format!(
        "\n\n/* The version of this header; atlas_manifold_version() gives the library's. */\n\
         #define ATLAS_MANIFOLD_VERSION_MAJOR {major}\n\
         #define ATLAS_MANIFOLD_VERSION_MINOR {minor}\n\
         #define ATLAS_MANIFOLD_VERSION_PATCH {patch}\n\
         #define ATLAS_MANIFOLD_VERSION_STRING \"{major}.{minor}.{patch}\"\n\
         #define ATLAS_MANIFOLD_VERSION \\\n  \
         (ATLAS_MANIFOLD_VERSION_MAJOR << 16 | ATLAS_MANIFOLD_VERSION_MINOR << 8 | \\\n   \
         ATLAS_MANIFOLD_VERSION_PATCH)"
    )
}

/// Compares a generated file with the committed one.
#[cfg(any(feature = "bindgen", feature = "cbindgen"))]
fn compare(fresh: &Path, committed: &Path) {
    let read = |path: &Path| fs::read_to_string(path).unwrap_or_default();
    if read(fresh) == read(committed) {
        return;
    }
    let stale = format!("{} is stale: `make generate` renews it", committed.display());
    match env::var("ATLAS_GENERATED").as_deref() {
        Ok("update") => {
            if let Err(error) = fs::copy(fresh, committed) {
                fail(&format!("{}: {error}", committed.display()));
            }
        }
        Ok("check") => fail(&stale),
        _ => println!("cargo::warning={stale}"),
    }
}

/// The soname with the ABI number, and no unloading: a host that calls dlclose may have threads with
/// thread-local destructors of ours.
fn link_arguments(root: &Path) {
    let target = variable("CARGO_CFG_TARGET_OS");
    let abi = abi(root);
    match target.as_str() {
        "linux" | "android" | "freebsd" | "netbsd" | "openbsd" | "dragonfly" => {
            println!("cargo::rustc-cdylib-link-arg=-Wl,-soname,libatlas_manifold.so.{abi}");
            println!("cargo::rustc-cdylib-link-arg=-Wl,-z,nodelete");
        }
        "macos" => {
            println!("cargo::rustc-cdylib-link-arg=-Wl,-install_name,@rpath/libatlas_manifold.{abi}.dylib");
        }
        _ => {}
    }
}

/// The ABI number that `Cargo.toml` states for build.rs and CMake. Before 1.0 a new minor version may break
/// the ABI.
fn abi(root: &Path) -> String {
    let manifest = root.join("Cargo.toml");
    println!("cargo::rerun-if-changed={}", manifest.display());
    let text = fs::read_to_string(&manifest)
        .unwrap_or_else(|error| fail(&format!("{}: {error}", manifest.display())));
    let stated = text.lines().find_map(|line| line.strip_prefix("abi = \"")?.strip_suffix('"'));
    let abi = stated.unwrap_or_else(|| fail("Cargo.toml states no `abi = \"...\"` in [package.metadata]"));
    let version = variable("CARGO_PKG_VERSION");
    let major = variable("CARGO_PKG_VERSION_MAJOR");
    let wanted = if major == "0" { format!("0.{}", variable("CARGO_PKG_VERSION_MINOR")) } else { major };
    if abi != wanted {
        fail(&format!("Cargo.toml states abi {abi} for version {version}: it must be {wanted}"));
    }
    abi.to_owned()
}
