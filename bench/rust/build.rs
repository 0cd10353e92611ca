//! Links libmapview.a, which `make library` leaves in build/. MAPVIEW_LIB names
//! another folder.

use std::path::Path;

fn main() {
    println!("cargo:rerun-if-env-changed=MAPVIEW_LIB");
    let folder = std::env::var("MAPVIEW_LIB").unwrap_or_else(|_| format!("{}/../../build", env!("CARGO_MANIFEST_DIR")));
    let library = Path::new(&folder).join("libmapview.a");
    if !library.is_file() {
        eprintln!(
            "{} is missing: 'make library' builds it, MAPVIEW_LIB names its folder",
            library.display()
        );
        std::process::exit(1);
    }
    println!("cargo:rerun-if-changed={}", library.display());
    println!("cargo:rustc-link-search=native={folder}");
    println!("cargo:rustc-link-lib=static=mapview");
}
