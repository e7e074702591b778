//! The whole way of a build on a real API server with a real Job controller, and a kubelet whose strings the tests
//! pull: quick and exact, where pods on a real node are neither. A control plane without any node is enough.

mod attempts;
mod cancelling;
mod cases;
mod chronicle;
mod deadlines;
mod deletions;
mod disruptions;
mod expecting;
mod invariants;
mod kubelet;
mod logs;
mod node;
mod nodes;
mod observing;
mod recorded;
mod setup;
mod waiting;
mod world;
