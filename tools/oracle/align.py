"""Losses, rewards and gradients of TRL for crates/llm-train/src/objective/window/tests.rs.

TRL's own `_compute_loss` of DPOTrainer and GRPOTrainer runs on log-probabilities of given logits;
only the model around it is taken away. Logits, targets, masks and shifts are formulas (`wave`), so
that both sides compute them; the file holds what TRL got, in f64. GRPO's advantages are two lines of
a long method: they are run here, compared with TRL's own `nanstd`, and the script fails if TRL's source
no longer has these lines.

    python tools/oracle/align.py        (torch and trl, CPU; see requirements.txt)
"""
import inspect
import math
import pathlib
from collections import defaultdict
from types import SimpleNamespace

import torch
import trl
from safetensors.torch import save_file
from trl import DPOTrainer, GRPOTrainer
from trl.trainer.utils import nanstd, selective_log_softmax

torch.set_num_threads(1)
DOUBLE = torch.float64
# What TRL rounds to float32 on the way is compared here and stored in float64.
FLOAT = 1e-7
# pairs, T, V, β, ε of label smoothing
DPO = [(1, 4, 5, 0.1, 0.0), (3, 6, 11, 0.1, 0.0), (4, 9, 37, 0.5, 0.0), (2, 7, 8, 2.0, 0.0), (3, 6, 11, 0.3, 0.1)]
# answers, group, T, V, β, ε, ε_high, loss type, whether the old policy is another one
GRPO = [
    (4, 2, 5, 7, 0.0, 0.2, 0.2, "grpo", False),
    (4, 4, 5, 7, 0.04, 0.2, 0.2, "grpo", True),
    (6, 3, 8, 19, 0.3, 0.2, 0.28, "grpo", True),
    (6, 3, 8, 19, 0.3, 0.2, 0.28, "bnpo", True),
    (6, 3, 8, 19, 0.3, 0.1, 0.1, "dr_grpo", True),
]
MAX_COMPLETION = 9


def wave(count, salt):
    """sin of a line: the formula of both sides."""
    return torch.tensor([math.sin(1.7 * i + salt) for i in range(count)], dtype=DOUBLE)


def problem(rows, t, v, salt):
    """Logits [rows, T, V], targets [rows, T] and which of them count: a row has an own length."""
    logits = (2.0 * wave(rows * t * v, salt)).reshape(rows, t, v).requires_grad_()
    place = torch.arange(rows * t).reshape(rows, t)
    targets = (place * 5 + place * place * 3) % v
    first = torch.arange(rows)[:, None] % 3
    last = t - torch.arange(rows)[:, None] % 2
    column = torch.arange(t)[None, :]
    return logits, targets, (column >= first) & (column < last)


def log_probs(logits, targets, mask):
    return selective_log_softmax(logits, targets).masked_fill(~mask, 0.0)


def accelerator():
    same = lambda x: x
    reduce = lambda x, reduction: x
    return SimpleNamespace(device="cpu", gather=same, gather_for_metrics=same, reduce=reduce)


def dpo(rows, t, v, beta, smoothing, salt):
    """One call of TRL for each pair where labels are smoothed: its loss `aot` is then cDPO's."""
    logits, targets, mask = problem(2 * rows, t, v, salt)
    # TRL wants all chosen answers before all rejected ones; here neighbours are a pair.
    order = torch.cat([torch.arange(0, 2 * rows, 2), torch.arange(1, 2 * rows, 2)])
    logps = log_probs(logits, targets, mask)
    sums = logps.sum(1).detach()
    reference = sums + 1.5 * wave(2 * rows, salt + 0.3)
    fake = SimpleNamespace(
        model=SimpleNamespace(training=True), accelerator=accelerator(), aux_loss_enabled=False, ld_alpha=None,
        precompute_ref_logps=True, f_divergence_type="reverse_kl", beta=beta, label_smoothing=smoothing,
        loss_types=["aot" if smoothing else "sigmoid"], loss_weights=[1.0], use_weighting=False,
        _metrics=defaultdict(lambda: defaultdict(list)), _total_train_tokens=0, _tp_size=1)
    parts = [order[[i, i + rows]] for i in range(rows)] if smoothing else [order]
    loss = 0.0
    for part in parts:
        given = logps[part]
        zeros = torch.zeros_like(given)
        model = lambda **_: SimpleNamespace(log_probs=given, entropy=zeros, mean_logits=zeros, is_top1=zeros.bool())
        # TRL's masks and ids have one column more: the first token is not predicted.
        padded = torch.nn.functional.pad(mask[part].long(), (1, 0))
        half = len(part) // 2
        inputs = {"input_ids": padded, "attention_mask": padded, "completion_mask": padded,
                  "ref_chosen_logps": reference[part[:half]], "ref_rejected_logps": reference[part[half:]]}
        loss = loss + DPOTrainer._compute_loss(fake, model, inputs, False) * half / rows
    (gradient,) = torch.autograd.grad(loss, logits)
    metrics = fake._metrics["train"]
    mean = lambda name: sum(metrics[name]) / len(metrics[name])
    rewards = beta * (sums - reference)
    assert math.isclose(mean("rewards/chosen"), float(rewards[0::2].mean()), abs_tol=1e-12)
    found = [mean(f"rewards/{name}") for name in ["chosen", "rejected", "margins"]]
    accuracy = float((rewards[0::2] > rewards[1::2]).double().mean())
    # TRL's mean of hits is one of float32, whatever the rewards are.
    assert math.isclose(mean("rewards/accuracies"), accuracy, abs_tol=FLOAT)
    return {"loss": loss.detach(), "gradient": gradient, "reference": reference,
            "metrics": torch.tensor([*found, accuracy], dtype=DOUBLE)}


