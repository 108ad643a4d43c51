// What the tests of the support library stand on: 32 lanes as coroutines behind the runtime table, and a count of failures.
#pragma once

typedef void (*Kernel)(const struct MslThread *);

extern "C" {
// Runs the lanes of `mask` as one SIMD group in lock step, lane by lane between the places where they meet.
void run_lanes(unsigned mask, Kernel kernel, void *const *buffers);
// The last fault that the library reported, or an empty string; forgets it.
const char *take_trap();
unsigned barriers_seen();
unsigned atomics_seen();
// Notes a failure, and prints the first ones.
void failed(const char *file, int line, const char *what, double got, double want);
double exp(double);
double exp2(double);
double log(double);
double log2(double);
double log10(double);
double sin(double);
double cos(double);
double tan(double);
double asin(double);
double acos(double);
double atan(double);
double sinh(double);
double cosh(double);
double tanh(double);
double asinh(double);
double acosh(double);
double atanh(double);
double atan2(double, double);
double pow(double, double);
double fmod(double, double);
double sqrt(double);
double floor(double);
double ceil(double);
double rint(double);
double round(double);
double trunc(double);
double ldexp(double, int);
double frexp(double, int *);
double fabs(double);
}

#define CHECK(condition) \
    do { \
        if (!(condition)) failed(__FILE__, __LINE__, #condition, 0, 1); \
    } while (0)
#define EQUAL(got, want) \
    do { \
        auto got_ = (got); \
        auto want_ = (want); \
        if (!(got_ == want_)) failed(__FILE__, __LINE__, #got, (double)got_, (double)want_); \
    } while (0)
