//! Links the shared library that `ATLAS_LIBRARY_DIR` names, and the peers that `ATLAS_PEERS_DIR` has.
fn folder(name: &str, what: &str) -> String {
    println!("cargo::rerun-if-env-changed={name}");
    std::env::var(name).unwrap_or_else(|_| panic!("{name} names the folder of {what}"))
}

fn main() {
    let dir = folder("ATLAS_LIBRARY_DIR", "the library");
    println!("cargo::rustc-link-search=native={dir}");
    println!("cargo::rustc-link-lib=dylib=atlas_manifold");
    println!("cargo::rustc-link-arg=-Wl,-rpath,{dir}");
    #[cfg(feature = "peers")]
    peers(&folder("ATLAS_PEERS_DIR", "the peers"));
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
