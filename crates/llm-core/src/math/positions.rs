//! Where a token stands: four ways to tell attention about order.
//!
//! Without them attention sees a bag of words: a dot product does not know where its two arrows came
//! from. [`sinusoids`] (Vaswani et al. 2017) and a [`LearnedTable`] (GPT-2) add a row per position to
//! the embeddings; [rope](super::rope) (Su et al. 2021) turns queries and keys; ALiBi (Press et
//! al. 2022) leaves the vectors alone and lowers the score of a key the farther away it is.
//!
//! ```
//! use llm_core::math::positions::sinusoids;
//! let first = sinusoids(2, 4)?.row(1).to_vec(); // sin 1, cos 1, sin 0.01, cos 0.01
//! assert!((first[0] - 0.841471).abs() < 1e-6 && (first[3] - 0.999950).abs() < 1e-6);
//! # Ok::<(), llm_core::Error>(())
//! ```

use ndarray::{Array2, Axis, s};

use super::attention::{Mask, attend_biased};
use super::linear::linear;
use super::rope::{THETA, expect_pairs, frequencies};
use super::scale::gaussian;
use super::self_attention::SelfAttention;
use crate::rng::ChaCha8Rng;
use crate::{Error, Result};

// ANCHOR: sinusoids
/// The table that the first Transformer adds to its embeddings.
///
/// ```text
/// PE[p, 2i] = sin(p ωᵢ)      PE[p, 2i + 1] = cos(p ωᵢ)      ωᵢ = 10000^(−2i/C)
/// ```
///
/// A clock with C/2 hands: the first goes round in 2π ≈ 6.3 positions, the last in up to 62,832.
///
/// # Shapes
/// → `[positions, C]`.
///
/// # Errors
/// C that is odd or 0.
pub fn sinusoids(positions: usize, c: usize) -> Result<Array2<f64>> {
    expect_pairs("channels", c)?;
    let frequencies = frequencies(c, THETA);
    let mut table = Array2::zeros((positions, c));
    for position in 0..positions {
        for (pair, frequency) in frequencies.iter().enumerate() {
            let angle = position as f64 * frequency;
            table[[position, 2 * pair]] = angle.sin();
            table[[position, 2 * pair + 1]] = angle.cos();
        }
    }
    Ok(table)
}
// ANCHOR_END: sinusoids

/// One trained row for each position, as in GPT-2: nothing is built in, everything is learned, and
/// beyond its last row there is nothing.
#[derive(Clone, Debug, PartialEq)]
pub struct LearnedTable {
    /// `[positions, C]`
    pub rows: Array2<f64>,
}

impl LearnedTable {
    /// `x` with the row of its position added to each token; the first stands at `offset`.
    ///
    /// # Shapes
    /// `x [T, C]` → `[T, C]`.
    ///
    /// # Errors
    /// A token past the last row, or other channels than the table's.
    pub fn add(&self, x: &Array2<f64>, offset: usize) -> Result<Array2<f64>> {
        let ((t, c), (positions, width)) = (x.dim(), self.rows.dim());
        if c != width {
            let problem = format!("{c} of the tokens do not fit the table's {width}");
            return Err(Error::input("channels", problem));
        }
        if offset + t > positions {
            let problem = format!(
                "{} lies past the table of {positions} learned rows",
                offset + t - 1
            );
            return Err(Error::input("position", problem));
        }
        Ok(x + &self.rows.slice(s![offset..offset + t, ..]))
    }

    /// The gradient of the table: each row gets that of the token which stood there, and a row where
    /// no token ever stood gets zeros. This is why a learned table knows nothing of later positions.
    ///
    /// # Shapes
    /// `d_y [T, C]` → `[positions, C]`.
    pub fn backward(&self, d_y: &Array2<f64>, offset: usize) -> Array2<f64> {
        let mut gradient = Array2::zeros(self.rows.dim());
        for (token, d_row) in d_y.outer_iter().enumerate() {
            gradient.row_mut(offset + token).assign(&d_row);
        }
        gradient
    }
}

