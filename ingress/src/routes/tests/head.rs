//! What opens a door: the rules of docs/routing.md on listeners, hosts, paths, headers and query.

use super::*;

#[test]
fn all_conditions_of_the_head_must_hold() {
    check(
        || {
            [rule("all")
                .listener("web")
                .host("a.com")
                .path("/x")
                .method("POST")
                .header("x-a", exact("1"))
                .query("q", Condition::Present)]
        },
        &[
            (ask("POST a.com/x?q").on("web").with("x-a", "1"), "all"),
            (ask("POST a.com/x?q").on("tls").with("x-a", "1"), "404"),
            (ask("POST b.com/x?q").on("web").with("x-a", "1"), "404"),
            (ask("POST a.com/y?q").on("web").with("x-a", "1"), "404"),
            (ask("PUT a.com/x?q").on("web").with("x-a", "1"), "405 POST"),
            (ask("POST a.com/x?q").on("web").with("x-a", "2"), "404"),
            (ask("POST a.com/x?r").on("web").with("x-a", "1"), "404"),
        ],
    );
}

#[test]
fn an_exact_host_is_before_a_longer_wildcard_before_a_shorter_one_before_none() {
    check(
        || {
            [
                rule("exact").host("shop.eu.example.com"),
                rule("long").host("*.eu.example.com"),
                rule("short").host("*.example.com"),
                rule("any"),
            ]
        },
        &[
            (ask("GET shop.eu.example.com/"), "exact"),
            (ask("GET SHOP.EU.example.com:8080/"), "exact"),
            (ask("GET shop.eu.example.com./"), "exact"),
            (ask("GET x.eu.example.com/"), "long"),
            (ask("GET x.shop.eu.example.com/"), "long"),
            (ask("GET eu.example.com/"), "short"),
            (ask("GET example.com/"), "any"),
            (ask("GET /"), "any"),
        ],
    );
}

#[test]
fn the_best_of_a_routes_hosts_counts() {
    check(
        || [rule("both").host("a.com").host("*.a.com"), rule("wild").host("*.com").path("/x")],
        &[
            (ask("GET a.com/x"), "both"),
            (ask("GET b.a.com/x"), "both"),
            (ask("GET b.com/x"), "wild"),
        ],
    );
}

#[test]
fn the_host_counts_before_the_path() {
    check(
        || [rule("host").host("a.com").prefix("/"), rule("path").path("/x")],
        &[(ask("GET a.com/x"), "host"), (ask("GET b.com/x"), "path")],
    );
}

#[test]
fn an_ip_address_is_a_host() {
    check(
        || [rule("six").host("[::1]"), rule("four").host("127.0.0.1")],
        &[
            (ask("GET [::1]:8080/"), "six"),
            (ask("GET [0:0:0:0:0:0:0:1]/"), "six"),
            (ask("GET 127.0.0.1:8080/"), "four"),
            (ask("GET 127.0.0.2/"), "404"),
        ],
    );
}

#[test]
fn segments_compare_as_literal_typed_untyped_rest() {
    check(
        || {
            [
                rule("literal").path("/o/new"),
                rule("int").path("/o/{n:int}"),
                rule("uuid").path("/o/{u:uuid}"),
                rule("alpha").path("/o/{w:alpha}"),
                rule("untyped").path("/o/{any}"),
                rule("tail").path("/o/{path*}"),
            ]
        },
        &[
            (ask("GET /o/new"), "literal"),
            (ask("GET /o/-12"), "int"),
            (ask("GET /o/6ba7b810-9dad-11d1-80b4-00c04fd430c8"), "uuid"),
            (ask("GET /o/newer"), "alpha"),
            (ask("GET /o/new-1"), "untyped"),
            (ask("GET /o/new/1"), "tail"),
            (ask("GET /o/new/"), "tail"),
            (ask("GET /o/"), "404"),
            (ask("GET /o"), "404"),
        ],
    );
}

#[test]
fn the_first_segment_that_differs_decides() {
    check(
        || [rule("left").path("/a/{x}/{y*}"), rule("right").path("/{x}/b/c")],
        &[(ask("GET /a/b/c"), "left"), (ask("GET /b/b/c"), "right")],
    );
}

