//! One block against PyTorch's TransformerEncoderLayer, against `nn::Block`, and against slopes.

use std::collections::{BTreeMap, BTreeSet};

use candle_core::{DType, Device, Tensor, Var};
use llm_core::config::ModelConfig;
use llm_core::math::block::{Block, BlockSizes, Order, Style, size};
use llm_core::math::flow::flow;
use llm_core::math::gradient::compare;
use llm_core::math::layers::Norm;
use llm_core::math::multi_head::HeadSizes;
use llm_core::math::parameters::Layer;
use llm_core::math::scale::gaussian;
use llm_core::nn::{self, BlockNames, Pass, Positions};
use llm_core::ops::Ops;
use llm_core::params::{Mode, Weights};
use llm_core::rng::{ChaCha8Rng, Purpose, stream};
use ndarray::Array2;
use serde_json::Value;

/// f64 against f64, a few hundred terms in another order; the course asks for 1e-5.
const F64: f64 = 1e-12;
/// Central differences in f64 with h = 1e-5.
const SLOPE: f64 = 1e-7;

fn rng() -> ChaCha8Rng {
    stream(7, Purpose::Demo)
}

fn sizes(channels: usize, heads: usize, kv_heads: usize, inner: usize) -> BlockSizes {
    let heads = HeadSizes {
        channels,
        heads,
        kv_heads,
    };
    BlockSizes { heads, inner }
}

/// A block with no number at its starting value, so that each one is seen.
fn shaken(style: Style, sizes: BlockSizes, seed: u64) -> Block {
    let rng = &mut stream(seed, Purpose::Demo);
    let mut block = Block::draw(rng, style, sizes).unwrap();
    for values in block.parameters_mut() {
        let noise = gaussian(rng, 1, values.len(), 0.3);
        values
            .iter_mut()
            .zip(&noise)
            .for_each(|(value, noise)| *value += noise);
    }
    block
}

/// A case of the fixture that `tools/oracle/block.py` wrote.
struct Case(Value);

impl Case {
    fn new(style: Style) -> Self {
        let all: Value = serde_json::from_str(include_str!("../fixtures/math/block.json")).unwrap();
        Self(all[style.name()].clone())
    }

    fn size(&self, name: &str) -> usize {
        self.0["sizes"][name].as_u64().unwrap() as usize
    }

    fn values(&self, key: &str) -> Vec<f64> {
        let values = self.0[key]["values"].as_array();
        let values = values.unwrap_or_else(|| panic!("no `{key}` in the fixture"));
        values.iter().map(|value| value.as_f64().unwrap()).collect()
    }

    fn matrix(&self, key: &str) -> Array2<f64> {
        let columns = self.size("channels");
        let values = self.values(key);
        Array2::from_shape_vec((values.len() / columns, columns), values).unwrap()
    }

    /// A block with the fixture's numbers.
    fn block(&self, style: Style) -> Block {
        let [c, h, k, f] = ["channels", "heads", "kv_heads", "inner"].map(|name| self.size(name));
        let mut block = Block::draw(&mut rng(), style, sizes(c, h, k, f)).unwrap();
        let names: Vec<String> = block.parameters().into_iter().map(|p| p.name).collect();
        let in_file = self
            .0
            .as_object()
            .unwrap()
            .keys()
            .filter(|key| key.contains('.') && !key.starts_with("d_"));
        let ours: BTreeSet<&String> = names.iter().collect();
        assert_eq!(
            ours,
            in_file.collect(),
            "the same tensors under the same names"
        );
        for (name, values) in names.iter().zip(block.parameters_mut()) {
            values.copy_from_slice(&self.values(name));
        }
        block
    }

    fn agrees(&self, key: &str, ours: &[f64]) {
        let d = compare(ours, &self.values(key));
        assert!(
            d.largest <= F64,
            "{key}: |Δ| = {:e} at {} (tolerance {F64:e})",
            d.largest,
            d.at
        );
    }
}

fn flat(x: &Array2<f64>) -> &[f64] {
    x.as_slice().unwrap()
}

#[test]
fn blocks_equal_pytorch_forward_and_backward() {
    for style in Style::ALL {
        let case = Case::new(style);
        let (block, x) = (case.block(style), case.matrix("x"));
        case.agrees("y", flat(&block.forward(&x).unwrap().output));
        let (gradients, d_x) = block.backward(&x, &case.matrix("d_y")).unwrap();
        case.agrees("d_x", flat(&d_x));
        for parameter in gradients.parameters() {
            case.agrees(&format!("d_{}", parameter.name), parameter.values);
        }
    }
}

#[test]
fn the_order_of_norm_and_sum_is_seen() {
    for style in [Style::Original, Style::Gpt2] {
        let case = Case::new(style);
        let (mut block, x) = (case.block(style), case.matrix("x"));
        block.order = if block.order == Order::Pre {
            Order::Post
        } else {
            Order::Pre
        };
        let y = block.forward(&x).unwrap().output;
        let apart = compare(flat(&y), &case.values("y")).largest;
        assert!(
            apart > 0.1,
            "{style:?} with the norms in the wrong place: |Δ| = {apart}"
        );
    }
}

