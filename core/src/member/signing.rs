//! How a node signs, as it says of itself.

use core::fmt;

/// Whether a node signs its frames, and which of others it takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SigningMode {
    /// The node signs nothing, and takes every frame.
    Off,
    /// The node signs, and takes frames without a signature too.
    Sign,
    /// The node signs, and takes nothing that no key signed which it knows.
    Require,
}

impl SigningMode {
    pub(crate) const fn number(self) -> u8 {
        match self {
            Self::Off => 0,
            Self::Sign => 1,
            Self::Require => 2,
        }
    }

    pub(crate) const fn from_number(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::Off),
            1 => Some(Self::Sign),
            2 => Some(Self::Require),
            _ => None,
        }
    }
}

/// The ids of the keys that a node knows. The first signs.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct KeyIds {
    ids: [u8; Self::MOST],
    count: usize,
}

impl KeyIds {
    /// The most ids that a node says.
    pub const MOST: usize = 4;

    /// Ids of keys, but those beyond [`MOST`](Self::MOST).
    #[must_use]
    pub fn new(ids: impl IntoIterator<Item = u8>) -> Self {
        let mut known = Self::default();
        for (place, id) in known.ids.iter_mut().zip(ids) {
            *place = id;
            known.count += 1;
        }
        known
    }

    /// The ids, of the key that signs first.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        &self.ids[..self.count]
    }
}

impl fmt::Debug for KeyIds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("KeyIds").field(&self.as_slice()).finish()
    }
}

/// How a node signs, and which keys it knows by their ids. Nothing of a key is in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SigningSettings {
    /// Whether the node signs, and what it takes.
    pub mode: SigningMode,
    /// The keys that the node knows.
    pub keys: KeyIds,
}

impl SigningSettings {
    /// Of a node that has no keys.
    #[must_use]
    pub fn off() -> Self {
        Self {
            mode: SigningMode::Off,
            keys: KeyIds::default(),
        }
    }

    /// Whether a node that signs like this drops what the other sends.
    #[must_use]
    pub fn refuses(&self, other: &Self) -> bool {
        let signs = match other.mode {
            SigningMode::Off => None,
            SigningMode::Sign | SigningMode::Require => other.keys.as_slice().first(),
        };
        let known = signs.is_some_and(|id| self.keys.as_slice().contains(id));
        self.mode == SigningMode::Require && !known
    }
}

/// As in logs: `off`, `sign:2,1` or `require:1`, with the keys.
impl fmt::Display for SigningSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.mode {
            SigningMode::Off => "off",
            SigningMode::Sign => "sign",
            SigningMode::Require => "require",
        })?;
        for (number, id) in self.keys.as_slice().iter().enumerate() {
            let before = if number > 0 { "," } else { ":" };
            write!(f, "{before}{id}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    fn settings(mode: SigningMode, ids: &[u8]) -> SigningSettings {
        let keys = KeyIds::new(ids.iter().copied());
        SigningSettings { mode, keys }
    }

    #[test]
    fn who_requires_signatures_refuses_who_signs_with_no_key_that_it_knows() {
        let off = SigningSettings::off();
        let (signs, requires) = (SigningMode::Sign, SigningMode::Require);
        let knows = settings(requires, &[1, 2]);
        assert!(knows.refuses(&off));
        assert!(knows.refuses(&settings(requires, &[3, 1])));
        assert!(!knows.refuses(&settings(signs, &[2, 3])));
        for takes in [off, settings(signs, &[1])] {
            assert!(!takes.refuses(&off) && !takes.refuses(&settings(requires, &[9])));
        }
    }

    #[test]
    fn the_words_of_logs_have_the_keys() {
        let mode = SigningMode::Require;
        assert_eq!(settings(mode, &[2, 1]).to_string(), "require:2,1");
        let five = settings(SigningMode::Sign, &[5, 4, 3, 2, 1]);
        assert_eq!(five.to_string(), "sign:5,4,3,2");
        assert_eq!(SigningSettings::off().to_string(), "off");
    }

    #[test]
    fn the_numbers_of_the_modes_are_those_of_the_wire() {
        for number in 0..3 {
            let mode = SigningMode::from_number(number).expect("a mode");
            assert_eq!(mode.number(), number);
        }
        assert_eq!(SigningMode::from_number(3), None);
    }
}
