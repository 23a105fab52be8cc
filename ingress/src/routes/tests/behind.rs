//! What decides behind a door, and what is said if nothing fits: the event, methods, the number of
//! conditions, the priority.

use serde_json::json;

use super::*;

#[test]
fn the_event_decides_as_exact_type_longer_prefix_any_event_none() {
    check(
        || {
            [
                rule("exact").path("/e").event("com.acme.order.paid"),
                rule("long").path("/e").event("com.acme.order.*"),
                rule("short").path("/e").event("com.*"),
                rule("event").path("/e").any_event(),
                rule("none").path("/e"),
            ]
        },
        &[
            (ask("POST /e").event("com.acme.order.paid"), "exact"),
            (ask("POST /e").event("com.acme.order.paid.twice"), "long"),
            (ask("POST /e").event("com.acme.orders"), "short"),
            (ask("POST /e").event("org.acme"), "event"),
            (ask("POST /e").event("cöm"), "event"),
            (ask("POST /e"), "none"),
        ],
    );
}

#[test]
fn filters_decide_between_routes_of_one_type_and_before_routes_for_any_event() {
    let subject = |text: &str| json!({ "exact": { "subject": text } });
    check(
        || {
            [
                rule("type-and-subject").path("/e").event("a").filter(subject("x")),
                rule("type").path("/e").event("a").method("POST"),
                rule("prefix-and-subject").path("/e").event("b.*").filter(subject("x")),
                rule("subject").path("/e").filter(subject("x")),
                rule("both")
                    .path("/e")
                    .filter(subject("y"))
                    .filter(json!({ "sql": "n > 1" }))
                    .priority(1),
                rule("any").path("/e").any_event(),
            ]
        },
        &[
            (ask("POST /e").event("a").about("x"), "type-and-subject"),
            (ask("POST /e").event("a").about("y"), "type"),
            (ask("POST /e").event("b.c").about("x"), "prefix-and-subject"),
            (ask("POST /e").event("b.c").about("z"), "any"),
            (ask("POST /e").event("c").about("x"), "subject"),
            (ask("POST /e").event("c").about("y"), "any"),
            (ask("POST /e").event("c"), "any"),
            (ask("POST /e"), "404 event"),
        ],
    );
    let doors = build([rule("x").path("/e").event("a").filter(subject("x")), rule("low")]).unwrap();
    assert_eq!(served(&doors, &ask("POST /e").event("a").about("y")), "404 event");
}

#[test]
fn the_event_decides_before_methods_conditions_and_priority() {
    check(
        || {
            [
                rule("type").path("/e").event("a"),
                rule("method").path("/e").method("POST").query("q", exact("1")).priority(9),
            ]
        },
        &[(ask("POST /e?q=1").event("a"), "type"), (ask("POST /e?q=1").event("b"), "method")],
    );
}

#[test]
fn if_no_event_condition_fits_there_is_no_fall_to_a_lower_door() {
    check(
        || {
            [
                rule("typed").path("/e").event("a"),
                rule("prefixed").path("/e").event("b.*"),
                rule("lower").prefix("/e"),
            ]
        },
        &[
            (ask("POST /e").event("a"), "typed"),
            (ask("POST /e").event("c"), "404 event"),
            (ask("POST /e"), "404 event"),
            (ask("POST /e/x"), "lower"),
        ],
    );
}

#[test]
fn a_door_is_opened_only_by_routes_whose_head_conditions_hold() {
    check(
        || {
            [
                rule("typed").path("/e").method("POST").event("a"),
                rule("lower").prefix("/").method("GET"),
            ]
        },
        &[(ask("GET /e").event("a"), "lower"), (ask("POST /e").event("b"), "404 event")],
    );
}

#[test]
fn a_door_says_whether_the_event_takes_part() {
    let doors = build([
        rule("a").path("/e").method("POST").event("a"),
        rule("b").path("/e").method("PUT"),
        rule("c").path("/e").event("a"),
    ])
    .unwrap();
    let by_event = |text| doors.open(&ask(text).seen()).unwrap().by_event();
    assert!(by_event("POST /e"));
    assert!(by_event("PUT /e"));
    let doors = build([rule("b").path("/e").method("PUT"), rule("c").path("/e")]).unwrap();
    let door = doors.open(&ask("PUT /e").seen()).unwrap();
    assert!(!door.by_event());
    assert!(["b", "c"].contains(&door.head().name.as_str()));
}

#[test]
fn thousands_of_types_stand_behind_one_door() {
    let typed = |n: usize| rule(&format!("t{n}")).path("/e").event(&format!("com.acme.t{n}"));
    let doors =
        build((0..3000).map(typed).chain([rule("else").path("/e").event("com.*")])).unwrap();
    assert_eq!(served(&doors, &ask("POST /e").event("com.acme.t2718")), "t2718");
    assert_eq!(served(&doors, &ask("POST /e").event("com.acme.t9999")), "else");
}

#[test]
fn a_route_with_methods_is_before_one_without() {
    check(
        || [rule("post").path("/x").method("POST"), rule("any").path("/x").priority(5)],
        &[(ask("POST /x"), "post"), (ask("GET /x"), "any"), (ask("PURGE /x"), "any")],
    );
}

#[test]
fn more_conditions_on_headers_and_query_are_before_fewer() {
    check(
        || {
            [
                rule("two").path("/x").header("x-a", exact("1")).query("q", Condition::Present),
                rule("one").path("/x").header("x-a", Condition::Present),
                rule("none").path("/x").priority(5),
            ]
        },
        &[
            (ask("GET /x?q=").with("x-a", "1"), "two"),
            (ask("GET /x").with("x-a", "1"), "one"),
            (ask("GET /x?q"), "none"),
        ],
    );
}

#[test]
fn the_priority_decides_last() {
    check(
        || [rule("low").path("/x"), rule("high").path("/x").priority(1)],
        &[(ask("GET /x"), "high")],
    );
}

#[test]
fn head_is_served_by_get_unless_a_route_names_head() {
    check(
        || {
            [
                rule("get").path("/x").method("GET"),
                rule("any").path("/x"),
                rule("both").path("/y").method("GET"),
                rule("head").path("/y").method("HEAD"),
                rule("post").path("/z").method("POST"),
            ]
        },
        &[
            (ask("HEAD /x"), "get"),
            (ask("OPTIONS /x"), "any"),
            (ask("HEAD /y"), "head"),
            (ask("GET /y"), "both"),
            (ask("OPTIONS /y"), "405 GET HEAD"),
            (ask("HEAD /z"), "405 POST"),
        ],
    );
}

#[test]
fn a_wrong_method_is_told_from_a_wrong_path() {
    check(
        || {
            [
                rule("put").host("a.com").path("/x/{id}").method("PUT").method("PATCH"),
                rule("get").prefix("/x").method("GET"),
                rule("held").path("/x/1").method("POST").header("x-a", Condition::Present),
                rule("else").path("/y"),
            ]
        },
        &[
            (ask("DELETE a.com/x/1"), "405 GET HEAD PATCH PUT"),
            (ask("DELETE b.com/x/1"), "405 GET HEAD"),
            (ask("DELETE b.com/x/1").with("x-a", "1"), "405 GET HEAD POST"),
            (ask("DELETE b.com/z"), "404"),
        ],
    );
}

#[test]
fn a_method_that_another_path_serves_is_served_there() {
    check(
        || [rule("get").path("/x").method("GET"), rule("post").prefix("/").method("POST")],
        &[(ask("POST /x"), "post"), (ask("GET /x"), "get"), (ask("PUT /x"), "405 GET HEAD POST")],
    );
}
