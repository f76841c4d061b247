//! One step in words: what is done to what, and why, or why it was not.

use std::io::{self, Write};

use super::parts::{End, Session, Told};
use crate::output::style::{Style, Tone};
use crate::output::wrapped::write_words;
use crate::policy::duration::format_age;
use crate::policy::timestamp::Timestamp;
use crate::sweep::queues::applied::Outcome;
use crate::sweep::queues::plan::{Action, Liveness, SessionItem, Step};

/// The columns before what is said of a step.
pub(super) const INDENT: usize = 16;
/// So many of the messages whose claims are removed are named.
const NAMED: usize = 3;

/// Writes the verb in front of what is said behind it.
pub(super) fn write_verb(out: &mut dyn Write, style: Style, tone: Tone, verb: &str) -> io::Result<()> {
    write!(out, "  {}  ", style.paint(tone, format!("{verb:<12}")))
}

/// One step in one or more lines.
pub(super) fn write_step(
    out: &mut dyn Write,
    style: Style,
    told: Told<'_>,
    session: Session<'_>,
    (step, end): (&Step, End<'_>),
) -> io::Result<()> {
    let (plain, past) = verbs(&step.action);
    let mut words = Words::default();
    if let End::Came(outcome) = end
        && let Some(why) = outcome.why()
    {
        write_verb(out, style, tone_of(outcome), word_of(outcome))?;
        words.say(plain);
        words.object(&step.action, session.item);
        words.because(why);
    } else {
        let tone = match (end, &step.action) {
            (End::ToHost, _) => Tone::Quiet,
            (_, Action::Fail { .. } | Action::Park { .. }) => Tone::Attention,
            _ => Tone::Change,
        };
        write_verb(out, style, tone, if end.is_done() { past } else { plain })?;
        match &step.action {
            // The reason names it.
            Action::RollBack { .. } => words.say(&step.reason),
            Action::Wake { due } => words.say(&counted(*due, &step.reason)),
            action => {
                words.object(action, session.item);
                words.because(&step.reason);
                words.consequence(action, told);
            }
        }
    }
    words.write(out)
}

/// What is said of a container that was to be stopped.
pub(super) fn write_stop(
    out: &mut dyn Write,
    style: Style,
    (name, reason): (&str, &str),
    end: End<'_>,
) -> io::Result<()> {
    let mut words = Words::default();
    let why = match end {
        End::Came(outcome) => outcome.why().map(|why| (outcome, why)),
        End::Planned | End::ToHost => None,
    };
    let tone = if end == End::ToHost { Tone::Quiet } else { Tone::Change };
    match why {
        Some((outcome, _)) => write_verb(out, style, tone_of(outcome), word_of(outcome))?,
        None => write_verb(out, style, tone, if end.is_done() { "stopped" } else { "stop" })?,
    }
    words.say(if why.is_some() { "stop container" } else { "container" });
    words.whole(name);
    words.because(why.map_or(reason, |(_, why)| why));
    words.write(out)
}

/// What is done, as it is planned and as it is done.
const fn verbs(action: &Action) -> (&'static str, &'static str) {
    match action {
        Action::RollBack { .. } => ("roll back", "rolled back"),
        Action::Stop { .. } => ("stop", "stopped"),
        Action::Acknowledge { .. } => ("acknowledge", "acknowledged"),
        Action::Retry { .. } => ("retry", "retried"),
        Action::Fail { .. } => ("fail", "failed"),
        Action::ClearClaims { .. } => ("clear", "cleared"),
        Action::Recur { .. } => ("plan", "planned"),
        Action::Disarm { .. } => ("take off", "taken off"),
        Action::Park { .. } => ("park", "parked"),
        Action::Wake { .. } => ("wake", "woken"),
    }
}

/// What is said in place of a verb where something did not come about.
const fn word_of(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Done => "done",
        Outcome::Changed(_) | Outcome::Left(_) => "left",
        Outcome::Refused(_) => "refused",
        Outcome::Failed(_) => "error",
    }
}

