use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::*;

fn minimal() -> Json {
    json!({"source": {"git": {"url": "https://h/x.git"}}, "destinations": ["r.io/team/app:1"]})
}

/// Returns the path and the reason of the error in a request.
fn fault(change: impl FnOnce(&mut Json)) -> (String, String) {
    let mut request = minimal();
    change(&mut request);
    let error = serde_path_to_error::deserialize::<_, BuildSpec>(request).expect_err("a fault is expected");
    (error.path().to_string(), error.inner().to_string())
}

#[test]
fn a_short_request_gets_the_defaults() {
    let spec: BuildSpec = serde_json::from_value(minimal()).expect("a valid request");
    assert_eq!(spec.project.as_str(), "default");
    assert_eq!(spec.dockerfile.as_str(), "Dockerfile");
    assert_eq!(
        (
            spec.max_retries.get(),
            spec.timeout_seconds.get(),
            spec.priority.get()
        ),
        (3, 3600, 0)
    );
    assert!(!spec.cache.enabled);
}

#[test]
fn a_fault_is_named_by_its_path() {
    for (path, change) in [
        (
            "source.git.url",
            (|r| r["source"]["git"]["url"] = json!("file:///x")) as fn(&mut Json),
        ),
        ("source.git.ref", |r| r["source"]["git"]["ref"] = json!("a#b")),
        ("source.git.sub_path", |r| {
            r["source"]["git"]["sub_path"] = json!("../x")
        }),
        ("destinations[1]", |r| {
            r["destinations"] = json!(["r.io/aa", "evil@r.io/bb"])
        }),
        ("destinations", |r| r["destinations"] = json!([])),
        ("destinations", |r| {
            r["destinations"] = json!(["r.io/aa", "r.io/aa"])
        }),
        ("destinations", |r| {
            r["destinations"] = json!(["r.io/ab", "r.io/ab:latest"])
        }),
        ("destinations", |r| {
            r["destinations"] = (0..17).map(|n| format!("r.io/ab:{n}")).collect()
        }),
        ("destinations[0]", |r| {
            r["destinations"] = json!(["registry.example.com@evil/app"])
        }),
        ("destinations[0]", |r| r["destinations"] = json!([7])),
        ("source.git.commit", |r| {
            r["source"]["git"]["commit"] = json!("HEAD")
        }),
        ("source.volume.claim", |r| {
            r["source"] = json!({"volume": {"claim": "../x"}})
        }),
        ("source.volume.path", |r| {
            r["source"] = json!({"volume": {"claim": "x", "path": "/x"}})
        }),
        ("source.upload.context_id", |r| {
            r["source"] = json!({"upload": {"context_id": "x"}})
        }),
        ("source.http.url", |r| {
            r["source"] = json!({"http": {"url": "http://h/x"}})
        }),
        ("source.s3.url", |r| {
            r["source"] = json!({"s3": {"url": "s3://b"}})
        }),
        (
            "source.azure.sub_path",
            |r| {
                r["source"] =
                    json!({"azure": {"url": "https://acc.blob.core.windows.net/c/k", "sub_path": ".."}})
            },
        ),
        ("labels.a b", |r| r["labels"] = json!({"a b": ""})),
        ("labels.a", |r| r["labels"] = json!({"a": 1})),
        ("annotations.k", |r| {
            r["annotations"] = json!({"k": "x".repeat(32 * 1024 + 1)})
        }),
        ("target", |r| r["target"] = json!("a,b")),
        ("cache.repository", |r| {
            r["cache"] = json!({"repository": "r.io/ab:1"})
        }),
        ("cache.enabled", |r| r["cache"] = json!({"enabled": "yes"})),
        ("resources.cpu", |r| r["resources"] = json!({"cpu": 2})),
        ("dockerfile", |r| {
            r["dockerfile"] = json!("https://evil/Dockerfile")
        }),
        ("dockerfile", |r| r["dockerfile"] = json!("/etc/passwd")),
        ("build_args.A", |r| r["build_args"] = json!({"A": "x\u{0}"})),
        ("build_args.PATH", |r| r["build_args"] = json!({"PATH": "x"})),
        ("max_retries", |r| r["max_retries"] = json!(11)),
        ("timeout_seconds", |r| r["timeout_seconds"] = json!(0)),
        ("priority", |r| r["priority"] = json!(-101)),
        ("cache.ttl_seconds", |r| r["cache"] = json!({"ttl_seconds": 0})),
        ("resources.memory", |r| r["resources"] = json!({"memory": "lots"})),
        ("project", |r| r["project"] = json!("No")),
        ("platform", |r| r["platform"] = json!("linux")),
    ] {
        assert_eq!(fault(change).0, path);
    }
    let (path, reason) = fault(|r| r["sorce"] = json!(1));
    assert!(
        path == "sorce" && reason.contains("unknown field"),
        "{path}: {reason}"
    );
    let (_, reason) = fault(|r| {
        r.as_object_mut().expect("an object").remove("source");
    });
    assert!(reason.contains("missing field `source`"), "{reason}");
    let (path, _) = fault(|r| r["source"] = json!({"git": {"url": "https://h/x"}, "upload": {}}));
    assert_eq!(path, "source");
}

#[test]
fn texts_by_name_are_bounded() {
    let many: serde_json::Map<String, Json> = (0..257).map(|n| (format!("A{n}"), json!(""))).collect();
    let (path, reason) = fault(|r| r["build_args"] = Json::Object(many));
    assert!(
        path == "build_args" && reason.contains("at most 256"),
        "{path}: {reason}"
    );
}

