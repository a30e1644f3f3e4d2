//! No more than two files of a crate import each other in a circle.
//!
//! An arrow leads from a file to the file that defines what a path in it names. A name that a module only exports again
//! leads to where the module has it from, and is no import of that module. Modules of unit tests do not count.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use syn::visit::Visit;

use crate::sources::{Crate, crates};

/// The most files that may import each other.
const MOST: usize = 2;

pub(crate) type Arrows = BTreeMap<PathBuf, BTreeSet<PathBuf>>;

#[test]
fn imports_run_in_no_circles() {
    let circles: Vec<_> = crates()
        .iter()
        .flat_map(|of| circles(&arrows(of)))
        .collect();
    assert!(
        circles.is_empty(),
        "files import each other in circles: {circles:#?}"
    );
}

/// The arrows are those of the code: with one import more, from the ground floor to the top, there is a circle.
#[test]
fn an_import_that_closes_a_circle_is_found() {
    let crates = crates();
    let core = crates
        .iter()
        .find(|of| of.root == Path::new("core/src/lib.rs"));
    let mut arrows = arrows(core.expect("the core is among the crates"));
    let [low, high] = ["core/src/target.rs", "core/src/cluster/mod.rs"].map(PathBuf::from);
    assert_eq!(circles(&arrows), Vec::<Vec<PathBuf>>::new());
    arrows.entry(low.clone()).or_default().insert(high.clone());
    let found = circles(&arrows);
    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(found[0].contains(&low) && found[0].contains(&high));
}

/// Which files each file of the crate imports from.
pub(crate) fn arrows(of: &Crate) -> Arrows {
    let modules: BTreeMap<Vec<String>, Paths> = of
        .files
        .iter()
        .map(|(file, parsed)| {
            let mut paths = Paths::of(module(&of.root, file), file.clone());
            paths.visit_file(parsed);
            paths.finish();
            (paths.module.clone(), paths)
        })
        .collect();
    let arrows = modules.values().map(|paths| {
        let named = paths
            .named
            .iter()
            .filter_map(|path| defined_in(&modules, path, HOPS));
        (
            paths.file.clone(),
            named.filter(|to| *to != paths.file).collect(),
        )
    });
    arrows.collect()
}

/// Through how many modules a name may be exported again.
const HOPS: usize = 8;

/// The file that defines what the path from the crate's root names.
fn defined_in(
    modules: &BTreeMap<Vec<String>, Paths>,
    path: &[String],
    hops: usize,
) -> Option<PathBuf> {
    let end = (0..=path.len())
        .rev()
        .find(|end| modules.contains_key(&path[..*end]))?;
    let (module, rest) = (&modules[&path[..end]], &path[end..]);
    let again = rest
        .first()
        .and_then(|name| module.imported.get(name))
        .filter(|_| hops > 0);
    let followed =
        again.and_then(|from| defined_in(modules, &[from, &rest[1..]].concat(), hops - 1));
    Some(followed.unwrap_or_else(|| module.file.clone()))
}

/// The module that a file is, from its place below the crate's root file.
fn module(root: &Path, file: &Path) -> Vec<String> {
    let folder = root.parent().expect("a file stands in a folder");
    if file == root {
        return Vec::new();
    }
    let path = file
        .strip_prefix(folder)
        .expect("the file is of the crate")
        .with_extension("");
    let mut path: Vec<String> = path
        .iter()
        .map(|part| part.to_string_lossy().into_owned())
        .collect();
    if path.last().is_some_and(|last| last == "mod") {
        path.pop();
    }
    path
}

/// What a file names of its crate, as paths from the crate's root.
struct Paths {
    module: Vec<String>,
    file: PathBuf,
    named: Vec<Vec<String>>,
    /// What its `use` items bring into the file's own module, by the name they give it.
    imported: BTreeMap<String, Vec<String>>,
    /// The names in `imported` that are exported again: the file needs one itself only if it also mentions it.
    exported: Vec<String>,
    /// The `use` item under way exports.
    exports: bool,
    mentioned: BTreeSet<String>,
}

impl Paths {
    fn of(module: Vec<String>, file: PathBuf) -> Self {
        Self {
            module,
            file,
            named: Vec::new(),
            imported: BTreeMap::new(),
            exported: Vec::new(),
            exports: false,
            mentioned: BTreeSet::new(),
        }
    }

