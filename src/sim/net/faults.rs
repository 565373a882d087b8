//! What can happen to a network: cuts, losses, delays, and machines without power.

use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::task::Waker;
use std::time::Duration;

use super::super::random;
use super::{Pipe, Quality, answer_with_reset, lock, with};
use crate::clock;

/// The longest time until a kernel tries again after a cut.
const RESEND_MS_MAX: u64 = 3000;

/// What a cut or a loss held up is sent again.
fn resend(pipe: &Arc<Mutex<Pipe>>, cut_for: Duration) {
    // A kernel waits twice as long each time, so that it may come late after a long cut.
    let longest = (cut_for.as_millis() as u64).clamp(1, RESEND_MS_MAX);
    let wait = random::draw(|random| random.within(1..=longest));
    let mut pipe = lock(pipe);
    let at = clock::now() + Duration::from_millis(wait);
    let mut held_up = false;
    for (arrival, _) in &mut pipe.queue {
        if arrival.is_none() {
            *arrival = Some(at);
            held_up = true;
        }
    }
    if held_up {
        pipe.last = Some(at);
        if let Some(reader) = pipe.reader.take() {
            reader.wake();
        }
    }
}

/// What is under way does not arrive.
fn hold_up(pipe: &Arc<Mutex<Pipe>>) {
    let now = clock::now();
    for (arrival, _) in &mut lock(pipe).queue {
        if arrival.is_some_and(|at| at > now) {
            *arrival = None;
        }
    }
}

/// The quality of every link that is not given its own.
pub fn set_default_quality(quality: Quality) {
    with(|net| net.quality = quality);
}

/// The quality of one direction.
pub fn set_quality(from: IpAddr, to: IpAddr, quality: Quality) {
    with(|net| net.link(from, to).quality = quality);
}

/// Cuts one direction.
pub fn cut(from: IpAddr, to: IpAddr) {
    let pipes = with(|net| {
        net.link(from, to).cut.get_or_insert_with(clock::now);
        net.live_pipes()
    });
    pipes.iter().filter(|pipe| runs(pipe, from, to)).for_each(hold_up);
}

/// Mends one direction.
pub fn mend(from: IpAddr, to: IpAddr) {
    let (since, pipes, dialling) = with(|net| {
        let since = net.link(from, to).cut.take();
        (since, net.live_pipes(), std::mem::take(&mut net.dialling))
    });
    if let Some(since) = since {
        for pipe in pipes.iter().filter(|pipe| runs(pipe, from, to)) {
            resend(pipe, since.elapsed());
        }
    }
    dialling.into_iter().for_each(Waker::wake);
}

/// Whether a segment sent now would arrive.
pub fn passes(from: IpAddr, to: IpAddr) -> bool {
    with(|net| net.passes(from, to))
}

fn runs(pipe: &Arc<Mutex<Pipe>>, from: IpAddr, to: IpAddr) -> bool {
    let pipe = lock(pipe);
    pipe.from.0 == from && pipe.to.0 == to
}

/// The host falls silent: kernel, sockets and all. Its process is to be killed after this.
pub fn power_off(host: IpAddr) {
    let pipes = with(|net| {
        let kernel = net.kernel(host);
        kernel.off = true;
        kernel.listeners.clear();
        net.live_pipes()
    });
    for pipe in &pipes {
        if lock(pipe).to.0 == host || lock(pipe).from.0 == host {
            hold_up(pipe);
        }
    }
}

/// The host's kernel answers again, and knows nothing of before.
pub fn power_on(host: IpAddr) {
    let (pipes, dialling) = with(|net| {
        let kernel = net.kernel(host);
        if !kernel.off {
            return (Vec::new(), Vec::new());
        }
        kernel.off = false;
        kernel.boot += 1;
        (net.live_pipes(), std::mem::take(&mut net.dialling))
    });
    for pipe in pipes {
        let (to, back) = {
            let pipe = lock(&pipe);
            (pipe.to.0, pipe.back.upgrade().filter(|_| !pipe.queue.is_empty()))
        };
        // Somebody still sends to what it was.
        if let Some(back) = back.filter(|_| to == host) {
            answer_with_reset(&back);
        }
    }
    dialling.into_iter().for_each(Waker::wake);
}
