// MLX steel style: loaders and tiles as struct templates over simdgroup matrices, alignment by function constants.
#include <metal_stdlib>
#include <metal_simdgroup>
#include <metal_simdgroup_matrix>
#include "mlx_utils.h"

using namespace metal;

#define STEEL_CONST static constant constexpr const
#define STEEL_PRAGMA_UNROLL _Pragma("clang loop unroll(full)")

constant bool align_M [[function_constant(200)]];
constant bool align_N [[function_constant(201)]];
constant bool do_axpby [[function_constant(110)]];
constant bool use_axpby = is_function_constant_defined(do_axpby) ? do_axpby : false;

struct GEMMParams {
  const int M;
  const int N;
  const int K;
  const int lda;
  const int ldb;
  const int ldd;
  const int tiles_n;
  const int tiles_m;
};

namespace mlx {
namespace steel {

template <typename OutT, typename InT>
struct TransformNone {
  static METAL_FUNC OutT apply(InT x) {
    return static_cast<OutT>(x);
  }
  static METAL_FUNC OutT apply(InT x, OutT) {
    return static_cast<OutT>(x);
  }
};

template <typename T, short BROWS, short BCOLS, short dst_ld, short tgp_size, short n_reads = (BCOLS * BROWS) / (tgp_size)>
struct BlockLoader {
  STEEL_CONST short TCOLS = BCOLS / n_reads;
  STEEL_CONST short TROWS = tgp_size / TCOLS;

  const int src_ld;
  const short thread_idx;
  const short bi;
  const short bj;
  threadgroup T* dst;
  const device T* src;

  struct alignas(sizeof(T) * (n_reads >= 4 ? 4 : 1)) ReadVector {
    T v[n_reads];
  };

  METAL_FUNC BlockLoader(
      const device T* src_,
      const int src_ld_,
      threadgroup T* dst_,
      ushort simd_group_id [[simdgroup_index_in_threadgroup]],
      ushort simd_lane_id [[thread_index_in_simdgroup]])
      : src_ld(src_ld_),
        thread_idx(simd_group_id * 32 + simd_lane_id),
        bi(thread_idx / TCOLS),
        bj(n_reads * (thread_idx % TCOLS)),
        dst(dst_ + bi * dst_ld + bj),
        src(src_ + bi * src_ld + bj) {}

  METAL_FUNC void load_unsafe() const {
    STEEL_PRAGMA_UNROLL
    for (short i = 0; i < BROWS; i += TROWS) {
      STEEL_PRAGMA_UNROLL
      for (short j = 0; j < n_reads; j++) {
        dst[i * dst_ld + j] = src[i * src_ld + j];
      }
    }
  }

  METAL_FUNC void load_safe(short2 src_tile_dim) const {
    src_tile_dim = src_tile_dim - short2(bj, bi);
    STEEL_PRAGMA_UNROLL
    for (short i = 0; i < BROWS; i += TROWS) {
      STEEL_PRAGMA_UNROLL
      for (short j = 0; j < n_reads; j++) {
        bool ok = (i < src_tile_dim.y) && (j < src_tile_dim.x);
        dst[i * dst_ld + j] = ok ? src[i * src_ld + j] : T(0);
      }
    }
  }

  METAL_FUNC void next() {
    src += BCOLS;
  }
};

template <typename AccumType, short TM, short TN>
struct MMATile {
  using mat_type = typename metal::simdgroup_matrix<AccumType, 8, 8>;
  STEEL_CONST short kTiles = TM * TN;
  mat_type val_frags[kTiles] = {mat_type(0)};

  METAL_FUNC constexpr thread mat_type& at(const short i, const short j) {
    return val_frags[i * TN + j];
  }
};

template <typename T, typename U, int BM, int BN, int BK, int WM, int WN, typename AccumType = float,
          typename Epilogue = TransformNone<U, AccumType>>
struct BlockMMA {
  STEEL_CONST short TM = BM / (8 * WM);
  STEEL_CONST short TN = BN / (8 * WN);

  MMATile<AccumType, TM, TN> Ctile;
  short sm;
  short sn;

  METAL_FUNC BlockMMA(ushort simd_group_id) {
    sm = 8 * TM * (simd_group_id / WN);
    sn = 8 * TN * (simd_group_id % WN);
  }

  METAL_FUNC void mma(const threadgroup T* As, const threadgroup T* Bs) {
    STEEL_PRAGMA_UNROLL
    for (short kk = 0; kk < BK; kk += 8) {
      simdgroup_matrix<AccumType, 8, 8> A;
      simdgroup_matrix<AccumType, 8, 8> B;
      simdgroup_matrix<T, 8, 8> raw;
      STEEL_PRAGMA_UNROLL
      for (short i = 0; i < TM; i++) {
        simdgroup_load(raw, As + (sm + 8 * i) * (BK + 8) + kk, BK + 8);
        A.thread_elements()[0] = AccumType(raw.thread_elements()[0]);
        A.thread_elements()[1] = AccumType(raw.thread_elements()[1]);
        STEEL_PRAGMA_UNROLL
        for (short j = 0; j < TN; j++) {
          simdgroup_load(raw, Bs + (sn + 8 * j) * (BK + 8) + kk, BK + 8, ulong2(0, 0), true);
          reinterpret_cast<thread vec<AccumType, 2>&>(B.thread_elements()) =
              vec<AccumType, 2>(raw.thread_elements()[0], raw.thread_elements()[1]);
          simdgroup_multiply_accumulate(Ctile.at(i, j), A, B, Ctile.at(i, j));
        }
      }
    }
  }

