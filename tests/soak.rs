//! Random input for what reads input from outside: the CloudEvents formats, addresses, and the
//! configuration loader. Nothing may panic, and what was read must be written and read alike.
//!
//! `soak SECONDS SEED`; the seed of every run is printed, so that a failure can be repeated.

#![allow(clippy::print_stdout, reason = "a chore talks to the person who runs it")]

use std::{
    error::Error,
    time::{Duration, Instant, SystemTime},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use ingress::config::{self, File, Offer};
use schemas::{Address, cloudevents};

/// Inputs between two looks at the clock.
const ROUND: u32 = 1_000;

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let seconds: u64 = args.next().as_deref().unwrap_or("60").parse()?;
    let seed = match args.next().as_deref().unwrap_or("0").parse()? {
        0 => SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_secs() | 1,
        seed => seed,
    };
    println!("soak: {seconds} s from seed {seed}");
    let (began, mut count, mut random) = (Instant::now(), 0_u64, Random(seed));
    while began.elapsed() < Duration::from_secs(seconds) {
        for _ in 0..ROUND {
            structured(&mut random);
            binary(&mut random);
            addresses(&mut random);
        }
        // A whole configuration costs as much as many events.
        for _ in 0..ROUND / 20 {
            configuration(&mut random);
        }
        count += u64::from(ROUND) * 3 + u64::from(ROUND / 20);
    }
    println!("soak: {count} inputs, no panic");
    Ok(())
}

const EVENT: &str = r#"{"specversion":"1.0","id":"a-1","source":"/shop","type":"com.acme.paid",
"subject":"J\u00fcrgen","time":"2026-11-05T17:31:00.123Z","datacontenttype":"application/json",
"dataschema":"https://acme.test/s","comacmeext":"x","flag":true,"count":-7,"data":{"n":1.5e3}}"#;

const CONFIG: &str = r#"version: 1
listen: 127.0.0.1:8080
upstreams:
  web: { kind: http, endpoints: [http://127.0.0.1:9000, http://127.0.0.1:9001] }
  bus: { kind: nats, url: nats://127.0.0.1:4222, password: { env: SECRET }, username: me }
routes:
  - name: shop
    match: { hosts: ["*.example.com"], prefix: /shop, headers: { x-a: { regex: "a+" } } }
    to: [{ to: web, weight: 95, rewrite: { path: "/v2/{rest}" } }, { to: web, weight: 5 }]
    policy: { timeout: 5s, retry: { attempts: 3, on: [connect, 503] } }
  - name: hooks
    match: { path: "/hooks/{topic}", methods: [POST] }
    to: "bus/hooks.{topic}"
  - { name: events, match: { event: { type: "com.acme.*" } }, to: "bus/e.{event.type}" }
policies: { default: { limits: { body: 10MiB } } }
"#;

/// A structured event or a batch: what can be read is written and read alike.
fn structured(random: &mut Random) {
    let text = if random.below(4) == 0 { format!("[{EVENT},{EVENT}]") } else { EVENT.to_owned() };
    let input = Bytes::from(random.damaged(text.into_bytes()));
    drop(cloudevents::read_batch(&input));
    let Ok(event) = cloudevents::read_structured(&input) else { return };
    let (Some(attributes), Some(data)) = (event.attributes(), event.data.whole()) else { return };
    let written = cloudevents::write_structured(attributes, &data);
    let again = cloudevents::read_structured(&written).expect("what was written can be read");
    assert_eq!(again.attributes(), Some(attributes), "{written:?}");
    assert_eq!(again.data.whole(), Some(data), "{written:?}");
}

/// Headers of a binary event.
fn binary(random: &mut Random) {
    let lines: [(&'static str, &str); 6] = [
        ("ce-specversion", "1.0"),
        ("ce-id", "J%C3%BCrgen %22x%22"),
        ("ce-source", "/shop"),
        ("ce-type", "com.acme.paid"),
        ("ce-time", "2026-11-05T17:31:00+01:00"),
        ("ce-extra", "\"quoted \\\" string\""),
    ];
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        if let Ok(value) = HeaderValue::from_bytes(&random.damaged(value.as_bytes().to_vec())) {
            headers.append(HeaderName::from_static(name), value);
        }
    }
    drop(cloudevents::arrival(&headers));
    let Ok(attributes) = cloudevents::read_binary(&headers) else { return };
    let mut written = HeaderMap::new();
    cloudevents::write_binary(&attributes, &mut written);
    assert_eq!(cloudevents::read_binary(&written).ok(), Some(attributes), "{written:?}");
}

/// Parsing what was printed gives the same address.
fn addresses(random: &mut Random) {
    let input = random.damaged(b"bus/orders.{event.type}.{query.x:-none}%7B".to_vec());
    let Ok(text) = std::str::from_utf8(&input) else { return };
    let Ok(address) = text.parse::<Address>() else { return };
    let again: Address = address.to_string().parse().expect("what was printed can be parsed");
    assert_eq!(again, address, "{text:?}");
}

/// A configuration is loaded, or refused with a place.
fn configuration(random: &mut Random) {
    let input = random.damaged(CONFIG.as_bytes().to_vec());
    let text = String::from_utf8_lossy(&input).into_owned();
    let file = File { name: "gateway.yaml".to_owned(), text };
    if let Err(problems) = config::parse(&[file], &Offer::default()) {
        assert!(!problems.is_empty(), "refused without a word");
    }
}

/// Random numbers that depend on nothing but the seed (xorshift64*).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() >> 33).expect("31 bits fit") % bound.max(1)
    }

    /// The input with some bytes changed, lost, doubled, moved, or replaced by telling ones.
    fn damaged(&mut self, mut bytes: Vec<u8>) -> Vec<u8> {
        const TELLING: [&[u8]; 16] = [
            b"\"",
            b"\\",
            b"{",
            b"}",
            b"[",
            b"]",
            b":",
            b",",
            b"\n",
            b"%",
            b"\xff",
            b"\0",
            b"\\u0000",
            b"\xf0\x9f\x92\xa9",
            b"- ",
            b"99999999999999999999",
        ];
        for _ in 0..self.below(6) {
            if bytes.is_empty() {
                break;
            }
            let at = self.below(bytes.len());
            match self.below(6) {
                0 => bytes[at] = self.next().to_le_bytes()[0],
                1 => drop(bytes.remove(at)),
                2 => bytes.truncate(at),
                3 => {
                    let telling = TELLING[self.below(TELLING.len())];
                    drop(bytes.splice(at..at, telling.iter().copied()));
                }
                4 => {
                    let end = (at + 1 + self.below(12)).min(bytes.len());
                    let piece = bytes[at..end].to_vec();
                    let to = self.below(bytes.len());
                    drop(bytes.splice(to..to, piece));
                }
                _ => {
                    let end = (at + 1 + self.below(12)).min(bytes.len());
                    drop(bytes.drain(at..end));
                }
            }
        }
        bytes
    }
}
