//! Events that are stored before the caller is told (`ack: stored`): the event becomes a record
//! for each target, is written and synced, and the answer is a receipt; or, where the route waits,
//! the function's own answer if it comes in time.

pub(crate) mod again;
pub(crate) mod consumed;
mod outcome;
mod receipt;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header};
use invokers::{Target, embedded};
use outbox::{
    Record,
    outcomes::{Answer as Kept, Outcome},
};
use schemas::{Ack, Body, Call, Class, Event, Fault, Format, Grammar};

pub(crate) use self::{
    outcome::{PATH, ask},
    receipt::of as receipt_of,
};
use crate::{
    Destination, Route, View,
    answer::{self, About, Answer},
    decode,
    make::{self, Asked},
    recorder::Trace,
    routes::Chosen,
    steps::Refused,
    table::Stored,
    values,
};
pub(crate) use invokers::embedded::not_stored;

/// What is stored of one event.
pub(crate) struct Ready {
    /// A record for each target.
    pub(crate) records: Vec<Record>,
    /// The event, for the answer.
    pub(crate) about: Option<About>,
    /// What those are told who follow a topic, once it is stored.
    pub(crate) news: News,
}

/// Events of topics that somebody follows.
pub(crate) type News = Vec<(Arc<embedded::Target>, Call)>;

/// Lets those hear of events who follow their topics. The events are stored.
pub(crate) async fn announce(news: News) {
    for (topics, mut call) in news {
        let topic = Arc::clone(&call.function);
        topics.announce(&topic, &mut call).await;
    }
}

/// Stores an event and answers with what has happened.
///
/// # Errors
/// If it cannot be made into records, or cannot be stored: then nothing was.
pub(crate) async fn accept(
    view: &View,
    chosen: &Chosen<'_>,
    rules: &Stored,
    targets: &[Destination],
    event: Event,
    asked: Asked<'_>,
    trace: &mut Trace,
) -> Result<Answer, Refused> {
    let route = &**chosen.route;
    let patience = patience(rules, &asked.parts.headers);
    let limit = route.policy.event_bytes_max;
    let Event { context, data } = event;
    let data = data.collect(limit).await.map_err(|error| decode::broken(error, "the event"))?;
    let event = Event { context, data: Body::from(data.clone()) };
    let made = records(view, chosen, rules, targets, event, &data, asked)?;
    let Ready { mut records, about, news } = made;
    let waits = match (&mut *records, patience) {
        ([record], Some(patience)) => {
            let token = uuid::Uuid::new_v4().simple().to_string();
            record.head.token = Some(token.clone());
            let told = (!patience.is_zero()).then(|| view.outbox().outcomes.expect(&token));
            Some((token, told, patience))
        }
        _ => None,
    };
    let refused = |fault| {
        let fault = Box::new(fault);
        Refused {
            event: about.clone().map(Box::new),
            ..Refused { fault, event: None, allow: None }
        }
    };
    let taken = match view.outbox().put(records).await {
        Ok(taken) => taken,
        Err(error) => {
            if let Some((token, ..)) = &waits {
                view.outbox().outcomes.forget(token);
            }
            return Err(refused(not_stored(&error)));
        }
    };
    announce(news).await;
    trace.record.ack = Some(Ack::Stored);
    let Some((token, told, patience)) = waits else {
        return Ok(answer::accepted(
            &receipt_of(view.outbox(), &taken, targets, rules),
            about.as_ref(),
        ));
    };
    let duplicate = taken.first().is_some_and(|taken| taken.duplicate);
    // A repetition was stored under the first one's token, so that nobody will tell this one.
    if let Some(told) = told.filter(|_| !duplicate)
        && let Ok(Ok(outcome)) = tokio::time::timeout(patience, told).await
    {
        return match outcome {
            Outcome::Delivered(kept) => {
                trace.record.ack = Some(Ack::Replied);
                replied(&kept, targets, route).await.map_err(refused)
            }
            Outcome::Dead { why } => Err(refused(given_up(&why))),
        };
    }
    view.outbox().outcomes.forget(&token);
    let receipt = receipt_of(view.outbox(), &taken, targets, rules);
    let mut answer = answer::accepted(&receipt, about.as_ref());
    if let (Some(taken), false) = (taken.first(), duplicate) {
        let place = format!("{PATH}{}-{token}", taken.id);
        if let Ok(place) = HeaderValue::try_from(place) {
            answer.headers_mut().insert(header::LOCATION, place);
        }
    }
    Ok(answer)
}

