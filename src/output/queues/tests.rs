//! What is said of plans that nobody made by looking.

use serde_json::{Value, json};

use super::made_up::{LONG_ID, container, every_step, item, later, now, plan, session, step};
use super::{ContainersView, InstallationView, StatusView, SweepView, problems_of};
use crate::output::View;
use crate::output::style::Style;
use crate::policy::queue::Judgement;
use crate::queues::host::Host;
use crate::sweep::queues::applied::{Applied, Outcome, SessionEnd};
use crate::sweep::queues::plan::{Action, ContainerVerdict, Liveness, Plan, Queue, SessionItem};

fn view<'v>(plan: &'v Plan, applied: Option<&'v Applied>) -> InstallationView<'v> {
    InstallationView { now: now(), folder: "/srv/nanoclaw".as_ref(), plan: Ok(plan), applied }
}

/// As a person sees it.
fn wide_text_of(view: &impl View, verbose: u8) -> String {
    let mut out = Vec::new();
    view.text(&mut out, Style::new(false), verbose).unwrap();
    String::from_utf8(out).unwrap()
}

/// The same, on 80 columns.
fn text_of(view: &impl View, verbose: u8) -> String {
    let text = wide_text_of(view, verbose);
    for line in text.lines() {
        assert!(line.chars().count() <= 80, "{line}\n{text}");
    }
    text
}

fn sweep<'v>(dry_run: bool, plan: &'v Plan, applied: Option<&'v Applied>) -> SweepView<'v> {
    SweepView { now: now(), dry_run, installations: vec![view(plan, applied)] }
}

fn status_of(plan: &Plan, verbose: u8) -> String {
    text_of(&StatusView { now: now(), installations: vec![view(plan, None)] }, verbose)
}

fn document_of(view: &SweepView<'_>) -> Value {
    serde_json::to_value(view).unwrap()["installations"][0].clone()
}

