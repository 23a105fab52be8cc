//! The rules once more, read straight off the page over a list of routes: slow, and written without
//! a look at the index. Random routes and requests are to come out the same in both.

use std::cmp::Reverse;

use proptest::{collection::vec, option, prelude::*, sample::select};
use serde_json::json;

use super::*;

/// A route as a page would write it.
#[derive(Clone, Debug)]
struct Page {
    name: String,
    listeners: Vec<&'static str>,
    hosts: Vec<&'static str>,
    path: Path,
    methods: Vec<&'static str>,
    headers: Vec<Test>,
    query: Vec<Test>,
    event: Option<&'static str>,
    /// The subject that a filter asks for.
    subject: Option<&'static str>,
    priority: i32,
}

#[derive(Clone, Debug, PartialEq)]
enum Path {
    Any,
    Exact(String),
    Prefix(&'static str),
    Regex(&'static str),
}

/// A condition on `x-a` or on `q`.
#[derive(Clone, Copy, Debug)]
enum Test {
    Present,
    Absent,
    Exact(&'static str),
    Prefix(&'static str),
    Regex(&'static str),
}

/// What the event condition "some event, whatever its type" is written as here.
const SOME_EVENT: &str = "?";

impl Page {
    fn rule(&self) -> Rule {
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
fn path_rank(path: &Path) -> (u8, Vec<u8>, usize) {
    match path {
        Path::Exact(pattern) => (3, pattern.split('/').map(step).collect(), 0),
        Path::Prefix(prefix) => (2, vec![], prefix.len()),
        Path::Regex(_) => (1, vec![], 0),
        Path::Any => (0, vec![], 0),
    }
}

/// Who serves the request: by the page.
fn naive(pages: &[Page], ask: &Ask) -> Outcome {
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
    let leader = candidates
        .iter()
        .filter(|page| head(page) == best)
        .max_by_key(|page| match page.path {
            Path::Regex(_) => (page.priority, Reverse(page.name.clone())),
            _ => (0, Reverse(String::new())),
        })
        .unwrap();
    let door = candidates
        .iter()
        .filter(|page| page.best_host(ask) == leader.best_host(ask) && page.path == leader.path);
    let chosen = door
        .filter(|page| page.event_rank(ask).is_some())
        .max_by_key(|page| (in_door(page, ask), Reverse(page.name.clone())));
    match chosen {
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

/// What decides behind a door.
fn in_door(page: &Page, ask: &Ask) -> impl Ord + std::fmt::Debug + use<> {
    let conditions = page.headers.len() + page.query.len();
    (page.event_rank(ask), page.method_rank(ask), conditions, page.priority)
}

/// The pages without those that clash, and the clashes.
fn settled(mut pages: Vec<Page>) -> (Vec<Page>, Doors) {
    loop {
        match build(pages.iter().map(Page::rule)) {
            Ok(doors) => return (pages, doors),
            Err(clashes) => {
                for clash in &clashes {
                    let (a, b) = (&pages[clash.a], &pages[clash.b]);
                    assert!(clash.a < clash.b, "{clash:?}");
                    assert!(clash.why.contains(&format!("`{}` and `{}`", a.name, b.name)));
                    assert_eq!(a.priority, b.priority, "{clash:?}");
                    assert_eq!(path_rank(&a.path), path_rank(&b.path), "{clash:?}");
                    let host_shared = a.hosts.iter().any(|host| b.hosts.contains(host));
                    assert!(host_shared || (a.hosts.is_empty() && b.hosts.is_empty()));
                }
                let out: Vec<usize> = clashes.iter().map(|clash| clash.b).collect();
                let mut at = 0..;
                pages.retain(|_| !out.contains(&at.next().unwrap()));
            }
        }
    }
}

fn path() -> impl Strategy<Value = Path> {
    let segment = select(vec!["a", "b", "12", "{p:int}", "{p:alpha}", "{p}"]);
    let last = select(vec!["a", "b", "12", "{z:int}", "{z:alpha}", "{z}", "{z*}", ""]);
    let exact = (vec(segment, 0..3), last).prop_map(|(segments, last)| {
        let mut text = String::new();
        for (at, segment) in segments.iter().enumerate() {
            text.push('/');
            text.push_str(
                &segment
                    .replace('p', &format!("p{at}"))
                    .replace("alp0ha", "alpha")
                    .replace("alp1ha", "alpha"),
            );
        }
        Path::Exact(format!("{text}/{last}"))
    });
    prop_oneof![
        1 => Just(Path::Any),
        5 => exact,
        3 => select(vec!["/", "/a", "/a/b", "/b", "/12"]).prop_map(Path::Prefix),
        2 => select(vec!["/a.*", "/.*b", "/[ab]/.*"]).prop_map(Path::Regex),
    ]
}

fn test() -> impl Strategy<Value = Test> {
    select(vec![
        Test::Present,
        Test::Absent,
        Test::Exact("1"),
        Test::Exact("2"),
        Test::Prefix("1"),
        Test::Prefix("2"),
        Test::Regex("[12]"),
        Test::Regex("1+|2"),
    ])
}

/// None, mostly; else a few.
fn few<T: std::fmt::Debug + Clone + 'static>(
    of: impl Strategy<Value = T> + 'static,
) -> impl Strategy<Value = Vec<T>> {
    prop_oneof![3 => Just(Vec::new()), 2 => vec(of, 1..3)]
}

fn page() -> impl Strategy<Value = Page> {
    let kinds = vec!["t.a", "t.a.b", "u", "t.*", "t.a*", "u*", "*", SOME_EVENT];
    (
        few(select(vec!["web", "tls"])),
        few(select(vec!["a.b", "x.a.b", "*.a.b", "*.b", "*.x.a.b"])),
        path(),
        few(select(vec!["GET", "HEAD", "POST"])),
        few(test()),
        few(test()),
        (option::weighted(0.4, select(kinds)), option::weighted(0.3, select(vec!["x", "y"]))),
        prop_oneof![3 => Just(0), 1 => -1..2],
    )
        .prop_map(|(listeners, hosts, path, methods, headers, query, event, priority)| Page {
            name: String::new(),
            listeners,
            hosts,
            path,
            methods,
            headers,
            query,
            event: event.0,
            subject: event.1,
            priority,
        })
}

fn pages() -> impl Strategy<Value = Vec<Page>> {
    vec(page(), 1..14).prop_map(|mut pages| {
        for (at, page) in pages.iter_mut().enumerate() {
            // Names whose order is not that of the list.
            page.name = format!("r{}", (at * 7 + 3) % 16);
        }
        pages
    })
}

fn request() -> impl Strategy<Value = Ask> {
    let segments =
        vec!["a", "a", "b", "b", "12", "%61", "c", "", "x%2fy", "%2F", "-7", "é", "%2e", "ab"];
    let values = || vec(select(vec!["1", "2", "11", "3"]), 0..3);
    (
        select(vec!["web", "tls"]),
        option::of(select(vec!["a.b", "x.a.b", "y.x.a.b", "A.B:80", "X.a.b.", "b", "c"])),
        vec(select(segments), 0..4),
        select(vec!["GET", "HEAD", "POST", "PUT"]),
        values(),
        vec(select(vec!["q=1", "q=2", "q=%31", "r=1", "q", ""]), 0..3),
        option::of((select(vec!["t.a", "t.a.b", "t.ab", "u", "v"]), option::of("[xyz]"))),
    )
        .prop_map(|(listener, host, segments, method, headers, query, event)| {
            let path = if segments.is_empty() { "*".into() } else { segments.join("/") };
            let slash = if path == "*" { "" } else { "/" };
            let mut ask = ask(&format!("{method} /")).on(listener);
            ask.host = host.map(str::to_owned);
            ask.path = format!("{slash}{path}");
            ask.query = (!query.is_empty()).then(|| query.join("&").replace("q&", "r&"));
            if ask.query.as_deref().is_some_and(|query| query.ends_with('q')) {
                ask.query = None;
            }
            for value in headers {
                ask = ask.with("x-a", value);
            }
            match event {
                Some((kind, Some(subject))) => ask.event(kind).about(&subject),
                Some((kind, None)) => ask.event(kind),
                None => ask,
            }
        })
}

/// Whether the request gives a header or a parameter twice.
fn repeats_itself(ask: &Ask) -> bool {
    ask.headers.len() > 1 || ask.query.as_ref().is_some_and(|query| query.contains('&'))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, ..ProptestConfig::default() })]

    #[test]
    fn the_index_and_the_page_agree(pages in pages(), requests in vec(request(), 12)) {
        let (pages, doors) = settled(pages);
        for ask in &requests {
            let expected = naive(&pages, ask);
            prop_assert_eq!(outcome(&doors, ask), expected.clone(), "{:?}", ask);

            let explanation = explain(&doors, ask);
            let chosen = match &expected {
                Outcome::Route(name, _) => Some(name.clone()),
                _ => None,
            };
            prop_assert_eq!(&explanation.route, &chosen);
            prop_assert_eq!(explanation.refusal.is_none(), chosen.is_some());
            for (reason, page) in explanation.routes.iter().zip(&pages) {
                prop_assert_eq!(&reason.route, &page.name);
                prop_assert_eq!(reason.chosen, Some(&reason.route) == chosen.as_ref());
                prop_assert_eq!(reason.chosen, reason.why.starts_with("serves it by"), "{}", reason.why);
                if reason.why.contains("repeating itself") {
                    prop_assert!(repeats_itself(ask), "{:?}", reason);
                }
            }
        }
    }
}
