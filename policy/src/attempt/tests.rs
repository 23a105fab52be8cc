use std::{cell::RefCell, collections::VecDeque};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use http_body::{Body as _, Frame};
use proptest::prelude::*;
use schemas::{Body, BodyError};
use tokio::sync::mpsc;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn policy(attempts: u32, on: &[On]) -> Policy {
    let mut policy = Policy::default();
    policy.retry.attempts = attempts;
    policy.retry.on = on.to_vec();
    policy
}

/// A target that nothing guards.
fn free() -> Guards {
    Guards::default()
}

fn on(names: &[OnName]) -> Vec<On> {
    names.iter().copied().map(On::Named).collect()
}

fn call(method: Method, body: &'static str) -> Call {
    let deadline = (Instant::now() + 15 * SECOND).into_std();
    let mut call = Call::new("", Body::from(Bytes::from_static(body.as_bytes())), deadline);
    call.head.method = method;
    call.head.headers.append("x-a", HeaderValue::from_static("1"));
    call.head.headers.append("x-a", HeaderValue::from_static("2"));
    call
}

fn reply(status: u16, verdict: Verdict) -> Reply {
    let status = StatusCode::from_u16(status).unwrap();
    Reply { verdict, ..Reply::ok(status, HeaderMap::new(), Body::empty()) }
}

fn throttled(retry_after_ms: Option<u32>) -> Reply {
    reply(429, Verdict::Failed { class: Class::Throttled, ran: Ran::No, retry_after_ms })
}

fn failed() -> Reply {
    let failed =
        Verdict::Failed { class: Class::FunctionFailed, ran: Ran::Maybe, retry_after_ms: None };
    reply(503, failed)
}

fn ok() -> Reply {
    reply(200, Verdict::Ok)
}

fn seen(call: &Call) -> (u32, Option<EndpointId>, usize) {
    (call.attempt, call.avoid, call.head.headers.get_all("x-a").iter().count())
}

