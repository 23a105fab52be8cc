//! Every `google.api.http` rule of the services as one matcher.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use percent_encoding::percent_decode_str;

use crate::annotation::Rule;
use crate::binding::Binding;
use crate::descriptors::{Descriptors, Method, Service};
use crate::template::{Segment, Template, Variable};

/// Finds the binding of a request by its method and path.
///
/// A literal segment is preferred to `*`, and `*` to `**`, from left to right; a template with the
/// request's own method is preferred to one for any method.
#[derive(Debug, Default)]
pub struct Rules {
    entries: Vec<Entry>,
    root: Node,
    refused: Vec<Refused>,
}

/// A rule that is not served, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{method}: {}{problem}", .rule.as_ref().map_or(String::new(), |rule| format!("`{rule}` ")))]
pub struct Refused {
    /// The path of the gRPC method.
    pub method: String,
    /// The rule, where it could be read.
    pub rule: Option<Rule>,
    /// What is wrong with it.
    pub problem: String,
}

/// What a request was found to be.
#[derive(Debug, Clone, PartialEq)]
pub struct Found<'r, 'p> {
    /// How it becomes a message.
    pub binding: &'r Binding,
    /// What the variables of the template captured.
    pub captures: Vec<Capture<'p>>,
}

/// A field and what the path says of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capture<'p> {
    /// The field's path, such as `order.id`.
    pub field: Cow<'p, str>,
    /// Its text, decoded.
    pub text: Cow<'p, str>,
}

#[derive(Debug)]
struct Entry {
    /// `*` is any.
    method: String,
    verb: Option<String>,
    variables: Vec<Variable>,
    binding: Binding,
}

/// What may follow the segments so far.
#[derive(Debug, Default)]
struct Node {
    literals: HashMap<String, Node>,
    one: Option<Box<Node>>,
    /// Templates that end here.
    here: Vec<usize>,
    /// Templates that end with `**` here.
    rest: Vec<usize>,
}

impl Rules {
    /// Collects the rules of those services that are wanted.
    pub fn new(descriptors: &Descriptors, wanted: impl Fn(&Service) -> bool) -> Self {
        let mut rules = Self::default();
        for service in descriptors.services().iter().filter(|service| wanted(service)) {
            for method in &service.methods {
                if let Some(problem) = method.unreadable.clone() {
                    rules.refused.push(Refused {
                        method: method.path.clone(),
                        rule: None,
                        problem,
                    });
                }
                for rule in &method.rules {
                    if let Err(problem) = rules.add(descriptors, method, rule) {
                        let (method, rule) = (method.path.clone(), Some(rule.clone()));
                        rules.refused.push(Refused { method, rule, problem });
                    }
                }
            }
        }
        rules
    }

    /// The rules that are not served: they cannot be read, or match the same as an earlier one.
    pub fn refused(&self) -> &[Refused] {
        &self.refused
    }

    /// The bindings in the order of the services.
    pub fn bindings(&self) -> impl ExactSizeIterator<Item = &Binding> {
        self.entries.iter().map(|entry| &entry.binding)
    }

