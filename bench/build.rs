//! Links the shared library that `ATLAS_LIBRARY_DIR` names, and the peers that `ATLAS_PEERS_DIR` has.

/// Without it there is nothing to link, but `cargo check` needs no library.
fn folder(name: &str, what: &str) -> Option<String> {
    println!("cargo::rerun-if-env-changed={name}");
    let folder = std::env::var(name).ok();
    if folder.is_none() {
        println!("cargo::warning={name} names the folder of {what}: without it this does not link");
    }
    folder
}

fn main() {
    if let Some(dir) = folder("ATLAS_LIBRARY_DIR", "the library") {
        println!("cargo::rustc-link-search=native={dir}");
        println!("cargo::rustc-link-lib=dylib=atlas_manifold");
        println!("cargo::rustc-link-arg=-Wl,-rpath,{dir}");
    }
    #[cfg(feature = "peers")]
    if let Some(dir) = folder("ATLAS_PEERS_DIR", "the peers") {
        peers(&dir);
    }
}

#[cfg(feature = "peers")]
fn peers(dir: &str) {
    let blosc = format!("{dir}/blosc2/blosc2");
    println!("cargo::rerun-if-changed=src/peers/shim.c");
    cc::Build::new().file("src/peers/shim.c").include(format!("{blosc}/include")).std("c17").compile("shim");
    println!("cargo::rustc-link-search=native={blosc}/lib");
    for library in ["blosc2", "isal"] {
        println!("cargo::rustc-link-lib=dylib={library}");
    }
    println!("cargo::rustc-link-arg=-Wl,-rpath,{blosc}/lib");
}
