//! Builds as Kubernetes Jobs.
