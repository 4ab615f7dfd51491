//! The gradient audit finds each planted loss of a gradient, and passes a sound model.

use candle_core::{DType, Device, IndexOp, Tensor, Var};
use llm_core::lora::{LoraConfig, attach};
use llm_core::model::Decoder;
use llm_core::nn::Pass;
use llm_core::ops::Ops;
use llm_core::params::{Mode, Parameters};
use llm_train::audit::audit;
use llm_train::batch::collate;
use llm_train::labels::Example;
use llm_train::model::LanguageModel;

use crate::kit::{examples, shape, trainable};

/// A model with a tied embedding, a norm and a matrix, in which a test can plant a fault.
struct Small {
    parameters: Parameters,
}

impl Small {
    fn new() -> Self {
        let mut parameters = Parameters::default();
        let shapes: [(&str, &[usize]); 3] = [("embed", &[7, 4]), ("norm", &[4]), ("proj", &[4, 4])];
        for (k, (name, shape)) in shapes.iter().enumerate() {
            let count: usize = shape.iter().product();
            let wave: Vec<f32> = (0..count)
                .map(|i| (i as f32 * 1.3 + k as f32).sin())
                .collect();
            let value = Tensor::from_vec(wave, *shape, &Device::Cpu).unwrap();
            parameters.insert(*name, Var::from_tensor(&value).unwrap());
        }
        Self { parameters }
    }

    fn tensor(&self, name: &str) -> Tensor {
        self.parameters.get(name).unwrap().as_tensor().clone()
    }

    /// embed → norm → proj → logits by the embedding; `head` and `norm` may be faulty.
    fn loss(
        &self,
        ops: Ops,
        norm: impl Fn(&Tensor, &Tensor) -> Tensor,
        (proj, head): (Tensor, Tensor),
    ) -> llm_train::Result<Tensor> {
        let ids = Tensor::new(&[[1u32, 3, 2, 6]], &Device::Cpu)?;
        let x = ops.embedding(&self.tensor("embed"), &ids)?;
        let x = norm(&x, &self.tensor("norm"));
        let x = ops.linear(&x, &proj, None)?;
        let logits = ops.linear(&x, &head, None)?.i(0)?;
        Ok(ops.cross_entropy(&logits, &[3, 2, 6, 0], 0.25)?)
    }

    fn sound_norm(ops: Ops) -> impl Fn(&Tensor, &Tensor) -> Tensor {
        move |x, w| ops.rms_norm(x, w, 1e-6).unwrap()
    }

    fn audit(&self, loss: impl Fn(Ops) -> llm_train::Result<Tensor>) -> llm_train::Result<f64> {
        let before = values(&self.parameters);
        let report = audit(&self.parameters, Ops::Fused, 7, loss);
        assert_eq!(
            before,
            values(&self.parameters),
            "the audit must change nothing"
        );
        report.map(|report| report.worst)
    }
}

fn values(parameters: &Parameters) -> Vec<Vec<f32>> {
    let flat = |var: &Var| var.flatten_all().unwrap().to_dtype(DType::F32).unwrap();
    parameters
        .iter()
        .map(|(_, var)| flat(var).to_vec1().unwrap())
        .collect()
}

fn failure(result: llm_train::Result<f64>) -> String {
    let error = result.unwrap_err();
    assert_eq!(error.exit_code(), 1);
    error.to_string()
}

#[test]
fn a_sound_model_passes() {
    let small = Small::new();
    let worst = small
        .audit(|ops| {
            let both = (small.tensor("proj"), small.tensor("embed"));
            small.loss(ops, Small::sound_norm(ops), both)
        })
        .unwrap();
    println!("sound small model: largest difference {worst:e}");
}

