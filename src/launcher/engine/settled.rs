//! What is settled for a project and containers of an engine cannot do: such builds are refused plainly rather than run
//! with less, or with more, than was settled.

use crate::{
    domain::{Source, settings::PushMode},
    launcher::{LaunchError, Order},
};

/// Refuses what containers of an engine cannot do as it is settled.
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
