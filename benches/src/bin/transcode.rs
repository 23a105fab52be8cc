//! Measures the transcoding of a message by its plan beside `DynamicMessage`, in one run: JSON to
//! protobuf and back, taking turns, so that what else the machine does falls on both.
//!
//! ```console
//! $ cargo run --profile dist -p benches --bin transcode
//! ```
//!
//! With `--once plan|dynamic request|response N` it does only that, N times, for callgrind.

use std::hint::black_box;
use std::time::{Duration, Instant};

use prost::Message as _;
use prost_reflect::prost_types::FileDescriptorSet;
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor};
use transcoding::{Binding, Descriptors, Options, Request};

const PROTO: &str = r#"
    syntax = "proto3";
    package shop.v1;
    service Shop { rpc Order(Order) returns (Order); }
    enum Status { UNKNOWN = 0; OPEN = 1; PAID = 2; }
    message Item { string sku = 1; int32 count = 2; double price = 3; }
    message Order {
      string id = 1;
      int64 customer = 2;
      Status status = 3;
      repeated Item items = 4;
      map<string, string> labels = 5;
      bool express = 6;
    }
"#;

/// 162 bytes.
const JSON: &[u8] = br#"{"id":"order-1047","customer":"88123456789","status":"PAID","items":[{"sku":"pen","count":3,"price":1.25},{"sku":"paper","count":2,"price":4.5}],"express":true}  "#;

const ROUNDS: usize = 9;
const CALLS: u32 = 100_000;

struct Case {
    binding: Binding,
    message: MessageDescriptor,
    options: Options,
    wire: Vec<u8>,
}

impl Case {
    fn new() -> Result<Self, Box<dyn std::error::Error>> {
        let file = protox::file::File::from_source("shop.proto", PROTO)?;
        let pool = DescriptorPool::from_file_descriptor_set(FileDescriptorSet {
            file: vec![file.into()],
        })?;
        let descriptors = Descriptors::from_set(&pool.encode_to_vec())?;
        let method = descriptors.method("shop.v1.Shop/Order").ok_or("there is no such method")?;
        let message =
            pool.get_message_by_name("shop.v1.Order").ok_or("there is no such message")?;
        let binding = Binding::of_method(&descriptors, method);
        let wire = dynamic_request(&message)?;
        let case = Self { binding, message, options: Options::default(), wire };
        // What is compared does the same.
        let ours = case.plan_request()?;
        if DynamicMessage::decode(case.message.clone(), &*ours)?
            != DynamicMessage::decode(case.message.clone(), &*case.wire)?
        {
            return Err("the two make different messages".into());
        }
        if case.binding.response(&case.wire, &case.options)? != case.dynamic_response()? {
            return Err("the two print different texts".into());
        }
        Ok(case)
    }

    fn plan_request(&self) -> Result<bytes::Bytes, transcoding::Violation> {
        let request = Request { body: JSON, ..Request::default() };
        self.binding.request(&request, &self.options)
    }

    fn dynamic_response(&self) -> Result<Vec<u8>, Box<dyn std::error::Error>> {
        let message = DynamicMessage::decode(self.message.clone(), &*self.wire)?;
        Ok(serde_json::to_vec(&message)?)
    }

    fn call(&self, way: &str, side: &str) -> Result<(), Box<dyn std::error::Error>> {
        match (way, side) {
            ("plan", "request") => drop(black_box(self.plan_request()?)),
            ("plan", _) => {
                drop(black_box(self.binding.response(black_box(&self.wire), &self.options)?));
            }
            (_, "request") => drop(black_box(dynamic_request(&self.message)?)),
            _ => drop(black_box(self.dynamic_response()?)),
        }
        Ok(())
    }

    fn time(&self, way: &str, side: &str) -> Result<Duration, Box<dyn std::error::Error>> {
        let start = Instant::now();
        for _ in 0..CALLS {
            self.call(way, side)?;
        }
        Ok(start.elapsed() / CALLS)
    }
}

fn dynamic_request(message: &MessageDescriptor) -> Result<Vec<u8>, Box<dyn std::error::Error>> {
    let mut deserializer = serde_json::Deserializer::from_slice(black_box(JSON));
    let read = DynamicMessage::deserialize(message.clone(), &mut deserializer)?;
    deserializer.end()?;
    Ok(read.encode_to_vec())
}

#[expect(clippy::print_stdout, reason = "this is a program that prints")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let case = Case::new()?;
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [once, way, side, count] = &*arguments
        && once == "--once"
    {
        for _ in 0..count.parse::<u32>()? {
            case.call(way, side)?;
        }
        return Ok(());
    }
    println!("{} bytes of JSON, {} bytes of protobuf", JSON.trim_ascii().len(), case.wire.len());
    for side in ["request", "response"] {
        let mut ratios = Vec::new();
        let mut times = (Duration::MAX, Duration::MAX);
        for _ in 0..ROUNDS {
            let (plan, dynamic) = (case.time("plan", side)?, case.time("dynamic", side)?);
            times = (times.0.min(plan), times.1.min(dynamic));
            ratios.push(plan.as_secs_f64() / dynamic.as_secs_f64());
        }
        ratios.sort_by(f64::total_cmp);
        println!(
            "{side}: plan {:?}, DynamicMessage {:?} at best; ratio {:.3} ({:.3}..{:.3}), median of {ROUNDS} rounds",
            times.0,
            times.1,
            ratios[ROUNDS / 2],
            ratios[0],
            ratios[ROUNDS - 1]
        );
    }
    Ok(())
}
