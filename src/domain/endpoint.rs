//! Webhook endpoints: addresses for notifications of builds, the formats, and the secrets that sign them.

use std::{fmt, str::FromStr};

use base64::{Engine, engine::general_purpose::STANDARD};
use ring::rand::{SecureRandom, SystemRandom};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    id::EndpointId,
    text::{Invalid, plain, text_type},
};

/// Event that a notification reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
pub enum EventType {
    /// A build was accepted.
    #[serde(rename = "build.queued")]
    Queued,
    /// The build's Job was created.
    #[serde(rename = "build.started")]
    Started,
    /// The build's image was built and pushed.
    #[serde(rename = "build.succeeded")]
    Succeeded,
    /// The build ended without an image.
    #[serde(rename = "build.failed")]
    Failed,
    /// The build was stopped on request.
    #[serde(rename = "build.cancelled")]
    Cancelled,
    /// A newer build superseded the build.
    #[serde(rename = "build.superseded")]
    Superseded,
    /// Test of the webhook endpoint; it concerns no build.
    #[serde(rename = "endpoint.test")]
    Test,
}

impl EventType {
    /// Event types of builds, in the order of a build's life.
    pub const OF_BUILDS: [Self; 6] = [
        Self::Queued,
        Self::Started,
        Self::Succeeded,
        Self::Failed,
        Self::Cancelled,
        Self::Superseded,
    ];

    /// Returns the name used in JSON and in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "build.queued",
            Self::Started => "build.started",
            Self::Succeeded => "build.succeeded",
            Self::Failed => "build.failed",
            Self::Cancelled => "build.cancelled",
            Self::Superseded => "build.superseded",
            Self::Test => "endpoint.test",
        }
    }
}

impl FromStr for EventType {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        Self::OF_BUILDS
            .into_iter()
            .chain([Self::Test])
            .find(|one| one.as_str() == text)
            .ok_or_else(|| Invalid::new("is no type of event that is known"))
    }
}

/// Format of a notification's body.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// `type`, `timestamp` and `data`, as Standard Webhooks defines them.
    #[default]
    Standard,
    /// `push_data` and `repository`, as in Docker Hub's webhooks. The format describes pushed images only, so
    /// it supports only `build.succeeded`.
    Dockerhub,
}

impl Format {
    /// Returns the name used in JSON and in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Standard => "standard",
            Self::Dockerhub => "dockerhub",
        }
    }

    /// Returns the event types that the format supports.
    pub const fn types(self) -> &'static [EventType] {
        match self {
            Self::Standard => &EventType::OF_BUILDS,
            Self::Dockerhub => &[EventType::Succeeded],
        }
    }
}

impl FromStr for Format {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        match text {
            "standard" => Ok(Self::Standard),
            "dockerhub" => Ok(Self::Dockerhub),
            _ => Err(Invalid::new("must be standard or dockerhub")),
        }
    }
}

text_type!(
    /// Address that the service calls: http or https, without user and password, and without a fragment.
    #[schema(example = "https://ci.example.com/hooks/slipway", format = "uri", max_length = 2048)]
    CallbackUrl,
    check_url
);

impl CallbackUrl {
    /// Returns the parsed address.
    pub fn parsed(&self) -> url::Url {
        self.as_str().parse().expect("it was parsed when it came in")
    }
}

fn check_url(text: &str) -> Result<(), Invalid> {
    plain(text, 2048)?;
    let url = url::Url::parse(text).map_err(|error| Invalid::new(format_args!("is no address: {error}")))?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err(Invalid::new("must begin with https:// or http://"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(Invalid::new(
            "must hold no user and password: notifications are signed",
        ));
    }
    if url.fragment().is_some() {
        return Err(Invalid::new("must have no fragment"));
    }
    Ok(())
}

/// Secret that signs the notifications of a webhook endpoint: `whsec_` and 24 to 64 bytes in base64. `Debug`
/// masks it.
#[derive(Clone)]
pub struct SigningSecret(SecretString);

impl SigningSecret {
    const PREFIX: &'static str = "whsec_";

    /// Generates a secret of 32 random bytes.
    pub fn generate() -> Self {
        let mut bytes = [0; 32];
        SystemRandom::new()
            .fill(&mut bytes)
            .expect("the system has random numbers");
        Self(SecretString::from(format!(
            "{}{}",
            Self::PREFIX,
            STANDARD.encode(bytes)
        )))
    }

    /// Returns the text, for sealing and for the one answer that shows it.
    pub fn text(&self) -> &SecretString {
        &self.0
    }

    /// Returns the bytes of the key.
    pub fn key(&self) -> Vec<u8> {
        let text = self.0.expose_secret();
        STANDARD
            .decode(&text[Self::PREFIX.len()..])
            .expect("it was decoded when it came in")
    }

    /// Returns the sealing context: the sealed secret of a webhook endpoint opens for that endpoint only.
    pub fn context(endpoint: EndpointId) -> Vec<u8> {
        format!("endpoint {endpoint}").into_bytes()
    }
}

impl TryFrom<SecretString> for SigningSecret {
    type Error = Invalid;

    fn try_from(text: SecretString) -> Result<Self, Invalid> {
        let bytes = text.expose_secret().strip_prefix(Self::PREFIX);
        let bytes = bytes.and_then(|bytes| STANDARD.decode(bytes).ok());
        match bytes {
            Some(bytes) if (24..=64).contains(&bytes.len()) => Ok(Self(text)),
            _ => Err(Invalid::new("must be whsec_ and 24 to 64 bytes in base64")),
        }
    }
}

impl fmt::Debug for SigningSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningSecret(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_the_same_everywhere() {
        for one in EventType::OF_BUILDS.into_iter().chain([EventType::Test]) {
            assert_eq!(serde_json::to_value(one).expect("a name"), one.as_str());
            assert_eq!(one.as_str().parse(), Ok(one));
        }
        for format in [Format::Standard, Format::Dockerhub] {
            assert_eq!(serde_json::to_value(format).expect("a name"), format.as_str());
            assert_eq!(format.as_str().parse(), Ok(format));
        }
    }

    #[test]
    fn addresses_are_of_the_web_and_hold_no_secret() {
        for text in [
            "https://a.example/x?y=1",
            "http://10.0.0.1:8080",
            "https://[::1]/",
        ] {
            assert!(text.parse::<CallbackUrl>().is_ok(), "{text}");
        }
        for text in [
            "",
            "a.example",
            "ftp://a.example",
            "file:///etc/passwd",
            "https://u:p@a.example/",
            "https://u@a.example/",
            "https://a.example/#x",
            "https:///",
            "https://a.example/\n",
            "gopher://a",
            "data:text/plain,x",
        ] {
            assert!(text.parse::<CallbackUrl>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_secret_is_long_enough_and_never_shown() {
        let made = SigningSecret::generate();
        assert_eq!(made.key().len(), 32);
        let again = SigningSecret::try_from(made.text().clone()).expect("ours is valid");
        assert_eq!(again.key(), made.key());
        assert!(!format!("{made:?}").contains("whsec_"));
        for length in [0, 23, 65] {
            let text = format!("whsec_{}", STANDARD.encode(vec![7; length]));
            assert!(
                SigningSecret::try_from(SecretString::from(text)).is_err(),
                "{length}"
            );
        }
        assert!(SigningSecret::try_from(SecretString::from(STANDARD.encode([7; 32]))).is_err());
    }
}
