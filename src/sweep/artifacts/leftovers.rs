//! What a run that was killed left of sessions that it had archived: the transcript goes first, and what belonged to it is known by
//! the archive alone.

use std::collections::BTreeMap;
use std::os::fd::AsFd as _;

use super::homes::Home;
use super::names::Names;
use super::parts::Parts;
use super::units::Unit;
use crate::artifacts::archive::Entry;
use crate::artifacts::survey::{Piece, Sums};
use crate::filesystem::walk;

/// Those of the sessions without a transcript whose every file is in the archive as it is, as old as the session was.
pub(super) fn leftovers(home: &Home<'_>, rest: BTreeMap<String, Vec<Piece>>, archive: &[Entry]) -> Vec<Unit> {
    // What cannot be opened was told by the survey.
    let Ok(folder) = walk::open_folder_path(&home.folder) else { return Vec::new() };
    let unit = |(session, mut pieces): (String, Vec<Piece>)| {
        let mut entries =
            archive.iter().filter(|entry| entry.manifest.is_from(&session, &home.provider, &home.folder)).peekable();
        entries.peek()?;
        let parts = Parts::of(folder.as_fd(), &pieces, &Names::default()).ok().flatten()?;
        let entry = entries.find(|entry| parts.files.iter().all(|going| entry.manifest.has(&going.archived())))?;
        let mut sums = Sums::default();
        for piece in &mut pieces {
            sums.join(&piece.sums);
            // None of them tells when the session was used: a folder that once was its transcript is none now.
            piece.part = None;
        }
        sums.newest = entry.manifest.files.iter().map(|file| file.attributes().modified).max().max(sums.newest);
        Some(Unit { kind: pieces.first()?.kind, session: Some(session), pieces, sums })
    };
    rest.into_iter().filter_map(unit).collect()
}
