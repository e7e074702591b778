//! Following a build: nothing is missed and nothing comes twice, whatever becomes of the connection.

mod build;
mod events;
mod log;

use std::time::Duration;

pub use self::{
    build::BuildWatch,
    events::{EventFollower, EventItem},
    log::{LogFollower, LogItem, LogStart},
};

/// How often a service that sends nothing by itself is asked.
const POLL: Duration = Duration::from_secs(1);
