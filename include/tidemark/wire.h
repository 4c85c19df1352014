/* wire's door: bytes of the Fluentd Forward protocol -> requests -> events folded into a parcel,
 * and the bytes of the answers. Pure: no I/O, no clock, no locks. Nothing here trusts a length, a
 * count or a type.
 *
 * Three steps, each bounded:
 *   tide_frame_next     finds the end of one msgpack value in a stream, resumable, without decoding
 * it tide_request_parse  splits one whole value into mode, tag, entries and option
 *   tide_request_fold   walks the entries with an own cursor, decodes each into a tide_event on the
 * stack and folds it
 */
#ifndef TIDEMARK_WIRE_H
#define TIDEMARK_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "tidemark/err.h"
#include "tidemark/event.h"
#include "tidemark/hash.h"
#include "tidemark/parcel.h"

#define TIDE_FRAME_DEPTH_MAX 32

/* ---- frames ---- */

/* Where the scan of an unfinished value stands. Zero it (tide_frame_reset) before each value.
 * Resuming costs only the new bytes, so a value that trickles in byte by byte is scanned once. */
struct tide_frame_scan {
    size_t at;   /* bytes of the value already walked; may lie beyond what has arrived */
    size_t need; /* at least this many bytes are needed before another look is worth it */
    uint32_t depth;
    uint64_t left[TIDE_FRAME_DEPTH_MAX]; /* values still to come, per open container; JSON: its
                                            bracket */
    bool in_text, escaped;               /* JSON only */
};

void tide_frame_reset(struct tide_frame_scan *scan);

/* Looks for the end of the value that starts at buf[0].
 *
 * Shape    buf[0, len) is any prefix of the stream from the value's first byte; it may have moved
 * since the last call. Returns  TIDE_OK         *ret_size bytes are one whole value; the scan is
 * reset TIDE_AGAIN      incomplete; call again once scan->need bytes are there TIDE_MALFORMED  byte
 * 0xc1 or deeper than TIDE_FRAME_DEPTH_MAX: close the connection TIDE_TOO_LARGE  declared or real
 * size over max_bytes (an array of n needs n more bytes, a map 2n)
 */
enum tide_rc tide_frame_next(struct tide_frame_scan *scan, const uint8_t *buf, size_t len,
                             size_t max_bytes, size_t *ret_size);

/* The same with a depth of at most max_depth, 1..TIDE_FRAME_DEPTH_MAX, the same for the whole
 * value. */
enum tide_rc tide_frame_next_within(struct tide_frame_scan *scan, const uint8_t *buf, size_t len,
                                    size_t max_bytes, uint32_t max_depth, size_t *ret_size);

/* ---- JSON ---- */

/* As tide_frame_next_within, for a value that begins with '[' or '{' and is JSON text. The end is
 * where its brackets are balanced; whether it is JSON in between is tide_json_pack's question.
 * TIDE_MALFORMED here is depth, or a bracket that closes another kind. */
enum tide_rc tide_json_next(struct tide_frame_scan *scan, const uint8_t *buf, size_t len,
                            size_t max_bytes, uint32_t max_depth, size_t *ret_size);

/* What may stand between two JSON values. */
static inline bool tide_json_is_blank(uint8_t byte)
{
    return byte == ' ' || byte == '\n' || byte == '\r' || byte == '\t';
}

/* Writes the JSON value in text[0, len) (as tide_json_next found it) as one msgpack value.
 *
 * Returns  TIDE_OK, or TIDE_MALFORMED: no JSON, and *ret_len says at which byte. Aborts when memory
 * is out. Owns  *ret is the caller's, to be freed; at most three times len. */
enum tide_rc tide_json_pack(const uint8_t *text, size_t len, uint8_t **ret, size_t *ret_len);

/* ---- what the first byte of a connection says ---- */
enum tide_speech {
    TIDE_SPEECH_MSGPACK, /* array, map or nil */
    TIDE_SPEECH_JSON,    /* '{' or '[' */
    TIDE_SPEECH_TLS,     /* 0x16 */
    TIDE_SPEECH_HTTP,    /* G P H D O */
    TIDE_SPEECH_FOREIGN
};
enum tide_speech tide_speech_of(uint8_t first);

/* ---- requests ---- */
enum tide_mode {
    TIDE_MODE_MESSAGE, /* [tag, time, record, option?] */
    TIDE_MODE_FORWARD, /* [tag, [[time, record]...], option?] */
    TIDE_MODE_PACKED,  /* [tag, str or bin of entries, option?] */
    TIDE_MODE_BARE,    /* one map */
    TIDE_MODE_NIL,     /* heartbeat */
    TIDE_MODE_STRAY    /* an int, a string ...: no request */
};

enum tide_compression { TIDE_PLAIN, TIDE_GZIP, TIDE_COMPRESSION_UNKNOWN };

