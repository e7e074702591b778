use http::{HeaderName, HeaderValue};
use proptest::prelude::*;

use super::*;

/// GitHub's own example, and one more.
const SECRET: &str = "It's a Secret to Everybody";
const VECTORS: [(&str, &str); 2] = [
    (
        "Hello, World!",
        "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17",
    ),
    (
        "Hello World!",
        "a4771c39fbe90f317c7824e83ddef3caae9cb3d976c214ace1f2937e133263c9",
    ),
];

const HMAC_HOSTS: [(Provider, &str, &str); 6] = [
    (Provider::Github, "x-hub-signature-256", "sha256="),
    (Provider::Generic, "x-hub-signature-256", "sha256="),
    (Provider::BitbucketCloud, "x-hub-signature", "sha256="),
    (Provider::BitbucketDc, "x-hub-signature", "sha256="),
    (Provider::Gitea, "x-gitea-signature", ""),
    (Provider::Forgejo, "x-forgejo-signature", ""),
];

fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        let name: HeaderName = name.parse().unwrap();
        headers.append(name, HeaderValue::from_str(value).unwrap());
    }
    headers
}

fn outcome(provider: Provider, pairs: &[(&str, &str)], body: &str, secrets: &[&str]) -> Result<(), Refused> {
    let headers = headers(pairs);
    let call = Call {
        headers: &headers,
        body: body.as_bytes(),
        secret_in_url: None,
    };
    let secrets: Vec<SecretString> = secrets.iter().map(|secret| SecretString::from(*secret)).collect();
    verify(
        provider,
        &call,
        &secrets,
        Timestamp::from_second(1_700_000_000).unwrap(),
    )
}

#[test]
fn the_known_vectors_are_believed_wherever_hosts_put_them() {
    for (provider, name, prefix) in HMAC_HOSTS {
        for (body, digest) in VECTORS {
            let value = format!("{prefix}{digest}");
            assert_eq!(
                outcome(provider, &[(name, &value)], body, &[SECRET]),
                Ok(()),
                "{provider}"
            );
            assert_eq!(
                outcome(provider, &[(name, &value)], body, &["new", SECRET]),
                Ok(())
            );
            assert_eq!(
                outcome(provider, &[(name, &value)], "another", &[SECRET]),
                Err(Refused::Wrong)
            );
            assert_eq!(
                outcome(provider, &[(name, &value)], body, &["another"]),
                Err(Refused::Wrong)
            );
        }
    }
}

#[test]
fn nothing_is_believed_without_a_proof_that_can_be_read() {
    for (provider, name, prefix) in HMAC_HOSTS {
        let (body, digest) = VECTORS[0];
        let good = format!("{prefix}{digest}");
        let refused = |pairs: &[(&str, &str)]| outcome(provider, pairs, body, &[SECRET]).unwrap_err();
        assert_eq!(refused(&[]), Refused::Unsigned);
        assert_eq!(refused(&[(name, "")]), Refused::Unsigned);
        assert_eq!(refused(&[(name, &good), (name, &good)]), Refused::Unreadable);
        for odd in [
            prefix.to_owned() + "zz",
            prefix.to_owned() + &digest[2..],
            format!("sha1={digest}"),
            good.clone() + "00",
        ] {
            assert_eq!(refused(&[(name, &odd)]), Refused::Unreadable, "{odd}");
        }
        assert_eq!(
            outcome(provider, &[(name, &good)], body, &[]),
            Err(Refused::NoSecret)
        );
        assert_eq!(
            outcome(provider, &[(name, &good)], body, &[""]),
            Err(Refused::NoSecret)
        );
    }
}

#[test]
fn a_good_signature_of_giteas_does_not_rescue_a_bad_one_of_forgejos() {
    let (body, digest) = VECTORS[0];
    let github = format!("sha256={digest}");
    let pairs = [
        ("x-forgejo-signature", VECTORS[1].1),
        ("x-gitea-signature", digest),
        ("x-hub-signature-256", &github),
    ];
    assert_eq!(
        outcome(Provider::Forgejo, &pairs, body, &[SECRET]),
        Err(Refused::Wrong)
    );
    assert_eq!(
        outcome(Provider::Forgejo, &pairs[1..], body, &[SECRET]),
        Err(Refused::Unsigned)
    );
}

#[test]
fn gitlab_sends_its_token_as_it_is() {
    let token = |value: &str| outcome(Provider::Gitlab, &[("x-gitlab-token", value)], "{}", &["s3cret"]);
    assert_eq!(token("s3cret"), Ok(()));
    assert_eq!(token("s3cre"), Err(Refused::Wrong));
    assert_eq!(
        outcome(Provider::Gitlab, &[], "{}", &["s3cret"]),
        Err(Refused::Unsigned)
    );
}

/// The example of the Standard Webhooks specification.
#[test]
fn gitlab_may_sign_as_standard_webhooks_does() {
    let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let body = r#"{"test": 2432232314}"#;
    let call = |timestamp: &str, signature: &str, now: i64| {
        let headers = headers(&[
            ("webhook-id", "msg_p5jXN8AQM9LWM0D4loKWxJek"),
            ("webhook-timestamp", timestamp),
            ("webhook-signature", signature),
        ]);
        let call = Call {
            headers: &headers,
            body: body.as_bytes(),
            secret_in_url: None,
        };
        verify(
            Provider::Gitlab,
            &call,
            &[secret.into()],
            Timestamp::from_second(now).unwrap(),
        )
    };
    let good = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
    let signed = 1_614_265_330;
    assert_eq!(call("1614265330", good, signed), Ok(()));
    assert_eq!(
        call("1614265330", &format!("v1,AAAA v1a,xyz {good}"), signed + 299),
        Ok(())
    );
    assert_eq!(call("1614265330", good, signed + 301), Err(Refused::Stale));
    assert_eq!(call("1614265330", good, signed - 301), Err(Refused::Stale));
    assert_eq!(call("1614265331", good, signed), Err(Refused::Wrong));
    assert_eq!(call("soon", good, signed), Err(Refused::Unreadable));
    assert_eq!(call("1614265330", "v2,xyz", signed), Err(Refused::Unreadable));
    // A token, even the right one, is no signature.
    let plain = outcome(Provider::Gitlab, &[("x-gitlab-token", secret)], body, &[secret]);
    assert_eq!(plain, Err(Refused::Unsigned));
}

#[test]
fn docker_hubs_callers_know_an_address() {
    let headers = HeaderMap::new();
    let call = |secret_in_url| {
        let call = Call {
            headers: &headers,
            body: b"",
            secret_in_url,
        };
        verify(Provider::Dockerhub, &call, &["abc".into()], Timestamp::UNIX_EPOCH)
    };
    assert_eq!(call(Some("abc")), Ok(()));
    assert_eq!(call(Some("abd")), Err(Refused::Wrong));
    assert_eq!(call(None), Err(Refused::Unsigned));
}

proptest! {
    #[test]
    fn what_was_not_signed_is_never_believed(value in "[ -~]{0,90}", body: Vec<u8>) {
        for (provider, name, _) in HMAC_HOSTS {
            let headers = headers(&[(name, &value), ("x-gitlab-token", &value)]);
            let call = Call { headers: &headers, body: &body, secret_in_url: Some(&value) };
            let refused = verify(provider, &call, &["whsec_c2VjcmV0c2VjcmV0".into()], Timestamp::UNIX_EPOCH);
            prop_assert!(refused.is_err());
        }
    }
}
