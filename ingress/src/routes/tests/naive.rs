//! The rules once more, read straight off the page over a list of routes: slow, and written without
//! a look at the index.

use serde_json::json;

use super::*;

/// A route as a page would write it.
#[derive(Clone, Debug)]
pub(super) struct Page {
    pub(super) name: String,
    pub(super) listeners: Vec<&'static str>,
    pub(super) hosts: Vec<&'static str>,
    pub(super) path: Path,
    pub(super) methods: Vec<&'static str>,
    pub(super) headers: Vec<Test>,
    pub(super) query: Vec<Test>,
    pub(super) event: Option<&'static str>,
    /// The subject that a filter asks for.
    pub(super) subject: Option<&'static str>,
    pub(super) priority: i32,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Path {
    Any,
    Exact(String),
    Prefix(&'static str),
    Regex(&'static str),
}

/// A condition on `x-a` or on `q`.
#[derive(Clone, Copy, Debug)]
pub(super) enum Test {
    Present,
    Absent,
    Exact(&'static str),
    Prefix(&'static str),
    Regex(&'static str),
}

/// What the event condition "some event, whatever its type" is written as here.
pub(super) const SOME_EVENT: &str = "?";

impl Page {
    pub(super) fn rule(&self) -> Rule {
        let mut rule = rule(&self.name).priority(self.priority);
        for name in &self.listeners {
            rule = rule.listener(name);
        }
        for host in &self.hosts {
            rule = rule.host(host);
        }
        rule = match &self.path {
            Path::Any => rule,
            Path::Exact(pattern) => rule.path(pattern),
            Path::Prefix(prefix) => rule.prefix(prefix),
            Path::Regex(regex) => rule.regex(regex),
        };
        for method in &self.methods {
            rule = rule.method(method);
        }
        for test in &self.headers {
            rule = rule.header("x-a", test.condition());
        }
        for test in &self.query {
            rule = rule.query("q", test.condition());
        }
        let rule = match self.event {
            None => return rule,
            Some(SOME_EVENT) => rule.any_event(),
            Some(kind) => rule.event(kind),
        };
        match self.subject {
            None => rule,
            Some(subject) => rule.filter(json!({ "exact": { "subject": subject } })),
        }
    }

    fn head_but_method_holds(&self, ask: &Ask) -> bool {
        let headers: Vec<String> = ask
            .headers
            .get_all("x-a")
            .iter()
            .map(|value| value.to_str().unwrap().to_owned())
            .collect();
        let query: Vec<String> = ask
            .query
            .iter()
            .flat_map(|query| query.split('&'))
            .filter_map(|pair| pair.strip_prefix("q=").map(|value| value.replace("%31", "1")))
            .collect();
        (self.listeners.is_empty() || self.listeners.contains(&ask.listener.as_str()))
            && self.best_host(ask).is_some()
            && path_fits(&self.path, &normal(&ask.path))
            && self.headers.iter().all(|test| test.holds(&headers))
            && self.query.iter().all(|test| test.holds(&query))
    }

    /// 2: it names the method, 1: it serves HEAD as GET, 0: any will do.
    fn method_rank(&self, ask: &Ask) -> Option<u8> {
        match &self.methods[..] {
            [] => Some(0),
            named if named.contains(&ask.method.as_str()) => Some(2),
            named if ask.method == "HEAD" && named.contains(&"GET") => Some(1),
            _ => None,
        }
    }

    /// Rank and pattern of the best host that fits.
    fn best_host(&self, ask: &Ask) -> Option<(usize, &'static str)> {
        if self.hosts.is_empty() {
            return Some((0, ""));
        }
        let asked = ask.host.as_ref()?.to_lowercase().replace(":80", "");
        let asked = asked.trim_end_matches('.');
        self.hosts
            .iter()
            .filter_map(|host| match host.strip_prefix('*') {
                Some(suffix) if asked.ends_with(suffix) && asked.len() > suffix.len() => {
                    Some((suffix.len(), *host))
                }
                None if asked == *host => Some((1000, *host)),
                _ => None,
            })
            .max()
    }

    fn event_rank(&self, ask: &Ask) -> Option<(u8, usize, bool)> {
        let Some(wanted) = self.event else { return Some((0, 0, false)) };
        let event = ask.event.as_ref()?;
        let filtered = self.subject.is_some();
        if filtered && event.subject.as_deref() != self.subject {
            return None;
        }
        if wanted == SOME_EVENT {
            Some((1, 0, filtered))
        } else if let Some(prefix) = wanted.strip_suffix('*') {
            event.kind.starts_with(prefix).then_some((2, prefix.len(), filtered))
        } else {
            (event.kind == wanted).then_some((3, 0, filtered))
        }
    }

    fn captures(&self, ask: &Ask) -> Vec<(String, String)> {
        let raw: Vec<&str> = ask.path.split('/').skip(1).collect();
        let mut found = Vec::new();
        match &self.path {
            Path::Exact(pattern) => {
                for (at, segment) in pattern.split('/').skip(1).enumerate() {
                    let Some(inside) = segment.strip_prefix('{') else { continue };
                    let name: String =
                        inside.chars().take_while(char::is_ascii_alphanumeric).collect();
                    let many = segment.contains('*');
                    let value = if many { raw[at..].join("/") } else { raw[at].to_owned() };
                    found.push((name, value.clone()));
                    found.extend(many.then(|| ("rest".to_owned(), value)));
                }
            }
            Path::Prefix("/") => found.push(("rest".to_owned(), raw.join("/"))),
            Path::Prefix(prefix) => {
                let length = prefix.matches('/').count();
                found.push(("rest".to_owned(), raw[length..].join("/")));
            }
            Path::Any | Path::Regex(_) => {}
        }
        found
    }
}

impl Test {
    fn condition(self) -> Condition {
        match self {
            Self::Present => Condition::Present,
            Self::Absent => Condition::Absent,
            Self::Exact(text) => exact(text),
            Self::Prefix(text) => starts(text),
            Self::Regex(text) => fits(text),
        }
    }

    fn holds(self, values: &[String]) -> bool {
        match self {
            Self::Present => !values.is_empty(),
            Self::Absent => values.is_empty(),
            Self::Exact(text) => values.iter().any(|value| value == text),
            Self::Prefix(text) => values.iter().any(|value| value.starts_with(text)),
            Self::Regex(text) => values.iter().any(|value| anchored(text).is_match(value)),
        }
    }
}

/// The only needless escapes among the random paths.
fn normal(path: &str) -> String {
    path.replace("%61", "a").replace("%2f", "%2F").replace("%2e", ".")
}

fn path_fits(condition: &Path, path: &str) -> bool {
    if path.split('/').any(|segment| segment == "." || segment == "..") {
        return false;
    }
    match condition {
        Path::Any => true,
        Path::Prefix("/") => path.starts_with('/'),
        Path::Prefix(prefix) => path == *prefix || path.starts_with(&format!("{prefix}/")),
        Path::Regex(regex) => anchored(regex).is_match(path),
        Path::Exact(pattern) => {
            let regex: Vec<String> = pattern
                .split('/')
                .map(|segment| match step(segment) {
                    3 => regex::escape(segment),
                    2 if segment.ends_with(":int}") => "-?[0-9]+".to_owned(),
                    2 => "[a-zA-Z]+".to_owned(),
                    1 => "[^/]+".to_owned(),
                    _ => ".+".to_owned(),
                })
                .collect();
            anchored(&regex.join("/")).is_match(path)
        }
    }
}

/// The rank of a pattern's segment: 3 literal, 2 typed, 1 untyped, 0 rest.
fn step(segment: &str) -> u8 {
    match segment {
        _ if !segment.starts_with('{') => 3,
        _ if segment.contains(':') => 2,
        _ if segment.contains('*') => 0,
        _ => 1,
    }
}

/// Exact paths by their segments, then longer prefixes, then expressions, then none.
pub(super) fn path_rank(path: &Path) -> (u8, Vec<u8>, usize) {
    match path {
        Path::Exact(pattern) => (3, pattern.split('/').map(step).collect(), 0),
        Path::Prefix(prefix) => (2, vec![], prefix.len()),
        Path::Regex(_) => (1, vec![], 0),
        Path::Any => (0, vec![], 0),
    }
}

/// Who serves the request: by the page.
pub(super) fn naive(pages: &[Page], ask: &Ask) -> Outcome {
    let but_method: Vec<&Page> =
        pages.iter().filter(|page| page.head_but_method_holds(ask)).collect();
    let candidates: Vec<&Page> =
        but_method.iter().copied().filter(|page| page.method_rank(ask).is_some()).collect();
    if candidates.is_empty() {
        let mut allow: Vec<String> = but_method
            .iter()
            .flat_map(|page| page.methods.iter())
            .flat_map(|method| if *method == "GET" { vec!["GET", "HEAD"] } else { vec![*method] })
            .map(str::to_owned)
            .collect();
        allow.sort();
        allow.dedup();
        return if but_method.is_empty() { Outcome::NoRoute } else { Outcome::Method(allow) };
    }
    let head = |page: &Page| (page.best_host(ask).unwrap().0, path_rank(&page.path));
    let best = candidates.iter().map(|page| head(page)).max().unwrap();
    let leaders = candidates.iter().copied().filter(|page| head(page) == best).collect();
    let priority = |page: &Page| match page.path {
        Path::Regex(_) => page.priority,
        _ => 0,
    };
    let leader = first(leaders, ask, priority, |a, b| a.path == b.path).unwrap();
    let door =
        |page: &&&Page| page.best_host(ask) == leader.best_host(ask) && page.path == leader.path;
    let fitting = candidates
        .iter()
        .filter(door)
        .copied()
        .filter(|page| page.event_rank(ask).is_some())
        .collect();
    match first(fitting, ask, |page| in_door(page, ask), |_, _| false) {
        None => Outcome::NoRouteForEvent,
        Some(page) => {
            let mut captures = Captures::default();
            for (name, value) in page.captures(ask) {
                captures.push(&name, &value);
            }
            Outcome::Route(page.name.clone(), captures)
        }
    }
}

/// The first by rank. There is one, or several that are alike: else a clash was not seen, unless
/// the request fits several by repeating itself, and then the first by name is the first.
fn first<'p, R: Ord>(
    mut pages: Vec<&'p Page>,
    ask: &Ask,
    rank: impl Fn(&Page) -> R,
    alike: impl Fn(&Page, &Page) -> bool,
) -> Option<&'p Page> {
    let top = pages.iter().map(|page| rank(page)).max()?;
    pages.retain(|page| rank(page) == top);
    pages.sort_by(|a, b| a.name.cmp(&b.name));
    let (first, others) = pages.split_first()?;
    let decided = others.iter().all(|other| alike(first, other));
    assert!(decided || repeats_itself(ask), "{pages:?} {ask:?}");
    Some(first)
}

/// Whether the request gives a header or a parameter twice.
pub(super) fn repeats_itself(ask: &Ask) -> bool {
    ask.headers.len() > 1 || ask.query.as_ref().is_some_and(|query| query.contains('&'))
}

/// What decides behind a door.
fn in_door(page: &Page, ask: &Ask) -> impl Ord + std::fmt::Debug + use<> {
    let conditions = page.headers.len() + page.query.len();
    (page.event_rank(ask), page.method_rank(ask), conditions, page.priority)
}
