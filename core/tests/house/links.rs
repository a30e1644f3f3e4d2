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