/// ALiBi's slopes, one a head: `2^(−8/H), 2^(−16/H), …`, from near-sighted to far-sighted heads.
///
/// Where H is no power of two, the slopes of the next smaller one come first, then every other slope
/// of the next larger one, as in the authors' code.
///
/// # Shapes
/// → `[H]`.
pub fn alibi_slopes(heads: usize) -> Vec<f64> {
    let geometric = |n: usize| (1..=n).map(move |head| 2f64.powf(-8.0 * head as f64 / n as f64));
    if heads == 0 || heads.is_power_of_two() {
        return geometric(heads).collect();
    }
    let smaller = heads.next_power_of_two() / 2;
    let between = geometric(2 * smaller).step_by(2);
    geometric(smaller).chain(between).take(heads).collect()
}

/// What ALiBi adds to the scaled score of a pair: `−slope · distance`, nothing for a token's own key.
pub fn alibi_bias(slope: f64, position: usize, key: usize) -> f64 {
    -slope * position.abs_diff(key) as f64
}

/// A way to tell attention where the tokens stand.
#[derive(Clone, Debug, PartialEq)]
pub enum Encoding {
    /// Not at all.
    None,
    /// [`sinusoids`] added to the embeddings.
    Sinusoids,
    /// A [`LearnedTable`] added to the embeddings.
    Learned(LearnedTable),
    /// Queries and keys turned by their position.
    Rope,
    /// Scores lowered by distance with this slope.
    Alibi(f64),
}

impl Encoding {
    /// Each way with a name for people, [`Encoding::None`] first; the learned table is drawn, the
    /// slope is that of the first of eight heads.
    ///
    /// # Shapes
    /// For texts of up to T tokens of C channels.
    pub fn every(rng: &mut ChaCha8Rng, t: usize, c: usize) -> [(&'static str, Self); 5] {
        let rows = gaussian(rng, t, c, 1.0);
        [
            ("nothing", Self::None),
            ("sinusoids, added", Self::Sinusoids),
            (
                "a learned table, added",
                Self::Learned(LearnedTable { rows }),
            ),
            ("rope, turning q and k", Self::Rope),
            ("ALiBi, lowering scores", Self::Alibi(0.5)),
        ]
    }

    /// What `module` makes of `x` with positions told in this way.
    ///
    /// # Shapes
    /// `x [T, C]` → `[T, C]`.
    ///
    /// # Errors
    /// Channels that do not come in pairs, or more tokens than a learned table has rows.
    pub fn read(&self, module: &SelfAttention, x: &Array2<f64>, mask: Mask) -> Result<Array2<f64>> {
        let (t, c) = x.dim();
        let x = match self {
            Self::Sinusoids => x + &sinusoids(t, c)?,
            Self::Learned(table) => table.add(x, 0)?,
            Self::None | Self::Rope | Self::Alibi(_) => x.clone(),
        };
        let places: Vec<f64> = (0..t).map(|position| position as f64).collect();
        match self {
            Self::Rope => {
                expect_pairs("head size", module.query.nrows())?;
                Ok(module.forward_at(&x, &places, mask).y)
            }
            // The only one that speaks after the dot product.
            Self::Alibi(slope) => {
                let [q, k, v] = module.project(&x);
                let bias = |position, key| alibi_bias(*slope, position, key);
                let read = attend_biased((&q, &k, &v), module.scale(), mask, bias).output;
                Ok(linear(&read, &module.output, None))
            }
            Self::None | Self::Sinusoids | Self::Learned(_) => Ok(module.forward(&x, mask).y),
        }
    }

    /// How much order matters to `module`: tokens `a` and `b` change places, and this is the largest
    /// change of an output beyond changing places with them. Exactly 0 in theory for a bag of words;
    /// in floats the sums come in another order.
    ///
    /// # Shapes
    /// `x [T, C]` → a number.
    ///
    /// # Errors
    /// As [`Encoding::read`], or a token that is not there.
    pub fn order_effect(
        &self,
        module: &SelfAttention,
        x: &Array2<f64>,
        (a, b): (usize, usize),
        mask: Mask,
    ) -> Result<f64> {
        let (t, _c) = x.dim();
        if a.max(b) >= t {
            let problem = format!("{} is not in a text of {t} tokens", a.max(b));
            return Err(Error::input("position", problem));
        }
        let mut order: Vec<usize> = (0..t).collect();
        order.swap(a, b);
        let swapped = |x: &Array2<f64>| x.select(Axis(0), &order);
        let expected = swapped(&self.read(module, x, mask)?);
        let apart = self.read(module, &swapped(x), mask)? - expected;
        Ok(apart.iter().fold(0.0, |most, x| x.abs().max(most)))
    }
}
