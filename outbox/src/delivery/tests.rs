use http::HeaderMap;
use proptest::prelude::*;
use schemas::Body;

use super::*;

const NOW: Millis = Millis(1_000_000_000);

fn failed(class: Class, ran: Ran) -> Failure {
    let (code, reason, retry_after) = (None, "".into(), None);
    Failure {
        class,
        code,
        ran,
        reason,
        retry_after,
        for_good: is_for_good(class),
        words: Vec::new(),
    }
}

fn replied(status: u16, verdict: Verdict) -> Option<Failure> {
    let status = StatusCode::from_u16(status).unwrap();
    let reply = Reply { verdict, ..Reply::ok(status, HeaderMap::new(), Body::empty()) };
    Failure::of(&Ok(reply))
}

fn is_dead(then: &Then) -> bool {
    matches!(then, Then::Dead { .. })
}

#[test]
fn a_reply_that_is_no_success_is_no_delivery_and_some_are_for_good() {
    for status in [200, 202, 204, 299] {
        assert_eq!(replied(status, Verdict::Ok), None);
    }
    for status in [404, 408, 409, 425] {
        assert!(!replied(status, Verdict::Ok).unwrap().for_good, "{status}");
    }
    for status in [301, 400, 401, 403, 410, 413, 415, 422] {
        assert!(replied(status, Verdict::Ok).unwrap().for_good, "{status}");
    }
    let class = Class::FunctionFailed;
    let verdict = Verdict::Failed { class, ran: Ran::Maybe, retry_after_ms: Some(2000) };
    let failure = replied(503, verdict).unwrap();
    assert!(!failure.for_good);
    assert_eq!(failure.retry_after, Some(Duration::from_secs(2)));
}

#[test]
fn what_was_not_sent_is_no_try() {
    assert_eq!(failed(Class::BreakerOpen, Ran::No).attempt(NOW), None);
    let tried = failed(Class::Timeout, Ran::Maybe).attempt(NOW).unwrap();
    assert_eq!((&*tried.class, tried.ran), ("timeout", Ran::Maybe));
    let delivery = Delivery { max_attempts: Some(1), ..Delivery::default() };
    let then = delivery.then(&failed(Class::BreakerOpen, Ran::No), NOW, 0, 0, NOW);
    assert!(matches!(then, Then::Again { hold: Some(_), .. }));
    assert!(is_dead(&delivery.then(&failed(Class::ConnectFailed, Ran::No), NOW, 0, 0, NOW)));
}

#[test]
fn it_is_given_up_after_its_tries_its_delays_its_time_or_a_doubt() {
    let failure = failed(Class::FunctionFailed, Ran::Maybe);
    let three = Delivery { max_attempts: Some(3), ..Delivery::default() };
    assert!(!is_dead(&three.then(&failure, NOW, 1, 0, NOW)));
    assert!(is_dead(&three.then(&failure, NOW, 2, 0, NOW)));

    let delays = vec![Duration::from_secs(5), Duration::from_secs(60)];
    let listed = Delivery { waits: Waits::Delays(delays), ..Delivery::default() };
    let at = |attempts| listed.then(&failure, NOW, attempts, 0, NOW);
    assert_eq!(at(0), Then::Again { at: Millis(NOW.0 + 5_000), hold: None });
    assert_eq!(at(1), Then::Again { at: Millis(NOW.0 + 60_000), hold: None });
    assert!(is_dead(&at(2)));

    let day = Delivery::default();
    let over = NOW.plus(day.max_age);
    assert!(is_dead(&day.then(&failure, NOW, 1, 0, over)));
    assert!(!day.is_over(NOW, Millis(over.0 - 1)) && day.is_over(NOW, over));

    let doubt = Delivery { on_maybe: OnMaybe::DeadLetter, ..Delivery::default() };
    assert!(is_dead(&doubt.then(&failure, NOW, 0, 0, NOW)));
    assert!(!is_dead(&doubt.then(&failed(Class::ConnectFailed, Ran::No), NOW, 0, 0, NOW)));
}

#[test]
fn a_target_is_never_asked_earlier_than_it_said() {
    let failure =
        Failure { retry_after: Some(Duration::from_secs(7)), ..failed(Class::Throttled, Ran::No) };
    for _ in 0..100 {
        let Then::Again { at, hold } = Delivery::default().then(&failure, NOW, 0, 0, NOW) else {
            unreachable!()
        };
        assert!(at >= NOW.plus(Duration::from_secs(7)));
        assert_eq!(hold, Some(at));
    }
}

proptest! {
    /// The wait is under its bound, which doubles up to the cap, and the last try is before the end.
    #[test]
    fn waits_are_under_their_bound_and_before_the_end(
        attempts in 0..400_u32, trouble in 0..400_u32, age in 0..86_400_000_u64, random: u64, down: bool,
    ) {
        let delivery = Delivery::default();
        let failure = if down { failed(Class::ConnectFailed, Ran::No) } else { failed(Class::Timeout, Ran::Maybe) };
        let accepted = Millis(NOW.0 - age);
        let steps = if down { attempts.max(trouble) } else { attempts };
        let bound = (200_u64 << steps.min(30)).min(300_000);
        match delivery.then_by(&failure, accepted, attempts, trouble, NOW, random) {
            Then::Again { at, hold } => {
                prop_assert!(at.0 < NOW.0 + bound.max(1));
                prop_assert!(at.0 <= accepted.0 + 86_399_000);
                prop_assert_eq!(hold.is_some(), down);
            }
            Then::Dead { .. } => prop_assert!(age >= 86_399_000),
            Then::Parked { .. } => prop_assert!(false),
        }
    }
}
