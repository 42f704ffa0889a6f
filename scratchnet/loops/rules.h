/* Written by `make loops` from the formulas of the package; do not edit.
   Without a loop:
   Adafactor: needs whole arrays
   Rprop: computes in float64 whatever its arrays are: np.where(agreement < 0, self.shrink, 1)
   LAMB: needs whole arrays
   LARS: needs whole arrays
   Muon: needs whole arrays
   SAM: has no loop for: self.inner.rule(w, g, *slots)
   Lookahead: does not name its slots
   EMA: does not name its slots
   LBFGS: has no loop for: raise ParameterError('lbfgs has no rule for single arrays; call update')
*/

#ifndef RULES
#define RULES(X) \
    X(SGD, "aa2a29ada53b3907") \
    X(Momentum, "5f6f5e7c2b75774b") \
    X(Nesterov, "eebfa3d5d539b796") \
    X(AdaGrad, "4008dfc3c68c8552") \
    X(RMSprop, "ec1276da73d37d61") \
    X(CenteredRMSprop, "fbd26c06b1bb1ea5") \
    X(AdaDelta, "1bdca720c93d5506") \
    X(Adam, "ed7b6cf4b630c068") \
    X(AMSGrad, "474f52dfdebd9b0e") \
    X(Adamax, "c81caa72f99eb902") \
    X(NAdam, "2f51d2da0efd9662") \
    X(RAdam, "9f86d506e07f90f1") \
    X(ASGD, "c9ec30ebf88c0f92") \
    X(Lion, "e0ea0d1316e58d32") \
    X(ScheduleFreeSGD, "74c516da7283c3a1") \
    X(ScheduleFreeAdamW, "0fc82620ad3aae53")
#endif

RULE(SGD)
{
    const REAL *S = p[0], *limits = p[1];
    const REAL S0 = S[0]; /* 1 - self.lr * self.weight_decay */
    const REAL S1 = S[1]; /* self.lr */
    REAL *w_ = p[2], *g_ = p[3];
    INDEPENDENT
    for (ptrdiff_t i = from; i < to; i++) {
        REAL w = w_[i], g = g_[i];
        g = CLIP(limits[0] * g, -limits[1], limits[1]);
        if (decays) {
            w = w * S0;
        }
        w = w - (S1 * g);
        w_[i] = w;
    }
}

RULE(Momentum)
{
    const REAL *S = p[0], *limits = p[1];
    const REAL S0 = S[0]; /* 1 - self.lr * self.weight_decay */
    const REAL S1 = S[1]; /* self.momentum */
    const REAL S2 = S[2]; /* self.lr */
    REAL *w_ = p[2], *g_ = p[3], *v_ = p[4];
    INDEPENDENT
    for (ptrdiff_t i = from; i < to; i++) {
        REAL w = w_[i], g = g_[i], v = v_[i];
        g = CLIP(limits[0] * g, -limits[1], limits[1]);
        if (decays) {
            w = w * S0;
        }
        v = v * S1;
        v = v - (S2 * g);
        w = w + v;
        w_[i] = w;
        v_[i] = v;
    }
}

RULE(Nesterov)
{
    const REAL *S = p[0], *limits = p[1];
    const REAL S0 = S[0]; /* 1 - self.lr * self.weight_decay */
    const REAL S1 = S[1]; /* self.momentum */
    const REAL S2 = S[2]; /* self.lr */
    REAL *w_ = p[2], *g_ = p[3], *v_ = p[4];
    INDEPENDENT
    for (ptrdiff_t i = from; i < to; i++) {
        REAL w = w_[i], g = g_[i], v = v_[i];
        g = CLIP(limits[0] * g, -limits[1], limits[1]);
        if (decays) {
            w = w * S0;
        }
        v = v * S1;
        v = v - (S2 * g);
        w = w + ((S1 * v) - (S2 * g));
        w_[i] = w;
        v_[i] = v;
    }
}

