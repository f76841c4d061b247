//! Decides about everything in one home.

use std::collections::BTreeMap;
use std::os::fd::AsFd as _;
use std::path::PathBuf;

use rustc_hash::{FxHashMap, FxHashSet};

use super::claims::{Claims, Speakers};
use super::homes::Home;
use super::names::Names;
use super::open::Open;
use super::parts::Parts;
use super::plan::{Excess, Item, Terms};
use super::units::Unit;
use crate::artifacts::kinds::Grain;
use crate::artifacts::survey::Tally;
use crate::config::setting::KindLimits;
use crate::filesystem::proc::Proc;
use crate::filesystem::walk;
use crate::policy::artifact::{Claim, Facts, Reason, Verdict, evicted, is_within};
use crate::policy::byte_size::Budget;

/// Of sub-agents' sessions: that which each is a part of, or why it cannot be told.
#[derive(Default)]
struct Parents<'u>(FxHashMap<&'u str, Result<String, String>>);

impl Parents<'_> {
    /// Whether the session is a sub-agent's.
    fn has(&self, session: &str) -> bool {
        self.0.contains_key(session)
    }

    /// The session that this one is a part of, that which that one is a part of, and so on to the conversation itself.
    ///
    /// # Errors
    /// One of them cannot be told.
    fn above<'p>(&'p self, session: &'p str) -> Result<Vec<&'p str>, &'p String> {
        let (mut line, mut last) = (Vec::new(), session);
        while let Some(parent) = self.0.get(last) {
            last = parent.as_ref()?;
            // Nobody is above itself, whatever files say.
            if last == session || line.contains(&last) {
                break;
            }
            line.push(last);
        }
        Ok(line)
    }
}

/// Keeps what lies where not all of it could be removed: what is shown is what is done.
fn keep_what_cannot_go(home: &Home<'_>, items: &mut [Item]) {
    let mut going = items.iter_mut().filter(|item| item.goes()).peekable();
    if going.peek().is_none() {
        return;
    }
    // What else cannot be looked at shows when it is to go.
    let Ok(folder) = walk::open_folder_path(&home.folder) else { return };
    for item in going {
        let parts = Parts::of(folder.as_fd(), &item.unit.pieces, &Names::default());
        let obstacle = parts.ok().flatten().and_then(|parts| parts.obstacle(folder.as_fd()).ok().flatten());
        if let Some(why) = obstacle {
            item.verdict = Verdict::Keep(Reason::Fixed(format!("{}: {why}", home.folder.display())));
        }
    }
}

/// Keeps what is a part of a session that stays.
fn keep_with_parents(items: &mut [Item], all: &[Unit], parents: &Parents<'_>) {
    let gone: FxHashSet<String> =
        items.iter().filter(|item| item.goes()).filter_map(|item| item.unit.session.clone()).collect();
    let there: FxHashSet<&str> = all.iter().filter_map(|unit| unit.session.as_deref()).collect();
    // All that is above it is looked at, so that it does not matter who is decided about first.
    let stays = |item: &Item| {
        let above = parents.above(item.unit.session.as_deref()?).ok()?;
        above.into_iter().find(|parent| there.contains(parent) && !gone.contains(*parent)).map(ToOwned::to_owned)
    };
    for item in items.iter_mut().filter(|item| item.goes()) {
        if let Some(session) = stays(item) {
            item.verdict = Verdict::Keep(Reason::Claimed(Claim::PartOf { session }));
        }
    }
}

/// Decides about the units of one home.
pub(super) struct Judge<'j, 'c> {
    pub(super) home: &'j Home<'c>,
    pub(super) terms: &'j Terms<'j>,
    /// One per kind of the home's rules, as are the tallies.
    pub(super) limits: &'j [KindLimits],
    pub(super) tallies: &'j [Tally],
}

