//! Names, references and addresses: what is taken is harmless, and comes back as it was.

use proptest::prelude::*;
use slipway::domain::{
    BuildId, BuildSpec, ImageReference, ImageRepository, ProjectName,
    git::{CommitId, GitRef, GitUrl},
    path::RelativePath,
    push::{NamedRef, Push},
    rule::{RefPattern, TagTemplate},
};

use crate::{fuzz::fuzz, fuzz::mutation::mutated_text};

/// What no checked text may hold, whatever it is for.
fn is_plain(text: &str) -> bool {
    !text.is_empty() && !text.chars().any(char::is_control)
}

#[test]
fn images() {
    let seeds = [
        "registry.example/team/app:1.0",
        "registry.example:5000/app@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
        "[2001:db8::1]:5000/a/b:latest",
        "registry.example.com.evil.org/x:1",
        "registry.example.com@evil/x:1",
    ];
    fuzz("image references", &mutated_text(&seeds), |text| {
        if let Ok(image) = text.parse::<ImageReference>() {
            prop_assert!(is_plain(&text) && !text.contains([' ', '\\', '#', '?']));
            prop_assert_eq!(image.to_string(), text.clone());
            // The host is all that stands before the first slash: nobody may read another one into it.
            prop_assert_eq!(image.registry(), text.split('/').next().unwrap());
            prop_assert!(!image.registry().contains('@'), "{}", text);
            prop_assert!(
                !text
                    .split('/')
                    .any(|part| part == ".." || part == "." || part.is_empty())
            );
        }
        if let Ok(repository) = text.parse::<ImageRepository>() {
            prop_assert_eq!(repository.to_string(), text.clone());
            prop_assert!(!repository.registry().contains('@'), "{}", text);
        }
        Ok(())
    });
}

#[test]
fn git() {
    let seeds = [
        "https://git.example/team/app.git",
        "git://host/x",
        "https://user:secret@host/x",
        "ext::sh -c touch% /tmp/x",
        "refs/heads/main",
        "feature/x",
        "-main",
        "0123456789abcdef0123456789abcdef01234567",
    ];
    fuzz("git URLs, refs and commits", &mutated_text(&seeds), |text| {
        if let Ok(url) = text.parse::<GitUrl>() {
            prop_assert!(is_plain(&text) && !text.starts_with('-') && !text.contains('#'));
            let host = text.split("://").nth(1).unwrap().split('/').next().unwrap();
            prop_assert!(!host.contains('@') && !host.is_empty(), "{}", text);
            prop_assert_eq!(
                format!("{}://{}", url.scheme(), url.without_scheme()),
                text.clone()
            );
        }
        if let Ok(reference) = text.parse::<GitRef>() {
            prop_assert!(is_plain(&text) && !text.starts_with('-'));
            prop_assert!(!text.contains("..") && !text.contains([' ', '#', '~', '^', ':', '\\']));
            prop_assert_eq!(reference.to_string(), text.clone());
        }
        if text.parse::<CommitId>().is_ok() {
            prop_assert!(text.bytes().all(|byte| byte.is_ascii_hexdigit()));
        }
        if let Some(named) = NamedRef::of_full(&text) {
            prop_assert_eq!(named.full(), text);
        }
        Ok(())
    });
}

#[test]
fn paths_names_and_ids() {
    let seeds = [
        "services/web/Dockerfile",
        "./a/../b",
        "/etc/passwd",
        "default",
        "team-1",
        "0190b5a2-7f10-7cc0-8f7e-0123456789ab",
        "build-0190b5a2-7f10-7cc0-8f7e-0123456789ab",
    ];
    fuzz("paths, project names and ids", &mutated_text(&seeds), |text| {
        if text.parse::<RelativePath>().is_ok() {
            prop_assert!(is_plain(&text) && !text.starts_with(['/', '-']) && !text.contains('\\'));
            prop_assert!(!text.split('/').any(|part| part == ".."), "{}", text);
        }
        if text.parse::<ProjectName>().is_ok() {
            let harmless =
                |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_.".contains(&byte);
            prop_assert!(text.bytes().all(harmless), "{}", text);
        }
        if let Ok(id) = text.parse::<BuildId>() {
            prop_assert_eq!(id.to_string(), text.to_lowercase());
        }
        if let Some(id) = BuildId::from_job_name(&text) {
            prop_assert_eq!(id.job_name(), text);
        }
        Ok(())
    });
}

#[test]
fn rules() {
    let patterns = mutated_text(&["/^v([0-9.]+)$/", "/(.*)/", "main", "/(a+)+$/", "/[/"]);
    let templates = mutated_text(&[
        "{\\1}",
        "release-{sourceref}",
        "latest",
        "{\\99}",
        "{",
        "v{\\1}-{\\2}",
    ]);
    let names = mutated_text(&["v1.2.3", "feature/x", "main", "aaaaaaaaaaaaaaaaaaaaaaaa!"]);
    fuzz(
        "rules and tag templates",
        &(patterns, templates, names),
        |(pattern, template, name)| {
            let (Ok(pattern), Ok(template)) =
                (pattern.parse::<RefPattern>(), template.parse::<TagTemplate>())
            else {
                return Ok(());
            };
            let Some(reference) = NamedRef::of_full(&format!("refs/tags/{name}")) else {
                return Ok(());
            };
            let push = Push {
                reference,
                commit: "0123456789abcdef0123456789abcdef01234567".parse().unwrap(),
                message: None,
            };
            if let Some(captures) = pattern.captures(&name)
                && let Ok(tag) = template.render(&push.reference, Some(&push.commit), &captures)
            {
                let image = format!("registry.example/app:{tag}");
                prop_assert!(image.parse::<ImageReference>().is_ok(), "{}", tag);
            }
            Ok(())
        },
    );
}

#[test]
fn specs() {
    let seed = serde_json::json!({
        "project": "default", "source": {"git": {"url": "https://git.example/a.git", "ref": "main", "sub_path": "a/b"}},
        "destinations": ["registry.example/a:1"], "dockerfile": "Dockerfile", "build_args": {"A": "1"},
        "labels": {"a": "b"}, "target": "release", "platform": "linux/arm64", "priority": 1, "max_retries": 2,
        "timeout_seconds": 60, "resources": {"cpu": "500m", "memory": "2Gi"},
        "cache": {"enabled": true, "repository": "registry.example/cache", "ttl_seconds": 60},
    });
    fuzz(
        "bodies of requests for builds",
        &mutated_text(&[&seed.to_string()]),
        |text| {
            if let Ok(spec) = serde_json::from_str::<BuildSpec>(&text) {
                let written = serde_json::to_string(&spec).unwrap();
                let again: BuildSpec = serde_json::from_str(&written).unwrap();
                prop_assert_eq!(serde_json::to_string(&again).unwrap(), written);
            }
            Ok(())
        },
    );
}
