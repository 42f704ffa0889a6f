/* The compiled loops, and programs of them: what one would rather not write in C is not here.

   `scratchnet.loops` describes how they are used. The formulas are in rules.h, which is written from
   the rules of the optimizers, and in kernels.h. This file chooses the instruction set, takes arrays
   from Python, and runs programs: lists of loops and calls that make many steps of training, with
   nothing of Python between them but the products of NumPy. */

#ifndef Py_LIMITED_API
#define Py_LIMITED_API 0x030B0000 /* one file for Python 3.11 and all that come after it */
#endif
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#ifdef _MSC_VER
#include <windows.h>
#define restrict __restrict
#define ALWAYS_INLINE __forceinline
#define PREFETCH(at) ((void)(at))
#define YIELD() SwitchToThread()
#define REST() Sleep(1)
typedef volatile long long counter;
#define READ(c) InterlockedOr64(c, 0)
#define WRITE(c, n) InterlockedExchange64(c, n)
#define ADD(c, n) InterlockedExchangeAdd64(c, n)
#define SWAP(c, old, new) (InterlockedCompareExchange64(c, new, old) == (old))
#else
#include <sched.h>
#include <stdatomic.h>
#include <time.h>
#define ALWAYS_INLINE inline __attribute__((always_inline))
#define PREFETCH(at) __builtin_prefetch(at)
#define YIELD() sched_yield()
#define REST() nanosleep(&(struct timespec){0, 200000}, NULL)
typedef _Atomic long long counter;
#define READ(c) atomic_load(c)
#define WRITE(c, n) atomic_store(c, n)
#define ADD(c, n) atomic_fetch_add(c, n)
#define SWAP(c, old, new) atomic_compare_exchange_strong(c, &(long long){old}, new)
#endif

/* Seconds on a clock that only goes forward. */
static double now(void)
{
#ifdef _WIN32
    LARGE_INTEGER count, a_second;
    QueryPerformanceCounter(&count);
    QueryPerformanceFrequency(&a_second);
    return (double)count.QuadPart / (double)a_second.QuadPart;
#else
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
#endif
}

/* In front of a loop in which no turn reads what another one writes; of a short one of constants. */
#if defined(__clang__)
#define UNROLLED _Pragma("clang loop unroll(full)")
#define INDEPENDENT _Pragma("clang loop vectorize(assume_safety)")
#elif defined(__GNUC__)
#define INDEPENDENT _Pragma("GCC ivdep")
#define UNROLLED _Pragma("GCC unroll 32")
#elif defined(_MSC_VER)
#define INDEPENDENT __pragma(loop(ivdep))
#define UNROLLED
#else
#define INDEPENDENT
#define UNROLLED
#endif

/* NumPy's functions of single values, by the names that the rules have for them. */
#define MAXIMUM(a, b) ((a) < (b) ? (b) : (b) != (b) ? (b) : (a))
#define MINIMUM(a, b) ((a) > (b) ? (b) : (b) != (b) ? (b) : (a))
#define CLIP(a, low, high) ((a) < (low) ? (low) : (a) > (high) ? (high) : (a)) /* of bounds that are numbers */
#define SIGN(a) ((a) > 0 ? 1 : (a) < 0 ? -1 : (a))
#define WHERE(condition, a, b) ((condition) ? (a) : (b))

typedef void kernel(void *const *p, ptrdiff_t n, ptrdiff_t d);

/* Name, and a letter for each array: r and w are REAL, i and o are int64, f is float, d and e are
   double, b is bytes; w, o and e are written, all others only read. */
#define KERNELS(X)             \
    X(gather_uint8, "birw")    \
    X(gather_float32, "firw")  \
    X(gather_float64, "dirw")  \
    X(take, "iio")             \
    X(add_bias, "wr")          \
    X(column_sums, "rw")       \
    X(add_scaled, "wrr")       \
    X(sum_squares, "rw")       \
    X(softmax, "rwowe")        \
    X(cross_entropy, "rirdieoe") \
    X(softmax_grad, "rirw")    \
    X(weighted_grad, "ridw")   \
    X(weigh, "dide")           \
    X(keep, "de")              \
    X(check, "rdo")            \
    X(max_pool, "riw")         \
    X(max_pool_back, "rrriww") \
    X(clip_scale, "rdw")

#define LEVEL baseline
#define TARGET
#include "level.h"

