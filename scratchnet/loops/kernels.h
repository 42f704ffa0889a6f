/* The loops of layers and data, once for each precision and instruction set.

   A kernel takes its arrays by pointers p, in the order that the table in loops.c names them; n and
   d are rows and columns unless it says something else. Each computes what the NumPy line beside
   its name in kernels.py computes, to the same bits; only what has an exp in it differs, as that is
   our own: to 1e-6 in float32, 1e-15 in float64. */

/* e^x = 2^k e^r, with k = x / log 2 rounded, so that |r| <= log(2) / 2. Returns
   e^r - 1 = r (1 + r/2 (1 + r/3 (1 + ...))), and 2^(k - 1): 2^k itself may be too large. */
INLINE REAL NAME(reduce)(REAL x, REAL *half_power)
{
    union { REAL value; BITS bits; } shifted, power;
    shifted.value = x * (REAL)1.4426950408889634 + ROUNDS; /* what is added to ROUNDS is rounded */
    const REAL k = shifted.value - ROUNDS;
    const REAL r = (x - k * LOG2_HIGH) - k * LOG2_LOW;
    power.bits = (shifted.bits - ROUNDS_BITS - 1 + BIAS) << FRACTION;
    *half_power = power.value;
    REAL sum = 1;
    UNROLLED
    for (int i = TERMS; i > 1; i--)
        sum = 1 + r * ((REAL)1 / i) * sum;
    return r * sum;
}
INLINE REAL NAME(exp)(REAL x)
{
    REAL half, e = NAME(reduce)(x, &half);
    e = (1 + e) * half * 2;
    return x < LOWEST ? 0 : x > HIGHEST ? (REAL)INFINITY : e;
}
INLINE REAL NAME(expm1)(REAL x)
{
    REAL half, e = NAME(reduce)(x, &half);
    e = (half * e + (half - (REAL)0.5)) * 2;
    return x < LOWEST ? -1 : x > HIGHEST ? (REAL)INFINITY : e;
}
INLINE REAL NAME(tanh)(REAL x)
{
    const REAL e = NAME(expm1)(-2 * ABS(x)), y = -e / (e + 2);
    return x < 0 ? -y : y;
}
/* log(1 + x) for x from 0 to 1, as 2 artanh(s) = 2 s (1 + s^2/3 + s^4/5 + ...), s = x / (2 + x). */
INLINE REAL NAME(log1p)(REAL x)
{
    const REAL s = x / (2 + x);
    REAL sum = 0;
    UNROLLED
    for (int i = 2 * TERMS + 3; i > 0; i -= 2)
        sum = sum * (s * s) + (REAL)1 / i;
    return 2 * s * sum;
}

/* out = x[rows] * scale: whole rows, brought to the precision of the network. */
#define GATHER(name, type)                                                              \
    KERNEL(name)                                                                        \
    {                                                                                   \
        const type *x = p[0];                                                           \
        const int64_t *rows = p[1];                                                     \
        const REAL scale = *(const REAL *)p[2];                                         \
        for (ptrdiff_t r = 0; r < n; r++) {                                             \
            const type *restrict from = x + rows[r] * d;                                \
            REAL *restrict out = (REAL *)p[3] + r * d;                                  \
            if (r + 2 < n)                                                              \
                for (ptrdiff_t i = 0; i < d; i += 64 / (ptrdiff_t)sizeof(type))         \
                    PREFETCH(x + rows[r + 2] * d + i);                                  \
            for (ptrdiff_t i = 0; i < d; i++)                                           \
                out[i] = (REAL)from[i] * scale;                                         \
        }                                                                               \
    }
GATHER(gather_uint8, uint8_t)
GATHER(gather_float32, float)
GATHER(gather_float64, double)

/* out = t[rows]: labels. */
KERNEL(take)
{
    const int64_t *t = p[0], *rows = p[1];
    int64_t *out = p[2];
    (void)d;
    for (ptrdiff_t r = 0; r < n; r++)
        out[r] = t[rows[r]];
}

/* y += b in every row. */
KERNEL(add_bias)
{
    const REAL *restrict b = p[1];
    for (ptrdiff_t r = 0; r < n; r++) {
        REAL *restrict y = (REAL *)p[0] + r * d;
        for (ptrdiff_t i = 0; i < d; i++)
            y[i] = y[i] + b[i];
    }
}