fn busy() -> SessionItem {
    let steps = every_step();
    let containers = vec![container("nanoclaw-v2-team-1768")];
    let queue = Queue { due: 2, pending: 3, claimed: 5, stuck: 5, failed: 1, parked: 1, ..Queue::default() };
    let queue = Queue { next_due: Some(later(60)), next_recurrence: Some(later(72_000)), ..queue };
    SessionItem {
        liveness: Liveness::Known(containers),
        heartbeat: Some(later(-750)),
        queue: Some(queue),
        steps,
        notes: vec![r#"message m9 was claimed at "soon", which is no time: left alone"#.to_owned()],
        ..session(LONG_ID)
    }
}

/// What became of every step: the first `done` of them done, the others that.
fn ended(done: usize, rest: &Outcome) -> Applied {
    let steps = every_step().into_iter().enumerate();
    let steps = steps.map(|(at, step)| (step, if at < done { Outcome::Done } else { rest.clone() })).collect();
    Applied { sessions: vec![SessionEnd { steps, ..SessionEnd::default() }], ..Applied::default() }
}

#[test]
fn a_dry_run_says_what_would_be_done_on_eighty_columns() {
    let plan = plan(vec![busy()]);
    insta::assert_snapshot!(text_of(&sweep(true, &plan, None), 0), @r#"
    /srv/nanoclaw  schema B, host stopped, containers by podman, zone Europe/Madrid
    sess-1768000000000-a1b2c3  ag-team
      roll back     outbound.db has a hot journal
      stop          container nanoclaw-v2-team-1768: message
                    msg-1768000000001-x1y2z3 was claimed 12m ago and no heartbeat
                    came after; 1m is the most
      acknowledge   message msg-1768000000001-x1y2z3 as completed: its container
                    reported completed
      retry         message msg-1768000000002-x1y2z3: no container runs that could
                    work on it; tried 2 of 5 times, again in 10s
      fail          message msg-1768000000003-x1y2z3: no container runs, and it was
                    tried 5 times
      clear         claims of msg-1768000000001-x1y2z3, msg-1768000000002-x1y2z3,
                    msg-1768000000003-x1y2z3 and 2 more: no container runs that
                    could work on it
      plan          task msg-1768000000004-x1y2z3 ("0 9 * * 1-5"): a run has ended,
                    and the task recurs; next run 2026-11-21 08:00Z
      take off      task msg-1768000000005-x1y2z3 ("0 9 * * 1-5"): the next run is
                    planned already
      park          task msg-1768000000006-x1y2z3 ("every full moon"): it has two
                    fields too few
      wake          2 messages are due and no container runs
    note: session sess-1768000000000-a1b2c3: message m9 was claimed at "soon", which
          is no time: left alone
    Dry run: 1 database would be rolled back, 1 container stopped, 1 message
      acknowledged, 1 message retried, 1 message failed, 5 claims cleared, 1 run
      planned, 1 expression taken off, 1 expression parked, 1 session woken; 1
      session looked at
    "#);
}

#[test]
fn a_sweep_says_what_was_done_and_what_was_left_and_why() {
    let plan = plan(vec![busy()]);
    insta::assert_snapshot!(text_of(&sweep(false, &plan, Some(&ended(10, &Outcome::Done))), 0), @r#"
    /srv/nanoclaw  schema B, host stopped, containers by podman, zone Europe/Madrid
    sess-1768000000000-a1b2c3  ag-team
      rolled back   outbound.db has a hot journal
      stopped       container nanoclaw-v2-team-1768: message
                    msg-1768000000001-x1y2z3 was claimed 12m ago and no heartbeat
                    came after; 1m is the most
      acknowledged  message msg-1768000000001-x1y2z3 as completed: its container
                    reported completed
      retried       message msg-1768000000002-x1y2z3: no container runs that could
                    work on it; tried 2 of 5 times, again in 10s
      failed        message msg-1768000000003-x1y2z3: no container runs, and it was
                    tried 5 times
      cleared       claims of msg-1768000000001-x1y2z3, msg-1768000000002-x1y2z3,
                    msg-1768000000003-x1y2z3 and 2 more: no container runs that
                    could work on it
      planned       task msg-1768000000004-x1y2z3 ("0 9 * * 1-5"): a run has ended,
                    and the task recurs; next run 2026-11-21 08:00Z
      taken off     task msg-1768000000005-x1y2z3 ("0 9 * * 1-5"): the next run is
                    planned already
      parked        task msg-1768000000006-x1y2z3 ("every full moon"): it has two
                    fields too few
      woken         2 messages are due and no container runs
    note: session sess-1768000000000-a1b2c3: message m9 was claimed at "soon", which
          is no time: left alone
    1 database rolled back, 1 container stopped, 1 message acknowledged, 1 message
      retried, 1 message failed, 5 claims cleared, 1 run planned, 1 expression taken
      off, 1 expression parked, 1 session woken; 1 session looked at
    "#);
    let refused = ended(1, &Outcome::Refused("permission denied by the runtime".to_owned()));
    insta::assert_snapshot!(text_of(&sweep(false, &plan, Some(&refused)), 0), @r#"
    /srv/nanoclaw  schema B, host stopped, containers by podman, zone Europe/Madrid
    sess-1768000000000-a1b2c3  ag-team
      rolled back   outbound.db has a hot journal
      refused       stop container nanoclaw-v2-team-1768: permission denied by the
                    runtime
      refused       acknowledge message msg-1768000000001-x1y2z3 as completed:
                    permission denied by the runtime
      refused       retry message msg-1768000000002-x1y2z3: permission denied by the
                    runtime
      refused       fail message msg-1768000000003-x1y2z3: permission denied by the
                    runtime
      refused       clear claims of msg-1768000000001-x1y2z3,
                    msg-1768000000002-x1y2z3, msg-1768000000003-x1y2z3 and 2 more:
                    permission denied by the runtime
      refused       plan task msg-1768000000004-x1y2z3 ("0 9 * * 1-5"): permission
                    denied by the runtime
      refused       take off task msg-1768000000005-x1y2z3 ("0 9 * * 1-5"):
                    permission denied by the runtime
      refused       park task msg-1768000000006-x1y2z3 ("every full moon"):
                    permission denied by the runtime
      refused       wake for 2 messages: permission denied by the runtime
    note: session sess-1768000000000-a1b2c3: message m9 was claimed at "soon", which
          is no time: left alone
    1 database rolled back; 9 left as they are; 1 session looked at
    "#);
}

#[test]
fn where_the_host_runs_that_is_said_first_and_nothing_is_called_done() {
    let mut plan = plan(vec![busy()]);
    plan.host = Host::Running("data/ncl.sock is answered".to_owned());
    plan.hands_off = Some("its host runs (data/ncl.sock is answered) and does this itself".to_owned());
    let view = sweep(false, &plan, None);
    let text = text_of(&view, 0);
    assert!(text.lines().nth(1).unwrap().starts_with("nothing was done: its host runs"), "{text}");
    assert!(text.contains("  retry  ") && !text.contains("retried  "), "{text}");
    assert!(text.contains("left to the host: 1 database would be rolled back"), "{text}");
    let document = document_of(&view);
    assert_eq!((&document["summary"]["retried"], &document["summary"]["left"]), (&json!(0), &json!(10)));
    assert_eq!(document["sessions"][0]["steps"][3]["result"], "left");
}

#[test]
fn nothing_to_do_is_said_in_one_line_with_how_many_were_looked_at() {
    let mut plan = plan(vec![session("sess-a")]);
    plan.unchanged = 11;
    let lines =
        |plan: &Plan, dry_run| text_of(&sweep(dry_run, plan, None), 0).lines().skip(1).collect::<Vec<_>>().join("\n");
    assert_eq!(lines(&plan, false), "nothing to do; 12 sessions, 11 of them unchanged");
    assert_eq!(lines(&plan, true), "Dry run: nothing to do; 12 sessions, 11 of them unchanged");
    plan.runtime = Err("podman does not answer".to_owned());
    let text = lines(&plan, false);
    assert!(text.contains("note: podman does not answer") && !text.contains("nothing to do"), "{text}");
}

#[test]
fn messages_that_nobody_is_woken_for_are_said_once() {
    let due = |id| SessionItem { queue: Some(Queue { due: 1, pending: 1, ..Queue::default() }), ..session(id) };
    let mut plan = plan(vec![due("sess-a"), due("sess-b"), session("sess-c")]);
    plan.has_wake = false;
    let said = "2 sessions have messages due and no [queues.wake] command: left to the host";
    assert_eq!(text_of(&sweep(false, &plan, None), 0).matches(said).count(), 1);
    assert_eq!(status_of(&plan, 0).matches(said).count(), 1);
    plan.has_wake = true;
    assert!(!status_of(&plan, 0).contains("queues.wake"));
}

#[test]
fn status_has_a_row_for_every_session_that_is_not_idle() {
    let broken = SessionItem {
        queue: None,
        problem: Some("outbound.db is empty: zero bytes".to_owned()),
        liveness: Liveness::Unknown,
        ..session("sess-x")
    };
    let unjudged = SessionItem {
        liveness: Liveness::Known(vec![container("a"), container("b")]),
        judgement: Judgement::Unknown("the runtime does not tell since when it runs"),
        notes: vec![
            "its container cannot be judged: the runtime does not tell since when it runs; left alone".to_owned(),
        ],
        ..session("sess-y")
    };
    let plan = plan(vec![busy(), broken, unjudged, session("sess-idle")]);
    insta::assert_snapshot!(status_of(&plan, 0), @r#"
    /srv/nanoclaw  schema B, host stopped, containers by podman, zone Europe/Madrid
    SESSION                    CONTAINER   BEAT  DUE CLAIMED STUCK FAILED  NEXT RUN
    sess-1768000000000-a1b2c3  running      12m    2       5     5      1  in 20.0h
      roll back     outbound.db has a hot journal
      stop          container nanoclaw-v2-team-1768: message
                    msg-1768000000001-x1y2z3 was claimed 12m ago and no heartbeat
                    came after; 1m is the most
      acknowledge   message msg-1768000000001-x1y2z3 as completed: its container
                    reported completed
      retry         message msg-1768000000002-x1y2z3: no container runs that could
                    work on it; tried 2 of 5 times, again in 10s
      fail          message msg-1768000000003-x1y2z3: no container runs, and it was
                    tried 5 times
      clear         claims of msg-1768000000001-x1y2z3, msg-1768000000002-x1y2z3,
                    msg-1768000000003-x1y2z3 and 2 more: no container runs that
                    could work on it
      plan          task msg-1768000000004-x1y2z3 ("0 9 * * 1-5"): a run has ended,
                    and the task recurs; next run 2026-11-21 08:00Z
      take off      task msg-1768000000005-x1y2z3 ("0 9 * * 1-5"): the next run is
                    planned already
      park          task msg-1768000000006-x1y2z3 ("every full moon"): it has two
                    fields too few
      wake          2 messages are due and no container runs
    sess-x                     unknown        -    -       -     -      -  -
    sess-y                     2 run          -    0       0     0      0  -
    note: session sess-1768000000000-a1b2c3: message m9 was claimed at "soon", which
          is no time: left alone
    note: session sess-x: outbound.db is empty: zero bytes
    note: session sess-y: its container cannot be judged: the runtime does not tell
          since when it runs; left alone
    4 sessions; messages: 2 due, 5 claimed, 5 stuck, 1 failed
    1 session idle; -v shows them too
    "#);
    let all = status_of(&plan, 1);
    assert!(all.contains("sess-idle") && all.contains("next run 2026-11-21 08:00Z"), "{all}");
}

#[test]
fn containers_are_shown_with_whose_they_are() {
    let mut plan = plan(Vec::new());
    plan.containers = vec![
        item("nanoclaw-v2-old-1768", ContainerVerdict::Orphan, "its session is closed"),
        item("nanoclaw-v2-odd-1768", ContainerVerdict::Unknown, "its labels name a session, but no group"),
        item("nanoclaw-v2-team-1768", ContainerVerdict::Session, "its session is active"),
    ];
    let shown = ContainersView { now: now(), installations: vec![view(&plan, None)] };
    insta::assert_snapshot!(text_of(&shown, 0), @r"
    /srv/nanoclaw  schema B, host stopped, containers by podman, zone Europe/Madrid
    CONTAINER     STATE         AGE  VERDICT    SESSION
    3621bb0f9054  running      2.0h  orphan     sess-1768000000000-a1b2c3
      nanoclaw-v2-old-1768, by podman: its session is closed
    3621bb0f9054  running      2.0h  unknown    -
      nanoclaw-v2-odd-1768, by podman: its labels name a session, but no group
    3621bb0f9054  running      2.0h  session    sess-1768000000000-a1b2c3
      nanoclaw-v2-team-1768, by podman: its session is active
    3 containers: 1 of sessions, 0 auxiliary, 1 orphan, 1 unknown
    ");
    let applied = Applied { orphans: vec![Outcome::Refused("no such right".to_owned())], ..Applied::default() };
    insta::assert_snapshot!(text_of(&sweep(false, &plan, Some(&applied)), 0), @r"
    /srv/nanoclaw  schema B, host stopped, containers by podman, zone Europe/Madrid
      refused       stop container nanoclaw-v2-old-1768: no such right
      unknown       container nanoclaw-v2-odd-1768: its labels name a session, but
                    no group; left alone
    nothing was done; 1 left as they are; 0 sessions looked at
    ");
    let document = document_of(&sweep(false, &plan, Some(&applied)));
    assert_eq!(document["containers"].as_array().unwrap().len(), 2);
    assert_eq!(document["containers"][0]["result"], "refused");
    assert_eq!(document["problems"], json!(["orphan nanoclaw-v2-old-1768: stop: no such right"]));
}

#[test]
fn an_installation_that_cannot_be_looked_at_does_not_hide_the_next() {
    let plan = plan(Vec::new());
    let error = anyhow::anyhow!("/srv/other/data/v2.db is not there");
    let failed = InstallationView { now: now(), folder: "/srv/other".as_ref(), plan: Err(&error), applied: None };
    let shown = SweepView { now: now(), dry_run: true, installations: vec![failed, view(&plan, None)] };
    let text = text_of(&shown, 0);
    assert!(text.starts_with("/srv/other\nnote: /srv/other/data/v2.db is not there\n\n/srv/nanoclaw  "), "{text}");
    let document = document_of(&shown);
    assert_eq!(document["error"], "/srv/other/data/v2.db is not there");
    assert_eq!((&document["host"], &document["sessions"]), (&Value::Null, &json!([])));
}

#[test]
fn what_came_of_it_takes_the_place_of_what_was_planned() {
    let late = SessionItem { steps: vec![every_step()[0].clone()], ..session("sess-a") };
    let mut plan = plan(vec![late]);
    let mut applied = Applied::default();
    applied.sessions.push(SessionEnd {
        steps: vec![
            (every_step()[0].clone(), Outcome::Done),
            (step(Action::Wake { due: 1 }, "x"), Outcome::Failed("the gateway is gone".to_owned())),
            (every_step()[3].clone(), Outcome::Changed("it changed meanwhile".to_owned())),
        ],
        problem: Some("inbound.db is locked".to_owned()),
        notes: Vec::new(),
    });
    plan.problems.push("something else".to_owned());
    assert_eq!(
        problems_of(&plan, Some(&applied)),
        ["something else", "session sess-a: inbound.db is locked", "session sess-a: wake: the gateway is gone"]
    );
    let document = document_of(&sweep(false, &plan, Some(&applied)));
    let summary = &document["summary"];
    assert_eq!([&summary["rolled_back"], &summary["woken"], &summary["left"]], [&json!(1), &json!(0), &json!(2)]);
    assert_eq!(document["sessions"][0]["problem"], "inbound.db is locked");
}

#[test]
fn names_of_others_do_not_reach_the_terminal_as_they_are() {
    let evil = "a\u{1b}[31m\nb\u{202e} c";
    let message = || evil.to_owned();
    let steps = vec![
        step(Action::Retry { message: message(), tries: 1, at: later(5) }, evil),
        step(Action::Park { message: message(), expression: message() }, evil),
        step(Action::ClearClaims { claims: vec![(message(), message())] }, evil),
        step(Action::Stop { containers: vec![message()] }, evil),
    ];
    let notes = vec![message()];
    let item = SessionItem { group: message(), steps, notes, problem: Some(message()), ..session(evil) };
    let mut plan = plan(vec![item]);
    plan.root = evil.into();
    plan.hands_off = Some(message());
    plan.problems = vec![message()];
    plan.containers =
        vec![self::item(evil, ContainerVerdict::Orphan, evil), self::item(evil, ContainerVerdict::Unknown, evil)];
    let containers = ContainersView { now: now(), installations: vec![view(&plan, None)] };
    let status = StatusView { now: now(), installations: vec![view(&plan, None)] };
    let sweep = sweep(false, &plan, None);
    for text in [wide_text_of(&sweep, 1), wide_text_of(&status, 1), wide_text_of(&containers, 1)] {
        assert!(!text.contains(['\u{1b}', '\u{202e}']), "{text:?}");
    }
}
