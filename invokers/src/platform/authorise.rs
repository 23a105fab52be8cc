//! Who the gateway is to a platform: nobody, or the bearer of a key or of a token.

use std::{
    cell::RefCell,
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use http::{HeaderName, HeaderValue};
use schemas::{Class, Fault, Reveal, Secret};

use super::{Own, Tokens};

/// How long a key is believed to be the one that is written.
const LOOKED_AT_EVERY: Duration = Duration::from_secs(1);

/// One core's credentials for one function: a key, a token, both or neither.
#[derive(Default)]
pub(crate) struct Authoriser {
    key: Option<Key>,
    /// A token that expires, and the field that it goes in.
    token: Option<(HeaderName, Rc<Tokens>)>,
}

/// A key from a file or the environment, read again when it changes.
pub(crate) struct Key {
    field: HeaderName,
    secret: Secret,
    secrets: Arc<dyn Reveal>,
    known: RefCell<Option<(Instant, HeaderValue)>>,
}

impl Authoriser {
    /// The gateway says nothing of itself.
    pub(crate) const NOBODY: Self = Self { key: None, token: None };

    /// The bearer of a key.
    pub(crate) fn key(key: Key) -> Self {
        Self { key: Some(key), token: None }
    }

    /// The bearer of a token, in this field.
    pub(crate) fn token(field: HeaderName, tokens: Rc<Tokens>) -> Self {
        Self { key: None, token: Some((field, tokens)) }
    }

    /// The bearer of a token as well.
    pub(crate) fn and(self, field: HeaderName, tokens: Rc<Tokens>) -> Self {
        Self { token: Some((field, tokens)), ..self }
    }

    /// Adds the fields that go along with a call.
    ///
    /// # Errors
    /// A fault that ran nothing, if a credential cannot be had.
    pub(crate) async fn show(&self, own: &mut Own, deadline: Instant) -> Result<(), Fault> {
        if let Some(key) = &self.key {
            own.push((key.field.clone(), key.value()?));
        }
        if let Some((field, tokens)) = &self.token {
            own.push((field.clone(), tokens.value(deadline).await?));
        }
        Ok(())
    }

    /// The credentials were not refused.
    pub(crate) fn accepted(&self) {
        if let Some((_, tokens)) = &self.token {
            tokens.worked();
        }
    }

    /// Whether credentials that are refused may be followed by others.
    pub(crate) fn renews(&self) -> bool {
        self.key.is_some() || self.token.is_some()
    }

    /// Puts others in the place of credentials that were refused, where there are others by now. Says
    /// whether there are: which of two was refused, nobody says.
    pub(crate) async fn renew(&self, own: &mut Own, deadline: Instant) -> bool {
        let mut renewed = false;
        if let Some(key) = &self.key
            && let Some(shown) = shown(own, &key.field)
            && let Some(value) = key.read().ok().filter(|value| *value != *shown)
        {
            *shown = value;
            renewed = true;
        }
        if let Some((field, tokens)) = &self.token
            && let Some(shown) = shown(own, field)
            && let Some(value) = tokens.newer(shown, deadline).await
        {
            *shown = value;
            renewed = true;
        }
        renewed
    }
}

/// The value of a field that was added.
fn shown<'o>(own: &'o mut Own, field: &HeaderName) -> Option<&'o mut HeaderValue> {
    own.iter_mut().rev().find(|(name, _)| name == field).map(|(_, value)| value)
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
