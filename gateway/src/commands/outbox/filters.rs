//! Which records of the outbox are meant, as it is written on a command line.

use admin::stored::{When, Which};
use outbox::State;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use crate::cli::words;

/// Which records.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "Which")]
pub(crate) struct Filters {
    /// Events of this route
    #[arg(long, value_name = "NAME")]
    route: Option<String>,
    /// Events for this target, by its address as it is written
    #[arg(long, value_name = "ADDRESS")]
    target: Option<String>,
    /// Events of this type; a * at the end makes it a prefix
    #[arg(long = "type", value_name = "TYPE")]
    kind: Option<String>,
    /// Accepted then or later: 2026-01-31T12:00:00Z, or how long ago: 1h
    #[arg(long, value_name = "TIME")]
    since: Option<When>,
    /// Accepted before then
    #[arg(long, value_name = "TIME")]
    until: Option<When>,
    /// The event's own id
    #[arg(long, value_name = "ID")]
    id: Option<String>,
    /// A CESQL expression over the event's attributes
    #[arg(long = "where", value_name = "EXPRESSION")]
    expression: Option<String>,
}

/// How far a record has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Of {
    /// It waits for its time
    Pending,
    /// It is being delivered
    Delivering,
    /// It waits for somebody
    Parked,
    /// It was given up
    Dead,
    /// It was given up, and replayed
    Replayed,
}

impl Filters {
    /// The same as the admin API asks it. An age has become a time, so that what is asked for in
    /// several steps is the same each time.
    pub(crate) fn which(&self, state: Option<Of>) -> Which {
        let Self { route, target, kind, since, until, id, expression } = self.clone();
        Which {
            state: state.map(Of::state),
            route,
            target,
            kind,
            since,
            until,
            event_id: id,
            expression,
            ..Which::default()
        }
    }
}

impl Of {
    fn state(self) -> State {
        match self {
            Self::Pending => State::Pending,
            Self::Delivering => State::Delivering,
            Self::Parked => State::Parked,
            Self::Dead => State::Dead,
            Self::Replayed => State::Replayed,
        }
    }
}

/// What is asked for, as a query.
pub(super) fn query(which: &Which) -> String {
    let encode = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let fields = serde_json::to_value(which).unwrap_or_default();
    let fields = fields.as_object().into_iter().flatten();
    let pairs = fields.map(|(name, value)| format!("{name}={}", encode(&words::value(value))));
    pairs.collect::<Vec<_>>().join("&")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_what_is_asked() {
        let filters = Filters {
            kind: Some("com.acme.*".to_owned()),
            since: Some("2026-01-31T12:00:00Z".parse().unwrap()),
            id: Some("a b&c".to_owned()),
            ..Filters::default()
        };
        let which = Which { after: Some(7), ..filters.which(Some(Of::Dead)) };
        assert_eq!(
            query(&which),
            "state=dead&type=com%2Eacme%2E%2A&since=2026%2D01%2D31T12%3A00%3A00%2E000Z\
             &event_id=a%20b%26c&after=7"
        );
    }
}
