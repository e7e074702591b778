//! What `slipway fetch-context` is called with: read by the command, written by the manifest.

use std::path::PathBuf;

use crate::domain::archive::Limits;

/// The variable that holds the token: an argument would be seen by everybody on the machine.
pub const TOKEN_VARIABLE: &str = "SLIPWAY_CONTEXT_TOKEN";

/// Fetches a build context and unpacks it. The token, if one is needed, is in SLIPWAY_CONTEXT_TOKEN.
#[derive(Debug, Clone, PartialEq, Eq, clap::Args)]
pub struct FetchContextArgs {
    /// Where the tar.gz archive is.
    #[arg(long)]
    pub url: url::Url,
    /// The folder to unpack into; made if it is not there, and refused if it is not empty.
    #[arg(long)]
    pub dir: PathBuf,
    /// The SHA-256 that the archive must have, in hexadecimal.
    #[arg(long)]
    pub sha256: Option<String>,
    /// What the archive may hold.
    #[command(flatten)]
    pub limits: LimitArgs,
}

/// How much an archive may hold.
#[derive(Debug, Clone, PartialEq, Eq, clap::Args)]
pub struct LimitArgs {
    /// Bytes, packed and unpacked.
    #[arg(long, default_value_t = Limits::default().expanded_bytes)]
    pub max_bytes: u64,
    /// Files, folders and links.
    #[arg(long, default_value_t = Limits::default().entries)]
    pub max_entries: u64,
    /// How many times larger than packed it may become.
    #[arg(long, default_value_t = Limits::default().ratio)]
    pub max_ratio: u64,
    /// Bytes in one path.
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
    /// The command's arguments, its own name first.
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
