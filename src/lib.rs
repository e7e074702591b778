//! Slipway: an HTTP build queue behind a private registry.
//!
//! Requests come in over [`api`], wait in Postgres ([`store`]), are launched by the [`dispatcher`] through a
//! [`launcher`] as one kaniko Job each, and end with a recorded outcome. `ARCHITECTURE.md` has the whole picture.

pub mod api;
pub mod app;
pub mod blobs;
pub mod cli;
pub mod client;
pub mod config;
pub mod dispatcher;
pub mod domain;
pub mod launcher;
pub mod notifier;
pub mod retention;
pub mod shutdown;
pub mod store;
pub mod telemetry;
pub mod webhooks;
