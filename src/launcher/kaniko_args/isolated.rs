//! Builds the two command lines of an isolated push: one kaniko builds and leaves the image in a folder,
//! another one pushes it from there. Only the second one has push credentials.

use super::{KanikoOptions, build, cache_settings, flag, flags};
use crate::domain::BuildSpec;

/// Folder in which the first kaniko leaves the image for the second, as an OCI layout. It is below `/kaniko`,
/// so that it is never part of an image and survives the change of stages.
pub const IMAGE_DIR: &str = "/kaniko/image";

/// Flags among the operator's own arguments that `executor push` has, too. It has neither `--log-format` nor
/// `--digest-file`.
const OF_A_PUSH: [&str; 17] = [
    "insecure",
    "skip-tls-verify",
    "insecure-pull",
    "skip-tls-verify-pull",
    "push-retry",
    "push-ignore-immutable-tag-errors",
    "image-download-retry",
    "insecure-registry",
    "skip-tls-verify-registry",
    "registry-certificate",
    "registry-client-cert",
    "registry-map",
    "registry-mirror",
    "skip-default-registry-fallback",
    "credential-helpers",
    "skip-push-permission-check",
    "destination",
];

/// Returns the arguments of the kaniko that builds and does not push.
///
/// The cache is read with `pull_secret`. It is written only if the request names its repository: then
/// `pull_secret` must be allowed to push there, and any step can push there, too.
pub fn build_only_args(spec: &BuildSpec, options: &KanikoOptions, digest_file: &str) -> Vec<String> {
    let output = vec!["--no-push".to_owned(), flag("oci-layout-path", IMAGE_DIR)];
    let mut cache = Vec::new();
    if spec.cache.enabled {
        cache.push(flag("cache", "true"));
        match &spec.cache.repository {
            Some(repository) => cache.push(flag("cache-repo", repository.as_str())),
            None => {
                // kaniko would infer this repository from a destination, but is given none here.
                let repository = spec.destinations.first().repository();
                cache.push(flag("cache-repo", &format!("{repository}/cache")));
                cache.push("--no-push-cache".to_owned());
            }
        }
        cache.extend(cache_settings(spec));
    }
    build(spec, options, digest_file, output, cache)
}

/// Returns the arguments of the kaniko that pushes.
pub fn push_args(spec: &BuildSpec, options: &KanikoOptions) -> Vec<String> {
    let mut args = vec!["push".to_owned()];
    args.extend(
        spec.destinations
            .iter()
            .map(|one| flag("destination", &one.with_tag())),
    );
    args.extend(flags("insecure-registry", &options.insecure_registries));
    args.push(flag("push-retry", &options.push_retry.to_string()));
    args.extend(options.extra_args.iter().filter(|arg| is_of_a_push(arg)).cloned());
    args.push(IMAGE_DIR.to_owned());
    args
}

fn is_of_a_push(arg: &str) -> bool {
    let name = arg.strip_prefix("--").unwrap_or_default();
    let name = name.split_once('=').map_or(name, |(name, _)| name);
    OF_A_PUSH.contains(&name)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn spec(cache: Value) -> BuildSpec {
        serde_json::from_value(json!({
            "source": { "git": { "url": "https://git.example.com/team/app.git" } },
            "destinations": ["registry.example.com/team/app:1", "registry.example.com:5000/team/app"],
            "cache": cache,
            "secrets": [{ "id": "npm", "secret": "team-npm", "key": "token" }],
        }))
        .expect("a valid spec")
    }

    fn options() -> KanikoOptions {
        KanikoOptions {
            insecure_registries: vec!["registry.example.com:5000".into()],
            extra_args: vec![
                "--skip-tls-verify-registry=registry.example.com".into(),
                "--reproducible".into(),
            ],
            ..KanikoOptions::default()
        }
    }

    #[test]
    fn one_builds_and_the_other_pushes() {
        let spec = spec(json!({}));
        insta::assert_yaml_snapshot!(json!({
            "build": build_only_args(&spec, &options(), "/dev/termination-log"),
            "push": push_args(&spec, &options()),
        }));
    }

    #[test]
    fn a_cache_is_written_only_where_the_request_names_it() {
        let of_cache = |cache| {
            let mut args = build_only_args(&spec(cache), &options(), "x");
            args.retain(|arg| arg.contains("cache") && !arg.starts_with("--compressed"));
            args
        };
        assert!(of_cache(json!({})).is_empty());
        assert_eq!(
            of_cache(json!({ "enabled": true, "ttl_seconds": 60 })),
            [
                "--cache=true",
                "--cache-repo=registry.example.com/team/app/cache",
                "--no-push-cache",
                "--cache-ttl=60s"
            ]
        );
        assert_eq!(
            of_cache(json!({ "enabled": true, "repository": "registry.example.com/cache" })),
            ["--cache=true", "--cache-repo=registry.example.com/cache"]
        );
    }
}
