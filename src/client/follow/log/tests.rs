use std::sync::{Arc, Mutex};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use super::*;
use crate::client::base_url;

const ID: &str = "01890a5d-ac96-774b-bcce-b302099a8057";

/// A service that follows a script: each connection is answered once, then closed, and the requests are kept.
struct Script {
    client: Client,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Script {
    async fn plays(answers: Vec<Vec<u8>>) -> Self {
        // Fails only where a provider is installed already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let address = listener.local_addr().expect("it has an address");
        let asked = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&asked);
        tokio::spawn(async move {
            for answer in answers {
                let (mut socket, _) = listener.accept().await.expect("a client comes");
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(socket.read_u8().await.expect("a request"));
                }
                let head = String::from_utf8(head).expect("a head is text");
                let line = head.lines().next().unwrap_or_default().to_owned();
                let last = head
                    .lines()
                    .find(|line| line.to_ascii_lowercase().starts_with("last-event-id"));
                let line = format!("{line} {}", last.unwrap_or_default());
                let line = line.replace(" HTTP/1.1", "").replace(ID, "ID");
                kept.lock()
                    .expect("no test panicked")
                    .push(line.trim().to_owned());
                socket.write_all(&answer).await.expect("the client listens");
            }
        });
        let server = base_url(&format!("http://{address}")).expect("an address");
        Self {
            client: Client::new(server, None).expect("a client"),
            asked,
        }
    }

    fn follower(&self, start: LogStart) -> LogFollower {
        let id = ID.parse().expect("an id");
        LogFollower::with_patience(self.client.clone(), id, start, Duration::from_secs(5))
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().expect("no test panicked").clone()
    }
}

fn events(events: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n{events}")
        .into_bytes()
}

fn log(attempt: u32, offset: u64, text: &str, end: u64) -> String {
    let data = serde_json::json!({"attempt": attempt, "offset": offset, "text": text});
    format!("event: log\nid: {end}\ndata: {data}\n\n")
}

fn attempt(number: u32) -> String {
    format!("event: attempt\ndata: {{\"attempt\":{number}}}\n\n")
}

fn end(attempt: u32, offset: u64, next: Option<u32>, state: &str) -> String {
    let data =
        serde_json::json!({"attempt": attempt, "offset": offset, "next_attempt": next, "build_state": state});
    format!("event: end\ndata: {data}\n\n")
}

fn slice(attempt: u32, offset: u64, bytes: &[u8], complete: bool) -> Vec<u8> {
    let total = offset + bytes.len() as u64;
    let mut answer = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\nConnection: close\r\n\
         Slipway-Log-Attempt: {attempt}\r\nSlipway-Log-Offset: {offset}\r\nSlipway-Log-Total: {total}\r\n\
         Slipway-Log-Complete: {complete}\r\n\r\n",
        bytes.len()
    )
    .into_bytes();
    answer.extend_from_slice(bytes);
    answer
}

