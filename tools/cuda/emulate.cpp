// The kernels of crates/llm-core/src/kernels/cuda as plain C++, compared with loops in f64.
//
// A block is one thread here, so `compile.py --emulate` tests the arithmetic and the indexing of each
// kernel; what lanes and warps do together is left to the tests that need a GPU.

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <functional>
#include <vector>

#define EMULATED
#define LANES 1
#define KERNEL static void
#define DEVICE static inline
#define SHARED static
static void __syncthreads() {}

struct Index {
    unsigned x, y;
};
static Index blockIdx, threadIdx, blockDim = {1, 1}, gridDim = {1, 1};

static float __uint_as_float(unsigned bits) {
    float x;
    std::memcpy(&x, &bits, 4);
    return x;
}
static unsigned __float_as_uint(float x) {
    unsigned bits;
    std::memcpy(&bits, &x, 4);
    return bits;
}
static float warp_sum(float x) { return x; }
static float block_sum(float x) { return x; }
static float block_max(float x) { return x; }
static bool block_any(bool x) { return x; }

#include "kernels.inc"

typedef std::vector<float> Floats;
typedef std::vector<double> Doubles;

// One step of f32 against loops in f64, over sums of up to 64 terms.
static const double TOLERANCE = 3e-6;
// Half a unit of bf16's eight bits, relative.
static const double ROUNDING = 1.0 / 256 + TOLERANCE;
static int failures = 0;

static void each_block(unsigned blocks, const std::function<void()>& kernel) {
    gridDim.x = blocks;
    for (blockIdx.x = 0; blockIdx.x < blocks; blockIdx.x++) kernel();
}

static Floats numbers(size_t count, double seed) {
    Floats x(count);
    for (size_t i = 0; i < count; i++) x[i] = (float)(1.3 * std::sin(1.7 * i + seed));
    return x;
}

static std::vector<bf16> narrow(const Floats& x) {
    std::vector<bf16> y(x.size());
    for (size_t i = 0; i < x.size(); i++) set(y[i], x[i]);
    return y;
}

static Floats wide(const std::vector<bf16>& x) {
    Floats y(x.size());
    for (size_t i = 0; i < x.size(); i++) y[i] = get(x[i]);
    return y;
}

static void compare(const char* name, const Floats& found, const Doubles& wanted, double tolerance) {
    double worst = 0;
    for (size_t i = 0; i < wanted.size(); i++) {
        double error = std::fabs(found[i] - wanted[i]) / (1 + std::fabs(wanted[i]));
        if (!(error <= worst)) worst = error;
    }
    bool ok = worst <= tolerance;
    failures += !ok;
    std::printf("%-24s %.1e  <= %.1e  %s\n", name, worst, tolerance, ok ? "ok" : "FAILED");
}

static double dot(const Doubles& a, const Doubles& b) {
    double sum = 0;
    for (size_t i = 0; i < a.size(); i++) sum += a[i] * b[i];
    return sum;
}

// The derivative of Σ dy · f(x) by each x, by central differences in f64.
static Doubles derivative(const std::function<Doubles(const Doubles&)>& f, Doubles x, const Floats& dy) {
    const double step = 1e-5;
    Doubles gradient(x.size()), upstream(dy.begin(), dy.end());
    for (size_t i = 0; i < x.size(); i++) {
        double keep = x[i];
        x[i] = keep + step;
        double above = dot(f(x), upstream);
        x[i] = keep - step;
        gradient[i] = (above - dot(f(x), upstream)) / (2 * step);
        x[i] = keep;
    }
    return gradient;
}

static Doubles to_doubles(const Floats& x) { return Doubles(x.begin(), x.end()); }

