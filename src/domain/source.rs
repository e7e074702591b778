//! Sources of a build's context.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    ContextId,
    git::{CommitId, GitRef, GitUrl},
    path::RelativePath,
    text::{Invalid, plain, text_type},
    web,
};

text_type!(
    /// Name of a PersistentVolumeClaim in the builds' namespace: a DNS subdomain.
    #[schema(example = "build-contexts", max_length = 253)]
    ClaimName,
    check_claim
);
text_type!(
    /// The `https://` address of a gzipped tar archive, without user info: kaniko fetches archives over TLS
    /// only. Every reader of the build can read the address, including a signature in its query.
    #[schema(example = "https://example.com/context.tar.gz", pattern = "^https://", max_length = 2048)]
    ArchiveUrl,
    check_archive_url
);
text_type!(
    /// Address of a gzipped tar archive: `s3://bucket/key`.
    #[schema(example = "s3://bucket/context.tar.gz", pattern = "^s3://[a-z0-9._-]+/.+", max_length = 2048)]
    S3Url,
    check_s3
);
text_type!(
    /// Address of a gzipped tar archive: `gs://bucket/key`.
    #[schema(example = "gs://bucket/context.tar.gz", pattern = "^gs://[a-z0-9._-]+/.+", max_length = 2048)]
    GsUrl,
    check_gs
);
text_type!(
    /// Address of a gzipped tar archive: `https://account.blob.core.windows.net/container/key`.
    #[schema(
        example = "https://account.blob.core.windows.net/container/context.tar.gz",
        pattern = "^https://[a-z0-9]{3,24}[.]blob[.]core[.]",
        max_length = 2048
    )]
    AzureUrl,
    check_azure
);

/// Source of a build's context: exactly one of these.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Source {
    /// A git repository.
    Git(GitSource),
    /// A folder on a PersistentVolumeClaim; with a container engine, a named volume or a configured folder.
    Volume(VolumeSource),
    /// A context that was uploaded to `/api/v1/contexts`.
    Upload(UploadSource),
    /// An archive behind a plain GET.
    Http(HttpSource),
    /// An archive in Amazon S3 or a compatible store.
    S3(S3Source),
    /// An archive in Google Cloud Storage.
    Gs(GsSource),
    /// An archive in Azure Blob Storage.
    Azure(AzureSource),
}

/// A git repository, fetched over HTTP(S).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct GitSource {
    /// The repository's address.
    pub url: GitUrl,
    /// A branch, tag or full ref; the default branch if absent.
    #[serde(rename = "ref", default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<GitRef>,
    /// The commit to build; the ref's tip if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<CommitId>,
    /// The folder that is the context; the repository's root if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sub_path: Option<RelativePath>,
}

/// A folder on a volume.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct VolumeSource {
    /// The claim's name.
    pub claim: ClaimName,
    /// The context's folder on the volume; the volume's root if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<RelativePath>,
}

/// An uploaded context.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UploadSource {
    /// Identifier that the upload returned.
    pub context_id: ContextId,
    /// The folder inside the archive that is the context; the archive's root if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sub_path: Option<RelativePath>,
}

macro_rules! archive_source {
    ($(#[$meta:meta])* $name:ident, $url:ident) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
        #[serde(deny_unknown_fields)]
        pub struct $name {
            /// The archive's address.
            pub url: $url,
            /// The folder inside the archive that is the context; the archive's root if absent.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub sub_path: Option<RelativePath>,
        }
    };
}

archive_source!(
    /// An archive behind a plain GET.
    HttpSource,
    ArchiveUrl
);
archive_source!(
    /// An archive in S3.
    S3Source,
    S3Url
);
archive_source!(
    /// An archive in Google Cloud Storage.
    GsSource,
    GsUrl
);
archive_source!(
    /// An archive in Azure Blob Storage.
    AzureSource,
    AzureUrl
);

impl Source {
    /// Returns the folder below the context's root, if the source names one.
    pub fn sub_path(&self) -> Option<&RelativePath> {
        match self {
            Self::Git(git) => git.sub_path.as_ref(),
            Self::Volume(volume) => volume.path.as_ref(),
            Self::Upload(upload) => upload.sub_path.as_ref(),
            Self::Http(http) => http.sub_path.as_ref(),
            Self::S3(s3) => s3.sub_path.as_ref(),
            Self::Gs(gs) => gs.sub_path.as_ref(),
            Self::Azure(azure) => azure.sub_path.as_ref(),
        }
    }

    /// Returns the name of the kind, as in a request.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Git(_) => "git",
            Self::Volume(_) => "volume",
            Self::Upload(_) => "upload",
            Self::Http(_) => "http",
            Self::S3(_) => "s3",
            Self::Gs(_) => "gs",
            Self::Azure(_) => "azure",
        }
    }

    /// Returns the uploaded context that the build needs, if its source is an upload.
    pub const fn context_id(&self) -> Option<ContextId> {
        match self {
            Self::Upload(upload) => Some(upload.context_id),
            _ => None,
        }
    }
}

