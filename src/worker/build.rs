//! Tells the linker where libtorch lies at run time and the program which version it is.

use std::path::{Path, PathBuf};

fn main() {
    println!("cargo:rerun-if-env-changed=LIBTORCH");
    let here = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from).unwrap_or_default();
    let libtorch =
        here.join("../..").join(std::env::var_os("LIBTORCH").unwrap_or_else(|| ".libtorch".into()));
    let lib = libtorch.join("lib");
    println!("cargo:rustc-link-arg=-Wl,-rpath,$ORIGIN/../../.libtorch/lib");
    println!("cargo:rustc-link-arg=-Wl,-rpath,{}", lib.display());
    println!("cargo:rustc-env=DGNET_LIBTORCH_VERSION={}", version(&libtorch));
    let compute = ["batch_norm", "blocks", "native", "optimizers", "padding", "second_derivative"]
        .map(|of| format!("compute/{of}.cpp"));
    let ops = ["lean", "lend"].map(|of| format!("ops/{of}.cpp"));
    let sources = [&compute[..], &ops].concat();
    let headers = ["compute/blocks.h", "compute/replace.h", "compute/rounding.h", "ops/reason.h"];
    for file in sources.iter().map(String::as_str).chain(headers) {
        println!("cargo:rerun-if-changed={file}");
    }
    cc::Build::new()
        .cpp(true)
        .std("c++20")
        .files(&sources)
        .include("ops")
        .include(libtorch.join("include"))
        .include(libtorch.join("include/torch/csrc/api/include"))
        .flag("-isystem")
        .flag(libtorch.join("include"))
        .warnings(false)
        .flag("-fopenmp")
        // a product and a sum are rounded one by one, whatever the processor offers
        .flag("-ffp-contract=off")
        .opt_level(3)
        .compile("dgnet_native");
}

/// The version in libtorch's own header, or "unknown".
fn version(libtorch: &Path) -> String {
    let headers = ["include/torch/headeronly/version.h", "include/torch/version.h"];
    let text: String = headers
        .iter()
        .filter_map(|header| std::fs::read_to_string(libtorch.join(header)).ok())
        .collect();
    let part = |name: &str| {
        text.lines().find_map(|line| line.strip_prefix(&format!("#define TORCH_VERSION_{name} ")))
    };
    match (part("MAJOR"), part("MINOR"), part("PATCH")) {
        (Some(major), Some(minor), Some(patch)) => {
            format!("{}.{}.{}", major.trim(), minor.trim(), patch.trim())
        }
        _ => "unknown".into(),
    }
}
