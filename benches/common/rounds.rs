//! In what order contenders run, and what becomes of wrong answers.

use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::measure::Cost;
use super::random::Random;
use super::report::Results;

/// A contender slower than this runs three times only.
const SLOW: Duration = Duration::from_secs(2);

/// Runs contenders.
pub(crate) struct Rounds {
    count: u32,
    random: Random,
}

impl Rounds {
    /// So many rounds, in orders that differ from one start of the benchmark to the next.
    pub(crate) fn new(count: u32) -> Self {
        let seed = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.subsec_nanos().into());
        Self { count, random: Random::new(seed) }
    }

    /// Everybody once to warm up, then in rounds, each in a new order, so that a slow moment hits nobody in particular.
    pub(crate) fn run(
        &mut self,
        place: &str,
        contenders: &[&'static str],
        mut run_one: impl FnMut(usize) -> Cost,
    ) -> Results {
        let mut results = Results::new();
        let mut order: Vec<(usize, u32)> = Vec::new();
        for position in 0..contenders.len() {
            let cost = run_one(position);
            order.push((position, if cost.wall > SLOW { self.count.min(3) } else { self.count }));
        }
        for round in 0..self.count {
            self.random.shuffle(&mut order);
            for &(position, rounds) in &order {
                if round < rounds {
                    results.entry(contenders[position]).or_default().push(run_one(position));
                }
            }
            eprintln!("{place}: round {} of {}", round + 1, self.count);
        }
        results
    }
}

/// Every wrong answer, each once.
#[derive(Default)]
pub(crate) struct WrongAnswers(Vec<String>);

impl WrongAnswers {
    /// Remembers one.
    pub(crate) fn note(&mut self, wrong: String) {
        if !self.0.contains(&wrong) {
            self.0.push(wrong);
        }
    }

    /// A figure over its goal is no failure, machines differ; a wrong answer is.
    pub(crate) fn verdict(&self) -> ExitCode {
        if self.0.is_empty() {
            println!("\nEvery answer was right.");
            return ExitCode::SUCCESS;
        }
        println!("\n## Wrong answers\n");
        for wrong in &self.0 {
            println!("- {wrong}");
        }
        ExitCode::FAILURE
    }
}
