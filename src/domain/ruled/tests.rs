use serde_json::{Value, json};

use super::*;
use crate::domain::{
    TriggerId,
    provider::Provider,
    trigger::{Rules, TriggerSettings},
};

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

fn trigger() -> Trigger {
    Trigger {
        id: TriggerId::generate(),
        project: "team".parse().unwrap(),
        provider: Provider::Github,
        settings: TriggerSettings {
            repository: "team/app".parse().unwrap(),
            clone_url: "https://git.example/team/app.git".parse().unwrap(),
            rules: Rules::default(),
            enabled: true,
            commit_status: None,
        },
        created_at: jiff::Timestamp::UNIX_EPOCH,
        updated_at: jiff::Timestamp::UNIX_EPOCH,
        version: 1,
    }
}

fn rule(changes: Value) -> Rule {
    let mut rule = json!({
        "name": "r", "source_type": "branch", "source": "main", "tags": ["latest"],
        "repositories": ["registry.example/team/app"],
    });
    for (name, value) in changes.as_object().unwrap() {
        rule[name] = value.clone();
    }
    serde_json::from_value(rule).unwrap()
}

fn subject(full: &str) -> Subject {
    Subject {
        reference: NamedRef::of_full(full).unwrap(),
        commit: Some(COMMIT.parse().unwrap()),
        message: Some("Mend it\n\nAll of it".to_owned()),
    }
}

#[track_caller]
fn spec(rule: &Rule, subject: &Subject) -> BuildSpec {
    match rule.judge(&trigger(), subject) {
        Ruling::Builds(spec) => *spec,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_build_is_of_the_commit_that_was_pushed() {
    let rule = rule(json!({ "dockerfile": "docker/Dockerfile", "context": "server", "priority": 7 }));
    let spec = spec(&rule, &subject("refs/heads/main"));
    assert_eq!(spec.project.as_str(), "team");
    let Source::Git(git) = &spec.source else {
        panic!("it is of git")
    };
    assert_eq!(git.url.as_str(), "https://git.example/team/app.git");
    assert_eq!(git.reference.as_ref().unwrap().as_str(), "refs/heads/main");
    assert_eq!(git.commit.as_ref().unwrap().as_str(), COMMIT);
    assert_eq!(git.sub_path.as_ref().unwrap().as_str(), "server");
    assert_eq!(
        (spec.dockerfile.as_str(), spec.priority.get()),
        ("docker/Dockerfile", 7)
    );
}

#[test]
fn docker_hubs_variables_are_build_arguments_unless_they_are_not_wanted() {
    let wanted =
        rule(json!({ "tags": ["latest", "{sourceref}"], "build_args": { "CACHE_TAG": "buildcache" } }));
    let spec_of = |rule: &Rule| serde_json::to_value(spec(rule, &subject("refs/heads/main"))).unwrap();
    assert_eq!(
        spec_of(&wanted)["build_args"],
        json!({
            "SOURCE_BRANCH": "main", "SOURCE_COMMIT": COMMIT, "COMMIT_MSG": "Mend it\n\nAll of it",
            "DOCKER_REPO": "registry.example/team/app", "DOCKERFILE_PATH": "Dockerfile",
            "DOCKER_TAG": "latest,main", "IMAGE_NAME": "registry.example/team/app:latest",
            "CACHE_TAG": "buildcache",
        })
    );
    let plain = rule(json!({ "docker_hub_args": false }));
    assert_eq!(spec_of(&plain)["build_args"], Value::Null);
}

#[test]
fn every_tag_goes_to_every_repository_once() {
    let rule = rule(json!({
        "source_type": "tag", "source": r"/v(\d+)\.(\d+)/", "tags": [r"{\1}", r"{\1}.{\2}", "1"],
        "repositories": ["registry.example/team/app", "registry.example/mirror/app"],
    }));
    let destinations = |rule: &Rule, full: &str| {
        let spec = spec(rule, &subject(full));
        spec.destinations
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
    };
    assert_eq!(
        destinations(&rule, "refs/tags/v1.2"),
        [
            "registry.example/team/app:1",
            "registry.example/team/app:1.2",
            "registry.example/mirror/app:1",
            "registry.example/mirror/app:1.2"
        ]
    );
}

#[test]
fn what_does_not_match_is_told_apart_from_what_cannot_be_built() {
    let judged = |changes: Value, full: &str| rule(changes).judge(&trigger(), &subject(full));
    let off = judged(json!({ "enabled": false }), "refs/heads/main");
    assert_eq!(off, Ruling::Passes("the rule is off"));
    let tag = judged(json!({}), "refs/tags/main");
    assert!(matches!(tag, Ruling::Passes(why) if why.contains("other kind")));
    assert!(matches!(judged(json!({}), "refs/heads/dev"), Ruling::Passes(_)));
    let Ruling::Fails(Invalid(why)) = judged(
        json!({ "source": "/.*/", "tags": ["{sourceref}"] }),
        "refs/heads/a+b",
    ) else {
        panic!("a plus is in no tag")
    };
    assert!(why.contains("a+b"), "{why}");
}

#[test]
fn a_tag_of_the_commit_needs_one() {
    let rule = rule(json!({ "tags": ["${commit_info.short_sha}"] }));
    let known = subject("refs/heads/main");
    assert_eq!(spec(&rule, &known).destinations.first().tag(), "0123456");
    let unknown = Subject {
        commit: None,
        ..known
    };
    assert!(matches!(rule.judge(&trigger(), &unknown), Ruling::Fails(_)));
}

#[test]
fn messages_are_cut_between_characters_and_have_no_nul() {
    let rule = rule(json!({}));
    let long = Subject {
        message: Some(format!("\0{}", "ü".repeat(5000))),
        ..subject("refs/heads/main")
    };
    let json = serde_json::to_value(spec(&rule, &long)).unwrap();
    assert_eq!(json["build_args"]["COMMIT_MSG"].as_str().unwrap().len(), 4096);
}