#if (defined(__x86_64__) || defined(__i386__)) && defined(__GNUC__)
#define LEVEL avx2
#define TARGET __attribute__((target("avx2")))
#include "level.h"
#define LEVEL avx512
#define TARGET __attribute__((target("avx512f,avx512vl,avx512dq,avx512bw")))
#include "level.h"
#endif

#define NAME(name, arguments) {#name, arguments},
#define VALUE_NAMES(name, digest) {digest, "rrrwwwww"}, {"biased " digest, "rrwwwwww"},
#define DERIVATIVE_NAME(name, digest) {digest, "rwrrrrrr"},
#define RULE_NAME(name, digest) {digest, "rrwrwwww"},
static const struct { const char *name, *arguments; } TABLE[] = {
    KERNELS(NAME) VALUES(VALUE_NAMES) DERIVATIVES(DERIVATIVE_NAME) RULES(RULE_NAME)};
#define ONE(name, digest) +1
enum { LOOPS = sizeof TABLE / sizeof *TABLE, FIRST_RULE = LOOPS - (0 RULES(ONE)), ARRAYS = 8 };

static const char *level = "baseline";
static kernel *const *loops = loops_of_baseline;

/* Use the loops of the instruction set `wanted`, or without one the best that there is. */
static int choose_level(const char *wanted)
{
    level = "baseline", loops = loops_of_baseline;
#if (defined(__x86_64__) || defined(__i386__)) && defined(__GNUC__)
    __builtin_cpu_init();
    const int avx2 = __builtin_cpu_supports("avx2");
    const int avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl")
        && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw");
    if (avx2 && (!wanted || !strcmp(wanted, "avx2")))
        level = "avx2", loops = loops_of_avx2;
    if (avx512 && (!wanted || !strcmp(wanted, "avx512")))
        level = "avx512", loops = loops_of_avx512;
#endif
    return !wanted || !strcmp(wanted, level);
}

static PyObject *py_level(PyObject *self, PyObject *const *args, Py_ssize_t n)
{
    const char *wanted = n ? PyUnicode_AsUTF8AndSize(args[0], NULL) : NULL;
    (void)self;
    if (n && !wanted)
        return NULL;
    if (n && !choose_level(wanted))
        return PyErr_Format(PyExc_ValueError, "this processor or build has no loops for %s", wanted);
    return PyUnicode_FromString(level);
}

/* ---- one loop ---- */

/* The memory of an array, if it is of the type that the letter says, and in one piece: else 0. */
static int take_buffer(PyObject *array, char letter, int doubles, Py_buffer *taken)
{
    const int writes = strchr("woe", letter) != NULL;
    if (PyObject_GetBuffer(array, taken, PyBUF_C_CONTIGUOUS | PyBUF_FORMAT | writes * PyBUF_WRITABLE)) {
        PyErr_Clear();
        return 0;
    }
    const char *types = strchr("rw", letter) ? (doubles ? "d" : "f")
        : strchr("io", letter) ? (sizeof(long) == 8 ? "lq" : "q")
        : letter == 'b' ? "B" : letter == 'f' ? "f" : "d";
    if (taken->format && taken->format[0] && !taken->format[1] && strchr(types, taken->format[0]))
        return 1;
    PyBuffer_Release(taken);
    return 0;
}

static void release(Py_buffer *taken, int count)
{
    while (count--)
        PyBuffer_Release(&taken[count]);
}

/* Whether w, g and the slots of a rule lie apart from each other, as its loop takes for granted. */
static int lie_apart(const Py_buffer *taken, int count)
{
    for (int i = 2; i < count; i++)
        for (int k = 2; k < i; k++) {
            const char *a = taken[i].buf, *b = taken[k].buf;
            if (a < b + taken[k].len && b < a + taken[i].len)
                return 0;
        }
    return 1;
}

/* The number of a loop in TABLE from its code, 2 k for float32 and 2 k + 1 for float64; or -1. */
static long loop_number(PyObject *code, Py_ssize_t arrays)
{
    const long k = PyLong_AsLong(code);
    if (k == -1 && PyErr_Occurred())
        return -1;
    if (k < 0 || k >= 2 * LOOPS || arrays < 1 || arrays > (long)strlen(TABLE[k / 2].arguments)
        || arrays > ARRAYS) {
        PyErr_SetString(PyExc_ValueError, "no such loop, or not for so many arrays");
        return -1;
    }
    return k;
}