/// Parts of a host by which kaniko treats an https address as an Azure blob (v1.28.3, `pkg/constants`).
const AZURE_HOSTS: [&str; 4] = [
    ".blob.core.windows.net",
    ".blob.core.chinacloudapi.cn",
    ".blob.core.cloudapi.de",
    ".blob.core.usgovcloudapi.net",
];

/// Checks a DNS-1123 subdomain, as Kubernetes requires for names.
fn check_claim(text: &str) -> Result<(), Invalid> {
    plain(text, 253)?;
    let inside = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let label = |part: &str| {
        !part.is_empty() && part.chars().all(inside) && !part.starts_with('-') && !part.ends_with('-')
    };
    if !text.split('.').all(label) {
        return Err(Invalid::new(
            "must be made of a-z, 0-9, '-' and '.', each part beginning and ending with a letter or digit",
        ));
    }
    Ok(())
}

/// Checks the address of an archive. kaniko recognizes an archive by `https://` only and refuses plain http.
/// If it finds an Azure host anywhere in the text, path and query included, it treats the whole as a blob and
/// signs the request with the operator's key.
fn check_archive_url(text: &str) -> Result<(), Invalid> {
    let url = web::parse(text, &["https"])?;
    let lower = text.to_ascii_lowercase();
    if AZURE_HOSTS.iter().any(|host| lower.contains(host)) {
        return Err(Invalid::new("names an Azure blob's host: use the source 'azure'"));
    }
    if url.path() == "/" {
        return Err(Invalid::new("must name an archive after the host"));
    }
    Ok(())
}

fn check_s3(text: &str) -> Result<(), Invalid> {
    check_bucket_url(text, "s3")
}

fn check_gs(text: &str) -> Result<(), Invalid> {
    check_bucket_url(text, "gs")
}

/// Checks an address of a bucket and key. kaniko parses it with Go's `url.Parse`: the host is the bucket, the
/// rest without its first slash the key. For an absent key, kaniko would use `context.tar.gz`; here the key
/// is mandatory.
fn check_bucket_url(text: &str, scheme: &str) -> Result<(), Invalid> {
    plain(text, 2048)?;
    let form = || Invalid::new(format_args!("must be {scheme}://bucket/key"));
    let rest = text
        .strip_prefix(scheme)
        .and_then(|rest| rest.strip_prefix("://"));
    let (bucket, key) = rest.and_then(|rest| rest.split_once('/')).ok_or_else(form)?;
    let alphanumeric = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    if !(3..=222).contains(&bucket.len())
        || !bucket.chars().all(|c| alphanumeric(c) || "-._".contains(c))
        || !bucket.starts_with(alphanumeric)
        || !bucket.ends_with(alphanumeric)
        || bucket.contains("..")
    {
        return Err(Invalid::new(
            "must name a bucket: at least 3 of a-z, 0-9, '-', '.' and '_', beginning and ending with a letter or digit",
        ));
    }
    if key.is_empty() || key.contains('?') {
        return Err(form());
    }
    web::check_characters(key)?;
    web::check_path(key)
}

/// Checks the address of a blob. kaniko signs the request with the key of the account that the host's first
/// label names.
fn check_azure(text: &str) -> Result<(), Invalid> {
    let url = web::parse(text, &["https"])?;
    let host = url.host_str().unwrap_or_default();
    let account = AZURE_HOSTS.iter().find_map(|suffix| host.strip_suffix(suffix));
    let is_account = |name: &str| {
        (3..=24).contains(&name.len()) && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit())
    };
    // kaniko searches for the host in the text as written, so it would treat a host in upper case as a plain
    // archive.
    if !account.is_some_and(is_account) || !text.starts_with(&format!("https://{host}/")) {
        return Err(Invalid::new(
            "must be https://<account>.blob.core.windows.net/<container>/<key>",
        ));
    }
    let key = url
        .path()
        .trim_start_matches('/')
        .split_once('/')
        .map(|(_, key)| key);
    if key.is_none_or(str::is_empty) || url.query().is_some() {
        return Err(Invalid::new("must name a container and a key, without a query"));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
