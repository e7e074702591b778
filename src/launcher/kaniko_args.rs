//! Builds kaniko's command line as an argument vector, from a build's spec and the operator's settings. No
//! shell is involved.

mod isolated;
#[cfg(test)]
mod tests;

use crate::domain::{BuildSpec, Source, path::RelativePath};

pub use isolated::{IMAGE_DIR, build_only_args, push_args};

/// Default image of the executor.
pub const DEFAULT_IMAGE: &str = "ghcr.io/osscontainertools/kaniko:v1.28.3";

/// Path in kaniko's container of a context that is a folder (a volume, an unpacked upload).
///
/// kaniko itself keeps fetched contexts here. No other path is as safe: kaniko never snapshots what is below
/// `/kaniko` and never deletes it between stages, while a context in `/workspace` is deleted before the
/// second stage if it is not a mount, and hides the image's own `/workspace` if it is one.
pub const CONTEXT_DIR: &str = "/kaniko/buildcontext";

/// Folder of the build's secrets, each in a file named after its id. kaniko copies them when it starts, and
/// gives each step those that it requests.
pub const SECRETS_DIR: &str = "/kaniko/build-secrets";

/// The operator's settings for kaniko.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KanikoOptions {
    /// The executor's image: any that accepts kaniko's arguments.
    pub image: String,
    /// Registries that are reached over plain HTTP: `host[:port]`.
    pub insecure_registries: Vec<String>,
    /// Mirrors of Docker Hub, which are tried first: `host[:port][/path]`.
    pub registry_mirrors: Vec<String>,
    /// Registries that replace others: `original=replacement`.
    pub registry_maps: Vec<String>,
    /// Paths that are never included in an image.
    pub ignore_paths: Vec<String>,
    /// Number of times that kaniko repeats a push that broke off.
    pub push_retry: u32,
    /// Number of times that kaniko repeats a download of a base image.
    pub image_download_retry: u32,
    /// Number of times that kaniko repeats the unpacking of a base image.
    pub image_fs_extract_retry: u32,
    /// Further arguments, each one complete (`--flag=value`), after all others: of several values of a flag
    /// the last one applies.
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

/// Returns the arguments of a kaniko that builds and pushes, one `--flag=value` per element.
///
/// `digest_file` is the path at which kaniko leaves the image's digest, where the launcher can read it after
/// the end.
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

/// Returns the arguments of a kaniko that builds. `output` holds the flags for the destination of the image,
/// `cache` those for the layer cache.
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

/// Returns the environment variables that kaniko needs besides the credentials.
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

/// Returns true if kaniko cannot fetch the context by itself, so that it must be in [`CONTEXT_DIR`] before
/// kaniko starts.
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
        // The folder is part of the `dir://` URL: kaniko applies --context-sub-path to fetched contexts only.
        Source::Volume(_) | Source::Upload(_) => format!("dir://{}", folder(source)),
    }
}

fn folder(source: &Source) -> String {
    match source.sub_path().map(RelativePath::as_str) {
        None | Some(".") => CONTEXT_DIR.to_owned(),
        Some(path) => format!("{CONTEXT_DIR}/{path}"),
    }
}

/// Returns the path of the Dockerfile for kaniko. kaniko looks for a relative path in its working directory
/// before it looks in the context, and fetches one that looks like a URL: the request means neither.
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
    // kaniko holds layers in memory while it compresses them for the cache: a 300 MB layer needs 40 MiB
    // without compression and more than 1 GiB with it.
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
