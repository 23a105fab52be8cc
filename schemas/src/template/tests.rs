use proptest::{collection::vec, prelude::*, sample::select};

use super::*;

/// Every placeholder has the same value.
struct Same<'a>(&'a str);

impl Values for Same<'_> {
    fn value(&self, _: &Source) -> Option<Cow<'_, str>> {
        Some(Cow::Borrowed(self.0))
    }
}

/// The values of one request, by the placeholder's text.
struct Each<'a>(&'a [(&'a str, &'a str)]);

impl Values for Each<'_> {
    fn value(&self, source: &Source) -> Option<Cow<'_, str>> {
        let name = Placeholder { source: source.clone(), many: false, default: None }.to_string();
        self.0.iter().find(|(known, _)| *known == name).map(|(_, value)| Cow::Borrowed(*value))
    }
}

/// Fills every placeholder with the value; `-` stands for a refusal.
fn filled(template: &str, value: &str, grammar: Grammar) -> String {
    let template: Template = template.parse().unwrap();
    template.fill(&Same(value), grammar).unwrap_or_else(|_| "-".to_owned())
}

#[test]
fn a_value_fills_one_segment_of_a_path() {
    for (template, value, expected) in [
        ("/v2/{id}", "a", "/v2/a"),
        ("/v2/{id}", "a/b?c#d%2F é", "/v2/a%2Fb%3Fc%23d%252F%20%C3%A9"),
        ("/v2/{id}", "a&b=c;d+e", "/v2/a%26b%3Dc%3Bd%2Be"),
        ("/v2/{id}", "a:b@c!$'(),*~_-.", "/v2/a:b@c!$'(),*~_-."),
        ("/v2/{id*}", "a/b c", "/v2/a/b%20c"),
        ("/v2/{rest}", "a/b%20c%2Fd;e=f", "/v2/a/b%20c%2Fd;e=f"),
        ("/v2/{rest}", "", "/v2/"),
        ("https://shop.example.com/{rest}", "a/b", "https://shop.example.com/a/b"),
        ("//cdn.example.com/{rest}", "a", "//cdn.example.com/a"),
        ("/a?q={query.q}", "1&admin=1#x", "/a?q=1%26admin%3D1%23x"),
    ] {
        assert_eq!(filled(template, value, Grammar::Path), expected);
    }
}

#[test]
fn no_value_climbs_out_of_a_path_or_names_a_host() {
    for (template, values) in [
        ("/v2/{id}", &["", ".", "..", "../x", "a/../b", "..\\x", "a\\..", "..;x", "a/..;/b"][..]),
        ("/v2/{id*}", &["..", "a/../b", "./a", "a/.", "..;a/b"]),
        (
            "/v2/{rest}",
            &[
                "..",
                "../a",
                "a/../b",
                "a/..",
                ".",
                "%2e%2e/a",
                "a/%2E.",
                "a%2F..%2Fb",
                "..%5Cx",
                "a\\..\\b",
                "..;a/b",
                "a b",
                "a?b",
                "a#b",
                "a\nb",
            ],
        ),
        ("/{rest}", &["/evil.example.com", "\\evil.example.com", "/"]),
        ("/{id*}", &["/evil.example.com"]),
        ("/v2/{a}{b}", &["."]),
        ("/v2/.{a}", &["."]),
        ("/v2/%25{a}", &["2e"]),
    ] {
        for value in values {
            assert_eq!(filled(template, value, Grammar::Path), "-", "{template} {value:?}");
        }
    }
}

#[test]
fn a_value_fills_one_token_of_a_subject() {
    for (template, value, expected) in [
        ("orders.{id}", "a", "orders.a"),
        ("orders.{id}", "a/b:c", "orders.a/b:c"),
        ("orders.{event.type}", "com.acme.paid", "orders.com.acme.paid"),
        ("orders.{id*}", "a/b", "orders.a.b"),
        ("orders.{rest*}", "a/b%20", "-"),
        ("orders.{rest*}", "a/%C3%A9", "orders.a.é"),
        ("orders.{header.x*}", "a.b", "orders.a.b"),
        ("orders-{a}{b}", "1", "orders-11"),
        ("$JS.{a}", "x", "$JS.x"),
        ("{a}", "a$JS", "a$JS"),
    ] {
        assert_eq!(filled(template, value, Grammar::Subject), expected);
    }
}

#[test]
fn no_value_reaches_other_subjects() {
    let long = "a".repeat(SUBJECT_MAX);
    for (template, values) in [
        (
            "orders.{id}",
            &["", "a.b", "*", ">", "a b", "a\tb", "a\r\nPUB x", "\0", "\u{85}", "\u{2003}", &long]
                [..],
        ),
        ("orders.{event.type}", &["", ".", "a..b", "a.", ".a", "a.*", "a.>", "a. .b"]),
        ("orders.{id*}", &["", "a//b", "a/*", "a/b.c", "/a"]),
        ("orders.{rest*}", &["", "a/%2E", "a/%2a", "a/%3E", "%20", "%ff", "a/"]),
        ("{event.type}", &["$JS.API.STREAM.DELETE.ORDERS", "$SYS", "_INBOX.a.b", "_INBOX"]),
        ("{a}.x", &["$JS", "$", "_INBOX"]),
        ("_IN{a}", &["BOX"]),
    ] {
        for value in values {
            assert_eq!(filled(template, value, Grammar::Subject), "-", "{template} {value:?}");
        }
    }
}

