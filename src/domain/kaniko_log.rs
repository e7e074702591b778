//! Reads kaniko's log: which phase it has reached, and what its last words mean.
