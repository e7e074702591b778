use proptest::prelude::*;

use super::*;

fn accepts(text: &str) -> bool {
    parse(text, &["https", "http"]).is_ok()
}

#[test]
fn plain_addresses_pass() {
    for text in [
        "https://host",
        "https://host/",
        "https://git.example.com/team/app.git",
        "http://127.0.0.1:3000/a",
        "http://10.1.2.3/a",
        "http://[::1]:8443/a",
        "http://[2001:db8::1]/a",
        "http://[2001:DB8:0::1]/a",
        "https://Git.Example.com:443/a",
        "https://my_host/a",
        "https://host./a",
        "https://host/~user/x%20y.git",
        "https://host/x?sig=a%2Fb&c=d//e",
        "https://xn--bcher-kva.example/a",
    ] {
        assert!(accepts(text), "{text}: {:?}", parse(text, &["https", "http"]));
    }
}

#[test]
fn hosts_that_parsers_read_differently_are_refused() {
    for host in [
        "2130706433",
        "0x7f000001",
        "0x7f.1",
        "127.1",
        "0177.0.0.1",
        "1.2.3",
        "256.1.1.1",
        "1.2.3.4.",
        "%31.2.3.4",
        "a..b",
        ".a",
        "-a",
        "a-",
        "ho%73t",
        "bücher.example",
        "host:",
        "host:0",
        "host:+80",
        "host:080",
        "host:65536",
        "host:8a",
        "host:80:80",
        "[::1",
        "::1",
        "[::1]x",
        "[::1%25eth0]",
        "a,b",
        "a;b",
        "a(b)",
        "a'b",
        "$(id)",
        "a&b",
        "*",
    ] {
        assert!(!accepts(&format!("http://{host}/a")), "{host}");
    }
}

#[test]
fn addresses_that_serve_no_source_are_refused() {
    for host in [
        "169.254.169.254",
        "0.0.0.0",
        "224.0.0.1",
        "255.255.255.255",
        "[::ffff:169.254.169.254]",
        "[::ffff:a9fe:a9fe]",
        "[::ffff:10.0.0.1]",
        "[::169.254.169.254]",
        "[64:ff9b::a9fe:a9fe]",
        "[2002:a9fe:a9fe::1]",
        "[fe80::1]",
        "[ff02::1]",
        "[::]",
        "[fd00:ec2::254]",
    ] {
        assert!(!accepts(&format!("http://{host}/a")), "{host}");
    }
}

#[test]
fn paths_mean_one_thing_only() {
    for path in [
        "a/../b",
        "..",
        ".",
        "a/%2e%2e/b",
        "..%2f",
        "a%2Fb",
        "a%5cb",
        "a%00b",
        "a%0ab",
        "a%7f",
        "a%",
        "a%2",
        "a%zz",
        "a//b",
        "/a",
        "git://x",
        "a b",
        "a\tb",
        "a\u{a0}",
        "a\\b",
        "a#b",
        "a%23b",
        "a%3fb",
        "{a}",
        "a|b",
        "<a>",
    ] {
        assert!(!accepts(&format!("http://host/{path}")), "{path:?}");
    }
}

#[test]
fn schemes_are_written_out_in_lower_case() {
    for text in [
        "",
        "host",
        "HTTP://host/a",
        "ext::sh -c id",
        "file:///etc/passwd",
        "//host/a",
        "http:/host/a",
        "http:host",
        "http:///a",
        "http://?a",
        " http://host/a",
        "http://host/a ",
        "javascript://host/a",
    ] {
        assert!(!accepts(text), "{text:?}");
    }
}

proptest! {
    #[test]
    fn any_text_is_answered(text in any::<String>()) {
        let _ = parse(&text, &["https"]);
        let _ = parse(&format!("https://{text}"), &["https"]);
    }

    #[test]
    fn the_host_is_what_stands_between_the_slashes(rest in "[a-zA-Z0-9.:@/?%\\[\\]_-]{1,30}") {
        let text = format!("https://{rest}");
        if let Ok(url) = parse(&text, &["https"]) {
            let authority = rest.split(['/', '?']).next().expect("a first part").to_ascii_lowercase();
            let host = url.host_str().expect("checked");
            prop_assert!(authority.starts_with(host) || host.starts_with('['), "{text}");
            prop_assert_eq!(url.username(), "");
            let path = url.path().trim_start_matches('/');
            prop_assert!(path.is_empty() || rest.contains(path), "{text}");
        }
    }
}
