//! Client of the REST API: typed requests and answers, and streams that survive broken connections.

mod administration;
mod answers;
mod builds;
mod contexts;
mod endpoints;
mod error;
mod follow;
mod logs;
mod patience;
mod sse;
mod triggers;

use std::time::Duration;

use reqwest::{Method, RequestBuilder, Response, header, redirect};
use secrecy::{ExposeSecret, SecretString};
use serde::de::DeserializeOwned;
use url::Url;

pub use self::{
    administration::{Project, Projects, Token, Tokens},
    answers::{
        Attempt, Build, Context, Event, Events, Failure, Page, Place, ProjectQueue, Queue, Spec, Step,
        Waiting,
    },
    builds::BuildFilter,
    endpoints::{Endpoint, Endpoints, Notification, Notifications, Try},
    error::{ClientError, FieldError, Problem},
    follow::{BuildWatch, EventFollower, EventItem, LogFollower, LogItem, LogStart},
    logs::{LogQuery, LogSlice},
    sse::events,
    triggers::{Consequence, Deliveries, Delivery, Ruling, Rulings, Trigger, Triggers},
};

/// Time limit for establishing a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Time limit for an ordinary answer; longer than any of the service's own waits.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
/// Time after which a connection is closed if the peer's machine acknowledges no data.
const DEAD_PEER_TIMEOUT: Duration = Duration::from_secs(60);

/// Client of one service, with the token for its requests.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    server: Url,
    token: Option<SecretString>,
}

/// An answer in JSON, as text and parsed.
#[derive(Debug, Clone)]
pub struct Json<T> {
    /// The text, as the service wrote it.
    pub text: String,
    /// The parsed value.
    pub value: T,
}

impl Client {
    /// Creates a client of the service at `server` (see [`base_url`]). Sends nothing yet.
    pub fn new(server: Url, token: Option<SecretString>) -> Result<Self, ClientError> {
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("slipway/", env!("CARGO_PKG_VERSION")))
            // A redirected POST would lose its body, and a redirected token would reach another host.
            .redirect(redirect::Policy::none())
            .connect_timeout(CONNECT_TIMEOUT)
            .tcp_keepalive(DEAD_PEER_TIMEOUT / 4)
            .tcp_user_timeout(DEAD_PEER_TIMEOUT);
        if is_loopback(&server) {
            builder = builder.no_proxy();
        }
        let http = builder
            .build()
            .map_err(|error| ClientError::unreachable(&server, &error))?;
        Ok(Self { http, server, token })
    }

    /// Returns the service's address.
    pub fn server(&self) -> &Url {
        &self.server
    }

    /// Builds a request for `/api/v1/` and `path`, whose parts need no encoding.
    fn request(&self, method: Method, path: &str, query: &[(&str, String)]) -> RequestBuilder {
        let mut url = self
            .server
            .join(&format!("api/v1/{path}"))
            .expect("a base address takes a relative path");
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let request = self.http.request(method, url);
        match &self.token {
            // reqwest marks the header as sensitive, so that debug output does not show it.
            Some(token) => request.bearer_auth(token.expose_secret()),
            None => request,
        }
    }

    /// Sends an ordinary request, and returns the answer if it is a success.
    async fn send(&self, request: RequestBuilder) -> Result<Response, ClientError> {
        self.send_slowly(request.timeout(ANSWER_TIMEOUT)).await
    }

    /// Sends a request without a time limit, and returns the answer if it is a success.
    async fn send_slowly(&self, request: RequestBuilder) -> Result<Response, ClientError> {
        let response = request
            .send()
            .await
            .map_err(|error| ClientError::unreachable(&self.server, &error))?;
        if response.status().is_success() {
            return Ok(response);
        }
        Err(ClientError::of_answer(response).await)
    }

    async fn json<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<Json<T>, ClientError> {
        let response = self
            .send(request.header(header::ACCEPT, "application/json"))
            .await?;
        self.read_json(response).await
    }

    async fn read_json<T: DeserializeOwned>(&self, response: Response) -> Result<Json<T>, ClientError> {
        let status = response.status().as_u16();
        let text = response
            .text()
            .await
            .map_err(|error| ClientError::unreachable(&self.server, &error))?;
        match serde_json::from_str(&text) {
            Ok(value) => Ok(Json { text, value }),
            Err(error) => Err(ClientError::Foreign {
                status,
                detail: format!("its answer cannot be read: {error}"),
            }),
        }
    }
}

/// Returns true if the service is on this machine; such requests bypass a proxy.
fn is_loopback(server: &Url) -> bool {
    match server.host() {
        Some(url::Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// Parses an address that begins with `http://` or `https://`, and makes its path end in a slash.
pub fn base_url(text: &str) -> Result<Url, String> {
    let mut url = Url::parse(text).map_err(|error| format!("is no address: {error}"))?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err("write http://host:port or https://host".to_owned());
    }
    if !url.path().ends_with('/') {
        let path = format!("{}/", url.path());
        url.set_path(&path);
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_address_is_completed_to_a_folder() {
        for (text, url) in [
            ("http://127.0.0.1:8080", "http://127.0.0.1:8080/"),
            (
                "https://ci.example.com/slipway",
                "https://ci.example.com/slipway/",
            ),
        ] {
            assert_eq!(base_url(text).expect(text).as_str(), url);
        }
        for bad in ["", "127.0.0.1:8080", "ftp://x", "unix:///run/x", "http://"] {
            assert!(base_url(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn this_machine_is_asked_without_a_proxy() {
        for (text, here) in [
            ("http://localhost:8080", true),
            ("http://slipway.localhost", true),
            ("http://127.1.2.3", true),
            ("http://[::1]:8080", true),
            ("http://10.0.0.1", false),
            ("https://localhost.example.com", false),
        ] {
            assert_eq!(is_loopback(&base_url(text).expect(text)), here, "{text}");
        }
    }
}
