//! The store of the first build, with what was in it, is brought up to date.

use std::time::Duration;

use midplane::completions::{
    Change, Cursor, ErrorText, Filter, Group, GroupName, GroupStart, Groups, Ledger, Outcome,
    Producer, Scan, Settled, Take, Verdict,
};
use midplane_completions_suite::script::{
    complete, execution, expect, handle, run, subscribe_from,
};
use midplane_testkit::executor::Executor;
use midplane_testkit::server::Server;
use midplane_testkit::succeeds;

use crate::test_store::{TestStore, prompt_backend, store};

/// The functions of the first build, which never change.
const FIRST: &str = include_str!("first_build.lua");

/// Longer than any test takes.
const LONG: Duration = Duration::from_secs(3_600);

/// A store that the first build laid out.
struct FirstStore<'server> {
    server: &'server Server,
    prefix: String,
}

impl FirstStore<'_> {
    /// Calls a function of the first build, with the keys that it knows.
    fn call(&self, function: &str, args: &[&str]) {
        let function = format!("midplane_{function}_1");
        let keys = ["store", "executions", "history", "unhandled", "leases"];
        let keys = keys.map(|name| format!("{{{}}}:{name}", self.prefix));
        let mut command = vec!["FCALL", function.as_str(), "5"];
        command.extend(keys.iter().map(String::as_str));
        command.extend(args);
        self.server.redis_does(&command);
    }

    /// A field of the store.
    fn field(&self, name: &str) -> String {
        let key = format!("{{{}}}:store", self.prefix);
        let answer = self.server.redis_command(&["HGET", &key, name]);
        let value = answer.lines().nth(1);
        value.expect("the field is there").to_owned()
    }
}

/// Puts a store there as the first build left it: `a` is handled, `b` failed once, `alone` is claimed, `running` runs. Gives
/// the cursor of `a`.
fn left_by_the_first_build(first: &FirstStore<'_>) -> Cursor {
    first
        .server
        .redis_does(&["FUNCTION", "LOAD", "REPLACE", FIRST]);
    first.call("install", &["7f", ""]);
    for id in ["a", "b", "c", "running"] {
        first.call("start", &[id, "flow", "space", ""]);
    }
    first.call("start", &["alone", "", "", "tag"]);
    first.call("complete", &["a", "bytes"]);
    let check = first.field("check");
    for id in ["b", "c", "alone"] {
        first.call("complete", &[id, "bytes"]);
    }
    first.call("claim", &["60000000", "a", "b"]);
    first.call("handled", &["a", "1"]);
    first.call("release", &["0", "b", "2"]);
    first.call("claim", &["3600000000", "alone"]);
    let digits = check.bytes().map(|byte| format!("{byte:02x}"));
    let digits: String = digits.collect();
    let cursor = format!("redis.7f.1.{:016x}{:016x}{digits}", 1, 0);
    cursor.parse().expect("a cursor")
}

fn what_the_first_build_left(test: TestStore) {
    Executor::Smol.run(async move {
        let first = FirstStore {
            server: &test.server,
            prefix: format!("{}-first", test.prefix),
        };
        let cursor = left_by_the_first_build(&first);
        let store = store(&test.server.url(), &first.prefix);
        succeeds("installing", store.install()).await;
        let backend = prompt_backend(&store);
        let mut stream = subscribe_from(&backend, &cursor, &Filter::all()).await;
        for id in ["b", "c", "alone"] {
            let arrived = expect(&mut stream, id).await;
            assert_eq!(arrived.bytes.as_deref(), Some(&b"bytes"[..]));
        }
        complete(&store, "running").await;
        expect(&mut stream, "running").await;
        let a = execution("a");
        let again = store.finish(&a, &Outcome::Success, Some("bytes".into()));
        assert_eq!(succeeds("finishing", again).await, Change::AlreadySo);

        // What was claimed is claimed, and a flow is taken from its beginning, with what failed before.
        let taken = succeeds("taking", store.take(&Take::new(9), LONG)).await;
        let claims: Vec<_> = taken.work.into_iter().map(|(_, claim)| claim).collect();
        let names: Vec<_> = claims
            .iter()
            .map(|claim| claim.execution.as_str())
            .collect();
        assert_eq!(names, ["b", "c", "running"]);
        assert_eq!((claims[0].failures, claims[1].failures), (1, 0));
        let dead = Verdict::Dead(ErrorText::new("why"));
        let verdicts = [dead, Verdict::Handled, Verdict::Handled];
        let settled = claims.into_iter().zip(verdicts);
        let settled: Vec<_> = settled
            .map(|(claim, verdict)| Settled { claim, verdict })
            .collect();
        succeeds("settling", store.settle(&settled)).await;
        let page = succeeds("scanning", store.scan(&Scan::new(9))).await;
        let left = page.completions.iter().map(|done| done.execution.as_str());
        assert_eq!(left.collect::<Vec<_>>(), ["alone"]);
        let page = succeeds("scanning", store.scan(&Scan::dead(9))).await;
        assert_eq!(page.errors, [(execution("b"), ErrorText::new("why"))]);
    });
}

#[test]
fn what_the_first_build_left_is_kept_and_goes_on() {
    what_the_first_build_left(TestStore::start());
}

#[test]
fn what_the_first_build_left_on_a_valkey_is_kept_and_goes_on() {
    what_the_first_build_left(TestStore::valkey());
}

/// A store of one of the versions before, which differ in what they do not keep.
#[test]
fn what_the_versions_before_left_is_kept_and_goes_on() {
    Executor::Smol.run(async {
        for version in ["2", "3"] {
            let test = TestStore::start();
            run(&test.store, "job").await;
            test.server
                .redis_does(&["HSET", &test.key("store"), "version", version]);
            let newer = store(&test.server.url(), &test.prefix);
            run(&newer, "new").await;
            let page = succeeds("scanning", newer.scan(&Scan::new(9))).await;
            assert_eq!(page.completions.len(), 2);
            // A group begins with what the version before has handled, too.
            handle(&newer, &["job"]).await;
            let name = GroupName::new("group").expect("an id");
            let group = Group::new(name).starting(GroupStart::Beginning);
            let ledger = succeeds("registering", newer.register(&group)).await;
            let page = succeeds("scanning", ledger.scan(&Scan::new(9))).await;
            assert_eq!(page.completions.len(), 2);
        }
    });
}