#[test]
fn the_fingerprint_tells_requests_apart_and_not_their_spelling() {
    let spec = |text: &str| serde_json::from_str::<BuildSpec>(text).expect("a valid request");
    let one = spec(
        r#"{"source":{"git":{"url":"https://h/x"}},"destinations":["r.io/aa"],"labels":{"a":"1","b":"2"}}"#,
    );
    let same = spec(
        r#"{"labels":{"b":"2","a":"1"},"max_retries":3,"destinations":["r.io/aa"],"source":{"git":{"url":"https://h/x"}}}"#,
    );
    let other = spec(r#"{"source":{"git":{"url":"https://h/x"}},"destinations":["r.io/bb"]}"#);
    assert_eq!(one.fingerprint(), same.fingerprint());
    assert_ne!(one.fingerprint(), other.fingerprint());
}

proptest! {
    #[test]
    fn what_is_stored_can_be_read_again(
        priority in -100_i64..=100, retries in 0_i64..=10, tag in "[a-z0-9]{1,10}",
        labels in proptest::collection::btree_map("[a-z]{1,8}", ".{0,20}", 0..5),
    ) {
        let mut request = minimal();
        request["priority"] = json!(priority);
        request["max_retries"] = json!(retries);
        request["destinations"] = json!([format!("r.io/aa:{tag}")]);
        request["labels"] = json!(labels);
        if let Ok(spec) = serde_json::from_value::<BuildSpec>(request) {
            let stored = serde_json::to_value(&spec).expect("a spec can be written");
            prop_assert_eq!(serde_json::from_value::<BuildSpec>(stored).expect("and read"), spec);
        }
    }
}

/// Returns the pattern that the OpenAPI document has for a type.
fn pattern<T: ToSchema>() -> regex::Regex {
    let schema = serde_json::to_value(T::schema()).expect("a schema is JSON");
    regex::Regex::new(schema["pattern"].as_str().expect("it has a pattern")).expect("a valid pattern")
}

fn agree<T: ToSchema + std::str::FromStr>(good: &[&str], bad: &[&str]) {
    let pattern = pattern::<T>();
    for text in good {
        assert!(
            text.parse::<T>().is_ok() && pattern.is_match(text),
            "{text:?} {pattern}"
        );
    }
    for text in bad {
        assert!(
            text.parse::<T>().is_err() && !pattern.is_match(text),
            "{text:?} {pattern}"
        );
    }
}

#[test]
fn the_documented_patterns_are_the_rules() {
    use crate::domain::{git, quantity, source};

    agree::<BuildArgName>(&["VERSION", "_1"], &["1A", "A-B", ""]);
    agree::<StageName>(&["release", "a.b"], &["0", "a,b"]);
    agree::<Platform>(&["linux/arm/v7"], &["linux", "/x", "a/b/c/d"]);
    agree::<ProjectName>(&["a", "team-1"], &["-a", "a-", "A"]);
    agree::<quantity::Cpu>(&["2", "0.5", "500m"], &["1.", ".5", "1.2345", "1e3"]);
    agree::<quantity::Memory>(&["1", "512Mi", "2G"], &["1.5Gi", "2K", "Gi"]);
    agree::<git::CommitId>(
        &["0123456789abcdef0123456789abcdef01234567"],
        &["HEAD", "0123456"],
    );
    agree::<git::GitUrl>(&["https://host/x", "http://host/x"], &["ssh://host/x"]);
    agree::<source::ArchiveUrl>(&["https://host/x"], &["http://host/x"]);
    agree::<source::S3Url>(&["s3://bucket/k"], &["gs://bucket/k", "s3://bucket/"]);
    agree::<source::GsUrl>(&["gs://bucket/k"], &["s3://bucket/k"]);
    agree::<source::AzureUrl>(&["https://acc.blob.core.windows.net/c/k"], &["https://host/c/k"]);
    agree::<crate::domain::Digest>(&[&format!("sha256:{}", "0a".repeat(32))], &["sha256:0"]);
}

#[test]
fn nothing_in_a_spec_can_hold_nul() {
    // Postgres keeps no NUL in jsonb, and no argument of a process has one.
    let mut request = minimal();
    for (field, value) in [
        ("labels", json!({"a": "x\u{0}"})),
        ("labels", json!({"a\u{0}": "x"})),
        ("annotations", json!({"a": "\u{0}"})),
        ("dockerfile", json!("a\u{0}")),
        ("target", json!("a\u{0}")),
        ("project", json!("a\u{0}")),
    ] {
        request[field] = value;
        assert!(
            serde_json::from_value::<BuildSpec>(request.clone()).is_err(),
            "{field}"
        );
        request = minimal();
    }
}

#[test]
fn bounded_numbers_keep_their_bounds() {
    for (number, good) in [
        (-101, false),
        (-100, true),
        (100, true),
        (101, false),
        (i64::MAX, false),
    ] {
        assert_eq!(Priority::try_from(number).is_ok(), good, "{number}");
    }
    for (number, good) in [
        (0, false),
        (1, true),
        (86_400, true),
        (86_401, false),
        (i64::MIN, false),
    ] {
        assert_eq!(TimeoutSeconds::try_from(number).is_ok(), good, "{number}");
    }
    for (number, good) in [(-1, false), (0, true), (10, true), (11, false)] {
        assert_eq!(MaxRetries::try_from(number).is_ok(), good, "{number}");
    }
}
