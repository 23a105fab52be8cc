//! Where a route sends its requests: targets, and what of the route's own settings each takes.

use std::sync::Arc;

use invokers::Target;
use schemas::{Ack, Address, Format, Template};

use super::{addresses, headers, routes::Around, templates::Brings};
use crate::{
    Allow, Destination, Upstream,
    config::{
        shape::TextOr,
        spot::{Report, Spot},
        written::{self, LongAddress, Query, TargetForm},
    },
    table::{HeaderRules, Match, PathMatch, Rewrite},
};

/// The largest weight, so that no sum of them overflows.
const WEIGHT_MAX: u32 = 1_000_000;

/// What all targets of a route have in common.
pub(super) struct Common<'a, 'b> {
    pub(super) route: &'a written::Route,
    pub(super) spot: &'a Spot<'b>,
    pub(super) brings: &'a Brings,
    pub(super) matching: &'a Match,
    pub(super) timeout: std::time::Duration,
}

/// A target whose address is known.
pub(super) struct Found<'a> {
    pub(super) upstream: Option<Arc<Upstream>>,
    pub(super) address: Address,
    /// Where the address is written.
    pub(super) at: Spot<'a>,
}

impl Common<'_, '_> {
    /// Reads all targets of a route. `None` if one is wrong.
    pub(super) fn targets(
        &self,
        around: &mut Around<'_, '_>,
        report: &mut Report,
    ) -> Option<Vec<Destination>> {
        let (field, written) = match (&self.route.to_all, &self.route.to) {
            (Some(all), _) => ("to_all", all.as_slice()),
            (None, to) => ("to", to.as_ref()?.as_slice()),
        };
        let to = self.spot.field(field);
        let spots = to.items(report);
        if written.is_empty() {
            // A list of nothing but mistakes has been spoken of already.
            if to.node.is_some_and(|node| node.children().next().is_none()) {
                report.error(&to, "has no target", "write an address");
            }
            return None;
        }
        let all: Vec<Option<Destination>> = written
            .iter()
            .zip(&spots)
            .map(|(target, spot)| self.target(target, spot, around, report))
            .collect();
        let all: Vec<Destination> = all.into_iter().collect::<Option<_>>()?;
        if all.iter().all(|target| target.weight == 0) {
            report.error(&to, "every weight is 0, so nothing goes anywhere", "write a weight of 1");
            return None;
        }
        Some(all)
    }

    pub(super) fn target(
        &self,
        target: &written::Target,
        spot: &Spot<'_>,
        around: &mut Around<'_, '_>,
        report: &mut Report,
    ) -> Option<Destination> {
        let none = TargetForm::default();
        let (found, form) = match target {
            TextOr::Text(address) => (short(address, spot, around, report), &none),
            TextOr::Form(form) => (self.long(form, spot, around, report), &**form),
        };
        // What is wrong with the address is no reason not to look at the rest.
        let upstream = found.as_ref().and_then(|found| found.upstream.clone());
        let before = report.problems.len();
        let weight = self.weight(form, spot, report);
        let headers = form.headers.as_ref().map(|written| (written, spot.field("headers")));
        let timeout = self.timeout(form, spot, report);
        let upstream = upstream?;
        let Found { address, at, .. } = found?;
        let kind = &upstream.target;
        let function = &address.function;
        let only_events = kind.takes_events(function.front());
        let named = Named { kind, function: function.front() };
        let (ack, asks) = self.ack(named, report);
        let format = self.format(form, named, asks, spot, report);
        // An address that names the event has one made of a plain request.
        let event = self.brings.event || matches!(format, Format::Binary | Format::Structured);
        let brings = Brings { event, ..self.brings.clone() };
        let with_event = Brings { event: event || only_events, ..brings.clone() };
        addresses::check(&address, kind, &with_event, &at, report);
        let allow = self.allow(form, kind, function, spot, report);
        let fields = fields(form, kind, spot, &brings, report);
        let rewrite = self.rewrite(form, named, spot, &brings, report);
        let preserve_host = self.for_http(
            "preserve_host",
            form.preserve_host,
            self.route.preserve_host,
            named,
            spot,
            report,
        );
        let reply_format = self.reply_format(form, kind, ack, spot, report);
        let headers = headers.map_or_else(HeaderRules::default, |(written, at)| {
            headers::rules(written, &at, &brings, report)
        });
        if before != report.problems.len() {
            return None;
        }
        let label: Arc<str> = address.to_string().into();
        Some(Destination {
            guards: upstream.guards_of(&label, around.registry),
            fixed: address.function.literal().map(Arc::from),
            allow,
            fields,
            takes_events: only_events,
            address: Arc::new(address),
            label,
            weight,
            rewrite,
            preserve_host,
            headers,
            format,
            reply_format,
            ack,
            asks,
            timeout,
            upstream,
        })
    }

