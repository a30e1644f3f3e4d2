//! Tokens of an agent that is faster than its readers, to any number of them on any replica.
//!
//! ```sh
//! cargo run -p axum-app --bin tokens
//! curl -N 127.0.0.1:8080/tokens/a &   # each token: a reader that is too slow is told how many it lost
//! curl -N 127.0.0.1:8080/text/a &     # the text so far: a reader that is too slow skips states, and never the last
//! curl -d 1000 127.0.0.1:8080/ask/a   # 1,000 tokens
//! ```
//!
//! Tokens are deltas. **`KeepLatest` must never see a delta**: it replaces a waiting event by a later one of its key, which
//! is no loss and is not told, so a keyed token that is replaced is a hole in the text of which nobody is told. Tokens here have
//! no key. What has one is the text so far, of which the last is all that counts; it is published for every 64 tokens,
//! since publishing the whole for each would send n² bytes.
#![expect(clippy::print_stdout, reason = "a program that says where it listens")]

use std::env;

use axum::Router;
use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::{get, post};
use midplane::mailbox::Overflow;
use midplane::{AttachOptions, Error, Event, EventKey, Plane, Target};
use tokio::net::TcpListener;
use tokio::task::spawn_blocking;

/// After how many tokens the text so far is published.
const EVERY: usize = 64;

/// Each token in order, `event: lost` with a number where tokens came faster than they were read, and `event: missed` where
/// those of another replica may be missing: then a reader reads `/text` from its first event on.
async fn tokens(State(plane): State<Plane>, Path(id): Path<String>) -> Response {
    let sse = midplane_axum::sse(&plane).associate(Target::topic(format!("tokens.{id}")));
    sse.serve().await
}

/// The text so far, again and again. A slow reader gets the newest when it is ready for one, and is told of no loss.
async fn text(State(plane): State<Plane>, Path(id): Path<String>) -> Response {
    let latest = AttachOptions::new().overflow(Overflow::KeepLatest);
    let sse = midplane_axum::sse(&plane).associate(Target::topic(format!("text.{id}")));
    sse.options(latest).serve().await
}

/// Has the agent answer with this many tokens.
async fn ask(
    State(plane): State<Plane>,
    Path(id): Path<String>,
    tokens: String,
) -> midplane_axum::Result<()> {
    let tokens = tokens.trim().parse().unwrap_or(100);
    // Publishing never waits, so an agent may be a thread as well as a task.
    let agent = spawn_blocking(move || answer(&plane, &id, tokens));
    agent.await.unwrap_or(Err(Error::Closed))?;
    Ok(())
}

/// An agent that takes no time at all. An error says that other replicas do not get a token: it stops, and its asker reads why.
fn answer(plane: &Plane, id: &str, tokens: usize) -> Result<(), Error> {
    let told = Target::topic(format!("tokens.{id}"))?;
    let key = EventKey::new(format!("text.{id}"))?;
    let mut text = String::new();
    for number in 1..=tokens {
        let token = format!("{number} ");
        text.push_str(&token);
        plane.try_publish(&told, token)?;
        if number % EVERY == 0 || number == tokens {
            let so_far = Event::text(text.as_str()).keyed(key.clone());
            plane.try_publish(Target::topic(format!("text.{id}")), so_far)?;
        }
    }
    plane.try_publish(&told, "done")?;
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let plane = Plane::from_env().await?;
    let router = Router::new()
        .route("/tokens/{id}", get(tokens))
        .route("/text/{id}", get(text))
        .route("/ask/{id}", post(ask))
        .with_state(plane.clone());
    let address = env::var("LISTEN").unwrap_or_else(|_| "127.0.0.1:8080".to_owned());
    let listener = TcpListener::bind(address).await?;
    println!("listening on {}", listener.local_addr()?);
    midplane_axum::serve(listener, router, plane).await?;
    Ok(())
}
