// AdamW in PyTorch's order of operations, and the squares of a gradient for its norm.

// What is the same for all numbers of a step: `shrink` is 1 − lr λ, `size` lr / (1 − β₁ᵗ), `root`
// 1 / √(1 − β₂ᵗ), and `scale` the factor that clips the gradient.
struct Update {
    float shrink;
    float size;
    float root;
    float epsilon;
    float scale;
    float beta1;
    float beta2;
};

// `state` is m, then v, then, where the weights are stored in fewer bits than they train in, the
// weights in f32; each of `count` numbers.
template <typename P, typename G>
DEVICE void adamw(float* state, P* weights, const G* gradient, u64 count, u32 master, Update by) {
    u64 n = (u64)blockIdx.x * blockDim.x + threadIdx.x;
    if (n >= count) return;
    float g = get(gradient[n]) * by.scale;
    float m = state[n] + (1.0f - by.beta1) * (g - state[n]);
    float v = by.beta2 * state[count + n] + (1.0f - by.beta2) * g * g;
    float p = (master ? state[2 * count + n] : get(weights[n])) * by.shrink;
    p -= by.size * (m / (sqrtf(v) * by.root + by.epsilon));
    state[n] = m;
    state[count + n] = v;
    if (master) state[2 * count + n] = p;
    set(weights[n], p);
}

// Σ g² in as many parts as there are blocks, which the host adds up.
template <typename T>
DEVICE void squares(float* parts, const T* gradient, u64 count, u64 first) {
    float own = 0.0f;
    u64 step = (u64)gridDim.x * blockDim.x;
    for (u64 n = (u64)blockIdx.x * blockDim.x + threadIdx.x; n < count; n += step) {
        own += get(gradient[n]) * get(gradient[n]);
    }
    own = block_sum(own);
    if (threadIdx.x == 0) parts[first + blockIdx.x] = own;
}

#define ADAMW_ARGUMENTS \
    u64 count, u32 master, float shrink, float size, float root, float epsilon, float scale, \
        float beta1, float beta2
#define ADAMW_UPDATE {shrink, size, root, epsilon, scale, beta1, beta2}

KERNEL adamw_f32_f32(float* state, float* weights, const float* gradient, ADAMW_ARGUMENTS) {
    Update by = ADAMW_UPDATE;
    adamw(state, weights, gradient, count, master, by);
}
KERNEL adamw_bf16_bf16(float* state, bf16* weights, const bf16* gradient, ADAMW_ARGUMENTS) {
    Update by = ADAMW_UPDATE;
    adamw(state, weights, gradient, count, master, by);
}
KERNEL adamw_bf16_f32(float* state, bf16* weights, const float* gradient, ADAMW_ARGUMENTS) {
    Update by = ADAMW_UPDATE;
    adamw(state, weights, gradient, count, master, by);
}
KERNEL squares_f32(float* parts, const float* gradient, u64 count, u64 first) {
    squares(parts, gradient, count, first);
}
KERNEL squares_bf16(float* parts, const bf16* gradient, u64 count, u64 first) {
    squares(parts, gradient, count, first);
}
