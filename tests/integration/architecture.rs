//! The shape of the house: layers, and what the small executable must not link.

use std::path::{Path, PathBuf};

use object::{Object, ObjectSection};

/// Layers from the bottom; a module may import from lower ones only. Those of `worker/` are another crate.
const LAYERS: &[&[&str]] = &[
    &["spec", "stats"],
    &["data", "store", "worker/ops"],
    &["sweep", "report", "worker/model", "worker/compute"],
    &["cli", "worker/train", "worker/eval"],
    &["worker/run"],
];

fn level(module: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| layer.contains(&module))
}

fn sources(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            sources(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            into.push(path);
        }
    }
}

/// Modules that a line imports from its own crate, and, in the worker's crate, from `dgnet`.
fn imported(line: &str, in_worker: bool) -> Vec<String> {
    let after = |prefix: &str, place: &str| -> Vec<String> {
        let names = line.split(prefix).skip(1).map(|rest| {
            let end =
                rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
            format!("{place}{}", &rest[..end])
        });
        names.collect()
    };
    let mut modules = after("crate::", if in_worker { "worker/" } else { "" });
    if in_worker {
        modules.extend(after("dgnet::", ""));
    }
    modules
}

#[test]
fn imports_point_one_way() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut wrong = Vec::new();
    for (module, own) in
        LAYERS.iter().enumerate().flat_map(|(i, layer)| layer.iter().map(move |m| (*m, i)))
    {
        let mut files = Vec::new();
        sources(&root.join(module), &mut files);
        assert!(!files.is_empty(), "no sources of {module}");
        for file in files {
            let text = std::fs::read_to_string(&file).unwrap();
            for (number, line) in (1..).zip(text.lines()) {
                for other in imported(line, module.starts_with("worker/")) {
                    if other != module && level(&other).is_some_and(|level| level >= own) {
                        wrong
                            .push(format!("{}:{number}: {module} imports {other}", file.display()));
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn sql_lives_in_the_store_and_tensors_in_the_worker() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&root, &mut files);
    for file in files {
        let place = file.strip_prefix(&root).unwrap().to_string_lossy().into_owned();
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(!text.contains("sqlx::") || place.starts_with("store/"), "{place} uses sqlx");
        assert!(!text.contains("use tch") || place.starts_with("worker/"), "{place} uses tch");
    }
}

#[test]
fn the_small_executable_does_not_link_libtorch() {
    let bytes = std::fs::read(env!("CARGO_BIN_EXE_dgnet")).unwrap();
    let file = object::File::parse(bytes.as_slice()).unwrap();
    let strings = file.section_by_name(".dynstr").unwrap().data().unwrap();
    let names = String::from_utf8_lossy(strings);
    for library in ["libtorch", "libc10", "libcuda"] {
        let needed =
            names.split('\0').any(|name| name.starts_with(library) && name.contains(".so"));
        assert!(!needed, "dgnet needs {library}");
    }
}
