//! The launcher on a real cluster, with the real kaniko: run where `SLIPWAY_TEST_KUBECONFIG` names one
//! (`deploy/cluster/up.sh` makes one), with `cargo test --test kubernetes -- --ignored`.

#![expect(clippy::unwrap_used, reason = "what goes wrong in the harness fails the test")]

mod builds;
mod disruptions;
mod harness;
mod refusals;
mod speed;
mod uploads;
