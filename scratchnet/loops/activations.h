/* Written by `make loops` from the formulas of the package; do not edit.
*/

#ifndef VALUES
#define VALUES(X) \
    X(ReLU, "a7b57a4583e034fb") \
    X(Sigmoid, "6d051b62047803d5") \
    X(Tanh, "b08e27d4e7a9073b") \
    X(LeakyReLU, "ed15f4d282d8efa4") \
    X(ELU, "105cc0d070edb3e8") \
    X(SELU, "2ef53826cb7e4436") \
    X(GELU, "26869ef69fa86800") \
    X(SiLU, "3abca79d72ef05d2") \
    X(Softplus, "589816599d0b92fe") \
    X(Mish, "73ae891a3bc9a137")
#endif

VALUE(ReLU)
{
    for (ptrdiff_t r = 0; r < n; r++) {
        REAL *x_ = (REAL *)p[2] + r * d, *y_ = (REAL *)p[3] + r * d;
        ADD_BIAS(x_)
        INDEPENDENT
        for (ptrdiff_t i = 0; i < d; i++) {
            REAL x = x_[i], y;
            y = MAXIMUM(x, (REAL)0);
            y_[i] = y;
        }
    }
}

VALUE(Sigmoid)
{
    for (ptrdiff_t r = 0; r < n; r++) {
        REAL *x_ = (REAL *)p[2] + r * d, *y_ = (REAL *)p[3] + r * d;
        ADD_BIAS(x_)
        INDEPENDENT
        for (ptrdiff_t i = 0; i < d; i++) {
            REAL x = x_[i], y;
            y = (EXP(MINIMUM(x, (REAL)0)) / ((REAL)1 + EXP((-ABS(x)))));
            y_[i] = y;
        }
    }
}

VALUE(Tanh)
{
    for (ptrdiff_t r = 0; r < n; r++) {
        REAL *x_ = (REAL *)p[2] + r * d, *y_ = (REAL *)p[3] + r * d;
        ADD_BIAS(x_)
        INDEPENDENT
        for (ptrdiff_t i = 0; i < d; i++) {
            REAL x = x_[i], y;
            y = TANH(x);
            y_[i] = y;
        }
    }
}

VALUE(LeakyReLU)
{
    const REAL *S = p[0];
    const REAL S0 = S[0]; /* self.slope */
    for (ptrdiff_t r = 0; r < n; r++) {
        REAL *x_ = (REAL *)p[2] + r * d, *y_ = (REAL *)p[3] + r * d;
        ADD_BIAS(x_)
        INDEPENDENT
        for (ptrdiff_t i = 0; i < d; i++) {
            REAL x = x_[i], y;
            y = MAXIMUM(x, (S0 * x));
            y_[i] = y;
        }
    }
}

VALUE(ELU)
{
    const REAL *S = p[0];
    const REAL S0 = S[0]; /* self.scale * self.alpha */
    const REAL S1 = S[1]; /* self.scale */
    for (ptrdiff_t r = 0; r < n; r++) {
        REAL *x_ = (REAL *)p[2] + r * d, *y_ = (REAL *)p[3] + r * d;
        ADD_BIAS(x_)
        INDEPENDENT
        for (ptrdiff_t i = 0; i < d; i++) {
            REAL x = x_[i], y;
            const REAL below = (EXPM1(MINIMUM(x, (REAL)0)) * S0);
            y = ((MAXIMUM(x, (REAL)0) * S1) + below);
            y_[i] = y;
        }
    }
}

VALUE(SELU)
{
    const REAL *S = p[0];
    const REAL S0 = S[0]; /* self.scale * self.alpha */
    const REAL S1 = S[1]; /* self.scale */
    for (ptrdiff_t r = 0; r < n; r++) {
        REAL *x_ = (REAL *)p[2] + r * d, *y_ = (REAL *)p[3] + r * d;
        ADD_BIAS(x_)
        INDEPENDENT
        for (ptrdiff_t i = 0; i < d; i++) {
            REAL x = x_[i], y;
            const REAL below = (EXPM1(MINIMUM(x, (REAL)0)) * S0);
            y = ((MAXIMUM(x, (REAL)0) * S1) + below);
            y_[i] = y;
        }
    }
}

VALUE(GELU)
{
    const REAL *S = p[0];
    const REAL S0 = S[0]; /* math.sqrt(0.5) */
    for (ptrdiff_t r = 0; r < n; r++) {
        REAL *x_ = (REAL *)p[2] + r * d, *y_ = (REAL *)p[3] + r * d, *p_ = (REAL *)p[4] + r * d;
        ADD_BIAS(x_)
        INDEPENDENT
        for (ptrdiff_t i = 0; i < d; i++) {
            REAL x = x_[i], y, p;
            p = ((ERF((x * S0)) + (REAL)1) * (REAL)0.5);
            y = (x * p);
            y_[i] = y;
            p_[i] = p;
        }
    }
}

