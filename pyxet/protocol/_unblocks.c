/* Decoding of chunks: decodes the complete chunks in a piece of a xorb without the interpreter's lock. In Python each call to
   LZ4 would have to get that lock back from the event loop and other threads.

   Only valid chunks in the usual form are decoded here. Decoding stops before any other: one that is incomplete, exceeds the
   limits, is damaged, or has an unusual LZ4 frame. The caller (`decoding.ChunkDecoder`, in Python) continues with that chunk,
   so that errors are told apart in one place. LZ4 is the library inside the `lz4` package, called by address. */

#include "_blocks.h"

#include <stdlib.h>
#include <string.h>

#define HEADER 8
#define LARGEST (128 * 1024)
#define LARGEST_PAYLOAD (LARGEST + LARGEST / 128 + 64)
#define FRAME_HEADER 7
/* The most chunks that one call decodes, and the most bytes that `needed` asks for. */
#define MOST 1024
#define MOST_NEEDED (2 * 1024 * 1024)

enum { NONE, LZ4, BG4_LZ4 };

typedef int (*Decompress)(const char *in, char *out, int size, int room);

typedef struct {
    Py_ssize_t where; /* offset in `memory`; or -1 - the offset in `data`, for a chunk that is stored uncompressed */
    Py_ssize_t length;
    Py_ssize_t stored;
} Chunk;

typedef struct {
    Decompress lz4;
    uint8_t *lanes; /* room for a chunk whose bytes are grouped */
    const uint8_t *in;
    Py_ssize_t size;
    Py_ssize_t at;
    uint8_t *out;
    Py_ssize_t room;
    Py_ssize_t used;
    Py_ssize_t most;   /* how many chunks may be decoded */
    Py_ssize_t budget; /* how many bytes they may be decoded to */
    Chunk *chunks;
    Py_ssize_t count;
    Py_ssize_t needed; /* bytes of memory for the next chunks, if there is too little to continue */
} Run;

typedef struct {
    Py_ssize_t payload;
    int scheme;
    Py_ssize_t raw;
} Header;

static uint32_t get(const uint8_t *in, int bytes)
{
    uint32_t value = 0;
    for (int i = 0; i < bytes; i++)
        value |= (uint32_t)in[i] << (8 * i);
    return value;
}

/* Reads the header of the chunk at an offset. Returns 1 if it is valid and the whole chunk is there, 0 otherwise. */
static int take_header(const Run *run, Py_ssize_t at, Header *header)
{
    if (run->size - at < HEADER)
        return 0;
    const uint8_t *in = run->in + at;
    *header = (Header){(Py_ssize_t)get(in + 1, 3), in[4], (Py_ssize_t)get(in + 5, 3)};
    return in[0] == 0 && header->scheme <= BG4_LZ4 && header->raw > 0 && header->raw <= LARGEST && header->payload > 0 &&
           header->payload <= LARGEST_PAYLOAD && header->payload <= run->size - at - HEADER &&
           (header->scheme != NONE || header->payload == header->raw);
}

/* Decodes a frame of independent blocks without checksums. Returns how many bytes it has, or -1 if it is not such a frame, is
   damaged, or does not fit into `room`. */
static Py_ssize_t unframe(Decompress lz4, const uint8_t *in, Py_ssize_t size, uint8_t *out, Py_ssize_t room)
{
    /* Checksums of the frame's header, by the size of its blocks: 64 KiB, 256 KiB, 1 MiB, 4 MiB. */
    static const uint8_t checksums[4] = {0x82, 0xfb, 0x51, 0x73};
    if (size < FRAME_HEADER || get(in, 4) != 0x184d2204 || in[4] != 0x60 || (in[5] & 0x8f) || in[5] < 0x40)
        return -1;
    int kind = (in[5] >> 4) - 4;
    if (in[6] != checksums[kind])
        return -1;
    Py_ssize_t largest = (Py_ssize_t)64 * 1024 << (2 * kind), at = FRAME_HEADER, made = 0;
    while (size - at >= 4) {
        uint32_t word = get(in + at, 4);
        Py_ssize_t length = (Py_ssize_t)(word & 0x7fffffff), left = room - made < largest ? room - made : largest;
        at += 4;
        if (!word)
            return at == size ? made : -1;
        if (length > size - at || length > largest)
            return -1;
        if (word >> 31) {
            if (length > left)
                return -1;
            memcpy(out + made, in + at, (size_t)length);
            made += length;
        } else {
            int found = lz4((const char *)in + at, (char *)out + made, (int)length, (int)left);
            if (found < 0 || found > left)
                return -1;
            made += found;
        }
        at += length;
    }
    return -1;
}

