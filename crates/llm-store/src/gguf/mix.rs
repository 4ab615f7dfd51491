//! Which tensor is stored how.
//!
//! The rules are those of llama.cpp's `src/llama-quant.cpp` (`llama_tensor_get_type_impl` and
//! `tensor_type_fallback`) for dense models, so that a file of ours and one of `llama-quantize`
//! hold the same types:
//!
//! - Norms, biases, learned positions and rope factors stay in F32.
//! - The head (of a tied model: the embedding) is Q6_K in every type of fewer than 8 bits.
//! - In `Q4_K_M` and `Q5_K_M`, values (`attn_v`, `attn_qkv`) and `ffn_down` are Q6_K in the first
//!   and last eighth of the layers and in every third one between.
//! - A row that is not whole blocks of 256 falls back: Q4_K → Q5_0, Q5_K → Q5_1, Q6_K → Q8_0; one
//!   that is not whole blocks of 32 either → F16.

use super::types::GgmlType;

/// What a file as a whole is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are llama.cpp's own")]
#[expect(non_camel_case_types, reason = "the names are llama.cpp's own")]
#[rustfmt::skip]
pub enum Quant { F32, F16, BF16, Q8_0, Q4_0, Q4_K_M, Q5_K_M, Q6_K }

/// Name, number of `general.file_type` (llama.cpp's `llama_ftype`), type of most matrices.
#[rustfmt::skip]
const QUANTS: [(Quant, &str, u32, GgmlType); 8] = [
    (Quant::F32, "F32", 0, GgmlType::F32),
    (Quant::F16, "F16", 1, GgmlType::F16),
    (Quant::BF16, "BF16", 32, GgmlType::BF16),
    (Quant::Q8_0, "Q8_0", 7, GgmlType::Q8_0),
    (Quant::Q4_0, "Q4_0", 2, GgmlType::Q4_0),
    (Quant::Q4_K_M, "Q4_K_M", 15, GgmlType::Q4_K),
    (Quant::Q5_K_M, "Q5_K_M", 17, GgmlType::Q5_K),
    (Quant::Q6_K, "Q6_K", 18, GgmlType::Q6_K),
];

impl Quant {
    /// All of them, from the largest file to mixes of few bits.
    pub fn all() -> impl Iterator<Item = Self> {
        QUANTS.iter().map(|row| row.0)
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        self.row().1
    }

    /// Its number in `general.file_type`.
    pub fn file_type(self) -> u32 {
        self.row().2
    }

    /// The type of most matrices.
    pub fn base(self) -> GgmlType {
        self.row().3
    }

    fn row(self) -> &'static (Self, &'static str, u32, GgmlType) {
        // The table follows the order of the enum; a test walks it
        &QUANTS[self as usize]
    }
}

/// What the choice for a tensor depends on.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// The tensor's name in the file.
    pub name: &'a str,
    /// Sizes of the axes, outermost first.
    pub shape: &'a [usize],
    /// Its layer, of how many.
    pub layer: Option<(usize, usize)>,
    /// Whether the embedding is also the head.
    pub tied: bool,
}

/// The type of a tensor, and the type that it would have if its rows were whole blocks of it.
pub fn choose(quant: Quant, place: Place) -> (GgmlType, GgmlType) {
    let row = place.shape.last().copied().unwrap_or(0);
    let matrix = place.shape.len() >= 2 && place.name.ends_with(".weight");
    let stays = place.name.ends_with("_norm.weight") || place.name == "position_embd.weight";
    if !matrix || stays {
        return (GgmlType::F32, GgmlType::F32);
    }
    let base = quant.base();
    if matches!(base, GgmlType::F32 | GgmlType::F16 | GgmlType::BF16) {
        return (base, base);
    }
    let head = place.name == "output.weight" || (place.tied && place.name == "token_embd.weight");
    let sensitive = ["attn_v.weight", "attn_qkv.weight", "ffn_down.weight"];
    let sensitive = sensitive.iter().any(|end| place.name.ends_with(end));
    let wanted = match quant {
        Quant::Q8_0 => GgmlType::Q8_0,
        _ if head && !row.is_multiple_of(base.block()) => GgmlType::Q8_0,
        _ if head => GgmlType::Q6_K,
        Quant::Q4_K_M | Quant::Q5_K_M if sensitive && more_bits(place.layer) => GgmlType::Q6_K,
        _ => base,
    };
    (fall_back(wanted, row), wanted)
}

