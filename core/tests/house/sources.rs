//! The Rust files of the workspace, parsed.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The folder of the workspace.
pub(crate) fn workspace() -> PathBuf {
    let core = Path::new(env!("CARGO_MANIFEST_DIR"));
    core.parent().expect("core stands in a folder").into()
}

/// A crate's files by their paths from the workspace, the root file among them.
pub(crate) struct Crate {
    /// The file that the crate begins with: `src/lib.rs`, `src/main.rs`, a test's `main.rs`.
    pub(crate) root: PathBuf,
    pub(crate) files: BTreeMap<PathBuf, syn::File>,
}

/// Every library, program and test of the workspace that may have more than one file.
pub(crate) fn crates() -> Vec<Crate> {
    let mut roots = Vec::new();
    visit(&workspace(), &mut |path| {
        let is_root = path.ends_with("src/lib.rs")
            || path.ends_with("main.rs") && !path.with_file_name("lib.rs").exists();
        if is_root {
            roots.push(path.to_path_buf());
        }
    });
    let folders: Vec<_> = roots.iter().filter_map(|root| root.parent()).collect();
    roots.iter().map(|root| read(root, &folders)).collect()
}

/// Every Rust file of the workspace, with its text.
pub(crate) fn all_files() -> Vec<(PathBuf, String)> {
    let mut files = Vec::new();
    visit(&workspace(), &mut |path| {
        if path.extension().is_some_and(|extension| extension == "rs") {
            files.push((relative(path), text(path)));
        }
    });
    assert!(files.len() > 100, "the workspace was not read");
    files
}

/// The paths of the Markdown documents of the workspace.
pub(crate) fn documents() -> Vec<PathBuf> {
    let mut documents = Vec::new();
    visit(&workspace(), &mut |path| {
        if path.extension().is_some_and(|extension| extension == "md") {
            documents.push(relative(path));
        }
    });
    documents
}

/// Reads a crate; `folders` are those of all crates, some of which stand inside of others.
fn read(root: &Path, folders: &[&Path]) -> Crate {
    let mut files = BTreeMap::new();
    let folder = root.parent().expect("a file stands in a folder");
    visit(folder, &mut |path| {
        let innermost = folders.iter().filter(|folder| path.starts_with(folder));
        let is_own = innermost.max_by_key(|folder| folder.as_os_str().len()) == Some(&folder);
        if is_own && path.extension().is_some_and(|extension| extension == "rs") {
            let parsed = syn::parse_file(&text(path));
            let parsed = parsed.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            files.insert(relative(path), parsed);
        }
    });
    let root = relative(root);
    Crate { root, files }
}

/// Calls `each` with every file below the folder, but for what is built or hidden.
fn visit(folder: &Path, each: &mut dyn FnMut(&Path)) {
    let entries =
        fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    for entry in entries {
        let path = entry.expect("the folder can be listed").path();
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default();
        if path.is_dir() {
            let is_built = name.starts_with("target") || name == "node_modules";
            if !is_built && !name.starts_with('.') {
                visit(&path, each);
            }
        } else {
            each(&path);
        }
    }
}

fn relative(path: &Path) -> PathBuf {
    let path = path.strip_prefix(workspace());
    path.expect("the file is of the workspace").into()
}

fn text(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
