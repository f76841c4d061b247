//! The verdicts on containers and claims, case by case.

use super::*;

fn thresholds() -> Thresholds {
    Thresholds {
        interval: Duration::from_secs(60),
        ceiling: Duration::from_secs(1_800),
        claim_stuck: Duration::from_secs(60),
        tries: 5,
        backoff: Duration::from_secs(5),
    }
}

fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(1_795_176_000, 0).unwrap()
}

fn ago(seconds: i64) -> DateTime<Utc> {
    now() - TimeDelta::seconds(seconds)
}

fn claim(seconds: i64) -> Claim {
    Claim { message: format!("m{seconds}"), since: Some(ago(seconds)), since_text: String::new() }
}

fn bash(timeout: u64, updated: i64) -> ToolCall {
    ToolCall { tool: Some("Bash".to_owned()), timeout: Some(Duration::from_secs(timeout)), updated: Some(ago(updated)) }
}

/// A container that started a day ago.
fn of_yesterday<'f>(heartbeat: Option<i64>, claims: &'f [Claim], tool: Option<&'f ToolCall>) -> Running<'f> {
    Running {
        started: Some(ago(86_400)),
        since: Some(ago(86_400)),
        heartbeat: heartbeat.map(ago),
        tool,
        claims,
        woken: None,
    }
}

fn verdict(running: Running<'_>) -> Judgement {
    judge(running, &thresholds(), now())
}

fn stuck(seconds: i64, tolerance: u64) -> Judgement {
    let age = Duration::from_secs(seconds.unsigned_abs());
    Judgement::ClaimStuck { message: format!("m{seconds}"), age, tolerance: Duration::from_secs(tolerance) }
}

fn past_ceiling(silent: u64, ceiling: u64) -> Judgement {
    Judgement::PastCeiling { silent: Duration::from_secs(silent), ceiling: Duration::from_secs(ceiling) }
}

#[test]
fn a_container_that_beats_goes_on_and_one_past_the_ceiling_does_not() {
    assert_eq!(verdict(of_yesterday(Some(2), &[], None)), Judgement::Fine);
    assert_eq!(verdict(of_yesterday(Some(1_800), &[], None)), Judgement::Fine);
    assert_eq!(verdict(of_yesterday(Some(1_801), &[], None)), past_ceiling(1_801, 1_800));
    assert_eq!(verdict(of_yesterday(Some(-5), &[], None)), Judgement::Fine, "a heartbeat of the future");
}

#[test]
fn without_a_heartbeat_the_containers_start_counts() {
    let started = |seconds| Running { since: Some(ago(seconds)), ..of_yesterday(None, &[], None) };
    assert_eq!(verdict(started(1_800)), Judgement::Fine);
    assert_eq!(verdict(started(1_801)), past_ceiling(1_801, 1_800));
    let old = [claim(9_000)];
    let unknown = Running { since: None, ..of_yesterday(Some(9_000), &old, None) };
    assert!(matches!(verdict(unknown), Judgement::Unknown(_)));
}

#[test]
fn a_claim_without_a_heartbeat_after_it_is_stuck() {
    assert_eq!(verdict(of_yesterday(Some(90), &[claim(60)], None)), Judgement::Fine);
    assert_eq!(verdict(of_yesterday(Some(90), &[claim(61)], None)), stuck(61, 60));
    assert_eq!(verdict(of_yesterday(None, &[claim(90)], None)), past_ceiling(86_400, 1_800));
    let young = Running { since: Some(ago(95)), ..of_yesterday(None, &[], None) };
    assert_eq!(verdict(Running { claims: &[claim(90)], ..young }), stuck(90, 60));
    assert_eq!(verdict(of_yesterday(Some(2), &[claim(70)], None)), Judgement::Fine);
    assert_eq!(verdict(of_yesterday(Some(70), &[claim(5)], None)), Judgement::Fine);
    let several = [claim(30), claim(70), claim(80)];
    assert_eq!(verdict(of_yesterday(Some(90), &several, None)), stuck(70, 60), "the first in the table's order");
}

#[test]
fn a_claim_that_cannot_be_dated_is_passed_over() {
    let undated = Claim { since: None, ..claim(9_000) };
    let undated = [undated];
    assert_eq!(verdict(of_yesterday(Some(90), &undated, None)), Judgement::Fine);
    let silent = Running { since: Some(ago(95)), ..of_yesterday(None, &undated, None) };
    assert_eq!(verdict(silent), Judgement::Fine, "nor is it as old as its container");
}

