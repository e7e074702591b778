//! kaniko's command line: from a build's spec and the operator's settings to an argument vector. Never a shell.

mod isolated;
#[cfg(test)]
mod tests;

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
