//! Jobs and Pods as a cluster may show them, and what they amount to. The recorded ones are in `classify.rs`.

mod attempts;
mod jobs;
mod pods;
mod scene;
mod waiting;
