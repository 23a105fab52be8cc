//! What holds for every expression, every pattern and every sum.

use proptest::prelude::*;

use super::{Expression, Value, pattern::Pattern, tests::event};

/// LIKE by its definition, trying every length for each `%`.
fn naive_like(pattern: &[char], text: &[char]) -> bool {
    match pattern {
        [] => text.is_empty(),
        ['%', rest @ ..] => (0..=text.len()).any(|skipped| naive_like(rest, &text[skipped..])),
        ['_', rest @ ..] => !text.is_empty() && naive_like(rest, &text[1..]),
        ['\\', c @ ('%' | '_'), rest @ ..] | [c, rest @ ..] => {
            text.first() == Some(c) && naive_like(rest, &text[1..])
        }
    }
}

/// Text that is nearly an expression.
fn nearly() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "(",
        ")",
        ",",
        "+",
        "-",
        "*",
        "/",
        "%",
        "=",
        "!=",
        "<>",
        "<",
        "<=",
        ">",
        ">=",
        "AND",
        "OR",
        "XOR",
        "NOT",
        "LIKE",
        "EXISTS",
        "IN",
        "TRUE",
        "FALSE",
        "1",
        "0",
        "-2147483648",
        "'a'",
        "'%a_'",
        "'7'",
        "\"\"",
        "'",
        "subject",
        "priority",
        "urgent",
        "missing",
        "LENGTH(",
        "ABS(",
        "CONCAT(",
        "SUBSTRING(",
        "FOO(",
        "IN (1,",
        "é",
        "\\",
    ]);
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.join(" "))
}

/// A tree of arithmetic in parentheses, what it comes to in wide numbers, and whether no step left
/// the 32 bits.
fn arithmetic() -> impl Strategy<Value = (String, i64, bool)> {
    let edge = prop::sample::select(vec![0, 1, -1, i32::MAX, i32::MIN]);
    let leaf =
        prop_oneof![any::<i32>(), edge, -9..10].prop_map(|n| (n.to_string(), i64::from(n), true));
    leaf.prop_recursive(5, 40, 2, |inner| {
        (inner.clone(), prop::sample::select(vec!['+', '-', '*', '/', '%']), inner).prop_map(
            |((left, l, left_ok), sign, (right, r, right_ok))| {
                let value = match sign {
                    '+' => Some(l + r),
                    '-' => Some(l - r),
                    '*' => Some(l * r),
                    '/' => l.checked_div(r),
                    _ => l.checked_rem(r),
                };
                let value =
                    value.filter(|value| left_ok && right_ok && i32::try_from(*value).is_ok());
                let text = format!("({left} {sign} {right})");
                (text, value.unwrap_or(0), value.is_some())
            },
        )
    })
}

proptest! {
    #[test]
    fn no_text_makes_the_parser_or_the_evaluator_panic(
        text in prop_oneof![any::<String>(), nearly()],
    ) {
        match text.parse::<Expression>() {
            Ok(expression) => {
                let event = event();
                let evaluated = expression.evaluate(&event);
                prop_assert_eq!(&evaluated, &expression.evaluate(&event));
                prop_assert!(!expression.holds(&event) || evaluated.errors.is_empty());
                prop_assert_eq!(expression.as_str(), text);
            }
            Err(mistake) => prop_assert_eq!(mistake.to_string().lines().count(), 1),
        }
    }

    #[test]
    fn like_agrees_with_its_definition(
        pattern in "[ab%_\\\\€]{0,8}",
        text in "[ab%_\\\\€]{0,12}",
    ) {
        let naive = naive_like(
            &pattern.chars().collect::<Vec<_>>(),
            &text.chars().collect::<Vec<_>>(),
        );
        prop_assert_eq!(Pattern::new(&pattern).fits(&text), naive);
    }

    #[test]
    fn arithmetic_agrees_with_wide_numbers((text, value, clean) in arithmetic()) {
        let expression: Expression = text.parse().unwrap();
        let event = event();
        let evaluated = expression.evaluate(&event);
        prop_assert_eq!(evaluated.value, Value::Integer(i32::try_from(value).unwrap()));
        prop_assert_eq!(evaluated.errors.is_empty(), clean);
    }
}
