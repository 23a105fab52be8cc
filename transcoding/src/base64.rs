//! Base64 in either alphabet, with padding or without.

use base64::alphabet;
use base64::engine::{DecodePaddingMode, Engine as _, GeneralPurpose, GeneralPurposeConfig};

const LENIENT: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_decode_allow_trailing_bits(true)
    .with_decode_padding_mode(DecodePaddingMode::Indifferent);
const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);
const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT);

/// Reads base64 in one of the two alphabets; a mixture is refused.
pub(crate) fn decode(text: &[u8]) -> Option<Vec<u8>> {
    let engine = if memchr::memchr2(b'-', b'_', text).is_some() { URL_SAFE } else { STANDARD };
    engine.decode(text).ok()
}

/// Appends base64 in the standard alphabet with padding, which is what the mapping prints.
pub(crate) fn encode(bytes: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    out.resize(start + bytes.len().div_ceil(3) * 4, 0);
    let written = STANDARD.encode_slice(bytes, &mut out[start..]);
    debug_assert_eq!(written, Ok(out.len() - start), "four letters for each three bytes");
}
