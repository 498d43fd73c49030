//! A picture of the climbs: p99 at each rate, both on logarithmic scales. A ring is a rate that was not held.

use std::{
    fmt::{self, Write as _},
    fs, io,
    path::{Path, PathBuf},
};

use super::{
    climb::{Climb, LIMIT, Step},
    kind::{Kind, Mode},
};

/// The picture.
const WIDTH: f64 = 800.0;
const HEIGHT: f64 = 480.0;
/// The frame that the lines are drawn in.
const LEFT: f64 = 70.0;
const RIGHT: f64 = 640.0;
const TOP: f64 = 20.0;
const BOTTOM: f64 = 420.0;

/// One axis: the values at its ends, and where they are in the picture.
struct Axis {
    values: [f64; 2],
    places: [f64; 2],
}

impl Axis {
    /// Spans the whole decades that hold the values.
    fn new(values: impl Iterator<Item = f64>, places: [f64; 2]) -> Self {
        let (least, most) = values
            .filter(|value| *value > 0.0)
            .fold((f64::MAX, 0.0), |(least, most), value| (value.min(least), value.max(most)));
        let least = 10_f64.powf(least.log10().floor());
        let most = 10_f64.powf(most.log10().ceil()).max(least * 10.0);
        Self { values: [least, most], places }
    }

    fn place(&self, value: f64) -> f64 {
        let [from, to] = self.values.map(f64::log10);
        let share = (value.max(self.values[0]).log10() - from) / (to - from);
        self.places[0] + share * (self.places[1] - self.places[0])
    }

    fn decades(&self) -> impl Iterator<Item = f64> {
        let most = self.values[1] * 1.01;
        std::iter::successors(Some(self.values[0]), |value| Some(value * 10.0))
            .take_while(move |value| *value <= most)
    }
}

/// Writes the picture, and says where.
pub fn write(climbs: &[Climb]) -> io::Result<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("artifacts");
    fs::create_dir_all(&folder)?;
    let file = folder.join("cluster.svg");
    fs::write(&file, draw(climbs).map_err(io::Error::other)?)?;
    Ok(file)
}

fn draw(climbs: &[Climb]) -> Result<String, fmt::Error> {
    let limit = LIMIT.as_secs_f64() * 1e3;
    let steps = || climbs.iter().flat_map(|climb| &climb.steps);
    let rates = Axis::new(steps().map(|step| step.deliveries), [LEFT, RIGHT]);
    let times = steps().map(|step| step.outcome.millis(0.99)).chain([limit]);
    let times = Axis::new(times, [BOTTOM, TOP]);

    let mut svg = String::new();
    writeln!(
        svg,
        r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="12">
<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>"##
    )?;
    for rate in rates.decades() {
        let (x, below) = (rates.place(rate), BOTTOM + 18.0);
        line(&mut svg, [x, TOP], [x, BOTTOM], r##"stroke="#ddd""##)?;
        writeln!(svg, r#"<text x="{x:.1}" y="{below}" text-anchor="middle">{rate:.0}</text>"#)?;
    }
    for time in times.decades() {
        let (y, beside) = (times.place(time), LEFT - 8.0);
        line(&mut svg, [LEFT, y], [RIGHT, y], r##"stroke="#ddd""##)?;
        writeln!(svg, r#"<text x="{beside}" y="{:.1}" text-anchor="end">{time}</text>"#, y + 4.0)?;
    }
    let y = times.place(limit);
    line(&mut svg, [LEFT, y], [RIGHT, y], r##"stroke="#888" stroke-dasharray="2 4""##)?;
    let (middle, bottom) = (f64::midpoint(LEFT, RIGHT), HEIGHT - 18.0);
    writeln!(svg, r#"<text x="{middle}" y="{bottom}" text-anchor="middle">deliveries/s</text>"#)?;
    let middle = f64::midpoint(TOP, BOTTOM);
    writeln!(
        svg,
        r#"<text transform="translate(18 {middle}) rotate(-90)" text-anchor="middle">p99, ms</text>"#
    )?;

    for (index, climb) in climbs.iter().enumerate() {
        let style = style(climb.kind, climb.mode);
        // A step that was run again counts as it went the last time.
        let mut points: Vec<(f64, f64, bool)> = Vec::new();
        for Step { deliveries, outcome, complaint } in &climb.steps {
            let (x, y) = (rates.place(*deliveries), times.place(outcome.millis(0.99)));
            points.retain(|(other, ..)| (x - other).abs() > 1.0);
            points.push((x, y, complaint.is_none()));
        }
        points.sort_by(|one, other| one.0.total_cmp(&other.0));
        svg.push_str(r#"<polyline points=""#);
        for (x, y, _) in &points {
            write!(svg, "{x:.1},{y:.1} ")?;
        }
        writeln!(svg, r#"" fill="none" {style}/>"#)?;
        for (x, y, held) in &points {
            let fill = if *held { colour(climb.kind) } else { "#fff" };
            writeln!(svg, r#"<circle cx="{x:.1}" cy="{y:.1}" r="3" fill="{fill}" {style}/>"#)?;
        }
        let (x, y) = (RIGHT + 12.0, TOP + 12.0 + 18.0 * index as f64);
        line(&mut svg, [x, y - 4.0], [x + 26.0, y - 4.0], &style)?;
        let name = climb.kind.name();
        writeln!(svg, r#"<text x="{}" y="{y}">{name}, {}</text>"#, x + 32.0, climb.mode)?;
    }
    svg.push_str("</svg>\n");
    Ok(svg)
}

fn line(svg: &mut String, from: [f64; 2], to: [f64; 2], style: &str) -> fmt::Result {
    let ([x1, y1], [x2, y2]) = (from, to);
    writeln!(svg, r#"<line x1="{x1:.1}" y1="{y1:.1}" x2="{x2:.1}" y2="{y2:.1}" {style}/>"#)
}

fn colour(kind: Kind) -> &'static str {
    match kind {
        Kind::Node => "#2a7d2a",
        Kind::Bun => "#b5651d",
        Kind::Roomcast => "#1f5fbf",
        Kind::RoomcastBefore => "#7f7f7f",
        Kind::RoomcastNoMetrics => "#6f9fdf",
        Kind::RoomcastTracesFew => "#8a4fbf",
        Kind::RoomcastTracesAll => "#bf1f5f",
    }
}

/// A colour for each kind, and dashes for the sharded backplane.
fn style(kind: Kind, mode: Mode) -> String {
    let dashes = match mode {
        Mode::Pubsub => "",
        Mode::Sharded => r#" stroke-dasharray="7 4""#,
    };
    format!(r#"stroke="{}" stroke-width="2"{dashes}"#, colour(kind))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_axis_spans_whole_decades() {
        let axis = Axis::new([0.0, 30.0, 700.0].into_iter(), [0.0, 100.0]);
        assert_eq!(axis.values, [10.0, 1000.0]);
        assert_eq!(axis.decades().collect::<Vec<_>>(), [10.0, 100.0, 1000.0]);
        assert!((axis.place(100.0) - 50.0).abs() < 1e-9);
        assert!((axis.place(1.0)).abs() < 1e-9);
    }
}
