//! The operator's file of tokens: `ROLE NAME TOKEN`, one a line; `#` begins a comment.

use std::collections::BTreeSet;
use std::io;
use std::str::FromStr;

use sha2::{Digest as _, Sha256};
use subtle::{ConditionallySelectable as _, ConstantTimeEq as _};

use super::Role;
use crate::limits::{TOKEN_BYTES_MAX, TOKEN_BYTES_MIN, TOKENS_MAX};

/// Why a file of tokens cannot be used. Never shows a token.
#[derive(Debug, thiserror::Error)]
pub enum TokensError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("larger than {} bytes", crate::limits::TOKENS_FILE_BYTES_MAX)]
    TooLarge,
    #[error("more than {TOKENS_MAX} tokens")]
    TooMany,
    #[error("there is no token in it")]
    Empty,
    #[error("line {line}: write ROLE NAME TOKEN, with spaces between")]
    Malformed { line: usize },
    #[error("line {line}: the role is none of read, embed, admin")]
    NoSuchRole { line: usize },
    #[error(
        "line {line}: a token has {TOKEN_BYTES_MIN} to {TOKEN_BYTES_MAX} letters, digits and \
         -._~+/= (RFC 6750); openssl rand -hex 32 makes one"
    )]
    NoToken { line: usize },
    #[error("line {line}: this name or this token was given before")]
    Twice { line: usize },
}

/// Digests of tokens, and what each allows.
#[derive(Debug, Default)]
pub(super) struct Tokens {
    entries: Vec<([u8; 32], Role)>,
}

impl Tokens {
    /// Compares with every token, each in constant time, so that the time tells nothing of how
    /// near a guess is. What is compared are digests, of which a guesser cannot choose the bytes.
    pub fn role_of(&self, digest: &[u8; 32]) -> Option<Role> {
        let mut found = 0_u8;
        for (known, role) in &self.entries {
            found.conditional_assign(&number(*role), known.ct_eq(digest));
        }
        [Role::Read, Role::Embed, Role::Admin].into_iter().find(|role| number(*role) == found)
    }
}

/// 0 is nobody's.
fn number(role: Role) -> u8 {
    match role {
        Role::Read => 1,
        Role::Embed => 2,
        Role::Admin => 3,
    }
}

impl FromStr for Tokens {
    type Err = TokensError;

    fn from_str(text: &str) -> Result<Self, TokensError> {
        let mut tokens = Self::default();
        let mut names = BTreeSet::new();
        for (line, text) in (1..).zip(text.lines()) {
            let text = text.trim();
            if text.is_empty() || text.starts_with('#') {
                continue;
            }
            let words: Vec<&str> = text.split_whitespace().collect();
            let [role, name, token] = words[..] else {
                return Err(TokensError::Malformed { line });
            };
            let role = match role {
                "read" => Role::Read,
                "embed" => Role::Embed,
                "admin" => Role::Admin,
                _ => return Err(TokensError::NoSuchRole { line }),
            };
            if !is_token(token) {
                return Err(TokensError::NoToken { line });
            }
            let digest: [u8; 32] = Sha256::digest(token.as_bytes()).into();
            let known = tokens.entries.iter().any(|(known, _)| *known == digest);
            if !names.insert(name) || known {
                return Err(TokensError::Twice { line });
            }
            if tokens.entries.len() == TOKENS_MAX {
                return Err(TokensError::TooMany);
            }
            tokens.entries.push((digest, role));
        }
        // Nobody could do anything, which nobody means.
        if tokens.entries.is_empty() { Err(TokensError::Empty) } else { Ok(tokens) }
    }
}

/// `b64token` of RFC 6750, section 2.1, with a length that cannot be guessed.
fn is_token(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte);
    (TOKEN_BYTES_MIN..=TOKEN_BYTES_MAX).contains(&text.len()) && text.bytes().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "aaaaaaaaaaaaaaaa";
    const B: &str = "bbbbbbbbbbbbbbbb";

    fn role(tokens: &Tokens, token: &str) -> Option<Role> {
        tokens.role_of(&Sha256::digest(token.as_bytes()).into())
    }

    #[test]
    fn each_token_has_the_role_of_its_line() {
        let text = format!("# people\n\n read  monitor\t{A}\nadmin ops {B}  \n");
        let tokens: Tokens = text.parse().unwrap();
        assert_eq!(role(&tokens, A), Some(Role::Read));
        assert_eq!(role(&tokens, B), Some(Role::Admin));
        for unknown in ["", "monitor", &A[1..], &format!("{A}a")] {
            assert_eq!(role(&tokens, unknown), None, "{unknown}");
        }
    }

    #[test]
    fn mistakes_are_named_by_line_and_never_show_a_token() {
        for (text, expected) in [
            ("".to_owned(), "no token"),
            ("# nothing\n".to_owned(), "no token"),
            (format!("read {A}"), "line 1: write ROLE NAME TOKEN"),
            (format!("read a {A} more"), "line 1: write ROLE NAME TOKEN"),
            (format!("\nroot a {A}"), "line 2: the role"),
            (format!("READ a {A}"), "line 1: the role"),
            ("read a short".to_owned(), "line 1: a token has"),
            (format!("read a {A}\u{e9}"), "line 1: a token has"),
            (format!("read a {}", "x".repeat(TOKEN_BYTES_MAX + 1)), "line 1: a token has"),
            (format!("read a {A}\nread a {B}"), "line 2: this name or this token"),
            (format!("read a {A}\nadmin b {A}"), "line 2: this name or this token"),
        ] {
            let error = text.parse::<Tokens>().unwrap_err().to_string();
            assert!(error.contains(expected), "{text:?}: {error}");
            assert!(!error.contains(A) && !error.contains("short"), "{error}");
        }
        let many: String =
            (0..=TOKENS_MAX).map(|number| format!("read n{number} {A}{number}\n")).collect();
        assert!(matches!(many.parse::<Tokens>(), Err(TokensError::TooMany)));
    }
}
