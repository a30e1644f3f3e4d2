//! Docs and names speak the language of the field.

use std::collections::{BTreeMap, BTreeSet};

use crate::sources::all_files;

/// With what no doc comment begins: its first sentence stands alone in the summary of a module.
const OPENINGS: [&str; 17] = [
    "the same",
    "it",
    "its",
    "they",
    "them",
    "their",
    "this",
    "these",
    "those",
    "that",
    "so",
    "such",
    "whoever",
    "whom",
    "whose",
    "what is so",
    "likewise",
];

/// Words of an earlier dialect, and what is said instead.
const REPLACED: [(&str, &str); 35] = [
    ("theatre", "harness"),
    ("befall", "inject"),
    ("befallen", "injected"),
    ("befell", "injected"),
    ("crowd", "workload"),
    ("doors", "seed addresses"),
    ("ear", "external subscription"),
    ("ears", "subscriptions"),
    ("exam", "check"),
    ("forgiven", "ignored"),
    ("hears", "is subscribed to"),
    ("hearing", "subscription"),
    ("homes", "connection entries"),
    ("knock", "connect attempt"),
    ("knocks", "connect attempts"),
    ("noted", "recorded"),
    ("sabotage", "mutants"),
    ("sabotaged", "broken"),
    ("seat", "attachment"),
    ("seats", "attachments"),
    ("shot", "publish record"),
    ("shots", "publish records"),
    ("sin", "mutation"),
    ("sins", "mutations"),
    ("sitting", "attachment span"),
    ("spared", "ignored"),
    ("stranger", "unknown sender"),
    ("strangers", "external publishers"),
    ("swarm", "clients"),
    ("weather", "faults"),
    ("whoever", "a noun"),
    ("whomever", "a noun"),
    ("witness", "recorded node"),
    ("witnesses", "recorded nodes"),
    ("wolf", "false gap"),
];

#[test]
fn the_first_sentence_of_a_doc_stands_alone() {
    let mut wrong = Vec::new();
    for (path, text) in all_files() {
        let bad = first_lines(&text).filter(|(_, line)| !stands_alone(line));
        wrong.extend(bad.map(|(number, line)| format!("{}:{number}: {line}", path.display())));
    }
    assert!(
        wrong.is_empty(),
        "{} docs begin without a noun:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

#[test]
fn words_that_were_replaced_do_not_come_back() {
    let replaced: BTreeMap<_, _> = REPLACED.into_iter().collect();
    let mut wrong = BTreeSet::new();
    for (path, text) in all_files() {
        if path.starts_with("core/tests/house") {
            continue;
        }
        for (number, line) in text.lines().enumerate() {
            for word in words(line) {
                if let Some(instead) = replaced.get(word.as_str()) {
                    let place = format!("{}:{}", path.display(), number + 1);
                    wrong.insert(format!("{place}: '{word}' (say: {instead})"));
                }
            }
        }
    }
    let list: Vec<_> = wrong.into_iter().collect();
    assert!(
        list.is_empty(),
        "{} words of the old dialect:\n{}",
        list.len(),
        list.join("\n")
    );
}

#[test]
fn what_does_not_stand_alone_is_known() {
    for wrong in [
        "The same, of these parts.",
        "It ends.",
        "So many bytes.",
        "They are gone.",
        "Its length.",
    ] {
        assert!(!stands_alone(wrong), "{wrong}");
    }
    for right in [
        "A queue.",
        "Items of one lane.",
        "Sorts them.",
        "Itself a list.",
    ] {
        assert!(stands_alone(right), "{right}");
    }
    assert_eq!(
        words("fn hearsOf(old_seat: Ear2)"),
        ["fn", "hears", "of", "old", "seat", "ear", "2"]
    );
}

/// The first line of every doc comment of a file, with its number.
fn first_lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let doc = |line: &'_ str| line.starts_with("///") || line.starts_with("//!");
    let before = std::iter::once("").chain(text.lines());
    let lines = text.lines().zip(before).enumerate();
    let first = lines.filter(move |(_, (line, before))| doc(line.trim()) && !doc(before.trim()));
    first.map(|(number, (line, _))| (number + 1, line.trim()[3..].trim()))
}

fn stands_alone(line: &str) -> bool {
    let line = line.trim().to_lowercase();
    let after = |opening: &str| line.strip_prefix(opening).map(|rest| rest.chars().next());
    !OPENINGS.iter().any(|opening| {
        after(opening).is_some_and(|next| next.is_none_or(|next| !next.is_alphanumeric()))
    })
}

/// The words of a line in lower case; names are taken apart at underscores, capitals and digits.
fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut before = ' ';
    for letter in line.chars() {
        let kinds = (before.is_numeric(), letter.is_numeric());
        let begins = letter.is_uppercase() && before.is_lowercase() || kinds.0 != kinds.1;
        if begins || !letter.is_alphanumeric() {
            words.push(String::new());
        }
        if letter.is_alphanumeric() {
            let last = words.last_mut().expect("there is always one");
            last.extend(letter.to_lowercase());
        }
        before = letter;
    }
    words.retain(|word| !word.is_empty());
    words
}
