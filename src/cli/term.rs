//! The terminal: how wide it is, whether it has colours, and a whole screen that is given back
//! as it was.

use std::io::{self, IsTerminal as _, Write as _};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::termios::{
    LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcgetwinsize, tcsetattr,
};

/// Columns where the terminal does not say.
const COLUMNS: usize = 80;
const LINES: usize = 24;

/// Columns of the terminal on standard output; `None` where that is none.
pub fn columns() -> Option<usize> {
    io::stdout().is_terminal().then(|| size().0)
}

/// Columns and lines.
fn size() -> (usize, usize) {
    match tcgetwinsize(io::stdout()) {
        Ok(size) if size.ws_col > 0 && size.ws_row > 0 => (size.ws_col.into(), size.ws_row.into()),
        // A serial line knows no size.
        Ok(_) | Err(_) => (COLUMNS, LINES),
    }
}

/// What a line says at a glance.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Style {
    #[default]
    Plain,
    Good,
    /// Look at it.
    Warning,
    /// Do something.
    Bad,
    /// Beside the matter.
    Faint,
}

/// `text` in colour, where standard output is a terminal and `NO_COLOR` is not set
/// (<https://no-color.org>).
pub fn styled(text: &str, style: Style) -> String {
    let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let dumb = std::env::var_os("TERM").is_some_and(|value| value == "dumb");
    if no_color || dumb || !io::stdout().is_terminal() {
        return text.to_owned();
    }
    // Select Graphic Rendition (ECMA-48, section 8.3.117).
    let code = match style {
        Style::Plain => return text.to_owned(),
        Style::Good => "32",
        Style::Warning => "33",
        Style::Bad => "1;31",
        Style::Faint => "2",
    };
    format!("\x1b[{code}m{text}\x1b[0m")
}

/// Lines of at most `width` characters, broken at spaces; lines after the first begin with
/// `indent` spaces. A word that is longer stays whole.
pub fn wrapped(text: &str, width: usize, indent: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in text.split_whitespace() {
        let taken = line.chars().count();
        let empty = line.trim().is_empty();
        if !empty && taken + 1 + word.chars().count() > width {
            lines.push(std::mem::replace(&mut line, " ".repeat(indent)));
        } else if !empty {
            line.push(' ');
        }
        line.push_str(word);
    }
    lines.push(line);
    lines
}

/// The alternate screen, keys without a line end, no cursor. All is given back when this is
/// dropped, which a panic does too.
pub struct Screen {
    /// What the keyboard was like; `None` where standard input is no terminal.
    before: Option<Termios>,
}

impl Screen {
    /// # Errors
    /// The terminal refuses.
    pub fn open() -> io::Result<Self> {
        let stdin = io::stdin();
        let mut screen = Self { before: None };
        if stdin.is_terminal() {
            let before = tcgetattr(&stdin)?;
            let mut keys = before.clone();
            keys.local_modes.remove(LocalModes::ICANON | LocalModes::ECHO);
            // A process stopped with Ctrl-Z would leave the terminal like this.
            keys.special_codes[SpecialCodeIndex::VSUSP] = 0;
            tcsetattr(&stdin, OptionalActions::Now, &keys)?;
            screen.before = Some(before);
        }
        // Private modes 1049 and 25 of xterm, which all terminals of today know.
        write("\x1b[?1049h\x1b[?25l")?;
        Ok(screen)
    }

    /// Columns and lines now.
    pub fn size(&self) -> (usize, usize) {
        size()
    }

    /// Shows `lines`, as far as there is room. Each is cut to the width of the screen.
    ///
    /// # Errors
    /// The terminal is gone.
    pub fn show(&self, lines: &[(String, Style)]) -> io::Result<()> {
        let (columns, rows) = size();
        let mut text = String::from("\x1b[H");
        for (number, (line, style)) in lines.iter().take(rows).enumerate() {
            if number > 0 {
                text.push_str("\r\n");
            }
            let line: String = line.chars().take(columns).collect();
            text.push_str(&styled(&line, *style));
            text.push_str("\x1b[K");
        }
        text.push_str("\x1b[J");
        write(&text)
    }

    /// The key that is pressed within `wait`, if one is. Where there is no keyboard it only
    /// waits.
    pub fn key(&self, wait: Duration) -> Option<u8> {
        let stdin = io::stdin();
        let timeout = Timespec::try_from(wait).ok()?;
        let mut ready = [PollFd::new(&stdin, PollFlags::IN)];
        let watched = if self.before.is_some() { &mut ready[..] } else { &mut ready[..0] };
        // A signal ends the wait early, which is as good as a time-out.
        let pressed = poll(watched, Some(&timeout)).unwrap_or(0) > 0;
        let mut key = [0];
        // Not through the buffer of `Stdin`, which `poll` does not see.
        (pressed && rustix::io::read(&stdin, &mut key).ok()? == 1).then_some(key[0])
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // The terminal may be gone, and then there is nothing to give back.
        let _ = write("\x1b[?25h\x1b[?1049l");
        if let Some(before) = &self.before {
            let _ = tcsetattr(io::stdin(), OptionalActions::Now, before);
        }
    }
}

fn write(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lines_are_broken_at_spaces_and_indented() {
        let text = "n1 cannot reach the Raft port of n3";
        assert_eq!(wrapped(text, 16, 2), ["n1 cannot reach", "  the Raft port", "  of n3"]);
        assert_eq!(wrapped("a averyverylongword", 6, 2), ["a", "  averyverylongword"]);
        assert_eq!(wrapped("", 6, 2), [""]);
    }
}
