//! Names that resolve to internal addresses.

use std::{
    io,
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use futures::future::BoxFuture;
use jiff::Timestamp;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use super::{
    client::{Answer, Request, guarded, send},
    guard::{Guard, Lookup},
};
use crate::domain::inside::Reachable;

/// Resolver that returns other addresses each time, as in DNS rebinding.
struct Rebinding {
    answers: Vec<Vec<IpAddr>>,
    asked: AtomicUsize,
}

impl Lookup for Rebinding {
    fn addresses(&self, _: String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> {
        let nth = self.asked.fetch_add(1, Ordering::SeqCst);
        let answer = self.answers[nth % self.answers.len()].clone();
        Box::pin(async move { Ok(answer) })
    }
}

/// Server that counts its connections.
async fn server() -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let dialled = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&dialled);
    tokio::spawn(async move {
        while let Ok((mut connection, _)) = listener.accept().await {
            count.fetch_add(1, Ordering::SeqCst);
            let _ = connection.read(&mut [0; 4096]).await;
            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
            let _ = connection.write_all(answer).await;
        }
    });
    (port, dialled)
}

async fn call(answers: &[&[&str]], allowed: &[&str], port: u16) -> (Result<Answer, String>, usize) {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let parsed = |text: &&str| text.parse().unwrap();
    let lookup = Arc::new(Rebinding {
        answers: answers
            .iter()
            .map(|one| one.iter().map(parsed).collect())
            .collect(),
        asked: AtomicUsize::new(0),
    });
    let reachable = Reachable::with(allowed.iter().map(|net| net.parse().unwrap()).collect());
    let http = guarded(Guard::with(reachable.clone(), lookup.clone())).unwrap();
    let request = Request {
        url: format!("http://name.example:{port}/").parse().unwrap(),
        headers: http::HeaderMap::new(),
        body: b"{}".to_vec(),
    };
    let answer = send(&http, &reachable, request, Timestamp::UNIX_EPOCH).await;
    (answer, lookup.asked.load(Ordering::SeqCst))
}

#[tokio::test]
async fn a_name_that_leads_inside_is_not_called() {
    let (port, dialled) = server().await;
    for inside in ["127.0.0.1", "::ffff:127.0.0.1", "169.254.169.254", "10.0.0.1"] {
        let (answer, asked) = call(&[&[inside]], &[], port).await;
        let error = answer.expect_err(inside);
        assert!(error.contains("may be called"), "{inside}: {error}");
        assert_eq!(asked, 1);
        // It is not called either if it is one address among others.
        let (answer, _) = call(&[&["192.0.2.1", inside]], &["192.0.2.0/24"], port).await;
        assert!(answer.expect_err(inside).contains("may be called"));
    }
    assert_eq!(dialled.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_name_is_asked_for_once_and_what_was_checked_is_called() {
    let (port, dialled) = server().await;
    // 127.0.0.2 was never checked: it would be the second answer.
    let (answer, asked) = call(&[&["127.0.0.1"], &["127.0.0.2"]], &["127.0.0.1/32"], port).await;
    let answer = answer.expect("it may be called");
    assert_eq!((answer.status.as_u16(), answer.body.as_str()), (200, "ok"));
    assert_eq!(asked, 1);
    assert_eq!(dialled.load(Ordering::SeqCst), 1);
}
