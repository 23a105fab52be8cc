//! Functions that are called over HTTP: what their kinds have in common.
//!
//! The request goes on as it is or as a CloudEvent, behind the function's own path, with what the
//! gateway shows of itself ([`Authoriser`]). What comes back is read by the one thing in which the
//! kinds differ, [`Platform::classify`]: the function's own answer passes unchanged, and what its
//! platform says in its place becomes a fault.
//!
//! A kind sends once. What stands behind that is RFC 9110, section 11.6.1: a request that is
//! refused with 401 may be repeated with a newer credential, and is, once, if there is one.

mod ask;
mod authorise;
mod heard;
mod known;
mod names;
mod reach;
#[cfg(test)]
pub(crate) mod rows;
mod token;

use std::{mem, time::Instant};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method};
use http_body::{Body as _, Frame};
use schemas::{Body, Call, Class, EndpointId, Fault, Reply};
use smallvec::SmallVec;

pub(crate) use self::{
    ask::{Ask, Told, ask},
    authorise::{Authoriser, Key},
    heard::{Heard, Said},
    known::Known,
    names::{is_label, with_stand_ins},
    reach::{Reach, Wrong},
    token::{Mint, Minted, Tokens},
};
use crate::{
    client::{Answered, Client, Failed, Head, put_back},
    http::{format, incoming, outgoing},
};

/// Fields of the gateway's own.
pub(crate) type Own = SmallVec<[(HeaderName, HeaderValue); 2]>;

/// What a kind knows of its platform's answers.
pub(crate) trait Platform {
    /// The bytes that the platform takes in one request.
    const BODY_BYTES_MAX: u64 = u64::MAX;
    /// Whether its own errors are told from a function's by whether they have a body.
    const ERRORS_ARE_EMPTY: bool = true;

    /// Reads an answer: is it the function's own, or its platform's?
    fn classify(&self, heard: &Heard<'_>) -> Said;
}

/// Where one call goes.
pub(crate) struct Aim<'a> {
    /// The connections to it.
    pub(crate) client: &'a Client,
    /// The function's own path, behind which the request's stands; empty where it has none.
    pub(crate) prefix: &'a str,
    /// The method, if it is not the request's own.
    pub(crate) method: Option<Method>,
    /// Fields that go along in place of the request's own.
    pub(crate) own: Own,
    /// Who the gateway is to it.
    pub(crate) authoriser: &'a Authoriser,
}

/// Calls a function once.
pub(crate) async fn call<P: Platform>(
    platform: &P,
    mut aim: Aim<'_>,
    mut call: Call,
) -> Result<Reply, Fault> {
    refuse(&call)?;
    let written = format::write(&mut call)?;
    fits(&call.event.data, P::BODY_BYTES_MAX)?;
    if let Err(fault) = aim.authoriser.show(&mut aim.own, call.deadline).await {
        return Err(fault.unsent(written.undo(call)));
    }
    let mut data = mem::take(&mut call.event.data);
    let spare = if aim.authoriser.renews() { data.again() } else { None };
    let (mut answered, id) = match once(&aim, &call, &mut data).await {
        Ok(answered) => answered,
        Err(Failed::Sent(fault)) => return Err(fault),
        Err(Failed::Unsent(fault)) => {
            call.event.data = data;
            return Err(fault.unsent(written.undo(call)));
        }
    };
    let mut said = hear(platform, &mut answered, id).await?;
    if matches!(said, Said::Refused)
        && let Some(spare) = spare
        && let Some((again, said_again)) =
            Box::pin(renewed(platform, &mut aim, &call, spare)).await?
    {
        (answered, said) = (again, said_again);
    }
    if !matches!(said, Said::Refused) {
        aim.authoriser.accepted();
    }
    let upgrade = call.upgrade.is_some();
    http1::recycle(mem::take(&mut call.head.headers));
    match said {
        Said::Answer(verdict) => incoming::reply(answered, verdict, id, upgrade),
        Said::Unclear => {
            let verdict = incoming::classify(answered.status, &answered.headers);
            incoming::reply(answered, verdict, id, upgrade)
        }
        Said::Published(receipt) => Ok(Reply { endpoint: Some(id), ..Reply::published(*receipt) }),
        Said::Fault(fault) => Err(fault.at(id)),
        Said::Refused => Err(heard::refused().at(id)),
    }
}

