//! Where a build's context comes from.

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
    /// The name of a PersistentVolumeClaim in the builds' namespace: a DNS subdomain.
    #[schema(example = "build-contexts", max_length = 253)]
    ClaimName,
    check_claim
);
text_type!(
    /// The `https://` address of a gzipped tar archive, without user info: kaniko fetches archives over TLS only.
    #[schema(example = "https://example.com/context.tar.gz", max_length = 2048)]
    ArchiveUrl,
    check_archive_url
);
text_type!(
    /// `s3://bucket/key`, naming a gzipped tar archive.
    #[schema(example = "s3://bucket/context.tar.gz", max_length = 2048)]
    S3Url,
    check_s3
);
text_type!(
    /// `gs://bucket/key`, naming a gzipped tar archive.
    #[schema(example = "gs://bucket/context.tar.gz", max_length = 2048)]
    GsUrl,
    check_gs
);
text_type!(
    /// `https://account.blob.core.windows.net/container/key`, naming a gzipped tar archive.
    #[schema(example = "https://account.blob.core.windows.net/container/context.tar.gz", max_length = 2048)]
    AzureUrl,
    check_azure
);

/// A build's context: exactly one of these.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Source {
    /// A git repository.
    Git(GitSource),
    /// A folder on a PersistentVolumeClaim; on an engine, a named volume or a configured folder.
    Volume(VolumeSource),
    /// A context that was uploaded to `/api/v1/contexts`.
    Upload(UploadSource),
    /// An archive behind a plain GET.
    Http(HttpSource),
    /// An archive in Amazon S3 or what speaks its protocol.
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
    /// A branch, tag or full ref; the default branch when absent.
    #[serde(rename = "ref", default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<GitRef>,
    /// The commit to build; the ref's tip when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<CommitId>,
    /// The folder that is the context; the repository's root when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sub_path: Option<RelativePath>,
}

/// A folder on a volume.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct VolumeSource {
    /// The claim's name.
    pub claim: ClaimName,
    /// The context's folder on the volume; its root when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<RelativePath>,
}

/// An uploaded context.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UploadSource {
    /// What the upload answered.
    pub context_id: ContextId,
    /// The folder inside it that is the context; its root when absent.
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
            /// The folder inside it that is the context; its root when absent.
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
    /// The folder below the context's root, where one is named.
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

    /// The kind's name, as the request writes it.
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

    /// The uploaded context that the build needs, if its source is one.
    pub const fn context_id(&self) -> Option<ContextId> {
        match self {
            Self::Upload(upload) => Some(upload.context_id),
            _ => None,
        }
    }
}

/// Where kaniko takes an https address for an Azure blob (v1.28.3, `pkg/constants`).
const AZURE_HOSTS: [&str; 4] = [
    ".blob.core.windows.net",
    ".blob.core.chinacloudapi.cn",
    ".blob.core.cloudapi.de",
    ".blob.core.usgovcloudapi.net",
];

/// A DNS-1123 subdomain, as Kubernetes names things.
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

/// kaniko knows an archive by `https://` alone: it refuses plain http.
fn check_archive_url(text: &str) -> Result<(), Invalid> {
    web::parse(text, &["https"])?;
    if AZURE_HOSTS.iter().any(|host| text.contains(&format!("{host}/"))) {
        return Err(Invalid::new("is an Azure blob's address: use the source 'azure'"));
    }
    Ok(())
}

fn check_s3(text: &str) -> Result<(), Invalid> {
    check_bucket_url(text, "s3")
}

fn check_gs(text: &str) -> Result<(), Invalid> {
    check_bucket_url(text, "gs")
}

fn check_bucket_url(text: &str, scheme: &str) -> Result<(), Invalid> {
    let url = web::parse(text, &[scheme])?;
    let bucket = url.host_str().unwrap_or_default();
    let inside = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-._".contains(c);
    if bucket.len() < 3 || !bucket.chars().all(inside) || url.port().is_some() {
        return Err(Invalid::new(
            "must name a bucket: at least 3 of a-z, 0-9, '-', '.' and '_'",
        ));
    }
    if url.path().len() < 2 || url.query().is_some() {
        return Err(Invalid::new(format_args!(
            "must be {scheme}://bucket/key, without a query"
        )));
    }
    Ok(())
}

fn check_azure(text: &str) -> Result<(), Invalid> {
    let url = web::parse(text, &["https"])?;
    let host = url.host_str().unwrap_or_default();
    if !AZURE_HOSTS
        .iter()
        .any(|suffix| host.len() > suffix.len() && host.ends_with(suffix))
    {
        return Err(Invalid::new(
            "must be https://<account>.blob.core.windows.net/<container>/<key>",
        ));
    }
    let parts = url.path().split('/').filter(|part| !part.is_empty()).count();
    if parts < 2 || url.query().is_some() || url.port().is_some() {
        return Err(Invalid::new(
            "must name a container and a key, without port and query",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn archive_addresses_are_what_kaniko_takes() {
        assert!("https://host/x.tar.gz?sig=1".parse::<ArchiveUrl>().is_ok());
        for text in [
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
        for text in [
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
}
