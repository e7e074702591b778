//! Deliveries: what called a trigger, and what came of it.

use std::{collections::BTreeMap, fmt, str::FromStr};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    BuildId, DeliveryId, Invalid, TriggerId,
    git::CommitId,
    push::{NamedRef, RefKind},
    trigger::RuleName,
};

/// What came of a delivery as a whole. Stable names: clients may branch on them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = DeliveryVerdict)]
pub enum Verdict {
    /// At least one build was made.
    Built,
    /// All that it asks for was asked for before.
    Duplicate,
    /// There is nothing to build: the reason says why.
    Skipped,
    /// It was not believed, or not wanted: the reason says why.
    Refused,
}

impl Verdict {
    /// Every one.
    pub const ALL: [Self; 4] = [Self::Built, Self::Duplicate, Self::Skipped, Self::Refused];

    /// As the API and the database write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Built => "built",
            Self::Duplicate => "duplicate",
            Self::Skipped => "skipped",
            Self::Refused => "refused",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Verdict {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let found = Self::ALL.into_iter().find(|verdict| verdict.as_str() == text);
        found.ok_or_else(|| Invalid::new("must be one of built, duplicate, skipped, refused"))
    }
}

/// What came of one ref and one rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Consequence {
    /// Branch or tag; null where nothing could be read.
    #[schema(required = true)]
    pub ref_type: Option<RefKind>,
    /// The ref's short name.
    #[schema(required = true, value_type = Option<String>)]
    pub ref_name: Option<String>,
    /// The commit, where it is known.
    #[schema(required = true)]
    pub commit: Option<CommitId>,
    /// The rule; null where no rule came to it.
    #[schema(required = true)]
    pub rule: Option<RuleName>,
    /// Where the image goes.
    pub destinations: Vec<String>,
    /// The build that was made, or that had been made before.
    #[schema(required = true)]
    pub build_id: Option<BuildId>,
    /// Why no build was made, in a sentence.
    #[schema(required = true)]
    pub reason: Option<String>,
}

impl Consequence {
    /// Of a ref that leads to nothing.
    pub fn nothing(
        reference: Option<&NamedRef>,
        commit: Option<&CommitId>,
        reason: impl Into<String>,
    ) -> Self {
        Self {
            ref_type: reference.map(|reference| reference.kind),
            ref_name: reference.map(|reference| reference.name.to_string()),
            commit: commit.cloned(),
            rule: None,
            destinations: Vec::new(),
            build_id: None,
            reason: Some(reason.into()),
        }
    }
}

/// The headers that are kept of a delivery, by their names in lower case. No secret is among them.
pub type KeptHeaders = BTreeMap<String, String>;

/// A delivery as it is stored.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredDelivery {
    /// Its identifier.
    pub id: DeliveryId,
    /// What was called.
    pub trigger: TriggerId,
    /// When it arrived.
    pub received_at: Timestamp,
    /// The host's own id of it.
    pub host_id: Option<String>,
    /// The event as the host calls it; empty where it was not read.
    pub event: String,
    /// What came of it.
    pub verdict: Verdict,
    /// Why, where there is a reason.
    pub reason: Option<String>,
    /// What came of each ref and rule.
    pub consequences: Vec<Consequence>,
    /// The delivery that this one repeats on request.
    pub replay_of: Option<DeliveryId>,
    /// The delivery with the same host's id that came before it.
    pub duplicate_of: Option<DeliveryId>,
}

/// What arrived: kept to be read and replayed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrived {
    /// The headers that are kept.
    pub headers: KeptHeaders,
    /// The body; `None` of what was not believed.
    pub body: Option<Vec<u8>>,
}
