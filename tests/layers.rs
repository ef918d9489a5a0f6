//! The layers of src/: `docs/layers.txt` lists them from the ground up, and an import never goes up.
//!
//! Imports are read from the text: `use` with all its groups and renames, and paths in code that begin with
//! `crate`, `$crate`, `self` or `super`. Code under `cfg(test)` and files of tests are exempt. A name that
//! src/lib.rs re-exports counts as an import of the file that it comes from.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Text of each file of src/, by its path below src/.
type Tree = BTreeMap<String, String>;

// Tokens.

#[derive(Debug, Clone, PartialEq)]
struct Token {
    /// An identifier, `::`, or one character. Literals and lifetimes are dropped.
    text: String,
    line: usize,
}

/// Returns the end of the string literal that begins at `at`, or `None` if none begins there.
fn string_end(text: &[char], at: usize) -> Option<usize> {
    let mut next = at;
    while next < text.len() && next < at + 2 && matches!(text[next], 'b' | 'c' | 'r') {
        next += 1;
    }
    let raw = text[at..next].contains(&'r');
    let hashes = if raw { text[next..].iter().take_while(|c| **c == '#').count() } else { 0 };
    next += hashes;
    if text.get(next) != Some(&'"') {
        return None;
    }
    next += 1;
    while next < text.len() {
        match text[next] {
            '\\' if !raw => next += 1,
            '"' if text[next + 1..].iter().take_while(|c| **c == '#').count() >= hashes => {
                return Some(next + 1 + hashes);
            }
            _ => {}
        }
        next += 1;
    }
    Some(next)
}

fn tokens(source: &str) -> Vec<Token> {
    let text: Vec<char> = source.chars().collect();
    let starts = |at: usize, what: &str| text[at..].iter().copied().take(what.len()).eq(what.chars());
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let (mut found, mut at, mut line) = (Vec::new(), 0, 1);
    while at < text.len() {
        let start = at;
        if starts(at, "//") {
            at += text[at..].iter().take_while(|c| **c != '\n').count();
        } else if starts(at, "/*") {
            let mut depth = 0;
            loop {
                if starts(at, "/*") {
                    (depth, at) = (depth + 1, at + 2);
                } else if starts(at, "*/") {
                    (depth, at) = (depth - 1, at + 2);
                } else {
                    at += 1;
                }
                if depth == 0 || at >= text.len() {
                    break;
                }
            }
        } else if let Some(end) = string_end(&text, at) {
            at = end;
        } else if text[at] == '\'' {
            // A character literal, or a lifetime.
            at += match text.get(at + 1) {
                Some('\\') => 3 + text[at + 3..].iter().take_while(|c| **c != '\'').count() + 1,
                _ if text.get(at + 2) == Some(&'\'') => 3,
                _ => 1 + text[at + 1..].iter().take_while(|c| is_word(**c)).count(),
            };
        } else if is_word(text[at]) {
            at += text[at..].iter().take_while(|c| is_word(**c)).count();
            found.push(Token { text: text[start..at].iter().collect(), line });
        } else {
            at += if starts(at, "::") { 2 } else { 1 };
            if !text[start].is_whitespace() {
                found.push(Token { text: text[start..at].iter().collect(), line });
            }
        }
        line += text[start..at.min(text.len())].iter().filter(|c| **c == '\n').count();
    }
    found
}

// Imports.

/// A path as written, with the inline modules around it.
#[derive(Debug, PartialEq)]
struct Import {
    path: Vec<String>,
    inside: Vec<String>,
    line: usize,
}

struct Reader<'a> {
    tokens: &'a [Token],
    at: usize,
    imports: Vec<Import>,
    /// Exported name and path of each `pub use`.
    exports: Vec<(String, Vec<String>)>,
    /// Lines of items under `cfg(test)`.
    test_lines: BTreeSet<usize>,
}

const ITEMS: [&str; 17] = [
    "async",
    "const",
    "enum",
    "extern",
    "fn",
    "for",
    "if",
    "impl",
    "let",
    "macro_rules",
    "match",
    "mod",
    "static",
    "struct",
    "trait",
    "unsafe",
    "use",
];