def group_advantages(rewards, group):
    source = inspect.getsource(GRPOTrainer._generate_and_score_completions)
    for line in ("advantages = rewards - mean_grouped_rewards", "advantages = advantages / (std_rewards + 1e-4)",
                 "std_rewards = nanstd(rewards.view(-1, num_generations), dim=1)"):
        assert line in source, f"TRL has no longer: {line}"
    grouped = rewards.view(-1, group)
    centred = rewards - torch.nanmean(grouped, dim=1).repeat_interleave(group)
    std = grouped.std(dim=1)
    # TRL's factor n / (n - 1) is a quotient of integers, which is one of float32.
    assert torch.allclose(nanstd(grouped, dim=1), std, rtol=FLOAT, atol=0)
    return centred / (std.repeat_interleave(group) + 1e-4)


def grpo(answers, group, t, v, beta, low, high, loss_type, moved, salt):
    logits, targets, mask = problem(answers, t, v, salt)
    rewards = (torch.arange(answers) * 7 % 5 < 2).to(DOUBLE)
    advantages = group_advantages(rewards, group)
    logps = log_probs(logits, targets, mask)
    # Where the policy has moved, ratios lie on both sides of the clip.
    shift = 0.6 * wave(answers * t, salt + 0.5).reshape(answers, t)
    old = logps.detach() + shift if moved else None
    reference = logps.detach() + 0.8 * wave(answers * t, salt + 0.9).reshape(answers, t)
    entropies = torch.zeros_like(logps)
    fake = SimpleNamespace(
        model=SimpleNamespace(training=True), accelerator=accelerator(), aux_loss_enabled=False,
        top_entropy_quantile=1.0, off_policy_mask_threshold=None, importance_sampling_level="token", beta=beta,
        args=SimpleNamespace(use_bias_correction_kl=False, delta=None), loss_type=loss_type, epsilon_low=low,
        epsilon_high=high, use_vllm=False, current_gradient_accumulation_steps=1, _entropy_bonus_enabled=False,
        max_completion_length=MAX_COMPLETION, _metrics=defaultdict(lambda: defaultdict(list)),
        _get_per_token_logps_and_entropies=lambda *_, **__: (logps, entropies, None))
    ids = torch.zeros(answers, t, dtype=torch.long)
    inputs = {"prompt_ids": ids[:, :1], "prompt_mask": ids[:, :1], "completion_ids": ids,
              "completion_mask": mask.long(), "advantages": advantages, "old_per_token_logps": old,
              "ref_per_token_logps": reference}
    loss = GRPOTrainer._compute_loss(fake, None, inputs)
    (gradient,) = torch.autograd.grad(loss, logits)
    metrics = fake._metrics["train"]
    ratio = torch.ones_like(logps) if old is None else torch.exp(logps - old)
    sign = advantages[:, None]
    hits = ((ratio < 1 - low) & (sign < 0)) | ((ratio > 1 + high) & (sign > 0))
    clipped = float((hits & mask).sum() / mask.sum().double())
    assert math.isclose(metrics["clip_ratio/region_mean"][0], clipped, abs_tol=FLOAT)
    assert moved == (clipped > 0.05), clipped
    kl = metrics["kl"][0] if beta else 0.0
    return {"loss": loss.detach(), "gradient": gradient, "rewards": rewards, "advantages": advantages,
            "metrics": torch.tensor([kl, clipped], dtype=DOUBLE)}


def main():
    out = {}
    for index, case in enumerate(DPO):
        for name, value in dpo(*case, salt=index).items():
            out[f"dpo.{index}.{name}"] = value
        out[f"dpo.{index}.case"] = torch.tensor(case, dtype=DOUBLE)
    for index, case in enumerate(GRPO):
        *sizes, loss_type, moved = case
        for name, value in grpo(*case, salt=10 + index).items():
            out[f"grpo.{index}.{name}"] = value
        kinds = ["grpo", "bnpo", "dr_grpo"]
        out[f"grpo.{index}.case"] = torch.tensor([*sizes, kinds.index(loss_type), moved], dtype=DOUBLE)
    root = pathlib.Path(__file__).resolve().parents[2]
    path = root / "crates/llm-train/tests/fixtures/align.safetensors"
    save_file({name: value.contiguous() for name, value in out.items()}, str(path),
              {"trl": trl.__version__, "torch": torch.__version__})
    print(path.name, path.stat().st_size, "bytes; losses",
          [round(float(v), 6) for k, v in out.items() if k.endswith(".loss")])


if __name__ == "__main__":
    main()
