//! Medians, the tables, and what they are to be.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::contenders::name;
use crate::measure::Cost;
use crate::tree::Size;

/// The runs of one contender.
#[derive(Default)]
pub(crate) struct Runs(Vec<Cost>);

impl Runs {
    /// Adds a run.
    pub(crate) fn push(&mut self, cost: Cost) {
        self.0.push(cost);
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    fn sorted(&self, of: impl Fn(&Cost) -> Duration) -> Vec<f64> {
        let mut times: Vec<f64> = self.0.iter().map(|cost| of(cost).as_secs_f64() * 1e3).collect();
        times.sort_by(f64::total_cmp);
        times
    }

    fn wall(&self) -> f64 {
        median(&self.sorted(|cost| cost.wall))
    }

    fn cpu(&self) -> f64 {
        median(&self.sorted(|cost| cost.cpu))
    }

    /// The highest peak in MB.
    fn peak(&self) -> f64 {
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
        let (wall, cpu, peak, count) = (runs.wall(), runs.cpu(), runs.peak(), runs.len());
        println!("| {name} | {wall:.2} | {least:.2} to {most:.2} | {cpu:.2} | {peak:.1} | {count} |");
    }
}

/// A figure and what it is to be.
pub(crate) struct Goal {
    place: String,
    what: String,
    value: f64,
    unit: &'static str,
    limit: Limit,
}

#[derive(Clone, Copy)]
enum Limit {
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

/// What is expected of the runs on a full map.
pub(crate) fn full_map_goals(size: Size, results: &Results) -> Vec<Goal> {
    let mut goals = Goals { place: format!("{size:?}"), results, found: Vec::new() };
    let wall = match size {
        Size::S => 1.4,
        Size::M => 1.0,
        Size::L => 0.85,
        Size::XL => 0.8,
    };
    for contender in [name::DRY_RUN, name::NOTHING] {
        if size > Size::S {
            goals.ratio("CPU", Runs::cpu, contender, name::FLOOR_DRY, 1.35);
        }
        goals.ratio("wall", Runs::wall, contender, name::FLOOR_DRY, wall);
    }
    goals.ratio("wall", Runs::wall, name::PRUNE, name::FLOOR, 1.5);
    if size > Size::S {
        let times = if size == Size::M { 3.5 } else { 4.0 };
        goals.faster(name::DRY_RUN, name::FIND, times);
        goals.faster(name::DRY_RUN, name::FD, times);
    }
    if size == Size::M {
        goals.faster(name::PRUNE, name::ORIGINAL, 150.0);
    }
    if size == Size::XL {
        for contender in [name::DRY_RUN, name::PRUNE] {
            goals.figure(format!("peak memory, `{contender}`"), contender, Runs::peak, " MB", 50.0);
        }
    }
    goals.figure("wall, `--help`".into(), name::HELP, Runs::wall, " ms", 2.0);
    goals.figure("wall, `resolve` on 10,000 mappings".into(), name::RESOLVE, Runs::wall, " ms", 5.0);
    goals.found
}

/// What is expected of the runs on a map of few sessions.
pub(crate) fn tiny_map_goals(size: Size, count: usize, results: &Results) -> Vec<Goal> {
    let mut goals = Goals { place: format!("{size:?}, {count} mapped"), results, found: Vec::new() };
    if size > Size::S {
        goals.ratio("wall", Runs::wall, name::PRUNE, name::FLOOR, if size == Size::M { 0.55 } else { 0.4 });
    }
    goals.found
}

/// Ten times the files and mappings cost at most eleven times the time.
pub(crate) fn growth_goals(all: &[(Size, Results)]) -> Vec<Goal> {
    let mut goals = Vec::new();
    for pair in all.windows(2) {
        let [(small, less), (large, more)] = pair else { continue };
        if *small < Size::M {
            continue;
        }
        let times = large.numbers()[0] as f64 / small.numbers()[0] as f64;
        for contender in [name::DRY_RUN, name::PRUNE] {
            goals.push(Goal {
                place: format!("{small:?} to {large:?}"),
                what: format!("wall, `{contender}`, {times} times the files and mappings"),
                value: more[contender].wall() / less[contender].wall(),
                unit: "",
                limit: Limit::AtMost(times * 1.1),
            });
        }
    }
    goals
}

struct Goals<'a> {
    place: String,
    results: &'a Results,
    found: Vec<Goal>,
}

impl Goals<'_> {
    fn ratio(&mut self, kind: &str, of: fn(&Runs) -> f64, contender: &str, against: &str, limit: f64) {
        let (Some(one), Some(other)) = (self.results.get(contender), self.results.get(against)) else { return };
        let what = format!("{kind}, `{contender}` / {against}");
        self.push(what, of(one) / of(other), "", Limit::AtMost(limit));
    }

    fn faster(&mut self, contender: &str, than: &str, times: f64) {
        let (Some(one), Some(other)) = (self.results.get(contender), self.results.get(than)) else { return };
        let what = format!("wall, {than} / `{contender}`");
        self.push(what, other.wall() / one.wall(), "", Limit::AtLeast(times));
    }

    fn figure(&mut self, what: String, contender: &str, of: fn(&Runs) -> f64, unit: &'static str, limit: f64) {
        let Some(runs) = self.results.get(contender) else { return };
        self.push(what, of(runs), unit, Limit::AtMost(limit));
    }

    fn push(&mut self, what: String, value: f64, unit: &'static str, limit: Limit) {
        self.found.push(Goal { place: self.place.clone(), what, value, unit, limit });
    }
}