    /// The address of a target that is a mapping.
    fn long<'s>(
        &self,
        form: &TargetForm,
        spot: &Spot<'s>,
        around: &mut Around<'_, '_>,
        report: &mut Report,
    ) -> Option<Found<'s>> {
        match (&form.to, &form.upstream) {
            (Some(_), Some(_)) => {
                let message = "`upstream` stands beside `to`";
                report.error(&spot.key("upstream"), message, "write one of them");
                None
            }
            (Some(TextOr::Text(address)), None) => {
                short(address, &spot.field("to"), around, report)
            }
            (Some(TextOr::Form(long)), None) => whole(long, &spot.field("to"), around, report),
            (None, Some(upstream)) => {
                let long = LongAddress {
                    upstream: upstream.clone(),
                    subject: form.subject.clone(),
                    exchange: form.exchange.clone(),
                    key: form.key.clone(),
                    topic: form.topic.clone(),
                    method: form.method.clone(),
                    function: form.function.clone(),
                };
                whole(&long, spot, around, report)
            }
            (None, None) => {
                if !spot.has("to") && !spot.has("upstream") {
                    report.error(spot, "`to` is missing", "write `to:` and an address");
                }
                None
            }
        }
    }

    fn timeout(
        &self,
        form: &TargetForm,
        spot: &Spot<'_>,
        report: &mut Report,
    ) -> Option<std::time::Duration> {
        let timeout = form.timeout?;
        let at = spot.field("timeout");
        if timeout.0.is_zero() {
            report.error(&at, "is no time at all", "write 1ms or more");
        }
        if timeout.0 > self.timeout {
            let most = schemas::units::Span(self.timeout);
            let message = format!("is longer than the route's timeout, {most}");
            report.error(&at, message, "write at most that, or a longer `policy.timeout`");
        }
        Some(timeout.0)
    }

    fn format(
        &self,
        form: &TargetForm,
        named: Named<'_>,
        ack: Ack,
        spot: &Spot<'_>,
        report: &mut Report,
    ) -> Format {
        let (format, at) = match (form.format, self.route.format) {
            (Some(format), _) => (format, spot.field("format")),
            (None, Some(format)) => (format, self.spot.field("format")),
            (None, None) => return named.kind.default_format(named.function),
        };
        if let Err([what, remedy]) = named.kind.takes(named.function, format, ack) {
            report.error(&at, format!("kind {} {what}", named.kind.kind()), remedy);
        }
        format
    }

    fn reply_format(
        &self,
        form: &TargetForm,
        kind: &Target,
        ack: Ack,
        spot: &Spot<'_>,
        report: &mut Report,
    ) -> Format {
        let (format, at) = match (form.reply_format, self.route.reply_format) {
            (Some(format), _) => (format, spot.field("reply_format")),
            (None, Some(format)) => (format, self.spot.field("reply_format")),
            (None, None) => return Format::Auto,
        };
        if ack != Ack::Replied && self.route.wait.is_none() {
            let message = format!("there is no reply with `ack: {}`", ack.name());
            report.error(&at, message, "leave it out, or write `ack: replied`");
        }
        if let Err([what, remedy]) = kind.replies(format) {
            report.error(&at, format!("kind {} {what}", kind.kind()), remedy);
        }
        format
    }

    /// What the caller is told, which is the whole route's, and what the target is asked for.
    fn ack(&self, Named { kind, function }: Named<'_>, report: &mut Report) -> (Ack, Ack) {
        let can = kind.acks(function);
        let default = can.first().copied().unwrap_or(Ack::Replied);
        let ack = match self.route.ack {
            Some(ack) => ack,
            None if self.route.to_all.is_some() => Ack::Stored,
            None => default,
        };
        let asks = match ack {
            // Who waits, waits for the function's own answer.
            Ack::Stored if self.route.wait.is_some() => Ack::Replied,
            Ack::Stored => default,
            ack => ack,
        };
        if !can.contains(&asks) {
            let named = match kind {
                Target::Nats(target) if target.jetstream() => "nats with jetstream",
                Target::Azure(_) if asks == Ack::Published => {
                    "azure-functions without `master_key`"
                }
                kind => kind.kind(),
            };
            if ack == Ack::Stored {
                let message = format!("kind {named} has no answer that could be waited for");
                report.error(&self.spot.key("wait"), message, "leave it out");
            } else {
                let message = format!("kind {named} cannot answer `{}`", ack.name());
                let can: Vec<&str> = can.iter().map(|ack| ack.name()).chain(["stored"]).collect();
                let remedy = format!("write {}", can.join(" or "));
                report.error(&self.spot.field("ack"), message, remedy);
            }
        }
        (ack, asks)
    }

    fn weight(&self, form: &TargetForm, spot: &Spot<'_>, report: &mut Report) -> u32 {
        let weight = form.weight.unwrap_or(1);
        if self.route.to_all.is_some() && form.weight.is_some() {
            let message = "every target of `to_all` gets every event";
            report.error(&spot.key("weight"), message, "leave it out");
        }
        if weight > WEIGHT_MAX {
            let remedy = format!("write at most {WEIGHT_MAX}");
            report.error(&spot.field("weight"), format!("{weight} is too large"), remedy);
        }
        weight
    }

    fn rewrite(
        &self,
        form: &TargetForm,
        named: Named<'_>,
        spot: &Spot<'_>,
        brings: &Brings,
        report: &mut Report,
    ) -> Option<Rewrite> {
        let own = form.rewrite.is_some() || form.strip_prefix == Some(true);
        let (rewrite, strip, at) = if own {
            (&form.rewrite, form.strip_prefix, spot)
        } else {
            let strip = form.strip_prefix.or(self.route.strip_prefix);
            (&self.route.rewrite, strip, self.spot)
        };
        if rewrite.is_none() && strip != Some(true) {
            return None;
        }
        let field = if rewrite.is_some() { "rewrite" } else { "strip_prefix" };
        if named.kind.takes_events(named.function) {
            not_for(field, named.kind, at, report);
            return None;
        }
        match rewrite {
            Some(_) if strip == Some(true) => {
                let message = "`strip_prefix` stands beside `rewrite`";
                report.error(&at.key("strip_prefix"), message, "write one of them");
                None
            }
            Some(rewrite) => {
                let at = at.field("rewrite").field("path");
                let path = brings.template(&rewrite.path, &at, report)?;
                if !rewrite.path.starts_with('/') {
                    let remedy = format!("write \"/{}\"", rewrite.path);
                    report.error(&at, "does not begin with /", remedy);
                } else if rewrite.path.contains(['?', '#']) {
                    report.error(&at, "a path has no ? and no #", "percent-encode them");
                }
                Some(Rewrite { path, keep_query: rewrite.query != Some(Query::Drop) })
            }
            None => {
                if !matches!(self.matching.path, PathMatch::Prefix(_)) && !self.brings.unsure {
                    let message = "there is no prefix to take off";
                    report.error(&at.field("strip_prefix"), message, "write `match.prefix`");
                    return None;
                }
                let path = "/{rest}".parse().expect("`/{rest}` is a template");
                Some(Rewrite { path, keep_query: true })
            }
        }
    }

    /// Which functions a placeholder may name. Code that runs needs the list: else whoever sends the
    /// request chooses what is run.
    fn allow(
        &self,
        form: &TargetForm,
        kind: &Target,
        function: &Template,
        spot: &Spot<'_>,
        report: &mut Report,
    ) -> Option<Arc<Allow>> {
        let needed = kind.runs_code() && function.literal().is_none();
        let (written, at) = match (&form.allow, &self.route.allow) {
            (Some(own), _) => (own, spot),
            (None, Some(routes)) => (routes, self.spot),
            (None, None) if needed => {
                let message = format!("`{function}` lets the request choose the code that runs");
                report.error(spot, message, "write `allow:` and the names or globs that it may be");
                return None;
            }
            (None, None) => return None,
        };
        if !needed {
            // The route's is for those of its targets that need it.
            if form.allow.is_some() {
                let message = "`allow` has no placeholder to speak of";
                report.error(&at.key("allow"), message, "leave it out");
            }
            return None;
        }
        if written.is_empty() || written.iter().any(String::is_empty) {
            let message = "has no name in it that could be called";
            report.error(&at.field("allow"), message, "write names or globs such as orders-*");
        }
        Some(Arc::new(Allow::new(written.iter().map(String::as_str))))
    }

    /// A flag that only HTTP targets know; the target's own wins.
    fn for_http(
        &self,
        field: &str,
        own: Option<bool>,
        route: Option<bool>,
        Named { kind, .. }: Named<'_>,
        spot: &Spot<'_>,
        report: &mut Report,
    ) -> bool {
        let wanted = own.or(route) == Some(true);
        if wanted && !matches!(kind, Target::Http(_)) {
            not_for(field, kind, if own.is_some() { spot } else { self.spot }, report);
        }
        wanted
    }
}

