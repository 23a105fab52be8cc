//! A request in ten steps. One reads here what happens, and in which order.

use std::{borrow::Cow, panic::AssertUnwindSafe, rc::Rc, sync::Arc, time::Duration};

use futures_util::FutureExt as _;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Version, header};
use policy::{Pace, limiter::Taken};
use schemas::{Attributes, Body, BodyError, Class, Context, Event, Fault, Format, Mode, Tunnel};
use tokio::sync::oneshot;

use crate::{
    Action, Destination, Route, View,
    answer::{self, About, Answer},
    batch,
    decode::{self, Announced, Carried},
    edge::{self, Hop, Origin},
    glance::Glance,
    hop,
    make::{self, Asked},
    mirror,
    outgoing::Outgoing,
    plane::core::Core,
    rates,
    recorder::Trace,
    routes::{Chosen, Door, Limits, Refusal, Seen},
    stored, tunnel,
};
use schemas::cloudevents::webhook;

/// Who sent a request, and where it arrived.
#[derive(Debug)]
pub(crate) struct Peer {
    /// The listener's name.
    pub(crate) listener: Arc<str>,
    /// The other end.
    pub(crate) hop: Hop,
}

/// A request that is not served, and why.
pub(crate) struct Refused {
    /// Boxed, as is the rest: a result is moved about at the size of its larger half.
    pub(crate) fault: Box<Fault>,
    /// The event that it was about, if that much is known.
    pub(crate) event: Option<Box<About>>,
    /// The methods that would be served.
    pub(crate) allow: Option<HeaderValue>,
}

impl From<Fault> for Refused {
    fn from(fault: Fault) -> Self {
        Self { fault: Box::new(fault), event: None, allow: None }
    }
}

