//! A registry that takes no push.

use std::net::TcpListener;

use serde_json::json;
use wiremock::{
    Mock, MockServer, ResponseTemplate,
    matchers::{method, path, path_regex},
};

use crate::support::cluster;

/// A registry that answers, and refuses. Stopped when dropped.
pub struct Refusing {
    /// Its address: `host:port`.
    pub host: String,
    _server: MockServer,
}

impl Refusing {
    /// Refuses when a push begins.
    pub async fn at_once() -> Self {
        let (host, server) = start().await;
        let begin = Mock::given(method("POST")).and(path_regex("^/v2/.*/blobs/uploads/$"));
        begin.respond_with(denied()).mount(&server).await;
        Self {
            host,
            _server: server,
        }
    }

    /// Takes the layers, and refuses the manifest.
    pub async fn late() -> Self {
        let (host, server) = start().await;
        let taken = |status| {
            ResponseTemplate::new(status)
                .insert_header("location", format!("http://{host}/v2/upload?state=1"))
        };
        for (verb, status) in [("POST", 202), ("PATCH", 202)] {
            let upload = Mock::given(method(verb));
            upload.respond_with(taken(status)).mount(&server).await;
        }
        let manifest = Mock::given(method("PUT")).and(path_regex("^/v2/.*/manifests/"));
        manifest.respond_with(denied()).mount(&server).await;
        let blob = Mock::given(method("PUT")).and(path("/v2/upload"));
        blob.respond_with(taken(201)).mount(&server).await;
        Self {
            host,
            _server: server,
        }
    }
}

async fn start() -> (String, MockServer) {
    let listener = TcpListener::bind("0.0.0.0:0").expect("a free port");
    let port = listener.local_addr().expect("it is bound").port();
    let server = MockServer::builder().listener(listener).start().await;
    let root = Mock::given(method("GET")).and(path("/v2/"));
    root.respond_with(ResponseTemplate::new(200)).mount(&server).await;
    let error = json!({ "errors": [{ "code": "MANIFEST_UNKNOWN", "message": "manifest unknown" }] });
    let manifest = Mock::given(method("GET")).and(path_regex("^/v2/.*/manifests/"));
    let unknown = ResponseTemplate::new(404).set_body_json(error);
    manifest.respond_with(unknown).mount(&server).await;
    (format!("{}:{port}", cluster::host()), server)
}

fn denied() -> ResponseTemplate {
    let error = json!({ "code": "DENIED", "message": "requested access to the resource is denied" });
    ResponseTemplate::new(403).set_body_json(json!({ "errors": [error] }))
}
