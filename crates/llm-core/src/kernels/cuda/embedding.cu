// The gradient of a table from those of the rows that were picked.
//
// A block for each token and `blockDim.x` channels. The first token of an id adds up the rows of all
// tokens of that id, in their order; the other blocks end at once. So each row of the table is
// written by one block, in f32 and in a fixed order, and rows that were not picked stay as they are.

#define LARGEST_TILE 256

template <typename T>
DEVICE void embedding_grad(
    T* d_table, const T* dy, const u32* ids, u32 tokens, u32 c, u32 v, u32 chunks) {
    SHARED bool same[LARGEST_TILE];
    u32 token = blockIdx.x / chunks;
    u32 channel = blockIdx.x % chunks * blockDim.x + threadIdx.x;
    u32 id = ids[token];
    if (id >= v) return;
    bool before = false;
    for (u32 i = threadIdx.x; i < token; i += blockDim.x) before = before || ids[i] == id;
    if (block_any(before)) return;
    float sum = 0.0f;
    for (u32 start = token; start < tokens; start += blockDim.x) {
        u32 own = start + threadIdx.x;
        bool match = own < tokens && ids[own] == id;
        if (!block_any(match)) continue;
        same[threadIdx.x] = match;
        __syncthreads();
        for (u32 i = 0; i < blockDim.x; i++) {
            if (same[i] && channel < c) sum += get(dy[(u64)(start + i) * c + channel]);
        }
        __syncthreads();  // before the next tile overwrites it
    }
    if (channel < c) set(d_table[(u64)id * c + channel], sum);
}

KERNEL embedding_grad_f32(
    float* d_table, const float* dy, const u32* ids, u32 tokens, u32 c, u32 v, u32 chunks) {
    embedding_grad(d_table, dy, ids, tokens, c, v, chunks);
}
KERNEL embedding_grad_bf16(
    bf16* d_table, const bf16* dy, const u32* ids, u32 tokens, u32 c, u32 v, u32 chunks) {
    embedding_grad(d_table, dy, ids, tokens, c, v, chunks);
}
