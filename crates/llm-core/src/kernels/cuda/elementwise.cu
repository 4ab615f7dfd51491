// Rotation of heads, the gated unit and sums in place: a thread for each number or pair.

DEVICE u64 thread_index() { return (u64)blockIdx.x * blockDim.x + threadIdx.x; }

// x [B, t, h, 2 half]; a row of the table is `half` cosines, then `half` sines. With direction −1
// the rotation goes back, which is its gradient.
template <typename T>
DEVICE void rope(
    T* y, const T* x, const float* table, u64 pairs, u32 t, u32 h, u32 half, u32 offset,
    float direction) {
    u64 n = thread_index();
    if (n >= pairs) return;
    u32 i = n % half;
    u64 head = n / half;
    u64 position = offset + (head / h) % t;
    float cosine = table[position * 2 * half + i];
    float sine = table[position * 2 * half + half + i] * direction;
    u64 at = head * 2 * half + i;
    float first = get(x[at]), second = get(x[at + half]);
    set(y[at], first * cosine - second * sine);
    set(y[at + half], second * cosine + first * sine);
}

// y = gate / (1 + exp(−gate)) · up
template <typename T>
DEVICE void swiglu(T* y, const T* gate, const T* up, u64 count) {
    u64 n = thread_index();
    if (n >= count) return;
    float g = get(gate[n]);
    set(y[n], g / (1.0f + expf(-g)) * get(up[n]));
}

// The gradients of gate and of up, one after the other.
template <typename T>
DEVICE void swiglu_grad(T* d_both, const T* gate, const T* up, const T* dy, u64 count) {
    u64 n = thread_index();
    if (n >= count) return;
    float g = get(gate[n]), u = get(up[n]), d = get(dy[n]);
    float sigmoid = 1.0f / (1.0f + expf(-g));
    set(d_both[n], d * u * sigmoid * (1.0f + g * (1.0f - sigmoid)));
    set(d_both[count + n], d * g * sigmoid);
}

// Adds `count` numbers to `run` of `every` numbers, from `start` on.
template <typename T>
DEVICE void add_in_place(T* sum, const T* other, u64 count, u64 every, u64 start, u64 run) {
    u64 n = thread_index();
    if (n >= count) return;
    u64 at = n / run * every + start + n % run;
    set(sum[at], get(sum[at]) + get(other[n]));
}

// y = x · factor where the hash of seed and index is not below `limit` of 2⁵³, else 0: the mask of
// the CPU's dropout (SplitMix64's finalizer).
template <typename T>
DEVICE void dropout(T* y, const T* x, u64 count, u64 seed, u64 limit, float factor) {
    u64 n = thread_index();
    if (n >= count) return;
    u64 z = seed ^ (n * 0x9e3779b97f4a7c15ull);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    z ^= z >> 31;
    set(y[n], (z >> 11) < limit ? 0.0f : get(x[n]) * factor);
}

KERNEL dropout_f32(float* y, const float* x, u64 count, u64 seed, u64 limit, float factor) {
    dropout(y, x, count, seed, limit, factor);
}
KERNEL dropout_bf16(bf16* y, const bf16* x, u64 count, u64 seed, u64 limit, float factor) {
    dropout(y, x, count, seed, limit, factor);
}
KERNEL rope_f32(
    float* y, const float* x, const float* table, u64 pairs, u32 t, u32 h, u32 half, u32 offset,
    float direction) {
    rope(y, x, table, pairs, t, h, half, offset, direction);
}
KERNEL rope_bf16(
    bf16* y, const bf16* x, const float* table, u64 pairs, u32 t, u32 h, u32 half, u32 offset,
    float direction) {
    rope(y, x, table, pairs, t, h, half, offset, direction);
}
KERNEL swiglu_f32(float* y, const float* gate, const float* up, u64 count) {
    swiglu(y, gate, up, count);
}
KERNEL swiglu_bf16(bf16* y, const bf16* gate, const bf16* up, u64 count) {
    swiglu(y, gate, up, count);
}
KERNEL swiglu_grad_f32(
    float* d_both, const float* gate, const float* up, const float* dy, u64 count) {
    swiglu_grad(d_both, gate, up, dy, count);
}
KERNEL swiglu_grad_bf16(
    bf16* d_both, const bf16* gate, const bf16* up, const bf16* dy, u64 count) {
    swiglu_grad(d_both, gate, up, dy, count);
}
KERNEL add_in_place_f32(float* sum, const float* other, u64 count, u64 every, u64 start, u64 run) {
    add_in_place(sum, other, count, every, start, run);
}
KERNEL add_in_place_bf16(bf16* sum, const bf16* other, u64 count, u64 every, u64 start, u64 run) {
    add_in_place(sum, other, count, every, start, run);
}
