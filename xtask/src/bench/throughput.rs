//! What is taken in a second, and the wait of the slowest: for what a disk or a broker limits, and
//! not the CPU.

use anyhow::{Context, Result, ensure};

use super::{
    load,
    peers::{Peer, pinned},
};
use crate::process;

/// How many requests are under way at a time.
pub(super) const WINDOW: &str = "64";

/// One round of one side.
#[derive(Clone, Copy, Debug)]
pub(super) struct Round {
    pub(super) per_second: f64,
    pub(super) p99_ms: f64,
}

/// Posts 1 KiB again and again over [`WINDOW`] connections, from this core. Every answer must be
/// good.
pub(super) fn post(peer: &Peer, path: &str, core: u8, secs: u64) -> Result<Round> {
    let url = format!("http://127.0.0.1:{}{path}", peer.port);
    let script = load::script()?;
    let wrk = |secs: u64| {
        let mut command = pinned(core, "wrk");
        command.args(["-t", "1", "-c", WINDOW, "--latency", "-d", &format!("{secs}s"), "-s"]);
        process::output(command.arg(&script).arg(&url))
    };
    wrk(1)?;
    let said = wrk(secs)?;
    let bad = load::bad(&said);
    ensure!(bad == 0, "{bad} of the gateway's answers were not 2xx: {said}");
    let per_second = said
        .lines()
        .find_map(|line| line.trim().strip_prefix("Requests/sec:")?.trim().parse().ok())
        .with_context(|| format!("wrk printed no rate: {said}"))?;
    let p99_ms = said
        .lines()
        .find_map(|line| milliseconds(line.trim().strip_prefix("99%")?.trim()))
        .with_context(|| format!("wrk printed no p99: {said}"))?;
    Ok(Round { per_second, p99_ms })
}

/// A number of the one JSON line that a raw client prints.
pub(super) fn number(line: &str, name: &str) -> Result<f64> {
    let rest = line.split_once(&format!("\"{name}\":")).map(|(_, rest)| rest);
    let digits = rest.and_then(|rest| rest.split([',', '}']).next());
    let digits = digits.with_context(|| format!("the raw client printed no {name}: {line}"))?;
    digits.trim().parse().with_context(|| format!("{name} is no number: {line}"))
}

/// A time as wrk prints it: `870.00us`, `12.34ms`, `1.20s`.
fn milliseconds(text: &str) -> Option<f64> {
    let unit = |unit: &str, factor: f64| -> Option<f64> {
        Some(text.strip_suffix(unit)?.parse::<f64>().ok()? * factor)
    };
    unit("us", 1e-3).or_else(|| unit("ms", 1.0)).or_else(|| unit("s", 1e3))
}

pub(super) fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// A table of rates, with the ratio to the first, taken inside each round.
pub(super) fn print(title: &str, what: &str, sides: &[(&str, Vec<Round>)]) {
    let Some((reference, first)) = sides.first() else { return };
    println!("### {title}\n");
    println!("| | {what} | p99 ms | of {reference} |\n|---|---|---|---|");
    for (name, all) in sides {
        let ratios = all.iter().zip(first).map(|(one, other)| one.per_second / other.per_second);
        println!(
            "| {name} | {:.0} | {:.2} | {:.2} |",
            median(all.iter().map(|one| one.per_second)),
            median(all.iter().map(|one| one.p99_ms)),
            median(ratios),
        );
    }
    println!();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_in_every_unit_of_wrk() {
        assert_eq!(milliseconds("870.00us"), Some(0.87));
        assert_eq!(milliseconds("12.34ms"), Some(12.34));
        assert_eq!(milliseconds("1.20s"), Some(1200.0));
        assert_eq!(milliseconds("x"), None);
    }
}
