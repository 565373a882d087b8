//! Says what a call waits for, once it has waited for a second: a command that is silent for a
//! minute looks as if it hung.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use super::error::ClientError;
use super::{Patience, Stop};

/// Hears the sentence.
pub(crate) type Notice = Arc<dyn Fn(&str) + Send + Sync>;

/// How long a call may take before anything is said.
const SILENCE_MAX: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
struct State {
    server: String,
    /// Why the last attempt failed.
    cause: Option<String>,
    /// That was before anything was sent.
    refused: bool,
}

/// A call under way. Nothing is said any more once it is dropped.
pub(crate) struct Waiting {
    state: Arc<Mutex<State>>,
    done: Stop,
    teller: Option<JoinHandle<()>>,
}

impl Waiting {
    /// Without a thread, which is all that can fail, nothing is said.
    pub fn start(notice: Notice, patience: Patience) -> Self {
        let (state, done) = (Arc::<Mutex<State>>::default(), Stop::new());
        let (told, until) = (Arc::clone(&state), done.clone());
        let teller = std::thread::Builder::new().name("notice".into()).spawn(move || {
            if !until.wait(SILENCE_MAX) {
                let sentence =
                    told.lock().unwrap_or_else(PoisonError::into_inner).sentence(patience);
                notice(&sentence);
            }
        });
        Self { state, done, teller: teller.ok() }
    }

    pub fn asks(&self, server: &str) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.server.clear();
        state.server.push_str(server);
    }

    pub fn failed(&self, error: &ClientError) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.cause = Some(error.to_string());
        state.refused = matches!(error, ClientError::NotSent { .. });
    }
}

impl State {
    fn sentence(&self, patience: Patience) -> String {
        let within = match patience.refused_max {
            Some(max) if self.refused => max.min(patience.deadline),
            Some(_) | None => patience.deadline,
        };
        let within = within.as_secs();
        match &self.cause {
            Some(cause) => format!("no success yet ({cause}); trying for up to {within} s"),
            None => format!("waiting for {}, for up to {within} s", self.server),
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.done.trip();
        if let Some(teller) = self.teller.take() {
            drop(teller.join());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sentence_says_what_failed_and_for_how_long_it_goes_on() {
        let patience =
            Patience { refused_max: Some(Duration::from_secs(5)), ..Patience::default() };
        let server = "http://a:1".to_owned();
        let asked = State { server: server.clone(), ..State::default() };
        assert_eq!(asked.sentence(patience), "waiting for http://a:1, for up to 30 s");
        for (refused, within) in [(true, 5), (false, 30)] {
            let failed = State { server: server.clone(), cause: Some("why".into()), refused };
            let expected = format!("no success yet (why); trying for up to {within} s");
            assert_eq!(failed.sentence(patience), expected);
        }
    }

    #[test]
    fn a_call_that_is_done_soon_says_nothing() {
        let said = Arc::new(Mutex::new(Vec::new()));
        let hears = Arc::clone(&said);
        let notice: Notice =
            Arc::new(move |text: &str| hears.lock().unwrap().push(text.to_owned()));
        drop(Waiting::start(Arc::clone(&notice), Patience::default()));
        assert!(said.lock().unwrap().is_empty());
        let waiting = Waiting::start(notice, Patience::default());
        waiting.asks("http://a:1");
        let until = crate::clock::now() + Duration::from_secs(20);
        while said.lock().unwrap().is_empty() && crate::clock::now() < until {
            std::thread::yield_now();
        }
        drop(waiting);
        assert_eq!(said.lock().unwrap().len(), 1);
    }
}
