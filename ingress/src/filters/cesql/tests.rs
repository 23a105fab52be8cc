use std::thread;

use schemas::{Attributes, event};

use super::{EvaluationError, Expression, functions, parser, pattern::Pattern};

pub(super) fn event() -> Attributes {
    Attributes {
        id: "1".to_owned(),
        source: "/shop".to_owned(),
        kind: "com.acme.paid".to_owned(),
        subject: Some("order-7".to_owned()),
        extensions: vec![
            ("priority".to_owned(), event::Value::Integer(5)),
            ("urgent".to_owned(), event::Value::Boolean(true)),
            ("sequence".to_owned(), event::Value::String("07".to_owned())),
        ],
        ..Attributes::default()
    }
}

/// What an expression comes to, as one line: the value and its errors.
fn shown(text: &str) -> String {
    let expression: Expression = text.parse().unwrap_or_else(|why| panic!("{text}: {why}"));
    let event = event();
    let evaluated = expression.evaluate(&event);
    let mut line = match &evaluated.value {
        super::Value::Text(text) => format!("{text:?}"),
        super::Value::Integer(number) => number.to_string(),
        super::Value::Boolean(truth) => truth.to_string(),
    };
    for error in &evaluated.errors {
        line = format!("{line}; {error}");
    }
    line
}

fn check(cases: &[(&str, &str)]) {
    for (text, wanted) in cases {
        assert_eq!(shown(text), *wanted, "{text}");
    }
}

fn mistake(text: &str) -> String {
    Expression::for_filter(text).expect_err(text).to_string()
}

#[test]
fn operators_bind_as_the_specification_ranks_them() {
    check(&[
        ("1 + 2 * 3", "7"),
        ("10 - 2 - 3", "5"),
        ("20 / 2 / 5", "2"),
        ("1 + 1 = 2 AND 2 < 3", "true"),
        ("1 < 2 = TRUE", "true"),
        ("-2 * -3", "6"),
        ("4 -1", "3"),
        ("4 - -1", "5"),
        ("4+1", "5"),
        ("+3", "3"),
        ("- 3", "-3"),
        ("-(1 + 2)", "-3"),
        ("subject LIKE 'order%' = TRUE", "true"),
        ("EXISTS subject LIKE 'tr%'", "true"),
        ("5 IN (1, 5) IN (TRUE)", "true"),
        // NOT binds tighter than LIKE and `=`.
        ("NOT 'true' LIKE 'f%'", "true"),
        ("NOT FALSE = TRUE", "true"),
        ("NOT NOT TRUE", "true"),
        ("- NOT FALSE", "-1"),
        // AND, OR and XOR have one rank, from left to right.
        ("TRUE OR TRUE AND FALSE", "false"),
        ("FALSE AND FALSE OR TRUE", "true"),
        ("TRUE XOR TRUE AND FALSE", "false"),
    ]);
}

#[test]
fn arithmetic_stays_in_32_bits() {
    let long = "a result does not fit 32 bits";
    check(&[
        ("-2147483648", "-2147483648"),
        ("2147483647 + 1", &format!("0; {long}")),
        ("-2147483648 - 1", &format!("0; {long}")),
        ("65536 * 65536", &format!("0; {long}")),
        ("-2147483648 / -1", &format!("0; {long}")),
        ("--2147483648", &format!("0; {long}")),
        ("-2147483648 % -1", "0"),
        ("-7 / 2", "-3"),
        ("-7 % 2", "-1"),
        ("7 % -2", "1"),
        ("1 / 0", "0; a division by zero"),
        ("INT('2147483648')", "0; a value is not an integer of 32 bits"),
        ("INT('+12')", "12"),
        ("INT(' 12')", "0; a value is not an integer of 32 bits"),
        ("INT('')", "0; a value is not an integer of 32 bits"),
    ]);
}

#[test]
fn an_error_in_an_operand_makes_the_operator_zero() {
    let missing = "the event has no attribute `x`";
    check(&[
        ("x", &format!("false; {missing}")),
        ("x + 1", &format!("0; {missing}")),
        ("x != 1", &format!("false; {missing}")),
        ("NOT x", &format!("false; {missing}")),
        ("x NOT LIKE 'a'", &format!("false; {missing}")),
        ("x NOT IN (1)", &format!("false; {missing}")),
        ("5 NOT IN (x)", &format!("false; {missing}")),
        ("5 IN (5, x)", "true"),
        ("5 IN (x, 5)", &format!("false; {missing}")),
        ("LENGTH(x)", &format!("0; {missing}")),
        ("CONCAT('a', x)", &format!("\"\"; {missing}")),
        ("BOOL(x)", &format!("false; {missing}")),
        ("x OR TRUE", &format!("false; {missing}")),
        ("TRUE OR x", "true"),
        ("x + x", &format!("0; {missing}; {missing}")),
        ("EXISTS x", "false"),
        ("x * 5 = 0", &format!("false; {missing}")),
        ("x + 1 + 1", &format!("0; {missing}")),
        ("1 / 0 + 1", "0; a division by zero"),
        ("1 != 1 / 0", "false; a division by zero"),
        ("LENGTH(LEFT('abc', -1))", "0; LEFT: the length is negative"),
    ]);
}

