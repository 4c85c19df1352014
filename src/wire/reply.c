/* reply - the bytes of an answer. The chunk value goes back exactly as it came: clients compare it
 * byte for byte. */
#include "tidemark/wire.h"

#include <assert.h>
#include <string.h>

size_t tide_reply_ack(uint8_t *out, const uint8_t *chunk, size_t chunk_len)
{
    static const uint8_t head[TIDE_ACK_OVERHEAD] = {0x81, 0xa3, 'a', 'c', 'k'};

    assert(chunk_len > 0 && chunk_len <= TIDE_PARCEL_CHUNK_MAX);
    memcpy(out, head, sizeof(head));
    memcpy(out + sizeof(head), chunk, chunk_len);
    return sizeof(head) + chunk_len;
}
