//! The operator's tokens for git hosts: mounted files, which are read each time that a token is needed.

use std::{path::PathBuf, str::FromStr};

use secrecy::SecretString;
use url::{Origin, Url};

use crate::domain::{Invalid, ProjectName, commit_status::StatusTarget};

/// Upper bound of a token's file, in bytes.
const MOST: u64 = 16 << 10;

/// Token and its scope: `[PROJECT@][http://]HOST[:PORT][/PREFIX]=FILE`. The host is that of the git host's
/// API, such as api.github.com; the prefix is one of the repository's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenFile {
    project: Option<ProjectName>,
    origin: Origin,
    prefix: String,
    file: PathBuf,
}

impl FromStr for TokenFile {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let form = || Invalid::new("write [PROJECT@]HOST[:PORT][/PREFIX]=FILE");
        let (place, file) = text.split_once('=').ok_or_else(form)?;
        let (project, place) = match place.split_once('@') {
            Some((project, place)) => (Some(project.parse()?), place),
            None => (None, place),
        };
        let address = match place.split_once("://") {
            Some(("http" | "https", _)) => place.to_owned(),
            Some(_) => return Err(form()),
            None => format!("https://{place}"),
        };
        let url: Url = address.parse().map_err(|_| form())?;
        if file.is_empty() || !url.has_host() || url.query().is_some() || url.fragment().is_some() {
            return Err(form());
        }
        Ok(Self {
            project,
            origin: url.origin(),
            prefix: url.path().trim_matches('/').to_owned(),
            file: file.into(),
        })
    }
}

impl TokenFile {
    /// Returns true if the token may be sent to this host, for this project's builds of this repository.
    fn serves(&self, project: &ProjectName, target: &StatusTarget) -> bool {
        let below = |path: &str| path.is_empty() || path.starts_with('/');
        self.project.as_ref().is_none_or(|own| own == project)
            && self.origin == target.api_url.parsed().origin()
            && (self.prefix.is_empty() || target.repository.strip_prefix(&self.prefix).is_some_and(below))
    }
}

/// All token files. The most specific one is used: one of the project's own comes first, then the one with
/// the longest prefix.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TokenFiles(Vec<TokenFile>);

impl TokenFiles {
    /// Creates the set of these files.
    pub fn new(mut files: Vec<TokenFile>) -> Self {
        files.sort_by_key(|file| (file.project.is_none(), usize::MAX - file.prefix.len()));
        Self(files)
    }

    /// Returns the token for a commit status. The error is half a sentence and contains no path.
    pub(super) async fn of(
        &self,
        project: &ProjectName,
        target: &StatusTarget,
    ) -> Result<SecretString, String> {
        let file = self.0.iter().find(|file| file.serves(project, target));
        let file =
            file.ok_or_else(|| "there is no token for this host, project and repository".to_owned())?;
        let read = async {
            let size = tokio::fs::metadata(&file.file).await?.len();
            if size > MOST {
                return Err(std::io::ErrorKind::FileTooLarge.into());
            }
            tokio::fs::read_to_string(&file.file).await
        };
        match read.await {
            Ok(text) if !text.trim().is_empty() => Ok(SecretString::from(text.trim())),
            Ok(_) => Err("its token file is empty".to_owned()),
            Err(error) => {
                tracing::warn!(file = %file.file.display(), %error, "a token for commit statuses cannot be read");
                Err("its token file cannot be read".to_owned())
            }
        }
    }
}
