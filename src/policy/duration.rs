//! Spans of time as people write and read them: `90m`, `2h`, `1h30m`, `7d`, `never`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// Unit letters and their seconds, the largest first.
const UNITS: [(char, u64); 5] = [('w', 604_800), ('d', 86_400), ('h', 3_600), ('m', 60), ('s', 1)];

/// A hundred years: more is a slip, and calendar arithmetic stays far from its limits.
const LONGEST: u64 = 36_500 * 86_400;

/// A span after which something happens, or `never`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Limit {
    /// It does not happen at all.
    Never,
    /// It happens when this much time has passed.
    After(Duration),
}

/// Why a text is no duration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{}{}", self.reason(), if *self == Self::NoWait { "" } else { ": write for example 90m, 2h, 7d or 1h30m" })]
pub(crate) enum InvalidDuration {
    /// No text, or text that does not start with a number.
    NoNumber,
    /// A number with nothing behind it.
    NoUnit,
    /// Letters that are no unit.
    UnknownUnit,
    /// `1.5h` and the like.
    Fraction,
    /// A minus sign.
    Negative,
    /// Zero in total.
    Zero,
    /// Zero, where there is a word for it.
    NoWait,
    /// A unit twice, or a larger one behind a smaller one.
    Order,
    /// Over a hundred years.
    TooLong,
}

impl InvalidDuration {
    /// What is wrong, without an example of what is right.
    pub(crate) const fn reason(self) -> &'static str {
        match self {
            Self::NoNumber => "not a duration",
            Self::NoUnit => "the unit is missing",
            Self::UnknownUnit => "unknown unit (known are s, m, h, d and w)",
            Self::Fraction => "fractions are not understood",
            Self::Negative => "a duration cannot be negative",
            Self::Zero => "a duration must be longer than zero",
            Self::NoWait => "a duration must be longer than zero: use `never` to not wait",
            Self::Order => "units must stand once each, the largest first",
            Self::TooLong => "longer than a hundred years",
        }
    }
}

impl Limit {
    /// The span; `None` for never.
    pub(crate) const fn duration(self) -> Option<Duration> {
        match self {
            Self::Never => None,
            Self::After(duration) => Some(duration),
        }
    }
}

impl FromStr for Limit {
    type Err = InvalidDuration;

    fn from_str(text: &str) -> Result<Self, InvalidDuration> {
        if text == "never" { Ok(Self::Never) } else { parse_duration(text).map(Self::After) }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Never => f.write_str("never"),
            Self::After(duration) => f.write_str(&format_duration(*duration)),
        }
    }
}

/// Parses how long to wait.
pub(crate) fn parse_wait(text: &str) -> Result<Limit, InvalidDuration> {
    text.parse().map_err(|invalid| if invalid == InvalidDuration::Zero { InvalidDuration::NoWait } else { invalid })
}

/// Parses whole numbers with units, the largest first: `45s`, `90m`, `1h30m`, `2w`.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, InvalidDuration> {
    if text.starts_with('-') {
        return Err(InvalidDuration::Negative);
    }
    let mut rest = text;
    let mut allowed = UNITS.as_slice();
    let mut seconds = 0_u64;
    loop {
        let unit_at = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let (digits, behind) = rest.split_at(unit_at);
        let Some(letter) = behind.chars().next() else {
            return Err(if digits.is_empty() { InvalidDuration::NoNumber } else { InvalidDuration::NoUnit });
        };
        if digits.is_empty() {
            return Err(InvalidDuration::NoNumber);
        }
        if matches!(letter, '.' | ',') {
            return Err(InvalidDuration::Fraction);
        }
        let unit_end = behind.find(|c: char| !c.is_alphabetic()).unwrap_or(behind.len());
        let known = |letter| UNITS.iter().any(|(known, _)| *known == letter);
        if unit_end != 1 || !known(letter) {
            return Err(InvalidDuration::UnknownUnit);
        }
        let position = allowed.iter().position(|(known, _)| *known == letter).ok_or(InvalidDuration::Order)?;
        let (_, unit) = allowed[position];
        allowed = &allowed[position + 1..];
        seconds = digits
            .parse::<u64>()
            .ok()
            .and_then(|count| count.checked_mul(unit))
            .and_then(|part| seconds.checked_add(part))
            .filter(|total| *total <= LONGEST)
            .ok_or(InvalidDuration::TooLong)?;
        rest = &behind[1..];
        if rest.is_empty() {
            break;
        }
    }
    if seconds == 0 { Err(InvalidDuration::Zero) } else { Ok(Duration::from_secs(seconds)) }
}