impl Judge<'_, '_> {
    /// What of `all`, the oldest first, goes, and what is past its limit and stays.
    pub(super) fn items(
        &self,
        all: &[Unit],
        speakers: &Speakers<'_>,
        proc: &Proc,
        problems: &mut Vec<String>,
    ) -> Vec<Item> {
        let candidates: Vec<&Unit> = all.iter().filter(|unit| self.may_go(unit)).collect();
        if candidates.is_empty() {
            return Vec::new();
        }
        let claims = speakers.of(self.home);
        let open = Open::look(self.home, &candidates, proc);
        problems.extend(claims.trouble.iter().map(|why| format!("{}: {why}", self.home.folder.display())));
        problems.extend(open.trouble.iter().cloned());
        let parents = self.parents_of(all);
        let newest = self.newest_of_projects(all, &candidates, &parents);
        let facts_of = |unit: &Unit| self.facts(unit, &claims, &open, (&parents, &newest));
        let mut items = Vec::new();
        for kind in 0..self.limits.len() {
            let of_kind: Vec<&Unit> = all.iter().filter(|unit| unit.kind == kind).collect();
            self.decide(kind, &of_kind, &facts_of, &mut items);
        }
        keep_what_cannot_go(self.home, &mut items);
        keep_with_parents(&mut items, all, &parents);
        for item in items.iter_mut().filter(|item| item.goes()) {
            let above = item.unit.session.as_deref().map(|session| parents.above(session));
            item.above = above.and_then(Result::ok).into_iter().flatten().map(ToOwned::to_owned).collect();
        }
        items
    }

    /// Where all that may go is not enough: what is left over the size budgets.
    pub(super) fn excesses(&self, all: &[Unit], items: &[Item]) -> Vec<Excess> {
        let gone = |kind: usize| items.iter().filter(move |item| item.unit.kind == kind && item.goes());
        let excess = |kind: usize| {
            let most = self.limits[kind].max_size.bytes()?;
            let room = self.room_of(kind, all.iter()).max(self.tallies[kind].sums.disk);
            let left = room.saturating_sub(gone(kind).map(|item| item.unit.sums.disk).sum());
            (left > most).then_some(Excess { kind, left, most })
        };
        (0..self.limits.len()).filter_map(excess).collect()
    }

