//! One field of a cron expression: from its text to the values that it allows.

/// What a field may say.
pub(super) struct Kind {
    /// What people call it.
    pub(super) name: &'static str,
    /// Its least value.
    pub(super) least: u64,
    /// Its greatest value; a day of the week has both 0 and 7 for Sunday.
    pub(super) most: u64,
    /// The greatest value of an `H`: each month has it, and no day of the week is likelier than another.
    hashed_most: u64,
    /// Whether it knows `L`.
    last: bool,
    /// Whether it knows the names of months and days.
    names: bool,
}

/// Seconds, minutes, hours, days of the month, months, days of the week.
pub(super) const KINDS: [Kind; 6] = [
    Kind { name: "second", least: 0, most: 59, hashed_most: 59, last: false, names: false },
    Kind { name: "minute", least: 0, most: 59, hashed_most: 59, last: false, names: false },
    Kind { name: "hour", least: 0, most: 23, hashed_most: 23, last: false, names: false },
    Kind { name: "day of the month", least: 1, most: 31, hashed_most: 28, last: true, names: false },
    Kind { name: "month", least: 1, most: 12, hashed_most: 12, last: false, names: true },
    Kind { name: "day of the week", least: 0, most: 7, hashed_most: 6, last: true, names: true },
];
/// The index of the days of the week.
pub(super) const WEEKDAY: usize = 5;

/// The names in the order of their numbers, the days of the week (from 0) after the months (from 1).
const NAMES: [&str; 19] = [
    "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec", "sun", "mon", "tue", "wed",
    "thu", "fri", "sat",
];
/// How many months there are among them.
const MONTHS: usize = 12;
/// What a number that is too large for any field counts as.
const HUGE: u64 = 1_000_000;

/// What a field allows.
#[derive(Debug, Default)]
pub(super) struct Values {
    /// One bit for each value; Sunday is 0.
    pub(super) numbers: u64,
    /// The values before an `L`: days of the week of which the last in a month counts.
    pub(super) lasts: Vec<u64>,
    /// There is an `L` at all.
    pub(super) has_last: bool,
}

impl Values {
    /// The numbers in ascending order.
    pub(super) fn each(&self) -> impl Iterator<Item = u64> {
        let numbers = self.numbers;
        (0..u64::from(u64::BITS)).filter(move |number| numbers & (1 << number) != 0)
    }

    /// The numbers between commas.
    pub(super) fn list(&self) -> String {
        self.each().map(|number| number.to_string()).collect::<Vec<_>>().join(",")
    }
}

/// Reads the text of the field `index` of [`KINDS`]. `chance` is the field's own number of 64 bits, for an `H`.
pub(super) fn read(index: usize, text: &str, chance: u64) -> Result<Values, String> {
    let kind = &KINDS[index];
    let hashed = text.contains('H');
    let text = expand(kind, text, chance)?;
    let mut found = Found { has_last: kind.last && text.contains('L'), ..Found::default() };
    for item in text.split(',') {
        read_item(index, item, &mut found)?;
    }
    found.into_values(kind, hashed)
}

/// The text with a number for each name, and a range or a list for `*`, `?` and `H`.
///
/// They are put into the text before anything is told apart in it: `5*` is `50-59`.
pub(super) fn expand(kind: &Kind, text: &str, chance: u64) -> Result<String, String> {
    let text = if kind.names { numbers_for_names(text)? } else { text.to_owned() };
    let mut expanded = String::new();
    let mut rest = text.as_str();
    while let Some(first) = rest.chars().next() {
        rest = &rest[first.len_utf8()..];
        match first {
            '*' | '?' => expanded.extend([kind.least.to_string(), "-".to_owned(), kind.most.to_string()]),
            'H' => {
                let range = number_range(&mut rest);
                let step = step(&mut rest);
                expanded.push_str(&hashed(kind, range, step, chance)?);
            }
            'L' if kind.last => expanded.push(first),
            '0'..='9' | ',' | '/' | '-' => expanded.push(first),
            _ => return Err(format!("the {} cannot have the character {first:?}", kind.name)),
        }
    }
    Ok(expanded)
}

/// The text with a number for each name of a month or a day: three letters of any case, wherever they are.
fn numbers_for_names(text: &str) -> Result<String, String> {
    let mut replaced = String::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let name = rest.get(..3).filter(|name| name.bytes().all(|byte| byte.is_ascii_alphabetic()));
        let Some(name) = name else {
            replaced.push(first);
            rest = &rest[first.len_utf8()..];
            continue;
        };
        let place = NAMES.iter().position(|known| known.eq_ignore_ascii_case(name));
        let place = place.ok_or_else(|| format!("{name:?} is no month and no day of the week"))?;
        replaced.push_str(&if place < MONTHS { place + 1 } else { place - MONTHS }.to_string());
        rest = &rest[3..];
    }
    Ok(replaced)
}

/// Takes `(5-9)` from the front of `rest`.
fn number_range(rest: &mut &str) -> Option<(u64, u64)> {
    let (inside, after) = rest.strip_prefix('(')?.split_once(')')?;
    let (least, most) = inside.split_once('-')?;
    let range = (whole_number(least)?, whole_number(most)?);
    *rest = after;
    Some(range)
}

/// Takes `/5` from the front of `rest`.
fn step(rest: &mut &str) -> Option<u64> {
    let after = rest.strip_prefix('/')?;
    let digits = after.len() - after.trim_start_matches(|first: char| first.is_ascii_digit()).len();
    let step = whole_number(&after[..digits])?;
    *rest = &after[digits..];
    Some(step)
}

