//! The launcher on a real cluster, with the real kaniko or the stand-in: `make test-cluster`.

#![expect(clippy::unwrap_used, reason = "what goes wrong in the harness fails the test")]

mod builds;
mod calls;
mod disruptions;
mod harness;
mod isolated;
mod refusals;
mod uploads;
