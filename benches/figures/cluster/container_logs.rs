//! The logs of the puppet's containers, served as a kubelet serves them: over TLS, to the API server. Each container
//! has printed one line, and prints no more.

use std::{
    collections::HashSet,
    convert::Infallible,
    io,
    net::SocketAddr,
    process::Command,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use anyhow::{Result, ensure};
use axum::{
    Router,
    body::{Body, Bytes},
    extract::{Path, Query, State},
    response::{IntoResponse, Response},
    routing::get,
    serve::Listener,
};
use futures::{FutureExt, StreamExt, stream};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

const LINE: &[u8] = b"INFO[0000] Retrieving image manifest registry.example.com/base:1\n";

/// The pods whose containers run: their logs have no end yet.
#[derive(Clone, Default)]
pub struct Running(Arc<Pods>);

#[derive(Default)]
struct Pods {
    running: Mutex<HashSet<String>>,
    changed: watch::Sender<()>,
}

impl Running {
    fn pods(&self) -> MutexGuard<'_, HashSet<String>> {
        self.0.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A container begins.
    pub fn begin(&self, pod: &str) {
        self.pods().insert(pod.to_owned());
    }

    /// A container ends.
    pub fn end(&self, pod: &str) {
        self.pods().remove(pod);
        self.0.changed.send_replace(());
    }

    async fn ended(self, pod: String) {
        let mut changed = self.0.changed.subscribe();
        while self.pods().contains(&pod) {
            if changed.changed().await.is_err() {
                return;
            }
        }
    }
}

/// Serves on a free port; the port, and the task that serves.
pub async fn serve(running: Running) -> Result<(u16, JoinHandle<()>)> {
    let tcp = TcpListener::bind(("127.0.0.1", 0)).await?;
    let port = tcp.local_addr()?.port();
    let router = Router::new()
        .route("/containerLogs/{namespace}/{pod}/{container}", get(answer))
        .with_state(running);
    let listener = Tls {
        tcp,
        acceptor: acceptor()?,
    };
    let task = tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, router).await {
            eprintln!("the puppet's logs are served no more: {error}");
        }
    });
    Ok((port, task))
}

async fn answer(
    State(running): State<Running>,
    Path((_, pod, _)): Path<(String, String, String)>,
    Query(query): Query<std::collections::HashMap<String, String>>,
) -> Response {
    let line = stream::iter([Ok::<_, Infallible>(Bytes::from_static(LINE))]);
    if query.get("follow").is_some_and(|value| value == "true") {
        let end = running.ended(pod).map(|()| stream::empty()).flatten_stream();
        return Body::from_stream(line.chain(end)).into_response();
    }
    Body::from_stream(line).into_response()
}

struct Tls {
    tcp: TcpListener,
    acceptor: TlsAcceptor,
}

impl Listener for Tls {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            let Ok((stream, address)) = self.tcp.accept().await else {
                continue;
            };
            if let Ok(stream) = self.acceptor.accept(stream).await {
                return (stream, address);
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.tcp.local_addr()
    }
}

/// With a certificate made for this run: the API server does not look at a kubelet's unless it is told to.
fn acceptor() -> Result<TlsAcceptor> {
    let folder = tempfile::tempdir()?;
    let (key, certificate) = (folder.path().join("key"), folder.path().join("certificate"));
    let made = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
        ])
        .args(["-subj", "/CN=puppet", "-days", "2", "-keyout"])
        .arg(&key)
        .arg("-out")
        .arg(&certificate)
        .output()?;
    ensure!(
        made.status.success(),
        "openssl: {}",
        String::from_utf8_lossy(&made.stderr)
    );
    let certificate = CertificateDer::from_pem_file(certificate)?;
    let key = PrivateKeyDer::from_pem_file(key)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}
