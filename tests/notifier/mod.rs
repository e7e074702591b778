//! What goes out: real HTTP, a real Postgres, and an implementation of Standard Webhooks that is not ours.

mod crashes;
mod endpoints;
mod guard;
mod receiver;
mod statuses;
mod troubles;
mod world;
