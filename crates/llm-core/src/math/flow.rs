//! Why norms moved off the stream: an experiment with deep stacks that have learned nothing yet.
//!
//! A gradient comes down a stack on many ways: in every half of every block it may pass the layer or
//! stay on the stream. One way passes no layer at all. In a pre-norm stack nothing stands on it, and
//! the gradient arrives at the first block as it left the last. In a post-norm stack a norm divides it
//! by the size of each sum, twice a block, so that way fades with the depth; what else arrives has gone
//! through layers, and how much that is depends on the draw.
//!
//! ```
//! use llm_core::math::block::{BlockSizes, Style};
//! use llm_core::math::flow::flow;
//! use llm_core::rng::{Purpose, stream};
//! let sizes = BlockSizes::usual(Style::Gpt2, 8, 2);
//! let flow = flow(&mut stream(7, Purpose::Init), Style::Gpt2, sizes, (4, 3))?;
//! assert_eq!(flow.straight[0], flow.straight[4]);
//! # Ok::<(), llm_core::Error>(())
//! ```

use super::block::{Block, BlockSizes, Order, Style, size};
use super::scale::gaussian;
use crate::Result;
use crate::rng::ChaCha8Rng;

/// How a signal goes up through a stack of blocks and its gradient comes down.
///
/// Each list has one size for the place before the first block and one for the place after each.
#[derive(Clone, Debug, PartialEq)]
pub struct Flow {
    /// Of the stream.
    pub stream: Vec<f64>,
    /// Of the loss's gradient.
    pub gradient: Vec<f64>,
    /// Of the part of that gradient that came straight down the stream, through no layer.
    pub straight: Vec<f64>,
}

impl Flow {
    /// The parts of the gradient above the last block that arrive below the first: straight down, and
    /// on all ways together.
    pub fn arrives(&self) -> [f64; 2] {
        let share = |sizes: &[f64]| sizes.first().zip(sizes.last()).map_or(1.0, |(b, a)| b / a);
        [share(&self.straight), share(&self.gradient)]
    }

    /// How many blocks are below a place, and the part of the gradient that came straight to it.
    pub fn straight_shares(&self) -> Vec<(f64, f64)> {
        let top = self.straight.last().copied().unwrap_or(1.0);
        let places = self.straight.iter().enumerate();
        places.map(|(at, size)| (at as f64, size / top)).collect()
    }
}

/// Sends drawn tokens up through a stack of freshly drawn blocks and a drawn gradient down.
///
/// A pre-norm stack ends with one more norm, since nothing on its stream has kept that in size.
///
/// # Shapes
/// The stream is `[tokens, C]`.
///
/// # Errors
/// Heads that do not divide their channels.
pub fn flow(
    rng: &mut ChaCha8Rng,
    style: Style,
    sizes: BlockSizes,
    (count, tokens): (usize, usize),
) -> Result<Flow> {
    let c = sizes.heads.channels;
    let mut blocks = Vec::new();
    let mut streams = vec![gaussian(rng, tokens, c, 1.0)];
    for at in 0..count {
        let block = Block::draw(rng, style, sizes)?;
        streams.push(block.forward(&streams[at])?.output);
        blocks.push(block);
    }
    let d_y = gaussian(rng, tokens, c, 1.0);
    let mut d = match style.order() {
        Order::Pre => style.norm(c).backward(&streams[count], &d_y).1,
        Order::Post => d_y,
    };
    let mut d_straight = d.clone();
    let (mut gradient, mut straight) = (vec![size(&d)], vec![size(&d)]);
    for (block, stream) in blocks.iter().zip(&streams).rev() {
        d = block.backward(stream, &d)?.1;
        d_straight = block.straight_down(stream, &d_straight)?;
        gradient.push(size(&d));
        straight.push(size(&d_straight));
    }
    gradient.reverse();
    straight.reverse();
    Ok(Flow {
        stream: streams.iter().map(size).collect(),
        gradient,
        straight,
    })
}
