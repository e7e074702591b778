//! Holds the import table of ARCHITECTURE.md against the `use` lines of the code.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// Which modules a module may import. `*` stands for composition: as needed, except [`COMPOSITION_ROOTS`].
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("domain", &[]),
    ("store", &["domain"]),
    ("blobs", &["domain"]),
    ("launcher", &["domain"]),
    ("webhooks", &["domain"]),
    ("notifier", &["domain", "store"]),
    ("dispatcher", &["domain", "store", "launcher"]),
    ("api", &["domain", "store", "blobs", "webhooks"]),
    ("retention", &["domain", "store", "blobs"]),
    ("client", &["domain"]),
    ("cli", &["domain", "client"]),
    ("config", &["*"]),
    ("telemetry", &["*"]),
    ("shutdown", &["*"]),
    ("app", &["*"]),
    ("main", &["*", "app"]),
];

/// What nothing but `main` imports.
const COMPOSITION_ROOTS: &[&str] = &["app"];

/// Crates that only some modules may use.
const FENCED_CRATES: &[(&str, &[&str])] = &[
    ("sqlx", &["store"]),
    ("jiff_sqlx", &["store"]),
    ("axum", &["api", "app"]),
    ("kube", &["launcher"]),
    // A toleration is read where it is written: among the settings.
    ("k8s_openapi", &["launcher", "config"]),
    ("bollard", &["launcher"]),
    ("object_store", &["blobs"]),
    ("clap", &["config", "cli", "main", "app", "telemetry", "launcher"]),
];

/// What the domain may not know of, beside the fenced crates.
const NOT_IN_DOMAIN: &[&str] = &["tokio", "futures", "reqwest", "object_store", "hyper"];

fn rust_files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).expect("src can be listed") {
        let path = entry.expect("an entry can be read").path();
        if path.is_dir() {
            found.extend(rust_files(&path));
        } else if path.extension().is_some_and(|ext| ext == "rs") {
            found.push(path);
        }
    }
    found
}

fn module_of(path: &Path) -> String {
    let below = path.strip_prefix("src").expect("the file is below src");
    let first = below.components().next().expect("the path has a component");
    let name = first.as_os_str().to_str().expect("our paths are UTF-8");
    name.trim_end_matches(".rs").to_owned()
}

/// Every `first::second` pair of a path in code, comments left out.
fn paths_in(text: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for line in text
        .lines()
        .map(str::trim_start)
        .filter(|line| !line.starts_with("//"))
    {
        let words: Vec<&str> = line.split("::").collect();
        for pair in words.windows(2) {
            let first = pair[0]
                .rsplit(|c: char| !c.is_alphanumeric() && c != '_')
                .next()
                .unwrap_or("");
            let second: String = pair[1]
                .chars()
                .take_while(|c| c.is_alphanumeric() || *c == '_')
                .collect();
            found.push((first.to_owned(), second));
            // `use crate::{domain::…, store::…}` on one line.
            if first == "crate" && pair[1].starts_with('{') {
                for part in line.split(['{', ',']).skip(1) {
                    let name: String = part
                        .trim()
                        .chars()
                        .take_while(|c| c.is_alphanumeric() || *c == '_')
                        .collect();
                    found.push(("crate".to_owned(), name));
                }
            }
        }
    }
    found.extend(grouped_imports(text));
    found
}

/// The first names inside `use crate::{ … }` written over several lines.
fn grouped_imports(text: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find("use crate::{") {
        rest = &rest[at + "use crate::{".len()..];
        let mut depth = 1;
        let mut name = String::new();
        for c in rest.chars() {
            match c {
                '{' => depth += 1,
                '}' => depth -= 1,
                c if depth == 1 && (c.is_alphanumeric() || c == '_') => name.push(c),
                ':' | ',' if depth == 1 && !name.is_empty() => {
                    found.push(("crate".to_owned(), std::mem::take(&mut name)));
                }
                ',' if depth == 1 => {}
                _ => {}
            }
            if c == ',' && depth == 1 {
                name.clear();
            }
            if depth == 0 {
                break;
            }
        }
        if !name.is_empty() {
            found.push(("crate".to_owned(), name));
        }
    }
    found
}

fn faults_of(module: &str, text: &str) -> BTreeSet<String> {
    let modules: BTreeSet<&str> = MAY_IMPORT.iter().map(|(name, _)| *name).collect();
    let Some((_, allowed)) = MAY_IMPORT.iter().find(|(name, _)| *name == module) else {
        return BTreeSet::from([format!("{module} is not in the import table")]);
    };
    let mut faults = BTreeSet::new();
    for (first, second) in paths_in(text) {
        let ours = (first == "crate" || first == "slipway") && modules.contains(second.as_str());
        if ours && second != module {
            let root = COMPOSITION_ROOTS.contains(&second.as_str());
            let listed = allowed.contains(&second.as_str()) || (allowed.contains(&"*") && !root);
            if !listed {
                faults.insert(format!("{module} imports {second}"));
            }
        }
        let fenced = FENCED_CRATES.iter().find(|(name, _)| *name == first);
        if fenced.is_some_and(|(_, users)| !users.contains(&module)) {
            faults.insert(format!("{module} uses the crate {first}"));
        }
        if module == "domain" && NOT_IN_DOMAIN.contains(&first.as_str()) {
            faults.insert(format!("domain uses the crate {first}"));
        }
    }
    faults
}

#[test]
fn every_module_imports_only_what_the_table_allows() {
    let mut faults = BTreeSet::new();
    for path in rust_files(Path::new("src")) {
        let module = module_of(&path);
        if module == "lib" {
            continue;
        }
        let text = fs::read_to_string(&path).expect("a source file can be read");
        faults.extend(
            faults_of(&module, &text)
                .into_iter()
                .map(|fault| format!("{}: {fault}", path.display())),
        );
    }
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn the_check_sees_forbidden_imports_however_they_are_written() {
    for text in [
        "use crate::store::Store;",
        "use crate::{domain::BuildId, store::Store};",
        "use crate::{\n    domain::{BuildId, State},\n    store::Store,\n};",
        "fn f(store: &crate::store::Store) {}",
    ] {
        assert_eq!(
            faults_of("launcher", text),
            BTreeSet::from(["launcher imports store".to_owned()]),
            "{text}"
        );
    }
    assert!(!faults_of("domain", "use tokio::sync::mpsc;").is_empty());
    assert!(!faults_of("dispatcher", "use sqlx::PgPool;").is_empty());
    assert!(!faults_of("config", "use crate::app::run;").is_empty());
    assert!(faults_of("store", "// see crate::api\nuse crate::domain::Build;").is_empty());
}

#[test]
fn every_test_that_the_table_of_faults_names_is_there() {
    let table = fs::read_to_string("docs/security-tests.md").expect("the table is there");
    let files = rust_files(Path::new("src"))
        .into_iter()
        .chain(rust_files(Path::new("tests")));
    let code: String = files
        .map(|path| fs::read_to_string(path).expect("a source file can be read"))
        .collect();
    let rows = table
        .lines()
        .filter_map(|line| line.strip_prefix("| ")?.rsplit_once(" | "));
    let names: Vec<&str> = rows
        .flat_map(|(_, tests)| tests.split('`').skip(1).step_by(2))
        .filter(|name| {
            name.bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
        })
        .collect();
    assert!(names.len() > 20, "{names:?}");
    for name in names {
        assert!(code.contains(&format!("fn {name}(")), "there is no test {name}");
    }
}
