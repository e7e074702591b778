//! Slipway: an HTTP build queue behind a private registry.
//!
//! Requests arrive over [`api`] and are queued in Postgres ([`store`]). The [`dispatcher`] launches each as
//! one kaniko Job through a [`launcher`], and records its outcome. `ARCHITECTURE.md` describes the whole
//! design.

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
