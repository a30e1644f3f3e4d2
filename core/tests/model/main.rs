//! The registry against a model so naive that it cannot be wrong.
//!
//! Random programs of attaches, associations, detaches and publishes run over sinks that refuse,
//! close, panic, and re-enter the registry. Everything that happens is logged, and the model replays
//! the log: it knows who was in which target at every moment, so it says of each publish exactly whose
//! sink had to be called, and how often.

mod registry;
mod replay;

use std::sync::Arc;

use proptest::prelude::*;
use proptest::test_runner::Config;
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest, prop_state_machine};
use registry::{Behaviour, CONNECTIONS, LoggedRegistry, Step, TARGETS};
use replay::replay;

fn behaviour() -> impl Strategy<Value = Behaviour> {
    prop_oneof![
        6 => Just(Behaviour::Accept),
        1 => Just(Behaviour::Full),
        1 => Just(Behaviour::Close),
        1 => Just(Behaviour::Panic),
        1 => Just(Behaviour::DetachSelf),
        1 => (0..CONNECTIONS).prop_map(Behaviour::Detach),
        1 => (0..CONNECTIONS).prop_map(Behaviour::Attach),
        1 => (0..TARGETS).prop_map(Behaviour::Associate),
        1 => (0..TARGETS).prop_map(Behaviour::Dissociate),
        1 => (0..TARGETS).prop_map(Behaviour::Publish),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0..CONNECTIONS, behaviour()).prop_map(|(id, behaviour)| Step::Attach(id, behaviour)),
        6 => (0..CONNECTIONS, 0..TARGETS).prop_map(|(id, target)| Step::Associate(id, target)),
        2 => (0..CONNECTIONS, 0..TARGETS).prop_map(|(id, target)| Step::Dissociate(id, target)),
        1 => (0..CONNECTIONS).prop_map(Step::Detach),
        1 => (0..CONNECTIONS).prop_map(Step::Forget),
        6 => (
            prop::collection::vec(0..TARGETS + CONNECTIONS, 1..4),
            prop::collection::vec(0..CONNECTIONS, 0..2),
        )
            .prop_map(|(targets, except)| Step::Publish { targets, except }),
    ]
}

/// The generator keeps no state: every step is legal at any time, and must be.
#[derive(Debug, Clone)]
struct AnyProgram;

impl ReferenceStateMachine for AnyProgram {
    type State = ();
    type Transition = Step;

    fn init_state() -> BoxedStrategy<()> {
        Just(()).boxed()
    }

    fn transitions((): &()) -> BoxedStrategy<Step> {
        step().boxed()
    }

    fn apply((): (), _: &Step) {}
}

#[derive(Debug)]
struct RegistryTest;

impl StateMachineTest for RegistryTest {
    type SystemUnderTest = Arc<LoggedRegistry>;
    type Reference = AnyProgram;

    fn init_test((): &()) -> Arc<LoggedRegistry> {
        LoggedRegistry::new()
    }

    fn apply(logged: Arc<LoggedRegistry>, (): &(), step: Step) -> Arc<LoggedRegistry> {
        logged.run(step);
        replay(&logged);
        logged
    }

    fn teardown(logged: Arc<LoggedRegistry>, (): ()) {
        logged.detach_all();
        replay(&logged);
        assert_eq!(logged.plane.registry().connections(), 0);
        for target in 0..TARGETS {
            assert_eq!(
                logged.members(target),
                0,
                "a target kept a connection that is gone"
            );
        }
    }
}

prop_state_machine! {
    #![proptest_config(Config { cases: 1_000, failure_persistence: None, ..Config::default() })]

    /// Promises 1, 2, 3 and 6 on one thread: see [`replay`].
    #[test]
    fn every_publish_reaches_exactly_whom_it_must(sequential 1..60 => RegistryTest);
}
