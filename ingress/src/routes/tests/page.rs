//! What docs/routing.md shows is what happens.

use super::*;
use crate::config::{File, Offer, parse};

const PAGE: &str = include_str!("../../../../docs/routing.md");

/// The doors of the page's configurations, in their order.
fn doors() -> Vec<Doors> {
    let blocks = PAGE.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next());
    blocks
        .map(|text| {
            let file = File { name: "routing.md".to_owned(), text: text.to_owned() };
            parse(&[file], &Offer::default()).unwrap().table.doors
        })
        .collect()
}

#[test]
fn the_table_of_the_first_example_is_true() {
    let doors = doors();
    // A row is a path, or a path on a host, and the name of the route behind it.
    let rows = PAGE.lines().filter_map(|line| line.strip_prefix("| `/")?.split_once(" | `"));
    let mut count = 0;
    for (request, rest) in rows {
        let (path, host) = match request.split_once("` on `") {
            Some((path, host)) => (path, host.trim_end_matches('`')),
            None => (request.trim_end_matches('`'), ""),
        };
        let route = rest.split('`').next().unwrap();
        assert_eq!(served(&doors[0], &ask(&format!("GET {host}/{path}"))), route, "{request}");
        count += 1;
    }
    assert_eq!(count, 8);
}

#[test]
fn the_events_of_the_second_example_go_where_the_page_says() {
    let doors = &doors()[1];
    let hook = |kind| ask("POST /hook").event(kind);
    assert_eq!(served(doors, &hook("com.acme.order.paid")), "paid");
    assert_eq!(served(doors, &hook("com.acme.order.sent")), "orders");
    assert_eq!(served(doors, &hook("com.acme.user.new").about("large")), "large");
    assert_eq!(served(doors, &hook("com.acme.user.new")), "404 event");
    assert_eq!(served(doors, &ask("POST /hook/x")), "below");
}
