//! How one kind of request becomes a method's message, and its answer becomes JSON.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use percent_encoding::percent_decode_str;

use crate::annotation::{Rule, RuleBody};
use crate::descriptors::{Descriptors, Method};
use crate::options::{Options, Unknown};
use crate::parameter::{Lost, Trail};
use crate::plan::{Plans, Shape};
use crate::rules::Capture;
use crate::template::Variable;
use crate::violation::{Broken, Place, Violation};
use crate::{read, write};

/// A method together with how it is reached: by a rule, or directly.
#[derive(Debug, Clone)]
pub struct Binding {
    plans: Arc<Plans>,
    method: Arc<Method>,
    rule: Option<Rule>,
    body: Body,
    /// Whether the query sets fields.
    query: bool,
    /// The place of the field that the body of the answer is.
    response: Option<usize>,
    variables: Vec<(String, Trail)>,
}

/// What the body is.
#[derive(Debug, Clone, Copy)]
enum Body {
    None,
    Whole,
    Field(usize),
}

/// What is there of a request.
#[derive(Debug, Clone, Copy, Default)]
pub struct Request<'a> {
    /// The body: JSON, or nothing.
    pub body: &'a [u8],
    /// What the path says of fields, decoded.
    pub captures: &'a [Capture<'a>],
    /// The query as it came, without the `?`.
    pub query: &'a str,
}

impl PartialEq for Binding {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.method, &other.method) && self.rule == other.rule
    }
}

impl Binding {
    /// Binds a method without a rule: the body is the message, and path and query set fields of it.
    pub fn of_method(descriptors: &Descriptors, method: &Arc<Method>) -> Self {
        Self {
            plans: Arc::clone(&descriptors.plans),
            method: Arc::clone(method),
            rule: None,
            body: Body::Whole,
            query: true,
            response: None,
            variables: Vec::new(),
        }
    }

    pub(crate) fn of_rule(
        descriptors: &Descriptors,
        method: &Arc<Method>,
        rule: &Rule,
        variables: &[Variable],
    ) -> Result<Self, String> {
        let plans = &descriptors.plans;
        let (input, output) = (&plans.messages[method.input_id], &plans.messages[method.output_id]);
        let body = match &rule.body {
            RuleBody::None => Body::None,
            RuleBody::Whole => Body::Whole,
            RuleBody::Field(name) => {
                Body::Field(input.find(name.as_bytes(), 0).ok_or_else(|| {
                    format!("has the body `{name}`, which is no field of {}", input.name)
                })?)
            }
        };
        let response = rule.response_body.as_ref().map(|name| {
            output.find(name.as_bytes(), 0).ok_or_else(|| {
                format!("has the response_body `{name}`, which is no field of {}", output.name)
            })
        });
        let mut trails: Vec<(String, Trail)> = Vec::new();
        for variable in variables {
            let name = &variable.field;
            let trail = Trail::find(plans, method.input_id, name).map_err(|lost| match lost {
                Lost::Unknown => {
                    format!("has the variable `{name}`, which is no field of {}", input.name)
                }
                Lost::Unfit(why) => format!("has the variable `{name}`, which {why}"),
            })?;
            if trail.field(plans).shape != Shape::One {
                return Err(format!("has the variable `{name}`, which is a list"));
            }
            trails.push((name.clone(), trail));
        }
        Ok(Self {
            plans: Arc::clone(plans),
            method: Arc::clone(method),
            rule: Some(rule.clone()),
            query: !matches!(body, Body::Whole),
            body,
            response: response.transpose()?,
            variables: trails,
        })
    }

    /// The method.
    pub fn method(&self) -> &Arc<Method> {
        &self.method
    }

    /// The rule that reaches it; none where it is called directly.
    pub fn rule(&self) -> Option<&Rule> {
        self.rule.as_ref()
    }

