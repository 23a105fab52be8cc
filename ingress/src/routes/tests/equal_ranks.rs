//! Routes of equal rank: accepted only if one can see that no request fits both.

use serde_json::json;

use super::*;

/// Which pairs clash, by name.
fn clashes(rules: impl IntoIterator<Item = Rule>) -> Vec<(usize, usize)> {
    let clashes = build(rules).err().unwrap_or_default();
    clashes.iter().map(|clash| (clash.a, clash.b)).collect()
}

#[test]
fn two_routes_for_the_same_requests_clash_and_both_are_named() {
    let error = build([
        rule("first").host("a.com").path("/orders/{id}"),
        rule("between"),
        rule("second").host("a.com").host("b.com").path("/orders/{order}"),
    ])
    .unwrap_err();
    assert_eq!(
        error,
        [Clash {
            a: 0,
            b: 2,
            why: "routes `first` and `second` have equal rank on host a.com, path /orders/{id}, \
                  which is the same as path /orders/{order}: one request can fit both; give one a \
                  higher `priority`, or both conditions of which only one can hold"
                .to_owned()
        }]
    );
}

#[test]
fn every_clash_is_told_at_once() {
    let found = clashes([
        rule("a").path("/x"),
        rule("b").path("/x"),
        rule("c").path("/y"),
        rule("d").path("/x"),
        rule("e").path("/y"),
    ]);
    assert_eq!(found, [(0, 1), (0, 3), (2, 4)]);
}

#[test]
fn paths_that_compare_equal_are_equal() {
    assert_eq!(clashes([rule("a").path("/%61"), rule("b").path("/a")]), [(0, 1)]);
    assert_eq!(clashes([rule("a").prefix("/%61"), rule("b").prefix("/a")]), [(0, 1)]);
    assert_eq!(clashes([rule("a").path("/a%2fb"), rule("b").path("/a%2Fb")]), [(0, 1)]);
    assert_eq!(clashes([rule("a").path("/a/"), rule("b").path("/a")]), []);
    assert_eq!(clashes([rule("a").path("/{x:int}"), rule("b").path("/{x}")]), []);
    assert_eq!(clashes([rule("a").host("A.com"), rule("b").host("a.COM.")]), [(0, 1)]);
}

#[test]
fn whatever_decides_keeps_routes_from_clashing() {
    let plain = || rule("a").path("/x");
    for other in [
        rule("b").path("/x").host("a.com"),
        rule("b").path("/{x}"),
        rule("b").prefix("/x"),
        rule("b").path("/x").method("GET"),
        rule("b").path("/x").header("x-a", Condition::Absent),
        rule("b").path("/x").query("q", Condition::Absent),
        rule("b").path("/x").event("t"),
        rule("b").path("/x").priority(1),
    ] {
        assert_eq!(clashes([plain(), other]), []);
    }
}