/// The exact form that [`parse_duration`] reads back, in days and smaller (`90d` rather than `12w6d`). Parts of a second
/// are left out.
pub(crate) fn format_duration(duration: Duration) -> String {
    let mut text = String::new();
    let mut seconds = duration.as_secs();
    for (letter, unit) in &UNITS[1..] {
        if seconds >= *unit {
            text.push_str(&(seconds / unit).to_string());
            text.push(*letter);
            seconds %= unit;
        }
    }
    if text.is_empty() { "0s".to_owned() } else { text }
}

/// Why a text is no number of hours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a number of hours between one second and a hundred years: write for example 2 or 0.5")]
pub(crate) struct InvalidHours;

/// Parses a number of hours without a unit (`2`, `0.5`), to the nearest second.
pub(crate) fn parse_hours(text: &str) -> Result<Duration, InvalidHours> {
    let seconds = (text.parse::<f64>().map_err(|_| InvalidHours)? * 3600.0).round();
    #[expect(clippy::cast_precision_loss, reason = "LONGEST is far below 2^52")]
    let possible = 1.0..=LONGEST as f64;
    // NaN is in no range.
    if possible.contains(&seconds) { Ok(Duration::from_secs(seconds as u64)) } else { Err(InvalidHours) }
}

/// How long ago something was, for tables: `42s`, `12m`, `16.2h`, `3.4d`, `182d`. At most five characters below 27 years.
///
/// Rounded down, so that what is shown as `2.0h` has lasted two hours.
pub(crate) fn format_age(age: Duration) -> String {
    let mut text = String::with_capacity(8);
    push_age(age, &mut text);
    text
}

/// The same, added to `line`; by hand, because a run may print a hundred thousand of them.
pub(crate) fn push_age(age: Duration, line: &mut String) {
    let seconds = age.as_secs();
    let (number, tenths, letter) = match seconds {
        0..60 => (seconds, None, 's'),
        60..3_600 => (seconds / 60, None, 'm'),
        3_600..86_400 => (seconds / 3_600, Some(seconds % 3_600 * 10 / 3_600), 'h'),
        86_400..8_640_000 => (seconds / 86_400, Some(seconds % 86_400 * 10 / 86_400), 'd'),
        _ => (seconds / 86_400, None, 'd'),
    };
    push_number(number, line);
    if let Some(tenths) = tenths {
        line.push('.');
        push_number(tenths, line);
    }
    line.push(letter);
}

