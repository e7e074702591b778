//! Follows a build without gaps and repetitions, even if connections break.

mod build;
mod events;
mod log;

use std::time::Duration;

pub use self::{
    build::BuildWatch,
    events::{EventFollower, EventItem},
    log::{LogFollower, LogItem, LogStart},
};

/// Interval of requests to a service that does not stream.
const POLL: Duration = Duration::from_secs(1);
