//! Tests that need no cluster: each module is a suite, run alone by its prefix (`make test ARGS=api::builds`).
//!
//! They are one program, so that the library is linked once. What belongs to a whole process is set once for all of
//! them, in `support::process`.

mod api;
mod architecture;
mod classify;
mod cli;
mod deploy;
mod dispatcher;
mod engine;
mod fuzz;
mod kaniko_log;
mod notifier;
mod outage;
mod outcome;
mod support;
mod webhooks;