fn push_number(number: u64, line: &mut String) {
    if number >= 10 {
        push_number(number / 10, line);
    }
    line.push((b'0' + (number % 10) as u8) as char);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn durations_are_read_in_every_unit() {
        for (text, seconds) in [
            ("30s", 30),
            ("90m", 5_400),
            ("2h", 7_200),
            ("7d", 604_800),
            ("2w", 1_209_600),
            ("1h30m", 5_400),
            ("1h0m", 3_600),
        ] {
            assert_eq!(text.parse(), Ok(Limit::After(Duration::from_secs(seconds))), "{text}");
        }
        assert_eq!("never".parse(), Ok(Limit::Never));
        assert_eq!(Limit::Never.duration(), None);
    }

    #[test]
    fn what_is_no_duration_is_refused_with_the_reason_and_an_example() {
        for (text, reason) in [
            ("", InvalidDuration::NoNumber),
            ("h", InvalidDuration::NoNumber),
            ("NaN", InvalidDuration::NoNumber),
            ("inf", InvalidDuration::NoNumber),
            (" 2h", InvalidDuration::NoNumber),
            ("Never", InvalidDuration::NoNumber),
            ("٣h", InvalidDuration::NoNumber),
            ("2", InvalidDuration::NoUnit),
            ("1h30", InvalidDuration::NoUnit),
            ("0", InvalidDuration::NoUnit),
            ("0h", InvalidDuration::Zero),
            ("0h0s", InvalidDuration::Zero),
            ("-2h", InvalidDuration::Negative),
            ("2y", InvalidDuration::UnknownUnit),
            ("2hours", InvalidDuration::UnknownUnit),
            ("2H", InvalidDuration::UnknownUnit),
            ("2 h", InvalidDuration::UnknownUnit),
            ("2é", InvalidDuration::UnknownUnit),
            ("1.5h", InvalidDuration::Fraction),
            ("30m1h", InvalidDuration::Order),
            ("1h1h", InvalidDuration::Order),
            ("36501d", InvalidDuration::TooLong),
            ("99999999999999999999s", InvalidDuration::TooLong),
            ("18446744073709551615w", InvalidDuration::TooLong),
        ] {
            assert_eq!(text.parse::<Limit>(), Err(reason), "{text:?}");
            assert!(reason.to_string().contains("2h"), "{reason}");
        }
    }

    #[test]
    fn who_does_not_want_to_wait_is_told_the_word_for_it() {
        assert_eq!(parse_wait("0s"), Err(InvalidDuration::NoWait));
        assert!(InvalidDuration::NoWait.to_string().ends_with("use `never` to not wait"));
        assert_eq!(parse_wait("never"), Ok(Limit::Never));
        assert_eq!(parse_wait("5"), Err(InvalidDuration::NoUnit));
    }

    #[test]
    fn the_shortest_exact_form_is_shown() {
        for (text, shown) in [
            ("2h", "2h"),
            ("90m", "1h30m"),
            ("120m", "2h"),
            ("24h", "1d"),
            ("90d", "90d"),
            ("2w", "14d"),
            ("61s", "1m1s"),
        ] {
            assert_eq!(text.parse::<Limit>().unwrap().to_string(), shown);
        }
        assert_eq!(Limit::Never.to_string(), "never");
    }

    #[test]
    fn hours_are_finite_positive_and_bounded() {
        assert_eq!(parse_hours("2"), Ok(Duration::from_secs(7_200)));
        assert_eq!(parse_hours("0.5"), Ok(Duration::from_secs(1_800)));
        assert_eq!(parse_hours("876000"), Ok(Duration::from_secs(LONGEST)));
        for text in ["0", "-1", "NaN", "inf", "-inf", "1e300", "876001", "0.0000001", "", "2h", " 2"] {
            assert_eq!(parse_hours(text), Err(InvalidHours), "{text:?}");
        }
    }

    #[test]
    fn ages_are_short_and_rounded_down() {
        for (seconds, shown) in [
            (0, "0s"),
            (42, "42s"),
            (59, "59s"),
            (60, "1m"),
            (779, "12m"),
            (3_599, "59m"),
            (3_600, "1.0h"),
            (7_199, "1.9h"),
            (58_320, "16.2h"),
            (86_399, "23.9h"),
            (86_400, "1.0d"),
            (293_760, "3.4d"),
            (8_639_999, "99.9d"),
            (15_724_800, "182d"),
        ] {
            assert_eq!(format_age(Duration::from_secs(seconds)), shown);
        }
        assert_eq!(format_age(Duration::MAX), "213503982334601d");
    }

    proptest! {
        #[test]
        fn every_duration_survives_the_round_trip(seconds in 1..=LONGEST) {
            let limit = Limit::After(Duration::from_secs(seconds));
            prop_assert_eq!(limit.to_string().parse(), Ok(limit));
        }

        #[test]
        fn no_text_makes_the_parser_fail_otherwise(text in "\\PC{0,12}") {
            if let Ok(Limit::After(duration)) = text.parse() {
                prop_assert!(duration.as_secs() >= 1 && duration.as_secs() <= LONGEST);
            }
        }

        #[test]
        fn ages_below_27_years_fit_in_five_characters(seconds in 0..9_999_u64 * 86_400) {
            prop_assert!(format_age(Duration::from_secs(seconds)).len() <= 5);
        }
    }
}
