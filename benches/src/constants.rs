//! The constants that `SCALE.md` computes with, each a figure of `report.json`.

use std::io;

use crate::report::{Report, short};

/// The letter in `SCALE.md`, the figure it stands for, and whether it is the figure's floor.
const CONSTANTS: [(&str, &str, bool); 10] = [
    (
        "m",
        "memory: resident per idle client of 5000, midplane on tokio",
        false,
    ),
    (
        "g",
        "memory: per idle connection with five targets at one million",
        false,
    ),
    (
        "w",
        "ws: processor time per delivery, 64 bytes, 1 in flight, midplane on tokio",
        false,
    ),
    (
        "f",
        "growth: processor time of a received frame, 64 nodes",
        false,
    ),
    ("b", "growth: bytes of a received frame, 64 nodes", false),
    (
        "k",
        "growth: processor time of a heartbeat, 64 nodes",
        false,
    ),
    ("h", "growth: bytes of a heartbeat, 64 nodes", false),
    (
        "l",
        "growth: bytes of a heartbeat for each used lane",
        false,
    ),
    ("M", "redis: events per second, 64 bytes", true),
    ("E", "redis: events per second, 64 bytes", false),
];

/// Prints one line for each constant: its letter, value, unit and figure.
#[expect(clippy::print_stdout, reason = "what the command is for")]
pub(crate) fn print(report: &Report) -> io::Result<()> {
    for (letter, figure, floor) in CONSTANTS {
        let found = report.figure(figure);
        let value = found.and_then(|found| {
            if floor {
                found.floor
            } else {
                Some(found.value)
            }
        });
        let (Some(found), Some(value)) = (found, value) else {
            return Err(io::Error::other(format!("not in report.json: {figure}")));
        };
        let of = if floor { ", its floor" } else { "" };
        println!(
            "{letter}  {:>6} {:<9} {figure}{of}",
            short(value),
            found.unit
        );
    }
    Ok(())
}
