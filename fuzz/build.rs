//! Builds the target that is in C.

fn main() {
    println!("cargo::rerun-if-changed=c_api.c");
    println!("cargo::rerun-if-changed=../include/atlas_manifold.h");
    cc::Build::new().file("c_api.c").include("../include").std("c17").compile("atlas_fuzz_c_api");
}
