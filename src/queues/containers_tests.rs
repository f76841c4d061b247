//! Whose containers are.

#![expect(clippy::unnecessary_wraps, reason = "values as the fields have them")]

use std::path::PathBuf;

use super::super::runtime::{Container, State};
use super::*;

const SLUG: &str = "0a1b2c3d";
const SESSIONS: &str = "/srv/agents/data/v2-sessions";

fn installation() -> Installation {
    Installation { root: "/srv/agents".into(), slug: SLUG.to_owned(), sessions: SESSIONS.into() }
}

/// A container without any evidence, called as the original calls its own.
fn container() -> Container {
    Container {
        id: "b3f1c0de".to_owned(),
        name: format!("ncl-{SLUG}-sess-1"),
        state: State::Alive("running".to_owned()),
        started: None,
        install: None,
        group: None,
        session: None,
        role: None,
        workspace: None,
        runtime: "docker".to_owned(),
    }
}

fn text(text: &str) -> Option<String> {
    Some(text.to_owned())
}

fn below(path: &str) -> Option<PathBuf> {
    Some(Path::new(SESSIONS).join(path))
}

fn labelled() -> Container {
    Container { install: text(SLUG), group: text("team"), session: text("sess-1"), role: text("agent"), ..container() }
}

fn of(container: &Container) -> Belongs {
    belongs(container, &installation())
}

fn session(may_be_stopped: bool) -> Belongs {
    Belongs::Session { group: "team".to_owned(), session: "sess-1".to_owned(), may_be_stopped }
}