  METAL_FUNC void store(device U* D, const int ldd, short2 lane, short2 limit) {
    D += (sm + lane.y) * ldd + sn + lane.x;
    limit -= short2(sn + lane.x, sm + lane.y);
    STEEL_PRAGMA_UNROLL
    for (short i = 0; i < TM; i++) {
      STEEL_PRAGMA_UNROLL
      for (short j = 0; j < TN; j++) {
        thread const auto& accum = Ctile.at(i, j).thread_elements();
        STEEL_PRAGMA_UNROLL
        for (short e = 0; e < 2; e++) {
          if (8 * i < limit.y && 8 * j + e < limit.x) {
            D[8 * i * ldd + 8 * j + e] = Epilogue::apply(accum[e]);
          }
        }
      }
    }
  }
};

} // namespace steel
} // namespace mlx

using namespace mlx::steel;

template <typename T, int BM, int BN, int BK, int WM, int WN, typename AccumType = float>
[[kernel, max_total_threads_per_threadgroup(WM* WN * 32)]] void gemm_nt(
    const device T* A [[buffer(0)]],
    const device T* B [[buffer(1)]],
    device T* D [[buffer(3)]],
    const constant GEMMParams* params [[buffer(4)]],
    const constant float& beta [[buffer(5), function_constant(use_axpby)]],
    ushort simd_lane_id [[thread_index_in_simdgroup]],
    ushort simd_group_id [[simdgroup_index_in_threadgroup]],
    uint3 tid [[threadgroup_position_in_grid]]) {
  constexpr short tgp_padding = 16 / sizeof(half);
  constexpr short lda_tgp = BK + tgp_padding;
  threadgroup T As[BM * lda_tgp];
  threadgroup T Bs[BN * lda_tgp];

  if (params->tiles_n <= static_cast<int>(tid.x) || params->tiles_m <= static_cast<int>(tid.y)) {
    return;
  }
  const int c_row = tid.y * BM;
  const int c_col = tid.x * BN;
  A += c_row * size_t(params->lda);
  B += c_col * size_t(params->ldb);
  D += c_row * size_t(params->ldd) + c_col;

  using loader_a_t = BlockLoader<T, BM, BK, lda_tgp, WM * WN * 32>;
  using loader_b_t = BlockLoader<T, BN, BK, lda_tgp, WM * WN * 32>;
  thread loader_a_t loader_a(A, params->lda, As, simd_group_id, simd_lane_id);
  thread loader_b_t loader_b(B, params->ldb, Bs, simd_group_id, simd_lane_id);
  thread BlockMMA<T, T, BM, BN, BK, WM, WN, AccumType> mma_op(simd_group_id);

  const short rows = align_M ? BM : min(BM, params->M - c_row);
  const short cols = align_N ? BN : min(BN, params->N - c_col);
  for (int k = 0; k < params->K; k += BK) {
    threadgroup_barrier(mem_flags::mem_threadgroup);
    if (align_M && align_N) {
      loader_a.load_unsafe();
      loader_b.load_unsafe();
    } else {
      loader_a.load_safe(short2(BK, rows));
      loader_b.load_safe(short2(BK, cols));
    }
    threadgroup_barrier(mem_flags::mem_threadgroup);
    mma_op.mma(As, Bs);
    loader_a.next();
    loader_b.next();
  }
  const short qid = simd_lane_id / 4;
  const short fm = (qid & 4) + (simd_lane_id / 2) % 4;
  const short fn = (qid & 2) * 2 + (simd_lane_id % 2) * 2;
  if (use_axpby && beta != 1) {
    mma_op.Ctile.at(0, 0).thread_elements()[0] *= beta;
  }
  mma_op.store(D, params->ldd, short2(fn, fm), short2(cols, rows));
}

#define instantiate_gemm(tname, type, bm, bn, bk, wm, wn)                                        \
  instantiate_kernel("steel_gemm_nt_" #tname "_bm" #bm "_bn" #bn "_bk" #bk "_wm" #wm "_wn" #wn,  \
                     gemm_nt, type, bm, bn, bk, wm, wn)

#define instantiate_gemm_shapes(tname, type)        \
  instantiate_gemm(tname, type, 64, 64, 16, 2, 2)   \
  instantiate_gemm(tname, type, 32, 64, 16, 1, 2)   \
  instantiate_gemm(tname, type, 32, 32, 16, 2, 2)

instantiate_gemm_shapes(float16, half);
instantiate_gemm_shapes(bfloat16, bfloat16_t);
instantiate_gemm_shapes(float32, float);
