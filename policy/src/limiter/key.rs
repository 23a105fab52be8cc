//! Who shares a bucket.

use std::{
    hash::{BuildHasher, Hasher, RandomState},
    net::IpAddr,
    sync::OnceLock,
};

use schemas::{
    Template, Values,
    template::{Piece, Source, Unfilled},
};

/// What makes requests share a bucket.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Key {
    /// Nothing: all share one.
    Everybody,
    /// The caller's address. Of an IPv6 address the first 64 bits, which is what one customer gets
    /// (RFC 6177): whoever has one has 2^64 of them.
    Address,
    /// What the request brings.
    Template(Template),
}

/// What a request brings to a key.
#[derive(Clone, Copy)]
pub struct Asker<'a> {
    /// Where it comes from.
    pub address: IpAddr,
    /// Its values.
    pub values: &'a dyn Values,
}

impl std::fmt::Debug for Asker<'_> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Asker").field("address", &self.address).finish_non_exhaustive()
    }
}

/// The secret halves of a key's hash: nobody outside can make two keys of one hash.
fn secrets() -> &'static [RandomState; 2] {
    static SECRETS: OnceLock<[RandomState; 2]> = OnceLock::new();
    SECRETS.get_or_init(Default::default)
}

impl Key {
    /// As it is written; none for [`Key::Everybody`].
    #[must_use]
    pub fn written(&self) -> Option<String> {
        match self {
            Self::Everybody => None,
            Self::Address => Some("address".to_owned()),
            Self::Template(template) => Some(template.to_string()),
        }
    }

    /// Whether it can be told only once the event is known.
    #[must_use]
    pub fn reads_event(&self) -> bool {
        let Self::Template(template) = self else { return false };
        template.placeholders().any(|one| matches!(one.source, Source::Event(_)))
    }

    /// The key of a request, of which nothing but a hash is kept. Allocates nothing.
    ///
    /// # Errors
    /// The request has no value for one of the placeholders.
    pub(super) fn of(&self, asker: &Asker<'_>) -> Result<u128, Unfilled> {
        let mut hashers = secrets().each_ref().map(BuildHasher::build_hasher);
        let mut put = |bytes: &[u8]| {
            for hasher in &mut hashers {
                // With its length in front, or ("a", "bc") and ("ab", "c") would be the same.
                hasher.write_usize(bytes.len());
                hasher.write(bytes);
            }
        };
        match self {
            Self::Everybody => return Ok(0),
            Self::Address => match asker.address.to_canonical() {
                IpAddr::V4(address) => put(&address.octets()),
                IpAddr::V6(address) => put(&address.octets()[..8]),
            },
            Self::Template(template) => {
                for piece in template.pieces() {
                    match piece {
                        Piece::Literal(text) => put(text.as_bytes()),
                        Piece::Placeholder(one) => match asker.values.value(&one.source) {
                            Some(value) => put(value.as_bytes()),
                            None => match &one.default {
                                Some(default) => put(default.as_bytes()),
                                None => return Err(Unfilled::Missing(one.to_string())),
                            },
                        },
                    }
                }
            }
        }
        let [high, low] = hashers.map(|hasher| u128::from(hasher.finish()));
        Ok(high << 64 | low)
    }
}