/// The fields of a message that are set.
fn fields(
    form: &TargetForm,
    kind: &Target,
    spot: &Spot<'_>,
    brings: &Brings,
    report: &mut Report,
) -> Vec<(String, Template)> {
    if form.fields.is_some() && !matches!(kind, Target::Grpc(_)) {
        let message =
            format!("`fields` is for messages of methods, and kind {} has none", kind.kind());
        report.error(&spot.key("fields"), message, "leave it out");
        return Vec::new();
    }
    let at = spot.field("fields");
    let read = |(path, text): (&String, &String)| {
        if path.split('.').any(str::is_empty) {
            report.error(
                &at.key(path),
                format!("{path:?} is no field"),
                "write order or order.kind",
            );
        }
        Some((path.clone(), brings.template(text, &at.field(path), report)?))
    };
    form.fields.iter().flatten().filter_map(read).collect()
}

/// A function of a kind, by the front of its name: all that says what it takes.
#[derive(Clone, Copy)]
struct Named<'a> {
    kind: &'a Target,
    function: &'a str,
}

fn not_for(field: &str, kind: &Target, spot: &Spot<'_>, report: &mut Report) {
    let why = match kind {
        Target::Lambda(_) => "gets the host in the document",
        kind if kind.runs_code() => "is found by its host",
        _ => "has no paths",
    };
    let message = format!("`{field}` is for http targets, and kind {} {why}", kind.kind());
    report.error(&spot.key(field), message, "leave it out, or write it on the http target alone");
}

pub(super) fn short<'s>(
    address: &Address,
    spot: &Spot<'s>,
    around: &mut Around<'_, '_>,
    report: &mut Report,
) -> Option<Found<'s>> {
    let upstream = around.upstreams.find(&address.upstream, spot, report)?.cloned();
    Some(Found { upstream, address: address.clone(), at: spot.clone() })
}

pub(super) fn whole<'s>(
    long: &LongAddress,
    spot: &Spot<'s>,
    around: &mut Around<'_, '_>,
    report: &mut Report,
) -> Option<Found<'s>> {
    let upstream = around.upstreams.find(&long.upstream, &spot.field("upstream"), report)?.cloned();
    let address = addresses::of_long_form(long, upstream.as_deref(), spot, report)?;
    let at = match long.words().last() {
        Some((word, _)) if spot.has(word) => spot.field(word),
        _ => spot.clone(),
    };
    Some(Found { upstream, address, at })
}
