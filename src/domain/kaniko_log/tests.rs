//! Words of kaniko's, of registries and of git hosts, and what they mean.
