//! What people see of queues, to the letter. After a wanted change: `INSTA_UPDATE=always cargo test --test it`.

use insta::assert_snapshot;

use crate::queues_engine::Container;
use crate::queues_schemas::Generation;
use crate::queues_world::{GROUP, Queues, corrupt};
use crate::snapshots::shown;
use crate::world::Ran;

/// Checks snapshots with what differs from run to run replaced.
fn settled(queues: &Queues, check: impl FnOnce()) {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("snapshots");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    let canonical = queues.root().parent().unwrap().to_str().unwrap().to_owned();
    let root = queues.world.root().to_str().unwrap();
    let slug = queues.slug();
    for (pattern, replacement) in [
        (&*canonical.replace('.', r"\."), "[WORLD]"),
        (&*root.replace('.', r"\."), "[WORLD]"),
        (&*slug, "[SLUG]"),
        (r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?Z?", "[TIME]"),
        (r"(task|msg)-\d{13}-[0-9a-z]{6}", "$1-[NEW]"),
        (r"\b[0-9a-f]{64}\b", "[CONTAINER]"),
        (r"running +\d+s ", "running      [AGE] "),
        (r"\b[0-9a-f]{12}\b", "[CONTAINER]"),
    ] {
        settings.add_filter(pattern, replacement);
    }
    settings.bind(check);
}

/// A session of each kind, told in whole minutes with half of one to spare, and containers that are somebody's, nobody's and another's.
fn scene() -> Queues {
    let mut queues = Queues::waking(Generation::C);
    queues.zone("Europe/Madrid");
    queues.set("tries = 5");
    let [works, silent, dead, due, planned, odd, broken] =
        ["works", "silent", "dead", "due", "planned", "odd", "broken"]
            .map(|name| queues.session(&format!("sess-{name}")));
    queues.container(&works, 1_230);
    works.message("m1");
    works.claim("m1", 20).heartbeat(15);
    queues.container(&silent, 1_230);
    silent.message("m1");
    silent.claim("m1", 630).heartbeat(690);
    dead.message("m1").set("tries", 2);
    dead.message("m2").set("tries", 5);
    dead.message("m3");
    dead.claim("m1", 630).claim("m2", 630).ack("m3", "completed");
    due.message("m1");
    due.message("m2").set("status", "failed");
    planned.task("t1", "0 9 * * *").set("status", "completed").set("series_id", "t");
    odd.task("t1", "0 21-5 * * *").set("status", "completed");
    corrupt(&broken.outbound_path());
    queues.container(&queues.session_folder(GROUP, "sess-gone"), 1_230);
    let gateway = Container::named("gateway", 1_230).label("nanoclaw-install", &queues.slug());
    queues.engine.start(&gateway.label("nanoclaw-role", "gateway"));
    queues.engine.start(&Container::named("postgres", 1_230));
    queues
}

#[test]
fn queues_as_text() {
    let queues = scene();
    settled(&queues, || {
        assert_snapshot!("queues_status", shown(&queues.run(&["status"])));
        assert_snapshot!("queues_status_verbose", shown(&queues.run(&["status", "--verbose"])));
        assert_snapshot!("queues_containers", shown(&queues.run(&["containers"])));
        assert_snapshot!("queues_sweep_dry_run", shown(&queues.run(&["sweep", "--dry-run"])));
        assert_snapshot!("queues_sweep", shown(&queues.run(&["sweep"])));
        assert_snapshot!("queues_sweep_again", shown(&queues.run(&["sweep"])));
    });
}

#[test]
fn queues_of_which_nothing_is_to_be_said_as_text() {
    let mut queues = Queues::new(Generation::B);
    settled(&queues, || {
        assert_snapshot!("queues_status_empty", shown(&queues.run(&["status"])));
        assert_snapshot!("queues_sweep_empty", shown(&queues.run(&["sweep"])));
        assert_snapshot!("queues_containers_empty", shown(&queues.run(&["containers"])));
        assert_snapshot!("queues_unconfigured", shown(&Ran::of(&mut queues.command_anywhere(&["sweep"]))));
    });
    queues.set("take_over = false");
    queues.session("sess-a").message("m1");
    queues.engine.break_with("Cannot connect to the socket. Is it running?\n");
    settled(&queues, || {
        assert_snapshot!("queues_status_without_runtime", shown(&queues.run(&["status"])));
        assert_snapshot!("queues_sweep_without_runtime", shown(&queues.run(&["sweep"])));
    });
}

#[test]
fn queues_of_a_host_that_runs_as_text() {
    let queues = scene();
    queues.lease(3_600, false);
    settled(&queues, || {
        assert_snapshot!("queues_sweep_hands_off", shown(&queues.run(&["sweep"])));
    });
}

#[test]
fn queues_help_as_text() {
    let queues = Queues::new(Generation::B);
    settled(&queues, || {
        for (name, arguments) in [
            ("queues_help", &["--help"][..]),
            ("queues_status_help", &["status", "--help"]),
            ("queues_containers_help", &["containers", "--help"]),
            ("queues_sweep_help", &["sweep", "--help"]),
        ] {
            assert_snapshot!(name, shown(&Ran::of(&mut queues.command_anywhere(arguments))));
        }
    });
}