RULE(AdaGrad)
{
    const REAL *S = p[0], *limits = p[1];
    const REAL S0 = S[0]; /* 1 - self.lr * self.weight_decay */
    const REAL S1 = S[1]; /* self.lr */
    const REAL S2 = S[2]; /* self.eps */
    REAL *w_ = p[2], *g_ = p[3], *h_ = p[4];
    INDEPENDENT
    for (ptrdiff_t i = from; i < to; i++) {
        REAL w = w_[i], g = g_[i], h = h_[i];
        g = CLIP(limits[0] * g, -limits[1], limits[1]);
        if (decays) {
            w = w * S0;
        }
        h = h + (g * g);
        w = w - ((S1 * g) / (SQRT(h) + S2));
        w_[i] = w;
        h_[i] = h;
    }
}

RULE(RMSprop)
{
    const REAL *S = p[0], *limits = p[1];
    const REAL S0 = S[0]; /* 1 - self.lr * self.weight_decay */
    const REAL S1 = S[1]; /* self.decay */
    const REAL S2 = S[2]; /* 1 - self.decay */
    const REAL S3 = S[3]; /* self.lr */
    const REAL S4 = S[4]; /* self.eps */
    REAL *w_ = p[2], *g_ = p[3], *h_ = p[4];
    INDEPENDENT
    for (ptrdiff_t i = from; i < to; i++) {
        REAL w = w_[i], g = g_[i], h = h_[i];
        g = CLIP(limits[0] * g, -limits[1], limits[1]);
        if (decays) {
            w = w * S0;
        }
        h = h * S1;
        h = h + ((S2 * g) * g);
        w = w - ((S3 * g) / (SQRT(h) + S4));
        w_[i] = w;
        h_[i] = h;
    }
}

RULE(CenteredRMSprop)
{
    const REAL *S = p[0], *limits = p[1];
    const REAL S0 = S[0]; /* 1 - self.lr * self.weight_decay */
    const REAL S1 = S[1]; /* self.decay */
    const REAL S2 = S[2]; /* 1 - self.decay */
    const REAL S3 = S[3]; /* self.lr */
    const REAL S4 = S[4]; /* self.eps */
    REAL *w_ = p[2], *g_ = p[3], *h_ = p[4], *m_ = p[5];
    INDEPENDENT
    for (ptrdiff_t i = from; i < to; i++) {
        REAL w = w_[i], g = g_[i], h = h_[i], m = m_[i];
        g = CLIP(limits[0] * g, -limits[1], limits[1]);
        if (decays) {
            w = w * S0;
        }
        h = h * S1;
        h = h + ((S2 * g) * g);
        m = m * S1;
        m = m + (S2 * g);
        w = w - ((S3 * g) / (SQRT((h - (m * m))) + S4));
        w_[i] = w;
        h_[i] = h;
        m_[i] = m;
    }
}

RULE(AdaDelta)
{
    const REAL *S = p[0], *limits = p[1];
    const REAL S0 = S[0]; /* 1 - self.lr * self.weight_decay */
    const REAL S1 = S[1]; /* self.decay */
    const REAL S2 = S[2]; /* 1 - self.decay */
    const REAL S3 = S[3]; /* self.eps */
    const REAL S4 = S[4]; /* self.lr */
    REAL *w_ = p[2], *g_ = p[3], *h_ = p[4], *s_ = p[5];
    INDEPENDENT
    for (ptrdiff_t i = from; i < to; i++) {
        REAL w = w_[i], g = g_[i], h = h_[i], s = s_[i];
        g = CLIP(limits[0] * g, -limits[1], limits[1]);
        if (decays) {
            w = w * S0;
        }
        h = h * S1;
        h = h + ((S2 * g) * g);
        const REAL d = ((g * SQRT((s + S3))) / SQRT((h + S3)));
        s = s * S1;
        s = s + ((S2 * d) * d);
        w = w - (S4 * d);
        w_[i] = w;
        h_[i] = h;
        s_[i] = s;
    }
}