/* out = the sum of all rows, one after the other. */
KERNEL(column_sums)
{
    REAL *restrict out = p[1];
    for (ptrdiff_t i = 0; i < d; i++)
        out[i] = ((const REAL *)p[0])[i];
    for (ptrdiff_t r = 1; r < n; r++) {
        const REAL *restrict x = (const REAL *)p[0] + r * d;
        for (ptrdiff_t i = 0; i < d; i++)
            out[i] = out[i] + x[i];
    }
}

/* y += factor x, n values. */
KERNEL(add_scaled)
{
    REAL *restrict y = p[0];
    const REAL *restrict x = p[1], factor = *(const REAL *)p[2];
    (void)d;
    for (ptrdiff_t i = 0; i < n; i++)
        y[i] = y[i] + factor * x[i];
}

/* out[0] = the sum of all n squares, in 32 sums side by side. */
KERNEL(sum_squares)
{
    const REAL *restrict x = p[0];
    REAL sums[32] = {0}, all = 0;
    ptrdiff_t i = 0;
    (void)d;
    for (; i + 32 <= n; i += 32)
        for (int k = 0; k < 32; k++)
            sums[k] = sums[k] + x[i + k] * x[i + k];
    for (; i < n; i++)
        sums[0] = sums[0] + x[i] * x[i];
    for (int k = 0; k < 32; k++)
        all = all + sums[k];
    *(REAL *)p[1] = all;
}

/* p = softmax(y) in each row, the class with the largest logit, that logit, and log(1 + rest).
   The largest term is left out of the rest, which is small where a network is sure. */
KERNEL(softmax)
{
    REAL *e = p[1], *largest = p[3];
    int64_t *first = p[2];
    double *log = p[4];
    for (ptrdiff_t row = 0; row < n; row++) {
        const REAL *y = (const REAL *)p[0] + row * d;
        ptrdiff_t k = 0;
        for (ptrdiff_t i = 1; i < d; i++)
            if (y[i] > y[k])
                k = i;
        for (ptrdiff_t i = 0; i < d; i++)
            e[row * d + i] = y[i] - y[k];
        first[row] = k;
        largest[row] = y[k];
    }
    INDEPENDENT
    for (ptrdiff_t i = 0; i < n * d; i++) /* rows are short: the exp of all in one go */
        e[i] = EXP(e[i]);
    for (ptrdiff_t row = 0; row < n; row++) {
        REAL *of_row = e + row * d, rest = 0;
        of_row[first[row]] = of_row[first[row]] - 1; /* 0, or NaN */
        for (ptrdiff_t i = 0; i < d; i++)
            rest = rest + of_row[i];
        of_row[first[row]] = 1;
        const REAL all = 1 + rest;
        for (ptrdiff_t i = 0; i < d; i++)
            of_row[i] = of_row[i] / all;
        log[row] = rest;
    }
    for (ptrdiff_t row = 0; row < n; row++)
        log[row] = log1p(log[row]);
}

/* losses = (largest - y_t) + log; right[0] = how many rows have the class t first; total[0] = the
   sum of the losses. */
KERNEL(cross_entropy)
{
    const REAL *y = p[0], *largest = p[2];
    const int64_t *t = p[1], *first = p[4];
    const double *log = p[3];
    double *losses = p[5], total = 0;
    int64_t right = 0;
    for (ptrdiff_t row = 0; row < n; row++) {
        losses[row] = ((double)largest[row] - (double)y[row * d + t[row]]) + log[row];
        total += losses[row];
        right += first[row] == t[row];
    }
    *(int64_t *)p[6] = right;
    *(double *)p[7] = total;
}

/* dy = (p - onehot(t)) * share, the derivative of the mean loss; dy may be p. */
KERNEL(softmax_grad)
{
    const int64_t *t = p[1];
    const REAL share = *(const REAL *)p[2];
    for (ptrdiff_t row = 0; row < n; row++) {
        const REAL *from = (const REAL *)p[0] + row * d;
        REAL *dy = (REAL *)p[3] + row * d;
        INDEPENDENT
        for (ptrdiff_t i = 0; i < d; i++)
            dy[i] = from[i] * share;
        dy[t[row]] = (from[t[row]] - 1) * share;
    }
}

/* The same for rows that have shares of their own in the mean, in double precision. */
KERNEL(weighted_grad)
{
    const int64_t *t = p[1];
    const double *shares = p[2];
    for (ptrdiff_t row = 0; row < n; row++) {
        const REAL *from = (const REAL *)p[0] + row * d;
        REAL *dy = (REAL *)p[3] + row * d;
        for (ptrdiff_t i = 0; i < d; i++)
            dy[i] = (REAL)((double)(i == t[row] ? from[i] - 1 : from[i]) * shares[row]);
    }
}

