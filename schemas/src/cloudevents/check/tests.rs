use super::*;

#[track_caller]
fn check(rule: fn(&str) -> bool, good: &[&str], bad: &[&str]) {
    for text in good {
        assert!(rule(text), "{text:?} is good");
    }
    for text in bad {
        assert!(!rule(text), "{text:?} is bad");
    }
}

#[test]
fn names_are_lower_case_letters_and_digits() {
    check(
        name,
        &["id", "a", "1st", "comexampleextension1", "averyveryverylongnameindeed"],
        &["", "data", "Id", "my_ext", "my-ext", "my.ext", "größe", "a b", "data_base64"],
    );
}

#[test]
fn strings_have_no_control_characters_and_no_noncharacters() {
    check(
        string,
        &["", "a b", "Euro € 😀", "\u{a0}", "\u{fffd}", "\u{fdcf}\u{fdf0}", "\u{10fffd}"],
        &[
            "\0",
            "a\nb",
            "\t",
            "\u{7f}",
            "\u{80}",
            "\u{9f}",
            "\u{fdd0}",
            "\u{fdef}",
            "\u{fffe}",
            "\u{ffff}",
            "\u{1fffe}",
            "\u{10ffff}",
        ],
    );
}

#[test]
fn timestamps_are_rfc_3339_and_on_the_calendar() {
    check(
        timestamp,
        &[
            "2018-04-05T17:31:00Z",
            "2018-04-05t17:31:00z",
            "2018-04-05T17:31:00.123456789012Z",
            "2018-04-05T17:31:00.1+02:00",
            "1985-04-12T23:20:50.52-23:59",
            "2024-02-29T00:00:00Z",
            "2000-02-29T00:00:00Z",
            "0000-01-01T00:00:00-00:00",
            "9999-12-31T23:59:59Z",
            "1990-12-31T23:59:60Z",
            "1990-12-31T15:59:60-08:00",
            "1991-01-01T05:29:60.5+05:30",
        ],
        &[
            "",
            "now",
            "2018-04-05",
            "2018-04-05T17:31Z",
            "2018-04-05T17:31:00",
            "2018-04-05 17:31:00Z",
            "2018-04-05T17:31:00.Z",
            "2018-04-05T17:31:00,1Z",
            "2018-04-05T17:31:00+02",
            "2018-04-05T17:31:00+0200",
            "2018-04-05T17:31:00+24:00",
            "2018-04-05T17:31:00+01:60",
            "2018-04-05T17:31:00 Z",
            "2018-04-05T24:00:00Z",
            "2018-04-05T23:60:00Z",
            "2018-04-05T23:59:61Z",
            "2018-04-05T12:00:60Z",
            "1990-12-31T23:59:60+01:00",
            "2018-00-05T17:31:00Z",
            "2018-13-05T17:31:00Z",
            "2018-04-31T17:31:00Z",
            "2018-04-00T17:31:00Z",
            "2023-02-29T00:00:00Z",
            "1900-02-29T00:00:00Z",
            "18-04-05T17:31:00Z",
            "+2018-04-05T17:31:00Z",
            "2018-4-5T17:31:00Z",
            "２018-04-05T17:31:00Z",
            "2018-04-05T17:31:00Z ",
        ],
    );
}

#[test]
fn uri_references_follow_rfc_3986() {
    let absolute = [
        "https://github.com/cloudevents",
        "mailto:cncf@lists.cncf.io",
        "urn:uuid:6e8bc430-9c3a-11d9-9669-0800200c9a66",
        "http://user:secret@example.com:8080/a/b;c=1?x=y/z?#f?/",
        "http://[2001:db8::1]:80/",
        "http://[v7.fe80::a+en1]/",
        "file:///etc/hosts",
        "http://example.com:/",
        "x:",
        "https://example.com/schema.json#/definitions/a",
    ];
    let relative = [
        "",
        "/a/b",
        "//host/route",
        "1-555-123-4567",
        "a/b:c",
        "#fragment",
        "?q",
        "../a",
        "%E2%82%AC",
    ];
    let bad = [
        "/a b",
        "a b:c",
        "1a:b",
        ":x",
        "/a%2",
        "/a%zz",
        "/a%",
        "/<x>",
        "/\"",
        "/a|b",
        "/{a}",
        "/a^b",
        "/a\\b",
        "/`",
        "/€",
        "#a#b",
        "/[x]",
        "http://[::1/",
        "http://[zz]/",
        "http://[::1]x/",
        "http://[v.x]/",
        "http://a:b/",
        "http://a b/",
        "http://a@b@c/",
    ];
    check(uri_reference, &absolute, &bad);
    check(uri_reference, &relative, &[]);
    check(uri, &absolute, &bad);
    check(uri, &[], &relative);
}

#[test]
fn media_types_follow_rfc_2046() {
    check(
        media_type,
        &[
            "text/plain",
            "TEXT/Plain; CharSet=utf-8",
            "application/vnd.x+json;charset=\"utf-8\" ; v=1",
            "multipart/mixed; boundary=\"a \\\" b;c\"",
            "application/json;",
            "image/svg+xml ; a=b",
        ],
        &[
            "",
            "xyz",
            "text/",
            "/plain",
            "text/plain/x",
            "text plain",
            "text/pl ain",
            "text/plain x",
            "text/plain; charset",
            "text/plain; =x",
            "text/plain; a=",
            "text/plain; a = b",
            "text/plain; a=\"b",
            "text/plain; a=\"b\"c",
            "text/plain; a=\"é\"",
            "téxt/plain",
            "text/plain, text/html",
            "(comment)/x",
            "text/plain; a b=c",
        ],
    );
}

#[test]
fn json_is_told_by_the_subtype_alone() {
    check(
        is_json,
        &[
            "application/json",
            "Text/JSON; charset=utf-8",
            "application/vnd.x+json ; a=b",
            "x/+json",
            "a/b+JSON",
        ],
        &[
            "",
            "json",
            "application/jsonx",
            "application/json-seq",
            "application/xml; a=+json",
            "application/geo+json-seq",
            "a/xjson",
        ],
    );
}
