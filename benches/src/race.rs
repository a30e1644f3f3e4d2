//! Contenders that take turns, and the figures of their turns.

use std::hint::black_box;
use std::io;
use std::time::{Duration, Instant};

use benches::Quantiles;

use crate::report::{Goal, Report, short};

/// Rounds of a race between calls of this process.
const ROUNDS: usize = 21;

/// The time of a turn of such a race, after half as long to warm the caches. A call that takes longer is made once in
/// each.
const TURN: Duration = Duration::from_millis(8);

/// Lets each contender have its turn, round after round. The first contender is the floor, and those whose names begin
/// with "midplane" are not peers.
pub(crate) fn race<'c, C: 'c, M>(
    contenders: impl IntoIterator<Item = &'c mut (&'static str, C)>,
    rounds: usize,
    mut turn: impl FnMut(&mut C) -> io::Result<M>,
) -> io::Result<Race<M>> {
    let mut contenders: Vec<_> = contenders.into_iter().collect();
    let names = contenders.iter().map(|contender| contender.0);
    let mut turns: Vec<(&str, Vec<M>)> = names.map(|name| (name, Vec::new())).collect();
    for _ in 0..rounds {
        for ((name, contender), (_, turns)) in contenders.iter_mut().zip(&mut turns) {
            let measured = turn(contender);
            turns.push(measured.map_err(|error| {
                io::Error::new(error.kind(), format!("contender {name}: {error}"))
            })?);
        }
    }
    Ok(Race(turns))
}

/// The measurements of each turn of each contender.
pub(crate) struct Race<M>(Vec<(&'static str, Vec<M>)>);

impl<M> Race<M> {
    /// A figure of every turn, of which more is better.
    pub(crate) fn most(&self, of: impl Fn(&M) -> f64) -> Figures {
        self.figures(true, of)
    }

    /// A figure of every turn, of which less is better.
    pub(crate) fn least(&self, of: impl Fn(&M) -> f64) -> Figures {
        self.figures(false, of)
    }

    /// Each contender's turns.
    pub(crate) fn turns(&self) -> impl Iterator<Item = (&'static str, &[M])> {
        self.0.iter().map(|(name, turns)| (*name, &**turns))
    }

    /// Each contender's turns, to keep.
    pub(crate) fn into_turns(self) -> impl Iterator<Item = (&'static str, Vec<M>)> {
        self.0.into_iter()
    }

    fn figures(&self, more: bool, of: impl Fn(&M) -> f64) -> Figures {
        let turns = self.turns();
        let turns = turns.map(|(name, turns)| (name, turns.iter().map(&of).collect()));
        Figures {
            more,
            turns: turns.collect(),
        }
    }
}

/// One figure of every turn of a race.
pub(crate) struct Figures {
    /// Whether more is better.
    more: bool,
    turns: Vec<(&'static str, Vec<f64>)>,
}

impl Figures {
    pub(crate) fn names(&self) -> impl Iterator<Item = &'static str> {
        self.turns.iter().map(|(name, _)| *name)
    }

    /// The name and the median of each contender.
    pub(crate) fn medians(&self) -> impl Iterator<Item = (&'static str, f64)> {
        self.names().map(|name| (name, self.of(name)))
    }

    /// The names of the contenders that are midplane.
    pub(crate) fn ours(&self) -> impl Iterator<Item = &'static str> {
        self.names().filter(|name| is_ours(name))
    }

    fn turns(&self, name: &str) -> &[f64] {
        let contender = self.turns.iter().find(|(contender, _)| *contender == name);
        let (_, turns) = contender.unwrap_or_else(|| panic!("no contender is called {name}"));
        turns
    }

    /// The median of a contender's turns.
    pub(crate) fn of(&self, name: &str) -> f64 {
        Quantiles::new(self.turns(name).iter().copied()).at(0.5)
    }

    /// The median of the floor.
    pub(crate) fn floor(&self) -> f64 {
        self.of(self.turns[0].0)
    }

    /// The median of the best peer.
    pub(crate) fn peer(&self) -> f64 {
        let peers = self.names().skip(1).filter(|name| !is_ours(name));
        let peers = peers.map(|name| self.of(name));
        if self.more {
            peers.fold(0.0, f64::max)
        } else {
            peers.fold(f64::INFINITY, f64::min)
        }
    }

    /// The ratios of two contenders in each round.
    pub(crate) fn ratios(&self, name: &str, to: &str) -> Quantiles {
        let pairs = self.turns(name).iter().zip(self.turns(to));
        Quantiles::new(pairs.map(|(one, to)| one / to))
    }

    /// The median of the ratios of two contenders.
    pub(crate) fn ratio(&self, name: &str, to: &str) -> f64 {
        self.ratios(name, to).at(0.5)
    }

    /// The median of the ratios to the floor.
    pub(crate) fn to_floor(&self, name: &str) -> f64 {
        self.ratio(name, self.turns[0].0)
    }

    /// A column of the medians with a fixed number of decimals.
    pub(crate) fn fixed(&self, decimals: usize) -> impl Fn(&str) -> String {
        move |name| format!("{:.decimals$}", self.of(name))
    }

    /// A column of the medians with about three significant digits.
    pub(crate) fn short(&self) -> impl Fn(&str) -> String {
        |name| short(self.of(name))
    }

    /// A column of the ratios to the floor.
    pub(crate) fn to_floor_fixed(&self, decimals: usize) -> impl Fn(&str) -> String {
        move |name| format!("{:.decimals$}", self.to_floor(name))
    }

    /// A contender's figure, beside the floor and the best peer.
    pub(crate) fn goal(&self, figure: impl Into<String>, name: &str, unit: &str) -> Goal {
        let goal = Goal::new(figure, self.of(name), unit).floor(self.floor());
        goal.peer(self.peer())
    }

    /// A contender's figure, held against the best peer's.
    pub(crate) fn goal_to_peer(
        &self,
        figure: impl Into<String>,
        name: &str,
        unit: &str,
        bound: f64,
    ) -> Goal {
        let (goal, ratio) = (self.goal(figure, name, unit), self.of(name) / self.peer());
        if self.more {
            goal.ratio_at_least(ratio, bound, "the best peer")
        } else {
            goal.ratio_at_most(ratio, bound, "the best peer")
        }
    }
}

/// Whether a contender is midplane.
pub(crate) fn is_ours(name: &str) -> bool {
    name.starts_with("midplane")
}

/// A contender of this process.
pub(crate) struct Call<'a> {
    units: usize,
    /// How often the call is made in a turn.
    times: usize,
    run: Box<dyn FnMut(usize) -> Duration + 'a>,
}

