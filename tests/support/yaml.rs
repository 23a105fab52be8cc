//! YAML as JSON values, for files whose shape a test looks at (the core schema's plain scalars).

use saphyr_parser::{Event, Parser, ScalarStyle};
use serde_json::{Map, Value};

/// The first document of a text.
pub(crate) fn to_json(text: &str) -> Value {
    let mut events = Parser::new_from_str(text).map(|event| event.unwrap().0);
    let first = events.find(|event| {
        !matches!(event, Event::Nothing | Event::StreamStart | Event::DocumentStart(_))
    });
    node(first.unwrap(), &mut events)
}

fn node<'a>(event: Event<'a>, events: &mut impl Iterator<Item = Event<'a>>) -> Value {
    match event {
        Event::Scalar(text, style, ..) => scalar(&text, style),
        Event::SequenceStart(..) => {
            let mut items = Vec::new();
            loop {
                match events.next().unwrap() {
                    Event::SequenceEnd => return Value::Array(items),
                    event => items.push(node(event, events)),
                }
            }
        }
        Event::MappingStart(..) => {
            let mut fields = Map::new();
            loop {
                match events.next().unwrap() {
                    Event::MappingEnd => return Value::Object(fields),
                    Event::Scalar(name, ..) => {
                        let value = node(events.next().unwrap(), events);
                        assert!(fields.insert(name.to_string(), value).is_none(), "{name} twice");
                    }
                    event => panic!("a name was expected, not {event:?}"),
                }
            }
        }
        event => panic!("{event:?} is not read here"),
    }
}

fn scalar(text: &str, style: ScalarStyle) -> Value {
    if style != ScalarStyle::Plain {
        return Value::from(text);
    }
    match text {
        "" | "~" | "null" => Value::Null,
        "true" => Value::Bool(true),
        "false" => Value::Bool(false),
        _ => text.parse::<i64>().map_or_else(
            |_| text.parse::<f64>().map_or_else(|_| Value::from(text), Value::from),
            Value::from,
        ),
    }
}
