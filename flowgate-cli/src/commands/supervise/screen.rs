//! A part of the terminal that is drawn anew in its place, and what scrolls by above it.

use anstream::adapter::strip_str;

use crate::output::{Output, Result};

/// What a terminal is taken for that does not say how large it is.
const USUAL: (usize, usize) = (80, 24);

/// The lowest lines of the terminal.
#[derive(Default)]
pub(super) struct Screen {
    drawn: usize,
}

impl Screen {
    /// Letters and lines.
    pub(super) fn size() -> (usize, usize) {
        let size = terminal_size::terminal_size();
        size.map_or(USUAL, |(width, height)| (width.0.into(), height.0.into()))
    }

    /// Draws these lines in the place of those drawn before.
    pub(super) fn draw(&mut self, lines: &[String], output: &mut Output) -> Result<()> {
        let text = lines.join("\n") + "\n";
        let control = self.back();
        self.drawn = lines.len();
        output.frame(&control, &text)
    }

    /// Says something that stays; what was drawn has to be drawn again.
    pub(super) fn say(&mut self, line: &str, output: &mut Output) -> Result<()> {
        let control = self.back();
        self.drawn = 0;
        output.frame(&control, &format!("{line}\n"))
    }

    /// Takes away what was drawn.
    pub(super) fn clear(&mut self, output: &mut Output) -> Result<()> {
        let control = self.back();
        self.drawn = 0;
        output.frame(&control, "")
    }

    /// To the first line drawn, and what is below it away.
    fn back(&self) -> String {
        match self.drawn {
            0 => String::new(),
            lines => format!("\r\x1b[{lines}A\x1b[J"),
        }
    }
}

/// Cuts a line that has colours to so many letters: one that wraps takes two lines.
pub(super) fn cut(line: &str, width: usize) -> String {
    let plain = strip_str(line).to_string();
    if plain.chars().count() <= width {
        return line.to_owned();
    }
    let short = plain.chars().take(width.saturating_sub(1));
    short.chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_is_too_long_is_cut_and_shorter_ones_keep_their_colours() {
        let line = "\x1b[1mweb\x1b[0m is ready";
        assert_eq!(cut(line, 12), line);
        assert_eq!(cut(line, 11), "web is rea…");
    }

    #[test]
    fn what_was_drawn_is_drawn_over() {
        let screen = Screen { drawn: 3 };
        assert_eq!(screen.back(), "\r\x1b[3A\x1b[J");
        assert_eq!(Screen::default().back(), "");
    }
}
