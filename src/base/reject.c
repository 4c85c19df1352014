/* The ring of rejected entries and chunks: the last hundred, each cut to a fixed size and made fit
 * to be shown.
 *
 * A note costs one short lock and a bounded look at the bytes, so a peer that sends nothing but
 * rubbish pays more for it than we do.
 */
#include "tidemark/reject.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include "tidemark/clock.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct tide_reject ring[TIDE_REJECT_RING];
static uint64_t total; /* the next one goes to ring[total % TIDE_REJECT_RING] */

/* Bytes of the well-formed UTF-8 sequence at the start of from[0, len), 0 if there is none. NUL
 * counts as none: the text ends there otherwise. */
static size_t utf8_size(const uint8_t *from, size_t len)
{
    uint8_t second_min = 0x80, second_max = 0xbf;
    size_t size;

    if (from[0] >= 0x01 && from[0] <= 0x7f)
        return 1;
    if (from[0] >= 0xc2 && from[0] <= 0xdf)
        size = 2;
    else if (from[0] >= 0xe0 && from[0] <= 0xef)
        size = 3;
    else if (from[0] >= 0xf0 && from[0] <= 0xf4)
        size = 4;
    else
        return 0;
    if (from[0] == 0xe0)
        second_min = 0xa0; /* overlong */
    else if (from[0] == 0xed)
        second_max = 0x9f; /* surrogates */
    else if (from[0] == 0xf0)
        second_min = 0x90; /* overlong */
    else if (from[0] == 0xf4)
        second_max = 0x8f; /* beyond U+10FFFF */
    if (len < size || from[1] < second_min || from[1] > second_max)
        return 0;
    for (size_t i = 2; i < size; i++) {
        if (from[i] < 0x80 || from[i] > 0xbf)
            return 0;
    }
    return size;
}

/* Copies text, bytes that are no UTF-8 as U+FFFD, whole characters only. */
static void copy_text(char *to, size_t size, const void *data, size_t len)
{
    const uint8_t *from = data;
    size_t used = 0;

    while (len) {
        size_t in = utf8_size(from, len);
        const void *piece = in ? (const void *)from : "\xef\xbf\xbd";
        size_t out = in ? in : 3;

        if (used + out >= size)
            break;
        memcpy(to + used, piece, out);
        used += out;
        from += in ? in : 1;
        len -= in ? in : 1;
    }
    to[used] = '\0';
}

/* Copies any bytes as printable ASCII: backslash doubled, what is not printable as \xhh; no escape
 * is cut in two. */
static void copy_printable(char *to, size_t size, const void *data, size_t len)
{
    static const char hex[] = "0123456789abcdef";
    const uint8_t *from = data;
    size_t used = 0;

    for (; len; len--, from++) {
        char piece[4] = {(char)*from, 0, 0, 0};
        size_t out = 1;

        if (*from == '\\') {
            piece[1] = '\\';
            out = 2;
        } else if (*from < 0x20 || *from > 0x7e) {
            memcpy(piece, (char[]){'\\', 'x', hex[*from >> 4], hex[*from & 15]}, 4);
            out = 4;
        }
        if (used + out >= size)
            break;
        memcpy(to + used, piece, out);
        used += out;
    }
    to[used] = '\0';
}

void tide_reject_note(const char *reason, const char *peer, const void *tag, size_t tag_len,
                      const void *excerpt, size_t excerpt_len)
{
    struct tide_reject note;

    note.time_us = tide_clock_wall_us();
    note.reason = reason;
    snprintf(note.peer, sizeof(note.peer), "%s", peer);
    copy_text(note.tag, sizeof(note.tag), tag, tag_len);
    copy_printable(note.excerpt, sizeof(note.excerpt), excerpt, excerpt_len);
    pthread_mutex_lock(&lock);
    ring[total++ % TIDE_REJECT_RING] = note;
    pthread_mutex_unlock(&lock);
}

size_t tide_reject_list(struct tide_reject out[TIDE_REJECT_RING], uint64_t *ret_total)
{
    size_t count;

    pthread_mutex_lock(&lock);
    count = total < TIDE_REJECT_RING ? (size_t)total : TIDE_REJECT_RING;
    for (size_t i = 0; i < count; i++)
        out[i] = ring[(total - 1 - i) % TIDE_REJECT_RING];
    *ret_total = total;
    pthread_mutex_unlock(&lock);
    return count;
}

void tide_reject_clear(void)
{
    pthread_mutex_lock(&lock);
    total = 0;
    pthread_mutex_unlock(&lock);
}
