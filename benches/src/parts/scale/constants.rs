//! What was measured, and where it stands in the report.

use crate::report::Report;

/// One measured value.
pub(super) struct Constant {
    pub(super) letter: &'static str,
    pub(super) what: &'static str,
    pub(super) value: f64,
    pub(super) unit: &'static str,
    pub(super) source: String,
}

/// Everything that the arithmetic takes from the report.
pub(super) struct Constants {
    /// Bytes of an idle client, resident in the server, and of five targets in the registry.
    pub(super) client: Constant,
    pub(super) targets: Constant,
    /// Processor time of a delivery to a socket, in microseconds.
    pub(super) delivery: Constant,
    /// Processor time and bytes of a frame that a node hears.
    pub(super) frame: Constant,
    pub(super) frame_bytes: Constant,
    /// The same of a heartbeat.
    pub(super) beat: Constant,
    pub(super) beat_bytes: Constant,
    /// Bytes that a heartbeat has for each lane that was used.
    pub(super) lane_bytes: Constant,
    /// Messages a second that Redis passes on from one socket to another.
    pub(super) redis: Constant,
    /// Events a second from one node to another, batched.
    pub(super) batched: Constant,
}

/// The rows of tables with several nodes that are taken.
const MOST_NODES: &str = "64";

impl Constants {
    /// What the report has, or the first thing it has not.
    pub(super) fn read(report: &Report) -> Result<Self, String> {
        let goal = |figure: &str, floor: bool| -> Result<(f64, String), String> {
            let found = report.figure(figure).ok_or_else(|| figure.to_owned())?;
            let (value, which) = if floor {
                (found.floor, ", its floor")
            } else {
                (Some(found.value), "")
            };
            let value = value.ok_or_else(|| figure.to_owned())?;
            Ok((value, format!("`report.json`: \"{figure}\"{which}")))
        };
        let cell = |heading: &str, column: &str| -> Result<(f64, String), String> {
            let value = report.cell("growth", heading, MOST_NODES, column);
            let value = value.ok_or_else(|| format!("growth, {heading}, {column}"))?;
            let source =
                format!("`REPORT.md`, growth, \"{heading}\", {MOST_NODES} nodes, \"{column}\"");
            Ok((value, source))
        };
        let constant = |letter, what, unit, (value, source): (f64, String)| Constant {
            letter,
            what,
            value,
            unit,
            source,
        };
        Ok(Self {
            client: constant(
                "m",
                "memory of an idle client of the server",
                "bytes",
                goal(
                    "memory: resident per idle client of 5000, midplane on tokio",
                    false,
                )?,
            ),
            targets: constant(
                "g",
                "memory of a connection in five targets, in the registry",
                "bytes",
                goal(
                    "memory: per idle connection with five targets at one million",
                    false,
                )?,
            ),
            delivery: constant(
                "w",
                "processor time of a delivery to a WebSocket, each written alone",
                "us",
                goal(
                    "ws: processor time per delivery, 64 bytes, 1 in flight, midplane on tokio",
                    false,
                )?,
            ),
            frame: constant(
                "f",
                "processor time of a frame of one event that a node hears",
                "us",
                cell("Nodes", "broadcast: us each")?,
            ),
            frame_bytes: constant(
                "b",
                "bytes of that frame",
                "bytes",
                cell("Nodes", "broadcast: bytes each")?,
            ),
            beat: constant(
                "k",
                "processor time of a heartbeat that a node hears",
                "us",
                cell("Heartbeats", "us each")?,
            ),
            beat_bytes: constant(
                "h",
                "bytes of a heartbeat of a node that sent nothing",
                "bytes",
                cell("Heartbeats", "bytes each")?,
            ),
            lane_bytes: constant(
                "l",
                "bytes more for each lane it sent on since the one before",
                "bytes",
                cell("Heartbeats", "bytes a lane")?,
            ),
            redis: constant(
                "M",
                "messages that one Redis passes on, written and read by one socket each",
                "/s",
                goal("redis: events per second, 64 bytes", true)?,
            ),
            batched: constant(
                "E",
                "events from one node to another where as many as go are in a frame",
                "/s",
                goal("redis: events per second, 64 bytes", false)?,
            ),
        })
    }

    /// All, in the order of the page.
    pub(super) fn all(&self) -> [&Constant; 10] {
        [
            &self.client,
            &self.targets,
            &self.delivery,
            &self.frame,
            &self.frame_bytes,
            &self.beat,
            &self.beat_bytes,
            &self.lane_bytes,
            &self.redis,
            &self.batched,
        ]
    }
}
