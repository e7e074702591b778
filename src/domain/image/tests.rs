use proptest::prelude::*;

use super::*;

#[test]
fn takes_references_apart() {
    for (text, registry, repository, tag) in [
        (
            "registry.example.com/team/app:1.0",
            "registry.example.com",
            "registry.example.com/team/app",
            "1.0",
        ),
        (
            "127.0.0.1:5000/app",
            "127.0.0.1:5000",
            "127.0.0.1:5000/app",
            "latest",
        ),
        (
            "localhost/a__b/c--d.e",
            "localhost",
            "localhost/a__b/c--d.e",
            "latest",
        ),
        ("registry:5000/xy:_y", "registry:5000", "registry:5000/xy", "_y"),
        ("[::1]:5000/app:v1", "[::1]:5000", "[::1]:5000/app", "v1"),
        (
            "REGISTRY.example.com/app:X",
            "REGISTRY.example.com",
            "REGISTRY.example.com/app",
            "X",
        ),
    ] {
        let reference: ImageReference = text.parse().expect(text);
        assert_eq!(
            (reference.registry(), reference.repository(), reference.tag()),
            (registry, repository, tag)
        );
    }
}

#[test]
fn refuses_what_is_no_destination() {
    for text in [
        "",
        "app",
        "app:1",
        "team/app",
        "registry.example.com",
        "registry.example.com/",
        "registry.example.com//app",
        "registry.example.com/a",
        "registry.example.com/a:1",
        "registry.example.com:/app",
        "registry.example.com:080/app",
        "registry.example.com:80:80/app",
        "registry.example.com:5000:1.0",
        "registry.example.com/app:1:2",
        "registry.example.com/app:1/2",
        "registry.example.com/app/",
        "registry.example.com/app#1",
        "registry.example.com/app?x=1",
        "registry.example.com/app%2fb",
        "registry.example.com/..%2fapp",
        "registry.example.com\\app/b",
        "registry_x.example.com/app",
        "registry.example.com/_app",
        "registry.example.com/app_",
        "registry.example.com/a.-b",
        "registry.example.com/\u{e9}",
        "r\u{e9}gistry.example.com/app",
        " registry.example.com/app",
        "registry.example.com/app --insecure",
        "--destination=registry.example.com/app",
        "[::ffff:1.2.3.4]/app",
        "[fe80::1%eth0]/app",
        "[]/app",
        "[::1]:/app",
        "[::1]x:80/app",
        "[::1]:80:80/app",
        "[::1]]/app",
        "x[::1]/app",
        "a.b]/app",
        "a.b]:80/app",
        "x]/app",
        "]/app",
        "registry.example.com@evil.org/app",
        "user:secret@registry.example.com/app",
        "registry.example.com/App",
        "registry.example.com/app:",
        "registry.example.com/app:.x",
        "registry.example.com/app:a b",
        "registry.example.com/-app",
        "registry.example.com/a___b",
        "registry.example.com/a..b",
        "registry.example.com/../app",
        "-x.example.com/app",
        "registry.example.com:0/app",
        "registry.example.com:99999/app",
        "registry.example.com:+80/app",
        "registry..com/app",
        "[::1/app",
        "[x]/app",
        "[::1]80/app",
        "https://registry.example.com/app",
        "registry.example.com/app\0",
        "registry.example.com/app\n",
        "registry.example.com/app@sha256:0000000000000000000000000000000000000000000000000000000000000000",
    ] {
        assert!(text.parse::<ImageReference>().is_err(), "{text:?}");
    }
    assert!(
        format!("r.io/{}", "a".repeat(260))
            .parse::<ImageReference>()
            .is_err()
    );
    assert!(
        format!("r.io/a:{}", "a".repeat(129))
            .parse::<ImageReference>()
            .is_err()
    );
}

#[test]
fn kaniko_is_told_the_tag() {
    for (text, told) in [
        ("r.io:5000/team/app", "r.io:5000/team/app:latest"),
        ("r.io:5000/team/app:1.0", "r.io:5000/team/app:1.0"),
        ("[::1]:5000/app", "[::1]:5000/app:latest"),
    ] {
        let reference: ImageReference = text.parse().expect(text);
        assert_eq!(reference.with_tag(), told);
    }
}

#[test]
fn a_name_may_just_have_255_bytes() {
    let longest = format!("r.io/{}", "a".repeat(250));
    assert!(longest.parse::<ImageRepository>().is_ok());
    assert!(
        format!("{longest}:{}", "t".repeat(128))
            .parse::<ImageReference>()
            .is_ok()
    );
    assert!(format!("{longest}a:t").parse::<ImageReference>().is_err());
}

#[test]
fn a_digest_is_sha256_in_lower_case() {
    assert!(format!("sha256:{}", "0a".repeat(32)).parse::<Digest>().is_ok());
    for text in [
        String::new(),
        "0a".repeat(32),
        format!("sha256:{}", "0A".repeat(32)),
        format!("sha256:{}", "0a".repeat(31)),
        format!("sha512:{}", "0a".repeat(64)),
    ] {
        assert!(text.parse::<Digest>().is_err(), "{text:?}");
    }
}

#[test]
fn a_repository_has_no_tag() {
    assert!("r.io:5000/cache".parse::<ImageRepository>().is_ok());
    for text in ["r.io/cache:1", "r.io/cache@sha256:0", "cache", ""] {
        assert!(text.parse::<ImageRepository>().is_err(), "{text:?}");
    }
}

#[test]
fn a_host_that_only_begins_like_another_is_another() {
    let reference: ImageReference = "registry.example.com.evil.org/app"
        .parse()
        .expect("a valid reference");
    assert_ne!(reference.registry(), "registry.example.com");
}

proptest! {
    #[test]
    fn whatever_is_accepted_can_be_put_together_again(text in "[a-zA-Z0-9.:/_@\\[\\]-]{0,60}") {
        if let Ok(reference) = text.parse::<ImageReference>() {
            let tag = split_tag(&text).1.map(|tag| format!(":{tag}")).unwrap_or_default();
            prop_assert_eq!(format!("{}{tag}", reference.repository()), text.clone());
            prop_assert!(text.starts_with(reference.registry()));
            prop_assert!(!reference.registry().is_empty());
            prop_assert!(reference.repository().parse::<ImageRepository>().is_ok());
            let written: ImageReference = reference.with_tag().parse().expect("a tag may be written out");
            prop_assert_eq!(written.tag(), reference.tag());
            prop_assert_eq!(written.repository(), reference.repository());
        }
    }

    #[test]
    fn any_text_is_answered(text in any::<String>()) {
        let _ = text.parse::<ImageReference>();
        let _ = text.parse::<ImageRepository>();
        let _ = text.parse::<Digest>();
    }
}
