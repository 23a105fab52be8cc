//! Results as markdown: medians with their range, ratios taken inside each round.

use std::fs;

use anyhow::{Context, Result};

use super::load::Measured;

/// What must stand above numbers for them to mean something.
pub(crate) fn heading(secs: u64, rounds: usize) -> Result<String> {
    let cpus = fs::read_to_string("/proc/cpuinfo").context("cannot read /proc/cpuinfo")?;
    let model =
        cpus.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or(": unknown");
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    Ok(format!(
        "{} cores of{}; load before {}; {rounds} rounds of {secs} s, interleaved, 50 connections.\n",
        cpus.lines().filter(|line| line.starts_with("processor")).count(),
        model.trim_start_matches(['\t', ' ']),
        load.split(' ').next().unwrap_or("unknown"),
    ))
}

/// One table: a line for each name, a column of ratios for each reference that took part.
pub(crate) fn print(
    title: &str,
    names: &[String],
    rounds: &[Vec<Measured>],
    references: &[&str],
) -> String {
    let references: Vec<(&str, usize)> = references
        .iter()
        .filter_map(|name| Some((*name, names.iter().position(|known| known == name)?)))
        .collect();
    let columns = references.iter().map(|(name, _)| format!(" of {name} |")).collect::<String>();
    let rule = "---|".repeat(references.len() + 5);
    let mut out = format!(
        "### {title}\n\n| | CPU µs a request |{columns} requests/s | fresh MB | bad |\n|{rule}"
    );
    for (at, name) in names.iter().enumerate() {
        let of = |what: fn(&Measured) -> f64| -> Vec<f64> {
            rounds.iter().map(|round| what(&round[at])).collect()
        };
        let cpu = spread(of(|one| one.cpu_us), 2);
        let ratio = |(_, reference): &(&str, usize)| {
            let ratios = rounds.iter().map(|round| round[at].cpu_us / round[*reference].cpu_us);
            format!(" {} |", spread(ratios.collect(), 3))
        };
        let ratios = references.iter().map(ratio).collect::<String>();
        let per_second = spread(of(|one| one.per_second), 0);
        let fresh = spread(of(|one| one.fresh_mb), 1);
        let bad: u64 = rounds.iter().map(|round| round[at].bad).sum();
        out.push_str(&format!("\n| {name} | {cpu} |{ratios} {per_second} | {fresh} | {bad} |"));
    }
    out.push('\n');
    out
}

/// `median (min..max)`; the median alone where the range says nothing more, a dash where nothing
/// was measured.
fn spread(mut values: Vec<f64>, places: usize) -> String {
    values.retain(|value| value.is_finite());
    values.sort_by(f64::total_cmp);
    let (Some(min), Some(max)) = (values.first(), values.last()) else { return "–".to_owned() };
    let middle = values.len() / 2;
    let median = if values.len() % 2 == 1 {
        values[middle]
    } else {
        f64::midpoint(values[middle - 1], values[middle])
    };
    let [low, mid, high] = [*min, median, *max].map(|value| format!("{value:.places$}"));
    if low == high { mid } else { format!("{mid} ({low}..{high})") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_is_taken_inside_a_round_before_the_median() {
        let one = |cpu_us| Measured { cpu_us, per_second: 1000.0, bad: 0, fresh_mb: 10.0 };
        let names = ["gusset".to_owned(), "nginx".to_owned()];
        let rounds =
            [vec![one(10.0), one(10.0)], vec![one(22.0), one(20.0)], vec![one(36.0), one(30.0)]];
        let said = print("a case", &names, &rounds, &["nginx", "envoy"]);
        assert!(
            said.contains("| gusset | 22.00 (10.00..36.00) | 1.100 (1.000..1.200) |"),
            "{said}"
        );
        assert!(!said.contains("envoy"), "{said}");
    }
}
