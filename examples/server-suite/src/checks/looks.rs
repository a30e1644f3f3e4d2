//! How the page looks: in light and dark, wide and narrow, with the broker there and away.

use serde_json::{Value, json};

use crate::browser::{Browser, Tab};
use crate::checks::missed::Pair;
use crate::fixture::{Program, target};
use crate::http::Request;

/// The widths of a window, in pixels: a desk's, and a telephone's.
const WIDTHS: [(&str, u32); 2] = [("wide", 1_280), ("narrow", 390)];

/// What is wrong with a page that is shown: text of too little contrast (WCAG 2.2, 1.4.3), a page wider than its window,
/// and side by side cards of which one ends above the other.
const FAULTS: &str = r"
    const faults = [];
    const parse = color => (color.match(/[\d.]+/g) ?? [0, 0, 0, 0]).map(Number);
    const light = ([r, g, b]) => {
        const [x, y, z] = [r, g, b].map(c => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
        return 0.2126 * x + 0.7152 * y + 0.0722 * z;
    };
    const ground = element => {
        for (; element; element = element.parentElement) {
            const color = parse(getComputedStyle(element).backgroundColor);
            if (color.length === 3 || color[3] > 0) return color;
        }
        return [255, 255, 255];
    };
    let texts = 0;
    for (const element of document.querySelectorAll('body *')) {
        const style = getComputedStyle(element), box = element.getBoundingClientRect();
        const own = [...element.childNodes].some(node => node.nodeType === 3 && node.data.trim());
        const field = ['INPUT', 'TEXTAREA', 'SELECT'].includes(element.tagName);
        if (!box.width || !box.height || style.visibility === 'hidden' || !(own || field)) continue;
        if (['SCRIPT', 'STYLE', 'OPTION'].includes(element.tagName)) continue;
        texts++;
        const [one, two] = [light(parse(style.color)), light(ground(element))].sort((a, b) => b - a);
        const contrast = (one + 0.05) / (two + 0.05);
        if (contrast < 4.5) faults.push(`${element.tagName} ${element.id || element.className}: contrast ${contrast.toFixed(2)}`);
        if (box.right > innerWidth + 0.5) faults.push(`${element.tagName} ${element.id || element.className} ends at ${box.right}`);
    }
    if (texts < 40) faults.push(`only ${texts} texts`);
    const page = document.documentElement;
    if (page.scrollWidth > page.clientWidth) faults.push(`the page is ${page.scrollWidth} wide in ${page.clientWidth}`);
    const rows = new Map();
    for (const card of document.querySelectorAll('main > section')) {
        const box = card.getBoundingClientRect();
        rows.set(Math.round(box.top), [...(rows.get(Math.round(box.top)) ?? []), box]);
    }
    const main = document.querySelector('main').getBoundingClientRect();
    for (const boxes of rows.values()) {
        if (new Set(boxes.map(box => Math.round(box.bottom))).size > 1) faults.push('cards of a row end apart');
        if (Math.max(...boxes.map(box => box.right)) < main.right - 1) faults.push('a row has an empty column');
    }
    return faults;
";

/// How many elements are shown in the color of what is well.
const GOOD: &str =
    "return [...document.querySelectorAll('#status, #readiness, #nodes li, #nodes .word')]
    .filter(element => element.matches('.good, .good *')).length";

/// Looks at the page in every look: what is found wrong is a failure, and a picture of each is left beside the program.
async fn look(program: Program, tab: &Tab<'_>, what: &str) {
    for (width, pixels) in WIDTHS {
        for (room, dark) in [("light", false), ("dark", true)] {
            tab.look(pixels, dark).await;
            let picture = format!("{what}-{room}-{width}.png");
            tab.picture(&program.pictures().join(&picture)).await;
            assert_eq!(tab.script(FAULTS).await, json!([]), "{picture}");
        }
    }
}

/// Fills the page: targets, events, and a flow of which some failed.
async fn fill(pair: &Pair, tab: &Tab<'_>) {
    tab.join("tea").await;
    tab.join("a-topic-with-a-rather-long-name-that-has-to-be-broken")
        .await;
    tab.fill("agent-input", "planner").await;
    tab.click("create-session").await;
    tab.shows("sessions", "planner").await;
    let tea = target("topic", "tea");
    for event in [json!({"hello": "world"}), json!({"text": "x".repeat(400)})] {
        pair.origin.publish(&tea, &event.to_string()).await;
    }
    tab.publish("topic", "tea", r#"{"from": "this page"}"#, false)
        .await;
    let states = [
        "success", "success", "failure", "skipped", "success", "started",
    ];
    let of = states.len() * 4;
    for (execution, state) in states.iter().cycle().take(of).enumerate() {
        let step = json!({
            "flow": "f", "execution": execution, "state": state, "finished": execution, "of": of
        });
        pair.origin.publish(&tea, &step.to_string()).await;
    }
    tab.shows("flow-why", "2, 8, 14, 20 failed").await;
    tab.shows("flow-why", "3, 9, 15, 21 were skipped").await;
    tab.shows("nodes", "heard").await;
}

/// Every text can be read, nothing is wider than the window and no column stands empty: in light and dark, wide and narrow,
/// with the broker there, away, and back with something missed.
pub async fn the_page_is_legible_in_every_look(program: Program) {
    let pair = Pair::start(program, "").await;
    let browser = Browser::start().await;
    let url = format!("{}/?user=ada&org=engines", pair.receiver.url());
    let tab = browser.open(&url).await;
    tab.says("status", "connected").await;
    fill(&pair, &tab).await;
    look(program, &tab, "well").await;
    pair.cut_off(async |origin| {
        tab.says("readiness", "not ready").await;
        origin.publish(&target("topic", "tea"), "1").await;
        look(program, &tab, "broker-away").await;
    })
    .await;
    tab.shows("missed-what", "missing since").await;
    tab.says("readiness", "ready").await;
    look(program, &tab, "missed").await;
    browser.close().await;
}

/// Nothing on the page is green over a dead broker, and what is red says why; nor over a dead server.
pub async fn the_page_says_that_the_broker_is_away(program: Program) {
    let pair = Pair::start(program, "").await;
    let browser = Browser::start().await;
    let tab = browser.open_connected(&pair.receiver).await;
    tab.says("readiness", "ready").await;
    tab.shows("nodes", "heard").await;
    let other = pair.origin.backplane().await["node"].clone();
    tab.shows("nodes", other.as_str().expect("a name")).await;
    assert_eq!(tab.script(GOOD).await, 6);
    let hidden = "return document.getElementById('broken').hidden";
    assert_eq!(tab.script(hidden).await, true);
    pair.kill_broker();
    tab.says("status", "broker away").await;
    tab.says("readiness", "not ready").await;
    tab.shows("broken-what", "broker").await;
    tab.shows("nodes", "alone").await;
    assert_eq!(tab.script(GOOD).await, 0);
    assert_eq!(tab.script(hidden).await, false);
    pair.restart_broker().await;
    tab.says("status", "connected").await;
    tab.says("readiness", "ready").await;
    assert_eq!(tab.script(hidden).await, true);
    let Pair { receiver, .. } = pair;
    drop(receiver);
    tab.says("status", "reconnecting").await;
    tab.says("readiness", "no answer").await;
    tab.shows("nodes", "no answer").await;
    assert_eq!(tab.script(GOOD).await, 0);
    browser.close().await;
}

/// What the page says of an event counts the connections of all nodes, or says of which node it counts them. An id that is
/// shown short is copied whole.
pub async fn the_page_counts_on_every_node(program: Program) {
    // A node that stands still is a member for as long as a busy machine needs to publish.
    let pair = Pair::start(program, "--heartbeat 2s --time-to-live 30s").await;
    let browser = Browser::start().await;
    let tab = browser.open_connected(&pair.receiver).await;
    let there = crate::client::Client::connect(&pair.origin, "org=elsewhere").await;
    tab.publish("org", "elsewhere", "1", false).await;
    tab.says("outcome", "1 connection took it, on 1 other node.")
        .await;
    tab.join("tea").await;
    tab.publish("topic", "tea", "1", false).await;
    let here = "1 connection of this node took it. It is on its way to the other nodes.";
    tab.says("outcome", here).await;
    let short =
        "const id = document.getElementById('connection-id'), box = id.getBoundingClientRect();
        return [id.textContent.length, box.width < id.scrollWidth / 2, id.nextElementSibling.textContent]";
    assert_eq!(tab.script(short).await, json!([32, true, "Copy"]));
    let name: Value = pair.origin.backplane().await["node"].clone();
    pair.origin.signal(midplane_testkit::child::Signal::STOP);
    tab.publish("org", "elsewhere", "2", false).await;
    let name: String = name.as_str().unwrap_or_default().chars().take(8).collect();
    tab.shows("outcome", &format!("No answer from {name}"))
        .await;
    pair.origin.signal(midplane_testkit::child::Signal::CONT);
    drop(there);
    // Who is no operator is shown no other node, and told why.
    let server = program.start("--public-host live.example");
    let tab = browser.open_connected(&server).await;
    tab.shows("nodes-hint", "for operators").await;
    tab.says("readiness", "ready").await;
    Request::new("GET", "/nodes").answered(&server, 403).await;
    browser.close().await;
}
