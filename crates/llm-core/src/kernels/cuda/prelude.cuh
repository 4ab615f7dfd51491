// What every kernel uses: number types, sums over a warp and a block.
//
// Nothing is included, so that NVRTC needs no headers of the toolkit at run time. All arithmetic is
// in f32; bf16 is only how numbers are stored. Sums have a fixed order: the same input gives the same
// bits on one kind of GPU.
//
// With EMULATED a warp has one lane and a block one warp, and the code compiles as plain C++
// (tools/cuda/emulate.cpp compares it with loops in f64).

typedef unsigned int u32;
typedef unsigned long long u64;
typedef long long i64;

#ifndef EMULATED
#define LANES 32
#define KERNEL extern "C" __global__ void
#define DEVICE __device__ __forceinline__
#define SHARED __shared__
#endif

// Above the most warps of a block.
#define WARPS 32
// Where a maximum begins: finite, so that no difference of two of them is NaN.
#define LOWEST (-3.402823466e38f)

struct bf16 {
    unsigned short bits;
};

DEVICE float get(float x) { return x; }
DEVICE float get(bf16 x) { return __uint_as_float((u32)x.bits << 16); }

DEVICE void set(float& to, float x) { to = x; }
// Round to nearest, ties to even; a NaN stays one.
DEVICE void set(bf16& to, float x) {
    u32 bits = __float_as_uint(x);
    if ((bits & 0x7fffffffu) > 0x7f800000u) {
        to.bits = (unsigned short)((bits >> 16) | 0x40u);
        return;
    }
    to.bits = (unsigned short)((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

#ifndef EMULATED
DEVICE float warp_sum(float x) {
    for (int offset = LANES / 2; offset > 0; offset /= 2) x += __shfl_xor_sync(~0u, x, offset);
    return x;
}

DEVICE float warp_max(float x) {
    for (int offset = LANES / 2; offset > 0; offset /= 2) x = fmaxf(x, __shfl_xor_sync(~0u, x, offset));
    return x;
}

// Of a block of one dimension, a multiple of a warp; every thread gets the result.
DEVICE float block_sum(float x) {
    __shared__ float parts[WARPS];
    x = warp_sum(x);
    __syncthreads();  // whoever read an earlier result is done
    if (threadIdx.x % LANES == 0) parts[threadIdx.x / LANES] = x;
    __syncthreads();
    u32 lane = threadIdx.x % LANES;
    return warp_sum(lane < blockDim.x / LANES ? parts[lane] : 0.0f);
}

// Whether any thread of the block says so; every thread gets the answer.
DEVICE bool block_any(bool x) { return __syncthreads_or(x) != 0; }

DEVICE float block_max(float x) {
    __shared__ float parts[WARPS];
    x = warp_max(x);
    __syncthreads();
    if (threadIdx.x % LANES == 0) parts[threadIdx.x / LANES] = x;
    __syncthreads();
    u32 lane = threadIdx.x % LANES;
    return warp_max(lane < blockDim.x / LANES ? parts[lane] : LOWEST);
}
#endif

// log Σ exp, one number at a time: the largest so far, and the sum relative to it.
struct Softmax {
    float largest;
    float sum;
};

DEVICE void take(Softmax& softmax, float x) {
    if (x > softmax.largest) {
        softmax.sum = softmax.sum * expf(softmax.largest - x) + 1.0f;
        softmax.largest = x;
    } else {
        softmax.sum += expf(x - softmax.largest);
    }
}

// Over all threads of a block.
DEVICE Softmax together(Softmax own) {
    Softmax all;
    all.largest = block_max(own.largest);
    all.sum = block_sum(own.sum * expf(own.largest - all.largest));
    return all;
}