/// Serves one request. Never fails: what goes wrong is an answer too.
pub(crate) async fn serve(
    core: Rc<Core>,
    peer: Rc<Peer>,
    request: Request<Body>,
    tunnel: Option<oneshot::Receiver<Tunnel>>,
) -> Response<Outgoing> {
    // 1. Arrive: an id, a clock, a record.
    let glance = Glance::of(request.headers());
    // The request stays with what it began with, whatever is loaded meanwhile.
    let view = core.view();
    let origin = Origin::new(&peer.hop, &view.table.trusted_proxies);
    let request_id = request_id(&core, &request, glance);
    let mut trace = Trace::start(
        Rc::clone(&core.recorder),
        request_id.clone(),
        request.method().clone(),
        request.uri().path_and_query().cloned(),
        Some(peer.hop.ip),
    );
    let head_alone = request.method() == Method::HEAD;
    let upgrade = if glance.upgrade { hop::upgrade(request.headers()) } else { None };
    let upgrade = upgrade.zip(tunnel);
    let grpc = glance.grpc.then(|| request.headers().get(header::CONTENT_TYPE).cloned()).flatten();
    let (parts, body) = request.into_parts();
    let asked = Asked { parts, request_id: &request_id, arrived: trace.arrived, glance, origin };

    // 2 to 9 may panic only by a fault of ours; then this request fails, and no other.
    let served = AssertUnwindSafe(steps(&view, &peer, asked, body, upgrade, &mut trace))
        .catch_unwind()
        .await
        .unwrap_or_else(|_| {
            Err(Fault::new(Class::Internal, "the gateway failed while serving this request")
                .maybe()
                .into())
        });
    let mut served = served.unwrap_or_else(|refused| {
        trace.failed(&refused.fault);
        let attempts = trace.record.attempts;
        let mut answer = match &grpc {
            Some(media) => answer::grpc_fault(&refused.fault, media),
            None => answer::fault(&refused.fault, refused.event.as_deref(), attempts, &request_id),
        };
        if let Some(allow) = refused.allow {
            answer.headers_mut().insert(header::ALLOW, allow);
        }
        answer.into()
    });
    served.answer.headers_mut().insert(answer::REQUEST_ID, request_id);
    if let Some(told) = trace.limits.take() {
        told.0.tell(&told.1, served.answer.headers_mut());
    }

    // 10. Record: written when the answer's last byte has gone.
    let (head, body) = served.answer.into_parts();
    trace.head(head.status);
    if let Some(Joins { caller, upstream }) = served.tunnel {
        tunnel::join(caller, upstream, served.idle, trace);
        return Response::from_parts(head, Outgoing::nothing());
    }
    let silent = matches!(head.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    let body = Outgoing::new(body, served.idle, trace);
    Response::from_parts(head, if head_alone || silent { body.head_alone() } else { body })
}

/// Answers a request whose head was not read, so that nothing else is known of it.
pub(crate) fn refuse(
    core: &Core,
    peer: &Peer,
    class: Class,
    detail: &'static str,
) -> Response<Outgoing> {
    let request_id = core.next_id();
    let mut trace = Trace::start(
        Rc::clone(&core.recorder),
        request_id.clone(),
        Method::default(),
        None,
        Some(peer.hop.ip),
    );
    let fault = Fault::new(class, detail);
    trace.failed(&fault);
    let mut answer = answer::fault(&fault, None, 0, &request_id);
    answer.headers_mut().insert(answer::REQUEST_ID, request_id);
    let (head, body) = answer.into_parts();
    trace.head(head.status);
    Response::from_parts(head, Outgoing::new(body, Duration::MAX, trace))
}

/// An answer, and the tunnel that it opens.
struct Served {
    answer: Answer,
    /// How long the answer's body may stand still.
    idle: Duration,
    tunnel: Option<Joins>,
}

/// The two halves of a tunnel.
struct Joins {
    caller: oneshot::Receiver<Tunnel>,
    upstream: Tunnel,
}

impl From<Answer> for Served {
    fn from(answer: Answer) -> Self {
        Self { answer, idle: Duration::MAX, tunnel: None }
    }
}

type Upgrade = Option<(HeaderValue, oneshot::Receiver<Tunnel>)>;

async fn steps(
    view: &Rc<View>,
    peer: &Peer,
    mut asked: Asked<'_>,
    body: Body,
    upgrade: Upgrade,
    trace: &mut Trace,
) -> Result<Served, Refused> {
    // 1, still: whatever two readers could take for two things has one meaning from here on.
    one_host(&asked)?;
    edge::enter(&mut asked, &view.table.trusted_proxies)?;
    trace.record.peer = Some(asked.origin.client);

    if asked.parts.uri.path().starts_with(stored::PATH) {
        let told = stored::ask(view.outbox(), &asked.parts.method, asked.parts.uri.path());
        return Ok(Box::pin(told).await?.into());
    }

    // 2. Match the head: the door.
    if let Some(answer) = handshake(view, peer, &asked) {
        return Ok(answer.into());
    }
    let door = open(view, peer, &asked)?;

    // 3. Admit by the head; no byte of the body has been read. Where the event decides, what one of
    // the door's routes takes may pass, and the limits of the route itself come once it is known.
    let by_head = if door.by_event() { None } else { Some(choose(&door, None)?) };
    let limits = by_head.as_ref().map_or_else(|| door.widest(), |only| Limits::of(only.route));
    admit(asked.glance, limits)?;
    let mut taken = Taken::default();
    match &by_head {
        Some(only) if only.route.limits.is_some() => {
            note(trace, view, only.route);
            rates::by_head(only, &asked, &mut taken, trace)?;
        }
        Some(_) => {}
        None => rates::none_passes(&door, &asked, trace)?,
    }

    let mut pace = None;

    // 4. Decode: what it carries, as far as anything needs to know; then the one route. What is rare
    // is boxed here and below: a future is moved about at its full size.
    let announced = if asked.glance.event {
        decode::announced(&asked.parts.headers)?
    } else {
        Announced::Head(Context::Plain)
    };
    let (chosen, event) = if let Some(chosen) = by_head {
        let Action::Forward(targets) = &chosen.route.action else {
            note(trace, view, chosen.route);
            return Ok(answer_here(&chosen, &asked)?.into());
        };
        let reads = targets.iter().any(make::reads_events);
        let event = match announced {
            Announced::Head(context) => {
                let limit = body_limit(chosen.route, targets);
                let data = if asked.glance.streams && targets.iter().all(make::speaks_grpc) {
                    // Its messages may come as they come: a stream lasts as long as its call.
                    policy::guard_body(body, chosen.route.policy.idle_timeout, Some(limit))
                } else {
                    guard(body, chosen.route, limit, &mut pace)
                };
                Event { context, data }
            }
            Announced::InBody(mode) if reads => {
                let body = guard(body, chosen.route, limits.event as u64, &mut pace);
                match Box::pin(decode::in_body(mode, body, limits.event)).await? {
                    Carried::One(event) => event,
                    Carried::Many(events) => {
                        let always = |_: &Attributes| choose(&door, None);
                        let batch = batch::serve(view, &asked, events, &always, taken, trace);
                        return Ok(Box::pin(batch).await?.into());
                    }
                }
            }
            Announced::Unknown(media) if reads => return Err(decode::unknown(&media).into()),
            Announced::InBody(mode) => opaque(mode, body, chosen.route, &mut pace),
            Announced::Unknown(_) => opaque(Mode::Structured, body, chosen.route, &mut pace),
        };
        note(trace, view, chosen.route);
        (chosen, event)
    } else {
        let (chosen, event) = match announced {
            Announced::Head(Context::Plain) => {
                let provisional = make::provisional(&asked, door.head());
                (choose(&door, Some(&provisional))?, Event { context: Context::Plain, data: body })
            }
            Announced::Head(context) => {
                let event = Event { context, data: body };
                (choose(&door, event.attributes())?, event)
            }
            Announced::Unknown(media) => return Err(decode::unknown(&media).into()),
            Announced::InBody(mode) => {
                let body = guard(body, door.head(), limits.event as u64, &mut pace);
                match Box::pin(decode::in_body(mode, body, limits.event)).await? {
                    Carried::One(event) => {
                        let chosen = choose(&door, event.attributes())?;
                        fits(&event, chosen.route)?;
                        (chosen, event)
                    }
                    Carried::Many(events) => {
                        let by_event = |event: &Attributes| choose(&door, Some(event));
                        let batch = batch::serve(view, &asked, events, &by_event, taken, trace);
                        return Ok(Box::pin(batch).await?.into());
                    }
                }
            }
        };
        note(trace, view, chosen.route);
        let limits = Limits::of(chosen.route);
        admit(asked.glance, limits)?;
        rates::by_head(&chosen, &asked, &mut taken, trace)?;
        let data = guard(event.data, chosen.route, limits.event as u64, &mut pace);
        (chosen, Event { data, ..event })
    };
    rates::by_event(&chosen, &asked, &event, trace)?;
    trace.record.bytes_in = exact(&event.data);

    // 5. Make the call, with its deadline.
    let Action::Forward(targets) = &chosen.route.action else {
        return Ok(answer_here(&chosen, &asked)?.into());
    };
    if let Some(rules) = &chosen.route.stored {
        let accepted = stored::accept(view, &chosen, rules, targets, event, asked, trace);
        let answer = Box::pin(accepted)
            .await
            .map_err(|refused| Refused { fault: Box::new(of_body(*refused.fault)), ..refused })?;
        return Ok(answer.into());
    }
    let mut event = event;
    if let Some(copy) = mirror::prepare(view, &chosen, &asked, &mut event, trace.recorder()) {
        copy.start();
    }
    let (target, series) = view.turn(chosen.route, targets);
    trace.series = series;
    trace.record.address = Some(Arc::clone(&target.label));
    let made = make::call(&chosen, target, event, asked, upgrade.as_ref().map(|(name, _)| name))?;
    let make::Made { call, about, response } = made;

    // 6, 7, 8. Attempt: the lane picks an endpoint, translates and sends once; the policy sends
    // again where that is safe.
    let lane = view.lane(&target.upstream);
    let send = async |call| lane.call(call).await;
    let attempted = policy::attempt(&chosen.route.policy, &target.guards, call, send).await;
    trace.record.attempts = attempted.attempts;
    trace.permit = attempted.permit;
    if let Some(pace) = pace {
        pace.answered();
    }
    let mut reply = match attempted.result {
        Ok(reply) => reply,
        Err(fault) => {
            let event = about.map(Box::new);
            return Err(Refused { event, ..of_body(fault).into() });
        }
    };

    // 9. Answer.
    trace.record.ack = Some(target.ack);
    if let schemas::Verdict::Failed { class, .. } = reply.verdict {
        trace.record.class = Some(class);
    }
    trace.later = reply.later.take();
    let tunnel = match (reply.upgrade.take(), upgrade) {
        (Some(upstream), Some((_, caller))) => Some(Joins { caller, upstream }),
        _ => None,
    };
    if target.reply_format != Format::Auto {
        reply = Box::pin(crate::reply::form(reply, target.reply_format, chosen.route)).await?;
    }
    let mut answer = answer::reply(reply, target.ack, about.as_ref());
    if let Some(changes) = response {
        changes.apply(answer.headers_mut());
    }
    Ok(Served { answer, idle: chosen.route.policy.idle_timeout, tunnel })
}

/// The request's id: the caller's, if it is fit to stand in a log, else a new one.
fn request_id(core: &Core, request: &Request<Body>, glance: Glance) -> HeaderValue {
    if glance.request_id
        && let Some(id) = request.headers().get(answer::REQUEST_ID)
        && (1..=128).contains(&id.len())
        && id.as_bytes().iter().all(u8::is_ascii_graphic)
    {
        return id.clone();
    }
    core.next_id()
}

/// A request has exactly one host, or nobody can say who it is for (RFC 9112, section 3.2).
fn one_host(asked: &Asked<'_>) -> Result<(), Fault> {
    let refuse = |what: &'static str| Err(Fault::new(Class::BadRequest, what).code("bad_host"));
    let Glance { hosts, odd_host, .. } = asked.glance;
    match hosts {
        1 if odd_host => refuse("the Host header is not text"),
        0 if asked.parts.version == Version::HTTP_11 && asked.parts.uri.authority().is_none() => {
            refuse("the request has no Host header")
        }
        0 | 1 => Ok(()),
        _ => refuse("the request has more than one Host header"),
    }
}

fn seen<'a>(peer: &'a Peer, asked: &'a Asked<'_>, method: &'a Method) -> Seen<'a> {
    Seen {
        listener: &peer.listener,
        host: asked.host(),
        path: asked.parts.uri.path(),
        query: asked.parts.uri.query(),
        method,
        headers: &asked.parts.headers,
    }
}

fn open<'v>(view: &'v View, peer: &Peer, asked: &Asked<'_>) -> Result<Door<'v>, Refused> {
    view.table.doors.open(&seen(peer, asked, &asked.parts.method)).map_err(
        |refusal| match refusal {
            Refusal::NoRoute => Fault::new(Class::NotFound, "no route serves this host and path")
                .code("no_route")
                .into(),
            Refusal::Method { allow } => {
                let names: Vec<&str> = allow.iter().map(Method::as_str).collect();
                Refused {
                    allow: HeaderValue::from_str(&names.join(", ")).ok(),
                    ..Fault::new(
                        Class::MethodNotAllowed,
                        "a route serves this path, but not this method",
                    )
                    .into()
                }
            }
        },
    )
}

/// Answers the handshake by which a webhook asks whether it may deliver here, on routes that are
/// configured for it (CloudEvents HTTP webhook specification, section 4).
fn handshake(view: &View, peer: &Peer, asked: &Asked<'_>) -> Option<Answer> {
    if asked.parts.method != Method::OPTIONS {
        return None;
    }
    // It asks for the route that its deliveries will take.
    let door = view.table.doors.open(&seen(peer, asked, &Method::POST)).ok()?;
    // Behind one door may stand routes that allow different senders. A grant says more than a
    // denial does.
    let allowed = door.routes().filter_map(|route| route.webhook.as_ref());
    let answers =
        allowed.filter_map(|allowed| webhook::answer(&asked.parts.headers, Some(allowed)));
    let headers = answers.max_by_key(HeaderMap::len)?;
    let mut answer = Response::new(Body::empty());
    answer.headers_mut().extend(headers);
    Some(answer)
}

fn choose<'t>(door: &Door<'t>, event: Option<&Attributes>) -> Result<Chosen<'t>, Refused> {
    door.choose(event).ok_or_else(|| Refused {
        event: event.map(|event| Box::new(About::of(event))),
        ..Fault::new(Class::NotFound, "no route here takes this event")
            .code("no_route_for_event")
            .into()
    })
}

