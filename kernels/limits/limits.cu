// As limits_f16 of limits.metal, with the instruction that only a warpgroup of Hopper has: both factors come from shared memory.
// A threadgroup is one warpgroup and owns 64 x 256 sums; its factors are 64 x 16 and 16 x 256 halves that never change.

struct LimitsParams {
    unsigned rows;
};

constexpr unsigned TURNS = 256;
// Core matrices of 8 rows of 16 bytes, the two along k side by side (PTX ISA, asynchronous warpgroup matrices, no swizzle).
constexpr unsigned LEADING = 128, STRIDE = 256;
constexpr unsigned BYTES_A = 64 * 16 * 2, BYTES_B = 256 * 16 * 2;

__device__ __forceinline__ unsigned long long descriptor(const void *at) {
    const unsigned long long address = (unsigned long long)__cvta_generic_to_shared(at);
    return ((address & 0x3ffff) >> 4) | ((unsigned long long)(LEADING >> 4) << 16) | ((unsigned long long)(STRIDE >> 4) << 32);
}

// d += a b.
__device__ __forceinline__ void multiply(float (&d)[128], unsigned long long a, unsigned long long b) {
    asm volatile("wgmma.mma_async.sync.aligned.m64n256k16.f32.f16.f16 {"
            "%0, %1, %2, %3, %4, %5, %6, %7, "
            "%8, %9, %10, %11, %12, %13, %14, %15, "
            "%16, %17, %18, %19, %20, %21, %22, %23, "
            "%24, %25, %26, %27, %28, %29, %30, %31, "
            "%32, %33, %34, %35, %36, %37, %38, %39, "
            "%40, %41, %42, %43, %44, %45, %46, %47, "
            "%48, %49, %50, %51, %52, %53, %54, %55, "
            "%56, %57, %58, %59, %60, %61, %62, %63, "
            "%64, %65, %66, %67, %68, %69, %70, %71, "
            "%72, %73, %74, %75, %76, %77, %78, %79, "
            "%80, %81, %82, %83, %84, %85, %86, %87, "
            "%88, %89, %90, %91, %92, %93, %94, %95, "
            "%96, %97, %98, %99, %100, %101, %102, %103, "
            "%104, %105, %106, %107, %108, %109, %110, %111, "
            "%112, %113, %114, %115, %116, %117, %118, %119, "
            "%120, %121, %122, %123, %124, %125, %126, %127}, "
            "%128, %129, 1, 1, 1, 0, 0;\n"
        :
            "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3]), "+f"(d[4]), "+f"(d[5]), "+f"(d[6]), "+f"(d[7]),
            "+f"(d[8]), "+f"(d[9]), "+f"(d[10]), "+f"(d[11]), "+f"(d[12]), "+f"(d[13]), "+f"(d[14]), "+f"(d[15]),
            "+f"(d[16]), "+f"(d[17]), "+f"(d[18]), "+f"(d[19]), "+f"(d[20]), "+f"(d[21]), "+f"(d[22]), "+f"(d[23]),
            "+f"(d[24]), "+f"(d[25]), "+f"(d[26]), "+f"(d[27]), "+f"(d[28]), "+f"(d[29]), "+f"(d[30]), "+f"(d[31]),
            "+f"(d[32]), "+f"(d[33]), "+f"(d[34]), "+f"(d[35]), "+f"(d[36]), "+f"(d[37]), "+f"(d[38]), "+f"(d[39]),
            "+f"(d[40]), "+f"(d[41]), "+f"(d[42]), "+f"(d[43]), "+f"(d[44]), "+f"(d[45]), "+f"(d[46]), "+f"(d[47]),
            "+f"(d[48]), "+f"(d[49]), "+f"(d[50]), "+f"(d[51]), "+f"(d[52]), "+f"(d[53]), "+f"(d[54]), "+f"(d[55]),
            "+f"(d[56]), "+f"(d[57]), "+f"(d[58]), "+f"(d[59]), "+f"(d[60]), "+f"(d[61]), "+f"(d[62]), "+f"(d[63]),
            "+f"(d[64]), "+f"(d[65]), "+f"(d[66]), "+f"(d[67]), "+f"(d[68]), "+f"(d[69]), "+f"(d[70]), "+f"(d[71]),
            "+f"(d[72]), "+f"(d[73]), "+f"(d[74]), "+f"(d[75]), "+f"(d[76]), "+f"(d[77]), "+f"(d[78]), "+f"(d[79]),
            "+f"(d[80]), "+f"(d[81]), "+f"(d[82]), "+f"(d[83]), "+f"(d[84]), "+f"(d[85]), "+f"(d[86]), "+f"(d[87]),
            "+f"(d[88]), "+f"(d[89]), "+f"(d[90]), "+f"(d[91]), "+f"(d[92]), "+f"(d[93]), "+f"(d[94]), "+f"(d[95]),
            "+f"(d[96]), "+f"(d[97]), "+f"(d[98]), "+f"(d[99]), "+f"(d[100]), "+f"(d[101]), "+f"(d[102]), "+f"(d[103]),
            "+f"(d[104]), "+f"(d[105]), "+f"(d[106]), "+f"(d[107]), "+f"(d[108]), "+f"(d[109]), "+f"(d[110]), "+f"(d[111]),
            "+f"(d[112]), "+f"(d[113]), "+f"(d[114]), "+f"(d[115]), "+f"(d[116]), "+f"(d[117]), "+f"(d[118]), "+f"(d[119]),
            "+f"(d[120]), "+f"(d[121]), "+f"(d[122]), "+f"(d[123]), "+f"(d[124]), "+f"(d[125]), "+f"(d[126]), "+f"(d[127])
        : "l"(a), "l"(b));
}

extern "C" __global__ void __launch_bounds__(128) limits_wgmma(float *y, const float *, LimitsParams p, const unsigned *) {
    __shared__ __align__(128) unsigned short memory[(BYTES_A + BYTES_B) / 2];
    // Halves from 0.03 to 0.06, so that sums stay finite and registers busy.
    for (unsigned i = threadIdx.x; i < (BYTES_A + BYTES_B) / 2; i += 128) {
        memory[i] = (unsigned short)(0x2800u + (i * 37u + p.rows) % 1024u);
    }
    __syncthreads();
    asm volatile("fence.proxy.async;\n" ::: "memory");
    const unsigned long long a = descriptor(memory), b = descriptor(memory + BYTES_A / 2);
    float d[128];
#pragma unroll
    for (int i = 0; i < 128; ++i) {
        d[i] = 0.0f;
    }
    asm volatile("wgmma.fence.sync.aligned;\n" ::: "memory");
#pragma unroll 1
    for (unsigned turn = 0; turn < TURNS; turn += 8) {
#pragma unroll
        for (int i = 0; i < 8; ++i) {
            multiply(d, a, b);
        }
        asm volatile("wgmma.commit_group.sync.aligned;\n" ::: "memory");
    }
    asm volatile("wgmma.wait_group.sync.aligned 0;\n" ::: "memory");
    float sum = 0.0f;
#pragma unroll
    for (int i = 0; i < 128; ++i) {
        sum += d[i];
    }
    y[blockIdx.x * 128 + threadIdx.x] = sum;
}
