//! The view in the terminal.

use std::{io, time::Duration};

use ratatui::{
    DefaultTerminal, Frame,
    crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers},
    layout::{Alignment, Constraint, Layout},
    style::{Color, Modifier, Style},
    text::Line,
    widgets::{Cell, Row as TableRow, Table},
};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::mpsc,
};

use super::{
    cluster::{Sample, Way},
    figures::{self, HEADS, Look, Row},
};
use crate::tasks;

/// Longest that the thread of the keyboard waits before it looks whether it shall end.
const GLANCE: Duration = Duration::from_millis(100);

/// Shows the cluster until somebody quits.
pub(super) async fn watch(way: Way, interval: Duration) -> io::Result<()> {
    // Before the terminal is changed: it must be put back.
    let mut end = signal(SignalKind::terminate())?;
    let mut terminal = ratatui::try_init()?;
    let ended = tokio::select! {
        ended = show(&mut terminal, way, interval) => ended,
        _ = end.recv() => Ok(()),
    };
    let restored = ratatui::try_restore();
    ended.and(restored)
}

async fn show(terminal: &mut DefaultTerminal, way: Way, interval: Duration) -> io::Result<()> {
    let (told, mut keys) = mpsc::channel(16);
    std::thread::spawn(move || listen(&told));
    let (sampled, mut samples) = mpsc::channel(1);
    let source = way.pod.clone();
    // A task of its own: keys are heard while pods do not answer.
    tasks::spawn("other", async move {
        let mut ticks = tokio::time::interval(interval);
        loop {
            ticks.tick().await;
            if sampled.send(way.sample().await).await.is_err() {
                return;
            }
        }
    });
    let mut view = View { source, note: None, rows: Vec::new(), first: 0 };
    let mut before: Option<Sample> = None;
    loop {
        terminal.draw(|frame| view.draw(frame))?;
        tokio::select! {
            key = keys.recv() => match key {
                None | Some(Told::Quit) => return Ok(()),
                Some(Told::Scroll(by)) => view.scroll(by),
                Some(Told::Redraw) => {}
            },
            sample = samples.recv() => {
                // It panicked: what is shown would stay for ever.
                let sample = sample.ok_or_else(|| io::Error::other("pods are not asked any longer"))?;
                view.rows = figures::rows(before.as_ref(), &sample);
                view.note.clone_from(&sample.note);
                view.scroll(0);
                before = Some(sample);
            }
        }
    }
}

/// What the terminal told.
enum Told {
    Quit,
    Scroll(isize),
    /// Its size is another.
    Redraw,
}

/// Reads the keyboard until nobody listens or it ends.
fn listen(tell: &mpsc::Sender<Told>) {
    while !tell.is_closed() {
        let event = match event::poll(GLANCE) {
            Ok(false) => continue,
            Ok(true) => event::read(),
            Err(error) => Err(error),
        };
        let told = match event {
            Ok(Event::Key(key)) if key.kind != KeyEventKind::Release => match key.code {
                KeyCode::Char('q') | KeyCode::Esc => Told::Quit,
                KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => Told::Quit,
                KeyCode::Down | KeyCode::Char('j') => Told::Scroll(1),
                KeyCode::Up | KeyCode::Char('k') => Told::Scroll(-1),
                KeyCode::PageDown => Told::Scroll(10),
                KeyCode::PageUp => Told::Scroll(-10),
                _ => continue,
            },
            Ok(Event::Resize(..)) => Told::Redraw,
            Ok(_) => continue,
            // The terminal has gone.
            Err(_) => return,
        };
        if tell.blocking_send(told).is_err() {
            return;
        }
    }
}

/// What is shown.
struct View {
    /// The pod that was asked.
    source: String,
    note: Option<String>,
    rows: Vec<Row>,
    /// The first pod that is shown: there may be more than lines.
    first: usize,
}

impl View {
    fn scroll(&mut self, by: isize) {
        // The total is always there.
        let last = self.rows.len().saturating_sub(2);
        self.first = self.first.saturating_add_signed(by).min(last);
    }

    fn draw(&self, frame: &mut Frame<'_>) {
        let heights = [Constraint::Length(1), Constraint::Min(0), Constraint::Length(2)];
        let [head, body, foot] = Layout::vertical(heights).areas(frame.area());
        let bold = Style::new().add_modifier(Modifier::BOLD);
        frame.render_widget(Line::styled(format!("roomcast top  {}", self.source), bold), head);
        let widths = figures::widths(&self.rows).map(|width| Constraint::Length(width as u16));
        let heads =
            TableRow::new(HEADS.iter().enumerate().map(|(column, head)| cell(column, head)));
        let total = self.rows.split_last();
        let (pods, total) = total.map_or((&[][..], None), |(total, pods)| (pods, Some(total)));
        let room = usize::from(body.height.saturating_sub(2));
        let shown = pods.iter().skip(self.first).take(room).chain(total);
        let lines = shown.map(|row| {
            let cells = row.cells.iter().enumerate().map(|(column, text)| cell(column, text));
            TableRow::new(cells).style(style(row.look))
        });
        let table = Table::new(lines, widths).column_spacing(2);
        frame.render_widget(table.header(heads.style(bold)), body);
        let waits = if self.rows.is_empty() { "asking the pods" } else { "" };
        let note = self.note.as_deref().unwrap_or(waits);
        let [above, below] = Layout::vertical([Constraint::Length(1); 2]).areas(foot);
        frame.render_widget(Line::styled(note, Style::new().fg(Color::Yellow)), above);
        frame.render_widget(Line::raw("q quits, arrows scroll"), below);
    }
}

fn cell(column: usize, text: &str) -> Cell<'_> {
    let alignment = if figures::is_text(column) { Alignment::Left } else { Alignment::Right };
    Cell::from(Line::raw(text).alignment(alignment))
}

fn style(look: Look) -> Style {
    match look {
        Look::Serving => Style::new(),
        Look::Draining => Style::new().fg(Color::Yellow),
        Look::Silent => Style::new().fg(Color::Red),
        Look::Total => Style::new().add_modifier(Modifier::BOLD),
    }
}
