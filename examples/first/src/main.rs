//! Two replicas in fifteen lines: run it twice, and each prints what either publishes.
#![expect(clippy::print_stdout, reason = "a program that shows what it gets")]

use futures::StreamExt;
use midplane::{Plane, Target};

#[tokio::main]
async fn main() -> Result<(), midplane::Error> {
    let url = std::env::args().nth(1);
    let plane = Plane::connect(url.as_deref().unwrap_or("redis://localhost")).await?;
    let mut phone = plane.attach();
    phone.associate(Target::topic("engines")).await?;
    let receipt = plane.publish(Target::topic("engines")?, "it turns");
    assert_eq!(receipt.accepted(), 1);
    while let Some(item) = phone.next().await {
        println!("{item:?}");
    }
    plane.close().await;
    Ok(())
}
