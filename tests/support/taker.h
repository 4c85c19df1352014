/* taker - a peer that takes Forward requests and acks them, as far as a test wants it to.
 *
 * It keeps every whole request it saw. Set the wishes before the start.
 */
#ifndef TIDE_TEST_TAKER_H
#define TIDE_TEST_TAKER_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TIDE_TAKER_FRAMES 4096

struct tide_taken {
    uint8_t *bytes;
    size_t len;
    char chunk[128]; /* its id; "" without one */
    unsigned nth;    /* connection */
};

struct tide_taker {
    unsigned drop_at;     /* close the connection instead of acking this many requests (counted over
                             all), 0: never */
    bool mute;            /* never ack */
    bool lost_ack;        /* at drop_at: the ack is sent into the void: half of it, then the end */
    const char *nonsense; /* answer this instead of acks */

    struct tide_peer *peer;
    pthread_mutex_t lock;
    struct tide_taken taken[TIDE_TAKER_FRAMES]; /* under lock until stopped */
    size_t count;
};

struct tide_taker *tide_taker_new(void); /* all wishes unset */
void tide_taker_start(struct tide_taker *taker);
const char *tide_taker_address(const struct tide_taker *taker);
void tide_taker_stop(struct tide_taker *taker);
void tide_taker_free(struct tide_taker *taker);

#endif
