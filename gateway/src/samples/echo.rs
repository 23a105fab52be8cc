//! Answers with what it was asked.

use admin::data::Data;
use serde_json::{Map, Value, json};

use super::{Answer, Asked, json as answer};

/// Answers with method, path, query, headers and body, as JSON.
pub(crate) fn echo(asked: Asked) -> Answer {
    let (head, body) = asked.into_parts();
    let mut headers = Map::new();
    for name in head.headers.keys() {
        let values: Vec<String> = head
            .headers
            .get_all(name)
            .iter()
            .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
            .collect();
        headers.insert(name.to_string(), Value::from(values.join(", ")));
    }
    let body = Data::from(&*body);
    let mut said = json!({
        "method": head.method.as_str(),
        "path": head.uri.path(),
        "query": head.uri.query().unwrap_or_default(),
        "headers": headers,
        "body": body.data.unwrap_or_default(),
    });
    if let Some(coded) = body.data_base64 {
        said["body_base64"] = Value::from(coded);
    }
    answer(&said)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::Request;
    use http_body_util::BodyExt as _;

    use super::*;

    #[tokio::test]
    #[expect(clippy::disallowed_methods, reason = "the answer is the test's own")]
    async fn it_says_what_it_was_asked() {
        let asked = Request::post("/echo/a?b=c")
            .header("x-one", "1")
            .header("x-one", "2")
            .body(Bytes::from_static(b"hello"))
            .unwrap();
        let body = echo(asked).into_body().collect().await.unwrap().to_bytes();
        let said: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(
            said,
            json!({
                "method": "POST", "path": "/echo/a", "query": "b=c",
                "headers": {"x-one": "1, 2"}, "body": "hello"
            })
        );
    }

    #[test]
    fn bytes_that_are_no_text_are_said_in_base64() {
        let answer = echo(Request::new(Bytes::from_static(b"\xff")));
        assert!(format!("{:?}", answer.body()).contains("body_base64"), "{answer:?}");
    }
}