#[test]
fn an_exact_path_is_before_a_longer_prefix_before_a_shorter_one_before_regex_before_none() {
    check(
        || {
            [
                rule("exact").path("/{all*}").query("exact", Condition::Present),
                rule("long").prefix("/shop/cart"),
                rule("short").prefix("/shop"),
                rule("regex").regex("/s.*"),
                rule("none"),
            ]
        },
        &[
            (ask("GET /shop/cart?exact"), "exact"),
            (ask("GET /shop/cart"), "long"),
            (ask("GET /shop/cart/1"), "long"),
            (ask("GET /shop/carts"), "short"),
            (ask("GET /shop"), "short"),
            (ask("GET /shopping"), "regex"),
            (ask("GET /other"), "none"),
            (ask("OPTIONS *"), "none"),
        ],
    );
}

#[test]
fn a_prefix_ends_at_a_segments_border() {
    check(
        || [rule("shop").prefix("/shop")],
        &[
            (ask("GET /shop"), "shop"),
            (ask("GET /shop/"), "shop"),
            (ask("GET /shop/x/y"), "shop"),
            (ask("GET /shopping"), "404"),
            (ask("GET /sho"), "404"),
            (ask("GET //shop"), "404"),
        ],
    );
    check(|| [rule("all").prefix("/")], &[(ask("GET /"), "all"), (ask("GET /x"), "all")]);
}

#[test]
fn a_slash_at_the_end_makes_another_path() {
    check(
        || [rule("file").path("/a"), rule("folder").path("/b/"), rule("parameter").path("/c/{x}")],
        &[
            (ask("GET /a"), "file"),
            (ask("GET /a/"), "404"),
            (ask("GET /b/"), "folder"),
            (ask("GET /b"), "404"),
            (ask("GET /c/1"), "parameter"),
            (ask("GET /c/1/"), "404"),
            (ask("GET /c/"), "404"),
        ],
    );
}

#[test]
fn a_regex_has_to_fit_the_whole_path() {
    let loose = || Regex::new("/a|/a/b").unwrap();
    let mut unanchored = rule("unanchored");
    unanchored.matching.path = PathMatch::Regex(Box::new(loose()));
    let doors = build([unanchored]).unwrap();
    assert_eq!(served(&doors, &ask("GET /x/a")), "404");
    assert_eq!(served(&doors, &ask("GET /ab")), "404");
    check(
        || [rule("whole").regex("/a|/a/b")],
        &[(ask("GET /a/b"), "whole"), (ask("GET /a/b/c"), "404"), (ask("GET /x/a"), "404")],
    );
}

#[test]
fn between_regular_expressions_the_higher_priority_decides_before_all_else() {
    check(
        || {
            [
                rule("narrow").regex("/a.*").method("GET").query("q", Condition::Present),
                rule("wide").regex("/.*b").priority(1),
                rule("wide-post").regex("/.*b").method("POST").priority(-1),
            ]
        },
        &[
            (ask("GET /ab?q"), "wide"),
            (ask("GET /aa?q"), "narrow"),
            (ask("POST /ab"), "wide-post"),
            (ask("POST /aa?q"), "405 GET HEAD"),
        ],
    );
}

#[test]
fn between_regular_expressions_only_routes_that_take_part_count() {
    check(
        || {
            [
                rule("top").regex("/a.*").method("GET").priority(5),
                rule("bottom").regex("/a.*").priority(1),
                rule("middle").regex("/.*b").priority(3),
            ]
        },
        &[(ask("GET /ab"), "top"), (ask("POST /ab"), "middle"), (ask("POST /aa"), "bottom")],
    );
}

#[test]
fn a_parameter_holds_its_segment_and_a_rest_all_that_follows() {
    let doors = build([
        rule("order").path("/orders/{id}/items/{n:int}"),
        rule("file").path("/files/{dir}/{path*}"),
    ])
    .unwrap();
    let order = ask("GET /orders/a%2Fb/items/7");
    assert_eq!(captured(&doors, &order, "id").as_deref(), Some("a%2Fb"));
    assert_eq!(captured(&doors, &order, "n").as_deref(), Some("7"));
    assert_eq!(captured(&doors, &order, "rest"), None);
    assert_eq!(captured(&doors, &order, "other"), None);
    let file = ask("GET /files/x/y//z%41/");
    assert_eq!(captured(&doors, &file, "dir").as_deref(), Some("x"));
    assert_eq!(captured(&doors, &file, "path").as_deref(), Some("y//z%41/"));
    assert_eq!(captured(&doors, &file, "rest").as_deref(), Some("y//z%41/"));
}

#[test]
fn routes_of_one_door_may_name_their_parameters_differently() {
    let doors = build([
        rule("a").path("/hooks/{topic}").event("a"),
        rule("b").path("/hooks/{name}").event("b"),
    ])
    .unwrap();
    let (a, b) = (ask("POST /hooks/x").event("a"), ask("POST /hooks/x").event("b"));
    assert_eq!(captured(&doors, &a, "topic").as_deref(), Some("x"));
    assert_eq!(captured(&doors, &b, "name").as_deref(), Some("x"));
    assert_eq!(captured(&doors, &b, "topic"), None);
}

