//! The files of sub-agents, beside or below the transcripts of sessions that look idle.

use std::ffi::{CStr, CString};
use std::os::fd::AsFd as _;
use std::sync::Arc;

use rustix::fs::FileType;

use super::{Beside, Here, HitKind, Scanner};
use crate::filesystem::walk;
use crate::providers::first_records::{Head, field_at_head};
use crate::providers::tree::NameRule;

impl Scanner {
    /// The sub-agents of `idle` sessions in a folder that was not listed.
    pub(super) fn subagents_beside_probed(&mut self, here: &Here<'_, '_>, idle: &[u32]) {
        if idle.is_empty() {
            return;
        }
        if !here.node.loose.is_empty() {
            let mut beside = Beside::default();
            self.list(here, b"", |name, kind, _| here.note_loose(name, kind, &mut beside));
            self.loose_subagents(here, &beside, idle);
        }
        for rule in here.node.names.iter().filter(|rule| rule.subagent) {
            for &id in idle {
                let mut name = Vec::with_capacity(64);
                rule.name.write_name(here.plan.query.ids[id as usize].as_str(), &mut name);
                if let Ok(name) = CString::new(name) {
                    self.below(here, id, &name, rule, HitKind::Subagent);
                }
            }
        }
    }

    /// Files of sub-agents beside the transcripts: the recent ones are read to see whose they are, or all where times are
    /// not believed. One that cannot be read may be any idle session's.
    pub(super) fn loose_subagents(&mut self, here: &Here<'_, '_>, beside: &Beside, idle: &[u32]) {
        let known = self.problems.len();
        for name in &beside.loose {
            self.loose_subagent(here, name);
        }
        self.doubt_since(known, here, idle);
    }

    fn loose_subagent(&mut self, here: &Here<'_, '_>, name: &CStr) {
        let is_recent = |time| self.subagents_before.is_none_or(|before| time >= before);
        let times = match walk::file_times(here.folder, name) {
            Ok(times) if times.is_file && is_recent(times.modified) => times,
            Err(error) if !walk::means_absent(error) => {
                return self.problem(here.plan, here.job, name.to_bytes(), error);
            }
            _ => return,
        };
        match field_at_head(here.folder, name, &here.plan.query.provider.id_field) {
            Head::Found(parent) => {
                if let Some(id) = here.plan.query.index_of(parent.as_bytes()) {
                    self.hit(here, id, name.to_bytes(), HitKind::Subagent, times.modified);
                }
            }
            Head::Absent => {}
            Head::Unreadable(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Head::Unreadable(error) => self.problem(here.plan, here.job, name.to_bytes(), error),
        }
    }

    /// Notes that these sessions' sub-agents could not all be looked at, if there are problems since `known`.
    fn doubt_since(&mut self, known: usize, here: &Here<'_, '_>, ids: &[u32]) {
        let new = &self.problems[known..];
        if let Some((_, problem)) = new.first() {
            self.doubts.extend(ids.iter().map(|id| (here.job.plan, *id, Arc::clone(problem))));
        }
        self.of_subagents.extend_from_slice(new);
    }

    /// The files that `rule.tail` names below the folder `name`.
    pub(super) fn below(&mut self, here: &Here<'_, '_>, id: u32, name: &CStr, rule: &NameRule, kind: HitKind) {
        let known = self.problems.len();
        self.look_below(here, id, name, rule, kind);
        if kind == HitKind::Subagent {
            self.doubt_since(known, here, &[id]);
        }
    }

    fn look_below(&mut self, here: &Here<'_, '_>, id: u32, name: &CStr, rule: &NameRule, kind: HitKind) {
        let mut at = name.to_bytes().to_vec();
        let Some((file, folders)) = rule.tail.split_last() else { return };
        // Patterns with a glob before the last component are refused where they are read.
        for folder in folders {
            at.push(b'/');
            at.extend_from_slice(folder.literal().as_bytes());
        }
        if file.is_literal() {
            at.push(b'/');
            at.extend_from_slice(file.literal().as_bytes());
            if let Ok(path) = CString::new(at) {
                self.stat(here, id, &path, kind);
            }
            return;
        }
        let opened = match CString::new(at.clone()) {
            Ok(path) => walk::open_folder(here.folder, path.as_c_str()),
            Err(_) => return,
        };
        let folder = match opened {
            Ok(folder) => folder,
            Err(error) if walk::means_absent(error) => return,
            Err(error) => return self.problem(here.plan, here.job, &at, error),
        };
        let inside = Here { folder: folder.as_fd(), ..*here };
        let mut found = Vec::new();
        self.list(&inside, &at, |entry, kind, _| {
            if kind != FileType::Directory && file.matches(entry.to_bytes()) {
                found.push(entry.to_owned());
            }
        });
        let mut times = Vec::new();
        for entry in found {
            match walk::file_times(folder.as_fd(), entry.as_c_str()) {
                Ok(known) if known.is_file => times.push((known.modified, entry)),
                Err(error) if !walk::means_absent(error) => {
                    self.problem(here.plan, here.job, &[&at, entry.to_bytes()].join(&b'/'), error);
                }
                _ => {}
            }
        }
        if self.subagents_before.is_some() {
            // The newest tells; where times are not believed any may be that.
            let newest = (0..times.len()).max_by_key(|index| times[*index].0);
            times = newest.map(|index| times.swap_remove(index)).into_iter().collect();
        }
        for (modified, entry) in times {
            self.hit(here, id, &[&at, entry.to_bytes()].join(&b'/'), kind, modified);
        }
    }
}
