//! The cluster that the tests run on, and a namespace in it.

use std::collections::BTreeMap;

use k8s_openapi::api::{
    core::v1::{Namespace, ServiceAccount},
    rbac::v1::{Role, RoleBinding},
};
use kube::{
    Api, Client, Config,
    api::{DeleteParams, PostParams},
    config::{KubeConfigOptions, Kubeconfig},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

pub fn object<K: DeserializeOwned>(body: Value) -> K {
    serde_json::from_value(body).expect("a valid object")
}

async fn config() -> Config {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let path = std::env::var("SLIPWAY_TEST_KUBECONFIG").expect("SLIPWAY_TEST_KUBECONFIG names a kubeconfig");
    let kubeconfig = Kubeconfig::read_from(path).expect("a kubeconfig");
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await;
    config.expect("a usable kubeconfig")
}

pub async fn client() -> Client {
    Client::try_from(config().await).expect("a client")
}

/// With the rights that deploy/kubernetes/rbac.yaml grants, and no others.
pub async fn dispatchers_client() -> Client {
    let mut config = config().await;
    config.auth_info.impersonate = Some("system:serviceaccount:slipway:slipway".into());
    Client::try_from(config).expect("a client")
}

/// A namespace with the deployment's rights in it, once pods can be made there.
pub async fn make_namespace(client: &Client, name: &str, labels: &BTreeMap<String, String>) {
    let namespace: Namespace = object(json!({ "metadata": { "name": name, "labels": labels } }));
    let made = Api::all(client.clone())
        .create(&PostParams::default(), &namespace)
        .await;
    made.expect("the namespace is made");
    grant(client, name).await;
    let accounts = Api::<ServiceAccount>::namespaced(client.clone(), name);
    let exists = |found: Option<&ServiceAccount>| found.is_some();
    let there = kube::runtime::wait::await_condition(accounts, "default", exists).await;
    there.expect("the namespace has its service account");
}

pub async fn remove_namespace(client: &Client, name: &str) {
    let namespaces = Api::<Namespace>::all(client.clone());
    let _ = namespaces.delete(name, &DeleteParams::background()).await;
}

async fn grant(client: &Client, namespace: &str) {
    let documents = serde_yaml_ng::Deserializer::from_str(include_str!("../../deploy/kubernetes/rbac.yaml"));
    for document in documents {
        let mut body = Value::deserialize(document).expect("YAML");
        body["metadata"]["namespace"] = namespace.into();
        match body["kind"].as_str() {
            Some("Role") => create::<Role>(client, namespace, body).await,
            Some("RoleBinding") => create::<RoleBinding>(client, namespace, body).await,
            _ => {}
        }
    }
}

pub async fn create<K>(client: &Client, namespace: &str, body: Value)
where
    K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>
        + Clone
        + std::fmt::Debug
        + DeserializeOwned
        + Serialize,
{
    let api = Api::<K>::namespaced(client.clone(), namespace);
    let made = api.create(&PostParams::default(), &object(body)).await;
    made.expect("the object is made");
}
