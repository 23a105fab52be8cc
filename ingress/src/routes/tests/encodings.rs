//! Which spellings of a path are the same path.

use super::*;

#[test]
fn spellings_of_one_path_meet_the_same_route() {
    let doors = build([
        rule("literal").path("/a-b/Caf%C3%A9"),
        rule("written-escaped").path("/%7Euser"),
        rule("slash").path("/x%2fy"),
        rule("nested").path("/x/y"),
        rule("colon").path("/v1/x:run"),
        rule("space").path("/a b/ü"),
        rule("typed").path("/n/{n:int}"),
        rule("prefix").prefix("/shop"),
        rule("regex").regex("/re/[a-z]+"),
    ])
    .unwrap();
    for (path, expected) in [
        ("/a-b/Caf%C3%A9", "literal"),
        ("/a-b/Caf%c3%a9", "literal"),
        ("/a-b/Café", "literal"),
        ("/%61%2Db/%43af%C3%A9", "literal"),
        ("/a-b/caf%C3%A9", "404"),
        ("/~user", "written-escaped"),
        ("/%7euser", "written-escaped"),
        ("/x%2Fy", "slash"),
        ("/x%2fy", "slash"),
        ("/x/y", "nested"),
        ("/x%252Fy", "404"),
        ("/v1/x:run", "colon"),
        ("/v1/x%3Arun", "404"),
        ("/a%20b/%C3%BC", "space"),
        ("/a%20b/ü", "space"),
        ("/a+b/%C3%BC", "404"),
        ("/n/%31%32", "typed"),
        ("/n/%2d1", "typed"),
        ("/n/%2B1", "404"),
        ("/%73hop/x", "prefix"),
        ("/shop%2Fx", "404"),
        ("/re/%61b", "regex"),
        ("/re/a%2Fb", "404"),
    ] {
        assert_eq!(served(&doors, &ask(&format!("GET {path}"))), expected, "{path}");
    }
}

#[test]
fn a_path_that_steps_through_the_tree_fits_no_route() {
    let doors = build([rule("open").prefix("/open"), rule("any")]).unwrap();
    for path in
        ["/open/../shut", "/open/..", "/open/./x", "/open/%2e%2E/shut", "/open/.%2e/x", "/.."]
    {
        assert_eq!(served(&doors, &ask(&format!("GET {path}"))), "404", "{path}");
    }
    assert_eq!(served(&doors, &ask("GET /open/...")), "open");
    assert_eq!(served(&doors, &ask("GET /open/.hidden")), "open");
}
