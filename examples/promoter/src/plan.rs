//! The graph of a flow: which execution waits for which.

use midplane::Random;
use midplane::completions::Outcome;

/// The executions of a flow, by number, and the executions that each needs.
#[derive(Debug, Clone)]
pub struct Plan {
    needs: Vec<Vec<usize>>,
    /// For each execution, those that need it.
    needed: Vec<Vec<usize>>,
    /// For each execution, whether it fails when its needs succeed.
    fails: Vec<bool>,
}

impl Plan {
    /// A flow in which every execution succeeds. Each needs some of the executions before it.
    ///
    /// # Panics
    /// When an execution needs itself or one behind it: a flow has no circles.
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
    /// fail. Equal seeds give equal flows.
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

    /// How many executions the flow has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.needs.len()
    }

    /// Whether the flow has no executions.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.needs.is_empty()
    }

    /// The executions that this one needs.
    #[must_use]
    pub fn needs(&self, number: usize) -> &[usize] {
        &self.needs[number]
    }

    /// The executions that need this one.
    #[must_use]
    pub fn needed(&self, number: usize) -> &[usize] {
        &self.needed[number]
    }

    /// How the execution ends when it is run.
    #[must_use]
    pub fn work(&self, number: usize) -> Outcome {
        match self.fails[number] {
            true => Outcome::Failure,
            false => Outcome::Success,
        }
    }

    /// How each execution must end, found in one pass, since needs come first.
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