    /// How much room the units of a kind take on the disk, in bytes. What belongs to nobody's session cannot go, and makes no
    /// room.
    fn room_of<'u>(&self, kind: usize, units: impl Iterator<Item = &'u Unit>) -> u64 {
        let room = units.filter(|unit| unit.kind == kind).map(|unit| unit.sums.disk).sum();
        if self.home.rules.kinds[kind].grain == Grain::File { self.tallies[kind].sums.disk.max(room) } else { room }
    }

    /// The session that each sub-agent's is a part of, or why that cannot be told.
    fn parents_of<'u>(&self, units: &'u [Unit]) -> Parents<'u> {
        let parent = |unit: &'u Unit| {
            let parent = unit.parent(self.home).transpose()?;
            Some((unit.session.as_deref()?, parent))
        };
        Parents(units.iter().filter_map(parent).collect())
    }

    /// Decides about all units of one kind, the oldest first.
    fn decide(&self, kind: usize, of_kind: &[&Unit], facts_of: &dyn Fn(&Unit) -> Facts, items: &mut Vec<Item>) {
        let (limits, now) = (self.limits[kind], self.terms.now);
        let mut left = self.room_of(kind, of_kind.iter().copied());
        let mut decided: Vec<Option<Item>> = of_kind.iter().map(|_| None).collect();
        for (unit, item) in of_kind.iter().zip(&mut decided).filter(|(unit, _)| self.is_old(unit)) {
            let facts = facts_of(unit);
            let verdict = facts.by_age(limits.retention, now);
            left -= if matches!(verdict, Verdict::Remove(_)) { unit.sums.disk.min(left) } else { 0 };
            if verdict != Verdict::Keep(Reason::Young) {
                let last_activity = facts.last_activity();
                *item = Some(Item { unit: (*unit).clone(), last_activity, verdict, above: Vec::new(), twin: None });
            }
        }
        if let Budget::AtMost(most) = limits.max_size {
            let goes = |item: &Option<Item>| item.as_ref().is_some_and(Item::goes);
            let sizes: Vec<u64> =
                of_kind.iter().zip(&decided).map(|(unit, item)| if goes(item) { 0 } else { unit.sums.disk }).collect();
            evicted(sizes, left, most, |index| {
                let unit = of_kind[index];
                let facts = facts_of(unit);
                let verdict = facts.by_size(most, now);
                let may_go = matches!(verdict, Verdict::Remove(_));
                if verdict != Verdict::Keep(Reason::Young) {
                    let last_activity = facts.last_activity();
                    decided[index] =
                        Some(Item { unit: unit.clone(), last_activity, verdict, above: Vec::new(), twin: None });
                }
                may_go
            });
        }
        items.extend(decided.into_iter().flatten());
    }

    /// Whether it would go if nobody spoke for it: then it is worth a closer look.
    fn may_go(&self, unit: &Unit) -> bool {
        self.is_old(unit)
            || self.limits[unit.kind].max_size.bytes().is_some_and(|most| self.tallies[unit.kind].sums.disk > most)
    }

    fn is_old(&self, unit: &Unit) -> bool {
        let facts = Facts { modified: unit.modified(), recorded: Ok(None), doubt: None, claims: Vec::new() };
        let verdict = facts.by_age(self.limits[unit.kind].retention, self.terms.now);
        verdict != Verdict::Keep(Reason::Young)
    }

    fn facts(
        &self,
        unit: &Unit,
        claims: &Claims<'_>,
        open: &Open,
        (parents, newest): (&Parents<'_>, &FxHashSet<&str>),
    ) -> Facts {
        let mut doubt = claims.trouble.clone().or_else(|| open.trouble.clone());
        if unit.is_incomplete() {
            doubt = Some("it holds something that is no file, or cannot be read".to_owned());
        }
        let above = parents.above(unit.session.as_deref().unwrap_or_default());
        let unread = above.as_ref().err().map(|why| Reason::Unread((*why).clone()));
        let mut speaking = claims.on(unit, &above.unwrap_or_default(), open);
        if let Some(session) = unit.session.as_deref() {
            doubt = doubt.or_else(|| claims.trouble_with_sessions());
            if newest.contains(session) {
                speaking.push(Claim::Newest { of: self.terms.settings.keep_last });
            }
            let limit = self.limits[unit.kind].retention.duration();
            let put_back = claims.put_back(session);
            if let Some(at) = put_back.filter(|at| limit.is_none_or(|limit| is_within(*at, limit, self.terms.now))) {
                speaking.push(Claim::PutBack { at });
            }
        }
        let recorded = if unit.session.is_some() { unit.recorded(self.home) } else { Ok(None) };
        let recorded = unread.map_or(recorded, Err);
        Facts { modified: unit.modified(), recorded, doubt, claims: speaking }
    }

    /// The sessions that stay because they are the newest of their projects, of those projects that `candidates` are of. What
    /// records nothing takes no place: CLIs leave empty transcripts behind.
    fn newest_of_projects<'u>(
        &self,
        units: &'u [Unit],
        candidates: &[&Unit],
        parents: &Parents<'_>,
    ) -> FxHashSet<&'u str> {
        let is_own = |unit: &&Unit| {
            unit.has_transcript() && unit.session.as_deref().is_some_and(|session| !parents.has(session))
        };
        let wanted: FxHashSet<&str> = candidates.iter().filter_map(|unit| unit.session.as_deref()).collect();
        let is_wanted = |unit: &&Unit| unit.session.as_deref().is_some_and(|session| wanted.contains(session));
        let mut projects: BTreeMap<Option<PathBuf>, Vec<&Unit>> = BTreeMap::new();
        // The oldest first, as they are sorted. A sub-agent's is no conversation of its own.
        for unit in units.iter().filter(is_own) {
            projects.entry(unit.project(self.home)).or_default().push(unit);
        }
        let mut newest = FxHashSet::default();
        for units in projects.values().filter(|units| units.iter().any(is_wanted)) {
            let mut places = self.terms.settings.keep_last;
            for unit in units.iter().rev() {
                if places == 0 {
                    break;
                }
                newest.extend(unit.session.as_deref());
                places -= usize::from(unit.records_something(self.home));
            }
        }
        newest
    }
}