#[test]
fn a_declared_timeout_of_bash_widens_both_limits() {
    let call = bash(7_200, 2_760);
    assert_eq!(verdict(of_yesterday(Some(2_700), &[claim(2_760)], Some(&call))), Judgement::Fine);
    assert_eq!(verdict(of_yesterday(Some(7_201), &[], Some(&call))), past_ceiling(7_201, 7_200));
    let short = bash(600, 300);
    assert_eq!(verdict(of_yesterday(Some(301), &[claim(300)], Some(&short))), Judgement::Fine);
    let other = ToolCall { tool: Some("Read".to_owned()), ..bash(7_200, 300) };
    assert_eq!(verdict(of_yesterday(Some(301), &[claim(300)], Some(&other))), stuck(300, 60));
    let undated = ToolCall { updated: None, ..bash(7_200, 300) };
    assert_eq!(verdict(of_yesterday(Some(301), &[claim(300)], Some(&undated))), Judgement::Fine);
}

#[test]
fn nothing_older_than_the_container_says_anything_of_it() {
    let young = Running { since: Some(ago(30)), ..of_yesterday(Some(9_000), &[], None) };
    assert_eq!(verdict(young), Judgement::Fine, "an old heartbeat");
    assert_eq!(verdict(Running { claims: &[claim(9_000)], ..young }), Judgement::Fine, "an old claim");
    let older = Running { since: Some(ago(61)), claims: &[claim(9_000)], ..young };
    assert_eq!(
        verdict(older),
        Judgement::ClaimStuck {
            message: "m9000".to_owned(),
            age: Duration::from_secs(61),
            tolerance: Duration::from_secs(60)
        },
        "an old claim is as old as the container"
    );
    let stale = bash(7_200, 9_000);
    let silent = Running { started: Some(ago(1_801)), since: Some(ago(1_801)), tool: Some(&stale), ..young };
    assert_eq!(verdict(silent), past_ceiling(1_801, 1_800), "an old tool call");
    let taken_over = Running { started: Some(ago(10_000)), ..silent };
    assert_eq!(verdict(taken_over), Judgement::Fine, "a tool call of before another host took the container over");
}

#[test]
fn a_session_that_was_just_woken_is_not_judged() {
    let old = [claim(9_000)];
    let silent = of_yesterday(Some(9_000), &old, None);
    let woken = |seconds| verdict(Running { woken: Some(ago(seconds)), ..silent });
    assert_eq!(woken(0), Judgement::Fine);
    assert_eq!(woken(59), Judgement::Fine);
    assert_eq!(woken(60), past_ceiling(9_000, 1_800));
    assert_eq!(woken(-600), past_ceiling(9_000, 1_800), "a time that lies ahead is no time at which it was woken");
}

#[test]
fn a_heartbeat_of_this_moment_shows_life_whatever_the_runtime_says() {
    let shows = |seconds| contradicts_death(Some(ago(seconds)), now());
    assert_eq!([shows(-60), shows(0), shows(9), shows(10)], [true, true, true, false]);
    assert!(!contradicts_death(None, now()));
}

#[test]
fn retries_wait_twice_as_long_each_time_and_end() {
    let waits = |tries| match retry(tries, None, &thresholds(), now()) {
        Retry::Again { tries, at } => Some((tries, (at - now()).num_seconds())),
        Retry::Fail | Retry::Waits => None,
    };
    let all: Vec<_> = (0..7).map(waits).collect();
    assert_eq!(all, [Some((1, 5)), Some((2, 10)), Some((3, 20)), Some((4, 40)), Some((5, 80)), None, None]);
    assert_eq!(retry(5, None, &thresholds(), now()), Retry::Fail);
    assert_eq!(retry(u32::MAX, None, &thresholds(), now()), Retry::Fail);
}

#[test]
fn a_retry_that_lies_ahead_is_not_counted_twice() {
    assert_eq!(retry(2, Some(ago(-1)), &thresholds(), now()), Retry::Waits);
    assert_eq!(retry(5, Some(ago(-600)), &thresholds(), now()), Retry::Waits);
    assert!(matches!(retry(2, Some(now()), &thresholds(), now()), Retry::Again { tries: 3, .. }));
}