#[test]
fn a_later_token_changes_nothing_before_it() {
    for style in Style::ALL {
        let block = shaken(style, sizes(12, 4, 2, 20), 7);
        let x = gaussian(&mut rng(), 6, 12, 1.0);
        let before = block.forward(&x).unwrap().output;
        for changed in 0..6 {
            let mut other = x.clone();
            other.row_mut(changed).mapv_inplace(|x| 2.0 - x);
            let after = block.forward(&other).unwrap().output;
            for token in 0..6 {
                let same = before.row(token) == after.row(token);
                assert_eq!(
                    same,
                    token < changed,
                    "{style:?}: token {token} after {changed}"
                );
            }
        }
    }
}

#[test]
fn a_block_has_12_c_squared_numbers_and_its_biases_and_norms() {
    let count = |style, channels, heads, kv_heads, inner| {
        let sizes = sizes(channels, heads, kv_heads, inner);
        Block::draw(&mut rng(), style, sizes).unwrap().count()
    };
    for style in [Style::Original, Style::Gpt2] {
        assert_eq!(style.inner(16), 64);
        assert_eq!(count(style, 16, 4, 4, 64), 12 * 16 * 16 + 13 * 16);
    }
    // The block of GPT-2 small: 124,439,808 = 12 of these and 768 · (50,257 + 1,024 + 2) others.
    let gpt2 = count(Style::Gpt2, 768, 12, 12, 3_072);
    assert_eq!(gpt2, 12 * 768 * 768 + 13 * 768);
    assert_eq!(12 * gpt2 + 768 * (50_257 + 1_024 + 2), 124_439_808);
    let (c, k, f) = (16, 2, Style::Llama.inner(16));
    assert_eq!(f, 42);
    assert_eq!(
        count(Style::Llama, c, 4, k, f),
        2 * c * c + 2 * k * 4 * c + 3 * c * f + 2 * c
    );
}

#[test]
fn all_numbers_at_once_move_the_loss_as_the_gradient_says() {
    for style in Style::ALL {
        let sizes = sizes(12, 4, 2, 20);
        let (block, direction) = (shaken(style, sizes, 7), shaken(style, sizes, 8));
        let rng = &mut rng();
        let (x, d_y) = (gaussian(rng, 6, 12, 1.0), gaussian(rng, 6, 12, 1.0));
        let loss = |block: &Block| (&block.forward(&x).unwrap().output * &d_y).sum();
        let (mut up, mut down) = (block.clone(), block.clone());
        up.add(&direction, 1e-5);
        down.add(&direction, -1e-5);
        let slope = (loss(&up) - loss(&down)) / 2e-5;
        let ours = block.backward(&x, &d_y).unwrap().0.dot(&direction);
        let apart = (ours - slope).abs() / slope.abs();
        assert!(
            apart <= SLOPE,
            "{style:?}: {ours} is not {slope} (relative {apart:e})"
        );
    }
}

#[test]
fn only_the_key_bias_has_no_gradient() {
    for style in Style::ALL {
        let block = shaken(style, sizes(12, 4, 4, 20), 7);
        let rng = &mut rng();
        let (x, d_y) = (gaussian(rng, 6, 12, 1.0), gaussian(rng, 6, 12, 1.0));
        let (gradients, _) = block.backward(&x, &d_y).unwrap();
        for parameter in gradients.parameters() {
            let largest = parameter
                .values
                .iter()
                .fold(0.0, |most: f64, x| most.max(x.abs()));
            let dead = parameter.name == "attention.k.bias";
            assert_eq!(
                largest <= F64,
                dead,
                "{style:?} {}: {largest:e}",
                parameter.name
            );
        }
    }
}

#[test]
fn steps_against_the_gradient_make_a_block_repeat_what_it_should() {
    for style in Style::ALL {
        let rng = &mut rng();
        let mut block = Block::draw(rng, style, sizes(8, 2, 2, 16)).unwrap();
        // Each token is to say what the first one was, brought to the size of a norm's output.
        let x = gaussian(rng, 4, 8, 1.0);
        let first = Norm::layer(8).forward(&x).row(0).to_owned();
        let wanted = Array2::from_shape_fn((4, 8), |(_, channel)| first[channel]);
        let error = |block: &Block| block.forward(&x).unwrap().output - &wanted;
        let start = size(&error(&block));
        for _ in 0..400 {
            let (gradients, _) = block.backward(&x, &error(&block)).unwrap();
            block.add(&gradients, -0.03);
        }
        let end = size(&error(&block));
        assert!(end < 0.05 * start, "{style:?}: from {start} to {end}");
    }
}

