//! Groups against a model of what each is to be given.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use midplane::completions::{ErrorText, Execution, FlowId, Ledger, Scan, Settled, Take, Verdict};
use midplane_completions_suite::script::{complete, execution, start};
use midplane_testkit::executor::Executor;
use midplane_testkit::random::Random;
use midplane_testkit::succeeds;

use crate::groups::{LONG, handle_all, new_group, scanned, unhandled};
use crate::test_store::TestStore;

/// What a group was given so far.
struct Model {
    ledger: Arc<dyn Ledger>,
    /// What finished since it was registered, in order.
    due: Vec<String>,
    handled: BTreeSet<String>,
}

impl Model {
    /// Takes up to this many, and settles each as the numbers say.
    async fn look(&mut self, most: usize, mut draw: impl FnMut() -> u64) {
        let taken = succeeds("taking", self.ledger.take(&Take::new(most), LONG)).await;
        let mut settled = Vec::new();
        for (completion, claim) in taken.work {
            let verdict = match draw() {
                0 => Verdict::Dead(ErrorText::new("why")),
                1 => Verdict::Failed(Duration::ZERO),
                2 => Verdict::Returned,
                _ => {
                    let id = completion.execution.to_string();
                    assert!(self.handled.insert(id), "it is handled once");
                    Verdict::Handled
                }
            };
            settled.push(Settled { claim, verdict });
        }
        succeeds("settling", self.ledger.settle(&settled)).await;
    }

    /// What is to be handled, and the dead letters, are what finished and was not handled.
    async fn check(&self) {
        let mut left = unhandled(&*self.ledger).await;
        left.extend(scanned(&*self.ledger, Scan::dead(1_000)).await);
        left.sort_unstable();
        let mut expected = self.due.clone();
        expected.retain(|id| !self.handled.contains(id));
        expected.sort_unstable();
        assert_eq!(left, expected);
    }
}

/// Groups come, look, fail and are removed, while retention, operators and others drop what they can.
#[test]
fn whatever_is_dropped_each_group_handles_everything_once() {
    for seed in 1..=4 {
        Executor::Smol.run(anything(seed));
    }
}

async fn anything(seed: u64) {
    let mut random = Random::new(seed);
    let test = TestStore::start();
    let store = test.store.clone().with_retention(5);
    let history = test.key("history");
    let mut models: Vec<Model> = Vec::new();
    for step in 0..400 {
        match random.below(20) {
            0 if models.len() < 4 => models.push(Model {
                ledger: new_group(&store, &format!("group {step}")).await,
                due: Vec::new(),
                handled: BTreeSet::new(),
            }),
            1 => drop(succeeds("trimming", store.trim(random.below(8) as usize)).await),
            2 => drop(succeeds("pruning", store.prune(Duration::ZERO)).await),
            3 => {
                let keep = random.below(4).to_string();
                test.server
                    .redis_does(&["XTRIM", &history, "MAXLEN", &keep]);
            }
            4 => drop(handle_all(&store).await),
            5..=9 if !models.is_empty() => {
                let model = random.below(models.len() as u64) as usize;
                let most = 1 + random.below(8) as usize;
                models[model].look(most, || random.below(6)).await;
                models[model].check().await;
            }
            _ => {
                let id = format!("job {step}");
                let flow = FlowId::new(format!("flow {}", random.below(3))).expect("an id");
                let started = match random.below(2) {
                    0 => Execution::new(execution(&id)),
                    _ => Execution::new(execution(&id)).with_flow(flow),
                };
                start(&store, &started).await;
                complete(&store, &id).await;
                let due = models.iter_mut().map(|model| &mut model.due);
                due.for_each(|due| due.push(id.clone()));
            }
        }
    }
    handle_all(&store).await;
    for model in &mut models {
        model.check().await;
        let dead = scanned(&*model.ledger, Scan::dead(1_000)).await;
        let ids: Vec<_> = dead.iter().map(execution).collect();
        let replayed = succeeds("replaying", model.ledger.replay(&ids)).await;
        assert_eq!(replayed, ids.len() as u64);
        while !unhandled(&*model.ledger).await.is_empty() {
            model.look(1_000, || 5).await;
        }
        let due: BTreeSet<_> = model.due.iter().cloned().collect();
        assert_eq!(model.handled, due, "seed {seed}");
    }
}
