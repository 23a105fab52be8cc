//! HTTP/1.1 on the wire (RFC 9112), read strictly and written in one form. Pure: no IO, no clock.
//!
//! Two programs that read one message differently can be made to disagree about where it ends, and
//! what follows is then a request that nobody has admitted. So whatever a recipient could read in
//! two ways is refused here, also where the RFC would let it pass: bare line feeds, folded lines,
//! a length beside a coding, a coding other than `chunked`, a second length even if it is the same.

mod body;
mod chunked;
mod fields;
pub mod hop;
mod request;
mod response;
mod spare;
mod write;

pub use body::{Decoder, Malformed, Step};
pub use request::{Refusal, RequestHead, request};
pub use response::{ResponseHead, response};
pub use spare::{recycle, spare_map};
pub use write::{
    chunk_end, chunk_size, content_length, field, last_chunk, number, request_line, status_line,
};

/// How much of a head is read.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of the whole head, its first line included.
    pub head_bytes: usize,
    /// Bytes of the request target.
    pub target_bytes: usize,
    /// Number of header fields.
    pub fields: usize,
}

/// How the end of a body is found (RFC 9112, section 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// There is none.
    Empty,
    /// It is so many bytes long; never 0.
    Length(u64),
    /// It comes in chunks.
    Chunked,
    /// It ends with the connection; responses only.
    UntilClose,
}