    /// Finds the binding for a request's method and its path, still percent-encoded.
    pub fn find<'p>(&self, method: &str, path: &'p str) -> Option<Found<'_, 'p>> {
        let request = Request::new(path)?;
        let exact = |at: usize| self.entries[at].method == method;
        let any = |at: usize| self.entries[at].method == "*";
        let at = self.search(&request, &exact).or_else(|| self.search(&request, &any))?;
        let entry = &self.entries[at];
        let captures = entry.variables.iter().map(|variable| Capture {
            field: Cow::Owned(variable.field.clone()),
            text: request.text(variable, entry.verb.is_some()),
        });
        Some(Found { binding: &entry.binding, captures: captures.collect() })
    }

    /// The methods that a path has bindings for, sorted, for `Allow`; none if there is no such path.
    pub fn allowed(&self, path: &str) -> Vec<&str> {
        let Some(request) = Request::new(path) else { return Vec::new() };
        let mut methods: Vec<&str> = self.entries.iter().map(|entry| &*entry.method).collect();
        methods.sort_unstable();
        methods.dedup();
        methods.retain(|method| {
            self.search(&request, &|at| self.entries[at].method == *method).is_some()
        });
        methods
    }

    fn add(
        &mut self,
        descriptors: &Descriptors,
        method: &Arc<Method>,
        rule: &Rule,
    ) -> Result<(), String> {
        let template = Template::parse(&rule.template)?;
        let binding = Binding::of_rule(descriptors, method, rule, &template.variables)?;
        let Self { entries, root, .. } = self;
        let mut node = root;
        let mut rest = false;
        for segment in template.segments {
            match segment {
                Segment::Literal(text) => node = node.literals.entry(text).or_default(),
                Segment::One => node = node.one.get_or_insert_default(),
                Segment::Rest => rest = true,
            }
        }
        let ends = if rest { &mut node.rest } else { &mut node.here };
        if let Some(other) = ends
            .iter()
            .map(|at| &entries[*at])
            .find(|other| other.method == rule.method && other.verb == template.verb)
        {
            let (method, rule) = (&other.binding.method().path, other.binding.rule());
            let rule = rule.map(ToString::to_string).unwrap_or_default();
            return Err(format!("matches the same requests as `{rule}` of {method}"));
        }
        ends.push(entries.len());
        let (method, verb, variables) = (rule.method.clone(), template.verb, template.variables);
        entries.push(Entry { method, verb, variables, binding });
        Ok(())
    }

    /// A colon in the last segment is a verb if there is a template with that verb, and an
    /// ordinary letter if not.
    fn search(&self, request: &Request<'_>, fits: &dyn Fn(usize) -> bool) -> Option<usize> {
        let with_verb = request.verb.as_deref().and_then(|verb| {
            let fits = |at: usize| self.entries[at].verb.as_deref() == Some(verb) && fits(at);
            self.root.search(&request.decoded_before_verb, &fits)
        });
        with_verb.or_else(|| {
            let fits = |at: usize| self.entries[at].verb.is_none() && fits(at);
            self.root.search(&request.decoded, &fits)
        })
    }
}

impl Node {
    fn search(&self, segments: &[Cow<'_, str>], fits: &dyn Fn(usize) -> bool) -> Option<usize> {
        let first = |ends: &[usize]| ends.iter().copied().find(|at| fits(*at));
        let Some((segment, after)) = segments.split_first() else {
            return first(&self.here).or_else(|| first(&self.rest));
        };
        let literal = self.literals.get(&**segment).and_then(|node| node.search(after, fits));
        let one = || {
            let node = self.one.as_ref().filter(|_| !segment.is_empty())?;
            node.search(after, fits)
        };
        literal.or_else(one).or_else(|| first(&self.rest))
    }
}

/// A path, split.
struct Request<'p> {
    /// The segments as they came.
    raw: Vec<&'p str>,
    decoded: Vec<Cow<'p, str>>,
    /// What is in front of the last segment's last colon, in place of that segment.
    before_verb: &'p str,
    decoded_before_verb: Vec<Cow<'p, str>>,
    verb: Option<Cow<'p, str>>,
}

impl<'p> Request<'p> {
    fn new(path: &'p str) -> Option<Self> {
        let raw: Vec<&str> = path.strip_prefix('/')?.split('/').collect();
        let decode = |text: &&'p str| percent_decode_str(text).decode_utf8().ok();
        let decoded = raw.iter().map(decode).collect::<Option<Vec<_>>>()?;
        let last = raw[raw.len() - 1];
        let (before_verb, verb) = match last.rsplit_once(':') {
            Some((before, verb)) => (before, Some(decode(&verb)?)),
            None => (last, None),
        };
        let mut decoded_before_verb = Vec::new();
        if verb.is_some() {
            decoded_before_verb.clone_from(&decoded);
            decoded_before_verb.pop();
            decoded_before_verb.push(decode(&before_verb)?);
        }
        Some(Self { raw, decoded, before_verb, decoded_before_verb, verb })
    }

    /// What a variable captured: one segment is decoded wholly, and of several a `%2F` stays as it
    /// is, so that it can be told from a slash (google/api/http.proto).
    fn text(&self, variable: &Variable, verb: bool) -> Cow<'p, str> {
        let last = self.raw.len() - 1;
        let segment = |at: usize| if verb && at == last { self.before_verb } else { self.raw[at] };
        let end = if variable.to_end { self.raw.len() } else { variable.end };
        if variable.end - variable.start == 1 && !variable.to_end {
            return percent_decode_str(segment(variable.start)).decode_utf8_lossy();
        }
        let whole = (variable.start..end).map(segment).collect::<Vec<_>>().join("/");
        let kept = whole.replace("%2F", "%252F").replace("%2f", "%252f");
        Cow::Owned(percent_decode_str(&kept).decode_utf8_lossy().into_owned())
    }
}
