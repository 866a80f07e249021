/* Framing of chunks for a xorb: each chunk is sampled, compressed if that makes it smaller, and written after the one before
   it, all without the interpreter's lock. In Python each call to LZ4 would have to get that lock back from other threads.

   LZ4 is the library inside the `lz4` package, called by address. The calls are the same as those of `lz4.block.compress`,
   so the result has the same bytes as that of the implementation in Python (`compression.StreamCompressor`). */

#include "_blocks.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define HEADER 8
#define FRAME_HEADER 7
#define FRAME_OVERHEAD (FRAME_HEADER + 4 + 4)
#define LARGEST (128 * 1024)
#define SAMPLE 4096
#define BOUND(size) ((size) + (size) / 255 + 16)
#define UNSAMPLED 3
#define WORTHWHILE 0.99
#define ALIKE 0.1

enum { NONE, LZ4, BG4_LZ4 };

/* The magic number; version 1 with independent blocks; blocks of 256 KiB; the checksum of the last two. */
static const uint8_t frame_header[FRAME_HEADER] = {0x04, 0x22, 0x4d, 0x18, 0x60, 0x50, 0xfb};

typedef struct {
    void *(*create)(void);
    void (*reset)(void *stream);
    int (*compress)(void *stream, const char *in, char *out, int size, int room, int acceleration);
    int (*release)(void *stream);
    void *stream;
    uint8_t *lanes; /* room for a chunk whose bytes are grouped */
    uint8_t *sample;
} Compressor;

typedef struct {
    int scheme;
    Py_ssize_t at; /* offset of the compressed block in `compressed` */
    Py_ssize_t size;
} Piece;

static Py_ssize_t compress(Compressor *lz4, const uint8_t *in, Py_ssize_t size, uint8_t *out)
{
    lz4->reset(lz4->stream);
    return lz4->compress(lz4->stream, (const char *)in, (char *)out, (int)size, (int)BOUND(size), 1);
}

static Py_ssize_t sample_size(Compressor *lz4, const uint8_t *in, Py_ssize_t size)
{
    Py_ssize_t found = compress(lz4, in, size, lz4->sample);
    return found < size ? found : size;
}

static int choose(Compressor *lz4, const uint8_t *data, Py_ssize_t size)
{
    Py_ssize_t start = size > SAMPLE ? ((size - SAMPLE) / 2) & ~(Py_ssize_t)3 : 0;
    Py_ssize_t length = size - start < SAMPLE ? size - start : SAMPLE;
    Py_ssize_t plain = sample_size(lz4, data + start, length), grouped = 0;
    Py_ssize_t lane = length >= 4 ? length / 4 : 1;
    pyxet_split(data + start, lz4->lanes, length);
    /* Each lane is compressed by itself: after three lanes that do not compress, LZ4 would skip ahead over the short last one. */
    for (Py_ssize_t at = 0; at < length; at += lane)
        grouped += sample_size(lz4, lz4->lanes + at, length - at < lane ? length - at : lane);
    if ((double)(plain < grouped ? plain : grouped) > (double)length * WORTHWHILE)
        return NONE;
    return grouped < plain ? BG4_LZ4 : LZ4;
}

/* Decides how each chunk is stored, and compresses into `out`, which has room for all of them. */
static Py_ssize_t compress_all(Compressor *lz4, const Py_buffer *data, Py_ssize_t count, Piece *pieces, uint8_t *out)
{
    Py_ssize_t used = 0, total = 0;
    int scheme = NONE, unsampled = 0;
    double rate = 1.0;
    for (Py_ssize_t i = 0; i < count; i++) {
        const uint8_t *in = data[i].buf;
        Py_ssize_t size = data[i].len;
        int sampled = !unsampled;
        if (sampled) {
            scheme = choose(lz4, in, size);
            unsampled = UNSAMPLED;
        } else {
            unsampled--;
        }
        Piece piece = {NONE, 0, size};
        if (scheme != NONE) {
            if (scheme == BG4_LZ4) {
                pyxet_split(in, lz4->lanes, size);
                in = lz4->lanes;
            }
            Py_ssize_t found = compress(lz4, in, size, out + used);
            if (found > 0 && found + FRAME_OVERHEAD < size) {
                piece = (Piece){scheme, used, found + FRAME_OVERHEAD};
                used += found;
            }
        }
        double reached = (double)piece.size / (double)size;
        if (sampled)
            rate = reached;
        else if (fabs(reached - rate) > ALIKE)
            unsampled = 0;
        pieces[i] = piece;
        total += HEADER + piece.size;
    }
    return total;
}

static void put(uint8_t *out, uint64_t value, int bytes)
{
    for (int i = 0; i < bytes; i++)
        out[i] = (uint8_t)(value >> (8 * i));
}

static void frame(const Py_buffer *data, Py_ssize_t count, const Piece *pieces, const uint8_t *compressed, uint8_t *out)
{
    for (Py_ssize_t i = 0; i < count; i++) {
        Piece piece = pieces[i];
        put(out, (uint64_t)piece.size << 8 | (uint64_t)piece.scheme << 32 | (uint64_t)data[i].len << 40, HEADER);
        out += HEADER;
        if (piece.scheme == NONE) {
            memcpy(out, data[i].buf, (size_t)piece.size);
        } else {
            Py_ssize_t block = piece.size - FRAME_OVERHEAD;
            memcpy(out, frame_header, FRAME_HEADER);
            put(out + FRAME_HEADER, (uint64_t)block, 4);
            memcpy(out + FRAME_HEADER + 4, compressed + piece.at, (size_t)block);
            put(out + piece.size - 4, 0, 4);
        }
        out += piece.size;
    }
}

