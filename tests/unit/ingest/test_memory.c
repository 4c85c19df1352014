/* Large frames share a budget: what happens when it is used up. */
#include "fixture.h"

/* Of this 64 MiB are for large frames, but for one that may always go on. */
#define INPUT_BYTES ((((64u + 16u) << 20) + (320u << 10)) / 3 * 4)

/* [t, bin of len bytes: the header alone */
static void declare(int fd, uint32_t len)
{
    uint8_t header[8] = {0x92, 0xa1, 't', 0xc6};

    for (int i = 0; i < 4; i++)
        header[4 + i] = (uint8_t)(len >> (24 - 8 * i));
    say(fd, header, sizeof(header));
}

/* All peers send the same bytes side by side, from `sent` on, as far as the server takes them. */
static void say_side_by_side(const int fd[], int peers, size_t sent_before, const uint8_t *data,
                             size_t len)
{
    int64_t deadline_ms = now_ms() + 3 * DEADLINE_MS;
    size_t *sent = calloc((size_t)peers, sizeof(*sent));
    int left = peers;

    for (int i = 0; i < peers; i++)
        sent[i] = sent_before;
    while (left > 0) {
        bool moved = false;

        assert_true(now_ms() < deadline_ms);
        for (int i = 0; i < peers; i++) {
            size_t part = len - sent[i] < 1u << 20 ? len - sent[i] : 1u << 20;
            ssize_t n = part ? send(fd[i], data + sent[i], part, MSG_DONTWAIT | MSG_NOSIGNAL) : 0;

            assert_true(n >= 0 || errno == EAGAIN);
            if (n <= 0)
                continue;
            moved = true;
            sent[i] += (size_t)n;
            if (sent[i] == len)
                left--;
        }
        if (!moved)
            poll(NULL, 0, 1);
    }
    free(sent);
}

/* Ten peers announce 16 MiB each, which is more than the shard's budget. All get through, and small
 * requests do not notice. */
static void large_frames_wait_for_memory_and_get_it(void **state)
{
    enum { PEERS = 10, HEAD = 1000 };
    const uint32_t len = (16u << 20) - 64;
    uint8_t *noise = malloc(len); /* no entries: booked as one that is truncated */
    uint64_t before;
    int fd[PEERS], calm;

    (void)state;
    serve((struct tide_ingest_cfg){.max_input_bytes = INPUT_BYTES});
    calm = dial();
    exchange(calm, "calm-chunk-before");
    memset(noise, 0xc1, len);
    before = tide_counted(TIDE_COUNT_RECEIVED_BYTES);
    for (int i = 0; i < PEERS; i++) {
        fd[i] = dial();
        declare(fd[i], len);
    }
    wait_until(tide_counted(TIDE_COUNT_RECEIVED_BYTES) - before == 8 * PEERS);
    for (int i = 0; i < PEERS; i++)
        say(fd[i], noise, HEAD); /* now each asks for its 16 MiB, and not all get it */
    exchange(calm, "calm-chunk-between");
    say_side_by_side(fd, PEERS, HEAD, noise, len);
    wait_until(posted() == 2 + PEERS);
    exchange(calm, "calm-chunk-after");
    for (int i = 0; i < PEERS; i++)
        close(fd[i]);
    close(calm);
    free(noise);
}

/* Each holds 8 MiB, together the whole budget, and each needs more to get done. */
static void halves_of_frames_do_not_wait_for_each_other(void **state)
{
    enum { PEERS = 9, ENTRIES = 300 };
    struct bytes frame = {0};
    char *filler = malloc(32000);
    int fd[PEERS];

    (void)state;
    serve((struct tide_ingest_cfg){.max_input_bytes = INPUT_BYTES});
    memset(filler, 'x', 32000);
    put_byte(&frame, 0x92);
    put_text(&frame, "mod.x");
    put(&frame, "\xdc\x01\x2c", 3); /* an array of 300: it does not say how long */
    for (int i = 0; i < ENTRIES; i++) {
        put(&frame, "\x92\x00\x81", 3);
        put_text(&frame, "message");
        put_str(&frame, filler, 32000);
    }
    for (int i = 0; i < PEERS; i++)
        fd[i] = dial();
    say_side_by_side(fd, PEERS, 0, frame.data, frame.len);
    wait_until(stored() == PEERS * ENTRIES);
    for (int i = 0; i < PEERS; i++)
        close(fd[i]);
    free(filler);
    free(frame.data);
}

static void silent_holders_of_memory_are_closed_for_those_who_wait(void **state)
{
    enum { HOLDERS = 4 };
    const uint32_t len = (16u << 20) - 64;
    uint64_t before = tide_counted(TIDE_COUNT_CLOSED_STALLED);
    uint64_t bytes = tide_counted(TIDE_COUNT_RECEIVED_BYTES);
    uint8_t *noise = malloc(len);
    int holder[HOLDERS], waiter;

    (void)state;
    serve((struct tide_ingest_cfg){.max_input_bytes = INPUT_BYTES});
    memset(noise, 0xc1, len);
    for (int i = 0; i < HOLDERS; i++) {
        holder[i] = dial();
        declare(holder[i], len);
        wait_until(tide_counted(TIDE_COUNT_RECEIVED_BYTES) - bytes == (uint64_t)i * 9 + 8);
        say(holder[i], noise, 1); /* asks for its memory, and gets it; no word after that */
        wait_until(tide_counted(TIDE_COUNT_RECEIVED_BYTES) - bytes == (uint64_t)i * 9 + 9);
    }
    waiter = dial();
    declare(waiter, len);
    say_side_by_side(&waiter, 1, 0, noise, len);
    wait_until(posted() == 1);
    /* The favoured one may have to go as well, but nobody more than it takes. */
    assert_in_range(tide_counted(TIDE_COUNT_CLOSED_STALLED) - before, 1, 2);
    for (int i = 0; i < HOLDERS; i++)
        close(holder[i]);
    close(waiter);
    free(noise);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(large_frames_wait_for_memory_and_get_it, teardown),
        cmocka_unit_test_teardown(halves_of_frames_do_not_wait_for_each_other, teardown),
        cmocka_unit_test_teardown(silent_holders_of_memory_are_closed_for_those_who_wait, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
