//! The conversation at a terminal, as the original's `session-identify.sh` has it.

use anyhow::Result;

use super::identify::{PROGRAM, own_number};
use super::{claims, clean_up_first, rules};
use crate::commands::ask::{agrees, ask, say};
use crate::context::Context;
use crate::output::escape::Escaped;
use crate::output::registry::ListView;
use crate::policy::session_number::SessionNumber;
use crate::registry::claim::{Claims, Objection, Standing};
use crate::registry::cleanup::Rules;
use crate::registry::identify::Wish;
use crate::registry::identities::Identities;
use crate::registry::roster::Roster;
use crate::registry::survey::Survey;
use crate::registry::terminal::Anchor;
use crate::registry::{Registry, RegistryError};

/// Who asks, and about what.
pub(super) struct Talk<'t> {
    pub(super) context: &'t Context,
    pub(super) registry: &'t Registry,
    pub(super) anchor: &'t Anchor,
}

impl Talk<'_> {
    /// Cleans up, where there is something to clean and the user agrees.
    pub(super) fn offer_clean_up(&self) -> Result<()> {
        let spare = own_number(self.context, self.registry, self.anchor)?;
        let plan = match self.registry.plan(&Rules { spare, ..rules(self.context) }) {
            Ok(plan) => plan,
            Err(RegistryError::Missing(_)) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        if let Some(why) = &plan.held {
            say(&format!("No clean-up: {why}."));
        }
        let found = match plan.going.len() {
            0 => return Ok(()),
            1 => "1 stale session found".to_owned(),
            count => format!("{count} stale sessions found"),
        };
        if agrees(&format!("{found}. Clean up?"))? {
            let held = self.registry.lock(self.context.registry_lock(PROGRAM))?;
            let cleaned = clean_up_first(&held, self.context, spare)?;
            let marked = cleaned.map_or(0, |cleaned| cleaned.plan.going.len());
            say(&format!("Marked {marked} as inactive."));
        }
        Ok(())
    }

    /// Fills in what is not said yet; false when the user does not want to.
    pub(super) fn choose(&self, wish: &mut Wish) -> Result<bool> {
        let known = self.registry.read(|roster| self.choose_in(Some(roster), wish));
        match known {
            Err(RegistryError::Missing(_)) => self.choose_in(None, wish),
            known => known?,
        }
    }

    fn choose_in(&self, roster: Option<&Roster<'_>>, wish: &mut Wish) -> Result<bool> {
        let empty = Roster::parse("{}")?;
        let roster = roster.unwrap_or(&empty);
        let claims = claims(self.context, self.registry, self.anchor)?;
        if let (None, Standing::Ours(number)) = (wish.number, claims.standing(roster)) {
            wish.number = Some(number);
        }
        let number = match wish.number {
            Some(number) => number,
            None => match self.choose_number(roster, &claims, wish)? {
                Some(number) => number,
                None => return Ok(false),
            },
        };
        wish.number = Some(number);
        if roster.find(number).is_none() {
            say(&format!("Session {number} is new."));
            if wish.role.is_none() {
                wish.role = Some(ask("Role:")?).filter(|role| !role.is_empty());
            }
            if wish.goal.is_none() {
                wish.goal = Some(ask("Goal:")?);
            }
        }
        Ok(true)
    }

    /// Asks which session this is, until there is an answer; nothing for none.
    fn choose_number(
        &self,
        roster: &Roster<'_>,
        claims: &Claims<'_>,
        wish: &mut Wish,
    ) -> Result<Option<SessionNumber>> {
        let known = claims.own(roster);
        if let (Err(was), true) = (&known, claims.standing(roster) != Standing::Unknown) {
            let (first, rest) = was.split_at(was.chars().next().map_or(0, char::len_utf8));
            say(&format!("{}{}.", first.to_uppercase(), Escaped(rest)));
        }
        self.show(roster, &claims.identities)?;
        let Some(proposed) = known.ok().or_else(|| roster.next_free()) else { return Ok(None) };
        loop {
            let answer = ask(&format!("Which session is this terminal? [Enter: {proposed}, a number, or skip]"))?;
            let number = match answer.as_str() {
                "skip" => return Ok(None),
                "" => proposed,
                "new" => match roster.next_free() {
                    Some(number) => number,
                    None => return Ok(None),
                },
                text => match text.parse::<SessionNumber>() {
                    Ok(number) => number,
                    Err(invalid) => {
                        say(&format!("{}: {invalid}.", Escaped(text)));
                        continue;
                    }
                },
            };
            match claims.objection(roster, number) {
                None => return Ok(Some(number)),
                Some(Objection::Held(why)) => say(&format!("{}.", Escaped(&why))),
                Some(Objection::Unclaimed(why)) => {
                    if agrees(&format!("{}. Is it this terminal's?", Escaped(&why)))? {
                        wish.yes = true;
                        return Ok(Some(number));
                    }
                }
            }
        }
    }

    /// Shows who is there.
    fn show(&self, roster: &Roster<'_>, identities: &Identities) -> Result<()> {
        let timeout = self.context.config.settings.registry.timeout.duration();
        let (survey, _) = Survey::take(&self.registry.beats_folder(), roster, timeout, self.context.now);
        let nobody = Anchor::default();
        let view = ListView {
            now: self.context.now,
            base: self.registry.base().display().to_string(),
            timeout,
            survey: &survey,
            free: &roster.free(),
            holder: &|number| identities.holder(number, &nobody).map(|identity| identity.terminal.clone()),
            all: true,
        };
        view.to_stderr(self.context.output.style)?;
        Ok(())
    }
}