#[test]
fn conditions_that_exclude_each_other_are_seen() {
    let h = |condition| rule("h").path("/x").header("x-a", condition);
    let q = |condition| rule("q").path("/x").query("q", condition);
    let m = |methods: &[&str]| methods.iter().fold(rule("m").path("/x"), |rule, m| rule.method(m));
    let l = |names: &[&str]| names.iter().fold(rule("l").path("/x"), |rule, l| rule.listener(l));
    let e = |kind| rule("e").path("/x").event(kind);
    let disjoint = [
        (h(exact("1")), h(exact("2"))),
        (h(Condition::Present), h(Condition::Absent)),
        (h(exact("1")), h(Condition::Absent)),
        (h(fits("1")), h(Condition::Absent)),
        (h(exact("1")), h(starts("2"))),
        (h(exact("1")), h(fits("[2-9]"))),
        (h(starts("ab")), h(starts("ac"))),
        (q(exact("1")), q(exact("2"))),
        (q(starts("1")), q(Condition::Absent)),
        (m(&["GET", "PUT"]), m(&["POST", "DELETE"])),
        (m(&["GET"]), m(&["HEAD"])),
        (l(&["web"]), l(&["tls"])),
        (e("a"), e("b")),
        (e("a.*"), e("b.*")),
        (e("a.*"), e("a.b.*")),
    ];
    for (a, b) in disjoint {
        let shown = format!("{:?} {:?}", a.matching, b.matching);
        assert_eq!(clashes([a, Rule { name: "other".to_owned(), ..b }]), [], "{shown}");
    }
    let overlapping = [
        (h(exact("1")), h(exact("1"))),
        (h(exact("1")), h(Condition::Present)),
        (h(exact("12")), h(starts("1"))),
        (h(exact("1")), h(fits("[0-9]"))),
        (h(starts("a")), h(starts("ab"))),
        (h(fits("1")), h(fits("2"))),
        (h(Condition::Absent), h(Condition::Absent)),
        (h(exact("1")), q(exact("2"))),
        (m(&["GET", "PUT"]), m(&["POST", "PUT"])),
        (l(&["web"]), l(&["web", "tls"])),
        (l(&["web"]), rule("any").path("/x")),
        (e("a"), e("a")),
        (e("a.*"), e("a.*")),
        (rule("e").path("/x").any_event(), rule("e").path("/x").any_event()),
    ];
    for (a, b) in overlapping {
        let shown = format!("{:?} {:?}", a.matching, b.matching);
        assert_eq!(clashes([a, Rule { name: "other".to_owned(), ..b }]), [(0, 1)], "{shown}");
    }
}

#[test]
fn filters_are_not_compared_so_that_they_need_priorities() {
    let filtered =
        |name, subject| rule(name).path("/e").filter(json!({ "exact": { "subject": subject } }));
    assert_eq!(clashes([filtered("a", "x"), filtered("b", "y")]), [(0, 1)]);
    assert_eq!(clashes([filtered("a", "x"), filtered("b", "y").priority(1)]), []);
    assert_eq!(clashes([filtered("a", "x").event("t"), rule("b").path("/e").event("t")]), []);
    assert_eq!(clashes([filtered("a", "x"), rule("b").path("/e").any_event()]), []);
}

#[test]
fn regular_expressions_on_one_host_need_different_priorities_or_visible_differences() {
    let a = || rule("a").regex("/a.*");
    let b = || rule("b").regex("/.*b");
    assert_eq!(clashes([a(), b()]), [(0, 1)]);
    assert_eq!(clashes([a(), b().priority(1)]), []);
    assert_eq!(clashes([a(), b().host("a.com")]), []);
    assert_eq!(clashes([a().method("GET"), b().method("POST")]), []);
    // What would decide behind one door comes too late: two expressions are two doors.
    assert_eq!(clashes([a(), b().method("GET")]), [(0, 1)]);
    assert_eq!(clashes([a().method("GET"), b().method("HEAD")]), [(0, 1)]);
    assert_eq!(clashes([a(), b().query("q", Condition::Present)]), [(0, 1)]);
    assert_eq!(clashes([a().event("a"), b().event("b")]), [(0, 1)]);
    assert_eq!(clashes([a().event("a"), a().event("b")]), []);
    let error = build([a(), b()]).unwrap_err();
    assert!(error[0].why.starts_with("routes `a` and `b` have regular expressions on one host"));
}

#[test]
fn a_request_that_fits_both_by_repeating_itself_goes_to_the_first_by_name() {
    check(
        || {
            [
                rule("zero").path("/x").header("x-a", exact("1")),
                rule("one").path("/x").header("x-a", exact("2")),
                rule("two").path("/y").query("v", exact("1")),
                rule("three").path("/y").query("v", exact("2")),
                rule("e").regex("/z.*").query("v", exact("1")),
                rule("d").regex("/.*z").query("v", exact("2")),
            ]
        },
        &[
            (ask("GET /x").with("x-a", "1"), "zero"),
            (ask("GET /x").with("x-a", "1").with("x-a", "2"), "one"),
            (ask("GET /y?v=1&v=2"), "three"),
            (ask("GET /y?v=1"), "two"),
            (ask("GET /zz?v=1&v=2"), "d"),
            (ask("GET /zz?v=1"), "e"),
        ],
    );
}
