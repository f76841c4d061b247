//! The library's own answers, and where another one is better.

use chrono::{DateTime, SecondsFormat, Utc};

use super::Recurrence;
use crate::policy::zone::Tz;

/// One line of the table.
struct Golden {
    expression: String,
    zone: Tz,
    now: DateTime<Utc>,
    answer: &'static str,
    better: &'static str,
    reason: &'static str,
}

fn goldens() -> Vec<Golden> {
    let table = include_str!("../../../tests/fixtures/queues/cron-goldens.tsv");
    let rows = table.lines().filter(|line| !line.starts_with('#')).skip(1).map(|line| {
        let [expression, zone, now, answer, better, reason] = line.split('\t').collect::<Vec<_>>()[..] else {
            panic!("{line} has not six columns")
        };
        let expression = serde_json::from_str(expression).unwrap();
        Golden { expression, zone: zone.parse().unwrap(), now: now.parse().unwrap(), answer, better, reason }
    });
    rows.collect()
}

/// Up to three runs, each after the one before.
fn answer(golden: &Golden) -> String {
    let Ok(recurrence) = Recurrence::parse(&golden.expression, "series") else { return "rejected".to_owned() };
    let next = |now: &DateTime<Utc>| recurrence.next_after(*now, golden.zone);
    let runs = std::iter::successors(next(&golden.now), next).take(3);
    let runs: Vec<_> = runs.map(|run| run.to_rfc3339_opts(SecondsFormat::Secs, true)).collect();
    if runs.is_empty() { "none".to_owned() } else { runs.join(" ") }
}

#[test]
fn each_expression_runs_when_the_library_has_it_run_or_when_that_is_better() {
    let goldens = goldens();
    assert!(goldens.len() >= 300, "{}", goldens.len());
    for golden in &goldens {
        let expected = if golden.better.is_empty() { golden.answer } else { golden.better };
        assert_eq!(answer(golden), expected, "{:?} in {} after {}", golden.expression, golden.zone, golden.now);
    }
}

#[test]
fn a_better_answer_differs_and_has_its_reason() {
    for golden in goldens() {
        assert_eq!(golden.better.is_empty(), golden.reason.is_empty(), "{:?}", golden.expression);
        assert_ne!(golden.better, golden.answer, "{:?}", golden.expression);
    }
}
