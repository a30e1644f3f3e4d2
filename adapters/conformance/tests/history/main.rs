//! The judge judged: it finds nothing in a good history, and each mutation of that history by the check that the
//! mutation belongs to, and by no other.

mod mutations;
mod story;

use std::collections::BTreeSet;
use std::time::Duration;

use midplane_conformance::history::{Check, Exemption, Fact, Record, Relayed, judge};
use mutations::MUTATIONS;
use story::{BOUNDS, Run, Story, node};

/// The checks that find something.
fn checks(story: &Story) -> BTreeSet<Check> {
    let found = judge(&story.history, &story.bounds).violations;
    found.iter().map(|violation| violation.check).collect()
}

#[test]
fn a_good_history_passes() {
    let judgement = judge(&Story::new().history, &BOUNDS);
    assert_eq!(judgement.violations, []);
    // Four for the connection of the other node that stays, and one for the connection that leaves.
    let expected = "5 events owed, 1 told as lost";
    assert_eq!(judgement.exemptions.to_string(), expected);
}

#[test]
fn each_mutation_is_found_by_its_check_alone() {
    for (name, check, mutate) in MUTATIONS {
        let mut story = Story::new();
        mutate(&mut story);
        let found = judge(&story.history, &story.bounds).violations;
        assert_eq!(
            checks(&story),
            BTreeSet::from([*check]),
            "{name}: {found:#?}"
        );
        // The explanation names a node to look at.
        let named = |text: &str| text.contains("node 0");
        let explained = found.iter().any(|found| named(&found.explanation));
        assert!(explained, "{name}: {found:#?}");
    }
}

#[test]
fn every_check_has_a_mutation() {
    let named: BTreeSet<Check> = MUTATIONS.iter().map(|(_, check, _)| *check).collect();
    assert_eq!(named, BTreeSet::from(Check::ALL));
}

#[test]
fn a_lost_event_is_accounted_for_by_a_receipt_that_says_it_is_not_relayed() {
    let mut story = Story::new();
    let (first, far) = (story.first, story.far);
    story.remove_delivery(far, first);
    assert_eq!(checks(&story), BTreeSet::from([Check::Accounted]));
    story.alter(|fact| match fact {
        Fact::Published { tag, relay, .. } if *tag == first => *relay = Relayed::Not,
        _ => {}
    });
    assert_eq!(checks(&story), BTreeSet::new());
}

/// A forged number costs the events in flight, and gaps of any length, until the number was refuted.
#[test]
fn an_impersonated_lane_is_exempt_until_it_is_refuted() {
    let (origin, lane) = (node(0), 0);
    let impersonated = Fact::Impersonated {
        node: node(1),
        origin,
        lane,
    };
    let mut story = Story::new();
    let fault = story.find(|fact| *fact == Fact::FaultBegan);
    story.insert(fault, impersonated.clone());
    story.insert(fault, story.gap(400, 500));
    assert_eq!(checks(&story), BTreeSet::new());

    let mut story = Story::new();
    let (far, late) = (story.far, story.late);
    let fault = story.find(|fact| *fact == Fact::FaultBegan);
    story.insert(fault, impersonated);
    let last = story.last();
    story.insert(last, story.gap(400, 500));
    story.remove_delivery(far, late);
    let expected = BTreeSet::from([Check::Accounted, Check::NoFalseGap]);
    assert_eq!(checks(&story), expected);
}

/// A node that has not healed of one fault when the next begins may be deaf through both.
#[test]
fn a_node_may_be_deaf_through_two_faults_that_leave_no_time_to_heal() {
    // Within 5 s after the end of a fault it need not be live.
    for (seconds, expected) in [(4, vec![]), (10, vec![Check::Heals, Check::NoFalseGap])] {
        let mut run = Run::new(2);
        run.begin_fault();
        let since = run.now();
        let node = node(1);
        run.record(Fact::State { node, live: false });
        run.pass(90_000);
        run.record(Fact::FaultEnded);
        run.pass(seconds * 1_000);
        run.record(Fact::FaultBegan);
        run.pass(1_000);
        run.end_fault();
        run.record(Fact::State { node, live: true });
        run.record(Fact::Deaf {
            node,
            origin: None,
            lane: None,
            since,
            until: run.now(),
        });
        let found = judge(&run.finish(), &BOUNDS).violations;
        let checks: Vec<Check> = found.iter().map(|violation| violation.check).collect();
        assert_eq!(checks, expected, "{found:#?}");
    }
}

/// What a node sent last may be reported at the time to live after it came, however long ago the node went silent.
#[test]
fn a_node_that_died_is_missed_for_the_time_to_live_from_its_death() {
    // 30 s to live, four heartbeats and 100 ms on the way.
    for (died, seconds, expected) in [
        (true, 37, vec![]),
        (true, 40, vec![Check::Heals]),
        (false, 37, vec![Check::Heals]),
    ] {
        let run = Run::new(3);
        run.begin_fault();
        let (node, origin) = (node(1), node(2));
        run.record(Fact::Silent { node, origin });
        run.record(Fact::State { node, live: false });
        run.pass(20_000);
        if died {
            run.record(Fact::Crashed(origin));
        }
        run.record(Fact::FaultEnded);
        run.pass(seconds * 1_000);
        run.record(Fact::State { node, live: true });
        let found = judge(&run.finish(), &BOUNDS).violations;
        let checks: Vec<Check> = found.iter().map(|violation| violation.check).collect();
        assert_eq!(checks, expected, "{died} {seconds}: {found:#?}");
    }
}

