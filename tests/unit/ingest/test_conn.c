/* One peer: framing, first words, strays, the ways it can leave. */
#include "fixture.h"

/* Two requests as JSON, with and without blanks around them, and their acks. */
static void put_json(struct bytes *stream, struct bytes *ret_acks, int i)
{
    for (int spaced = 0; spaced < 2; spaced++) {
        char text[200];
        int len = snprintf(text, sizeof(text),
                           "%s[\"mod.]\", %d, {\"module_id\":\"json\\\"{\"},"
                           "{\"chunk\":\"json-%d-%04d\"}]%s",
                           spaced ? "\r\n " : "", i, spaced, i, spaced ? "\n" : "");

        put(stream, text, (size_t)len);
        len = snprintf(text, sizeof(text), "{\"ack\":\"json-%d-%04d\"}", spaced, i);
        put(ret_acks, text, (size_t)len);
    }
}

/* A mixed stream; *ret_acks gets what must be answered. */
static void mixed_stream(struct bytes *stream, struct bytes *ret_acks)
{
    static const char map[] = "\x82\xa9module_id\xa4"
                              "bare\xa5"
                              "event\xa5"
                              "debug";

    put_byte(stream, 0xc0);
    for (int i = 0; i < 12; i++) {
        char chunk[32];

        snprintf(chunk, sizeof(chunk), "chunk-%08d", i);
        put_message(stream, "auth", chunk);
        put_ack(ret_acks, chunk);
        put_message(stream, "loose", NULL);
        put(stream, map, sizeof(map) - 1);
        put_byte(stream, 7); /* stray */
        put_byte(stream, 0xc0);
        put_json(stream, ret_acks, i);
    }
    put_packed(stream, "m", 40, 7, 0, "packed-chunk");
    put(ret_acks,
        "\x81\xa3"
        "ack\xac"
        "packed-chunk",
        5 + 13);
}

/* Sends the stream in pieces, hears the acks, gives the notes of the acked parcels. */
static size_t feed(const struct bytes *stream, const struct bytes *acks, size_t piece,
                   struct note notes[], size_t max)
{
    size_t count = 0, acked = 0;
    uint8_t *heard = malloc(acks->len);
    uint64_t stored_all = stored();
    size_t first;
    int fd = dial();

    pthread_mutex_lock(&puppet.lock);
    first = puppet.notes;
    pthread_mutex_unlock(&puppet.lock);
    for (size_t at = 0; at < stream->len; at += piece)
        say(fd, stream->data + at, stream->len - at < piece ? stream->len - at : piece);
    hear(fd, heard, acks->len);
    assert_memory_equal(heard, acks->data, acks->len);
    (void)acked;
    free(heard);
    wait_until(stored() - stored_all == 12 + 12 + 12 + 40 + 24);
    shutdown(fd, SHUT_WR);
    hear_end(fd);
    close(fd);
    pthread_mutex_lock(&puppet.lock);
    for (size_t i = first; i < puppet.notes; i++) {
        if (puppet.note[i].chunk_len == 0)
            continue;
        assert_true(count < max);
        notes[count++] = puppet.note[i];
    }
    pthread_mutex_unlock(&puppet.lock);
    return count;
}

static void pieces_of_any_size_give_the_same_parcels(void **state)
{
    static const size_t piece[] = {1, 2, 3, 7, 50, 333, 1000};
    struct bytes stream = {0}, acks = {0};
    struct note whole[64], cut[64];
    size_t count;

    (void)state;
    serve((struct tide_ingest_cfg){0});
    mixed_stream(&stream, &acks);
    count = feed(&stream, &acks, stream.len, whole, 64);
    assert_int_equal(count, 13 + 24);
    for (size_t i = 0; i < sizeof(piece) / sizeof(piece[0]); i++) {
        assert_int_equal(feed(&stream, &acks, piece[i], cut, 64), count);
        for (size_t n = 0; n < count; n++) {
            assert_true(cut[n].has_identity);
            assert_memory_equal(&cut[n].identity, &whole[n].identity, sizeof(cut[n].identity));
            assert_int_equal(cut[n].chunk_len, whole[n].chunk_len);
            assert_int_equal(cut[n].stored, whole[n].stored);
        }
    }
    free(stream.data);
    free(acks.data);
}

