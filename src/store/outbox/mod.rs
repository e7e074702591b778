//! Outbox: notifications for webhook endpoints and commit statuses for git hosts. The database fills it in
//! the transactions that change builds (`tell_of_builds`); this module empties it.
//!
//! A claim is a fencing token and a `next_try_at` in the future. If the claiming process dies, another one
//! claims after that time, and a late write has no valid token. For the same build and target, a later
//! notification waits for the earlier one.

pub(super) mod claim;
mod list;
mod load;
mod record;
mod request;

pub use self::{
    claim::ClaimLimits,
    list::{Notification, NotificationState, Try},
    load::{Due, DueBuild, Recipient, ToEndpoint},
    record::{TryOutcome, TrySeen},
};
