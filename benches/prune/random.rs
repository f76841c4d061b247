//! The generator's random numbers: splitmix64, so that the same seed makes the same tree on every machine.

use std::f64::consts::TAU;

/// A stream of numbers that its seed determines.
pub(crate) struct Random(u64);

impl Random {
    /// The stream of `seed`.
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// 64 random bits.
    pub(crate) fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number in `[0, 1)`.
    pub(crate) fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// A number in `0..limit`.
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        (self.unit() * limit as f64) as usize
    }

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

    /// Puts the items in a random order.
    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
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
