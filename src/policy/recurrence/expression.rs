//! A whole cron expression: its fields, and the same for croner.

use croner::parser::{CronParser, Seconds, Year};

use super::Recurrence;
use super::field::{self, KINDS, Values, WEEKDAY, shortened};

/// The longest expression that is looked at; each minute of an hour by name takes 169.
const LONGEST: usize = 1_024;

/// The names of whole expressions, as they are and without blanks around them.
const NICKNAMES: [(&str, &str); 10] = [
    ("@yearly", "0 0 0 1 1 *"),
    ("@annually", "0 0 0 1 1 *"),
    ("@monthly", "0 0 0 1 * *"),
    ("@weekly", "0 0 0 * * 0"),
    ("@daily", "0 0 0 * * *"),
    ("@hourly", "0 0 * * * *"),
    ("@minutely", "0 * * * * *"),
    ("@secondly", "* * * * * *"),
    ("@weekdays", "0 0 0 * * 1-5"),
    ("@weekends", "0 0 0 * * 0,6"),
];

/// How long each month is in a leap year.
const LENGTHS: [u64; 12] = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

/// Reads an expression.
pub(super) fn parse(expression: &str, seed: &str) -> Result<Recurrence, String> {
    if expression.len() > LONGEST {
        return Err(format!("it is longer than {LONGEST} bytes"));
    }
    let nickname = NICKNAMES.iter().find(|(name, _)| *name == expression).map(|(_, meaning)| *meaning);
    let texts = fields(nickname.unwrap_or(expression))?;
    let (weekday, week) = nth(texts[WEEKDAY])?;
    let mut fields: [Values; 6] = Default::default();
    for (index, values) in fields.iter_mut().enumerate() {
        let text = if index == WEEKDAY { weekday } else { texts[index] };
        *values = field::read(index, text, chance(seed, index))?;
    }
    let any = |index: usize| matches!(texts[index], "*" | "?");
    let [second, minute, hour, day, month, weekday] = &fields;
    if !any(3) && !day.has_last && is_never(day, month, any(WEEKDAY)) {
        return Err("no month that it names has such a day".to_owned());
    }
    let every_hour = hour.each().count() == 24;
    let list = |values: &Values, any: bool| if any { "*".to_owned() } else { values.list() };
    let last_day = (day.has_last && !any(3)).then(|| "L".to_owned());
    let days = joined(list(day, any(3)), last_day);
    let lasts = weekday.lasts.iter().map(|last| format!("{}L", last % 7));
    let weekdays = joined(list(weekday, any(WEEKDAY)), lasts);
    let pattern =
        [list(second, false), list(minute, false), list(hour, every_hour), days, list(month, false), weekdays];
    let parser = CronParser::builder().seconds(Seconds::Required).year(Year::Disallowed).build();
    let cron = parser.parse(&pattern.join(" ")).map_err(|error| error.to_string())?;
    Ok(Recurrence { cron, every_hour, week })
}

/// The texts of the six fields. Of five, the seconds are missing, and more from the left the fewer there are.
fn fields(expression: &str) -> Result<[&str; 6], String> {
    let expression = if expression.is_empty() { "* * * * *" } else { expression };
    let given: Vec<&str> = expression.split(is_blank).filter(|text| !text.is_empty()).collect();
    let mut texts = ["*", "*", "*", "*", "*", "0"];
    match given.len() {
        0..3 => return Err(format!("{:?} is no cron expression", shortened(expression))),
        count @ 3..=6 => {
            texts.rotate_left(count);
            texts[6 - count..].copy_from_slice(&given);
        }
        count => return Err(format!("it has {count} fields, which is more than six")),
    }
    Ok(texts)
}

/// What separates fields: JavaScript's blanks.
fn is_blank(character: char) -> bool {
    (character.is_whitespace() && character != '\u{85}') || character == '\u{feff}'
}

/// Parts `1#2`, the second Monday, into the day of the week and the week.
fn nth(weekday: &str) -> Result<(&str, Option<u32>), String> {
    let Some((day, week)) = weekday.split_once('#') else { return Ok((weekday, None)) };
    let number = week.strip_prefix('+').unwrap_or(week).trim_start_matches('0');
    let number = number.parse().ok().filter(|number| (1..=5).contains(number));
    let number = number.filter(|_| !weekday.contains([',', '-', '/', '.']));
    number.map(|number| (day, Some(number))).ok_or_else(|| {
        let shown = shortened(weekday);
        format!("the {} has {shown:?}, which is not one day and which of a month", KINDS[WEEKDAY].name)
    })
}

/// Whether no day of the month is a day of a month that is named. With a day of the week besides, it still comes at that,
/// but where there is one month only: then it is refused all the same.
fn is_never(day: &Values, month: &Values, any_weekday: bool) -> bool {
    let fits = |month: u64| day.each().any(|day| day <= LENGTHS[month as usize - 1]);
    !month.each().any(fits) && (any_weekday || month.each().count() == 1)
}

/// A list for croner.
fn joined(first: String, others: impl IntoIterator<Item = String>) -> String {
    let parts = std::iter::once(first).chain(others).filter(|part| !part.is_empty());
    parts.collect::<Vec<_>>().join(",")
}

/// A number for one field of one series, spread over all there are.
fn chance(seed: &str, index: usize) -> u64 {
    // FNV-1a, and then two rounds of mixing, because the seeds differ in little.
    let bytes = seed.bytes().chain([index as u8]);
    let hash = bytes
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
    let hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}
