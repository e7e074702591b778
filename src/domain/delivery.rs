//! Deliveries: inbound calls of triggers, and their results.

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

/// Result of a delivery as a whole. Stable names: clients may branch on them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = DeliveryVerdict)]
pub enum Verdict {
    /// At least one build was created.
    Built,
    /// Earlier deliveries requested everything that this one requests.
    Duplicate,
    /// Nothing is to be built: `reason` has the cause.
    Skipped,
    /// The delivery is not authentic or not accepted: `reason` has the cause.
    Refused,
}

impl Verdict {
    /// All verdicts.
    pub const ALL: [Self; 4] = [Self::Built, Self::Duplicate, Self::Skipped, Self::Refused];

    /// Returns the name used in the API and in the database.
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

/// Result for one ref and one rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Consequence {
    /// Branch or tag; null if no ref could be read.
    #[schema(required = true)]
    pub ref_type: Option<RefKind>,
    /// The ref's short name.
    #[schema(required = true, value_type = Option<String>)]
    pub ref_name: Option<String>,
    /// The commit, if it is known.
    #[schema(required = true)]
    pub commit: Option<CommitId>,
    /// The rule; null if no rule was applied.
    #[schema(required = true)]
    pub rule: Option<RuleName>,
    /// Destinations of the image.
    pub destinations: Vec<String>,
    /// The build that this delivery or an earlier one created.
    #[schema(required = true)]
    pub build_id: Option<BuildId>,
    /// Reason why no build was created, as a sentence.
    #[schema(required = true)]
    pub reason: Option<String>,
}

impl Consequence {
    /// Returns the consequence of a ref that leads to no build.
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

/// Stored headers of a delivery, by their names in lower case. None of them holds a secret.
pub type KeptHeaders = BTreeMap<String, String>;

/// Stored delivery.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredDelivery {
    /// Its identifier.
    pub id: DeliveryId,
    /// The trigger that was called.
    pub trigger: TriggerId,
    /// Time of arrival.
    pub received_at: Timestamp,
    /// The delivery's id on the host.
    pub host_id: Option<String>,
    /// The host's name of the event; empty if it was not read.
    pub event: String,
    /// Result of the delivery.
    pub verdict: Verdict,
    /// Reason for the result, if there is one.
    pub reason: Option<String>,
    /// Result for each ref and rule.
    pub consequences: Vec<Consequence>,
    /// The delivery that this one repeats on request.
    pub replay_of: Option<DeliveryId>,
    /// The earlier delivery with the same id on the host.
    pub duplicate_of: Option<DeliveryId>,
}

/// Content of a delivery, kept for inspection and replay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrived {
    /// The stored headers.
    pub headers: KeptHeaders,
    /// The body; `None` if the delivery was not verified.
    pub body: Option<Vec<u8>>,
}