static void norm() {
    const unsigned rows = 5, c = 24;
    const float eps = 1e-5f;
    Floats x = numbers(rows * c, 0.3), w = numbers(c, 2), dy = numbers(rows * c, 4);
    auto slow = [&](const Doubles& x, const Doubles& w) {
        Doubles y(rows * c);
        for (unsigned r = 0; r < rows; r++) {
            double squares = 0;
            for (unsigned i = 0; i < c; i++) squares += x[r * c + i] * x[r * c + i];
            double scale = 1 / std::sqrt(squares / c + eps);
            for (unsigned i = 0; i < c; i++) y[r * c + i] = x[r * c + i] * scale * w[i];
        }
        return y;
    };
    Doubles xd = to_doubles(x), wd = to_doubles(w);
    Floats y(rows * c), dx(rows * c);
    each_block(rows, [&] { rms_norm_f32(y.data(), x.data(), w.data(), rows, c, eps); });
    compare("rms_norm", y, slow(xd, wd), TOLERANCE);
    auto x16 = narrow(x), w16 = narrow(w), y16 = narrow(y);
    each_block(rows, [&] { rms_norm_bf16(y16.data(), x16.data(), w16.data(), rows, c, eps); });
    compare("rms_norm bf16", wide(y16), slow(to_doubles(wide(x16)), to_doubles(wide(w16))), ROUNDING);
    each_block(rows, [&] { rms_norm_dx_f32(dx.data(), x.data(), w.data(), dy.data(), rows, c, eps); });
    compare("rms_norm dx", dx, derivative([&](const Doubles& x) { return slow(x, wd); }, xd, dy), TOLERANCE);
    const unsigned chunk = 2, blocks = 3;
    Floats parts(blocks * c), dw(c);
    each_block(blocks, [&] {
        rms_norm_dw_f32(parts.data(), x.data(), dy.data(), rows, c, chunk, eps);
    });
    for (unsigned i = 0; i < blocks * c; i++) dw[i % c] += parts[i];
    compare("rms_norm dw", dw, derivative([&](const Doubles& w) { return slow(xd, w); }, wd, dy), TOLERANCE);
}

static void elementwise() {
    const unsigned b = 2, t = 3, h = 2, half = 4, offset = 5, pairs = b * t * h * half;
    Floats x = numbers(2 * pairs, 0.1), table(20 * 2 * half), y(2 * pairs), back(2 * pairs);
    for (unsigned p = 0; p < 20; p++) {
        for (unsigned i = 0; i < half; i++) {
            table[p * 2 * half + i] = std::cos(p * std::pow(0.3, i));
            table[p * 2 * half + half + i] = std::sin(p * std::pow(0.3, i));
        }
    }
    Doubles turned(2 * pairs);
    for (unsigned head = 0; head < b * t * h; head++) {
        for (unsigned i = 0; i < half; i++) {
            double angle = (offset + head / h % t) * std::pow(0.3, i);
            double first = x[head * 2 * half + i], second = x[head * 2 * half + half + i];
            turned[head * 2 * half + i] = first * std::cos(angle) - second * std::sin(angle);
            turned[head * 2 * half + half + i] = second * std::cos(angle) + first * std::sin(angle);
        }
    }
    each_block(pairs, [&] { rope_f32(y.data(), x.data(), table.data(), pairs, t, h, half, offset, 1); });
    compare("rope", y, turned, TOLERANCE);
    each_block(pairs, [&] { rope_f32(back.data(), y.data(), table.data(), pairs, t, h, half, offset, -1); });
    compare("rope back", back, to_doubles(x), TOLERANCE);

    const unsigned n = 40;
    Floats gate = numbers(n, 1), up = numbers(n, 2), dy = numbers(n, 3), gated(n), grads(2 * n);
    auto slow = [&](const Doubles& both) {
        Doubles y(n);
        for (unsigned i = 0; i < n; i++) y[i] = both[i] / (1 + std::exp(-both[i])) * both[n + i];
        return y;
    };
    Doubles both = to_doubles(gate), ups = to_doubles(up);
    both.insert(both.end(), ups.begin(), ups.end());
    each_block(n, [&] { swiglu_f32(gated.data(), gate.data(), up.data(), n); });
    compare("swiglu", gated, slow(both), TOLERANCE);
    each_block(n, [&] { swiglu_grad_f32(grads.data(), gate.data(), up.data(), dy.data(), n); });
    compare("swiglu gradients", grads, derivative(slow, both, dy), TOLERANCE);

    // SplitMix64's finalizer of 7 ^ 0 · γ, 7 ^ 1 · γ, …: what `keep_factor` of the crate says.
    const double p = 0.4;
    Floats kept(n);
    Doubles masked(n);
    for (u64 i = 0; i < n; i++) {
        u64 z = 7 ^ (i * 0x9e3779b97f4a7c15ull);
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
        z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
        double unit = (double)((z ^ (z >> 31)) >> 11) / 9007199254740992.0;
        masked[i] = unit < p ? 0 : gate[i] / (1 - p);
    }
    u64 limit = (u64)std::ceil(p * 9007199254740992.0);
    each_block(n, [&] { dropout_f32(kept.data(), gate.data(), n, 7, limit, (float)(1 / (1 - p))); });
    compare("dropout", kept, masked, TOLERANCE);

    Floats sum = numbers(30, 0), other = numbers(12, 5);
    Doubles added = to_doubles(sum);
    for (unsigned i = 0; i < 12; i++) added[i / 4 * 10 + 3 + i % 4] += other[i];
    each_block(12, [&] { add_in_place_f32(sum.data(), other.data(), 12, 10, 3, 4); });
    compare("add_in_place", sum, added, TOLERANCE);
}