/* call(code, n, d, *arrays): one loop; False, and nothing done, if the arrays are not of the types
   that it takes, or not in one piece. */
static PyObject *py_call(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    Py_buffer taken[ARRAYS];
    void *p[ARRAYS];
    int k = 0;
    (void)self;
    if (count < 4)
        return PyErr_Format(PyExc_TypeError, "call(code, n, d, *arrays)");
    const long code = loop_number(args[0], count - 3);
    const Py_ssize_t n = PyLong_AsSsize_t(args[1]), d = PyLong_AsSsize_t(args[2]);
    if (PyErr_Occurred())
        return NULL;
    for (; k < count - 3; k++) {
        if (!take_buffer(args[k + 3], TABLE[code / 2].arguments[k], code % 2, &taken[k]))
            break;
        p[k] = taken[k].buf;
    }
    const int fits = k == count - 3 && (code / 2 < FIRST_RULE || lie_apart(taken, k));
    if (fits) {
        Py_BEGIN_ALLOW_THREADS
        loops[code](p, n, d);
        Py_END_ALLOW_THREADS
    }
    release(taken, k);
    return PyBool_FromLong(fits);
}

/* ---- programs ---- */

/* Products are NumPy's own: the loop of `numpy.matmul` for one type, which takes pointers, sizes and
   strides, and needs nothing of Python. What we read of a ufunc is in NumPy's documentation of its C
   interface, under PyUFuncObject; `py_use_matmul` compares it with what Python says. */
typedef void matmul_loop(char **p, const ptrdiff_t *sizes, const ptrdiff_t *strides, void *data);
typedef struct {
    PyObject_HEAD
    int nin, nout, nargs, identity;
    matmul_loop **functions;
    void *const *data;
    int ntypes, reserved;
    const char *name, *types;
} ufunc;
static struct { matmul_loop *run; void *data; } matmul[2]; /* of float32 and of float64 */

/* Whether the int of a ufunc is what its attribute says. */
static int agrees(PyObject *given, const char *name, int is)
{
    PyObject *attribute = PyObject_GetAttrString(given, name);
    const long says = attribute ? PyLong_AsLong(attribute) : -1;
    Py_XDECREF(attribute);
    PyErr_Clear();
    return says == is;
}

/* use_matmul(ufunc): take the loops of numpy.matmul into use; False if they are not what we know. */
static PyObject *py_use_matmul(PyObject *self, PyObject *given)
{
    const ufunc *made = (const ufunc *)given;
    enum { FLOAT = 11, DOUBLE = 12 }; /* NumPy's numbers of the types */
    (void)self;
    if (!agrees(given, "nin", made->nin) || !agrees(given, "nout", made->nout)
        || !agrees(given, "nargs", made->nargs) || !agrees(given, "ntypes", made->ntypes)
        || made->nargs != 3)
        Py_RETURN_FALSE;
    for (int k = 0; k < made->ntypes; k++) {
        const char *types = made->types + 3 * k;
        const int precision = types[0] == FLOAT ? 0 : types[0] == DOUBLE ? 1 : -1;
        if (precision < 0 || types[1] != types[0] || types[2] != types[0])
            continue;
        matmul[precision].run = made->functions[k];
        matmul[precision].data = made->data ? made->data[k] : NULL;
    }
    return PyBool_FromLong(matmul[0].run && matmul[1].run);
}

enum kind { LOOP, PRODUCT, CALL, STOP };

/* What is done at one place of a step. An array moves on by `stride` bytes each step. */
typedef struct {
    enum kind kind;
    kernel *run;
    ptrdiff_t n, d;
    int count;
    Py_buffer taken[ARRAYS];
    ptrdiff_t stride[ARRAYS];
    ptrdiff_t sizes[4], strides[9]; /* of a PRODUCT, as numpy.matmul has them */
    PyObject *function, *arguments; /* of a CALL */
} instruction;

/* A step has phases, one after the other; a phase has parts, which any thread may do, at the same
   time. Who does a part changes no bit of it. The first thread leads: it opens a phase, takes parts
   like all others, and waits for those that others have taken. */
typedef struct {
    int phases, parts;
    Py_ssize_t *length; /* of each part of each phase */
    instruction **code;
    counter call; /* how often the first thread has begun */
    counter open; /* 256 times the number of the phase, plus the next part of it; -1 at the end */
    counter done; /* parts of this phase */
    counter failed, stopped;
    double alone_until; /* on the clock of `now` */
    int patience; /* how many times as long as was lost the first thread then works alone */
} program;