/// Sends the call with a newer credential, if there is one.
async fn renewed(
    platform: &impl Platform,
    aim: &mut Aim<'_>,
    call: &Call,
    mut data: Body,
) -> Result<Option<(Answered, Said)>, Fault> {
    if !aim.authoriser.renew(&mut aim.own, call.deadline).await {
        return Ok(None);
    }
    match once(aim, call, &mut data).await {
        Ok((mut answered, id)) => {
            let said = hear(platform, &mut answered, id).await?;
            Ok(Some((answered, said)))
        }
        // The first was refused, so that only this one may have run.
        Err(Failed::Unsent(fault) | Failed::Sent(fault)) => Err(fault),
    }
}

async fn once(
    aim: &Aim<'_>,
    call: &Call,
    data: &mut Body,
) -> Result<(Answered, EndpointId), Failed> {
    let opened = aim.client.open(call.avoid, call.deadline).await;
    let line = opened.map_err(Failed::Unsent)?;
    let id = line.id;
    let path = match outgoing::path(&call.head.uri, &line.origin.base) {
        Ok(path) => path,
        Err(fault) => return Err(Failed::Sent(fault)),
    };
    let head = Head {
        method: aim.method.as_ref().unwrap_or(&call.head.method),
        prefix: aim.prefix,
        path: behind(aim.prefix, &path),
        headers: &call.head.headers,
        own: &aim.own,
        upgrade: call.upgrade.as_ref(),
    };
    match aim.client.send(line, &head, data, call.deadline).await {
        Ok(answered) => Ok((answered, id)),
        Err(Failed::Sent(fault)) => Err(Failed::Sent(fault.at(id))),
        Err(Failed::Unsent(fault)) => Err(Failed::Unsent(fault.at(id))),
    }
}

/// The request's path as it stands behind a function's own: `/` alone is the function itself.
fn behind<'p>(prefix: &str, path: &'p str) -> &'p str {
    match path.strip_prefix('/') {
        Some(rest) if !prefix.is_empty() && (rest.is_empty() || rest.starts_with('?')) => rest,
        Some(_) | None => path,
    }
}

/// Has the platform's answer read; if need be together with the first bytes of its body.
async fn hear<P: Platform>(
    platform: &P,
    answered: &mut Answered,
    id: EndpointId,
) -> Result<Said, Fault> {
    // Whether a body that has no length is empty, its head does not say.
    let silent = answered.status.as_u16() >= 400 && answered.body.size_hint().exact().is_none();
    if !(P::ERRORS_ARE_EMPTY && silent) {
        let said = platform.classify(&Heard::of(answered, None));
        if !matches!(said, Said::Unclear) {
            return Ok(said);
        }
    }
    let start = match answered.body.whole() {
        Some(whole) => whole,
        None => Box::pin(first(&mut answered.body)).await.map_err(|fault| fault.at(id))?,
    };
    Ok(platform.classify(&Heard::of(answered, Some(&start))))
}

/// The first bytes of a body, which stay in it; none where nothing but trailers comes.
async fn first(body: &mut Body) -> Result<Bytes, Fault> {
    loop {
        let frame = std::future::poll_fn(|cx| std::pin::Pin::new(&mut *body).poll_frame(cx)).await;
        match frame {
            None => return Ok(Bytes::new()),
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) if data.is_empty() => {}
                Ok(data) => {
                    put_back(Frame::data(data.clone()), body);
                    return Ok(data);
                }
                Err(trailers) => {
                    put_back(trailers, body);
                    return Ok(Bytes::new());
                }
            },
            Some(Err(error)) => {
                let what = "the upstream broke off before it answered";
                return Err(Fault::new(Class::UpstreamProtocol, what).maybe().because(error));
            }
        }
    }
}

/// What no function can be asked for.
fn refuse(call: &Call) -> Result<(), Fault> {
    if call.head.method == Method::CONNECT {
        return Err(Fault::new(Class::BadRequest, "CONNECT asks for a tunnel, and there is none"));
    }
    Ok(())
}

/// Refuses a body that is known to be larger than the platform takes.
fn fits(data: &Body, limit: u64) -> Result<(), Fault> {
    if data.size_hint().lower() > limit {
        let what = format!("the function's platform takes {limit} bytes; send a smaller body");
        return Err(Fault::new(Class::TooLarge, what));
    }
    Ok(())
}

/// The end of a wait that is not a call's own: at most this long, and never beyond the call.
pub(crate) fn within(span: std::time::Duration, deadline: Instant) -> Instant {
    Instant::now().checked_add(span).map_or(deadline, |ends| ends.min(deadline))
}
