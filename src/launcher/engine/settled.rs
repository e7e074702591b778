//! Refuses builds whose project settings a container engine cannot apply: they must not run with fewer or
//! more rights than the settings say.

use crate::{
    domain::{Source, settings::PushMode},
    launcher::{LaunchError, Order},
};

/// Refuses a build whose project settings a container engine cannot apply.
pub fn check(order: &Order) -> Result<(), LaunchError> {
    let project = &order.project;
    let what = if project.push_mode == PushMode::Isolated {
        "an isolated push"
    } else if matches!(order.spec.source, Source::Git(_)) && project.git.is_some() {
        "git credentials of the project's own"
    } else {
        return Ok(());
    };
    Err(LaunchError::Refused(format!(
        "{what} cannot be had where builds run on a container engine: it takes --launcher=kubernetes"
    )))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn refused(project: Value) -> Option<String> {
        let body = json!({
            "source": { "git": { "url": "https://git.test/team/app.git" } }, "destinations": ["r.test/team/app:1"],
        });
        let order = Order {
            id: crate::domain::BuildId::generate(),
            spec: serde_json::from_value(body).expect("a valid spec"),
            project: serde_json::from_value(project).expect("settings"),
            context: None,
        };
        check(&order).err().map(|error| error.to_string())
    }

    #[test]
    fn what_takes_a_cluster_is_refused_and_named() {
        assert_eq!(refused(json!({})), None);
        assert_eq!(
            refused(json!({ "build_secrets": ["a"], "push_secret": "p" })),
            None
        );
        for (project, named) in [
            (json!({ "push_mode": "isolated" }), "an isolated push"),
            (
                json!({ "git": { "secret": "g", "hosts": ["git.test"] } }),
                "git credentials",
            ),
        ] {
            let why = refused(project).expect("it is refused");
            assert!(why.starts_with(named), "{why}");
        }
    }
}
