/* Figures as people read them: three digits and a unit; "-" for a value that does not exist (NAN).
 */
#ifndef TIDEMARK_TOOLS_HUMAN_H
#define TIDEMARK_TOOLS_HUMAN_H

#include <stddef.h>
#include <stdint.h>

#define TIDE_HUMAN_SIZE 32

/* Each writes into text[TIDE_HUMAN_SIZE] and returns it. */
char *tide_human_count(char *text, double count);     /* 123456, then 1.23 M */
char *tide_human_ms(char *text, double ms);           /* 850 us, 12.3 ms, 1.23 s, 2.1 min */
char *tide_human_bytes(char *text, double bytes);     /* 512 B, 1.2 GiB */
char *tide_human_share(char *text, double share);     /* 0.0123 -> 1.23 % */
char *tide_human_percent(char *text, double percent); /* 12.3 % */
char *tide_human_rate(char *text, double per_second); /* 12.3/s */
char *tide_human_score(char *text, double score);     /* 0..100 without decimals */
char *tide_human_span(char *text, double seconds);    /* 12 s, 3 min, 2.5 h, 4 d */

#endif
