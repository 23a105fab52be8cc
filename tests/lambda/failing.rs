//! What a caller is told when Lambda, or a function, does not do what it is asked.

use serde_json::json;

use super::{config, gateway, route};
use crate::support::{
    Gateway, eventually, free_port,
    gateway::request,
    lambda::{Lambda, Outcome},
};

/// Each row of the errors that Lambda answers with: what it says, and what the caller is told.
const ROWS: &[(u16, &str, u16, &str, &str, bool)] = &[
    (400, "InvalidRequestContentException", 502, "call_refused", "no", false),
    (400, "InvalidParameterValueException", 502, "call_refused", "no", false),
    (402, "ServiceQuotaExceededException", 503, "quota_exceeded", "no", false),
    (403, "AccessDeniedException", 502, "upstream_auth", "no", false),
    (403, "EFSMountFailureException", 502, "function_cannot_run", "no", false),
    (404, "ResourceNotFoundException", 502, "function_not_deployed", "no", false),
    (408, "SnapStartTimeoutException", 504, "function_start_timeout", "no", false),
    (409, "ResourceConflictException", 503, "function_not_ready", "no", true),
    (409, "SnapStartNotReadyException", 503, "function_not_ready", "no", true),
    (410, "EFSIOException", 502, "function_cannot_run", "maybe", false),
    (413, "RequestTooLargeException", 413, "too_large", "no", false),
    (415, "UnsupportedMediaTypeException", 415, "unsupported_media", "no", false),
    (429, "TooManyRequestsException", 503, "throttled", "no", true),
    (500, "ServiceException", 502, "platform_failed", "maybe", false),
    (502, "KMSAccessDeniedException", 502, "function_cannot_run", "no", false),
    (502, "ENINotReadyException", 503, "function_not_ready", "no", true),
    (502, "EC2ThrottledException", 503, "throttled", "no", true),
    (502, "ResourceNotReadyException", 503, "function_not_ready", "no", true),
];

#[test]
fn every_error_of_the_platform_is_told_by_the_table() {
    let lambda = Lambda::start(|invocation| {
        let row: usize = invocation.function.strip_prefix("row-")?.parse().ok()?;
        Some(Outcome::Refuses(ROWS[row].0, ROWS[row].1, &[]))
    });
    let routes: String = (0..ROWS.len())
        .map(|n| format!("  - {{ name: r-{n}, match: {{ path: /{n} }}, to: aws/row-{n} }}\n"))
        .collect();
    let gateway = gateway(&lambda, "", &routes);
    for (n, (_, kind, status, code, ran, again)) in ROWS.iter().enumerate() {
        let before = lambda.seen().len();
        let problem = gateway.post(&format!("/{n}"), &[], "x").problem(*status, code);
        assert_eq!(problem["ran"], *ran, "{kind}");
        assert!(!problem.to_string().contains("inner words"), "{problem}");
        let tries = lambda.seen().len() - before;
        assert_eq!(tries, if *again { 2 } else { 1 }, "{kind}");
    }
}

#[test]
fn a_throttle_is_told_with_when_to_come_again() {
    let lambda = Lambda::start(|_| {
        Some(Outcome::Refuses(429, "TooManyRequestsException", &["Retry-After: 17"]))
    });
    let gateway = gateway(&lambda, "", &route("orders", ", policy: { retry: { attempts: 1 } }"));
    let answer = gateway.get("/");
    answer.problem(503, "throttled");
    assert_eq!(answer.header("retry-after"), Some("17"));
}

