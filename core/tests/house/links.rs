//! What the documents link to is there.

use std::fs;

use crate::sources::{documents, workspace};

#[test]
fn documents_link_to_files_that_exist() {
    let mut missing = Vec::new();
    let mut seen = 0;
    for path in documents() {
        let file = workspace().join(&path);
        let text = fs::read_to_string(&file).expect("a document can be read");
        for link in links(&text) {
            seen += 1;
            let target = file.parent().map(|folder| folder.join(link));
            if !target.is_some_and(|target| target.exists()) {
                missing.push(format!("{}: {link}", path.display()));
            }
        }
    }
    assert!(seen > 30, "the documents were not read: {seen} links");
    assert!(
        missing.is_empty(),
        "links lead nowhere:\n{}",
        missing.join("\n")
    );
}

/// The relative links of a document, without the part behind `#`.
fn links(text: &str) -> impl Iterator<Item = &str> {
    let ends = text
        .match_indices("](")
        .map(|(at, mark)| &text[at + mark.len()..]);
    let links = ends.filter_map(|rest| rest.split(')').next());
    links
        .filter(|link| !link.contains("://") && !link.starts_with('#') && !link.contains(' '))
        .filter_map(|link| link.split('#').next())
}

/// The map names files of the source by their paths.
#[test]
fn the_map_names_files_that_exist() {
    let map = fs::read_to_string(workspace().join("docs/ARCHITECTURE.md")).expect("there is a map");
    let named = map.split('`').skip(1).step_by(2);
    let files: Vec<_> = named
        .filter(|name| name.ends_with(".rs") && name.contains('/'))
        .collect();
    assert!(files.len() > 15, "the map was not read: {files:?}");
    let missing: Vec<_> = files
        .iter()
        .filter(|file| !workspace().join(file).exists())
        .collect();
    assert!(missing.is_empty(), "files of the map are gone: {missing:?}");
    let walk = map.split("## The walk").nth(1).expect("there is a walk");
    for file in files
        .iter()
        .filter(|file| walk.contains(&format!("`{file}`")))
    {
        assert_eq!(
            walk.matches(&format!("`{file}`")).count(),
            1,
            "the walk enters {file} twice"
        );
    }
}
