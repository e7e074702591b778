//! Changes as the audit log has them.

use jiff::Timestamp;
use serde_json::Value;

use super::{Actor, ProjectName};

/// A change of what administrators and projects settle. `before` and `after` hold no secret.
#[derive(Debug, Clone, PartialEq)]
pub struct Change<'a> {
    /// What happened, such as `token.created`: a noun, a dot, and what became of it.
    pub action: &'static str,
    /// The project that it belongs to.
    pub project: Option<&'a ProjectName>,
    /// The name or id of what was changed.
    pub subject: String,
    /// As it was; absent where it was not there.
    pub before: Option<Value>,
    /// As it is now; absent where it is gone.
    pub after: Option<Value>,
}

/// A change that is recorded.
#[derive(Debug, Clone, PartialEq)]
pub struct AuditEntry {
    /// Grows from entry to entry.
    pub id: i64,
    /// When.
    pub at: Timestamp,
    /// Who.
    pub actor: Actor,
    /// What happened.
    pub action: String,
    /// The project that it belongs to, by its name then.
    pub project: Option<String>,
    /// The name or id of what was changed.
    pub subject: String,
    /// As it was.
    pub before: Option<Value>,
    /// As it is since then.
    pub after: Option<Value>,
}
