//! A namespace of the run's own, and what makes builds into its Jobs.

use std::time::Duration;

use anyhow::Result;
use k8s_openapi::{
    NamespaceResourceScope,
    api::{
        batch::v1::Job,
        core::v1::{Namespace, Pod, ServiceAccount},
    },
};
use kube::{
    Api, Client, Resource,
    api::{DeleteParams, ListParams, PostParams},
    client::ClientBuilder,
};
use serde_json::json;
use slipway::{
    domain::{BuildId, ProjectSettings},
    launcher::{Order, kubernetes::Kubernetes, manifest::KubernetesOptions},
};

use tower::timeout::TimeoutLayer;

use super::{control_plane::ControlPlane, puppet::PUPPET};
use crate::{rows::REQUEST, service::Service};

/// The namespace, and an administrator's client.
pub struct Place {
    /// The client.
    pub client: Client,
    /// The namespace; the puppet's node is called the same.
    pub name: String,
    control_plane: ControlPlane,
}

impl Place {
    /// Makes the namespace.
    pub async fn new(control_plane: ControlPlane) -> Result<Self> {
        let place = Self {
            client: Client::try_from(control_plane.config().await?)?,
            name: format!("slipway-bench-{}", BuildId::generate()),
            control_plane,
        };
        let namespaces: Api<Namespace> = Api::all(place.client.clone());
        let namespace = serde_json::from_value(json!({ "metadata": { "name": place.name } }))?;
        namespaces.create(&PostParams::default(), &namespace).await?;
        // Pods are refused until their ServiceAccount is there.
        let exists = |found: Option<&ServiceAccount>| found.is_some();
        let accounts = place.api::<ServiceAccount>();
        kube::runtime::wait::await_condition(accounts, "default", exists).await?;
        Ok(place)
    }

    /// The resources of a kind in the namespace.
    pub fn api<K>(&self) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.client.clone(), &self.name)
    }

    /// How builds become Jobs here; a scheduler, if there is one, leaves their pods to the puppet.
    pub fn options(&self) -> Result<KubernetesOptions> {
        Ok(KubernetesOptions {
            namespace: self.name.clone(),
            node_selector: [(PUPPET.to_owned(), self.name.clone())].into(),
            tolerations: vec![serde_json::from_value(
                json!({ "key": PUPPET, "operator": "Exists" }),
            )?],
            ..KubernetesOptions::default()
        })
    }

    /// Our launcher, on connections of its own, which it sets up in this way by itself.
    pub async fn launcher(&self) -> Result<Kubernetes> {
        let mut config = self.control_plane.config().await?;
        config.default_retry = false;
        let client = ClientBuilder::try_from(config)?;
        let client = client
            .with_layer(&TimeoutLayer::new(Duration::from_secs(10)))
            .build();
        Ok(Kubernetes::new(client, self.options()?))
    }

    /// The service, which launches builds here.
    pub async fn service(&self, database: &str) -> Result<Service> {
        let arguments = [
            format!("--namespace={}", self.name),
            format!("--node-selector={PUPPET}={}", self.name),
            format!("--toleration={PUPPET}"),
            "--max-running=10000".to_owned(),
            "--max-running-per-project=10000".to_owned(),
        ];
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let kubeconfig = self.control_plane.kubeconfig();
        Service::start_in(database, &arguments, &[("KUBECONFIG", &kubeconfig)]).await
    }

    /// Removes all Jobs, and all pods without asking their kubelet, which may be gone.
    pub async fn clear(&self) -> Result<()> {
        let all = ListParams::default();
        self.api::<Job>()
            .delete_collection(&DeleteParams::background(), &all)
            .await?;
        let at_once = DeleteParams::default().grace_period(0);
        self.api::<Pod>().delete_collection(&at_once, &all).await?;
        Ok(())
    }

    /// Waits until the controllers, which first do what they had heard of before they were stopped, are done with Jobs
    /// that are no more.
    pub async fn settle(&self) -> Result<()> {
        let mut quiet = 0;
        while quiet < 3 {
            tokio::time::sleep(Duration::from_secs(1)).await;
            let left = self.api::<Pod>().list_metadata(&ListParams::default()).await?;
            quiet = if left.items.is_empty() { quiet + 1 } else { 0 };
            self.clear().await?;
        }
        Ok(())
    }
}

/// A build that is to be launched.
pub fn order() -> Result<Order> {
    Ok(Order {
        id: BuildId::generate(),
        spec: serde_json::from_str(REQUEST)?,
        project: ProjectSettings::default(),
        context: None,
    })
}
