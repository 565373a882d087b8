//! Rust source as tokens, without comments: just enough to see paths, macros, module
//! declarations and what belongs to tests.

/// A piece of source and the 1-based line that it begins on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    pub kind: Kind,
    pub line: usize,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    Word(String),
    /// The text of a string literal, as written between its quotes.
    Text(String),
    /// `::`
    PathSep,
    Mark(char),
}

impl Token {
    pub fn word(&self) -> Option<&str> {
        match &self.kind {
            Kind::Word(word) => Some(word),
            Kind::Text(_) | Kind::PathSep | Kind::Mark(_) => None,
        }
    }

    pub fn is(&self, mark: char) -> bool {
        self.kind == Kind::Mark(mark)
    }
}

struct Lexer<'a> {
    rest: &'a str,
    line: usize,
    tokens: Vec<Token>,
}

pub fn tokens(source: &str) -> Vec<Token> {
    let mut lexer = Lexer { rest: source, line: 1, tokens: Vec::new() };
    while lexer.step() {}
    lexer.tokens
}

impl Lexer<'_> {
    /// Goes past `bytes` of source and counts their lines.
    fn advance(&mut self, bytes: usize) {
        self.line += self.rest[..bytes].matches('\n').count();
        self.rest = &self.rest[bytes..];
    }

    fn emit(&mut self, kind: Kind, bytes: usize) {
        self.tokens.push(Token { kind, line: self.line });
        self.advance(bytes);
    }

    fn step(&mut self) -> bool {
        let rest = self.rest;
        let Some(first) = rest.chars().next() else { return false };
        if rest.starts_with("//") {
            self.advance(rest.find('\n').unwrap_or(rest.len()));
        } else if rest.starts_with("/*") {
            self.advance(block_comment(rest));
        } else if let Some((text, length)) = string(rest) {
            self.emit(Kind::Text(text.to_owned()), length);
        } else if let Some(length) = char_literal(rest) {
            self.advance(length);
        } else if first.is_alphanumeric() || first == '_' {
            let end = rest.find(|c: char| !(c.is_alphanumeric() || c == '_'));
            let word = &rest[..end.unwrap_or(rest.len())];
            self.emit(Kind::Word(word.to_owned()), word.len());
        } else if rest.starts_with("::") {
            self.emit(Kind::PathSep, 2);
        } else if first.is_whitespace() {
            self.advance(first.len_utf8());
        } else {
            self.emit(Kind::Mark(first), first.len_utf8());
        }
        true
    }
}

