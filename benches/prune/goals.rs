//! What the figures are to be.

use crate::common::options::Size;
use crate::common::report::{Goal, Goals, Limit, Results, Runs};
use crate::contenders::name;

/// What is expected of the runs on a full map.
pub(crate) fn full_map_goals(size: Size, results: &Results) -> Vec<Goal> {
    let mut goals = Goals::new(format!("{size:?}"), results);
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
        goals.faster("wall", Runs::wall, name::DRY_RUN, name::FIND, times);
        goals.faster("wall", Runs::wall, name::DRY_RUN, name::FD, times);
    }
    if size == Size::M {
        goals.faster("wall", Runs::wall, name::PRUNE, name::ORIGINAL, 150.0);
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
    let mut goals = Goals::new(format!("{size:?}, {count} mapped"), results);
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
