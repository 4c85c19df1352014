/* writer - the sending side, for tools and tests: collects entries, then wraps them into one
 * PackedForward request. msgpack-c packs; its buffers grow as needed, the writer lives from being
 * emptied and filled again.
 */
#include "tidemark/wire.h"

#include <assert.h>
#include <msgpack.h>
#include <stdlib.h>
#include <string.h>
#include "tidemark/bytes.h"

struct tide_forward_writer {
    msgpack_sbuffer payload; /* the entries, one after another */
    msgpack_sbuffer request; /* the last finished request */
    size_t entries;
};

/* msgpack-c returns -1 only when memory is out; tools cannot go on then. */
static void must(int code)
{
    if (code != 0)
        abort();
}

struct tide_forward_writer *tide_forward_writer_new(void)
{
    struct tide_forward_writer *writer = calloc(1, sizeof(*writer));

    if (!writer)
        abort();
    msgpack_sbuffer_init(&writer->payload);
    msgpack_sbuffer_init(&writer->request);
    return writer;
}

void tide_forward_writer_free(struct tide_forward_writer *writer)
{
    if (!writer)
        return;
    msgpack_sbuffer_destroy(&writer->payload);
    msgpack_sbuffer_destroy(&writer->request);
    free(writer);
}

void tide_forward_writer_add(struct tide_forward_writer *writer, int64_t time_us,
                             const void *record, size_t len)
{
    uint8_t event_time[8];
    msgpack_packer packer;

    assert(time_us >= 0 && time_us / 1000000 <= UINT32_MAX);
    tide_put_be32(event_time, (uint32_t)(time_us / 1000000));
    tide_put_be32(event_time + 4, (uint32_t)(time_us % 1000000) * 1000);
    msgpack_packer_init(&packer, &writer->payload, msgpack_sbuffer_write);
    must(msgpack_pack_array(&packer, 2));
    must(msgpack_pack_ext(&packer, sizeof(event_time), 0));
    must(msgpack_pack_ext_body(&packer, event_time, sizeof(event_time)));
    must(msgpack_sbuffer_write(&writer->payload, record, len));
    writer->entries++;
}

size_t tide_forward_writer_entries(const struct tide_forward_writer *writer)
{
    return writer->entries;
}

size_t tide_forward_writer_size(const struct tide_forward_writer *writer)
{
    return writer->payload.size;
}

static void pack_text(msgpack_packer *packer, const char *text)
{
    size_t len = strlen(text);

    must(msgpack_pack_str(packer, len));
    must(msgpack_pack_str_body(packer, text, len));
}

const void *tide_forward_writer_finish(struct tide_forward_writer *writer, const char *tag,
                                       const char *chunk_id, size_t *ret_len)
{
    msgpack_packer packer;

    msgpack_sbuffer_clear(&writer->request);
    msgpack_packer_init(&packer, &writer->request, msgpack_sbuffer_write);
    must(msgpack_pack_array(&packer, 3));
    pack_text(&packer, tag);
    must(msgpack_pack_bin(&packer, writer->payload.size));
    must(msgpack_pack_bin_body(&packer, writer->payload.data, writer->payload.size));
    must(msgpack_pack_map(&packer, chunk_id ? 2 : 1));
    if (chunk_id) {
        pack_text(&packer, "chunk");
        pack_text(&packer, chunk_id);
    }
    pack_text(&packer, "size");
    must(msgpack_pack_uint64(&packer, writer->entries));
    msgpack_sbuffer_clear(&writer->payload);
    writer->entries = 0;
    *ret_len = writer->request.size;
    return writer->request.data;
}