/// The length of a block comment; they nest.
fn block_comment(rest: &str) -> usize {
    let mut depth = 0;
    let mut at = 0;
    while at < rest.len() {
        match &rest.as_bytes()[at..] {
            [b'/', b'*', ..] => (depth, at) = (depth + 1, at + 2),
            [b'*', b'/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at
}

/// A string literal of any kind: its text and its whole length.
fn string(rest: &str) -> Option<(&str, usize)> {
    let prefix = ["br", "cr", "r", "b", "c", ""].into_iter().find(|prefix| {
        let after = rest.strip_prefix(prefix);
        let raw = prefix.ends_with('r');
        after.is_some_and(|after| {
            after.starts_with('"') || (raw && after.trim_start_matches('#').starts_with('"'))
        })
    })?;
    let after = &rest[prefix.len()..];
    let hashes = after.len() - after.trim_start_matches('#').len();
    let body = &after[hashes + 1..];
    let opening = prefix.len() + hashes + 1;
    if prefix.ends_with('r') {
        let closing = format!("\"{}", "#".repeat(hashes));
        let end = body.find(&closing).unwrap_or(body.len());
        return Some((&body[..end], (opening + end + closing.len()).min(rest.len())));
    }
    let mut escaped = false;
    let end = body.find(|c: char| {
        let ends = c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
        ends
    });
    let end = end.unwrap_or(body.len());
    Some((&body[..end], (opening + end + 1).min(rest.len())))
}

/// The length of a character literal; a lifetime is none.
fn char_literal(rest: &str) -> Option<usize> {
    let body = rest.strip_prefix('\'')?;
    let length = match body.chars().next()? {
        '\\' => {
            let escaped = body.chars().nth(1)?;
            let skip = 1 + escaped.len_utf8();
            skip + body[skip..].find('\'')?
        }
        c => c.len_utf8(),
    };
    body[length..].starts_with('\'').then_some(length + 2)
}

/// The source without items under `#[cfg(test)]`, and the number of its lines left.
pub fn without_tests(source: &str) -> (Vec<Token>, usize) {
    let all = tokens(source);
    let mut kept = Vec::new();
    let mut lines = source.lines().count();
    let mut at = 0;
    while at < all.len() {
        if let Some(length) = test_attribute(&all[at..]) {
            let end = end_of_item(&all, at + length);
            let last = all.get(end.saturating_sub(1)).map_or(all[at].line, |token| token.line);
            lines -= last - all[at].line + 1;
            at = end;
        } else {
            kept.push(all[at].clone());
            at += 1;
        }
    }
    (kept, lines)
}

/// The length of a `#[cfg(test)]` or `#[cfg(all(test, ...))]` at the beginning.
fn test_attribute(tokens: &[Token]) -> Option<usize> {
    let length = tokens.iter().position(|token| token.is(']'))? + 1;
    let [hash, open, cfg, _, words @ ..] = &tokens[..length] else { return None };
    let is_cfg = hash.is('#') && open.is('[') && cfg.word() == Some("cfg");
    let mut words = words.iter().filter_map(Token::word);
    let needs_test = words.find(|word| *word != "all") == Some("test");
    (is_cfg && needs_test).then_some(length)
}

/// Past the item that begins at `at`: its closing brace, or its semicolon.
fn end_of_item(tokens: &[Token], at: usize) -> usize {
    let mut depth = 0_usize;
    for (offset, token) in tokens[at..].iter().enumerate() {
        match token.kind {
            Kind::Mark('{' | '(' | '[') => depth += 1,
            Kind::Mark('}' | ')' | ']') => {
                depth = depth.saturating_sub(1);
                if depth == 0 && token.is('}') {
                    return at + offset + 1;
                }
            }
            Kind::Mark(';') if depth == 0 => return at + offset + 1,
            Kind::Mark(_) | Kind::Word(_) | Kind::Text(_) | Kind::PathSep => {}
        }
    }
    tokens.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(source: &str) -> String {
        let word = |token: &Token| match &token.kind {
            Kind::Word(word) => word.clone(),
            Kind::Text(text) => format!("{text:?}"),
            Kind::PathSep => "::".to_owned(),
            Kind::Mark(mark) => mark.to_string(),
        };
        tokens(source).iter().map(word).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn comments_vanish_and_strings_stay_whole() {
        let table = [
            ("a::b // c::d", "a :: b"),
            ("a /* b /* c */ d */ e", "a e"),
            (r#"x("// no \" comment")"#, r#"x ( "// no \\\" comment" )"#),
            (r##"r#"a "b" c"# d"##, r#""a \"b\" c" d"#),
            ("'\"' 'a' '\\'' b<'a>", "b < ' a >"),
            ("b\"x\" br\"y\" bread", "\"x\" \"y\" bread"),
        ];
        for (source, expected) in table {
            assert_eq!(shown(source), expected, "{source}");
        }
    }

    #[test]
    fn tests_are_cut_out() {
        let source = "a\n#[cfg(test)]\nmod tests {\n  b { c }\n}\nd\n#[cfg(test)]\nmod t;\ne\n\
            #[cfg(all(test, not(sim)))]\nmod f { g }\n#[cfg(not(test))]\nh";
        let (kept, lines) = without_tests(source);
        let words: Vec<_> = kept.iter().filter_map(Token::word).collect();
        assert_eq!((words, lines), (vec!["a", "d", "e", "cfg", "not", "test", "h"], 5));
    }
}