const fn tone_of(outcome: &Outcome) -> Tone {
    match outcome {
        Outcome::Done => Tone::Change,
        Outcome::Changed(_) | Outcome::Left(_) => Tone::Quiet,
        Outcome::Refused(_) | Outcome::Failed(_) => Tone::Attention,
    }
}

/// Words of a line; ids and expressions stay whole, whatever is in them.
#[derive(Default)]
struct Words(Vec<String>);

impl Words {
    fn say(&mut self, text: &str) {
        self.0.extend(text.split(' ').map(str::to_owned));
    }

    fn whole(&mut self, value: &str) {
        self.0.push(value.to_owned());
    }

    /// Puts something right behind the last word.
    fn mark(&mut self, mark: &str) {
        if let Some(last) = self.0.last_mut() {
            last.push_str(mark);
        }
    }

    fn because(&mut self, why: &str) {
        self.mark(":");
        self.say(why);
    }

    fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        write_words(out, self.0.iter().map(String::as_str), INDENT, INDENT)
    }

    fn list<'n>(&mut self, names: impl ExactSizeIterator<Item = &'n str>) {
        let more = names.len().saturating_sub(NAMED);
        for (at, name) in names.take(NAMED).enumerate() {
            if at > 0 {
                self.mark(",");
            }
            self.whole(name);
        }
        if more > 0 {
            self.say(&format!("and {more} more"));
        }
    }

    /// What it is done to.
    fn object(&mut self, action: &Action, session: &SessionItem) {
        match action {
            Action::RollBack { database } => self.whole(database),
            Action::Stop { containers } => {
                self.say(if containers.len() == 1 { "container" } else { "containers" });
                let names: Vec<&str> = containers.iter().map(|id| name_of(id, session)).collect();
                self.list(names.into_iter());
            }
            Action::Acknowledge { message, status } => {
                self.say("message");
                self.whole(message);
                self.say(&format!("as {}", status.name()));
            }
            Action::Retry { message, .. } | Action::Fail { message, .. } => {
                self.say("message");
                self.whole(message);
            }
            Action::ClearClaims { claims } => {
                self.say(if claims.len() == 1 { "claim of" } else { "claims of" });
                self.list(claims.iter().map(|(message, _)| message.as_str()));
            }
            Action::Recur { message, expression, .. }
            | Action::Disarm { message, expression }
            | Action::Park { message, expression } => {
                self.say("task");
                self.whole(message);
                self.whole(&format!("({expression:?})"));
            }
            Action::Wake { due } => self.say(&format!("for {due} message{}", if *due == 1 { "" } else { "s" })),
        }
    }

    /// What follows from it.
    fn consequence(&mut self, action: &Action, told: Told<'_>) {
        match action {
            Action::Retry { tries, at, .. } => {
                let again = told.until(*at).map_or("now".to_owned(), |time| format!("in {}", format_age(time)));
                self.mark(";");
                self.say(&format!("tried {tries} of {} times, again {again}", told.plan.thresholds.tries));
            }
            Action::Recur { next, is_paused: false, .. } => {
                let mut moment = String::new();
                Timestamp(*next).push_short_to(&mut moment);
                self.mark(";");
                self.say(&format!("next run {moment}"));
            }
            _ => {}
        }
    }
}

/// `2 messages are due` of `messages are due`.
fn counted(due: usize, reason: &str) -> String {
    match (due, reason.strip_prefix("messages are ")) {
        (1, Some(rest)) => format!("1 message is {rest}"),
        (_, Some(rest)) => format!("{due} messages are {rest}"),
        (_, None) => format!("{due} due: {reason}"),
    }
}

/// What a session's container is called.
fn name_of<'n>(id: &'n str, session: &'n SessionItem) -> &'n str {
    let Liveness::Known(containers) = &session.liveness else { return id };
    let found = containers.iter().find(|container| container.id == id).filter(|container| !container.name.is_empty());
    found.map_or(id, |container| &container.name)
}