#[tokio::test(start_paused = true)]
async fn a_throttled_call_is_sent_again_whole_and_elsewhere() {
    let tries = RefCell::new(Vec::new());
    let done =
        attempt(&Policy::default(), &free(), call(Method::POST, "hello"), async |call: Call| {
            tries.borrow_mut().push(seen(&call));
            assert_eq!(call.event.data.collect(5).await.unwrap(), "hello");
            let first = tries.borrow().len() == 1;
            let endpoint = Some(EndpointId(7));
            Ok(if first { Reply { endpoint, ..throttled(None) } } else { ok() })
        })
        .await;
    assert_eq!(done.attempts, 2);
    assert_eq!(done.result.unwrap().verdict, Verdict::Ok);
    assert_eq!(*tries.borrow(), [(1, None, 2), (2, Some(EndpointId(7)), 2)]);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_was_not_sent_comes_back_and_is_sent_without_a_copy() {
    let policy = policy(3, &on(&[OnName::Connect]));
    let mut call = call(Method::POST, "");
    let (_feed, body) = mpsc::channel(1);
    call.event.data = Body::boxed(Fed(body));
    let done = attempt(&policy, &free(), call, async |call: Call| {
        let endpoint = EndpointId(u16::try_from(call.attempt).unwrap());
        assert!(call.event.data.whole().is_none());
        Err(Fault::new(Class::ConnectFailed, "refused").at(endpoint).unsent(call))
    })
    .await;
    assert_eq!(done.attempts, 3);
    let fault = done.result.unwrap_err();
    assert_eq!((fault.class, fault.ran), (Class::ConnectFailed, Ran::No));
    assert_eq!(fault.unsent.unwrap().avoid, Some(EndpointId(2)));
}

#[tokio::test(start_paused = true)]
async fn what_the_platform_asks_for_is_waited_and_no_longer_than_the_deadline() {
    let since = Instant::now();
    let done = attempt(&Policy::default(), &free(), call(Method::GET, ""), async |call: Call| {
        Ok(if call.attempt == 1 { throttled(Some(3_000)) } else { ok() })
    })
    .await;
    assert_eq!(done.attempts, 2);
    assert!(since.elapsed() >= 3 * SECOND && since.elapsed() < 4 * SECOND);

    // Given up at once: nobody waits for nothing.
    let since = Instant::now();
    let done = attempt(&Policy::default(), &free(), call(Method::GET, ""), async |_| {
        Ok(throttled(Some(15_000)))
    })
    .await;
    assert_eq!((done.attempts, since.elapsed()), (1, Duration::ZERO));
    assert_eq!(done.result.unwrap().head.status, 429);
}

#[tokio::test(start_paused = true)]
async fn a_try_that_takes_too_long_may_have_run() {
    let since = Instant::now();
    let done = attempt(&Policy::default(), &free(), call(Method::GET, ""), async |_| {
        std::future::pending().await
    })
    .await;
    let fault = done.result.unwrap_err();
    assert_eq!((fault.class, fault.ran, done.attempts), (Class::Timeout, Ran::Maybe, 1));
    assert!(since.elapsed() >= 10 * SECOND && since.elapsed() < 11 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn a_timeout_is_worth_another_try_until_the_deadline() {
    let policy = policy(5, &on(&[OnName::Timeout]));
    let since = Instant::now();
    let done =
        attempt(&policy, &free(), call(Method::GET, ""), async |_| std::future::pending().await)
            .await;
    assert_eq!((done.attempts, done.result.unwrap_err().class), (2, Class::Timeout));
    assert!(since.elapsed() >= 15 * SECOND && since.elapsed() < 16 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn a_call_whose_time_is_up_is_not_sent() {
    let mut call = call(Method::GET, "");
    call.deadline = Instant::now().into_std();
    let done =
        attempt(&Policy::default(), &free(), call, async |_| unreachable!("it was sent")).await;
    let fault = done.result.unwrap_err();
    assert_eq!((fault.class, fault.ran, done.attempts), (Class::Timeout, Ran::No, 0));
}

#[tokio::test(start_paused = true)]
async fn what_an_earlier_try_may_have_done_is_not_forgotten() {
    let policy = policy(2, &on(&[OnName::Failed]));
    let done =
        attempt(&policy, &free(), call(Method::PUT, "x"), async |call: Call| match call.attempt {
            1 => Ok(failed()),
            _ => Err(Fault::new(Class::ConnectFailed, "refused").unsent(call)),
        })
        .await;
    assert_eq!(done.result.unwrap_err().ran, Ran::Maybe);
}

#[tokio::test(start_paused = true)]
async fn a_stream_is_not_held_back_and_is_sent_again_from_its_first_byte() {
    let (feed, body) = mpsc::channel(1);
    let mut call = call(Method::POST, "");
    call.event.data = Body::boxed(Fed(body));
    feed.send(Bytes::from_static(b"one ")).await.unwrap();
    let mut feed = Some(feed);
    let policy = Policy::default();
    let done = attempt(&policy, &free(), call, async |mut call: Call| {
        if call.attempt == 1 {
            // Answered early, with the stream still open: the first chunk is here already.
            assert_eq!(next(&mut call.event.data).await, "one ");
            feed.as_ref().unwrap().send(Bytes::from_static(b"two ")).await.unwrap();
            assert_eq!(next(&mut call.event.data).await, "two ");
            return Ok(throttled(None));
        }
        let feed = feed.take().unwrap();
        feed.send(Bytes::from_static(b"three")).await.unwrap();
        drop(feed);
        assert_eq!(call.event.data.collect(99).await.unwrap(), "one two three");
        Ok(ok())
    })
    .await;
    assert_eq!((done.attempts, done.result.unwrap().verdict), (2, Verdict::Ok));
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_here_already_is_whole() {
    let (feed, body) = mpsc::channel(1);
    let mut call = call(Method::POST, "");
    call.event.data = Body::boxed(Known(Fed(body), 5));
    feed.send(Bytes::from_static(b"hello")).await.unwrap();
    let done = attempt(&Policy::default(), &free(), call, async |call: Call| {
        assert_eq!(call.event.data.whole().unwrap(), "hello");
        Ok(if call.attempt == 1 { throttled(None) } else { ok() })
    })
    .await;
    assert_eq!((done.attempts, done.result.unwrap().verdict), (2, Verdict::Ok));
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_broke_before_the_first_try_does_not_pass_for_an_empty_one() {
    let (feed, body) = mpsc::channel(1);
    let mut call = call(Method::POST, "");
    call.event.data = crate::guard_body(Body::boxed(Fed(body)), Duration::from_secs(1), Some(4));
    feed.send(Bytes::from_static(b"hello")).await.unwrap();
    attempt(&Policy::default(), &free(), call, async |call: Call| {
        let body = call.event.data;
        assert_eq!((body.is_end_stream(), body.size_hint().exact()), (false, None));
        assert!(matches!(body.collect(99).await, Err(BodyError::TooLarge { limit: 4 })));
        Ok(ok())
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_100_is_not_told_to_go_on_before_the_try() {
    let (feed, body) = mpsc::channel(1);
    let mut call = call(Method::POST, "");
    call.head.headers.insert(header::EXPECT, HeaderValue::from_static("100-continue"));
    call.event.data = Body::boxed(Known(Fed(body), 5));
    feed.send(Bytes::from_static(b"hello")).await.unwrap();
    let done = attempt(&Policy::default(), &free(), call, async |call: Call| {
        assert_eq!(feed.capacity(), 0, "the body was looked at");
        assert_eq!(call.event.data.size_hint().exact(), Some(5));
        Ok(ok())
    })
    .await;
    assert_eq!(done.attempts, 1);
}

#[tokio::test(start_paused = true)]
async fn a_body_known_to_be_longer_than_the_buffer_is_left_alone() {
    let (feed, body) = mpsc::channel(1);
    let mut call = call(Method::POST, "");
    call.event.data = Body::boxed(Known(Fed(body), 1 << 20));
    feed.send(Bytes::from_static(b"hello")).await.unwrap();
    let done = attempt(&Policy::default(), &free(), call, async |mut call: Call| {
        assert_eq!(next(&mut call.event.data).await, "hello");
        Ok(throttled(None))
    })
    .await;
    assert_eq!(done.attempts, 1);
}

#[tokio::test(start_paused = true)]
async fn a_stream_longer_than_the_buffer_is_sent_once() {
    let (feed, body) = mpsc::channel(2);
    let mut call = call(Method::POST, "");
    call.event.data = Body::boxed(Fed(body));
    let mut policy = Policy::default();
    policy.retry.buffer_bytes = 5;
    feed.send(Bytes::from_static(b"123")).await.unwrap();
    feed.send(Bytes::from_static(b"456")).await.unwrap();
    drop(feed);
    let done = attempt(&policy, &free(), call, async |call: Call| {
        assert_eq!(call.event.data.collect(6).await.unwrap(), "123456");
        Ok(throttled(None))
    })
    .await;
    assert_eq!((done.attempts, done.result.unwrap().head.status.as_u16()), (1, 429));
}

#[tokio::test(start_paused = true)]
async fn a_try_that_is_over_is_cut_off_from_the_body() {
    let (_feed, body) = mpsc::channel(1);
    let mut call = call(Method::POST, "");
    call.event.data = Body::boxed(Fed(body));
    let left = RefCell::new(None);
    let done = attempt(&Policy::default(), &free(), call, async |mut call: Call| {
        if call.attempt == 1 {
            let reader = tokio::spawn(async move {
                poll_fn(|cx| Pin::new(&mut call.event.data).poll_frame(cx)).await
            });
            tokio::task::yield_now().await;
            left.replace(Some(reader));
            return Ok(throttled(None));
        }
        Ok(ok())
    })
    .await;
    assert_eq!(done.attempts, 2);
    let read = left.take().unwrap().await.unwrap();
    assert!(matches!(read, Some(Err(BodyError::Broken(_)))));
}

/// How a try of the model ends.
#[derive(Clone, Copy, Debug)]
enum End {
    Ok,
    Throttled(Option<u32>),
    Failed,
    Reset,
    Unsent,
    Never,
}

fn end() -> impl Strategy<Value = End> {
    prop_oneof![
        Just(End::Ok),
        proptest::option::of(0_u32..5_000).prop_map(End::Throttled),
        Just(End::Failed),
        Just(End::Reset),
        Just(End::Unsent),
        Just(End::Never),
    ]
}

fn some_on() -> impl Strategy<Value = Vec<On>> {
    let any = prop_oneof![
        Just(On::Named(OnName::Connect)),
        Just(On::Named(OnName::Throttled)),
        Just(On::Named(OnName::Reset)),
        Just(On::Named(OnName::Timeout)),
        Just(On::Named(OnName::Failed)),
        Just(On::Status(503)),
        Just(On::Status(429)),
    ];
    proptest::collection::vec(any, 0..5)
}

/// Whether the policy names this end: the rule once more, written from the other side.
fn named(on: &[On], end: End) -> bool {
    let name = |name| on.contains(&On::Named(name));
    let status = |status| on.contains(&On::Status(status));
    match end {
        End::Ok => false,
        End::Throttled(_) => name(OnName::Throttled) || status(429),
        End::Failed => name(OnName::Failed) || status(503),
        End::Reset => name(OnName::Reset),
        End::Unsent => name(OnName::Connect),
        End::Never => name(OnName::Timeout),
    }
}

proptest! {
    #[test]
    fn tries_follow_the_model(
        ends in proptest::collection::vec((end(), 0_u64..4_000), 1..8),
        attempts in 1_u32..6,
        on in some_on(),
        post in any::<bool>(),
        idempotent in proptest::option::of(any::<bool>()),
        time in 1_u64..20_000,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(async {
            let mut policy = policy(attempts, &on);
            policy.idempotent = idempotent;
            policy.try_timeout = 3 * SECOND;
            let mut call = call(if post { Method::POST } else { Method::GET }, "body");
            let deadline = Instant::now() + Duration::from_millis(time);
            call.deadline = deadline.into_std();
            let script = RefCell::new(VecDeque::from(ends.clone()));
            let begun = RefCell::new(Vec::new());
            let done = attempt(&policy, &free(), call, async |call: Call| {
                begun.borrow_mut().push(Instant::now());
                let (end, after) = script.borrow_mut().pop_front().unwrap_or((End::Ok, 0));
                tokio::time::sleep(Duration::from_millis(after)).await;
                match end {
                    End::Ok => Ok(ok()),
                    End::Throttled(after) => Ok(throttled(after)),
                    End::Failed => Ok(failed()),
                    End::Reset => Err(Fault::new(Class::UpstreamProtocol, "broke off").maybe()),
                    End::Unsent => Err(Fault::new(Class::ConnectFailed, "refused").unsent(call)),
                    End::Never => std::future::pending().await,
                }
            })
            .await;
            let begun = begun.into_inner();
            let may_run_twice = idempotent.unwrap_or(!post);

            // Never more tries than allowed, never one after the deadline, never a late answer.
            assert!(done.attempts >= 1 && done.attempts <= attempts);
            assert_eq!(begun.len(), done.attempts as usize);
            assert!(begun.iter().all(|begun| *begun < deadline));
            assert!(Instant::now() <= deadline + Duration::from_millis(2));

            let mut maybe = false;
            for (number, (end, after)) in ends.iter().copied().enumerate().take(begun.len()) {
                // A try that outlives its time has never ended.
                let end = if after > 3_001 { End::Never } else { end };
                let last = number + 1 == begun.len();
                let ran = matches!(end, End::Failed | End::Reset | End::Never);
                if !last {
                    // What was sent again was named, and safe.
                    let late = after >= 2_999 && named(&on, End::Never);
                    assert!(named(&on, end) || late, "{end:?} was sent again on {on:?}");
                    assert!(!(maybe || ran) || may_run_twice, "{end:?} may have run");
                    if let End::Throttled(Some(after)) = end {
                        let pause = begun[number + 1] - begun[number];
                        assert!(late || pause >= Duration::from_millis(after.into()));
                    }
                }
                maybe |= ran;
            }
            // What is said at the end speaks of all tries.
            if let Err(fault) = &done.result && maybe {
                assert_eq!(fault.ran, Ran::Maybe);
            }
        });
    }
}

/// A body that is fed by hand.
struct Fed(mpsc::Receiver<Bytes>);

impl http_body::Body for Fed {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.0.poll_recv(cx).map(|data| data.map(|data| Ok(Frame::data(data))))
    }
}

/// A body of a declared length.
struct Known(Fed, u64);

impl http_body::Body for Known {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let polled = Pin::new(&mut self.0).poll_frame(cx);
        if let Poll::Ready(Some(Ok(frame))) = &polled {
            self.1 -= frame.data_ref().unwrap().len() as u64;
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.1 == 0
    }

    fn size_hint(&self) -> http_body::SizeHint {
        http_body::SizeHint::with_exact(self.1)
    }
}

async fn next(body: &mut Body) -> Bytes {
    poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx)).await.unwrap().unwrap().into_data().unwrap()
}
