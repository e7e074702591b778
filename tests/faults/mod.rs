//! What is promised, under faults: two or three service processes on a real cluster and a Postgres of their own, to
//! which things are done. Run by `make test-cluster`, several stories at a time.

mod invariants;
mod ledger;
mod proxy;
mod wire;
pub mod world;

mod api_server;
mod builds;
mod cancels;
mod database;
mod launches;
mod random;
