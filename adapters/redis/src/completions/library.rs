//! The function library, and how its functions are called.

use std::time::Duration;

use midplane_completions::GroupName;
use redis::Cmd;

/// What is loaded into the server, from the files of `library` in the order of their names: the first says what it does.
pub(super) const SOURCE: &str = concat!(
    include_str!("library/1_store.lua"),
    include_str!("library/2_work.lua"),
    include_str!("library/3_backlog.lua"),
    include_str!("library/4_retention.lua"),
    include_str!("library/5_producer.lua"),
    include_str!("library/6_reader.lua"),
    include_str!("library/7_ledger.lua"),
    include_str!("library/8_groups.lua"),
    include_str!("library/9_functions.lua"),
);

/// The version of the library's functions and of what they keep.
const VERSION: u8 = 4;

/// The codes of the errors that functions refuse with, before anything is changed.
pub(super) const UNKNOWN: &str = "UNKNOWNEXECUTION";
pub(super) const ILLEGAL: &str = "ILLEGALTRANSITION";
pub(super) const UNFIT: &str = "UNFITCOMPLETION";
pub(super) const POISON: &str = "POISONEXECUTION";
pub(super) const NO_STORE: &str = "NOSTORE";
pub(super) const OTHER_VERSION: &str = "STOREVERSION";
pub(super) const UNKNOWN_GROUP: &str = "UNKNOWNGROUP";

/// How many of the keys all groups share.
const SHARED: usize = 3;

/// The names of the eight keys of a store, as one group uses them, which are in one slot of a cluster.
#[derive(Debug, Clone)]
pub(super) struct Keys([String; 8]);

impl Keys {
    /// The keys behind this prefix, whatever is in it: no two prefixes share a key.
    pub(super) fn new(prefix: &str) -> Self {
        // A cluster looks for the slot between the first brace and the next that closes.
        let prefix = prefix
            .replace('%', "%25")
            .replace('{', "%7B")
            .replace('}', "%7D");
        let names = [
            "store",
            "executions",
            "history",
            "unhandled",
            "leases",
            "due",
            "flows",
            "dead",
        ];
        Self(names.map(|name| format!("{{{prefix}}}:{name}")))
    }

    /// The keys as this group uses them; the last five are its own.
    pub(super) fn of_group(&self, group: &GroupName) -> Self {
        let mut keys = self.clone();
        for key in &mut keys.0[SHARED..] {
            key.push(':');
            key.push_str(group.as_str());
        }
        keys
    }

    /// The channel of the wake-ups.
    pub(super) fn channel(&self) -> &str {
        &self.0[2]
    }

    /// A call of a function, without its arguments.
    pub(super) fn call(&self, function: &str) -> Cmd {
        self.called("FCALL", function)
    }

    /// A call of a function that changes nothing, without its arguments.
    pub(super) fn look(&self, function: &str) -> Cmd {
        self.called("FCALL_RO", function)
    }

    fn called(&self, command: &str, function: &str) -> Cmd {
        let mut call = redis::cmd(command);
        call.arg(format!("midplane_{function}_{VERSION}"))
            .arg(self.0.len())
            .arg(&self.0);
        call
    }
}

/// Microseconds, as exact as the server's arithmetic needs them: 30 years and more are the same to a lease.
pub(super) fn micros(duration: Duration) -> u64 {
    const LONGEST: u128 = 1_000_000_000_000_000;
    // It fits: the bound is below 2^50.
    duration.as_micros().min(LONGEST) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A library that is released keeps its code: a change is a new version, under a new name.
    #[test]
    fn the_library_and_its_functions_have_the_version() {
        let name = format!("#!lua name=midplane_completions_{VERSION}\n");
        assert!(SOURCE.starts_with(&name));
        assert!(SOURCE.contains(&format!("local VERSION = '{VERSION}'\n")));
    }

    #[test]
    fn no_prefix_breaks_the_slot_or_meets_another() {
        for (prefix, channel) in [
            ("midplane", "{midplane}:history"),
            ("chat:eu{1}", "{chat:eu%7B1%7D}:history"),
            ("}a{}", "{%7Da%7B%7D}:history"),
            ("%7Da", "{%257Da}:history"),
        ] {
            assert_eq!(Keys::new(prefix).channel(), channel);
        }
    }

    #[test]
    fn no_group_breaks_the_slot_or_meets_another() {
        let keys = Keys::new("jobs");
        let of = |name| keys.of_group(&GroupName::new(name).expect("an id"));
        let audit = of("a{}:b");
        assert_eq!(audit.0[..SHARED], keys.0[..SHARED]);
        assert_eq!(audit.0[SHARED], "{jobs}:unhandled:a{}:b");
        assert_eq!(audit.0[7], "{jobs}:dead:a{}:b");
    }
}