/* One part: 1, 0 if it came to a STOP that ended the call, -1 on an error of Python. */
static int run_part(program *self, Py_ssize_t step, Py_ssize_t part, PyThreadState **state)
{
    for (Py_ssize_t i = 0; i < self->length[part]; i++) {
        instruction *at = &self->code[part][i];
        void *p[ARRAYS];
        PyObject *result;
        for (int k = 0; k < at->count; k++)
            p[k] = (char *)at->taken[k].buf + step * at->stride[k];
        switch (at->kind) {
        case LOOP:
            at->run(p, at->n, at->d);
            break;
        case PRODUCT:
            matmul[at->d].run((char **)p, at->sizes, at->strides, matmul[at->d].data);
            break;
        case CALL:
            PyEval_RestoreThread(*state);
            result = PyObject_Call(at->function, at->arguments, NULL);
            Py_XDECREF(result);
            *state = PyEval_SaveThread();
            if (!result)
                return -1;
            break;
        case STOP:
            if (!*(const int64_t *)p[0])
                return 0;
        }
    }
    return 1;
}

/* Take a part of the open phase, if one is left, and do it: 1 if so, 0 if not, -1 on an error. */
static int take_part(program *self, PyThreadState **state)
{
    long long open;
    do { /* again if another thread was quicker */
        open = READ(&self->open);
        if (open < 0 || open % 256 >= self->parts)
            return 0;
    } while (!SWAP(&self->open, open, open + 1));
    const Py_ssize_t step = (Py_ssize_t)(open / 256) / self->phases;
    const Py_ssize_t phase = (Py_ssize_t)(open / 256) % self->phases;
    const int more = run_part(self, step, phase * self->parts + open % 256, state);
    if (more < 0)
        WRITE(&self->failed, 1);
    if (more == 0)
        WRITE(&self->stopped, 1);
    ADD(&self->done, 1);
    return more < 0 ? -1 : 1;
}

/* Help the thread that leads, in its call of this number, until it is at the end. Who has nothing to
   do yields, and rests after a while: so a busy machine loses nothing by it. */
static int help(program *self, long long call, PyThreadState **state)
{
    for (int idle = 0; READ(&self->call) < call || READ(&self->open) >= 0; idle++) {
        const int taken = take_part(self, state);
        if (taken < 0)
            return -1;
        if (taken)
            idle = 0;
        else if (idle > 3000)
            REST();
        else if (idle > 2000)
            YIELD();
    }
    return 0;
}

/* Do all parts of one phase: 1, 0 if it came to a STOP, -1 on an error.
   Another thread may lose its processor in the middle of a part, and this one its time. It then does
   everything alone for four times as long, and twice that each time it happens again soon, up to 64
   times: so a busy machine costs little, and a single disturbance not much more than itself. */
static int lead(program *self, long long phase, PyThreadState **state)
{
    int taken = 1;
    WRITE(&self->done, 0);
    if (self->alone_until > 0 && now() < self->alone_until) {
        const Py_ssize_t step = (Py_ssize_t)(phase / self->phases);
        const Py_ssize_t first = (Py_ssize_t)(phase % self->phases) * self->parts;
        for (int part = 0; taken == 1 && part < self->parts; part++)
            taken = run_part(self, step, first + part, state);
        return taken;
    }
    const double begun = now();
    WRITE(&self->open, 256 * phase);
    while (taken == 1)
        taken = take_part(self, state);
    const double worked = now() - begun;
    for (int turns = 0; taken == 0 && READ(&self->done) < self->parts; turns++)
        if (turns > 2000)
            YIELD();
    const double lost = now() - begun - worked;
    if (lost > worked + 1e-3) {
        const int soon = begun - self->alone_until < 20 * lost;
        self->patience = !soon ? 4 : self->patience < 64 ? 2 * self->patience : 64;
        self->alone_until = now() + self->patience * lost;
    }
    return taken < 0 || READ(&self->failed) ? -1 : !READ(&self->stopped);
}

static const char *CAPSULE = "scratchnet program";

/* run(program, thread, steps, call): thread 0 leads through so many steps, all others help it; all
   of them say which of its calls this is. Errors leave what has been done as it is. */
