//! The outbox: what endpoints and git hosts are to be told. The database fills it in the transactions that change builds
//! (`tell_of_builds`); here it is emptied.
//!
//! A claim is a `next_try_at` in the future and a token: whoever claimed and died is followed by another when that time
//! has come, and whoever comes late has no token that counts. Of one build and target, a later notification waits for
//! the earlier one.

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
