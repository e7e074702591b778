//! Arguments of `slipway fetch-context`, which the manifest writes and the command reads.

use std::path::PathBuf;

use crate::domain::archive::Limits;

/// Environment variable that holds the token: an argument would be visible to everybody on the machine.
pub const TOKEN_VARIABLE: &str = "SLIPWAY_CONTEXT_TOKEN";

/// Fetch a build context and unpack it; the token, if one is needed, is in SLIPWAY_CONTEXT_TOKEN
#[derive(Debug, Clone, PartialEq, Eq, clap::Args)]
pub struct FetchContextArgs {
    /// URL of the tar.gz archive
    #[arg(long)]
    pub url: url::Url,
    /// Folder to unpack into; created if it does not exist, refused if it is not empty
    #[arg(long)]
    pub dir: PathBuf,
    /// Expected SHA-256 of the archive, in hexadecimal
    #[arg(long)]
    pub sha256: Option<String>,
    /// Limits of the archive
    #[command(flatten)]
    pub limits: LimitArgs,
}

/// Limits of an archive.
#[derive(Debug, Clone, PartialEq, Eq, clap::Args)]
pub struct LimitArgs {
    /// Upper bound of bytes, packed as well as unpacked
    #[arg(long, default_value_t = Limits::default().expanded_bytes)]
    pub max_bytes: u64,
    /// Upper bound of files, folders and links
    #[arg(long, default_value_t = Limits::default().entries)]
    pub max_entries: u64,
    /// Upper bound of the unpacked size, as a multiple of the packed size
    #[arg(long, default_value_t = Limits::default().ratio)]
    pub max_ratio: u64,
    /// Upper bound of bytes in one path
    #[arg(long, default_value_t = Limits::default().path_bytes)]
    pub max_path_bytes: usize,
}

impl From<Limits> for LimitArgs {
    fn from(limits: Limits) -> Self {
        Self {
            max_bytes: limits.expanded_bytes,
            max_entries: limits.entries,
            max_ratio: limits.ratio,
            max_path_bytes: limits.path_bytes,
        }
    }
}

impl From<LimitArgs> for Limits {
    fn from(args: LimitArgs) -> Self {
        Self {
            expanded_bytes: args.max_bytes,
            entries: args.max_entries,
            ratio: args.max_ratio,
            path_bytes: args.max_path_bytes,
        }
    }
}

impl FetchContextArgs {
    /// Returns the command's arguments, its own name first.
    pub fn to_vector(&self) -> Vec<String> {
        let mut vector = vec![
            "fetch-context".to_owned(),
            format!("--url={}", self.url),
            format!("--dir={}", self.dir.display()),
        ];
        vector.extend(self.sha256.iter().map(|sha256| format!("--sha256={sha256}")));
        vector.extend([
            format!("--max-bytes={}", self.limits.max_bytes),
            format!("--max-entries={}", self.limits.max_entries),
            format!("--max-ratio={}", self.limits.max_ratio),
            format!("--max-path-bytes={}", self.limits.max_path_bytes),
        ]);
        vector
    }
}