#[test]
fn a_value_is_the_name_of_one_function_and_nothing_around_it() {
    assert_eq!(filled("order-{id}.staging", "a_1-B", Grammar::Function), "order-a_1-B.staging");
    for value in ["", ".", "a.b", "a/b", "a:1", "..", "a%2Fb", "a b", "é", "a?x", "a\r\nb"] {
        assert_eq!(filled("{a}", value, Grammar::Function), "-", "{value:?}");
        assert_eq!(filled("{event.type*}", value, Grammar::Function), "-", "{value:?}");
    }
}

#[test]
fn text_has_no_control_character() {
    assert_eq!(filled("a {b} c", "d, é", Grammar::Text), "a d, é c");
    for value in ["a\r\nSet-Cookie: x", "\0", "\t", "\u{7f}", "\u{9b}"] {
        assert_eq!(filled("{b}", value, Grammar::Text), "-");
    }
}

#[test]
fn a_missing_value_takes_the_default_or_is_named_and_an_invalid_one_is_not_shown() {
    let template: Template = "a.{query.x:-none}.{header.X-Y}".parse().unwrap();
    let fill = |values: &[(&str, &str)]| template.fill(&Each(values), Grammar::Subject);
    assert_eq!(fill(&[("header.x-y", "1")]).unwrap(), "a.none.1");
    assert_eq!(fill(&[("header.x-y", "1"), ("query.x", "2")]).unwrap(), "a.2.1");
    assert_eq!(fill(&[]), Err(Unfilled::Missing("header.x-y".to_owned())));
    assert_eq!(
        fill(&[("header.x-y", "a secret")]),
        Err(Unfilled::Invalid("header.x-y".to_owned()))
    );
}

#[test]
fn a_placeholder_that_nobody_fills_is_refused() {
    for text in [
        "{}",
        "{a b}",
        "{foo.bar}",
        "{event.}",
        "{event.data}",
        "{event.Type}",
        "{event.my_ext}",
        "{header.}",
        "{a.b.c}",
        "{*}",
        "{a**}",
    ] {
        let refused = text.parse::<Template>();
        assert!(matches!(refused, Err(BadTemplate::Unknown(_))), "{text}: {refused:?}");
    }
    assert!(matches!("{claim.sub}".parse::<Template>(), Err(BadTemplate::NotBuilt(_))));
}

/// Templates with literals around every kind of placeholder, each of which fills one token.
fn single() -> impl Strategy<Value = String> {
    let place = select(vec!["{a}", "{event.subject}", "{query.q}", "{header.h}", "{query.q:-d}"]);
    vec((select(vec!["a", "a.b.", "a/b/", "/", ".", "-", ""]), place), 1..4).prop_map(|pieces| {
        pieces.into_iter().map(|(literal, place)| format!("{literal}{place}")).collect()
    })
}

fn value() -> impl Strategy<Value = String> {
    prop_oneof![any::<String>(), "[a.*>/\\\\%;$ ]{0,5}", "(\\.|%2e|%2F|/|a|;|\\$JS|_INBOX){0,6}",]
}

proptest! {
    #[test]
    fn no_value_changes_the_number_of_tokens(template in single(), value in value()) {
        let template: Template = template.parse().unwrap();
        if let (Ok(plain), Ok(text)) = (template.fill(&Same("x"), Grammar::Subject), template.fill(&Same(&value), Grammar::Subject)) {
            prop_assert_eq!(text.split('.').count(), plain.split('.').count());
        }
        if let (Ok(plain), Ok(text)) = (template.fill(&Same("x"), Grammar::Path), template.fill(&Same(&value), Grammar::Path)) {
            prop_assert_eq!(text.split('/').count(), plain.split('/').count());
            prop_assert!(!text.contains(['?', '#', '\\', '&', ';', '=']), "{}", text);
        }
    }

    #[test]
    fn no_subject_has_a_wildcard_and_no_path_a_step(
        template in "(a|\\.|/|\\{a\\}|\\{a\\*\\}|\\{rest\\}|\\{rest\\*\\}|\\{event\\.type\\}|\\{query\\.q\\*\\}){1,5}",
        value in value(),
    ) {
        let template: Template = template.parse().unwrap();
        if let Ok(text) = template.fill(&Same(&value), Grammar::Subject) {
            prop_assert!(text.len() <= SUBJECT_MAX && !text.starts_with('$'), "{}", text);
            prop_assert!(text.is_empty() || text.split('.').all(is_token), "{}", text);
        }
        if let Ok(text) = template.fill(&Same(&value), Grammar::Path) {
            prop_assert!(!text.bytes().any(|b| b <= b' ' || matches!(b, b'?' | b'#' | 0x7f)), "{}", text);
            let decoded = percent_encoding::percent_decode_str(&text).decode_utf8_lossy().into_owned();
            for path in [text, decoded] {
                prop_assert!(!path.split(['/', '\\']).any(|segment| matches!(segment, "." | "..")), "{}", path);
            }
        }
    }

    #[test]
    fn printing_and_parsing_a_template_agree(text in "([a-z./$]|%7B|%7d|%25|\\{[a-z]{1,3}\\*?(:-[a-z%{]{0,3})?\\}|\\{event\\.[a-z]{1,3}\\}|\\{header\\.[A-Z-]{1,3}\\}){0,8}") {
        let template: Template = text.parse().unwrap();
        prop_assert_eq!(&template.to_string().parse::<Template>().unwrap(), &template);
    }

    #[test]
    fn no_text_panics(text: String) {
        if let Ok(template) = text.parse::<Template>() {
            prop_assert_eq!(&template.to_string().parse::<Template>().unwrap(), &template);
        }
    }
}
