//! Tests of what the guards do around a call.

use std::{cell::Cell, sync::Arc, task::Context};

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use schemas::{Body, Identity, Later, units::Percent};

use super::*;
use crate::{
    breaker::{self, Breaker, State},
    budget::Budget,
    permits::{self, Permits},
};

const SECOND: Duration = Duration::from_secs(1);

fn call(method: Method) -> Call {
    let deadline = (Instant::now() + 15 * SECOND).into_std();
    let mut call = Call::new("", Body::from(Bytes::from_static(b"data")), deadline);
    call.head.method = method;
    call
}

fn failed() -> Reply {
    let verdict =
        Verdict::Failed { class: Class::FunctionFailed, ran: Ran::Maybe, retry_after_ms: None };
    let status = StatusCode::SERVICE_UNAVAILABLE;
    Reply { verdict, ..Reply::ok(status, HeaderMap::new(), Body::empty()) }
}

fn ok() -> Reply {
    Reply::ok(StatusCode::OK, HeaderMap::new(), Body::empty())
}

/// Three attempts, on everything.
fn eager() -> Policy {
    let mut policy = Policy::default();
    policy.retry.attempts = 3;
    policy.retry.on =
        [OnName::Connect, OnName::Failed, OnName::Timeout, OnName::Reset].map(On::Named).to_vec();
    policy
}

fn breaker() -> Arc<Breaker> {
    Arc::new(Breaker::new(breaker::Settings {
        failures: Percent(50),
        window: 10 * SECOND,
        min_calls: 4,
        open: 5 * SECOND,
        probes: 2,
    }))
}

fn behind(breaker: &Arc<Breaker>) -> Guards {
    Guards { breaker: Some(Arc::clone(breaker)), ..Guards::default() }
}

fn with_budget() -> Guards {
    Guards { budget: Some(Arc::new(Budget::new(Percent(20)))), ..Guards::default() }
}

fn with_permits(max: u32, queue: u32) -> (Arc<Permits>, Guards) {
    let permits = Permits::new(&permits::Settings { max, queue });
    (Arc::clone(&permits), Guards { permits: Some(permits), ..Guards::default() })
}

#[tokio::test(start_paused = true)]
async fn a_total_outage_is_sent_at_most_its_share_more() {
    let ends: [fn(Call) -> Result<Reply, Fault>; 3] = [
        |_| Ok(failed()),
        |_| Err(Fault::new(Class::UpstreamProtocol, "broke off").maybe()),
        |call| Err(Fault::new(Class::ConnectFailed, "refused").unsent(call)),
    ];
    for end in ends {
        let (guards, sent) = (with_budget(), Cell::new(0));
        for _ in 0..1_000 {
            let done = attempt(&eager(), &guards, call(Method::GET), async |call| {
                sent.set(sent.get() + 1);
                end(call)
            })
            .await;
            assert!(done.attempts >= 1);
        }
        assert!((1_100..=1_200).contains(&sent.get()), "{} were sent of 1000", sent.get());
    }
}