/// Makes the records of an event, of which `data` is all.
///
/// # Errors
/// If a placeholder cannot be filled.
pub(crate) fn records(
    view: &View,
    chosen: &Chosen<'_>,
    rules: &Stored,
    targets: &[Destination],
    event: Event,
    data: &Bytes,
    asked: Asked<'_>,
) -> Result<Ready, Fault> {
    let route = &**chosen.route;
    let one = std::slice::from_ref(view.turn(route, targets).0);
    let all = if rules.all { targets } else { one };
    let mut records = Vec::with_capacity(all.len());
    let mut about = None;
    let mut news = Vec::new();
    for target in all {
        let data_of = || Body::from(data.clone());
        let again = Event { context: event.context.clone(), data: data_of() };
        let made = make::call(chosen, target, again, asked.clone(), None)?;
        let mut record =
            Record::of(&made.call, data.clone(), &route.name, &target.label, target.asks);
        if let Some(template) = &rules.order_by {
            let values = asked.values(&chosen.captures, made.call.event.attributes());
            let key = template.fill(&values, Grammar::Text);
            record.head.order = Some(key.map_err(|unfilled| values::refuse(&unfilled))?);
        }
        about = about.or(made.about);
        match &target.upstream.target {
            Target::Embedded(topics) => {
                records.extend(topics.spread(record));
                if topics.bus.is_followed(&made.call.function) {
                    news.push((Arc::clone(topics), made.call));
                }
            }
            _ => records.push(record),
        }
    }
    Ok(Ready { records, about, news })
}

/// How long the caller waits for an answer: as the route says, and at most as long as it says
/// itself (RFC 7240, sections 4.1 and 4.3). None where nobody can wait here.
fn patience(rules: &Stored, headers: &HeaderMap) -> Option<Duration> {
    let most = rules.wait?;
    let mut asynchronous = false;
    let mut own = None;
    for value in headers.get_all("prefer") {
        for preference in value.to_str().unwrap_or_default().split(',') {
            let preference = preference.split(';').next().unwrap_or_default().trim();
            let (name, value) = preference.split_once('=').unwrap_or((preference, ""));
            match name.trim().to_ascii_lowercase().as_str() {
                "respond-async" => asynchronous = true,
                "wait" => own = value.trim().trim_matches('"').parse().ok().or(own),
                _ => {}
            }
        }
    }
    let own = own.map(Duration::from_secs);
    Some(match own {
        Some(own) => own.min(most),
        None if asynchronous => Duration::ZERO,
        None => most,
    })
}

/// The function's own answer, which came in time.
async fn replied(
    kept: &Arc<Kept>,
    targets: &[Destination],
    route: &Route,
) -> Result<Answer, Fault> {
    let Some(body) = kept.body.clone() else {
        return Err(Fault::new(
            Class::UpstreamProtocol,
            "the event was delivered, and the function's answer was too large to keep or broke off",
        )
        .maybe());
    };
    let reply = schemas::Reply::ok(kept.status, kept.headers.clone(), Body::from(body));
    let wanted = targets.first().map_or(Format::Auto, |target| target.reply_format);
    let reply = crate::reply::form(reply, wanted, route).await?;
    Ok(answer::reply(reply, Ack::Replied, None))
}

/// The event was given up before the caller's patience was.
fn given_up(why: &str) -> Fault {
    Fault::new(Class::FunctionFailed, format!("the event was stored and is a dead letter: {why}"))
        .code("dead_letter")
        .maybe()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(wait: Option<u64>) -> Stored {
        Stored {
            all: false,
            delivery: Arc::default(),
            dead_letter: None,
            wait: wait.map(Duration::from_secs),
            order_by: None,
            policy: policy::Policy::default(),
        }
    }

    fn seconds(wait: Option<u64>, prefer: &[&'static str]) -> Option<u64> {
        let mut headers = HeaderMap::new();
        for value in prefer {
            headers.append("prefer", HeaderValue::from_static(value));
        }
        patience(&rules(wait), &headers).map(|wait| wait.as_secs())
    }

    #[test]
    fn a_caller_waits_as_long_as_the_route_says_and_no_longer_than_it_wants() {
        assert_eq!(seconds(None, &["respond-async, wait=5"]), None);
        assert_eq!(seconds(Some(10), &[]), Some(10));
        assert_eq!(seconds(Some(10), &["respond-async"]), Some(0));
        assert_eq!(seconds(Some(10), &["Respond-Async, WAIT=5"]), Some(5));
        assert_eq!(seconds(Some(10), &["respond-async", "wait=\"7\"; x=y"]), Some(7));
        assert_eq!(seconds(Some(10), &["wait=60"]), Some(10));
        assert_eq!(seconds(Some(10), &["wait=-1, handling=lenient"]), Some(10));
    }
}
