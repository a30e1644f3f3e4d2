//! What waits for what.

use midplane::Random;
use midplane::completions::Outcome;

/// The executions of a flow, by their number, and what each of them needs.
#[derive(Debug, Clone)]
pub struct Plan {
    needs: Vec<Vec<usize>>,
    /// Who needs each of them.
    needed: Vec<Vec<usize>>,
    /// What becomes of each, if its needs succeed.
    fails: Vec<bool>,
}

impl Plan {
    /// A flow in which every execution succeeds. Each needs some of those before it.
    ///
    /// # Panics
    /// When one needs itself or one behind it: a flow has no circles.
    #[must_use]
    pub fn new(needs: Vec<Vec<usize>>) -> Self {
        let mut needed = vec![Vec::new(); needs.len()];
        for (number, needs) in needs.iter().enumerate() {
            for &need in needs {
                assert!(need < number, "{number} cannot need {need}");
                needed[need].push(number);
            }
        }
        Self {
            fails: vec![false; needs.len()],
            needs,
            needed,
        }
    }

    /// A flow in which each execution needs up to three of those before it, and some of the last fifth
    /// fail. The same for the same seed.
    #[must_use]
    pub fn random(executions: usize, seed: u64) -> Self {
        let mut random = Random::new(seed);
        let needs = (0..executions)
            .map(|number| {
                let count = random.below(4).min(number as u64);
                let mut needs: Vec<_> = (0..count)
                    .map(|_| random.below(number as u64) as usize)
                    .collect();
                needs.sort_unstable();
                needs.dedup();
                needs
            })
            .collect();
        let mut plan = Self::new(needs);
        for fails in plan.fails.iter_mut().skip(executions / 5 * 4) {
            *fails = random.below(50) == 0;
        }
        plan
    }

    /// How many executions it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.needs.len()
    }

    /// Whether it has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.needs.is_empty()
    }

    /// What this execution needs.
    #[must_use]
    pub fn needs(&self, number: usize) -> &[usize] {
        &self.needs[number]
    }

    /// Who needs this execution.
    #[must_use]
    pub fn needed(&self, number: usize) -> &[usize] {
        &self.needed[number]
    }

    /// How the execution ends that is run.
    #[must_use]
    pub fn work(&self, number: usize) -> Outcome {
        match self.fails[number] {
            true => Outcome::Failure,
            false => Outcome::Success,
        }
    }

    /// How each must end: in one pass, since needs come first.
    #[must_use]
    pub fn outcomes(&self) -> Vec<Outcome> {
        let mut outcomes: Vec<Outcome> = Vec::with_capacity(self.len());
        for (number, needs) in self.needs.iter().enumerate() {
            let runs = needs.iter().all(|need| outcomes[*need] == Outcome::Success);
            outcomes.push(match runs {
                true => self.work(number),
                false => Outcome::Skipped,
            });
        }
        outcomes
    }
}