impl Reader<'_> {
    fn is(&self, at: usize, text: &str) -> bool {
        self.tokens.get(at).is_some_and(|token| token.text == text)
    }

    fn word(&self, at: usize) -> Option<&str> {
        let text = &self.tokens.get(at)?.text;
        text.starts_with(|c: char| c.is_alphabetic() || c == '_').then_some(text)
    }

    /// The place after the bracket that closes the one at `at`.
    fn after_bracket(&self, mut at: usize) -> usize {
        let mut depth = 0;
        while at < self.tokens.len() {
            match self.tokens[at].text.as_str() {
                "(" | "[" | "{" => depth += 1,
                ")" | "]" | "}" => depth -= 1,
                _ => {}
            }
            at += 1;
            if depth == 0 {
                break;
            }
        }
        at
    }

    /// The place after the item at `at`: its `;`, its block, or (for a field or an arm) its comma.
    fn after_item(&self, mut at: usize) -> usize {
        while self.is(at, "#") {
            at = self.after_bracket(at + 1);
        }
        if self.is(at, "pub") {
            at = if self.is(at + 1, "(") { self.after_bracket(at + 1) } else { at + 1 };
        }
        let is_item = self.word(at).is_some_and(|word| ITEMS.contains(&word) || word == "type");
        let ends_with_block = is_item && !self.is(at, "use") && !self.is(at, "let");
        while at < self.tokens.len() {
            match self.tokens[at].text.as_str() {
                ";" => return at + 1,
                "," if !is_item => return at + 1,
                ")" | "]" | "}" => return at,
                "{" if ends_with_block || !is_item => return self.after_bracket(at),
                "(" | "[" | "{" => at = self.after_bracket(at),
                _ => at += 1,
            }
        }
        at
    }

    /// Returns true if the attribute from `at` to `end` restricts its item to builds of tests.
    fn is_for_tests(&self, at: usize, end: usize) -> bool {
        let words: Vec<&str> = (at..end).filter_map(|at| self.word(at)).collect();
        matches!(words[..], ["cfg", "test"])
            || matches!(words[..], ["cfg", "all", "test", ..] if !words.contains(&"not"))
    }

    /// Reads the tree of a `use` at `self.at`, up to its end.
    fn use_tree(&mut self, prefix: &[String], inside: &[String], public: bool) {
        let mut path = prefix.to_vec();
        let line = self.tokens.get(self.at).map_or(0, |token| token.line);
        let mut name = None;
        while self.at < self.tokens.len() {
            if self.is(self.at, "{") {
                self.at += 1;
                while self.at < self.tokens.len() && !self.is(self.at, "}") {
                    self.use_tree(&path, inside, public);
                    // A comma, or a variable of a macro.
                    self.at += usize::from(!self.is(self.at, "}"));
                }
                self.at += 1;
                return;
            }
            if self.is(self.at, "as") {
                name = self.word(self.at + 1).map(str::to_owned);
                self.at += 2;
            } else if let Some(word) = self.word(self.at) {
                path.push(word.to_owned());
                self.at += 1;
            } else if self.is(self.at, "::") || self.is(self.at, "*") {
                self.at += 1;
            } else {
                break;
            }
        }
        if path.last().is_some_and(|last| last == "self") && path.len() > 1 {
            path.pop();
        }
        if public && let Some(name) = name.or_else(|| path.last().cloned()) {
            self.exports.push((name, path.clone()));
        }
        self.imports.push(Import { path, inside: inside.to_vec(), line });
    }

    /// Reads up to the end, or to the bracket that closes the module.
    fn module(&mut self, inside: &[String]) {
        let mut depth = 0;
        while self.at < self.tokens.len() {
            let at = self.at;
            match self.tokens[at].text.as_str() {
                "#" => {
                    let inner = usize::from(self.is(at + 1, "!"));
                    let end = self.after_bracket(at + 1 + inner);
                    self.at = end;
                    if self.is_for_tests(at, end) {
                        self.at = if inner == 1 { self.tokens.len() } else { self.after_item(end) };
                        let last = self.tokens[self.at - 1].line;
                        self.test_lines.extend(self.tokens[at].line..=last);
                    }
                }
                "{" => (depth, self.at) = (depth + 1, at + 1),
                "}" if depth == 0 => return,
                "}" => (depth, self.at) = (depth - 1, at + 1),
                "mod" if self.is(at + 2, "{") => {
                    let name = self.tokens[at + 1].text.clone();
                    self.at = at + 3;
                    self.module(&[inside, &[name]].concat());
                    self.at += 1;
                }
                // `use<'a>` in a type captures lifetimes.
                "use" if !self.is(at + 1, "<") => {
                    let public = at > 0 && self.is(at - 1, "pub");
                    self.at = at + 1;
                    self.use_tree(&[], inside, public);
                }
                // `pub(in path)` limits visibility, and uses nothing.
                "crate" | "self" | "super"
                    if self.is(at + 1, "::")
                        && !(at > 1 && self.is(at - 1, "in") && self.is(at - 2, "(")) =>
                {
                    let mut path = vec![self.tokens[at].text.clone()];
                    self.at = at + 1;
                    while self.is(self.at, "::") && self.word(self.at + 1).is_some() {
                        path.push(self.tokens[self.at + 1].text.clone());
                        self.at += 2;
                    }
                    self.imports.push(Import { path, inside: inside.to_vec(), line: self.tokens[at].line });
                }
                _ => self.at = at + 1,
            }
        }
    }
}