static PyObject *ends_of(const Piece *pieces, Py_ssize_t count)
{
    PyObject *ends = PyList_New(count);
    Py_ssize_t end = 0;
    for (Py_ssize_t i = 0; ends && i < count; i++) {
        end += HEADER + pieces[i].size;
        PyObject *value = PyLong_FromSsize_t(end);
        if (!value || PyList_SetItem(ends, i, value) < 0) {
            Py_DECREF(ends);
            return NULL;
        }
    }
    return ends;
}

/* The result is written to `room` if that is not NULL and the result fits. */
static PyObject *encode_held(const Py_buffer *data, Py_ssize_t count, Compressor *lz4, const Py_buffer *room)
{
    PyObject *result = NULL, *block = NULL, *ends = NULL;
    Py_ssize_t size = 0, total = 0;
    for (Py_ssize_t i = 0; i < count; i++) {
        if (data[i].len < 1 || data[i].len > LARGEST) {
            PyErr_Format(PyExc_ValueError, "encode: a chunk of %zd bytes", data[i].len);
            return NULL;
        }
        if (data[i].len > PY_SSIZE_T_MAX - size - BOUND(LARGEST)) {
            return PyErr_NoMemory();
        }
        size += data[i].len;
    }
    Piece *pieces = malloc(sizeof(Piece) * (size_t)(count ? count : 1));
    /* A compressed chunk is kept only if it is smaller than the chunk, so only the one being compressed may need more (up to
       BOUND). Pages that are never written to cost nothing. */
    uint8_t *compressed = malloc((size_t)(size + BOUND(LARGEST)));
    lz4->lanes = malloc(LARGEST);
    lz4->sample = malloc(BOUND(SAMPLE));
    lz4->stream = lz4->create();
    if (!pieces || !compressed || !lz4->lanes || !lz4->sample || !lz4->stream) {
        PyErr_NoMemory();
        goto done;
    }
    Py_BEGIN_ALLOW_THREADS
    total = compress_all(lz4, data, count, pieces, compressed);
    Py_END_ALLOW_THREADS
    ends = ends_of(pieces, count);
    if (!ends)
        goto done;
    uint8_t *out;
    if (room && total <= room->len) {
        block = room->obj;
        Py_INCREF(block);
        out = room->buf;
    } else {
        block = PyBytes_FromStringAndSize(NULL, total);
        if (!block)
            goto done;
        out = (uint8_t *)PyBytes_AsString(block);
    }
    Py_BEGIN_ALLOW_THREADS
    frame(data, count, pieces, compressed, out);
    Py_END_ALLOW_THREADS
    result = PyTuple_Pack(2, block, ends);
done:
    Py_XDECREF(block);
    Py_XDECREF(ends);
    if (lz4->stream)
        lz4->release(lz4->stream);
    free(lz4->sample);
    free(lz4->lanes);
    free(compressed);
    free(pieces);
    return result;
}

PyObject *pyxet_encode(PyObject *module, PyObject *args)
{
    PyObject *given, *room = Py_None, *result = NULL;
    unsigned long long create, reset, compress_, release;
    (void)module;
    if (!PyArg_ParseTuple(args, "O(KKKK)|O", &given, &create, &reset, &compress_, &release, &room))
        return NULL;
    if (!create || !reset || !compress_ || !release) {
        PyErr_SetString(PyExc_ValueError, "encode: the address of a function is 0");
        return NULL;
    }
    Compressor lz4 = {
        .create = (void *(*)(void))(uintptr_t)create,
        .reset = (void (*)(void *))(uintptr_t)reset,
        .compress = (int (*)(void *, const char *, char *, int, int, int))(uintptr_t)compress_,
        .release = (int (*)(void *))(uintptr_t)release,
    };
    Py_buffer target;
    if (room != Py_None && PyObject_GetBuffer(room, &target, PyBUF_WRITABLE) < 0)
        return NULL;
    PyObject *parts = PySequence_Tuple(given);
    if (!parts) {
        if (room != Py_None)
            PyBuffer_Release(&target);
        return NULL;
    }
    Py_ssize_t count = PyTuple_Size(parts), held = 0;
    Py_buffer *buffers = malloc(sizeof(Py_buffer) * (size_t)(count ? count : 1));
    if (!buffers) {
        PyErr_NoMemory();
        goto done;
    }
    for (; held < count; held++)
        if (PyObject_GetBuffer(PyTuple_GetItem(parts, held), &buffers[held], PyBUF_SIMPLE) < 0)
            goto done;
    result = encode_held(buffers, count, &lz4, room == Py_None ? NULL : &target);
done:
    while (held)
        PyBuffer_Release(&buffers[--held]);
    free(buffers);
    Py_DECREF(parts);
    if (room != Py_None)
        PyBuffer_Release(&target);
    return result;
}

PyObject *pyxet_room(PyObject *module, PyObject *size)
{
    (void)module;
    Py_ssize_t bytes = PyNumber_AsSsize_t(size, PyExc_OverflowError);
    if (bytes == -1 && PyErr_Occurred())
        return NULL;
    return PyByteArray_FromStringAndSize(NULL, bytes);
}
