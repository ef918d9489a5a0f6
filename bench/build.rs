//! Links the shared library that `ATLAS_LIBRARY_DIR` names, and the peers that `ATLAS_PEERS_DIR` has.
//! Without the folder of the library `cargo check` works, and linking does not.
fn folder(name: &str) -> Option<String> {
    println!("cargo::rerun-if-env-changed={name}");
    std::env::var(name).ok()
}

fn main() {
    println!("cargo::rustc-link-lib=dylib=atlas_manifold");
    if let Some(dir) = folder("ATLAS_LIBRARY_DIR") {
        println!("cargo::rustc-link-search=native={dir}");
        println!("cargo::rustc-link-arg=-Wl,-rpath,{dir}");
    }
    #[cfg(feature = "peers")]
    peers(&folder("ATLAS_PEERS_DIR").expect("ATLAS_PEERS_DIR names the folder of the peers"));
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