fn read(source: &str, then: impl FnOnce(Reader<'_>)) {
    let tokens = tokens(source);
    let (imports, exports) = (Vec::new(), Vec::new());
    let mut reader = Reader { tokens: &tokens, at: 0, imports, exports, test_lines: BTreeSet::new() };
    reader.module(&[]);
    then(reader);
}

// The house.

/// The module that a file is.
fn module_of(file: &str) -> Vec<String> {
    let mut path: Vec<String> = file.trim_end_matches(".rs").split('/').map(str::to_owned).collect();
    if path.last().is_some_and(|last| last == "mod") || path == ["lib"] {
        path.pop();
    }
    path
}

fn is_test(file: &str) -> bool {
    file.split('/').any(|part| part == "tests" || part == "tests.rs")
}

/// The floors of the list from the ground up, each with its places.
fn floors(list: &str) -> Vec<Vec<&str>> {
    let lines = list.lines().map(|line| line.split('#').next().unwrap_or_default());
    lines
        .map(|line| line.split_whitespace().collect::<Vec<_>>())
        .filter(|places| !places.is_empty())
        .collect()
}

/// Floor and place of a file by the longest name that covers it.
fn place_of<'a>(floors: &[Vec<&'a str>], file: &str) -> Option<(usize, &'a str)> {
    let covers =
        |place: &str| file == place || file.strip_prefix(place).is_some_and(|rest| rest.starts_with('/'));
    let all =
        floors.iter().enumerate().flat_map(|(floor, places)| places.iter().map(move |place| (floor, *place)));
    all.filter(|(_, place)| covers(place)).max_by_key(|(_, place)| place.len())
}

/// The file that a path leads to: that of the longest prefix that is a module. A name of the crate's root
/// is followed to where src/lib.rs has it from. `None`: a path of another crate, or of a local name.
fn target<'a>(
    files: &BTreeMap<Vec<String>, &'a str>,
    exports: &BTreeMap<String, Vec<String>>,
    file: &str,
    import: &Import,
) -> Result<Option<&'a str>, String> {
    let here = [module_of(file), import.inside.clone()].concat();
    let mut rest = &import.path[..];
    let mut path = match rest.first().map(String::as_str) {
        Some("crate") => Vec::new(),
        Some("self" | "super") => here,
        // A child of this module, or another crate.
        Some(first) if files.contains_key(&[&here[..], &[first.to_owned()]].concat()) => here,
        _ => return Ok(None),
    };
    while let Some(first) = rest.first().filter(|first| ["crate", "self", "super"].contains(&first.as_str()))
    {
        if first == "super" {
            path.pop();
        }
        rest = &rest[1..];
    }
    path.extend(rest.iter().cloned());
    for len in (1..=path.len()).rev() {
        if let Some(file) = files.get(&path[..len]) {
            return Ok(Some(file));
        }
    }
    // Nothing below the root: a name that lib.rs re-exports.
    let Some(from) = path.first().and_then(|name| exports.get(name)) else {
        return Err(format!("{} leads to no file of src/", import.path.join("::")));
    };
    Ok((1..=from.len()).rev().find_map(|len| files.get(&from[..len]).copied()))
}

