//! Colours that keep their order for every kind of colour vision and in grey.
//!
//! Ramps run in OKLCH (Ottosson 2020): lightness falls in equal steps, so equal steps of a value look
//! equal, and a copy without colour still reads.

/// Red, green, blue.
pub(super) type Rgb = [u8; 3];

/// Series told apart with every kind of colour vision (Okabe and Ito 2008).
pub(super) const SERIES: [&str; 6] = [
    "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#b07800", "#56b4e9",
];
/// Dashes beside the colours: colour never tells series apart alone.
pub(super) const DASHES: [&str; 4] = ["", "7 4", "2 3", "10 3 2 3"];
/// Text and marks.
pub(super) const INK: &str = "#24292f";
/// What stands back: axis numbers, notes.
pub(super) const MUTED: &str = "#5b636d";
/// Lines behind the data.
pub(super) const RULE: &str = "#dfe3e8";

/// Light for 0, dark for 1: pale yellow, teal, indigo.
pub(super) fn sequential(share: f64) -> Rgb {
    let share = share.clamp(0.0, 1.0);
    oklch(
        0.975 - 0.65 * share,
        0.045 + 0.075 * share,
        105.0 + 172.0 * share,
    )
}

/// Blue for -1, nearly white for 0, orange for 1.
pub(super) fn diverging(share: f64) -> Rgb {
    let size = share.abs().min(1.0);
    let hue = if share < 0.0 { 253.0 } else { 47.0 };
    oklch(0.975 - 0.49 * size, 0.135 * size, hue)
}

/// `#rrggbb`.
pub(super) fn hex([red, green, blue]: Rgb) -> String {
    format!("#{red:02x}{green:02x}{blue:02x}")
}

/// The text colour that is readable on `ground`.
pub(super) fn ink_on([red, green, blue]: Rgb) -> &'static str {
    // Luma of ITU-R BT.601: green weighs most in how light a colour looks.
    let luma = 0.299 * f64::from(red) + 0.587 * f64::from(green) + 0.114 * f64::from(blue);
    if luma > 140.0 { INK } else { "#ffffff" }
}

/// OKLCH to sRGB; what lies outside of sRGB is cut.
fn oklch(lightness: f64, chroma: f64, hue: f64) -> Rgb {
    let (sin, cos) = hue.to_radians().sin_cos();
    let (a, b) = (chroma * cos, chroma * sin);
    let long = (lightness + 0.396_337_777_4 * a + 0.215_803_757_3 * b).powi(3);
    let middle = (lightness - 0.105_561_345_8 * a - 0.063_854_172_8 * b).powi(3);
    let short = (lightness - 0.089_484_177_5 * a - 1.291_485_548_0 * b).powi(3);
    [
        4.076_741_662_1 * long - 3.307_711_591_3 * middle + 0.230_969_929_2 * short,
        -1.268_438_004_6 * long + 2.609_757_401_1 * middle - 0.341_319_396_5 * short,
        -0.004_196_086_3 * long - 0.703_418_614_7 * middle + 1.707_614_701_0 * short,
    ]
    .map(encoded)
}

/// A linear light value as a byte of sRGB.
fn encoded(linear: f64) -> u8 {
    let linear = linear.clamp(0.0, 1.0);
    let value = if linear <= 0.003_130_8 {
        12.92 * linear
    } else {
        1.055 * linear.powf(1.0 / 2.4) - 0.055
    };
    (value * 255.0).round() as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grey([r, g, b]: Rgb) -> f64 {
        0.299 * f64::from(r) + 0.587 * f64::from(g) + 0.114 * f64::from(b)
    }

    #[test]
    fn ramps_darken_steadily_and_stay_apart_in_grey() {
        for step in 0..20 {
            let at = |step: i32| f64::from(step) / 20.0;
            assert!(grey(sequential(at(step))) > grey(sequential(at(step + 1))) + 4.0);
            for sign in [-1.0, 1.0] {
                let [near, far] = [at(step), at(step + 1)].map(|s| grey(diverging(sign * s)));
                assert!(near > far + 2.0, "{sign} {step}: {near} {far}");
            }
        }
        assert_eq!(diverging(0.0), diverging(-0.0));
        assert_eq!(ink_on(sequential(0.0)), INK);
        assert_eq!(ink_on(sequential(1.0)), "#ffffff");
    }

    #[test]
    fn white_and_black_are_white_and_black() {
        assert_eq!(hex(oklch(1.0, 0.0, 0.0)), "#ffffff");
        assert_eq!(hex(oklch(0.0, 0.0, 0.0)), "#000000");
    }
}
