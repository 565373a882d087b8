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
    }
}

impl State {
    fn sentence(&self, patience: Patience) -> String {
        let within = patience.deadline.as_secs();
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
