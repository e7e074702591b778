//! Refs that git hosts report, and pushes to them.

use super::git::{CommitId, GitRef};

/// Kind of a ref: branch or tag.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    serde::Serialize,
    serde::Deserialize,
    utoipa::ToSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum RefKind {
    /// `refs/heads/…`.
    Branch,
    /// `refs/tags/…`.
    Tag,
}

/// Branch or tag, by its kind and its short name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NamedRef {
    /// Branch or tag.
    pub kind: RefKind,
    /// The name without `refs/heads/` or `refs/tags/`.
    pub name: GitRef,
}

impl NamedRef {
    /// Parses a full ref name; `None` if it is neither a branch nor a tag (notes, pull requests), or not a
    /// valid ref.
    pub fn of_full(text: &str) -> Option<Self> {
        let (kind, name) = [("refs/heads/", RefKind::Branch), ("refs/tags/", RefKind::Tag)]
            .into_iter()
            .find_map(|(prefix, kind)| Some((kind, text.strip_prefix(prefix)?)))?;
        Some(Self {
            kind,
            name: name.parse().ok()?,
        })
    }

    /// Returns the full name, as git writes it.
    pub fn full(&self) -> String {
        let prefix = match self.kind {
            RefKind::Branch => "refs/heads",
            RefKind::Tag => "refs/tags",
        };
        format!("{prefix}/{}", self.name)
    }
}

/// Ref that points at a new commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Push {
    /// The pushed ref.
    pub reference: NamedRef,
    /// The commit that it points at now; for an annotated tag, some hosts send the id of the tag object.
    pub commit: CommitId,
    /// The message of that commit, if the host sends it.
    pub message: Option<String>,
}

/// Markers in a commit's message that prevent its build; git hosts' own CI systems use the same ones.
const SKIP: [&str; 3] = ["[skip build]", "[skip ci]", "[ci skip]"];

impl Push {
    /// Returns the marker in the commit's message that prevents its build, if there is one.
    pub fn skipped_by(&self) -> Option<&'static str> {
        let message = self.message.as_deref()?.to_lowercase();
        SKIP.into_iter().find(|words| message.contains(words))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_names_are_told_apart_and_come_back() {
        for text in [
            "refs/heads/main",
            "refs/heads/feature/x",
            "refs/tags/v1.0",
            "refs/heads/refs/heads/x",
        ] {
            assert_eq!(NamedRef::of_full(text).expect("a branch or a tag").full(), text);
        }
        for text in [
            "main",
            "refs/heads/",
            "refs/pull/1/head",
            "refs/notes/x",
            "refs/heads/a b",
            "refs/heads/-x",
            "refs/tags/a..b",
        ] {
            assert_eq!(NamedRef::of_full(text), None, "{text}");
        }
    }

    #[test]
    fn a_message_may_ask_not_to_be_built() {
        let push = |message: Option<&str>| Push {
            reference: NamedRef::of_full("refs/heads/main").expect("a branch"),
            commit: "0123456789abcdef0123456789abcdef01234567"
                .parse()
                .expect("a commit"),
            message: message.map(str::to_owned),
        };
        assert_eq!(push(Some("Fix it\n\n[Skip CI]")).skipped_by(), Some("[skip ci]"));
        assert_eq!(
            push(Some("[skip build] later")).skipped_by(),
            Some("[skip build]")
        );
        assert_eq!(push(Some("skip ci")).skipped_by(), None);
        assert_eq!(push(None).skipped_by(), None);
    }
}