#[test]
fn what_a_prefix_leaves_over_keeps_its_encoding_and_may_be_empty() {
    let doors = build([rule("shop").prefix("/sh%6Fp/now"), rule("root").prefix("/")]).unwrap();
    for (path, rest) in [
        ("/shop/now", ""),
        ("/shop/now/", ""),
        ("/sho%70/now/a%2fb/%41/", "a%2fb/%41/"),
        ("/shop/now//a", "/a"),
        ("/", ""),
        ("/x/y", "x/y"),
    ] {
        let found = captured(&doors, &ask(&format!("GET {path}")), "rest");
        assert_eq!(found.as_deref(), Some(rest), "{path}");
    }
}

#[test]
fn long_values_are_captured_whole() {
    let doors = build([rule("deep").path("/{a}/{b}/{c}/{d}/{e}/{f*}")]).unwrap();
    let long = "x".repeat(500);
    let ask = ask(&format!("GET /{long}1/{long}2/3/4/5/{long}/6"));
    assert_eq!(captured(&doors, &ask, "a"), Some(format!("{long}1")));
    assert_eq!(captured(&doors, &ask, "b"), Some(format!("{long}2")));
    assert_eq!(captured(&doors, &ask, "e").as_deref(), Some("5"));
    assert_eq!(captured(&doors, &ask, "f"), Some(format!("{long}/6")));
}

#[test]
fn a_header_condition_holds_if_one_value_fits() {
    check(
        || {
            [
                rule("present").path("/p").header("x-a", Condition::Present),
                rule("absent").path("/a").header("x-a", Condition::Absent),
                rule("exact").path("/e").header("X-A", exact("1")),
                rule("starts").path("/s").header("x-a", starts("ab")),
                rule("fits").path("/f").header("x-a", fits("a|ab")),
            ]
        },
        &[
            (ask("GET /p").with("x-a", ""), "present"),
            (ask("GET /p"), "404"),
            (ask("GET /a"), "absent"),
            (ask("GET /a").with("x-a", ""), "404"),
            (ask("GET /e").with("x-a", "2").with("x-a", "1"), "exact"),
            (ask("GET /e").with("x-a", "1, 2"), "404"),
            (ask("GET /e").with("x-b", "1"), "404"),
            (ask("GET /s").with("x-a", "abc"), "starts"),
            (ask("GET /s").with("x-a", "bab"), "404"),
            (ask("GET /f").with("x-a", "ab"), "fits"),
            (ask("GET /f").with("x-a", "abc"), "404"),
        ],
    );
}

#[test]
fn a_query_condition_is_compared_after_decoding() {
    check(
        || {
            [
                rule("exact").path("/e").query("a b", exact("c&d")),
                rule("present").path("/p").query("q", Condition::Present),
                rule("absent").path("/a").query("q", Condition::Absent),
                rule("fits").path("/f").query("q", fits("é+")),
            ]
        },
        &[
            (ask("GET /e?a%20b=c%26d"), "exact"),
            (ask("GET /e?x=1&&a%20b=no&a%20b=c%26d"), "exact"),
            (ask("GET /e?a+b=c%26d"), "exact"),
            (ask("GET /e?a%2Bb=c%26d"), "404"),
            (ask("GET /p?q"), "present"),
            (ask("GET /p?%71="), "present"),
            (ask("GET /p?q=%FF"), "present"),
            (ask("GET /p?Q"), "404"),
            (ask("GET /p"), "404"),
            (ask("GET /a?r"), "absent"),
            (ask("GET /a"), "absent"),
            (ask("GET /a?q"), "404"),
            (ask("GET /f?q=%C3%A9%c3%a9"), "fits"),
            (ask("GET /f?q=%C3"), "404"),
        ],
    );
}

#[test]
fn a_route_may_serve_some_listeners_only() {
    check(
        || [rule("web").listener("web").listener("tls").path("/x"), rule("any").prefix("/")],
        &[
            (ask("GET /x").on("web"), "web"),
            (ask("GET /x").on("tls"), "web"),
            (ask("GET /x").on("other"), "any"),
        ],
    );
}

#[test]
fn without_routes_nothing_is_served() {
    assert_eq!(served(&Doors::default(), &ask("GET /")), "404");
    assert_eq!(served(&build([]).unwrap(), &ask("GET a.com/")), "404");
}
