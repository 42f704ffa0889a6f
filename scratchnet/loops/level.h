/* All loops for one instruction set, in both precisions: loops.c includes it once for each. */

#define JOIN3(a, b, c) a##_##b##_##c
#define JOIN(a, b, c) JOIN3(a, b, c)
#define NAME(name) JOIN(name, PRECISION, LEVEL)
#define KERNEL(name) TARGET static void NAME(name)(void *const *p, ptrdiff_t n, ptrdiff_t d)
#define INLINE TARGET static ALWAYS_INLINE

/* A rule from value `from` to value `to`; of its n values the first d decay. */
#define RULE(name)                                                                           \
    INLINE void NAME(name##_range)(void *const *, ptrdiff_t, ptrdiff_t, int decays);         \
    KERNEL(name)                                                                             \
    {                                                                                        \
        NAME(name##_range)(p, 0, d, 1);                                                      \
        NAME(name##_range)(p, d, n, 0);                                                      \
    }                                                                                        \
    INLINE void NAME(name##_range)(void *const *p, ptrdiff_t from, ptrdiff_t to, int decays)

/* The value of a function of rows x, to which the bias is added first where there is one. */
#define VALUE(name)                                                                          \
    INLINE void NAME(name##_rows)(void *const *, ptrdiff_t, ptrdiff_t, int biased);          \
    KERNEL(name) { NAME(name##_rows)(p, n, d, 0); }                                          \
    KERNEL(name##_biased) { NAME(name##_rows)(p, n, d, 1); }                                 \
    INLINE void NAME(name##_rows)(void *const *p, ptrdiff_t n, ptrdiff_t d, int biased)
#define ADD_BIAS(x)                                                                          \
    if (biased)                                                                              \
        for (ptrdiff_t i = 0; i < d; i++)                                                    \
            x[i] = x[i] + ((const REAL *)p[1])[i];
#define DERIVATIVE(name) KERNEL(name##_derivative)
#define EXP NAME(exp)
#define EXPM1 NAME(expm1)
#define TANH NAME(tanh)
#define LOG1P NAME(log1p)

/* For exp: how many bits a number has behind its point, and what is added to its exponent; the
   exponents that it has; log 2 in two pieces; and how many terms of a series it takes. */
#define PRECISION float32
#define REAL float
#define BITS uint32_t
#define SQRT sqrtf
#define ABS fabsf
#define ERF erff
#define FRACTION 23
#define BIAS 127
#define ROUNDS 12582912.0f
#define ROUNDS_BITS 0x4B400000u
#define LOWEST -86.0f
#define HIGHEST 88.72283f
#define LOG2_HIGH 0.693359375f
#define LOG2_LOW -2.12194440e-4f
#define TERMS 8
#include "one_precision.h"

#define PRECISION float64
#define REAL double
#define BITS uint64_t
#define SQRT sqrt
#define ABS fabs
#define ERF erf
#define FRACTION 52
#define BIAS 1023
#define ROUNDS 6755399441055744.0
#define ROUNDS_BITS 0x4338000000000000u
#define LOWEST -707.0
#define HIGHEST 709.782712893384
#define LOG2_HIGH 6.93145751953125e-1
#define LOG2_LOW 1.42860682030941723212e-6
#define TERMS 14
#include "one_precision.h"

/* The loops by number, in the order of the table in loops.c: float32, float64, float32, ... */
#define PAIR(name, about) JOIN(name, float32, LEVEL), JOIN(name, float64, LEVEL),
#define VALUE_PAIRS(name, digest) PAIR(name, ) PAIR(name##_biased, )
#define DERIVATIVE_PAIR(name, digest) PAIR(name##_derivative, )
static kernel *const JOIN(loops, of, LEVEL)[] = {
    KERNELS(PAIR) VALUES(VALUE_PAIRS) DERIVATIVES(DERIVATIVE_PAIR) RULES(PAIR)};

#undef PAIR
#undef VALUE_PAIRS
#undef DERIVATIVE_PAIR
#undef VALUE
#undef ADD_BIAS
#undef DERIVATIVE
#undef EXP
#undef EXPM1
#undef TANH
#undef LOG1P
#undef JOIN3
#undef JOIN
#undef NAME
#undef KERNEL
#undef INLINE
#undef RULE
#undef LEVEL
#undef TARGET