/// Everything in `tree` that the list refuses, a line each.
fn refused(tree: &Tree, list: &str) -> Vec<String> {
    let floors = floors(list);
    let mut wrong = Vec::new();
    let mut seen = BTreeSet::new();
    for place in floors.iter().flatten() {
        if !tree.keys().any(|file| place_of(&[vec![place]], file).is_some()) {
            wrong.push(format!("the list names src/{place}, which is not there"));
        }
        if !seen.insert(place) {
            wrong.push(format!("the list names src/{place} twice"));
        }
    }
    let files: BTreeMap<Vec<String>, &str> =
        tree.keys().filter(|file| *file != "lib.rs").map(|file| (module_of(file), file.as_str())).collect();
    let mut exports = BTreeMap::new();
    read(tree.get("lib.rs").map_or("", String::as_str), |reader| exports.extend(reader.exports));

    for (file, source) in tree.iter().filter(|(file, _)| *file != "lib.rs") {
        let Some((floor, place)) = place_of(&floors, file) else {
            wrong.push(format!("src/{file} is on no floor of the list"));
            continue;
        };
        if is_test(file) {
            continue;
        }
        read(source, |reader| {
            for import in reader.imports {
                let at = format!("src/{file}:{}", import.line);
                let written = import.path.join("::");
                match target(&files, &exports, file, &import) {
                    Err(error) => wrong.push(format!("{at}: {error}")),
                    Ok(None) => {}
                    Ok(Some(to)) => match place_of(&floors, to) {
                        Some((below, other)) if other != place && below >= floor => {
                            let how = if below > floor { "above" } else { "beside" };
                            wrong.push(format!("{at}: {written} is in src/{other}, {how} src/{place}"));
                        }
                        _ => {}
                    },
                }
            }
        });
    }
    wrong
}

/// Lines of `source` outside of items under `cfg(test)`.
fn lines_of(source: &str) -> usize {
    let mut lines = source.lines().count();
    read(source, |reader| lines -= reader.test_lines.len().min(lines));
    lines
}

/// The folders directly below src/ that hold more than a third of all lines, tests left out.
fn too_large(tree: &Tree) -> Vec<String> {
    let (mut all, mut folders) = (0, BTreeMap::<&str, usize>::new());
    for (file, source) in tree.iter().filter(|(file, _)| !is_test(file)) {
        let lines = lines_of(source);
        all += lines;
        if let Some((folder, _)) = file.split_once('/') {
            *folders.entry(folder).or_default() += lines;
        }
    }
    let large = folders.into_iter().filter(|(_, lines)| 3 * lines > all);
    large
        .map(|(folder, lines)| format!("src/{folder} holds {lines} of {all} lines, more than a third"))
        .collect()
}

/// Files that stand beside the folder of their module: the style is `x/mod.rs`.
fn two_styles(tree: &Tree) -> Vec<String> {
    let folder = |file: &str| format!("{}/", file.trim_end_matches(".rs"));
    let beside = |file: &&String| tree.keys().any(|other| other.starts_with(&folder(file)));
    tree.keys().filter(beside).map(|file| format!("src/{file} stands beside src/{}", folder(file))).collect()
}

/// The floors of the picture in the section "Layers" of docs/design.md, from the ground up: the first
/// code block there, in which each line with words that begin with `src/` is a floor, the highest first.
fn picture(design: &str) -> Vec<BTreeSet<&str>> {
    let section = design.split("\n## Layers\n").nth(1).unwrap_or_default();
    let section = section.split("\n## ").next().unwrap_or_default();
    let block = section.split("\n```").nth(1).unwrap_or_default();
    let mut floors: Vec<BTreeSet<&str>> = block
        .lines()
        .map(|line| {
            line.split_whitespace()
                .filter_map(|word| word.strip_prefix("src/"))
                .map(|word| word.trim_end_matches(['/', ',', '.', ':']))
                .collect()
        })
        .filter(|floor: &BTreeSet<&str>| !floor.is_empty())
        .collect();
    floors.reverse();
    floors
}

// The house as it is.

fn add(folder: &Path, name: &str, tree: &mut Tree) {
    for entry in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap()) {
        let below = format!("{name}{}", entry.file_name().into_string().unwrap());
        if entry.path().is_dir() {
            add(&entry.path(), &format!("{below}/"), tree);
        } else if below.ends_with(".rs") {
            tree.insert(below, std::fs::read_to_string(entry.path()).unwrap());
        }
    }
}

/// src/ and the list. Cargo runs tests in the folder of the package.
fn house() -> (Tree, String) {
    let mut tree = Tree::new();
    add(Path::new("src"), "", &mut tree);
    assert!(tree.len() > 50, "{} files were read", tree.len());
    (tree, std::fs::read_to_string("docs/layers.txt").unwrap())
}

