//! Measuring contenders in turn, and printing what came out.

use std::fmt;
use std::hint::black_box;
use std::time::{Duration, Instant};

/// How often each contender has its turn.
const ROUNDS: usize = 21;

/// How long a turn takes, about, after half as long to warm the caches; a contender whose single call
/// takes longer gets one of each.
const TURN: Duration = Duration::from_millis(8);

/// One way to do what a case measures.
pub struct Contender<'a> {
    name: &'static str,
    units: usize,
    run: Box<dyn FnMut(usize) -> Duration + 'a>,
}

impl<'a> Contender<'a> {
    /// `run` does the thing so many times and tells how long that took; each time is `units` of what
    /// the case counts.
    pub fn new(name: &'static str, units: usize, run: impl FnMut(usize) -> Duration + 'a) -> Self {
        Self {
            name,
            units,
            run: Box::new(run),
        }
    }

    fn per_unit(&mut self, times: usize) -> f64 {
        (self.run)(times).as_nanos() as f64 / (times * self.units) as f64
    }
}

impl fmt::Debug for Contender<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Contender")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// Times a call that is repeated.
pub fn per_call<T>(mut call: impl FnMut() -> T) -> impl FnMut(usize) -> Duration {
    move |times| {
        let start = Instant::now();
        for _ in 0..times {
            black_box(call());
        }
        start.elapsed()
    }
}

/// Prints the heading of a case.
#[expect(clippy::print_stdout, reason = "the benchmark's result")]
pub fn section(title: &str) {
    println!("\n## {title}\n");
}

/// Runs the contenders in turn and prints, for each, the median of its ratios to the first and of its
/// times, with the quarters around the ratio. Gives the medians of the ratios.
#[expect(clippy::print_stdout, reason = "the benchmark's result")]
pub fn compare(case: &str, unit: &str, mut contenders: Vec<Contender<'_>>) -> Vec<f64> {
    let times: Vec<usize> = contenders
        .iter_mut()
        .map(|contender| {
            contender.per_unit(1);
            let once = contender.per_unit(1) * contender.units as f64;
            (TURN.as_nanos() as f64 / once.max(1.0)).clamp(1.0, 1e6) as usize
        })
        .collect();
    let mut measured = vec![Vec::with_capacity(ROUNDS); contenders.len()];
    for _ in 0..ROUNDS {
        for ((contender, times), measured) in contenders.iter_mut().zip(&times).zip(&mut measured) {
            // What the contenders before it left in the caches is not its affair.
            contender.per_unit(times.div_ceil(2));
            measured.push(contender.per_unit(*times));
        }
    }
    println!("### {case}\n");
    println!("| | ratio | (quarters) | ns per {unit} |");
    println!("|---|---:|---:|---:|");
    let first = measured[0].clone();
    let mut medians = Vec::new();
    for (contender, measured) in contenders.iter().zip(measured) {
        let ratios = Quantiles::new(measured.iter().zip(&first).map(|(one, first)| one / first));
        println!(
            "| {} | {:.2} | {:.2} to {:.2} | {:.1} |",
            contender.name,
            ratios.at(0.5),
            ratios.at(0.25),
            ratios.at(0.75),
            Quantiles::new(measured).at(0.5),
        );
        medians.push(ratios.at(0.5));
    }
    println!();
    medians
}

/// Values in order.
#[derive(Debug)]
pub struct Quantiles(Vec<f64>);

impl Quantiles {
    /// Sorts the values, of which there must be one at least.
    pub fn new(values: impl IntoIterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        Self(values)
    }

    /// How many values there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// The value below which this fraction of all lies.
    #[must_use]
    pub fn at(&self, fraction: f64) -> f64 {
        self.0[((self.0.len() - 1) as f64 * fraction).round() as usize]
    }
}
