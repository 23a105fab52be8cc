use std::{borrow::Cow, collections::HashMap, net::IpAddr, sync::Arc};

use http::HeaderMap;
use proptest::prelude::*;
use schemas::{Class, Values, template::Source};

use super::*;

const SECOND: u64 = 1_000_000_000;
const BEGIN: u64 = 3_600 * SECOND;

fn limiter(rate: &str, burst: u32, key: Key) -> Arc<Limiter> {
    Arc::new(Limiter::new(Settings { rate: rate.parse().unwrap(), burst, key }))
}

/// Brings headers and nothing else.
struct Headers(HashMap<&'static str, &'static str>);

impl Values for Headers {
    fn value(&self, source: &Source) -> Option<Cow<'_, str>> {
        let Source::Header(name) = source else { return None };
        self.0.get(name.as_str()).map(|value| Cow::Borrowed(*value))
    }
}

fn key(key: &Key, address: &str, headers: &[(&'static str, &'static str)]) -> u128 {
    let values = Headers(headers.iter().copied().collect());
    key.of(&Asker { address: address.parse().unwrap(), values: &values }).unwrap()
}

#[test]
fn a_burst_passes_and_then_the_rate() {
    let limiter = limiter("10/s", 3, Key::Everybody);
    for remaining in [2, 1, 0] {
        assert_eq!(limiter.take(0, 1, BEGIN).unwrap().remaining, remaining);
    }
    let refused = limiter.take(0, 1, BEGIN).unwrap_err();
    assert_eq!((refused.remaining, refused.next), (0, Duration::from_millis(100)));
    assert_eq!(limiter.refusal(0, BEGIN), Some(refused));
    assert!(limiter.take(0, 1, BEGIN + SECOND / 10 - 1).is_err());
    assert!(limiter.take(0, 1, BEGIN + SECOND / 10).is_ok());
    assert!(limiter.take(0, 1, BEGIN + SECOND / 10).is_err());
    assert_eq!(limiter.view(BEGIN).refused, 3);
}

#[test]
fn several_are_taken_whole_or_not_at_all() {
    let limiter = limiter("1/s", 5, Key::Everybody);
    assert!(limiter.take(0, 6, BEGIN).is_err());
    assert_eq!(limiter.take(0, 4, BEGIN).unwrap().remaining, 1);
    let refused = limiter.take(0, 3, BEGIN).unwrap_err();
    assert_eq!((refused.remaining, refused.next), (1, Duration::from_secs(2)));
    assert!(limiter.take(0, 1, BEGIN).is_ok());
}

#[test]
fn addresses_have_buckets_of_their_own_and_an_ipv6_network_has_one() {
    let limiter = limiter("1/s", 1, Key::Address);
    let take = |address: &str| limiter.take(key(&Key::Address, address, &[]), 1, BEGIN).is_ok();
    assert!(take("192.0.2.1"));
    assert!(take("192.0.2.2"));
    assert!(!take("192.0.2.1"));
    assert!(!take("::ffff:192.0.2.2"), "the same address in another form");
    assert!(take("2001:db8::1"));
    assert!(!take("2001:db8::2"));
    assert!(take("2001:db8:0:1::1"));
    assert_eq!(limiter.view(BEGIN).keys, 4);
}

#[test]
fn what_a_request_brings_is_a_key_and_what_it_does_not_bring_is_said() {
    let tenant = Key::Template("{header.x-tenant}:{header.x-user:-none}".parse().unwrap());
    let of = |headers| key(&tenant, "192.0.2.1", headers);
    assert_eq!(of(&[("x-tenant", "a")]), of(&[("x-tenant", "a"), ("x-user", "none")]));
    assert_ne!(of(&[("x-tenant", "a")]), of(&[("x-tenant", "b")]));
    assert_ne!(
        of(&[("x-tenant", "a:"), ("x-user", "b")]),
        of(&[("x-tenant", "a"), ("x-user", ":b")]),
    );
    let nothing = Headers(HashMap::new());
    let address = IpAddr::from([192, 0, 2, 1]);
    let missing = tenant.of(&Asker { address, values: &nothing }).unwrap_err();
    assert!(missing.to_string().contains("header.x-tenant"), "{missing}");
}

#[test]
fn memory_is_bounded_and_whoever_comes_too_late_shares_a_bucket() {
    let limiter = limiter("1/h", 1, Key::Address);
    let most = limiter.view(BEGIN).keys_max as u128;
    // Spread over the parts as hashes are.
    let spread = |at: u128| at << 120 | at;
    for at in 0..most * 2 {
        // Some of them are refused: they share.
        limiter.take(spread(at), 1, BEGIN).ok();
    }
    let view = limiter.view(BEGIN);
    assert_eq!(view.keys as u128, most);
    assert_eq!(u128::from(view.crowded), most);
    // Each part lets one of them through.
    assert_eq!(u128::from(view.refused), most - 16);
    // Those who were there keep their own.
    assert!(limiter.take(spread(0), 1, BEGIN).is_err());
    // An hour later every bucket is full again, and newcomers get their own.
    let later = BEGIN + 3_600 * SECOND;
    assert!(limiter.take(spread(most), 1, later).is_ok());
    assert!(limiter.take(spread(most), 1, later).is_err());
    assert_eq!(limiter.view(later).keys, 1);
    limiter.sweep(later + 3_600 * SECOND);
    assert_eq!(limiter.view(later).keys, 0);
}

