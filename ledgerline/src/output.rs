//! Where the program writes: results to standard output, everything else to standard error.
//!
//! A reader that closes the pipe (`ledgerline list | head`) ends the command quietly with code 0.

use std::fmt::Display;
use std::io::{ErrorKind, IsTerminal, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use comfy_table::{Cell, CellAlignment, LineStyle, Table, TableStyle};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;

use crate::exit::{Exit, Failure, Outcome};

/// Longest line of a sentence, in characters.
pub const WIDTH: usize = 110;

/// The sink of a command's results.
pub struct Output {
    sink: Box<dyn Write + Send>,
    is_terminal: bool,
}

/// Lines that are kept, for what is printed into a file.
#[derive(Clone, Default)]
pub struct Lines(Arc<Mutex<Vec<u8>>>);

impl Lines {
    /// What was written so far.
    pub fn take(&self) -> Vec<u8> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Output {
    /// Standard output.
    pub fn stdout() -> Self {
        Self { sink: Box::new(std::io::stdout()), is_terminal: std::io::stdout().is_terminal() }
    }

    /// Any other sink, for tests and for files.
    pub fn to(sink: impl Write + Send + 'static) -> Self {
        Self { sink: Box::new(sink), is_terminal: false }
    }

    /// Whether somebody reads along.
    pub fn is_terminal(&self) -> bool {
        self.is_terminal
    }

    /// One line.
    pub fn line(&mut self, text: impl Display) -> Outcome<()> {
        writeln!(self.sink, "{text}").or_else(ended)
    }

    /// An empty line.
    pub fn gap(&mut self) -> Outcome<()> {
        self.line("")
    }

    /// A value as one line of JSON.
    pub fn json(&mut self, value: &impl Serialize) -> Outcome<()> {
        let text =
            serde_json::to_string(value).map_err(|e| Failure::failed(format!("write the answer as JSON: {e}")))?;
        self.line(text)
    }

    /// A value as JSON over several lines.
    pub fn json_pretty(&mut self, value: &impl Serialize) -> Outcome<()> {
        let text = serde_json::to_string_pretty(value)
            .map_err(|e| Failure::failed(format!("write the answer as JSON: {e}")))?;
        self.line(text)
    }

    /// A table, indented by `indent` spaces.
    pub fn table(&mut self, table: &Table, indent: usize) -> Outcome<()> {
        for line in table.lines() {
            self.line(format!("{:indent$}{}", "", line.trim_end()))?;
        }
        Ok(())
    }

    /// A sentence behind a bullet, wrapped at [`WIDTH`] with the following lines indented.
    pub fn bullet(&mut self, bullet: &str, sentence: &str) -> Outcome<()> {
        let indent = bullet.chars().count() + 3;
        for (at, line) in wrapped(sentence, WIDTH - indent).iter().enumerate() {
            match at {
                0 => self.line(format!("  {bullet} {line}"))?,
                _ => self.line(format!("{:indent$}{line}", ""))?,
            }
        }
        Ok(())
    }

    /// A sentence of running text, indented by two and wrapped at [`WIDTH`].
    pub fn say(&mut self, sentence: &str) -> Outcome<()> {
        wrapped(sentence, WIDTH - 2).iter().try_for_each(|line| self.line(format!("  {line}")))
    }

    /// The sink itself, for writers that stream.
    pub fn sink(&mut self) -> &mut (dyn Write + Send) {
        &mut *self.sink
    }

    /// Hands everything to the system.
    pub fn flush(&mut self) -> Outcome<()> {
        self.sink.flush().or_else(ended)
    }
}

/// The text in lines of at most `width` characters, broken at spaces.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let Some(line) = lines.last_mut() else { break };
        if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > width {
            lines.push(word.to_owned());
        } else {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines
}

/// What an error of the sink means for the command.
pub fn ended(error: std::io::Error) -> Outcome<()> {
    match error.kind() {
        ErrorKind::BrokenPipe => Err(Failure::new(Exit::Ok, "")),
        _ => Err(Failure::failed(format!("write to standard output: {error}"))),
    }
}

/// One line to standard error. Nobody can be told when that fails.
pub fn note(text: impl Display) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// An empty table with headings. Columns whose heading starts with `>` are set to the right.
pub fn table(headings: &[&str]) -> Table {
    let rule = LineStyle::none().fill('─').junction('─');
    let mut table = Table::new();
    table.load_style(TableStyle::new().header_separator(rule));
    table.set_header(headings.iter().map(|h| Cell::new(h.trim_start_matches('>'))));
    for (at, heading) in headings.iter().enumerate() {
        if heading.starts_with('>')
            && let Some(column) = table.column_mut(at)
        {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

/// A progress bar on standard error; invisible unless that is a terminal.
pub fn bar(what: &str, total: Option<u64>) -> ProgressBar {
    let target =
        if std::io::stderr().is_terminal() { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    let bar = ProgressBar::with_draw_target(total, target);
    let template = if total.is_some() {
        "{msg} {wide_bar} {human_pos}/{human_len} {per_sec} {eta}"
    } else {
        "{spinner} {msg} {human_pos} {per_sec}"
    };
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar.set_message(what.to_owned());
    if total.is_none() {
        bar.enable_steady_tick(Duration::from_millis(120));
    }
    bar
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences_wrap_at_spaces() {
        assert_eq!(wrapped("one two three", 7), ["one two", "three"]);
        assert_eq!(wrapped("incomprehensible word", 5), ["incomprehensible", "word"]);
        assert_eq!(wrapped("", 5), [""]);
    }

    #[test]
    fn tables_set_amounts_to_the_right() {
        let mut table = table(&["what", ">amount"]);
        table.add_row(["a", "1.00"]);
        table.add_row(["b", "100.00"]);
        let lines: Vec<String> = table.lines().collect();
        assert!(lines.iter().any(|l| l.trim_end().ends_with("  1.00")), "{lines:?}");
    }
}
