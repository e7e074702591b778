//! A database, endpoints and notifiers for each test. Tests step the notifier; nothing runs by itself.

use std::{sync::Arc, time::Duration};

use base64::{Engine, engine::general_purpose::STANDARD};
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;
use slipway::{
    domain::{
        Actor, BuildId, Digest, EndpointId, Failure, NewBuild, Outcome, ProjectName, Reason, SystemClock,
        endpoint::{EventType, Format, SigningSecret},
        inside::Reachable,
        keyring::Keyring,
    },
    notifier::{Notifier, Options, TokenFiles},
    store::{Creator, EndpointSettings, NewEndpoint, Notification, Slots, Store, StoreOptions},
};
use sqlx::{PgPool, postgres::PgConnectOptions};

pub struct World {
    pub store: Store,
    pub sql: PgPool,
    pub keyring: Arc<Keyring>,
    pub tokens: TokenFiles,
    creator: Creator,
    database: PgConnectOptions,
}

/// An endpoint as its owner knows it.
pub struct Owned {
    pub id: EndpointId,
    pub secret: SigningSecret,
}

impl Owned {
    /// Whether it is ours and whole, as the other implementation sees it.
    pub fn verifies(&self, heard: &crate::notifier::receiver::Heard) -> bool {
        verifies(&self.secret, heard)
    }
}

pub fn verifies(secret: &SigningSecret, heard: &crate::notifier::receiver::Heard) -> bool {
    standardwebhooks::Webhook::new(secret.text().expose_secret())
        .expect("the secret is one")
        .verify(&heard.body, &heard.headers)
        .is_ok()
}

impl World {
    pub async fn new(database: PgConnectOptions) -> Self {
        crate::support::process::install_crypto_provider();
        let store = connect(&database);
        store.migrate().await.expect("the migrations apply");
        let (creator, batcher) = store.creator(64);
        tokio::spawn(batcher);
        let key = SecretString::from(STANDARD.encode([7; 32]));
        Self {
            store,
            sql: PgPool::connect_lazy_with(database.clone()),
            keyring: Arc::new(Keyring::from_settings(&key).expect("a key")),
            tokens: TokenFiles::default(),
            creator,
            database,
        }
    }

    /// A notifier of a process of its own, which may call this machine.
    pub fn notifier(&self) -> Notifier {
        self.notifier_that_reaches(Reachable::with(vec!["127.0.0.0/8".parse().expect("a network")]))
    }

    pub fn notifier_that_reaches(&self, reachable: Reachable) -> Notifier {
        let options = Options {
            reachable,
            external_url: Some("https://slipway.example/".parse().expect("an address")),
            keyring: Some(Arc::clone(&self.keyring)),
            tokens: self.tokens.clone(),
        };
        Notifier::new(connect(&self.database), options, Arc::new(SystemClock)).expect("it can be made")
    }

    /// Sends until nothing is due any more: how many were tried.
    pub async fn settle(&self, notifier: &Notifier) -> usize {
        let mut all = 0;
        loop {
            let tried = notifier.step().await.expect("the outbox can be read");
            if tried == 0 {
                return all;
            }
            all += tried;
        }
    }

    pub async fn endpoint(&self, url: &str) -> Owned {
        self.endpoint_of("default", url, Format::Standard, &EventType::OF_BUILDS)
            .await
    }

    pub async fn endpoint_of(&self, project: &str, url: &str, format: Format, events: &[EventType]) -> Owned {
        let (id, secret) = (EndpointId::generate(), SigningSecret::generate());
        let new = NewEndpoint {
            id,
            project: project.parse().expect("a name"),
            secret: self.keyring.seal(&SigningSecret::context(id), secret.text()),
            settings: EndpointSettings {
                url: url.parse().expect("an address"),
                description: None,
                events: events.to_vec(),
                format,
                enabled: true,
            },
        };
        let created = self.store.create_endpoint(&new, &Actor::command_line()).await;
        assert!(created.expect("it is stored"));
        Owned { id, secret }
    }

    pub async fn queued(&self) -> BuildId {
        self.queued_as(BuildId::generate(), "default").await
    }

    pub async fn queued_as(&self, id: BuildId, project: &str) -> BuildId {
        let spec = json!({
            "project": project,
            "source": {"git": {"url": "https://git.example/team/app.git", "ref": "main"}},
            "destinations": ["registry.example/team/app:1.2"],
        });
        let build = NewBuild {
            id,
            spec: serde_json::from_value(spec).expect("a spec"),
            rebuild_of: None,
            idempotency: None,
        };
        self.creator.create(build).await.expect("it is stored");
        id
    }

    pub async fn started(&self) -> BuildId {
        let id = self.queued().await;
        self.start(id).await;
        id
    }

    pub async fn start(&self, id: BuildId) {
        let slots = Slots {
            total: 1000,
            per_project: 1000,
        };
        let claims = self
            .store
            .claim(slots, Duration::from_secs(60), 1000)
            .await
            .expect("claims work");
        for claim in claims {
            let launched = self.store.launched(claim.id, claim.token, "uid-1").await;
            assert!(launched.expect("it can be recorded"));
        }
        let build = self.store.build(id).await.expect("readable").expect("there");
        assert_eq!(build.state.as_str(), "running");
    }

    pub async fn succeed(&self, id: BuildId) {
        let digest: Digest = format!("sha256:{}", "ab".repeat(32)).parse().expect("a digest");
        let outcome = Outcome::Succeeded { digest: Some(digest) };
        assert!(
            self.store
                .finish(id, &outcome, &[], 0)
                .await
                .expect("it is recorded")
        );
    }

    pub async fn fail(&self, id: BuildId) {
        let failure = Failure {
            exit_code: Some(2),
            ..Failure::new(Reason::BuildStepFailed, "RUN make ended with 2")
        };
        let outcome = Outcome::Failed(failure);
        assert!(
            self.store
                .finish(id, &outcome, &[], 0)
                .await
                .expect("it is recorded")
        );
    }

    /// Everything that waits is due now, claims that died included.
    pub async fn time_passes(&self) {
        sqlx::query("UPDATE notifications SET next_try_at = now() - interval '1 s' WHERE state = 'waiting'")
            .execute(&self.sql)
            .await
            .expect("the clock can be turned");
    }

    /// What an endpoint was told, oldest first.
    pub async fn told(&self, endpoint: &Owned) -> Vec<Notification> {
        let mut all = self
            .store
            .notifications(endpoint.id, None, 1000)
            .await
            .expect("readable");
        all.reverse();
        all
    }

    pub async fn count(&self, table: &'static str) -> i64 {
        let query = match table {
            "notifications" => "SELECT count(*) FROM notifications",
            "notification_tries" => "SELECT count(*) FROM notification_tries",
            _ => "SELECT count(*) FROM commit_statuses",
        };
        sqlx::query_scalar(query)
            .fetch_one(&self.sql)
            .await
            .expect("it can be counted")
    }
}

pub fn project(name: &str) -> ProjectName {
    name.parse().expect("a name")
}

pub fn connect(database: &PgConnectOptions) -> Store {
    let server = std::env::var("DATABASE_URL").expect("DATABASE_URL names a server for the tests");
    let mut url: url::Url = server.parse().expect("DATABASE_URL is an address");
    url.set_path(database.get_database().expect("every test has a database"));
    Store::connect(&StoreOptions {
        url: String::from(url).into(),
        direct_url: None,
        max_connections: 6,
        acquire_timeout: Duration::from_secs(5),
        notify: false,
    })
    .expect("the address is valid")
}
