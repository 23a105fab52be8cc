//! `google.rpc.Status`, which `grpc-status-details-bin` carries, as JSON.

use crate::bundled::STANDARD;
use crate::descriptors::Descriptors;
use crate::options::Options;
use crate::violation::Broken;
use crate::wire::{Cursor, Item};
use crate::{base64, json, scalar, write};

impl Descriptors {
    /// Prints a `google.rpc.Status` as JSON: `code`, `message` and `details`.
    ///
    /// A detail whose type is known, by the descriptors or as one of google/rpc/error_details.proto,
    /// is printed as what it is; of another one the bytes are given in base64, as `value`.
    pub fn status(&self, wire: &[u8], options: &Options) -> Result<Vec<u8>, Broken> {
        let (mut code, mut message, mut details) = (0, "", Vec::new());
        let mut cursor = Cursor::new(wire);
        while !cursor.is_empty() {
            let (number, wire_type) = cursor.tag().map_err(malformed)?;
            match (number, cursor.item(number, wire_type).map_err(malformed)?) {
                (1, Item::Bits(bits)) => code = scalar::narrow(bits),
                (2, Item::Bytes(bytes)) => {
                    message = std::str::from_utf8(bytes)
                        .map_err(|_| broken("message", "is a string that is not UTF-8"))?;
                }
                (3, Item::Bytes(bytes)) => details.push(bytes),
                _ => {}
            }
        }
        let mut out = format!("{{\"code\":{code},\"message\":").into_bytes();
        json::put_string(&mut out, message);
        out.extend_from_slice(b",\"details\":[");
        for (at, detail) in details.iter().enumerate() {
            if at > 0 {
                out.push(b',');
            }
            self.detail(detail, options, &mut out)?;
        }
        out.extend_from_slice(b"]}");
        Ok(out)
    }

    fn detail(&self, wire: &[u8], options: &Options, out: &mut Vec<u8>) -> Result<(), Broken> {
        let plans = &*STANDARD;
        let any =
            plans.find("google.protobuf.Any").ok_or_else(|| broken("details", "has no Any"))?;
        let own = self.plans.find("google.protobuf.Any");
        let printed = own
            .and_then(|own| write::message(&self.plans, own, wire, options).ok())
            .or_else(|| write::message(plans, any, wire, options).ok());
        if let Some(printed) = printed {
            out.extend(printed);
            return Ok(());
        }
        let (mut url, mut value) = (&[][..], &[][..]);
        let mut cursor = Cursor::new(wire);
        while !cursor.is_empty() {
            let (number, wire_type) = cursor.tag().map_err(malformed)?;
            match (number, cursor.item(number, wire_type).map_err(malformed)?) {
                (1, Item::Bytes(bytes)) => url = bytes,
                (2, Item::Bytes(bytes)) => value = bytes,
                _ => {}
            }
        }
        out.extend_from_slice(b"{\"@type\":");
        json::put_string(out, &String::from_utf8_lossy(url));
        out.extend_from_slice(b",\"value\":\"");
        base64::encode(value, out);
        out.extend_from_slice(b"\"}");
        Ok(())
    }
}

fn broken(field: &str, problem: &str) -> Broken {
    Broken { field: field.to_owned(), problem: problem.to_owned() }
}

fn malformed(cause: impl std::fmt::Display) -> Broken {
    broken("", &cause.to_string())
}
