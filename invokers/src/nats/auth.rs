//! Who the gateway is to a NATS server. Secrets are read for each connection, so that a changed one
//! is used by the next.

use async_nats::{Auth, AuthError};
use nkeys::KeyPair;
use schemas::{FileRef, Secret};

use crate::Tools;

/// One way of saying who one is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Credential {
    /// Not at all.
    None,
    /// A user name and a password.
    Password { username: String, password: Secret },
    /// A token.
    Token(Secret),
    /// The seed of an nkey, which signs the server's nonce and is never sent.
    Nkey(Secret),
    /// A file with a JWT, which is sent, and a seed, which signs.
    File(FileRef),
}

impl Credential {
    /// Reads the secret and answers the server's challenge.
    pub(super) fn answer(&self, tools: &Tools, nonce: &[u8]) -> Result<Auth, AuthError> {
        let reveal = |secret| tools.secrets.reveal(secret).map_err(AuthError::new);
        let mut auth = Auth::new();
        match self {
            Self::None => {}
            Self::Password { username, password } => {
                auth.username = Some(username.clone());
                auth.password = Some(reveal(password)?.expose().to_owned());
            }
            Self::Token(token) => auth.token = Some(reveal(token)?.expose().to_owned()),
            Self::Nkey(seed) => {
                let pair = pair(reveal(seed)?.expose())?;
                auth.nkey = Some(pair.public_key());
                auth.signature = Some(pair.sign(nonce).map_err(AuthError::new)?);
            }
            Self::File(file) => {
                let content = tools.secrets.read(file).map_err(AuthError::new)?;
                let content = String::from_utf8(content)
                    .map_err(|_| AuthError::new("the credentials file is not text"))?;
                let (jwt, seed) = parts(&content).ok_or_else(|| {
                    AuthError::new(
                        "the credentials file does not hold a NATS USER JWT and a USER NKEY SEED",
                    )
                })?;
                auth.signature = Some(pair(seed)?.sign(nonce).map_err(AuthError::new)?);
                auth.jwt = Some(jwt.to_owned());
            }
        }
        Ok(auth)
    }
}

/// The error of the library names the prefix that it found, so it is not passed on.
fn pair(seed: &str) -> Result<KeyPair, AuthError> {
    KeyPair::from_seed(seed.trim()).map_err(|_| AuthError::new("the seed is not one of an nkey"))
}

/// The JWT and the seed of a credentials file: what stands between a `-----BEGIN …-----` and an
/// `------END …------` line.
fn parts(content: &str) -> Option<(&str, &str)> {
    let between = |what: &str| {
        let mut lines = content.lines().map(str::trim);
        lines.find(|line| line.starts_with("---") && line.contains(what))?;
        lines.find(|line| !line.is_empty()).filter(|line| !line.starts_with("---"))
    };
    Some((between("BEGIN NATS USER JWT")?, between("BEGIN USER NKEY SEED")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credentials_file_is_taken_apart() {
        let file = "-----BEGIN NATS USER JWT-----\r\nabc.def\r\n------END NATS USER JWT------\r\n\
                    \r\nKeep it safe.\r\n-----BEGIN USER NKEY SEED-----\r\nSUAX\r\n\
                    ------END USER NKEY SEED------\r\n";
        assert_eq!(parts(file), Some(("abc.def", "SUAX")));
        assert_eq!(parts("-----BEGIN NATS USER JWT-----\n------END NATS USER JWT------"), None);
        assert_eq!(parts(""), None);
    }
}
