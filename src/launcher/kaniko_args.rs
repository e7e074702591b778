//! kaniko's command line: from a build's spec and the operator's settings to an argument vector. Never a shell.

mod isolated;

use crate::domain::{BuildSpec, Source, path::RelativePath};

pub use isolated::{IMAGE_DIR, build_only_args, push_args};

/// The executor's image where none is configured.
pub const DEFAULT_IMAGE: &str = "ghcr.io/osscontainertools/kaniko:v1.28.3";

/// Where a context that is a folder (a volume, an unpacked upload) is found in kaniko's container.
///
/// kaniko itself keeps fetched contexts here. Nothing else is as safe: kaniko never snapshots what is below
/// `/kaniko` and never deletes it between stages, while a context in `/workspace` is deleted before the second stage
/// where it is no mount, and hides the image's own `/workspace` where it is one.
pub const CONTEXT_DIR: &str = "/kaniko/buildcontext";

/// Where the build's secrets lie, each in a file that has its id for a name. kaniko copies them when it starts, and
/// gives a step those that it asks for.
pub const SECRETS_DIR: &str = "/kaniko/build-secrets";

/// What the operator says about every kaniko.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KanikoOptions {
    /// The executor's image: any that takes kaniko's arguments.
    pub image: String,
    /// Registries spoken to over plain HTTP: `host[:port]`.
    pub insecure_registries: Vec<String>,
    /// Mirrors of Docker Hub, asked first: `host[:port][/path]`.
    pub registry_mirrors: Vec<String>,
    /// Registries that stand in for others: `original=replacement`.
    pub registry_maps: Vec<String>,
    /// Paths that never get into an image.
    pub ignore_paths: Vec<String>,
    /// How often kaniko repeats a push that broke off.
    pub push_retry: u32,
    /// How often kaniko repeats a download of a base image.
    pub image_download_retry: u32,
    /// How often kaniko repeats the unpacking of a base image.
    pub image_fs_extract_retry: u32,
    /// Further arguments, each one complete (`--flag=value`), after all others: the last one of a kind wins.
    pub extra_args: Vec<String>,
}

impl Default for KanikoOptions {
    fn default() -> Self {
        Self {
            image: DEFAULT_IMAGE.to_owned(),
            insecure_registries: Vec::new(),
            registry_mirrors: Vec::new(),
            registry_maps: Vec::new(),
            ignore_paths: Vec::new(),
            push_retry: 3,
            image_download_retry: 1,
            image_fs_extract_retry: 1,
            extra_args: Vec::new(),
        }
    }
}

/// The arguments of one build's kaniko, one `--flag=value` an element: it builds, and pushes what it built.
///
/// `digest_file` is where kaniko leaves the image's digest: where the launcher can read it after the end.
pub fn kaniko_args(spec: &BuildSpec, options: &KanikoOptions, digest_file: &str) -> Vec<String> {
    let destinations = spec
        .destinations
        .iter()
        .map(|one| flag("destination", &one.with_tag()));
    build(
        spec,
        options,
        digest_file,
        destinations.collect(),
        cache_args(spec),
    )
}

/// `output` says what becomes of the image, `cache` where layers are looked up.
fn build(
    spec: &BuildSpec,
    options: &KanikoOptions,
    digest_file: &str,
    output: Vec<String>,
    cache: Vec<String>,
) -> Vec<String> {
    let mut args = vec![
        flag("context", &context(&spec.source)),
        flag("dockerfile", &dockerfile(spec)),
    ];
    if let (false, Some(sub_path)) = (context_is_folder(&spec.source), spec.source.sub_path()) {
        args.push(flag("context-sub-path", sub_path.as_str()));
    }
    args.extend(output);
    args.extend(
        spec.build_args
            .iter()
            .map(|(k, v)| pair("build-arg", k.as_str(), v.as_str())),
    );
    args.extend(spec.secrets.iter().map(|one| {
        let id = &one.id;
        flag("secret", &format!("id={id},type=file,src={SECRETS_DIR}/{id}"))
    }));
    args.extend(spec.target.iter().map(|stage| flag("target", stage.as_str())));
    args.extend(
        spec.labels
            .iter()
            .map(|(k, v)| pair("label", k.as_str(), v.as_str())),
    );
    args.extend(
        spec.platform
            .iter()
            .map(|one| flag("custom-platform", one.as_str())),
    );
    args.extend(cache);
    args.extend(operator_args(options));
    args.push(flag("digest-file", digest_file));
    args.push(flag("log-format", "text"));
    args.push(flag("log-timestamp", "false"));
    args.extend(options.extra_args.iter().cloned());
    args
}