static PyObject *py_run(PyObject *self, PyObject *args)
{
    PyObject *capsule;
    int thread, more = 1;
    long long steps, call;
    (void)self;
    if (!PyArg_ParseTuple(args, "OiLL", &capsule, &thread, &steps, &call))
        return NULL;
    program *made = PyCapsule_GetPointer(capsule, CAPSULE);
    if (!made)
        return NULL;
    PyThreadState *state = PyEval_SaveThread();
    if (thread) {
        more = help(made, call, &state);
    } else {
        WRITE(&made->stopped, 0);
        WRITE(&made->failed, 0);
        WRITE(&made->open, 255); /* nothing to take yet */
        WRITE(&made->call, call);
        for (long long phase = 0; more == 1 && phase < steps * made->phases; phase++)
            more = lead(made, phase, &state);
        WRITE(&made->open, -1);
    }
    PyEval_RestoreThread(state);
    if (more < 0 && !PyErr_Occurred())
        PyErr_SetString(PyExc_RuntimeError, "another thread of the program has failed");
    return more < 0 ? NULL : Py_NewRef(Py_None);
}

static void free_program(program *self)
{
    for (int k = 0; self->code && self->length && k < self->phases * self->parts; k++) {
        for (Py_ssize_t i = 0; i < self->length[k]; i++) {
            instruction *at = &self->code[k][i];
            release(at->taken, at->count);
            Py_XDECREF(at->function);
            Py_XDECREF(at->arguments);
        }
        free(self->code[k]);
    }
    free(self->code);
    free(self->length);
    free(self);
}

static void free_capsule(PyObject *capsule)
{
    free_program(PyCapsule_GetPointer(capsule, CAPSULE));
}

/* ("product", x, w, y): matrices of one precision, in any strides. */
static int read_product(PyObject *given, instruction *at)
{
    at->kind = PRODUCT;
    at->sizes[0] = 1;
    for (int k = 0; k < 3; k++) {
        Py_buffer *taken = &at->taken[k];
        const int wanted = PyBUF_STRIDES | PyBUF_FORMAT | (k == 2) * PyBUF_WRITABLE;
        if (PyObject_GetBuffer(PyTuple_GetItem(given, k + 1), taken, wanted))
            return -1;
        at->count = k + 1;
        at->d = taken->format && taken->format[0] == 'd';
        if (taken->ndim != 2 || !taken->format || strcmp(taken->format, at->d ? "d" : "f")
            || strcmp(taken->format, at->taken[0].format)) {
            PyErr_SetString(PyExc_ValueError, "a product takes matrices of one precision");
            return -1;
        }
        at->strides[2 * k + 3] = taken->strides[0];
        at->strides[2 * k + 4] = taken->strides[1];
    }
    const Py_ssize_t *x = at->taken[0].shape, *w = at->taken[1].shape, *y = at->taken[2].shape;
    if (x[1] != w[0] || y[0] != x[0] || y[1] != w[1] || !matmul[at->d].run) {
        PyErr_SetString(PyExc_ValueError, "a product of other shapes, or without numpy.matmul");
        return -1;
    }
    at->sizes[1] = x[0], at->sizes[2] = x[1], at->sizes[3] = w[1];
    return 0;
}

/* ("loop", code, n, d, (array, stride), ...), ("product", x, w, y), ("call", function, arguments),
   or ("stop", (flag, stride)): 0, or -1 on an error. */
static int read_instruction(PyObject *given, instruction *at)
{
    const Py_ssize_t size = PyTuple_Check(given) ? PyTuple_Size(given) : 0;
    const char *word = size ? PyUnicode_AsUTF8AndSize(PyTuple_GetItem(given, 0), NULL) : NULL;
    long code = 0;
    Py_ssize_t first;
    if (word && !strcmp(word, "product") && size == 4)
        return read_product(given, at);
    if (word && !strcmp(word, "call") && size == 3) {
        at->kind = CALL;
        at->function = Py_NewRef(PyTuple_GetItem(given, 1));
        at->arguments = Py_NewRef(PyTuple_GetItem(given, 2));
        return 0;
    }
    if (word && !strcmp(word, "stop") && size == 2) {
        at->kind = STOP;
        first = 1;
    } else if (word && !strcmp(word, "loop") && size > 4) {
        at->kind = LOOP;
        first = 4;
        code = loop_number(PyTuple_GetItem(given, 1), size - first);
        if (code < 0)
            return -1;
        at->run = loops[code];
        at->n = PyLong_AsSsize_t(PyTuple_GetItem(given, 2));
        at->d = PyLong_AsSsize_t(PyTuple_GetItem(given, 3));
    } else {
        PyErr_SetString(PyExc_ValueError, "no such instruction");
        return -1;
    }
    for (Py_ssize_t i = first; i < size && !PyErr_Occurred(); i++) {
        PyObject *array;
        const int k = (int)(i - first);
        const char letter = at->kind == STOP ? 'i' : TABLE[code / 2].arguments[k];
        PyObject *pair = PyTuple_GetItem(given, i);
        if (!PyTuple_Check(pair) || !PyArg_ParseTuple(pair, "On", &array, &at->stride[k])) {
            PyErr_SetString(PyExc_TypeError, "an instruction takes pairs (array, stride)");
            return -1;
        }
        if (!take_buffer(array, letter, code % 2, &at->taken[k])) {
            PyErr_Format(PyExc_ValueError, "array %d of a loop is of another type, or in pieces", k);
            return -1;
        }
        at->count = k + 1;
    }
    return PyErr_Occurred() ? -1 : 0;
}

