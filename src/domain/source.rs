//! Where a build's context comes from.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    ContextId,
    git::{CommitId, GitRef, GitUrl},
    path::RelativePath,
    text::{Invalid, plain, text_type},
};

text_type!(
    /// The name of a PersistentVolumeClaim in the builds' namespace: a DNS subdomain.
    ClaimName,
    check_claim
);
text_type!(
    /// An `http://` or `https://` address of a gzipped tar archive, without user info.
    ArchiveUrl,
    check_archive_url
);
text_type!(
    /// `s3://bucket/key`, naming a gzipped tar archive.
    S3Url,
    check_s3
);
text_type!(
    /// `gs://bucket/key`, naming a gzipped tar archive.
    GsUrl,
    check_gs
);
text_type!(
    /// `https://account.blob.core.windows.net/container/key`, naming a gzipped tar archive.
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

fn check_claim(text: &str) -> Result<(), Invalid> {
    plain(text, 253)
}

fn check_archive_url(text: &str) -> Result<(), Invalid> {
    plain(text, 2048)
}

fn check_s3(text: &str) -> Result<(), Invalid> {
    plain(text, 2048)
}

fn check_gs(text: &str) -> Result<(), Invalid> {
    plain(text, 2048)
}

fn check_azure(text: &str) -> Result<(), Invalid> {
    plain(text, 2048)
}
