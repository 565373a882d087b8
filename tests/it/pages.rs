//! Pages in Markdown, taken apart: fenced blocks here for all tests that read pages.

/// A fenced block: its language, the words behind it, its text, its line.
pub(crate) struct Block {
    pub(crate) language: String,
    pub(crate) words: Vec<String>,
    pub(crate) text: String,
    pub(crate) line: usize,
}

impl Block {
    pub(crate) fn is(&self, word: &str) -> bool {
        self.words.iter().any(|own| own == word)
    }
}

pub(crate) fn blocks(page: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut lines = page.lines().enumerate();
    while let Some((number, line)) = lines.next() {
        let Some(info) = line.strip_prefix("```") else { continue };
        let mut words = info.split_whitespace().map(str::to_owned);
        let language = words.next().unwrap_or_default();
        let body = lines.by_ref().map(|(_, line)| line).take_while(|line| *line != "```");
        let text = body.fold(String::new(), |text, line| text + line + "\n");
        blocks.push(Block { language, words: words.collect(), text, line: number + 1 });
    }
    blocks
}
