// −log softmax(logits)[target], a block for each row of v logits; a negative target is ignored.

template <typename T>
DEVICE Softmax softmax_of(const T* x, u64 v) {
    Softmax own = {LOWEST, 0.0f};
    for (u64 i = threadIdx.x; i < v; i += blockDim.x) take(own, get(x[i]));
    return together(own);
}

template <typename T>
DEVICE void cross_entropy(float* losses, const T* logits, const i64* targets, u64 v) {
    u64 row = blockIdx.x;
    i64 target = targets[row];
    if (target < 0) {
        if (threadIdx.x == 0) losses[row] = 0.0f;
        return;
    }
    const T* x = logits + row * v;
    Softmax all = softmax_of(x, v);
    if (threadIdx.x == 0) losses[row] = logf(all.sum) + all.largest - get(x[target]);
}

// d_logits = (softmax − one at the target) · scale · upstream
template <typename T>
DEVICE void cross_entropy_grad(
    T* d_logits, const T* logits, const i64* targets, const float* upstream, u64 v, float scale) {
    u64 row = blockIdx.x;
    i64 target = targets[row];
    const T* x = logits + row * v;
    T* dx = d_logits + row * v;
    if (target < 0) {
        for (u64 i = threadIdx.x; i < v; i += blockDim.x) set(dx[i], 0.0f);
        return;
    }
    Softmax all = softmax_of(x, v);
    float factor = scale * upstream[0];
    for (u64 i = threadIdx.x; i < v; i += blockDim.x) {
        float p = expf(get(x[i]) - all.largest) / all.sum;
        set(dx[i], (p - ((i64)i == target ? 1.0f : 0.0f)) * factor);
    }
}

KERNEL cross_entropy_f32(float* losses, const float* logits, const i64* targets, u64 v) {
    cross_entropy(losses, logits, targets, v);
}
KERNEL cross_entropy_bf16(float* losses, const bf16* logits, const i64* targets, u64 v) {
    cross_entropy(losses, logits, targets, v);
}
KERNEL cross_entropy_grad_f32(
    float* d_logits, const float* logits, const i64* targets, const float* upstream, u64 v,
    float scale) {
    cross_entropy_grad(d_logits, logits, targets, upstream, v, scale);
}
KERNEL cross_entropy_grad_bf16(
    bf16* d_logits, const bf16* logits, const i64* targets, const float* upstream, u64 v,
    float scale) {
    cross_entropy_grad(d_logits, logits, targets, upstream, v, scale);
}

// scale · Σ losses, by one block.
KERNEL scaled_sum(float* sum, const float* losses, u64 count, float scale) {
    float own = 0.0f;
    for (u64 i = threadIdx.x; i < count; i += blockDim.x) own += losses[i];
    own = block_sum(own);
    if (threadIdx.x == 0) sum[0] = own * scale;
}
