/* All loops for one precision, and the end of its names: level.h includes it for each. */

#include "kernels.h"

#include "activations.h"
#include "rules.h"

#undef PRECISION
#undef REAL
#undef BITS
#undef SQRT
#undef ABS
#undef ERF
#undef FRACTION
#undef BIAS
#undef ROUNDS
#undef ROUNDS_BITS
#undef LOWEST
#undef HIGHEST
#undef LOG2_HIGH
#undef LOG2_LOW
#undef TERMS
#undef GATHER
