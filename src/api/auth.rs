//! Which tokens open the API: looked up once, and believed for a few seconds.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use http::{HeaderMap, header};
use tokio::{sync::watch, time::Instant};

use super::problem::{Code, Problem};
use crate::{
    domain::{Token, TokenText},
    store::{LiveToken, Store, StoreError},
};

/// How long a token is believed without asking the database: so long it lives on where another replica revoked it.
const FRESH: Duration = Duration::from_secs(3);
/// Of those that find it stale, one asks; the others go on with it for so long.
const ASKING: Duration = Duration::from_millis(500);
/// Tokens that are kept before those out of date are thrown away.
const MANY: usize = 1024;

/// Who is let in. Cheap to clone.
#[derive(Clone)]
pub(super) struct Auth(Arc<Inner>);

struct Inner {
    store: Store,
    known: Mutex<Known>,
    /// Wakes those who hold a stream open.
    revoked: watch::Sender<()>,
}

#[derive(Default)]
struct Known {
    tokens: HashMap<[u8; 32], Entry>,
    /// Grows with every revocation: what was read before it is not kept.
    revocations: u64,
}

struct Entry {
    token: Arc<Token>,
    fresh_until: Instant,
    /// Nobody believes it beyond.
    dead_at: Instant,
}

impl Auth {
    pub(super) fn new(store: Store) -> Self {
        Self(Arc::new(Inner {
            store,
            known: Mutex::default(),
            revoked: watch::Sender::new(()),
        }))
    }

    /// The token that a request came with. Whatever is the matter with it, the answer is the same.
    pub(super) async fn open(&self, headers: &HeaderMap) -> Result<(Arc<Token>, Session), Problem> {
        let unauthorized = || Problem::new(Code::Unauthorized);
        let text = bearer(headers).ok_or_else(unauthorized)?;
        let text: TokenText = text.parse().map_err(|_| unauthorized())?;
        let sha256 = text.sha256();
        let token = self.token(sha256).await?.ok_or_else(unauthorized)?;
        let session = Session(Some((self.clone(), sha256)));
        Ok((token, session))
    }

    /// Forgets all that is known of tokens: some were revoked.
    pub(super) fn forget(&self) {
        let mut known = self.lock();
        known.tokens.clear();
        known.revocations += 1;
        drop(known);
        self.0.revoked.send_replace(());
    }

    async fn token(&self, sha256: [u8; 32]) -> Result<Option<Arc<Token>>, StoreError> {
        let revocations = {
            let mut known = self.lock();
            if let Some(token) = known.believed(&sha256, Instant::now()) {
                return Ok(Some(token));
            }
            known.revocations
        };
        let asked = Instant::now();
        let live = self.0.store.live_token(sha256).await?;
        let mut known = self.lock();
        let Some(live) = live else {
            known.tokens.remove(&sha256);
            return Ok(None);
        };
        if live.use_is_news {
            self.note_use(&live.token);
        }
        let token = Arc::new(live.token.clone());
        if known.revocations == revocations {
            known.keep(sha256, &token, &live, asked);
        }
        Ok(Some(token))
    }

    /// Records the use, while the request goes on.
    fn note_use(&self, token: &Token) {
        let (store, id) = (self.0.store.clone(), token.id);
        tokio::spawn(async move {
            if let Err(error) = store.token_used(id).await {
                tracing::debug!(token.id = %id, error = &error as &dyn std::error::Error, "a token's use was not recorded");
            }
        });
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn believed(&mut self, sha256: &[u8; 32], now: Instant) -> Option<Arc<Token>> {
        let entry = self.tokens.get_mut(sha256).filter(|entry| now < entry.dead_at)?;
        if now >= entry.fresh_until {
            entry.fresh_until = now + ASKING;
            return None;
        }
        Some(Arc::clone(&entry.token))
    }

    fn keep(&mut self, sha256: [u8; 32], token: &Arc<Token>, live: &LiveToken, asked: Instant) {
        if self.tokens.len() >= MANY {
            self.tokens.retain(|_, entry| asked < entry.dead_at);
        }
        let left = live.expires_in.unwrap_or(FRESH * 2);
        let entry = Entry {
            token: Arc::clone(token),
            fresh_until: asked + FRESH.min(left),
            dead_at: asked + (FRESH * 2).min(left),
        };
        self.tokens.insert(sha256, entry);
    }
}

/// What a stream looks at from time to time: whether the token that opened it is still good.
#[derive(Clone, Default)]
pub(super) struct Session(Option<(Auth, [u8; 32])>);

impl Session {
    /// Resolves when the token does not open anything any more. While the database is away, it does.
    pub(super) async fn ended(&self) {
        let Some((auth, sha256)) = &self.0 else {
            return std::future::pending().await;
        };
        let mut revoked = auth.0.revoked.subscribe();
        while !matches!(auth.token(*sha256).await, Ok(None)) {
            // The sender lives as long as `auth`.
            let _ = tokio::time::timeout(FRESH, revoked.changed()).await;
        }
    }
}

/// The credentials of `Authorization: Bearer …`.
pub(super) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers
        .get(header::AUTHORIZATION)?
        .to_str()
        .ok()?
        .split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
}