    /// The path from the crate's root of one that is written in this file. A bare name is a child module's, or
    /// another crate's: that leads to no file but this one.
    fn absolute(&self, path: &[String]) -> Vec<String> {
        let mut from = self.module.clone();
        let mut rest = path;
        while let Some((head, tail)) = rest.split_first() {
            match head.as_str() {
                "crate" => from.clear(),
                "self" => {}
                "super" => drop(from.pop()),
                _ => break,
            }
            rest = tail;
        }
        from.extend_from_slice(rest);
        from
    }

    fn use_tree(&mut self, before: &[String], tree: &syn::UseTree) {
        let with = |name: &syn::Ident| [before, &[name.to_string()]].concat();
        match tree {
            syn::UseTree::Path(path) => self.use_tree(&with(&path.ident), &path.tree),
            syn::UseTree::Name(name) if name.ident == "self" => {
                self.import(before.last().cloned(), before);
            }
            syn::UseTree::Name(name) => {
                self.import(Some(name.ident.to_string()), &with(&name.ident));
            }
            syn::UseTree::Rename(name) => {
                self.import(Some(name.rename.to_string()), &with(&name.ident));
            }
            syn::UseTree::Glob(_) => self.import(None, before),
            syn::UseTree::Group(group) => group
                .items
                .iter()
                .for_each(|tree| self.use_tree(before, tree)),
        }
    }

    fn import(&mut self, name: Option<String>, path: &[String]) {
        let path = self.absolute(path);
        if let Some(name) = name
            && path != [&self.module[..], std::slice::from_ref(&name)].concat()
        {
            if self.exports {
                self.exported.push(name.clone());
            }
            self.imported.insert(name, path.clone());
        }
        if !self.exports {
            self.named.push(path);
        }
    }

    /// Takes what the file exports again and mentions itself for an import, too.
    fn finish(&mut self) {
        let needed = self
            .exported
            .iter()
            .filter(|name| self.mentioned.contains(*name));
        let paths = needed.filter_map(|name| self.imported.get(name).cloned());
        self.named.extend(paths);
    }
}

impl<'ast> Visit<'ast> for Paths {
    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        let is_test = |attribute: &syn::Attribute| {
            attribute.path().is_ident("cfg")
                && attribute
                    .parse_args::<syn::Ident>()
                    .is_ok_and(|name| name == "test")
        };
        if item.content.is_some() && !item.attrs.iter().any(is_test) {
            self.module.push(item.ident.to_string());
            syn::visit::visit_item_mod(self, item);
            self.module.pop();
        }
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        self.exports = !matches!(item.vis, syn::Visibility::Inherited);
        self.use_tree(&[], &item.tree);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let names: Vec<_> = path
            .segments
            .iter()
            .map(|part| part.ident.to_string())
            .collect();
        if names.len() > 1 {
            let path = self.absolute(&names);
            self.named.push(path);
        }
        self.mentioned.extend(names.into_iter().next());
        syn::visit::visit_path(self, path);
    }
}

/// The groups of more than [`MOST`] files of which each leads to each other.
fn circles(arrows: &Arrows) -> Vec<Vec<PathBuf>> {
    let reached: BTreeMap<_, _> = arrows
        .keys()
        .map(|file| (file, reachable(arrows, file)))
        .collect();
    let together = |one: &PathBuf, other: &PathBuf| {
        let leads = |from, to| reached.get(from).is_some_and(|files| files.contains(to));
        leads(one, other) && leads(other, one)
    };
    let groups: BTreeSet<Vec<PathBuf>> = arrows
        .keys()
        .map(|file| {
            arrows
                .keys()
                .filter(|other| together(file, other))
                .cloned()
                .collect()
        })
        .collect();
    groups
        .into_iter()
        .filter(|group| group.len() > MOST)
        .collect()
}

fn reachable(arrows: &Arrows, from: &Path) -> BTreeSet<PathBuf> {
    let mut reached = BTreeSet::new();
    let mut next: Vec<_> = arrows.get(from).into_iter().flatten().collect();
    while let Some(file) = next.pop() {
        if reached.insert(file.clone()) {
            next.extend(arrows.get(file).into_iter().flatten());
        }
    }
    reached
}
