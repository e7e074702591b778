//! Command lines for requests and settings.

use serde_json::{Value, json};

use super::*;

fn spec(source: Value, rest: Value) -> BuildSpec {
    let mut body = json!({ "source": source, "destinations": ["registry.example.com/team/app:1"] });
    let fields = rest.as_object().expect("an object").clone();
    body.as_object_mut().expect("an object").extend(fields);
    serde_json::from_value(body).expect("a valid spec")
}

fn args(source: Value, rest: Value) -> Vec<String> {
    kaniko_args(
        &spec(source, rest),
        &KanikoOptions::default(),
        "/dev/termination-log",
    )
}

fn values<'a>(args: &'a [String], name: &str) -> Vec<&'a str> {
    let prefix = format!("--{name}=");
    args.iter().filter_map(|arg| arg.strip_prefix(&prefix)).collect()
}

#[test]
fn everything_a_request_can_say_is_one_argument_each() {
    let source = json!({ "git": {
        "url": "https://git.example.com/team/app.git", "ref": "refs/heads/main", "sub_path": "services/web",
        "commit": "0123456789abcdef0123456789abcdef01234567",
    }});
    let rest = json!({
        "dockerfile": "docker/Dockerfile",
        "destinations": ["registry.example.com/team/app:1", "registry.example.com/team/app:latest"],
        "build_args": { "VERSION": "1.2 $(rm -rf /) \"x\"", "EMPTY": "" },
        "target": "release", "labels": { "org.example/a": "b=c" }, "platform": "linux/arm64",
        "cache": { "enabled": true, "repository": "registry.example.com/cache", "ttl_seconds": 3600 },
    });
    let options = KanikoOptions {
        insecure_registries: vec!["127.0.0.1:5000".into()],
        registry_mirrors: vec!["mirror.example.com".into()],
        registry_maps: vec!["gcr.io=mirror.example.com".into()],
        ignore_paths: vec!["/product_uuid".into()],
        extra_args: vec!["--reproducible".into()],
        ..KanikoOptions::default()
    };
    insta::assert_yaml_snapshot!(kaniko_args(&spec(source, rest), &options, "/dev/termination-log"));
}

#[test]
fn a_plain_request_gets_the_defaults_and_no_cache() {
    let args = args(
        json!({ "upload": { "context_id": "01890000-0000-7000-8000-000000000000" } }),
        json!({}),
    );
    insta::assert_yaml_snapshot!(args);
}

#[test]
fn contexts_are_written_as_kaniko_reads_them() {
    let id = "01890000-0000-7000-8000-000000000000";
    let sha = "0123456789abcdef0123456789abcdef01234567";
    let cases = [
        (
            json!({ "git": { "url": "http://git.test:8080/a" } }),
            "git://git.test:8080/a",
        ),
        (
            json!({ "git": { "url": "https://git.test/a", "ref": "main" } }),
            "git://git.test/a#main",
        ),
        (
            json!({ "git": { "url": "https://git.test/a", "commit": sha } }),
            &format!("git://git.test/a##{sha}"),
        ),
        (
            json!({ "volume": { "claim": "c" } }),
            "dir:///kaniko/buildcontext",
        ),
        (
            json!({ "volume": { "claim": "c", "path": "my-build" } }),
            "dir:///kaniko/buildcontext/my-build",
        ),
        (
            json!({ "upload": { "context_id": id, "sub_path": "a/b" } }),
            "dir:///kaniko/buildcontext/a/b",
        ),
        (
            json!({ "http": { "url": "https://h.test/x.tar.gz", "sub_path": "a" } }),
            "https://h.test/x.tar.gz",
        ),
        (
            json!({ "s3": { "url": "s3://bucket/x.tar.gz" } }),
            "s3://bucket/x.tar.gz",
        ),
        (
            json!({ "gs": { "url": "gs://bucket/x.tar.gz" } }),
            "gs://bucket/x.tar.gz",
        ),
        (
            json!({ "azure": { "url": "https://acc.blob.core.windows.net/c/x.tar.gz" } }),
            "https://acc.blob.core.windows.net/c/x.tar.gz",
        ),
    ];
    for (source, expected) in cases {
        assert_eq!(
            values(&args(source.clone(), json!({})), "context"),
            [expected],
            "{source}"
        );
    }
}

#[test]
fn a_sub_path_is_kanikos_matter_only_where_kaniko_fetches() {
    let fetched = args(
        json!({ "s3": { "url": "s3://bucket/x.tar.gz", "sub_path": "web" } }),
        json!({}),
    );
    assert_eq!(values(&fetched, "context-sub-path"), ["web"]);
    let mounted = args(json!({ "volume": { "claim": "c", "path": "web" } }), json!({}));
    assert!(values(&mounted, "context-sub-path").is_empty());
}

#[test]
fn a_folders_dockerfile_is_named_in_full() {
    let args = args(
        json!({ "volume": { "claim": "c", "path": "web" } }),
        json!({ "dockerfile": "d/Dockerfile" }),
    );
    assert_eq!(
        values(&args, "dockerfile"),
        ["/kaniko/buildcontext/web/d/Dockerfile"]
    );
}

#[test]
fn a_dockerfile_is_never_a_url() {
    for path in ["http:/evil.test/Dockerfile", "https:/evil.test/Dockerfile"] {
        let git = json!({ "git": { "url": "https://git.test/a" } });
        let args = args(git, json!({ "dockerfile": path }));
        assert_eq!(values(&args, "dockerfile"), [format!("./{path}")]);
    }
    let url = "https://evil.test/Dockerfile".parse::<RelativePath>();
    assert!(url.is_err(), "no request can hold one");
}

#[test]
fn plain_http_git_hosts_are_pulled_from_by_http() {
    let git = |url: &str| spec(json!({ "git": { "url": url } }), json!({}));
    assert!(kaniko_env(&git("http://git.test/a")).contains(&("GIT_PULL_METHOD", "http")));
    assert!(kaniko_env(&git("https://git.test/a")).contains(&("GIT_PULL_METHOD", "https")));
}
