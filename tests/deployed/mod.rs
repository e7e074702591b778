//! The service as its users have it, on a real cluster: a process under the deployment's ServiceAccount, in a
//! namespace made by the deployment's manifests. Run by `make test-cluster`.

mod by_hand;
mod case;
mod expected;
mod failures;
mod git;
mod isolated;
mod pod;
mod recorder;
mod refusing;
mod registries;
mod replicas;
mod report;
mod rights;
mod secrets;
mod sources;
mod waiting;
mod world;
