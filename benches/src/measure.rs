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

/// What came of a case.
#[derive(Debug)]
pub struct Case {
    title: String,
    unit: &'static str,
    rows: Vec<Row>,
}

/// What came of one contender.
#[derive(Debug)]
pub struct Row {
    /// The contender.
    pub name: &'static str,
    /// To the first contender of the same round: the median, and the quarters around it.
    pub ratio: f64,
    quarters: (f64, f64),
    /// The median, in nanoseconds per unit.
    pub nanoseconds: f64,
}

impl Case {
    /// The contenders, in the order they were given.
    #[must_use]
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// The contender of a name.
    ///
    /// # Panics
    /// When none has it.
    #[must_use]
    pub fn row(&self, name: &str) -> &Row {
        let row = self.rows.iter().find(|row| row.name == name);
        row.unwrap_or_else(|| panic!("no contender is called {name}"))
    }

    /// The fastest contender but the first and the one of this name.
    #[must_use]
    pub fn best_but(&self, name: &str) -> &Row {
        let others = self.rows[1..].iter().filter(|row| row.name != name);
        others
            .min_by(|one, other| one.nanoseconds.total_cmp(&other.nanoseconds))
            .unwrap_or(&self.rows[0])
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { title, unit, rows } = self;
        writeln!(f, "### {title}\n")?;
        writeln!(f, "| | ratio | (quarters) | ns per {unit} |")?;
        writeln!(f, "|---|---:|---:|---:|")?;
        for row in rows {
            writeln!(
                f,
                "| {} | {:.2} | {:.2} to {:.2} | {:.1} |",
                row.name, row.ratio, row.quarters.0, row.quarters.1, row.nanoseconds
            )?;
        }
        Ok(())
    }
}

/// Runs the contenders in turn: for each, the median of its ratios to the first and of its times.
pub fn compare(
    title: impl Into<String>,
    unit: &'static str,
    mut contenders: Vec<Contender<'_>>,
) -> Case {
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
    let first = measured[0].clone();
    let rows = contenders
        .iter()
        .zip(measured)
        .map(|(contender, measured)| {
            let ratios =
                Quantiles::new(measured.iter().zip(&first).map(|(one, first)| one / first));
            Row {
                name: contender.name,
                ratio: ratios.at(0.5),
                quarters: (ratios.at(0.25), ratios.at(0.75)),
                nanoseconds: Quantiles::new(measured).at(0.5),
            }
        });
    Case {
        title: title.into(),
        unit,
        rows: rows.collect(),
    }
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
