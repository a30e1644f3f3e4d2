//! The kinds of run.

/// What kind of things go wrong in a run, which decides how it is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunKind {
    /// Every origin lives, and the faults together are shorter than what origins keep: nothing is lost and nobody is
    /// told.
    Gentle,
    /// Everything goes wrong but frames that are lost at random: what is lost is accounted for exactly.
    Harsh,
    /// Up to 30 % of the frames are lost, among other faults: what is lost is accounted for exactly.
    Lossy,
    /// An unknown sender forges frames: three heartbeats after the last one nothing is lost any more.
    Forged,
    /// Members beat at different paces, and what some send does not come to some others, one way or both, for less than
    /// origins keep it: nothing is lost and nobody is told.
    Parted,
}
