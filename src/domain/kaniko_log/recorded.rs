//! Logs of the real kaniko.
