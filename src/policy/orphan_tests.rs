use proptest::prelude::*;

use super::*;

const LIMITS: Limits = Limits { min_age: Duration::from_secs(600), stale: Duration::from_secs(300) };

fn named(name: &str) -> ProcessName {
    ProcessName { pid: 9, name: name.to_owned() }
}

/// A helper of a session that is over by every sign there is.
fn orphan() -> Facts {
    Facts {
        relation: None,
        other_user: Ok(None),
        elsewhere: Ok(None),
        executable: Ok(()),
        age: Some(Duration::from_secs(600)),
        group: Ok(scope(Scope::Closed)),
        terminal: None,
        parent: Parent::Adopter(named("systemd")),
        vendor: Vendor::Silent,
        shelters: None,
        is_of_cli: true,
        session: Some(Session {
            id: "abc".to_owned(),
            owner: Owner::Gone(8),
            heartbeat: Some(Heartbeat::Ago(Duration::from_secs(301))),
            is_completed: false,
        }),
    }
}

fn scope(state: Scope) -> Group {
    Group::Scope { name: "session-3.scope".to_owned(), state }
}

fn session(change: impl FnOnce(&mut Session)) -> Option<Session> {
    orphan().session.map(|mut session| {
        change(&mut session);
        session
    })
}

/// One case per thing that a row may object to: the row, the verdict, and the one fact that is different.
#[rustfmt::skip]
fn cases() -> Vec<(&'static str, Verdict, Facts)> {
    let why = || "EACCES".to_owned();
    vec![
        ("itself", Verdict::Owned, Facts { relation: Some(Relation::Itself), ..orphan() }),
        ("ancestor", Verdict::Owned, Facts { relation: Some(Relation::Ancestor), ..orphan() }),
        ("descendant", Verdict::Owned, Facts { relation: Some(Relation::Descendant), ..orphan() }),
        ("own-session", Verdict::Owned, Facts { relation: Some(Relation::Session), ..orphan() }),
        ("other-user", Verdict::Owned, Facts { other_user: Ok(Some(0)), ..orphan() }),
        ("user-unknown", Verdict::Unknown, Facts { other_user: Err(why()), ..orphan() }),
        ("elsewhere", Verdict::Unknown, Facts { elsewhere: Ok(Some("it is in another pid namespace".to_owned())), ..orphan() }),
        ("namespace-unknown", Verdict::Unknown, Facts { elsewhere: Err(why()), ..orphan() }),
        ("executable-unknown", Verdict::Unknown, Facts { executable: Err(why()), ..orphan() }),
        ("young", Verdict::Owned, Facts { age: Some(Duration::from_millis(599_999)), ..orphan() }),
        ("age-unknown", Verdict::Unknown, Facts { age: None, ..orphan() }),
        ("service", Verdict::Owned, Facts { group: Ok(Group::Service("claude.service".to_owned())), ..orphan() }),
        ("container", Verdict::Owned, Facts { group: Ok(Group::Container("docker-1.scope".to_owned())), ..orphan() }),
        ("group-unknown", Verdict::Unknown, Facts { group: Err(why()), ..orphan() }),
        ("terminal", Verdict::Owned, Facts { terminal: Some("/dev/pts/3".to_owned()), ..orphan() }),
        ("live-cli", Verdict::Owned, Facts { parent: Parent::Guardian(Guardian::Cli, named("claude")), ..orphan() }),
        ("multiplexer", Verdict::Owned, Facts { parent: Parent::Guardian(Guardian::Multiplexer, named("tmux: server")), ..orphan() }),
        ("editor", Verdict::Owned, Facts { parent: Parent::Guardian(Guardian::Editor, named("code")), ..orphan() }),
        ("login-shell", Verdict::Owned, Facts { parent: Parent::Guardian(Guardian::Login, named("-bash")), ..orphan() }),
        ("at-terminal", Verdict::Owned, Facts { parent: Parent::Guardian(Guardian::AtTerminal, named("bash")), ..orphan() }),
        ("vendor", Verdict::Owned, Facts { vendor: Vendor::Live("sessions/7.json names it".to_owned()), ..orphan() }),
        ("daemon", Verdict::Owned, Facts { vendor: Vendor::Worker { daemon: 5 }, ..orphan() }),
        ("vendor-unknown", Verdict::Unknown, Facts { vendor: Vendor::Unknown(why()), ..orphan() }),
        ("parent", Verdict::Owned, Facts { parent: Parent::Other(named("python3")), ..orphan() }),
        ("parent", Verdict::Unknown, Facts { parent: Parent::Unseen(9), ..orphan() }),
        ("parent", Verdict::Unknown, Facts { parent: Parent::Other(named("python3")), session: session(|session| session.owner = Owner::Itself), ..orphan() }),
        ("shelters", Verdict::Owned, Facts { shelters: Some((12, "it is at /dev/pts/3".to_owned())), ..orphan() }),
        ("owner", Verdict::Owned, Facts { session: session(|session| session.owner = Owner::Runs(8)), ..orphan() }),
        ("owner", Verdict::Owned, Facts { session: session(|session| { session.owner = Owner::Runs(8); session.is_completed = true; }), ..orphan() }),
        ("owner", Verdict::Unknown, Facts { session: session(|session| session.owner = Owner::Unknown(why())), ..orphan() }),
        ("origin", Verdict::Unknown, Facts { is_of_cli: false, ..orphan() }),
        ("session", Verdict::Unknown, Facts { session: None, group: Ok(Group::None), ..orphan() }),
        ("session", Verdict::Unknown, Facts { session: None, group: Ok(scope(Scope::Open)), ..orphan() }),
        ("session", Verdict::Unknown, Facts { session: None, group: Ok(scope(Scope::Unknown(why()))), ..orphan() }),
        ("session", Verdict::Unknown, Facts { session: session(|session| session.owner = Owner::Itself), group: Ok(scope(Scope::Open)), ..orphan() }),
        ("heartbeat", Verdict::Owned, Facts { session: session(|session| session.heartbeat = Some(Heartbeat::Ago(Duration::from_secs(300)))), ..orphan() }),
        ("heartbeat", Verdict::Unknown, Facts { session: session(|session| session.heartbeat = Some(Heartbeat::Unknown(why()))), ..orphan() }),
    ]
}

