use super::*;

/// Each row of the API's errors: the status that comes with the type, and what it means.
const ROWS: &[(u16, &str, Class, Ran, &str)] = &[
    (400, "InvalidRequestContentException", Class::BadRequest, Ran::No, "invalid_payload"),
    (400, "InvalidParameterValueException", Class::UpstreamProtocol, Ran::No, "call_refused"),
    (400, "ModeNotSupportedException", Class::UpstreamProtocol, Ran::No, "call_refused"),
    (400, "NoPublishedVersionException", Class::UpstreamProtocol, Ran::No, "call_refused"),
    (400, "RecursiveInvocationException", Class::UpstreamProtocol, Ran::No, "call_refused"),
    (400, "SnapStartException", Class::FunctionFailed, Ran::No, "function_cannot_run"),
    (402, "ServiceQuotaExceededException", Class::Unavailable, Ran::No, "quota_exceeded"),
    (403, "InvalidSignatureException", Class::UpstreamAuth, Ran::No, "upstream_auth"),
    (403, "UnrecognizedClientException", Class::UpstreamAuth, Ran::No, "upstream_auth"),
    (403, "AccessDeniedException", Class::UpstreamAuth, Ran::No, "upstream_auth"),
    (403, "ExpiredTokenException", Class::UpstreamAuth, Ran::No, "upstream_auth"),
    (403, "MissingAuthenticationTokenException", Class::UpstreamAuth, Ran::No, "upstream_auth"),
    (403, "EFSMountFailureException", Class::FunctionFailed, Ran::No, "function_cannot_run"),
    (403, "S3FilesMountFailureException", Class::FunctionFailed, Ran::No, "function_cannot_run"),
    (
        404,
        "ResourceNotFoundException",
        Class::FunctionNotDeployed,
        Ran::No,
        "function_not_deployed",
    ),
    (408, "SnapStartTimeoutException", Class::Timeout, Ran::No, "function_start_timeout"),
    (408, "EFSMountTimeoutException", Class::Timeout, Ran::No, "function_start_timeout"),
    (408, "EFSMountConnectivityException", Class::Timeout, Ran::No, "function_start_timeout"),
    (408, "S3FilesMountTimeoutException", Class::Timeout, Ran::No, "function_start_timeout"),
    (409, "ResourceConflictException", Class::Throttled, Ran::No, "function_not_ready"),
    (409, "SnapStartNotReadyException", Class::Throttled, Ran::No, "function_not_ready"),
    (409, "CodeArtifactUserPendingException", Class::Throttled, Ran::No, "function_not_ready"),
    (410, "EFSIOException", Class::FunctionFailed, Ran::Maybe, "function_cannot_run"),
    (413, "RequestTooLargeException", Class::TooLarge, Ran::No, "too_large"),
    (413, "RequestEntityTooLargeException", Class::TooLarge, Ran::No, "too_large"),
    (413, "SerializedRequestEntityTooLargeException", Class::TooLarge, Ran::No, "too_large"),
    (415, "UnsupportedMediaTypeException", Class::UnsupportedMedia, Ran::No, "unsupported_media"),
    (429, "TooManyRequestsException", Class::Throttled, Ran::No, "throttled"),
    (500, "ServiceException", Class::UpstreamProtocol, Ran::Maybe, "platform_failed"),
    (502, "EC2AccessDeniedException", Class::FunctionFailed, Ran::No, "function_cannot_run"),
    (502, "EC2ThrottledException", Class::Throttled, Ran::No, "throttled"),
    (502, "EC2UnexpectedException", Class::Throttled, Ran::No, "function_not_ready"),
    (502, "ENILimitReachedException", Class::FunctionFailed, Ran::No, "function_cannot_run"),
    (502, "ENINotReadyException", Class::Throttled, Ran::No, "function_not_ready"),
    (502, "InvalidRuntimeException", Class::FunctionFailed, Ran::No, "function_cannot_run"),
    (502, "InvalidSecurityGroupIDException", Class::FunctionFailed, Ran::No, "function_cannot_run"),
    (502, "InvalidSubnetIDException", Class::FunctionFailed, Ran::No, "function_cannot_run"),
    (502, "InvalidZipFileException", Class::FunctionFailed, Ran::No, "function_cannot_run"),
    (502, "KMSAccessDeniedException", Class::FunctionFailed, Ran::No, "function_cannot_run"),
    (502, "KMSDisabledException", Class::FunctionFailed, Ran::No, "function_cannot_run"),
    (502, "KMSInvalidStateException", Class::FunctionFailed, Ran::No, "function_cannot_run"),
    (502, "KMSNotFoundException", Class::FunctionFailed, Ran::No, "function_cannot_run"),
    (502, "ResourceNotReadyException", Class::Throttled, Ran::No, "function_not_ready"),
    (
        502,
        "SubnetIPAddressLimitReachedException",
        Class::FunctionFailed,
        Ran::No,
        "function_cannot_run",
    ),
    // Types that nobody knows.
    (403, "", Class::UpstreamAuth, Ran::No, "upstream_auth"),
    (404, "", Class::FunctionNotDeployed, Ran::No, "function_not_deployed"),
    (413, "NewException", Class::TooLarge, Ran::No, "too_large"),
    (429, "", Class::Throttled, Ran::No, "throttled"),
    (400, "NewException", Class::UpstreamProtocol, Ran::Maybe, "platform_failed"),
    (301, "", Class::UpstreamProtocol, Ran::Maybe, "platform_failed"),
    (503, "", Class::UpstreamProtocol, Ran::Maybe, "platform_failed"),
    (504, "", Class::Timeout, Ran::Maybe, "timeout"),
];

