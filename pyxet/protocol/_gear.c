/* Kernels of the Xet protocol that would be too slow in Python: finding chunk boundaries, grouping bytes, and copying
   buffers together, which Python would do while holding the interpreter's lock. (Framing is in `_blocks.c`.)

   The gear hash of a position depends only on the last 64 bytes, as each step shifts left by one, and no chunk is shorter
   than that. So the positions where a chunk may end (the candidates) do not depend on where chunks begin, and `scan` works
   in two steps. It first finds the candidates, in three interleaved streams over a block: one stream alone would wait for
   its own previous result at each byte. Then it selects the cuts among the candidates. Working block by block bounds the
   memory for candidates, whatever the content. */

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#ifdef __linux__
#include <sys/mman.h>
#include <unistd.h>
/* Older headers do not define it. */
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif
#endif

#include "_blocks.h"
#include "_crc64.h"

#if PY_BIG_ENDIAN
#error "the gear table is read as little-endian words; big-endian machines use the numpy implementation"
#endif

#define WINDOW 64
#define STREAMS 3
#define STRIDE (128 * 1024)
#define BLOCK (STREAMS * STRIDE)
/* The rest after the last whole block is split into three streams as well, unless they would be shorter than this. */
#define LEAST_STRIDE 4096
/* How much memory `provide` asks for at once: little enough to be still in the processor's cache when it is written to. */
#define FRESH (256 * 1024)

/* About one position in sixty thousand is a candidate. If the compiler knows that the condition is rare, it moves that branch
   out of the loop, which then takes half the time. */
#if defined(__GNUC__) || defined(__clang__)
#define RARELY(condition) __builtin_expect(!!(condition), 0)
#else
#define RARELY(condition) (condition)
#endif

static uint64_t warm_up(const uint8_t *data, const uint64_t *table, Py_ssize_t start)
{
    uint64_t hash = 0;
    for (Py_ssize_t i = start - WINDOW; i < start; i++)
        hash = (hash << 1) + table[data[i]];
    return hash;
}

/* Finds candidates with one stream. They are written to `found`, as offsets from `base` of the byte after the boundary. */
static size_t find_one(const uint8_t *data, Py_ssize_t start, Py_ssize_t end, const uint64_t *table, uint64_t mask,
                       uint64_t *hash, uint32_t *found, Py_ssize_t base)
{
    uint64_t h = *hash;
    size_t count = 0;
    for (Py_ssize_t i = start; i < end; i++) {
        h = (h << 1) + table[data[i]];
        if (RARELY(!(h & mask)))
            found[count++] = (uint32_t)(i + 1 - base);
    }
    *hash = h;
    return count;
}

#define STEP(at)                                                                                                        \
    a = (a << 1) + table[first[at]];                                                                                    \
    b = (b << 1) + table[second[at]];                                                                                   \
    c = (c << 1) + table[third[at]];                                                                                    \
    if (RARELY(!(a & mask)))                                                                                            \
        out1[n1++] = (at) + 1;                                                                                          \
    if (RARELY(!(b & mask)))                                                                                            \
        out2[n2++] = (at) + 1 + stride;                                                                                 \
    if (RARELY(!(c & mask)))                                                                                            \
        out3[n3++] = (at) + 1 + 2 * stride

/* Finds candidates in three parts of `stride` bytes each (a multiple of four) with three interleaved streams. */
static void find_three(const uint8_t *data, uint32_t stride, const uint64_t *table, uint64_t mask, uint64_t *hash,
                       uint32_t *found, size_t counts[STREAMS])
{
    const uint8_t *first = data, *second = data + stride, *third = data + 2 * stride;
    uint32_t *out1 = found, *out2 = found + stride, *out3 = found + 2 * (size_t)stride;
    uint64_t a = *hash, b = warm_up(data, table, stride), c = warm_up(data, table, 2 * (Py_ssize_t)stride);
    size_t n1 = 0, n2 = 0, n3 = 0;
    for (uint32_t i = 0; i < stride; i += 4) {
        STEP(i);
        STEP(i + 1);
        STEP(i + 2);
        STEP(i + 3);
    }
    counts[0] = n1;
    counts[1] = n2;
    counts[2] = n3;
    *hash = c;
}

typedef struct {
    Py_ssize_t start; /* of the open chunk; negative if it began in an earlier piece */
    Py_ssize_t min, max;
    int64_t *ends;
    Py_ssize_t count;
} Cuts;

