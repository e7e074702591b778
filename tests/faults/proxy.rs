//! A proxy in front of an HTTP server, for one client: it passes calls on, or does to them what networks and servers
//! do at times.

use std::{
    convert::Infallible,
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::Poll,
    time::Duration,
};

use bytes::Bytes;
use futures::{Stream, StreamExt, TryStreamExt, stream};
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::{
    body::{Frame, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{mpsc, oneshot, watch},
    task::JoinHandle,
};

use crate::support::cluster;

/// Which calls are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Calls {
    All,
    /// The creation of a Job.
    Create,
    /// The beginning of a watch.
    Watch,
    /// The beginning of a watch of what came after this version, or an older one.
    OldWatch(u64),
    /// Every POST, of whatever server.
    Post,
}

/// What becomes of a call.
#[derive(Debug, Clone)]
pub enum Act {
    /// It is answered with this status, and goes no further.
    Answer(u16),
    /// A watch that is answered as an API server does when the version is too old: well, and then with an error.
    Expired,
    /// The connection breaks.
    Drop,
    /// Nothing comes, ever.
    Hang,
    /// It takes so much longer.
    Delay(Duration),
    /// It is passed on, and its answer is lost.
    LoseAnswer,
    /// It waits before it is passed on, for the test's word.
    HoldBefore(mpsc::UnboundedSender<Held>),
    /// It is passed on, and its answer waits for the test's word.
    HoldAfter(mpsc::UnboundedSender<Held>),
}

/// A call that is held, until this is dropped.
pub struct Held {
    _go: oneshot::Sender<()>,
}

struct Rule {
    calls: Calls,
    times: usize,
    act: Act,
}

/// What the answers that are being streamed do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Break {
    None,
    Cut,
    Freeze,
}

struct Sky {
    client: reqwest::Client,
    upstream: String,
    rules: Mutex<Vec<Rule>>,
    /// Of watches, and of all other answers.
    breaks: [watch::Sender<Break>; 2],
}

/// The proxy. Ends when dropped.
pub struct Proxy {
    url: String,
    sky: Arc<Sky>,
    task: JoinHandle<()>,
}

type Body = UnsyncBoxBody<Bytes, io::Error>;

impl Proxy {
    /// In front of the cluster's API server.
    pub async fn of_cluster() -> Self {
        let config = cluster::config().await;
        let roots = config.root_cert.clone().unwrap_or_default();
        let roots = roots
            .iter()
            .map(|der| reqwest::Certificate::from_der(der).expect("the cluster's certificate"));
        let client = reqwest::Client::builder()
            .no_proxy()
            .tls_certs_only(roots)
            .build()
            .expect("an HTTP client");
        Self::start(client, &config.cluster_url.to_string()).await
    }

    /// In front of a server of plain HTTP.
    pub async fn of(upstream: &str) -> Self {
        let client = reqwest::Client::builder()
            .no_proxy()
            .build()
            .expect("an HTTP client");
        Self::start(client, upstream).await
    }

    async fn start(client: reqwest::Client, upstream: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("it is bound"));
        let sky = Arc::new(Sky {
            client,
            upstream: upstream.trim_end_matches('/').to_owned(),
            rules: Mutex::default(),
            breaks: [watch::Sender::new(Break::None), watch::Sender::new(Break::None)],
        });
        let task = tokio::spawn(accept(listener, Arc::clone(&sky)));
        Self { url, sky, task }
    }

    /// Where it is called.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// From now on, this becomes of these calls. What was said last counts first.
    pub fn set(&self, calls: Calls, act: Act) {
        self.set_times(calls, usize::MAX, act);
    }

    /// This becomes of the next so many of these calls.
    pub fn set_times(&self, calls: Calls, times: usize, act: Act) {
        self.sky.rules().insert(0, Rule { calls, times, act });
    }

    /// The next of these calls is held before it is passed on (or after): it arrives here.
    pub fn hold(&self, calls: Calls, after: bool) -> mpsc::UnboundedReceiver<Held> {
        let (send, receive) = mpsc::unbounded_channel();
        let act = if after {
            Act::HoldAfter(send)
        } else {
            Act::HoldBefore(send)
        };
        self.set_times(calls, 1, act);
        receive
    }

    /// All calls are passed on again. What hangs goes on hanging.
    pub fn clear(&self) {
        self.sky.rules().clear();
    }

    /// Breaks off every answer that is being streamed.
    pub fn cut_streams(&self) {
        for breaks in &self.sky.breaks {
            breaks.send_replace(Break::Cut);
        }
    }

    /// Nothing more comes of any watch that goes on; its connection stays.
    pub fn freeze_watches(&self) {
        self.sky.breaks[0].send_replace(Break::Freeze);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Sky {
    fn rules(&self) -> MutexGuard<'_, Vec<Rule>> {
        self.rules.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn act(&self, request: &Request<Incoming>) -> Option<Act> {
        let mut rules = self.rules();
        let rule = rules
            .iter_mut()
            .find(|rule| rule.times > 0 && rule.calls.mean(request))?;
        rule.times -= 1;
        Some(rule.act.clone())
    }
}

impl Calls {
    fn mean(self, request: &Request<Incoming>) -> bool {
        let (method, uri) = (request.method(), request.uri());
        match self {
            Self::All => true,
            Self::Post => method == Method::POST,
            Self::Create => method == Method::POST && uri.path().ends_with("/jobs"),
            Self::Watch => uri.query().is_some_and(|query| query.contains("watch=true")),
            Self::OldWatch(newest) => {
                Self::Watch.mean(request) && version(request).is_some_and(|version| version <= newest)
            }
        }
    }
}

fn version(request: &Request<Incoming>) -> Option<u64> {
    let pairs = request.uri().query()?.split('&');
    let version = pairs
        .filter_map(|pair| pair.strip_prefix("resourceVersion="))
        .next()?;
    version.parse().ok()
}

async fn accept(listener: TcpListener, sky: Arc<Sky>) {
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let Ok((socket, _)) = listener.accept().await else {
            return;
        };
        connections.spawn(connection(socket, Arc::clone(&sky)));
        while connections.try_join_next().is_some() {}
    }
}

