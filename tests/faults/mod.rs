//! What is promised, under faults: two or three service processes on a real cluster and a Postgres of their own, to
//! which things are done. Run by `make test-cluster`, several stories at a time.

#[path = "../support/cluster.rs"]
mod cluster;
#[path = "../support/port.rs"]
mod port;
#[path = "../support/postgres.rs"]
mod postgres;
#[path = "../support/registry.rs"]
mod registry;
#[path = "../support/service.rs"]
mod service;

mod invariants;
mod ledger;
mod proxy;
mod wire;
mod world;

mod api_server;
mod builds;
mod cancels;
mod database;
mod launches;
mod random;
mod the_cluster;