struct tide_request {
    enum tide_mode mode;
    struct tide_text tag; /* raw bytes; over 256 bytes or not str/bin: bad_tag */
    bool bad_tag;         /* entries are then rejected only if they carry no module of their own */
    const uint8_t *entries;   /* MESSAGE: from the time on; FORWARD: the first entry; PACKED: the
                                 payload; BARE: the map */
    size_t entries_len;       /* bytes; MESSAGE: time and record without the option */
    uint64_t entry_count;     /* FORWARD: declared count; MESSAGE, BARE: 1 */
    const uint8_t *chunk;     /* the chunk value as msgpack (str, bin or int), NULL: none */
    size_t chunk_len;         /* bytes of that value, header included */
    size_t chunk_payload_len; /* of its content, for the TIDE_CHUNK_ID_MIN rule */
    enum tide_compression compression;
    int64_t signal;  /* fluent_signal; 0 = logs */
    bool bad_option; /* neither map nor nil, or a chunk of a wrong type: treated as none; the
                      * caller counts it */
};

/* Splits one whole value (as tide_frame_next found it).
 * Returns  TIDE_OK, or TIDE_MALFORMED for `[]`, `[tag]`, `[tag, time]` and a chunk id over
 * TIDE_PARCEL_CHUNK_MAX: close. Owns     nothing; the request points into frame. */
enum tide_rc tide_request_parse(const uint8_t *frame, size_t len, struct tide_request *ret);

/* The chunk's identity: keyed hash over peer, tag, chunk value and raw entries. */
struct tide_hash128 tide_request_identity(const struct tide_request *request, uint64_t seed,
                                          const void *peer, size_t peer_len);

/* True for a chunk id of the form `v1:<producer, 32 hex digits>:<epoch>:<seq>`, both decimal
 * without needless zeros, below 2^64. Anything else is an ordinary chunk id. */
bool tide_request_origin(const struct tide_request *request, struct tide_origin *ret);

/* What tells two chunks of one structured id apart: keyed hash over tag and raw entries. Not the
 * peer: a producer may come from another address. */
struct tide_hash128 tide_request_payload(const struct tide_request *request, uint64_t seed);

struct tide_fold_context {
    const struct tide_fold_rules *rules;
    int64_t arrival_us;
    const char *peer; /* text, for the ring of rejected entries */
    size_t max_unpacked_bytes;
    uint32_t max_unpacked_ratio; /* likewise, in multiples of the packed size; 0: none */
    uint64_t max_entries;        /* of one request; 0: none */
};

/* What unpacks to no more than this is not measured against the ratio: a few equal events pack
 * well. */
#define TIDE_UNPACKED_FREE_BYTES (1u << 20)

/* Decodes every entry of the request and folds it into `into`: good ones are kept, bad ones counted
 * by reason in the parcel's books and noted in tide_reject. Content never fails: an undecodable
 * chunk is booked as rejected chunk, and so is one with too many entries, of which nothing stays. A
 * gzip payload (declared, or seen by its magic) is first unpacked to at most max_unpacked_bytes,
 * which are freed before the return. Counts BAD_FIELDS, UNKNOWN_EVENTS and AMBIGUOUS_DURATIONS.
 * Aborts when memory is out. */
void tide_request_fold(const struct tide_request *request, const struct tide_fold_context *context,
                       struct tide_parcel *into);

/* ---- one entry ---- */

/* Decodes the record map of one entry into ev (its time is set by the caller beforehand; in bare
 * mode the field `timestamp` sets it).
 *
 * Units    see CONTRACT of the record in the README: duration_ms (number or numeric string, ms) ->
 * duration_us etc. Shape    map[0, len) starts at a map's header and holds at least that whole map;
 * *ret_used gets its size. Returns  TIDE_OK; or TIDE_MALFORMED when it is not a well-formed map
 * within len; a rejected event is TIDE_OK with *ret_reason >= 0 (enum tide_entry_reason), else -1
 * Owns     nothing; texts of ev point into map.
 */
enum tide_rc tide_entry_decode(const uint8_t *map, size_t len, const struct tide_text *tag,
                               bool bare, struct tide_event *ev, size_t *ret_used, int *ret_reason);

/* ---- answers ---- */
#define TIDE_ACK_OVERHEAD 5 /* fixmap(1), "ack" */

/* {"ack": chunk} into out (at least TIDE_ACK_OVERHEAD + chunk_len bytes); returns its length. */
size_t tide_reply_ack(uint8_t *out, const uint8_t *chunk, size_t chunk_len);

/* The same as JSON, for a request that came as JSON, into out (at least TIDE_ACK_JSON_SIZE of
 * chunk_len); chunk is msgpack all the same. */
