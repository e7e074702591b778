//! Query parameters: each is taken by name, and none may be left over.

use std::{borrow::Cow, fmt::Display, str::FromStr};

use axum::extract::FromRequestParts;
use http::request::Parts;
use url::form_urlencoded;

use super::problem::Problem;

/// The parameters of a request that nobody has taken yet.
pub(super) struct Query(Vec<(String, String)>);

impl<S: Send + Sync> FromRequestParts<S> for Query {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let query = parts.uri.query().unwrap_or_default();
        Ok(Self(
            form_urlencoded::parse(query.as_bytes())
                .map(|(name, value)| (name.into_owned(), value.into_owned()))
                .collect(),
        ))
    }
}

impl Query {
    /// All values of a parameter that may be repeated.
    pub(super) fn all(&mut self, name: &str) -> Vec<String> {
        self.0
            .extract_if(.., |(given, _)| given == name)
            .map(|(_, value)| value)
            .collect()
    }

    /// The value of a parameter that may be given once.
    pub(super) fn one<T>(&mut self, name: &str) -> Result<Option<T>, Problem>
    where
        T: FromStr<Err: Display>,
    {
        let mut values = self.all(name);
        if values.len() > 1 {
            return Err(Problem::field(name, "is given more than once"));
        }
        values
            .pop()
            .map(|value| value.parse().map_err(|error| Problem::field(name, error)))
            .transpose()
    }

    /// A whole number within bounds, or its default.
    pub(super) fn number(&mut self, name: &str, min: u64, max: u64, default: u64) -> Result<u64, Problem> {
        let Some(text) = self.one::<String>(name)? else {
            return Ok(default);
        };
        text.parse()
            .ok()
            .filter(|_| !text.starts_with('+'))
            .filter(|number| (min..=max).contains(number))
            .ok_or_else(|| Problem::field(name, format_args!("must be a whole number from {min} to {max}")))
    }

    /// Refuses parameters that nobody took: a filter with a typing error must not show everything.
    pub(super) fn finish(self) -> Result<(), Problem> {
        match self.0.into_iter().next() {
            None => Ok(()),
            Some((name, _)) => {
                let name: String = name.chars().take(100).collect();
                Err(Problem::field(name, "is not a known parameter"))
            }
        }
    }
}

/// A query that leads to another page: these parameters, those that have a value.
pub(super) fn encode<'a>(parameters: impl IntoIterator<Item = (&'a str, Option<Cow<'a, str>>)>) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    for (name, value) in parameters {
        if let Some(value) = value {
            query.append_pair(name, &value);
        }
    }
    query.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(text: &str) -> Query {
        let pairs = form_urlencoded::parse(text.as_bytes());
        Query(pairs.into_owned().collect())
    }

    fn refused<T: std::fmt::Debug>(result: Result<T, Problem>) -> String {
        String::from_utf8(result.expect_err("it is refused").body("1")).expect("JSON is UTF-8")
    }

    #[test]
    fn parameters_are_taken_by_name_and_none_is_left() {
        let mut given = query("a=1&state=x&state=y%2Cz&limit=7");
        assert_eq!(given.one::<u8>("a").expect("it is given once"), Some(1));
        assert_eq!(given.all("state"), ["x", "y,z"]);
        assert_eq!(
            given.number("limit", 1, 10, 5).expect("it is within its bounds"),
            7
        );
        assert_eq!(given.number("offset", 0, 10, 5).expect("it has a default"), 5);
        given.finish().expect("all were taken");
    }

    #[test]
    fn a_refused_parameter_is_named() {
        assert!(refused(query("a=1&a=2").one::<u8>("a")).contains("a is given more than once"));
        assert!(refused(query("a=x").one::<u8>("a")).contains("\"field\":\"a\""));
        for bad in ["0", "11", "-1", "", "1e1", "99999999999999999999"] {
            let said = refused(query(&format!("limit={bad}")).number("limit", 1, 10, 5));
            assert!(
                said.contains("limit must be a whole number from 1 to 10"),
                "{said}"
            );
        }
        assert!(refused(query("labels=1").finish()).contains("labels is not a known parameter"));
    }
}
