//! What is settled for a project and needs a cluster's Secrets: an engine has none, so such builds are refused plainly
//! rather than run with less, or with more, than was settled.

use crate::{
    domain::{Source, settings::PushMode},
    launcher::{LaunchError, Order},
};

/// Refuses what containers of an engine cannot do as it is settled.
pub fn check(order: &Order) -> Result<(), LaunchError> {
    let project = &order.project;
    let what = if !order.spec.secrets.is_empty() {
        "build secrets"
    } else if project.push_mode == PushMode::Isolated {
        "an isolated push"
    } else if project.push_secret.is_some() {
        "registry credentials of the project's own"
    } else if matches!(order.spec.source, Source::Git(_)) && project.git.is_some() {
        "git credentials of the project's own"
    } else {
        return Ok(());
    };
    Err(LaunchError::Refused(format!(
        "{what} need the Secrets of a cluster, and this service runs builds on a container engine"
    )))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn refused(project: Value, spec: Value) -> Option<String> {
        let mut body = json!({
            "source": { "git": { "url": "https://git.test/team/app.git" } }, "destinations": ["r.test/team/app:1"],
        });
        let rest = spec.as_object().expect("an object").clone();
        body.as_object_mut().expect("an object").extend(rest);
        let order = Order {
            id: crate::domain::BuildId::generate(),
            spec: serde_json::from_value(body).expect("a valid spec"),
            project: serde_json::from_value(project).expect("settings"),
            context: None,
        };
        check(&order).err().map(|error| error.to_string())
    }

    #[test]
    fn what_needs_a_clusters_secrets_is_refused_and_named() {
        assert_eq!(refused(json!({}), json!({})), None);
        assert_eq!(refused(json!({ "build_secrets": ["a"] }), json!({})), None);
        let secret = json!({ "secrets": [{ "id": "a", "secret": "s", "key": "k" }] });
        for (project, spec, named) in [
            (json!({}), secret, "build secrets"),
            (json!({ "push_mode": "isolated" }), json!({}), "an isolated push"),
            (json!({ "push_secret": "p" }), json!({}), "registry credentials"),
            (
                json!({ "git": { "secret": "g", "hosts": ["git.test"] } }),
                json!({}),
                "git credentials",
            ),
        ] {
            let why = refused(project, spec).expect("it is refused");
            assert!(why.starts_with(named), "{why}");
        }
    }
}