/// What kaniko's environment must have besides the credentials.
pub fn kaniko_env(spec: &BuildSpec) -> Vec<(&'static str, &'static str)> {
    // Before v1.29 cache keys of different inputs can collide without these two.
    let mut env = vec![
        ("FF_KANIKO_ROLLING_CACHE_KEY", "true"),
        ("FF_KANIKO_HASH_DIR_FRAMING", "true"),
    ];
    if let Source::Git(git) = &spec.source {
        let plain = git.url.as_str().starts_with("http://");
        env.push(("GIT_PULL_METHOD", if plain { "http" } else { "https" }));
    }
    env
}

/// Whether kaniko cannot get the context by itself, so that it must lie in [`CONTEXT_DIR`] before kaniko starts.
pub fn must_be_fetched(source: &Source) -> bool {
    matches!(source, Source::Upload(_))
}

fn context_is_folder(source: &Source) -> bool {
    matches!(source, Source::Volume(_)) || must_be_fetched(source)
}

fn context(source: &Source) -> String {
    match source {
        Source::Git(git) => git.kaniko_context(),
        Source::Http(http) => http.url.to_string(),
        Source::S3(s3) => s3.url.to_string(),
        Source::Gs(gs) => gs.url.to_string(),
        Source::Azure(azure) => azure.url.to_string(),
        // `dir://` and the folder in it: kaniko heeds --context-sub-path for fetched contexts only.
        Source::Volume(_) | Source::Upload(_) => format!("dir://{}", folder(source)),
    }
}

fn folder(source: &Source) -> String {
    match source.sub_path().map(RelativePath::as_str) {
        None | Some(".") => CONTEXT_DIR.to_owned(),
        Some(path) => format!("{CONTEXT_DIR}/{path}"),
    }
}

/// kaniko looks for a relative Dockerfile in its working directory before it looks in the context, and fetches one
/// that looks like a URL: neither is what the request means.
fn dockerfile(spec: &BuildSpec) -> String {
    let path = spec.dockerfile.as_str();
    if context_is_folder(&spec.source) {
        format!("{}/{path}", folder(&spec.source))
    } else if path.starts_with("http:") || path.starts_with("https:") {
        format!("./{path}")
    } else {
        path.to_owned()
    }
}

fn cache_args(spec: &BuildSpec) -> Vec<String> {
    if !spec.cache.enabled {
        return Vec::new();
    }
    let mut args = vec![flag("cache", "true")];
    args.extend(
        spec.cache
            .repository
            .iter()
            .map(|one| flag("cache-repo", one.as_str())),
    );
    args.extend(cache_settings(spec));
    args
}

fn cache_settings(spec: &BuildSpec) -> Option<String> {
    let seconds = spec.cache.ttl_seconds?;
    Some(flag("cache-ttl", &format!("{seconds}s")))
}

fn operator_args(options: &KanikoOptions) -> Vec<String> {
    let lists = [
        ("insecure-registry", &options.insecure_registries),
        ("registry-mirror", &options.registry_mirrors),
        ("registry-map", &options.registry_maps),
        ("ignore-path", &options.ignore_paths),
    ];
    let counts = [
        ("push-retry", options.push_retry),
        ("image-download-retry", options.image_download_retry),
        ("image-fs-extract-retry", options.image_fs_extract_retry),
    ];
    // Layers sit in memory while they are compressed for the cache: a 300 MB layer needs 40 MiB without it and more
    // than 1 GiB with it.
    let mut args = vec![flag("compressed-caching", "false")];
    args.extend(lists.iter().flat_map(|(name, values)| flags(name, values)));
    args.extend(counts.iter().map(|(name, count)| flag(name, &count.to_string())));
    args
}

fn flags<'a>(name: &'a str, values: &'a [String]) -> impl Iterator<Item = String> + 'a {
    values.iter().map(move |value| flag(name, value))
}

fn flag(name: &str, value: &str) -> String {
    format!("--{name}={value}")
}

fn pair(name: &str, key: &str, value: &str) -> String {
    format!("--{name}={key}={value}")
}

#[cfg(test)]
mod tests {
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
}