fn json(body: &serde_json::Value) -> Vec<u8> {
    let body = body.to_string();
    format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

fn unavailable() -> Vec<u8> {
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".to_vec()
}

/// Everything that is told, in few words.
async fn all(mut follower: LogFollower) -> Vec<String> {
    let mut told = Vec::new();
    while let Some(item) = follower.next().await.expect("it goes on") {
        told.push(match item {
            LogItem::Attempt(number) => format!("attempt {number}"),
            LogItem::Piece { offset, bytes, .. } => format!("{offset}: {}", bytes.escape_ascii()),
            LogItem::Lost(_) => "lost".to_owned(),
            LogItem::Resumed => "resumed".to_owned(),
        });
    }
    told
}

#[tokio::test]
async fn a_broken_stream_goes_on_where_it_broke() {
    let begun = attempt(1) + &log(1, 0, "one\n", 4) + ": alive\n\n" + &log(1, 4, "two\n", 8);
    // The second connection breaks within an event, the third is refused for a while.
    let torn = attempt(1) + &log(1, 8, "three\n", 14) + "event: log\nid: 19\ndata: {\"attempt\":1,";
    let rest = attempt(1) + &log(1, 14, "four\n", 19) + &end(1, 19, None, "succeeded");
    let script = Script::plays(vec![
        events(&begun),
        events(&torn),
        unavailable(),
        unavailable(),
        events(&rest),
    ])
    .await;
    let told = all(script.follower(LogStart::Latest)).await;
    assert_eq!(
        told,
        [
            "attempt 1",
            "0: one\\n",
            "4: two\\n",
            "8: three\\n",
            "lost",
            "resumed",
            "14: four\\n"
        ]
    );
    assert_eq!(
        script.asked(),
        [
            "GET /api/v1/builds/ID/logs",
            "GET /api/v1/builds/ID/logs?attempt=1 last-event-id: 8",
            "GET /api/v1/builds/ID/logs?attempt=1 last-event-id: 14",
            "GET /api/v1/builds/ID/logs?attempt=1 last-event-id: 14",
            "GET /api/v1/builds/ID/logs?attempt=1 last-event-id: 14",
        ]
    );
}

#[tokio::test]
async fn all_attempts_are_followed_from_the_first() {
    let script = Script::plays(vec![
        events(&attempt(2)),
        events(&(attempt(1) + &log(1, 0, "a", 1) + &end(1, 1, Some(2), "running"))),
        events(&(attempt(2) + &log(2, 0, "b", 1) + &end(2, 1, None, "failed"))),
    ])
    .await;
    let told = all(script.follower(LogStart::First)).await;
    assert_eq!(told, ["attempt 1", "0: a", "attempt 2", "0: b"]);
    assert_eq!(script.asked()[2], "GET /api/v1/builds/ID/logs?attempt=2");
}

#[tokio::test]
async fn one_attempt_may_be_all_that_is_wanted() {
    let script = Script::plays(vec![events(&(attempt(1) + &end(1, 0, Some(2), "running")))]).await;
    let start = LogStart::At {
        attempt: 1,
        offset: 0,
        on: false,
    };
    assert_eq!(all(script.follower(start)).await, ["attempt 1"]);
}

#[tokio::test]
async fn what_comes_twice_is_told_once_and_what_is_missing_is_read() {
    let twice = attempt(1) + &log(1, 0, "one\n", 4) + &log(1, 0, "one\n", 4) + &log(1, 2, "e\ntwo\n", 8);
    let script = Script::plays(vec![
        events(&(twice + &log(1, 12, "four\n", 17) + &end(1, 17, None, "succeeded"))),
        slice(1, 4, b"two\n", false),
        slice(1, 8, b"3!!\nfour\n", false),
    ])
    .await;
    let told = all(script.follower(LogStart::Latest)).await;
    assert_eq!(told, ["attempt 1", "0: one\\n", "4: two\\n", "8: 3!!\\nfour\\n"]);
    assert_eq!(
        script.asked()[1..],
        [
            "GET /api/v1/builds/ID/logs?attempt=1&offset=4&limit=4",
            "GET /api/v1/builds/ID/logs?attempt=1&offset=8&limit=9",
        ]
    );
}

#[tokio::test]
async fn characters_that_the_events_cannot_hold_are_read_as_they_are() {
    let broken = attempt(1) + &log(1, 0, "a\u{fffd}b", 3) + &end(1, 3, None, "succeeded");
    let script = Script::plays(vec![events(&broken), slice(1, 0, b"a\xffb", true)]).await;
    assert_eq!(
        all(script.follower(LogStart::Latest)).await,
        ["attempt 1", "0: a\\xffb"]
    );
}

#[tokio::test]
async fn a_service_without_events_is_asked_again_and_again() {
    let build = |state: &str, attempts: &[u32]| {
        let attempts: Vec<_> = attempts
            .iter()
            .map(|number| serde_json::json!({"number": number, "name": "x", "state": "failed"}))
            .collect();
        json(&serde_json::json!({
            "id": ID, "project": "demo", "state": state, "retries": 0, "created_at": "2026-11-24T09:57:30Z",
            "spec": {"source": {}, "dockerfile": "Dockerfile", "destinations": []}, "attempts": attempts,
        }))
    };
    let script = Script::plays(vec![
        slice(1, 0, b"ignored", false),
        slice(1, 0, b"one\n", false),
        slice(1, 0, b"one\n", false),
        slice(1, 4, b"", true),
        build("running", &[1, 2]),
        slice(2, 0, b"two\n", true),
        slice(2, 4, b"", true),
        build("failed", &[1, 2]),
    ])
    .await;
    let told = all(script.follower(LogStart::Latest)).await;
    assert_eq!(told, ["attempt 1", "0: one\\n", "attempt 2", "0: two\\n"]);
}

#[tokio::test]
async fn a_build_that_does_not_exist_is_an_error_at_once() {
    let body = r#"{"status":404,"code":"not_found","title":"There is nothing here"}"#;
    let not_found = format!(
        "HTTP/1.1 404 Not Found\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    let script = Script::plays(vec![not_found.clone().into_bytes(), not_found.into_bytes()]).await;
    let error = script
        .follower(LogStart::Latest)
        .next()
        .await
        .expect_err("it is an error");
    assert!(matches!(error, ClientError::Problem(problem) if problem.code == "not_found"));
}

#[tokio::test]
async fn a_service_that_never_comes_back_is_given_up() {
    let script = Script::plays(vec![events(&attempt(1))]).await;
    let id = ID.parse().expect("an id");
    let mut follower = LogFollower::with_patience(
        script.client.clone(),
        id,
        LogStart::Latest,
        Duration::from_millis(300),
    );
    let told = loop {
        match follower.next().await {
            Ok(Some(LogItem::Lost(_) | LogItem::Attempt(1))) => {}
            other => break other,
        }
    };
    assert!(matches!(told, Err(ClientError::Unreachable { .. })), "{told:?}");
}
