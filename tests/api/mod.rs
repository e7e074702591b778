//! The REST API as its clients meet it: through the router, on a real Postgres.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod builds;
mod contexts;
mod cut;
mod endpoints;
mod events;
mod following;
mod guards;
mod harness;
mod health;
mod histories;
mod hooks;
mod input;
mod listener;
mod logs;
mod outages;
mod projects;
mod queue;
mod quotas;
mod retention;
mod security;
mod statuses;
mod stream;
mod tenancy;
mod triggers;
mod waiting;
