//! Files of `NAME=value` lines, changed line by line.

/// The lines of a file, with their ends.
#[derive(Debug)]
pub(super) struct EnvFile {
    lines: Vec<String>,
}

impl EnvFile {
    /// Reads any text; the number of the first line that is no assignment, comment or blank.
    pub(super) fn read(text: &str) -> Result<Self, usize> {
        let lines: Vec<String> = text.split_inclusive('\n').map(str::to_owned).collect();
        let meaningless = |line: &String| {
            let trimmed = line.trim_start_matches('\u{feff}').trim();
            !trimmed.is_empty() && !trimmed.starts_with('#') && assignment(line).is_none()
        };
        match lines.iter().position(meaningless) {
            Some(index) => Err(index + 1),
            None => Ok(Self { lines }),
        }
    }

    pub(super) fn text(&self) -> String {
        self.lines.concat()
    }

    /// The value of a name. The last assignment counts.
    pub(super) fn get(&self, name: &str) -> Option<String> {
        self.place(name).and_then(|index| {
            let (_, value) = assignment(&self.lines[index])?;
            Some(value_in(value).1.to_owned())
        })
    }

    pub(super) fn set(&mut self, name: &str, value: &str) {
        let ending = self.ending();
        match self.place(name) {
            Some(index) => {
                let line = &self.lines[index];
                let (name, rest) = line.split_once('=').unwrap_or((line, ""));
                let blank = &rest[..rest.len() - rest.trim_start_matches([' ', '\t']).len()];
                let (quote, _, behind) = value_in(rest);
                let value = quoted(value, quote);
                self.lines[index] = format!("{name}={blank}{value}{behind}");
            }
            None => {
                if let Some(last) = self.lines.last_mut().filter(|line| !line.ends_with('\n')) {
                    last.push_str(ending);
                }
                self.lines
                    .push(format!("{name}={}{ending}", quoted(value, None)));
            }
        }
    }

    pub(super) fn remove(&mut self, name: &str) {
        self.lines
            .retain(|line| assignment(line).is_none_or(|(found, _)| found != name));
    }

    fn place(&self, name: &str) -> Option<usize> {
        let is_it = |line: &String| assignment(line).is_some_and(|(found, _)| found == name);
        self.lines.iter().rposition(is_it)
    }

    fn ending(&self) -> &'static str {
        let crlf = self
            .lines
            .first()
            .is_some_and(|line| line.ends_with("\r\n"));
        if crlf { "\r\n" } else { "\n" }
    }
}

/// Name and value of a line such as `export NAME=value`.
fn assignment(line: &str) -> Option<(&str, &str)> {
    let line = line.trim_start_matches('\u{feff}').trim();
    let line = line.strip_prefix("export ").unwrap_or(line);
    let (name, value) = line.split_once('=')?;
    let name = name.trim();
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    (!name.is_empty() && name.chars().all(good)).then_some((name, value.trim()))
}

/// The quote around a value, the value, and what follows it: blanks, a comment, the line end.
fn value_in(text: &str) -> (Option<char>, &str, &str) {
    let text = text.trim_start_matches([' ', '\t']);
    let quote = text
        .chars()
        .next()
        .filter(|c| matches!(c, '"' | '\'' | '`'));
    if let Some(quote) = quote
        && let Some((inner, behind)) = text[1..].split_once(quote)
    {
        return (Some(quote), inner, behind);
    }
    // Without quotes a comment may follow a blank.
    let value = text.split(" #").next().unwrap_or_default().trim_end();
    (None, value, &text[value.len()..])
}

fn quoted(value: &str, usual: Option<char>) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-._~:/?@!&*+,;=%".contains(c);
    if usual.is_none() && !value.is_empty() && value.chars().all(plain) {
        return value.to_owned();
    }
    let quotes = usual.into_iter().chain(['"', '\'', '`']);
    let quote = quotes.into_iter().find(|quote| !value.contains(*quote));
    let quote = quote.unwrap_or('"');
    format!("{quote}{value}{quote}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_others_stay() {
        let before = "# mine\r\nexport A = 'x' # c\r\n\r\nB=1";
        let mut file = EnvFile::read(before).unwrap();
        assert_eq!(
            (file.get("A"), file.get("B"), file.get("C")),
            (Some("x".into()), Some("1".into()), None)
        );
        file.set("A", "http://127.0.0.1:4000");
        file.set("C", "a b");
        assert_eq!(
            file.text(),
            "# mine\r\nexport A = 'http://127.0.0.1:4000' # c\r\n\r\nB=1\r\nC=\"a b\"\r\n"
        );
        assert_eq!(file.get("C").as_deref(), Some("a b"));
        file.remove("C");
        assert!(!file.text().contains('C'));
        assert_eq!(EnvFile::read("A=1\n???\n").unwrap_err(), 2);
    }
}