fn assert_none(wrong: &[String]) {
    assert!(wrong.is_empty(), "docs/layers.txt is the order of src/:\n{}", wrong.join("\n"));
}

#[test]
fn no_import_goes_up() {
    let (tree, list) = house();
    assert_none(&refused(&tree, &list));
}

#[test]
fn no_folder_holds_more_than_a_third_of_the_code() {
    assert_none(&too_large(&house().0));
}

#[test]
fn a_module_with_parts_is_a_folder_with_mod_rs() {
    assert_none(&two_styles(&house().0));
}

#[test]
fn the_design_shows_the_floors_of_the_list() {
    let list = house().1;
    let design = std::fs::read_to_string("docs/design.md").unwrap();
    let floors: Vec<BTreeSet<&str>> =
        floors(&list).into_iter().map(|floor| floor.into_iter().collect()).collect();
    assert_eq!(
        picture(&design),
        floors,
        "docs/design.md (left) and docs/layers.txt (right) show other floors, the ground first"
    );
}

// The test itself, on houses of a few lines.

const LIST: &str = "# the ground first\nbase\nleft right # the same floor\nhall/stairs.rs\nhall\nffi\n";

fn fake(file: &str, source: &str) -> Tree {
    let mut tree: Tree = [
        ("lib.rs", "pub use base::Error; pub use hall::{Hall, door::Door as Gate};"),
        ("base/mod.rs", "pub struct Error;"),
        ("base/sync.rs", ""),
        ("left/mod.rs", "mod part; use part::P; use self::part::Q;"),
        ("left/part.rs", "use super::L; use crate::base::sync::lock;"),
        ("right/mod.rs", "use crate::base::Error;"),
        ("hall/mod.rs", "mod stairs; pub use stairs::Stairs;"),
        ("hall/stairs.rs", "use crate::{left::L, right::R};"),
        ("hall/door.rs", ""),
        ("ffi/mod.rs", "use crate::hall::Hall;"),
    ]
    .into_iter()
    .map(|(file, source)| (file.to_owned(), source.to_owned()))
    .collect();
    if !file.is_empty() {
        tree.insert(file.to_owned(), source.to_owned());
    }
    tree
}

/// Returns the violations if `source` is the text of left/part.rs.
fn refused_in(source: &str) -> Vec<String> {
    refused(&fake("left/part.rs", source), LIST)
}

#[test]
fn a_house_in_order_is_not_refused() {
    assert_none(&refused(&fake("", ""), LIST));
    for source in [
        "use crate::left::L; use super::L; fn f() { super::g(); self::h(); crate::base::sync::lock() }",
        "use std::{io, fmt as hall}; use hall::Other; use ::ffi::x;",
        "// use crate::hall::Hall;\n/* crate::hall /* nested */ use crate::ffi; */ /// crate::hall::Hall\n//! crate::ffi",
        r####"fn f() { g("use crate::hall;", 'c', '"', "\" crate::hall::x", r#"" crate::hall::y"#, b"crate::ffi::z", '\'', '\u{41}') }"####,
        "fn f<'a>(x: &'a str) -> impl Sized + use<'a> { crate::base::f(x) }",
        "pub(in crate::hall) struct X; pub(crate) fn f() {}",
        "use crate::Error;",
        "macro_rules! m { ($x:ident) => { use std::{$x, fmt}; } }",
        "#[cfg(test)] use crate::hall::{Hall, Door}; use crate::base::Error;",
        "#[cfg(test)]\n#[allow(unused)]\nmod tests { use super::*; use crate::hall::Hall; fn f() { {} } }",
        "#[cfg(all(test, feature = \"x\"))] fn f<A, B>(a: A) -> [u8; 3] { crate::hall::f() }",
        "struct S { #[cfg(test)] a: crate::hall::Hall, b: crate::base::Error }",
        "#![cfg(test)] use crate::hall::Hall;",
    ] {
        assert_none(&refused_in(source));
    }
    assert_none(&refused(&fake("left/tests.rs", "use crate::hall::Hall;"), LIST));
    assert_none(&refused(&fake("left/tests/more.rs", "use crate::hall::Hall;"), LIST));
}

