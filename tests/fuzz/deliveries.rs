//! Webhooks: nothing is believed that was not signed, and nothing that is believed makes a reader panic.

use std::fs;

use hmac::{Hmac, KeyInit, Mac};
use http::{HeaderMap, HeaderName, HeaderValue};
use jiff::Timestamp;
use proptest::prelude::*;
use serde_json::json;
use sha2::Sha256;
use slipway::{
    domain::provider::Provider,
    webhooks::{Call, Change, Content, read, verify},
};

use crate::{fuzz::fuzz, fuzz::mutation::mutated};

const SECRET: &str = "it is a secret";

/// Deliveries as the hosts write them, and whatever is in the folder that SLIPWAY_FUZZ_DELIVERIES names.
fn bodies() -> Vec<Vec<u8>> {
    let (old, new) = ("1".repeat(40), "2".repeat(40));
    let repository = json!({
        "full_name": "team/app", "path_with_namespace": "team/app", "slug": "app", "name": "app",
        "clone_url": "https://git.example/team/app.git", "git_http_url": "https://git.example/team/app.git",
        "default_branch": "main", "project": {"key": "PRJ"}, "owner": {"login": "team"},
        "links": {"html": {"href": "https://bitbucket.org/team/app"}},
    });
    let named = json!({"type": "branch", "name": "main", "target": {"hash": new, "message": "Mend it"}});
    let mut bodies: Vec<Vec<u8>> = [
        json!({
            "ref": "refs/heads/main", "before": old, "after": new, "deleted": false, "repository": repository,
            "head_commit": {"id": new, "message": "Mend it"}, "commits": [],
        }),
        json!({"ref": "v1.0", "ref_type": "tag", "sha": new, "repository": repository}),
        json!({
            "object_kind": "push", "ref": "refs/tags/v1", "before": old, "after": new, "checkout_sha": new,
            "message": "v1", "project": repository, "commits": [{"id": new, "message": "Mend it"}],
        }),
        json!({"push": {"changes": [{"new": named, "old": null}, {"new": null, "old": named}]}, "repository": repository}),
        json!({
            "eventKey": "repo:refs_changed", "repository": repository,
            "changes": [{
                "ref": {"id": "refs/heads/main", "displayId": "main", "type": "BRANCH"}, "refId": "refs/heads/main",
                "fromHash": old, "toHash": new, "type": "UPDATE",
            }],
        }),
        json!({"ref": "refs/heads/main", "commit": new, "message": "Mend it"}),
        json!({"docker_tag": "main", "source_type": "Branch", "source_name": "main"}),
    ]
    .iter()
    .map(|body| body.to_string().into_bytes())
    .collect();
    if let Some(folder) = std::env::var_os("SLIPWAY_FUZZ_DELIVERIES") {
        for entry in fs::read_dir(folder).unwrap() {
            bodies.push(fs::read(entry.unwrap().path()).unwrap());
        }
    }
    bodies
}

fn events(event: &str) -> HeaderMap {
    let names = [
        "x-github-event",
        "x-gitlab-event",
        "x-gitea-event",
        "x-forgejo-event",
        "x-event-key",
    ];
    names
        .into_iter()
        .filter_map(|name| Some((HeaderName::from_static(name), HeaderValue::from_str(event).ok()?)))
        .collect()
}

#[test]
fn bodies_of_every_host() {
    let event = prop_oneof![
        proptest::sample::select(vec![
            "push",
            "create",
            "delete",
            "ping",
            "Push Hook",
            "Tag Push Hook",
            "System Hook",
            "repo:push",
            "repo:refs_changed",
            "diagnostics:ping"
        ])
        .prop_map(str::to_owned),
        "[ -~]{0,20}",
    ];
    fuzz(
        "webhooks' bodies",
        &(event, mutated(bodies())),
        |(event, body)| {
            for provider in Provider::ALL {
                let Ok(delivery) = read(provider, &events(&event), &body) else {
                    continue;
                };
                let Content::Changes(changes) = delivery.content else {
                    continue;
                };
                for change in changes {
                    if let Change::Pushed(push) = change {
                        let name = push.reference.name.to_string();
                        prop_assert!(!name.starts_with('-') && !name.contains(".."), "{}", name);
                        prop_assert!(
                            push.commit
                                .to_string()
                                .bytes()
                                .all(|byte| byte.is_ascii_hexdigit())
                        );
                        prop_assert!(push.commit.to_string().bytes().any(|byte| byte != b'0'));
                    }
                }
            }
            Ok(())
        },
    );
}

/// The headers by which the hosts sign, and what stands before the hexadecimal digits.
const SIGNED: [(Provider, &str, &str); 6] = [
    (Provider::Github, "x-hub-signature-256", "sha256="),
    (Provider::Generic, "x-hub-signature-256", "sha256="),
    (Provider::BitbucketCloud, "x-hub-signature", "sha256="),
    (Provider::BitbucketDc, "x-hub-signature", "sha256="),
    (Provider::Gitea, "x-gitea-signature", ""),
    (Provider::Forgejo, "x-forgejo-signature", ""),
];

#[test]
fn signatures() {
    let body = b"{\"ref\":\"refs/heads/main\"}".to_vec();
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
    mac.update(&body);
    let right = hex::encode(mac.finalize().into_bytes());
    let seeds = vec![
        right.clone().into_bytes(),
        format!("sha256={right}").into_bytes(),
        format!("sha1={right}").into_bytes(),
        SECRET.as_bytes().to_vec(),
    ];
    fuzz("webhooks' signatures", &mutated(seeds), |signature| {
        let Ok(value) = HeaderValue::from_bytes(&signature) else {
            return Ok(());
        };
        for (provider, name, prefix) in SIGNED {
            let headers = HeaderMap::from_iter([
                (HeaderName::from_static(name), value.clone()),
                (HeaderName::from_static("x-gitlab-token"), value.clone()),
            ]);
            let call = Call {
                headers: &headers,
                body: &body,
                secret_in_url: None,
            };
            let believed = verify(provider, &call, &[SECRET.into()], Timestamp::UNIX_EPOCH).is_ok();
            let said = String::from_utf8_lossy(&signature).to_lowercase();
            prop_assert_eq!(
                believed,
                said == format!("{prefix}{right}"),
                "{} {}",
                provider,
                said
            );
        }
        Ok(())
    });
}
