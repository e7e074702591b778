//! Lists, logs, contexts, figures.

use super::*;
use crate::domain::{AttemptSeen, ContextId, Source, State};

async fn ids(store: &Store, filter: &BuildFilter) -> Vec<BuildId> {
    let builds = store.builds(filter, None, 100).await.unwrap();
    builds.into_iter().map(|build| build.id).collect()
}

#[sqlx::test]
async fn a_list_goes_from_the_newest_to_the_oldest_page_by_page(pool: PgPool) {
    let store = store(&pool);
    let mut made = Vec::new();
    for _ in 0..5 {
        made.push(queued(&store, "team", 0).await);
    }
    made.reverse();
    let mut seen = Vec::new();
    let mut before = None;
    loop {
        let page = store.builds(&BuildFilter::default(), before, 2).await.unwrap();
        seen.extend(page.iter().map(|build| build.id));
        match page.last() {
            Some(last) if page.len() == 2 => before = Some(last.id),
            _ => break,
        }
    }
    assert_eq!(seen, made);
}

#[sqlx::test]
async fn filters_narrow_a_list(pool: PgPool) {
    let store = store(&pool);
    let other = queued(&store, "other", 0).await;
    let running = running(&store, "team").await;
    let mut tagged = new_build("team");
    let Source::Git(git) = &mut tagged.spec.source else {
        panic!("a git source")
    };
    git.reference = Some("v1".parse().unwrap());
    tagged.spec.destinations =
        serde_json::from_value(serde_json::json!(["registry.example.com/team/lib:v1"])).unwrap();
    let tagged = created(&store, tagged).await;

    let all = BuildFilter::default;
    let team = Some("team".parse().unwrap());
    let repository = |name: &str| Some(format!("registry.example.com/team/{name}"));
    assert_eq!(ids(&store, &all()).await, [tagged.id, running, other]);
    assert_eq!(
        ids(
            &store,
            &BuildFilter {
                project: team.clone(),
                ..all()
            }
        )
        .await,
        [tagged.id, running]
    );
    assert_eq!(
        ids(
            &store,
            &BuildFilter {
                project: Some("no".parse().unwrap()),
                ..all()
            }
        )
        .await,
        []
    );
    assert_eq!(
        ids(
            &store,
            &BuildFilter {
                repository: repository("lib"),
                ..all()
            }
        )
        .await,
        [tagged.id]
    );
    assert_eq!(
        ids(
            &store,
            &BuildFilter {
                repository: repository("li"),
                ..all()
            }
        )
        .await,
        []
    );
    assert_eq!(
        ids(
            &store,
            &BuildFilter {
                git_ref: Some("v1".to_owned()),
                ..all()
            }
        )
        .await,
        [tagged.id]
    );
    for (states, expected) in [
        (vec![State::Running], vec![running]),
        // The claim of the running build took the other one along.
        (vec![State::Launching, State::Running], vec![running, other]),
        (vec![State::Queued, State::Running], vec![tagged.id, running]),
        (vec![State::Failed], vec![]),
    ] {
        assert_eq!(
            ids(
                &store,
                &BuildFilter {
                    states: states.clone(),
                    ..all()
                }
            )
            .await,
            expected,
            "{states:?}"
        );
    }
    let moment = Some(tagged.created_at);
    assert_eq!(
        ids(
            &store,
            &BuildFilter {
                created_from: moment,
                ..all()
            }
        )
        .await,
        [tagged.id]
    );
    assert_eq!(
        ids(
            &store,
            &BuildFilter {
                created_before: moment,
                ..all()
            }
        )
        .await,
        [running, other]
    );
    let far = |text: &str| Some(text.parse().unwrap());
    assert_eq!(
        ids(
            &store,
            &BuildFilter {
                created_before: far("0001-01-01T00:00:00Z"),
                ..all()
            }
        )
        .await,
        []
    );
    assert_eq!(
        ids(
            &store,
            &BuildFilter {
                created_from: far("9999-12-30T00:00:00Z"),
                ..all()
            }
        )
        .await,
        []
    );
    assert_eq!(
        ids(
            &store,
            &BuildFilter {
                created_from: far("0001-01-01T00:00:00Z"),
                ..all()
            }
        )
        .await
        .len(),
        3
    );
}

async fn attempt(store: &Store, name: &str) -> BuildId {
    let id = running(store, "team").await;
    let pod = AttemptSeen {
        name: name.to_owned(),
        node: None,
        started_at: None,
        finished_at: None,
        exit_code: None,
        failure: None,
        running: true,
        succeeded: false,
    };
    store
        .observe(
            id,
            &Outcome::Running {
                phase: Phase::Building,
            },
            &[pod],
            0,
        )
        .await
        .unwrap();
    id
}

/// A log's state, and a stretch of it that is in the database.
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

async fn uploaded(store: &Store, project: &ProjectName, size: u64, sha256: [u8; 32]) -> Context {
    let id = ContextId::generate();
    store.begin_context(id).await.unwrap();
    let added = store.add_context(id, project, size, sha256).await.unwrap();
    added.expect("it was begun")
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
async fn a_context_is_open_to_its_builds_token_while_the_build_lives(pool: PgPool) {
    let store = store(&pool);
    let team: ProjectName = "team".parse().unwrap();
    let context = uploaded(&store, &team, 42, [3; 32]).await;
    let read = store.context(context.id).await.unwrap().unwrap();
    assert_eq!(
        (read.project, read.size, read.sha256),
        (team.clone(), 42, [3; 32])
    );
    assert_eq!(read.created_at, context.created_at);
    assert!(store.context(ContextId::generate()).await.unwrap().is_none());
    uploaded(&store, &team, 1, [4; 32]).await;

    let id = running(&store, "team").await;
    store.grant_context(context.id, id, [9; 32]).await.unwrap();
    store.grant_context(context.id, id, [9; 32]).await.unwrap();
    assert!(store.may_read_context(context.id, [9; 32]).await.unwrap());
    assert!(!store.may_read_context(context.id, [8; 32]).await.unwrap());
    assert!(
        !store
            .may_read_context(ContextId::generate(), [9; 32])
            .await
            .unwrap()
    );
    store
        .finish(id, &Outcome::Succeeded { digest: None }, &[], 0)
        .await
        .unwrap();
    assert!(!store.may_read_context(context.id, [9; 32]).await.unwrap());
}

#[sqlx::test]
async fn the_depth_of_the_queue_is_counted(pool: PgPool) {
    let store = store(&pool);
    let id = running(&store, "team").await;
    running(&store, "team").await;
    store.cancel(id).await.unwrap();
    queued(&store, "team", 0).await;
    queued(&store, "other", 5).await;
    let depth = store.queue_depth().await.unwrap();
    assert_eq!(
        depth,
        QueueDepth {
            queued: 2,
            launching: 0,
            running: 1,
            cancelling: 1
        }
    );
    assert!(store.pool_status().size > 0);
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
    // The same length was stored, out of more or less of the container's log; or something else altogether.
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
