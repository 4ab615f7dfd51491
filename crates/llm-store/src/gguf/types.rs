//! The element types of GGUF: blocks of a fixed number of weights in a fixed number of bytes.

/// How the weights of a tensor are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "the names are the format's own")]
#[expect(non_camel_case_types, reason = "the names are the format's own")]
#[rustfmt::skip]
pub enum GgmlType {
    F32, F16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q8_1, Q2_K, Q3_K, Q4_K, Q5_K, Q6_K, Q8_K,
    IQ2_XXS, IQ2_XS, IQ3_XXS, IQ1_S, IQ4_NL, IQ3_S, IQ2_S, IQ4_XS, I8, I16, I32, I64, F64, IQ1_M,
    BF16, TQ1_0, TQ2_0, MXFP4,
}

/// Name, number in a file, weights in a block, bytes of a block.
#[rustfmt::skip]
const TYPES: [(GgmlType, &str, u32, usize, usize); 32] = [
    (GgmlType::F32, "F32", 0, 1, 4),
    (GgmlType::F16, "F16", 1, 1, 2),
    (GgmlType::Q4_0, "Q4_0", 2, 32, 18),
    (GgmlType::Q4_1, "Q4_1", 3, 32, 20),
    (GgmlType::Q5_0, "Q5_0", 6, 32, 22),
    (GgmlType::Q5_1, "Q5_1", 7, 32, 24),
    (GgmlType::Q8_0, "Q8_0", 8, 32, 34),
    (GgmlType::Q8_1, "Q8_1", 9, 32, 36),
    (GgmlType::Q2_K, "Q2_K", 10, 256, 84),
    (GgmlType::Q3_K, "Q3_K", 11, 256, 110),
    (GgmlType::Q4_K, "Q4_K", 12, 256, 144),
    (GgmlType::Q5_K, "Q5_K", 13, 256, 176),
    (GgmlType::Q6_K, "Q6_K", 14, 256, 210),
    (GgmlType::Q8_K, "Q8_K", 15, 256, 292),
    (GgmlType::IQ2_XXS, "IQ2_XXS", 16, 256, 66),
    (GgmlType::IQ2_XS, "IQ2_XS", 17, 256, 74),
    (GgmlType::IQ3_XXS, "IQ3_XXS", 18, 256, 98),
    (GgmlType::IQ1_S, "IQ1_S", 19, 256, 50),
    (GgmlType::IQ4_NL, "IQ4_NL", 20, 32, 18),
    (GgmlType::IQ3_S, "IQ3_S", 21, 256, 110),
    (GgmlType::IQ2_S, "IQ2_S", 22, 256, 82),
    (GgmlType::IQ4_XS, "IQ4_XS", 23, 256, 136),
    (GgmlType::I8, "I8", 24, 1, 1),
    (GgmlType::I16, "I16", 25, 1, 2),
    (GgmlType::I32, "I32", 26, 1, 4),
    (GgmlType::I64, "I64", 27, 1, 8),
    (GgmlType::F64, "F64", 28, 1, 8),
    (GgmlType::IQ1_M, "IQ1_M", 29, 256, 56),
    (GgmlType::BF16, "BF16", 30, 1, 2),
    (GgmlType::TQ1_0, "TQ1_0", 34, 256, 54),
    (GgmlType::TQ2_0, "TQ2_0", 35, 256, 66),
    (GgmlType::MXFP4, "MXFP4", 39, 32, 17),
];

impl GgmlType {
    /// Every type that a header may name here.
    pub fn all() -> impl Iterator<Item = Self> {
        TYPES.iter().map(|row| row.0)
    }

    /// The type with this number in a file.
    pub fn from_id(id: u32) -> Option<Self> {
        TYPES.iter().find(|row| row.2 == id).map(|row| row.0)
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        self.row().1
    }

    /// Its number in a file.
    pub fn id(self) -> u32 {
        self.row().2
    }

    /// Weights in a block; a row holds whole blocks.
    pub fn block(self) -> usize {
        self.row().3
    }

    /// Bytes of a block.
    pub fn block_bytes(self) -> usize {
        self.row().4
    }

    /// Bits a weight, scales included.
    pub fn bits(self) -> f64 {
        8.0 * self.block_bytes() as f64 / self.block() as f64
    }

    /// The bytes of a tensor of this shape (outermost axis first); `None` where its rows are not
    /// whole blocks or the size overflows.
    ///
    /// # Shapes
    /// Any with at least one axis.
    pub fn bytes_of(self, shape: &[usize]) -> Option<usize> {
        let row = *shape.last()?;
        if !row.is_multiple_of(self.block()) {
            return None;
        }
        let outer = shape[..shape.len() - 1].iter();
        let row_bytes = (row / self.block()).checked_mul(self.block_bytes());
        outer.fold(row_bytes, |bytes, &size| bytes?.checked_mul(size))
    }

    fn row(self) -> &'static (Self, &'static str, u32, usize, usize) {
        // The table follows the order of the enum; a test walks it
        &TYPES[self as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_follows_the_enum() {
        for (index, kind) in GgmlType::all().enumerate() {
            assert_eq!(kind as usize, index, "{kind:?}");
            assert_eq!(GgmlType::from_id(kind.id()), Some(kind));
            assert_eq!(format!("{kind:?}"), kind.name());
        }
    }

    #[test]
    fn rows_are_whole_blocks() {
        assert_eq!(GgmlType::Q4_K.bytes_of(&[3, 512]), Some(864));
        assert_eq!(GgmlType::Q4_K.bytes_of(&[3, 511]), None);
        assert_eq!(GgmlType::F32.bytes_of(&[]), None);
        assert_eq!(GgmlType::F32.bytes_of(&[usize::MAX, 2]), None);
    }
}