impl<'a> Call<'a> {
    /// `run` makes the call a given number of times and gives the time that took; each call counts for `units`.
    pub(crate) fn new(units: usize, run: impl FnMut(usize) -> Duration + 'a) -> Self {
        Self {
            units,
            times: 1,
            run: Box::new(run),
        }
    }

    /// A call that is timed as it is.
    pub(crate) fn repeated<T>(units: usize, mut call: impl FnMut() -> T + 'a) -> Self {
        Self::new(units, move |times| {
            let start = Instant::now();
            for _ in 0..times {
                black_box(call());
            }
            start.elapsed()
        })
    }

    /// Finds how many calls a turn takes.
    fn calibrate(&mut self) {
        (self.run)(1);
        let once = (self.run)(1).as_nanos().max(1);
        self.times = (TURN.as_nanos() / once).clamp(1, 1_000_000) as usize;
    }

    /// Nanoseconds per unit.
    fn turn(&mut self) -> f64 {
        // What the contenders before it left in the caches is not measured.
        (self.run)(self.times.div_ceil(2));
        (self.run)(self.times).as_nanos() as f64 / (self.times * self.units) as f64
    }
}

/// Races calls of this process and puts the table of their nanoseconds per unit into the report.
pub(crate) fn compare(
    report: &mut Report,
    title: &str,
    unit: &str,
    mut contenders: Vec<(&'static str, Call<'_>)>,
) -> io::Result<Figures> {
    report.progress(title);
    contenders.iter_mut().for_each(|(_, call)| call.calibrate());
    let race = race(&mut contenders, ROUNDS, |call| Ok(call.turn()))?;
    let figures = race.least(|nanoseconds| *nanoseconds);
    report.say(format!("### {title}"));
    let floor = figures.turns[0].0;
    report.columns(
        figures.names(),
        &[
            ("ratio", &figures.to_floor_fixed(2)),
            ("(quarters)", &|name| {
                let ratios = figures.ratios(name, floor);
                format!("{:.2} to {:.2}", ratios.at(0.25), ratios.at(0.75))
            }),
            (&format!("ns per {unit}"), &figures.fixed(1)),
        ],
    );
    Ok(figures)
}
