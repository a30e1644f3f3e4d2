//! A standby takes over that had not got everything.

use midplane_completions::{
    CompletionBackend, CursorError, Filter, Ledger, Scan, StreamItem, SubscribeError,
};
use midplane_completions_suite::script::{expect, next_item, run, run_all};
use midplane_testkit::{succeeds, until, within};

use crate::sql::sql;
use crate::test_store::{TestStore, prompt, store};
use crate::work::{ids, subscribe};

/// More than a sequence is ahead on a standby: numbers are given out again.
const TAIL: usize = 80;

#[test]
fn a_standby_that_lacked_the_tail_is_noticed() {
    smol::block_on(async {
        let test = TestStore::alone();
        let before = test.store();
        run_all(&before, ["a", "b", "c"]).await;
        let standby = test.server().postgres_standby();
        let all = test.in_schema("SELECT count(*) FROM midplane.outbox");
        until("the standby has what there is", async || {
            (sql(&standby.url(), &all).await.as_deref() == Some("3")).then_some(())
        })
        .await;
        standby.kill();
        let mut stream = subscribe(&test, prompt()).await;
        let lost = ids("lost", TAIL);
        run_all(&before, &lost).await;
        let mut cursor = None;
        for id in &lost {
            cursor = expect(&mut stream, id).await.cursor;
        }
        test.server().kill();
        standby.restart();
        sql(&standby.url(), "SELECT pg_promote()").await;
        let after = store(&standby.url(), &test.schema);
        // The stream is where these begin, by their numbers alone.
        let other = ids("other", TAIL + 10);
        run_all(&after, &other).await;
        let number = test.in_schema("SELECT max(number) FROM midplane.outbox");
        let number = sql(&standby.url(), &number).await.expect("a number");
        assert!(number.parse::<usize>().expect("a number") > 3 + TAIL);
        test.proxy.lead_to(standby.address());
        assert_eq!(next_item(&mut stream).await, StreamItem::Resync);
        // Once for the connection, and once for the history.
        assert_eq!(next_item(&mut stream).await, StreamItem::Resync);
        run(&after, "after").await;
        expect(&mut stream, "after").await;
        let (cursor, everything) = (cursor.expect("a cursor"), Filter::all());
        let backend = after.backend();
        let resumed = within("subscribing", backend.subscribe_from(&cursor, &everything)).await;
        let error = resumed.expect_err("the history of the cursor is gone");
        assert!(
            matches!(error, SubscribeError::Cursor(CursorError::Expired)),
            "{error:?}"
        );
        // What is lost is running again, and its producer finishes it once more.
        run_all(&after, &lost[..2]).await;
        let scan = Scan::new(1_000);
        let page = succeeds("scanning", after.scan(&scan)).await;
        assert_eq!(page.completions.len(), 3 + other.len() + 1 + 2);
    });
}