/* Ends the chunks that reach the maximum size before `end`. */
static void force_until(Cuts *cuts, Py_ssize_t end)
{
    while (end - cuts->start > cuts->max) {
        cuts->start += cuts->max;
        cuts->ends[cuts->count++] = cuts->start;
    }
}

static void take(Cuts *cuts, const uint32_t *found, size_t count, Py_ssize_t base)
{
    for (size_t k = 0; k < count; k++) {
        Py_ssize_t end = base + (Py_ssize_t)found[k];
        force_until(cuts, end);
        if (end - cuts->start >= cuts->min) {
            cuts->start = end;
            cuts->ends[cuts->count++] = end;
        }
    }
}

PyDoc_STRVAR(scan_doc, "scan(data, table, mask, min_chunk, max_chunk, hash, size, /)\n--\n\n"
                       "Find the chunk ends in a piece of a stream. `hash` and `size` are the gear hash and the length of\n"
                       "the open chunk before the piece. Returns (ends, hash, size); ends are relative to the piece.");

static PyObject *scan(PyObject *module, PyObject *args)
{
    Py_buffer data, table;
    unsigned long long mask, hash_in;
    Py_ssize_t min_chunk, max_chunk, size;
    (void)module;
    if (!PyArg_ParseTuple(args, "y*y*KnnKn", &data, &table, &mask, &min_chunk, &max_chunk, &hash_in, &size))
        return NULL;
    PyObject *result = NULL;
    int64_t *ends = NULL;
    uint32_t *found = NULL;
    if (table.len != 256 * 8 || min_chunk < WINDOW || max_chunk < min_chunk || size < 0 || size > max_chunk) {
        PyErr_SetString(PyExc_ValueError, "scan: table or sizes are out of range");
        goto done;
    }
    if (data.len > PY_SSIZE_T_MAX - size) {
        PyErr_NoMemory();
        goto done;
    }
    /* A position is at most one candidate, and a chunk has at least min_chunk bytes. Small pieces get small arrays. */
    ends = malloc(sizeof(int64_t) * (size_t)((data.len + size) / min_chunk + 2));
    found = malloc(sizeof(uint32_t) * (size_t)(data.len < BLOCK ? data.len + 1 : BLOCK));
    if (!ends || !found) {
        PyErr_NoMemory();
        goto done;
    }
    Cuts cuts = {-size, min_chunk, max_chunk, ends, 0};
    uint64_t hash = hash_in;
    Py_BEGIN_ALLOW_THREADS
    uint64_t words[256];
    memcpy(words, table.buf, sizeof words);
    const uint8_t *bytes = data.buf;
    Py_ssize_t at = 0;
    while (data.len - at >= STREAMS * LEAST_STRIDE) {
        size_t counts[STREAMS];
        Py_ssize_t left = data.len - at;
        uint32_t stride = left >= BLOCK ? STRIDE : (uint32_t)(left / STREAMS) & ~(uint32_t)3;
        find_three(bytes + at, stride, words, mask, &hash, found, counts);
        for (int stream = 0; stream < STREAMS; stream++)
            take(&cuts, found + (size_t)stream * stride, counts[stream], at);
        at += (Py_ssize_t)stride * STREAMS;
    }
    size_t count = find_one(bytes, at, data.len, words, mask, &hash, found, at);
    take(&cuts, found, count, at);
    force_until(&cuts, data.len);
    if (data.len - cuts.start == max_chunk) {
        cuts.start = data.len;
        ends[cuts.count++] = data.len;
    }
    Py_END_ALLOW_THREADS
    PyObject *list = PyList_New(cuts.count);
    if (!list)
        goto done;
    for (Py_ssize_t k = 0; k < cuts.count; k++) {
        PyObject *end = PyLong_FromLongLong(ends[k]);
        if (!end || PyList_SetItem(list, k, end) < 0) {
            Py_DECREF(list);
            goto done;
        }
    }
    result = Py_BuildValue("NKn", list, (unsigned long long)hash, data.len - cuts.start);
done:
    free(ends);
    free(found);
    PyBuffer_Release(&data);
    PyBuffer_Release(&table);
    return result;
}

void pyxet_split(const uint8_t *in, uint8_t *out, Py_ssize_t size)
{
    Py_ssize_t whole = size / 4, rest = size % 4;
    uint8_t *a = out, *b = a + whole + (rest > 0), *c = b + whole + (rest > 1), *d = c + whole + (rest > 2);
    for (Py_ssize_t i = 0; i < whole; i++) {
        a[i] = in[4 * i];
        b[i] = in[4 * i + 1];
        c[i] = in[4 * i + 2];
        d[i] = in[4 * i + 3];
    }
    if (rest > 0)
        a[whole] = in[4 * whole];
    if (rest > 1)
        b[whole] = in[4 * whole + 1];
    if (rest > 2)
        c[whole] = in[4 * whole + 2];
}

