// y = x / sqrt(mean(x²) + eps) · w, a warp for each row of c numbers.

template <typename T>
DEVICE void rms_norm(T* y, const T* x, const T* w, u32 rows, u32 c, float eps) {
    u32 row = blockIdx.x * blockDim.y + threadIdx.y;
    if (row >= rows) return;
    x += (u64)row * c;
    y += (u64)row * c;
    float squares = 0.0f;
    for (u32 i = threadIdx.x; i < c; i += LANES) squares += get(x[i]) * get(x[i]);
    float scale = 1.0f / sqrtf(warp_sum(squares) / c + eps);
    for (u32 i = threadIdx.x; i < c; i += LANES) set(y[i], get(x[i]) * scale * get(w[i]));
}

// With r = 1 / sqrt(mean(x²) + eps):  dx = r w dy − x r³ / c · Σ w dy x
template <typename T>
DEVICE void rms_norm_dx(T* dx, const T* x, const T* w, const T* dy, u32 rows, u32 c, float eps) {
    u32 row = blockIdx.x * blockDim.y + threadIdx.y;
    if (row >= rows) return;
    x += (u64)row * c;
    dy += (u64)row * c;
    dx += (u64)row * c;
    float squares = 0.0f, dot = 0.0f;
    for (u32 i = threadIdx.x; i < c; i += LANES) {
        squares += get(x[i]) * get(x[i]);
        dot += get(w[i]) * get(dy[i]) * get(x[i]);
    }
    float scale = 1.0f / sqrtf(warp_sum(squares) / c + eps);
    float back = scale * scale * scale / c * warp_sum(dot);
    for (u32 i = threadIdx.x; i < c; i += LANES) {
        set(dx[i], scale * get(w[i]) * get(dy[i]) - get(x[i]) * back);
    }
}

// dw = Σ over rows of dy x r: a block sums `chunk` rows into a row of `parts` of its own, so that
// the order of the sum does not depend on which block is first.
template <typename T>
DEVICE void rms_norm_dw(float* parts, const T* x, const T* dy, u32 rows, u32 c, u32 chunk, float eps) {
    u32 first = blockIdx.x * chunk;
    u32 last = first + chunk < rows ? first + chunk : rows;
    parts += (u64)blockIdx.x * c;
    for (u32 i = threadIdx.x; i < c; i += blockDim.x) parts[i] = 0.0f;
    for (u32 row = first; row < last; row++) {
        const T* at = x + (u64)row * c;
        float squares = 0.0f;
        for (u32 i = threadIdx.x; i < c; i += blockDim.x) squares += get(at[i]) * get(at[i]);
        float scale = 1.0f / sqrtf(block_sum(squares) / c + eps);
        for (u32 i = threadIdx.x; i < c; i += blockDim.x) {
            parts[i] += get(dy[(u64)row * c + i]) * get(at[i]) * scale;
        }
    }
}

KERNEL rms_norm_f32(float* y, const float* x, const float* w, u32 rows, u32 c, float eps) {
    rms_norm(y, x, w, rows, c, eps);
}
KERNEL rms_norm_bf16(bf16* y, const bf16* x, const bf16* w, u32 rows, u32 c, float eps) {
    rms_norm(y, x, w, rows, c, eps);
}
KERNEL rms_norm_dx_f32(
    float* dx, const float* x, const float* w, const float* dy, u32 rows, u32 c, float eps) {
    rms_norm_dx(dx, x, w, dy, rows, c, eps);
}
KERNEL rms_norm_dx_bf16(
    bf16* dx, const bf16* x, const bf16* w, const bf16* dy, u32 rows, u32 c, float eps) {
    rms_norm_dx(dx, x, w, dy, rows, c, eps);
}
KERNEL rms_norm_dw_f32(
    float* parts, const float* x, const float* dy, u32 rows, u32 c, u32 chunk, float eps) {
    rms_norm_dw(parts, x, dy, rows, c, chunk, eps);
}
KERNEL rms_norm_dw_bf16(
    float* parts, const bf16* x, const bf16* dy, u32 rows, u32 c, u32 chunk, float eps) {
    rms_norm_dw(parts, x, dy, rows, c, chunk, eps);
}
