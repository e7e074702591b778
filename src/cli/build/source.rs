//! Parses the context argument of `slipway build`.

use std::{path::PathBuf, str::FromStr};

use crate::domain::{
    Source,
    git::CommitId,
    path::RelativePath,
    source::{AzureSource, GitSource, GsSource, HttpSource, S3Source, VolumeSource},
};

/// The CONTEXT argument.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Given {
    /// A folder of this machine.
    Folder(PathBuf),
    /// Standard input: a Dockerfile, or a tar.gz archive.
    Stdin,
    /// A source that the service fetches.
    Remote(Source),
}

impl FromStr for Given {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "-" {
            return Ok(Self::Stdin);
        }
        let remote = match text.split_once(':') {
            Some(("https" | "http", rest)) if rest.starts_with("//") => web(text),
            Some(("s3", rest)) if rest.starts_with("//") => archive(text, |url, sub_path| {
                Ok(Source::S3(S3Source {
                    url: parse(url)?,
                    sub_path,
                }))
            }),
            Some(("gs", rest)) if rest.starts_with("//") => archive(text, |url, sub_path| {
                Ok(Source::Gs(GsSource {
                    url: parse(url)?,
                    sub_path,
                }))
            }),
            Some(("volume", rest)) => volume(rest),
            Some(("git" | "ssh" | "git+ssh" | "ftp" | "file", rest)) if rest.starts_with("//") => {
                Err("repositories are fetched by https:// or http:// only".to_owned())
            }
            _ if text.starts_with("git@") => {
                Err("repositories are fetched by https:// or http:// only".to_owned())
            }
            _ => return Ok(Self::Folder(text.into())),
        };
        remote.map(Self::Remote)
    }
}

/// Parses a web address by the rules of `docker build`: a repository ends in `.git` or has a fragment, unless
/// its path or query shows an archive.
fn web(text: &str) -> Result<Source, String> {
    let (url, fragment) = match text.split_once('#') {
        Some((url, fragment)) => (url, Some(fragment)),
        None => (text, None),
    };
    let path = url.split('?').next().unwrap_or_default().trim_end_matches('/');
    let is_archive = path.ends_with(".tar.gz") || path.ends_with(".tgz") || url.contains('?');
    if !is_archive && (path.ends_with(".git") || fragment.is_some()) {
        return git(url, fragment.unwrap_or_default());
    }
    if let Ok(url) = url.parse() {
        let sub_path = folder(fragment)?;
        return Ok(Source::Azure(AzureSource { url, sub_path }));
    }
    if !is_archive {
        return Err(format!(
            "may be a repository or an archive: write {url}.git, {url}#REF, or an address that ends in .tar.gz"
        ));
    }
    archive(text, |url, sub_path| {
        Ok(Source::Http(HttpSource {
            url: parse(url)?,
            sub_path,
        }))
    })
}

/// Parses a repository; its fragment is `ref`, `ref:folder` or `:folder`, and a ref of 40 digits is a commit.
fn git(url: &str, fragment: &str) -> Result<Source, String> {
    let (named, sub_path) = match fragment.split_once(':') {
        Some((named, folder)) => (named, Some(folder)),
        None => (fragment, None),
    };
    let commit: Option<CommitId> = named.parse().ok();
    let reference = match commit {
        None if !named.is_empty() => Some(parse(named)?),
        _ => None,
    };
    Ok(Source::Git(GitSource {
        url: parse(url)?,
        reference,
        commit,
        sub_path: folder(sub_path)?,
    }))
}

/// Parses an archive's address, whose fragment is a folder in it.
fn archive(
    text: &str,
    make: impl FnOnce(&str, Option<RelativePath>) -> Result<Source, String>,
) -> Result<Source, String> {
    match text.split_once('#') {
        Some((url, fragment)) => make(url, folder(Some(fragment.trim_start_matches(':')))?),
        None => make(text, None),
    }
}

/// Parses `CLAIM` or `CLAIM/FOLDER`.
fn volume(text: &str) -> Result<Source, String> {
    let (claim, path) = match text.split_once('/') {
        Some((claim, path)) => (claim, Some(path)),
        None => (text, None),
    };
    Ok(Source::Volume(VolumeSource {
        claim: parse(claim)?,
        path: folder(path)?,
    }))
}

