use http::{HeaderName, HeaderValue};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

const OLD: &str = "1111111111111111111111111111111111111111";
const NEW: &str = "2222222222222222222222222222222222222222";
const NONE: &str = "0000000000000000000000000000000000000000";

fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    let pair = |(name, value): &(&'static str, &str)| {
        (
            HeaderName::from_static(name),
            HeaderValue::from_str(value).unwrap(),
        )
    };
    pairs.iter().map(pair).collect()
}

fn delivered(provider: Provider, pairs: &[(&'static str, &str)], body: &Value) -> Delivery {
    read(provider, &headers(pairs), body.to_string().as_bytes()).unwrap()
}

fn pushed(full: &str, message: Option<&str>) -> Content {
    Content::Changes(vec![Change::Pushed(Push {
        reference: NamedRef::of_full(full).unwrap(),
        commit: NEW.parse().unwrap(),
        message: message.map(str::to_owned),
    })])
}

fn deleted(full: &str) -> Content {
    Content::Changes(vec![Change::Deleted(NamedRef::of_full(full).unwrap())])
}

fn repository(name: &str, clone_url: Option<&str>, default_branch: Option<&str>) -> Option<Repository> {
    Some(Repository {
        name: name.to_owned(),
        clone_url: clone_url.map(str::to_owned),
        default_branch: default_branch.map(str::to_owned),
    })
}

/// As GitHub, Gitea and Forgejo write it.
fn push_body(full: &str, after: &str) -> Value {
    json!({
        "ref": full, "before": OLD, "after": after, "deleted": after == NONE,
        "head_commit": if after == NONE { Value::Null } else { json!({ "id": after, "message": "Mend it" }) },
        "commits": [],
        "repository": {
            "full_name": "team/app", "clone_url": "https://git.test/team/app.git", "default_branch": "main",
            "owner": { "login": "team" },
        },
        "pusher": { "name": "ann" },
    })
}

const GITHUB_LIKE: [(Provider, &str, &str); 3] = [
    (Provider::Github, "x-github-event", "x-github-delivery"),
    (Provider::Gitea, "x-gitea-event", "x-gitea-delivery"),
    (Provider::Forgejo, "x-forgejo-event", "x-forgejo-delivery"),
];

#[test]
fn pushes_of_github_and_its_kin() {
    for (provider, event, id) in GITHUB_LIKE {
        let read =
            |full, after| delivered(provider, &[(event, "push"), (id, "d-1")], &push_body(full, after));
        let delivery = read("refs/heads/feature/x", NEW);
        assert_eq!(delivery.id.as_deref(), Some("d-1"));
        assert_eq!(delivery.event, "push");
        assert_eq!(
            delivery.repository,
            repository("team/app", Some("https://git.test/team/app.git"), Some("main"))
        );
        assert_eq!(delivery.content, pushed("refs/heads/feature/x", Some("Mend it")));
        assert_eq!(
            read("refs/tags/v1", NEW).content,
            pushed("refs/tags/v1", Some("Mend it"))
        );
        assert_eq!(read("refs/heads/old", NONE).content, deleted("refs/heads/old"));
    }
}

#[test]
fn an_annotated_tag_is_built_from_its_commit_and_not_from_the_tag_object() {
    let mut body = push_body("refs/tags/v1", NEW);
    body["after"] = json!(OLD);
    let delivery = delivered(Provider::Github, &[("x-github-event", "push")], &body);
    assert_eq!(delivery.content, pushed("refs/tags/v1", Some("Mend it")));

    let body = json!({
        "object_kind": "tag_push", "ref": "refs/tags/v1", "after": OLD, "checkout_sha": NEW, "commits": [],
        "project": { "path_with_namespace": "team/app" },
    });
    let delivery = delivered(Provider::Gitlab, &[], &body);
    assert_eq!(delivery.content, pushed("refs/tags/v1", None));
}

#[test]
fn github_may_send_its_json_in_a_form() {
    let body = push_body("refs/heads/main", NEW).to_string();
    let form: String = url::form_urlencoded::Serializer::new(String::new())
        .append_pair("payload", &body)
        .finish();
    let headers = headers(&[
        ("x-github-event", "push"),
        ("content-type", "application/x-www-form-urlencoded"),
    ]);
    let delivery = read(Provider::Github, &headers, form.as_bytes()).unwrap();
    assert_eq!(delivery.content, pushed("refs/heads/main", Some("Mend it")));
}

#[test]
fn the_trigger_decides_how_a_delivery_is_read_and_not_its_headers() {
    let both = [
        ("x-github-event", "push"),
        ("x-gitea-event", "release"),
        ("x-gitea-delivery", "g"),
    ];
    let delivery = delivered(Provider::Gitea, &both, &push_body("refs/heads/main", NEW));
    assert_eq!(
        (delivery.event.as_str(), delivery.content),
        ("release", Content::Other)
    );
}

#[test]
fn a_ping_and_what_is_unknown_lead_to_nothing() {
    let ping = delivered(
        Provider::Github,
        &[("x-github-event", "ping")],
        &json!({ "zen": "Keep it simple." }),
    );
    assert_eq!((ping.content, ping.repository), (Content::Ping, None));
    let star = delivered(
        Provider::Github,
        &[("x-github-event", "star")],
        &json!({ "action": "created" }),
    );
    assert_eq!(star.content, Content::Other);
    let ping = delivered(
        Provider::BitbucketDc,
        &[("x-event-key", "diagnostics:ping")],
        &json!({ "test": true }),
    );
    assert_eq!(ping.content, Content::Ping);
    let note = delivered(
        Provider::Gitlab,
        &[("x-gitlab-event", "Note Hook")],
        &json!({ "object_kind": "note" }),
    );
    assert_eq!((note.event.as_str(), note.content), ("note", Content::Other));
}

#[test]
fn gitea_tells_of_new_and_lost_refs_by_events_of_their_own() {
    let body = |sha: &str| {
        json!({
            "ref": "v1.0", "ref_type": "tag", "sha": sha,
            "repository": { "full_name": "team/app", "clone_url": null, "default_branch": "main" },
        })
    };
    let read =
        |event: &str, sha: &str| delivered(Provider::Gitea, &[("x-gitea-event", event)], &body(sha)).content;
    assert_eq!(read("create", NEW), pushed("refs/tags/v1.0", None));
    assert_eq!(read("create", ""), Content::Other);
    assert_eq!(read("delete", ""), deleted("refs/tags/v1.0"));
}

#[test]
fn pushes_of_gitlab() {
    let body = |full: &str, after: &str, checkout: Option<&str>| {
        json!({
            "object_kind": if full.starts_with("refs/tags") { "tag_push" } else { "push" },
            "ref": full, "before": OLD, "after": after, "checkout_sha": checkout,
            "project": {
                "path_with_namespace": "group/sub/app", "git_http_url": "https://gitlab.test/group/sub/app.git",
                "default_branch": "main",
            },
            "commits": [{ "id": OLD, "message": "Old" }, { "id": NEW, "message": "New\n" }],
        })
    };
    let ids = [("idempotency-key", "k"), ("x-gitlab-event-uuid", "u")];
    let delivery = delivered(Provider::Gitlab, &ids, &body("refs/heads/main", NEW, Some(NEW)));
    assert_eq!(delivery.id.as_deref(), Some("k"));
    assert_eq!(
        delivery.repository,
        repository(
            "group/sub/app",
            Some("https://gitlab.test/group/sub/app.git"),
            Some("main")
        )
    );
    assert_eq!(delivery.content, pushed("refs/heads/main", Some("New\n")));
    let delivery = delivered(Provider::Gitlab, &ids[1..], &body("refs/tags/v1", NONE, None));
    assert_eq!(
        (delivery.id.as_deref(), delivery.content),
        (Some("u"), deleted("refs/tags/v1"))
    );
}

#[test]
fn one_delivery_of_bitbucket_cloud_tells_of_many_refs() {
    let target = json!({ "hash": NEW, "message": "Mend it" });
    let body = json!({
        "push": { "changes": [
            { "old": null, "new": { "type": "branch", "name": "main", "target": target } },
            { "old": { "type": "tag", "name": "v1", "target": target }, "new": null },
            { "old": null, "new": { "type": "bookmark", "name": "x", "target": target } },
            { "old": null, "new": { "type": "tag", "name": "a..b", "target": target } },
        ] },
        "repository": {
            "full_name": "team/app", "links": { "html": { "href": "https://bitbucket.org/team/app" } },
        },
    });
    let delivery = delivered(
        Provider::BitbucketCloud,
        &[("x-event-key", "repo:push"), ("x-request-uuid", "r")],
        &body,
    );
    assert_eq!(
        delivery.repository,
        repository("team/app", Some("https://bitbucket.org/team/app.git"), None)
    );
    let Content::Changes(changes) = delivery.content else {
        panic!("changes")
    };
    let first = |content: Content| match content {
        Content::Changes(mut changes) => changes.remove(0),
        other => panic!("{other:?}"),
    };
    assert_eq!(changes[0], first(pushed("refs/heads/main", Some("Mend it"))));
    assert_eq!(changes[1], first(deleted("refs/tags/v1")));
    assert!(
        changes[2..]
            .iter()
            .all(|change| matches!(change, Change::Unbuildable(_))),
        "{changes:?}"
    );
}

#[test]
fn pushes_of_bitbucket_data_center() {
    let body = |kind: &str, to: &str| {
        json!({
            "repository": { "slug": "app", "project": { "key": "PRJ" } },
            "changes": [{ "ref": { "id": "refs/heads/main", "type": "BRANCH" }, "fromHash": OLD, "toHash": to, "type": kind }],
            "toCommit": { "id": NEW, "message": "Mend it" },
        })
    };
    let pairs = [("x-event-key", "repo:refs_changed"), ("x-request-id", "q")];
    let delivery = delivered(Provider::BitbucketDc, &pairs, &body("UPDATE", NEW));
    assert_eq!(delivery.repository, repository("PRJ/app", None, None));
    assert_eq!(delivery.content, pushed("refs/heads/main", Some("Mend it")));
    assert_eq!(
        delivered(Provider::BitbucketDc, &pairs, &body("DELETE", NONE)).content,
        deleted("refs/heads/main")
    );
}

#[test]
fn a_signed_json_of_ones_own() {
    let body = json!({ "ref": "refs/tags/v1", "commit": NEW });
    let delivery = delivered(Provider::Generic, &[("idempotency-key", "i")], &body);
    assert_eq!(
        (delivery.id.as_deref(), delivery.content),
        (Some("i"), pushed("refs/tags/v1", None))
    );
    let odd = json!({ "ref": "main", "commit": NEW, "branch": "main" });
    let error = read(Provider::Generic, &HeaderMap::new(), odd.to_string().as_bytes()).unwrap_err();
    assert!(error.to_string().contains("branch"), "{error}");
}

#[test]
fn docker_hubs_triggers_are_understood() {
    let wanted = |body: &str| match read(Provider::Dockerhub, &HeaderMap::new(), body.as_bytes())
        .map(|it| it.content)
    {
        Ok(Content::Wanted(wanted)) => Ok(wanted),
        Ok(other) => panic!("{other:?}"),
        Err(error) => Err(error.to_string()),
    };
    let main = NamedRef::of_full("refs/heads/main").unwrap();
    assert_eq!(
        wanted(r#"{"source_type": "Branch", "source_name": "main"}"#),
        Ok(Wanted::Ref(main))
    );
    assert_eq!(
        wanted(r#"{"docker_tag": "latest"}"#),
        Ok(Wanted::Tag("latest".into()))
    );
    for all in ["", " \n", "{}", r#"{"build": true}"#] {
        assert_eq!(wanted(all), Ok(Wanted::Everything), "{all}");
    }
    for odd in [
        r#"{"source_type": "Branch"}"#,
        r#"{"source_type": "Fork", "source_name": "x"}"#,
        "[",
        r#"{"source_type": "Tag", "source_name": "-x"}"#,
    ] {
        assert!(wanted(odd).is_err(), "{odd}");
    }
}

#[test]
fn hostile_refs_are_never_built() {
    for full in [
        "refs/heads/-x",
        "refs/heads/a#b",
        "refs/heads/a\u{0}b",
        "refs/pull/1/head",
        "main",
        "ext::sh",
        "",
    ] {
        let delivery = delivered(
            Provider::Github,
            &[("x-github-event", "push")],
            &push_body(full, NEW),
        );
        let Content::Changes(changes) = delivery.content else {
            panic!("changes")
        };
        assert!(
            matches!(changes[..], [Change::Unbuildable(_)]),
            "{full}: {changes:?}"
        );
    }
    let delivery = delivered(
        Provider::Github,
        &[("x-github-event", "push")],
        &push_body("refs/heads/main", "--upload-pack"),
    );
    assert!(
        matches!(delivery.content, Content::Changes(changes) if matches!(changes[..], [Change::Unbuildable(_)]))
    );
}

proptest! {
    #[test]
    fn no_body_makes_a_reader_panic(body: Vec<u8>, event in "(push|create|repo:push|repo:refs_changed|tag_push|)") {
        for provider in Provider::ALL {
            let names = ["x-github-event", "x-gitea-event", "x-forgejo-event", "x-event-key", "x-gitlab-event"];
            let pairs: Vec<(&'static str, &str)> = names.iter().map(|name| (*name, event.as_str())).collect();
            let _ = read(provider, &headers(&pairs), &body);
        }
    }
}