    /// Makes the method's message of a request. An empty body is an empty message.
    ///
    /// What the path says wins over the body, and so does the query.
    pub fn request(&self, request: &Request<'_>, options: &Options) -> Result<Bytes, Violation> {
        let plans = &*self.plans;
        let mut out = Vec::with_capacity(request.body.len());
        if !request.body.trim_ascii().is_empty() {
            let id = self.method.input_id;
            match self.body {
                Body::Whole => read::message(plans, id, request.body, options, &mut out)?,
                Body::Field(at) => read::field(plans, id, at, request.body, options, &mut out)?,
                Body::None if options.unknown == Unknown::Ignore => {}
                Body::None => {
                    return Err(Violation {
                        place: Place::Body { line: 1, column: 1 },
                        field: String::new(),
                        problem:
                            "there is a body, and this method takes none: its fields are in the \
                                  path and the query"
                                .to_owned(),
                    });
                }
            }
        }
        let mut set = Vec::new();
        for capture in request.captures {
            self.put_capture(capture, &mut set, &mut out)?;
        }
        if self.query && !request.query.is_empty() {
            self.put_query(request.query, options, &mut set, &mut out)?;
        }
        if out.len() > options.limits.message_bytes {
            return Err(Violation {
                place: Place::Body { line: 1, column: 1 },
                field: String::new(),
                problem: format!(
                    "the message has more than {} bytes",
                    options.limits.message_bytes
                ),
            });
        }
        Ok(out.into())
    }

    /// Prints the method's answer.
    pub fn response(&self, wire: &[u8], options: &Options) -> Result<Bytes, Broken> {
        let (plans, id) = (&*self.plans, self.method.output_id);
        match self.response {
            None => write::message(plans, id, wire, options),
            Some(at) => write::field(plans, id, at, wire, options),
        }
        .map(Bytes::from)
    }

    fn put_capture<'s>(
        &'s self,
        capture: &Capture<'_>,
        set: &mut Vec<Set<'s>>,
        out: &mut Vec<u8>,
    ) -> Result<(), Violation> {
        let violation = |problem: &str| Violation {
            place: Place::Path,
            field: capture.field.to_string(),
            problem: problem.to_owned(),
        };
        let known = self.variables.iter().find(|(name, _)| *name == capture.field);
        let trail = match known {
            Some((_, trail)) => Cow::Borrowed(trail),
            None => Trail::find(&self.plans, self.method.input_id, &capture.field)
                .map(Cow::Owned)
                .map_err(|lost| {
                    violation(match lost {
                        Lost::Unknown => "is no field of the message",
                        Lost::Unfit(why) => why,
                    })
                })?,
        };
        trail.put(&self.plans, &capture.text, out).map_err(|problem| violation(&problem))?;
        set.push(Set { trail, place: Place::Path });
        Ok(())
    }

    fn put_query<'s>(
        &'s self,
        query: &str,
        options: &Options,
        set: &mut Vec<Set<'s>>,
        out: &mut Vec<u8>,
    ) -> Result<(), Violation> {
        let plans = &*self.plans;
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, text) = pair.split_once('=').unwrap_or((pair, ""));
            let name = form_decoded(name).ok_or_else(|| in_query(name, "is not UTF-8"))?;
            let text = form_decoded(text).ok_or_else(|| in_query(&name, "is not UTF-8"))?;
            let trail: Cow<'_, Trail> = match Trail::find(plans, self.method.input_id, &name) {
                Ok(trail) => Cow::Owned(trail),
                Err(_) if options.unknown == Unknown::Ignore => continue,
                Err(Lost::Unknown) => return Err(in_query(&name, "is no field of the message")),
                Err(Lost::Unfit(why)) => return Err(in_query(&name, why)),
            };
            let field = trail.display(plans);
            if matches!(self.body, Body::Field(at) if at == trail.first()) {
                return Err(in_query(
                    &field,
                    "is set by the body, and cannot stand in the query too",
                ));
            }
            for Set { trail: other, place } in &*set {
                if *other == trail && *place == Place::Path {
                    return Err(in_query(
                        &field,
                        "is set by the path, and cannot stand in the query too",
                    ));
                }
                if *other == trail && trail.field(plans).shape == Shape::One {
                    return Err(in_query(&field, "is given twice, and is not a list"));
                }
                if let Some(oneof) = other.clash(&trail, plans) {
                    let problem =
                        format!("is of the oneof `{oneof}`, of which another field is set");
                    return Err(in_query(&field, &problem));
                }
            }
            trail.put(plans, &text, out).map_err(|problem| in_query(&field, &problem))?;
            set.push(Set { trail, place: Place::Query });
        }
        Ok(())
    }
}

/// A field that was set, and from where.
struct Set<'s> {
    trail: Cow<'s, Trail>,
    place: Place,
}

fn in_query(field: &str, problem: &str) -> Violation {
    Violation { place: Place::Query, field: field.to_owned(), problem: problem.to_owned() }
}

/// Decodes a name or a text as forms encode it: percent, and `+` for a space.
fn form_decoded(text: &str) -> Option<String> {
    let spaced = text.replace('+', " ");
    Some(percent_decode_str(&spaced).decode_utf8().ok()?.into_owned())
}