#[track_caller]
fn assert_unknown(container: &Container, reason: &str) {
    match of(container) {
        Belongs::Unknown(why) => assert!(why.contains(reason), "{why}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_name_is_no_evidence() {
    for name in ["nanoclaw-v2-team-1763636400000", "nanoclaw-team-1", &container().name] {
        assert_eq!(of(&Container { name: name.to_owned(), ..container() }), Belongs::Foreign, "{name}");
    }
}

#[test]
fn a_session_is_told_by_its_labels_or_by_its_folder() {
    assert_eq!(of(&labelled()), session(true));
    assert_eq!(of(&Container { workspace: below("team/sess-1"), ..container() }), session(true));
    assert_eq!(of(&Container { workspace: below("team/sess-1"), ..labelled() }), session(true));
    // As hosts before the labels of sessions have them.
    let middle = Container { install: text(SLUG), workspace: below("team/sess-1"), ..container() };
    assert_eq!(of(&middle), session(true));
}

#[test]
fn only_a_folder_exactly_two_below_is_a_sessions() {
    for path in
        ["", "team", "team/sess-1/inbox", "team/.claude-shared", ".trash/sess-1", "team/agent-runner-src", "team/.."]
    {
        let mounted = Container { workspace: below(path), ..container() };
        assert_eq!(of(&mounted), Belongs::Foreign, "{path}");
        let ours = Container { install: text(SLUG), ..mounted };
        assert_unknown(&ours, "no label names its session");
    }
    for path in
        ["/srv/agents/data/v2-sessions-old/team/sess-1", "/srv/other/data/v2-sessions/team/sess-1", "team/sess-1"]
    {
        assert_eq!(of(&Container { workspace: Some(path.into()), ..container() }), Belongs::Foreign, "{path}");
    }
}

#[test]
fn another_installations_container_is_foreign() {
    let other = Container { install: text("ffffffff"), ..labelled() };
    assert_eq!(of(&other), Belongs::Foreign);
    let other = Container { workspace: Some("/srv/other/data/v2-sessions/team/sess-1".into()), ..other };
    assert_eq!(of(&other), Belongs::Foreign);
}

#[test]
fn another_installations_container_in_a_session_folder_of_ours_lives_and_is_not_stopped() {
    let other = Container { install: text("ffffffff"), workspace: below("team/sess-1"), ..labelled() };
    assert_eq!(of(&other), session(false));
    // Whatever session it believes to be of.
    assert_eq!(of(&Container { session: text("sess-2"), ..other }), session(false));
}

#[test]
fn labels_without_the_installations_say_nothing() {
    let loose = Container { install: None, ..labelled() };
    assert_eq!(of(&loose), Belongs::Foreign);
    let loose = Container { session: text("sess-2"), workspace: below("team/sess-1"), ..loose };
    assert_eq!(of(&loose), session(true));
}

#[test]
fn labels_and_folder_that_contradict_each_other_tell_nothing() {
    assert_unknown(&Container { workspace: below("team/sess-2"), ..labelled() }, "session sess-1 of group team, but");
    assert_unknown(&Container { workspace: below("crew/sess-1"), ..labelled() }, "v2-sessions/crew/sess-1");
    let group_only = Container { session: None, group: text("crew"), workspace: below("team/sess-1"), ..labelled() };
    assert_unknown(&group_only, "of group crew, but");
    let elsewhere = Some("/srv/other/data/v2-sessions/team/sess-2".into());
    assert_unknown(&Container { workspace: elsewhere, ..labelled() }, "/srv/other/");
    // The same folder as a virtual machine has it.
    let abroad = Some("/mnt/machine/srv/agents/data/v2-sessions/team/sess-1".into());
    assert_eq!(of(&Container { workspace: abroad, ..labelled() }), session(true));
}

#[test]
fn of_ours_without_a_session_nothing_more_is_told() {
    assert_unknown(&Container { install: text(SLUG), ..container() }, "no label names its session");
    assert_unknown(&Container { group: None, ..labelled() }, "no group");
    for odd in ["../crew", ".", "..", "", "a/b", ".hidden"] {
        assert_unknown(&Container { session: text(odd), ..labelled() }, "cannot be a session's folder");
        assert_unknown(&Container { group: text(odd), ..labelled() }, "cannot be a session's folder");
    }
}

#[test]
fn a_gateway_is_none_of_a_sessions() {
    for role in ["gateway", "auxiliary", "Agent", ""] {
        let gateway = Container { role: text(role), ..labelled() };
        assert_eq!(of(&gateway), Belongs::Auxiliary(role.to_owned()));
        assert_eq!(of(&Container { install: None, ..gateway.clone() }), Belongs::Foreign);
        // In a session's folder it may write what the agent writes: that session is not at rest.
        assert_eq!(of(&Container { workspace: below("team/sess-1"), ..gateway }), session(false));
    }
}

#[test]
fn a_session_that_a_container_may_be_of_is_not_at_rest() {
    let may_be_of = |container: &Container, session: &str| may_be_of(container, &installation(), session);
    let is_of = |container: &Container| ["sess-1", "sess-2", "sess-3"].map(|session| may_be_of(container, session));
    assert_eq!(is_of(&labelled()), [true, false, false]);
    // Claimed by one session, in the folder of the other.
    assert_eq!(is_of(&Container { workspace: below("team/sess-2"), ..labelled() }), [true, true, false]);
    assert_eq!(is_of(&Container { group: None, ..labelled() }), [true, false, false]);
    // Ours, and nothing more is told.
    assert_eq!(is_of(&Container { install: text(SLUG), ..container() }), [true; 3]);
    assert_eq!(is_of(&Container { session: text(".."), ..labelled() }), [true; 3]);
    // Another installation's, or a gateway, in a folder of ours.
    let mounted = Container { workspace: below("team/sess-1"), ..labelled() };
    assert_eq!(is_of(&Container { install: text("ffffffff"), ..mounted.clone() }), [true, false, false]);
    assert_eq!(is_of(&Container { role: text("gateway"), ..mounted }), [true, false, false]);
    assert_eq!(is_of(&Container { role: text("gateway"), ..labelled() }), [false; 3]);
    assert_eq!(is_of(&container()), [false; 3]);
}

#[test]
fn a_folder_is_known_by_another_way_to_it() {
    let world = tempfile::tempdir().unwrap();
    let folder = world.path().join("team/sess-1");
    fs_err::create_dir_all(&folder).unwrap();
    fs_err::create_dir_all(world.path().join("crew/sess-1")).unwrap();
    let at = |path: PathBuf| Container { workspace: Some(path), ..container() };
    let other_way = Path::new("/proc/self/root").join(folder.strip_prefix("/").unwrap());
    assert!(may_have_folder(&at(other_way), &folder));
    assert!(!may_have_folder(&at(world.path().join("crew/sess-1")), &folder));
    assert!(!may_have_folder(&at(world.path().join("none/sess-1")), &folder));
    assert!(!may_have_folder(&container(), &folder));
}

#[test]
fn a_folder_that_cannot_be_looked_at_may_be_the_one_of_its_name() {
    let world = tempfile::tempdir().unwrap();
    let folder = world.path().join("team/sess-1");
    fs_err::create_dir_all(&folder).unwrap();
    let may_be = |path: &str| may_have_folder(&Container { workspace: Some(path.into()), ..container() }, &folder);
    assert!(may_be("/somewhere/of/a/virtual/machine/v2-sessions/team/sess-1"));
    assert!(!may_be("/somewhere/of/a/virtual/machine/v2-sessions/crew/sess-1"));
    assert!(!may_be("/somewhere/of/a/virtual/machine/v2-sessions/team/sess-2"));
    assert!(!may_be("team/sess-1"), "no path of any machine");
}