RULE(Adam)
{
    const REAL *S = p[0], *limits = p[1];
    const REAL S0 = S[0]; /* 1 - self.lr * self.weight_decay */
    const REAL S1 = S[1]; /* self.beta1 */
    const REAL S2 = S[2]; /* 1 - self.beta1 */
    const REAL S3 = S[3]; /* self.beta2 */
    const REAL S4 = S[4]; /* 1 - self.beta2 */
    const REAL S5 = S[5]; /* self.lr * c / (1 - self.beta1 ** t) */
    const REAL S6 = S[6]; /* c * self.eps */
    REAL *w_ = p[2], *g_ = p[3], *m_ = p[4], *v_ = p[5];
    INDEPENDENT
    for (ptrdiff_t i = from; i < to; i++) {
        REAL w = w_[i], g = g_[i], m = m_[i], v = v_[i];
        g = CLIP(limits[0] * g, -limits[1], limits[1]);
        if (decays) {
            w = w * S0;
        }
        m = m * S1;
        m = m + (S2 * g);
        v = v * S3;
        v = v + ((S4 * g) * g);
        w = w - ((S5 * m) / (SQRT(v) + S6));
        w_[i] = w;
        m_[i] = m;
        v_[i] = v;
    }
}

RULE(AMSGrad)
{
    const REAL *S = p[0], *limits = p[1];
    const REAL S0 = S[0]; /* 1 - self.lr * self.weight_decay */
    const REAL S1 = S[1]; /* self.beta1 */
    const REAL S2 = S[2]; /* 1 - self.beta1 */
    const REAL S3 = S[3]; /* self.beta2 */
    const REAL S4 = S[4]; /* 1 - self.beta2 */
    const REAL S5 = S[5]; /* 1 - self.beta2 ** t */
    const REAL S6 = S[6]; /* self.lr / (1 - self.beta1 ** t) */
    const REAL S7 = S[7]; /* self.eps */
    REAL *w_ = p[2], *g_ = p[3], *m_ = p[4], *v_ = p[5], *u_ = p[6];
    INDEPENDENT
    for (ptrdiff_t i = from; i < to; i++) {
        REAL w = w_[i], g = g_[i], m = m_[i], v = v_[i], u = u_[i];
        g = CLIP(limits[0] * g, -limits[1], limits[1]);
        if (decays) {
            w = w * S0;
        }
        m = m * S1;
        m = m + (S2 * g);
        v = v * S3;
        v = v + ((S4 * g) * g);
        u = MAXIMUM(u, v);
        const REAL u_hat = (u / S5);
        w = w - ((S6 * m) / (SQRT(u_hat) + S7));
        w_[i] = w;
        m_[i] = m;
        v_[i] = v;
        u_[i] = u;
    }
}

RULE(Adamax)
{
    const REAL *S = p[0], *limits = p[1];
    const REAL S0 = S[0]; /* 1 - self.lr * self.weight_decay */
    const REAL S1 = S[1]; /* self.beta1 */
    const REAL S2 = S[2]; /* 1 - self.beta1 */
    const REAL S3 = S[3]; /* self.beta2 */
    const REAL S4 = S[4]; /* self.eps */
    const REAL S5 = S[5]; /* self.lr / (1 - self.beta1 ** self.step) */
    REAL *w_ = p[2], *g_ = p[3], *m_ = p[4], *u_ = p[5];
    INDEPENDENT
    for (ptrdiff_t i = from; i < to; i++) {
        REAL w = w_[i], g = g_[i], m = m_[i], u = u_[i];
        g = CLIP(limits[0] * g, -limits[1], limits[1]);
        if (decays) {
            w = w * S0;
        }
        m = m * S1;
        m = m + (S2 * g);
        u = u * S3;
        u = MAXIMUM(u, (ABS(g) + S4));
        w = w - ((S5 * m) / u);
        w_[i] = w;
        m_[i] = m;
        u_[i] = u;
    }
}

