//! Logs, piece by piece, with several writers and readers.

use super::*;

async fn attempt(store: &Store, name: &str) -> BuildId {
    let id = running(store, "team").await;
    store
        .observe(
            id,
            &Outcome::Running {
                phase: Phase::Building,
            },
            &[running_pod(name)],
            0,
        )
        .await
        .unwrap();
    id
}

/// Returns a log's state, and a range of it from the database.
async fn slice(
    store: &Store,
    id: BuildId,
    attempt: u32,
    offset: u64,
    limit: u32,
) -> Option<(LogState, Vec<u8>)> {
    match store.log_from(id, attempt, offset, limit).await.unwrap()? {
        (state, LogBytes::Here(bytes)) => Some((state, bytes)),
        other => panic!("not in the database: {other:?}"),
    }
}

#[sqlx::test]
async fn a_log_has_no_gap_and_no_repeat_whoever_writes_it(pool: PgPool) {
    let store = store(&pool);
    let id = attempt(&store, "pod").await;
    let line = b"hello, world\n";
    assert!(store.append_log(id, "pod", 0, &line[..5]).await.unwrap());
    assert!(
        !store.append_log(id, "pod", 6, &line[6..]).await.unwrap(),
        "a gap"
    );
    assert!(
        store.append_log(id, "pod", 0, &line[..5]).await.unwrap(),
        "known already"
    );
    assert!(
        store.append_log(id, "pod", 3, &line[3..9]).await.unwrap(),
        "known in part"
    );
    let (a, b) = tokio::join!(
        store.append_log(id, "pod", 9, &line[9..]),
        store.append_log(id, "pod", 9, &line[9..])
    );
    assert!(a.unwrap() && b.unwrap());
    assert_eq!(store.log_length(id, "pod").await.unwrap(), line.len() as u64);
    let whole = slice(&store, id, 1, 0, 1000).await.unwrap();
    assert_eq!(
        (whole.1.as_slice(), whole.0.total, whole.0.complete),
        (&line[..], 13, false)
    );
    for from in 0..=13 {
        for limit in 0..=13 {
            let slice = slice(&store, id, 1, from as u64, limit).await.unwrap();
            assert_eq!(
                slice.1,
                line[from..]
                    .iter()
                    .take(limit as usize)
                    .copied()
                    .collect::<Vec<_>>()
            );
        }
    }
    assert!(slice(&store, id, 1, 99, 10).await.unwrap().1.is_empty());
    store.complete_log(id, "pod").await.unwrap();
    assert!(slice(&store, id, 1, 0, 1).await.unwrap().0.complete);
    assert!(slice(&store, id, 2, 0, 1).await.is_none());
    assert!(slice(&store, BuildId::generate(), 1, 0, 1).await.is_none());
    assert_eq!(store.attempts(id).await.unwrap()[0].log_bytes, 13);
}

#[sqlx::test]
async fn a_long_log_is_read_from_the_middle(pool: PgPool) {
    let store = store(&pool);
    let id = attempt(&store, "pod").await;
    let bytes: Vec<u8> = (0..1_000_000_u32)
        .map(|n| u8::try_from(n / 7 % 251).unwrap())
        .collect();
    assert!(store.append_log(id, "pod", 0, &bytes).await.unwrap());
    let slice = slice(&store, id, 1, 500_000, 300_000).await.unwrap();
    assert_eq!(slice.1, bytes[500_000..800_000]);
    let stored: i64 = sqlx::query_scalar("SELECT sum(octet_length(body))::bigint FROM log_chunks")
        .fetch_one(&pool)
        .await
        .unwrap();
    assert!(stored < 100_000, "{stored}");
}

#[sqlx::test]
async fn a_writer_that_is_out_of_step_stores_nothing(pool: PgPool) {
    use crate::domain::log::SourceMark;
    let store = store(&pool);
    let id = queued(&store, "team", 0).await;
    let source = |bytes, cut, key| SourceMark { bytes, cut, key };
    let begin = LogEnd::default();
    assert_eq!(store.log_end(id, "pod").await.unwrap(), begin);
    let after_one = source(10, true, false);
    assert!(
        store
            .append_kept(id, "pod", begin, b"***\n", after_one)
            .await
            .unwrap()
    );
    let one = LogEnd {
        bytes: 4,
        source: after_one,
    };
    assert_eq!(store.log_end(id, "pod").await.unwrap(), one);
    // The same length was stored from more or less of the container's log, or something else was stored.
    for end in [
        begin,
        LogEnd { bytes: 4, ..begin },
        LogEnd { bytes: 3, ..one },
        LogEnd {
            bytes: 4,
            source: source(11, false, false),
        },
    ] {
        let late = store
            .append_kept(id, "pod", end, b"late", source(20, false, false))
            .await;
        assert!(!late.unwrap(), "{end:?}");
    }
    let after_two = source(30, false, true);
    let (a, b) = tokio::join!(
        store.append_kept(id, "pod", one, b"two\n", after_two),
        store.append_kept(id, "pod", one, b"two\n", after_two)
    );
    assert!(a.unwrap() != b.unwrap(), "one of two is late");
    assert_eq!(store.log_end(id, "pod").await.unwrap().source, after_two);
    assert_eq!(store.stored_log(id, "pod", 0, 100).await.unwrap(), b"***\ntwo\n");
}
