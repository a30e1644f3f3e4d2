//! Two nodes in one process: what one publishes the other's connection gets, and what both serve is a router.

use axum::Router;
use axum::routing::get;
use futures::StreamExt;
use midplane::{Event, Item, Plane, Target};

#[tokio::main]
async fn main() -> Result<(), midplane::Error> {
    let (here, there) = (
        Plane::connect("memory:outside").await?,
        Plane::connect("memory:outside").await?,
    );
    let mut phone = there.attach();
    phone.associate(Target::topic("engines")).await?;
    here.try_publish(Target::topic("engines"), "it turns")?;
    let item = phone.next().await;
    assert_eq!(item, Some(Item::Event(Event::text("it turns"))));

    // A bus that is compiled in and not there is an error, and not a single node.
    for url in ["redis", "nats", "postgres"].map(|bus| format!("{bus}://127.0.0.1:1")) {
        let refused = Plane::connect(&url)
            .await
            .err()
            .map(|error| error.to_string());
        assert!(
            refused.is_some_and(|refused| refused.contains("127.0.0.1:1")),
            "{url}"
        );
    }

    let router: Router = Router::new()
        .route("/readyz", get(midplane_axum::readyz))
        .with_state(here.clone());
    drop(router);
    here.close().await;
    there.close().await;
    println!("one event, two nodes");
    Ok(())
}