static void embedding() {
    const unsigned tokens = 7, c = 3, v = 5;
    unsigned ids[tokens] = {4, 1, 4, 0, 4, 1, 3};
    Floats dy = numbers(tokens * c, 0.4), grads(v * c);
    Doubles wanted(v * c);
    for (unsigned i = 0; i < tokens * c; i++) wanted[ids[i / c] * c + i % c] += dy[i];
    each_block(tokens * c, [&] { embedding_grad_f32(grads.data(), dy.data(), ids, tokens, c, v, c); });
    compare("embedding gradient", grads, wanted, TOLERANCE);
}

static void cross_entropy() {
    const unsigned rows = 4, v = 17;
    const float scale = 0.25f;
    Floats logits = numbers(rows * v, 0.7), losses(rows), upstream = {1.5f}, grads(rows * v), loss(1);
    i64 targets[rows] = {3, -100, 0, 16};
    auto slow = [&](const Doubles& x) {
        double total = 0;
        for (unsigned r = 0; r < rows; r++) {
            double sum = 0;
            for (unsigned i = 0; i < v; i++) sum += std::exp(x[r * v + i]);
            if (targets[r] >= 0) total += std::log(sum) - x[r * v + targets[r]];
        }
        return Doubles{total * scale};
    };
    Doubles x = to_doubles(logits);
    each_block(rows, [&] { cross_entropy_f32(losses.data(), logits.data(), targets, v); });
    each_block(1, [&] { scaled_sum(loss.data(), losses.data(), rows, scale); });
    compare("cross_entropy", loss, slow(x), TOLERANCE);
    each_block(rows, [&] {
        cross_entropy_grad_f32(grads.data(), logits.data(), targets, upstream.data(), v, scale);
    });
    compare("cross_entropy gradient", grads, derivative(slow, x, upstream), TOLERANCE);
}

