//! Build rules: the refs to build, and their tags. They follow Docker Hub's rules, which its users know.

use std::{fmt, str::FromStr};

use regex::{Regex, RegexBuilder};

use super::{
    git::CommitId,
    push::{NamedRef, RefKind},
    text::{Invalid, plain},
};

/// Upper bound in bytes of a compiled expression, which comes from a caller.
const REGEX_SIZE: usize = 256 * 1024;
/// Upper bound in bytes of a pattern and of a template.
const LONGEST: usize = 512;

/// Pattern for the names of refs: one name, or `/expression/`, which must match the whole name.
#[derive(Clone, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RefPattern {
    text: String,
    matcher: Matcher,
}

#[derive(Clone)]
enum Matcher {
    Name,
    Whole(Regex),
}

impl RefPattern {
    /// Returns the text as written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns the name that the pattern stands for; `None` for an expression.
    pub fn name(&self) -> Option<&str> {
        matches!(self.matcher, Matcher::Name).then_some(&self.text)
    }

    /// Returns the texts of the pattern's groups, from `{\1}` on, if the pattern matches; a name has no
    /// groups.
    pub fn captures(&self, name: &str) -> Option<Vec<String>> {
        match &self.matcher {
            Matcher::Name => (self.text == name).then(Vec::new),
            Matcher::Whole(regex) => {
                let found = regex.captures(name)?;
                let group = |group: Option<regex::Match<'_>>| {
                    group.map_or_else(String::new, |text| text.as_str().to_owned())
                };
                Some(found.iter().skip(1).map(group).collect())
            }
        }
    }
}

impl FromStr for RefPattern {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        plain(text, LONGEST)?;
        let expression = text.strip_prefix('/').and_then(|rest| rest.strip_suffix('/'));
        let matcher = match expression {
            None => Matcher::Name,
            Some(expression) => Matcher::Whole(whole(expression)?),
        };
        Ok(Self {
            text: text.to_owned(),
            matcher,
        })
    }
}

/// Compiles an expression that matches the whole of a name. The expression is compiled by itself first:
/// `a)|(b` must not be accepted as a part of a larger one.
fn whole(expression: &str) -> Result<Regex, Invalid> {
    let compile = |text: &str| RegexBuilder::new(text).size_limit(REGEX_SIZE).build();
    let invalid = |error: regex::Error| match error {
        regex::Error::CompiledTooBig(_) => Invalid::new("has an expression that is too large"),
        other => Invalid::new(format_args!("has an expression that cannot be read: {other}")),
    };
    compile(expression).map_err(invalid)?;
    compile(&format!(r"\A(?:{expression})\z")).map_err(invalid)
}

impl fmt::Debug for RefPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RefPattern").field(&self.text).finish()
    }
}

impl PartialEq for RefPattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for RefPattern {}

/// Tag with placeholders: `{sourceref}`, `{\1}` to `{\9}`, and Quay's `${commit_info.short_sha}`,
/// `${parsed_ref.branch}`, `${parsed_ref.tag}`.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TagTemplate {
    text: String,
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    SourceRef,
    Group(usize),
    ShortCommit,
    Named(RefKind),
}

/// Placeholders as written.
const PLACES: [(&str, Part); 4] = [
    ("{sourceref}", Part::SourceRef),
    ("${commit_info.short_sha}", Part::ShortCommit),
    ("${parsed_ref.branch}", Part::Named(RefKind::Branch)),
    ("${parsed_ref.tag}", Part::Named(RefKind::Tag)),
];

impl TagTemplate {
    /// Returns the text as written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Renders the tag of a ref whose name yielded these captures. A slash, as in names of branches, becomes
    /// `-`.
    ///
    /// # Errors
    /// Fails if the result is not a valid tag, if the template uses a group that the pattern does not have,
    /// or if it uses the commit and the commit is unknown.
    pub fn render(
        &self,
        reference: &NamedRef,
        commit: Option<&CommitId>,
        captures: &[String],
    ) -> Result<String, Invalid> {
        let mut tag = String::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => tag.push_str(text),
                Part::SourceRef => tag.push_str(reference.name.as_str()),
                Part::Group(number) => {
                    let group = captures.get(number - 1).ok_or_else(|| {
                        Invalid::new(format_args!(
                            "uses {{\\{number}}}, and the pattern has {} groups",
                            captures.len()
                        ))
                    })?;
                    tag.push_str(group);
                }
                Part::ShortCommit => {
                    let commit = commit
                        .ok_or_else(|| Invalid::new("uses the commit, and which one it is, is not known"))?;
                    tag.push_str(&commit.as_str()[..7]);
                }
                Part::Named(kind) if *kind == reference.kind => tag.push_str(reference.name.as_str()),
                Part::Named(_) => {}
            }
        }
        let tag = tag.replace('/', "-");
        super::image::check_tag(&tag)
            .map_err(|Invalid(why)| Invalid::new(format_args!("gives `{tag}`, which {why}")))?;
        Ok(tag)
    }
}

impl FromStr for TagTemplate {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        plain(text, LONGEST)?;
        let mut parts = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            let (part, after) = next_part(rest)?;
            parts.push(part);
            rest = after;
        }
        Ok(Self {
            text: text.to_owned(),
            parts,
        })
    }
}

fn next_part(rest: &str) -> Result<(Part, &str), Invalid> {
    for (written, part) in PLACES {
        if let Some(after) = rest.strip_prefix(written) {
            return Ok((part, after));
        }
    }
    if let Some(after) = rest.strip_prefix("{\\") {
        let digit = after.chars().next().and_then(|digit| digit.to_digit(10));
        return match (digit, after.get(1..).and_then(|after| after.strip_prefix('}'))) {
            (Some(number @ 1..=9), Some(after)) => Ok((Part::Group(number as usize), after)),
            _ => Err(Invalid::new("has a group that is none of {\\1} to {\\9}")),
        };
    }
    let end = rest.find(['{', '}', '$']).unwrap_or(rest.len());
    if end == 0 {
        return Err(Invalid::new(format_args!(
            "has something at `{rest}` that is no place: {{sourceref}}, {{\\1}} to {{\\9}}, ${{commit_info.short_sha}}, \
             ${{parsed_ref.branch}}, ${{parsed_ref.tag}}"
        )));
    }
    Ok((Part::Text(rest[..end].to_owned()), &rest[end..]))
}

macro_rules! as_text {
    ($name:ident, $example:literal) => {
        impl TryFrom<String> for $name {
            type Error = Invalid;

            fn try_from(text: String) -> Result<Self, Invalid> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(value: $name) -> Self {
                value.text
            }
        }

        impl utoipa::PartialSchema for $name {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
                utoipa::openapi::ObjectBuilder::new()
                    .schema_type(utoipa::openapi::schema::Type::String)
                    .min_length(Some(1))
                    .max_length(Some(LONGEST))
                    .examples([$example])
                    .into()
            }
        }

        impl utoipa::ToSchema for $name {}
    };
}

as_text!(RefPattern, "/^v([0-9.]+)$/");
as_text!(TagTemplate, "release-{sourceref}");

#[cfg(test)]
mod tests;
