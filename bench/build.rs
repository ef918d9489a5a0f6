//! Links the shared library that `ATLAS_LIBRARY_DIR` names.
fn main() {
    println!("cargo::rerun-if-env-changed=ATLAS_LIBRARY_DIR");
    let dir = std::env::var("ATLAS_LIBRARY_DIR").expect("ATLAS_LIBRARY_DIR names the folder of the library");
    println!("cargo::rustc-link-search=native={dir}");
    println!("cargo::rustc-link-lib=dylib=atlas_manifold");
    println!("cargo::rustc-link-arg=-Wl,-rpath,{dir}");
}