#[test]
fn a_fused_op_without_backward_is_caught() {
    // A norm that computes well and has no gradient, as the tensor library's own fused one.
    let small = Small::new();
    let message = failure(small.audit(|ops| {
        let both = (small.tensor("proj"), small.tensor("embed"));
        if ops == Ops::Composed {
            return small.loss(ops, Small::sound_norm(ops), both);
        }
        let forward_only = |x: &Tensor, w: &Tensor| {
            let y = Ops::Composed.rms_norm(x, w, 1e-6).unwrap();
            Tensor::from_vec(
                y.flatten_all().unwrap().to_vec1::<f32>().unwrap(),
                y.shape(),
                &Device::Cpu,
            )
            .unwrap()
        };
        small.loss(ops, forward_only, both)
    }));
    // The tied embedding still gets the head's half, so it is the first to differ.
    assert!(
        message.contains("`embed` gets a gradient that differs"),
        "{message}"
    );
}

#[test]
fn a_detached_tensor_is_caught() {
    let small = Small::new();
    let message = failure(small.audit(|ops| {
        let both = (small.tensor("proj").detach(), small.tensor("embed"));
        small.loss(ops, Small::sound_norm(ops), both)
    }));
    assert!(message.contains("`proj` gets no gradient"), "{message}");
}

#[test]
fn a_tied_weight_with_half_its_gradient_is_caught() {
    let small = Small::new();
    let message = failure(small.audit(|ops| {
        let embed = small.tensor("embed");
        let head = if ops == Ops::Composed {
            embed
        } else {
            embed.detach()
        };
        small.loss(ops, Small::sound_norm(ops), (small.tensor("proj"), head))
    }));
    assert!(
        message.contains("`embed` gets a gradient that differs"),
        "{message}"
    );
}

#[test]
fn a_tensor_that_the_loss_does_not_use_is_caught() {
    let small = Small::new();
    let message = failure(small.audit(|ops| {
        let zero = (small.tensor("proj") - small.tensor("proj"))?;
        let both = ((zero + 0.1)?, small.tensor("embed"));
        small.loss(ops, Small::sound_norm(ops), both)
    }));
    assert!(
        message.contains("`proj` gets a gradient of zeros"),
        "{message}"
    );
}

#[test]
fn a_gradient_that_is_not_finite_is_caught() {
    let small = Small::new();
    let message = failure(small.audit(|ops| {
        let both = (small.tensor("proj"), small.tensor("embed"));
        Ok((small.loss(ops, Small::sound_norm(ops), both)? * f64::INFINITY)?)
    }));
    assert!(message.contains("gets a gradient with"), "{message}");
}

#[test]
fn whole_decoders_and_fresh_adapters_pass() {
    let rows = examples(2);
    let rows: Vec<&Example> = rows.iter().collect();
    let batch = collate(&rows, 0, &Device::Cpu).unwrap();
    let run = |model: &Decoder, parameters: &Parameters| {
        let before = values(parameters);
        let report = audit(parameters, Ops::Fused, 7, |ops| {
            Ok(model.loss(&batch, &Pass::eval(ops), 0.1)?)
        })
        .unwrap();
        assert_eq!(report.tensors, parameters.len());
        assert_eq!(before, values(parameters));
        println!(
            "decoder: largest difference {:e} in {}",
            report.worst, report.worst_name
        );
    };
    for dtype in [DType::F32, DType::F64] {
        let (model, parameters) = trainable(dtype);
        run(&model, &parameters);
    }
    let (mut model, _) = Decoder::init(&shape(31), 3, Mode::Frozen, DType::F32).unwrap();
    let lora = LoraConfig {
        r: 4,
        lora_alpha: 8.0,
        lora_dropout: 0.1,
        target_modules: vec!["q_proj".into(), "v_proj".into(), "down_proj".into()],
        use_rslora: false,
        use_dora: false,
    };
    // B is zero, so the gradient of A is: the audit has to look elsewhere and put B back.
    let parameters = attach(&mut model, &lora, 7).unwrap();
    run(&model, &parameters);
}
