//! Tests of the stored log: its content, and that it does not depend on where the log is cut.

use std::sync::Arc;

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE},
};
use proptest::prelude::*;

use super::*;

const VALUE: &str = "s3cr3t/Pass?wörd";

fn masker(values: &[&str]) -> Masker {
    Masker::new(Arc::default(), Known::new(values))
}

/// Returns the stored bytes of a whole log.
fn kept(masker: &Masker, max_line: usize, log: &[u8]) -> Vec<u8> {
    let mut filter = Filter::new(masker.clone(), max_line, SourceMark::default());
    let mut kept = Vec::new();
    filter.feed(log, &mut kept);
    filter.finish(&mut kept);
    assert_eq!(filter.mark().bytes, log.len() as u64);
    kept
}

fn masked(values: &[&str], log: &str) -> String {
    String::from_utf8(kept(&masker(values), 1 << 16, log.as_bytes())).unwrap()
}

#[test]
fn known_values_are_masked_in_every_usual_form() {
    let url: String = url::form_urlencoded::byte_serialize(VALUE.as_bytes()).collect();
    let mut logs = vec![
        format!("password is {VALUE}, really"),
        format!("{VALUE}{VALUE}"),
        format!("https://host/?p={url}&q=1"),
        format!(
            "https://host/?p={}",
            url.replace("%2F", "%2f")
                .replace("%3F", "%3f")
                .replace("%C3%B6", "%c3%b6")
        ),
        serde_json::json!({ "password": VALUE }).to_string(),
    ];
    for before in ["", "u", "us", "user:", "user1:", "user12:"] {
        for after in ["", "\n", "more", "xy"] {
            logs.push(STANDARD.encode(format!("{before}{VALUE}{after}")));
            logs.push(URL_SAFE.encode(format!("{before}{VALUE}{after}")));
        }
    }
    for log in logs {
        let masked = masked(&[VALUE], &log);
        assert!(masked.contains("***"), "{log}: {masked}");
        assert!(masked.len() < log.len(), "{log}: {masked}");
        for part in ["s3cr3t", "Pass", "c2VjcjN0", "czNjcjN0"] {
            assert!(!masked.contains(part), "{log}: {masked}");
        }
    }
}

#[test]
fn a_short_value_masks_nothing_and_a_long_one_is_masked_in_whole() {
    assert_eq!(
        masked(&["1", "true", "12345", ""], "1 true 12345"),
        "1 true 12345"
    );
    assert_eq!(masked(&["123456"], "0123456789"), "0***789");
    let long: String = (0..5000_u32)
        .filter_map(|n| char::from_digit(n * n % 36, 36))
        .collect();
    let shown = masked(&[&long], &format!("<{long}>"));
    assert!(shown.starts_with("<***") && shown.len() < 10, "{shown}");
    assert_eq!(
        masked(&["first line\n  second line\n"], "x first line\nsecond line y"),
        "x ***\n*** y"
    );
    assert_eq!(
        masked(&["abcdef", "defghi"], "abcdefghi"),
        "***",
        "overlapping values"
    );
}

#[test]
fn values_within_values_are_found_without_counting_them_all() {
    let values: Vec<String> = (6..200).map(|n| "a".repeat(n)).collect();
    let known = Known::new(&values);
    let mut found = Vec::new();
    known.find(
        format!("b{}b{}", "a".repeat(60_000), "a".repeat(10)).as_bytes(),
        &mut found,
    );
    assert_eq!(found, [1..60_001, 60_002..60_012]);
    let nested = Known::new(["bcdefg", "abcdefghi", "hijklm", "xyzxyz"]);
    let mut found = vec![0..1, 2..3];
    nested.find(b"--abcdefghijklm--xyzxyzxyz", &mut found);
    assert_eq!(found, [0..1, 2..3, 2..15, 17..26]);
}

