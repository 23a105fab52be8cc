//! AWS Signature Version 4 as a service checks it, from the definition of the algorithm ("Create a
//! signed AWS API request" in the IAM user guide) and nothing else.

use sha2::{Digest as _, Sha256};

/// What a signature says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Signature {
    pub(crate) access_key: String,
    pub(crate) scope: String,
    pub(crate) signed_headers: String,
    pub(crate) signature: String,
}

impl Signature {
    /// Reads an `Authorization` header.
    pub(crate) fn read(header: &str) -> Option<Self> {
        let rest = header.strip_prefix("AWS4-HMAC-SHA256 ")?;
        let mut found = [None, None, None];
        for part in rest.split(',') {
            let (name, value) = part.trim().split_once('=')?;
            let at =
                ["Credential", "SignedHeaders", "Signature"].iter().position(|n| *n == name)?;
            found[at] = Some(value.to_owned());
        }
        let [Some(credential), Some(signed_headers), Some(signature)] = found else { return None };
        let (access_key, scope) = credential.split_once('/')?;
        let (access_key, scope) = (access_key.to_owned(), scope.to_owned());
        Some(Self { access_key, scope, signed_headers, signature })
    }
}

/// The canonical request: what is signed, in one text.
pub(crate) fn canonical<'h>(
    method: &str,
    target: &str,
    signed_headers: &str,
    headers: impl Fn(&str) -> Vec<&'h str>,
    body: &[u8],
) -> String {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    // What came is encoded once already, and is encoded a second time.
    let path: String = path.split('/').map(encoded).collect::<Vec<_>>().join("/");
    let mut pairs: Vec<String> = query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| if pair.contains('=') { pair.to_owned() } else { format!("{pair}=") })
        .collect();
    pairs.sort();
    let mut lines = String::new();
    for name in signed_headers.split(';') {
        let values: Vec<String> = headers(name)
            .into_iter()
            .map(|value| {
                value.split(' ').filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
            })
            .collect();
        lines.push_str(&format!("{name}:{}\n", values.join(",")));
    }
    let body = hex(&Sha256::digest(body));
    format!("{method}\n{path}\n{}\n{lines}\n{signed_headers}\n{body}", pairs.join("&"))
}

/// The signature of a canonical request.
pub(crate) fn signature(secret: &str, scope: &str, date: &str, canonical: &str) -> String {
    let hashed = hex(&Sha256::digest(canonical));
    let to_sign = format!("AWS4-HMAC-SHA256\n{date}\n{scope}\n{hashed}");
    let key = scope
        .split('/')
        .fold(format!("AWS4{secret}").into_bytes(), |key, part| hmac(&key, part.as_bytes()));
    hex(&hmac(&key, to_sign.as_bytes()))
}

/// HMAC-SHA256 (RFC 2104).
fn hmac(key: &[u8], text: &[u8]) -> Vec<u8> {
    let mut block = [0; 64];
    if key.len() > block.len() {
        block[..32].copy_from_slice(&Sha256::digest(key));
    } else {
        block[..key.len()].copy_from_slice(key);
    }
    let pad = |with: u8| block.map(|byte| byte ^ with);
    let inner = Sha256::new().chain_update(pad(0x36)).chain_update(text).finalize();
    Sha256::new().chain_update(pad(0x5c)).chain_update(inner).finalize().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Percent-encodes all but unreserved characters.
fn encoded(text: &str) -> String {
    let one = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
            char::from(byte).to_string()
        }
        other => format!("%{other:02X}"),
    };
    text.bytes().map(one).collect()
}

/// The example of the documentation, "Signature Version 4 signing process".
#[test]
fn the_documented_example_has_the_documented_signature() {
    let headers = |name: &str| match name {
        "content-type" => vec!["application/x-www-form-urlencoded; charset=utf-8"],
        "host" => vec!["iam.amazonaws.com"],
        _ => vec!["20150830T123600Z"],
    };
    let signed = "content-type;host;x-amz-date";
    let target = "/?Action=ListUsers&Version=2010-05-08";
    let canonical = canonical("GET", target, signed, headers, b"");
    assert_eq!(
        hex(&Sha256::digest(&canonical)),
        "f536975d06c0309214f805bb90ccff089219ecd68b2577efef23edd43b7e1a59"
    );
    let secret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
    let scope = "20150830/us-east-1/iam/aws4_request";
    assert_eq!(
        signature(secret, scope, "20150830T123600Z", &canonical),
        "5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7"
    );
}
