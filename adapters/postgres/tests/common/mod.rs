//! SQL beside the bus.

use tokio_postgres::{NoTls, SimpleQueryMessage};

/// Runs SQL in the clear, on a connection and a thread of its own, and gives the first value of the last row.
pub(crate) fn sql(url: &str, text: &str) -> Option<String> {
    let query = || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        runtime.block_on(async {
            let (client, connection) = tokio_postgres::connect(url, NoTls).await.expect("SQL");
            let connection = tokio::spawn(connection);
            let messages = client.simple_query(text).await.expect("it is SQL");
            drop(client);
            connection.await.expect("no panic").expect("a goodbye");
            messages
        })
    };
    // The caller may run on a runtime, and within one there is no other.
    let messages = std::thread::scope(|scope| scope.spawn(query).join());
    let rows = messages.expect("an answer").into_iter();
    rows.filter_map(|message| match message {
        SimpleQueryMessage::Row(row) => row.get(0).map(String::from),
        _ => None,
    })
    .last()
}
