// Sixteen bytes of global memory that a launch reads once and nobody writes meanwhile: past the first-level cache, where they would
// only take the place of what is read again.
namespace msl {

MSL_FN metal::uint4 MSL_LOAD_ONCE(const metal::uint4 *p) {
    metal::uint4 v;
    asm("ld.global.nc.L1::no_allocate.L2::128B.v4.u32 {%0, %1, %2, %3}, [%4];" : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w) : "l"(p));
    return v;
}

} // namespace msl