#[test]
fn nothing_is_wrong_where_nothing_is_lost() {
    let judgement = judge(&Story::whole().history, &Story::whole().bounds);
    assert_eq!(judgement.violations, []);
}

/// Where everything is to be whole, a report is a violation even if it is true.
#[test]
fn what_is_to_be_whole_is_not_given_up() {
    let mut lost = Story::new();
    lost.bounds.whole = Some(Duration::ZERO);
    assert_eq!(checks(&lost), BTreeSet::from([Check::Whole]));
    // Published before everything was to be whole, it may be lost.
    lost.bounds.whole = Some(Duration::from_secs(80));
    assert_eq!(checks(&lost), BTreeSet::new());

    let mut told = Story::whole();
    let last = told.last();
    told.insert(last, told.missed_before(last));
    assert_eq!(checks(&told), BTreeSet::from([Check::Whole]));

    let mut deaf = Story::whole();
    let last = deaf.last();
    let until = deaf.history.records[last].at;
    deaf.insert(
        last,
        Fact::Deaf {
            node: node(1),
            origin: Some(node(0)),
            lane: None,
            since: until - Duration::from_secs(1),
            until,
        },
    );
    assert_eq!(checks(&deaf), BTreeSet::from([Check::Whole]));
}

/// A connection that fetches everything anew when it is told needs no second telling for what came before.
#[test]
fn what_was_published_before_a_connection_is_told_is_covered() {
    let mut story = Story::new();
    story.alter(|fact| {
        if let Fact::Missed {
            since,
            until,
            exact,
            ..
        } = fact
        {
            *until += Duration::from_secs(1);
            (*since, *exact) = (*until, false);
        }
    });
    assert_eq!(checks(&story), BTreeSet::new());
}

/// A node that died is silent at its end; what nobody alive ever heard of it is exempt, and counted.
#[test]
fn what_is_exempt_is_counted() {
    let mut story = Story::new();
    let fault = story.find_gap();
    story.remove(fault);
    story.remove(story.find_missed());
    let late = story.late;
    story.remove_delivery(story.far, late);
    story.insert(story.last(), Fact::Crashed(node(0)));
    let found = judge(&story.history, &story.bounds);
    assert_eq!(found.violations, []);
    assert_eq!(found.exemptions.exempt[&Exemption::HistoryEnded], 2);
}

/// Where a node reported an origin as silent, and no node receives it before it dies, the last events of the origin are
/// exempt though the bus took them; where one does, they are not.
#[test]
fn an_origin_that_dies_in_silence_is_exempt_unless_it_is_heard_again() {
    let silent = |heard_again: bool| {
        let mut story = Story::new();
        let late = story.late;
        story.remove_delivery(story.far, late);
        let (observer, origin) = (node(1), node(0));
        let published =
            story.find(|fact| matches!(fact, Fact::Publishing { tag, .. } if *tag == late));
        let (joined, silent) = (
            Fact::Joined {
                node: observer,
                origin,
            },
            Fact::Silent {
                node: observer,
                origin,
            },
        );
        if heard_again {
            story.insert(published, joined.clone());
        }
        story.insert(published - 1, silent);
        story.insert(published - 1, joined);
        story.insert(story.last(), Fact::Crashed(origin));
        // Long enough that the loss had to be known.
        story.history.end += Duration::from_secs(600);
        judge(&story.history, &story.bounds)
    };
    let exempt = silent(false);
    assert_eq!(exempt.violations, []);
    assert_eq!(exempt.exemptions.exempt[&Exemption::OriginSilent], 1);
    let found = silent(true).violations;
    let checks: BTreeSet<Check> = found.iter().map(|violation| violation.check).collect();
    assert_eq!(checks, BTreeSet::from([Check::Accounted]), "{found:#?}");
}

/// What an origin publishes in silence is lost with it. A node that is live while it misses a member has told of the loss, so
/// that of what follows it cannot know.
#[test]
fn an_origin_that_dies_once_its_silence_was_told_is_exempt() {
    for (told, expected) in [(true, vec![]), (false, vec![Check::Accounted])] {
        let mut story = Story::new();
        let late = story.late;
        story.remove_delivery(story.far, late);
        let (node, origin) = (node(1), node(0));
        let of_late = |fact: &Fact| matches!(fact, Fact::Publishing { tag, .. } if *tag == late);
        let published = story.find(of_late);
        let at = story.history.records[published].at - Duration::from_secs(2);
        let live_at = match told {
            true => at + Duration::from_secs(1),
            false => story.history.end,
        };
        for (at, fact) in [
            (at - Duration::from_secs(1), Fact::Joined { node, origin }),
            (at, Fact::Silent { node, origin }),
            (at, Fact::State { node, live: false }),
            (live_at, Fact::State { node, live: true }),
        ] {
            story.history.records.push(Record { at, fact });
        }
        story.history.records.sort_by_key(|record| record.at);
        story.insert(story.last(), Fact::Crashed(origin));
        story.history.end += Duration::from_secs(600);
        let found = judge(&story.history, &story.bounds).violations;
        let checks: Vec<Check> = found.iter().map(|violation| violation.check).collect();
        assert_eq!(checks, expected, "{told}: {found:#?}");
    }
}