static void attention(unsigned window) {
    const unsigned b = 2, t = 4, s = 7, h = 4, kv = 2, d = 8, group = h / kv, capacity = 9;
    const float scale = 0.35f;
    Floats q = numbers(b * t * h * d, 0.2);
    Floats k = numbers(b * capacity * kv * d, 1), v = numbers(b * capacity * kv * d, 2);
    Floats y(b * t * h * d);
    auto reads = [&](unsigned row, unsigned key) {
        unsigned position = s - t + row;
        return key <= position && (window == 0 || key + window > position);
    };
    auto at = [&](unsigned b, unsigned key, unsigned head) { return ((b * capacity + key) * kv + head) * d; };
    Doubles wanted(y.size());
    for (unsigned n = 0; n < b * t * h; n++) {
        unsigned head = n % h, row = n / h % t, text = n / h / t;
        Doubles weights(s);
        double sum = 0;
        for (unsigned key = 0; key < s; key++) {
            double score = 0;
            for (unsigned i = 0; i < d; i++) score += (double)q[n * d + i] * k[at(text, key, head / group) + i];
            weights[key] = reads(row, key) ? std::exp(score * scale) : 0;
            sum += weights[key];
        }
        for (unsigned key = 0; key < s; key++) {
            for (unsigned i = 0; i < d; i++) {
                wanted[n * d + i] += weights[key] / sum * v[at(text, key, head / group) + i];
            }
        }
    }
    each_block(b * t * h, [&] {
        attend_f32(y.data(), q.data(), k.data(), v.data(), capacity * kv * d, kv * d, d, t, s, h, kv, d,
                   window, scale);
    });
    compare(window ? "attend, window" : "attend", y, wanted, TOLERANCE);

    const unsigned rows = 2 * t;
    Floats scores = numbers(rows * s, 3), weights(rows * s), dw = numbers(rows * s, 4), ds(rows * s);
    auto slow = [&](const Doubles& x) {
        Doubles w(rows * s);
        for (unsigned r = 0; r < rows; r++) {
            double sum = 0;
            for (unsigned i = 0; i < s; i++) sum += reads(r % t, i) ? std::exp(x[r * s + i] * scale) : 0;
            for (unsigned i = 0; i < s; i++) {
                w[r * s + i] = reads(r % t, i) ? std::exp(x[r * s + i] * scale) / sum : 0;
            }
        }
        return w;
    };
    Doubles x = to_doubles(scores);
    each_block(rows, [&] { causal_softmax_f32(weights.data(), scores.data(), t, s, window, scale); });
    compare("causal_softmax", weights, slow(x), TOLERANCE);
    each_block(rows, [&] { causal_softmax_grad_f32(ds.data(), weights.data(), dw.data(), s, scale); });
    compare("causal_softmax gradient", ds, derivative(slow, x, dw), TOLERANCE);
}

static void optimizer() {
    const unsigned n = 6;
    const double lr = 0.01, beta1 = 0.9, beta2 = 0.999, eps = 1e-8, decay = 0.1, scale = 0.5;
    Floats p = numbers(n, 1), first = numbers(n, 6), state(3 * n), parts(2);
    auto p16 = narrow(first);
    Doubles slow = to_doubles(p), m(n), v(n);
    std::vector<float> masters = wide(p16);
    Floats state16(3 * n);
    std::copy(masters.begin(), masters.end(), state16.begin() + 2 * n);
    Doubles slow16 = to_doubles(masters), m16(n), v16(n);
    auto step = [&](Doubles& p, Doubles& m, Doubles& v, const Floats& g, int at) {
        for (unsigned i = 0; i < n; i++) {
            double d = g[i] * scale;
            m[i] += (1 - beta1) * (d - m[i]);
            v[i] = beta2 * v[i] + (1 - beta2) * d * d;
            p[i] = p[i] * (1 - lr * decay) -
                   lr / (1 - std::pow(beta1, at)) * m[i] / (std::sqrt(v[i]) / std::sqrt(1 - std::pow(beta2, at)) + eps);
        }
    };
    for (int at = 1; at <= 3; at++) {
        Floats g = numbers(n, 10 * at);
        float size = lr / (1 - std::pow(beta1, at)), root = 1 / std::sqrt(1 - std::pow(beta2, at));
        step(slow, m, v, g, at);
        step(slow16, m16, v16, g, at);
        each_block(n, [&] {
            adamw_f32_f32(state.data(), p.data(), g.data(), n, 0, 1 - lr * decay, size, root, eps, scale,
                          beta1, beta2);
            adamw_bf16_f32(state16.data(), p16.data(), g.data(), n, 1, 1 - lr * decay, size, root, eps,
                           scale, beta1, beta2);
        });
    }
    compare("adamw", p, slow, TOLERANCE);
    compare("adamw, master weights", Floats(state16.begin() + 2 * n, state16.end()), slow16, TOLERANCE);
    compare("adamw, bf16 weights", wide(p16), slow16, ROUNDING);
    Doubles pd = to_doubles(p);
    each_block(2, [&] { squares_f32(parts.data(), p.data(), n, 0); });
    compare("squares", {parts[0] + parts[1]}, {dot(pd, pd)}, TOLERANCE);
}

int main() {
    norm();
    elementwise();
    embedding();
    cross_entropy();
    attention(0);
    attention(3);
    optimizer();
    return failures == 0 ? 0 : 1;
}
