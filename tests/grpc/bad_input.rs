use super::both;

#[test]
fn bad_input_is_a_400_that_names_the_field() {
    let Some((_server, gateway)) = both() else { return };
    // Six million bytes of text for a message of four.
    let huge = format!("{{\"tags\":[{}\"\"]}}", "\"\",".repeat(2_200_000));
    let deep = format!("{{\"tags\":{}", "[".repeat(5000));
    let cases: &[(&[u8], &str)] = &[
        (b"{\n  \"to\": }", ""),
        (b"", "-"),
        (br#"{"to":1}"#, "to"),
        (br#"{"small":3000000000}"#, "small"),
        (br#"{"amountCents":"x"}"#, "amountCents"),
        (br#"{"note":"%%%"}"#, "note"),
        (br#"{"kind":"KIND_NONE"}"#, "kind"),
        (br#"{"text":"a","code":1}"#, "code"),
        (br#"{"at":"yesterday"}"#, "at"),
        (br#"{"nothing":1}"#, ""),
        (b"{\"to\":\"\xFF\"}", "to"),
        (deep.as_bytes(), "tags"),
        (huge.as_bytes(), "tags"),
        (br#"{"to":"a","to":"b"}"#, "to"),
        (br#"{"at":"2024-02-30T00:00:00Z"}"#, "at"),
        (br#"{"small":1.5}"#, "small"),
        (br#"{"tags":["a",null]}"#, "tags[1]"),
        (br#"[]"#, ""),
        (br#"{} {}"#, ""),
        // Nothing here is inflated: a compressed text is no text.
        (b"\x1f\x8b\x08\0\0\0\0\0", ""),
    ];
    for (body, field) in cases {
        let shown = String::from_utf8_lossy(&body[..body.len().min(60)]).into_owned();
        let answer = gateway.post("/v1/accounts/a/transfers", &[], body);
        if *field == "-" {
            assert_eq!(answer.status, 200, "{shown}");
            continue;
        }
        assert_eq!(answer.status, 400, "{shown}: {}", answer.text());
        let said = answer.json();
        assert_eq!(said["code"], "invalid_message", "{shown}: {said}");
        assert_eq!(said["ran"], "no");
        let violation = &said["violations"][0];
        assert_eq!(violation["in"], "body", "{shown}: {said}");
        assert!(violation["line"].as_u64() >= Some(1), "{said}");
        let named = violation["field"].as_str().unwrap();
        assert!(named.starts_with(field), "{shown}: {said}");
    }
    let answer = gateway.get("/v1/fail/many");
    assert_eq!((answer.status, answer.json()["violations"][0]["in"].clone()), (400, "path".into()));
    let answer = gateway.get("/v1/fail/5?nothing=1");
    let violation = answer.json()["violations"][0].clone();
    assert_eq!((answer.status, violation["in"].clone()), (400, "query".into()));
    assert_eq!(gateway.get("/v1/accounts//transfers/b").status, 404);
    gateway.post("/move/%FF", &[], "{}").problem(400, "placeholder_invalid");
}

#[test]
fn a_message_over_the_limit_is_refused_before_it_is_sent() {
    let Some((_server, gateway)) = both() else { return };
    let note = "A".repeat(6 << 20);
    let answer = gateway.post("/move/a", &[], format!(r#"{{"note":"{note}"}}"#));
    assert!([400, 413].contains(&answer.status), "{}", answer.text());
    assert_eq!(answer.json()["ran"], "no");
}