/// Refuses by the head alone what is over a limit.
fn admit(glance: Glance, limits: Limits) -> Result<(), Fault> {
    if glance.bytes > limits.headers {
        let limit = limits.headers;
        return Err(Fault::new(
            Class::HeadersTooLarge,
            format!("the headers are larger than {limit} bytes together"),
        ));
    }
    if glance.content_length.is_some_and(|length| length > limits.body) {
        return Err(too_large(limits.body));
    }
    Ok(())
}

/// Refuses an event that is here and larger than its route takes.
pub(crate) fn fits(event: &Event, route: &Route) -> Result<(), Fault> {
    let limit = route.policy.event_bytes_max;
    match event.data.whole() {
        Some(data) if data.len() > limit => Err(too_large(limit as u64)),
        _ => Ok(()),
    }
}

fn too_large(limit: u64) -> Fault {
    Fault::new(Class::TooLarge, format!("the body is larger than {limit} bytes"))
}

/// The body under the route's limits. A body that is all here, or not there at all, needs none.
fn guard(body: Body, route: &Route, bytes_max: u64, pace: &mut Option<Pace>) -> Body {
    use http_body::Body as _;
    if body.is_end_stream() {
        return body;
    }
    let pace = pace.get_or_insert_default();
    policy::guard_request(body, route.policy.idle_timeout, bytes_max, pace)
}

