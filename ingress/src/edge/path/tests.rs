use proptest::prelude::*;

use super::*;

#[track_caller]
fn check(came: &str, becomes: &str) {
    let mut uri: Uri = came.parse().unwrap();
    normalise(&mut uri, &Method::OPTIONS).unwrap_or_else(|fault| panic!("{came}: {fault}"));
    assert_eq!(uri.to_string(), becomes, "{came}");
}

#[track_caller]
fn refused(came: &str) {
    let fault = normal(came).expect_err(came);
    assert_eq!((fault.class, fault.code), (Class::BadRequest, Some("bad_path")), "{came}");
}

#[test]
fn what_is_in_its_one_form_stays_as_it_is() {
    for path in [
        "/",
        "/a/b",
        "/a/b/",
        "/a.b/..c/d..",
        "/.well-known/x",
        "/...",
        "/caf%C3%A9/%c3%a9",
        "/a%20b%3B;c=d",
        "/a%252Fb",
        "/%E2%82%AC/%F0%9F%98%80",
        "/[a]|{b}",
        "*",
    ] {
        check(path, path);
    }
    check("/a?b=//..%2F%zz", "/a?b=//..%2F%zz");
}

#[test]
fn steps_slashes_and_needless_escapes_are_resolved() {
    for (came, becomes) in [
        ("/%61dmin", "/admin"),
        ("/a/%2e%2E/admin", "/admin"),
        ("/a/.%2e/admin", "/admin"),
        ("/a/./b/.", "/a/b/"),
        ("/a/..", "/"),
        ("/a/b/..", "/a/"),
        ("//admin", "/admin"),
        ("/a//..//admin//", "/admin/"),
        ("/a//../b", "/b"),
        ("/%7Euser/%2D%5F", "/~user/-_"),
        ("http://a.test//b/../c?d=e", "http://a.test/c?d=e"),
        ("/a/../b?c=../d", "/b?c=../d"),
    ] {
        check(came, becomes);
    }
    assert_eq!(normal("/caf\u{e9}").unwrap(), "/caf%C3%A9");
}

#[test]
fn what_has_no_single_meaning_is_refused() {
    for path in [
        "/..",
        "/a/../..",
        "/%2e%2e/a",
        "/a%2fb",
        "/a%2Fb",
        "/a\\b",
        "/a%5cb",
        "/a%5C..%5Cb",
        "/a%00",
        "/a%0d%0aHost:b",
        "/a%1f",
        "/a%7f",
        "/a%",
        "/a%4",
        "/a%zz",
        "/a%+1",
        "/a%u002f",
        "/a/..;/b",
        "/a/..;x=1/b",
        "/a/.;/b",
        "/a/..%3b/b",
        "/a/%2e%2e;b",
        "/%c0%af",
        "/%c0%ae%c0%ae/",
        "/%e0%80%af",
        "/%f0%80%80%af",
        "a/b",
    ] {
        refused(path);
    }
}

#[test]
fn only_options_asks_for_the_server_as_a_whole_and_nobody_for_a_tunnel() {
    for (method, target) in [("GET", "*"), ("CONNECT", "a.test:80"), ("GET", "a.test")] {
        let method: Method = method.parse().unwrap();
        let fault = normalise(&mut target.parse().unwrap(), &method).expect_err(target);
        assert_eq!(fault.code, Some("bad_path"), "{target}");
    }
}

/// What a service may do with a path: it decodes it, takes `\` for `/`, drops parameters of dots,
/// and walks along the segments that are left.
fn resolve(path: &str) -> Vec<Vec<u8>> {
    let decoded: Vec<u8> = percent_encoding::percent_decode_str(path).collect();
    let mut out: Vec<Vec<u8>> = Vec::new();
    for segment in decoded.split(|byte| matches!(byte, b'/' | b'\\')) {
        let bare = segment.split(|byte| *byte == b';').next().unwrap_or_default();
        match (segment, bare) {
            (b"", _) | (_, b".") => {}
            (_, b"..") => drop(out.pop()),
            _ => out.push(segment.to_vec()),
        }
    }
    out
}

/// The segments as a route compares them.
fn compared(path: &str) -> Vec<Vec<u8>> {
    let segments = path.split('/').skip(1);
    let segments: Vec<Vec<u8>> =
        segments.map(|one| percent_encoding::percent_decode_str(one).collect()).collect();
    let end = segments.len() - usize::from(segments.last().is_some_and(Vec::is_empty));
    segments[..end].to_vec()
}

fn nasty() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        Just("/"),
        Just("//"),
        Just("."),
        Just(".."),
        Just("/../"),
        Just("%2e"),
        Just("%2E%2e"),
        Just("%2f"),
        Just("%5c"),
        Just("\\"),
        Just("%61"),
        Just("a"),
        Just("admin"),
        Just(";"),
        Just(";x"),
        Just("%3b"),
        Just("%00"),
        Just("%25"),
        Just("%252e"),
        Just("%c0%af"),
        Just("%"),
        Just("%4"),
        Just("\u{e9}"),
        Just("~"),
    ];
    proptest::collection::vec(part, 0..12).prop_map(|parts| format!("/{}", parts.concat()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn a_service_finds_in_the_path_exactly_what_was_compared(path in nasty()) {
        let Ok(sent) = normal(&path) else { return Ok(()) };
        prop_assert_eq!(resolve(&sent), compared(&sent), "{} became {}", path, sent);
        prop_assert_eq!(resolve(&sent), resolve(&path), "{} became {}", path, sent);
    }

    #[test]
    fn the_one_form_of_the_one_form_is_itself(path in nasty()) {
        let Ok(once) = normal(&path) else { return Ok(()) };
        prop_assert_eq!(normal(&once).unwrap(), once.clone(), "{}", path);
        if is_plain(path.as_bytes()) {
            prop_assert_eq!(&*once, path.as_str());
        }
    }
}