#[test]
fn values_are_cast_to_what_an_operator_takes() {
    check(&[
        ("priority = '5'", "true"),
        ("'5' = priority", "true"),
        ("'05' = priority", "true"),
        ("sequence = 7", "true"),
        ("sequence = '7'", "false"),
        ("urgent = 'true'", "true"),
        ("urgent = 'TRUE'", "false"),
        ("urgent = 1", "true"),
        ("urgent AND priority", "true"),
        ("priority LIKE '5'", "true"),
        ("'abc' = 1", "false; a value is not an integer of 32 bits"),
        ("NOT 10", "true; a value is not a boolean"),
        ("'yes' AND TRUE", "false; a value is not a boolean"),
        ("specversion", "\"1.0\""),
        ("TYPE = 'com.acme.paid'", "true"),
        ("Subject", "\"order-7\""),
    ]);
}

#[test]
fn functions_count_characters_and_not_bytes() {
    check(&[
        ("LENGTH('äöü€')", "4"),
        ("LEFT('äöü€', 2)", "\"äö\""),
        ("RIGHT('äöü€', 2)", "\"ü€\""),
        ("SUBSTRING('äöü€', 2, 2)", "\"öü\""),
        ("SUBSTRING('äöü€', -1)", "\"€\""),
        (
            "SUBSTRING('abc', 1, -1)",
            "\"\"; SUBSTRING: the start is outside the text or the length is negative",
        ),
        ("upper('straße')", "\"STRASSE\""),
        ("TRIM('\u{2003}a b\u{85}')", "\"a b\""),
        ("concat_ws('-', 1, TRUE, 'a')", "\"1-true-a\""),
        ("RIGHT(CONCAT('ab', 'cd'), 3)", "\"bcd\""),
        ("NOPE(1, 2)", "false; there is no function `NOPE` of 2 arguments"),
        ("LENGTH()", "false; there is no function `LENGTH` of 0 arguments"),
    ]);
}

