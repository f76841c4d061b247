//! The OpenMetrics text format, as far as it is needed here.
//!
//! Two readers have to understand it: parsers of OpenMetrics, and `node_exporter`'s textfile collector, which reads the older
//! Prometheus format. So a text has no type that only the newer one knows (`info` is a gauge of 1), no timestamps and no
//! exemplars; `# EOF` and `# UNIT` are comments to the older one.

use std::fmt::{Display, Write as _};

/// What kind of numbers a family has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// It only grows, but for a start of the program; its samples are called `_total`.
    Counter,
    Gauge,
}

/// A metric with all its samples: name without `_total`, unit (the last part of the name), and what it means.
pub(super) struct Family {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) unit: Option<&'static str>,
    pub(super) help: &'static str,
}

/// One number and its labels.
pub(super) struct Sample<'s> {
    pub(super) labels: Vec<(&'static str, &'s str)>,
    pub(super) value: String,
}

impl<'s> Sample<'s> {
    pub(super) fn new<const N: usize>(labels: [(&'static str, &'s str); N], value: impl Display) -> Self {
        Self { labels: labels.to_vec(), value: format!("{value}") }
    }
}

/// A text of families; complete with its end.
pub(super) struct Text<'t> {
    written: String,
    /// What every sample has as its last label.
    constant: (&'static str, &'t str),
}

impl<'t> Text<'t> {
    /// One whose samples all have this label.
    pub(super) const fn with(constant: (&'static str, &'t str)) -> Self {
        Self { written: String::new(), constant }
    }

    /// Adds a family; one without samples is left out.
    pub(super) fn add<'s>(&mut self, family: &Family, samples: impl IntoIterator<Item = Sample<'s>>) {
        let Family { name, kind, unit, help } = family;
        let mut samples = samples.into_iter().peekable();
        if samples.peek().is_none() {
            return;
        }
        let (kind_name, suffix) = match kind {
            Kind::Counter => ("counter", "_total"),
            Kind::Gauge => ("gauge", ""),
        };
        // Writing to a string does not fail.
        let _ = writeln!(self.written, "# TYPE {name} {kind_name}");
        if let Some(unit) = unit {
            let _ = writeln!(self.written, "# UNIT {name} {unit}");
        }
        let _ = writeln!(self.written, "# HELP {name} {}", escaped(help));
        for Sample { labels, value } in samples {
            let labels = labels.iter().chain([&self.constant]);
            let labels: Vec<String> = labels.map(|(label, text)| format!("{label}=\"{}\"", escaped(text))).collect();
            let _ = writeln!(self.written, "{name}{suffix}{{{}}} {value}", labels.join(","));
        }
    }

    /// The whole text.
    pub(super) fn end(mut self) -> String {
        self.written.push_str("# EOF\n");
        self.written
    }
}

fn escaped(text: &str) -> String {
    text.replace('\\', r"\\").replace('"', "\\\"").replace('\n', r"\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_escaped_and_a_family_without_samples_is_left_out() {
        let family = Family { name: "x", kind: Kind::Counter, unit: None, help: "What \\ is." };
        let mut text = Text::with(("folder", "/a \"b\"\\\n"));
        text.add(&family, [Sample::new([("a", "\"\n\\"), ("b", "c")], 3), Sample::new([], 4)]);
        text.add(&family, []);
        let expected = r#"# TYPE x counter
# HELP x What \\ is.
x_total{a="\"\n\\",b="c",folder="/a \"b\"\\\n"} 3
x_total{folder="/a \"b\"\\\n"} 4
# EOF
"#;
        assert_eq!(text.end(), expected);
    }
}