/* shares = weights[rows] / all[0]. */
KERNEL(weigh)
{
    const double *weights = p[0], *all = p[2];
    const int64_t *rows = p[1];
    double *shares = p[3];
    (void)d;
    for (ptrdiff_t r = 0; r < n; r++)
        shares[r] = weights[rows[r]] / *all;
}

/* out[0] = value[0]: out may be a place in a table. */
KERNEL(keep)
{
    (void)n, (void)d;
    *(double *)p[1] = *(const double *)p[0];
}

/* finite[0] = whether the n sums of losses, and the d sums of squares, are all finite numbers. */
KERNEL(check)
{
    const REAL *squares = p[0];
    const double *losses = p[1];
    double sum = 0;
    for (ptrdiff_t i = 0; i < n; i++)
        sum += losses[i];
    for (ptrdiff_t i = 0; i < d; i++)
        sum += (double)squares[i];
    *(int64_t *)p[2] = isfinite(sum) != 0;
}

/* limits[0] = min(1, longest / the norm whose square is p[0][0]): see Optimizer.clip_norm. */
KERNEL(clip_scale)
{
    const double norm = sqrt((double)*(const REAL *)p[0]), longest = *(const double *)p[1];
    (void)n, (void)d;
    *(REAL *)p[2] = norm > longest ? (REAL)(longest / norm) : 1;
}

/* y = the largest value of each part of n images x of d channels (`MaxPool` in layers.pooling).
   sizes: height and width of an image, and of a part; what is left over at its edges is not seen. */
KERNEL(max_pool)
{
    const int64_t *sizes = p[1], height = sizes[0], width = sizes[1], kh = sizes[2], kw = sizes[3];
    REAL *y = p[2];
    for (ptrdiff_t k = 0; k < n; k++)
        for (ptrdiff_t row = 0; row + kh <= height; row += kh)
            for (ptrdiff_t column = 0; column + kw <= width; column += kw, y += d)
                for (ptrdiff_t i = 0; i < kh; i++)
                    for (ptrdiff_t j = 0; j < kw; j++) {
                        const ptrdiff_t at = (k * height + row + i) * width + column + j;
                        const REAL *x = (const REAL *)p[0] + at * d, *so_far = i + j ? y : x;
                        INDEPENDENT
                        for (ptrdiff_t c = 0; c < d; c++) {
                            const REAL a = x[c], b = so_far[c];
                            y[c] = MAXIMUM(a, b);
                        }
                    }
}

/* dx = dout at the first value of each part that is y, 0 at all others; `left` is room for d. */
KERNEL(max_pool_back)
{
    const int64_t *sizes = p[3], height = sizes[0], width = sizes[1], kh = sizes[2], kw = sizes[3];
    const REAL *dout = p[0], *y = p[2];
    REAL *left = p[4];
    for (ptrdiff_t k = 0; k < n; k++)
        for (ptrdiff_t row = 0; row + kh <= height; row += kh)
            for (ptrdiff_t column = 0; column + kw <= width; column += kw, y += d, dout += d)
                for (ptrdiff_t i = 0; i < kh; i++)
                    for (ptrdiff_t j = 0; j < kw; j += 2) {
                        const ptrdiff_t at = ((k * height + row + i) * width + column + j) * d;
                        const REAL *x = (const REAL *)p[1] + at, *x1 = x + d;
                        const REAL *dy = i + j ? left : dout;
                        REAL *dx = (REAL *)p[5] + at, *dx1 = dx + d;
                        if (j + 1 < kw) {
                            INDEPENDENT
                            for (ptrdiff_t c = 0; c < d; c++) {
                                const REAL a = x[c], a1 = x1[c], b = y[c], all = dy[c];
                                const REAL one = a == b ? all : 0, rest = all - one;
                                const REAL two = a1 == b ? rest : 0;
                                dx[c] = one, dx1[c] = two, left[c] = rest - two;
                            }
                        } else {
                            INDEPENDENT
                            for (ptrdiff_t c = 0; c < d; c++) {
                                const REAL a = x[c], b = y[c], all = dy[c], one = a == b ? all : 0;
                                dx[c] = one, left[c] = all - one;
                            }
                        }
                    }
}