#[test]
fn an_import_that_goes_up_or_sideways_is_refused() {
    for (source, line, what) in [
        ("use crate::hall::Hall;", 1, "crate::hall::Hall is in src/hall, above src/left"),
        ("\n\nuse crate::right::R;", 3, "crate::right::R is in src/right, beside src/left"),
        ("use crate::{base::Error,\n hall::{self, Hall}};", 2, "crate::hall is in src/hall, above src/left"),
        (
            "use crate::{base::{Error, sync::*}, right::{a::{B as C}, D}};",
            1,
            "crate::right::a::B is in src/right, beside src/left",
        ),
        ("pub(crate) use crate::hall::Hall as H;", 1, "crate::hall::Hall is in src/hall, above src/left"),
        ("pub use super::super::hall::*;", 1, "super::super::hall is in src/hall, above src/left"),
        (
            "fn f() -> crate::hall::door::Door { x }",
            1,
            "crate::hall::door::Door is in src/hall, above src/left",
        ),
        (
            "use crate::hall::stairs::Stairs;",
            1,
            "crate::hall::stairs::Stairs is in src/hall/stairs.rs, above src/left",
        ),
        ("macro_rules! m { () => { $crate::ffi::f() } }", 1, "crate::ffi::f is in src/ffi, above src/left"),
        ("use crate::Hall;", 1, "crate::Hall is in src/hall, above src/left"),
        ("use crate::Gate;", 1, "crate::Gate is in src/hall, above src/left"),
        (
            "mod inner { fn f() { super::super::super::ffi::f() } }",
            1,
            "super::super::super::ffi::f is in src/ffi, above src/left",
        ),
        ("#[cfg(test)] mod t { } use crate::ffi::f;", 1, "crate::ffi::f is in src/ffi, above src/left"),
        (
            "#[cfg(test)] use crate::base::{A}; use crate::ffi::f;",
            1,
            "crate::ffi::f is in src/ffi, above src/left",
        ),
        ("#[cfg(not(test))] use crate::ffi::f;", 1, "crate::ffi::f is in src/ffi, above src/left"),
        ("fn f() { g('\"'); crate::ffi::f(); h(\"\") }", 1, "crate::ffi::f is in src/ffi, above src/left"),
        (
            "fn f<'a>(x: &'a u8, y: &'a u8) { crate::ffi::f() }",
            1,
            "crate::ffi::f is in src/ffi, above src/left",
        ),
        ("use crate::Nothing;", 1, "crate::Nothing leads to no file of src/"),
    ] {
        let wrong = refused_in(source);
        assert!(
            wrong.contains(&format!("src/left/part.rs:{line}: {what}")),
            "{source}\n{}",
            wrong.join("\n")
        );
    }
    let wrong = refused(&fake("hall/stairs.rs", "use super::Hall;"), LIST);
    assert_eq!(wrong, ["src/hall/stairs.rs:1: super::Hall is in src/hall, above src/hall/stairs.rs"]);
}

#[test]
fn list_and_tree_name_the_same_places() {
    let wrong = refused(&fake("attic/mod.rs", ""), LIST);
    assert_eq!(wrong, ["src/attic/mod.rs is on no floor of the list"]);
    let wrong = refused(&fake("", ""), &format!("{LIST}cellar.rs ffi\n"));
    assert_eq!(wrong, ["the list names src/cellar.rs, which is not there", "the list names src/ffi twice"]);
}

#[test]
fn a_large_folder_and_two_styles_are_found() {
    let mut tree = fake("base/big.rs", &"x();\n".repeat(100));
    assert_eq!(too_large(&tree), ["src/base holds 101 of 108 lines, more than a third"]);
    let tests = format!("#[cfg(test)]\nmod tests {{\n{}}}\n", "x();\n".repeat(100));
    tree.insert("base/big.rs".to_owned(), tests);
    tree.insert("base/tests.rs".to_owned(), "x();\n".repeat(100));
    assert_eq!(too_large(&tree), [""; 0]);
    assert_eq!(two_styles(&tree), [""; 0]);
    tree.insert("hall.rs".to_owned(), String::new());
    assert_eq!(two_styles(&tree), ["src/hall.rs stands beside src/hall/"]);
}

#[test]
fn the_picture_is_read_from_the_top() {
    let design = "# Design\n\n## Layers\n\n```\nC program\n   |\nsrc/ffi/      boundary\n   |\nsrc/a  src/b/c.rs\n```\n\n`src/x`\n\n## More\n";
    assert_eq!(picture(design), [BTreeSet::from(["a", "b/c.rs"]), BTreeSet::from(["ffi"])]);
    assert_eq!(picture("# Design\n"), [] as [BTreeSet<&str>; 0]);
}
