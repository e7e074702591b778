//! Secrets that a build's steps may read, named by reference, never by value.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    settings::{ProjectSettings, SecretName},
    text::{Invalid, plain, text_type},
};

/// Upper bound of secrets of a build. Each is an argument of kaniko and a file in its container; no
/// Dockerfile needs as many.
const MOST: usize = 32;

text_type!(
    /// Name by which a step requests a secret: `RUN --mount=type=secret,id=…`.
    #[schema(example = "npm-token", pattern = "^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length = 128)]
    SecretId,
    check_id
);
text_type!(
    /// Key of a Secret.
    #[schema(example = "token", pattern = "^([A-Za-z0-9_-]|[.][A-Za-z0-9_-])[A-Za-z0-9._-]*$", max_length = 253)]
    SecretKey,
    check_key
);

/// Secret value that the build's steps may read as a file; neither the image nor the database contains it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BuildSecret {
    /// Name in the Dockerfile; the file is `/run/secrets/<id>` unless the step sets another path.
    pub id: SecretId,
    /// Secret that contains the value: one of the project's `build_secrets`.
    pub secret: SecretName,
    /// Key within that Secret.
    pub key: SecretKey,
}

/// List of at most 32 secrets with unique ids.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(try_from = "Vec<BuildSecret>", into = "Vec<BuildSecret>")]
#[schema(value_type = Vec<BuildSecret>, max_items = 32)]
pub struct BuildSecrets(Vec<BuildSecret>);

impl BuildSecrets {
    /// Returns all secrets, in the order of the request.
    pub fn iter(&self) -> impl Iterator<Item = &BuildSecret> {
        self.0.iter()
    }

    /// Returns true if there are no secrets.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl TryFrom<Vec<BuildSecret>> for BuildSecrets {
    type Error = Invalid;

    fn try_from(all: Vec<BuildSecret>) -> Result<Self, Invalid> {
        if all.len() > MOST {
            return Err(Invalid::new(format_args!("must name at most {MOST} secrets")));
        }
        for (i, one) in all.iter().enumerate() {
            if all[..i].iter().any(|other| other.id == one.id) {
                return Err(Invalid::new(format_args!("has the id {} twice", one.id)));
            }
        }
        Ok(Self(all))
    }
}

impl From<BuildSecrets> for Vec<BuildSecret> {
    fn from(secrets: BuildSecrets) -> Self {
        secrets.0
    }
}

impl ProjectSettings {
    /// Checks that builds of the project may read all of these secrets.
    ///
    /// # Errors
    /// Returns the position of the first secret that the project's settings do not allow, with the reason.
    pub fn allow_secrets(&self, secrets: &BuildSecrets) -> Result<(), (usize, Invalid)> {
        let foreign = secrets
            .iter()
            .enumerate()
            .find(|(_, one)| !self.build_secrets.contains(&one.secret));
        match foreign {
            None => Ok(()),
            Some((place, one)) => Err((
                place,
                Invalid::new(format_args!(
                    "names the Secret {}, which is not open to builds of this project",
                    one.secret
                )),
            )),
        }
    }
}

/// Checks a secret's id, which is part of a path and of kaniko's `id=…,src=…`.
fn check_id(text: &str) -> Result<(), Invalid> {
    plain(text, 128)?;
    if !text.starts_with(|c: char| c.is_ascii_alphanumeric()) || !text.chars().all(is_plain) {
        return Err(Invalid::new(
            "must begin with a letter or digit and consist of letters, digits, '.', '_' and '-'",
        ));
    }
    Ok(())
}

/// Checks a key by Kubernetes's rules. Kubernetes reserves names that begin with two dots in the folder where
/// it mounts a Secret.
fn check_key(text: &str) -> Result<(), Invalid> {
    plain(text, 253)?;
    if text == "." || text.starts_with("..") || !text.chars().all(is_plain) {
        return Err(Invalid::new(
            "must consist of letters, digits, '.', '_' and '-', and must not begin with '..'",
        ));
    }
    Ok(())
}

fn is_plain(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-')
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn secrets(ids: &[&str]) -> Result<BuildSecrets, serde_json::Error> {
        let all: Vec<_> = ids
            .iter()
            .map(|id| json!({ "id": id, "secret": format!("of-{id}"), "key": "token" }))
            .collect();
        serde_json::from_value(json!(all))
    }

    #[test]
    fn nothing_in_a_reference_leads_elsewhere() {
        for text in ["a", "npm_token", "A.b-c", "0"] {
            assert!(text.parse::<SecretId>().is_ok(), "{text}");
        }
        for text in [
            "",
            ".",
            "..",
            "-a",
            "a/b",
            "a,src=/etc/passwd",
            "a=b",
            "a b",
            "é",
            "a\0",
        ] {
            assert!(text.parse::<SecretId>().is_err(), "{text:?}");
        }
        for text in ["token", ".dockerconfigjson", "tls.key", "_a", "-a"] {
            assert!(text.parse::<SecretKey>().is_ok(), "{text}");
        }
        for text in ["", ".", "..", "..data", "a/b", "../x", "a b", "a\0"] {
            assert!(text.parse::<SecretKey>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_name_stands_for_one_secret() {
        assert!(secrets(&["a", "b"]).is_ok());
        let twice = secrets(&["a", "b", "a"]).expect_err("a is there twice");
        assert_eq!(twice.to_string(), "has the id a twice");
        let many: Vec<String> = (0..33).map(|n| n.to_string()).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert!(secrets(&many).is_err());
        assert!(secrets(&many[..32]).is_ok());
    }

    #[test]
    fn a_build_reads_what_is_settled_for_its_project_and_nothing_else() {
        let settings = ProjectSettings {
            build_secrets: vec!["of-a".parse().expect("a name"), "of-b".parse().expect("a name")],
            ..ProjectSettings::default()
        };
        assert_eq!(settings.allow_secrets(&BuildSecrets::default()), Ok(()));
        assert_eq!(
            settings.allow_secrets(&secrets(&["b", "a"]).expect("both")),
            Ok(())
        );
        let (place, why) = settings
            .allow_secrets(&secrets(&["a", "c"]).expect("both"))
            .expect_err("c is foreign");
        assert_eq!(place, 1);
        assert!(why.to_string().contains("the Secret of-c"), "{why}");
        let none = ProjectSettings::default();
        assert!(none.allow_secrets(&secrets(&["a"]).expect("one")).is_err());
    }
}