/// Whether a layer is among those whose errors weigh most.
fn more_bits(layer: Option<(usize, usize)>) -> bool {
    let Some((layer, layers)) = layer else {
        return false;
    };
    let eighth = layers / 8;
    layer < eighth || layer >= 7 * layers / 8 || (layer - eighth) % 3 == 2
}

/// The type that takes the place of `wanted` for rows of this many weights.
fn fall_back(wanted: GgmlType, row: usize) -> GgmlType {
    if row.is_multiple_of(wanted.block()) {
        return wanted;
    }
    let smaller = match wanted {
        GgmlType::Q4_K => GgmlType::Q5_0,
        GgmlType::Q5_K => GgmlType::Q5_1,
        GgmlType::Q6_K => GgmlType::Q8_0,
        _ => GgmlType::F16,
    };
    match row.is_multiple_of(smaller.block()) {
        true => smaller,
        false => GgmlType::F16,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(quant: Quant, name: &str, shape: &[usize], layer: usize, tied: bool) -> GgmlType {
        let layer = Some((layer, 16));
        let place = Place {
            name,
            shape,
            layer,
            tied,
        };
        choose(quant, place).0
    }

    #[test]
    fn the_table_follows_the_enum() {
        for (index, quant) in Quant::all().enumerate() {
            assert_eq!(quant as usize, index, "{quant:?}");
            assert_eq!(format!("{quant:?}"), quant.name());
        }
    }

    #[test]
    fn mixes_give_more_bits_where_llama_cpp_does() {
        let matrix = [512, 256];
        let down = |layer| kind(Quant::Q4_K_M, "blk.0.ffn_down.weight", &matrix, layer, true);
        let more: Vec<usize> = (0..16).filter(|&l| down(l) == GgmlType::Q6_K).collect();
        assert_eq!(more, [0, 1, 4, 7, 10, 13, 14, 15]);
        assert_eq!(down(2), GgmlType::Q4_K);
        let up = kind(Quant::Q5_K_M, "blk.0.ffn_up.weight", &matrix, 0, true);
        assert_eq!(up, GgmlType::Q5_K);
        let head = |quant, tied| kind(quant, "token_embd.weight", &matrix, 0, tied);
        assert_eq!(head(Quant::Q4_K_M, true), GgmlType::Q6_K);
        assert_eq!(head(Quant::Q4_K_M, false), GgmlType::Q4_K);
        assert_eq!(head(Quant::Q4_0, true), GgmlType::Q6_K);
        assert_eq!(head(Quant::Q8_0, true), GgmlType::Q8_0);
        assert_eq!(head(Quant::BF16, true), GgmlType::BF16);
    }

    #[test]
    fn rows_that_are_not_whole_blocks_fall_back() {
        let kind = |quant, row| kind(quant, "blk.2.ffn_up.weight", &[8, row], 2, true);
        assert_eq!(kind(Quant::Q4_K_M, 192), GgmlType::Q5_0);
        assert_eq!(kind(Quant::Q5_K_M, 192), GgmlType::Q5_1);
        assert_eq!(kind(Quant::Q6_K, 192), GgmlType::Q8_0);
        assert_eq!(kind(Quant::Q4_K_M, 48), GgmlType::F16);
        assert_eq!(kind(Quant::Q8_0, 48), GgmlType::F16);
        assert_eq!(kind(Quant::Q4_0, 192), GgmlType::Q4_0);
    }

    #[test]
    fn vectors_norms_and_positions_stay() {
        for name in [
            "output_norm.weight",
            "position_embd.weight",
            "blk.0.attn_q.bias",
        ] {
            assert_eq!(kind(Quant::Q4_0, name, &[64, 256], 0, true), GgmlType::F32);
        }
        let bias = kind(Quant::F16, "blk.0.attn_norm.weight", &[256], 0, true);
        assert_eq!(bias, GgmlType::F32);
    }
}