#[test]
fn a_quote_is_escaped_and_every_other_backslash_stays() {
    check(&[
        (r#"'a\'b'"#, r#""a'b""#),
        (r#"'a\"b'"#, r#""a\\\"b""#),
        (r#""a\"b""#, r#""a\"b""#),
        (r"'a\\'", r#""a\\\\""#),
        (r"'\n'", r#""\\n""#),
        ("''", r#""""#),
    ]);
}

#[test]
fn and_and_or_leave_the_right_side_unread() {
    check(&[
        ("FALSE AND 1 / 0 = 1", "false"),
        ("TRUE OR 1 / 0 = 1", "true"),
        ("TRUE AND 1 / 0 = 1", "false; a division by zero"),
        ("TRUE XOR x", "false; the event has no attribute `x`"),
    ]);
}

#[test]
fn a_filter_holds_only_for_true_without_an_error() {
    let holds = |text| Expression::for_filter(text).unwrap().holds(&event());
    assert!(holds("type LIKE 'com.acme.%' AND priority > 3"));
    assert!(holds("urgent"));
    for text in ["priority", "subject", "'true'", "1", "x", "NOT 'abc'", "x * 5 = 0"] {
        assert!(!holds(text), "{text}");
    }
}

#[test]
fn a_mistake_shows_its_place_and_what_to_write() {
    for (text, wanted) in [
        ("", "at the end of the expression: a value is missing; write one"),
        ("type =", "at the end of the expression: a value is missing; write one"),
        ("type == 'a'", "at character 7, `= 'a'`: `=` stands where a value is missing; write one"),
        (
            "type LIKE 123 AND subject = 'abc'",
            "at character 11, `123 AND subject = 'a…`: \
             the pattern of LIKE is a text in quotes; write one",
        ),
        ("type = 'a", "at character 8, `'a`: this text has no end; write a closing '"),
        (
            "ä = 'a'",
            "at character 1, `ä = 'a'`: 'ä' is not part of the language; \
             write names, numbers, texts in quotes and operators",
        ),
        (
            "type = 'a' && TRUE",
            "at character 12, `&& TRUE`: '&' is not part of the language; write AND",
        ),
        ("(1 = 1", "at the end of the expression: a parenthesis is open; write )"),
        ("1 = 1)", "at character 6, `)`: the expression has ended before this; write an operator"),
        ("5 IN ()", "at character 7, `)`: `)` stands where a value is missing; write one"),
        ("5 IN 5", "at character 6, `5`: IN takes values in parentheses; write (1, 2)"),
        ("5 NOT 6", "at character 7, `6`: NOT stands before LIKE or IN here; write one of them"),
        ("EXISTS 5", "at character 8, `5`: EXISTS takes the name of an attribute; write one"),
        ("LIKE", "at character 1, `LIKE`: `LIKE` stands where a value is missing; write one"),
        (
            "'it''s' = 'a'",
            "at character 5, `'s' = 'a'`: an operator is missing before this text; \
             a quote inside a text is written with a backslash before it",
        ),
        (
            "2147483648 = 1",
            "at character 1, `2147483648 = 1`: 2147483648 is not an integer of 32 bits; \
             write one from -2147483648 to 2147483647",
        ),
        (
            "my_ext = 1",
            "at character 1, `my_ext = 1`: `my_ext` is not the name of an attribute; \
             write letters and digits",
        ),
        (
            "data = 'a'",
            "at character 1, `data = 'a'`: `data` is not an attribute, \
             and filters see attributes only; write one, such as `type`",
        ),
        (
            "a = 1 OR b = 2 AND c = 3",
            "at character 16, `AND c = 3`: two of AND, OR and XOR side by side; \
             write parentheses to say which comes first",
        ),
        (
            "FOO(1)",
            "at character 1, `FOO(1)`: there is no function `FOO` of 1 arguments; write one of \
             LENGTH, CONCAT, CONCAT_WS, LOWER, UPPER, TRIM, LEFT, RIGHT, SUBSTRING, ABS, INT, \
             BOOL, STRING",
        ),
        (
            "1 =\n?",
            "at character 5, `?`: '?' is not part of the language; \
             write names, numbers, texts in quotes and operators",
        ),
    ] {
        assert_eq!(mistake(text), wanted, "{text}");
    }
    assert!(mistake("1 = \n =\n\n 2").contains(r"`=\n\n 2`"), "an error stays one line");
}

#[test]
fn what_only_a_filter_refuses_is_still_the_language() {
    for text in ["a = 1 OR b = 2 AND c = 3", "FOO(1)", "data"] {
        assert!(text.parse::<Expression>().is_ok(), "{text}");
    }
    for text in ["a = 1 OR (b = 2 AND c = 3)", "a OR b OR c", "a AND NOT b", "LENGTH(id) > 2"] {
        assert!(Expression::for_filter(text).is_ok(), "{text}");
    }
}

#[test]
fn length_and_depth_are_bounded() {
    let long = format!("'{}'", "a".repeat(super::EXPRESSION_BYTES_MAX));
    assert!(mistake(&long).contains("longer than 16384 bytes"));
    let deep = |n| format!("{}TRUE{}", "(".repeat(n), ")".repeat(n));
    assert!(Expression::for_filter(&deep(parser::DEPTH_MAX - 1)).is_ok());
    assert!(mistake(&deep(parser::DEPTH_MAX)).contains("more than 64 deep"));
    for prefix in ["NOT ", "-", "ABS(", "1 IN ("] {
        assert!(mistake(&prefix.repeat(1000)).contains("more than 64 deep"), "{prefix}");
    }
}

/// The deepest tree that there can be, with every rank of operators at every level, and the widest
/// ones go through parsing, evaluation and dropping on a stack far smaller than a runtime's.
#[test]
fn the_deepest_and_the_widest_expression_need_little_stack() {
    let level = "TRUE AND 1 = 1 + 1 * NOT - (";
    let levels = (parser::DEPTH_MAX - 1) / 3;
    let deep = format!("{}1{}", level.repeat(levels), ") IN (1) LIKE '%'".repeat(levels));
    let wide = ["1 + ", "TRUE AND ", "1 = ", "2 * "].map(|part| format!("{}1", part.repeat(1800)));
    let tested = format!("1{}", " LIKE '%'".repeat(1800));
    let run = move || {
        for text in wide.iter().chain([&deep, &tested]) {
            let expression: Expression = text.parse().unwrap();
            assert!(expression.evaluate(&event()).errors.len() <= text.len());
        }
    };
    thread::Builder::new().stack_size(256 << 10).spawn(run).unwrap().join().unwrap();
}

#[test]
fn a_text_that_grows_without_end_is_an_error() {
    let mut event = event();
    event.subject = Some("a".repeat(functions::TEXT_BYTES_MAX / 2));
    let expression: Expression = "CONCAT(subject, subject, subject) = ''".parse().unwrap();
    let errors = expression.evaluate(&event).errors;
    assert_eq!(errors, [EvaluationError::FunctionEvaluation("CONCAT: the text is too long")]);
    let expression: Expression = "LENGTH(CONCAT(subject, subject)) > 1".parse().unwrap();
    assert!(expression.holds(&event));
}

#[test]
fn a_backslash_in_a_pattern_escapes_only_the_wildcards() {
    for (pattern, text, fits) in [
        (r"a\%", "a%", true),
        (r"a\%", "ab", false),
        (r"a\\%", r"a\%", true),
        (r"a\\%", r"a\b", false),
        (r"a\b", r"a\b", true),
        (r"\", r"\", true),
        ("_", "€", true),
        ("%", "", true),
        ("%%", "", true),
        ("", "", true),
        ("", "a", false),
        ("a%a", "a", false),
        ("%ab%ab%", "abab", true),
        ("%ab%ab", "xab", false),
    ] {
        assert_eq!(Pattern::new(pattern).fits(text), fits, "{text:?} LIKE {pattern:?}");
    }
}
