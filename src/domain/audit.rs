//! Changes that the audit log records.

use jiff::Timestamp;
use serde_json::Value;

use super::{Actor, ProjectName};

/// Change of limits, settings, tokens or other configuration. `before` and `after` hold no secret.
#[derive(Debug, Clone, PartialEq)]
pub struct Change<'a> {
    /// Name of the change, such as `token.created`: a noun, a dot and a participle.
    pub action: &'static str,
    /// Project that the change belongs to.
    pub project: Option<&'a ProjectName>,
    /// Name or id of the changed object.
    pub subject: String,
    /// State before the change; absent if the object was created.
    pub before: Option<Value>,
    /// State after the change; absent if the object was removed.
    pub after: Option<Value>,
}

/// Recorded change.
#[derive(Debug, Clone, PartialEq)]
pub struct AuditEntry {
    /// Identifier, which grows from entry to entry.
    pub id: i64,
    /// Time of the change.
    pub at: Timestamp,
    /// Author of the change.
    pub actor: Actor,
    /// Name of the change, such as `token.created`.
    pub action: String,
    /// Name that the change's project had at that time.
    pub project: Option<String>,
    /// Name or id of the changed object.
    pub subject: String,
    /// State before the change.
    pub before: Option<Value>,
    /// State after the change.
    pub after: Option<Value>,
}
