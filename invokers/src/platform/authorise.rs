//! Who the gateway is to a platform: nobody, or the bearer of a key or of a token.

use std::{
    cell::RefCell,
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use http::{HeaderName, HeaderValue};
use schemas::{Class, Fault, Reveal, Secret};

use super::Tokens;

/// How long a key is believed to be the one that is written.
const LOOKED_AT_EVERY: Duration = Duration::from_secs(1);

/// One core's credential for one function.
pub(crate) enum Authoriser {
    /// The gateway says nothing of itself.
    Nobody,
    /// A key in a field of its own.
    Key(Key),
    /// A token that expires, in this field.
    Token(HeaderName, Rc<Tokens>),
}

/// A key from a file or the environment, read again when it changes.
pub(crate) struct Key {
    field: HeaderName,
    secret: Secret,
    secrets: Arc<dyn Reveal>,
    known: RefCell<Option<(Instant, HeaderValue)>>,
}

impl Authoriser {
    /// The field that goes along with a call.
    ///
    /// # Errors
    /// A fault that ran nothing, if the credential cannot be had.
    pub(crate) async fn credential(
        &self,
        deadline: Instant,
    ) -> Result<Option<(HeaderName, HeaderValue)>, Fault> {
        match self {
            Self::Nobody => Ok(None),
            Self::Key(key) => Ok(Some((key.field.clone(), key.value()?))),
            Self::Token(field, tokens) => Ok(Some((field.clone(), tokens.value(deadline).await?))),
        }
    }

    /// The credential was not refused.
    pub(crate) fn accepted(&self) {
        if let Self::Token(_, tokens) = self {
            tokens.worked();
        }
    }

    /// Whether a credential that is refused may be followed by another.
    pub(crate) fn renews(&self) -> bool {
        !matches!(self, Self::Nobody)
    }

    /// Another credential than the one that was refused, if there is one by now.
    pub(crate) async fn renew(
        &self,
        refused: &HeaderValue,
        deadline: Instant,
    ) -> Option<(HeaderName, HeaderValue)> {
        match self {
            Self::Nobody => None,
            Self::Key(key) => {
                let value = key.read().ok().filter(|value| value != refused)?;
                Some((key.field.clone(), value))
            }
            Self::Token(field, tokens) => {
                Some((field.clone(), tokens.newer(refused, deadline).await?))
            }
        }
    }
}

impl Key {
    /// Reads nothing yet.
    pub(crate) fn new(field: HeaderName, secret: Secret, secrets: Arc<dyn Reveal>) -> Self {
        Self { field, secret, secrets, known: RefCell::default() }
    }

    /// The key: as it was a moment ago, or as it is now.
    fn value(&self) -> Result<HeaderValue, Fault> {
        if let Some((looked, value)) = &*self.known.borrow()
            && looked.elapsed() < LOOKED_AT_EVERY
        {
            return Ok(value.clone());
        }
        self.read()
    }

    fn read(&self) -> Result<HeaderValue, Fault> {
        let revealed = self.secrets.reveal(&self.secret).map_err(|cause| {
            Fault::new(Class::UpstreamAuth, "the key of the function's platform cannot be had")
                .because(cause)
        })?;
        let mut value = HeaderValue::from_str(revealed.expose()).map_err(|_| {
            Fault::new(Class::UpstreamAuth, "the key of the function's platform fits no header")
        })?;
        value.set_sensitive(true);
        self.known.replace(Some((Instant::now(), value.clone())));
        Ok(value)
    }
}
