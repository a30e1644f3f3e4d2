//! What Linux says about a process of our user, and the limit of its descriptors.

use std::fs;
use std::io;
use std::time::Duration;

use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};

/// The time that the living threads of a process have spent on processors.
///
/// # Errors
/// When there is no such process.
pub fn processor_time(pid: u32) -> io::Result<Duration> {
    let mut sum = 0;
    for thread in fs::read_dir(format!("/proc/{pid}/task"))? {
        // A thread may end meanwhile.
        let Ok(text) = fs::read_to_string(thread?.path().join("schedstat")) else {
            continue;
        };
        let running = text.split_whitespace().next();
        sum += running.and_then(|text| text.parse().ok()).unwrap_or(0);
    }
    Ok(Duration::from_nanos(sum))
}

/// The resident memory of a process, in bytes.
///
/// # Errors
/// When there is no such process.
pub fn resident_memory(pid: u32) -> io::Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .and_then(|rest| rest.split_whitespace().next())
        .and_then(|text| text.parse::<u64>().ok())
        .map(|kibibytes| kibibytes << 10)
        .ok_or_else(|| io::Error::other("the system says no resident memory"))
}

/// The numbers of the descriptors that a process has open, in order.
///
/// # Errors
/// When there is no such process, or it is another user's.
pub fn open_descriptors(pid: u32) -> io::Result<Vec<u64>> {
    let open = fs::read_dir(format!("/proc/{pid}/fd"))?;
    let numbers = open.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let mut numbers: Vec<u64> = numbers.collect();
    numbers.sort_unstable();
    Ok(numbers)
}

/// The most descriptors that this process, and each that it starts, may have open: [`usize::MAX`] without a limit.
#[must_use]
pub fn descriptor_limit() -> usize {
    let current = getrlimit(Resource::Nofile).current;
    current.map_or(usize::MAX, |number| number.try_into().unwrap_or(usize::MAX))
}

/// Bounds the numbers of the descriptors that a process opens from now on: all are less than `below`, or with `None`
/// less than the upper limit of this process. What is open stays open.
///
/// # Errors
/// When there is no such process, or it is another user's.
pub fn limit_descriptors(pid: u32, below: Option<u64>) -> io::Result<()> {
    let maximum = getrlimit(Resource::Nofile).maximum;
    let current = below.or(maximum);
    // The call without a number would limit this process.
    let pid = self::pid(pid).ok_or_else(|| io::Error::other("there is no such process"))?;
    prlimit(Some(pid), Resource::Nofile, Rlimit { current, maximum })?;
    Ok(())
}

pub(crate) fn pid(id: u32) -> Option<Pid> {
    Pid::from_raw(id.try_into().ok()?)
}
