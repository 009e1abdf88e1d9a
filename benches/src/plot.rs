//! A picture of throughput: a bar for each way, in one panel for each kernel.

use std::fmt::Write as _;

use crate::figure::Figure;
use crate::report::Report;

/// An SVG image of what one TCP stream carried by each way
pub fn throughput(reports: &[Report]) -> String {
    let mut body = String::new();
    let mut top = MARGIN;
    for report in reports {
        top = panel(&mut body, report, top) + MARGIN;
    }
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {top}\" font-family=\"sans-serif\" \
         font-size=\"13\">\n<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n{body}</svg>\n"
    )
}

/// Draws one kernel's ways from `top` on; tells where it ends
fn panel(body: &mut String, report: &Report, top: f64) -> f64 {
    let bars: Vec<_> = report
        .ways
        .iter()
        .filter_map(|row| {
            let series = row.figures.get(&Figure::OneStream)?;
            Some((row, series.low()?, series.median()?, series.high()?))
        })
        .collect();
    let most = bars.iter().map(|bar| bar.3).fold(f64::MIN_POSITIVE, f64::max);
    let at = |value: f64| LABELS + value / most * (WIDTH - LABELS - VALUES);
    let title = format!(
        "One TCP stream, Gbit/s: median, lowest–highest of {} rounds. {}, Linux {}",
        report.rounds,
        report.machine.place(),
        report.machine.kernel
    );
    text(
        body,
        MARGIN,
        top + 14.0,
        "start",
        &format!("<tspan font-weight=\"bold\">{}</tspan>", escaped(&title)),
    );
    let mut middle = top + 28.0 + ROW / 2.0;
    for (row, low, median, high) in bars {
        let colour = if row.way.is_weaved() { "#1b7f79" } else { "#9aa5b1" };
        text(body, LABELS - 8.0, middle + 4.0, "end", &escaped(row.way.label()));
        rectangle(body, LABELS, middle - 9.0, at(median) - LABELS, 18.0, colour);
        // The spread: a thin line with the lowest and the highest at its ends.
        rectangle(body, at(low), middle - 1.0, at(high) - at(low), 2.0, "#1f2933");
        let ratio = report.ratio(row, Figure::OneStream);
        let ratio = ratio.map_or_else(String::new, |ratio| format!(" ({ratio:.2}×)"));
        text(
            body,
            at(high) + 8.0,
            middle + 4.0,
            "start",
            &format!("{median:.2}{ratio}"),
        );
        middle += ROW;
    }
    middle - ROW / 2.0
}

fn rectangle(body: &mut String, x: f64, y: f64, width: f64, height: f64, colour: &str) {
    let _infallible = writeln!(
        body,
        "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" fill=\"{colour}\"/>"
    );
}

fn text(body: &mut String, x: f64, y: f64, anchor: &str, text: &str) {
    let _infallible = writeln!(
        body,
        "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" fill=\"#1f2933\">{text}</text>"
    );
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

const WIDTH: f64 = 860.0;
const MARGIN: f64 = 16.0;
/// Where the bars begin
const LABELS: f64 = 170.0;
/// Room behind the longest bar
const VALUES: f64 = 130.0;
const ROW: f64 = 28.0;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::path::Way;
    use crate::report::tests::report;

    #[test]
    fn bars_are_as_long_as_their_medians() {
        let ways = [
            (Way::KernelVxlan, [4.0, 8.0, 6.0]),
            (Way::SleeveClear, [3.0, 3.0, 3.0]),
        ];
        let svg = throughput(&[report(&ways)]);
        // 8 of 8 would be 560 wide.
        assert!(svg.contains("x=\"170.0\" y=\"49.0\" width=\"420.0\""), "{svg}");
        assert!(svg.contains("x=\"170.0\" y=\"77.0\" width=\"210.0\""), "{svg}");
        assert!(svg.contains(">3.00 (0.50×)<"), "{svg}");
    }
}