#define TIDE_ACK_JSON_SIZE(chunk_len) (24 + 6 * (size_t)(chunk_len))
size_t tide_reply_ack_json(uint8_t *out, const uint8_t *chunk, size_t chunk_len);

/* ---- the handshake: HELO, PING, PONG ---- */
#define TIDE_NONCE_SIZE      16
#define TIDE_DIGEST_SIZE     128  /* SHA-512 in lower-case hexadecimal */
#define TIDE_PING_MAX        4096 /* bytes of a PING; a longer one is refused */
#define TIDE_PEER_NAME_MAX   256  /* of a client's hostname and of a user's name */
#define TIDE_HELO_SIZE       80   /* room for a HELO ... */
#define TIDE_PONG_SIZE       512  /* ... and for a PONG */
#define TIDE_PONG_NAME_MAX   255  /* bytes of the server's name in it */
#define TIDE_PONG_REASON_MAX 255  /* bytes of the reason in a refusal; the rest is cut off */

/* ["PING", hostname, salt, key digest, user, password digest]; points into the frame. */
struct tide_ping {
    struct tide_text hostname;
    struct tide_text salt; /* raw bytes, not always text */
    struct tide_text key_digest;
    struct tide_text user; /* both "" when the server asked for no user */
    struct tide_text password_digest;
};

/* ["HELO", {nonce, auth, keepalive: true}] into out (TIDE_HELO_SIZE); returns its length. Nonce and
 * auth are TIDE_NONCE_SIZE random bytes of this connection; auth NULL: no user is asked for. */
size_t tide_helo_write(uint8_t *out, const uint8_t *nonce, const uint8_t *auth);

/* Splits one whole value. TIDE_MALFORMED: it is no PING. */
enum tide_rc tide_ping_parse(const uint8_t *frame, size_t len, struct tide_ping *ret);

/* Whoever made this PING for this nonce had the key; had the password of the user it names. The
 * time they take does not depend on where the digests differ. */
bool tide_ping_knows_key(const struct tide_ping *ping, const uint8_t *nonce,
                         const struct tide_text *key);
bool tide_ping_knows_password(const struct tide_ping *ping, const uint8_t *auth,
                              const struct tide_text *password);

/* ["PONG", true, "", server, digest], and ["PONG", false, reason, "", ""], into out
 * (TIDE_PONG_SIZE); they return the length. Clients refuse a server that has their own name. */
size_t tide_pong_welcome(uint8_t *out, const struct tide_ping *ping, const uint8_t *nonce,
                         const struct tide_text *server, const struct tide_text *key);
size_t tide_pong_refuse(uint8_t *out, const char *reason);

/* ---- the client's side of the handshake (tools and tests) ---- */
#define TIDE_LOGIN_NAME_MAX 255 /* bytes of each text of a login but the key and the password */

/* What the server said; points into its frame. auth "": no user is asked for. */
struct tide_helo {
    struct tide_text nonce, auth;
};

/* Who we say we are, and what proves it. */
struct tide_login {
    struct tide_text hostname, salt, key;
    struct tide_text user, password; /* said only when the server asks for a user */
};

/* ["PONG", welcome, reason, server, digest]; points into its frame. */
struct tide_pong {
    bool welcome;
    struct tide_text reason, server, digest;
};

/* Both split one whole value. TIDE_MALFORMED: it is something else. */
enum tide_rc tide_helo_parse(const uint8_t *frame, size_t len, struct tide_helo *ret);
enum tide_rc tide_pong_parse(const uint8_t *frame, size_t len, struct tide_pong *ret);

/* The PING that answers this HELO, into out (TIDE_PING_MAX); returns its length. */
size_t tide_ping_write(uint8_t *out, const struct tide_helo *helo, const struct tide_login *login);

/* The server that answers so has the key, too. */
bool tide_pong_knows_key(const struct tide_pong *pong, const struct tide_helo *helo,
                         const struct tide_login *login);

/* ---- writing (tools and tests; msgpack-c underneath) ---- */
struct tide_forward_writer; /* collects entries of one chunk; see src/wire/writer.c */

struct tide_forward_writer *tide_forward_writer_new(void);
void tide_forward_writer_free(struct tide_forward_writer *writer);
/* Appends one entry: EventTime(time_us) and a ready msgpack map record[0, len). */
void tide_forward_writer_add(struct tide_forward_writer *writer, int64_t time_us,
                             const void *record, size_t len);
size_t tide_forward_writer_entries(const struct tide_forward_writer *writer);
size_t tide_forward_writer_size(const struct tide_forward_writer *writer);
/* Finishes a PackedForward request [tag, bin, {"chunk": id, "size": n}] (id NULL: no chunk option),
 * valid until the next add or free, and empties the writer. */
const void *tide_forward_writer_finish(struct tide_forward_writer *writer, const char *tag,
                                       const char *chunk_id, size_t *ret_len);

#endif