RULE(NAdam)
{
    const REAL *S = p[0], *limits = p[1];
    const REAL S0 = S[0]; /* 1 - self.lr * self.weight_decay */
    const REAL S1 = S[1]; /* self.beta1 */
    const REAL S2 = S[2]; /* 1 - self.beta1 */
    const REAL S3 = S[3]; /* self.beta2 */
    const REAL S4 = S[4]; /* 1 - self.beta2 */
    const REAL S5 = S[5]; /* 1 - self.beta2 ** t */
    const REAL S6 = S[6]; /* self.eps */
    const REAL S7 = S[7]; /* self.lr * (1 - self.mu(t)) / (1 - self.product) */
    const REAL S8 = S[8]; /* self.lr * ahead / (1 - self.product * ahead) */
    REAL *w_ = p[2], *g_ = p[3], *m_ = p[4], *v_ = p[5];
    INDEPENDENT
    for (ptrdiff_t i = from; i < to; i++) {
        REAL w = w_[i], g = g_[i], m = m_[i], v = v_[i];
        g = CLIP(limits[0] * g, -limits[1], limits[1]);
        if (decays) {
            w = w * S0;
        }
        m = m * S1;
        m = m + (S2 * g);
        v = v * S3;
        v = v + ((S4 * g) * g);
        const REAL root = (SQRT((v / S5)) + S6);
        w = w - ((S7 * g) / root);
        w = w - ((S8 * m) / root);
        w_[i] = w;
        m_[i] = m;
        v_[i] = v;
    }
}

RULE(RAdam)
{
    const REAL *S = p[0], *limits = p[1];
    const REAL S0 = S[0]; /* 1 - self.lr * self.weight_decay */
    const REAL S1 = S[1]; /* self.beta1 */
    const REAL S2 = S[2]; /* 1 - self.beta1 */
    const REAL S3 = S[3]; /* self.beta2 */
    const REAL S4 = S[4]; /* 1 - self.beta2 */
    const REAL S5 = S[5]; /* float(rho_t > 5) */
    const REAL S6 = S[6]; /* (lr * r * math.sqrt(1 - self.beta2 ** t)) if rho_t > 5 else 0.0 */
    const REAL S7 = S[7]; /* (self.eps) if rho_t > 5 else 0.0 */
    const REAL S8 = S[8]; /* (lr) if not (rho_t > 5) else 0.0 */
    REAL *w_ = p[2], *g_ = p[3], *m_ = p[4], *v_ = p[5];
    INDEPENDENT
    for (ptrdiff_t i = from; i < to; i++) {
        REAL w = w_[i], g = g_[i], m = m_[i], v = v_[i];
        g = CLIP(limits[0] * g, -limits[1], limits[1]);
        if (decays) {
            w = w * S0;
        }
        m = m * S1;
        m = m + (S2 * g);
        v = v * S3;
        v = v + ((S4 * g) * g);
        if (S5) {
            w = w - ((S6 * m) / (SQRT(v) + S7));
        } else {
            w = w - (S8 * m);
        }
        w_[i] = w;
        m_[i] = m;
        v_[i] = v;
    }
}

RULE(ASGD)
{
    const REAL *S = p[0], *limits = p[1];
    const REAL S0 = S[0]; /* 1 - self.lr * self.weight_decay */
    const REAL S1 = S[1]; /* 1 - self.decay * eta */
    const REAL S2 = S[2]; /* eta */
    const REAL S3 = S[3]; /* max(1, t - 1 - self.start) */
    REAL *w_ = p[2], *g_ = p[3], *a_ = p[4];
    INDEPENDENT
    for (ptrdiff_t i = from; i < to; i++) {
        REAL w = w_[i], g = g_[i], a = a_[i];
        g = CLIP(limits[0] * g, -limits[1], limits[1]);
        if (decays) {
            w = w * S0;
        }
        w = w * S1;
        w = w - (S2 * g);
        a = a + ((w - a) / S3);
        w_[i] = w;
        a_[i] = a;
    }
}

