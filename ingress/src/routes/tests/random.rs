//! Random routes and requests, small enough to meet often: the index and the page are to agree.

use proptest::{collection::vec, option, prelude::*, sample::select};

use super::{
    naive::{Page, Path, SOME_EVENT, Test, naive, path_rank, repeats_itself},
    *,
};

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
        2 => expression(),
    ]
}

fn expression() -> impl Strategy<Value = Path> {
    select(vec!["/a.*", "/.*b", "/[ab]/.*"]).prop_map(Path::Regex)
}

fn test() -> impl Strategy<Value = Test> {
    select(vec![
        Test::Present,
        Test::Absent,
        Test::Exact("1"),
        Test::Exact("2"),
        Test::Prefix("1"),
        Test::Prefix("2"),
        Test::Prefix("11"),
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

fn page(path: impl Strategy<Value = Path>) -> impl Strategy<Value = Page> {
    let kinds = vec!["t.a", "t.a.b", "u", "t.*", "t.a*", "u*", "*", SOME_EVENT];
    (
        few(select(vec!["web", "tls"])),
        few(select(vec!["a.b", "x.a.b", "*.a.b", "*.b", "*.x.a.b"])),
        path,
        few(select(vec!["GET", "HEAD", "POST"])),
        few(test()),
        few(test()),
        (option::weighted(0.4, select(kinds)), option::weighted(0.3, select(vec!["x", "y"]))),
        prop_oneof![Just(0), -1..3],
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

fn pages(path: impl Strategy<Value = Path>) -> impl Strategy<Value = Vec<Page>> {
    vec(page(path), 1..14).prop_map(|mut pages| {
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

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn the_index_and_the_page_agree(pages in pages(path()), requests in vec(request(), 12)) {
        agree(pages, &requests)?;
    }

    #[test]
    fn they_agree_on_regular_expressions(
        pages in pages(expression()),
        requests in vec(request(), 12),
    ) {
        agree(pages, &requests)?;
    }
}

fn agree(pages: Vec<Page>, requests: &[Ask]) -> Result<(), TestCaseError> {
    let (pages, doors) = settled(pages);
    for ask in requests {
        let expected = naive(&pages, ask);
        prop_assert_eq!(outcome(&doors, ask), expected.clone(), "{:?}", ask);

        let explanation = explain(&doors, ask);
        let chosen = match &expected {
            Outcome::Route(name, _) => Some(name),
            _ => None,
        };
        prop_assert_eq!(explanation.route.as_ref(), chosen);
        prop_assert_eq!(explanation.refusal.is_none(), chosen.is_some());
        for (reason, page) in explanation.routes.iter().zip(&pages) {
            prop_assert_eq!(&reason.route, &page.name);
            prop_assert_eq!(reason.chosen, Some(&reason.route) == chosen);
            let serves = reason.why.starts_with("serves it by");
            prop_assert_eq!(reason.chosen, serves, "{}", reason.why);
            let repeated = reason.why.contains("repeating itself");
            prop_assert!(!repeated || repeats_itself(ask), "{:?}", reason);
        }
    }
    Ok(())
}
