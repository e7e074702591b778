//! How the service is set up for a story.

use std::time::Duration;

use kube::Client;
use serde_json::json;
use slipway::{
    dispatcher::Options,
    launcher::manifest::KubernetesOptions,
    store::{Slots, Store, StoreOptions},
};
use sqlx::postgres::PgConnectOptions;

use crate::{
    puppet::chronicle::PATIENCE,
    puppet::node::PUPPET,
    support::cluster::{config, object},
};

/// What a test changes before its world begins.
pub struct Setup {
    pub dispatcher: Options,
    pub kubernetes: KubernetesOptions,
}

pub fn default(namespace: &str, node: &str) -> Setup {
    let mut kubernetes = KubernetesOptions {
        namespace: namespace.to_owned(),
        ..KubernetesOptions::default()
    };
    kubernetes
        .node_selector
        .insert(PUPPET.to_owned(), node.to_owned());
    kubernetes
        .tolerations
        .push(object(json!({ "key": PUPPET, "operator": "Exists" })));
    let dispatcher = Options {
        slots: Slots {
            total: 1000,
            per_project: 1000,
        },
        lease: Duration::from_secs(60),
        launches: 16,
        pending_deadline: Duration::from_secs(600),
        waiting_recheck: Duration::from_secs(5),
        job_grace: Duration::from_secs(600),
        // Longer than anything is waited for: what is seen at once must not be left to this.
        reconcile_interval: Duration::from_secs(300),
        max_relaunches: 3,
        max_log_bytes: 1 << 20,
        max_log_line: 1 << 16,
        secrets: std::sync::Arc::default(),
        internal_url: "http://slipway.internal:8080/".parse().expect("a URL"),
    };
    Setup {
        dispatcher,
        kubernetes,
    }
}

/// With the rights that the deployment grants the service, and no others.
pub async fn dispatchers_client() -> Client {
    let mut config = config().await;
    config.auth_info.impersonate = Some("system:serviceaccount:slipway:slipway".into());
    Client::try_from(config).expect("a usable configuration")
}

pub fn connect(database: &PgConnectOptions, max_connections: u32) -> Store {
    let name = database.get_database().expect("a test has a database");
    let url = std::env::var("DATABASE_URL").expect("DATABASE_URL names the server");
    let mut url: url::Url = url.parse().expect("DATABASE_URL is a URL");
    url.set_path(name);
    Store::connect(&StoreOptions {
        url: String::from(url).into(),
        direct_url: None,
        max_connections,
        acquire_timeout: PATIENCE,
        notify: false,
    })
    .expect("the address is valid")
}