/* Frames around the sizes at which input changes its ways, three of each back to back, in pieces.
 */
static void frames_of_every_size_class_survive_their_cuts(void **state)
{
    static const size_t size[] = {60000, 65536, 70000, 262144, 320000, 400000, 3000000};
    static const size_t piece[] = {1499, 65536, 300001};
    struct bytes stream = {0};
    uint64_t want = 0;
    int fd;

    (void)state;
    serve((struct tide_ingest_cfg){0});
    for (size_t i = 0; i < 3 * sizeof(size) / sizeof(size[0]); i++) {
        put_packed(&stream, "m", 100, 3, size[i / 3], i % 2 ? "big-chunk-id" : NULL);
        put_message(&stream, "small", NULL);
        want += 101;
    }
    for (size_t p = 0; p < sizeof(piece) / sizeof(piece[0]); p++) {
        uint64_t before = stored();

        fd = dial();
        for (size_t at = 0; at < stream.len; at += piece[p])
            say(fd, stream.data + at, stream.len - at < piece[p] ? stream.len - at : piece[p]);
        wait_until(stored() - before == want);
        close(fd);
    }
    free(stream.data);
}

/* A Forward request does not declare its size in bytes: its buffer has to double its way up. */
static void long_forward_array_trickles_in(void **state)
{
    struct bytes stream = {0};
    const unsigned entries = 20000;
    int fd;

    (void)state;
    serve((struct tide_ingest_cfg){0});
    put_byte(&stream, 0x93);
    put_text(&stream, "mod.x");
    put_byte(&stream, 0xdc);
    put_byte(&stream, entries >> 8);
    put_byte(&stream, entries & 0xff);
    for (unsigned i = 0; i < entries; i++) {
        put_byte(&stream, 0x92);
        put_byte(&stream, 0x00);
        put_byte(&stream, 0x81);
        put_text(&stream, "module_id");
        put_text(&stream, i % 2 ? "even" : "odd");
    }
    put_byte(&stream, 0x81);
    put_text(&stream, "chunk");
    put_text(&stream, "forward-chunk");
    fd = dial();
    for (size_t at = 0; at < stream.len; at += 97)
        say(fd, stream.data + at, stream.len - at < 97 ? stream.len - at : 97);
    wait_until(stored() == entries);
    assert_int_equal(posted(), 1);
    close(fd);
    free(stream.data);
}

#define NOISE (2u << 20)

static void malformed_frame_closes_only_its_own_connection(void **state)
{
    uint64_t before = tide_counted(TIDE_COUNT_CLOSED_MALFORMED);
    uint8_t *noise;
    int good, bad;

    (void)state;
    serve((struct tide_ingest_cfg){0});
    good = dial();
    bad = dial();
    exchange(good, "chunk-of-good-1");
    exchange(bad, "chunk-of-bad-1");
    noise = calloc(1, NOISE);
    noise[0] = 0xc1;
    say(bad, noise,
        NOISE); /* most of it is not read any more; a FIN is heard all the same, no reset */
    free(noise);
    hear_end(bad);
    exchange(good, "chunk-of-good-2");
    assert_int_equal(tide_counted(TIDE_COUNT_CLOSED_MALFORMED) - before, 1);
    close(good);
    close(bad);
}

static void refused_peer_that_stays_is_cut_off(void **state)
{
    uint64_t open = tide_counted(TIDE_COUNT_CONNECTIONS_OPEN);
    int fd;

    (void)state;
    serve((struct tide_ingest_cfg){0});
    fd = dial();
    say(fd, "\xc1", 1);
    hear_end(fd);
    assert_int_equal(tide_counted(TIDE_COUNT_CONNECTIONS_OPEN), open + 1);
    wait_until(tide_counted(TIDE_COUNT_CONNECTIONS_OPEN) == open);
    close(fd);
}