/// What an `H` stands for: one value, or each `step` one from a place of its own.
fn hashed(kind: &Kind, range: Option<(u64, u64)>, step: Option<u64>, chance: u64) -> Result<String, String> {
    let of = |count: u64| ((u128::from(chance) * u128::from(count)) >> u64::BITS) as u64;
    let Some(step) = step else {
        let (least, most) = range.unwrap_or((kind.least, kind.hashed_most));
        if least > most {
            return Err(format!("the {}'s range {least}-{most} goes backwards", kind.name));
        }
        return Ok((least + of(most - least + 1)).to_string());
    };
    let (least, most) = range.unwrap_or((kind.least, kind.most));
    if least > most || step == 0 {
        return Err(format!("the {} cannot be each {step}th of {least}-{most}", kind.name));
    }
    let least = least.max(kind.least);
    let mut value = least / step * step + of(step);
    let mut values = Vec::new();
    // The first one above what the field allows is enough to be refused.
    while value <= most && values.last().is_none_or(|last| *last <= kind.most) {
        if value >= least {
            values.push(value);
        }
        value += step;
    }
    Ok(values.iter().map(u64::to_string).collect::<Vec<_>>().join(","))
}

/// What was found in a field so far.
#[derive(Default)]
struct Found {
    numbers: u64,
    twice: u64,
    lasts: Vec<String>,
    has_last: bool,
}

impl Found {
    fn add(&mut self, number: u64) {
        self.twice |= self.numbers & (1 << number);
        self.numbers |= 1 << number;
    }

    /// What is named twice is refused; only a 0 may be, and makes up for others. That an `H` stands for what is named
    /// besides is no fault of the expression.
    fn into_values(self, kind: &Kind, hashed: bool) -> Result<Values, String> {
        let twice = self.lasts.iter().enumerate().find(|(place, last)| self.lasts[..*place].contains(last));
        let twice = match self.twice {
            0 => twice.map(|(_, last)| last.clone()),
            numbers => Some(numbers.trailing_zeros().to_string()).filter(|number| number != "0"),
        };
        if let Some(twice) = twice.filter(|_| !hashed) {
            return Err(format!("the {} names {twice} twice", kind.name));
        }
        let lasts = self.lasts.iter().filter_map(|last| leading_number(last)).collect();
        Ok(Values { numbers: self.numbers, lasts, has_last: self.has_last })
    }
}

/// Reads what is between two commas.
fn read_item(index: usize, item: &str, found: &mut Found) -> Result<(), String> {
    let kind = &KINDS[index];
    let shown = || if item.is_empty() { "nothing".to_owned() } else { format!("{:?}", shortened(item)) };
    let wrong = |why: &str| Err(format!("the {} has {}, {why}", kind.name, shown()));
    if item.is_empty() {
        return wrong("where a value is due");
    }
    let mut parts = item.split('/');
    let (of, step) = (parts.next().unwrap_or_default(), parts.next());
    if parts.next().is_some() {
        return wrong("which has two steps");
    }
    let open = step.is_some() && leading_number(of).is_some() && !of.contains('-');
    let range = if open { Some((leading_number(of), Some(kind.most))) } else { None };
    let mut ends = of.split('-').map(leading_number);
    let range = range.or_else(|| of.contains('-').then(|| (ends.next().flatten(), ends.next().flatten())));
    let Some(range) = range else {
        // Here a step says nothing.
        return read_one(index, of, found).or_else(|why| wrong(&why));
    };
    let step = step.map_or(Some(1), leading_number).filter(|step| *step > 0);
    let (Some(least), Some(most), Some(step)) = (range.0, range.1, step) else {
        return wrong("which is no range");
    };
    if least < kind.least || most > kind.most {
        return wrong(&format!("which is not within {}-{}", kind.least, kind.most));
    }
    if least > most {
        return wrong("which goes backwards");
    }
    let step = usize::try_from(step).unwrap_or(usize::MAX);
    let values = (least..=most).step_by(step);
    if index == WEEKDAY && most % 7 == 0 {
        // Whatever the step, a range up to Sunday has it.
        found.add(0);
        values.filter(|value| value % 7 != 0).for_each(|value| found.add(value));
    } else {
        values.for_each(|value| found.add(value));
    }
    Ok(())
}

/// Reads a single value.
fn read_one(index: usize, text: &str, found: &mut Found) -> Result<(), String> {
    let kind = &KINDS[index];
    if let Some(digits) = text.strip_suffix('L').filter(|_| kind.last) {
        let is_number = digits.len() <= 2 && digits.bytes().all(|byte| byte.is_ascii_digit());
        if !is_number || (index == WEEKDAY && digits.is_empty()) {
            return Err("which is no last day".to_owned());
        }
        found.lasts.push(text.to_owned());
        return Ok(());
    }
    // Before a slash there may be nothing, which is 0.
    let number = if text.is_empty() { Some(0) } else { whole_number(text) };
    let number = number.filter(|number| (kind.least..=kind.most).contains(number));
    let number = number.ok_or_else(|| format!("which is not within {}-{}", kind.least, kind.most))?;
    found.add(if index == WEEKDAY { number % 7 } else { number });
    Ok(())
}

/// The number of a text of digits.
fn whole_number(text: &str) -> Option<u64> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().unwrap_or(HUGE).min(HUGE))
}

/// The number that a text begins with.
fn leading_number(text: &str) -> Option<u64> {
    let digits = text.len() - text.trim_start_matches(|first: char| first.is_ascii_digit()).len();
    whole_number(&text[..digits])
}

/// The beginning of a text, for a message.
pub(super) fn shortened(text: &str) -> &str {
    text.char_indices().nth(40).map_or(text, |(end, _)| &text[..end])
}
