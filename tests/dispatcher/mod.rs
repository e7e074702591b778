//! The dispatcher's stories, on a real Postgres and a cluster made of memory.

mod cancelling;
mod cluster;
mod crashes;
mod kept;
mod launching;
mod logs;
mod observing;
mod reconciling;
mod replicas;
mod stale;
mod steps;
mod world;
