// Argument structs of the ops. Written by `cargo run -p metallic-kernels --example params_header`; do not edit.
#pragma once

constant constexpr uint KV_PAGE = 64; // Positions in a page of the KV cache.

struct EmbedParams {
    uint n; // Entries.
    uint k; // Elements of an entry.
    uint dtype; // Stored type, as its GGUF number.
    uint layout; // Number of the layout of w.
};

struct NormParams {
    uint k; // Elements of a group.
    uint groups; // Groups of a row.
    uint ldx; // Elements from one row of x to the next.
    uint ldy; // Elements from one row of y to the next; 0 for bf16 tiles.
    float eps; // Added to the mean square.
};

struct MatmulParams {
    uint n; // Outputs of a row.
    uint k; // Reduced dimension.
    uint ldx; // Elements from one row of x to the next; 0 where x lies in tiles.
    uint ldy; // Elements from one row of y to the next; 0 where y lies in tiles.
    uint dtype; // Stored type of w, as its GGUF number.
    uint layout; // Number of the layout of w and v.
    uint accumulate; // 1 adds to what y holds.
    uint gated; // 1 gates by a second matrix.
    uint act; // Type of x, y and the bias, as its GGUF number.
    uint bias; // 1 adds a bias.
    uint transpose_a; // 1 where x is (k, m).
    uint transpose_b; // 1 where w is (n, k), 0 where it is (k, n).
    uint batch; // Problems.
    uint bx; // Elements from one problem of x to the next.
    uint bw; // Elements from one problem of w to the next.
    uint by; // Elements from one problem of y to the next.
    uint activation; // An `Activation`: 0 none, 1 relu, 2 gelu, 3 silu.
    float alpha; // Factor on the product.
    float beta; // Factor on what y holds, where it is added to.
};

struct RopeParams {
    uint heads; // Query heads.
    uint kv_heads; // Key and value heads.
    uint head_dim; // Elements of a head.
    uint dims; // Rotated elements of a head; the rest stays.
    uint ld; // Elements from one row of qkv to the next.
    uint pairing; // A `Pairing`.
    uint kv_dtype; // Type of the pools, as its GGUF number.
};

struct AttentionParams {
    uint heads; // Query heads.
    uint kv_heads; // Key and value heads.
    uint head_dim; // Elements of a head.
    uint max_pages; // Entries of a page table row.
    uint ldq; // Elements from one row of q to the next.
    uint ldo; // Elements from one row of out to the next; 0 for bf16 tiles.
    uint window; // Positions seen back, the token's own included; 0 for all.
    uint kv_dtype; // Type of the pools, as its GGUF number.
    float scale; // Factor on the scores.
};

struct SwigluParams {
    uint k; // Columns of the result.
};

struct GatherParams {
    uint k; // Columns.
};

struct SoftmaxParams {
    uint k; // Columns.
    uint ldx; // Elements from one row of x to the next.
    uint ldy; // Elements from one row of y to the next.
    uint bx; // Elements from one problem of x to the next.
    uint by; // Elements from one problem of y to the next.
    uint causal; // 1 hides the columns after r + offset.
    int offset; // Position of the first row among the columns; below zero where rows come before all columns.
    uint batch; // Problems.
    uint act; // Type of x and y, as its GGUF number.
    float scale; // s, the factor on x.
};

struct ElementwiseParams {
    uint k; // Columns.
    uint ldy; // Elements from one row of y to the next.
    uint ldx; // Elements from one row of x to the next.
    uint ldz; // Elements from one row of z to the next.
    uint join; // A `Join`: 0 takes x, 1 adds z, 2 multiplies by z.
    uint bias; // 1 adds a bias.
    uint activation; // An `Activation`: 0 none, 1 relu, 2 gelu, 3 silu.
    uint act; // Type of y, x, z and bias, as its GGUF number.
    float scale; // s, the factor on the result.
};

struct DequantizeParams {
    uint k; // Elements of a row.
    uint ldy; // Elements from one row of y to the next.
    uint dtype; // Stored type of w, as its GGUF number.
    uint act; // Type of y, as its GGUF number.
};

struct TopkParams {
    uint k; // Elements of a row.
    uint n; // Values kept of a row.
    uint ldx; // Elements from one row of x to the next.
    uint act; // Type of x and of the values, as its GGUF number.
};

struct ScanParams {
    uint k; // Elements of a row.
    uint ldx; // Elements from one row of x to the next.
    uint ldy; // Elements from one row of y to the next.
    uint exclusive; // 1 leaves an element out of its own sum.
    uint act; // Type of x and y, as its GGUF number.
};
