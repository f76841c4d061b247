//! Sizes as people write and read them: `500mb`, `10gb`, `2gib`, `unlimited`.

use std::fmt;
use std::str::FromStr;

/// Units and their bytes, the largest first; as in [`fmt::Display`] a `kb` is 1000 bytes.
const UNITS: [(&str, u64); 9] = [
    ("tib", 1 << 40),
    ("tb", 1_000_000_000_000),
    ("gib", 1 << 30),
    ("gb", 1_000_000_000),
    ("mib", 1 << 20),
    ("mb", 1_000_000),
    ("kib", 1 << 10),
    ("kb", 1_000),
    ("b", 1),
];

/// How much something may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Budget {
    /// As much as it likes.
    Unlimited,
    /// So many bytes.
    AtMost(u64),
}

/// Why a text is no size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{}: write for example 500mb, 10gb or unlimited", self.reason())]
pub(crate) enum InvalidSize {
    /// No text, or text that does not start with a number.
    NoNumber,
    /// A number with nothing behind it.
    NoUnit,
    /// Letters that are no unit.
    UnknownUnit,
    /// `1.5gb` and the like.
    Fraction,
    /// A minus sign.
    Negative,
    /// Nothing at all would fit.
    Zero,
    /// More than a file system holds.
    TooLarge,
}

impl InvalidSize {
    /// What is wrong, without an example of what is right.
    pub(crate) const fn reason(self) -> &'static str {
        match self {
            Self::NoNumber => "not a size",
            Self::NoUnit => "the unit is missing",
            Self::UnknownUnit => "unknown unit (known are b, kb, mb, gb, tb and kib, mib, gib, tib)",
            Self::Fraction => "fractions are not understood",
            Self::Negative => "a size cannot be negative",
            Self::Zero => "a size must be more than zero",
            Self::TooLarge => "larger than any disk",
        }
    }
}

impl Budget {
    /// The bytes; `None` without a limit.
    pub(crate) const fn bytes(self) -> Option<u64> {
        match self {
            Self::Unlimited => None,
            Self::AtMost(bytes) => Some(bytes),
        }
    }
}

impl FromStr for Budget {
    type Err = InvalidSize;

    fn from_str(text: &str) -> Result<Self, InvalidSize> {
        if text == "unlimited" {
            return Ok(Self::Unlimited);
        }
        if text.starts_with('-') {
            return Err(InvalidSize::Negative);
        }
        let (digits, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
        if digits.is_empty() {
            return Err(InvalidSize::NoNumber);
        }
        let unit = unit.trim_start().to_ascii_lowercase();
        if unit.is_empty() {
            return Err(InvalidSize::NoUnit);
        }
        if unit.starts_with(['.', ',']) {
            return Err(InvalidSize::Fraction);
        }
        let (_, bytes) = UNITS.iter().find(|(name, _)| *name == unit).ok_or(InvalidSize::UnknownUnit)?;
        let number: u64 = digits.parse().map_err(|_| InvalidSize::TooLarge)?;
        match number.checked_mul(*bytes).ok_or(InvalidSize::TooLarge)? {
            0 => Err(InvalidSize::Zero),
            // A file's size is a signed number to the kernel.
            bytes if i64::try_from(bytes).is_err() => Err(InvalidSize::TooLarge),
            bytes => Ok(Self::AtMost(bytes)),
        }
    }
}

impl fmt::Display for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(bytes) = self.bytes() else { return f.write_str("unlimited") };
        let whole = |(_, unit): &&(&str, u64)| bytes.is_multiple_of(*unit);
        // The last one always divides.
        let (name, unit) = UNITS.iter().find(whole).copied().unwrap_or(("b", 1));
        write!(f, "{}{name}", bytes / unit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_and_written_back() {
        for (text, bytes) in
            [("1b", 1), ("10gb", 10_000_000_000), ("500mb", 500_000_000), ("2gib", 2 << 30), ("3 KB", 3_000)]
        {
            let size: Budget = text.parse().unwrap();
            assert_eq!(size.bytes(), Some(bytes), "{text}");
            assert_eq!(size.to_string().parse(), Ok(size), "{text}");
        }
        assert_eq!("unlimited".parse::<Budget>().unwrap().to_string(), "unlimited");
    }

    #[test]
    fn what_is_no_size_is_refused_with_the_reason() {
        for (text, expected) in [
            ("", InvalidSize::NoNumber),
            ("big", InvalidSize::NoNumber),
            ("10", InvalidSize::NoUnit),
            ("10x", InvalidSize::UnknownUnit),
            ("1.5gb", InvalidSize::Fraction),
            ("-1gb", InvalidSize::Negative),
            ("0mb", InvalidSize::Zero),
            ("99999999999999999999b", InvalidSize::TooLarge),
            ("9999999999tb", InvalidSize::TooLarge),
            ("9300000tb", InvalidSize::TooLarge),
        ] {
            assert_eq!(text.parse::<Budget>(), Err(expected), "{text}");
        }
    }
}
