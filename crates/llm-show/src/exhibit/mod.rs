//! Exhibits: what a step shows. Each is plain data that turns into lines of text.

mod bars;
mod curve;
mod grid;
mod histogram;
mod region;
mod shape;
mod table;

pub use bars::{Bars, sparkline};
pub use curve::Curve;
pub use grid::{Grid, GridStyle};
pub use histogram::Histogram;
pub use region::Region;
pub use shape::{Shape, Shapes};
pub use table::{Cell, Table};

use crate::look::Look;

/// Something that can be shown in a terminal of [`crate::look::WIDTH`] columns.
pub trait Exhibit {
    /// The lines without indentation.
    fn lines(&self, look: Look) -> Vec<String>;
}

/// The columns an exhibit may use: the width less the indentation.
pub(crate) const COLUMNS: usize = crate::look::WIDTH - crate::screen::INDENT;
