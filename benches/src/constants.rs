//! The constants that `SCALE.md` computes with, each a figure of `report.json`.

use std::io;

use crate::report::{Report, short};

/// On each line the letter in `SCALE.md`, and the figure whose value or floor it is.
const CONSTANTS: &str = "\
m value memory: resident per idle client of 5000, midplane on tokio
g value memory: per idle connection with five targets at one million
w value ws: processor time per delivery, 64 bytes, 1 in flight, midplane on tokio
f value growth: processor time of a received frame, 64 nodes
b value growth: bytes of a received frame, 64 nodes
k value growth: processor time of a heartbeat, 64 nodes
h value growth: bytes of a heartbeat, 64 nodes
l value growth: bytes of a heartbeat for each used lane
M floor redis: events per second, 64 bytes
E value redis: events per second, 64 bytes";

/// Prints the constants: letter, value, unit and figure.
#[expect(clippy::print_stdout, reason = "the output of a command")]
pub(crate) fn print(report: &Report) -> io::Result<()> {
    for line in CONSTANTS.lines() {
        let (letter, which, name) = (&line[..1], &line[2..7], &line[8..]);
        let missing = || io::Error::other(format!("not in report.json: {name}"));
        let figure = report.figure(name).ok_or_else(missing)?;
        let value = match which {
            "floor" => figure.floor.ok_or_else(missing)?,
            _ => figure.value,
        };
        let (value, unit) = (short(value), &figure.unit);
        println!("{letter}  {value:>6} {unit:<9} {which} of {name}");
    }
    Ok(())
}