fn opaque(mode: Mode, body: Body, route: &Route, pace: &mut Option<Pace>) -> Event {
    let data = guard(body, route, route.policy.body_bytes_max, pace);
    Event { context: Context::Opaque(mode), data }
}

/// What is stored or sent to a broker is read whole, so the event's limit holds for it.
fn body_limit(route: &Route, targets: &[Destination]) -> u64 {
    let event = route.policy.event_bytes_max as u64;
    if route.stored.is_some() || targets.iter().any(make::takes_messages) {
        event.min(route.policy.body_bytes_max)
    } else if targets.iter().all(make::speaks_grpc)
        && !route.policy_from.contains_key("limits.body")
    {
        // Its messages are bounded one by one, and a stream of them need not end.
        u64::MAX
    } else {
        route.policy.body_bytes_max
    }
}

fn exact(body: &Body) -> u64 {
    use http_body::Body as _;
    body.size_hint().exact().unwrap_or(0)
}

fn note(trace: &mut Trace, view: &View, route: &Route) {
    trace.record.route = Some(Arc::clone(&route.label));
    trace.series = view.series(route);
}

/// Routes that need no target.
fn answer_here(chosen: &Chosen<'_>, asked: &Asked<'_>) -> Result<Answer, Fault> {
    let mut answer = Response::new(Body::empty());
    match &chosen.route.action {
        Action::Respond { status, headers, body } => {
            *answer.status_mut() = *status;
            answer.headers_mut().extend(headers.iter().cloned());
            *answer.body_mut() = Body::from(body.clone());
        }
        Action::Redirect { to, status } => {
            let location = make::location(to, &asked.values(&chosen.captures, None))?;
            *answer.status_mut() = *status;
            answer.headers_mut().insert(header::LOCATION, location);
        }
        Action::Forward(_) => {
            return Err(Fault::new(Class::Internal, "a route with targets was answered here"));
        }
    }
    Ok(answer)
}

/// A call that failed because the caller's own body did is the caller's failure.
fn of_body(fault: Fault) -> Fault {
    let mut cause = fault.cause.as_deref().map(|cause| cause as &(dyn std::error::Error + 'static));
    while let Some(one) = cause {
        if let Some(error) = one.downcast_ref::<BodyError>() {
            let ran = fault.ran;
            let said = match error {
                BodyError::TooLarge { limit } => too_large(*limit as u64),
                BodyError::Idle { millis } => Fault::new(
                    Class::RequestTimeout,
                    Cow::Owned(format!("no byte of the body came for {millis} ms")),
                ),
                BodyError::Slow { .. } => decode::slow(error),
                BodyError::Broken(_) => {
                    Fault::new(Class::BadRequest, "the body broke off").code("body_broken")
                }
            };
            return Fault { ran, ..said };
        }
        cause = one.source();
    }
    fault
}
