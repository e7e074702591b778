//! Every method, against a real Postgres.
