//! Errors of the database, distinguished by the reaction that they require.

/// The database, or a part of it, could not be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database does not answer, or no connection is free: try again later.
    #[error("the database is unavailable")]
    Unavailable(#[source] sqlx::Error),
    /// A query failed for another reason, which is a defect of this service.
    #[error("a query failed")]
    Query(#[source] sqlx::Error),
}

impl StoreError {
    /// Returns the error of an outage that sqlx has no error for.
    pub(super) fn unavailable(reason: impl Into<String>) -> Self {
        Self::Unavailable(sqlx::Error::Protocol(reason.into()))
    }

    /// Returns true if every other call would wait as long and fail in the same way. After a deadlock
    /// (`40P01`) Postgres aborts one of the two transactions, so the next call may succeed.
    pub(super) fn is_outage(&self) -> bool {
        match self {
            Self::Unavailable(sqlx::Error::Database(error)) => error.code().as_deref() != Some("40P01"),
            Self::Unavailable(_) => true,
            Self::Query(_) => false,
        }
    }

    /// Returns the error of a row whose values the domain does not allow.
    pub(super) fn unreadable(error: crate::domain::Invalid) -> Self {
        Self::Query(sqlx::Error::Decode(error.into()))
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        if passes(&error) {
            Self::Unavailable(error)
        } else {
            Self::Query(error)
        }
    }
}

impl From<sqlx::migrate::MigrateError> for StoreError {
    fn from(error: sqlx::migrate::MigrateError) -> Self {
        use sqlx::migrate::MigrateError::{Execute, ExecuteMigration};
        match error {
            Execute(error) | ExecuteMigration(error, _) => error.into(),
            other => Self::Query(sqlx::Error::Migrate(Box::new(other))),
        }
    }
}

/// Returns true if the same call may succeed later without a change of this service.
fn passes(error: &sqlx::Error) -> bool {
    use sqlx::Error as E;
    match error {
        E::Io(_) | E::Tls(_) | E::Protocol(_) | E::PoolTimedOut | E::PoolClosed | E::WorkerCrashed => true,
        // sqlx reports this for a BEGIN on a connection that was cut.
        E::BeginFailed => true,
        E::Database(error) => error.code().is_some_and(|code| code_passes(&code)),
        _ => false,
    }
}

/// Returns true if an error with this SQLSTATE is temporary.
fn code_passes(code: &str) -> bool {
    match code {
        // Read-only (a standby, during a failover); a lock was not available.
        "25006" | "55P03" => true,
        // Cancelled by a time-out; shutting down, crashed, starting up, dropped; idle session closed;
        // serialization failures and recovery conflicts; deadlocks.
        "57014" | "57P01" | "57P02" | "57P03" | "57P04" | "57P05" | "40001" | "40P01" => true,
        // Refused, lost or broken connections; too many connections, out of memory or disk.
        _ => code.starts_with("08") || code.starts_with("53"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lost_connections_and_failovers_pass_and_faults_of_ours_do_not() {
        for code in ["57P01", "57P03", "53300", "25006", "08006", "57014", "40P01"] {
            assert!(code_passes(code), "{code}");
        }
        for code in ["23505", "42P01", "42601", "22P05", "28P01"] {
            assert!(!code_passes(code), "{code}");
        }
        assert!(matches!(
            StoreError::from(sqlx::Error::PoolTimedOut),
            StoreError::Unavailable(_)
        ));
        assert!(matches!(
            StoreError::from(sqlx::Error::RowNotFound),
            StoreError::Query(_)
        ));
    }
}
