//! What comes up between the plan and the removal.

use super::apply::{Outcome, Remover};
use super::claims::{Known, Speakers};
use super::homes::homes;
use super::plan::{Plan, Terms};
use super::world::{NONE, World, goes, id, one_session};
use crate::artifacts::archive::restore;

#[test]
fn a_session_that_is_opened_between_plan_and_removal_stays() {
    let world = one_session();
    let plan = world.plan();
    fs_err::create_dir_all(world.home().join("sessions")).unwrap();
    let record = format!(r#"{{"pid":4711,"sessionId":"{}","pidDomain":"linux:elsewhere:pid:[1]"}}"#, id(1));
    fs_err::write(world.home().join("sessions/4711.json"), record).unwrap();
    assert_eq!(world.apply(&plan).outcomes, [Outcome::Opened]);
    assert_eq!(world.sessions_in_archive(), NONE);
}

#[test]
fn what_cannot_be_looked_at_again_stays_and_leaves_no_entry() {
    let world = one_session();
    let plan = world.plan();
    // A process of that number is there, and its record says nothing.
    let own = std::process::id();
    let proc = world.folder.path().join(format!("proc/{own}"));
    fs_err::create_dir_all(&proc).unwrap();
    fs_err::copy("/proc/self/stat", proc.join("stat")).unwrap();
    let record = world.file(&format!("sessions/{own}.json"), "{", 1);
    let cannot_look = |plan: &Plan<'_>| {
        let applied = world.apply(plan);
        assert!(matches!(&applied.outcomes[..], [Outcome::Failed(why)] if why.contains("not known")), "{applied:?}");
        assert_eq!((applied.archived, applied.freed), (0, 0));
    };
    cannot_look(&plan);
    assert_eq!(world.sessions_in_archive(), NONE);
    // An entry of before stays where it is.
    fs_err::remove_file(&record).unwrap();
    world.apply(&plan);
    let (entries, _) = world.archive().entries().unwrap();
    restore(&world.archive(), &entries[0]).unwrap();
    let plan = world.plan();
    fs_err::write(&record, "{").unwrap();
    cannot_look(&plan);
    assert_eq!(world.archive().entries().unwrap().0, entries);
}

#[test]
fn what_somebody_claims_while_a_question_is_asked_stays() {
    let world = one_session();
    let mut plan = world.plan();
    let again = {
        let (homes, _) = homes(&world.catalogue, &[]).unwrap();
        let terms = Terms { settings: &world.settings, kinds: Vec::new(), may_take_most: false, now: world.now };
        let speakers =
            Speakers::gather((&world.catalogue, &world.proc), Known { mapped: vec![id(1)], ..Known::default() });
        Plan::make(homes, &speakers, (&[], &world.proc), &terms)
    };
    plan.keep_to(&again);
    assert_eq!(goes(&plan), NONE);
}

#[test]
fn a_session_that_comes_to_be_mapped_while_the_run_works_stays() {
    let mut world = World::new().retention("claude.transcripts", 30);
    world.settings.keep_last = 1;
    (1..3).for_each(|number| drop(world.transcript(number, 100)));
    (5..9).for_each(|number| drop(world.transcript(number, 1)));
    let plan = world.plan();
    let entries = world.archive().entries().unwrap().0;
    // The first look is the plan's; by the second one a bridge leads to the other session, too.
    let world = &world;
    let look_again = || {
        let mapped = vec![id(2)];
        Ok(Speakers::gather((&world.catalogue, &world.proc), Known { mapped, ..Known::default() }))
    };
    let (archive, proc, now) = (world.archive(), &world.proc, world.now);
    let remover = Remover { archive: &archive, entries: &entries, proc, now, look_again: &look_again };
    let gone: Vec<Option<&String>> = plan.removed().map(|(_, item)| item.unit.session.as_ref()).collect();
    assert_eq!(gone, [Some(&id(1)), Some(&id(2))]);
    assert_eq!(remover.apply(&plan).outcomes, [Outcome::Removed, Outcome::Opened]);
    assert_eq!(world.sessions_in_archive(), [id(1)]);
    // Where that cannot be told any more it stays as well.
    let plan = world.plan();
    let look_again = || Err("the map is gone".to_owned());
    let remover = Remover { archive: &archive, entries: &entries, proc, now, look_again: &look_again };
    let why = "who uses it by now is not known: the map is gone";
    assert_eq!(remover.apply(&plan).outcomes, [Outcome::Failed(why.to_owned())]);
    assert_eq!(world.sessions_in_archive(), [id(1)]);
}