VALUE(SiLU)
{
    for (ptrdiff_t r = 0; r < n; r++) {
        REAL *x_ = (REAL *)p[2] + r * d, *y_ = (REAL *)p[3] + r * d, *s_ = (REAL *)p[4] + r * d;
        ADD_BIAS(x_)
        INDEPENDENT
        for (ptrdiff_t i = 0; i < d; i++) {
            REAL x = x_[i], y, s;
            s = (EXP(MINIMUM(x, (REAL)0)) / ((REAL)1 + EXP((-ABS(x)))));
            y = (x * s);
            y_[i] = y;
            s_[i] = s;
        }
    }
}

VALUE(Softplus)
{
    for (ptrdiff_t r = 0; r < n; r++) {
        REAL *x_ = (REAL *)p[2] + r * d, *y_ = (REAL *)p[3] + r * d;
        ADD_BIAS(x_)
        INDEPENDENT
        for (ptrdiff_t i = 0; i < d; i++) {
            REAL x = x_[i], y;
            y = (MAXIMUM(x, (REAL)0) + LOG1P(EXP((-ABS(x)))));
            y_[i] = y;
        }
    }
}

VALUE(Mish)
{
    for (ptrdiff_t r = 0; r < n; r++) {
        REAL *x_ = (REAL *)p[2] + r * d, *y_ = (REAL *)p[3] + r * d, *softplus_ = (REAL *)p[4] + r * d, *w_ = (REAL *)p[5] + r * d;
        ADD_BIAS(x_)
        INDEPENDENT
        for (ptrdiff_t i = 0; i < d; i++) {
            REAL x = x_[i], y, softplus, w;
            softplus = (MAXIMUM(x, (REAL)0) + LOG1P(EXP((-ABS(x)))));
            w = TANH(softplus);
            y = (x * w);
            y_[i] = y;
            softplus_[i] = softplus;
            w_[i] = w;
        }
    }
}
/* Written by `make loops` from the formulas of the package; do not edit.
*/

#ifndef DERIVATIVES
#define DERIVATIVES(X) \
    X(ReLU, "3aa003a966f7210a") \
    X(Sigmoid, "4ff25e2d49b2652f") \
    X(Tanh, "670b7d48f487f916") \
    X(LeakyReLU, "28b56184e934a5a4") \
    X(ELU, "b54ac83a59163c48") \
    X(SELU, "e158725bf0253ec3") \
    X(GELU, "9d2cd8df240e942d") \
    X(SiLU, "04882cc8453597e7") \
    X(Softplus, "2ed77e76ca871184") \
    X(Mish, "68848c9bc5f31c4b")
#endif

DERIVATIVE(ReLU)
{
    for (ptrdiff_t r = 0; r < n; r++) {
        REAL *dx_ = (REAL *)p[1] + r * d, *dout_ = (REAL *)p[2] + r * d, *x_ = (REAL *)p[3] + r * d;
        INDEPENDENT
        for (ptrdiff_t i = 0; i < d; i++) {
            REAL dout = dout_[i], x = x_[i], dx;
            dx = (dout * (x > (REAL)0));
            dx_[i] = dx;
        }
    }
}

DERIVATIVE(Sigmoid)
{
    for (ptrdiff_t r = 0; r < n; r++) {
        REAL *dx_ = (REAL *)p[1] + r * d, *dout_ = (REAL *)p[2] + r * d, *y_ = (REAL *)p[4] + r * d;
        INDEPENDENT
        for (ptrdiff_t i = 0; i < d; i++) {
            REAL dout = dout_[i], y = y_[i], dx;
            dx = ((((REAL)1 - y) * y) * dout);
            dx_[i] = dx;
        }
    }
}

DERIVATIVE(Tanh)
{
    for (ptrdiff_t r = 0; r < n; r++) {
        REAL *dx_ = (REAL *)p[1] + r * d, *dout_ = (REAL *)p[2] + r * d, *y_ = (REAL *)p[4] + r * d;
        INDEPENDENT
        for (ptrdiff_t i = 0; i < d; i++) {
            REAL dout = dout_[i], y = y_[i], dx;
            dx = (((REAL)1 - (y * y)) * dout);
            dx_[i] = dx;
        }
    }
}

DERIVATIVE(LeakyReLU)
{
    const REAL *S = p[0];
    const REAL S0 = S[0]; /* self.slope */
    for (ptrdiff_t r = 0; r < n; r++) {
        REAL *dx_ = (REAL *)p[1] + r * d, *dout_ = (REAL *)p[2] + r * d, *x_ = (REAL *)p[3] + r * d;
        INDEPENDENT
        for (ptrdiff_t i = 0; i < d; i++) {
            REAL dout = dout_[i], x = x_[i], dx;
            dx = WHERE((x > (REAL)0), dout, (S0 * dout));
            dx_[i] = dx;
        }
    }
}