#[test]
fn what_looks_like_a_secret_is_masked() {
    let hex = "0123456789abcdef".repeat(4);
    for (line, expected) in [
        (
            "clone https://user:pass@git.example/x.git".to_owned(),
            "clone https://user:***@git.example/x.git",
        ),
        (
            "postgres://app:p@ss:w0rd@db:5432/app".into(),
            "postgres://app:***@db:5432/app",
        ),
        ("redis://:hunter2@cache".into(), "redis://:***@cache"),
        (
            "ssh://git@github.com:22/x https://host:8080/a@b".into(),
            "ssh://git@github.com:22/x https://host:8080/a@b",
        ),
        (
            "> Authorization: Bearer abc.def-1".into(),
            "> Authorization: Bearer ***",
        ),
        (
            r#"{"authorization": "Basic dXNlcjpwYXNz"}"#.into(),
            r#"{"authorization": "Basic ***"}"#,
        ),
        (
            "curl -H 'Proxy-Authorization: token 0123'".into(),
            "curl -H 'Proxy-Authorization: token ***'",
        ),
        (
            "the bearer of bad news; Basic authentication".into(),
            "the bearer of bad news; Basic authentication",
        ),
        (format!("token ghp_{}", "a1".repeat(18)), "token ***"),
        (format!("github_pat_{}!", "A_9".repeat(20)), "***!"),
        ("glpat-abcdefghij_1234567890".into(), "***"),
        ("key=AKIAIOSFODNN7EXAMPLE;".into(), "key=***;"),
        (
            "AWS_SECRET_ACCESS_KEY=wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY".into(),
            "AWS_SECRET_ACCESS_KEY=***",
        ),
        (
            format!("jwt eyJhbGciOiJI.eyJzdWIiOiIx.{}", "x".repeat(40)),
            "jwt ***",
        ),
        (format!("context slipctx_{hex}"), "context ***"),
    ] {
        assert_eq!(masked(&[], &line), expected, "{line}");
    }
    let digest = format!("registry.example/app@sha256:{hex}");
    assert_eq!(masked(&[], &digest), digest);
}

#[test]
fn private_keys_are_masked_and_what_follows_them_is_not() {
    let body = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQDK";
    for kind in ["", "RSA ", "EC ", "OPENSSH "] {
        let log = format!(
            "a\n-----BEGIN {kind}PRIVATE KEY-----\n{body}\nProc-Type: 4,ENCRYPTED\n\nabc=\n-----END {kind}PRIVATE KEY-----\nb\n"
        );
        let expected = format!(
            "a\n-----BEGIN {kind}PRIVATE KEY-----\n***\n***\n\n***\n-----END {kind}PRIVATE KEY-----\nb\n"
        );
        assert_eq!(masked(&[], &log), expected);
    }
    let one_line =
        format!("KEY=\"-----BEGIN PRIVATE KEY-----\\n{body}\\n-----END PRIVATE KEY-----\\n\" rest");
    assert_eq!(
        masked(&[], &one_line),
        "KEY=\"-----BEGIN PRIVATE KEY-----***-----END PRIVATE KEY-----\\n\" rest"
    );
    let endless = format!(
        "-----BEGIN PRIVATE KEY-----\n{body}\nINFO[0001] Taking snapshot of full filesystem...\nnext\n"
    );
    assert_eq!(
        masked(&[], &endless),
        "-----BEGIN PRIVATE KEY-----\n***\nINFO[0001] Taking snapshot of full filesystem...\nnext\n"
    );
    let public = "-----BEGIN CERTIFICATE-----\nMIIDdzCCAl+gAwIBAgIEAgAAuTANBgkqhkiG9w0BAQUFADBa\n-----END CERTIFICATE-----\n";
    assert_eq!(masked(&[], public), public);
}

#[test]
fn a_long_line_is_cut_and_a_secret_across_the_cut_is_not_shown() {
    let log = format!("{}\nshort\n", "x".repeat(100_000_000));
    let text = String::from_utf8(kept(&masker(&[]), 65_536, log.as_bytes())).unwrap();
    let expected = format!(
        "{} [slipway: the line is longer than 65536 bytes; the rest is not kept]\nshort\n",
        "x".repeat(65_536)
    );
    assert!(text == expected, "{} bytes", text.len());
    for before in 0..40 {
        let log = format!("{}{VALUE}{}\n", "x".repeat(before), "y".repeat(5000));
        let text = String::from_utf8(kept(&masker(&[VALUE]), 30, log.as_bytes())).unwrap();
        assert!(!text.contains("s3c"), "{before}: {text}");
        assert!(
            text.starts_with(&"x".repeat(before.min(30))) && text.contains("longer than 30"),
            "{before}: {text}"
        );
    }
    assert_eq!(
        kept(&masker(&[]), 4, b"1234\r\n"),
        b"1234\r\n",
        "its end does not count"
    );
    let text = String::from_utf8(kept(&masker(&[]), 5, "ab☃☃\n".as_bytes())).unwrap();
    assert!(text.starts_with("ab☃ [slipway"), "{text}");
}

#[test]
fn an_unfinished_line_is_held_back_and_a_finished_one_is_not() {
    let mut filter = Filter::new(masker(&[]), 100, SourceMark::default());
    let mut kept = Vec::new();
    filter.feed(b"50%\r60%\rdone\nwait", &mut kept);
    assert_eq!(kept, b"50%\r60%\rdone\n");
    assert_eq!(filter.mark().bytes, 13);
    filter.finish(&mut kept);
    assert_eq!(kept, b"50%\r60%\rdone\nwait");
}

