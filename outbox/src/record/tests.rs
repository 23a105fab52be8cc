use http::HeaderValue;
use schemas::Attributes;

use super::*;

fn call() -> Call {
    let mut call = Call::new("/", Body::empty(), Instant::now());
    call.head.uri = "/a?b=c".parse().unwrap();
    for (name, value) in [
        ("content-type", &b"text/plain"[..]),
        ("x-odd", b"\xff"),
        ("x-two", b"1"),
        ("x-two", b"2"),
        ("authorization", b"Bearer secret"),
        ("cookie", b"a=secret"),
    ] {
        let value = HeaderValue::from_bytes(value).unwrap();
        call.head.headers.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), value);
    }
    let event = Attributes {
        id: "1".to_owned(),
        source: "/s".to_owned(),
        kind: "t".to_owned(),
        extensions: vec![
            ("n".to_owned(), Value::Integer(7)),
            ("b".to_owned(), Value::Boolean(true)),
            ("s".to_owned(), Value::String("7".to_owned())),
        ],
        ..Attributes::default()
    };
    call.event.context = Context::Event(Box::new(event), Mode::Binary);
    call.identity = Some(Identity([171; 32]));
    call.parameters = vec![("from".to_owned(), "a".to_owned())];
    call
}

fn stored(call: &Call) -> Record {
    let data = Bytes::from_static(b"\0\xffdata");
    Record::of(call, data, "r", "web", Ack::Replied)
}

#[test]
fn a_call_comes_back_as_it_was_but_for_credentials() {
    let mut call = call();
    let record = stored(&call);
    let bytes = record.encode();
    let back = Record::decode(&bytes).unwrap();
    assert_eq!(back, record);
    let again = back.call(call.deadline);
    call.head.headers.remove("authorization");
    call.head.headers.remove("cookie");
    assert_eq!(again.head.headers, call.head.headers);
    assert_eq!(again.head.uri, call.head.uri);
    assert_eq!(again.head.method, call.head.method);
    assert_eq!(again.identity, call.identity);
    assert_eq!(again.event.attributes(), call.event.attributes());
    assert_eq!(again.event.context.mode(), Some(Mode::Binary));
    assert_eq!(again.event.data.whole().unwrap(), &b"\0\xffdata"[..]);
}

#[test]
fn a_replay_and_a_follower_of_poison_are_marked_and_a_replay_is_another_event() {
    let mut record = stored(&call());
    record.head.headers.push(("ce-id".to_owned(), Text::Text("1".to_owned())));
    let plain = record.call(Instant::now());
    assert_eq!(plain.identity, Some(Identity([171; 32])));
    (record.head.after_poison, record.head.replay) = (true, 2);
    let marked = record.call(Instant::now());
    let event = marked.event.attributes().unwrap();
    let said = |name: &str| event.extension(name).map(|value| value.text().into_owned());
    assert_eq!(said("gussetafterpoison").as_deref(), Some("true"));
    assert_eq!(said("gussetreplay").as_deref(), Some("2"));
    assert_eq!(marked.head.headers["ce-gussetreplay"], "2");
    assert_ne!(marked.identity, plain.identity);
    assert_eq!(marked.event.data.whole(), plain.event.data.whole());
}

#[test]
fn a_replay_goes_elsewhere_with_the_same_bytes_and_order_and_as_new() {
    let mut record = stored(&call());
    (record.head.order, record.head.token) = (Some("k".to_owned()), Some("t".to_owned()));
    (record.head.accepted, record.head.after_poison) = (Millis(1), true);
    let to = Elsewhere {
        target: "bus/a".to_owned(),
        function: "a".to_owned(),
        ack: Ack::Published,
        format: Format::Binary,
    };
    let replay = record.replay_to(&to);
    let head = &replay.head;
    assert_eq!((&*head.target, &*head.function), ("bus/a", "a"));
    assert_eq!((head.ack, head.format, head.replay), (Ack::Published, Format::Binary, 1));
    assert!(head.accepted > record.head.accepted && !head.after_poison);
    assert_eq!((&head.order, &head.token), (&Some("k".to_owned()), &None));
    assert_eq!((&replay.data, &head.headers), (&record.data, &record.head.headers));
    assert_eq!(replay.replay_to(&to).head.replay, 2);
}

#[test]
fn what_the_path_brought_is_kept_and_a_record_from_before_has_none() {
    let bytes = stored(&call()).encode();
    let kept = Record::decode(&bytes).unwrap().call(Instant::now());
    assert_eq!(kept.parameters, [("from".to_owned(), "a".to_owned())]);
    let mut old = call();
    old.parameters.clear();
    let bytes = stored(&old).encode();
    assert!(!String::from_utf8_lossy(&bytes).contains("parameters"));
    assert!(Record::decode(&bytes).unwrap().head.parameters.is_empty());
}

#[test]
fn a_letter_says_what_came_of_it_in_the_words_of_its_platform_too() {
    let mut record = stored(&call());
    let to = Elsewhere {
        target: "bus/dead".to_owned(),
        function: "dead".to_owned(),
        ack: Ack::Published,
        format: Format::Binary,
    };
    let words = [("knativeerrorcode", Value::Integer(422))];
    let letter = record.letter_to(&to, "refused", "unprocessable", 1, &words);
    let event = letter.head.event().unwrap().attributes();
    assert_eq!(event.extension("knativeerrorcode"), Some(&Value::Integer(422)));
    assert_eq!(event.extension("gussetclass"), Some(&Value::String("unprocessable".into())));
    // A plain request has headers of the gateway's own, and no attributes.
    record.head.event = None;
    let letter = record.letter_to(&to, "refused", "unprocessable", 1, &words);
    let names: Vec<_> = letter.head.headers.iter().map(|(name, _)| name.as_str()).collect();
    assert!(names.contains(&"gusset-class"), "{names:?}");
    assert!(!names.iter().any(|name| name.contains("knative")), "{names:?}");
}

#[test]
fn no_credential_is_in_the_bytes() {
    let bytes = stored(&call()).encode();
    let text = String::from_utf8_lossy(&bytes);
    assert!(!text.contains("secret"), "{text}");
}

#[test]
fn what_is_no_record_is_refused_and_a_field_more_is_passed_over() {
    let good = stored(&call()).encode();
    for length in 0..5 {
        assert!(matches!(Record::decode(&good.slice(..length)), Err(BadRecord::Short)));
    }
    assert!(matches!(Record::decode(&good.slice(..40)), Err(BadRecord::Short)));
    let mut newer = BytesMut::from(&good[..]);
    newer[0] = VERSION + 1;
    assert!(matches!(Record::decode(&newer.freeze()), Err(BadRecord::Version(2))));
    let head = br#"{"route":"r","target":"t","function":"f","accepted":1,"ack":"replied",
        "format":"auto","method":"POST","uri":"/","later":true}"#;
    let mut bytes = BytesMut::from(&[VERSION][..]);
    bytes.put_u32(u32::try_from(head.len()).unwrap());
    bytes.put_slice(head);
    assert_eq!(&*Record::decode(&bytes.freeze()).unwrap().head.route, "r");
}