DERIVATIVE(ELU)
{
    const REAL *S = p[0];
    const REAL S0 = S[0]; /* self.scale * self.alpha */
    const REAL S1 = S[1]; /* self.scale */
    for (ptrdiff_t r = 0; r < n; r++) {
        REAL *dx_ = (REAL *)p[1] + r * d, *dout_ = (REAL *)p[2] + r * d, *x_ = (REAL *)p[3] + r * d, *y_ = (REAL *)p[4] + r * d;
        INDEPENDENT
        for (ptrdiff_t i = 0; i < d; i++) {
            REAL dout = dout_[i], x = x_[i], y = y_[i], dx;
            const REAL below = (MINIMUM(y, (REAL)0) + S0);
            dx = (WHERE((x > (REAL)0), S1, below) * dout);
            dx_[i] = dx;
        }
    }
}

DERIVATIVE(SELU)
{
    const REAL *S = p[0];
    const REAL S0 = S[0]; /* self.scale * self.alpha */
    const REAL S1 = S[1]; /* self.scale */
    for (ptrdiff_t r = 0; r < n; r++) {
        REAL *dx_ = (REAL *)p[1] + r * d, *dout_ = (REAL *)p[2] + r * d, *x_ = (REAL *)p[3] + r * d, *y_ = (REAL *)p[4] + r * d;
        INDEPENDENT
        for (ptrdiff_t i = 0; i < d; i++) {
            REAL dout = dout_[i], x = x_[i], y = y_[i], dx;
            const REAL below = (MINIMUM(y, (REAL)0) + S0);
            dx = (WHERE((x > (REAL)0), S1, below) * dout);
            dx_[i] = dx;
        }
    }
}

DERIVATIVE(GELU)
{
    const REAL *S = p[0];
    const REAL S0 = S[0]; /* -40.0 */
    const REAL S1 = S[1]; /* -0.5 */
    const REAL S2 = S[2]; /* 1 / math.sqrt(2 * math.pi) */
    for (ptrdiff_t r = 0; r < n; r++) {
        REAL *dx_ = (REAL *)p[1] + r * d, *dout_ = (REAL *)p[2] + r * d, *x_ = (REAL *)p[3] + r * d, *p_ = (REAL *)p[5] + r * d;
        INDEPENDENT
        for (ptrdiff_t i = 0; i < d; i++) {
            REAL dout = dout_[i], x = x_[i], p = p_[i], dx;
            const REAL z = CLIP(x, S0, (REAL)40.0);
            const REAL density = (EXP(((z * z) * S1)) * S2);
            dx = (((density * x) + p) * dout);
            dx_[i] = dx;
        }
    }
}

DERIVATIVE(SiLU)
{
    for (ptrdiff_t r = 0; r < n; r++) {
        REAL *dx_ = (REAL *)p[1] + r * d, *dout_ = (REAL *)p[2] + r * d, *x_ = (REAL *)p[3] + r * d, *s_ = (REAL *)p[5] + r * d;
        INDEPENDENT
        for (ptrdiff_t i = 0; i < d; i++) {
            REAL dout = dout_[i], x = x_[i], s = s_[i], dx;
            dx = ((((((REAL)1 - s) * x) + (REAL)1) * s) * dout);
            dx_[i] = dx;
        }
    }
}

DERIVATIVE(Softplus)
{
    for (ptrdiff_t r = 0; r < n; r++) {
        REAL *dx_ = (REAL *)p[1] + r * d, *dout_ = (REAL *)p[2] + r * d, *y_ = (REAL *)p[4] + r * d;
        INDEPENDENT
        for (ptrdiff_t i = 0; i < d; i++) {
            REAL dout = dout_[i], y = y_[i], dx;
            dx = ((-EXPM1((-y))) * dout);
            dx_[i] = dx;
        }
    }
}

DERIVATIVE(Mish)
{
    for (ptrdiff_t r = 0; r < n; r++) {
        REAL *dx_ = (REAL *)p[1] + r * d, *dout_ = (REAL *)p[2] + r * d, *x_ = (REAL *)p[3] + r * d, *softplus_ = (REAL *)p[5] + r * d, *w_ = (REAL *)p[6] + r * d;
        INDEPENDENT
        for (ptrdiff_t i = 0; i < d; i++) {
            REAL dout = dout_[i], x = x_[i], softplus = softplus_[i], w = w_[i], dx;
            const REAL s = (-EXPM1((-softplus)));
            dx = ((w * dout) + ((((REAL)1 - (w * w)) * (x * dout)) * s));
            dx_[i] = dx;
        }
    }
}
