//! Real payloads of git hosts, each against an independent reading of it (drone/go-scm's).
//!
//! They are not ours to publish, so that they are no part of the repository: `SLIPWAY_TEST_WEBHOOKS` names the folder
//! that has them, `<host>/<case>.json` with `<case>.expected.json` beside it. Without it this says NOT RUN.

use std::{
    fs,
    path::{Path, PathBuf},
};

use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;
use slipway::{
    domain::provider::Provider,
    webhooks::{Change, Content, Delivery, read},
};

/// The hosts' folders, who sends them, and the header that names the event.
const HOSTS: [(&str, Provider, &str); 6] = [
    ("github", Provider::Github, "x-github-event"),
    ("gitlab", Provider::Gitlab, "x-gitlab-event"),
    ("gitea", Provider::Gitea, "x-gitea-event"),
    ("gitea", Provider::Forgejo, "x-forgejo-event"),
    ("bitbucket-cloud", Provider::BitbucketCloud, "x-event-key"),
    ("bitbucket-dc", Provider::BitbucketDc, "x-event-key"),
];

fn cases(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("the host has a folder");
    let mut cases: Vec<PathBuf> = entries
        .map(|entry| entry.expect("an entry can be read").path())
        .filter(|path| {
            let name = path.to_string_lossy();
            name.ends_with(".json") && !name.ends_with(".expected.json")
        })
        .collect();
    cases.sort();
    cases
}

/// The event, as the host names it for such a case.
fn event(provider: Provider, case: &str) -> &'static str {
    match provider {
        Provider::Github | Provider::Gitea | Provider::Forgejo if case.starts_with("push") => "push",
        Provider::Github | Provider::Gitea | Provider::Forgejo if case.ends_with("_create") => "create",
        Provider::Github | Provider::Gitea | Provider::Forgejo => "delete",
        Provider::BitbucketCloud => "repo:push",
        Provider::BitbucketDc => "repo:refs_changed",
        _ if case.starts_with("tag") => "Tag Push Hook",
        _ => "Push Hook",
    }
}

/// What the independent reading says: the ref's short name, and its commit unless it is gone.
fn expected(reading: &Value) -> (String, Option<String>) {
    let text = |pointer: &str| {
        reading
            .pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or_default()
    };
    let (full, commit) = match reading["Ref"].as_str() {
        // Of some hosts it names the commit in one of two places only.
        Some(full) if text("/After").is_empty() => (full, text("/Commit/Sha")),
        Some(full) => (full, text("/After")),
        None => (text("/Ref/Name"), text("/Ref/Sha")),
    };
    let name = full
        .trim_start_matches("refs/heads/")
        .trim_start_matches("refs/tags/");
    let gone = reading["Action"] == "deleted" || commit.bytes().all(|byte| byte == b'0');
    (name.to_owned(), (!gone).then(|| commit.to_owned()))
}

/// Where the two readings differ.
fn differences(provider: Provider, event: &str, delivery: &Delivery, reading: &Value) -> Vec<String> {
    let mut found = Vec::new();
    let mut same = |what: &str, ours: Option<&str>, theirs: &str| {
        if ours.is_some_and(|ours| !theirs.is_empty() && ours != theirs) {
            found.push(format!("{what}: {ours:?} and {theirs:?}"));
        }
    };
    let theirs = |field: &str| reading["Repo"][field].as_str().unwrap_or_default();
    let repository = delivery
        .repository
        .as_ref()
        .expect("every one names its repository");
    let name = format!("{}/{}", theirs("Namespace"), theirs("Name"));
    same("repository", Some(&repository.name), &name);
    same("clone URL", repository.clone_url.as_deref(), theirs("Clone"));
    if event != "push" || theirs("Branch").is_empty() {
        same("branch", repository.default_branch.as_deref(), theirs("Branch"));
    }
    let (name, commit) = expected(reading);
    match &delivery.content {
        Content::Changes(changes) => {
            let agrees = |change: &Change| match (change, &commit) {
                (Change::Pushed(push), Some(commit)) => {
                    push.reference.name.as_str() == name && push.commit.as_str() == commit
                }
                (Change::Deleted(reference), None) => reference.name.as_str() == name,
                _ => false,
            };
            if !changes.iter().any(agrees) {
                found.push(format!("{name} at {commit:?} is not in {changes:?}"));
            }
        }
        // The push beside them says the same, and better.
        Content::Other if matches!(event, "create" | "delete") && provider == Provider::Github => {}
        Content::Other if event == "create" && reading["Ref"]["Sha"] == "" => {}
        other => found.push(format!("{other:?}")),
    }
    found
}

#[test]
fn real_payloads_are_read_as_others_read_them() {
    let Some(root) = std::env::var_os("SLIPWAY_TEST_WEBHOOKS").map(PathBuf::from) else {
        eprintln!("NOT RUN: SLIPWAY_TEST_WEBHOOKS names no folder with payloads of git hosts");
        return;
    };
    let (mut compared, mut found) = (0, Vec::new());
    for (folder, provider, header) in HOSTS {
        for path in cases(&root.join(folder)) {
            let case = path
                .file_stem()
                .and_then(|stem| stem.to_str())
                .expect("a name")
                .to_owned();
            let event = event(provider, &case);
            let name = HeaderName::from_static(header);
            let headers = HeaderMap::from_iter([(name, HeaderValue::from_static(event))]);
            let body = fs::read(&path).expect("the payload can be read");
            let delivery = read(provider, &headers, &body);
            let delivery = delivery.unwrap_or_else(|error| panic!("{provider}/{case}: {error}"));
            let reading = fs::read(path.with_extension("expected.json")).expect("it has a reading");
            if reading.is_empty() {
                continue;
            }
            let reading = serde_json::from_slice(&reading).expect("the reading is JSON");
            compared += 1;
            let differences = differences(provider, event, &delivery, &reading);
            found.extend(
                differences
                    .into_iter()
                    .map(|one| format!("{provider}/{case}: {one}")),
            );
        }
    }
    assert!(compared >= 30, "only {compared} payloads were there");
    assert!(found.is_empty(), "of {compared}: {found:#?}");
    eprintln!("{compared} payloads are read as others read them");
}
