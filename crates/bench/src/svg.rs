//! The picture of the README: the delay of each interval's output, around a kill.

use std::fmt::Write;

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 300.0;
/// Where the plot is: left, top, right, bottom.
const PLOT: [f64; 4] = [64.0, 48.0, 744.0, 248.0];
/// Lines across, and numbers below, at most.
const TICKS_MAX: f64 = 8.0;

/// Colours for pages that are light and for those that are dark.
const STYLE: &str = "
text { font: 12px sans-serif; fill: #24292f }
.title { font-size: 15px; font-weight: bold }
.grid { stroke: #d0d7de }
.bar { fill: #2f6feb }
.kill { stroke: #cf222e; stroke-width: 1.5; stroke-dasharray: 5 3 }
.killed { fill: #cf222e }
@media (prefers-color-scheme: dark) {
text { fill: #e6edf3 }
.grid { stroke: #3d444d }
.bar { fill: #6ea8fe }
.kill { stroke: #ff7b72 }
.killed { fill: #ff7b72 }
}
";

/// A bar for each interval, as high as its output was late after it was due. `killed_s` is when the kill was, after
/// the first interval was due.
pub fn delays(title: &str, interval_s: f64, delays_ms: &[f64], killed_s: f64) -> String {
    let [left, top, right, bottom] = PLOT;
    let highest_ms = delays_ms.iter().copied().fold(1.0, f64::max);
    let step_ms = step(highest_ms);
    let top_ms = (highest_ms / step_ms).ceil() * step_ms;
    let y = |ms: f64| bottom - ms / top_ms * (bottom - top);
    let width = (right - left) / delays_ms.len().max(1) as f64;
    // An interval's bar is to the right of the moment at which it is due.
    let x = |s: f64| left + s / interval_s * width;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\">\n<title>{title}</title>\n<style>{STYLE}</style>\n"
    );
    // Writing to a string does not fail.
    let mut line = |text: std::fmt::Arguments<'_>| {
        let _ = writeln!(svg, "{text}");
    };
    line(format_args!("<text class=\"title\" x=\"{left}\" y=\"24\">{title}</text>"));
    for tick in 0..=(top_ms / step_ms).round() as u64 {
        let (ms, at) = (tick as f64 * step_ms, y(tick as f64 * step_ms));
        line(format_args!(
            "<line class=\"grid\" x1=\"{left}\" x2=\"{right}\" y1=\"{at:.1}\" y2=\"{at:.1}\"/>"
        ));
        line(format_args!(
            "<text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{ms}</text>",
            left - 6.0,
            at + 4.0
        ));
    }
    for (number, delay_ms) in delays_ms.iter().enumerate() {
        let (at, high) = (left + number as f64 * width, bottom - y(*delay_ms));
        line(format_args!(
            "<rect class=\"bar\" x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{high:.1}\"/>",
            at + width * 0.1,
            bottom - high,
            width * 0.8
        ));
    }
    let seconds = delays_ms.len() as f64 * interval_s;
    let step_s = step(seconds);
    let from = (-killed_s / step_s).ceil() as i64;
    for tick in from..=((seconds - killed_s) / step_s).floor() as i64 {
        let s = tick as f64 * step_s;
        let at = x(s + killed_s);
        line(format_args!("<text x=\"{at:.1}\" y=\"{}\" text-anchor=\"middle\">{s}</text>", bottom + 18.0));
    }
    let at = x(killed_s);
    line(format_args!(
        "<line class=\"kill\" x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"{}\" y2=\"{bottom}\"/>",
        top - 6.0
    ));
    line(format_args!(
        "<text class=\"killed\" x=\"{at:.1}\" y=\"{}\" text-anchor=\"middle\">kill -9</text>",
        top - 10.0
    ));
    let middle = (left + right) / 2.0;
    line(format_args!(
        "<text x=\"{middle}\" y=\"{}\" text-anchor=\"middle\">when the interval was due, in seconds after the kill</text>",
        bottom + 40.0
    ));
    let middle = (top + bottom) / 2.0;
    line(format_args!(
        "<text transform=\"translate(16 {middle}) rotate(-90)\" text-anchor=\"middle\">delay in milliseconds</text>"
    ));
    svg.push_str("</svg>\n");
    svg
}

/// Between two ticks: 1, 2 or 5 of some power of ten.
fn step(highest: f64) -> f64 {
    let least = highest / TICKS_MAX;
    let power = 10f64.powf(least.log10().floor());
    [1.0, 2.0, 5.0].into_iter().map(|n| n * power).find(|step| *step >= least).unwrap_or(10.0 * power)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_few_and_round() {
        for (highest, expected) in [(8.0, 1.0), (9.0, 2.0), (30.0, 5.0), (420.0, 100.0), (1_000.0, 200.0)] {
            assert_eq!(step(highest), expected, "{highest}");
        }
    }

    #[test]
    fn there_is_a_bar_for_each_interval_as_high_as_its_delay() {
        let picture = delays("title", 1.0, &[100.0, 800.0, 400.0], 1.25);
        let attribute = |line: &str, name: &str| {
            let rest = line.split(&format!("{name}=\"")).nth(1).unwrap();
            rest.split('"').next().unwrap().parse::<f64>().unwrap()
        };
        let bars: Vec<&str> = picture.lines().filter(|line| line.starts_with("<rect")).collect();
        let heights: Vec<f64> = bars.iter().map(|bar| attribute(bar, "height")).collect();
        assert_eq!(heights, [25.0, 200.0, 100.0]);
        let kill = picture.lines().find(|line| line.contains("class=\"kill\"")).unwrap();
        let second = attribute(bars[1], " x");
        assert!((second..attribute(bars[2], " x")).contains(&attribute(kill, "x1")));
        assert!(picture.contains(">title</text>") && picture.ends_with("</svg>\n"));
    }
}
