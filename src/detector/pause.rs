//! A pause that ends on time. tokio's timers round up to the next whole millisecond, which
//! would double each of the short pauses between the dials that confirm a crash.

use std::time::Duration;

/// # Cancel safety
/// Safe: it only waits.
pub(super) async fn pause(time: Duration) {
    #[cfg(all(target_os = "linux", not(sim)))]
    if precise(time).await.is_ok() {
        return;
    }
    // Without a timer of its own (no file descriptor left, say) it ends a little later.
    tokio::time::sleep(time).await;
}

/// Sleeps on a kernel timer with the resolution of the clock (timerfd_create(2)).
#[cfg(all(target_os = "linux", not(sim)))]
async fn precise(time: Duration) -> std::io::Result<()> {
    use rustix::time::{
        Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
        timerfd_settime,
    };
    use tokio::io::Interest;
    use tokio::io::unix::AsyncFd;

    let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
    let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
    let once = Itimerspec {
        it_interval: Timespec { tv_sec: 0, tv_nsec: 0 },
        // Zero would disarm it.
        it_value: Timespec::try_from(time.max(Duration::from_nanos(1)))
            .map_err(std::io::Error::other)?,
    };
    timerfd_settime(&timer, TimerfdTimerFlags::empty(), &once)?;
    // Readable once it has expired.
    #[expect(deprecated, reason = "an owned descriptor stays what it is until it is dropped")]
    let timer = AsyncFd::with_interest(timer, Interest::READABLE)?;
    timer.readable().await?.retain_ready();
    Ok(())
}

#[cfg(test)]
#[cfg(not(sim))]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_pause_is_never_too_short() {
        for micros in [1, 200, 1000, 2500] {
            let began = crate::clock::now();
            pause(Duration::from_micros(micros)).await;
            assert!(began.elapsed() >= Duration::from_micros(micros));
        }
    }
}
