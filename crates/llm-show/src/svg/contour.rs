//! Outlines of the places where a sampled function reaches a level: marching squares.
//!
//! A ring of samples below every level surrounds the grid, so that each outline closes. Each cell adds
//! straight pieces from the side where its rim leaves the inside to the side where it comes back; the
//! piece that ends on a side is continued by the neighbour's that starts there.

use std::collections::BTreeMap;

/// A point in units of the grid, (0, 0) its first sample.
pub(super) type Point = [f64; 2];

/// Values on a grid, row by row.
pub(super) struct Samples {
    across: usize,
    values: Vec<f64>,
}

impl Samples {
    /// Samples `f` at (column, row); what is not finite counts as higher than everything.
    pub(super) fn new(across: usize, down: usize, f: impl Fn(usize, usize) -> f64) -> Self {
        let mut values = vec![f64::NEG_INFINITY; (across + 2) * (down + 2)];
        for row in 0..down {
            for column in 0..across {
                let value = f(column, row);
                let value = if value.is_finite() { value } else { f64::MAX };
                values[(row + 1) * (across + 2) + column + 1] = value;
            }
        }
        Self {
            across: across + 2,
            values,
        }
    }

    /// The samples that are finite, in ascending order.
    pub(super) fn sorted(&self) -> Vec<f64> {
        let real = |value: &f64| value.is_finite() && *value < f64::MAX;
        let mut values: Vec<f64> = self.values.iter().copied().filter(real).collect();
        values.sort_by(f64::total_cmp);
        values
    }

    /// Closed outlines around all samples that are at least `level`.
    pub(super) fn outlines(&self, level: f64) -> Vec<Vec<Point>> {
        // From the side where a piece starts to the side where it ends.
        let mut pieces: BTreeMap<Side, Side> = BTreeMap::new();
        let down = self.values.len() / self.across;
        for row in 0..down - 1 {
            for column in 0..self.across - 1 {
                self.add_pieces(row * self.across + column, level, &mut pieces);
            }
        }
        let mut outlines = Vec::new();
        while let Some((start, mut side)) = pieces.pop_first() {
            let mut outline = vec![self.crossing(start, level)];
            while side != start {
                outline.push(self.crossing(side, level));
                let Some(next) = pieces.remove(&side) else {
                    break;
                };
                side = next;
            }
            outlines.push(outline);
        }
        outlines
    }

    /// The pieces within the cell whose first corner is `corner`.
    fn add_pieces(&self, corner: usize, level: f64, pieces: &mut BTreeMap<Side, Side>) {
        let corners = [
            corner,
            corner + 1,
            corner + 1 + self.across,
            corner + self.across,
        ];
        let inside = corners.map(|at| self.values[at] >= level);
        let leaves = |side: usize| inside[side] && !inside[(side + 1) % 4];
        let enters = |side: usize| !inside[side] && inside[(side + 1) % 4];
        let mean = corners.iter().map(|&at| self.values[at] / 4.0).sum::<f64>();
        let saddle = inside[0] == inside[2] && inside[1] == inside[3];
        let side = |index: usize| Side::new(corners[index], corners[(index + 1) % 4]);
        for from in (0..4).filter(|&index| leaves(index)) {
            // In a saddle the middle decides whether the two inner corners hang together.
            let turns = if saddle && mean < level {
                [3, 3, 3]
            } else {
                [1, 2, 3]
            };
            let to = turns
                .map(|turn| (from + turn) % 4)
                .into_iter()
                .find(|&index| enters(index));
            if let Some(to) = to {
                pieces.insert(side(from), side(to));
            }
        }
    }

    /// Where the level lies on a side.
    fn crossing(&self, Side(a, b): Side, level: f64) -> Point {
        let (inner, outer) = if self.values[a] >= level {
            (a, b)
        } else {
            (b, a)
        };
        let (high, low) = (self.values[inner], self.values[outer]);
        // The ring has no place of its own: an outline along the rim runs through the samples.
        let share = match low.is_finite() && high < f64::MAX {
            true => ((high - level) / (high - low)).clamp(0.0, 1.0),
            false => 0.0,
        };
        let at = |node: usize| [(node % self.across) as f64, (node / self.across) as f64];
        let ([x, y], [to_x, to_y]) = (at(inner), at(outer));
        [x + share * (to_x - x) - 1.0, y + share * (to_y - y) - 1.0]
    }
}

/// The side between two neighbouring samples, the smaller index first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Side(usize, usize);

impl Side {
    fn new(a: usize, b: usize) -> Self {
        Self(a.min(b), a.max(b))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Twice the signed area, summed over all outlines.
    fn area(outlines: &[Vec<Point>]) -> f64 {
        let twice = |outline: &Vec<Point>| -> f64 {
            let next = outline.iter().cycle().skip(1);
            outline
                .iter()
                .zip(next)
                .map(|(a, b)| a[0] * b[1] - b[0] * a[1])
                .sum()
        };
        outlines.iter().map(twice).sum::<f64>().abs() / 2.0
    }

    #[test]
    fn a_hill_has_one_round_outline() {
        let hill = |x: usize, y: usize| {
            let (x, y) = (x as f64 - 20.0, y as f64 - 20.0);
            -(x * x + y * y)
        };
        let outlines = Samples::new(41, 41, hill).outlines(-100.0);
        assert_eq!(outlines.len(), 1);
        let circle = std::f64::consts::PI * 100.0;
        let difference = (area(&outlines) - circle).abs() / circle;
        assert!(difference < 0.01, "{difference}");
    }

    #[test]
    fn a_hollow_is_a_hole_and_the_rim_closes_the_outside() {
        let hollow = |x: usize, y: usize| (x as f64 - 10.0).powi(2) + (y as f64 - 10.0).powi(2);
        let outlines = Samples::new(21, 21, hollow).outlines(25.0);
        assert_eq!(outlines.len(), 2);
        let expected = 400.0 - std::f64::consts::PI * 25.0;
        let difference = (area(&outlines) - expected).abs() / expected;
        assert!(difference < 0.01, "{difference}");
    }

    #[test]
    fn saddles_close_whichever_way_they_go() {
        for level in [-0.5, 0.0, 0.5] {
            let chess = |x: usize, y: usize| if (x + y).is_multiple_of(2) { 1.0 } else { -1.0 };
            let outlines = Samples::new(6, 5, chess).outlines(level);
            assert!(!outlines.is_empty() && area(&outlines).is_finite());
        }
        let all = Samples::new(3, 3, |_, _| f64::NAN);
        assert_eq!(area(&all.outlines(0.0)), 4.0);
        assert!(all.sorted().is_empty());
    }
}