async fn connection(socket: TcpStream, sky: Arc<Sky>) {
    let service = service_fn(|request| answer(request, Arc::clone(&sky)));
    // A client that goes away, and an answer that was broken off on purpose, are what this is for.
    let _ = http1::Builder::new()
        .serve_connection(TokioIo::new(socket), service)
        .await;
}

/// An error breaks the connection.
async fn answer(request: Request<Incoming>, sky: Arc<Sky>) -> io::Result<Response<Body>> {
    let broken = || io::Error::from(io::ErrorKind::ConnectionReset);
    match sky.act(&request) {
        None => pass(request, sky).await,
        Some(Act::Answer(status)) => Ok(refusal(status)),
        Some(Act::Expired) => Ok(expired()),
        Some(Act::Drop) => Err(broken()),
        Some(Act::Hang) => std::future::pending().await,
        Some(Act::Delay(delay)) => {
            tokio::time::sleep(delay).await;
            pass(request, sky).await
        }
        Some(Act::LoseAnswer) => {
            pass(request, sky).await?;
            Err(broken())
        }
        Some(Act::HoldBefore(to)) => {
            hold(&to).await;
            pass(request, sky).await
        }
        Some(Act::HoldAfter(to)) => {
            let answer = pass(request, sky).await?;
            hold(&to).await;
            Ok(answer)
        }
    }
}

/// Tells the test, and waits for its word.
async fn hold(to: &mpsc::UnboundedSender<Held>) {
    let (go, wait) = oneshot::channel();
    let _ = to.send(Held { _go: go });
    let _ = wait.await;
}

/// Passes a call on, to its end: also when whoever called is killed meanwhile, as networks do.
async fn pass(request: Request<Incoming>, sky: Arc<Sky>) -> io::Result<Response<Body>> {
    let breaks = &sky.breaks[usize::from(!Calls::Watch.mean(&request))];
    let breaks = breaks.subscribe();
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    let mut headers = parts.headers;
    headers.remove(header::HOST);
    headers.remove(header::CONTENT_LENGTH);
    let call = sky
        .client
        .request(parts.method, format!("{}{path}", sky.upstream))
        .headers(headers)
        .body(body);
    let answer = tokio::spawn(call.send())
        .await
        .map_err(io::Error::other)?
        .map_err(io::Error::other)?;
    let mut passed = Response::builder().status(answer.status());
    for (name, value) in answer.headers() {
        if name != header::TRANSFER_ENCODING && name != header::CONNECTION {
            passed = passed.header(name, value);
        }
    }
    let pieces = breakable(answer.bytes_stream().map_err(io::Error::other), breaks);
    Ok(passed
        .body(StreamBody::new(pieces.map_ok(Frame::data)).boxed_unsync())
        .expect("an answer that was one before"))
}

/// The stream, until the test breaks it.
fn breakable(
    pieces: impl Stream<Item = io::Result<Bytes>> + Send + 'static,
    mut breaks: watch::Receiver<Break>,
) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
    let mut broken = Box::pin(async move {
        // The sender goes with the proxy: as good as a cut.
        let _ = breaks.changed().await;
        *breaks.borrow()
    });
    let (mut pieces, mut how) = (Box::pin(pieces), None);
    stream::poll_fn(move |context| {
        if how.is_none()
            && let Poll::Ready(now) = broken.as_mut().poll(context)
        {
            how = Some(now);
        }
        match how {
            None => pieces.poll_next_unpin(context),
            Some(Break::Freeze) => Poll::Pending,
            Some(_) => Poll::Ready(Some(Err(io::ErrorKind::ConnectionReset.into()))),
        }
    })
}

fn refusal(code: u16) -> Response<Body> {
    let status = json!({
        "apiVersion": "v1", "kind": "Status", "status": "Failure", "code": code, "message": "so the test wants it",
        "reason": if code == 410 { "Expired" } else { "" },
    });
    let mut answer = Response::new(whole(status.to_string()));
    *answer.status_mut() = StatusCode::from_u16(code).expect("a status");
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if code == 429 {
        headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    answer
}

fn expired() -> Response<Body> {
    let event = json!({ "type": "ERROR", "object": {
        "apiVersion": "v1", "kind": "Status", "metadata": {}, "status": "Failure", "reason": "Expired", "code": 410,
        "message": "too old resource version",
    }});
    let mut answer = Response::new(whole(format!("{event}\n")));
    let json = HeaderValue::from_static("application/json");
    answer.headers_mut().insert(header::CONTENT_TYPE, json);
    answer
}

fn whole(text: String) -> Body {
    Full::from(text)
        .map_err(|never: Infallible| match never {})
        .boxed_unsync()
}