static void what_came_before_the_broken_frame_is_acked(void **state)
{
    struct bytes out = {0}, want = {0};
    uint8_t got[64];
    int fd;

    (void)state;
    serve((struct tide_ingest_cfg){0});
    puppet_allow(0);
    fd = dial();
    put_message(&out, "auth", "last-good-chunk");
    put(&out, "\x91\x01", 2); /* [1]: a frame, but no request */
    say_bytes(fd, &out);
    wait_until(posted() == 1);
    assert_true(silent(fd));
    puppet_allow(FOR_EVER);
    put_ack(&want, "last-good-chunk");
    hear(fd, got, want.len);
    assert_memory_equal(got, want.data, want.len);
    hear_end(fd);
    close(fd);
    free(out.data);
    free(want.data);
}

static void frame_over_the_limit_closes_as_soon_as_it_is_declared(void **state)
{
    uint64_t before = tide_counted(TIDE_COUNT_CLOSED_TOO_LARGE);
    int fd;

    (void)state;
    serve((struct tide_ingest_cfg){.max_frame_bytes = 65536});
    fd = dial();
    say(fd, "\x92\xa1t\xc6\xff\xff\xff\xff", 8); /* [t, bin of 4 GiB */
    hear_end(fd);
    assert_int_equal(tide_counted(TIDE_COUNT_CLOSED_TOO_LARGE) - before, 1);
    close(fd);
}

static void strays_are_ignored_and_the_sixteenth_closes(void **state)
{
    uint64_t strays = tide_counted(TIDE_COUNT_STRAY_VALUES);
    uint64_t foreign = tide_counted(TIDE_COUNT_CLOSED_FOREIGN);
    int fd;

    (void)state;
    serve((struct tide_ingest_cfg){0});
    fd = dial();
    exchange(fd, "chunk-before");
    say(fd, "\x01\xa1x\xc3\xcb\0\0\0\0\0\0\0\0\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f", 24);
    exchange(fd, "chunk-between"); /* after 15 of them */
    say(fd, "\x10", 1);
    hear_end(fd);
    assert_int_equal(tide_counted(TIDE_COUNT_STRAY_VALUES) - strays, 16);
    assert_int_equal(tide_counted(TIDE_COUNT_CLOSED_FOREIGN) - foreign, 1);
    close(fd);
}

static void other_protocols_are_refused_by_their_first_byte(void **state)
{
    static const char *const word[] = {"\x16\x03\x01\x02",
                                       "GET / HTTP/1.1\r\n\r\n",
                                       "POST /x",
                                       "\"json\"",
                                       "\x01",
                                       "\xa4noise",
                                       "\xff",
                                       " []"};
    uint64_t before = tide_counted(TIDE_COUNT_CLOSED_FOREIGN);

    (void)state;
    serve((struct tide_ingest_cfg){0});
    for (size_t i = 0; i < sizeof(word) / sizeof(word[0]); i++) {
        int fd = dial();

        if (i % 2)
            say(fd, "\xc0\xc0", 2); /* heartbeats say nothing yet */
        say(fd, word[i], strlen(word[i]));
        hear_end(fd);
        close(fd);
        assert_int_equal(tide_counted(TIDE_COUNT_CLOSED_FOREIGN) - before, i + 1);
    }
    assert_int_equal(posted(), 0);
}

static void broken_json_closes_only_its_own_connection(void **state)
{
    static const char *const text[] = {"[1,]", "[\"t\",0,{]", "[]", "[\"t\"]", "{\"a\":tru}"};
    uint64_t before = tide_counted(TIDE_COUNT_CLOSED_MALFORMED);
    int other;

    (void)state;
    serve((struct tide_ingest_cfg){0});
    other = dial();
    for (size_t i = 0; i < sizeof(text) / sizeof(text[0]); i++) {
        int fd = dial();

        exchange(fd, "before-00001"); /* msgpack and JSON share a connection */
        say(fd, text[i], strlen(text[i]));
        hear_end(fd);
        close(fd);
        exchange(other, "another-0001");
    }
    assert_int_equal(tide_counted(TIDE_COUNT_CLOSED_MALFORMED) - before, 5);
    close(other);
}

