//! Medians, the tables, and what they are to be.

use std::collections::BTreeMap;
use std::time::Duration;

use super::measure::Cost;

/// The runs of one contender.
#[derive(Default)]
pub(crate) struct Runs(Vec<Cost>);

impl Runs {
    /// Adds a run.
    pub(crate) fn push(&mut self, cost: Cost) {
        self.0.push(cost);
    }

    fn sorted(&self, of: impl Fn(&Cost) -> Duration) -> Vec<f64> {
        let mut times: Vec<f64> = self.0.iter().map(|cost| of(cost).as_secs_f64() * 1e3).collect();
        times.sort_by(f64::total_cmp);
        times
    }

    /// Median wall time in milliseconds.
    pub(crate) fn wall(&self) -> f64 {
        median(&self.sorted(|cost| cost.wall))
    }

    /// Median CPU time in milliseconds.
    pub(crate) fn cpu(&self) -> f64 {
        median(&self.sorted(|cost| cost.cpu))
    }

    /// The highest peak in MB.
    pub(crate) fn peak(&self) -> f64 {
        self.0.iter().map(|cost| cost.peak).max().unwrap_or(0) as f64 / 1024.0
    }
}

fn median(sorted: &[f64]) -> f64 {
    let middle = sorted.len() / 2;
    if sorted.len() % 2 == 1 { sorted[middle] } else { f64::midpoint(sorted[middle - 1], sorted[middle]) }
}

/// All contenders' runs on one map.
pub(crate) type Results = BTreeMap<&'static str, Runs>;

/// Prints one map's results as a Markdown table, the fastest first.
pub(crate) fn print_table(title: &str, results: &Results) {
    println!("\n## {title}\n");
    println!("| contender | wall ms | min to max | CPU ms | peak MB | runs |");
    println!("|---|---:|---:|---:|---:|---:|");
    let mut rows: Vec<_> = results.iter().collect();
    rows.sort_by(|(_, a), (_, b)| a.wall().total_cmp(&b.wall()));
    for (name, runs) in rows {
        let walls = runs.sorted(|cost| cost.wall);
        let (least, most) = (walls[0], walls[walls.len() - 1]);
        let (wall, cpu, peak, count) = (runs.wall(), runs.cpu(), runs.peak(), runs.0.len());
        println!("| {name} | {wall:.2} | {least:.2} to {most:.2} | {cpu:.2} | {peak:.1} | {count} |");
    }
}

/// A figure and what it is to be.
pub(crate) struct Goal {
    /// On which files.
    pub(crate) place: String,
    /// The figure's name.
    pub(crate) what: String,
    /// The figure.
    pub(crate) value: f64,
    /// Its unit, with the space before it.
    pub(crate) unit: &'static str,
    /// What it is to be.
    pub(crate) limit: Limit,
}

/// Which figures reach a goal.
#[derive(Clone, Copy)]
pub(crate) enum Limit {
    AtMost(f64),
    AtLeast(f64),
}

impl Goal {
    fn print(&self) {
        let Self { place, what, value, unit, limit } = self;
        let (sign, limit, reached) = match *limit {
            Limit::AtMost(limit) => ("≤", limit, *value <= limit),
            Limit::AtLeast(limit) => ("≥", limit, *value >= limit),
        };
        let verdict = if reached { "ok" } else { "**over**" };
        println!("| {place} | {what} | {value:.2}{unit} | {sign} {limit}{unit} | {verdict} |");
    }
}

/// Prints all goals as one Markdown table.
pub(crate) fn print_goals(goals: &[Goal]) {
    println!("\n## Ratios (of medians)\n");
    println!("| size | what | figure | to be | |\n|---|---|---:|---:|---|");
    for goal in goals {
        goal.print();
    }
}

/// Collects the goals of one place.
pub(crate) struct Goals<'a> {
    place: String,
    results: &'a Results,
    /// What was collected.
    pub(crate) found: Vec<Goal>,
}

impl<'a> Goals<'a> {
    /// None yet.
    pub(crate) fn new(place: String, results: &'a Results) -> Self {
        Self { place, results, found: Vec::new() }
    }

    /// `contender` takes at most `limit` times what `against` takes.
    pub(crate) fn ratio(&mut self, kind: &str, of: fn(&Runs) -> f64, contender: &str, against: &str, limit: f64) {
        self.ratio_to_sum(kind, of, contender, &[against], limit);
    }

    /// `contender` takes at most `limit` times what all of `against` take together, when each of them ran.
    pub(crate) fn ratio_to_sum(
        &mut self,
        kind: &str,
        of: fn(&Runs) -> f64,
        contender: &str,
        against: &[&str],
        limit: f64,
    ) {
        let one = self.results.get(contender).map(of);
        let sum: Option<f64> = against.iter().map(|other| self.results.get(other).map(of)).sum();
        let (Some(one), Some(sum)) = (one, sum) else { return };
        let what = format!("{kind}, `{contender}` / {}", against.join(" + "));
        self.push(what, one / sum, "", Limit::AtMost(limit));
    }

    /// `than` takes at least `times` what `contender` takes.
    pub(crate) fn faster(&mut self, kind: &str, of: fn(&Runs) -> f64, contender: &str, than: &str, times: f64) {
        let (Some(one), Some(other)) = (self.results.get(contender), self.results.get(than)) else { return };
        let what = format!("{kind}, {than} / `{contender}`");
        self.push(what, of(other) / of(one), "", Limit::AtLeast(times));
    }

    /// `contender`'s figure is at most `limit`.
    pub(crate) fn figure(
        &mut self,
        what: String,
        contender: &str,
        of: fn(&Runs) -> f64,
        unit: &'static str,
        limit: f64,
    ) {
        let Some(runs) = self.results.get(contender) else { return };
        self.push(what, of(runs), unit, Limit::AtMost(limit));
    }

    fn push(&mut self, what: String, value: f64, unit: &'static str, limit: Limit) {
        self.found.push(Goal { place: self.place.clone(), what, value, unit, limit });
    }
}