#[test]
fn a_functions_own_failure_is_an_answer_without_its_stack_trace() {
    let lambda = Lambda::start(|invocation| {
        Some(match invocation.function.as_str() {
            "slow" => Outcome::Fails(json!({
                "errorType": "Sandbox.Timedout",
                "errorMessage": "RequestId: 1 Error: Task timed out after 3.00 seconds",
            })),
            _ => Outcome::Fails(json!({
                "errorType": "Error", "errorMessage": "no tea", "stackTrace": ["at /var/task/x.js"],
            })),
        })
    });
    let routes = "
  - { name: a, match: { path: /slow }, to: aws/slow }
  - { name: b, match: { path: /thrown }, to: aws/thrown }
  - { name: c, match: { path: /plain }, to: aws/thrown, format: plain }
";
    let gateway = gateway(&lambda, "", routes);
    let answer = gateway.get("/slow");
    assert_eq!((answer.status, answer.header("gusset-ack")), (504, Some("replied")));
    for path in ["/thrown", "/plain"] {
        let answer = gateway.post(path, &[], "{}");
        assert_eq!(answer.status, 502);
        assert_eq!(answer.json(), json!({"errorType": "Error", "errorMessage": "no tea"}));
    }
    eventually("the records say whose failure it was", || {
        let records = gateway.stdout();
        let of = |class: &str| records.iter().filter(|line| line.contains(class)).count();
        (of("\"class\":\"function_failed\"") == 2 && of("\"class\":\"timeout\"") == 1).then_some(())
    });
    assert_eq!(lambda.seen().len(), 3, "it may have run, and is not called again");
}

#[test]
fn an_answer_that_is_none_is_a_502_with_the_reason() {
    let lambda = Lambda::start(|invocation| {
        Some(match invocation.function.as_str() {
            "text" => Outcome::Returns(b"hello".to_vec()),
            "status" => Outcome::json(&json!({"statusCode": 99})),
            "half" => {
                Outcome::Breaks(b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{\"sta".to_vec())
            }
            _ => Outcome::Breaks(b"HTTP/1.1 200 OK\r\nContent-Le".to_vec()),
        })
    });
    let routes: String = ["text", "status", "half", "head"]
        .iter()
        .map(|name| format!("  - {{ name: {name}, match: {{ path: /{name} }}, to: aws/{name} }}\n"))
        .collect();
    let gateway = gateway(&lambda, "", &routes);
    let problem = gateway.get("/text").problem(502, "bad_reply");
    assert!(problem["detail"].as_str().unwrap().contains("JSON"), "{problem}");
    let problem = gateway.get("/status").problem(502, "bad_reply");
    assert!(problem["detail"].as_str().unwrap().contains("statusCode"), "{problem}");
    for path in ["/half", "/head"] {
        let problem = gateway.get(path).problem(502, "upstream_protocol");
        assert_eq!(problem["ran"], "maybe");
    }
}

#[test]
fn nothing_that_listens_ran_nothing_and_silence_may_have_run_it() {
    let upstream = format!(
        "kind: lambda, region: x-1, endpoint: \"http://127.0.0.1:{}\", credentials: {{ access_key: \
         {{ file: key }}, secret_key: {{ file: key }} }}",
        free_port()
    );
    let refused = Gateway::run_with(&config(&upstream, "", &route("orders", "")), |folder| {
        std::fs::write(folder.join("key"), "k").unwrap();
    });
    let problem = refused.get("/").problem(502, "connect_failed");
    assert_eq!(problem["ran"], "no");

    let lambda = Lambda::start(|_| Some(Outcome::Silent));
    let gateway = gateway(&lambda, "", &route("orders", ", policy: { timeout: 500ms }"));
    let problem = gateway.post("/", &[], "x").problem(504, "timeout");
    assert_eq!(problem["ran"], "maybe");
    lambda.await_cancelled(1);
}

#[test]
fn a_call_stops_when_its_caller_goes() {
    let lambda = Lambda::start(|_| Some(Outcome::Silent));
    let gateway = gateway(&lambda, "", &route("orders", ""));
    let mut client = gateway.client();
    client.send(request("POST", "/", &[], b"x"));
    eventually("the call is made", || (!lambda.seen().is_empty()).then_some(()));
    drop(client);
    lambda.await_cancelled(1);
}
