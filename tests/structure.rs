//! Keeps the architecture: imports run down the flow only, and each foreign thing has one place. ARCHITECTURE.md says
//! why.

#![allow(clippy::unwrap_used, reason = "the helpers of a test may fail as the test itself")]

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
};

/// The modules in flow order. A module may use those of the lines before its own.
const LAYERS: &[&[&str]] = &[
    &["clock"],
    &["rate", "suggest", "text", "tls"],
    &["outbound"],
    &["provider"],
    &["client", "verified", "delivery", "route"],
    &["source"],
    &["journal", "handler"],
    &["target", "live", "metrics"],
    &["ingress", "worker"],
    &["admin"],
    &["receiver"],
    &["testing"],
    &["config"],
    &["cli"],
];

/// Words, and the only place under `src` where they may stand.
const PLACES: &[(&[&str], &str, &str)] = &[
    (&["rusqlite", "libsqlite3_sys"], "journal/sqlite", "SQL lives in the stores alone"),
    (&["redis::"], "journal/redis", "Redis commands live in the stores alone"),
    (&["clap"], "cli", "only the command line parses arguments"),
    (
        &["SystemTime::now", "Instant::now", "Timestamp::now", "Zoned::now"],
        "clock.rs",
        "time comes from `crate::clock`, so that tests can set it",
    ),
];

#[test]
fn imports_run_down_the_flow() {
    let sources = sources();
    let exports = exports(&sources);
    let mut broken = Vec::new();
    for source in &sources {
        let Some(own) = rank(&source.module) else { continue };
        for (line, name) in imports(&source.code) {
            let used = exports.get(name).map_or(name, String::as_str);
            if used != source.module && rank(used).is_some_and(|other| other >= own) {
                broken.push(format!(
                    "{}:{line}: `{}` uses `{used}`, which does not stand before it in the flow",
                    source.path.display(),
                    source.module,
                ));
            }
        }
    }
    assert!(broken.is_empty(), "imports run down the flow only:\n{}\n", broken.join("\n"));
}

#[test]
fn foreign_things_have_one_place_each() {
    let mut broken = Vec::new();
    for source in sources() {
        for (words, place, why) in PLACES.iter().filter(|(_, place, _)| !source.path.starts_with(place)) {
            for (number, line) in (1..).zip(source.code.lines()) {
                // A module of our own may be named like the foreign thing that it keeps.
                let line = &line.replace("self::redis::", "");
                if let Some(word) = words.iter().find(|word| has_word(line, word)) {
                    broken.push(format!(
                        "{}:{number}: `{word}` belongs into src/{place}: {why}",
                        source.path.display()
                    ));
                }
            }
        }
    }
    assert!(broken.is_empty(), "out of place:\n{}\n", broken.join("\n"));
}

#[test]
fn every_module_stands_in_the_flow() {
    for source in sources().iter().filter(|source| !["lib", "main"].contains(&source.module.as_str())) {
        assert!(
            rank(&source.module).is_some(),
            "{}: `{}` has no place in the flow yet; give it one in LAYERS",
            source.path.display(),
            source.module
        );
    }
}

#[test]
fn the_rules_see_what_they_are_about() {
    let code =
        "use crate::{\n    clock::{self, Clock},\n    journal::Store,\n};\nfn f() -> crate::cli::Api {}\n";
    assert_eq!(imports(code).collect::<Vec<_>>(), [(2, "clock"), (3, "journal"), (5, "cli")]);
    assert!(has_word("let now = std::time::Instant::now();", "Instant::now"));
    assert!(!has_word("clap_derive", "clap") && has_word("let at = redis::cmd();", "redis::"));
    assert!(rank("cli") > rank("config") && rank("journal") > rank("delivery"));
    let sources = sources();
    assert_eq!(exports(&sources)["Pattern"], "route");
    assert!(sources.iter().any(|source| imports(&source.code).any(|(_, name)| name == "clock")));
}

struct Source {
    /// From `src` on.
    path: PathBuf,
    /// The top-level module that the file belongs to.
    module: String,
    /// The text, its comments blanked.
    code: String,
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut folders = vec![root.clone()];
    let mut sources = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                let blank =
                    |line: &'_ str| if line.trim_start().starts_with("//") { "" } else { line }.to_owned();
                let code = text.lines().map(blank).collect::<Vec<_>>().join("\n");
                let path = path.strip_prefix(&root).unwrap().to_owned();
                let top = path.iter().next().unwrap().to_str().unwrap();
                sources.push(Source { module: top.trim_end_matches(".rs").to_owned(), path, code });
            }
        }
    }
    sources
}

fn rank(module: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| layer.contains(&module))
}

/// What `lib.rs` re-exports, and from which module.
fn exports(sources: &[Source]) -> HashMap<String, String> {
    let lib = &sources.iter().find(|source| source.module == "lib").unwrap().code;
    let (_, list) = lib.split_once("pub use self::{").unwrap();
    let (list, _) = list.split_once("\n};").unwrap();
    list.split_inclusive(['\n'])
        .fold((String::new(), HashMap::new()), |(mut module, mut exports), line| {
            if let Some((name, _)) = line.split_once("::") {
                name.trim().clone_into(&mut module);
            }
            let names = line.rsplit("::").next().unwrap_or(line);
            for name in names.split(|c: char| !c.is_alphanumeric()).filter(|name| !name.is_empty()) {
                exports.insert(name.to_owned(), module.clone());
            }
            (module, exports)
        })
        .1
}

/// The first name of each path that begins with `crate::`, and the line it stands in.
fn imports(code: &str) -> impl Iterator<Item = (usize, &str)> {
    code.match_indices("crate::").flat_map(move |(at, keyword)| {
        let begin = at + keyword.len();
        let names = match code[begin..].strip_prefix('{') {
            Some(group) => first_names(group).map(|(offset, name)| (begin + 1 + offset, name)).collect(),
            None => vec![(begin, identifier(&code[begin..]))],
        };
        names.into_iter().map(|(at, name)| (code[..at].matches('\n').count() + 1, name))
    })
}

/// The names at the top level of a `use` group, up to its closing brace.
fn first_names(group: &str) -> impl Iterator<Item = (usize, &str)> {
    let (mut depth, mut expected, mut names) = (0_usize, true, Vec::new());
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => expected = true,
            c if expected && !c.is_whitespace() => {
                names.push((at, identifier(&group[at..])));
                expected = false;
            }
            _ => {}
        }
    }
    names.into_iter()
}

fn identifier(text: &str) -> &str {
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
    &text[..end]
}

/// Whether the line holds the word as one of its own, not as part of another.
fn has_word(line: &str, word: &str) -> bool {
    let is_part = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    line.match_indices(word).any(|(at, _)| {
        let ends = word.ends_with(':') || !is_part(line[at + word.len()..].chars().next());
        !is_part(line[..at].chars().next_back()) && ends
    })
}
