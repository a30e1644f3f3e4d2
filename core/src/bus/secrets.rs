//! What no text may show: passwords and tokens, looked for in everything that a server says.

use alloc::borrow::ToOwned;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::error::Error;
use core::fmt::{self, Write};

/// What stands in a text in place of a secret.
const HIDDEN: &str = "***";

/// The secrets that an adapter logs in with. For adapters: a server may repeat in its errors what it was sent, so each of
/// its texts goes through here before it is a part of an error.
///
/// A secret is found as it is, as a URL has it (percent-encoded), and as JSON and Rust's `Debug` quote it.
#[derive(Clone, Default)]
pub struct Secrets(Vec<String>);

impl Secrets {
    /// Adds a secret. An empty one is none.
    #[must_use]
    pub fn with(mut self, secret: &str) -> Self {
        let encoded = percent_encoded(secret);
        let quoted = format!("{secret:?}");
        let quoted = &quoted[1..quoted.len() - 1];
        for form in [secret, &encoded, quoted] {
            if !form.is_empty() && !self.0.iter().any(|known| known == form) {
                self.0.push(form.to_owned());
            }
        }
        // A secret that holds another is hidden whole.
        self.0.sort_by_key(|form| core::cmp::Reverse(form.len()));
        self
    }

    /// The text with `***` in place of each secret.
    #[must_use]
    pub fn hide(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, secret| {
            text.replace(secret.as_str(), HIDDEN)
        })
    }

    /// The error itself; or, where it or anything that caused it shows a secret, its texts without.
    #[must_use]
    pub fn hide_in(&self, error: Box<dyn Error + Send + Sync>) -> Box<dyn Error + Send + Sync> {
        let mut texts = error.to_string();
        let mut shown = format!("{error:?}");
        let mut source = error.source();
        while let Some(cause) = source {
            texts.push_str(": ");
            texts.push_str(&cause.to_string());
            // A text that cannot be written is none.
            let _ = write!(shown, "{cause:?}");
            source = cause.source();
        }
        let found = |secret: &String| shown.contains(secret) || texts.contains(secret);
        match self.0.iter().any(found) {
            true => self.hide(&texts).into(),
            false => error,
        }
    }
}

/// How many secrets there are, and no more.
impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secrets({})", self.0.len())
    }
}

fn percent_encoded(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                encoded.push(char::from(byte));
            }
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bus::{BusError, BusErrorKind};

    #[test]
    fn a_secret_is_hidden_as_it_is_encoded_and_quoted() {
        let secrets = Secrets::default().with("").with("p\"w/d").with("p\"w/d2");
        let said = r#"pass p"w/d2, p%22w%2Fd, and "pass":"p\"w/d""#;
        assert_eq!(secrets.hide(said), r#"pass ***, ***, and "pass":"***""#);
        assert_eq!(secrets.hide("nothing"), "nothing");
        assert_eq!(Secrets::default().hide("nothing"), "nothing");
        assert!(!format!("{secrets:?}").contains("p\"w"));
    }

    #[test]
    fn an_error_is_kept_unless_it_or_its_cause_shows_a_secret() {
        let error = |text: &str| {
            let cause = BusError::new(BusErrorKind::Denied, text);
            Box::new(BusError::new(BusErrorKind::Denied, "refused").caused_by(cause))
        };
        let secrets = Secrets::default().with("hunter2");
        let kept = secrets.hide_in(error("hunter"));
        assert!(kept.is::<BusError>());
        let hidden = secrets.hide_in(error("auth hunter2 failed"));
        assert_eq!(hidden.to_string(), "refused: auth *** failed");
        assert!(!format!("{hidden:?}").contains("hunter2"));
    }
}