fn refusal(status: u16, headers: &[(&'static str, &'static str)], body: &str) -> Refusal {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.insert(*name, HeaderValue::from_static(value));
    }
    Refusal::read(StatusCode::from_u16(status).unwrap(), &map, body.as_bytes()).unwrap()
}

#[test]
fn every_row_of_the_table_is_the_fault_that_it_says() {
    for (status, kind, class, ran, code) in ROWS {
        let body = format!(r#"{{"__type":"{kind}","message":"inner"}}"#);
        let fault = refusal(*status, &[], &body).fault(false);
        assert_eq!(
            (fault.class, fault.ran, fault.name()),
            (*class, *ran, *code),
            "{status} {kind}"
        );
        assert!(!fault.detail.contains("inner"), "the platform's words are for the log");
        assert!(kind.is_empty() || fault.chain().contains(kind), "{}", fault.chain());
    }
}

#[test]
fn a_refused_signature_is_logged_without_the_request_that_was_signed() {
    let body = r#"{"message":"The signature does not match.\n\nThe Canonical String should have been\n'POST\nx-amz-security-token:hunter2'"}"#;
    let kind = [("x-amzn-errortype", "InvalidSignatureException")];
    let said = refusal(403, &kind, body).fault(true).chain();
    assert!(said.contains("does not match") && !said.contains("hunter2"), "{said}");
}

#[test]
fn a_payload_that_was_written_here_is_never_the_callers_mistake() {
    let body = r#"{"Type":"User","message":"x"}"#;
    let kind = [("x-amzn-errortype", "InvalidRequestContentException")];
    let fault = refusal(400, &kind, body).fault(true);
    assert_eq!(fault.class, Class::UpstreamProtocol);
}

#[test]
fn the_type_is_read_wherever_it_stands() {
    for (headers, body) in [
        (&[("x-amzn-errortype", "TooManyRequestsException:http://internal.amazon.com/")][..], "{}"),
        (&[("x-amzn-errortype", "TooManyRequestsException")], "<html>"),
        (&[], r#"{"__type":"com.amazonaws.lambda#TooManyRequestsException","Message":"m"}"#),
        (&[], r#"{"Code":"TooManyRequestsException"}"#),
        (&[], r#"{"code":"TooManyRequestsException","message":"m"}"#),
    ] {
        // 502 is what its status alone would not say.
        let fault = refusal(502, headers, body).fault(true);
        assert_eq!(fault.class, Class::Throttled, "{headers:?} {body}");
    }
}

#[test]
fn a_throttle_says_when_to_come_again() {
    let headers = [("x-amzn-errortype", "TooManyRequestsException"), ("retry-after", "7")];
    let fault = refusal(429, &headers, "{}").fault(true);
    assert_eq!(fault.retry_after, Some(Duration::from_secs(7)));
}

#[test]
fn only_what_fresh_credentials_or_the_right_time_may_help_is_signed_again() {
    for (kind, expected) in [
        ("ExpiredTokenException", true),
        ("InvalidSignatureException", true),
        ("UnrecognizedClientException", true),
        ("RequestTimeTooSkewed", true),
        ("AccessDeniedException", false),
        ("MissingAuthenticationTokenException", false),
        ("TooManyRequestsException", false),
    ] {
        let body = format!(r#"{{"__type":"{kind}"}}"#);
        assert_eq!(refusal(403, &[], &body).is_about_credentials(), expected, "{kind}");
    }
}

#[test]
fn a_function_that_fails_is_told_without_its_stack_trace() {
    let told = |payload: &str| {
        let reply = failed(payload.as_bytes());
        let Verdict::Failed { class, ran: Ran::Maybe, .. } = reply.verdict else {
            panic!("{:?}", reply.verdict)
        };
        let body = reply.data.whole().unwrap();
        (reply.head.status.as_u16(), class, String::from_utf8(body.to_vec()).unwrap())
    };
    let thrown = r#"{"errorMessage":"no tea","errorType":"Error","stackTrace":["at secret.js:1"]}"#;
    let (status, class, body) = told(thrown);
    assert_eq!((status, class), (502, Class::FunctionFailed));
    assert_eq!(body, r#"{"errorType":"Error","errorMessage":"no tea"}"#);
    for late in [
        r#"{"errorType":"Sandbox.Timedout","errorMessage":"RequestId: 1 Error: Task timed out after 3.00 seconds"}"#,
        r#"{"errorMessage":"2026-11-28T06:00:00Z 1 Task timed out after 3.00 seconds"}"#,
    ] {
        let (status, class, _) = told(late);
        assert_eq!((status, class), (504, Class::Timeout), "{late}");
    }
    for odd in ["", "null", "\"boom\"", "{\"errorMessage\":5}", "\u{fffd}"] {
        assert_eq!(told(odd).0, 502, "{odd}");
    }
}

#[test]
fn a_failure_that_an_emulator_tells_by_the_status_is_the_functions() {
    let status = StatusCode::INTERNAL_SERVER_ERROR;
    let body = br#"{"errorType":"&alloc::string::String","errorMessage":"no"}"#;
    assert!(Refusal::read(status, &HeaderMap::new(), body).is_none());
    assert!(Refusal::read(status, &HeaderMap::new(), b"oops").is_some());
}