fn folder(text: Option<&str>) -> Result<Option<RelativePath>, String> {
    text.filter(|text| !text.is_empty())
        .map(|text| parse(text.trim_start_matches('/')))
        .transpose()
}

/// Parses a domain type, and quotes the text in its error.
fn parse<T: FromStr<Err: std::fmt::Display>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|reason| format!("{text:?} {reason}"))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn source(text: &str) -> Value {
        match text.parse() {
            Ok(Given::Remote(source)) => serde_json::to_value(source).expect("a source is JSON"),
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn repositories_are_written_as_for_docker_build() {
        let commit = "0123456789abcdef0123456789abcdef01234567";
        for (text, wanted) in [
            (
                "https://git.example.com/app.git",
                json!({"url": "https://git.example.com/app.git"}),
            ),
            (
                "https://git.example.com/app.git#main:server",
                json!({"url": "https://git.example.com/app.git", "ref": "main", "sub_path": "server"}),
            ),
            (
                "http://git.example.com/app#refs/tags/v1",
                json!({"url": "http://git.example.com/app", "ref": "refs/tags/v1"}),
            ),
            (
                "https://git.example.com/app.git#:docker",
                json!({"url": "https://git.example.com/app.git", "sub_path": "docker"}),
            ),
            (
                &format!("https://git.example.com/app.git#{commit}"),
                json!({"url": "https://git.example.com/app.git", "commit": commit}),
            ),
            (
                "https://git.example.com/app#",
                json!({"url": "https://git.example.com/app"}),
            ),
        ] {
            assert_eq!(source(text), json!({"git": wanted}), "{text}");
        }
    }

    #[test]
    fn archives_and_volumes_have_addresses_too() {
        for (text, wanted) in [
            (
                "https://example.com/a/context.tar.gz",
                json!({"http": {"url": "https://example.com/a/context.tar.gz"}}),
            ),
            (
                "https://example.com/context?signature=x#sub",
                json!({"http": {"url": "https://example.com/context?signature=x", "sub_path": "sub"}}),
            ),
            (
                "https://account.blob.core.windows.net/box/context.tar.gz",
                json!({"azure": {"url": "https://account.blob.core.windows.net/box/context.tar.gz"}}),
            ),
            (
                "s3://bucket/key.tar.gz#sub",
                json!({"s3": {"url": "s3://bucket/key.tar.gz", "sub_path": "sub"}}),
            ),
            (
                "gs://bucket/key.tar.gz",
                json!({"gs": {"url": "gs://bucket/key.tar.gz"}}),
            ),
            ("volume:claim", json!({"volume": {"claim": "claim"}})),
            (
                "volume:claim/a/b",
                json!({"volume": {"claim": "claim", "path": "a/b"}}),
            ),
        ] {
            assert_eq!(source(text), wanted, "{text}");
        }
    }

    #[test]
    fn everything_else_is_a_folder() {
        for text in [".", "..", "/srv/app", "a:b", "c", "volume", "./https://x"] {
            assert_eq!(text.parse(), Ok(Given::Folder(text.into())), "{text}");
        }
        assert_eq!("-".parse(), Ok(Given::Stdin));
    }

    #[test]
    fn what_cannot_be_fetched_is_refused_with_the_reason() {
        for (text, reason) in [
            ("git@github.com:team/app.git", "https://"),
            ("ssh://git@host/app.git", "https://"),
            (
                "https://git.example.com/team/app",
                "https://git.example.com/team/app.git",
            ),
            ("https://git.example.com/app.git#a..b", "must not contain '..'"),
            (
                "https://git.example.com/app.git#main:../x",
                "must not contain '..'",
            ),
            ("http://example.com/context.tar.gz", "https"),
            ("volume:UPPER", "must be made of a-z"),
            ("s3://b", "must be s3://bucket/key"),
        ] {
            let said = text.parse::<Given>().expect_err(text);
            assert!(said.contains(reason), "{text}: {said}");
        }
    }
}
