//! Publications that are asked for again: who repeats one with the same key gets the first answer, and nothing is published.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use hyper::StatusCode;
use midplane::Instant;

/// For how long an answer is remembered, and how many are at most; the oldest are forgotten first.
const REMEMBERED: Duration = Duration::from_secs(120);
const KEYS: usize = 10_000;

/// The answers of this node, by key.
#[derive(Default)]
pub(crate) struct Idempotency {
    answers: Mutex<Answers>,
    hasher: RandomState,
}

#[derive(Default)]
struct Answers {
    by_key: HashMap<Box<str>, Answer>,
    by_age: VecDeque<(Instant, Box<str>)>,
}

struct Answer {
    request: u64,
    status: StatusCode,
    body: Bytes,
}

/// The key was used before for another request.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Reused;

impl Idempotency {
    /// The answer to the request with this key and this body: the first one, or what `act` gives where there is none. While
    /// it acts, others wait.
    pub(crate) fn once(
        &self,
        now: Instant,
        key: &str,
        body: &[u8],
        act: impl FnOnce() -> (StatusCode, Bytes),
    ) -> Result<(StatusCode, Bytes), Reused> {
        let request = self.hasher.hash_one(body);
        // Whole even if a thread panicked: an answer is there or it is not.
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        answers.forget(|since, _| now - since > REMEMBERED);
        if let Some(first) = answers.by_key.get(key) {
            return match first.request == request {
                true => Ok((first.status, first.body.clone())),
                false => Err(Reused),
            };
        }
        let (status, body) = act();
        // What could not be carried out may be tried again.
        if !status.is_server_error() {
            let answer = Answer {
                request,
                status,
                body: body.clone(),
            };
            answers.forget(|_, keys| keys >= KEYS);
            answers.by_age.push_back((now, key.into()));
            answers.by_key.insert(key.into(), answer);
        }
        Ok((status, body))
    }
}

impl Answers {
    /// Forgets answers, oldest first, while they are `due` by their time and by how many there are.
    fn forget(&mut self, due: impl Fn(Instant, usize) -> bool) {
        while let Some((since, key)) = self.by_age.front()
            && due(*since, self.by_age.len())
        {
            self.by_key.remove(key);
            self.by_age.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::from_origin(Duration::from_secs(seconds))
    }

    /// Whether the request was carried out.
    fn acts(keys: &Idempotency, now: u64, key: &str, body: &str, status: StatusCode) -> bool {
        let mut acted = false;
        let answer = keys.once(at(now), key, body.as_bytes(), || {
            acted = true;
            (status, Bytes::from_static(b"answer"))
        });
        assert_eq!(answer.unwrap().1, "answer");
        acted
    }

    #[test]
    fn a_request_is_carried_out_once_while_its_key_is_remembered() {
        let keys = Idempotency::default();
        for (now, acted) in [
            (0, true),
            (1, false),
            (120, false),
            (121, true),
            (122, false),
        ] {
            assert_eq!(acts(&keys, now, "k", "1", StatusCode::OK), acted, "{now}");
        }
        assert!(acts(&keys, 122, "other", "1", StatusCode::OK));
        let other = keys.once(at(123), "k", b"2", || unreachable!("another request"));
        assert_eq!(other, Err(Reused));
    }

    #[test]
    fn what_failed_may_be_tried_again() {
        let keys = Idempotency::default();
        for _ in 0..2 {
            assert!(acts(&keys, 0, "k", "1", StatusCode::SERVICE_UNAVAILABLE));
        }
    }

    #[test]
    fn the_oldest_key_makes_room() {
        let keys = Idempotency::default();
        for key in 0..=KEYS {
            assert!(acts(&keys, 0, &key.to_string(), "1", StatusCode::OK));
        }
        assert!(!acts(&keys, 0, "1", "1", StatusCode::OK));
        assert!(acts(&keys, 0, "0", "1", StatusCode::OK));
    }
}
