//! The page, in a real browser.

use serde_json::{Value, json};

use crate::browser::{Browser, Tab};
use crate::fixture::{Program, target};
use crate::until;

/// What is published in one tab shows in the other that joined the same topic, and the counts rise.
pub async fn a_publish_in_one_tab_shows_in_the_other(program: Program) {
    let server = program.start(&[]);
    let browser = Browser::start().await;
    let first = browser.open(&server.url()).await;
    first.says("status", "connected").await;
    let second = browser.open(&server.url()).await;
    second.says("status", "connected").await;
    let ids = [
        first.text("connection-id").await,
        second.text("connection-id").await,
    ];
    assert_ne!(ids[0], ids[1]);
    for tab in [&first, &second] {
        tab.fill("topic-input", "tea").await;
        tab.click("join").await;
        tab.shows("topics", "tea").await;
    }
    assert_eq!(
        server
            .publish(&target("topic", "tea"), r#"{"post":"\u0031"}"#)
            .await,
        2
    );
    for tab in [&first, &second] {
        tab.shows("log", r#"{"post":"\u0031"}"#).await;
        tab.says("count-received", "1").await;
    }
    first
        .publish("topic", "tea", r#"{"from":"first"}"#, false)
        .await;
    for tab in [&first, &second] {
        tab.shows("log", r#"{"from":"first"}"#).await;
        tab.says("count-received", "2").await;
    }
    first
        .publish("topic", "tea", r#"{"for":"others"}"#, true)
        .await;
    second.shows("log", r#"{"for":"others"}"#).await;
    second.says("count-received", "3").await;
    // The fence: it shows in the first tab, where the event it was excluded from does not.
    second
        .publish("topic", "tea", r#"{"fence":1}"#, false)
        .await;
    first.shows("log", r#"{"fence":1}"#).await;
    first.says("count-received", "3").await;
    assert_eq!(first.count("log", r#"{"for":"others"}"#).await, 0);
    browser.close().await;
}

/// Connections, sessions and every kind of target that the page offers work from it.
pub async fn the_page_shows_where_it_is(program: Program) {
    let server = program.start(&[]);
    let browser = Browser::start().await;
    let tab = browser.open(&server.url()).await;
    tab.says("status", "connected").await;
    let id = tab.text("connection-id").await;
    assert_eq!(
        server
            .publish(&target("connection", &id), r#"{"to":"me"}"#)
            .await,
        1
    );
    tab.shows("log", r#"{"to":"me"}"#).await;
    let before = tab.text("sessions").await;
    tab.click("create-session").await;
    tab.differs("sessions", &before).await;
    // What an event says is text, whatever it says.
    let event = json!("<img src=x onerror=\"document.title='broken'\"><b id=bold>").to_string();
    assert_eq!(server.publish(&target("connection", &id), &event).await, 1);
    tab.shows("log", "onerror").await;
    assert_eq!(
        tab.script("return document.querySelectorAll('#log img, #bold').length")
            .await,
        0
    );
    browser.close().await;
}

/// When the server comes back at the same address, the page connects again and is in its topic and
/// its session again.
pub async fn the_page_reconnects(program: Program) {
    let server = program.start(&[]);
    let (address, url) = (server.address.to_string(), server.url());
    let browser = Browser::start().await;
    let tab = browser.open(&url).await;
    tab.says("status", "connected").await;
    tab.fill("topic-input", "tea").await;
    tab.click("join").await;
    tab.shows("topics", "tea").await;
    let id = tab.text("connection-id").await;
    let topic = target("topic", "tea");
    assert_eq!(server.publish(&topic, r#"{"life":1}"#).await, 1);
    tab.shows("log", r#"{"life":1}"#).await;
    tab.click("create-session").await;
    let session = session(&tab).await;
    assert_eq!(server.publish(&session, r#"{"life":"one"}"#).await, 1);
    drop(server);
    tab.differs("status", "connected").await;
    let server = program.start_at(&address, &[]);
    tab.says("status", "connected").await;
    tab.differs("connection-id", &id).await;
    for (target, event) in [(topic, r#"{"life":2}"#), (session, r#"{"life":"two"}"#)] {
        until(format!("the page is in {target} again"), async || {
            (server.publish(&target, event).await == 1).then_some(())
        })
        .await;
        tab.shows("log", event).await;
    }
    browser.close().await;
}

/// The session that the page says it is in: the one word there that is long enough to be unguessable.
pub(crate) async fn session(tab: &Tab<'_>) -> Value {
    until("the page shows its session", async || {
        let text = tab.text("sessions").await;
        let mut words = text.split(|letter: char| !letter.is_ascii_alphanumeric());
        words
            .find(|word| word.len() >= 22)
            .map(|id| target("session", id))
    })
    .await
}
