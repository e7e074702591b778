//! Reads secrets on a machine without a cluster, from files below a folder of the operator's:
//! `<folder>/<secret>/<key>`.

use std::path::{Path, PathBuf};

use crate::{
    domain::settings::SecretName,
    launcher::{LaunchError, Order, kaniko_args::SECRETS_DIR},
};

/// Key of the registry credentials in a cluster's Secret.
const DOCKER_CONFIG: &str = ".dockerconfigjson";

/// File for the container.
pub struct Given {
    /// Path in the container, without the leading slash.
    pub path: String,
    /// Content of the file.
    pub content: Vec<u8>,
}

/// Reads the secrets that the build's steps may request.
///
/// # Errors
/// Refused if no folder is configured, or if a secret is not in the project's settings (any more) or does not
/// exist.
pub async fn of_build(order: &Order, folder: Option<&Path>) -> Result<Vec<Given>, LaunchError> {
    let secrets = &order.spec.secrets;
    order
        .project
        .allow_secrets(secrets)
        .map_err(|(place, why)| LaunchError::Refused(format!("secrets[{place}] {why}")))?;
    let mut given = Vec::new();
    for one in secrets.iter() {
        given.push(Given {
            path: format!("{}/{}", SECRETS_DIR.trim_start_matches('/'), one.id),
            content: read(folder, &one.secret, one.key.as_str()).await?,
        });
    }
    Ok(given)
}

/// Reads the project's own registry credentials, if it has any.
///
/// # Errors
/// Refused if no folder is configured or if the secret does not exist.
pub async fn registry(order: &Order, folder: Option<&Path>) -> Result<Option<Vec<u8>>, LaunchError> {
    match &order.project.push_secret {
        None => Ok(None),
        Some(secret) => read(folder, secret, DOCKER_CONFIG).await.map(Some),
    }
}

async fn read(folder: Option<&Path>, secret: &SecretName, key: &str) -> Result<Vec<u8>, LaunchError> {
    let Some(folder) = folder else {
        return Err(LaunchError::Refused(format!(
            "the Secret {secret} is asked for, and this service runs builds on a container engine without a folder of \
             secrets"
        )));
    };
    // Neither name can leave the folder: a Secret's has no slash and a key does not begin with two dots.
    let path: PathBuf = folder.join(secret.as_str()).join(key);
    tokio::fs::read(&path).await.map_err(|error| {
        LaunchError::Refused(format!(
            "the key {key} of the Secret {secret} cannot be read: {}",
            error.kind()
        ))
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::domain::BuildId;

    fn order(settled: &[&str]) -> Order {
        Order {
            id: BuildId::generate(),
            spec: serde_json::from_value(json!({
                "source": { "git": { "url": "https://git.test/team/app.git" } },
                "destinations": ["r.test/team/app:1"],
                "secrets": [{ "id": "npm", "secret": "team", "key": "token" }],
            }))
            .expect("a valid spec"),
            project: serde_json::from_value(json!({ "build_secrets": settled, "push_secret": "push" }))
                .expect("settings"),
            context: None,
        }
    }

    #[tokio::test]
    async fn what_is_settled_is_read_from_the_folder_and_nothing_else_is() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = Some(folder.path());
        for (file, content) in [("team/token", "t0ken"), ("push/.dockerconfigjson", "{}")] {
            let file = folder.path().join(file);
            std::fs::create_dir_all(file.parent().expect("a folder")).expect("it can be made");
            std::fs::write(file, content).expect("it can be written");
        }
        let given = of_build(&order(&["team"]), path).await.expect("it is there");
        assert_eq!(given[0].path, "kaniko/build-secrets/npm");
        assert_eq!(given[0].content, b"t0ken");
        assert_eq!(
            registry(&order(&[]), path).await.expect("it is there").as_deref(),
            Some(&b"{}"[..])
        );

        assert!(of_build(&order(&[]), path).await.is_err(), "not settled");
        assert!(of_build(&order(&["team"]), None).await.is_err(), "no folder");
        std::fs::remove_file(folder.path().join("team/token")).expect("it was there");
        let missing = of_build(&order(&["team"]), path).await.err().expect("not there");
        assert!(
            missing.to_string().contains("the key token of the Secret team"),
            "{missing}"
        );
    }
}
