//! Which containers work on which session, and what every container of the installation is.

use rustc_hash::FxHashMap;

use super::plan::{ContainerItem, ContainerVerdict, Liveness};
use crate::queues::central::{Central, SessionRow, Status};
use crate::queues::containers::{Belongs, belongs, may_be_of, may_have_folder};
use crate::queues::installation::Installation;
use crate::queues::runtime::Container;

impl ContainerItem {
    /// Whether it is of the installation, and of which session cannot be told.
    pub(super) const fn is_of_nobody(&self) -> bool {
        matches!(self.verdict, ContainerVerdict::Unknown) && self.session.is_none()
    }
}

/// Which containers work on what.
pub(super) struct Crew<'c> {
    by_session: FxHashMap<String, Vec<Container>>,
    /// Whether anybody tells.
    is_known: bool,
    rest: Vec<(&'c Container, Belongs)>,
}

impl<'c> Crew<'c> {
    pub(super) fn of(listed: Result<&'c [Container], &String>, installation: &Installation) -> Self {
        let Ok(containers) = listed else {
            return Self { by_session: FxHashMap::default(), is_known: false, rest: Vec::new() };
        };
        let mut by_session: FxHashMap<String, Vec<Container>> = FxHashMap::default();
        let mut rest = Vec::new();
        for container in containers.iter().filter(|container| container.state.is_alive()) {
            let belongs = belongs(container, installation);
            if let Belongs::Session { session, .. } = &belongs {
                by_session.entry(session.clone()).or_default().push(container.clone());
            }
            rest.push((container, belongs));
        }
        Self { by_session, is_known: true, rest }
    }

    /// Where it cannot be told of one whose it is, nothing is known of the sessions that it may be of. Nor is it of a session
    /// whose container works in the folder of another group, or has come to the session's folder by another way.
    pub(super) fn liveness_of(&mut self, session: &str, group: &str, installation: &Installation) -> Liveness {
        let is_in_doubt = |(container, belongs): &(&Container, Belongs)| match belongs {
            Belongs::Unknown(_) => may_be_of(container, installation, session),
            Belongs::Session { group: other, session: its, .. } => its == session && other != group,
            Belongs::Foreign | Belongs::Auxiliary(_) => {
                installation.session(group, session).is_ok_and(|folder| may_have_folder(container, &folder))
            }
        };
        if !self.is_known || self.rest.iter().any(is_in_doubt) {
            return Liveness::Unknown;
        }
        Liveness::Known(self.by_session.remove(session).unwrap_or_default())
    }

    /// Every container of the installation with what it is.
    pub(super) fn items(self, central: &Central) -> Vec<ContainerItem> {
        let rows: FxHashMap<&str, &SessionRow> = central.sessions.iter().map(|row| (row.id.as_str(), row)).collect();
        let item = |(container, belongs): (&Container, Belongs)| {
            let (verdict, reason, group, session) = match belongs {
                Belongs::Foreign => return None,
                Belongs::Auxiliary(role) => (ContainerVerdict::Auxiliary, format!("its role is {role}"), None, None),
                Belongs::Unknown(why) => (ContainerVerdict::Unknown, why, None, None),
                Belongs::Session { group, session, may_be_stopped } => {
                    let (verdict, reason) = of_session(rows.get(session.as_str()).copied(), may_be_stopped);
                    (verdict, reason, Some(group), Some(session))
                }
            };
            Some(ContainerItem { container: container.clone(), verdict, group, session, reason })
        };
        let mut items: Vec<ContainerItem> = self.rest.into_iter().filter_map(item).collect();
        items.sort_by_key(|item| item.verdict);
        items
    }
}

pub(super) fn of_session(row: Option<&SessionRow>, may_be_stopped: bool) -> (ContainerVerdict, String) {
    let orphan = match row.map(|row| &row.status) {
        Some(Status::Active) => return (ContainerVerdict::Session, "its session is active".to_owned()),
        Some(Status::Other(status)) => {
            return (ContainerVerdict::Unknown, format!("its session is {status:?}, which is not known here"));
        }
        Some(Status::Closed) => "its session is closed",
        None => "its session is not in the central database",
    };
    if may_be_stopped {
        (ContainerVerdict::Orphan, orphan.to_owned())
    } else {
        (ContainerVerdict::Unknown, format!("{orphan}, but its label names another installation"))
    }
}
