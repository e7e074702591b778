use proptest::prelude::*;

use super::*;
use crate::domain::push::Push;

fn push(full: &str) -> Push {
    Push {
        reference: NamedRef::of_full(full).unwrap(),
        commit: "0123456789abcdef0123456789abcdef01234567".parse().unwrap(),
        message: None,
    }
}

/// Returns the tag that a rule gives a ref, the reason why it gives none, or `None` if it does not match.
fn tag(pattern: &str, template: &str, full: &str) -> Option<Result<String, String>> {
    let push = push(full);
    let captures = pattern
        .parse::<RefPattern>()
        .unwrap()
        .captures(push.reference.name.as_str())?;
    let tag = template
        .parse::<TagTemplate>()
        .unwrap()
        .render(&push.reference, Some(&push.commit), &captures);
    Some(tag.map_err(|why| why.to_string()))
}

fn good(pattern: &str, template: &str, full: &str) -> String {
    tag(pattern, template, full).unwrap().unwrap()
}

#[test]
fn docker_hubs_own_examples() {
    assert_eq!(good("master", "latest", "refs/heads/master"), "latest");
    assert_eq!(
        good("/^[0-9.]+$/", "release-{sourceref}", "refs/tags/1.2.0"),
        "release-1.2.0"
    );
    let version = r"/^v([0-9]+)\.([0-9]+)\.([0-9]+)$/";
    assert_eq!(
        good(version, r"version-{\1}.{\2}", "refs/tags/v1.2.3"),
        "version-1.2"
    );
    assert_eq!(good("/^feature-(.*)$/", r"{\1}", "refs/heads/feature-x/y"), "x-y");
}

#[test]
fn quays_places_are_known_too() {
    assert_eq!(
        good(
            "main",
            "${parsed_ref.branch}-${commit_info.short_sha}",
            "refs/heads/main"
        ),
        "main-0123456"
    );
    assert_eq!(good("/.*/", "${parsed_ref.tag}", "refs/tags/v1"), "v1");
    // There is no tag in a branch's ref.
    assert_eq!(good("/.*/", "b${parsed_ref.tag}", "refs/heads/main"), "b");
}

#[test]
fn an_expression_matches_the_whole_name_whatever_it_is_made_of() {
    for (pattern, name, matches) in [
        ("/main/", "main", true),
        ("/main/", "maintenance", false),
        ("/a|b/", "b", true),
        ("/a|b/", "ab", false),
        ("/v.*/", "v1\u{e9}", true),
        ("main", "main", true),
        ("m.in", "main", false),
        ("/", "/", true),
    ] {
        let found = pattern.parse::<RefPattern>().unwrap().captures(name).is_some();
        assert_eq!(found, matches, "{pattern} {name}");
    }
}

#[test]
fn what_cannot_be_a_pattern_says_why() {
    for (pattern, why) in [
        ("", "empty"),
        ("/(/", "cannot be read"),
        ("/a)|(b/", "cannot be read"),
        ("/(a{1000}){1000}/", "too large"),
        ("a\0b", "control"),
    ] {
        let error = pattern.parse::<RefPattern>().unwrap_err().to_string();
        assert!(error.contains(why), "{pattern}: {error}");
    }
}

#[test]
fn what_cannot_be_a_template_says_why() {
    for (template, why) in [
        ("", "empty"),
        (r"{\0}", "none of"),
        (r"{\10}", "none of"),
        (r"{\", "none of"),
        ("{branch}", "no place"),
        ("a}", "no place"),
        ("$1", "no place"),
    ] {
        let error = template.parse::<TagTemplate>().unwrap_err().to_string();
        assert!(error.contains(why), "{template}: {error}");
    }
}

#[test]
fn a_result_that_is_no_tag_is_refused_with_the_reason() {
    let empty = tag("/(x?)main/", r"{\1}", "refs/heads/main")
        .unwrap()
        .unwrap_err();
    assert!(empty.starts_with("gives ``, which has a bad tag"), "{empty}");
    assert!(tag("/.*/", "{sourceref}", "refs/heads/é").unwrap().is_err());
    let absent = tag("main", r"{\1}", "refs/heads/main").unwrap().unwrap_err();
    assert_eq!(absent, r"uses {\1}, and the pattern has 0 groups");
}

proptest! {
    #[test]
    fn whatever_comes_in_no_tag_comes_out_that_is_none(
        pattern in ".{0,30}", template in ".{0,30}", name in "[a-zA-Z0-9/._-]{1,40}",
    ) {
        let Some(reference) = NamedRef::of_full(&format!("refs/heads/{name}")) else { return Ok(()) };
        let push = Push { reference, ..push("refs/heads/main") };
        if let (Ok(pattern), Ok(template)) = (pattern.parse::<RefPattern>(), template.parse::<TagTemplate>())
            && let Some(captures) = pattern.captures(push.reference.name.as_str())
            && let Ok(tag) = template.render(&push.reference, Some(&push.commit), &captures)
        {
            let image = format!("registry.test/team/app:{tag}");
            prop_assert!(image.parse::<crate::domain::ImageReference>().is_ok(), "{}", image);
        }
    }
}
