//! JSON in front of protobuf, by descriptor: what a gateway needs to serve a gRPC service to
//! clients that speak HTTP and JSON.
//!
//! Pure: descriptors and bytes in, bytes out. Nothing here opens a file, a socket or a clock.
//!
//! - [`Descriptors`] are read from a descriptor set, from server reflection, or compiled from .proto.
//! - [`Rules`] find the [`Binding`] of a request by its method and path, as `google.api.http` says;
//!   [`Binding::of_method`] binds a method that has no such option.
//! - [`Binding::request`] makes the message of the body, the path and the query, and
//!   [`Binding::response`] prints the answer, both by the
//!   [JSON mapping of proto3](https://protobuf.dev/programming-guides/json/).
//! - What a client did wrong is a [`Violation`] with its place; what a service did wrong is [`Broken`].
//!
//! ```
//! use transcoding::{Descriptors, Options, Request, Rules};
//!
//! let proto = r#"
//!     syntax = "proto3";
//!     package shop.v1;
//!     import "google/api/annotations.proto";
//!     service Shop {
//!       rpc Order(OrderRequest) returns (OrderReply) {
//!         option (google.api.http) = { post: "/v1/customers/{customer}/orders" body: "*" };
//!       }
//!     }
//!     message OrderRequest { string customer = 1; repeated string skus = 2; }
//!     message OrderReply { int64 order_id = 1; }
//! "#;
//! let descriptors = Descriptors::compile(["shop.proto"], |name| {
//!     Ok((name == "shop.proto").then(|| proto.to_owned()))
//! })?;
//! let rules = Rules::new(&descriptors, |_| true);
//! let options = Options::default();
//!
//! let found = rules.find("POST", "/v1/customers/c7/orders").expect("there is a rule for it");
//! assert_eq!(found.binding.method().path, "/shop.v1.Shop/Order");
//! let body = br#"{"skus": ["pen"]}"#;
//! let request = Request { body, captures: &found.captures, query: "" };
//! let message = found.binding.request(&request, &options)?;
//! assert_eq!(&message[..], b"\x12\x03pen\x0a\x02c7");
//!
//! let answer = found.binding.response(b"\x08\x2a", &options)?;
//! assert_eq!(&answer[..], br#"{"orderId":"42"}"#);
//!
//! let request = Request { body: b"{\"skus\":\n [1]}", ..Request::default() };
//! let violation = found.binding.request(&request, &options).unwrap_err();
//! assert_eq!(violation.to_string(), "line 2, column 3, field skus[0]: is not a string");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod annotation;
mod base64;
mod binding;
mod bundled;
mod descriptors;
mod json;
mod openapi;
mod options;
mod parameter;
mod plan;
mod read;
mod rules;
mod scalar;
mod status;
mod template;
mod violation;
mod well_known;
mod wire;
mod write;

pub use annotation::{Rule, RuleBody};
pub use binding::{Binding, Request};
pub use descriptors::{Descriptors, FieldInfo, Method, Service, Unusable};
pub use openapi::openapi;
pub use options::{Enums, Limits, Names, Options, Unknown};
pub use rules::{Capture, Found, Refused, Rules};
pub use violation::{Broken, Place, Violation};