/* How much memory this chunk and those after it need, at most MOST_NEEDED. */
static Py_ssize_t needed_from(const Run *run)
{
    Header header;
    Py_ssize_t at = run->at, found = 0;
    while (found < MOST_NEEDED && take_header(run, at, &header)) {
        if (header.scheme != NONE)
            found += header.raw;
        at += HEADER + header.payload;
    }
    return found < MOST_NEEDED ? found : MOST_NEEDED;
}

static void decode_all(Run *run)
{
    Header header;
    while (run->count < run->most && run->count < MOST && take_header(run, run->at, &header)) {
        const uint8_t *payload = run->in + run->at + HEADER;
        Chunk chunk = {-1 - (run->at + HEADER), header.raw, HEADER + header.payload};
        if (header.raw > run->budget)
            return;
        if (header.scheme != NONE) {
            if (header.raw > run->room - run->used) {
                run->needed = needed_from(run);
                return;
            }
            uint8_t *out = run->out + run->used, *first = header.scheme == BG4_LZ4 ? run->lanes : out;
            if (unframe(run->lz4, payload, header.payload, first, header.raw) != header.raw)
                return;
            if (header.scheme == BG4_LZ4)
                pyxet_join(first, out, header.raw);
            chunk.where = run->used;
            run->used += header.raw;
        }
        run->chunks[run->count++] = chunk;
        run->budget -= header.raw;
        run->at += chunk.stored;
    }
}

static PyObject *told(const Run *run)
{
    PyObject *list = PyList_New(run->count);
    for (Py_ssize_t i = 0; list && i < run->count; i++) {
        Chunk chunk = run->chunks[i];
        PyObject *item = Py_BuildValue("(nnn)", chunk.where, chunk.length, chunk.stored);
        if (!item || PyList_SetItem(list, i, item) < 0) {
            Py_DECREF(list);
            return NULL;
        }
    }
    return list ? Py_BuildValue("Nnnn", list, run->at, run->used, run->needed) : NULL;
}

PyObject *pyxet_decode(PyObject *module, PyObject *args)
{
    Py_buffer data, memory;
    unsigned long long lz4;
    Run run = {0};
    PyObject *result = NULL;
    (void)module;
    if (!PyArg_ParseTuple(args, "y*nw*nnnK", &data, &run.at, &memory, &run.used, &run.most, &run.budget, &lz4))
        return NULL;
    if (!lz4 || run.at < 0 || run.at > data.len || run.used < 0 || run.used > memory.len) {
        PyErr_SetString(PyExc_ValueError, "decode: the address of a function is 0, or offsets are out of range");
        goto done;
    }
    run.lz4 = (Decompress)(uintptr_t)lz4;
    run.in = data.buf;
    run.size = data.len;
    run.out = memory.buf;
    run.room = memory.len;
    run.lanes = malloc(LARGEST); /* pages that are never written to cost nothing */
    run.chunks = malloc(sizeof(Chunk) * MOST);
    if (!run.lanes || !run.chunks) {
        PyErr_NoMemory();
        goto done;
    }
    Py_BEGIN_ALLOW_THREADS
    decode_all(&run);
    Py_END_ALLOW_THREADS
    result = told(&run);
done:
    free(run.chunks);
    free(run.lanes);
    PyBuffer_Release(&memory);
    PyBuffer_Release(&data);
    return result;
}