#[tokio::test(start_paused = true)]
async fn a_dead_endpoint_beside_a_good_one_costs_no_budget() {
    let guards = with_budget();
    for number in 0..1_000 {
        let done = attempt(&eager(), &guards, call(Method::POST), async |call: Call| {
            if call.avoid.is_none() && number % 2 == 0 {
                let refused = Fault::new(Class::ConnectFailed, "refused");
                return Err(refused.at(EndpointId(0)).unsent(call));
            }
            Ok(ok())
        })
        .await;
        assert_eq!(done.result.unwrap().verdict, Verdict::Ok, "call {number}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_open_breaker_sends_nothing_and_closes_when_the_function_is_well_again() {
    let breaker = breaker();
    let guards = behind(&breaker);
    let policy = Policy::default();
    for _ in 0..4 {
        attempt(&policy, &guards, call(Method::GET), async |_| Ok(failed())).await;
    }
    let done =
        attempt(&policy, &guards, call(Method::GET), async |_| unreachable!("it was sent")).await;
    assert_eq!(done.attempts, 0);
    let fault = done.result.unwrap_err();
    assert_eq!((fault.class, fault.ran), (Class::BreakerOpen, Ran::No));
    let wait = fault.retry_after.unwrap();
    assert!(wait > 4 * SECOND && wait <= 5 * SECOND + Duration::from_millis(1), "{wait:?}");

    tokio::time::sleep(wait).await;
    for _ in 0..2 {
        attempt(&policy, &guards, call(Method::GET), async |_| Ok(ok())).await.result.unwrap();
    }
    assert_eq!(breaker.view(nanos(Instant::now())).state, State::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_verdict_that_comes_with_the_end_of_a_stream_counts_when_it_comes() {
    let breaker = breaker();
    let guards = behind(&breaker);
    let streams = |later: &Later| Ok(Reply { later: Some(later.clone()), ..ok() });
    let counted = || breaker.view(nanos(Instant::now())).calls;
    let all: Vec<Later> = (0..4).map(|_| Later::default()).collect();
    for (at, later) in all.iter().enumerate() {
        let send = async |_| streams(later);
        attempt(&Policy::default(), &guards, call(Method::GET), send).await.result.unwrap();
        assert_eq!(counted(), at as u64);
        later.settle(failed().verdict);
        later.settle(Verdict::Ok);
        let open = at == 3;
        assert!(open || counted() == at as u64 + 1);
    }
    assert_eq!(breaker.view(nanos(Instant::now())).state, State::Open);

    // Probes are judged by their heads: their streams may last for hours.
    tokio::time::sleep(6 * SECOND).await;
    for _ in 0..2 {
        let send = async |_| streams(&Later::default());
        attempt(&Policy::default(), &guards, call(Method::GET), send).await.result.unwrap();
    }
    assert_eq!(breaker.view(nanos(Instant::now())).state, State::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_breaker_that_opens_between_tries_leaves_the_caller_the_functions_answer() {
    let breaker = breaker();
    let guards = behind(&breaker);
    for _ in 0..3 {
        attempt(&Policy::default(), &guards, call(Method::GET), async |_| Ok(failed())).await;
    }
    let done = attempt(&eager(), &guards, call(Method::GET), async |_| Ok(failed())).await;
    assert_eq!((done.attempts, done.result.unwrap().head.status.as_u16()), (1, 503));
}

#[tokio::test(start_paused = true)]
async fn a_timeout_counts_and_the_callers_own_faults_do_not() {
    let breaker = breaker();
    let guards = behind(&breaker);
    for class in [Class::BadRequest, Class::TooLarge, Class::Cancelled, Class::RequestTimeout] {
        for _ in 0..10 {
            let send = async |_| Err(Fault::new(class, "the caller's"));
            attempt(&Policy::default(), &guards, call(Method::GET), send).await;
        }
    }
    assert_eq!(breaker.view(nanos(Instant::now())).calls, 0);
    let policy = Policy { try_timeout: SECOND / 10, ..Policy::default() };
    for _ in 0..4 {
        let never = async |_| std::future::pending().await;
        attempt(&policy, &guards, call(Method::GET), never).await;
    }
    assert_eq!(breaker.view(nanos(Instant::now())).state, State::Open);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_dropped_gives_its_probe_and_its_permit_back() {
    let (permits, mut guards) = with_permits(1, 0);
    let breaker = breaker();
    guards.breaker = Some(Arc::clone(&breaker));
    for _ in 0..4 {
        attempt(&Policy::default(), &guards, call(Method::GET), async |_| Ok(failed())).await;
    }
    tokio::time::sleep(6 * SECOND).await;
    for _ in 0..10 {
        let policy = Policy::default();
        let never = async |_| std::future::pending().await;
        let mut under_way = pin!(attempt(&policy, &guards, call(Method::GET), never));
        let mut cx = Context::from_waker(std::task::Waker::noop());
        assert!(under_way.as_mut().poll(&mut cx).is_pending());
        assert_eq!(permits.view().in_use, 1);
    }
    assert_eq!(permits.view().in_use, 0);
    assert_eq!(breaker.view(nanos(Instant::now())).state, State::HalfOpen);
    for _ in 0..2 {
        attempt(&Policy::default(), &guards, call(Method::GET), async |_| Ok(ok())).await;
    }
    assert_eq!(breaker.view(nanos(Instant::now())).state, State::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_permit_is_held_as_long_as_the_reply_is_and_given_back_by_a_fault() {
    let (permits, guards) = with_permits(1, 0);
    let policy = Policy::default();
    let done = attempt(&policy, &guards, call(Method::GET), async |_| Ok(ok())).await;
    assert_eq!(permits.view().in_use, 1);
    let refused =
        attempt(&policy, &guards, call(Method::GET), async |_| unreachable!("it was sent")).await;
    let fault = refused.result.unwrap_err();
    assert_eq!((fault.class, fault.ran, refused.attempts), (Class::Overloaded, Ran::No, 0));
    assert!(fault.retry_after.is_some());
    drop(done);
    assert_eq!(permits.view().in_use, 0);
    let send = async |_| Err(Fault::new(Class::UpstreamProtocol, "broke off").maybe());
    let done = attempt(&policy, &guards, call(Method::GET), send).await;
    assert_eq!((permits.view().in_use, done.permit.is_none()), (0, true));
}

#[tokio::test(start_paused = true)]
async fn whoever_waits_for_a_permit_gets_it_in_turn_or_gives_up_at_the_deadline() {
    let (permits, guards) = with_permits(1, 1);
    let policy = Policy::default();
    let held = permits.try_take(guards.share);
    let since = Instant::now();
    let waiting = attempt(&policy, &guards, call(Method::GET), async |_| Ok(ok()));
    let freeing = async {
        tokio::time::sleep(2 * SECOND).await;
        drop(held);
    };
    let (done, ()) = tokio::join!(waiting, freeing);
    assert_eq!((done.attempts, since.elapsed().as_secs()), (1, 2));

    // The reply holds the permit, and nobody gives it back.
    let since = Instant::now();
    let send = async |_| unreachable!("it was sent");
    let fault = attempt(&policy, &guards, call(Method::GET), send).await.result.unwrap_err();
    assert_eq!((fault.class, fault.ran), (Class::Overloaded, Ran::No));
    assert_eq!((since.elapsed().as_secs(), permits.view().waiting), (15, 0));
    drop(done);
}

#[tokio::test(start_paused = true)]
async fn an_event_that_the_target_knows_again_is_sent_again_though_it_may_have_run() {
    for (identity, deduplicates, attempts) in [(true, true, 3), (true, false, 1), (false, true, 1)]
    {
        let guards = Guards { deduplicates, ..Guards::default() };
        let mut call = call(Method::POST);
        call.identity = identity.then(|| Identity::of("", None, "/source", "1"));
        let send = async |_| Err(Fault::new(Class::UpstreamProtocol, "broke off").maybe());
        assert_eq!(attempt(&eager(), &guards, call, send).await.attempts, attempts);
    }
}

#[tokio::test(start_paused = true)]
async fn a_lane_has_the_time_of_its_try() {
    let mut policy = eager();
    policy.try_timeout = 2 * SECOND;
    let begin = Instant::now();
    // A lane that connects for as long as it may, and knows that it has sent nothing.
    let send = async |call: Call| {
        tokio::time::sleep_until(Instant::from_std(call.deadline)).await;
        Err(Fault::new(Class::Timeout, "no connection").unsent(call))
    };
    let done = attempt(&policy, &Guards::default(), call(Method::POST), send).await;
    assert_eq!((done.attempts, done.result.unwrap_err().ran), (3, Ran::No));
    assert!(begin.elapsed() >= 6 * SECOND && begin.elapsed() < 7 * SECOND);
}
