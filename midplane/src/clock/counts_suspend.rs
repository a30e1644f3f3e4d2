//! A system clock that goes on while the machine is suspended. std's stands on these systems.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// Linux's monotonic clock stands in suspend.
#[cfg(not(target_vendor = "apple"))]
const CLOCK: ClockId = ClockId::Boottime;

/// Apple's monotonic clock goes on in sleep. std reads another, `CLOCK_UPTIME_RAW`.
#[cfg(target_vendor = "apple")]
const CLOCK: ClockId = ClockId::Monotonic;

/// A clock that counts from when it was made.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SystemClock {
    start: Duration,
}

impl SystemClock {
    pub(crate) fn new() -> Self {
        Self { start: reading() }
    }

    pub(crate) fn elapsed(self) -> Duration {
        reading().saturating_sub(self.start)
    }
}

/// The time since the machine started, suspended or not.
fn reading() -> Duration {
    // No clock that counts from the start of the machine is ever negative.
    Duration::try_from(clock_gettime(CLOCK)).unwrap_or_default()
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::env::current_exe;
    use std::process::Command;

    use super::*;

    /// How long the machine of the time namespace was suspended, to all that it shows: only the clock that counts
    /// suspend is this much ahead there.
    const SUSPENDED: &str = "1000000";

    #[test]
    fn the_time_in_which_the_machine_is_suspended_counts() {
        let test = "clock::counts_suspend::tests::shows_the_time_of_a_suspended_machine";
        let run = Command::new("unshare")
            .args(["--user", "--map-root-user", "--time", "--fork"])
            .args(["--boottime", SUSPENDED, "--"])
            .arg(current_exe().unwrap())
            .args(["--exact", "--ignored", "--nocapture", test])
            .output();
        let output = match run {
            Ok(output) => output,
            Err(error) => panic!("`unshare` of util-linux does not start: {error}"),
        };
        let text = String::from_utf8_lossy(&output.stdout);
        if text.contains("running 1 test") {
            assert!(output.status.success(), "{text}");
        } else {
            // Some containers allow no namespaces: then only a machine that was suspended since its start shows more.
            let refusal = String::from_utf8_lossy(&output.stderr);
            println!("no time namespace here: {refusal}");
            shows_what_the_kernel_counts();
        }
    }

    #[test]
    #[ignore = "needs a time namespace: the test before makes one"]
    fn shows_the_time_of_a_suspended_machine() {
        assert!(reading().as_secs() > SUSPENDED.parse().unwrap());
        shows_what_the_kernel_counts();
    }

    /// `/proc/uptime` counts suspend, in hundredths of a second.
    fn shows_what_the_kernel_counts() {
        let text = std::fs::read_to_string("/proc/uptime").unwrap();
        let uptime = text.split(' ').next().unwrap().parse().unwrap();
        let read = reading().as_secs_f64();
        assert!((read - 5.0..=read).contains(&uptime), "{read} s, {text}");
    }
}
