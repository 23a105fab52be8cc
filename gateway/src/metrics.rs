//! Metrics that are made when they are asked for, in the Prometheus text format 0.0.4.

use std::fmt::Write as _;

use ingress::label_value;

/// One metric: its name, kind and help, and its series by label.
pub(crate) struct Metric(
    pub(crate) &'static str,
    pub(crate) &'static str,
    pub(crate) &'static str,
    pub(crate) Vec<(String, u64)>,
);

/// A label and its value.
pub(crate) fn label(name: &str, value: &str) -> String {
    format!("{name}=\"{}\"", label_value(value))
}

/// Prints those that have a series. One without a label has an empty one.
pub(crate) fn print(metrics: impl IntoIterator<Item = Metric>) -> String {
    let mut out = String::new();
    for Metric(name, kind, help, series) in metrics.into_iter().filter(|one| !one.3.is_empty()) {
        write!(out, "# HELP {name} {help}\n# TYPE {name} {kind}\n")
            .expect("a String takes all that is written");
        for (label, value) in series {
            let label = if label.is_empty() { label } else { format!("{{{label}}}") };
            writeln!(out, "{name}{label} {value}").expect("a String takes all that is written");
        }
    }
    out
}