#[test]
fn the_straight_way_is_open_in_a_pre_norm_stack_and_fades_in_a_post_norm_stack() {
    const BLOCKS: usize = 16;
    for seed in 0..6 {
        let [post, pre] = [Style::Original, Style::Gpt2].map(|style| {
            let rng = &mut stream(seed, Purpose::Init);
            flow(rng, style, sizes(16, 4, 4, 64), (BLOCKS, 6)).unwrap()
        });
        println!(
            "seed {seed}: straight {:.4}, all {:.4} | all {:.4}, stream {:.4}",
            post.straight[0] / post.straight[BLOCKS],
            post.gradient[0] / post.gradient[BLOCKS],
            pre.gradient[0] / pre.gradient[BLOCKS],
            pre.stream[BLOCKS] / pre.stream[0]
        );
        assert_eq!(
            pre.straight,
            vec![pre.straight[BLOCKS]; BLOCKS + 1],
            "seed {seed}"
        );
        for at in 1..=BLOCKS {
            let size = post.stream[at];
            assert!(
                (size - 1.0).abs() < 1e-4,
                "post-norm keeps the stream's size: {size}"
            );
        }
        assert!(
            post.straight[0] < 0.05 * post.straight[BLOCKS],
            "seed {seed}: {post:?}"
        );
        assert!(
            pre.gradient[0] > pre.gradient[BLOCKS],
            "seed {seed}: {pre:?}"
        );
        assert!(
            pre.stream[BLOCKS] > 2.0 * pre.stream[0],
            "seed {seed}: {pre:?}"
        );
    }
}

#[test]
#[expect(
    clippy::too_many_lines,
    reason = "one model's weights, tensor by tensor"
)]
fn the_pre_norm_block_is_the_one_that_models_run() {
    let (c, f) = (12, 20);
    let block = shaken(Style::Gpt2, sizes(c, 4, 4, f), 7);
    let numbers: BTreeMap<String, (Vec<usize>, &[f64])> = block
        .parameters()
        .into_iter()
        .map(|p| (p.name, (p.shape, p.values)))
        .collect();
    let tensor = |name: &str| {
        let (shape, values) = &numbers[name];
        Tensor::from_vec(values.to_vec(), shape.as_slice(), &Device::Cpu).unwrap()
    };
    let mut tensors = BTreeMap::new();
    let mut put = |name: &str, parts: &[&str]| {
        // GPT-2's file has projections as [I, O], and q, k and v side by side.
        for kind in ["weight", "bias"] {
            let parts: Vec<Tensor> = parts
                .iter()
                .map(|part| tensor(&format!("{part}.{kind}")))
                .collect();
            let joined = Tensor::cat(&parts, 0).unwrap();
            let joined = if joined.rank() == 2 {
                joined.t().unwrap()
            } else {
                joined
            };
            tensors.insert(format!("h.{name}.{kind}"), joined.contiguous().unwrap());
        }
    };
    put(
        "attn.c_attn",
        &["attention.q", "attention.k", "attention.v"],
    );
    put("attn.c_proj", &["attention.o"]);
    put("mlp.c_fc", &["mlp.up"]);
    put("mlp.c_proj", &["mlp.down"]);
    put("ln_1", &["norm1"]);
    put("ln_2", &["norm2"]);

    let json = format!(
        r#"{{"model_type": "gpt2", "vocab_size": 8, "n_embd": {c}, "n_layer": 1, "n_head": 4,
            "n_inner": {f}, "n_positions": 16, "activation_function": "gelu_new"}}"#
    );
    let config = ModelConfig::from_json(&json).unwrap();
    let mut weights = Weights::new(tensors, Mode::Trainable, DType::F64, &Device::Cpu);
    let names = BlockNames {
        norm1: "ln_1",
        attention: "attn",
        norm2: "ln_2",
        mlp: "mlp",
    };
    let twin = nn::Block::load(&mut weights, &config, 0, "h", &names).unwrap();
    let parameters = weights.finish().unwrap();

    let rng = &mut rng();
    let (x, d_y) = (gaussian(rng, 6, c, 1.0), gaussian(rng, 6, c, 1.0));
    let tensor = |x: &Array2<f64>| Tensor::from_slice(flat(x), (1, 6, c), &Device::Cpu).unwrap();
    let input = Var::from_tensor(&tensor(&x)).unwrap();
    let at = Positions {
        offset: 0,
        rope: None,
    };
    let y = twin
        .forward(&input, &at, None, &Pass::eval(Ops::Fused))
        .unwrap();
    let same = |what: &str, theirs: &Tensor, ours: &[f64]| {
        let theirs: Vec<f64> = theirs.flatten_all().unwrap().to_vec1().unwrap();
        let d = compare(ours, &theirs);
        assert!(
            d.largest <= F64,
            "{what}: |Δ| = {:e} at {}",
            d.largest,
            d.at
        );
    };
    same("y", &y, flat(&block.forward(&x).unwrap().output));
    let loss = (&y * tensor(&d_y)).unwrap().sum_all().unwrap();
    let store = loss.backward().unwrap();
    let (gradients, d_x) = block.backward(&x, &d_y).unwrap();
    same("d_x", store.get(&input).unwrap(), flat(&d_x));
    let norm1 = parameters.get("h.ln_1.weight").unwrap();
    same(
        "d_norm1",
        store.get(norm1).unwrap(),
        gradients.parameters()[0].values,
    );
    assert_eq!(gradients.parameters()[0].name, "norm1.weight");
}