#[test]
fn texts_that_were_cut_out_of_a_log_are_masked_at_their_edges() {
    let masker = masker(&[VALUE]);
    assert_eq!(masker.text("Pass?wörd and s3cr3t/Pa"), "*** and ***");
    assert_eq!(masker.text("clipped: s3cr3t/P…"), "clipped: ***…");
    assert_eq!(
        masker.text("one\ntwo https://u:p@h\nthree"),
        "one\ntwo https://u:***@h\nthree"
    );
    assert_eq!(masker.text("nothing\n"), "nothing\n");
    let key = "QIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQDK\n-----END PRIVATE KEY-----\nfailed";
    assert_eq!(masker.text(key), "***\n-----END PRIVATE KEY-----\nfailed");
}

#[test]
fn a_docker_config_tells_its_credentials() {
    let config = r#"{"auths": {
        "registry.example": {"auth": "cm9ib3Q6aHVudGVyMjI="},
        "other.example": {"username": "robot", "password": "correct horse", "identitytoken": "idtoken-1"}
    }, "credsStore": "desktop"}"#;
    let found = credentials(config);
    for secret in [
        "cm9ib3Q6aHVudGVyMjI=",
        "hunter22",
        "robot:hunter22",
        "correct horse",
        "idtoken-1",
    ] {
        assert!(found.contains(&secret.to_owned()), "{secret}: {found:?}");
    }
    assert!(!found.contains(&"robot".to_owned()));
    for other in ["", "[]", "{\"auths\": 1}", "{\"auths\": {\"a\": null}}"] {
        assert_eq!(credentials(other), Vec::<String>::new());
    }
}

#[test]
fn secrets_are_never_shown_by_debug() {
    let shown = format!("{:?}", masker(&["hunter2222"]));
    assert!(!shown.contains("hunter"), "{shown}");
}

/// Pieces of logs that have secrets, keys, long lines and broken characters.
fn logs() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        Just(VALUE.as_bytes().to_vec()),
        Just(STANDARD.encode(VALUE).into_bytes()),
        Just(b"https://user:passw0rd@host/ ".to_vec()),
        Just(b"Authorization: Bearer abcdef".to_vec()),
        Just(b"ghp_0123456789012345678901234567890123456789".to_vec()),
        Just(b"-----BEGIN PRIVATE KEY-----\n".to_vec()),
        Just(b"MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQDK\n".to_vec()),
        Just(b"-----END PRIVATE KEY-----\n".to_vec()),
        Just(b"\n".to_vec()),
        Just(b"\r".to_vec()),
        prop::collection::vec(any::<u8>(), 0..40),
        "[a-z =:/@]{0,30}".prop_map(String::into_bytes),
        (0..3000_usize).prop_map(|n| vec![b'x'; n]),
    ];
    prop::collection::vec(piece, 0..20).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn it_does_not_matter_where_a_log_is_cut(
        log in logs(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
        max_line in prop_oneof![Just(10_usize), Just(100), Just(2000)],
    ) {
        let masker = masker(&[VALUE]);
        let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(log.len() + 1)).collect();
        at.extend([0, log.len()]);
        at.sort_unstable();
        let mut filter = Filter::new(masker.clone(), max_line, SourceMark::default());
        let mut in_pieces = Vec::new();
        for cut in at.windows(2) {
            filter.feed(&log[cut[0]..cut[1]], &mut in_pieces);
        }
        filter.finish(&mut in_pieces);
        prop_assert_eq!(in_pieces, kept(&masker, max_line, &log));
    }

    #[test]
    fn another_process_goes_on_where_the_first_was_killed(
        log in logs(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
        max_line in prop_oneof![Just(10_usize), Just(100), Just(2000)],
    ) {
        let masker = masker(&[VALUE]);
        let (mut stored, mut mark) = (Vec::new(), SourceMark::default());
        for cut in cuts {
            let from = usize::try_from(mark.bytes).unwrap();
            let upto = from + cut.index(log.len() - from + 1);
            let mut filter = Filter::new(masker.clone(), max_line, mark);
            filter.feed(&log[from..upto], &mut stored);
            mark = filter.mark();
        }
        let mut filter = Filter::new(masker.clone(), max_line, mark);
        filter.feed(&log[usize::try_from(mark.bytes).unwrap()..], &mut stored);
        filter.finish(&mut stored);
        prop_assert_eq!(stored, kept(&masker, max_line, &log));
    }

    #[test]
    fn no_known_value_is_ever_kept(log in logs(), max_line in 1_usize..200) {
        let kept = kept(&masker(&[VALUE]), max_line, &log);
        prop_assert!(!kept.windows(VALUE.len()).any(|part| part == VALUE.as_bytes()));
    }
}
