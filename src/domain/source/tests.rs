use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

#[test]
fn archive_addresses_are_what_kaniko_takes() {
    assert!("https://host/x.tar.gz?sig=1".parse::<ArchiveUrl>().is_ok());
    for text in [
        "https://host",
        "https://host/",
        "https://evil.example/a.blob.core.windows.net/c/k",
        "https://evil.example/x?https://acc.blob.core.windows.net/c/k",
        "https://acc.BLOB.core.windows.net/c/k",
        "https://acc.blob.core.chinacloudapi.cn/c/k",
        "https://[::ffff:169.254.169.254]/x.tar.gz",
        "https://2130706433/x.tar.gz",
        "git://host/x",
        "dir:///etc",
        "tar://stdin",
        "s3://bucket/x",
        "-https://host/x",
        "https://host/x\0",
        "http://host/x.tar.gz",
        "https://u:p@host/x",
        "file:///x",
        "https://a.blob.core.windows.net/c/k",
        "https://host/x#y",
        "https://host/../x",
    ] {
        assert!(text.parse::<ArchiveUrl>().is_err(), "{text}");
    }
}

#[test]
fn bucket_addresses_name_bucket_and_key() {
    assert!("s3://my-bucket/a/b.tar.gz".parse::<S3Url>().is_ok());
    assert!("gs://my_bucket/k".parse::<GsUrl>().is_ok());
    assert!("s3://backup.2024/k%20x".parse::<S3Url>().is_ok());
    assert!("s3://bucket/k".parse::<GsUrl>().is_err());
    for text in [
        "s3://bucket//k",
        "s3://bucket/a//b",
        "s3://-bucket/k",
        "s3://bucket-/k",
        "s3://bu..cket/k",
        "s3://Bucket/k",
        "s3://[::1]/k",
        "s3://bucket/k?x=1",
        "s3://bucket/k#x",
        "s3://bucket/%2e%2e/k",
        "s3://bucket/%zz",
        "s3://bucket/a b",
        "s3://bucket/\0",
        "S3://bucket/k",
        " s3://bucket/k",
        "s3://",
        "s3://b/k",
        "s3://bucket",
        "s3://bucket/",
        "gs://bucket/k",
        "s3://bucket:80/k",
        "s3://bu@cket/k",
        "s3://bucket/../k",
    ] {
        assert!(text.parse::<S3Url>().is_err(), "{text}");
    }
}

#[test]
fn azure_addresses_are_on_azure() {
    assert!(
        "https://acc.blob.core.windows.net/c/k.tar.gz"
            .parse::<AzureUrl>()
            .is_ok()
    );
    for text in [
        "https://blob.core.windows.net/c/k",
        "https://acc.blob.core.windows.net.evil.org/c/k",
        "https://acc.blob.core.windows.net/c",
        "http://acc.blob.core.windows.net/c/k",
        "https://acc.blob.core.windows.net/c/",
        "https://acc.blob.core.windows.net//c",
        "https://acc.blob.core.windows.net/c/k?sv=sig",
        "https://acc.blob.core.windows.net:8443/c/k",
        "https://a.b.blob.core.windows.net/c/k",
        "https://ac.blob.core.windows.net/c/k",
        "https://Acc.blob.core.windows.net/c/k",
        "https://acc@evil.blob.core.windows.net/c/k",
        "https://evil.example/acc.blob.core.windows.net/c/k",
    ] {
        assert!(text.parse::<AzureUrl>().is_err(), "{text}");
    }
}

#[test]
fn a_claim_is_named_as_kubernetes_names_it() {
    assert!("ctx-1.team".parse::<ClaimName>().is_ok());
    for text in ["", "Ctx", "-a", "a-", "a..b", "a/b", "../x", "a_b"] {
        assert!(text.parse::<ClaimName>().is_err(), "{text}");
    }
}

#[test]
fn every_kind_is_written_as_it_is_read() {
    let id = "01890a5d-ac96-774b-bcce-b302099a8057";
    for (kind, body, path) in [
        (
            "git",
            json!({"url": "https://h/x.git", "ref": "main", "sub_path": "a/b"}),
            Some("a/b"),
        ),
        (
            "volume",
            json!({"claim": "contexts", "path": "my-build"}),
            Some("my-build"),
        ),
        ("upload", json!({"context_id": id, "sub_path": "x"}), Some("x")),
        ("http", json!({"url": "https://h/x.tar.gz"}), None),
        ("s3", json!({"url": "s3://bucket/k", "sub_path": "."}), Some(".")),
        ("gs", json!({"url": "gs://bucket/k"}), None),
        (
            "azure",
            json!({"url": "https://acc.blob.core.windows.net/c/k"}),
            None,
        ),
    ] {
        let written = json!({ kind: body });
        let source: Source = serde_json::from_value(written.clone()).expect(kind);
        assert_eq!(source.kind(), kind);
        assert_eq!(source.sub_path().map(RelativePath::as_str), path);
        assert_eq!(source.context_id().is_some(), kind == "upload");
        assert_eq!(
            serde_json::to_value(&source).expect("a source can be written"),
            written
        );
    }
}

#[test]
fn a_source_is_exactly_one() {
    let refused = |value: Value| serde_json::from_value::<Source>(value).is_err();
    assert!(refused(json!({})));
    assert!(refused(json!("git")));
    assert!(refused(json!({"ftp": {"url": "ftp://h/x"}})));
    assert!(refused(json!({"git": {}})));
    assert!(refused(json!({"git": {"url": "https://h/x", "branch": "main"}})));
    assert!(refused(
        json!({"git": {"url": "https://h/x"}, "http": {"url": "https://h/x"}})
    ));
    assert!(refused(json!({"upload": {"context_id": "../x"}})));
}

proptest! {
    #[test]
    fn any_text_is_answered_and_comes_back(text in any::<String>(), scheme in "(https|s3|gs)://[a-z.]{0,12}/?") {
        for text in [text.clone(), format!("{scheme}{text}")] {
            let back = [
                text.parse::<ArchiveUrl>().map(|url| url.to_string()),
                text.parse::<S3Url>().map(|url| url.to_string()),
                text.parse::<GsUrl>().map(|url| url.to_string()),
                text.parse::<AzureUrl>().map(|url| url.to_string()),
                text.parse::<ClaimName>().map(|name| name.to_string()),
            ];
            for one in back.into_iter().flatten() {
                prop_assert_eq!(&one, &text);
            }
        }
    }

    #[test]
    fn kaniko_takes_no_accepted_archive_for_a_blob(
        parts in proptest::collection::vec("[a-z]{1,3}|[.]blob[.]core[.]windows[.]net|/|[?]|https://", 1..8)
    ) {
        let text = format!("https://{}", parts.concat());
        if text.parse::<ArchiveUrl>().is_ok() {
            prop_assert!(!text.contains(".blob.core.windows.net/"), "{text}");
        }
    }
}
