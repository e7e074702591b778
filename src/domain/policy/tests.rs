use serde_json::{Value, json};

use super::*;

fn settings(json: Value) -> ProjectSettings {
    serde_json::from_value(json).expect("the settings are valid")
}

fn spec(json: Value) -> BuildSpec {
    let mut whole = json!({
        "source": {"git": {"url": "https://git.example.com/app.git"}},
        "destinations": ["registry.example.com/team/app:1"],
    });
    whole
        .as_object_mut()
        .expect("an object")
        .extend(json.as_object().expect("an object").clone());
    serde_json::from_value(whole).expect("the spec is valid")
}

fn refused(settings: &ProjectSettings, asked: Value) -> String {
    settings
        .settle(spec(asked), true)
        .expect_err("it is refused")
        .field
}

#[test]
fn images_go_where_the_project_says_and_nowhere_else() {
    let team = settings(json!({"destinations": ["registry.example.com/team", "other.example"]}));
    let to = |images: &[&str]| json!({ "destinations": images });
    for good in [
        to(&["registry.example.com/team/app:1", "other.example/any/thing"]),
        json!({"cache": {"enabled": true, "repository": "registry.example.com/team/cache"}}),
        // Where no cache is used, its repository does not matter.
        json!({"cache": {"repository": "elsewhere.example/cache"}}),
    ] {
        assert!(team.settle(spec(good.clone()), false).is_ok(), "{good}");
    }
    for (bad, field) in [
        (to(&["registry.example.com/team-b/app:1"]), "destinations[0]"),
        (
            to(&["other.example/a1", "other.example.evil.org/a1"]),
            "destinations[1]",
        ),
        (to(&["registry.example.com:5000/team/app"]), "destinations[0]"),
        (
            json!({"cache": {"enabled": true, "repository": "registry.example.com/cache"}}),
            "cache.repository",
        ),
    ] {
        assert_eq!(refused(&team, bad.clone()), field, "{bad}");
    }
}

#[test]
fn where_nothing_is_settled_it_depends_on_who_asks() {
    let nothing = ProjectSettings::default();
    assert!(nothing.settle(spec(json!({})), true).is_ok());
    let refused = nothing
        .settle(spec(json!({})), false)
        .expect_err("nowhere is allowed");
    assert_eq!(refused.field, "destinations[0]");
    let nowhere = settings(json!({"destinations": []}));
    assert!(
        nowhere.settle(spec(json!({})), true).is_err(),
        "an empty list is a list"
    );
}

#[test]
fn sources_and_claims_are_those_that_are_allowed() {
    let git = settings(json!({"sources": ["git"]}));
    assert!(git.settle(spec(json!({})), true).is_ok());
    let volume = |claim: &str| json!({"source": {"volume": {"claim": claim}}});
    assert_eq!(refused(&git, volume("a")), "source");
    let claims = settings(json!({"claims": ["a"]}));
    assert!(claims.settle(spec(volume("a")), true).is_ok());
    assert_eq!(refused(&claims, volume("b")), "source.volume.claim");
    assert!(claims.settle(spec(json!({})), true).is_ok());
}

#[test]
fn resources_are_filled_in_and_bounded() {
    let bounded = settings(json!({
        "default_resources": {"cpu": "500m"}, "max_resources": {"cpu": "2", "memory": "1Gi"},
    }));
    let resources = |asked: Value| {
        let spec = bounded.settle(spec(json!({ "resources": asked })), true);
        spec.map(|spec| serde_json::to_value(spec.resources).expect("it is JSON"))
    };
    assert_eq!(resources(json!({})), Ok(json!({"cpu": "500m", "memory": "1Gi"})));
    assert_eq!(
        resources(json!({"cpu": "2000m", "memory": "512Mi"})),
        Ok(json!({"cpu": "2000m", "memory": "512Mi"}))
    );
    for (asked, field) in [
        (json!({"cpu": "2001m"}), "resources.cpu"),
        (json!({"memory": "2Gi"}), "resources.memory"),
    ] {
        assert_eq!(resources(asked).expect_err("too much").field, field);
    }
}

#[test]
fn terms_that_contradict_themselves_are_refused() {
    let terms = |json: Value| {
        serde_json::from_value::<ProjectTerms>(json)
            .expect("they can be read")
            .check()
    };
    assert_eq!(terms(json!({})), Ok(()));
    for (bad, field) in [
        (json!({"weight": 0}), "weight"),
        (json!({"max_queued": 4_000_000_000_u32}), "max_queued"),
        (
            json!({"settings": {"default_resources": {"cpu": "2"}, "max_resources": {"cpu": "1"}}}),
            "settings.default_resources.cpu",
        ),
        (
            json!({"settings": {"default_registry": "a.example", "destinations": ["b.example"]}}),
            "settings.default_registry",
        ),
    ] {
        assert_eq!(
            terms(bad.clone()).expect_err("it is refused").field,
            field,
            "{bad}"
        );
    }
}

#[test]
fn a_secret_that_is_not_settled_for_the_project_is_refused_by_its_place() {
    let spec: BuildSpec = serde_json::from_value(json!({
        "source": { "git": { "url": "https://git.example.com/a.git" } },
        "destinations": ["registry.example.com/team/a:1"],
        "secrets": [
            { "id": "a", "secret": "ours", "key": "token" }, { "id": "b", "secret": "theirs", "key": "token" },
        ],
    }))
    .expect("a valid spec");
    let settle = |secrets: Value| {
        let settings = json!({ "build_secrets": secrets });
        let settings: ProjectSettings = serde_json::from_value(settings).expect("settings");
        settings.settle(spec.clone(), true)
    };
    settle(json!(["ours", "theirs"])).expect("both are settled");
    let refused = settle(json!(["ours"])).expect_err("one is not");
    assert_eq!(refused.field, "secrets[1].secret");
    assert!(
        refused.reason.to_string().contains("theirs"),
        "{}",
        refused.reason
    );
}