#[test]
fn many_threads_take_exactly_what_is_there() {
    for by in [Key::Everybody, Key::Address] {
        let limiter = limiter("1/h", 1_000, by);
        let taken: usize = std::thread::scope(|scope| {
            let all: Vec<_> = (0..4)
                .map(|_| {
                    scope.spawn(|| (0..1_000).filter(|_| limiter.take(7, 1, BEGIN).is_ok()).count())
                })
                .collect();
            all.into_iter().map(|one| one.join().unwrap()).sum()
        });
        assert_eq!(taken, 1_000);
    }
}

fn limits(all: Vec<Arc<Limiter>>) -> Limits {
    Limits::new(all).unwrap()
}

const NOBODY: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

#[test]
fn a_request_passes_all_limits_or_takes_of_none() {
    let wide = limiter("10/s", 10, Key::Everybody);
    let narrow = limiter("1/s", 1, Key::Address);
    let limits = limits(vec![wide.clone(), narrow]);
    let nothing = Headers(HashMap::new());
    let asker = Asker { address: NOBODY, values: &nothing };
    let mut taken = Taken::default();
    let standings = limits.take_by_head(&asker, 1, BEGIN, &mut taken).unwrap();
    let mut headers = HeaderMap::new();
    limits.tell(&standings, &mut headers);
    assert_eq!(headers["ratelimit-policy"], "\"10/s\";q=10;w=1, \"1/s\";q=1;w=1");
    assert_eq!(headers["ratelimit"], "\"10/s\";r=9;t=1, \"1/s\";r=0;t=1");

    assert!(limits.refused_by_head(&asker, BEGIN).is_some());
    for _ in 0..100 {
        let refused = limits.take_by_head(&asker, 1, BEGIN, &mut Taken::default());
        let Err(Exceeded::Limit(standings)) = refused else { panic!("it was let through") };
        let fault = standings.fault();
        assert_eq!((fault.class, fault.name()), (Class::RateLimited, "rate_limited"));
        assert_eq!(fault.retry_after, Some(Duration::from_secs(1)));
        let mut headers = HeaderMap::new();
        limits.tell(&standings, &mut headers);
        assert_eq!(headers["ratelimit"], "\"1/s\";r=0;t=1");
    }
    assert_eq!(wide.take(0, 1, BEGIN).unwrap().remaining, 8, "a refused request has cost nothing");
    taken.put_back(BEGIN);
    assert!(limits.refused_by_head(&asker, BEGIN).is_none());
}

#[test]
fn limits_by_the_event_wait_for_it() {
    let by_event = Key::Template("{event.source}".parse().unwrap());
    let limits = limits(vec![limiter("1/s", 1, by_event), limiter("1/s", 5, Key::Everybody)]);
    assert!(limits.reads_event());
    let nothing = Headers(HashMap::new());
    let asker = Asker { address: NOBODY, values: &nothing };
    let standings = limits.take_by_head(&asker, 1, BEGIN, &mut Taken::default()).unwrap();
    let mut headers = HeaderMap::new();
    limits.tell(&standings, &mut headers);
    assert_eq!(headers["ratelimit"], "\"1/s\";r=4;t=1");
    let missing = limits.take_by_event(&asker, 1, BEGIN, &mut Taken::default());
    assert!(matches!(missing, Err(Exceeded::NoKey(_))));
}

proptest! {
    /// The model is a bucket that is refilled bit by bit, in the plainest arithmetic.
    #[test]
    fn a_limit_does_what_its_model_does(
        per_second in 1_u64..50, burst in 1_u32..20,
        steps in prop::collection::vec((0_u64..400, 1_u32..4), 1..200),
    ) {
        // Rates whose interval is a whole number of nanoseconds, so that the model is exact.
        prop_assume!(SECOND.is_multiple_of(per_second));
        let limiter = limiter(&format!("{per_second}/s"), burst, Key::Everybody);
        let full = u64::from(burst) * SECOND;
        let mut level = full;
        let mut now = BEGIN;
        for (wait, count) in steps {
            now += wait * 1_000_000;
            level = (level + wait * 1_000_000 * per_second).min(full);
            let cost = u64::from(count) * SECOND;
            let passes = level >= cost;
            let taken = limiter.take(0, count, now);
            prop_assert_eq!(taken.is_ok(), passes);
            if passes {
                level -= cost;
            }
            let (Ok(standing) | Err(standing)) = taken;
            prop_assert_eq!(u64::from(standing.remaining), level / SECOND);
        }
    }
}