static void json_over_the_limit_closes_and_at_the_limit_does_not(void **state)
{
    const size_t max = 65536;
    char *text = malloc(max + 1);
    const char *end = "\"},{\"chunk\":\"at-the-limit\"}]", *ack = "{\"ack\":\"at-the-limit\"}";
    char heard[32];

    (void)state;
    serve((struct tide_ingest_cfg){.max_frame_bytes = max});
    for (size_t size = max; size <= max + 1; size++) {
        int fd = dial(), begin = snprintf(text, max, "[\"mod.x\",0,{\"message\":\"");

        memset(text + begin, 'x', size - (size_t)begin);
        memcpy(text + size - strlen(end), end, strlen(end));
        say(fd, text, size);
        if (size == max) {
            hear(fd, heard, strlen(ack));
            assert_memory_equal(heard, ack, strlen(ack));
        } else {
            hear_end(fd);
        }
        close(fd);
    }
    assert_int_equal(stored(), 1);
    free(text);
}

static void half_closed_peer_gets_its_ack(void **state)
{
    struct bytes out = {0}, want = {0};
    uint8_t got[64];
    int fd;

    (void)state;
    serve((struct tide_ingest_cfg){0});
    puppet_allow(0);
    fd = dial();
    put_message(&out, "auth", "half-closed-chunk");
    say_bytes(fd, &out);
    shutdown(fd, SHUT_WR);
    wait_until(posted() == 1);
    puppet_allow(FOR_EVER);
    put_ack(&want, "half-closed-chunk");
    hear(fd, got, want.len);
    assert_memory_equal(got, want.data, want.len);
    hear_end(fd);
    close(fd);
    free(out.data);
    free(want.data);
}

static void connection_gone_before_its_ack_harms_nobody(void **state)
{
    uint64_t open = tide_counted(TIDE_COUNT_CONNECTIONS_OPEN);
    struct bytes out = {0};
    int gone, next;

    (void)state;
    serve((struct tide_ingest_cfg){0});
    puppet_allow(0);
    gone = dial();
    put_message(&out, "auth", "chunk-of-the-gone");
    say_bytes(gone, &out);
    wait_until(posted() == 1);
    hang_up(gone);
    wait_until(tide_counted(TIDE_COUNT_CONNECTIONS_OPEN) == open);
    next = dial(); /* takes the same slot */
    wait_until(tide_counted(TIDE_COUNT_CONNECTIONS_OPEN) == open + 1);
    puppet_allow(FOR_EVER);
    wait_until(home() == 1);
    exchange(next, "chunk-of-the-next"); /* and hears nothing before it */
    close(next);
    free(out.data);
}

static void unfinished_frame_at_the_end_is_forgotten(void **state)
{
    struct bytes out = {0};
    int fd;

    (void)state;
    serve((struct tide_ingest_cfg){0});
    fd = dial();
    put_message(&out, "auth", NULL);
    say(fd, out.data, out.len);
    say(fd, out.data, out.len - 1);
    shutdown(fd, SHUT_WR);
    hear_end(fd);
    wait_until(stored() == 1);
    assert_int_equal(rejected(), 0);
    close(fd);
    free(out.data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(pieces_of_any_size_give_the_same_parcels, teardown),
        cmocka_unit_test_teardown(frames_of_every_size_class_survive_their_cuts, teardown),
        cmocka_unit_test_teardown(long_forward_array_trickles_in, teardown),
        cmocka_unit_test_teardown(malformed_frame_closes_only_its_own_connection, teardown),
        cmocka_unit_test_teardown(refused_peer_that_stays_is_cut_off, teardown),
        cmocka_unit_test_teardown(what_came_before_the_broken_frame_is_acked, teardown),
        cmocka_unit_test_teardown(frame_over_the_limit_closes_as_soon_as_it_is_declared, teardown),
        cmocka_unit_test_teardown(strays_are_ignored_and_the_sixteenth_closes, teardown),
        cmocka_unit_test_teardown(other_protocols_are_refused_by_their_first_byte, teardown),
        cmocka_unit_test_teardown(broken_json_closes_only_its_own_connection, teardown),
        cmocka_unit_test_teardown(json_over_the_limit_closes_and_at_the_limit_does_not, teardown),
        cmocka_unit_test_teardown(half_closed_peer_gets_its_ack, teardown),
        cmocka_unit_test_teardown(connection_gone_before_its_ack_harms_nobody, teardown),
        cmocka_unit_test_teardown(unfinished_frame_at_the_end_is_forgotten, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