void pyxet_join(const uint8_t *in, uint8_t *out, Py_ssize_t size)
{
    Py_ssize_t whole = size / 4, rest = size % 4;
    const uint8_t *a = in, *b = a + whole + (rest > 0), *c = b + whole + (rest > 1), *d = c + whole + (rest > 2);
    for (Py_ssize_t i = 0; i < whole; i++) {
        out[4 * i] = a[i];
        out[4 * i + 1] = b[i];
        out[4 * i + 2] = c[i];
        out[4 * i + 3] = d[i];
    }
    if (rest > 0)
        out[4 * whole] = a[whole];
    if (rest > 1)
        out[4 * whole + 1] = b[whole];
    if (rest > 2)
        out[4 * whole + 2] = c[whole];
}

static PyObject *regroup(PyObject *object, void (*kernel)(const uint8_t *, uint8_t *, Py_ssize_t))
{
    Py_buffer data;
    if (PyObject_GetBuffer(object, &data, PyBUF_SIMPLE) < 0)
        return NULL;
    PyObject *result = PyBytes_FromStringAndSize(NULL, data.len);
    if (result) {
        uint8_t *out = (uint8_t *)PyBytes_AsString(result);
        Py_BEGIN_ALLOW_THREADS
        kernel(data.buf, out, data.len);
        Py_END_ALLOW_THREADS
    }
    PyBuffer_Release(&data);
    return result;
}

PyDoc_STRVAR(split_doc, "bg4_split(data, /)\n--\n\nGroup bytes by their position modulo four.");

static PyObject *bg4_split(PyObject *module, PyObject *object)
{
    (void)module;
    return regroup(object, pyxet_split);
}

PyDoc_STRVAR(join_doc, "bg4_join(data, /)\n--\n\nThe inverse of bg4_split.");

static PyObject *bg4_join(PyObject *module, PyObject *object)
{
    (void)module;
    return regroup(object, pyxet_join);
}

/* Gets the buffers of all parts and the sum of their sizes. Returns how many they are, for `release`; or -1, with an
   exception set, if one of the parts has no buffer. */
static Py_ssize_t hold(PyObject *parts, Py_buffer **buffers, Py_ssize_t *size)
{
    Py_ssize_t count = PyTuple_Size(parts), held = 0;
    *size = 0;
    *buffers = malloc(sizeof(Py_buffer) * (size_t)(count ? count : 1));
    if (!*buffers) {
        PyErr_NoMemory();
        return -1;
    }
    for (; held < count; held++) {
        Py_buffer *buffer = &(*buffers)[held];
        if (PyObject_GetBuffer(PyTuple_GetItem(parts, held), buffer, PyBUF_SIMPLE) < 0)
            break;
        if (buffer->len > PY_SSIZE_T_MAX - *size) {
            PyBuffer_Release(buffer);
            PyErr_NoMemory();
            break;
        }
        *size += buffer->len;
    }
    if (held == count)
        return count;
    while (held)
        PyBuffer_Release(&(*buffers)[--held]);
    free(*buffers);
    return -1;
}

static void release(Py_buffer *buffers, Py_ssize_t count)
{
    while (count)
        PyBuffer_Release(&buffers[--count]);
    free(buffers);
}

static void copy_all(uint8_t *out, const Py_buffer *buffers, Py_ssize_t count)
{
    Py_BEGIN_ALLOW_THREADS
    for (Py_ssize_t i = 0; i < count; i++) {
        memcpy(out, buffers[i].buf, (size_t)buffers[i].len);
        out += buffers[i].len;
    }
    Py_END_ALLOW_THREADS
}

/* Asks the system to map pages that are about to be written to for the first time. One call for many pages costs two thirds
   of what a page fault for each of them costs. Linux before 5.14 refuses the call; pages are then mapped by faults. */
static void provide(const uint8_t *at, Py_ssize_t size)
{
#ifdef __linux__
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    uintptr_t first = ((uintptr_t)at + page - 1) & ~(page - 1), last = ((uintptr_t)at + (uintptr_t)size) & ~(page - 1);
    if (first < last)
        (void)madvise((void *)first, last - first, MADV_POPULATE_WRITE);
#else
    (void)at;
    (void)size;
#endif
}

