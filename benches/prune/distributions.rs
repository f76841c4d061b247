//! What the generator draws: sizes, ages, choices and ids.

use std::f64::consts::TAU;

use crate::common::random::Random;

impl Random {
    /// True with probability `p`.
    pub(crate) fn chance(&mut self, p: f64) -> bool {
        self.unit() < p
    }

    /// An exponentially distributed number with this mean.
    pub(crate) fn exponential(&mut self, mean: f64) -> f64 {
        -(1.0 - self.unit()).ln() * mean
    }

    /// A normally distributed number.
    pub(crate) fn normal(&mut self, mean: f64, deviation: f64) -> f64 {
        let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
        mean + deviation * radius * (TAU * self.unit()).cos()
    }

    /// Chooses exactly `wanted` of `total` positions, in order.
    pub(crate) fn choose(&mut self, total: usize, wanted: usize) -> Vec<bool> {
        let mut open = wanted;
        (0..total)
            .map(|position| {
                let chosen = self.below(total - position) < open;
                open -= usize::from(chosen);
                chosen
            })
            .collect()
    }

    /// A random (version 4) UUID.
    pub(crate) fn uuid_v4(&mut self) -> String {
        let (high, low) = (self.bits(), self.bits());
        uuid(high, low, 4)
    }

    /// A time-ordered (version 7) UUID of this Unix time.
    pub(crate) fn uuid_v7(&mut self, seconds: f64) -> String {
        let (noise, low) = (self.bits(), self.bits());
        uuid(((seconds * 1000.0) as u64) << 16 | noise & 0xFFFF, low, 7)
    }

    /// So many random hexadecimal digits.
    pub(crate) fn hex(&mut self, digits: usize) -> String {
        (0..digits).map(|_| char::from(b"0123456789abcdef"[self.below(16)])).collect()
    }
}

fn uuid(high: u64, low: u64, version: u64) -> String {
    let variant = 0x8 | (low >> 60) & 0x3;
    format!(
        "{:08x}-{:04x}-{version:x}{:03x}-{variant:x}{:03x}-{:012x}",
        high >> 32,
        high >> 16 & 0xFFFF,
        high & 0xFFF,
        low >> 48 & 0xFFF,
        low & 0xFFFF_FFFF_FFFF,
    )
}
