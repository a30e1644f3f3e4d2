//! The page, in a real browser.

use futures::future::join;
use midplane_testkit::child::Signal;
use midplane_testkit::proxy::{Proxy, Way};
use midplane_testkit::{PATIENCE, until};
use serde_json::{Value, json};

use crate::browser::{Browser, Tab};
use crate::checks::missed::Pair;
use crate::fixture::{Endpoint, Program, target};
use crate::flags;

/// What is published in one tab shows in the other that joined the same topic, and the counts rise.
pub async fn a_publish_in_one_tab_shows_in_the_other(program: Program) {
    let server = program.start("");
    let browser = Browser::start().await;
    let first = browser.open_connected(&server).await;
    let second = browser.open_connected(&server).await;
    let id = first.text("connection-id").await;
    assert_ne!(id, second.text("connection-id").await);
    for tab in [&first, &second] {
        tab.join("tea").await;
    }
    server
        .delivers(&target("topic", "tea"), r#"{"post":"\u0031"}"#, 2)
        .await;
    for tab in [&first, &second] {
        tab.shows("log", r#"{"post":"\u0031"}"#).await;
        tab.says("count-received", "1").await;
    }
    let (from, others, fence) = (
        r#"{"from":"first"}"#,
        r#"{"for":"others"}"#,
        r#"{"fence":1}"#,
    );
    first.publish("topic", "tea", from, false).await;
    for tab in [&first, &second] {
        tab.shows("log", from).await;
        tab.says("count-received", "2").await;
    }
    first.publish("topic", "tea", others, true).await;
    second.shows("log", others).await;
    second.says("count-received", "3").await;
    // The fence shows in the first tab, where the event that excluded that tab does not.
    second.publish("topic", "tea", fence, false).await;
    first.shows("log", fence).await;
    first.says("count-received", "3").await;
    assert!(!first.text("log").await.contains(others));
    browser.close().await;
}

/// Connections, sessions and every kind of target that the page offers work from it.
pub async fn the_page_shows_where_it_is(program: Program) {
    let server = program.start("");
    let browser = Browser::start().await;
    let tab = browser.open_connected(&server).await;
    let id = tab.text("connection-id").await;
    server
        .delivers(&target("connection", &id), r#"{"to":"me"}"#, 1)
        .await;
    tab.shows("log", r#"{"to":"me"}"#).await;
    let before = tab.text("sessions").await;
    tab.click("create-session").await;
    tab.differs("sessions", &before).await;
    // An event shows as text, even if it is HTML.
    let event = json!("<img src=x onerror=\"document.title='broken'\"><b id=bold>").to_string();
    server.delivers(&target("connection", &id), &event, 1).await;
    tab.shows("log", "onerror").await;
    let elements = "return document.querySelectorAll('#log img, #bold').length";
    assert_eq!(tab.script(elements).await, 0);
    browser.close().await;
}

/// When the server comes back at the same address, the page connects again and is in its topic and
/// its session again.
pub async fn the_page_reconnects(program: Program) {
    let server = program.start("");
    let address = server.address.to_string();
    let browser = Browser::start().await;
    let tab = browser.open_connected(&server).await;
    tab.join("tea").await;
    let id = tab.text("connection-id").await;
    let topic = target("topic", "tea");
    server.delivers(&topic, r#"{"life":1}"#, 1).await;
    tab.shows("log", r#"{"life":1}"#).await;
    tab.click("create-session").await;
    let session = session(&tab).await;
    server.delivers(&session, r#"{"life":"one"}"#, 1).await;
    drop(server);
    tab.differs("status", "connected").await;
    let server = program.start_at(&address, "");
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

/// The page says how far it reaches, and after an outage what was missed, apart from what was lost, until that is
/// fetched.
pub async fn the_page_says_what_was_missed(program: Program) {
    let pair = Pair::start(program, flags::LISTED_FOR_LONG).await;
    let browser = Browser::start().await;
    let tab = browser.open_connected(&pair.receiver).await;
    tab.join("tea").await;
    tab.says("reach", "every node").await;
    pair.origin.publish(&target("topic", "tea"), "0").await;
    tab.says("count-received", "1").await;
    let hidden = "return document.getElementById('missed').hidden";
    assert_eq!(tab.script(hidden).await, true);
    pair.cut_off(async |origin| {
        tab.shows("reach", "this node only").await;
        for event in ["1", "2"] {
            origin.publish(&target("topic", "tea"), event).await;
        }
    })
    .await;
    tab.shows("missed-what", "Up to 2 events are missing since")
        .await;
    tab.shows("missed-do", "fetch the state").await;
    assert_eq!(tab.script(hidden).await, false);
    tab.says("count-missed", "2").await;
    tab.says("count-lost", "0").await;
    tab.says("reach", "every node").await;
    tab.click("missed-done").await;
    assert_eq!(tab.script(hidden).await, true);
    browser.close().await;
}

/// An application with the client for browsers, which keeps in its order what it is told.
const APPLICATION: &str = r#"
    window.heard = [];
    // How many listen to the window, less those that were ended.
    window.listening = 0;
    const listen = window.addEventListener;
    window.addEventListener = (name, act, options) => {
        window.listening++;
        options?.signal?.addEventListener("abort", () => window.listening--);
        listen.call(window, name, act, options);
    };
    import("/midplane.js").then(({ Midplane }) => {
        const plane = window.plane = new Midplane("/ws", { silence: 4000 });
        const hear = (name, word) => plane.addEventListener(name, ({ detail }) => heard.push(`${name} ${word(detail)}`));
        hear("event", ({ text }) => text.length < 20 ? text : "long");
        hear("state", ({ state, reach }) => reach ? `${state} ${reach}` : state);
        hear("missed", ({ events, exact }) => `${events} ${exact}`);
        hear("lost", ({ count }) => count > 0 ? "some" : count);
        plane.join("tea").then(({ reach }) => heard.push(`joined ${reach}`));
    });
"#;

/// Waits until the application has heard these, in this order and maybe others between them, and forgets what it heard.
async fn heard(tab: &Tab<'_>, expected: &[&str]) {
    let mut last = Value::Null;
    let all = async {
        loop {
            last = tab.script("return window.heard").await;
            let mut words = last.as_array().into_iter().flatten();
            if expected.iter().all(|next| words.any(|word| word == next)) {
                return;
            }
        }
    };
    if tokio::time::timeout(PATIENCE, all).await.is_err() {
        panic!("the application is told {expected:?}, but {last}");
    }
    tab.script("window.heard.length = 0").await;
}

/// An application with the client for browsers learns of everything that happens to its connection: an outage of the broker,
/// a server that stands still, and one that is started anew.
pub async fn the_client_for_browsers_comes_back(program: Program) {
    let pair = Pair::start(program, flags::LISTED_FOR_LONG).await;
    let browser = Browser::start().await;
    let tab = browser.open_connected(&pair.receiver).await;
    tab.script(APPLICATION).await;
    let topic = target("topic", "tea");
    heard(
        &tab,
        &[
            "state connecting",
            "state open everywhere",
            "joined everywhere",
        ],
    )
    .await;
    pair.origin.publish(&topic, "1").await;
    heard(&tab, &["event 1"]).await;
    let cut_off = pair.cut_off(async |origin| {
        heard(&tab, &["state open here"]).await;
        origin.publish(&topic, "2").await;
    });
    cut_off.await;
    heard(&tab, &["missed 1 true", "state open everywhere"]).await;
    // A server that stands still ends nothing by itself: the client asks it for a sign of life, and connects again.
    pair.receiver.signal(Signal::STOP);
    heard(&tab, &["state waiting"]).await;
    pair.receiver.signal(Signal::CONT);
    heard(&tab, &["missed undefined false"]).await;
    pair.receiver.is_ready().await;
    pair.origin.publish(&topic, "3").await;
    heard(&tab, &["event 3"]).await;
    // Closed for good, nothing keeps it.
    assert_eq!(tab.script("return window.listening").await, 2);
    tab.script("window.plane.close()").await;
    heard(&tab, &["state closed"]).await;
    assert_eq!(tab.script("return window.listening").await, 0);
    browser.close().await;
}

/// An application with the client for browsers is told of each fault what it costs: nothing, when a broker that was started
/// anew brings what was published meanwhile; all that may be missed, when its network was cut or its server was started anew;
/// and what it lost, when it was too slow itself.
pub async fn an_application_in_a_browser_is_told_of_every_fault(program: Program) {
    let pair = Pair::start(program, "--time-to-live 30s").await;
    // The network between the browser and the server.
    let network = Proxy::start(pair.receiver.address);
    let near = Endpoint {
        address: network.address(),
    };
    let browser = Browser::start().await;
    let tab = browser.open_connected(&near).await;
    tab.script(APPLICATION).await;
    let topic = target("topic", "tea");
    heard(&tab, &["joined everywhere"]).await;
    pair.kill_broker();
    heard(&tab, &["state open here"]).await;
    pair.origin.publish(&topic, "1").await;
    pair.restart_broker().await;
    pair.origin.publish(&topic, "2").await;
    until(
        "the application is told of all, and of no more",
        async || {
            let told = tab.script("return [...window.heard].sort()").await;
            let all = json!(["event 1", "event 2", "state open everywhere"]);
            assert!(!told.to_string().contains("missed"), "{told}");
            (told == all).then_some(())
        },
    )
    .await;
    tab.script("window.heard.length = 0").await;
    network.refuse();
    heard(&tab, &["state waiting"]).await;
    network.accept();
    heard(&tab, &["state open everywhere", "missed undefined false"]).await;
    // A cable that is pulled ends nothing: the client finds the silence.
    network.hold(Way::ToClient);
    heard(&tab, &["state waiting"]).await;
    network.pass(Way::ToClient);
    heard(&tab, &["state open everywhere", "missed undefined false"]).await;
    let Pair {
        origin, receiver, ..
    } = pair;
    let address = receiver.address.to_string();
    drop((receiver, origin));
    heard(&tab, &["state waiting", "state connecting"]).await;
    let server = program.start_at(&address, "");
    heard(&tab, &["state open everywhere", "missed undefined false"]).await;
    server.delivers(&topic, "3", 1).await;
    heard(&tab, &["event 3"]).await;
    browser.close().await;
}

/// A page that stands still for a while, longer than its client lets a server be silent, is told what it lost by that, and
/// keeps its connection.
pub async fn a_page_that_stands_still_is_told_what_it_lost(program: Program) {
    let server = program.start("--mailbox-messages 4");
    let browser = Browser::start().await;
    let tab = browser.open_connected(&server).await;
    tab.script(APPLICATION).await;
    heard(&tab, &["joined everywhere"]).await;
    // Until all is published, and for longer than the client waits for a silent server.
    const STAND_STILL: &str = r#"setTimeout(() => {
        const end = Date.now() + 7000, published = () => {
            const request = new XMLHttpRequest();
            request.open("GET", "/healthz", false);
            request.send();
            return JSON.parse(request.responseText).published;
        };
        while (Date.now() < end || published() < 512);
    })"#;
    let large = format!("\"{}\"", "x".repeat(60 << 10));
    let publish = async {
        for _ in 0..512 {
            server.publish(&target("topic", "tea"), &large).await;
        }
    };
    // The driver is answered once the page moves again.
    join(tab.script(STAND_STILL), publish).await;
    until("the page has heard the last event", async || {
        server.publish(&target("topic", "tea"), "\"last\"").await;
        let heard = "return window.heard.includes('event \"last\"')";
        (tab.script(heard).await == true).then_some(())
    })
    .await;
    let told = "return [...new Set(window.heard)].sort()";
    let expected = json!(["event \"last\"", "event long", "lost some"]);
    assert_eq!(tab.script(told).await, expected);
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
