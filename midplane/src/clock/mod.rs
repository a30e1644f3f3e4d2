//! The clock behind every timer: of the system's, the one that counts the time in which the machine is suspended.

#[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple"))]
mod counts_suspend;
#[cfg(not(any(target_os = "linux", target_os = "android", target_vendor = "apple")))]
mod instant;

#[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple"))]
pub(crate) use counts_suspend::SystemClock;
#[cfg(not(any(target_os = "linux", target_os = "android", target_vendor = "apple")))]
pub(crate) use instant::SystemClock;
