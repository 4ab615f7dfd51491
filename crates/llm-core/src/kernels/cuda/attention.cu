// Softmax over the keys that a query reads, with its gradient; and attention of few queries.
//
// Query row r of a head stands at position s − t + r % t and reads the keys up to there, the last
// `window` of them (0: all).

struct Reach {
    u32 first;
    u32 end;
};

DEVICE Reach reach(u32 position, u32 window) {
    Reach keys;
    keys.first = window > 0 && position + 1 > window ? position + 1 - window : 0;
    keys.end = position + 1;
    return keys;
}

// A block for each row of s scores. weights = softmax(scale · scores), 0 where a key is not read.
template <typename T>
DEVICE void causal_softmax(T* weights, const T* scores, u32 t, u32 s, u32 window, float scale) {
    u64 row = blockIdx.x;
    Reach keys = reach(s - t + row % t, window);
    scores += row * s;
    weights += row * s;
    Softmax own = {LOWEST, 0.0f};
    for (u32 i = keys.first + threadIdx.x; i < keys.end; i += blockDim.x) {
        take(own, get(scores[i]) * scale);
    }
    Softmax all = together(own);
    for (u32 i = threadIdx.x; i < s; i += blockDim.x) {
        bool read = i >= keys.first && i < keys.end;
        set(weights[i], read ? expf(get(scores[i]) * scale - all.largest) / all.sum : 0.0f);
    }
}

// d_scores = scale · weights ∘ (d_weights − Σ weights d_weights)
template <typename T>
DEVICE void causal_softmax_grad(T* d_scores, const T* weights, const T* d_weights, u32 s, float scale) {
    u64 row = blockIdx.x;
    weights += row * s;
    d_weights += row * s;
    d_scores += row * s;
    float dot = 0.0f;
    for (u32 i = threadIdx.x; i < s; i += blockDim.x) dot += get(weights[i]) * get(d_weights[i]);
    dot = block_sum(dot);
    for (u32 i = threadIdx.x; i < s; i += blockDim.x) {
        set(d_scores[i], get(weights[i]) * (get(d_weights[i]) - dot) * scale);
    }
}

#define LARGEST_HEAD 256
#define PER_LANE (LARGEST_HEAD / LANES)

// How far apart keys or values lie: of two texts, two tokens, two heads.
struct Strides {
    u64 b;
    u64 t;
    u64 h;
};

// q and y [B, t, h, d], k and v [B, s, kv, d] where they lie in the cache. A block for each query
// and head; its warps share out the keys, and their sums are joined at the end.
template <typename T>
DEVICE void attend(
    T* y, const T* q, const T* k, const T* v, Strides at, u32 t, u32 s, u32 h, u32 kv, u32 d,
    u32 window, float scale) {
    SHARED float largest[WARPS];
    SHARED float sums[WARPS];
    SHARED float reads[WARPS][LARGEST_HEAD];
    u32 lane = threadIdx.x, warp = threadIdx.y, warps = blockDim.y;
    u64 query = blockIdx.x;
    u32 head = query % h;
    u64 token = query / h;
    u64 base = token / t * at.b + head / (h / kv) * at.h;
    Reach keys = reach(s - t + token % t, window);
    float own[PER_LANE], read[PER_LANE];
    for (u32 j = 0; j < PER_LANE; j++) {
        u32 i = j * LANES + lane;
        own[j] = i < d ? get(q[query * d + i]) * scale : 0.0f;
        read[j] = 0.0f;
    }
    float most = LOWEST, sum = 0.0f;
    for (u32 key = keys.first + warp; key < keys.end; key += warps) {
        const T* at_key = k + base + key * at.t;
        const T* at_value = v + base + key * at.t;
        float score = 0.0f;
        for (u32 j = 0; j < PER_LANE; j++) {
            u32 i = j * LANES + lane;
            if (i < d) score += own[j] * get(at_key[i]);
        }
        score = warp_sum(score);
        float larger = fmaxf(most, score);
        float before = expf(most - larger), weight = expf(score - larger);
        sum = sum * before + weight;
        most = larger;
        for (u32 j = 0; j < PER_LANE; j++) {
            u32 i = j * LANES + lane;
            if (i < d) read[j] = read[j] * before + weight * get(at_value[i]);
        }
    }
    if (lane == 0) {
        largest[warp] = most;
        sums[warp] = sum;
    }
    for (u32 j = 0; j < PER_LANE; j++) reads[warp][j * LANES + lane] = read[j];
    __syncthreads();
    most = LOWEST;
    for (u32 other = 0; other < warps; other++) most = fmaxf(most, largest[other]);
    sum = 0.0f;
    for (u32 other = 0; other < warps; other++) sum += sums[other] * expf(largest[other] - most);
    for (u32 i = warp * LANES + lane; i < d; i += warps * LANES) {
        float all = 0.0f;
        for (u32 other = 0; other < warps; other++) {
            all += reads[other][i] * expf(largest[other] - most);
        }
        set(y[query * d + i], all / sum);
    }
}

KERNEL causal_softmax_f32(float* w, const float* scores, u32 t, u32 s, u32 window, float scale) {
    causal_softmax(w, scores, t, s, window, scale);
}
KERNEL causal_softmax_bf16(bf16* w, const bf16* scores, u32 t, u32 s, u32 window, float scale) {
    causal_softmax(w, scores, t, s, window, scale);
}
KERNEL causal_softmax_grad_f32(float* ds, const float* w, const float* dw, u32 s, float scale) {
    causal_softmax_grad(ds, w, dw, s, scale);
}
KERNEL causal_softmax_grad_bf16(bf16* ds, const bf16* w, const bf16* dw, u32 s, float scale) {
    causal_softmax_grad(ds, w, dw, s, scale);
}
KERNEL attend_f32(
    float* y, const float* q, const float* k, const float* v, u64 b_stride, u64 t_stride,
    u64 h_stride, u32 t, u32 s, u32 h, u32 kv, u32 d, u32 window, float scale) {
    Strides at = {b_stride, t_stride, h_stride};
    attend(y, q, k, v, at, t, s, h, kv, d, window, scale);
}
KERNEL attend_bf16(
    bf16* y, const bf16* q, const bf16* k, const bf16* v, u64 b_stride, u64 t_stride,
    u64 h_stride, u32 t, u32 s, u32 h, u32 kv, u32 d, u32 window, float scale) {
    Strides at = {b_stride, t_stride, h_stride};
    attend(y, q, k, v, at, t, s, h, kv, d, window, scale);
}