#[test]
fn each_row_by_itself_keeps_a_process() {
    for (row, verdict, facts) in cases() {
        let judgement = judge(&facts, &LIMITS);
        assert_eq!((judgement.verdict, judgement.reasons[0].row), (verdict, row), "{judgement:?}");
        assert_eq!(judgement.reasons.len(), 1, "{judgement:?}");
    }
}

#[test]
fn every_row_has_a_case() {
    let known: Vec<&str> = cases().iter().map(|(row, _, _)| *row).collect();
    for row in rows() {
        assert!(known.contains(&row), "{row}");
    }
}

#[test]
fn a_session_is_over_by_its_records_process_or_by_its_scope() {
    let by_owner =
        |owner| Facts { session: session(|session| session.owner = owner), group: Ok(Group::None), ..orphan() };
    let by_scope = Facts { session: None, ..orphan() };
    let itself = Facts { session: session(|session| session.owner = Owner::Itself), ..orphan() };
    let untracked = Facts { session: session(|session| session.heartbeat = None), ..orphan() };
    let completed = Facts {
        session: session(|session| {
            session.is_completed = true;
            session.heartbeat = Some(Heartbeat::Ago(Duration::ZERO));
        }),
        ..orphan()
    };
    for facts in [
        orphan(),
        by_owner(Owner::Gone(8)),
        by_owner(Owner::Reused(8)),
        by_owner(Owner::Ends(8)),
        by_scope,
        itself,
        untracked,
        completed,
    ] {
        let judgement = judge(&facts, &LIMITS);
        assert_eq!(judgement.verdict, Verdict::Orphaned, "{judgement:?}");
        assert!(judgement.reasons.len() >= 3, "{judgement:?}");
    }
}

#[test]
fn a_live_process_with_a_stale_heartbeat_alone_is_unknown() {
    let itself = || session(|session| session.owner = Owner::Itself);
    for (parent, verdict) in [
        (Parent::Other(named("python3")), Verdict::Unknown),
        (Parent::Adopter(named("systemd")), Verdict::Unknown),
        (Parent::Guardian(Guardian::Login, named("-bash")), Verdict::Owned),
    ] {
        let judgement = judge(&Facts { parent, session: itself(), group: Ok(Group::None), ..orphan() }, &LIMITS);
        assert_eq!(judgement.verdict, verdict, "{judgement:?}");
    }
}

#[test]
fn only_what_decides_is_told() {
    let facts = Facts {
        age: None,
        group: Ok(Group::Service("a.service".to_owned())),
        terminal: Some("/dev/tty1".to_owned()),
        ..orphan()
    };
    let judgement = judge(&facts, &LIMITS);
    let rows: Vec<&str> = judgement.reasons.iter().map(|reason| reason.row).collect();
    assert_eq!((judgement.verdict, rows), (Verdict::Owned, vec!["service", "terminal"]));
}

proptest! {
    /// Nothing that is added takes a doubt or an owner away.
    #[test]
    fn two_objections_are_no_weaker_than_one(one in 0..37_usize, other in 0..37_usize) {
        let cases = cases();
        let (one, other) = (&cases[one % cases.len()], &cases[other % cases.len()]);
        let base = orphan();
        // Of each fact the one that differs from the base, where both do the first.
        macro_rules! merged { ($field:ident) => { if one.2.$field == base.$field { other.2.$field.clone() } else { one.2.$field.clone() } } }
        let facts = Facts {
            relation: merged!(relation), other_user: merged!(other_user), elsewhere: merged!(elsewhere), executable: merged!(executable), age: merged!(age),
            group: merged!(group), terminal: merged!(terminal), parent: merged!(parent), vendor: merged!(vendor),
            shelters: merged!(shelters), is_of_cli: merged!(is_of_cli), session: merged!(session),
        };
        prop_assert!(judge(&facts, &LIMITS).verdict >= one.1.min(Verdict::Unknown));
        prop_assert_ne!(judge(&facts, &LIMITS).verdict, Verdict::Orphaned);
    }
}
