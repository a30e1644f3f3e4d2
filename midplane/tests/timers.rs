//! The clocks of the runtimes' timers.

use std::time::Duration;

use midplane::{Instant, Timer};
use tokio::runtime::Builder;

const HOUR: Duration = Duration::from_secs(3_600);

#[test]
fn a_timer_made_in_paused_time_keeps_to_the_paused_time() {
    let runtime = Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(async {
        let timer = midplane::tokio::Timer::new();
        timer.sleep(HOUR).await;
        let passed = timer.now() - Instant::ZERO;
        assert!((HOUR..2 * HOUR).contains(&passed), "{passed:?}");
    });
}

#[test]
fn a_timer_made_in_running_time_counts_from_then_on() {
    let runtime = Builder::new_current_thread().enable_time().build().unwrap();
    let timers: [Box<dyn Timer>; 3] = [
        Box::new(runtime.block_on(async { midplane::tokio::Timer::new() })),
        Box::new(midplane::smol::Timer::new()),
        Box::new(midplane::threads::Timer::new()),
    ];
    for timer in timers {
        assert!(timer.now() - Instant::ZERO < HOUR);
        let _inside = runtime.enter();
        let (before, short) = (timer.now(), Duration::from_millis(5));
        runtime.block_on(timer.sleep(short));
        assert!(timer.now() - before >= short);
    }
}