static void fill_all(uint8_t *out, Py_ssize_t size, const Py_buffer *buffers, Py_ssize_t count)
{
    uint8_t *end = out + size, *provided = size < FRESH ? end : out;
    Py_BEGIN_ALLOW_THREADS
    for (Py_ssize_t i = 0; i < count; i++) {
        while (provided < out + buffers[i].len) {
            Py_ssize_t step = end - provided < FRESH ? end - provided : FRESH;
            provide(provided, step);
            provided += step;
        }
        memcpy(out, buffers[i].buf, (size_t)buffers[i].len);
        out += buffers[i].len;
    }
    Py_END_ALLOW_THREADS
}

PyDoc_STRVAR(gather_doc, "gather(parts, /)\n--\n\nConcatenate buffers, without the interpreter's lock.");

static PyObject *gather(PyObject *module, PyObject *object)
{
    (void)module;
    PyObject *parts = PySequence_Tuple(object), *result = NULL;
    if (!parts)
        return NULL;
    Py_buffer *buffers;
    Py_ssize_t size, count = hold(parts, &buffers, &size);
    if (count >= 0) {
        result = PyBytes_FromStringAndSize(NULL, size);
        if (result)
            copy_all((uint8_t *)PyBytes_AsString(result), buffers, count);
        release(buffers, count);
    }
    Py_DECREF(parts);
    return result;
}

PyDoc_STRVAR(fill_doc, "fill(target, parts, /)\n--\n\n"
                       "Copy buffers one after another into `target`, without the interpreter's lock. Returns the bytes copied.");

static PyObject *fill(PyObject *module, PyObject *args)
{
    (void)module;
    Py_buffer target, *buffers;
    PyObject *object, *result = NULL;
    if (!PyArg_ParseTuple(args, "w*O", &target, &object))
        return NULL;
    PyObject *parts = PySequence_Tuple(object);
    if (parts) {
        Py_ssize_t size, count = hold(parts, &buffers, &size);
        if (count >= 0) {
            if (size <= target.len) {
                fill_all(target.buf, size, buffers, count);
                result = PyLong_FromSsize_t(size);
            } else {
                PyErr_Format(PyExc_ValueError, "%zd bytes do not fit into %zd", size, target.len);
            }
            release(buffers, count);
        }
        Py_DECREF(parts);
    }
    PyBuffer_Release(&target);
    return result;
}

PyDoc_STRVAR(crc64_doc, "crc64(data, register, /)\n--\n\nUpdate the register of CRC-64/NVME with more bytes.");

static PyObject *crc64(PyObject *module, PyObject *args)
{
    (void)module;
    Py_buffer data;
    unsigned long long crc;
    if (!PyArg_ParseTuple(args, "y*K", &data, &crc))
        return NULL;
    Py_BEGIN_ALLOW_THREADS
    crc = pyxet_crc64_update(crc, data.buf, (size_t)data.len);
    Py_END_ALLOW_THREADS
    PyBuffer_Release(&data);
    return PyLong_FromUnsignedLongLong(crc);
}

static PyMethodDef methods[] = {
    {"scan", scan, METH_VARARGS, scan_doc},
    {"bg4_split", bg4_split, METH_O, split_doc},
    {"bg4_join", bg4_join, METH_O, join_doc},
    {"gather", gather, METH_O, gather_doc},
    {"fill", fill, METH_VARARGS, fill_doc},
    {"encode", pyxet_encode, METH_VARARGS, PYXET_ENCODE_DOC},
    {"decode", pyxet_decode, METH_VARARGS, PYXET_DECODE_DOC},
    {"room", pyxet_room, METH_O, PYXET_ROOM_DOC},
    {"crc64", crc64, METH_VARARGS, crc64_doc},
    {NULL, NULL, 0, NULL},
};

#ifdef Py_GIL_DISABLED
/* The only state of the kernels are tables, which are filled before the module can be used. */
static PyModuleDef_Slot slots[] = {{Py_mod_gil, Py_MOD_GIL_NOT_USED}, {0, NULL}};
#endif

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "pyxet.protocol._gear",
    .m_doc = "C kernels of the Xet protocol.",
    .m_size = 0,
    .m_methods = methods,
#ifdef Py_GIL_DISABLED
    .m_slots = slots,
#endif
};

PyMODINIT_FUNC PyInit__gear(void)
{
    pyxet_crc64_prepare();
    return PyModuleDef_Init(&definition);
}