RULE(Lion)
{
    const REAL *S = p[0], *limits = p[1];
    const REAL S0 = S[0]; /* 1 - self.lr * self.weight_decay */
    const REAL S1 = S[1]; /* self.lr */
    const REAL S2 = S[2]; /* self.beta1 */
    const REAL S3 = S[3]; /* 1 - self.beta1 */
    const REAL S4 = S[4]; /* self.beta2 */
    const REAL S5 = S[5]; /* 1 - self.beta2 */
    REAL *w_ = p[2], *g_ = p[3], *m_ = p[4];
    INDEPENDENT
    for (ptrdiff_t i = from; i < to; i++) {
        REAL w = w_[i], g = g_[i], m = m_[i];
        g = CLIP(limits[0] * g, -limits[1], limits[1]);
        if (decays) {
            w = w * S0;
        }
        w = w - (S1 * SIGN(((S2 * m) + (S3 * g))));
        m = m * S4;
        m = m + (S5 * g);
        w_[i] = w;
        m_[i] = m;
    }
}

RULE(ScheduleFreeSGD)
{
    const REAL *S = p[0], *limits = p[1];
    const REAL S0 = S[0]; /* self.lr * self.weight_decay */
    const REAL S1 = S[1]; /* 1 - self.lr * (1 - self.momentum) * self.weight_decay */
    const REAL S2 = S[2]; /* self.lr */
    const REAL S3 = S[3]; /* self.lr * (1 - self.momentum) */
    const REAL S4 = S[4]; /* self.c */
    REAL *w_ = p[2], *g_ = p[3], *z_ = p[4];
    INDEPENDENT
    for (ptrdiff_t i = from; i < to; i++) {
        REAL w = w_[i], g = g_[i], z = z_[i];
        g = CLIP(limits[0] * g, -limits[1], limits[1]);
        if (decays) {
            z = z - (S0 * w);
            w = w * S1;
        }
        z = z - (S2 * g);
        w = w - (S3 * g);
        w = w + (S4 * (z - w));
        w_[i] = w;
        z_[i] = z;
    }
}

RULE(ScheduleFreeAdamW)
{
    const REAL *S = p[0], *limits = p[1];
    const REAL S0 = S[0]; /* self.lr * self.weight_decay */
    const REAL S1 = S[1]; /* 1 - self.lr * (1 - self.momentum) * self.weight_decay */
    const REAL S2 = S[2]; /* self.beta2 */
    const REAL S3 = S[3]; /* 1 - self.beta2 */
    const REAL S4 = S[4]; /* 1 - self.beta2 ** self.step */
    const REAL S5 = S[5]; /* self.eps */
    const REAL S6 = S[6]; /* self.lr */
    const REAL S7 = S[7]; /* self.lr * (1 - self.momentum) */
    const REAL S8 = S[8]; /* self.c */
    REAL *w_ = p[2], *g_ = p[3], *z_ = p[4], *v_ = p[5];
    INDEPENDENT
    for (ptrdiff_t i = from; i < to; i++) {
        REAL w = w_[i], g = g_[i], z = z_[i], v = v_[i];
        g = CLIP(limits[0] * g, -limits[1], limits[1]);
        if (decays) {
            z = z - (S0 * w);
            w = w * S1;
        }
        v = v * S2;
        v = v + ((S3 * g) * g);
        const REAL v_hat = (v / S4);
        const REAL given = (g / (SQRT(v_hat) + S5));
        z = z - (S6 * given);
        w = w - (S7 * given);
        w = w + (S8 * (z - w));
        w_[i] = w;
        z_[i] = z;
        v_[i] = v;
    }
}