/* program(phases): a program, from a list of phases, each a list of as many parts, each a list of
   instructions. */
static PyObject *py_program(PyObject *self, PyObject *given)
{
    (void)self;
    const Py_ssize_t phases = PyList_Check(given) ? PyList_Size(given) : 0;
    PyObject *first = phases ? PyList_GetItem(given, 0) : NULL;
    const Py_ssize_t parts = first && PyList_Check(first) ? PyList_Size(first) : 0;
    if (parts < 1 || parts > 254)
        return PyErr_Format(PyExc_ValueError, "program([[[instruction, ...], ...], ...])");
    program *made = calloc(1, sizeof *made);
    if (!made)
        return PyErr_NoMemory();
    made->phases = (int)phases;
    made->parts = (int)parts;
    made->open = -1;
    made->length = calloc((size_t)(phases * parts), sizeof *made->length);
    made->code = calloc((size_t)(phases * parts), sizeof *made->code);
    if (!made->length || !made->code)
        PyErr_NoMemory();
    for (Py_ssize_t k = 0; !PyErr_Occurred() && k < phases * parts; k++) {
        PyObject *phase = PyList_GetItem(given, k / parts);
        if (!PyList_Check(phase) || PyList_Size(phase) != parts) {
            PyErr_SetString(PyExc_ValueError, "all phases of a program have as many parts");
            break;
        }
        PyObject *part = PyList_GetItem(phase, k % parts);
        if (!PyList_Check(part)) {
            PyErr_SetString(PyExc_TypeError, "a part of a program is a list of instructions");
            break;
        }
        const Py_ssize_t length = PyList_Size(part);
        made->code[k] = calloc((size_t)length + 1, sizeof **made->code);
        if (!made->code[k])
            PyErr_NoMemory();
        for (Py_ssize_t i = 0; !PyErr_Occurred() && i < length; i++) {
            made->length[k] = i + 1;
            read_instruction(PyList_GetItem(part, i), &made->code[k][i]);
        }
    }
    PyObject *capsule = PyErr_Occurred() ? NULL : PyCapsule_New(made, CAPSULE, free_capsule);
    if (!capsule)
        free_program(made);
    return capsule;
}

static PyMethodDef methods[] = {
    {"call", (PyCFunction)(void (*)(void))py_call, METH_FASTCALL, "call(code, n, d, *arrays)"},
    {"level", (PyCFunction)(void (*)(void))py_level, METH_FASTCALL, "level([wanted])"},
    {"use_matmul", py_use_matmul, METH_O, "use_matmul(numpy.matmul)"},
    {"program", py_program, METH_O, "program([[[instruction, ...], ...], ...])"},
    {"run", py_run, METH_VARARGS, "run(program, thread, steps, call)"},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT, "_loops", "Compiled loops; see scratchnet.loops.", -1, methods,
    NULL, NULL, NULL, NULL,
};

PyMODINIT_FUNC PyInit__loops(void)
{
    PyObject *made = PyModule_Create(&module), *names = made ? PyTuple_New(LOOPS) : NULL;
    if (!names)
        return NULL;
    choose_level(NULL);
    for (int k = 0; k < LOOPS; k++)
        PyTuple_SetItem(names, k, PyUnicode_FromString(TABLE[k].name));
    if (PyErr_Occurred() || PyModule_AddObject(made, "NAMES", names))
        return NULL;
    return made;
}
