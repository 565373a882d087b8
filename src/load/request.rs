//! One request of a load: what is sent, what came of it, and whether it was right.

use super::generator::{Checked, Done, LoadError, LoadPlan, Outcome};
use super::mix::Mode;
use super::random::Random;
use crate::client::{Answer, CallError, Client};
use crate::clock::{self, Instant};
use crate::ident::RecordId;
use crate::record::Digest;

/// Stego pictures that extract mode prepares; clients share them. A few, because each is held in
/// memory and one is as good as another.
const PREPARED_MAX: usize = 8;

/// A picture to extract from, and what is in it.
pub(super) struct Prepared {
    secret: Vec<u8>,
    picture: Vec<u8>,
}

/// What every request of a load needs.
pub(super) struct Context<'a> {
    pub client: &'a Client,
    pub plan: &'a LoadPlan,
    pub pictures: &'a [Prepared],
}

/// What was acknowledged, where it can be read back.
enum Receipt {
    Picture {
        picture: Vec<u8>,
        secret: Vec<u8>,
    },
    Record {
        digest: Digest,
    },
    /// It was read back already: that was the request. With the picture, where it made one.
    Checked {
        picture: Option<Vec<u8>>,
    },
}

/// Makes one request that is due at `due`, of `first` before the other servers.
pub(super) fn one(
    context: &Context<'_>,
    first: usize,
    id: RecordId,
    random: &mut Random,
    due: Option<Instant>,
) -> Done {
    let mode = context.plan.mix.pick(random);
    let server = Some(first % context.client.servers().len());
    let mut tally = Tally { server, attempts: 0 };
    // Made before the clock starts: made-up bytes are no latency of the service's.
    let input = Input::make(context, mode, random);
    let sent = clock::now();
    let answered = input.send(context, first, &id, &mut tally);
    let ended = clock::now();
    let (outcome, checked) = match answered {
        Err(failed) => (failed, Checked::Not),
        Ok(receipt) => check(context, first + 1, &id, receipt),
    };
    let (server, attempts) = (tally.server, tally.attempts);
    let started = due.unwrap_or(sent);
    Done { id, mode, started, sent, ended, outcome, checked, server, attempts }
}

/// What a request sends, made beforehand.
enum Input<'a> {
    Embed { mode: Mode, secret: Vec<u8>, random: Random },
    Extract(&'a Prepared),
    Commit,
}

impl<'a> Input<'a> {
    fn make(context: &Context<'a>, mode: Mode, random: &mut Random) -> Self {
        match mode {
            Mode::Commit => Self::Commit,
            Mode::Extract => {
                let number = random.below(context.pictures.len() as u64) as usize;
                Self::Extract(&context.pictures[number])
            }
            Mode::Embed | Mode::Roundtrip => {
                let plan = context.plan;
                let secret = plan.material.secret(random, plan.secret_bytes).into_owned();
                Self::Embed { mode, secret, random: Random::new(random.next_u64()) }
            }
        }
    }

    fn send(
        self,
        context: &Context<'_>,
        first: usize,
        id: &RecordId,
        tally: &mut Tally,
    ) -> Result<Receipt, Outcome> {
        let (client, material) = (context.client, &context.plan.material);
        let passphrase = material.passphrase.as_deref();
        match self {
            Self::Commit => {
                let digest = tally.count(client.commit(first, id))?.stego_sha256;
                Ok(Receipt::Record { digest })
            }
            Self::Extract(prepared) => {
                let called = client.extract_bytes(first, &prepared.picture, passphrase);
                same(&tally.count(called)?, &prepared.secret)?;
                Ok(Receipt::Checked { picture: None })
            }
            Self::Embed { mode, secret, mut random } => {
                let request = material.embed(&secret, &mut random);
                let picture = tally.count(client.embed_png(first, id, &request))?;
                if mode == Mode::Roundtrip {
                    let called = client.extract_bytes(first + 1, &picture, passphrase);
                    same(&tally.count(called)?, &secret)?;
                    return Ok(Receipt::Checked { picture: Some(picture) });
                }
                Ok(Receipt::Picture { picture, secret })
            }
        }
    }
}

/// What to make of an answer, after the clock was stopped. Reads the result back through
/// `server`, which is another one than made it, where the plan asks for that.
fn check(
    context: &Context<'_>,
    server: usize,
    id: &RecordId,
    receipt: Receipt,
) -> (Outcome, Checked) {
    let digest = match &receipt {
        Receipt::Picture { picture, .. } => Some(Digest::of(picture)),
        Receipt::Record { digest } => Some(*digest),
        Receipt::Checked { picture } => picture.as_deref().map(Digest::of),
    };
    let ok = Outcome::Ok { digest };
    let client = context.client;
    let passphrase = context.plan.material.passphrase.as_deref();
    let unread = |error: CallError| Outcome::Failed(format!("not read back: {}", error.last));
    let read_back = match receipt {
        Receipt::Checked { .. } => return (ok, Checked::Right),
        _ if !context.plan.verify => return (ok, Checked::Not),
        Receipt::Picture { picture, secret } => client
            .extract_bytes(server, &picture, passphrase)
            .map_err(unread)
            .and_then(|answer| same(&answer.value, &secret)),
        Receipt::Record { digest } => {
            client.record(server, id).map_err(unread).and_then(|answer| {
                let found = answer.value.record.stego_sha256;
                let wrong = || Outcome::Failed(format!("the ledger has {found}, not {digest}"));
                if found == digest { Ok(()) } else { Err(wrong()) }
            })
        }
    };
    match read_back {
        Ok(()) => (ok, Checked::Right),
        Err(wrong) => (wrong, Checked::Wrong),
    }
}

fn same(found: &[u8], secret: &[u8]) -> Result<(), Outcome> {
    if found == secret {
        return Ok(());
    }
    let (found, hidden) = (found.len(), secret.len());
    Err(Outcome::Failed(format!("extract gave {found} bytes that are not the {hidden} hidden")))
}

/// Who answered, and after how many attempts.
struct Tally {
    server: Option<usize>,
    attempts: u32,
}

impl Tally {
    fn count<T>(&mut self, called: Result<Answer<T>, CallError>) -> Result<T, Outcome> {
        match called {
            Ok(answer) => {
                self.server = answer.server_index.or(self.server);
                self.attempts = self.attempts.max(answer.attempts);
                Ok(answer.value)
            }
            Err(error) => {
                self.attempts = self.attempts.max(error.attempts);
                let cause = error.last.to_string();
                Err(if error.outcome_unknown {
                    Outcome::Unknown(cause)
                } else {
                    Outcome::Failed(cause)
                })
            }
        }
    }
}

/// Pictures for extract mode, if that is in the mix.
pub(super) fn prepare(client: &Client, plan: &LoadPlan) -> Result<Vec<Prepared>, LoadError> {
    if !plan.mix.has(Mode::Extract) {
        return Ok(Vec::new());
    }
    let count = plan.clients.max(plan.material.covers.len()).clamp(1, PREPARED_MAX);
    let mut random = Random::stream(plan.seed, u64::MAX);
    (0..count)
        .map(|number| {
            let text = format!("{}-prepared-{number}", plan.id_prefix);
            let id = text.parse().map_err(|_| LoadError::Prefix(plan.id_prefix.clone()))?;
            let secret = plan.material.secret(&mut random, plan.secret_bytes).into_owned();
            let request = plan.material.embed(&secret, &mut random);
            let answer = client.embed_png(number, &id, &request);
            let picture = answer.map_err(|error| LoadError::Preparation(Box::new(error)))?.value;
            Ok(Prepared { secret, picture })
        })
        .collect()
}
